"""The click id: read back by its ring, by nobody else, and saying nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.clickid import ClickId, click_id, read_click_id
from tracker.consent import Mode
from tracker.errors import TokenError
from tracker.tokens import Key, KeyRing, Kind, Token

TOKEN = Token(
    kind=Kind.CLICK,
    mode=Mode.IDENTIFIED,
    subject=bytes(range(16)),
    sent_at=datetime(2026, 5, 1, tzinfo=UTC),
    link=3,
    destination="https://shop.example/",
)


def test_it_is_read_back_also_after_the_key_was_rotated(ring: KeyRing) -> None:
    made = click_id(TOKEN, ring)
    new = Key(id=b"new", secret=b"s" * 32)
    later = KeyRing(newest=new, keys={**ring.keys, new.id: new}, permanent=ring.permanent)
    assert read_click_id(made, later) == ClickId(delivery=TOKEN.subject, link=3)
    assert click_id(TOKEN, later) != made


def test_it_says_nothing_and_tells_links_of_one_mail_from_each_other_only_to_us(ring: KeyRing) -> None:
    made, other = click_id(TOKEN, ring), click_id(replace(TOKEN, link=4), ring)
    assert made == click_id(TOKEN, ring)
    # Version and key are all that two of them have in common.
    assert made[:5] == other[:5]
    assert sum(a == b for a, b in zip(made[6:], other[6:], strict=True)) < 12


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=st.one_of(
        st.text(max_size=80),
        st.tuples(st.integers(0, 53), st.sampled_from("AZaz09-_=+/ é\n")),
    )
)
def test_what_was_changed_is_refused_and_never_misread(change: str | tuple[int, str], ring: KeyRing) -> None:
    made = click_id(TOKEN, ring)
    text = change if isinstance(change, str) else made[: change[0]] + change[1] + made[change[0] + 1 :]
    if text == made:
        assert read_click_id(text, ring).link == 3
    else:
        with pytest.raises(TokenError):
            read_click_id(text, ring)


def test_another_ring_reads_nothing(ring: KeyRing) -> None:
    key = Key(id=ring.newest.id, secret=bytes(32))
    with pytest.raises(TokenError):
        read_click_id(click_id(TOKEN, ring), KeyRing(newest=key, keys={key.id: key}, permanent=bytes(32)))


def test_only_clicks_have_one(ring: KeyRing) -> None:
    with pytest.raises(ValueError, match="OPEN"):
        click_id(replace(TOKEN, kind=Kind.OPEN), ring)
