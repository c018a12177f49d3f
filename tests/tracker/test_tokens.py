"""Tokens: what was sealed comes back octet for octet, and nothing else ever verifies."""

from __future__ import annotations

import base64
import hashlib
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.consent import Mode
from tracker.errors import TokenError
from tracker.tokens import (
    MAX_URL,
    Key,
    KeyRing,
    Kind,
    Token,
    click_length,
    longest_destination,
    mailing_id,
    read,
    seal,
    sealing,
)

OLD = Key(id=b"old", secret=b"o" * 32)
NEW = Key(id=b"new", secret=b"n" * 32)
BEFORE = KeyRing(newest=OLD, keys={OLD.id: OLD}, permanent=b"p" * 32)
RING = KeyRing(newest=NEW, keys={OLD.id: OLD, NEW.id: NEW}, permanent=b"p" * 32)
STRANGER = KeyRing(
    newest=Key(id=b"new", secret=b"x" * 32), keys={b"new": Key(id=b"new", secret=b"x" * 32)}, permanent=b""
)
ALPHABET = string.ascii_letters + string.digits + "-_"
SENT_AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DESTINATIONS = [
    "http://a",
    "https://example.com/",
    "HTTPS://Example.COM/Path",
    "https://example.com",
    "https://example.com/?a=1&b=2&amp;c=3",
    "https://example.com/a/../b/./c//d",
    "https://example.com/%7Euser/%2f%2F%zz%",
    "https://example.com/?q=a+b%20c#frag?not=query#again",
    "https://user:pass@example.com:8443/x;y=z,w",
    "https://xn--bcher-kva.example/[x]{y}|z\\^`",
    "https://[2001:db8::1]:80/",
    "https://example.com/?u=https://other.example/?v=1",
    "https://example.com/'\"<>!$()*",
    "https://example.com/" + "x" * 2800,
]

printable = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60)
destinations = st.sampled_from(DESTINATIONS) | st.builds(
    "{}://{}{}".format, st.sampled_from(["http", "https", "Http"]), st.just("e"), printable
)
moments = st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
whole = st.builds(
    Token,
    kind=st.sampled_from([Kind.OPEN, Kind.PREFERENCES]),
    mode=st.sampled_from(Mode),
    subject=st.binary(min_size=16, max_size=16),
    sent_at=moments,
    override=st.booleans(),
)
clicks = st.builds(
    Token,
    kind=st.just(Kind.CLICK),
    mode=st.sampled_from(Mode),
    subject=st.binary(min_size=16, max_size=16),
    sent_at=moments,
    override=st.booleans(),
    link=st.integers(1, 100_000),
    destination=destinations,
    suffix=st.just("") | printable.map(lambda text: "?" + text),
)
tokens = whole | clicks


def click(**changes: object) -> Token:
    values: dict[str, object] = {
        "kind": Kind.CLICK,
        "mode": Mode.IDENTIFIED,
        "subject": bytes(range(16)),
        "sent_at": SENT_AT,
        "link": 1,
        "destination": "https://example.com/",
    }
    return Token(**(values | changes))  # type: ignore[arg-type]


def said(token: Token) -> tuple[object, ...]:
    return (
        token.kind,
        token.mode,
        token.subject,
        token.sent_at,
        token.override,
        token.link,
        token.destination,
        token.suffix,
    )


@given(tokens)
def test_what_was_sealed_is_read_again(token: Token) -> None:
    again = read(seal(token, RING), RING)
    assert said(again) == said(token)
    assert again.key_id == NEW.id


@given(tokens, st.integers(1, 16000), st.sampled_from(DESTINATIONS))
def test_many_clicks_are_sealed_as_each_alone(token: Token, link: int, destination: str) -> None:
    beginning = replace(token, kind=Kind.CLICK)
    alone = replace(beginning, link=link, destination=destination)
    seal_click = sealing(beginning, RING)
    assert seal_click(link, destination) == seal_click(link, destination) == seal(alone, RING)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_destination_stays_as_its_author_wrote_it(destination: str) -> None:
    token = click(destination=destination, suffix="&utm_source=x")
    assert read(seal(token, RING), RING).destination.encode() == destination.encode()
    assert read(seal(token, RING), RING).suffix == "&utm_source=x"


