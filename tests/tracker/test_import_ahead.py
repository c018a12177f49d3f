"""A large import: two processes, rows in another order than the file's, and always the same outcome."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete
from support.commands import Installation, started
from support.stores import dump
from support.tracking import erase, say

from tracker import readahead
from tracker.contactfile import ContactFile, Refused
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue
from tracker.importing import Counted, Import
from tracker.sheets import Reading, Sheet
from tracker.statements import Statement
from tracker.store.register import Effect, Source
from tracker.store.schema import consent_ledger, contacts, imports

NEVER = 1 << 40
HEADER = "address,tracking_consent,do_not_track,country,group,as_of,evidence,note\n"
SAID_AT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DATE = SAID_AT.isoformat()


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


def written(folder: Path) -> Path:
    """Strangers, people who are known, who refused, who were erased, who stand there twice; and rows that are wrong."""
    rows = [
        f"p{number * 7919 % 1000}@x.example,granted,,FR,team {number % 3},{DATE},form {number},é\n"
        for number in range(600)
    ]
    rows[50] = f"Ann@x.example,granted,true,,,{DATE},,\n"
    rows[60] = f"joe@x.example,granted,,,,{DATE},,\n"
    rows[70] = f"gone@x.example,granted,,,,{DATE},form,\n"
    rows[80] = "nobody,granted,,,,,,\n"
    rows[90] = f"twice@x.example,granted,true,,,{DATE},,\n"
    rows[91] = f'"""twice""@X.example",denied,false,IT,,{DATE},,second\n'
    rows[300] = f"TWICE@x.example.,granted,,,,{DATE},,third\n"
    rows[400] = "late@x.example,maybe,,,,,,\n"
    file = folder / "people.csv"
    file.write_text(HEADER + "".join(rows), encoding="utf-8")
    return file


async def before(domain: Domain) -> None:
    await say(domain, "ann@x.example", "denied", source=Source.IMPORT, as_of=datetime(2026, 1, 1, tzinfo=UTC))
    await say(domain, "joe@x.example", "withdrawn", "true", source=Source.PREFERENCE_PAGE)
    await say(domain, "gone@x.example", "granted")
    await erase(domain, "gone@x.example")


def essence(found: dict[str, Any]) -> dict[str, Any]:
    """What two runs have in common: no ids, salts, hashes and times of recording."""
    people = {row["id"]: row["address"] for row in found["contacts"]}
    passing = ("id", "created_at", "erased_key", "consent_as_of", "do_not_track_as_of")
    kept = [
        {name: value for name, value in row.items() if name not in passing or value == SAID_AT}
        for row in found["contacts"]
    ]
    said = [
        (people.get(row["contact_id"]), {**content, "as_of": content["as_of"] == SAID_AT.isoformat()})
        for row in sorted(found["consent_ledger"], key=lambda row: row["seq"])
        if row["content"] and "as_of" in (content := json.loads(row["content"]))
    ]
    return {
        "contacts": sorted(kept, key=str),
        "ledger": sorted(said, key=lambda one: str(one[0])),  # of each person in order
        "imports": [(row["digest"], row["rows"]) for row in found["imports"]],
    }


async def imported(domain: Domain, file: Path, large: int) -> tuple[Counted, list[Refused]]:
    refused: list[Refused] = []
    task = Import(domain, ContactFile(file), actor="test", refused=refused.append, large=large)
    counted = await task.run()
    verified = await domain.proof.verify()
    assert verified.broken is None
    return counted, sorted(refused, key=lambda one: one.line)


