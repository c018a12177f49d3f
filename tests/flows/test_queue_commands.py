"""`candor queue …` beside a relay that runs: what waits is shown, steered and given up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from support.commands import Result, call
from support.people import SENDER, newsletter, rows, send, statuses
from support.sites import Site, running, site, until
from support.upstream import Rule, ScriptedUpstream, lose, on, say, slow
from support.waiting import nothing_waits

from relay.store.schema import queue, spool
from tracker.domain import Domain
from tracker.store.schema import attempts

ANN, BOB, CY = "ann@one.example", "bob@two.example", "Cy@TWO.example"
LATER = on("rcpt", say("451 4.2.0 Later, please"), times=3)
OTHER = "friend@shop.example"


class Desk:
    """A relay with three recipients who wait: Ann and Bob of one message, Cy of another from somebody else."""

    def __init__(self, where: Site, domain: Domain, upstream: ScriptedUpstream) -> None:
        self.where, self.domain, self.upstream = where, domain, upstream

    async def candor(self, *arguments: str, input: str | None = None) -> Result:
        full = ("queue", *arguments, "--config", str(self.where.config_file))
        return await asyncio.to_thread(call, *full, input=input)

    async def waiting(self, *arguments: str) -> list[str]:
        found = (await self.candor("list", "--json", *arguments)).json
        return [one["recipient"] for one in found["waiting"]]

    async def states(self) -> dict[str, str]:
        return {row["address"]: row["state"] for row in await rows(self.domain, queue)}

    def got(self, address: str) -> list[bytes]:
        return [one.data for one in self.upstream.received if address in one.addresses]


@asynccontextmanager
async def desk(
    folder: Path, store_url: str, *rules: Rule, mail: bool = True, **settings: Any
) -> AsyncIterator[Desk]:
    tables = {"queue": {"first_retry": "1h"} | settings, "relay": {"wait_for_upstream": "0s"}}
    async with ScriptedUpstream(*(rules or (LATER,))) as upstream:
        where = site(folder, store_url, upstream.url, **tables)
        async with running(where) as domain:
            if mail:
                assert (await send(where.smtp_port, newsletter(), ANN, BOB))[0] == 250
                await until(lambda: tried(domain, 2), "the first is tried")
                assert (await send(where.smtp_port, newsletter(), CY, sender=OTHER))[0] == 250
                await until(lambda: tried(domain, 3), "the second is tried")
            yield Desk(where, domain, upstream)


async def tried(domain: Domain, recipients: int) -> bool:
    waiting = await rows(domain, queue)
    return len(waiting) == recipients and all(row["tries"] == 1 for row in waiting)


FILTERS: dict[tuple[str, ...], list[str]] = {
    (): [ANN, BOB, CY],
    ("--domain", "two.example"): [BOB, CY],
    ("--domain", "@Two.Example"): [BOB, CY],
    ("--recipient", "CY@two.example"): [CY],
    ("--sender", SENDER.upper()): [ANN, BOB],
    ("--sender", "@shop.example"): [ANN, BOB, CY],
    ("--sender", "@op.example"): [],
    ("--sender", "<>"): [],
    ("--state", "waiting"): [ANN, BOB, CY],
    ("--state", "held"): [],
    ("--older-than", "1h"): [],
    ("--older-than", "1ms", "--sender", OTHER): [CY],
    ("--limit", "2"): [ANN, BOB],
    ("--limit", "2", "--page", "2"): [CY],
}


async def test_the_list_shows_whom_the_options_say(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        for options, expected in FILTERS.items():
            assert await here.waiting(*options) == expected, options
        (ann,) = (await here.candor("list", "--json", "--recipient", ANN)).json["waiting"]
        assert (ann["sender"], ann["state"], ann["tries"], ann["size"]) == (
            SENDER,
            "waiting",
            1,
            len(newsletter()),
        )
        assert 3000 < ann["next_try"] <= 4000
        assert (ann["last_try"]["code"], ann["last_try"]["text"]) == (451, "Later, please")
        assert await here.waiting(ann["message"][:10]) == [ANN, BOB]
        shown = await here.candor("list")
        assert "451 4.2.0 Later, please" in shown.out
        assert "3 recipients of 2 messages" in shown.out


async def test_one_message_is_shown_with_all_who_wait_and_as_it_came(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        message = (await here.candor("list", "--json", "--recipient", ANN)).json["waiting"][0]["message"]
        found = (await here.candor("show", message[:8], "--json")).json
        assert (found["id"], found["sender"], found["subject"]) == (message, SENDER, "Apples")
        assert [(one["recipient"], one["attempts"][0]["code"]) for one in found["waiting"]] == [
            (ANN, 451),
            (BOB, 451),
        ]
        assert "Later, please" in (await here.candor("show", message)).out
        raw = await here.candor("show", message, "--raw")
        assert raw.out.encode().replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n") == newsletter()


async def test_what_is_held_is_not_tried_until_it_is_released(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        assert (await here.candor("hold", "--domain", "two.example", "--json")).json == {
            "action": "hold",
            "changed": 2,
            "sending": 0,
            "damaged": 0,
        }
        assert (await here.candor("flush", "--json")).json["changed"] == 1
        await until(lambda: both_are_left(here), "the running relay noticed")
        assert here.got(ANN)
        assert await here.waiting("--state", "held") == [BOB, CY]
        (held,) = {
            one["message"] for one in (await here.candor("list", "--recipient", CY, "--json")).json["waiting"]
        }
        told = (await here.candor("retry", held)).out
        assert "held: `candor queue release` lets them go" in told
        shown = (await here.candor("show", held)).out
        assert "{" not in shown
        assert (await here.candor("release", "--recipient", CY)).out == "1 recipient released\n"
        await until(lambda: one_is_left(here), "the released is sent")
        assert here.got(CY)


NOTHING = {
    "retry": ("--recipient", "nobody@two.example"),
    "hold": ("--sender", "@nobody.example", "--yes"),
    "release": ("--state", "held"),
    "drop": ("--older-than", "10d", "--silent", "--yes"),
}


async def test_what_changes_nothing_ends_with_1_and_says_so(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        before = await here.states()
        for verb, options in NOTHING.items():
            told = await here.candor(verb, *options)
            assert (told.code, told.out) == (1, ""), told
            assert told.err.startswith("0 recipients "), told
            assert told.err.endswith(": nobody in the queue matched, or all were so already\n"), told
            assert (await here.candor(verb, *options, "--json")).json["changed"] == 0
        assert await here.states() == before
        message = (await here.candor("list", "--json", "--recipient", CY)).json["waiting"][0]["message"]
        assert (await here.candor("hold", message)).code == 0
        assert (await here.candor("hold", message)).code == 1
        refused = await here.candor("retry", message)
        assert (refused.code, refused.err) == (1, "0 recipients due now: see above\n")
        assert (await here.candor("drop", message, "--silent")).code == 0
        assert (await here.candor("drop", message, "--silent")).code == 1  # there is none of that id
        assert (await here.candor("flush")).code == 0


async def test_flush_of_an_empty_queue_is_no_failure(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url, mail=False) as here:
        flushed = await here.candor("flush")
        assert (flushed.code, flushed.out) == (0, "0 recipients due now\n")


async def both_are_left(here: Desk) -> bool:
    return await here.states() == {BOB: "held", CY: "held"}


async def one_is_left(here: Desk) -> bool:
    return await here.states() == {BOB: "held"}


async def test_what_is_retried_does_not_wait_for_its_turn(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        message = (await here.candor("list", "--json", "--recipient", BOB)).json["waiting"][0]["message"]
        assert (await here.candor("retry", message[:12])).out == "2 recipients due now\n"
        await until(lambda: here.got(BOB), "it is sent")
        await until(lambda: one_waits(here), "only the other waits")


async def one_waits(here: Desk) -> bool:
    return await here.states() == {CY: "waiting"}


@pytest.mark.parametrize("bounce", [True, False])
async def test_what_is_dropped_has_an_outcome_and_its_sender_is_told_if_that_was_said(
    store_url: str, tmp_path: Path, bounce: bool
) -> None:
    async with desk(tmp_path, store_url) as here:
        how = "--bounce" if bounce else "--silent"
        done = await here.candor("drop", "--sender", SENDER, how, "--reason", "not wanted", "--yes")
        assert done.out == "2 recipients dropped\n"
        status = "bounced" if bounce else "skipped"
        found = await statuses(here.domain)
        assert (found[ANN], found[BOB], found[CY.lower()]) == (status, status, "deferred")
        last = [row for row in await rows(here.domain, attempts) if row["status"] == status]
        assert [row["text"] for row in last] == ["Dropped by the operator: not wanted"] * 2
        assert all(row["host"].startswith("operator ") for row in last)
        assert len(await rows(here.domain, spool)) == (2 if bounce else 1)
        if bounce:
            await until(lambda: here.got(SENDER), "the report is sent")
            (report,) = here.got(SENDER)
            assert b"554 5.7.0 Dropped by the operator: not wanted" in report
            assert ANN.encode() in report
            assert BOB.encode() in report
            assert last[0]["host"].encode() not in report
        else:
            assert not here.got(SENDER)


async def test_what_is_being_sent_is_left_to_the_worker(store_url: str, tmp_path: Path) -> None:
    rules = (on("rcpt", slow(3.0), match=ANN), on("rcpt", say("451 4.2.0 Later"), match=BOB))
    async with desk(tmp_path, store_url, *rules, mail=False) as here:
        assert (await send(here.where.smtp_port, newsletter(), ANN, BOB))[0] == 250
        await here.upstream.said("RCPT")
        assert await here.waiting("--state", "sending") == [ANN, BOB]
        dropped = (await here.candor("drop", "--all", "--silent", "--yes", "--json")).json
        assert (dropped["changed"], dropped["sending"]) == (0, 2)
        held = await here.candor("hold", "--all", "--yes")
        assert "2 recipients being sent to now: held after this try" in held.out
        await until(lambda: here.got(ANN), "the try goes on")
        await until(lambda: only_bob_is_held(here), "who was put off is held")
        assert (await statuses(here.domain))[ANN] == "accepted"


async def only_bob_is_held(here: Desk) -> bool:
    found = await rows(here.domain, queue)
    return [(row["address"], row["state"], row["lease"]) for row in found] == [(BOB, "held", "")]


async def test_what_is_damaged_is_shown_and_can_be_tried_again_or_dropped(
    store_url: str, tmp_path: Path
) -> None:
    async with desk(tmp_path, store_url) as here:

        async def envelopes(value: str) -> None:
            statement = text("UPDATE spool SET envelope = :value")
            await here.domain.database.change(
                lambda connection: connection.execute(statement, {"value": value})
            )

        whole = (await rows(here.domain, spool))[0]["envelope"]
        await envelopes('{"colour": 1}')
        await here.candor("flush")
        await until(lambda: all_are(here, "damaged"), "they are set aside")
        assert await here.waiting("--state", "damaged") == [ANN, BOB, CY]
        message = (await here.candor("list", "--json", "--recipient", CY)).json["waiting"][0]["message"]
        assert "colour" in (await here.candor("show", message)).out
        not_told = (await here.candor("drop", "--recipient", CY, "--bounce", "--yes", "--json")).json
        assert (not_told["changed"], not_told["damaged"]) == (0, 1)
        assert (await here.candor("drop", message, "--silent")).out == "1 recipient dropped\n"
        await envelopes(json.dumps(whole))
        assert (await here.candor("release", "--state", "damaged")).out == "2 recipients released\n"
        await until(lambda: nothing_waits(here.domain), "what can be read again is sent")
        assert here.got(ANN)
        assert not here.got(CY)


async def all_are(here: Desk, state: str) -> bool:
    return set((await here.states()).values()) == {state}


async def test_numbers_say_what_waits_where_and_for_how_long(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        older = text("UPDATE queue SET queued_at = queued_at - 7200 WHERE domain = 'one.example'")
        await here.domain.database.change(lambda connection: connection.execute(older))
        found = (await here.candor("stats", "--json")).json
        assert (found["recipients"], found["messages"], found["states"]) == (3, 2, {"waiting": 3})
        assert (found["octets"], found["largest"]) == (2 * len(newsletter()), len(newsletter()))
        assert found["oldest"] > 7200
        assert (found["ages"]["<5m"], found["ages"]["<5h"]) == (2, 1)
        assert [(one["domain"], one["recipients"]) for one in found["domains"]] == [
            ("two.example", 2),
            ("one.example", 1),
        ]
        shown = (await here.candor("stats")).out
        assert "the oldest for 2h" in shown
        await here.candor("drop", "--all", "--silent", "--yes")
        assert (await here.candor("stats")).out == "the queue is empty\n"


WRONG = {
    ("retry",): "say which",
    ("retry", "--all", "--domain", "x.example"): "say which",
    ("hold", "zz"): "expected 32 hex digits, or the first 6 or more",
    ("list", "--older-than", "soon"): "'soon' is no duration",
    ("drop", "--all"): "--bounce or --silent",
    ("list", "12345"): "or the first 6 or more",
    ("release", "0" * 32): "no message",
    ("show", "0" * 32): "no message",
}


async def test_a_wrong_call_says_what_is_wrong_and_changes_nothing(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        before = await rows(here.domain, queue)
        for arguments, words in WRONG.items():
            result = await here.candor(*arguments)
            assert result.code in (1, 2), arguments
            assert words in result.err, arguments
        refused = await here.candor("drop", "--all", "--silent", input="n\n")
        assert refused.code == 1
        assert "drop 3 recipients of 2 messages?" in refused.err
        assert await rows(here.domain, queue) == before


async def test_an_id_that_fits_several_messages_is_refused(store_url: str, tmp_path: Path) -> None:
    async with desk(tmp_path, store_url) as here:
        first, second = sorted({row["message_id"] for row in await rows(here.domain, queue)})
        alike = text("UPDATE queue SET message_id = :new WHERE message_id = :old")
        new = first[:15] + bytes([first[15] ^ 1])
        await here.domain.database.change(
            lambda connection: connection.execute(alike, {"new": new, "old": second})
        )
        result = await here.candor("hold", first.hex()[:20])
        assert result.code == 2
        assert "the beginning of several ids" in result.err
        assert (await here.candor("hold", first.hex())).code == 0


async def test_a_message_tells_what_its_states_mean_and_what_is_in_doubt(
    store_url: str, tmp_path: Path
) -> None:
    rules = LATER, on("dot", lose(), match="<lost@", times=1)
    async with desk(tmp_path, store_url, *rules) as here:
        (ann,) = (await here.candor("list", "--json", "--recipient", ANN)).json["waiting"]
        assert (await send(here.where.smtp_port, newsletter(), OTHER, sender="lost@shop.example"))[0] == 250
        await until(lambda: tried(here.domain, 4), "the lost one is tried")
        arguments = ("message", "show", ann["message"][:6], "--config", str(here.where.config_file))
        shown = await asyncio.to_thread(call, *arguments)
        words = f"deferred: was put off and waits in the queue; `candor queue show {ann['message'][:8]}` says"
        assert words in " ".join(shown.out.split())
        (lost,) = (await here.candor("list", "--json", "--recipient", OTHER)).json["waiting"]
        assert lost["last_try"]["text"].endswith("it had the whole message, which may be sent twice")
        await here.candor("hold", "--recipient", BOB)
        assert "held" in (await here.candor("show", ann["message"][:6])).out
