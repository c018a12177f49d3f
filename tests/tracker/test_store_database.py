"""The engine: shared transactions, shared questions, and callers who never wait for a database that is away."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sqlite3
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, text
from support.stores import PostgresServer, no_thread_beside, slow

from tracker.errors import StoreError, StoreUnavailable
from tracker.store.database import Breaker, Database
from tracker.store.schema import attempts, mailings

_INSERT = insert(mailings)
_INSERT_ATTEMPT = insert(attempts)


def mailing(number: int, name: str = "spring") -> dict[str, Any]:
    return {"id": number.to_bytes(16, "big"), "kind": "campaign", "name": name, "sender": "a@example.com"}


def inserted(number: int, name: str = "spring") -> Any:
    return _INSERT, [mailing(number, name)]


def stored(connection: Connection) -> set[int]:
    return {int.from_bytes(row.id, "big") for row in connection.execute(select(mailings.c.id))}


def one(connection: Connection) -> int:
    return int(connection.execute(text("SELECT 1")).scalar_one())


@asynccontextmanager
async def opened(url: str, *, ask_within: float = 20, write_within: float = 30) -> AsyncIterator[Database]:
    database = await Database.open(url, ask_within=ask_within, write_within=write_within)
    try:
        yield database
    finally:
        await database.close()


async def test_what_the_log_holds_is_brought_in_beside_the_commits(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    async with opened(f"sqlite:///{file}") as database:
        before = file.stat().st_size
        for start in range(0, 3000, 1000):
            await database.write(
                (_INSERT, [mailing(number, "x" * 50) for number in range(start, start + 1000)])
            )
        async with asyncio.timeout(30):
            while file.stat().st_size == before:
                await asyncio.sleep(0.01)
        pages = await database.change(
            lambda found: found.execute(text("PRAGMA wal_autocheckpoint")).scalar_one()
        )
        assert (
            file.with_name("store.db-wal").stat().st_size < pages * 4096
        )  # so it was not the writer's doing
        assert len(await database.read(stored)) == 3000


async def test_the_log_begins_anew_while_there_is_always_something_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_FULL_LOG", 200), ("_CHECKPOINTS_APART", 0.01), ("_CHECKPOINT_AFTER", 50)):
        monkeypatch.setattr(f"tracker.store.sqlite.{name}", value)
    file, numbers, rows = tmp_path / "store.db", itertools.count(), 20
    async with opened(f"sqlite:///{file}") as database:

        async def keep_writing() -> None:
            for _ in range(80):
                await database.write((_INSERT, [mailing(next(numbers), "x" * 3000) for _ in range(rows)]))

        await asyncio.gather(*(keep_writing() for _ in range(3)))
        assert file.with_name("store.db-wal").stat().st_size < next(numbers) * 3000 / 2


async def until_back(*breakers: Breaker) -> None:
    async with asyncio.timeout(30):
        while any(breaker.tripped for breaker in breakers):
            await asyncio.sleep(0.02)


# Writes


async def test_writes_that_wait_together_share_a_transaction(database: Database) -> None:
    used = await asyncio.gather(
        *(database.change(lambda connection: connection.get_transaction()) for _ in range(300)),
        *(database.write(inserted(number)) for number in range(300)),
    )
    assert len({id(transaction) for transaction in used[:300]}) <= 3
    assert await database.read(stored) == set(range(300))


async def test_who_may_wait_shares_with_those_who_come_a_moment_later(database: Database) -> None:
    def together(_: Connection, items: list[str]) -> list[list[str]]:
        return [items] * len(items)

    async def write(name: str) -> list[str]:
        return await database.together(together, name, may_wait=True)

    assert await asyncio.gather(*map(write, "abc")) == [["a", "b", "c"]] * 3
    first = asyncio.create_task(write("d"))
    await asyncio.sleep(0)
    assert await write("e") == await first == ["d", "e"]


async def test_a_write_is_on_disk_when_it_returns(database: Database, store_url: str) -> None:
    await database.write(inserted(1), (_INSERT, [mailing(2), mailing(3)]), (_INSERT, []))
    async with opened(store_url) as other:
        assert await other.read(stored) == {1, 2, 3}


async def test_the_statements_of_one_write_stand_or_fall_together(database: Database) -> None:
    await database.write(inserted(1))
    with pytest.raises(StoreError):
        await database.write(inserted(2), inserted(1))
    assert await database.read(stored) == {1}


BAD_ROWS = {
    "a row there is already": (_INSERT, [mailing(0)]),
    "text that is no UTF-8": (_INSERT, [mailing(900, "\udcff")]),
    "a number too large": (
        _INSERT_ATTEMPT,
        [
            {
                "delivery_id": bytes(16),
                "at": None,
                "status": "",
                "host": "",
                "tls": None,
                "code": 2**70,
                "enhanced": "",
                "text": "",
            }
        ],
    ),
    "a value of the wrong kind": (_INSERT, [mailing(901) | {"name": object()}]),
    "a column left empty": (_INSERT, [mailing(902) | {"name": None}]),
    "a table that is not there": (text("INSERT INTO nowhere VALUES (:a)"), [{"a": 1}]),
}


@pytest.mark.parametrize("case", BAD_ROWS)
async def test_one_bad_row_fails_only_its_owner(database: Database, case: str) -> None:
    await database.write(inserted(0))
    results = await asyncio.gather(
        *(database.write(inserted(number)) for number in range(1, 20)),
        database.write(BAD_ROWS[case]),
        *(database.write(inserted(number)) for number in range(20, 40)),
        return_exceptions=True,
    )
    [error] = [result for result in results if result is not None]
    assert isinstance(error, StoreError)
    assert not isinstance(error, StoreUnavailable)
    assert await database.read(stored) == set(range(40))
    assert not database.writes.tripped


async def test_what_a_driver_says_of_a_value_is_not_passed_on(database: Database) -> None:
    secret = "bob@example.com"
    queries = (
        (_INSERT_ATTEMPT, [{"delivery_id": secret}]),
        (text("INSERT INTO mailings (id, kind) VALUES (:a, :b)"), [{"a": secret, "b": 3}]),
        (text("SELECT CAST(CAST(:a AS TEXT) AS INTEGER) / 0, json(:a)"), [{"a": secret}]),
    )
    for query in queries:
        with pytest.raises(StoreError) as caught:
            await database.write(query)
        assert secret not in str(caught.value)


async def test_a_change_gives_what_its_function_returns_and_raises_what_it_raises(database: Database) -> None:
    def refuse(connection: Connection) -> None:
        connection.execute(_INSERT, [mailing(7)])
        raise KeyError("mine")

    results = await asyncio.gather(
        database.change(one), database.change(refuse), database.write(inserted(1)), return_exceptions=True
    )
    assert results[0] == 1
    assert isinstance(results[1], KeyError)
    assert await database.read(stored) == {1}


async def test_a_change_that_many_share_is_made_once_and_fails_only_its_owner(database: Database) -> None:
    calls: list[int] = []

    def add(connection: Connection, numbers: list[int]) -> list[int]:
        calls.append(len(numbers))
        connection.execute(_INSERT, [mailing(number) for number in numbers])
        return [number * 2 for number in numbers]

    doubled = await asyncio.gather(*(database.together(add, number) for number in range(1, 101)))
    assert doubled == [number * 2 for number in range(1, 101)]
    assert len(calls) <= 3
    results = await asyncio.gather(
        *(database.together(add, number) for number in (101, 1, 102)), return_exceptions=True
    )
    assert [one if isinstance(one, int) else type(one) for one in results] == [202, StoreError, 204]
    assert await database.read(stored) == set(range(1, 103))


async def test_a_write_whose_caller_has_gone_is_not_begun(database: Database) -> None:
    first = asyncio.create_task(database.change(slow))
    await asyncio.sleep(0)
    gone = asyncio.create_task(database.write(inserted(1)))
    await asyncio.sleep(0)
    gone.cancel()
    stays = asyncio.create_task(database.write(inserted(2)))
    await asyncio.gather(first, stays)
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await database.read(stored) == {2}


async def test_a_transaction_ended_for_a_deadlock_is_run_again(store_url: str, store_kind: str) -> None:
    if store_kind == "sqlite":  # has one writer at a time, so there is nothing to end
        return

    def renamed(first: int, second: int) -> Any:
        def rename(connection: Connection) -> None:
            connection.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            for number in (first, second):
                connection.execute(
                    mailings.update().where(mailings.c.id == number.to_bytes(16, "big")).values(name="x")
                )
                connection.execute(text("SELECT pg_sleep(0.2)"))

        return rename

    async with opened(store_url) as left, opened(store_url) as right:
        await left.write(inserted(1), inserted(2))
        await asyncio.gather(left.change(renamed(1, 2)), right.change(renamed(2, 1)))
        assert not left.writes.tripped
        assert not right.writes.tripped


# Reads


async def test_questions_that_wait_together_are_asked_once(database: Database) -> None:
    asked: list[list[int]] = []

    def fetch(connection: Connection, keys: list[int]) -> dict[int, int]:
        asked.append(sorted(keys))
        return {key: key * one(connection) for key in keys if key % 2}

    reader = database.coalesced(fetch)
    answers = await asyncio.gather(*(reader.get((number, 7)) for number in range(100)))
    assert answers == [{key: key for key in (number, 7) if key % 2} for number in range(100)]
    assert len(asked) <= 2
    assert all(7 in keys for keys in asked)


async def test_more_keys_than_a_statement_holds_are_asked_in_parts(database: Database) -> None:
    asked: list[int] = []

    def fetch(connection: Connection, keys: list[int]) -> dict[int, bool]:
        asked.append(len(keys))
        found = connection.execute(
            select(mailings.c.id).where(mailings.c.id.in_([bytes([k % 256]) for k in keys]))
        )
        assert found.all() == []
        return dict.fromkeys(keys, True)

    assert len(await database.coalesced(fetch).get(range(2000))) == 2000
    assert sum(asked) == 2000
    assert max(asked) < 999


async def test_one_bad_key_fails_only_who_asked_for_it(database: Database) -> None:
    def fetch(connection: Connection, keys: list[int]) -> dict[int, float]:
        return {key: 1 / key for key in keys if one(connection)}

    reader = database.coalesced(fetch)
    answers = await asyncio.gather(*(reader.get((number,)) for number in range(5)), return_exceptions=True)
    assert isinstance(answers[0], ZeroDivisionError)
    assert answers[1:] == [{number: 1 / number} for number in range(1, 5)]
    assert not database.reads.tripped


async def test_a_reader_who_left_takes_no_answer_from_the_others(database: Database) -> None:
    reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
    tasks = [asyncio.create_task(reader.get((number,))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[2]] == [{0: 1}, {2: 1}]


async def test_a_read_raises_what_its_function_raises(database: Database) -> None:
    def work(connection: Connection) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await database.read(work)
    with pytest.raises(StoreError):
        await database.read(lambda connection: connection.execute(text("SELECT nonsense")))
    assert not database.reads.tripped


# A database that is away

WAIT = {"ask_within": 1.0, "write_within": 1.2}


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    """A server that tests may stop and kill."""
    server = PostgresServer()
    yield server
    server.close()


async def refused_at_once(database: Database, *, reads: bool = True) -> None:
    """Everything is refused, and so quickly that nobody can have waited their time out."""
    reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            await database.write(inserted(99))
        for work in (reader.get((1,)), database.read(one)) if reads else ():
            with pytest.raises(StoreUnavailable):
                await work
    assert time.monotonic() - began < 60  # waiting for each would take minutes


async def test_a_locked_sqlite_file_refuses_writers_in_time_and_readers_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "candor.db"
    async with opened(f"sqlite:///{file}", **WAIT) as database:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        refused = await asyncio.gather(
            *(database.write(inserted(number)) for number in range(10)), return_exceptions=True
        )
        assert all(isinstance(one, StoreUnavailable) for one in refused)
        assert database.writes.tripped
        await refused_at_once(database, reads=False)
        assert await database.read(one) == 1
        holder.execute("COMMIT")
        holder.close()
        await until_back(database.writes)
        await database.write(inserted(50))
        assert await database.read(stored) == {50}


async def test_a_sqlite_file_taken_for_itself_by_another_cannot_be_opened_and_later_can(
    tmp_path: Path,
) -> None:
    file = tmp_path / "candor.db"
    async with opened(f"sqlite:///{file}", **WAIT):
        pass
    holder = sqlite3.connect(file, isolation_level=None)
    for statement in ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "DELETE FROM mailings", "COMMIT"):
        holder.execute(statement)
    with pytest.raises(StoreUnavailable, match=r"cannot open the store sqlite:.*locked"):
        await Database.open(f"sqlite:///{file}", **WAIT)
    holder.close()
    async with opened(f"sqlite:///{file}", **WAIT):
        pass


@pytest.mark.parametrize("way", ["hang", "kill"])
async def test_a_postgresql_that_is_away_refuses_in_time_and_is_found_again(
    mortal: PostgresServer, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = await mortal.create()
    async with opened(url, **WAIT) as database:
        reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
        await asyncio.gather(
            reader.get((1,)), database.write(inserted(1)), *(database.read(one) for _ in range(5))
        )
        if way == "hang":
            mortal.hang()
        else:
            mortal.kill()
        try:
            refused = await asyncio.gather(
                *(reader.get((number,)) for number in range(5)),
                *(database.write(inserted(number)) for number in range(10, 15)),
                *(database.read(one) for _ in range(5)),
                return_exceptions=True,
            )
            assert [type(one) for one in refused] == [StoreUnavailable] * 15
            await refused_at_once(database)
            await asyncio.sleep(1.2)  # long enough for a probe to fail
            await refused_at_once(database)
        finally:
            mortal.resume() if way == "hang" else mortal.restart()
        await until_back(database.reads, database.writes)
        assert await reader.get((1,)) == {1: 1}
        await database.write(inserted(50))
        assert {1, 50} <= await database.read(stored)
        assert await mortal.sessions(url) <= 12
    await nobody_left(mortal, url)
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def nobody_left(server: PostgresServer, url: str) -> None:
    async with asyncio.timeout(20):
        while await server.sessions(url):
            await asyncio.sleep(0.02)


async def test_a_server_that_is_not_there_is_said_to_be_away(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await Database.open(f"postgresql://candor:hunter2@/candor?host={tmp_path}", **WAIT)
    assert "hunter2" not in str(caught.value)
    assert "postgresql://candor:…@" in str(caught.value)


async def test_a_folder_that_cannot_be_made_is_said_to_be_away(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", encoding="ascii")
    with pytest.raises(StoreUnavailable, match="cannot open the store"):
        await Database.open(f"sqlite:///{tmp_path / 'data' / 'candor.db'}", **WAIT)


async def test_a_file_that_is_no_database_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "candor.db").write_bytes(b"not a database " * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await Database.open(f"sqlite:///{tmp_path / 'candor.db'}", **WAIT)


@pytest.mark.parametrize("name", ["a b.db", "ä.db", "50%.db", "a#b.db"])
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    async with opened(f"sqlite:///{tmp_path / name}") as database:
        await database.write(inserted(1))
    assert (tmp_path / name).stat().st_size > 0


async def test_a_breaker_outlives_whatever_its_probe_raises() -> None:
    raised = [OSError("gone"), ValueError("strange"), TimeoutError()]

    async def probe() -> None:
        if raised:
            raise raised.pop()

    breaker = Breaker("reads", probe, patience=1.0)
    breaker.trip("a test")
    with pytest.raises(StoreUnavailable):
        breaker.check()
    await until_back(breaker)
    breaker.check()
    assert raised == []


# Closing


async def test_closing_leaves_no_task_and_no_thread(store_url: str) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    database = await Database.open(store_url, ask_within=20, write_within=30)
    reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
    await asyncio.gather(
        *(database.read(one) for _ in range(10)), database.write(inserted(1)), reader.get((1,))
    )
    database.reads.trip("a test")
    await database.close()
    assert asyncio.all_tasks() == tasks
    no_thread_beside(threads)


async def test_closing_finishes_what_was_handed_over(database: Database, store_url: str) -> None:
    reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
    slowly = asyncio.create_task(database.change(slow))
    writing = [asyncio.create_task(database.write(inserted(number))) for number in range(5)]
    asking = asyncio.create_task(reader.get((1,)))
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(slowly, *writing) == [None] * 6
    assert await asking == {1: 1}
    async with opened(store_url) as again:
        assert await again.read(stored) == set(range(5))


async def test_a_closed_store_refuses_and_opens_nothing(database: Database) -> None:
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    reader = database.coalesced(lambda connection, keys: dict.fromkeys(keys, one(connection)))
    await database.close()
    for work in (database.write(inserted(1)), database.change(one), database.read(one), reader.get((1,))):
        with pytest.raises(StoreUnavailable, match="closed"):
            await work
    database.reads.trip("too late")
    assert asyncio.all_tasks() <= tasks
    no_thread_beside(threads)


async def test_closing_does_not_wait_for_ever_on_a_server_that_hangs(mortal: PostgresServer) -> None:
    url = await mortal.create()
    database = await Database.open(url, **WAIT)
    await asyncio.gather(*(database.read(one) for _ in range(5)))
    mortal.hang()
    try:
        writing = asyncio.create_task(database.write(inserted(1), within=60))
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await database.close()
        with pytest.raises(StoreUnavailable):
            await writing
    finally:
        mortal.resume()
    await nobody_left(mortal, url)


async def test_a_thousand_rows_in_one_write_arrive(database: Database) -> None:
    await database.write((_INSERT, [mailing(number) for number in range(1000)]))
    assert (
        await database.read(lambda c: c.execute(select(func.count()).select_from(mailings)).scalar()) == 1000
    )


async def test_nobody_else_on_the_machine_may_read_the_store(tmp_path: Path) -> None:
    file = tmp_path / "new" / "candor.db"
    database = await Database.open(f"sqlite:///{file}")
    await database.read(lambda connection: connection.execute(text("SELECT 1")))
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()}
    await database.close()
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(modes) >= 2
    assert set(modes.values()) == {0o600}
