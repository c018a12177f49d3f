"""`kill -9` at any moment: nothing acknowledged is missing, no more is sent twice than was under way, and whoever is
started next on the machine goes on at once.

`CANDOR_CRASH_MESSAGES` and `CANDOR_CRASH_ROUNDS` make it as long as one likes; `CANDOR_CRASH_SEED` repeats a run.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from support.load import Log, arrived, load
from support.people import DENIED, GRANTED, UNKNOWN, tell
from support.sites import Program, domain_of, site, until
from support.upstream import ScriptedUpstream, on, slow
from support.waiting import nothing_waits

from tracker.consent import Consent

MESSAGES = int(os.environ.get("CANDOR_CRASH_MESSAGES", "240"))
ROUNDS = int(os.environ.get("CANDOR_CRASH_ROUNDS", "2"))
SEED = int(os.environ.get("CANDOR_CRASH_SEED", "20261122"))
SESSIONS = 6
AT_ONCE = 10
"""Messages that the worker tries together."""


@pytest.mark.parametrize(
    ("store_kind", "wait"),
    [("sqlite", "20s"), ("sqlite", "0s"), ("postgresql", "100ms")],
    indirect=["store_kind"],
)
async def test_after_any_number_of_kills_nothing_acknowledged_is_missing(
    store_kind: str, store_url: str, tmp_path: Path, wait: str
) -> None:
    chance = random.Random(SEED)
    log = Log()
    # So slow that at every moment something is under way, and sometimes slower than the client's patience.
    async with ScriptedUpstream(
        on("dot", slow(0.05), match="<news@"), on("data", slow(0.1), times=40)
    ) as upstream:
        where = site(
            tmp_path,
            store_url,
            upstream.url,
            relay={"wait_for_upstream": wait},
            queue={"first_retry": "200ms", "at_once": AT_ONCE},
        )
        async with Program(where, "relay") as program, domain_of(where) as domain:
            await tell(domain, GRANTED, Consent.GRANTED)
            await tell(domain, DENIED, Consent.DENIED)
            for number in range(ROUNDS):
                await strike(program, log, f"round{number}", chance)
                await program.start()
            await until(lambda: nothing_waits(domain), "the queue is empty")
            assert await program.stop() == 0
        assert "outcome-lost" not in program.log
    counted = arrived(upstream.received)
    assert len(log.acknowledged) >= ROUNDS * 10
    assert log.acknowledged <= set(counted), f"acknowledged, but missing (seed {SEED})"
    twice = sum(number - 1 for number in counted.values())
    assert twice <= ROUNDS * (AT_ONCE + SESSIONS), f"seed {SEED}"


async def strike(program: Program, log: Log, name: str, chance: random.Random) -> None:
    """Clients send, and somewhere in the middle the program is killed."""
    count = MESSAGES // ROUNDS
    heard = len(log.acknowledged) + chance.randrange(10, max(11, count - SESSIONS))
    people = (GRANTED, UNKNOWN, DENIED)
    port = program.site.smtp_port
    sending = asyncio.create_task(
        load(port, log, name, count, sessions=SESSIONS, recipients=people, persist=False)
    )
    await until(lambda: len(log.acknowledged) >= heard, "so many were acknowledged")
    await asyncio.sleep(chance.random() / 20)
    program.kill()
    await sending
