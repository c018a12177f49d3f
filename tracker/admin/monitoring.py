"""What programs ask that watch over us: whether the process is well, and what all processes of the program have counted.

Nobody signs in for that, and there is nothing about anybody in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from aiohttp import web

from tracker import log
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.metrics import CONTENT_TYPE, Looking, Sample, Sheet
from tracker.refusals import HANDLING, listen
from tracker.store.hosts import TrackingHost, tracking_hosts_of


class Monitoring:
    """`/healthz` and `/metrics`."""

    def __init__(self, domain: Domain, sheet: Sheet, look: Looking | None = None) -> None:
        """`look` gives what is the same for all processes."""
        self._database = domain.database
        self._sheet = sheet
        self._look = look

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/healthz", self.health)
        router.add_get("/metrics", self.metrics)

    def gauges(self) -> dict[str, float]:
        """What the program's processes say of themselves now."""
        return self._sheet.gauges()

    async def health(self, request: web.Request) -> web.Response:
        """200 while the store takes questions and writes; 503 while it does not. Mail and links go on either
        way. Beside it how our tracking hosts are, as the last probe found them."""
        state = {name: "ok" if well else "away" for name, well in self._store().items()}
        well = set(state.values()) == {"ok"}
        told: dict[str, object] = {"store": state, "ok": well}
        if hosts := await self._hosts():
            told["tracking_hosts"] = [
                {"url": one.url, "ok": one.failing_since is None, "problem": one.problem} for one in hosts
            ]
        return web.json_response(told, status=200 if well else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        store = [
            Sample(
                name="candor_store_up",
                help="Whether the store answers the process that was asked.",
                labels=(("direction", name),),
                value=float(well),
            )
            for name, well in self._store().items()
        ]
        hosts = _of_hosts(await self._hosts(), datetime.now(UTC))
        text = self._sheet.text([*store, *hosts, *await self._looked_up()])
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _looked_up(self) -> Sequence[Sample]:
        """Nothing of the store while it is away; the rest is told all the same."""
        try:
            return await self._look() if self._look is not None else ()
        except StoreError:
            return ()

    async def _hosts(self) -> Sequence[TrackingHost]:
        try:
            return list((await self._database.read(tracking_hosts_of)).values())
        except StoreError:
            return ()

    def _store(self) -> dict[str, bool]:
        return {"reads": not self._database.reads.tripped, "writes": not self._database.writes.tripped}


def _of_hosts(hosts: Sequence[TrackingHost], now: datetime) -> Iterator[Sample]:
    """All of one name together, as the format wants it."""
    up, failing = "Whether links to this public URL lead on.", "Seconds since the first failure in a row."
    for one in hosts:
        well = float(one.failing_since is None)
        yield Sample(name="candor_tracking_host_up", help=up, labels=(("url", one.url),), value=well)
    for one in hosts:
        seconds = (now - one.failing_since).total_seconds() if one.failing_since else 0.0
        yield Sample(
            name="candor_tracking_host_failing_seconds",
            help=failing,
            labels=(("url", one.url),),
            value=float(max(0, int(seconds))),
        )
    for one in hosts:
        if one.certificate_until is not None:
            yield Sample(
                name="candor_tracking_host_certificate_seconds",
                help="Seconds until its certificate runs out.",
                labels=(("url", one.url),),
                value=float(int((one.certificate_until - now).total_seconds())),
            )


class MonitoringFace:
    """A listener with nothing else, for a program without the operator's pages; does nothing without an address."""

    def __init__(self, monitoring: Monitoring, *, option: str, address: str) -> None:
        """`option`: where `address` is configured."""
        self._option = option
        self._address = address
        app = web.Application()
        monitoring.add_to(app.router)
        self._runner = web.AppRunner(app, handle_signals=False, **HANDLING)
        self._listener: asyncio.Server | None = None

    async def start(self, *, share_port: bool = False) -> None:
        """`share_port`: other processes listen there too, and whoever is asked speaks for all. Raises CannotListen."""
        if not self._address:
            return
        await self._runner.setup()
        self._listener = await listen(self._runner, self._option, self._address, share_port=share_port)
        log.listening("monitoring", f"http://{self._address}")

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()
