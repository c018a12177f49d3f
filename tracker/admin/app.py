"""The operator's listener. At present it answers whether the process is well."""

from __future__ import annotations

from aiohttp import web

from tracker import log
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.httplog import retelling


class AdminFace:
    """The operator's server on its socket; does nothing where `[admin] listen` is empty."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        app = web.Application()
        app.router.add_get("/healthz", self._health)
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
        state = {
            "reads": "away" if database.reads.tripped else "ok",
            "writes": "away" if database.writes.tripped else "ok",
        }
        well = set(state.values()) == {"ok"}
        return web.json_response({"store": state, "ok": well}, status=200 if well else 503)
