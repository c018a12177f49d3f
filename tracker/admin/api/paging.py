"""Cursors: where a list goes on, as a word for programs to give back. They hold no address."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tracker.admin.api.problems import Trouble, Wrong
from tracker.reports.lists import Place

_PLACE = re.compile(r"([0-9]{1,17})-([0-9a-f]{32})(?:-([0-9]{1,9}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def number(cursor: str | None) -> int:
    """Behind which id, or how many, a list goes on; 0 at its beginning. Raises Trouble."""
    if cursor is None:
        return 0
    if not re.fullmatch("[0-9]{1,18}", cursor):
        raise _not_ours()
    return int(cursor)


def place(cursor: str | None) -> Place | None:
    """Behind which message or delivery. Raises Trouble."""
    if cursor is None:
        return None
    match = _PLACE.fullmatch(cursor)
    if match is None:
        raise _not_ours()
    try:
        at = _EPOCH + timedelta(microseconds=int(match[1]))
    except OverflowError:
        raise _not_ours() from None
    return Place(received_at=at, message=bytes.fromhex(match[2]), position=int(match[3] or -1))


def placed(received_at: datetime, message: bytes, position: int | None = None) -> str:
    """The cursor behind this one."""
    at = (received_at - _EPOCH) // timedelta(microseconds=1)
    return f"{at}-{message.hex()}" + ("" if position is None else f"-{position}")


def _not_ours() -> Trouble:
    reason = "is none that this list gave"
    return Trouble(422, f"the cursor {reason}", errors=[Wrong(where="query", field="cursor", reason=reason)])
