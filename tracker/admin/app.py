"""The operator's listener: pages for people who sign in, and what programs ask that watch over us."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web

from tracker import log
from tracker.admin import signing_in, wording
from tracker.admin.access import Access
from tracker.admin.api.app import PREFIX as API
from tracker.admin.api.app import build as api_application
from tracker.admin.frame import ACCESS, DESK, DOMAIN, framed, guarded, headed
from tracker.admin.live import FEED, Feed, stream
from tracker.admin.monitoring import Monitoring
from tracker.admin.pages import (
    alerts,
    campaigns,
    clickmap,
    contacts,
    conversions,
    deliveries,
    domains,
    engagement,
    figures,
    glossary,
    health,
    home,
    links,
    messages,
    queue,
    register,
    requests,
    segments,
    suppressions,
)
from tracker.admin.previews import PREVIEWS, Previews
from tracker.admin.verification import Verification
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.glossary import TERMS
from tracker.metrics import Sheet
from tracker.refusals import HANDLING, listen

_HERE = Path(__file__).parent
_MOST_FORM = 64 * 1024


class AdminFace:
    """The operator's server on its socket; does nothing where `[admin] listen` is empty."""

    def __init__(
        self,
        domain: Domain,
        monitoring: Monitoring | None = None,
        *,
        previews: Previews | None = None,
        desk: Desk | None = None,
    ) -> None:
        """`previews`: of whoever keeps messages as they came, if somebody does. `desk`: what may be seen and done of
        mail, where somebody here knows of it."""
        self._domain = domain
        app = build(domain, monitoring or Monitoring(domain, Sheet()), previews, desk)
        self._runner = web.AppRunner(app, handle_signals=False, **HANDLING)
        self._listener: asyncio.Server | None = None

    async def start(self) -> str | None:
        """Listens where the configuration says; gives the URL. Raises CannotListen."""
        if not self._domain.config.admin.listen:
            return None
        await self._runner.setup()
        self._listener = await listen(self._runner, "[admin] listen", self._domain.config.admin.listen)
        bound = self._listener.sockets[0].getsockname()
        name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        url = f"http://{name}:{bound[1]}"
        log.listening("admin", url)
        return url

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        await self._runner.cleanup()


def build(
    domain: Domain, monitoring: Monitoring, previews: Previews | None = None, desk: Desk | None = None
) -> web.Application:
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
    app[FEED] = Feed(domain)
    app.on_response_prepare.append(headed)
    app.on_shutdown.append(_end_streams)
    router = app.router
    monitoring.add_to(router)
    _with_desk(app, domain, monitoring, desk)
    router.add_static("/static/", _HERE / "static")
    _add_pages(router)
    app.add_subapp(API, api_application(domain, desk))
    return app


def _add_pages(router: web.UrlDispatcher) -> None:
    """Who signs in, people, and numbers."""
    router.add_get("/sign-in", signing_in.show)
    router.add_post("/sign-in", signing_in.sign_in)
    router.add_post("/sign-out", signing_in.sign_out)
    router.add_get("/", home.shown)
    router.add_get("/live", stream, allow_head=False)
    router.add_get("/messages", messages.listed)
    router.add_get("/messages/{id}", messages.shown)
    router.add_get("/messages/{id}/figures", messages.figures)
    router.add_get("/messages/{id}/links", clickmap.shown)
    router.add_get("/messages/{id}/preview", clickmap.preview)
    router.add_get("/departments", engagement.departments)
    router.add_get("/departments/{id}", engagement.read_by)
    router.add_get("/leads", engagement.leading)
    router.add_get("/quiet", engagement.gone_quiet)
    router.add_get("/domains", domains.shown)
    router.add_get("/links", links.shown)
    router.add_get("/campaigns", campaigns.listed)
    router.add_get("/campaign", campaigns.shown, name="campaign")
    router.add_get("/conversions", conversions.shown)
    router.add_get("/contacts", contacts.listed)
    router.add_get("/contact", contacts.found)
    router.add_get("/contacts/{id}", contacts.shown)
    router.add_get("/contacts/{id}/history", contacts.history)
    router.add_post("/contacts/{id}/consent", contacts.say)
    router.add_post("/contacts/{id}/export", contacts.export)
    router.add_post("/contacts/{id}/anonymize", contacts.anonymize)
    router.add_post("/contacts/{id}/erase", contacts.erase)
    router.add_get("/segments", segments.listed)
    router.add_post("/segments", segments.save)
    router.add_get("/segments/build", segments.build)
    router.add_post("/segments/delete", segments.delete)
    router.add_get("/segment", segments.one)
    router.add_get("/alerts", alerts.listed)
    router.add_get("/requests", requests.listed)
    router.add_post("/requests/{id}", requests.settle)
    router.add_get("/audit", requests.audit)
    router.add_get("/glossary", glossary.shown)
    router.add_get("/charts/{key}.csv", figures.as_file)


def _with_desk(app: web.Application, domain: Domain, monitoring: Monitoring, desk: Desk | None) -> None:
    """What becomes of mail, and what all of it rests on."""
    app[DESK] = desk
    app[health.MONITORING] = monitoring
    app[register.VERIFICATION] = Verification(domain)
    app.on_cleanup.append(_end_verification)
    router = app.router
    router.add_get("/deliveries", deliveries.listed)
    router.add_get("/deliveries/{id}", deliveries.shown)
    router.add_get("/bounces", deliveries.bounces)
    router.add_get("/queue", queue.listed)
    router.add_get("/queue/confirm", queue.asked)
    router.add_get("/queue/domains", queue.domains)
    router.add_get("/queue/{message}", queue.shown)
    router.add_post("/queue/{message}/original", queue.original)
    router.add_post("/queue/{verb}", queue.done)
    router.add_get("/suppressions", suppressions.listed)
    router.add_post("/suppressions", suppressions.add)
    router.add_get("/suppressions/{key}", suppressions.asked)
    router.add_post("/suppressions/{key}/lift", suppressions.lift)
    router.add_get("/register", register.listed)
    router.add_post("/register/verify", register.verify)
    router.add_post("/register/sign", register.sign)
    router.add_get("/register/heads", register.heads_listed)
    router.add_get("/register/heads/{seq}", register.head_document)
    router.add_get("/contacts/{id}/proof", register.proof)
    router.add_get("/health", health.shown)


async def _end_verification(app: web.Application) -> None:
    await app[register.VERIFICATION].stop()


async def _end_streams(app: web.Application) -> None:
    await app[FEED].close()
