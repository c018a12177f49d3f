"""The operator's listener. At present it answers whether the process is well."""

from __future__ import annotations

from datetime import UTC, datetime

from aiohttp import web

from tracker import log
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.httplog import retelling
from tracker.store.hosts import TrackingHost, tracking_hosts_of


class AdminFace:
    """The operator's server on its socket; does nothing where `[admin] listen` is empty."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, logger=retelling(), handle_signals=False)

    async def start(self) -> str | None:
        """Listens where the configuration says; gives the URL."""
        if not self._domain.config.admin.listen:
            return None
        host, port = parse_listen(self._domain.config.admin.listen)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0]
        url = f"http://{bound[0]}:{bound[1]}"
        log.listening("admin", url)
        return url

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        """200 while the store takes questions and writes; 503 while it does not. Mail and links go on either
        way."""
        database = self._domain.database
        state: dict[str, object] = {
            "reads": "away" if database.reads.tripped else "ok",
            "writes": "away" if database.writes.tripped else "ok",
        }
        well = set(state.values()) == {"ok"}
        hosts = [
            {"url": one.url, "ok": one.failing_since is None, "problem": one.problem}
            for one in await self._hosts()
        ]
        told = {"store": state, "ok": well} | ({"tracking_hosts": hosts} if hosts else {})
        return web.json_response(told, status=200 if well else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        """Gauges in Prometheus' text format; nothing in them is about a person."""
        database, now = self._domain.database, datetime.now(UTC)
        lines = ["# TYPE candor_store_up gauge"]
        for direction, breaker in (("reads", database.reads), ("writes", database.writes)):
            lines.append(f'candor_store_up{{direction="{direction}"}} {int(not breaker.tripped)}')
        hosts = await self._hosts()
        lines.append("# TYPE candor_tracking_host_up gauge")
        lines += [
            f'candor_tracking_host_up{{url="{one.url}"}} {int(one.failing_since is None)}' for one in hosts
        ]
        lines.append("# TYPE candor_tracking_host_failing_seconds gauge")
        for one in hosts:
            failing = (now - one.failing_since).total_seconds() if one.failing_since else 0
            lines.append(f'candor_tracking_host_failing_seconds{{url="{one.url}"}} {max(0, failing):.0f}')
        lines.append("# TYPE candor_tracking_host_certificate_seconds gauge")
        for one in hosts:
            if one.certificate_until is not None:
                left = (one.certificate_until - now).total_seconds()
                lines.append(f'candor_tracking_host_certificate_seconds{{url="{one.url}"}} {left:.0f}')
        return web.Response(
            text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def _hosts(self) -> list[TrackingHost]:
        try:
            return list((await self._domain.database.read(tracking_hosts_of)).values())
        except StoreError:
            return []
