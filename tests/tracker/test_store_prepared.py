"""What is run on the driver itself does what SQLAlchemy would do."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, bindparam, insert, select, text, update
from sqlalchemy.dialects import sqlite
from support.deliveries import NOW, a_delivery, a_message, id_of, record

from tracker.errors import StoreError
from tracker.store.database import Database
from tracker.store.prepared import IDEMPOTENT, execute
from tracker.store.question import Question
from tracker.store.schema import Moment, deliveries, mailings, messages, moment_of, moment_text

_ZONES = st.timezones() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_FIRST, _LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
_OF_IDS = Question(
    select(
        messages.c.id,
        messages.c.received_at,
        messages.c.tags,
        messages.c["class"].label("kind"),
        messages.c.kept,
    ).where(messages.c.id.in_(bindparam("ids", expanding=True)))
)
_OF_EITHER = Question(
    select(deliveries.c.id, deliveries.c.opens, deliveries.c.accepted_at).where(
        deliveries.c.recipient.in_(bindparam("addresses", expanding=True))
        | deliveries.c.id.in_(bindparam("ids", expanding=True))
    )
)

_SINCE = Question(
    select(deliveries.c.id, (deliveries.c.status != "sent").label("is_other")).where(
        deliveries.c.status != "nonsense",
        deliveries.c.updated_at >= bindparam("since", type_=Moment),
        deliveries.c.id.in_(bindparam("ids", expanding=True)),
    )
)


@given(st.datetimes(_FIRST, _LAST, timezones=_ZONES) | st.none())
def test_a_moment_is_written_as_sqlalchemy_writes_it(value: datetime | None) -> None:
    dialect = sqlite.dialect()  # type: ignore[no-untyped-call]
    theirs = Moment().dialect_impl(dialect).bind_processor(dialect)
    assert theirs is not None
    assert moment_text(value) == theirs(value)


@given(st.datetimes(_FIRST, _LAST, timezones=_ZONES) | st.none())
def test_a_moment_is_read_as_sqlalchemy_reads_it(value: datetime | None) -> None:
    dialect = sqlite.dialect()  # type: ignore[no-untyped-call]
    theirs = Moment().dialect_impl(dialect).result_processor(dialect, None)
    assert theirs is not None
    assert moment_of(moment_text(value)) == theirs(moment_text(value))


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        moment_text(datetime(2026, 5, 1))  # noqa: DTZ001


async def both(database: Database, question: Question, **lists: Any) -> tuple[set[Any], set[Any]]:
    """What the question is answered, and what SQLAlchemy's own execution is."""

    def ask(connection: Connection) -> tuple[set[Any], set[Any]]:
        ours = question.rows(connection, **lists)
        theirs = connection.execute(question._query, lists).all()
        assert len(ours) == len(theirs)
        return {repr(tuple(row)) for row in ours}, {repr(tuple(row)) for row in theirs}

    return await database.read(ask)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7, 40])
async def test_a_question_is_answered_as_sqlalchemy_answers_it(database: Database, number: int) -> None:
    for one in range(1, number + 1):
        kept = ((),) if one % 2 else ()
        await record(database, a_message(one, tags=("a", "ä"), message_class="news", kept=kept))
    ours, theirs = await both(database, _OF_IDS, ids=[id_of(one) for one in range(number + 3)])
    assert ours == theirs
    assert len(ours) == number


async def test_a_question_may_have_several_lists(database: Database) -> None:
    people = [a_delivery(one, f"p{one}@example.org") for one in range(1, 8)]
    await record(database, a_message(), *people)
    for addresses, ids in (
        (["p1@example.org"], [id_of(n) for n in (2, 3, 4, 99)]),
        (["x", "p5@example.org"], [id_of(6)]),
    ):
        ours, theirs = await both(database, _OF_EITHER, addresses=addresses, ids=ids)
        assert ours == theirs
        assert len(ours) in {2, 4}


