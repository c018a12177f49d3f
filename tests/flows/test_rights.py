"""Rights exercised while mail flows: through the real commands, beside a running relay and tracker."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, update
from support.people import GRANTED, Copy, browsing, copies, newsletter, rows, send, statuses, tell
from support.sites import Program, command, domain_of, running, site, until
from support.stores import dump
from support.upstream import ScriptedUpstream, on, say
from support.waiting import nothing_waits

from relay.store.schema import queue
from tracker.consent import Consent
from tracker.store.requests import RequestKind
from tracker.store.schema import attempts, deliveries, events, messages

WENT = "wanda@people.example"
RETRIES = {"first_retry": "300ms", "longest_retry": "300ms"}


async def test_who_is_erased_while_mail_waits_gets_it_untracked_and_is_forgotten_with_it(
    store_kind: str, store_url: str, tmp_path: Path
) -> None:
    greylisted = on("rcpt", say(f"451 4.7.1 <{WENT}> greylisted"), match=WENT)
    async with ScriptedUpstream(greylisted) as upstream:
        later = {"wait_for_upstream": "0s"}
        where = site(tmp_path, store_url, upstream.url, queue=RETRIES, relay=later)
        async with Program(where) as program, domain_of(where) as domain:
            await tell(domain, WENT, Consent.GRANTED)
            await tell(domain, GRANTED, Consent.GRANTED)
            assert (await send(where.smtp_port, newsletter(subject="Dear Wanda"), WENT.upper()))[0] == 250
            assert (await send(where.smtp_port, newsletter(), WENT, GRANTED))[0] == 250
            refused = [WENT, WENT]

            async def were_tried() -> bool:
                tried = {row["delivery_id"] for row in await rows(domain, attempts) if row["code"] == 451}
                return len(tried) == len(refused)

            await until(were_tried, "both were put off")
            before = json.loads(await command(where, "contact", "export", WENT))
            assert [one["address"].lower() for one in before["queue"]] == refused
            assert before["deliveries"][0]["attempts"][0]["text"].startswith(f"<{WENT}>")
            await command(where, "contact", "erase", "--yes", WENT)
            waiting = json.loads(await command(where, "contact", "export", WENT))
            assert (waiting["status"], len(waiting["queue"])) == ("erased", 2)
            upstream.rules = ()
            await until(lambda: nothing_waits(domain), "both have left")
            assert await program.stop() == 0
            after = json.loads(await command(where, "contact", "export", WENT))
            assert (after["status"], after["queue"]) == ("erased", [])
            await command(where, "purge")  # as every night, which cuts the write-ahead log
            left = repr(await dump(domain.database)).lower()
        got = [one for one in upstream.received if WENT in [to.lower() for to in one.addresses]]
        assert len(got) == 2
        assert not any(Copy(data=one.data).is_tracked for one in got)
        assert "wanda" not in left
        assert GRANTED in left
        assert "wanda" not in program.log.lower()
    if store_kind == "sqlite":
        file = Path(store_url.removeprefix("sqlite:///"))
        on_disk = b"".join(one.read_bytes() for one in file.parent.glob(f"{file.name}*"))
        assert GRANTED.encode() in on_disk, "this would show nothing"
        assert b"wanda" not in on_disk.lower()


async def test_mail_and_hits_go_on_while_people_are_erased_and_the_past_is_purged(
    store_url: str, tmp_path: Path
) -> None:
    people = [f"{name}@people.example" for name in ("wanda", "wilbur", "wendy", "anna", "berta")]
    gone, anonymous, there = people[:3], people[3], people[4]
    async with ScriptedUpstream() as upstream, browsing() as browser:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain, domain_of(where) as beside:
            for person in people:
                await tell(domain, person, Consent.GRANTED)
            for _ in range(10):
                assert (await send(where.smtp_port, newsletter(), *people))[0] == 250
            early = {id(one): copies([one]) for one in upstream.received}
            for found in early.values():
                for copy in found.values():
                    await browser.read(copy)
            past = datetime.now(UTC) - timedelta(days=1200)
            ids = [row["id"] for row in await rows(domain, messages)][:5]

            def age(connection: Connection) -> None:
                mine = messages.c.id.in_(ids)
                connection.execute(update(messages).where(mine).values(received_at=past))
                connection.execute(update(events).where(events.c.message_id.in_(ids)).values(at=past))

            await domain.database.change(age)
            before = len(upstream.received)

            async def post(number: int) -> None:
                await asyncio.sleep(number * 0.05)
                reply = await send(where.smtp_port, newsletter(subject=f"Number {number}"), *people)
                assert reply[0] == 250, reply

            async def read() -> None:
                for found in early.values():
                    for copy in found.values():
                        await browser.read(copy)

            now = datetime.now(UTC)
            await asyncio.gather(
                *(post(number) for number in range(10)),
                read(),
                *(beside.erasure.erase(person, actor="test", now=now) for person in gone),
                beside.purge.run(now.date()),
                command(where, "contact", "anonymize", "--yes", anonymous),
            )
            arrived = [address for one in upstream.received[before:] for address in one.addresses]
            assert sorted(arrived) == sorted(people * 10), "everybody got every mail once"
            left = await dump(domain.database)
            for person in gone:
                assert person not in repr(left)
            named = {row["id"]: row["recipient"] for row in left[deliveries.name]}
            assert {named.get(row["delivery_id"]) for row in left[events.name]} <= {there}
            assert not {row["message_id"] for row in left[deliveries.name]} & set(ids)
            assert left[queue.name] == []


async def test_an_operator_answers_what_people_ask(store_url: str, tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            await tell(domain, WENT, Consent.GRANTED)
            assert (await send(where.smtp_port, newsletter(), WENT))[0] == 250
            await until(lambda: statuses(domain), "it is on record")
            now = datetime.now(UTC)
            await domain.requests.ask(WENT, RequestKind.EXPORT, now)
            await domain.requests.ask(WENT, RequestKind.ERASE, now)
            asked = json.loads(await command(where, "request", "list", "--json"))
            assert [(one["kind"], one["address"]) for one in asked] == [("export", WENT), ("erase", WENT)]
            file = tmp_path / "wanda.json"
            await command(where, "contact", "export", WENT, "-o", str(file))
            assert len(json.loads(file.read_text())["deliveries"]) == 1
            assert file.stat().st_mode & 0o777 == 0o600
            await command(where, "request", "done", str(asked[0]["id"]), "--note", "sent")
            await command(where, "contact", "erase", "--yes", WENT)
            assert json.loads(await command(where, "request", "list", "--json")) == []
            settled = json.loads(await command(where, "request", "list", "--all", "--json"))
            assert [(one["state"], one["address"], one["note"]) for one in settled] == [
                ("done", None, ""),
                ("done", None, ""),
            ]
