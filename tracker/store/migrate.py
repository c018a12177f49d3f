"""Brings a database to the tables this release works with: the one chain of migrations of both packages."""

from __future__ import annotations

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
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"the store was upgraded by a newer release (revision {current}); use that release or newer"
        )
    if current != script.get_current_head():
        command.upgrade(config, "head")
