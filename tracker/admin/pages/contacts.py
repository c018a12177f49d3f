"""The people, and one of them: what they said, what follows from it, what they got, and their rights."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from tracker.address import normalize
from tracker.admin.access import Role
from tracker.admin.frame import DOMAIN, VISITOR, needs, page
from tracker.admin.listing import table_page
from tracker.admin.tables import Column, view
from tracker.consent import Consent, DoNotTrack, Question, steps
from tracker.domain import Domain
from tracker.errors import InvalidAddress, NotFound
from tracker.moments import isoformat
from tracker.policy import circumstances
from tracker.reports.history import Entry, Happening, history_of
from tracker.reports.people import ListedPerson, Received, address_of, find_people, mail_of
from tracker.statements import parse_statement
from tracker.store.audit import Action
from tracker.store.register import Effect, Source

_LATEST = 20
_LONGEST_NOTE = 500
COLUMNS = (
    Column(key="address", title="Address", sorts=True),
    Column(key="consent", title="Consent", sorts=True, about="What they said about being measured by name."),
    Column(key="since", title="Said", sorts=True),
    Column(
        key="do_not_track",
        title="Do not track",
        sorts=True,
        about="true: counted without a name; unset: they never said, and the policy decides.",
    ),
    Column(key="country", title="Country", sorts=True),
    Column(key="group", title="Group", sorts=True),
)

HISTORY_COLUMNS = (
    Column(key="at", title="When"),
    Column(key="what", title="What"),
    Column(key="text", title="Of what", about="The mail’s subject, where the link leads, or what they said."),
    Column(
        key="detail",
        title="How",
        about="A mail’s state and why it was (not) measured; a mail program; through what they said it.",
    ),
)
_WORDS = {
    Happening.MAIL: "got mail",
    Happening.OPENED: "opened",
    Happening.CLICKED: "followed a link",
    Happening.SAID: "said",
}


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /contacts?search=…"""
    asked = view(request.query, COLUMNS, sort="address", descending=False)
    domain = request.app[DOMAIN]

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_people(
            domain, asked.search, sort=asked.sort, descending=asked.descending, limit=limit, offset=offset
        )
        return [_row(one) for one in found]

    return await table_page(
        request, "contacts.html", asked, COLUMNS, rows, name="contacts", names=Action.EXPORT_CONTACTS
    )


async def found(request: web.Request) -> web.Response:
    """GET /contact?address=…: the person's page; their mail, of whom nothing but mail is known."""
    address = request.query.get("address", "")
    try:
        person = await request.app[DOMAIN].contacts.show(address)
    except (NotFound, InvalidAddress):
        raise web.HTTPSeeOther(f"/messages?search={quote(address)}") from None
    raise web.HTTPSeeOther(f"/contacts/{person.id}")


async def history(request: web.Request) -> web.StreamResponse:
    """GET /contacts/ID/history: mail, what they did with it, and what they said, latest first."""
    contact_id, domain = _id(request), request.app[DOMAIN]
    address = await _living(domain, contact_id)
    asked = view(request.query, HISTORY_COLUMNS, sort="at")
    is_measured = (await history_of(domain, address, limit=1)).is_measured

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        part = await history_of(domain, address, limit=limit, offset=offset)
        return [_history_row(one) for one in part.entries]

    return await table_page(
        request,
        "history.html",
        asked,
        HISTORY_COLUMNS,
        rows,
        name=f"history-{contact_id}",
        more={"number": contact_id, "address": address, "is_measured": is_measured},
        names=Action.EXPORT,
        contact=contact_id,
    )


async def shown(request: web.Request) -> web.Response:
    """GET /contacts/ID"""
    return await _show(request, _id(request))


@needs(Role.OPERATOR)
async def say(request: web.Request) -> web.Response:
    """POST /contacts/ID/consent: takes down what the person said elsewhere, with where it can be looked up."""
    contact_id, domain = _id(request), request.app[DOMAIN]
    address = await _living(domain, contact_id)
    form = await request.post()
    note = str(form.get("evidence", "")).strip()
    if not note or len(note) > _LONGEST_NOTE:
        raise web.HTTPBadRequest
    fields = {key: str(form[key]) for key in ("tracking_consent", "do_not_track") if form.get(key)}
    if not fields:
        raise web.HTTPBadRequest
    said = parse_statement(address, fields, evidence={"note": note})
    actor, now = _actor(request), datetime.now(UTC)
    await domain.audit.note(Action.CONSENT, contact_id, actor=actor, now=now)
    (recorded,) = await domain.register.record([said], source=Source.OPERATOR_PAGE, actor=actor, now=now)
    told = "Taken down; it holds from now on."
    if recorded.effect is Effect.NOT_EFFECTIVE:
        told = f"Taken down, without effect: {recorded.reason}."
    elif recorded.effect is not Effect.CHANGED:
        told = "That is what was known already."
    return await _show(request, contact_id, told)


