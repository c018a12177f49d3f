"""A program with another key ring than the store's must not start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.stores import dump
from support.tracking import configuration, opened

from tracker.config import TokensTable
from tracker.domain import Domain
from tracker.errors import KeyRingError
from tracker.keyring import load_or_create, rotate
from tracker.store.database import Database
from tracker.store.ringkeys import agree
from tracker.tokens import KeyRing

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


async def test_the_ring_the_store_knows_may_come_back_and_may_have_grown(
    database: Database, ring: KeyRing, tmp_path: Path
) -> None:
    await agree(database, ring, "keys.toml", NOW)
    await agree(database, ring, "keys.toml", NOW)
    grown = rotate(tmp_path / "keys.toml")
    await agree(database, grown, "keys.toml", NOW)
    # Not least because it is known from now on: the ring as it was lacks a key in use.
    with pytest.raises(KeyRingError, match=grown.newest.id.hex()):
        await agree(database, ring, "keys.toml", NOW)


async def test_a_ring_that_lacks_a_key_in_use_is_refused_by_name(
    database: Database, ring: KeyRing, tmp_path: Path
) -> None:
    await agree(database, ring, "keys.toml", NOW)
    other = load_or_create(tmp_path / "other.toml")
    with pytest.raises(KeyRingError) as caught:
        await agree(database, other, "/etc/candor/keys.toml", NOW)
    assert "/etc/candor/keys.toml" in str(caught.value)
    assert ring.newest.id.hex() in str(caught.value)
    await agree(database, ring, "keys.toml", NOW)


async def test_no_ring_is_made_beside_a_store_that_knows_another(store_url: str, tmp_path: Path) -> None:
    config = configuration(store_url, tmp_path)
    async with opened(config):
        pass
    elsewhere = tmp_path / "elsewhere" / "keys.toml"
    lost = config.model_copy(update={"tokens": TokensTable(keys_file=str(elsewhere))})
    with pytest.raises(KeyRingError, match="there is no key ring"):
        await Domain.open(lost)
    assert not elsewhere.exists()


async def test_a_ring_with_another_permanent_secret_is_refused(database: Database, ring: KeyRing) -> None:
    await agree(database, ring, "keys.toml", NOW)
    with pytest.raises(KeyRingError, match=r"/etc/candor/keys\.toml: \[permanent\]"):
        await agree(database, replace(ring, permanent=b"p" * 32), "/etc/candor/keys.toml", NOW)
    await agree(database, ring, "keys.toml", NOW)
    assert ring.permanent.hex() not in repr(await dump(database)).lower()
