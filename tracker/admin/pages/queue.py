"""What waits to be sent on, and what an operator does about it.

Every action has a page of its own that says what it would be done to, then a form. A list leaves out what it does not
understand; an action refuses it, so that a slip never makes it act on more than was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tracker.admin.access import Role
from tracker.admin.frame import DESK, DOMAIN, VISITOR, actor, needs, page
from tracker.admin.listing import in_order, table_page
from tracker.admin.tables import Column, View, view
from tracker.admin.wording import many
from tracker.desk import OLDER, STATES, Counted, Desk, Done, Waiting, Wanted
from tracker.errors import NotFound
from tracker.moments import isoformat
from tracker.reports.deliveries import tries_of
from tracker.store.audit import Action
from tracker.store.deliveries import Attempt

_DOMAINS = 20
_MOST_DOMAINS = 100_000
_MOST_OF_ONE = 500
"""Recipients of one message on its page; the list has them all."""
_LONGEST = 200
_LONGEST_REASON = 400
_FILTERS = ("state", "domain", "reply", "older")
_HEX = re.compile(r"[0-9a-f]{1,32}\Z")
COLUMNS = (
    Column(key="recipient", title="Recipient", sorts=True),
    Column(key="subject", title="Message"),
    Column(
        key="state",
        title="State",
        sorts=True,
        about="Waiting: for its next try. Sending: in a worker's hands now. Held: by an operator, until released. "
        "Damaged: what the store holds of it cannot be read.",
    ),
    Column(key="next", title="Next try", sorts=True),
    Column(key="tries", title="Tries", sorts=True, is_number=True),
    Column(key="answer", title="Last answer", about="What the other side said at the latest try."),
    Column(
        key="since",
        title="Waits since",
        sorts=True,
        about="When it came into the queue, by the store's clock.",
    ),
    Column(key="sender", title="Sender", sorts=True),
    Column(key="domain", title="Domain", sorts=True),
)
VERBS: Mapping[str, Action] = {
    "retry": Action.RETRY,
    "hold": Action.HOLD,
    "release": Action.RELEASE,
    "drop": Action.DROP,
}
_DONE = {"retry": "due now", "hold": "held", "release": "released", "drop": "dropped"}
WORDS = {
    "retry": ("Try now", "What waits for its next try is due at once. What is held stays held."),
    "hold": ("Hold", "Not tried and never expired until somebody releases it."),
    "release": ("Release", "What was held, or set aside because it could not be read, is tried again."),
    "drop": ("Drop", "Given up for good. What became of it, and who dropped it, stays on record."),
}


async def listed(request: web.Request) -> web.StreamResponse:
    """GET /queue?search=…&state=…&domain=…&reply=…"""
    desk = request.app[DESK]
    asked = view(request.query, COLUMNS, sort="since", descending=False, filters=_FILTERS)
    if desk is None:
        return page(request, "queue.html", {"desk": None})
    wanted = _leniently(asked)

    async def rows(limit: int, offset: int) -> list[dict[str, Any]]:
        found = await desk.waiting(
            wanted, sort=asked.sort, descending=asked.descending, limit=limit, offset=offset
        )
        return [_row(one) for one in found]

    if asked.is_csv:
        names, about = Action.EXPORT, "the queue"
        return await table_page(
            request, "queue.html", asked, COLUMNS, rows, name="queue", names=names, about=about
        )
    more = {
        "desk": desk,
        "standing": await desk.standing(domains=_DOMAINS),
        "counted": await desk.count(wanted),
        "narrowed": wanted != Wanted(),
        "fields": _fields(wanted),
        "states": STATES,
        "ages": tuple(OLDER),
        **_may(request, desk),
    }
    return await table_page(request, "queue.html", asked, COLUMNS, rows, name="queue", more=more)


async def domains(request: web.Request) -> web.StreamResponse:
    """GET /queue/domains?search=…: how many wait for each domain, and for how long."""
    standing = await _desk(request).standing(domains=_MOST_DOMAINS)
    ages = [Column(key=name, title=name, sorts=True, is_number=True) for name in standing.ages]
    columns = (
        Column(key="domain", title="Domain", sorts=True),
        Column(key="recipients", title="Recipients", sorts=True, is_number=True, term="queue-waiting"),
        *ages,
    )
    asked = view(request.query, columns, sort="recipients")
    rows = [
        {
            "links": {"domain": f"/queue?{urlencode({'domain': one.domain})}"} if one.domain else {},
            "domain": one.domain or "(none)",
            "recipients": one.recipients,
            **one.ages,
        }
        for one in standing.domains
        if asked.search.casefold() in one.domain
    ]
    return await table_page(
        request, "queue-domains.html", asked, columns, in_order(rows, asked), name="queue-domains"
    )


async def shown(request: web.Request) -> web.Response:
    """GET /queue/MESSAGE: one message with those who wait for it, and every try."""
    desk, message = _desk(request), request.match_info["message"]
    if not re.fullmatch(r"[0-9a-f]{32}", message):
        raise web.HTTPNotFound
    wanted = Wanted(message=message)
    waiting = await desk.waiting(wanted, sort="since", descending=False, limit=_MOST_OF_ONE)
    if not waiting:
        raise NotFound(f"nobody waits for message {message}")
    tries = await tries_of(request.app[DOMAIN], [bytes.fromhex(one.delivery) for one in waiting])
    context = {
        "message": message,
        "subject": waiting[0].subject,
        "envelope": await desk.envelope(message),
        "counted": await desk.count(wanted),
        "waiting": waiting,
        "tries": {one.delivery: tries.get(bytes.fromhex(one.delivery), ()) for one in waiting},
        **_may(request, desk),
    }
    return page(request, "queue-entry.html", context)


@needs(Role.OPERATOR)
async def original(request: web.Request) -> web.Response:
    """POST /queue/MESSAGE/original: the message as it came."""
    desk, message = _desk(request), request.match_info["message"]
    if not re.fullmatch(r"[0-9a-f]{32}", message):
        raise web.HTTPNotFound
    await _note(request, Action.READ, f"message {message}")
    return web.Response(
        body=await desk.original(message),
        content_type="message/rfc822",
        headers={
            "Content-Disposition": f'attachment; filename="{message[:8]}.eml"',
            "Cache-Control": "no-store",
        },
    )


@needs(Role.OPERATOR)
async def asked(request: web.Request) -> web.Response:
    """GET /queue/confirm?do=hold&…: whom an action would reach, and the form that does it."""
    desk, verb = _desk(request), request.query.get("do", "")
    if verb not in VERBS:
        raise web.HTTPBadRequest
    wanted = _strictly(request.query, beside=("do",))
    context = {
        "verb": verb,
        "words": WORDS[verb],
        "fields": _fields(wanted) or {"all": "yes"},
        "counted": await desk.count(wanted),
        "may_drop": desk.may_drop,
        "command": _command(verb, wanted),
        "back": _back(wanted),
    }
    return page(request, "queue-confirm.html", context)


@needs(Role.OPERATOR)
async def done(request: web.Request) -> web.Response:
    """POST /queue/retry, hold, release or drop, with whom it is meant for; `all=yes` for everybody."""
    desk, verb = _desk(request), request.match_info["verb"]
    if verb not in VERBS:
        raise web.HTTPNotFound
    form = {key: str(value) for key, value in (await request.post()).items()}
    wanted = _strictly(form, beside=("form_token", "all", "bounce", "reason"))
    if (wanted == Wanted()) != (form.get("all") == "yes"):
        raise web.HTTPBadRequest
    if verb == "drop" and (not desk.may_drop or form.get("bounce") not in ("yes", "no")):
        raise web.HTTPBadRequest
    counted = await desk.count(wanted)
    await _note(request, VERBS[verb], _about(counted, wanted))
    did = await _do(desk, verb, wanted, form, actor(request))
    held = 0
    if verb == "retry" and wanted.state == "":
        held = (await desk.count(replace(wanted, state="held"))).recipients
    context = {"verb": verb, "did": did, "done_word": _DONE[verb], "held": held, "back": _back(wanted)}
    return page(request, "queue-done.html", context)


async def _do(desk: Desk, verb: str, wanted: Wanted, form: Mapping[str, str], by: str) -> Done:
    if verb == "drop":
        why = " ".join(form.get("reason", "").split())[:_LONGEST_REASON]
        return await desk.drop(wanted, bounce=form["bounce"] == "yes", by=by, why=why)
    do = {"retry": desk.retry, "hold": desk.hold, "release": desk.release}[verb]
    return await do(wanted)


def answer(one: Attempt | None) -> str:
    """The other side's own words with their codes; nothing where there were none."""
    if one is None:
        return ""
    return " ".join(" ".join(str(part) for part in (one.code, one.enhanced, one.text) if part).split())


