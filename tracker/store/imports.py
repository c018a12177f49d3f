"""How far each file of contacts is taken down."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select, text

from tracker.store.schema import Moment, imports

_NOTE = text(
    "INSERT INTO imports (digest, rows, updated_at) VALUES (:digest, :rows, :now)"
    " ON CONFLICT (digest) DO UPDATE SET rows = excluded.rows, updated_at = excluded.updated_at"
).bindparams(bindparam("now", type_=Moment))


def taken(connection: Connection, digest: bytes) -> int:
    """Rows of the file with this digest that are taken down; 0 for one never seen."""
    query = select(imports.c.rows).where(imports.c.digest == digest)
    return int(connection.execute(query).scalar_one_or_none() or 0)


def note(connection: Connection, digest: bytes, rows: int, now: datetime) -> None:
    """So many are now, as part of the transaction that takes them down."""
    connection.execute(_NOTE, {"digest": digest, "rows": rows, "now": now})
