"""The control headers: what each asks for, and which bytes go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.aliases import MAX_TAG, MAX_TAGS
from relay.controls import EFFECTS, Controls, read
from relay.fieldtext import MAX_FIELD, for_people
from relay.mime import MAX_FIELDS, MAX_HEADER
from relay.submission import Options

DEFAULT = Options()

WISHES = [
    ("X-Candor-Track-Opens: yes", {}),
    ("X-Candor-Track-Opens: no", {"opens": False}),
    ("X-Candor-Track-Opens: maybe", {"opens": False}),
    ("X-Candor-Track-Opens:", {"opens": False}),
    ("X-Candor-Track-Opens: no\r\nX-Candor-Track-Opens: yes", {"opens": False}),
    ("x-candor-track-OPENS : YES ", {}),
    ("X-Candor-Track-Opens:\r\n yes", {}),
    ("X-Candor-Track-Opens: true", {"opens": False}),
    ("X-Candor-Track-Clicks: no", {"clicks": False}),
    ("X-Candor-Track-Clicks: 1", {"clicks": False}),
    ("X-Candor-Override: yes", {"override": True}),
    ("X-Candor-Override: true", {}),
    ("X-Candor-Override: yes\r\nX-Candor-Override: no", {}),
    ("X-Candor-Override: no\r\nX-Candor-Override: yes", {}),
    ("X-Candor-Override: yes\r\nX-Candor-Override: yes", {"override": True}),
    ("X-Tracking-Consent: granted", {"declared": "granted"}),
    ("X-Tracking-Consent: unknown", {}),
    ("X-Tracking-Consent: Denied", {"refused": True, "declared": "denied"}),
    ("X-Tracking-Consent: withdrawn", {"refused": True, "declared": "withdrawn"}),
    ("X-Tracking-Consent: denied\r\nX-Tracking-Consent: granted", {"refused": True, "declared": "denied"}),
    ("X-Tracking-Consent: granted\r\nX-Tracking-Consent: denied", {"refused": True, "declared": "denied"}),
    ("X-Tracking-Consent: granted\r\nX-Tracking-Consent: perhaps", {"refused": True}),
    ("X-Tracking-Consent: perhaps\r\nX-Tracking-Consent: granted", {"refused": True}),
    ("X-Tracking-Consent: unknown\r\nX-Tracking-Consent: granted", {"declared": "granted"}),
    ("X-Tracking-Consent: perhaps", {"refused": True}),
    ("X-Candor-Tag: a\r\nX-Candor-Tag: b\r\nX-Candor-Tag: a", {"tags": ("a", "b")}),
    ("X-Candor-Tag:  ", {}),
    ("X-Candor-Tag: " + "x" * 200, {"tags": ("x" * MAX_TAG,)}),
    ("X-Candor-Tag: a\x00b\x1b\x7fc", {"tags": ("a b c",)}),
    ("X-Candor-Tag: =?utf-8?q?gr=C3=BCn?=", {"tags": ("grün",)}),
    ("X-Candor-Campaign: Spring\r\n sale", {"campaign": "Spring sale"}),
    ("X-Candor-Campaign: " + "x" * 500, {"campaign": "x" * 128}),
    ("X-Candor-Variant: B", {"variant": "B"}),
    ("X-Candor-Class: Transactional", {"message_class": "transactional"}),
    ("X-Candor-Class: requested", {"message_class": "requested"}),
    ("X-Candor-Class: vip", {"message_class": "marketing"}),
    ("X-Candor-Unheard-Of: 1", {"opens": False, "clicks": False}),
    ("X-Candor-Track-Open: no", {"opens": False, "clicks": False}),
]


def ours(data: bytes, controls: Controls) -> list[bytes]:
    return [data[start:end] for start, end in controls.ranges]


@pytest.mark.parametrize(("header", "expected"), WISHES, ids=[row[0][:50] for row in WISHES])
def test_a_control_header_asks_and_is_taken_out(header: str, expected: dict[str, object]) -> None:
    data = f"From: a@b\r\n{header}\r\nTo: c@d\r\n\r\nX-Candor-Override: yes\r\n".encode("latin-1")
    controls = read(data)
    assert controls.options == replace(DEFAULT, **expected)  # type: ignore[arg-type]
    assert b"".join(ours(data, controls)) == f"{header}\r\n".encode("latin-1")


def test_every_control_header_has_a_row() -> None:
    rows = " ".join(header.lower() for header, _ in WISHES)
    assert [name for name in EFFECTS if name not in rows] == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\nX-Candor-Override: yes\r\n\r\n",
        b"Subject: x\r\n\r\nX-Candor-Override: yes\r\n\r\n",
        b"Subject: x\r\n X-Candor-Override: yes\r\n\r\n",
        b"Subject: x\n\nX-Candor-Override: yes\r\n\r\n",
        b"Content-Type: message/rfc822\r\n\r\nX-Candor-Override: yes\r\n\r\n",
        b"XX-Candor-Override: yes\r\nX-Candor: yes\r\n\r\n",
    ],
)
def test_only_fields_of_the_top_header_block_count(data: bytes) -> None:
    assert read(data) == replace(read(b""), subject=read(data).subject)


def test_fields_are_taken_out_around_malformed_lines() -> None:
    data = b"X-Candor-Tag: a\r\n\tb\r\nnonsense\r\n more\r\nX-Candor-Tag: c\n\r\n"
    assert ours(data, read(data)) == [b"X-Candor-Tag: a\r\n\tb\r\n", b"X-Candor-Tag: c\n"]


def test_tags_are_capped() -> None:
    data = "".join(f"X-Candor-Tag: {n}\r\n" for n in range(100)).encode() + b"\r\n"
    controls = read(data)
    assert controls.options.tags == tuple(str(n) for n in range(MAX_TAGS))
    assert len(controls.ranges) == 100


def test_what_the_header_says_of_the_message() -> None:
    controls = read(
        b"Received: a\r\nReceived: b\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nSubject: second\r\n"
        b"From: =?iso-8859-1?q?J=F6rg?= <j@x.example>\r\nMessage-ID: <1@x>\r\nARC-Seal: i=1\r\n"
        b"List-Unsubscribe: <mailto:u@x.example>,\r\n <https://x.example/\r\n u?a=1>\r\n\r\n"
    )
    assert controls.subject == "Grüße"
    assert controls.from_header == "Jörg <j@x.example>"
    assert controls.message_id == "<1@x>"
    assert controls.received_count == 2
    assert controls.is_signed
    assert controls.list_unsubscribe_urls == {"mailto:u@x.example", "https://x.example/u?a=1"}


@pytest.mark.parametrize("name", ["DKIM-Signature", "ARC-Message-Signature", "arc-authentication-results"])
def test_signatures_are_seen(name: str) -> None:
    assert read(f"{name}: x\r\n\r\n".encode()).is_signed
    assert not read(b"Authentication-Results: x\r\n\r\n").is_signed


WORDS = [
    (b"plain", "plain"),
    (b"=?utf-8?Q?a_b=3F?=", "a b?"),
    (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
    (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
    (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
    (b"=?utf-8?b?4oI=?= =?utf-8?b?rA==?=", "€"),
    (b"=?utf-8?b?YQ?=", "a"),
    (b"=?utf-8*en?q?a?=", "a"),
    (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
    (b"=?nonsense?q?a?=", "=?nonsense?q?a?="),
    (b"=?hex?q?6161?=", "=?hex?q?6161?="),
    (b"=?utf-8?b?a?=", "=?utf-8?b?a?="),
    (b"=?utf-8?q?=FF?=", "�"),
    (b"=?utf-8?q?a=0D=0AX:_b?=", "a X: b"),
    ("grün".encode(), "grün"),
    ("grün".encode("latin-1"), "grün"),
    (b"a\r\n\t b", "a b"),
    (b"x" * 3000, "x" * 500),
]


@pytest.mark.parametrize(("raw", "expected"), WORDS)
def test_fields_are_decoded_for_people(raw: bytes, expected: str) -> None:
    assert for_people(raw) == expected


@given(
    st.lists(st.sampled_from([b"=?", b"?=", b"?", b"utf-8", b"q", b"b", b"=", b"YQ==", b" ", b"\xff", b"_"]))
)
@settings(max_examples=300, deadline=None)
def test_no_field_makes_decoding_fail(pieces: list[bytes]) -> None:
    assert isinstance(for_people(b"".join(pieces)), str)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_reading_fail(data: bytes) -> None:
    controls = read(b"X-Candor-Tag:" + data)
    assert all(start < end for start, end in controls.ranges)


@pytest.mark.parametrize(
    "piece", [b"A: 1\r\n", b"X-Candor-Tag: 1\r\n", b" \r\n", b"=?", b"\r", b"List-Unsubscribe: <"]
)
def test_hostile_headers_are_read_in_linear_time(piece: bytes) -> None:
    assert len(read(b"Subject: " + piece * (500_000 // len(piece))).subject) <= MAX_FIELD


@pytest.mark.parametrize(
    "word",
    [
        "=?utf-7?Q?+2AA-?=",
        "=?unicode_escape?Q?=5Cud800?=",
        "=?raw-unicode-escape?B?XHVkODAw?=",
        "=?UTF7?Q?+2AA-?=",
    ],
)
def test_no_half_character_ever_leaves(word: str) -> None:
    controls = read(
        f"X-Candor-Campaign: {word}\r\nX-Candor-Tag: {word}\r\nFrom: {word} <a@b.example>\r\n\r\n".encode()
    )
    assert controls.options.campaign == word
    assert controls.from_header == f"{word} <a@b.example>"
    for_people(word.encode()).encode()


def test_what_decodes_to_half_a_character_is_shown_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.fieldtext._NO_CHARSETS", frozenset())
    assert for_people(b"=?utf-7?Q?a+2AA-?=") == "a\N{REPLACEMENT CHARACTER}"


OVERLONG = {
    "fields": b"A:\r\n" * (MAX_FIELDS + 1),
    "octets": b"A: " + b"x" * MAX_HEADER + b"\r\n",
    "no fields at all": b"x\r\n" * (MAX_FIELDS + 1),
}


@pytest.mark.parametrize("kind", OVERLONG)
def test_of_a_header_block_too_large_to_be_read_our_own_fields_still_go(kind: str) -> None:
    own = (
        b"X-Candor-Tag: a\r\n",
        b"x-candor-override: yes\r\nX-CANDOR-What: \r\n folded\r\n",
        b"X-Tracking-Consent: granted\r\n",
    )
    other = (
        OVERLONG[kind],
        b"Not-X-Candor-Tag: a\r\n X-Candor-Tag: folded\r\nReceived: x\r\n",
        b"\r\nX-Candor-Tag: a\r\n",
    )
    data = own[0] + other[0] + own[1] + other[1] + own[2] + other[2]
    controls = read(data)
    at, left = 0, []
    for start, end in controls.ranges:
        left.append(data[at:start])
        at = end
    assert b"".join((*left, data[at:])) == b"".join(other)
    assert controls.options == Options(opens=False, clicks=False)
    assert controls.received_count == 1


def test_a_large_header_block_without_our_fields_loses_nothing() -> None:
    controls = read(OVERLONG["fields"] + b"\r\nX-Candor-Tag: a\r\n")
    assert controls.ranges == ()
    assert not controls.override


@pytest.mark.parametrize(
    ("line", "misread"),
    [
        ("X-Candor-Trak-Opens: no", (("X-Candor-Trak-Opens", "unknown-header"),)),
        ("X-Candor-Joe_Doe!: no", (("X-Candor-…", "unknown-header"),)),
        ("X-Candor-Class: Newsletter", (("X-Candor-Class", "unknown-value"),)),
        ("X-Candor-Class: Marketing", ()),
        ("X-Candor-Track-Opens: nein", (("X-Candor-Track-Opens", "unknown-value"),)),
        ("X-Candor-Track-Opens: YES", ()),
        ("X-Candor-Campaign: anything", ()),
        ("X-Tracking-Consent: maybe", (("X-Tracking-Consent", "unknown-value"),)),
    ],
)
def test_wishes_that_are_not_understood_are_named_without_their_values(
    line: str, misread: tuple[tuple[str, str], ...]
) -> None:
    assert read(f"Subject: x\r\n{line}\r\n{line}\r\n\r\n".encode()).misread == misread