def _desk(request: web.Request) -> Desk:
    desk = request.app[DESK]
    if desk is None:
        raise web.HTTPNotFound
    return desk


def _may(request: web.Request, desk: Desk) -> dict[str, bool]:
    return {"may_act": request[VISITOR].role >= Role.OPERATOR, "may_drop": desk.may_drop}


def _leniently(asked: View) -> Wanted:
    state, older = asked.filters.get("state", ""), asked.filters.get("older", "")
    return Wanted(
        search=asked.search,
        domain=asked.filters.get("domain", ""),
        state=state if state in STATES else "",
        reply=asked.filters.get("reply", ""),
        older=older if older in OLDER else "",
    )


def _strictly(given: Mapping[str, str], *, beside: tuple[str, ...]) -> Wanted:
    """Raises HTTPBadRequest for anything that is not understood."""
    known = asdict(Wanted())
    if any(key not in known and key not in beside for key in given):
        raise web.HTTPBadRequest
    said = {key: given.get(key, "").strip() for key in known}
    if said["state"] not in ("", *STATES) or said["older"] not in ("", *OLDER):
        raise web.HTTPBadRequest
    if any(len(text) > _LONGEST for text in said.values()):
        raise web.HTTPBadRequest
    if said["message"] and not _HEX.match(said["message"]):
        raise web.HTTPBadRequest
    if said["delivery"] and not re.fullmatch(r"[0-9a-f]{32}", said["delivery"]):
        raise web.HTTPBadRequest
    return Wanted(**said)