def test_a_file_read_ahead_comes_to_the_same(candor: Installation, store_url: str) -> None:
    file = written(candor.folder)

    async def both(domain: Domain) -> list[tuple[Any, ...]]:
        outcomes = []
        for large in (0, NEVER):
            await before(domain)
            counted, refused = await imported(domain, file, large)
            outcomes.append(
                (
                    counted.read,
                    counted.refused,
                    counted.effects,
                    refused,
                    essence(await dump(domain.database)),
                )
            )
            await emptied(domain)
        return outcomes

    ahead, by_itself = candor.prepare(both)
    assert ahead == by_itself
    read, refused, _, told, found = ahead
    assert (read, refused) == (600, 2)
    assert [one.line for one in told if "not effective" in one.reason] == [62, 72, 93, 302]
    assert len(found["contacts"]) > 590


async def emptied(domain: Domain) -> None:
    await domain.database.write(*((delete(table), [{}]) for table in (contacts, consent_ledger, imports)))


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_who_withdraws_while_a_file_is_read_ahead_has_withdrawn(candor: Installation) -> None:
    """The row was read, and what it comes to worked out, when nobody knew of them yet."""
    file = candor.folder / "people.csv"
    rows = [f"p{number:04}@x.example,granted,form\n" for number in range(3000)]
    file.write_text("address,tracking_consent,evidence\n" + "".join(rows))

    async def run(domain: Domain) -> tuple[int, list[str]]:
        withdrawn = False

        def advance(_octets: int) -> None:
            nonlocal withdrawn
            if task.counted.effects[Effect.CHANGED] and not withdrawn:
                withdrawn = True
                waiting.append(
                    asyncio.ensure_future(
                        say(domain, "p2999@x.example", "withdrawn", source=Source.PREFERENCE_PAGE)
                    )
                )

        waiting: list[asyncio.Future[None]] = []
        told: list[str] = []
        task = Import(
            domain,
            ContactFile(file),
            actor="test",
            refused=lambda one: told.append(one.reason),
            advance=advance,
            large=0,
        )
        await task.run()
        await asyncio.gather(*waiting)
        return task.counted.read, told

    read, told = candor.prepare(run)
    assert read == 3000
    assert [reason.partition(":")[0] for reason in told] == ["not effective"]
    found = candor.call("contact", "show", "p2999@x.example", "--json").json
    assert found["tracking_consent"] == "withdrawn"
    assert candor.call("consent", "verify").code == 0


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_file_that_is_gone_when_it_is_to_be_read_is_named(candor: Installation) -> None:
    file = written(candor.folder)

    async def gone(domain: Domain) -> None:
        contacts = ContactFile(file)
        file.unlink()
        task = Import(domain, contacts, actor="test", refused=lambda one: None, large=0)
        with pytest.raises(InvalidValue, match=r"people\.csv: cannot be read to its end: No such file"):
            await task.run()

    candor.prepare(gone)


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_where_no_second_process_can_be_had_a_file_is_read_by_the_first(
    candor: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(candor.folder)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    counted, _ = candor.prepare(lambda domain: imported(domain, file, 0))
    assert (counted.read, counted.refused) == (600, 2)


async def test_a_reading_process_that_is_killed_is_no_end_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("address\n" + "".join(f"p{number}@x.example\n" for number in range(60_000)))
    reading = Reading(file=ContactFile(file), done=0, actor="test", dialect="sqlite", foreseeing=True)
    async with readahead.read_ahead(reading) as sheets:
        first = await anext(sheets)
        for child in Path("/proc/self/task").glob("*/children"):
            for number in child.read_text().split():
                if "tracker.readahead" in Path(f"/proc/{number}/cmdline").read_text():
                    os.kill(int(number), signal.SIGKILL)
        with pytest.raises(CandorError, match=r"people\.csv: the process that reads it ended early"):
            async for _ in sheets:
                pass
    assert len(first.rows) == reading.on_sheet


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_ctrl_c_ends_an_import_with_a_word_and_resume_goes_on(candor: Installation) -> None:
    rows = [f"p{number * 7919 % 30000}@x.example,granted,{'n' * 350}\n" for number in range(30_000)]
    rows[100] = "nobody,granted,\n"
    file = candor.folder / "people.csv"
    file.write_text("address,tracking_consent,note\n" + "".join(rows))
    store = candor.store_url.removeprefix("sqlite:///")
    candor.call("contact", "list")  # makes the store
    (candor.folder / "tmp").mkdir()
    with started("contact", "import", file, "--config", candor.config, folder=candor.folder) as process:
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)  # so that it is not done before we have looked
        until = time.monotonic() + 60
        while time.monotonic() < until and process.poll() is None and not known(store):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("candor: interrupted: what was taken down stays, about ")
    assert err.endswith("the same command with --resume goes on there\n")
    assert err.count("\n") == 1
    taken = known(store)
    assert 0 < taken < 29_999
    again = candor.call("contact", "import", file, "--resume", "--json")
    assert again.json["taken_before"] == taken
    assert (again.json["read"], again.json["changed"], again.json["refused"]) == (30_000, 29_999 - taken, 1)
    assert known(store) == 29_999
    assert candor.call("consent", "verify").code == 0


