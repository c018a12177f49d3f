"""The API's own keys. A key can make only keys that may do no more than itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tracker.admin.api.operations import Answer, Call, Operation
from tracker.admin.api.problems import Trouble
from tracker.admin.api.shapes import Shape, Time
from tracker.store.api_keys import ApiKey, ApiKeys
from tracker.store.audit import Action


class Key(Shape):
    """A key, but for its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: Time
    created_by: str
    last_used: str | None = Field(description="The day, in UTC; null for never.")
    revoked_at: Time | None


class Keys(Shape):
    items: list[Key]


class Wish(Shape):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)]


class Made(Shape):
    key: Key
    token: str = Field(description="Shown this once.")


async def listed(call: Call) -> Answer:
    found = await ApiKeys(call.domain.database).list()
    return Answer(body=Keys(items=[_shown(one) for one in found]))


async def created(call: Call) -> Answer:
    wish: Wish = call.body
    beyond = sorted(set(wish.scopes) - set(call.key.scopes))
    if beyond:
        raise Trouble(
            403, f"a key makes only keys that may do no more than itself: it lacks {', '.join(beyond)[:500]}"
        )
    await call.note(Action.KEY_CREATE, about=f"{wish.name}: {', '.join(sorted(set(wish.scopes)))}")
    keys = ApiKeys(call.domain.database)
    key, made = await keys.create(wish.name, wish.scopes, by=call.actor, now=call.now)
    return Answer(body=Made(key=_shown(key), token=made.token), status=201, location=f"/api/v1/keys/{key.id}")


async def revoked(call: Call) -> Answer:
    await call.note(Action.KEY_REVOKE, about=call.path["key"])
    return Answer(body=_shown(await ApiKeys(call.domain.database).revoke(call.path["key"], now=call.now)))


def _shown(one: ApiKey) -> Key:
    return Key(
        id=one.id,
        name=one.name,
        scopes=list(one.scopes),
        created_at=one.created_at,
        created_by=one.created_by,
        last_used=one.last_used,
        revoked_at=one.revoked_at,
    )


OPERATIONS = (
    Operation(
        name="list_keys",
        method="GET",
        path="/keys",
        about="All keys, revoked ones too, without their secrets.",
        scopes=("keys:read",),
        gives=Keys,
        does=listed,
    ),
    Operation(
        name="create_key",
        method="POST",
        path="/keys",
        about="Makes a key that may do no more than the one that asks.",
        scopes=("keys:write",),
        takes=Wish,
        gives=Made,
        does=created,
        status=201,
    ),
    Operation(
        name="revoke_key",
        method="DELETE",
        path="/keys/{key}",
        about="From now on it opens nothing.",
        scopes=("keys:write",),
        gives=Key,
        does=revoked,
        also=(404,),
    ),
)
