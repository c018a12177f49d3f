"""Each person's own page: what holds for them, what is kept, and their choice.

Needs no login and no script. GET changes nothing, since scanners follow links; POST changes at once, for mail
already in the inbox too. The token in the URL is the permission: nobody who lacks the mail can make one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from markupsafe import Markup

from tracker.consent import Consent, Contact, DoNotTrack, Mode, Question, decide
from tracker.domain import Domain
from tracker.errors import StoreError, TokenError
from tracker.statements import Statement
from tracker.store.deliveries import Sent
from tracker.store.register import Effect, Source
from tracker.store.requests import RequestKind
from tracker.tokens import Kind, read
from tracker.web import wording
from tracker.words import Words

TEXT_VERSION = "2026-11"
_STRONG = Markup("<strong><bdi>{}</bdi></strong>")
CHOICES = ("allow", "anonymous", "decline")


class Preferences:
    """The handlers of `/p/TOKEN`."""

    def __init__(self, domain: Domain, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._domain = domain
        self._clock = clock

    async def show(self, request: web.Request) -> web.Response:
        """GET: the present state; changes nothing."""
        sent = await self._sent(request)
        if request.method == "GET" and self._is_identified(sent):
            self._domain.verdicts.visited(sent.delivery_id, self._clock())
        return self._page(request, sent, sent.contact)

    def _is_identified(self, sent: Sent) -> bool:
        """Are this delivery's hits on record by name, then and today?"""
        return sent.decision.mode is Mode.IDENTIFIED and self._state(sent, sent.contact) is Mode.IDENTIFIED

    async def choose(self, request: web.Request) -> web.Response:
        """POST `choice=allow|anonymous|decline`: takes effect before the answer leaves."""
        if request.headers.get("Sec-Fetch-Site") == "cross-site":  # whoever gave another site the link
            raise web.HTTPBadRequest
        sent = await self._sent(request)
        form = await _form(request)
        if self._is_identified(sent):
            self._domain.verdicts.chose(sent.delivery_id, self._clock())
        if sent.recipient is None or sent.contact.erased:
            return self._page(request, sent, sent.contact)
        if "request" in form:
            return await self._request(request, sent, sent.recipient, form)
        choice = _one_of(form, "choice", CHOICES)
        words = wording.words(request)
        said = statement(sent.recipient, choice, sent.contact, words)
        (recorded,) = await self._domain.register.record(
            [said], source=Source.PREFERENCE_PAGE, actor="", now=self._clock()
        )
        if recorded.effect is Effect.NOT_EFFECTIVE:
            return self._page(
                request,
                sent,
                await self._today(sent.recipient, sent.contact),
                note=words["not_saved"],
                failed=True,
            )
        contact = await self._today(sent.recipient, after(said, sent.contact))
        return self._page(request, sent, contact, note=words["saved"])

    async def _request(
        self, request: web.Request, sent: Sent, recipient: str, form: Mapping[str, list[str]]
    ) -> web.Response:
        """A wish for one's data, or for its erasure, where the configuration lets the page take it."""
        how, words = self._domain.config.preferences.data_requests, wording.words(request)
        if how == "contact":
            raise web.HTTPBadRequest
        kind = RequestKind(_one_of(form, "request", tuple(RequestKind)))
        if kind is RequestKind.EXPORT:
            # Whoever was forwarded the mail has the link too: what is kept goes to the address, never to the page.
            await self._domain.requests.ask(recipient, kind, self._clock())
            note = words.say("asked_export", address=masked(recipient))
            return self._page(request, sent, sent.contact, note=note)
        _one_of(form, "sure", ("yes",))
        if how == "queue":
            await self._domain.requests.ask(recipient, kind, self._clock())
            return self._page(request, sent, sent.contact, note=words["asked_erase"])
        await self._domain.erasure.erase(recipient, actor="preference page", now=self._clock())
        return self._page(request, sent, replace(sent.contact, erased=True), note=words["erased_now"])

    async def _today(self, recipient: str, otherwise: Contact) -> Contact:
        """The contact as it is now. What was saved stays saved when the store cannot be asked afterwards."""
        try:
            return (await self._domain.contacts.ask((recipient,)))[recipient]
        except StoreError:
            return otherwise

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

    def _page(
        self, request: web.Request, sent: Sent, contact: Contact, *, note: str = "", failed: bool = False
    ) -> web.Response:
        state = self._state(sent, contact)
        words, house = wording.words(request), wording.house_of(request)
        context: dict[str, Any] = {
            "about": self._about(words, sent, house.sender_name),
            "state": state,
            "erased": contact.erased,
            "choices": CHOICES,
            "chosen": chosen(contact, state),
            "note": note,
            "failed": failed,
            "kept": words.say(f"kept_{state}", years=self._domain.config.retention.events_years)
            if state is Mode.IDENTIFIED
            else words[f"kept_{state}"],
            "data": house.data(words),
            "overridden": sent.decision.override and sent.decision.mode is not Mode.UNTRACKED,
            "looked": sent.decision.mode is Mode.IDENTIFIED and state is Mode.IDENTIFIED,
        }
        return wording.page("preferences.html", request, context)

    def _about(self, words: Words, sent: Sent, name: str) -> Markup:
        sender = " ".join(filter(None, (name, f"({sent.sender})" if name and sent.sender else sent.sender)))
        address = _STRONG.format(masked(sent.recipient))
        if not sender:
            return words.say("about", address=address)
        return words.say("about_from", address=address, sender=_STRONG.format(sender))

    def _state(self, sent: Sent, contact: Contact) -> Mode:
        """What a mail like this one, sent to this person today, would measure."""
        reading = self._domain.policy.reading(replace(sent, contact=contact).circumstances())
        return decide(Question(contact=contact, reading=reading)).mode


