"""Whose turn it is: periodic jobs as rows, each done by one process at a time.

A process takes a job that is due by one statement, and holds it for a while that it prolongs as it works; when it dies,
the hold runs out and another goes on. Times are the database's own, so that nodes whose clocks differ agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, text, update
from sqlalchemy.sql.elements import ColumnElement

from tracker.store.schema import Moment, jobs

_KNOW = text(
    "INSERT INTO jobs (name, due_at, holder, held_until, failures) VALUES (:name, :now, '', :now, 0)"
    " ON CONFLICT (name) DO NOTHING"
).bindparams(bindparam("now", type_=Moment))


def database_time(connection: Connection) -> datetime:
    """Now, by the database's clock; on SQLite to the second."""
    now: datetime = connection.execute(select(func.current_timestamp(type_=Moment))).scalar_one()
    return now


def claim(connection: Connection, name: str, *, holder: str, now: datetime, hold: timedelta) -> bool:
    """Takes the job when it is due and nobody is at it. One that was never done is due."""
    connection.execute(_KNOW, {"name": name, "now": now})
    free = (jobs.c.name == name) & (jobs.c.due_at <= now) & (jobs.c.held_until <= now)
    taken = connection.execute(update(jobs).where(free).values(holder=holder, held_until=now + hold))
    return taken.rowcount == 1


def prolong(connection: Connection, name: str, *, holder: str, until: datetime) -> bool:
    """Goes on holding it. False when somebody else has taken it."""
    held = connection.execute(update(jobs).where(_ours(name, holder)).values(held_until=until))
    return held.rowcount == 1


def keep(connection: Connection, name: str, *, holder: str, now: datetime, until: datetime) -> bool:
    """Takes a job that is always due, or goes on holding it. False when somebody else has it."""
    connection.execute(_KNOW, {"name": name, "now": now})
    free = (jobs.c.holder == holder) | (jobs.c.held_until <= now)
    held = connection.execute(
        update(jobs).where((jobs.c.name == name) & free).values(holder=holder, held_until=until, done_at=now)
    )
    return held.rowcount == 1


def done(connection: Connection, name: str, *, holder: str, now: datetime, due_at: datetime) -> None:
    """It is done, and due again then."""
    connection.execute(
        update(jobs)
        .where(_ours(name, holder))
        .values(holder="", held_until=now, done_at=now, due_at=due_at, failures=0)
    )


def failed(connection: Connection, name: str, *, holder: str, now: datetime, due_at: datetime) -> None:
    """It did not succeed, and is tried again then."""
    connection.execute(
        update(jobs)
        .where(_ours(name, holder))
        .values(holder="", held_until=now, due_at=due_at, failures=jobs.c.failures + 1)
    )


def give_back(connection: Connection, name: str, *, holder: str, now: datetime) -> None:
    """Lets go of it unfinished: it is as due as it was."""
    connection.execute(update(jobs).where(_ours(name, holder)).values(holder="", held_until=now))


def done_at(connection: Connection, name: str) -> datetime | None:
    """When it was last done; None for never."""
    return connection.execute(select(jobs.c.done_at).where(jobs.c.name == name)).scalar_one_or_none()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as all processes know it."""

    name: str
    due_at: datetime
    is_held: bool
    """Somebody is at it now."""
    done_at: datetime | None
    """None for never."""
    failures: int
    """In a row."""


def states(connection: Connection) -> list[JobState]:
    """All jobs that were ever due."""
    now = database_time(connection)
    return [
        JobState(
            name=row.name,
            due_at=row.due_at,
            is_held=row.holder != "" and row.held_until > now,
            done_at=row.done_at,
            failures=row.failures,
        )
        for row in connection.execute(select(jobs).order_by(jobs.c.name))
    ]


def failures(connection: Connection, name: str) -> int:
    """How often in a row it failed."""
    return connection.execute(select(jobs.c.failures).where(jobs.c.name == name)).scalar_one_or_none() or 0


def _ours(name: str, holder: str) -> ColumnElement[bool]:
    return (jobs.c.name == name) & (jobs.c.holder == holder)
