"""What a program and its children used, as Linux counts it: CPU seconds and memory."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found


def cpu(pid: int) -> float:
    """Seconds used by the process, its descendants, and those of them that have ended."""
    ticks = 0
    for one in family(pid):
        if fields := _stat(one):
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


def memory(pid: int) -> float:
    """MB in use by the process and its descendants, shared pages counted once (PSS)."""
    kilobytes = 0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return kilobytes / 1024


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, which may hold blanks; the state is the first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
