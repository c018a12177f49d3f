"""Hostile sizes: the work grows with the input and no faster."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

import pytest
from support.hanging import no_longer_than
from support.mail import message, multipart, part
from support.proof import (
    a,
    base,
    reasons,
    tracked,
)

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message

LINK = a('href="http://x.example/"')
PIECES = (
    *(
        "<a ",
        "<a>",
        "<a href=x>",
        "<a href=http://x.example/>",
        '<a href="',
        "<a href='",
        "<a b=",
        '<a b="" ',
    ),
    *("<", ">", "</", "</a", "</body>", "<body>", "<!", "<!--", "-->", "<![if", "<!--[if mso]>", "<?", "<p>"),
    *("<!--[if mso]><a href='http://x.example/'><![endif]-->", "<style>", "<script><!--", "<title>", "<svg>"),
    *(
        '"',
        "'",
        "=",
        "&",
        "&amp",
        "&#",
        "{{",
        "{{open_pixel}}",
        "{{tracking_preferences_url}}",
        "%7B%7B",
        "\r\n",
    ),
    *(
        "<a data-candor-no-track href=x>",
        "<div data-candor-no-track>",
        "https+notrack://",
        "http://x.example/ ",
    ),
    *("--=_b1", "\r\n--=_b1x", "-----BEGIN PGP ", "ü", "src=", "<{{open_pixel}}", "\x0b", "x"),
)


def calls(work: Callable[[], object]) -> int:
    """How many functions Python called."""
    count = 0

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def work_of(data: bytes, rules: Rules) -> int:
    with no_longer_than(120):  # what is worse than linear takes minutes, and is stopped even inside one call
        return calls(lambda: tracked(compile_message(data, rules)))


@pytest.mark.parametrize(
    ("subtype", "encoding"), [("html", "8bit"), ("html", "quoted-printable"), ("plain", "8bit")]
)
@pytest.mark.parametrize("piece", PIECES)
def test_four_times_the_text_is_at_most_four_times_the_work(piece: str, subtype: str, encoding: str) -> None:
    rules = Rules(wrap_plain_text=True)
    small, large = (
        work_of(message(piece * (size // len(piece)), encoding=encoding, subtype=subtype), rules)
        for size in (50_000, 200_000)
    )
    assert large < 4.2 * small + 2000


HOSTILE = {
    "one line of 5 MB": message("x" * 5_000_000 + LINK * 100),
    "5 MB of quoted-printable": message("ü" * 800_000, encoding="quoted-printable"),
    "one quoted-printable line": message(b"=3D" * 1_000_000).replace(b"8bit", b"quoted-printable"),
    "soft breaks": message(b"=\r\n" * 500_000).replace(b"8bit", b"quoted-printable"),
    "5 MB of base64": message(LINK * 120_000, encoding="base64"),
    "5 MB of base64 on one line": message(b"PGEg" * 1_250_000).replace(b"8bit", b"base64"),
    "placeholders": message("{{open_pixel}}{{tracking_preferences_url}}" * 5000, encoding="quoted-printable"),
    "many headers": b"A: 1\r\n" * 200_000 + b"\r\n",
    "a header field of 200 KB": b"Subject: " + b"=?utf-8?q?x?= " * 15_000 + b"\r\n" + message(LINK),
    "a folded header field": b"Subject: x" + b"\r\n y" * 50_000 + b"\r\n" + message(LINK),
    "parameters": b"Content-Type: text/html" + b"; a=b" * 200_000 + b"\r\n\r\n<p>",
    "a parameter without a value": b"Content-Type: text/html; " + b"a" * 500_000 + b"\r\n\r\n<p>",
    "words for parameters": b"Content-Type: text/html; " + b"a " * 250_000 + b"\r\n\r\n<p>",
    "quoted parameter": b'Content-Type: text/html; a="' + b'\\"' * 500_000 + b"\r\n\r\n<p>",
    "open quotes": b"Content-Type: text/html; " + b'a="' * 150_000 + b"\r\n\r\n<p>",
    "10,000 parts": multipart(*[part("<p>x")] * 10_000, subtype="mixed"),
    "delimiters": multipart(part("<p>x" + "\r\n--=_b1x" * 100_000), subtype="mixed"),
    "nested 1,000 deep": b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(1000)
    )
    + part("<p>x"),
    "nested in one boundary": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 1000
    + part("<p>x"),
}


ONE_CALL = {
    "comments opened in a script": "<script>" + "<!--" * 250_000 + "</script><p>x",
    "comments opened in a link": ("<a href=x>" + "<!--" * 600 + "--></a>") * 1000,
    "tags opened in a link": ("<a href=x>" + "<!" * 1200 + "></a>") * 1000,
    "brackets behind a URL": "http://x.example/" + ")" * 1_000_000,
    "pairs of brackets behind a URL": "http://x.example/" + "()" * 250_000 + ")" * 500_000,
}
"""What counting calls does not see, since all of it would happen inside one."""


@pytest.mark.parametrize("name", ONE_CALL)
def test_no_single_call_takes_minutes(name: str) -> None:
    subtype = "plain" if "URL" in name else "html"
    with no_longer_than(20):
        plan = compile_message(message(ONE_CALL[name], subtype=subtype), Rules(wrap_plain_text=True))
    assert plan.has_pixel_place == (subtype == "html")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sizes_come_to_an_end(name: str) -> None:
    with no_longer_than(120):
        plan = compile_message(HOSTILE[name])
        copy = tracked(plan)
    assert plan.untouched is not Reason.INTERNAL_ERROR
    assert plan.untouched is None or copy == base(plan)


ATTACHMENT = multipart(
    part(LINK),
    b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + (b"A" * 76 + b"\r\n") * 330_000,
    subtype="mixed",
)


def peak(work: Callable[[], object]) -> int:
    """The most octets that were held at one time on top of what was held before."""
    tracemalloc.start()
    try:
        kept = work()
        highest = tracemalloc.get_traced_memory()[1]
        del kept
    finally:
        tracemalloc.stop()
    return highest


def test_an_attachment_of_25_mb_is_never_copied_but_into_the_copy() -> None:
    assert len(ATTACHMENT) > 25_000_000
    assert peak(lambda: compile_message(ATTACHMENT)) < 1_000_000
    plan = compile_message(ATTACHMENT)
    assert plan.base() is ATTACHMENT
    assert len(ATTACHMENT) < peak(lambda: tracked(plan)) < len(ATTACHMENT) + 1_000_000


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_body_of_5_mb_is_held_a_few_times_and_no_more(encoding: str) -> None:
    data = message("x" * 60 + "\r\n" + LINK + ("y" * 70 + "\r\n") * 70_000, encoding=encoding)
    assert peak(lambda: tracked(compile_message(data))) < 8 * len(data)


@pytest.mark.parametrize("mark", ["", "{{open_pixel}}"])
def test_behind_too_many_tags_nothing_is_known(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setattr("relay.html.tree.MAX_TOKENS", 10)
    html = f"<body>{a('href=http://x.example/1')}</body>" + a("href=http://x.example/2") * 20 + mark
    plan = compile_message(message(html))
    assert plan.links[0].url == "http://x.example/1"
    assert not plan.has_pixel_place
    assert Reason.TOO_MANY_TAGS in reasons(plan)
    assert tracked(plan).endswith(b"text</a>" + message("").rpartition(b"\r\n\r\n")[2])


def test_too_many_tags_in_what_only_outlook_reads_leave_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.html.tree.MAX_TOKENS", 10)
    inside = a("href='http://x.example/2'") * 20
    plan = compile_message(message(a("href='http://x.example/1'") + f"<!--[if mso]>{inside}<![endif]-->"))
    assert [link.url for link in plan.links] == ["http://x.example/1"]
    assert plan.has_pixel_place
    assert Reason.TOO_MANY_TAGS in reasons(plan)
