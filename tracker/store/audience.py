"""The audience of a mailing: the persons whom upstream took a copy for that counts without a name.

Deliveries would be the wrong measure: five messages of one campaign to one person, or five spellings of one address,
are still one person, and a copy that nobody got hides nobody. Members stand under a key that means something only
within the mailing; no hit ever touches these rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from tracker.consent import Mode
from tracker.store.database import Statement
from tracker.store.schema import Id, audience_members, messages
from tracker.tokens import KeyRing, person_key

_JOIN = text(
    "INSERT INTO audience_members (mailing_id, mode, person_key, grp)"
    " SELECT messages.mailing_id, deliveries.mode, deliveries.person_key, COALESCE(deliveries.grp, '')"
    " FROM deliveries JOIN messages ON messages.id = deliveries.message_id"
    " WHERE deliveries.id = :id AND deliveries.person_key IS NOT NULL"
    " AND deliveries.mode IN ('anonymous', 'aggregate')"
    " ON CONFLICT (mailing_id, mode, person_key) DO NOTHING"
).bindparams(bindparam("id", type_=Id))
_LEAVE = (
    delete(audience_members)
    .where(audience_members.c.mailing_id == bindparam("b_mailing_id"))
    # Named, so that the key of the table leads to the one row: an audience may be everybody.
    .where(
        or_(audience_members.c.mode == Mode.ANONYMOUS.value, audience_members.c.mode == Mode.AGGREGATE.value)
    )
    .where(audience_members.c.person_key == bindparam("b_person_key"))
)


def joining(accepted: Iterable[bytes]) -> Statement:
    """The statement that counts the persons of these deliveries in, as far as their copies count without a name."""
    return _JOIN, [{"id": one} for one in accepted]


def leaving(connection: Connection, theirs: Iterable[tuple[bytes, bytes | None]]) -> None:
    """Takes a person out of the audiences they are in by these deliveries: message and person key of each."""
    keys = {message: key for message, key in theirs if key is not None}
    query = select(messages.c.id, messages.c.mailing_id).where(messages.c.id.in_(keys))
    rows = [
        {"b_mailing_id": row.mailing_id, "b_person_key": keys[bytes(row.id)]}
        for row in connection.execute(query)
    ]
    if rows:
        connection.execute(_LEAVE, rows)


def parting(connection: Connection, address: str, among: Sequence[bytes], ring: KeyRing) -> None:
    """Takes the person (address in normal form) out of the audiences of these mailings, whatever is known of what they
    were sent."""
    rows = [{"b_mailing_id": one, "b_person_key": person_key(one, address, ring)} for one in among]
    if rows:
        connection.execute(_LEAVE, rows)


def reaches(connection: Connection, mailing: bytes, mode: Mode, least: int, group: str | None = None) -> bool:
    """Whether so many persons are in it; in one of its groups, when named. Reads no more rows than it must."""
    query = select(audience_members.c.grp).where(*_of(mailing, mode))
    if group is not None:
        query = query.where(audience_members.c.grp == group)
    return len(connection.execute(query.limit(least)).all()) >= least


def in_small_groups(connection: Connection, mailing: bytes, least: int) -> int:
    """How many persons the groups have together that are too small to be counted apart."""
    size = func.count().label("size")
    query = select(size).where(*_of(mailing, Mode.ANONYMOUS)).group_by(audience_members.c.grp)
    return sum(row.size for row in connection.execute(query.having(size < least)))


def _of(mailing: bytes, mode: Mode) -> tuple[ColumnElement[bool], ...]:
    return audience_members.c.mailing_id == mailing, audience_members.c.mode == mode.value
