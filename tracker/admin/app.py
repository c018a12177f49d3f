"""The operator's listener: pages for people who sign in, and what programs ask that watch over us."""

from __future__ import annotations

from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web

from tracker import log
from tracker.admin import signing_in, wording
from tracker.admin.access import Access
from tracker.admin.frame import ACCESS, DOMAIN, framed, guarded
from tracker.admin.monitoring import Monitoring
from tracker.admin.pages import campaigns, contacts, conversions, glossary, home, messages, requests
from tracker.admin.previews import PREVIEWS, Previews
from tracker.config import parse_listen
from tracker.domain import Domain
from tracker.glossary import TERMS
from tracker.httplog import retelling
from tracker.listening import listening
from tracker.metrics import Sheet

_HERE = Path(__file__).parent
_MOST_FORM = 64 * 1024


class AdminFace:
    """The operator's server on its socket; does nothing where `[admin] listen` is empty."""

    def __init__(
        self, domain: Domain, monitoring: Monitoring | None = None, *, previews: Previews | None = None
    ) -> None:
        """`previews`: of whoever keeps messages as they came, if somebody does."""
        self._domain = domain
        app = build(domain, monitoring or Monitoring(domain, Sheet()), previews)
        self._runner = web.AppRunner(app, access_log=None, logger=retelling(), handle_signals=False)

    async def start(self) -> str | None:
        """Listens where the configuration says; gives the URL. Raises CannotListen."""
        if not self._domain.config.admin.listen:
            return None
        host, port = parse_listen(self._domain.config.admin.listen)
        await self._runner.setup()
        with listening("[admin] listen", self._domain.config.admin.listen):
            await web.TCPSite(self._runner, host or None, port).start()
        bound = self._runner.addresses[0]
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        url = f"http://{name}:{bound[1]}"
        log.listening("admin", url)
        return url

    async def stop(self) -> None:
        await self._runner.cleanup()


def build(domain: Domain, monitoring: Monitoring, previews: Previews | None = None) -> web.Application:
    """The operator's application."""
    app = web.Application(middlewares=[framed, guarded], client_max_size=_MOST_FORM)
    templates = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=jinja2.select_autoescape(default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=wording.filters(lambda: domain.config.admin.zone),
    )
    templates.globals["glossary"] = TERMS
    app[DOMAIN] = domain
    if previews is not None:
        app[PREVIEWS] = previews
    app[ACCESS] = Access(lambda: domain.config.admin, domain.ring)
    app.on_response_prepare.append(_nameless)
    router = app.router
    monitoring.add_to(router)
    router.add_static("/static/", _HERE / "static")
    router.add_get("/sign-in", signing_in.show)
    router.add_post("/sign-in", signing_in.sign_in)
    router.add_post("/sign-out", signing_in.sign_out)
    router.add_get("/", home.shown)
    router.add_get("/messages", messages.listed)
    router.add_get("/messages/{id}", messages.shown)
    router.add_get("/campaigns", campaigns.listed)
    router.add_get("/campaign", campaigns.shown, name="campaign")
    router.add_get("/conversions", conversions.shown)
    router.add_get("/contacts", contacts.listed)
    router.add_get("/contacts/{id}", contacts.shown)
    router.add_post("/contacts/{id}/consent", contacts.say)
    router.add_post("/contacts/{id}/export", contacts.export)
    router.add_post("/contacts/{id}/anonymize", contacts.anonymize)
    router.add_post("/contacts/{id}/erase", contacts.erase)
    router.add_get("/requests", requests.listed)
    router.add_post("/requests/{id}", requests.settle)
    router.add_get("/audit", requests.audit)
    router.add_get("/glossary", glossary.shown)
    return app


async def _nameless(request: web.Request, response: web.StreamResponse) -> None:
    """Which library and version answers is nobody's business."""
    response.headers["Server"] = "candor"
