"""Nobody can tell which of two people of one cell clicked, whatever they get hold of: not from the database, nor from
its write-ahead log, nor from any other file we keep, nor from a log at its most talkative.

Two runs that differ in nothing but who clicked are compared octet by octet. What would differ between any two runs is
made the same: the clock is the test's own, and whatever is drawn by lot is drawn from the same dice. What SQLite makes
up for itself is left out: the salts and checksums of its log, which say nothing of what is in it, and its `-shm` file,
which is an index of that log in memory.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, update
from structlog.testing import capture_logs
from support.mail import multipart, part
from support.stores import Stores, dump
from support.virtual import START, House

from relay.config import Config
from tracker.config import StoreTable, TokensTable, TrackerTable
from tracker.config.tables import AnonymityTable
from tracker.consent import Consent, DoNotTrack
from tracker.statements import Statement
from tracker.store.register import Source
from tracker.store.schema import ring_keys

PEOPLE = tuple(f"donna{number}@people.example" for number in range(5))
BODY = (
    '<p><a href="https://shop.example/apples">apples</a> <a href="https://shop.example/pears">pears</a></p>'
)
KEYS = "keys.toml"
WAL_HEADER, FRAME_HEADER = 32, 24

CELLS: dict[str, tuple[Sequence[str], int]] = {
    "their group": (["sales"] * 5, 5),
    "small groups together": (["sales", "sales", "board", "", "press"], 5),
    "the sender's month": (["sales"] * 2, 5),
    "nobody to hide among": ([""], 5),
}
"""Groups of the people who get the mail, and the least number that is counted apart. In the last there is only one, who
opens once or twice: this shows that the comparison sees what there is to be seen."""


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> Iterator[random.Random]:
    dice = random.Random(1)
    monkeypatch.setattr(secrets, "token_bytes", dice.randbytes)
    return dice


@pytest.mark.parametrize("cell", list(CELLS)[:3])
async def test_two_runs_that_differ_in_who_clicked_leave_the_same(
    cell: str, store_kind: str, stores: Stores, tmp_path: Path, dice: random.Random
) -> None:
    first, second = [
        await left_by(tmp_path / name, store_kind, stores, dice, cell=cell, clicker=clicker)
        for name, clicker in (("one", 0), ("two", 1))
    ]
    assert first.keys() == second.keys()
    for what, seen in first.items():
        assert seen == second[what], f"{what} tells them apart"
    assert [row["n"] for row in first["table counts"]], "this would show nothing"


async def test_a_click_more_would_be_seen(
    store_kind: str, stores: Stores, tmp_path: Path, dice: random.Random
) -> None:
    first, second = [
        await left_by(tmp_path / name, store_kind, stores, dice, cell="nobody to hide among", clicks=clicks)
        for name, clicks in (("one", 1), ("two", 2))
    ]
    different = {what for what, seen in first.items() if seen != second[what]}
    files = {"candor.db-wal"} if store_kind == "sqlite" else set()
    assert different == {"table counts", *files}


async def left_by(
    folder: Path,
    store_kind: str,
    stores: Stores,
    dice: random.Random,
    *,
    cell: str,
    clicker: int = 0,
    clicks: int = 1,
) -> dict[str, Any]:
    """All that is left when one of these people has read their mail: every table, file and line of the log."""
    folder.mkdir()
    keys = folder.parent / KEYS
    if keys.exists():  # sealed with the same keys, a link is the same
        (folder / KEYS).write_bytes(keys.read_bytes())
    async with stores.fresh(store_kind, folder) as store_url:
        with capture_logs() as log:
            # A loop of its own goes on there.
            left = await asyncio.to_thread(_read, folder, store_url, dice, cell, clicker, clicks)
    left["the log"] = [{key: value for key, value in line.items() if key != "url"} for line in log]
    keys.write_bytes((folder / KEYS).read_bytes())
    return left


def _read(
    folder: Path, store_url: str, dice: random.Random, cell: str, clicker: int, clicks: int
) -> dict[str, Any]:
    groups, least = CELLS[cell]
    people = PEOPLE[: len(groups)]
    house = House()
    house.open(
        Config(
            tracker=TrackerTable(
                listen="127.0.0.1:0", public_url="http://t.example.com", answer_within="20s"
            ),
            store=StoreTable(url=store_url, ask_within="20s", write_within="30s"),
            tokens=TokensTable(keys_file=str(folder / KEYS)),
            anonymity=AnonymityTable(min_group=least),
        )
    )
    dice.seed(2)

    def at_the_same_time(connection: Connection) -> None:
        connection.execute(update(ring_keys).values(first_used=START))

    try:
        house.run(house.domain.database.change(at_the_same_time))
        house.run(house.domain.database.forget())
        for person, group in zip(people, groups, strict=True):
            said = Statement(
                address=person, consent=Consent.GRANTED, do_not_track=DoNotTrack.TRUE, group=group
            )
            register = house.domain.register
            house.run(register.record([said], source=Source.API, actor="test", now=house.clock.tick()))
        data = multipart(part(BODY), header="From: news@shop.example\r\nSubject: Apples\r\n")
        reply, _ = house.post(data, people, sender="news@shop.example", user=None)
        assert reply.code == 250
        copy = house.shelf.got[people[clicker]]
        for _ in range(clicks):
            house.clock.tick()
            for url in (*copy.pixels, *copy.links):
                assert house.ask(url).status in (200, 302)
        left: dict[str, Any] = {
            f"table {name}": rows for name, rows in house.run(dump(house.domain.database)).items()
        }
        # Before anything is closed: the log of an SQLite database is gone then.
        return left | {file.name: _octets(file) for file in folder.iterdir() if file.suffix != ".db-shm"}
    finally:
        house.close()


def _octets(file: Path) -> Any:
    """What stands in it; of SQLite's write-ahead log, page by page in the order in which they were written."""
    octets = file.read_bytes()
    if file.suffix != ".db-wal":
        return octets
    page_size = struct.unpack(">I", octets[8:12])[0]
    size = FRAME_HEADER + page_size
    frames = [octets[at : at + size] for at in range(WAL_HEADER, len(octets), size)]
    return [(struct.unpack(">II", frame[:8]), frame[FRAME_HEADER:]) for frame in frames]
