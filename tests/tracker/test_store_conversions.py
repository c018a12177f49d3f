"""Conversions on record: once each, of whom consent allows, and gone with their person without changing a report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from support.lives import hit, newsletter
from support.tracking import (
    ANONYMOUS,
    IDENTIFIED,
    JOE,
    Mail,
    changed,
    configuration,
    dump,
    erase,
    opened,
    say,
    send,
    to_joe,
)

from tracker.attribution import Model
from tracker.clickid import click_id
from tracker.config import Config, GoalTable, RetentionTable
from tracker.converting import Said, read_said, record_conversion
from tracker.domain import Domain
from tracker.errors import InvalidValue, NotFound, TokenError
from tracker.events import VerdictKind
from tracker.reports.conversions import By, ConversionReport, Period, report_conversions
from tracker.store.conversions import Recorded
from tracker.store.register import Source
from tracker.store.schema import events
from tracker.tokens import Kind, Token

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
GOALS = (
    GoalTable(name="order", model=Model.LAST_CLICK),
    GoalTable(name="signup", window_days=7, model=Model.LINEAR, value="5", currency="EUR"),
)
PERIOD = Period(first=(NOW - 90 * DAY).date(), last=NOW.date())


def with_goals(store_url: str, folder: Path, **tables: Any) -> Config:
    return configuration(store_url, folder, goal=GOALS, **tables)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(with_goals(store_url, tmp_path)) as domain:
        yield domain


async def tell(domain: Domain, goal: str = "order", now: datetime = NOW, **said: Any) -> Recorded:
    return await record_conversion(domain, read_said(domain, Said(goal=goal, **said), now), now)


async def report(
    domain: Domain, goal: str = "order", *, by: By = By.MESSAGE, model: Model | None = None
) -> ConversionReport:
    (found,) = await report_conversions(domain, PERIOD, by=by, goal=goal, model=model)
    return found


async def earned(domain: Domain, goal: str = "order", **more: Any) -> dict[str, tuple[float, str, str]]:
    found = await report(domain, goal, **more)
    return {row.earner.title: (row.credit, row.amount, row.currency) for row in found.rows}


def id_of(domain: Domain, delivery: bytes, link: int = 1) -> str:
    token = Token(
        kind=Kind.CLICK,
        mode=IDENTIFIED.mode,
        subject=delivery,
        sent_at=NOW,
        link=link,
        destination="http://x/",
    )
    return click_id(token, domain.ring)


# --- who earns ---


async def test_a_click_id_and_an_address_both_lead_to_what_the_person_did(domain: Domain) -> None:
    apples = await to_joe(domain, subject="Apples")
    pears = await to_joe(domain, subject="Pears")
    await hit(domain, apples, NOW - DAY, link=2)
    await hit(domain, pears, NOW - DAY / 2)
    told = await tell(domain, click_id=id_of(domain, pears.delivery), order="1", value="10", currency="eur")
    assert told == Recorded(is_new=True)
    assert await tell(domain, contact="JOE@People.example", order="2") == Recorded(is_new=True)
    found = await report(domain)
    assert [(row.earner.title, row.currency, row.credit, row.amount) for row in found.rows] == [
        ("Apples", "EUR", 1.0, "10.00"),
        ("Apples", "", 1.0, ""),
    ]
    assert set(await earned(domain, by=By.LINK)) == {"https://shop.example/stories"}
    shares = await earned(domain, model=Model.LINEAR)
    assert (shares["Pears"][0], shares["Apples"][0]) == (0.5, 0.5)


async def test_each_goal_has_its_model_window_and_worth(domain: Domain) -> None:
    old, new = await to_joe(domain, subject="Old"), await to_joe(domain, subject="New")
    third = await to_joe(domain, subject="Third")
    await hit(domain, old, NOW - 8 * DAY, link=1)
    await hit(domain, new, NOW - 6 * DAY)
    await hit(domain, third, NOW - 5 * DAY)
    await tell(domain, "signup", contact=JOE, order="a")
    await tell(domain, "signup", contact=JOE, order="b", value="0.01")
    await tell(domain, "order", contact=JOE)
    assert await earned(domain, "signup") == {"New": (1.0, "2.51", "EUR"), "Third": (1.0, "2.50", "EUR")}
    assert await earned(domain, "order") == {"Old": (1.0, "", "")}
    found = await report(domain, "signup")
    assert (found.model, found.windows, found.values) == (Model.LINEAR, (7,), {"EUR": 501})


async def test_currencies_are_never_added_up(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW - DAY, link=1)
    for order, (value, currency) in enumerate((("1.50", "EUR"), ("2", "EUR"), ("300", "JPY"), ("1", "USD"))):
        await tell(domain, contact=JOE, order=str(order), value=value, currency=currency)
    found = await report(domain, by=By.CAMPAIGN)
    assert found.values == {"EUR": 350, "JPY": 300, "USD": 100}
    assert {(row.currency, row.credit, row.amount) for row in found.rows} == {
        *(("EUR", 2.0, "3.50"), ("JPY", 1.0, "300"), ("USD", 1.0, "1.00")),
    }


@pytest.mark.parametrize("verdict", [VerdictKind.SCANNER, VerdictKind.PREFETCH, VerdictKind.UNSURE])
async def test_what_machines_did_earns_nothing(verdict: VerdictKind, domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW - DAY, link=1, verdict=verdict)
    assert (await tell(domain, contact=JOE)).reason == "no-touch"
    assert (await report(domain)).unattributed == {"no-touch": 1}


async def test_what_turns_out_to_be_a_machines_earns_nothing_any_more(domain: Domain) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW - DAY, link=1)
    await tell(domain, contact=JOE)
    assert len((await report(domain)).rows) == 1
    await domain.database.change(
        lambda connection: connection.execute(update(events).values(verdict="scanner"))
    )
    found = await report(domain)
    assert (found.rows, found.unattributed) == ((), {"no-touch": 1})


# --- once each ---


async def test_an_order_counts_once_whoever_tells_of_it(domain: Domain) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW - DAY, link=1)
    assert (await tell(domain, contact=JOE, order="A-1")).is_new
    assert not (await tell(domain, click_id=id_of(domain, copy.delivery), order="A-1")).is_new
    assert not (await tell(domain, contact="ann@people.example", order="A-1")).is_new
    assert (await tell(domain, "signup", contact=JOE, order="A-1")).is_new
    assert (await report(domain)).conversions == 1


@pytest.mark.parametrize("consent", ["granted", "denied"])
async def test_without_an_order_the_same_person_counts_once_in_three_minutes(
    consent: str, domain: Domain
) -> None:
    await hit(domain, await to_joe(domain), NOW - DAY, link=1)
    await say(domain, JOE, consent)
    at = NOW - timedelta(hours=1)
    assert (await tell(domain, contact=JOE, at=at)).is_new
    assert not (await tell(domain, contact=JOE, at=at + timedelta(seconds=179))).is_new
    assert (await tell(domain, "signup", contact=JOE, at=at)).is_new
    assert (await tell(domain, contact="ann@people.example", at=at)).is_new
    assert (await tell(domain, contact=JOE, at=at + timedelta(seconds=181))).is_new
    assert (await report(domain)).conversions == 3


async def test_tellings_that_come_together_count_once(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW - DAY, link=1)
    told = await asyncio.gather(*(tell(domain, contact=JOE, order="1") for _ in range(8)))
    assert sum(one.is_new for one in told) == 1
    await say(domain, "no@people.example", "denied")
    for who in (JOE, "no@people.example"):
        told = await asyncio.gather(*(tell(domain, "signup", contact=who) for _ in range(8)))
        assert sum(one.is_new for one in told) == 1


# --- consent ---


@pytest.mark.parametrize(
    ("consent", "dnt", "reason"),
    [("denied", None, "declined"), ("withdrawn", None, "declined"), ("granted", "true", "without-name")],
)
async def test_who_declined_counts_and_is_named_nowhere(
    consent: str, dnt: str | None, reason: str, domain: Domain
) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW - DAY, link=1)
    await say(domain, JOE, consent, dnt)
    before = await dump(domain)
    assert (await tell(domain, contact=JOE, order="7", value="3", currency="EUR")).reason == reason
    new = changed(before, await dump(domain))
    assert set(new) <= {"conversions", "carried_credits", "mailings"}
    assert new["conversions"][0][4] is None  # person_key
    found = await report(domain)
    assert (found.conversions, found.values) == (1, {"EUR": 300})
    if reason == "declined":
        assert (found.rows, found.by_choice.n, found.by_choice.of) == ((), 1, 1)


async def test_a_conversion_of_an_erased_person_counts_unattributed(domain: Domain) -> None:
    copy = await to_joe(domain)
    await hit(domain, copy, NOW - DAY, link=1)
    cid = id_of(domain, copy.delivery)
    await erase(domain, JOE)
    assert (await tell(domain, click_id=cid, order="1")).reason == "erased"
    assert (await tell(domain, contact=JOE, order="2")).reason == "erased"
    assert (await tell(domain, click_id=id_of(domain, b"x" * 16), order="3")).reason == "unknown"
    found = await report(domain)
    assert (found.unattributed, found.by_choice.n) == ({"erased": 2, "unknown": 1}, 2)


async def test_of_whom_only_counts_are_kept_group_and_campaign_earn_where_they_hide_the_person(
    domain: Domain,
) -> None:
    crowd = {f"p{number}@people.example": ANONYMOUS for number in range(6)}
    groups = dict.fromkeys(crowd, "Sales")
    copies = await send(domain, Mail(to=crowd | {JOE: IDENTIFIED}, groups=groups | {JOE: "Sales"}))
    small = await to_joe(domain, campaign="small", subject="Small")
    await hit(domain, copies[JOE], NOW - DAY, link=1)
    await say(domain, JOE, "granted", "true")
    assert (await tell(domain, contact=JOE, order="1")).reason == "without-name"
    assert await earned(domain, by=By.GROUP) == {"Sales": (1.0, "", "")}
    assert await earned(domain, by=By.CAMPAIGN) == {"apples": (1.0, "", "")}
    assert await earned(domain, by=By.LINK) == {"(no message named)": (1.0, "", "")}
    await hit(domain, small, NOW - DAY / 2, link=1)
    await tell(domain, contact=JOE, order="2")
    stored = (await dump(domain))["carried_credits"]
    days = {row[3] for row in stored if row[2] == "last-click"}
    assert days == {f"{NOW:%Y-%m-%d}", f"{NOW:%Y-%m}"}
    assert all(row[4] == 0 for row in stored)  # no link


async def test_two_people_without_names_leave_the_same(store_kind: str, stores: Any, tmp_path: Path) -> None:
    """Which of two people of one cell it was cannot be told from anything that is kept."""
    left = []
    for number, who in enumerate(("a@people.example", "b@people.example")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "keys.toml").write_text(KEYS)
        async with stores.fresh(store_kind, folder) as url, opened(with_goals(url, folder)) as domain:
            await send(domain, Mail(to=dict.fromkeys(("a@people.example", "b@people.example"), ANONYMOUS)))
            before = await dump(domain)
            for address in ("a@people.example", "b@people.example"):
                await say(domain, address, "denied" if address == who else "granted", "true")
            before = await dump(domain)
            await tell(domain, contact=who, order="1")
            left.append(changed(before, await dump(domain)))
    assert left[0] == left[1]
    assert set(left[0]) == {"conversions"}


KEYS = f"""
[permanent]
secret = "{"11" * 32}"
[[key]]
id = "000001"
secret = "{"22" * 32}"
"""


# --- what people may ask for, and time ---


async def converted(domain: Domain, at: datetime) -> dict[str, Any]:
    """Six people, two mails, conversions by two of them; gives every report of it."""
    first = await newsletter(domain, at - 3 * DAY, subject="First", campaign="spring")
    second = await newsletter(domain, at - 2 * DAY, subject="Second", campaign="spring")
    for who in ("p0@people.example", "p1@people.example"):
        await hit(domain, first[who], at - 2 * DAY, link=1)
        await hit(domain, first[who], at - DAY)
        await hit(domain, second[who], at - DAY, link=2)
        await tell(domain, contact=who, at=at, order=who, value="10.01", currency="EUR")
    return await all_reports(domain, at)


async def all_reports(domain: Domain, at: datetime) -> dict[str, Any]:
    period = Period(first=(at - 10 * DAY).date(), last=at.date())
    found = {}
    for by in (By.CAMPAIGN, By.MESSAGE, By.LINK):
        for model in Model:
            (one,) = await report_conversions(domain, period, by=by, goal="order", model=model)
            found[f"{by} {model}"] = one.as_json()
    return found


async def test_erasure_takes_the_person_and_changes_no_report(domain: Domain) -> None:
    before = await converted(domain, NOW - DAY)
    exported = await domain.rights.export("p0@people.example", NOW)
    (one,) = exported["conversions"]
    assert (one["goal"], one["value"], one["currency"], len(one["touches"])) == ("order", "10.01", "EUR", 3)
    await erase(domain, "p0@people.example")
    assert await all_reports(domain, NOW - DAY) == before
    rows = await dump(domain)
    assert [len(rows[name]) for name in ("conversions", "conversion_touches")] == [1, 3]
    await erase(domain, "p1@people.example")
    assert await all_reports(domain, NOW - DAY) == before
    rows = await dump(domain)
    assert [len(rows[name]) for name in ("conversions", "conversion_touches")] == [0, 0]


async def test_anonymising_takes_the_person_and_changes_no_report(domain: Domain) -> None:
    before = await converted(domain, NOW - DAY)
    await domain.rights.anonymize("p0@people.example", source=Source.CLI, actor="test", now=NOW)
    assert await all_reports(domain, NOW - DAY) == before
    assert (await domain.rights.export("p0@people.example", NOW))["conversions"] == []
    assert len((await dump(domain))["conversions"]) == 1


@pytest.mark.parametrize("of_messages", [False, True])
async def test_the_purge_takes_what_is_old_and_changes_no_report(
    of_messages: bool, store_url: str, tmp_path: Path
) -> None:
    years = RetentionTable(events_years=9, messages_years=3) if of_messages else RetentionTable()
    async with opened(with_goals(store_url, tmp_path, retention=years)) as domain:
        at = NOW - timedelta(days=200)
        before = await converted(domain, at)
        today = (at - DAY).date().replace(year=at.year + 3) + 3 * DAY
        due, purged = await domain.purge.due(today), await domain.purge.run(today)
        assert purged.conversions == (0 if of_messages else 2)
        assert due.conversions == purged.conversions
        assert await all_reports(domain, at) == before
        rows = await dump(domain)
        assert [len(rows[name]) for name in ("conversions", "conversion_touches")] == [0, 0]
        assert (await domain.purge.run(today)).conversions == 0


async def test_a_mail_to_too_few_keeps_no_totals_of_its_own(domain: Domain) -> None:
    await hit(domain, await to_joe(domain), NOW - DAY, link=1)
    await tell(domain, contact=JOE, order="1", value="7", currency="EUR")
    await erase(domain, JOE)
    rows = {row for row in (await dump(domain))["carried_credits"] if row[2] == "last-click"}
    ((_, _, _, day, link, group, _, credit, value),) = rows
    assert (day, link, group, credit, value) == (f"{NOW:%Y-%m}", 0, "", 10**6, 700)
    found = await report(domain)
    assert (found.attributed, [(row.credit, row.amount) for row in found.rows]) == (1, [(1.0, "7.00")])


@pytest.mark.parametrize("model", [model for model in Model if model is not Model.ALL_MESSAGES])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_credit_adds_up_in_a_period_that_cuts_a_month(model: Model, domain: Domain) -> None:
    """By an erased person with a click and one without, somebody named, and one whom only counts are kept of."""
    at = datetime(2026, 5, 15, 12, tzinfo=UTC)
    people = [f"{name}@people.example" for name in ("clicked", "opened", "named", "counted")]
    for who in people:
        copies = await send(domain, Mail(to={who: IDENTIFIED}, campaign=who, received_at=at - 9 * DAY))
        await hit(domain, copies[who], at - 2 * DAY, link=None if who == people[1] else 1)
        if who == people[3]:
            await say(domain, who, "granted", "true")
        await tell(domain, contact=who, at=at, order=who, value="1.01", currency="EUR")
    for who in people[:2]:
        await erase(domain, who)
    for last in (date(2026, 5, 20), date(2026, 5, 31)):
        period = Period(first=date(2026, 5, 1), last=last)
        (found,) = await report_conversions(domain, period, by=By.CAMPAIGN, goal="order", model=model)
        without = 1 if model is Model.FIRST_CLICK else 0
        assert (found.conversions, found.attributed) == (4, 4 - without)
        assert found.unattributed == ({"no-click": 1} if without else {})
        assert sum(row.millionths for row in found.rows) == found.attributed * 10**6
        assert sum(row.value for row in found.rows) == found.attributed * 101
        cut = [row.earner.title for row in found.rows if "month only" in row.earner.title]
        assert len(cut) == (1 if last.day == 20 else 0)


async def test_a_period_holds_whole_months_only() -> None:
    period = Period(first=date(2026, 1, 31), last=date(2026, 3, 31))
    held = ("2026-01-31", "2026-03-31", "2026-02", "2026-03")
    assert [
        day for day in ("2026-01-30", "2026-01", "2026-04-01", "2026-04", *held) if period.holds(day)
    ] == list(held)


# --- what is refused ---


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"goal": "sale", "contact": JOE}, InvalidValue, "order, signup"),
        ({"goal": "order"}, InvalidValue, "either"),
        ({"goal": "order", "contact": JOE, "click_id": "x"}, InvalidValue, "either"),
        ({"goal": "order", "click_id": "x" * 54}, TokenError, "click id"),
        ({"goal": "order", "contact": "joe"}, ValueError, "joe"),
        ({"goal": "order", "contact": JOE, "order": "x" * 129}, InvalidValue, "128"),
        ({"goal": "order", "contact": JOE, "order": ""}, InvalidValue, "128"),
        ({"goal": "order", "contact": JOE, "order": "a\nb"}, InvalidValue, "printable"),
        ({"goal": "order", "contact": JOE, "value": "1"}, InvalidValue, "currency"),
        ({"goal": "order", "contact": JOE, "currency": "EUR"}, InvalidValue, "without a value"),
        ({"goal": "order", "contact": JOE, "value": "1,5", "currency": "EUR"}, InvalidValue, "12.50"),
        ({"goal": "order", "contact": JOE, "at": NOW + DAY}, InvalidValue, "future"),
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_is_said_wrongly_is_refused_with_what_is_allowed(
    said: dict[str, Any], error: type[Exception], words: str, domain: Domain
) -> None:
    with pytest.raises(error, match=words):
        read_said(domain, Said(**said), NOW)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_goal_nobody_knows_has_no_report(domain: Domain) -> None:
    with pytest.raises(NotFound, match="order, signup"):
        await report(domain, "sale")
