"""Where a relay's time goes, by part. Usage: profiling.py REPORT, with the configuration in the environment."""

from __future__ import annotations

import cProfile
import pstats
import sys
from pathlib import Path

_PARTS = {
    "SMTP in": ("relay/intake", "aiosmtpd"),
    "SMTP out": ("relay/upstream", "relay/attempt", "aiosmtplib"),
    "rewriting": (
        "relay/html", "relay/mime", "relay/rewrite", "relay/rulebook", "relay/edits", "relay/transfer",
        "relay/charsets", "relay/controls", "relay/compiled", "relay/plain", "bs4", "/re/", "/email/", "/html/",
    ),
    "copies and tokens": ("relay/personalize", "tracker/tokens", "tracker/address"),
    "flow": ("relay/delivery", "relay/settlement", "relay/worker", "relay/queue", "relay/outcome", "tracker/consent"),
    "store": ("tracker/store", "relay/store", "sqlalchemy", "sqlite3", "greenlet"),
    "event loop": ("asyncio", "uvloop", "selectors"),
}  # fmt: skip


def show(report: Path) -> None:
    """Share of the time spent in each part's own functions; what the interpreter does for them (string methods,
    regular expressions) counts for whoever called it."""
    stats = pstats.Stats(str(report))
    spent: dict[str, float] = {}
    entries = stats.stats  # type: ignore[attr-defined]
    for (file, _, _), (_, _, own, _, callers) in entries.items():
        if file != "~":
            spent[_part(file)] = spent.get(_part(file), 0.0) + own
            continue
        for (caller, _, _), (_, _, theirs, _) in callers.items():
            spent[_part(caller)] = spent.get(_part(caller), 0.0) + theirs
    total = sum(spent.values())
    for part, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {part:20} {100 * seconds / total:5.1f} %")


def _part(file: str) -> str:
    return next((part for part, names in _PARTS.items() if any(name in file for name in names)), "the rest")


def main(report: str) -> None:
    from relay.cli import main as candor

    profiler = cProfile.Profile()
    try:
        profiler.runcall(candor, ["relay"])
    except SystemExit:
        pass
    finally:
        profiler.dump_stats(report)


if __name__ == "__main__":
    main(sys.argv[1])
