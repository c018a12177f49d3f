"""Brings a database to the tables this release works with: the one chain of migrations of both packages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from tracker.errors import StoreError

_LOCK = 0x63616E646F72  # "candor": PostgreSQL's advisory locks are numbers


def upgrade(connection: Connection) -> None:
    """Runs what is missing, in the connection's transaction, while other processes that start wait their turn.

    Raises StoreError when the database is newer than this program."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    known, head = _chain()
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in known:
        raise StoreError(
            f"the store was upgraded by a newer release (revision {current}); use that release or newer"
        )
    if current != head:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@cache
def _chain() -> tuple[frozenset[str], str | None]:
    """Every revision there is, and the last. The migrations are read once in a process, not with every store."""
    script = ScriptDirectory.from_config(_config())
    return frozenset(one.revision for one in script.walk_revisions()), script.get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