async def _form(request: web.Request) -> dict[str, list[str]]:
    """The form's fields. Raises HTTPBadRequest for what is no form."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPBadRequest
    try:
        return parse_qs((await request.read()).decode("ascii"), max_num_fields=10)
    except (ValueError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest from error


def _one_of(form: Mapping[str, list[str]], name: str, allowed: Collection[str]) -> str:
    """The field's one answer. Raises HTTPBadRequest for none, several, or none of ours."""
    answers = form.get(name, [])
    if len(answers) != 1 or answers[0] not in allowed:
        raise web.HTTPBadRequest
    return answers[0]


def statement(address: str, choice: str, contact: Contact, words: Words) -> Statement:
    """What a choice says, with the text the person saw as its evidence."""
    evidence = {
        "text": words.plain(choice),
        "language": words.language,
        "version": TEXT_VERSION,
        "form": "preference page",
    }
    if choice == "decline":
        agreed_once = contact.consent in (Consent.GRANTED, Consent.WITHDRAWN)
        refusal = Consent.WITHDRAWN if agreed_once else Consent.DENIED
        return Statement(address=address, consent=refusal, evidence=evidence)
    loose = DoNotTrack.TRUE if choice == "anonymous" else DoNotTrack.FALSE
    return Statement(address=address, consent=Consent.GRANTED, do_not_track=loose, evidence=evidence)


def after(said: Statement, contact: Contact) -> Contact:
    """The contact once the statement holds."""
    return replace(
        contact,
        consent=said.consent or contact.consent,
        do_not_track=said.do_not_track or contact.do_not_track,
    )


def chosen(contact: Contact, state: Mode) -> str:
    """The choice that stands; `""` while the person has not spoken: an answer ticked beforehand is no consent
    (CJEU C-673/17, Planet49)."""
    if contact.consent in (Consent.DENIED, Consent.WITHDRAWN):
        return "decline"
    if contact.consent is Consent.UNKNOWN:
        return ""
    return "allow" if state is Mode.IDENTIFIED else "anonymous"


def masked(address: str | None) -> str:
    """Enough for the owner to know the address by, too little for whoever the mail was forwarded to."""
    local, _, domain = (address or "").rpartition("@")
    return f"{local[:1]}•••@{domain}" if local else ""
