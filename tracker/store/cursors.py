"""Reading every event once, in the order of their ids, though they need not be committed in that order.

On PostgreSQL an id is given before its transaction is over, so a reader that goes on from the highest id it saw may
pass one by. So an id is come to only when every transaction that was open as it was first seen is over
(`txid_current_snapshot`), and some time has passed. On SQLite there is one writer at a time.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, text, update

from tracker.store.schema import cursors, events

_MOST_AHEAD = 20
_OPEN = text(
    "SELECT txid_snapshot_xmin(txid_current_snapshot()) AS oldest, txid_snapshot_xmax(txid_current_snapshot()) AS next"
)


class Stretch(NamedTuple):
    """Events with ids above `after`, up to `until`: all of them are there."""

    after: int
    until: int


def stretch(
    connection: Connection, name: str, *, now: datetime, settled_after: timedelta, forget_after: timedelta
) -> Stretch:
    """What may be read now: events that were first seen at least `settled_after` ago. A reader that is new, or was away
    for longer than `forget_after`, begins with what comes from now on."""
    row = connection.execute(select(cursors).where(cursors.c.name == name).with_for_update()).one_or_none()
    highest = connection.execute(select(func.max(events.c.id))).scalar_one() or 0
    if row is None:
        new: dict[str, Any] = {"name": name, "done": highest, "ahead": [], "updated_at": now}
        connection.execute(insert(cursors).values(new))
        return Stretch(highest, highest)
    done, ahead = row.done, [tuple(one) for one in row.ahead]
    if now - row.updated_at > forget_after:
        done, ahead = highest, []
    oldest, following = _transactions(connection)
    if highest > (ahead[-1][0] if ahead else done):
        ahead = [*ahead[: _MOST_AHEAD - 1], (highest, following, now.timestamp())]
    until = done
    while ahead and ahead[0][1] <= oldest and ahead[0][2] <= (now - settled_after).timestamp():
        until = int(ahead.pop(0)[0])
    # What is ready stays ready: it is kept as come to, and read again should we die before `read` is noted.
    ahead = [*([(until, 0, 0.0)] if until > done else []), *ahead]
    _write(connection, name, {"done": done, "ahead": [list(one) for one in ahead], "updated_at": now})
    return Stretch(done, until)


def read(connection: Connection, name: str, until: int) -> None:
    """Everything up to this id was read."""
    row = connection.execute(select(cursors).where(cursors.c.name == name).with_for_update()).one_or_none()
    if row is not None and row.done < until:
        ahead = [one for one in row.ahead if one[0] > until]
        _write(connection, name, {"done": until, "ahead": ahead})


def _transactions(connection: Connection) -> tuple[int, int]:
    """The oldest that is open, and the one that would be next."""
    if connection.dialect.name != "postgresql":
        return 0, 0
    found = connection.execute(_OPEN).one()
    return int(found.oldest), int(found.next)


def _write(connection: Connection, name: str, values: dict[str, Any]) -> None:
    connection.execute(update(cursors).where(cursors.c.name == name).values(values))