@pytest.mark.parametrize(("later", "number"), [(timedelta(0), 3), (timedelta(microseconds=1), 0)])
async def test_a_question_may_ask_since_a_moment_and_have_constants(
    database: Database, later: timedelta, number: int
) -> None:
    await record(database, a_message(), *(a_delivery(one) for one in (1, 2, 3)))
    since = (NOW + later).astimezone(timezone(timedelta(hours=3)))
    ours, theirs = await both(database, _SINCE, ids=[id_of(one) for one in range(5)], since=since)
    assert ours == theirs
    assert len(ours) == number


async def test_columns_are_attributes_in_their_own_types(database: Database) -> None:
    await record(database, a_message(tags=("x",), message_class="news"))
    [row] = await database.read(lambda connection: _OF_IDS.rows(connection, ids=[id_of(1)]))
    assert (bytes(row.id), row.received_at, row.tags, row.kind) == (id_of(1), NOW, ["x"], "news")
    assert row.received_at.tzinfo is not None


async def test_what_was_never_to_be_a_parameter_keeps_its_value(database: Database) -> None:
    """`"later"` and the join of both names are constants of the statement."""
    await record(database, a_message(), a_delivery(1), a_delivery(2))
    change = (
        update(deliveries)
        .where(deliveries.c.id == bindparam("b_id"), deliveries.c.status == "returned")
        .values(status="later", grp=bindparam("b_grp"))
    )
    rows = [{"b_id": id_of(one), "b_grp": f"g{one}"} for one in (1, 2, 3)]
    await database.change(lambda connection: execute(connection, [(change, rows)]))
    found = await database.read(
        lambda connection: connection.execute(
            select(deliveries.c.status, deliveries.c.grp).order_by(deliveries.c.position)
        ).all()
    )
    assert [tuple(row) for row in found] == [("later", "g1"), ("later", "g2")]


async def test_rows_that_are_alike_are_run_once_where_that_is_said(database: Database) -> None:
    row = {"id": id_of(1), "kind": "campaign", "name": "spring", "sender": "a@example.com"}
    statement = insert(mailings)
    with pytest.raises(StoreError):
        await database.write((statement, [row, row]))
    once = statement.execution_options(**{IDEMPOTENT: True})
    await database.write((once, [row, dict(row)]), (once, [row]))
    assert len(await database.read(lambda connection: connection.execute(select(mailings)).all())) == 1


@pytest.mark.parametrize("value", ["bob@example.com", datetime(2026, 5, 1), 3])  # noqa: DTZ001
async def test_a_value_that_fits_no_column_is_refused_without_being_told(
    database: Database, value: Any
) -> None:
    statement = (
        update(messages).where(messages.c.id == bindparam("b_id")).values(received_at=bindparam("b_at"))
    )
    with pytest.raises(StoreError) as caught:
        await database.write((statement, [{"b_id": id_of(1), "b_at": value}]))
    assert str(value) not in str(caught.value)


_ENDLESS = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_question_that_is_given_up_is_broken_off(database: Database) -> None:
    """As many as there are readers, each without end: the next would otherwise wait for ever."""
    for _ in range(2):
        given_up = await asyncio.gather(
            *(
                database.read(lambda connection: connection.execute(_ENDLESS).all(), within=0.2)
                for _ in range(8)
            ),
            return_exceptions=True,
        )
        assert {type(one).__name__ for one in given_up} == {"StoreUnavailable"}
    assert await database.read(lambda connection: connection.execute(text("SELECT 7")).scalar_one()) == 7


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_readers_are_few_and_none_is_started_without_need(database: Database) -> None:
    def here(connection: Connection) -> str:
        time.sleep(0.1)  # nobody else's turn meanwhile
        return threading.current_thread().name + str(threading.get_ident())

    assert len({await database.read(here) for _ in range(3)}) == 1
    assert 1 < len(set(await asyncio.gather(*(database.read(here) for _ in range(20))))) <= 6


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_two_processes_writers_take_turns(database: Database, store_url: str) -> None:
    other = await Database.open(store_url, ask_within=20, write_within=30)
    order: list[int] = []

    async def keep_writing(which: int, store: Database) -> None:
        for _ in range(60):
            await store.change(lambda connection: connection.execute(text("SELECT 1")).close())
            order.append(which)

    try:
        await asyncio.gather(keep_writing(0, database), keep_writing(1, other))
    finally:
        await other.close()
    assert {0, 1} == set(order[:60])
