"""What programs ask of the operator's listener: is the process well, and its gauges. Nothing here is about a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiohttp import web

from tracker.admin.frame import DOMAIN
from tracker.errors import StoreError
from tracker.store.database import Database
from tracker.store.hosts import TrackingHost, tracking_hosts_of


async def shown(request: web.Request) -> web.Response:
    """200 while the store takes questions and writes; 503 while it does not. Mail and links go on either way. Beside it
    how our tracking hosts are, as the last probe found them."""
    database = request.app[DOMAIN].database
    state = {
        "reads": "away" if database.reads.tripped else "ok",
        "writes": "away" if database.writes.tripped else "ok",
    }
    well = set(state.values()) == {"ok"}
    told: dict[str, object] = {"store": state, "ok": well}
    if hosts := await _hosts(database):
        told["tracking_hosts"] = [
            {"url": one.url, "ok": one.failing_since is None, "problem": one.problem} for one in hosts
        ]
    return web.json_response(told, status=200 if well else 503)


async def metrics(request: web.Request) -> web.Response:
    """Gauges in Prometheus' text format."""
    database, now = request.app[DOMAIN].database, datetime.now(UTC)
    hosts = await _hosts(database)
    gauges = {
        "candor_store_up": {
            f'direction="{direction}"': int(not breaker.tripped)
            for direction, breaker in (("reads", database.reads), ("writes", database.writes))
        },
        "candor_tracking_host_up": {_label(one): int(one.failing_since is None) for one in hosts},
        "candor_tracking_host_failing_seconds": {
            _label(one): _seconds(now - one.failing_since) if one.failing_since else 0 for one in hosts
        },
        "candor_tracking_host_certificate_seconds": {
            _label(one): _seconds(one.certificate_until - now) for one in hosts if one.certificate_until
        },
    }
    lines = []
    for name, values in gauges.items():
        lines.append(f"# TYPE {name} gauge")
        lines += [f"{name}{{{labels}}} {value}" for labels, value in values.items()]
    return web.Response(text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"})


def _label(one: TrackingHost) -> str:
    return f'url="{one.url}"'


def _seconds(span: timedelta) -> int:
    return max(0, int(span.total_seconds()))


async def _hosts(database: Database) -> list[TrackingHost]:
    try:
        return list((await database.read(tracking_hosts_of)).values())
    except StoreError:
        return []
