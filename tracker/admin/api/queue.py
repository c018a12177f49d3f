"""What waits to be sent on, and what is done about it. An action that names nobody reaches nobody, unless it says all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tracker.admin.api import paging
from tracker.admin.api.mail import Try, tried
from tracker.admin.api.operations import Answer, Call, Items, Operation
from tracker.admin.api.problems import Trouble, Wrong
from tracker.admin.api.shapes import HexId, Listing, Shape, Text, Time, Word
from tracker.desk import Done, Waiting, Wanted
from tracker.store.audit import Action

_ACTIONS = {"retry": Action.RETRY, "hold": Action.HOLD, "release": Action.RELEASE, "drop": Action.DROP}
State = Literal["waiting", "sending", "held", "damaged"]


class Entry(Shape):
    """One recipient who is still owed a message."""

    message: str
    delivery: str
    subject: str
    sender: str | None
    recipient: str
    domain: str
    state: str
    tries: int
    since: Time
    next_try: Time | None
    size: int | None
    last: Try | None


class Which(Listing):
    message: HexId | None = None
    domain: Word | None = None
    state: State | None = None


class Meant(Shape):
    """Who is meant: all that is said has to fit. `all` for everybody who waits."""

    all: bool = False
    message: HexId | None = None
    delivery: HexId | None = None
    domain: Word | None = None
    state: State | None = None
    reply: (
        Annotated[Word, Field(description="What was answered last: `451`, `4.2.0`, or words of it.")] | None
    ) = None
    bounce: bool | None = Field(
        default=None, description="drop: whether the sender gets a report; has to be said."
    )
    why: Text = Field(default="", description="drop: stays on record.")

    @model_validator(mode="after")
    def _means_somebody(self) -> Meant:
        if self.all == bool(self.narrowed):
            raise ValueError("either says who is meant, or all: true")
        return self

    @property
    def narrowed(self) -> dict[str, Any]:
        return self.model_dump(exclude={"all", "bounce", "why"}, exclude_none=True)


class Acted(Shape):
    changed: int
    sending: int = Field(description="In a worker's hands now, and so left alone.")
    damaged: int = Field(
        description="Cannot be returned to their sender, because their message cannot be read."
    )


class Standing(Shape):
    """The whole queue in numbers."""

    recipients: int
    messages: int
    octets: int
    oldest_seconds: float | None
    states: dict[str, int]
    domains: dict[str, int] = Field(description="Those with the most recipients.")


async def listed(call: Call, cursor: str | None, limit: int) -> Items:
    asked: Which = call.query
    offset = paging.number(cursor)
    wanted = Wanted(message=asked.message or "", domain=asked.domain or "", state=asked.state or "")
    found = await call.desk.waiting(wanted, sort="since", descending=False, limit=limit, offset=offset)
    following = str(offset + len(found)) if len(found) == limit else None
    return Items(items=[_shown(one) for one in found], next=following)


async def standing(call: Call) -> Answer:
    found = await call.desk.standing(domains=20)
    return Answer(
        body=Standing(
            recipients=found.recipients,
            messages=found.messages,
            octets=found.octets,
            oldest_seconds=found.oldest,
            states=dict(found.states),
            domains={one.domain: one.recipients for one in found.domains},
        )
    )


async def done(call: Call) -> Answer:
    meant: Meant = call.body
    verb = call.path["verb"]
    if (verb == "drop") != (meant.bounce is not None):
        raise _wrong("bounce", "has to be said to drop, and for nothing else")
    if verb == "drop" and not call.desk.may_drop:
        raise Trouble(409, "this program cannot write reports to senders: ask one that sends mail")
    wanted = Wanted(**meant.narrowed)
    counted = await call.desk.count(wanted)
    about = [f"{counted.recipients} recipients of {counted.messages} messages"]
    about += [f"{name} {text}" for name, text in meant.narrowed.items() if name != "reply"]
    await call.note(_ACTIONS[verb], about=", ".join(about))
    did = await _do(call, verb, wanted, meant)
    return Answer(body=Acted(changed=did.changed, sending=did.sending, damaged=did.damaged))


async def _do(call: Call, verb: str, wanted: Wanted, meant: Meant) -> Done:
    desk = call.desk
    if verb == "drop":
        return await desk.drop(wanted, bounce=bool(meant.bounce), by=call.actor, why=meant.why)
    do = {"retry": desk.retry, "hold": desk.hold, "release": desk.release}[verb]
    return await do(wanted)


def _wrong(field: str, reason: str) -> Trouble:
    return Trouble(422, f"{field}: {reason}", errors=[Wrong(where="body", field=field, reason=reason)])


def _shown(one: Waiting) -> Entry:
    return Entry(
        message=one.message,
        delivery=one.delivery,
        subject=one.subject,
        sender=one.sender,
        recipient=one.recipient,
        domain=one.domain,
        state=one.state,
        tries=one.tries,
        since=one.since,
        next_try=one.next_try,
        size=one.size,
        last=tried(one.last) if one.last is not None else None,
    )


OPERATIONS = (
    Operation(
        name="list_queue",
        method="GET",
        path="/queue",
        about="Recipients who are still owed a message, those who wait longest first.",
        scopes=("queue:read",),
        query=Which,
        gives=Entry,
        lists=listed,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="get_queue_standing",
        method="GET",
        path="/queue/standing",
        about="The whole queue in numbers.",
        scopes=("queue:read",),
        gives=Standing,
        does=standing,
        also=(404,),
    ),
    Operation(
        name="act_on_queue",
        method="POST",
        path="/queue/{verb}",
        about="Tries now, holds, releases or drops what waits.",
        scopes=("queue:write",),
        takes=Meant,
        gives=Acted,
        does=done,
        also=(404, 409),
        is_repeatable=True,
    ),
)
