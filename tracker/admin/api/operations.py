"""What an operation is: its address, what it takes and gives, what a key needs for it, and what does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tracker.admin.api.problems import Trouble
from tracker.admin.api.shapes import Asked, Listing, Shape
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.store.api_keys import ApiKey
from tracker.store.audit import Action

DOMAIN = web.AppKey("api_domain", Domain)
DESK: web.AppKey[Desk | None] = web.AppKey("api_desk")
PAGE = 100
"""Items of a page when nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and allowed."""

    domain: Domain
    its_desk: Desk | None
    key: ApiKey
    now: datetime
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    """Of the operation's `query`."""
    body: Any = None
    """Of the operation's `body`."""
    if_match: str | None = None
    """The header, as it was said."""

    @property
    def actor(self) -> str:
        """As the audit and the ledger name who asks."""
        return f"api:{self.key.name}"

    @property
    def desk(self) -> Desk:
        """Raises Trouble where nobody here knows of mail."""
        if self.its_desk is None:
            raise Trouble(
                404, "this program knows nothing of mail: ask one that runs with the relay's tables"
            )
        return self.its_desk

    async def note(self, action: Action, contact_id: int | None = None, *, about: str = "") -> None:
        """Into the audit, before it is done."""
        await self.domain.audit.note(action, contact_id, actor=self.actor, now=self.now, about=about)

    def number(self, name: str = "id") -> int:
        """A number in the path."""
        return int(self.path[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back. `body` None: nothing."""

    body: Shape | None = None
    status: int = 200
    location: str = ""
    is_tagged: bool = False
    """With an ETag, though nobody asked for it by GET."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Some of a list. `next`: where it goes on; None at the end. `is_all`: there is nothing more now, though a later
    reader may go on at `next`."""

    items: Sequence[Shape]
    next: str | None
    is_all: bool = False


Does = Callable[[Call], Awaitable[Answer]]
Lists = Callable[[Call, str | None, int], Awaitable[Items]]
"""`lists(call, cursor, limit)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `does` or, of a list, `lists`."""

    name: str
    method: str
    path: str
    about: str
    """One sentence."""
    scopes: tuple[str, ...]
    gives: type[Shape] | None
    """Of a list, an item of it."""
    does: Does | None = None
    lists: Lists | None = None
    takes: type[Shape] | None = None
    query: type[Asked] = Asked
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses that are its own, beside those of all."""
    names_people: bool = False
    """What is read names people, which the audit hears of."""
    is_repeatable: bool = False
    """It minds `Idempotency-Key`; then its answers name nobody."""
    minds_match: bool = False
    """It minds `If-Match`."""

    def __post_init__(self) -> None:
        if (self.does is None) == (self.lists is None):
            raise ValueError(f"{self.name}: either does something or lists")
        if self.lists is not None and not issubclass(self.query, Listing):
            raise ValueError(f"{self.name}: a list needs a cursor")

    @property
    def tag(self) -> str:
        """What it is about: the first part of its path."""
        return self.path.split("/")[1]

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in its path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


PATHS = {
    "id": (r"[1-9][0-9]{0,14}", "The number of a contact."),
    "message": ("[0-9a-f]{32}", "The id of a message."),
    "delivery": ("[0-9a-f]{32}", "The id of a delivery."),
    "suppression": ("[0-9a-f]{32}", "The key of an entry in the list."),
    "key": ("[0-9a-f]{12}", "The id of a key."),
    "verb": ("retry|hold|release|drop", "What to do."),
}
"""What may stand in the path: pattern, and what it is."""