@given(tokens)
def test_a_token_can_stand_anywhere_in_a_url(token: Token) -> None:
    assert set(seal(token, RING)) <= set(ALPHABET)


@given(tokens, st.data())
def test_any_changed_octet_is_refused(token: Token, data: st.DataObject) -> None:
    text = seal(token, RING)
    octets = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(TokenError):
        read(base64.urlsafe_b64encode(octets).rstrip(b"=").decode(), RING)


def test_every_single_changed_character_and_every_cut_is_refused() -> None:
    text = seal(click(), RING)
    changed = (
        text[:at] + letter + text[at + 1 :]
        for at in range(len(text))
        for letter in ALPHABET
        if letter != text[at]
    )
    cut = (text[:end] for end in range(len(text)))
    beheaded = (text[start:] for start in range(1, len(text)))
    for spoilt in (*changed, *cut, *beheaded):
        with pytest.raises(TokenError):
            read(spoilt, RING)


@given(tokens, st.text(st.sampled_from(ALPHABET + "=+/. \n\t%é"), min_size=1, max_size=6))
def test_anything_added_is_refused(token: Token, more: str) -> None:
    text = seal(token, RING)
    for spoilt in (text + more, more + text, text[:9] + more + text[9:]):
        with pytest.raises(TokenError):
            read(spoilt, RING)


@given(tokens)
def test_a_token_has_one_spelling(token: Token) -> None:
    text = seal(token, RING)
    spellings = {
        text + "=",
        text + "==",
        text + "\n",
        text.replace("-", "+").replace("_", "/"),
        text.swapcase(),
        text[:-1] + ALPHABET[(ALPHABET.index(text[-1]) + 1) % 64],
    } - {text}
    for spelling in spellings:
        with pytest.raises(TokenError):
            read(spelling, RING)


@given(
    st.text()
    | st.text(st.sampled_from(ALPHABET))
    | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_garbage_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(TokenError):
        read(text, RING)


@given(st.integers(0, 255), st.integers(0, 255), st.binary(min_size=20, max_size=80))
def test_what_verifies_but_does_not_make_sense_is_refused_and_nothing_worse(
    first: int, flags: int, rest: bytes
) -> None:
    body = bytes([first, flags]) + NEW.id + rest
    mac = hashlib.blake2b(body, key=NEW.secret, digest_size=16, person=b"candor-token").digest()
    text = base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode()
    try:
        token = read(text, RING)
    except TokenError:
        return
    assert first >> 4 == 1
    assert first & 15 == token.kind


@given(tokens)
def test_a_rotated_out_key_goes_on_verifying(token: Token) -> None:
    assert said(read(seal(token, BEFORE), RING)) == said(token)
    assert read(seal(token, BEFORE), RING).key_id == OLD.id


@given(tokens)
def test_a_token_of_another_ring_is_refused_even_under_the_same_key_id(token: Token) -> None:
    for text, ring in (
        (seal(token, STRANGER), RING),
        (seal(token, RING), STRANGER),
        (seal(token, RING), BEFORE),
    ):
        with pytest.raises(TokenError):
            read(text, ring)


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "example.com",
        "//example.com",
        "/path",
        "ftp://example.com/",
        "mailto:bob@example.com",
        "javascript:alert(1)",
        "data:text/html,x",
        "httpx://example.com",
        "http:/example.com",
        "http://",
        " https://example.com",
        "https://example.com/ x",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://example.com/\n",
        "https://example.com/\x00",
        "https://bücher.example/",
    ],
)
def test_only_what_a_redirect_may_carry_is_sealed(destination: str) -> None:
    with pytest.raises(TokenError):
        seal(click(destination=destination), RING)