def _fields(wanted: Wanted) -> dict[str, str]:
    """As a form or a URL says it again."""
    return {key: text for key, text in asdict(wanted).items() if text}


def _back(wanted: Wanted) -> str:
    if wanted.message and not wanted.delivery:
        return f"/queue/{wanted.message}"
    return "/queue"


def _command(verb: str, wanted: Wanted) -> str:
    """What says the same on a terminal, for who cannot do it here."""
    return f"candor queue {verb} {wanted.message[:8]}" if wanted.message else f"candor queue {verb} …"


def _about(counted: Counted, wanted: Wanted) -> str:
    """For the audit: what names nobody. What was searched for may be an address."""
    said = [f"{many(counted.recipients, 'recipient')} of {many(counted.messages, 'message')}"]
    said += [
        f"{key} {text}" for key, text in asdict(wanted).items() if text and key not in ("search", "reply")
    ]
    if wanted.reply:
        is_code = re.fullmatch(r"[0-9.x]{1,12}", wanted.reply)
        said.append(f"reply {wanted.reply}" if is_code else "by words of the reply")
    if wanted.search:
        said.append("by a search")
    return ", ".join(said)


async def _note(request: web.Request, action: Action, about: str) -> None:
    audit = request.app[DOMAIN].audit
    await audit.note(action, None, actor=actor(request), now=datetime.now(UTC), about=about)


def _row(one: Waiting) -> dict[str, Any]:
    return {
        "href": f"/queue/{one.message}",
        "since": isoformat(one.since),
        "recipient": one.recipient,
        "subject": one.subject or "(no subject)",
        "sender": "(gone)" if one.sender is None else one.sender or "<>",
        "domain": one.domain,
        "state": one.state,
        "tries": one.tries,
        "next": isoformat(one.next_try) if one.next_try else None,
        "answer": answer(one.last),
    }
