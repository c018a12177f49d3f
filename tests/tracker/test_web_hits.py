"""What a hit leaves behind: what consent allowed when the mail was sent and allows today, and nothing of those who
declined, in the database or the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    JOE,
    OVERRIDDEN,
    SUFFIX,
    UNTRACKED,
    URLS,
    Copy,
    Dump,
    Mail,
    changed,
    dump,
    erase,
    say,
    send,
    to_joe,
)
from support.web import Client

from tracker.consent import Decision
from tracker.domain import Domain
from tracker.policy import Policy, Unknown
from tracker.store.schema import contacts, counts
from tracker.web.hits import PIXEL

# --- what is kept ---

# What somebody said, or the policy for those who said nothing, at the time of the hit.
TODAY = (
    *("granted", "denied", "withdrawn", "granted, not by name", "unknown, not by name", "erased"),
    *(f"unknown: {word}" for word in Unknown),
)
REFUSED = {"denied": "", "withdrawn": "", "erased": "", "unknown: deny": ""}
KEPT: Mapping[str, tuple[Decision, Mapping[str, str], Mapping[str, str]]] = {
    # sent as: what an open leaves behind on each of these days, and what a click does
    "identified": (
        IDENTIFIED,
        REFUSED
        | {"granted": "event", "unknown: track": "event", "unknown: anonymous": "count month"}
        | {"granted, not by name": "count month", "unknown, not by name": "count month"}
        | {"unknown: aggregate": "count aggregate", "unknown: hygiene": "day"},
        REFUSED
        | {"granted": "event", "unknown: track": "event", "unknown: anonymous": "count month"}
        | {"granted, not by name": "count month", "unknown, not by name": "count month"}
        | {"unknown: aggregate": "", "unknown: hygiene": ""},
    ),
    "overridden": (
        OVERRIDDEN,
        dict.fromkeys(TODAY, "event")
        | {"erased": "", "granted, not by name": "count month", "unknown, not by name": "count month"},
        dict.fromkeys(TODAY, "event")
        | {"erased": "", "granted, not by name": "count month", "unknown, not by name": "count month"},
    ),
    "anonymous": (
        ANONYMOUS,
        dict.fromkeys(TODAY, "count month")
        | REFUSED
        | {"unknown: aggregate": "count aggregate", "unknown: hygiene": ""},
        dict.fromkeys(TODAY, "count month") | REFUSED | {"unknown: aggregate": "", "unknown: hygiene": ""},
    ),
    "aggregate": (
        AGGREGATE,  # its pixel names the mailing only, so nobody's refusal can reach it
        dict.fromkeys(TODAY, "count aggregate"),
        dict.fromkeys(TODAY, ""),
    ),
    "hygiene": (
        HYGIENE,
        dict.fromkeys(TODAY, "") | {"granted": "day", "unknown: track": "day", "unknown: hygiene": "day"},
        dict.fromkeys(TODAY, ""),
    ),
    "untracked": (UNTRACKED, dict.fromkeys(TODAY, ""), dict.fromkeys(TODAY, "")),
}


async def arrange(domain: Domain, address: str, today: str) -> None:
    """Makes it the day on which that holds."""
    words, _, policy = today.partition(": ")
    domain.policy = Policy(unknown=Unknown(policy or "track"))
    consent, _, loose = words.partition(", ")
    if words == "erased":
        await erase(domain, address)
    else:
        await say(domain, address, None if consent == "unknown" else consent, "true" if loose else None)


def kept(before: Dump, after: Dump) -> str:
    """What a hit left behind, in one word; fails on anything that no hit may leave."""
    rows = changed(before, after)
    rows.pop("mailings", None)  # the sender's month, where a count went there
    if not rows:
        return ""
    ((table, new),) = rows.items()
    assert len(new) == 1, new
    if table == "counts":
        row = dict(zip(counts.c.keys(), new[0], strict=True))
        assert (row["n"], row["grp"]) == (1, "")
        return f"count {row['scope']}"
    if table == "contacts":
        row = dict(zip(contacts.c.keys(), new[0], strict=True))
        assert len(row["last_open_day"]) == len("2026-01-31")
        return "day"
    assert table == "events"
    return "event"


@pytest.mark.parametrize("sent", KEPT)
async def test_a_hit_leaves_what_both_days_allow_and_the_answer_is_always_right(
    sent: str, domain: Domain, client: Client
) -> None:
    decision, opens, clicks = KEPT[sent]
    found: dict[str, tuple[str, str]] = {}
    others = {
        f"other{n}@people.example": AGGREGATE for n in range(5)
    }  # enough for an aggregate of the mailing
    for number, today in enumerate(TODAY):
        address = f"p{number}@people.example"
        copies = await send(
            domain,
            Mail(to={address: decision} | others, campaign=today, sender=f"s{number}@shop.example"),
        )
        await arrange(domain, address, today)
        before = await dump(domain)
        opened_at = await client.ask(copies[address].pixel)
        between = await dump(domain)
        clicked = await client.ask(copies[address].link(suffix=SUFFIX))
        after = await dump(domain)
        found[today] = kept(before, between), kept(between, after)
        assert (opened_at.status, opened_at.body) == (200, PIXEL)
        named = found[today][1] == "event"
        assert (clicked.status, clicked.location) == (
            302,
            (URLS[0] + ("&" + SUFFIX[1:] if named else "")).encode(),
        )
    assert found == {today: (opens[today], clicks[today]) for today in TODAY}


async def test_an_event_holds_what_it_must_and_neither_address_nor_user_agent(
    domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain)
    await client.ask(copy.pixel)
    await client.ask(copy.link(2))
    opened_, clicked = await domain.events.list()
    assert (opened_["kind"], opened_["link"], opened_["url"]) == ("opened", None, None)
    assert (clicked["kind"], clicked["link"], clicked["url"]) == ("clicked", 2, URLS[1])
    for one in (opened_, clicked):
        assert (one["message"], one["delivery"]) == (copy.message.hex(), copy.delivery.hex())
        assert (one["verdict"], one["recipient"]) == ("person", JOE)
        assert (one["client"], one["device"], one["system"]) == ("Firefox", "desktop", "Linux")
    rows = str((await dump(domain))["events"])
    assert "Mozilla" not in rows
    assert "127.0.0.1" not in rows


async def test_every_repetition_is_an_event(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    await asyncio.gather(*(client.ask(path) for path in (copy.pixel, copy.link()) * 5))
    kinds = [event["kind"] for event in await domain.events.list()]
    assert (kinds.count("opened"), kinds.count("clicked")) == (5, 5)


async def test_large_cells_are_counted_by_group_and_link_position(domain: Domain, client: Client) -> None:
    people = {f"p{n}@people.example": ANONYMOUS for n in range(6)}
    groups = dict.fromkeys(list(people)[:5], "sales")
    copies = await send(domain, Mail(to=people, groups=groups))
    first, *_, alone = copies.values()
    await client.ask(first.link(2))
    await client.ask(first.pixel)
    await client.ask(alone.pixel)
    rows = [dict(zip(counts.c.keys(), row, strict=True)) for row in (await dump(domain))["counts"]]
    cells = {(row["scope"], row["grp"], row["kind"], row["position"]) for row in rows}
    assert cells == {
        ("group", "sales", "clicked", 2),
        ("group", "sales", "opened", 0),
        ("month", "", "opened", 0),
    }


async def test_a_prefetch_is_no_sign_of_life(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain, HYGIENE)
    before = await dump(domain)
    await client.ask(copy.pixel, headers={"User-Agent": "Mozilla/5.0"})
    assert await dump(domain) == before
    await client.ask(copy.pixel)
    assert kept(before, await dump(domain)) == "day"


async def test_a_link_of_mail_that_no_store_knows_leads_on_and_leaves_nothing(
    domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain)
    unknown = Copy(
        **{name: getattr(copy, name) for name in copy.__dataclass_fields__} | {"delivery": bytes(16)}
    )
    before = await dump(domain)
    assert (await client.ask(unknown.link(suffix=SUFFIX))).location == URLS[0].encode()
    assert (await client.ask(unknown.pixel)).body == PIXEL
    assert await dump(domain) == before


# --- the log ---


async def test_of_those_who_declined_nothing_is_logged_and_of_others_nobody_is_named(
    domain: Domain, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    copy = await to_joe(domain)
    caplog.set_level("INFO")
    with capture_logs() as said:
        for path in (copy.pixel, copy.link(), copy.page):
            await client.ask(path)
        assert (said, caplog.text) == ([], "")
        await say(domain, JOE, "denied")
        said.clear()
        for path in (copy.pixel, copy.link(), copy.page):
            await client.ask(path)
        await client.choose(copy.page, "decline")
    assert "joe" not in f"{said}{caplog.text}"
    assert copy.delivery.hex() not in f"{said}{caplog.text}"
    assert {one["event"] for one in said} <= {"consent-changed"}


# --- rules ---


async def test_rules_go_by_the_kind_of_mail_the_sender_and_the_country_of_the_person(
    domain: Domain, client: Client
) -> None:
    domain.policy = Policy(presets=("fr-2026", "it-2026"))
    await say(domain, JOE, consent="unknown", country="FR")
    asked_for = await to_joe(domain, message_class="requested", campaign="asked for")
    advert = await to_joe(domain, message_class="marketing", campaign="advert")
    before = await dump(domain)
    await client.ask(advert.pixel)
    assert not changed(before, await dump(domain))
    await client.ask(asked_for.pixel)
    assert set(changed(before, await dump(domain))) == {"contacts"}  # hygiene: one day, and nothing else
    await say(domain, JOE, country="IT")
    before = await dump(domain)
    await client.ask(advert.pixel)
    assert "events" not in changed(before, await dump(domain))


@pytest.mark.parametrize(("country", "kept"), [("IT", ""), ("FR", "Firefox")])
async def test_no_device_is_kept_where_the_policy_says_so(
    domain: Domain, client: Client, country: str, kept: str
) -> None:
    domain.policy = Policy(presets=("it-2026",))
    await say(domain, JOE, consent="granted", country=country)
    copy = await to_joe(domain)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    await client.ask(copy.pixel, headers={"User-Agent": agent})
    (event,) = await domain.events.list()
    assert (event["client"], bool(event["device"]), bool(event["system"])) == (kept, bool(kept), bool(kept))
    assert event["verdict"] == "person"
