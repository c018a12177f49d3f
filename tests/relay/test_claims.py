"""Whose turn it is: by indexes alone, however much waits, and no domain before all others."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from support.submissions import addressed, submission

from relay.config import QueueTable
from relay.queue import Queue
from relay.store import claims
from relay.store.claims import Share
from relay.store.schema import queue, spool
from relay.store.spool import Waiting
from tracker.store.database import Database

NOW = 1_000_000_000.0
"""Long ago for the database's clock."""
_INSERT_SPOOL, _INSERT_QUEUE = insert(spool), insert(queue)


async def fill(
    database: Database, domain: str, messages: int, *, due_at: float = NOW, size: int = 10
) -> None:
    """So many messages of one recipient each, the later ones due later."""
    ids = [secrets.token_bytes(16) for _ in range(messages)]
    stored = [
        {
            "message_id": one,
            "sender": "s@shop.example",
            "data": b"x" * size,
            "received_at": submission("a@b.example").received_at,
            "client": {"address": "", "helo": "", "user": None, "tls": None, "esmtp": True},
            "envelope": {"smtputf8": False, "eight_bit": False, "envid": None, "ret": None},
        }
        for one in ids
    ]
    waiting = [
        {
            "delivery_id": secrets.token_bytes(16),
            "message_id": one,
            "position": 0,
            "address": f"a@{domain}",
            "notify": "",
            "orcpt": None,
            "domain": domain,
            "state": "waiting",
            "tries": 0,
            "queued_at": NOW,
            "due_at": due_at + number,
            "lease": "",
            "delay_told": False,
        }
        for number, one in enumerate(ids)
    ]
    await database.write((_INSERT_SPOOL, stored), (_INSERT_QUEUE, waiting), within=60)


def domains(share: Share) -> list[str]:
    return [waiting.recipient.address.partition("@")[2] for one in share.claimed for waiting in one.waiting]


@pytest.fixture
def mine(database: Database) -> Queue:
    return Queue(database, QueueTable())


async def test_what_waits_longest_comes_first(database: Database, mine: Queue) -> None:
    await fill(database, "late.example", 3, due_at=NOW + 100)
    await fill(database, "early.example", 3)
    share = await mine.claim(4)
    assert domains(share) == ["early.example"] * 3 + ["late.example"]
    assert share.more
    assert domains(await mine.claim(4)) == ["late.example"] * 2


async def test_a_domain_with_much_mail_does_not_keep_the_others_waiting(
    database: Database, mine: Queue
) -> None:
    await fill(database, "bad.example", 2000)
    others = [f"good{number:02}.example" for number in range(25)]
    for domain in others:
        await fill(database, domain, 1, due_at=NOW + 1_000_000)
    seen: list[str] = []
    for _ in range(6):
        share = await mine.claim(10)
        assert len(share.claimed) == 10
        seen += domains(share)
    assert set(others) <= set(seen)
    assert seen.count("bad.example") >= 25, "nor is it passed over"


async def test_a_crowded_domain_is_passed_over(database: Database, mine: Queue) -> None:
    await fill(database, "bad.example", 200)
    await fill(database, "good.example", 2, due_at=NOW + 1_000_000)
    crowded: Collection[str] = {"bad.example"}
    assert domains(await mine.claim(10, crowded=crowded)) == ["good.example"]
    assert domains(await mine.claim(10, crowded=crowded)) == ["good.example"]
    assert domains(await mine.claim(10, crowded=crowded)) == []


async def test_no_more_is_taken_into_memory_than_fits(
    database: Database, mine: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "MOST_OCTETS", 2500)
    await fill(database, "one.example", 5, size=1000)
    assert len((await mine.claim(10)).claimed) == 2
    await fill(database, "huge.example", 1, due_at=0, size=10_000)
    assert domains(await mine.claim(10)) == ["huge.example"]


async def test_every_question_goes_by_an_index_however_much_waits(database: Database, mine: Queue) -> None:
    for number in range(10):
        await fill(database, f"d{number}.example", 2000)
    await database.change(analyzed, within=60)
    asked: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        asked.append((arguments[2], arguments[3]))

    engines = database.engines
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    assert len((await mine.claim(20)).claimed) == 20
    await mine.renew()
    assert await mine.next_due() is not None
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    about_queue = [(sql, values) for sql, values in asked if "queue" in sql]
    assert len(about_queue) >= 6
    for sql, values in about_queue:
        plan = await plan_of(database, sql, values)
        assert not any(line.startswith(("SCAN queue", "SCAN q ", "SCAN spool")) for line in plan), (sql, plan)
        assert not any("TEMP B-TREE" in line for line in plan), (sql, plan)
        assert not (sql.startswith("UPDATE") and any("ix_queue_state" in line for line in plan)), (sql, plan)
        assert not any("Seq Scan on queue" in line for line in plan), (sql, plan)
        assert not any("Sort" in line and "LIMIT" in sql for line in plan), (sql, plan)


def analyzed(connection: Any) -> None:
    connection.execute(text("ANALYZE"))


async def plan_of(database: Database, sql: str, values: Any) -> list[str]:
    explain = "EXPLAIN QUERY PLAN " if database.dialect == "sqlite" else "EXPLAIN "
    first = values[0] if isinstance(values, list) else values

    def ask(connection: Any) -> list[str]:
        rows = connection.exec_driver_sql(explain + sql, first).all()
        return [str(row[-1]).strip() for row in rows]

    return await database.change(ask)


async def test_recipients_of_one_message_come_together(database: Database, mine: Queue) -> None:
    people = [addressed(f"p{number}@d{number}.example", position=number) for number in range(30)]
    message = submission(*(one.recipient for one in people))
    waiting = [
        Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient) for one in people
    ]
    await database.write(*mine.keeping(message, waiting, mine=False, tried=False))
    (claimed,) = (await mine.claim(5)).claimed
    assert [one.position for one in claimed.waiting] == list(range(30))
