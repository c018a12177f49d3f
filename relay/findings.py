"""What can be said of an installation at once, with nobody asked: its configuration, keys, disk and clock. `candor doctor`
and the operator's pages tell it; each check gives findings, and never raises for what it finds."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from relay.config import Config, doubts
from tracker import keyring
from tracker.desk import Finding, Found
from tracker.errors import CandorError

_LITTLE = 1024**3


def wrong(about: str, found: str, advice: str) -> Found:
    return Found(about=about, state=Finding.WRONG, found=found, advice=advice)


def warning(about: str, found: str, advice: str) -> Found:
    return Found(about=about, state=Finding.WARNING, found=found, advice=advice)


def of_config(config: Config) -> Iterator[Found]:
    found = doubts(config)
    for doubt in found:
        yield warning("configuration", doubt, "change it, or be sure that you mean it")
    if not found:
        yield Found(about="configuration", found="nothing to be said against it")


def of_keys(config: Config) -> Iterator[Found]:
    """The key file; one that is not there yet is made at the first start."""
    file = Path(config.tokens.keys_file)
    if not file.exists():
        yield warning(
            "keys", f"{file} is not there", "the first start makes it; on a further node copy it there"
        )
        return
    try:
        ring = keyring.load(file)
    except CandorError as error:
        yield wrong("keys", str(error), "restore it from the backup: links in mail already sent need it")
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield wrong("keys", f"others may read {file} (mode {mode:o})", f"chmod 600 {file}")
    yield Found(about="keys", found=f"{len(ring.keys)} in {file}, the newest {ring.newest.id.hex()}")


def of_disk(config: Config) -> Iterator[Found]:
    store = config.store.url
    places = {Path(config.tokens.keys_file).parent: "keys"}
    if store.startswith("sqlite:///"):
        places[Path(store.removeprefix("sqlite:///")).parent] = "store"
    for folder, what in places.items():
        there = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), None)
        if there is None:
            continue
        free = shutil.disk_usage(there).free
        said = f"{free / 1e9:.1f} GB free in {there} ({what})"
        if free < config.queue.min_free and what == "store":
            yield wrong("disk", said, "make room: new mail is put off (452) until there is some")
        elif free < _LITTLE:
            yield warning("disk", said, "make room before the store or the queue needs it")
        else:
            yield Found(about="disk", found=said)
        if not os.access(there, os.W_OK):
            yield wrong("disk", f"{there} cannot be written", "give it to the user that Candor runs as")


def of_clock() -> Iterator[Found]:
    """What the kernel says of it; tokens, verdicts and signatures carry the time."""
    if not sys.platform.startswith("linux"):
        return
    try:
        unsynchronised = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) == 5  # TIME_ERROR
    except (OSError, AttributeError):
        return
    if unsynchronised:
        yield warning(
            "clock",
            "the kernel says that nobody sets it",
            "run chrony, systemd-timesyncd or ntpd, here or on the host",
        )
    else:
        yield Found(about="clock", found="it is set by somebody")


def at_once(config: Config) -> list[Found]:
    """All of it. Reads files."""
    return [*of_config(config), *of_keys(config), *of_disk(config), *of_clock()]
