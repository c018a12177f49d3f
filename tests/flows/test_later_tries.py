"""What is written of tries, where something other than upstream goes wrong: the store, ourselves, the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs
from support.people import rows, statuses
from support.sites import site, until
from support.submissions import submission
from support.waiting import nothing_waits

from relay.config import load
from relay.outcome import Outcome, Status
from relay.personalize import Tracking
from relay.replies import Reply
from relay.service import Relay
from relay.store.schema import queue, spool
from relay.submission import Client
from relay.unsaved import Saving
from relay.upstream import Transaction
from tracker.domain import Domain
from tracker.errors import StoreUnavailable
from tracker.store.schema import deliveries, messages

GOOD, LATER, NEVER = "good@people.example", "later@people.example", "never@people.example"
_CODES = {Status.ACCEPTED: 250, Status.DEFERRED: 451, Status.BOUNCED: 550}
_STATUSES = {LATER: Status.DEFERRED, NEVER: Status.BOUNCED}
HASH = "$argon2id$v=19$m=65536,t=3,p=4$abc$abc"


class Upstream:
    """Answers by recipient; `statuses` may be changed, and `send` may fail."""

    def __init__(self) -> None:
        self.statuses = dict(_STATUSES)
        self.sent: list[Transaction] = []
        self.error: Exception | None = None

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        if self.error is not None:
            raise self.error
        self.sent.append(transaction)
        return tuple(map(self._answer, (one.address for one in transaction.recipients)))

    def _answer(self, address: str) -> Outcome:
        status = self.statuses.get(address, Status.ACCEPTED)
        reply = Reply(code=_CODES[status], detail="1.1", text="so it is")
        return Outcome(status=status, reply=reply, host="mx.example:25", at=datetime.now(UTC))

    async def close(self, *, grace: float) -> None: ...

    def contents(self, address: str) -> list[bytes]:
        return [
            b"".join(one.content) for one in self.sent if address in [to.address for to in one.recipients]
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A relay without its listeners."""

    domain: Domain
    relay: Relay
    upstream: Upstream

    async def deliver(self, *people: str, **envelope: Any) -> Reply:
        return await self.relay.delivery.deliver(submission(*people, **envelope))

    def work(self) -> None:
        self.relay._worker.start()

    async def hurry(self) -> None:
        """What waits is due now."""
        await self.domain.database.change(
            lambda connection: connection.execute(update(queue).values(due_at=0.0)) and None
        )
        self.relay.delivery.wake()


@asynccontextmanager
async def node(folder: Path, store_url: str, upstream: Upstream, **tables: Any) -> AsyncIterator[Node]:
    where = site(folder, store_url, "smtp://127.0.0.1:1", **tables)
    config = load(where.config_file)
    domain = await Domain.open(config)
    relay = Relay(config, domain)
    relay.delivery.upstream = upstream
    try:
        yield Node(domain=domain, relay=relay, upstream=upstream)
    finally:
        await relay._worker.stop(grace=1.0)
        await relay.delivery.close(grace=1.0)
        await relay._queue.release()
        await domain.close()


async def holds(check: Callable[[], bool]) -> bool:
    return check()


async def test_an_error_of_ours_in_writing_an_outcome_holds_nobody_for_ever(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path, store_url, Upstream()) as here:
        assert (await here.deliver(GOOD, LATER)).code == 250

        def broken(*_: object, **__: object) -> None:
            raise ValueError

        held = here.relay._queue._held
        with monkeypatch.context() as patched, capture_logs() as said:
            patched.setattr(here.relay.delivery.settlement, "_finishing", broken)
            await here.hurry()
            here.work()
            await until(lambda: holds(lambda: len(here.upstream.contents(LATER)) == 2), "it was tried again")
            await until(lambda: holds(lambda: not held), "nobody is held")
        assert "outcome-lost" in [line["event"] for line in said]
        assert [row["address"] for row in await rows(here.domain, queue)] == [LATER]


async def test_an_error_of_ours_in_what_is_written_later_loses_only_that(
    store_url: str, tmp_path: Path
) -> None:
    async with node(tmp_path, store_url, Upstream()) as here:
        unsaved = here.relay.delivery.settlement.unsaved
        saved: list[str] = []

        def saving(name: str, error: Exception | None) -> Any:
            async def save() -> None:
                if error is not None:
                    raise error
                saved.append(name)

            return Saving(message_id=name, ids=(), save=save)

        unsaved.waiting += [saving("bad", ValueError()), saving("good", None)]
        await unsaved.save_some(list(unsaved.waiting))
        assert (saved, unsaved.waiting) == (["good"], [])


