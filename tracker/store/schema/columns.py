"""What tables are made of: one `metadata`, moments, keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def moment_text(value: datetime | None) -> str | None:
    """As SQLite's DateTime writes it, in less time."""
    if value is None:
        return None
    if value.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    value = value if value.tzinfo is UTC else value.astimezone(UTC)
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")


def moment_of(text: str | None) -> datetime | None:
    """What `moment_text` wrote."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


class Moment(TypeDecorator[datetime]):
    """An aware datetime; kept in UTC on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        value = value if value.tzinfo is UTC else value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


Id = LargeBinary(16)
BigId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts only plain INTEGER keys by itself."""


def key(name: str, kind: Any = Id) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False)
