"""The outage journal on disk: what is in it, what a cut end costs, how large it may grow, and whose a file is."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tracker.errors import JournalError
from tracker.events import EventKind
from tracker.journal import Entry, Journal, take_over, waiting
from tracker.keyring import load, load_or_create, rotate
from tracker.tokens import KeyRing

ROOM = 16_000_000
AT = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
FACTS = '[["person", 1], ["scanner", 1, "too-soon"], "Firefox", "desktop", "Linux"]'


def entry(number: int = 0, *, facts: str = FACTS) -> Entry:
    return Entry(
        kind=(EventKind.OPENED, EventKind.CLICKED)[number % 2],
        delivery=secrets.token_bytes(16),
        link=number,
        at=AT + timedelta(microseconds=number),
        country=("", "FR")[number % 2],
        facts=facts,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
async def journal(folder: Path, ring: KeyRing) -> AsyncIterator[Journal]:
    journal = Journal(folder, ring, most=ROOM)
    yield journal
    await journal.close()


def read(path: Path, ring: KeyRing) -> tuple[list[Entry], bool]:
    """All that waits in a file, and whether its end was cut."""
    reading = take_over(path, ring)
    assert reading is not None
    entries = [one for block in reading.blocks() for one in block]
    reading.close()
    return entries, reading.damaged


async def test_what_goes_in_comes_out_in_order_to_the_microsecond(
    journal: Journal, folder: Path, ring: KeyRing
) -> None:
    batches = [
        [entry(n, facts=f'["é {n % 3}"]') for n in range(start, start + 70)] for start in range(0, 2800, 70)
    ]
    batches.append([entry(n) for n in range(16_000, 18_500 - 2_400)])
    assert [await journal.append(some) for some in batches] == [len(some) for some in batches]
    await journal.let_go()
    [path] = waiting(folder)
    assert read(path, ring) == ([one for some in batches for one in some], False)


async def test_nothing_of_it_can_be_read_without_the_key_ring_nor_by_other_users(
    journal: Journal, folder: Path
) -> None:
    one = entry()
    await journal.append([one] * 50)
    await journal.let_go()
    [path] = waiting(folder)
    octets = path.read_bytes()
    assert one.delivery not in octets
    assert b"Firefox" not in octets
    assert len(set(octets[70:])) > 200  # noise
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_a_key_that_was_rotated_away_still_reads_and_a_strange_one_does_not(
    folder: Path, ring: KeyRing, tmp_path: Path
) -> None:
    journal = Journal(folder, ring, most=ROOM)
    await journal.append([entry()])
    await journal.close()
    [path] = waiting(folder)
    newer = rotate(tmp_path / "keys.toml")
    assert newer.newest.id != ring.newest.id
    assert len(read(path, load(tmp_path / "keys.toml"))[0]) == 1
    with pytest.raises(JournalError, match="key"):
        take_over(path, load_or_create(tmp_path / "others.toml"))
    assert path.exists()


async def test_wherever_a_file_is_cut_what_was_whole_before_is_read(
    journal: Journal, folder: Path, ring: KeyRing
) -> None:
    blocks = [[entry(n) for n in range(size)] for size in (1, 3, 2)]
    ends = []
    for some in blocks:
        await journal.append(some)
        ends.append(waiting(folder)[0].stat().st_size)
    await journal.let_go()
    [path] = waiting(folder)
    octets = path.read_bytes()
    start = ends[0] - (ends[1] - ends[0]) // 2
    for cut in range(start, len(octets) + 1):
        path.write_bytes(octets[:cut])
        whole = sum(end <= cut for end in ends)
        entries, damaged = read(path, ring)
        assert entries == [one for some in blocks[:whole] for one in some], cut
        assert damaged == (cut not in ends), cut


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), to=st.integers(0, 255), more=st.binary(max_size=40))
async def test_a_damaged_file_gives_what_can_be_read_and_nothing_else(
    at: int, to: int, more: bytes, tmp_path: Path, ring: KeyRing
) -> None:
    folder = tmp_path / secrets.token_hex(4)
    journal = Journal(folder, ring, most=ROOM)
    sent = [[entry(n)] for n in range(5)]
    for some in sent:
        await journal.append(some)
    await journal.close()
    [path] = waiting(folder)
    octets = bytearray(path.read_bytes())
    octets[at % len(octets)] = to
    path.write_bytes(bytes(octets) + more)
    try:
        entries, _ = read(path, ring)
    except JournalError:
        return
    everything = [some[0] for some in sent]
    assert entries == [one for one in everything if one in entries]


@pytest.mark.parametrize("which", range(4))
async def test_a_damaged_block_takes_no_other_with_it(
    which: int, journal: Journal, folder: Path, ring: KeyRing
) -> None:
    sent, ends = [[entry(n)] for n in range(4)], list[int]()
    for some in sent:
        await journal.append(some)
        [path] = waiting(folder)
        ends.append(path.stat().st_size)
    await journal.let_go()
    octets = bytearray(path.read_bytes())
    octets[ends[which] - 1] ^= 1
    path.write_bytes(octets)
    assert read(path, ring) == ([some[0] for some in sent[:which] + sent[which + 1 :]], True)


async def test_what_was_stored_is_not_given_again(journal: Journal, folder: Path, ring: KeyRing) -> None:
    blocks = [[entry(n)] for n in range(4)]
    for some in blocks:
        await journal.append(some)
    await journal.let_go()
    [path] = waiting(folder)
    reading = take_over(path, ring)
    assert reading is not None
    given_ = reading.blocks()
    assert [next(given_), next(given_)] == blocks[:2]
    reading.stored()
    reading.close()  # as a process does that is killed
    assert read(path, ring)[0] == [some[0] for some in blocks[2:]]
    reading = take_over(path, ring)
    assert reading is not None
    reading.remove()
    assert waiting(folder) == []


async def test_a_file_belongs_to_one_at_a_time(journal: Journal, folder: Path, ring: KeyRing) -> None:
    await journal.append([entry()])
    [path] = waiting(folder)
    assert take_over(path, ring) is None  # it is being written
    await journal.let_go()
    reading = take_over(path, ring)
    assert reading is not None
    assert take_over(path, ring) is None  # it is being read
    other = Journal(folder, ring, most=ROOM)
    await asyncio.gather(*(one.append([entry(n)]) for n in range(5) for one in (journal, other)))
    assert len(waiting(folder)) == 3
    await other.close()
    reading.remove()
    assert take_over(path, ring) is None  # it is gone


async def test_all_who_share_a_folder_stay_within_its_room_and_what_finds_none_is_given_back(
    folder: Path, ring: KeyRing
) -> None:
    most = 64_000
    journals = [Journal(folder, ring, most=most) for _ in range(3)]
    sent = taken = 0
    with capture_logs() as lines:
        for turn in range(120):
            for journal in journals:
                some = [entry(n) for n in range(turn % 40 + 1)]
                sent += len(some)
                taken += await journal.append(some)
                assert sum(path.stat().st_size for path in waiting(folder)) <= most
        for journal in journals:
            await journal.close()
    assert {line["event"] for line in lines} == {"journal-full"}
    kept = sum(len(read(path, ring)[0]) for path in waiting(folder))
    assert kept == taken < sent
    assert taken > 1000  # most of the room was used


async def test_room_comes_back_with_what_is_stored(
    folder: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.journal._TRY_AGAIN", 0.0)
    journal = Journal(folder, ring, most=32_000)
    some = [entry(n) for n in range(20)]
    with capture_logs():
        while await journal.append(some):
            pass
        assert await journal.append(some) == 0
        for path in waiting(folder):
            if reading := take_over(path, ring):
                reading.remove()
        assert await journal.append(some) == 20
    await journal.close()


async def test_where_it_cannot_be_written_nothing_is_taken_and_the_log_says_why(
    tmp_path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("tracker.journal._TRY_AGAIN", 0.0)
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        journal = Journal(folder, ring, most=ROOM)
        with capture_logs() as lines:
            assert await journal.append([entry()]) == 0
        assert [line["event"] for line in lines] == ["journal-failed"]
        await journal.close()
    nowhere = Journal(None, ring, most=ROOM)
    assert await nowhere.append([entry()]) == 0
    await nowhere.close()


async def test_a_full_disk_costs_what_did_not_fit_and_spoils_nothing(
    journal: Journal, folder: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.journal._TRY_AGAIN", 0.0)
    first, second, third = [entry(1)], [entry(n) for n in range(30)], [entry(3)]
    await journal.append(first)
    write = os.write

    def half(descriptor: int, octets: bytes) -> int:
        monkeypatch.setattr("tracker.journal.os.write", full)
        return write(descriptor, octets[: len(octets) // 2])

    def full(descriptor: int, octets: bytes) -> int:
        raise OSError(28, "No space left on device")

    with capture_logs():
        monkeypatch.setattr("tracker.journal.os.write", half)
        assert await journal.append(second) == 0
        monkeypatch.setattr("tracker.journal.os.write", write)
        assert await journal.append(third) == 1
    await journal.let_go()
    assert [read(path, ring) for path in waiting(folder)] == [(first, False), (third, False)]


async def test_a_file_of_a_process_that_was_killed_at_its_first_breath_goes(
    folder: Path, ring: KeyRing
) -> None:
    folder.mkdir()
    for octets in (b"", b"candor-journal-1\nabc"):
        path = folder / "00.hits"
        path.write_bytes(octets)
        assert take_over(path, ring) is None
        assert not path.exists()
