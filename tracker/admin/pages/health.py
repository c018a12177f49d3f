"""How the whole system is, as far as it can be told from here without asking anybody outside."""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, text

from tracker.admin.frame import DESK, DOMAIN, page
from tracker.admin.monitoring import Monitoring
from tracker.config.summary import summary
from tracker.desk import Desk, Finding
from tracker.domain import Domain
from tracker.errors import CandorError, StoreError
from tracker.glossary import TERMS
from tracker.store import jobs, ringkeys
from tracker.store.hosts import TrackingHost, tracking_hosts_of

MONITORING = web.AppKey("monitoring", Monitoring)
_SOON_OUT = 14
"""Days before a certificate runs out from which on that is worth a warning."""
_LITTLE = 1024**3
"""Octets free on a disk below which that is."""
_PROCESSES = {
    "candor_processes": ("Processes that serve", "Of this program, on this machine."),
    "candor_smtp_sessions": (
        "Clients connected",
        "Mail systems connected by SMTP now, to all of these processes.",
    ),
    "candor_tries_under_way": ("Under way", "Messages that the queue is handing on at this moment."),
    "candor_upstream_away": (TERMS["upstream-away"].title, TERMS["upstream-away"].words),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk on which something of ours lies."""

    folder: str
    holds: str
    free: int
    size: int

    @property
    def is_low(self) -> bool:
        return self.free < _LITTLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """How long a tracking host's certificate holds."""

    days: int

    @property
    def is_soon_out(self) -> bool:
        return self.days < _SOON_OUT


async def shown(request: web.Request) -> web.Response:
    """GET /health"""
    domain, desk, now = request.app[DOMAIN], request.app[DESK], datetime.now(UTC)
    gauges = request.app[MONITORING].gauges()
    config = domain.config
    context = {
        "now": now,
        "reads_away": domain.database.reads.tripped,
        "writes_away": domain.database.writes.tripped,
        "store": domain.database.shown_url,
        "dialect": domain.database.dialect,
        "disks": await asyncio.to_thread(_disks, domain),
        "gauges": [
            (word, int(gauges[name]), words) for name, (word, words) in _PROCESSES.items() if name in gauges
        ],
        "ring": domain.ring,
        "options": summary(config),
        "urls": config.tracker.urls,
        "version": version("candor"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "upstreams": desk.upstreams() if desk is not None else None,
        "desk": desk,
        **await _of_store(domain, now),
        **await _of_desk(desk),
    }
    return page(request, "health.html", context)


async def _of_store(domain: Domain, now: datetime) -> dict[str, Any]:
    """What the store tells; nothing while it is away, and the page is there all the same."""
    hosts: Mapping[str, TrackingHost] = {}
    known: dict[str, Any] = {"jobs": [], "first_uses": {}, "size": None}
    with suppress(StoreError):
        hosts = await domain.database.read(tracking_hosts_of)
        known["jobs"] = await domain.database.read(jobs.states)
        known["first_uses"] = await ringkeys.first_uses(domain.database)
        known["size"] = await domain.database.read(_size)
    known["hosts"] = hosts
    known["certificates"] = {
        url: Certificate(days=(one.certificate_until - now).days)
        for url, one in hosts.items()
        if one.certificate_until is not None
    }
    return known


async def _of_desk(desk: Desk | None) -> dict[str, Any]:
    known: dict[str, Any] = {"standing": None, "workers": [], "findings": []}
    if desk is not None:
        with suppress(StoreError):
            known["standing"] = await desk.standing(domains=0)
            known["workers"] = await desk.workers()
        with suppress(CandorError):
            found = await desk.findings()
            known["findings"] = sorted(found, key=lambda one: list(Finding).index(one.state), reverse=True)
    return known


def _size(connection: Connection) -> int:
    """Octets that the database takes."""
    if connection.dialect.name == "sqlite":
        pages = connection.execute(
            text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        )
        return int(pages.scalar_one())
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def _disks(domain: Domain) -> Sequence[Disk]:
    """Asks the file system, which may take a while: not on the loop."""
    config, file = domain.config, domain.database.file
    places: dict[Path, list[str]] = {}
    for folder, what in (
        (file.parent if file is not None else None, "store"),
        (Path(config.tokens.keys_file).parent, "keys"),
        (Path(config.tracker.journal).parent, "journal"),
    ):
        if folder is not None:
            places.setdefault(folder.absolute(), []).append(what)
    found = []
    for folder, held in places.items():
        there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
        if there is not None:
            usage = shutil.disk_usage(there)
            found.append(Disk(folder=str(there), holds=", ".join(held), free=usage.free, size=usage.total))
    return found
