"""To whom mail is not sent any more, and the way on and off that list."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tracker.address import normalize
from tracker.admin.api import paging
from tracker.admin.api.operations import Answer, Call, Items, Operation
from tracker.admin.api.shapes import Address, Listing, Shape, Time
from tracker.desk import Suppressed
from tracker.errors import NotFound
from tracker.store.audit import Action
from tracker.store.contacts import find


class Suppression(Shape):
    key: str
    address: str | None
    """Null for an erased person."""
    reason: str
    since: Time
    bounces: int
    note: str


class Which(Listing):
    reason: Literal["hard-bounce", "complaint", "manual"] | None = None


class New(Shape):
    address: Address
    note: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")] = ""


class Settled(Shape):
    is_done: bool


async def listed(call: Call, cursor: str | None, limit: int) -> Items:
    asked: Which = call.query
    offset = paging.number(cursor)
    found = await call.desk.suppressed(
        search="", reason=asked.reason or "", sort="since", descending=False, limit=limit, offset=offset
    )
    following = str(offset + len(found)) if len(found) == limit else None
    return Items(items=[_shown(one) for one in found], next=following)


async def added(call: Call) -> Answer:
    one: New = call.body
    address = normalize(one.address)
    domain = call.domain
    row = await domain.database.read(lambda connection: find(connection, address, domain.ring))
    await call.note(Action.SUPPRESS, row.id if row is not None else None)
    await call.desk.suppress(address, note=one.note, now=call.now)
    return Answer(body=Settled(is_done=True))


async def got(call: Call) -> Answer:
    return Answer(body=_shown(await _one(call)))


async def lifted(call: Call) -> Answer:
    one = await _one(call)
    await call.note(Action.LIFT)
    return Answer(body=Settled(is_done=await call.desk.lift(one.key)))


async def _one(call: Call) -> Suppressed:
    one = await call.desk.listed(call.path["suppression"])
    if one is None:
        raise NotFound("nobody of this key is on the list")
    return one


def _shown(one: Suppressed) -> Suppression:
    return Suppression(
        key=one.key,
        address=one.address,
        reason=one.reason,
        since=one.since,
        bounces=one.bounces,
        note=one.note,
    )


_READ, _WRITE = ("suppressions:read",), ("suppressions:write",)
OPERATIONS = (
    Operation(
        name="list_suppressions",
        method="GET",
        path="/suppressions",
        about="Addresses that mail is not sent to, since when and why; the oldest first.",
        scopes=_READ,
        query=Which,
        gives=Suppression,
        lists=listed,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="add_suppression",
        method="POST",
        path="/suppressions",
        about="Mail to this address is skipped from now on.",
        scopes=_WRITE,
        takes=New,
        gives=Settled,
        does=added,
        also=(404,),
        is_repeatable=True,
    ),
    Operation(
        name="get_suppression",
        method="GET",
        path="/suppressions/{suppression}",
        about="One entry.",
        scopes=_READ,
        gives=Suppression,
        does=got,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="lift_suppression",
        method="DELETE",
        path="/suppressions/{suppression}",
        about="Mail goes to it again; its bounces are forgotten.",
        scopes=_WRITE,
        gives=Settled,
        does=lifted,
        also=(404,),
    ),
)
