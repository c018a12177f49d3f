"""The tables as the code knows them are the tables the migrations make."""

from __future__ import annotations

import asyncio
import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from support.stores import dump, no_thread_beside

import relay.store.schema
import tracker.store.schema
from tracker.errors import StoreError, StoreUnavailable
from tracker.store.database import Database

SCHEMAS = (tracker.store.schema.metadata, relay.store.schema.metadata)


def test_no_table_is_claimed_by_both_packages() -> None:
    assert set(SCHEMAS[0].tables) & set(SCHEMAS[1].tables) == set()


async def test_the_migrations_make_the_tables_of_both_packages_and_no_others(empty_store_url: str) -> None:
    both = MetaData(naming_convention=SCHEMAS[0].naming_convention)
    for schema in SCHEMAS:
        for table in schema.tables.values():
            table.to_metadata(both)

    def differences(connection: Connection) -> object:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, both)

    database = await Database.open(empty_store_url, ask_within=20, write_within=30)
    try:
        assert await database.read(differences) == []
        both.remove(both.tables["events"])
        assert await database.read(differences) != []
    finally:
        await database.close()


async def test_processes_that_start_on_an_empty_store_at_once_all_find_the_tables(
    empty_store_url: str,
) -> None:
    databases = await asyncio.gather(
        *(Database.open(empty_store_url, ask_within=20, write_within=30) for _ in range(4))
    )
    try:
        for database in databases:
            assert (await dump(database))["contacts"] == []
    finally:
        for database in databases:
            await database.close()


async def test_a_store_of_a_newer_release_is_refused_and_left_alone(store_url: str) -> None:
    database = await Database.open(store_url, ask_within=20, write_within=30)
    await database.change(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    )
    await database.close()
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    with pytest.raises(StoreError, match=r"newer release \(revision 9999\)") as caught:
        await Database.open(store_url, ask_within=20, write_within=30)
    assert not isinstance(caught.value, StoreUnavailable)
    assert asyncio.all_tasks() == tasks
    no_thread_beside(threads)
