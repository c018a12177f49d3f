"""The register of consent: its rows, whether the chain holds, its signed heads, and one person's proof to print."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tracker.admin.access import Role
from tracker.admin.frame import DOMAIN, VISITOR, actor, needs, page
from tracker.admin.listing import table_page
from tracker.admin.tables import Column, view
from tracker.admin.verification import Verification
from tracker.heads import Head
from tracker.moments import isoformat
from tracker.reports.people import address_of
from tracker.reports.register import Kind, LedgerRow, find_rows, head, heads, ledger_end
from tracker.store.audit import Action
from tracker.store.register import Source

VERIFICATION = web.AppKey("verification", Verification)
_KINDS = {
    Kind.CONSENT: "tracking consent",
    Kind.DO_NOT_TRACK: "do not track",
    Kind.OVERRIDE: "consent passed over",
    Kind.STATUS: "erasure",
    Kind.ERASED: "content erased",
}
COLUMNS = (
    Column(key="seq", title="Row", sorts=True, is_number=True),
    Column(key="recorded", title="Recorded"),
    Column(key="person", title="Person"),
    Column(key="kind", title="What"),
    Column(key="new", title="Said"),
    Column(
        key="holds",
        title="Proof",
        about="Whether the row is in itself what was committed to when it was written. That no row is missing or was "
        "put in is shown by verifying the whole chain.",
    ),
    Column(
        key="effective",
        title="Had effect",
        about="A grant undoes a person's own refusal only if it is later and carries evidence; what had no effect is "
        "kept all the same.",
    ),
    Column(key="source", title="Through"),
    Column(key="evidence", title="Evidence"),
    Column(key="old", title="Before"),
    Column(key="actor", title="By"),
)
HEAD_COLUMNS = (
    Column(key="seq", title="Row", sorts=True, is_number=True),
    Column(key="signed", title="Signed"),
    Column(key="key", title="Key", about="Of the key ring, by its id."),
    Column(key="hash", title="Hash of that row"),
)


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /register?search=…&kind=…&source=…"""
    return await _show(request)


@needs(Role.OPERATOR)
async def verify(request: web.Request) -> web.StreamResponse:
    """POST /register/verify: begins to walk the whole chain."""
    verification = request.app[VERIFICATION]
    if not verification.is_running:
        await _note(request, Action.VERIFY)
        verification.start(actor(request))
    raise web.HTTPSeeOther("/register")


@needs(Role.OPERATOR)
async def sign(request: web.Request) -> web.StreamResponse:
    """POST /register/sign: the chain's present end, signed."""
    await _note(request, Action.SIGN)
    signed = await request.app[DOMAIN].proof.head(datetime.now(UTC))
    told = "Nobody has said anything yet." if signed is None else f"Signed at row {signed.seq}."
    return await _show(request, told)


async def heads_listed(request: web.Request) -> web.StreamResponse:
    """GET /register/heads"""
    domain = request.app[DOMAIN]
    asked = view(request.query, HEAD_COLUMNS, sort="seq")

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await heads(domain, limit=limit, offset=offset, descending=asked.descending)
        return [_head_row(one) for one in found]

    return await table_page(request, "heads.html", asked, HEAD_COLUMNS, rows, name="heads")


async def head_document(request: web.Request) -> web.Response:
    """GET /register/heads/ROW: to be kept where nobody here can change it; `candor consent verify --head` reads it."""
    text = request.match_info["seq"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise web.HTTPNotFound
    found = await head(request.app[DOMAIN], int(text))
    return _document(found.document(), f"head-{found.seq}.json")


async def proof(request: web.Request) -> web.Response:
    """GET /contacts/ID/proof: all a person ever said, with what proves it, to be printed; `format=json` for
    programs."""
    text, domain = request.match_info["id"], request.app[DOMAIN]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise web.HTTPNotFound
    address = await address_of(domain, int(text))
    if address is None:
        raise web.HTTPNotFound
    await _note(request, Action.EXPORT, contact_id=int(text), about="proof of consent")
    found = await domain.proof.history(address)
    if request.query.get("format") == "json":
        return _document(found, f"proof-{text}.json")
    return page(request, "proof.html", {**found, "id": int(text), "printed_at": datetime.now(UTC)})


async def _show(request: web.Request, told: str = "") -> web.StreamResponse:
    domain = request.app[DOMAIN]
    asked = view(request.query, COLUMNS, sort="seq", filters=("kind", "source"))
    kind, source = asked.filters.get("kind", ""), asked.filters.get("source", "")

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await find_rows(
            domain,
            person=asked.search,
            kind=kind if kind in set(Kind) else "",
            source=source if source in set(Source) else "",
            descending=asked.descending,
            limit=limit,
            offset=offset,
        )
        return [_row(one) for one in found]

    if asked.is_csv:
        return await table_page(
            request,
            "register.html",
            asked,
            COLUMNS,
            rows,
            name="register",
            names=Action.EXPORT,
            about="the register of consent",
        )
    verification = request.app[VERIFICATION]
    latest = await heads(domain, limit=1)
    more = {
        "told": told,
        "end": await ledger_end(domain),
        "walk": verification.walk,
        "is_running": verification.is_running,
        "head": latest[0] if latest else None,
        "kinds": _KINDS,
        "sources": list(Source),
        "may_act": request[VISITOR].role >= Role.OPERATOR,
        "narrowed": bool(asked.search or asked.filters),
    }
    return await table_page(request, "register.html", asked, COLUMNS, rows, name="register", more=more)


def _document(found: dict[str, Any], name: str) -> web.Response:
    return web.Response(
        body=json.dumps(found, indent=2).encode(),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


async def _note(
    request: web.Request, action: Action, *, contact_id: int | None = None, about: str = ""
) -> None:
    audit = request.app[DOMAIN].audit
    await audit.note(action, contact_id, actor=actor(request), now=datetime.now(UTC), about=about)


def _row(one: LedgerRow) -> dict[str, Any]:
    links = {}
    if one.address is not None:
        links = {"person": f"/contacts/{one.contact_id}", "holds": f"/contacts/{one.contact_id}/proof"}
    return {
        "links": links,
        "seq": one.seq,
        "recorded": isoformat(one.recorded_at),
        "person": one.address or "(erased)",
        "kind": _KINDS[Kind(one.kind)] if one.kind in set(Kind) else one.kind,
        "old": one.old,
        "new": one.new,
        "source": one.source,
        "actor": one.actor,
        "effective": "" if one.effective is None else "yes" if one.effective else "no",
        "evidence": one.evidence,
        "holds": "holds" if one.holds else "DOES NOT HOLD",
    }


def _head_row(one: Head) -> dict[str, Any]:
    return {
        "links": {"seq": f"/register/heads/{one.seq}"},
        "seq": one.seq,
        "signed": one.signed_at,
        "key": one.key_id.hex(),
        "hash": one.hash.hex(),
    }
