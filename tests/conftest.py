"""What every test may ask for: a key ring, and a real store on each database.

`store_url` and `database` run a test twice, on SQLite and on PostgreSQL. `store_url` names a fresh store whose tables
are there already; `empty_store_url` one that has none; `database` is `store_url` opened, and closed afterwards.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.stores import PostgresServer, Stores

from tracker.keyring import load_or_create
from tracker.store.database import Database
from tracker.tokens import KeyRing

# A busy machine must not fail a test that is only slow. A property is put to the same examples each time, so that what
# fails has to do with what was changed; `make soak` looks at others (`--hypothesis-profile chance`).
settings.register_profile("candor", deadline=None, derandomize=True, database=None)
settings.register_profile("chance", deadline=None, print_blob=True)
settings.load_profile("candor")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: nobody need look for garbage among it, neither now nor in every test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """A key ring, in `tmp_path / "keys.toml"`."""
    return load_or_create(tmp_path / "keys.toml")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server. Others use it too: who wants to stop it starts one of their own."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Makes stores; the server is started when the first test wants it."""
    return Stores(tmp_path_factory.mktemp("stores"), lambda: request.getfixturevalue("postgres"))


@pytest.fixture(params=["sqlite", "postgresql"])
def store_kind(request: pytest.FixtureRequest) -> str:
    """Which database this run of the test is for."""
    kind: str = request.param
    return kind


@pytest.fixture
async def store_url(store_kind: str, stores: Stores, tmp_path: Path) -> AsyncIterator[str]:
    """A fresh store with its tables, as `[store] url` names it."""
    async with stores.fresh(store_kind, tmp_path) as url:
        yield url


@pytest.fixture
async def empty_store_url(store_kind: str, stores: Stores, tmp_path: Path) -> AsyncIterator[str]:
    """A store in which nothing is yet, not even tables."""
    async with stores.empty(store_kind, tmp_path) as url:
        yield url


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[Database]:
    """A store open for the test. Its limits are so wide that a busy machine does not reach them."""
    database = await Database.open(store_url, ask_within=20, write_within=30)
    yield database
    await database.close()