@needs(Role.OPERATOR)
async def export(request: web.Request) -> web.Response:
    """POST /contacts/ID/export: everything that is kept of them, as JSON (GDPR art. 15 and 20)."""
    contact_id, domain = _id(request), request.app[DOMAIN]
    address = await _living(domain, contact_id)
    now = datetime.now(UTC)
    await domain.audit.note(Action.EXPORT, contact_id, actor=_actor(request), now=now)
    found = await domain.rights.export(address, now)
    return web.Response(
        body=json.dumps(found, indent=2).encode(),
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="contact-{contact_id}.json"',
            "Cache-Control": "no-store",
        },
    )


@needs(Role.OPERATOR)
async def anonymize(request: web.Request) -> web.Response:
    """POST /contacts/ID/anonymize: what they did becomes counts without a name."""
    contact_id, domain = _id(request), request.app[DOMAIN]
    address = await _living(domain, contact_id)
    await _sure(request)
    actor, now = _actor(request), datetime.now(UTC)
    await domain.audit.note(Action.ANONYMIZE, contact_id, actor=actor, now=now)
    found = await domain.rights.anonymize(address, source=Source.OPERATOR_PAGE, actor=actor, now=now)
    return await _show(
        request, contact_id, f"Anonymised: {found.events} of their opens and clicks name nobody now."
    )


@needs(Role.ADMIN)
async def erase(request: web.Request) -> web.Response:
    """POST /contacts/ID/erase (GDPR art. 17)."""
    contact_id, domain = _id(request), request.app[DOMAIN]
    address = await _living(domain, contact_id)
    await _sure(request)
    actor, now = _actor(request), datetime.now(UTC)
    await domain.audit.note(Action.ERASE, contact_id, actor=actor, now=now)
    await domain.erasure.erase(address, actor=actor, now=now)
    return await _show(request, contact_id, "Erased. A keyed hash stays, so that nobody tracks them again.")


async def _show(request: web.Request, contact_id: int, told: str = "") -> web.Response:
    domain = request.app[DOMAIN]
    address = await address_of(domain, contact_id)
    if address is None:
        return page(request, "erased.html", {"told": told, "number": contact_id})
    person = await domain.contacts.show(address)
    contact = (await domain.contacts.ask((address,)))[address]
    about = circumstances(contact, address=address, sender="", message_class=None)
    history = await domain.proof.history(address)
    context = {
        "told": told,
        "person": person,
        "steps": list(steps(Question(contact=contact, reading=domain.policy.reading(about)))),
        "history": list(reversed(history["rows"])),
        "mail": [_received(one) for one in await mail_of(domain, normalize(address), limit=_LATEST)],
        "consents": [one for one in Consent if one is not Consent.UNKNOWN],
        "tracks": list(DoNotTrack),
        "role": request[VISITOR].role,
        "roles": Role,
    }
    return page(request, "contact.html", context)


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise web.HTTPNotFound
    return int(text)


async def _living(domain: Domain, contact_id: int) -> str:
    """The address of somebody who is not erased."""
    address = await address_of(domain, contact_id)
    if address is None:
        raise web.HTTPNotFound
    return address


async def _sure(request: web.Request) -> None:
    if (await request.post()).get("sure") != "yes":
        raise web.HTTPBadRequest


def _actor(request: web.Request) -> str:
    return request[VISITOR].name or "local"


def _row(one: ListedPerson) -> dict[str, Any]:
    return {
        "href": f"/contacts/{one.id}",
        "address": one.address,
        "consent": one.consent,
        "since": isoformat(one.since) if one.since else None,
        "do_not_track": one.do_not_track,
        "country": one.country,
        "group": one.group,
    }


def _history_row(one: Entry) -> dict[str, Any]:
    return {
        "at": isoformat(one.at),
        "what": _WORDS[one.what],
        "text": one.text,
        "detail": one.detail,
        "links": {"text": f"/messages/{one.message.hex()}"} if one.message else {},
    }


def _received(one: Received) -> dict[str, Any]:
    return {
        "href": f"/messages/{one.message_id.hex()}",
        "received": isoformat(one.received_at),
        "subject": one.subject or "(no subject)",
        "status": one.status,
        "mode": one.mode,
        "reason": one.reason,
        "opened": isoformat(one.first_open) if one.first_open else None,
        "clicked": isoformat(one.first_click) if one.first_click else None,
        "clicks": one.clicks,
    }
