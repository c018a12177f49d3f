"""The operator's listener: whether the process is well, and what all processes of the program have counted."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from tracker import log
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.httplog import retelling
from tracker.listening import listening
from tracker.metrics import CONTENT_TYPE, Looking, Sample, Sheet


class AdminFace:
    """The operator's server on its socket; does nothing where no address is configured."""

    def __init__(
        self,
        domain: Domain,
        sheet: Sheet,
        look: Looking | None = None,
        *,
        option: str = "[admin] listen",
        address: str | None = None,
    ) -> None:
        """`address`: where else than `[admin] listen` says, and the `option` that says so. `look` gives what is the
        same for all processes."""
        self._domain = domain
        self._sheet = sheet
        self._look = look
        self._option = option
        self._address = domain.config.admin.listen if address is None else address
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, logger=retelling(), handle_signals=False)

    async def start(self, *, share_port: bool = False) -> str | None:
        """Listens where the configuration says; gives the URL. `share_port`: other processes listen there too, and
        whoever is asked speaks for all."""
        if not self._address:
            return None
        host, port = parse_listen(self._address)
        await self._runner.setup()
        with listening(self._option, self._address):
            await web.TCPSite(self._runner, host, port, reuse_port=share_port or None).start()
        bound = self._runner.addresses[0]
        url = f"http://{bound[0]}:{bound[1]}"
        log.listening("admin", url)
        return url

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        """200 while the store takes questions and writes; 503 while it does not. Mail and links go on either
        way."""
        state = {name: "ok" if well else "away" for name, well in self._store().items()}
        well = set(state.values()) == {"ok"}
        return web.json_response({"store": state, "ok": well}, status=200 if well else 503)

    async def _metrics(self, request: web.Request) -> web.Response:
        store = [
            Sample(
                name="candor_store_up",
                help="Whether the store answers the process that was asked.",
                labels=(("direction", name),),
                value=float(well),
            )
            for name, well in self._store().items()
        ]
        text = self._sheet.text([*store, *await self._looked_up()])
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _looked_up(self) -> Sequence[Sample]:
        """Nothing of the store while it is away; the rest is told all the same."""
        try:
            return await self._look() if self._look is not None else ()
        except StoreError:
            return ()

    def _store(self) -> dict[str, bool]:
        database = self._domain.database
        return {"reads": not database.reads.tripped, "writes": not database.writes.tripped}
