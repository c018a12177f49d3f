"""Who is dead is known to be dead, who lives is left alone, and whoever is in doubt may be alive."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from relay.store.presence import Presence
from tracker.store.database import Database

_OTHER = """
import asyncio, sys
from relay.store.presence import Presence
from tracker.store.database import Database

async def main():
    database = await Database.open(sys.argv[1], ask_within=20, write_within=30)
    presence = Presence(database)
    await presence.announce()
    print(presence.name, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
ROOT = Path(__file__).parents[2]


def another(store_url: str) -> subprocess.Popen[str]:
    """A process that says its name when it is there."""
    return subprocess.Popen(
        [sys.executable, "-c", _OTHER, store_url], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def name_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert name, "it has ended"
    return name


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


async def test_only_who_was_killed_is_dead(database: Database, store_url: str) -> None:
    presence = Presence(database)
    await presence.announce()
    dying, living = another(store_url), another(store_url)
    try:
        dead, alive = await asyncio.gather(*(asyncio.to_thread(name_of, one) for one in (dying, living)))
        names = [dead, alive, presence.name, "elsewhere/1/00ff", "no name of ours"]
        assert await presence.departed(names) == []
        kill(dying)
        departed: list[str] = []
        while not departed:  # PostgreSQL may need a moment to see that its client has gone
            departed = await presence.departed(names)
            await asyncio.sleep(0.01)
        assert departed == [dead]
    finally:
        for process in (dying, living):
            kill(process)
        await presence.close()


async def test_who_goes_in_good_order_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    presence = Presence(database)
    await presence.announce()
    await presence.announce()
    await presence.close()
    await presence.close()
    assert not list(tmp_path.glob("*.alive"))
    again = Presence(database)
    await again.announce()
    await again.close()
