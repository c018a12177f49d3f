"""Invent hostile mail for a while and put each piece to the proof.

    PYTHONPATH=tests python -m fuzz.run          FUZZ_SECONDS (3600), FUZZ_SEED (random), FUZZ_FINDINGS (build/fuzz)

Every round has a seed of its own that is printed with what was found; a finding is made small and written to a file.
Ends with status 1 where something was found.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import secrets
import sys
import time
from pathlib import Path
from random import Random

from fuzz.examination import RULES, Cost, Finding, examine, minimised
from fuzz.mutations import compose, mutate, through_the_door
from fuzz.seeds import seeds

from relay.rewrite import Rules

SLOWEST = 10


class Run:
    """What was tried and what was found so far."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.inputs = self.octets = self.tracked = 0
        self.findings: dict[str, Path] = {}
        self.seconds = 0.0
        self.slowest: list[tuple[float, int, int]] = []

    def _examine(self, data: bytes, rules: Rules) -> tuple[Finding | None, Cost]:
        try:
            return examine(data, rules)
        except Exception as error:  # a verifier that fails is mended too
            return Finding(f"the verifier: {type(error).__name__}", repr(error)), Cost(len(data), 0)

    def step(self, number: int, data: bytes) -> Finding | None:
        rules = RULES[number % len(RULES)]
        finding, cost = self._examine(data, rules)
        self.inputs += 1
        self.octets += len(data)
        self.seconds += cost.seconds
        heapq.heappush(self.slowest, (cost.per_kilobyte, number, cost.octets))
        if len(self.slowest) > SLOWEST:
            heapq.heappop(self.slowest)
        if finding is not None and finding.kind not in self.findings:
            self._keep(number, data, finding)
        return finding

    def _keep(self, number: int, data: bytes, finding: Finding) -> None:
        rules = RULES[number % len(RULES)]

        def still_wrong(candidate: bytes) -> bool:
            found, _ = self._examine(candidate, rules)
            return found is not None and found.kind == finding.kind

        small = data if finding.kind == "hang" else minimised(data, still_wrong)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{hashlib.sha256(small).hexdigest()[:12]}-{number % len(RULES)}.eml"
        path.write_bytes(small)
        self.findings[finding.kind] = path
        print(
            f"FOUND {finding.kind}: {finding.detail[:400]}\n  seed {self.seed}, input {number}, {path}",
            flush=True,
        )


def invent(seed: int, number: int, messages: list[bytes]) -> bytes:
    """Input `number` of a run with `seed`: always the same one."""
    rng = Random(f"{seed}/{number}")
    kind = rng.random()
    data = compose(rng) if kind < 0.25 else mutate(rng, rng.choice(messages), messages)
    # bare newlines are refused or made CRLF at the door; some are let through here all the same
    return data if kind > 0.9 else through_the_door(data)


def main() -> int:
    seconds = float(os.environ.get("FUZZ_SECONDS", "3600"))
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbits(32))
    run = Run(seed, Path(os.environ.get("FUZZ_FINDINGS", "build/fuzz")))
    messages = seeds()
    print(f"seed {seed}, {len(messages)} messages to begin with, {seconds:.0f} s", flush=True)
    begun = told = time.monotonic()
    number = 0
    while time.monotonic() - begun < seconds:
        run.step(number, invent(seed, number, messages))
        number += 1
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"  {told - begun:5.0f} s: {number} inputs, {len(run.findings)} findings", flush=True)
    print(
        f"{run.inputs} inputs, {run.octets / 1e6:.0f} MB, {run.seconds / run.octets * 1024 * 1e6:.1f} us/KB on average"
    )
    print("slowest (us/KB; what is shorter counts as 1 KB):")
    for cost, which, octets in sorted(run.slowest, reverse=True):
        print(f"  {cost * 1e6:8.0f}  input {which}, {octets} octets")
    print(f"{len(run.findings)} findings: " + (", ".join(map(str, run.findings.values())) or "none"))
    return 1 if run.findings else 0


if __name__ == "__main__":
    sys.exit(main())
