"""Paths of MAIL and RCPT (RFC 5321 4.1.2): what is kept exactly, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.intake.paths import Path, PathError, forward_path, reverse_path

LONG_LOCAL = "l" * 200

KEPT = [
    "user@example.org",
    "User.Name+tag@Example.ORG",
    "!#$%&'*+-/=?^_`{|}~@example.org",
    '"quoted local"@example.org',
    '"a@b"@example.org',
    '"with \\" and \\\\"@example.org',
    '""@example.org',
    '"<>"@example.org',
    "user@[192.0.2.1]",
    "user@[IPv6:2001:db8::1]",
    "user@[ipv6:::1]",
    "user@[x-future:anything.goes]",
    "user@localhost",
    "user@host_with_underscores.example",
    "user@1.2.3.example",
    ".user@example.org",
    "user.@example.org",
    "us..er@example.org",
    f"{LONG_LOCAL}@example.org",
    "пользователь@пример.рф",
    '"кавычки в имени"@example.org',
]

REFUSED = [
    "",
    "user@example.org",
    "<user@example.org",
    "user@example.org>",
    "<user@example.org>junk",
    "<user@example.org>>",
    "<<user@example.org>>",
    "< user@example.org>",
    "<user@example.org >",
    "<user name@example.org>",
    "<user@>",
    "<@example.org>",
    "<user>",
    "<user@example..org>",
    "<user@.example.org>",
    "<user@example.org.>",
    "<a@b@example.org>",
    '<"unclosed@example.org>',
    '<"a"b@example.org>',
    "<user@[192.0.2.256]>",
    "<user@[192.0.2]>",
    "<user@[IPv6:2001:db8::g]>",
    "<user@[IPv6:]>",
    "<user@[]>",
    "<user@[192.0.2.1>",
    "<us\x00er@example.org>",
    "<us\u0085er@example.org>",
    "<@route.example:>",
    "<@route.example user@example.org>",
    "<@route.example,:user@example.org>",
    f"<user@{'d' * 256}>",
    f"<user@{'ä' * 128}>",
]


@pytest.mark.parametrize("address", KEPT)
def test_an_address_is_kept_exactly_by_both_commands(address: str) -> None:
    assert reverse_path(f"<{address}>") == Path(address=address, rest="")
    assert forward_path(f"<{address}> NOTIFY=NEVER") == Path(address=address, rest="NOTIFY=NEVER")


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_path_is_refused_by_both_commands(text: str) -> None:
    with pytest.raises(PathError):
        reverse_path(text)
    with pytest.raises(PathError):
        forward_path(text)


@pytest.mark.parametrize(
    "text", ["<@a.example:user@example.org>", "<@a.example,@b.example,@c.example:user@example.org>"]
)
def test_a_source_route_is_ignored(text: str) -> None:
    assert forward_path(text).address == reverse_path(text).address == "user@example.org"


def test_the_null_path_is_for_senders_only() -> None:
    assert reverse_path("<> SIZE=1") == Path(address="", rest="SIZE=1")
    with pytest.raises(PathError):
        forward_path("<>")
    with pytest.raises(PathError):
        reverse_path("<>x")


@pytest.mark.parametrize("word", ["postmaster", "Postmaster", "POSTMASTER"])
def test_postmaster_needs_no_domain_as_a_recipient(word: str) -> None:
    assert forward_path(f"<{word}>").address == word
    with pytest.raises(PathError):
        reverse_path(f"<{word}>")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("<a@example.org>", "<a@EXAMPLE.org>", True),
        ("<@r.example:a@example.org>", "<a@example.org>", True),
        ("<Postmaster>", "<postmaster>", True),
        ("<a@example.org>", "<A@example.org>", False),
        ("<a@example.org>", "<b@example.org>", False),
    ],
)
def test_one_mailbox_is_told_by_its_exact_local_part_and_its_domain(one: str, other: str, same: bool) -> None:
    assert (forward_path(one).mailbox == forward_path(other).mailbox) is same


def test_an_error_never_quotes_the_address() -> None:
    with pytest.raises(PathError) as caught:
        forward_path("<secret.person@[1.2.3]>")
    assert "secret" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_a_path_or_the_one_error(text: str) -> None:
    for read in (reverse_path, forward_path):
        for attempt in (text, f"<{text}>", f"<{text}@example.org>", f"<a@{text}>"):
            try:
                path = read(attempt)
            except PathError:
                continue
            assert f"{path.address}>" in attempt
            assert not any(c < " " or c == "\x7f" for c in path.address)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=40))
def test_any_printable_local_part_can_be_quoted(local: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert forward_path(f"<{quoted}@example.org>").address == f"{quoted}@example.org"