def known(store: str) -> int:
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        (number,) = connection.execute("SELECT count(*) FROM contacts").fetchone()
        return int(number)
    finally:
        connection.close()


# The order of rows

PERSON = st.sampled_from(
    ["a@x.example", "A@X.example", '"a"@x.example', "b@x.example", "c@x.example", "nobody", ""]
)
WHEN = st.sampled_from(["", DATE, "soon", "never"])
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def rows_of(sheets: Iterator[Sheet]) -> tuple[list[tuple[int, int, str]], list[int], int, int]:
    rows, refused, passed, through = [], [], 0, 0
    for sheet in sheets:
        for number, line, _, said in sheet.rows:
            assert isinstance(said, Statement)
            rows.append((number, line, said.address))
        refused += [one.line for one in sheet.refused]
        passed += sheet.before
        assert through < sheet.through
        through = sheet.through
    return rows, refused, passed, through


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=st.lists(st.tuples(PERSON, WHEN), max_size=30),
    window=st.integers(1, 12),
    on_sheet=st.integers(1, 5),
    done=st.integers(0, 31),
)
@example(
    written=[("b@x.example", "soon"), ("a@x.example", ""), ("c@x.example", "")], window=9, on_sheet=2, done=1
)
def test_a_second_run_finds_the_place_where_the_first_one_stopped(
    written: list[tuple[str, str]], window: int, on_sheet: int, done: int, tmp_path: Path
) -> None:
    """Even where a time that lay in the future has come by then, so that a row which was refused is taken."""
    soon = (NOW + timedelta(days=1)).isoformat()
    lines = [
        f'"{person.replace(chr(34), chr(34) * 2)}",{when.replace("soon", soon)},x' for person, when in written
    ]
    file = tmp_path / "people.csv"
    file.write_text("\n".join(["address,as_of,note", *lines]))

    def read(done: int, now: datetime) -> tuple[list[tuple[int, int, str]], list[int], int, int]:
        contacts = ContactFile(file)
        how = {"actor": "test", "dialect": "sqlite", "foreseeing": False}
        reading = Reading(file=contacts, done=done, window=window, on_sheet=on_sheet, **how)  # type: ignore[arg-type]
        return rows_of(reading.sheets(lambda: now))

    rows, refused, _, through = read(0, NOW)
    assert through == len(written)
    assert refused == sorted(refused)
    assert sorted([line for _, line, _ in rows] + refused) == list(range(2, len(written) + 2))
    assert [number for number, _, _ in rows] == sorted(number for number, _, _ in rows)
    for person in {person for _, _, person in rows}:
        said = [line for _, line, one in rows if one == person]
        assert said == sorted(said)  # as the file has them
    later, _, passed, _ = read(done, NOW + timedelta(days=2))
    assert [row for row in later if row in rows] == [row for row in rows if row[0] > done]
    assert passed + len(later) == len(read(0, NOW + timedelta(days=2))[0])