@pytest.mark.parametrize("suffix", ["?a=\r\nX: y", "?a=é", "?a=b c"])
def test_a_suffix_cannot_break_a_header(suffix: str) -> None:
    with pytest.raises(TokenError):
        seal(click(suffix=suffix), RING)


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": b"short"},
        {"subject": bytes(17)},
        {"sent_at": datetime(2026, 5, 1)},  # noqa: DTZ001 - that is the point
        {"sent_at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"sent_at": datetime(2107, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_token_that_could_not_be_read_again_is_not_made(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"octets|no time"):
        click(**changes)


def test_a_fraction_of_a_second_is_not_carried() -> None:
    token = click(sent_at=SENT_AT + timedelta(milliseconds=999))
    assert read(seal(token, RING), RING).sent_at == SENT_AT


def test_a_mailing_id_is_the_names_and_the_rings() -> None:
    other = KeyRing(newest=NEW, keys={NEW.id: NEW}, permanent=b"q" * 32)
    assert mailing_id("spring", RING) == mailing_id("spring", BEFORE)
    assert len({mailing_id("spring", RING), mailing_id("Spring", RING), mailing_id("spring", other)}) == 3
    assert len(mailing_id("", RING)) == 16


def test_secrets_are_not_shown() -> None:
    assert "n" * 8 not in repr(RING) + repr(NEW)
    assert NEW.id.hex() in repr(RING)


# --- for ever ---

FOR_EVER = KeyRing(
    newest=NEW,
    keys={b"\x01\x02\x03": Key(id=b"\x01\x02\x03", secret=bytes(range(32))), NEW.id: NEW},
    permanent=b"p" * 32,
)
SENT = [
    (
        "EgQBAgNp9JXAAAECAwQFBgcICQoLDA0OD8gBEGh0dHBzOi8vc2hvcC5leGFtcGxlL2ElMkZiLy4uL2M_eD0xJiZ5I3o_dXRtX3NvdXJjZT1uZXdz3Cx55iL64zuChRo1T37TMg",
        Token(
            kind=Kind.CLICK, mode=Mode.IDENTIFIED, subject=bytes(range(16)), sent_at=SENT_AT, link=200,
            destination="https://shop.example/a%2Fb/../c?x=1&&y#z", suffix="?utm_source=news",
            key_id=b"\x01\x02\x03",
        ),
    ),
    (
        "EQIBAgMAAAAAbW1tbW1tbW1tbW1tbW1tbYT09tfJt85MihVNCQVu00A",
        Token(
            kind=Kind.OPEN, mode=Mode.AGGREGATE, subject=b"m" * 16, sent_at=datetime(1970, 1, 1, tzinfo=UTC),
            key_id=b"\x01\x02\x03",
        ),
    ),
    (
        "EwgBAgNp9JXAZGRkZGRkZGRkZGRkZGRkZLzXK3ooQO4rxfpnveuy410",
        Token(
            kind=Kind.PREFERENCES, mode=Mode.UNTRACKED, subject=b"d" * 16, sent_at=SENT_AT, override=True,
            key_id=b"\x01\x02\x03",
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "token"), SENT)
def test_what_stands_in_mail_is_read_for_ever(text: str, token: Token) -> None:
    """Version 1 as it was first sent. A later release adds rows here and never changes one."""
    assert read(text, FOR_EVER) == token


@pytest.mark.parametrize("destination", [one for one in DESTINATIONS if len(one) < 2000])
@pytest.mark.parametrize("link", [1, 127])
def test_a_url_is_no_longer_than_it_says(destination: str, link: int) -> None:
    """43 octets beside the destination: 25 of head, 2 of numbers, 16 of MAC; in base64."""
    octets = 43 + len(destination)
    assert len(seal(click(destination=destination, link=link), RING)) == -(-octets * 4 // 3)


def test_eight_kilobytes_come_back_octet_for_octet() -> None:
    destination = "https://shop.example/" + "".join(DESTINATIONS)[:8171].replace("https://", "")
    assert read(seal(click(destination=destination), RING), RING).destination == destination


@given(st.integers(1, 200), st.integers(0, 16383))
def test_the_longest_destination_makes_a_url_of_no_more_than_4_kb(host: int, link: int) -> None:
    public_url = "https://" + "t" * host
    destination = "https://shop.example/".ljust(longest_destination(public_url), "x")
    assert len(f"{public_url}/c/{seal(click(destination=destination, link=link), RING)}") <= MAX_URL


@given(st.integers(1, 100_000), st.from_regex(r"https?://[!-~]{1,300}", fullmatch=True))
def test_how_long_a_click_becomes_is_known_before_it_is_sealed(link: int, destination: str) -> None:
    token = Token(
        kind=Kind.CLICK,
        mode=Mode.IDENTIFIED,
        subject=bytes(16),
        sent_at=datetime(2026, 5, 1, tzinfo=UTC),
        link=link,
        destination=destination,
    )
    assert len(seal(token, RING)) == click_length(link, destination)
