"""Each person's own page: what holds for them, what is kept, and their choice.

Needs no login and no script. GET changes nothing, since scanners follow links; POST changes at once, for mail
already in the inbox too. The token in the URL is the permission: nobody who lacks the mail can make one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp_jinja2
from aiohttp import web

from tracker.consent import Consent, Contact, DoNotTrack, Mode, Question, decide
from tracker.domain import Domain
from tracker.errors import StoreError, TokenError
from tracker.store.deliveries import Sent
from tracker.store.register import Source, Statement
from tracker.tokens import Kind, read

TEXT_VERSION = "2026-11"
CHOICES = {
    "allow": "You may see whether I open your mail and which links I follow.",
    "anonymous": "Count me, but never by name.",
    "decline": "Do not measure my mail at all.",
}


class Preferences:
    """The handlers of `/p/TOKEN`."""

    def __init__(self, domain: Domain, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._domain = domain
        self._clock = clock

    async def show(self, request: web.Request) -> web.Response:
        """GET: the present state; changes nothing."""
        sent = await self._sent(request)
        return self._page(request, sent, sent.contact, saved=False)

    async def choose(self, request: web.Request) -> web.Response:
        """POST `choice=allow|anonymous|decline`: takes effect before the answer leaves."""
        sent = await self._sent(request)
        form = await request.post()
        choice = form.get("choice")
        if not isinstance(choice, str) or choice not in CHOICES:
            raise web.HTTPBadRequest(text="Please choose one of the three answers.")
        if sent.recipient is None or sent.contact.erased:
            return self._page(request, sent, sent.contact, saved=False)
        now = self._clock()
        await self._domain.register.record(
            [statement(sent.recipient, choice, sent.contact)],
            source=Source.PREFERENCE_PAGE,
            actor="",
            now=now,
        )
        contact = (await self._domain.contacts.ask((sent.recipient,)))[sent.recipient]
        return self._page(request, sent, contact, saved=True)

    async def _sent(self, request: web.Request) -> Sent:
        """The delivery the page is about. A link that names none, or one we forgot, gets a plain 404."""
        try:
            token = read(request.match_info["token"], self._domain.ring)
        except TokenError:
            raise web.HTTPNotFound from None
        if token.kind is not Kind.PREFERENCES:
            raise web.HTTPNotFound
        try:
            sent = await self._domain.deliveries.sent(token.subject)
        except StoreError:
            raise web.HTTPServiceUnavailable from None
        if sent is None:
            raise web.HTTPNotFound
        return sent

    def _page(self, request: web.Request, sent: Sent, contact: Contact, *, saved: bool) -> web.Response:
        context: dict[str, Any] = {
            "address": masked(sent.recipient),
            "sender": sent.sender,
            "state": self._state(contact),
            "erased": contact.erased,
            "choices": CHOICES,
            "chosen": chosen(contact),
            "saved": saved,
        }
        return aiohttp_jinja2.render_template("preferences.html", request, context)

    def _state(self, contact: Contact) -> Mode:
        """What a mail sent to this person today would measure."""
        return decide(Question(contact=contact, reading=self._domain.policy.reading())).mode


def statement(address: str, choice: str, contact: Contact) -> Statement:
    """What a choice says, with the text the person saw as its evidence."""
    evidence = {"text": CHOICES[choice], "version": TEXT_VERSION, "form": "preference page"}
    if choice == "decline":
        refusal = Consent.WITHDRAWN if contact.consent is Consent.GRANTED else Consent.DENIED
        return Statement(address=address, consent=refusal, evidence=evidence)
    loose = DoNotTrack.TRUE if choice == "anonymous" else DoNotTrack.FALSE
    return Statement(address=address, consent=Consent.GRANTED, do_not_track=loose, evidence=evidence)


def chosen(contact: Contact) -> str:
    """The choice that stands; `""` while the person has not spoken."""
    if contact.consent in (Consent.DENIED, Consent.WITHDRAWN):
        return "decline"
    if contact.do_not_track is DoNotTrack.TRUE:
        return "anonymous"
    return "allow" if contact.consent is Consent.GRANTED else ""


def masked(address: str | None) -> str:
    """Enough for the owner to know the address by, too little for whoever the mail was forwarded to."""
    local, _, domain = (address or "").rpartition("@")
    return f"{local[:1]}•••@{domain}" if local else ""
