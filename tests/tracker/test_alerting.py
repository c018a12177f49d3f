"""Alerts: found once, only of people who may be named and what they surely did, and gone with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import ValidationError
from support.commands import Installation
from support.lives import hit
from support.stores import Stores
from support.tracking import (
    ANONYMOUS,
    IDENTIFIED,
    OVERRIDDEN,
    Copy,
    Mail,
    configuration,
    dump,
    erase,
    opened,
    say,
    send,
)

from tracker.alerting.finding import Finding, so_often
from tracker.config import AlertTable
from tracker.domain import Domain
from tracker.events import VerdictKind
from tracker.reports.alerts import about, find_alerts, what
from tracker.segments.terms import definition
from tracker.segments.wording import parse
from tracker.store.register import Source

NOW = datetime.now(UTC)
TO = ("sales@shop.example",)
PRICES = AlertTable(name="prices", kind="click", to=TO, link="*/apples*")
AGAIN = AlertTable(name="again", kind="opens", to=TO, times=3)
BOUNCES = AlertTable(name="bounces", kind="bounces", to=TO, share=0.25, least=4)
JOE, ANN = "joe@x.example", "ann@x.example"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    config = configuration(store_url, tmp_path, alert=(PRICES, AGAIN, BOUNCES))
    async with opened(config) as domain:
        await Finding(domain).events(NOW - timedelta(hours=1))
        yield domain


async def look(domain: Domain, after: float = 0.0) -> list[tuple[str, str]]:
    """Finds what is final so long after now, and tells all that is on record: alert and whom it is about."""
    await Finding(domain).events(NOW + timedelta(seconds=after))
    await Finding(domain).events(NOW + timedelta(seconds=after + 121))
    return [
        (one.name, about(one)) for one in await find_alerts(domain, sort="name", descending=False, limit=50)
    ]


async def copies_for(domain: Domain, *people: str, decision: Any = IDENTIFIED) -> dict[str, Copy]:
    return await send(domain, Mail(to=dict.fromkeys(people or (JOE, ANN), decision)))


# --- what is asked for ---


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "click"}, "needs a link"),
        ({"kind": "click", "link": "prices"}, "begins with"),
        ({"kind": "opens", "link": "*/x*"}, "takes times, window, segment"),
        ({"kind": "bounces", "segment": "x"}, "takes share, least, window, per"),
        ({"kind": "opens", "to": []}, "at least 1 item"),
        ({"kind": "opens", "to": ["joe"]}, "expected a mail address"),
        ({"kind": "opens", "times": 1}, "greater than or equal to 2"),
        ({"kind": "bounces", "share": 2}, "less than or equal to 1"),
        ({"kind": "closes"}, "'opens', 'click' or 'bounces'"),
        ({"kind": "opens", "window": "1s"}, "greater than or equal to 60"),
    ],
)
def test_an_alert_that_makes_no_sense_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AlertTable(**({"name": "x", "to": TO} | table))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "times", "within", "at"),
    [
        ((0, 60, 120), 3, 3600, 120),
        ((0, 10, 20, 30), 2, 3600, None),  # one view, however long it is looked at
        ((0, 10, 60), 2, 3600, 60),
        ((0, 4000, 8000), 3, 3600, None),
        ((0, 4000, 4100, 4200), 3, 3600, 4200),
        ((), 2, 3600, None),
    ],
)
def test_repeats_within_a_moment_are_one_view(
    seconds: tuple[int, ...], times: int, within: int, at: int | None
) -> None:
    opened_at = [NOW + timedelta(seconds=one) for one in seconds]
    found = so_often(opened_at, times, timedelta(seconds=within))
    assert found == (None if at is None else NOW + timedelta(seconds=at))


# --- what is found ---


async def test_a_click_is_told_once_its_verdict_is_final(domain: Domain) -> None:
    copies = await copies_for(domain)
    await hit(domain, copies[JOE], NOW, link=1)
    await hit(domain, copies[JOE], NOW + timedelta(seconds=40), link=1)
    await hit(domain, copies[ANN], NOW, link=2)
    await Finding(domain).events(NOW)
    await Finding(domain).events(NOW + timedelta(seconds=119))
    assert await find_alerts(domain, limit=10) == []
    assert await look(domain, 1) == [("prices", JOE)]
    await hit(domain, copies[JOE], NOW + timedelta(seconds=200), link=1)
    assert await look(domain, 400) == [("prices", JOE)]
    (one,) = await find_alerts(domain, limit=10)
    assert (one.at, one.state, what(one)) == (NOW, "waiting", f"followed {one.url}")
    assert one.url.startswith("https://shop.example/apples")


async def test_three_views_of_one_message_are_told_and_three_machines_are_not(domain: Domain) -> None:
    first, second = await copies_for(domain), await copies_for(domain)
    for n in range(3):
        await hit(domain, first[JOE], NOW + timedelta(minutes=n))
        await hit(domain, first[ANN], NOW + timedelta(minutes=n), verdict=VerdictKind.SCANNER)
    await hit(domain, second[ANN], NOW)
    await hit(domain, second[ANN], NOW + timedelta(minutes=1))
    assert await look(domain, 300) == [("again", JOE)]
    await hit(domain, second[ANN], NOW + timedelta(minutes=20))
    assert await look(domain, 2000) == [("again", ANN), ("again", JOE)]


async def test_an_open_that_may_still_be_a_machine_s_does_not_count(domain: Domain) -> None:
    copies = await copies_for(domain)
    await hit(domain, copies[JOE], NOW)
    await hit(domain, copies[JOE], NOW + timedelta(minutes=1))
    await Finding(domain).events(NOW)
    await hit(domain, copies[JOE], NOW + timedelta(minutes=2))
    await Finding(domain).events(NOW + timedelta(seconds=130))
    assert await find_alerts(domain, limit=10) == []


@pytest.mark.parametrize(
    "how", ["withdrawn", "denied", "do-not-track", "erased", "anonymous", "overridden", "policy"]
)
async def test_nobody_is_told_of_who_may_not_be_named(how: str, domain: Domain) -> None:
    decision = {"anonymous": ANONYMOUS, "overridden": OVERRIDDEN}.get(how, IDENTIFIED)
    copies = await copies_for(domain, JOE, decision=decision)
    await hit(domain, copies[JOE], NOW, link=1)
    if how in ("withdrawn", "denied", "overridden"):
        await say(domain, JOE, "denied" if how == "overridden" else how)
    elif how == "do-not-track":
        await say(domain, JOE, dnt="true")
    elif how == "erased":
        await erase(domain, JOE)
    elif how == "policy":
        domain.reconfigure(
            domain.config.model_copy(update={"consent": type(domain.config.consent)(unknown="deny")})
        )
    await look(domain)
    assert (await dump(domain))["alerts"] == []


@pytest.mark.parametrize("how", ["withdrawn", "erased", "anonymized"])
async def test_who_may_not_be_named_since_is_not_named_by_what_was_found(how: str, domain: Domain) -> None:
    copies = await copies_for(domain)
    for address in (JOE, ANN):
        await hit(domain, copies[address], NOW, link=1)
    assert {name for _, name in await look(domain)} == {JOE, ANN}
    assert (await domain.rights.export(JOE, NOW))["alerts"][0]["name"] == "prices"
    if how == "withdrawn":
        await say(domain, JOE, "withdrawn")
    elif how == "erased":
        await erase(domain, JOE)
    else:
        await domain.rights.anonymize(JOE, source=Source.CLI, actor="test", now=NOW)
    found = await find_alerts(domain, limit=10)
    assert {one.address for one in found} == ({ANN, None} if how == "withdrawn" else {ANN})
    for one in found:
        if one.is_hidden:
            assert (one.message_id, one.subject, one.url, one.n, what(one)) == (None, "", "", 0, "")


async def test_an_alert_for_a_segment_is_for_its_people_only(store_url: str, tmp_path: Path) -> None:
    alert = PRICES.model_copy(update={"segment": "sales"})
    async with opened(configuration(store_url, tmp_path, alert=(alert,))) as domain:
        await Finding(domain).events(NOW - timedelta(hours=1))
        copies = await copies_for(domain)
        for address in (JOE, ANN):
            await hit(domain, copies[address], NOW, link=1)
        await Finding(domain).events(NOW)
        await say(domain, JOE, "granted", group="Sales")
        node = definition(parse("group is Sales"))
        await domain.segments.save("sales", node, by="test", now=NOW, replace=False)
        assert await look(domain, 1) == [("prices", JOE)]


async def test_without_its_segment_nobody_is_told(store_url: str, tmp_path: Path) -> None:
    alert = PRICES.model_copy(update={"segment": "sales"})
    async with opened(configuration(store_url, tmp_path, alert=(alert,))) as domain:
        await Finding(domain).events(NOW - timedelta(hours=1))
        await hit(domain, (await copies_for(domain))[JOE], NOW, link=1)
        assert await look(domain) == []


async def test_bounces_are_told_by_domain_when_they_are_many(domain: Domain) -> None:
    for number in range(4):
        await send(domain, Mail(to={f"p{number}@good.example": IDENTIFIED}, status="accepted"))
        status = "bounced" if number < 2 else "accepted"
        await send(domain, Mail(to={f"p{number}@bad.example": IDENTIFIED}, status=status))
    for number in range(3):
        await send(domain, Mail(to={f"p{number}@few.example": IDENTIFIED}, status="bounced"))
        await send(domain, Mail(to={f"p{number}@bad.example": IDENTIFIED}, status="deferred"))
        long_ago = NOW - timedelta(days=3)
        await send(
            domain, Mail(to={f"p{number}@good.example": IDENTIFIED}, status="bounced", received_at=long_ago)
        )
    assert await Finding(domain).bounces(NOW) == 1
    assert await Finding(domain).bounces(NOW) == 0
    (one,) = await find_alerts(domain, limit=10)
    assert (about(one), what(one)) == ("bad.example", "2 of 4 bounced")
    whole = BOUNCES.model_copy(update={"per": "all", "name": "all", "share": 0.4})
    domain.reconfigure(domain.config.model_copy(update={"alert": (whole,)}))
    assert await Finding(domain).bounces(NOW) == 1
    assert {(about(one), what(one)) for one in await find_alerts(domain, limit=10)} == {
        ("bad.example", "2 of 4 bounced"),
        ("all domains", "5 of 11 bounced"),
    }


# --- reading on ---


async def test_whoever_was_away_for_long_begins_with_what_comes(domain: Domain) -> None:
    copies = await copies_for(domain)
    await hit(domain, copies[JOE], NOW, link=1)
    assert await look(domain, 2 * 86400) == []


async def test_two_who_look_at_once_find_it_once(domain: Domain) -> None:
    copies = await copies_for(domain)
    await hit(domain, copies[JOE], NOW, link=1)
    await Finding(domain).events(NOW)
    later = NOW + timedelta(seconds=130)
    found = await asyncio.gather(*(Finding(domain).events(later) for _ in range(4)))
    assert sum(found) == 1


async def test_what_is_committed_late_is_not_passed_by(stores: Stores, tmp_path: Path) -> None:
    async with (
        stores.fresh("postgresql", tmp_path) as url,
        opened(configuration(url, tmp_path, alert=(PRICES,))) as domain,
    ):
        await Finding(domain).events(NOW - timedelta(hours=1))
        copies = await copies_for(domain)
        late = await asyncpg.connect(url)
        transaction = late.transaction()
        await transaction.start()
        await late.execute(
            "INSERT INTO events (kind, at, message_id, delivery_id, link, verdict, verdict_reasons, rules, client,"
            " device, system, country) VALUES ('clicked', $1, $2, $3, 1, 'person', '', 1, '', '', '', '')",
            NOW,
            copies[JOE].message,
            copies[JOE].delivery,
        )
        await hit(domain, copies[ANN], NOW, link=1)
        assert await look(domain) == []  # the later one is there, but not all before it
        await transaction.commit()
        await late.close()
        assert sorted(await look(domain, 300)) == [("prices", ANN), ("prices", JOE)]


async def test_alerts_go_with_the_events(domain: Domain) -> None:
    copies = await copies_for(domain)
    await hit(domain, copies[JOE], NOW, link=1)
    await look(domain)
    await domain.purge.run((NOW + timedelta(days=300)).date())
    assert len(await find_alerts(domain, limit=10)) == 1
    await domain.purge.run((NOW + timedelta(days=4 * 366)).date())
    assert (await dump(domain))["alerts"] == []


# --- the commands ---


def test_the_commands_list_and_try(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)
    assert "none is configured" in candor.call("alert", "list").out
    with candor.config.open("a") as file:
        file.write(
            '[[alert]]\nname = "prices"\nkind = "click"\nto = ["sales@shop.example"]\nlink = "*/apples*"\n'
        )
    assert "asks for prices" in candor.call("alert", "list").out
    refused = candor.call("alert", "test", "pears")
    assert (refused.code, "there are: prices" in refused.err) == (1, True)
    assert "sales@shop.example" in candor.call("alert", "test", "prices").out
    (one,) = candor.call("alert", "list", "--json").json
    assert (one["name"], one["kind"], one["state"]) == ("prices", "test", "waiting")
    assert "a letter to try it" in candor.call("alert", "list").out
    assert candor.call("alert", "list", "--csv").out.startswith("at,alert,about,what,message,state")
