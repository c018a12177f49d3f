"""News from the store: everything once, whatever order it is committed in, and nobody named who may not be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from support.lives import hit
from support.tracking import (
    ANONYMOUS,
    IDENTIFIED,
    JOE,
    OVERRIDDEN,
    UNTRACKED,
    Mail,
    configuration,
    opened,
    say,
    send,
    to_joe,
)

from tracker.config import GoalTable
from tracker.converting import Said, read_said, record_conversion
from tracker.domain import Domain
from tracker.events import VerdictKind
from tracker.reports.feed import News, Place, Position, news
from tracker.store.schema import alerts, events

NOW = datetime.now(UTC)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, goal=(GoalTable(name="order"),))) as domain:
        yield domain


def told(found: News) -> list[tuple[str, str, str]]:
    return [(one.kind, one.who, one.detail) for one in found.entries]


async def test_what_happened_is_told_once(domain: Domain) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW)
    first = await news(domain, None)
    assert told(first) == [("accepted", JOE, ""), ("opened", JOE, "")]
    assert told(await news(domain, first.position)) == []
    await hit(domain, copy, NOW, link=1)
    said = Said(goal="order", contact=JOE, order="1", value="10.01", currency="EUR")
    await record_conversion(domain, read_said(domain, said, NOW), NOW)
    second = await news(domain, Position.read(str(first.position)))
    assert sorted(told(second)) == [
        ("clicked", JOE, "https://shop.example/apples?kind=russet&box=2"),
        ("converted", "", "10.01 EUR"),
    ]
    assert {one.subject for one in second.entries} == {"Apples are here", "order"}
    assert told(await news(domain, first.position, until=first.position)) == []


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize("verdict", [VerdictKind.SCANNER, VerdictKind.PREFETCH, VerdictKind.UNSURE])
async def test_machines_are_no_news(verdict: VerdictKind, domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW, verdict=verdict)
    assert [kind for kind, _, _ in told(await news(domain, None))] == ["accepted"]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("consent", "dnt"), [("denied", None), ("withdrawn", None), ("granted", "true"), ("unknown", "true")]
)
@pytest.mark.parametrize("decision", [IDENTIFIED, OVERRIDDEN], ids=["by-name", "override"])
async def test_who_may_not_be_named_today_is_not(
    consent: str, dnt: str | None, decision: object, domain: Domain
) -> None:
    copy = await to_joe(domain, decision)  # type: ignore[arg-type]
    await hit(domain, copy, NOW)
    await hit(domain, copy, NOW, link=1)
    await say(domain, JOE, consent, dnt)
    found = await news(domain, None)
    assert told(found) == [("accepted", "", "")]
    assert JOE not in repr(found)


async def test_a_reply_that_names_somebody_is_not_repeated(domain: Domain) -> None:
    await say(domain, JOE, "denied")
    await send(domain, Mail(to={JOE: UNTRACKED}, status="bounced", text=f"<{JOE}> unknown"))
    found = await news(domain, None)
    assert told(found) == [("bounced", "", "550 5.1.1")]
    assert JOE not in repr(found)


async def test_recipients_of_one_mail_stand_together(domain: Domain) -> None:
    people = {f"p{number}@x.example": IDENTIFIED for number in range(5)} | {"q@x.example": ANONYMOUS}
    await send(domain, Mail(to=people))
    (entry,) = (await news(domain, None)).entries
    assert (entry.kind, entry.who, entry.number) == ("accepted", "", 6)


@pytest.mark.parametrize("consent", ["granted", "denied"])
async def test_alerts_are_news_of_those_who_may_be_named(consent: str, domain: Domain) -> None:
    copy = await to_joe(domain)
    await say(domain, JOE, consent)
    start = (await news(domain, None)).position
    row = {"at": NOW, "found_at": NOW, "state": "sent", "domain": "", "of": 0}
    opens = {**row, "name": "keen", "kind": "opens", "key": b"1" * 16, "n": 3}
    opens |= {"message_id": copy.message, "delivery_id": copy.delivery}
    bounces = {
        **row,
        "name": "rise",
        "kind": "bounces",
        "key": b"2" * 16,
        "n": 8,
        "of": 90,
        "domain": "x.example",
    }
    await domain.database.write((insert(alerts), [opens]), (insert(alerts), [bounces]))
    found = told(await news(domain, start))
    assert found[-1] == ("alert", "", "rise: 8 of 90 bounces")
    assert found[:-1] == ([("alert", JOE, "keen: 3 opens")] if consent == "granted" else [])


async def test_what_comes_too_thick_is_counted(domain: Domain) -> None:
    copy = await to_joe(domain)
    start = (await news(domain, None)).position
    for _ in range(12):
        await hit(domain, copy, NOW)
    found = await news(domain, start, most=5)
    assert (len(found.entries), found.skipped) == (5, 7)
    assert told(await news(domain, found.position)) == []


@pytest.mark.parametrize("store_kind", ["postgresql"])
async def test_what_is_committed_late_is_told_all_the_same(domain: Domain) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW)
    start = (await news(domain, None)).position
    row = {"kind": "opened", "at": NOW, "message_id": copy.message, "delivery_id": copy.delivery}
    row |= dict.fromkeys(("verdict_reasons", "client", "device", "system", "country"), "")
    slow = insert(events).values({**row, "verdict": "person", "rules": 1, "system": "late"})
    session = await domain.database.session()
    try:
        await session.execute(text("BEGIN"))
        await session.execute(slow)
        await hit(domain, copy, NOW, link=1)
        before = await news(domain, start)
        assert [kind for kind, _, _ in told(before)] == ["clicked"]
        assert told(await news(domain, before.position)) == []
        await session.execute(text("COMMIT"))
    finally:
        await domain.database.end_session(session)
    after = await news(domain, Position.read(str(before.position)))
    assert [kind for kind, _, _ in told(after)] == ["opened"]
    assert after.position.places["e"].missing == frozenset()
    assert told(await news(domain, after.position)) == []


places = st.builds(
    Place,
    reached=st.integers(0, 10**15),
    missing=st.frozensets(st.integers(0, 10**15), max_size=20),
)


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from("abcde"), places, min_size=1))
def test_a_position_is_read_as_it_was_written(found: dict[str, Place]) -> None:
    assert Position.read(str(Position(places=found))) == Position(places=found)


@given(st.text(max_size=50))
def test_whatever_comes_is_a_position_or_none(text: str) -> None:
    found = Position.read(text)
    assert found is None or Position.read(str(found)) == found


async def test_a_position_of_another_store_is_survived(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW)
    ahead = Position.read("d999999-5.e999999999999999999.x7")
    found = await news(domain, ahead)
    assert [one for one in found.entries if one.kind != "accepted"] == []
    assert found.position.places["e"].reached < 10
