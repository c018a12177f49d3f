"""What `candor contact import` costs: rows a second into SQLite, beside a bare sqlite3 `executemany` of the same rows
in the same run.

    python tests/bench/importing.py --rows 1000000

The bare insert writes the file's cells into one table with a unique address, in transactions of the same size on disk
with the same care (`synchronous=FULL`), and does nothing of what makes a register: no ledger, no hashes, no rules.

Where others work on the machine, the seconds say little; seconds of CPU of the process that writes and of the one that
reads ahead say what an idle machine would do: the slower of the two sets the pace. Prints whether the ledger holds.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from tracker.config import Config, StoreTable, TokensTable
from tracker.contactfile import ContactFile
from tracker.domain import Domain
from tracker.importing import Counted, Import
from tracker.store.proof import Verified

COLUMNS = ("address", "tracking_consent", "country", "group", "as_of", "evidence")
BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="candor-bench-") as name:
        folder = Path(name)
        file = folder / "people.csv"
        write(file, rows)
        print(
            f"{rows:,} rows, {file.stat().st_size / 1e6:.0f} MB of CSV, on {os.cpu_count()} cores", flush=True
        )
        before = peak()
        seconds, cpu, counted, verified = asyncio.run(imported(file, folder))
        after, ahead, ahead_cpu = peak(), peak(resource.RUSAGE_CHILDREN), spent(resource.RUSAGE_CHILDREN)
        bare_seconds, bare_cpu = bare(file, folder / "bare.db")
    if sum(counted.effects.values()) != rows:
        sys.exit(f"only {counted.effects} of {rows} rows were taken down")
    per_row = f"{cpu / rows * 1e6:6.1f} µs of CPU a row, and {ahead_cpu / rows * 1e6:.1f} to read ahead"
    print(f"import              {rows / seconds:10,.0f} rows/s   {per_row}")
    print(
        f"bare sqlite3        {rows / bare_seconds:10,.0f} rows/s   {bare_cpu / rows * 1e6:6.1f} µs of CPU a row"
    )
    print(
        f"ratio               {seconds / bare_seconds:10.1f} times the time, "
        f"{(cpu + ahead_cpu) / bare_cpu:.1f} times the CPU"
    )
    print(f"longest transaction {counted.longest * 1000:10.0f} ms")
    print(f"memory              {after:10,.0f} MB at its peak, {after - before:,.0f} MB more than before")
    print(f"                    {ahead:10,.0f} MB of the process that reads ahead")
    print(f"ledger              {verified.rows:10,} rows: {verified.broken or 'whole'}")


def write(file: Path, rows: int) -> None:
    """People in no order, each once."""
    dice = random.Random(1)
    with file.open("w", encoding="utf-8", newline="") as text:
        out = csv.writer(text)
        out.writerow(COLUMNS)
        for number in range(rows):
            out.writerow(
                (
                    f"person.{dice.randrange(10**9)}.{number}@mail{number % 500}.example",
                    ("granted", "denied", "granted", "unknown")[number % 4],
                    ("FR", "IT", "DE", "")[number % 4],
                    f"team {number % 40}",
                    f"2026-0{1 + number % 6}-1{number % 10}T{number % 24:02}:{number % 60:02}:00Z",
                    f"https://shop.example/form?id={number}",
                )
            )


async def imported(file: Path, folder: Path) -> tuple[float, float, Counted, Verified]:
    """Seconds, seconds of CPU, what became of the rows, and of the ledger: the file's examination included, as a user
    waits for it."""
    config = Config(
        store=StoreTable(url=f"sqlite:///{folder / 'candor.db'}"),
        tokens=TokensTable(keys_file=str(folder / "keys.toml")),
    )
    domain = await Domain.open(config)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        task = Import(domain, ContactFile(file), actor="bench", refused=lambda one: sys.exit(str(one)))
        counted = await task.run()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        return seconds, cpu, counted, await domain.proof.verify()
    finally:
        await domain.close()


def bare(file: Path, database: Path) -> tuple[float, float]:
    connection = sqlite3.connect(database, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}").close()
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    connection.execute(f"CREATE TABLE people (id INTEGER PRIMARY KEY, {names}, UNIQUE (address))")
    began, cpu = time.perf_counter(), time.process_time()
    with file.open(encoding="utf-8", newline="") as text:
        rows = csv.reader(text)
        next(rows)
        while batch := list(islice(rows, BATCH)):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO people ({names}) VALUES (?, ?, ?, ?, ?, ?)", batch)
            connection.execute("COMMIT")
    connection.close()
    return time.perf_counter() - began, time.process_time() - cpu


def peak(whose: int = resource.RUSAGE_SELF) -> float:
    """The process's greatest size so far, MB."""
    return resource.getrusage(whose).ru_maxrss / 1024


def spent(whose: int) -> float:
    """Seconds of CPU."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
