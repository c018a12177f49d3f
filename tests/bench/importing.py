"""What `candor contact import` costs: rows a second into SQLite, beside a bare sqlite3 `executemany` of the same rows
in the same run.

    python tests/bench/importing.py --rows 1000000

The bare insert writes the file's cells into one table with a unique address, in transactions of the same size on disk
with the same care (`synchronous=FULL`), and does nothing of what makes a register: no ledger, no hashes, no rules.
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
        seconds, cpu, counted = asyncio.run(imported(file, folder))
        after = peak()
        bare_seconds, bare_cpu = bare(file, folder / "bare.db")
    if sum(counted.effects.values()) != rows:
        sys.exit(f"only {counted.effects} of {rows} rows were taken down")
    print(f"import              {rows / seconds:10,.0f} rows/s   {cpu / rows * 1e6:6.1f} µs of CPU a row")
    print(
        f"bare sqlite3        {rows / bare_seconds:10,.0f} rows/s   {bare_cpu / rows * 1e6:6.1f} µs of CPU a row"
    )
    print(
        f"ratio               {seconds / bare_seconds:10.1f} times the time, {cpu / bare_cpu:.1f} times the CPU"
    )
    print(f"longest transaction {counted.longest * 1000:10.0f} ms")
    print(f"memory              {after:10,.0f} MB at its peak, {after - before:,.0f} MB more than before")


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


async def imported(file: Path, folder: Path) -> tuple[float, float, Counted]:
    """Seconds, seconds of CPU, and what became of the rows: the file's examination included, as a user waits for it."""
    config = Config(
        store=StoreTable(url=f"sqlite:///{folder / 'candor.db'}"),
        tokens=TokensTable(keys_file=str(folder / "keys.toml")),
    )
    domain = await Domain.open(config)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        task = Import(domain, ContactFile(file), actor="bench", refused=lambda one: sys.exit(str(one)))
        counted = await task.run()
        return time.perf_counter() - began, time.process_time() - cpu, counted
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


def peak() -> float:
    """The process's greatest size so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
