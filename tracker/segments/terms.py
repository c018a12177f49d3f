"""What a segment may ask of people: a tree of conditions, each of which names its kind. Pure.

`definition` gives what is stored, `from_definition` reads it back, and refuses what no release of ours would write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tracker.config.values import Country, DomainPattern
from tracker.consent import Consent, DoNotTrack
from tracker.errors import InvalidValue
from tracker.urlpattern import checked_pattern

MOST_TERMS, DEEPEST = 50, 8
MOST_DAYS = 3660

Value = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
AttributeName = Annotated[str, Field(min_length=1, max_length=100, pattern=r'^[^\x00-\x1f\x7f"\\]+$')]
Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]
Times = Annotated[int, Field(ge=1, le=1000)]


class _Term(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Group(_Term):
    """One of these groups; of no group, where there are no values."""

    kind: Literal["group"] = "group"
    values: tuple[Value, ...] = ()


class InCountry(_Term):
    """One of these countries; of none that is known, where there are no values."""

    kind: Literal["country"] = "country"
    values: tuple[Country, ...] = ()


class InDomain(_Term):
    """An address in one of these domains; `*.example.org` is what lies below it."""

    kind: Literal["domain"] = "domain"
    values: tuple[DomainPattern, ...] = Field(min_length=1)


class Attribute(_Term):
    """An attribute of the operator's own has one of these values; there is none, where there are no values."""

    kind: Literal["attribute"] = "attribute"
    name: AttributeName
    values: tuple[Value, ...] = ()


class Said(_Term):
    """What they said about being tracked."""

    kind: Literal["consent"] = "consent"
    values: tuple[Consent, ...] = Field(min_length=1)


class Apart(_Term):
    """Whether tracking is to be cut loose from them."""

    kind: Literal["do_not_track"] = "do_not_track"
    values: tuple[DoNotTrack, ...] = Field(min_length=1)


class Mail(_Term):
    """So many mails received, opened or clicked; of one campaign or message, in the last days."""

    kind: Literal["received", "opened", "clicked"]
    times: Times = 1
    days: Days | None = None
    campaign: Value | None = None
    message: Annotated[str, Field(pattern=r"^[0-9a-f]{6,32}$")] | None = None
    """An id, or how it begins."""
    link: Annotated[str, AfterValidator(checked_pattern)] | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Mail:
        if self.link is not None and self.kind != "clicked":
            raise ValueError(f"a link is clicked, not {self.kind}: write clicked link …")
        if self.campaign is not None and self.message is not None:
            raise ValueError("campaign and message: one or the other, since a message has one campaign")
        return self


class Quiet(_Term):
    """Got measured mail in that time, and showed no sign of life."""

    kind: Literal["quiet"] = "quiet"
    days: Days


class Converted(_Term):
    """Reached a goal so often, by way of mail."""

    kind: Literal["converted"] = "converted"
    times: Times = 1
    days: Days | None = None
    goal: Value | None = None


class All(_Term):
    kind: Literal["all"] = "all"
    of: tuple[Node, ...] = Field(min_length=2)


class Any_(_Term):  # noqa: N801 - `Any` is typing's
    kind: Literal["any"] = "any"
    of: tuple[Node, ...] = Field(min_length=2)


class Not(_Term):
    kind: Literal["not"] = "not"
    of: Node


Leaf = Group | InCountry | InDomain | Attribute | Said | Apart | Mail | Quiet | Converted
Node = Annotated[Leaf | All | Any_ | Not, Field(discriminator="kind")]

for _one in (All, Any_, Not):
    _one.model_rebuild()
_NODE: TypeAdapter[Any] = TypeAdapter(Node)

AnyNode = Leaf | All | Any_ | Not


def definition(node: AnyNode) -> dict[str, Any]:
    """What is stored: JSON, without what is not said."""
    made: dict[str, Any] = _NODE.dump_python(node, mode="json", exclude_none=True)
    return made


def from_definition(stored: Mapping[str, Any]) -> AnyNode:
    """Raises InvalidValue: another release wrote it, or somebody by hand."""
    try:
        node: AnyNode = _NODE.validate_python(stored)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(one) for one in first["loc"])
        raise InvalidValue(
            f"the stored segment is not understood at {where or 'its root'}: {first['msg']}"
        ) from None
    return checked(node)


def checked(node: AnyNode) -> AnyNode:
    """Raises InvalidValue for one that is larger than anybody reads."""
    if sum(1 for _ in leaves(node)) > MOST_TERMS:
        raise InvalidValue(f"a segment has at most {MOST_TERMS} conditions")
    if _depth(node) > DEEPEST:
        raise InvalidValue(f"conditions may stand in one another {DEEPEST} deep at most")
    return node


def leaves(node: AnyNode) -> Iterator[Leaf]:
    """Its conditions, from left to right."""
    if isinstance(node, All | Any_):
        for one in node.of:
            yield from leaves(one)
    elif isinstance(node, Not):
        yield from leaves(node.of)
    else:
        yield node


def asks_for_behaviour(node: AnyNode) -> bool:
    """Whether it asks what people did or did not do. That mail was sent to them is nothing they did."""
    return any(
        isinstance(one, Quiet | Converted) or (isinstance(one, Mail) and one.kind != "received")
        for one in leaves(node)
    )


def _depth(node: AnyNode) -> int:
    if isinstance(node, All | Any_):
        return 1 + max(map(_depth, node.of))
    return 1 + _depth(node.of) if isinstance(node, Not) else 0