async def test_who_has_no_outcome_expires_too_and_the_sender_hears_of_it(
    store_url: str, tmp_path: Path
) -> None:
    short = {"queue": {"first_retry": "100ms", "longest_retry": "100ms", "lifetime": "300ms"}}
    async with node(tmp_path, store_url, Upstream(), **short) as here:
        assert (await here.deliver(GOOD, LATER)).code == 250
        here.upstream.error = RuntimeError()
        here.work()

        async def bounced() -> bool:
            return (await statuses(here.domain)).get(LATER) == "bounced"

        await until(bounced, "it has expired")
        here.upstream.error = None
        await here.hurry()
        await until(lambda: nothing_waits(here.domain), "the queue is empty")
        (report,) = here.upstream.contents("news@shop.example")
        assert b"Status: 4.4.7" in report


async def test_a_report_kept_too_late_is_taken_back_with_the_rest(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(tmp_path, store_url, Upstream()) as here:
        write = here.domain.database.write

        async def late(*statements: Any, **options: Any) -> None:
            await write(*statements, **options)
            monkeypatch.undo()
            raise StoreUnavailable

        record = here.relay.delivery.settlement.record

        async def recorded(*arguments: Any) -> bool:
            done = await record(*arguments)
            monkeypatch.setattr(here.domain.database, "write", late)
            return done

        monkeypatch.setattr(here.relay.delivery.settlement, "record", recorded)
        assert (await here.deliver(GOOD, NEVER)).code == 451
        assert await rows(here.domain, queue) == []
        assert await rows(here.domain, spool) == []
        assert len(await rows(here.domain, messages)) == 1
        assert len(await rows(here.domain, deliveries)) == 2


@pytest.mark.parametrize("today", ["full", "none", None])
async def test_a_later_try_asks_for_no_more_than_the_user_may_today(
    store_url: str, tmp_path: Path, today: str | None
) -> None:
    def users(track: str | None) -> dict[str, Any]:
        return {"user": [{"name": "shop", "password_hash": HASH, "track": track}] if track else []}

    upstream = Upstream()
    client = Client(address="127.0.0.1", helo="shop.example", user="shop")
    async with node(tmp_path, store_url, upstream, relay=users("full")) as here:
        assert (await here.deliver(GOOD, LATER, client=client)).code == 250
    upstream.statuses.clear()
    async with node(tmp_path, store_url, upstream, relay=users(today)) as here:
        await here.hurry()
        here.work()
        await until(lambda: nothing_waits(here.domain), "the queue is empty")
    first, second = (b"/c/" in content for content in upstream.contents(LATER))
    assert first
    assert second == (today == "full")


async def test_what_is_untouchable_today_is_not_tracked_by_a_later_try(
    store_url: str, tmp_path: Path
) -> None:
    upstream = Upstream()
    data = b"DKIM-Signature: x\r\n" + submission("x@y.example").data
    async with node(tmp_path, store_url, upstream, dkim={"foreign_signatures": "remove"}) as here:
        assert (await here.deliver(GOOD, LATER, data=data)).code == 250
    upstream.statuses.clear()
    async with node(tmp_path, store_url, upstream) as here:
        await here.hurry()
        here.work()
        await until(lambda: nothing_waits(here.domain), "the queue is empty")
        found = {row["recipient"]: row for row in await rows(here.domain, deliveries)}
        assert (found[LATER]["mode"], found[LATER]["reason"]) == ("untracked", "signed-dkim")
        assert found[GOOD]["mode"] == "identified"


@pytest.mark.parametrize("when", ["at once", "mixed", "later"])
async def test_a_plain_copy_for_want_of_a_tracked_one_is_on_record_as_that(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def broken(*_: object) -> str:
        raise ValueError

    async with node(tmp_path, store_url, Upstream()) as here:
        if when == "later":
            assert (await here.deliver(GOOD, LATER)).code == 250
            here.upstream.statuses.clear()
        monkeypatch.setattr(Tracking, "url", broken)
        people = {"at once": (GOOD,), "mixed": (GOOD, NEVER)}
        if when == "later":
            await here.hurry()
            here.work()
            await until(lambda: nothing_waits(here.domain), "the queue is empty")
        else:
            assert (await here.deliver(*people[when])).code == 250
        address = LATER if when == "later" else GOOD
        found = {row["recipient"]: row for row in await rows(here.domain, deliveries)}
        row = found[address]
        assert (row["mode"], row["reason"], row["opens"], row["status"]) == (
            "untracked",
            "copy-failed",
            False,
            "accepted",
        )
        if when == "mixed":
            assert found[NEVER]["reason"] != "copy-failed"
