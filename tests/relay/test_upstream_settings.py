"""The upstream's URL: what it may be, and what is said when it may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.upstream import Scheme, UpstreamSettings, parse_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.org", {"scheme": Scheme.SMTP, "host": "mail.example.org", "port": 25}),
        ("smtp://mail.example.org:2525/", {"scheme": Scheme.SMTP, "port": 2525}),
        ("SMTPS://Mail.Example.ORG", {"scheme": Scheme.SMTPS, "host": "mail.example.org", "port": 465}),
        (
            "smtp+starttls://h.example",
            {"scheme": Scheme.STARTTLS, "port": 587, "user": None, "password": None},
        ),
        ("smtp+starttls://ann:secret@h.example", {"user": "ann", "password": "secret"}),
        (
            "smtps://ann%40example.org:p%2Fa%3As%25%C3%A9@h",
            {"user": "ann@example.org", "password": "p/a:s%é"},
        ),
        ("smtps://ann:@h", {"user": "ann", "password": ""}),
        ("smtps://ann@h", {"user": "ann", "password": None}),
        ("smtp://[::1]:2525", {"host": "::1", "port": 2525, "name": "[::1]:2525"}),
        ("smtp://ann:secret@127.0.0.2", {"user": "ann"}),
        ("smtp://ann:secret@localhost", {"user": "ann"}),
        ("capture:./mail/captured", {"scheme": Scheme.CAPTURE, "path": "./mail/captured"}),
        ("capture:/var/captured", {"path": "/var/captured", "name": "capture:/var/captured"}),
    ],
)
def test_a_url_stands_for_its_settings(url: str, expected: dict[str, Any]) -> None:
    settings = parse_url(url)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no scheme"),
        ("mail.example.org", "no scheme"),
        ("ann:s3cret@mail.example.org", "no scheme"),
        ("http://mail.example.org", "unknown scheme"),
        ("s3cret://mail.example.org", "unknown scheme"),
        ("smtp://", "needs a host"),
        ("smtps://ann:s3cret@", "needs a host"),
        ("smtps://ann:s3cret@:465", "needs a host"),
        ("smtps://:s3cret@h", "password but no user"),
        ("smtps://ann:s3cret", "port"),
        ("smtps://ann:s3cret@h:0", "port"),
        ("smtps://ann:s3cret@h:65536", "port"),
        ("smtps://ann:s3cret@h:x", "port"),
        ("smtps://ann:s3cret@[h", "malformed"),
        ("smtps://ann:pre/s3cret@h", "port|nothing may follow"),
        ("smtps://ann:s3cret@h/path", "nothing may follow"),
        ("smtps://ann:s3cret@h?x=1", "nothing may follow"),
        ("smtps://ann:s3cret@h#x", "nothing may follow"),
        ("smtps://ann:s3 cret@h", "space"),
        ("smtps://ann:s3cret@h\r\n", "control"),
        ("smtps://ann:s3cret%ff@h", "percent-encoded"),
        ("smtp://ann:s3cret@mail.example.org", "in clear"),
        ("capture:", "needs a path"),
        ("capture://s3cret/x", "no host"),
    ],
)
def test_a_bad_url_is_refused_without_telling_its_password(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_url(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3" not in str(error)
        error = None if error.__suppress_context__ else error.__context__


def test_a_password_in_clear_can_be_permitted_expressly() -> None:
    assert parse_url("smtp://ann:secret@mail.example.org", auth_in_clear=True).auth_in_clear


def test_settings_do_not_show_the_password() -> None:
    settings = parse_url("smtps://ann:s3cret@h")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.name


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_connections": 0}, "at least one connection"),
        ({"messages_per_connection": 0}, "one message"),
        ({"hostname": "two words"}, "EHLO"),
        ({"hostname": "mail.example.org\r\nMAIL"}, "EHLO"),
        ({"hostname": "müll.example"}, "EHLO"),
        ({"port": 70000}, "port"),
    ],
)
def test_settings_that_could_not_work_cannot_be_made(wrong: dict[str, Any], words: str) -> None:
    settings: UpstreamSettings = parse_url("smtp://mail.example.org")
    with pytest.raises(ValueError, match=words):
        replace(settings, **wrong)
