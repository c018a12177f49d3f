"""A segment as the rows of a plain form, and back. What is nested, or asks for more than a row can say, has no rows and
is written as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracker.errors import InvalidValue
from tracker.segments.terms import (
    All,
    Any_,
    AnyNode,
    Attribute,
    Converted,
    Mail,
    Not,
    Quiet,
    checked,
)
from tracker.segments.wording import parse, quoted

MOST_ROWS = 12
_FREE = 2
"""Rows without anything in them that a form has beside those that say something."""
CHOICES = {
    "group": "Group",
    "country": "Country",
    "domain": "Domain of the address",
    "attribute": "Attribute of your own",
    "consent": "Consent",
    "do_not_track": "Do not track",
    "received": "Received mail",
    "opened": "Opened mail",
    "clicked": "Clicked in mail",
    "link": "Clicked a link",
    "quiet": "Quiet: mail, and no sign of life",
    "converted": "Converted",
}
_COUNTED = ("received", "opened", "clicked", "link", "converted")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormRow:
    """One condition as it stands in the form; texts as they were typed."""

    choice: str = ""
    is_not: bool = False
    value: str = ""
    times: str = ""
    days: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.choice


def rows_of(form: Mapping[str, str]) -> list[FormRow]:
    """What was sent: `choice-1`, `not-1`, `value-1`, `times-1`, `days-1`, and so on. Rows without a choice are left
    out."""
    rows = [
        FormRow(
            choice=form.get(f"choice-{n}", ""),
            is_not=form.get(f"not-{n}") == "not",
            value=form.get(f"value-{n}", "").strip(),
            times=form.get(f"times-{n}", "").strip(),
            days=form.get(f"days-{n}", "").strip(),
        )
        for n in range(1, MOST_ROWS + 1)
    ]
    return [row for row in rows if row.choice in CHOICES]


def with_free(rows: Sequence[FormRow]) -> list[FormRow]:
    """With room for more."""
    room = max(MOST_ROWS - len(rows), 0)
    return [*rows, *[FormRow()] * min(_FREE if rows else _FREE + 1, room)]


def node_of(rows: Sequence[FormRow], *, join: str) -> AnyNode:
    """The segment that the rows say together, `all` or `any` of them. Raises InvalidValue that names the row."""
    nodes = [_condition(number, row) for number, row in enumerate(rows, 1)]
    if not nodes:
        raise InvalidValue("choose at least one condition")
    if len(nodes) == 1:
        return nodes[0]
    return checked(Any_(of=tuple(nodes)) if join == "any" else All(of=tuple(nodes)))


def as_rows(node: AnyNode) -> tuple[str, list[FormRow]] | None:
    """How the rows are joined, and they; None for what they cannot say."""
    join, nodes = ("any", node.of) if isinstance(node, Any_) else ("all", getattr(node, "of", None))
    parts = list(nodes) if isinstance(node, All | Any_) and nodes is not None else [node]
    rows = [_row(one) for one in parts]
    if len(rows) > MOST_ROWS or None in rows:
        return None
    return join, [row for row in rows if row is not None]


def _condition(number: int, row: FormRow) -> AnyNode:
    try:
        node = parse(_text(row))
    except InvalidValue as error:
        said = re.sub(r"^segment(, at character \d+)?: ", "", str(error))
        raise InvalidValue(f"condition {number} ({CHOICES[row.choice]}): {said}") from None
    return Not(of=node) if row.is_not else node


def _text(row: FormRow) -> str:
    if row.choice == "quiet":
        return f"quiet for {_counted(row.days, 'days') or '30 days'}"
    if row.choice in _COUNTED:
        kind = "clicked" if row.choice == "link" else row.choice
        option = {"link": "link", "converted": "goal"}.get(row.choice, "campaign")
        if row.choice == "link" and not row.value:
            raise InvalidValue("say which link, with * for anything: */price-list*")
        value = f"{option} {quoted(row.value)}" if row.value else ""
        days = _counted(row.days, "days")
        return f"{kind} {_counted(row.times, 'times')} {value} {days and 'in ' + days}"
    name, value = row.choice, row.value
    if row.choice == "attribute":
        attribute, equals, value = value.partition("=")
        if not equals:
            raise InvalidValue("write it as name = value, or as name = where it has none")
        name = f"attribute {quoted(attribute.strip())}"
    values = ", ".join(quoted(one.strip()) for one in value.split(",") if one.strip())
    return f"{name} is {values or 'none'}"


def _counted(text: str, what: str) -> str:
    if not text:
        return ""
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise InvalidValue(f"{text[:20]!r} is no number of {what}")
    return f"{text} {what}"


def _row(node: AnyNode) -> FormRow | None:
    is_not = isinstance(node, Not)
    one = node.of if isinstance(node, Not) else node
    if isinstance(one, All | Any_ | Not):
        return None
    if isinstance(one, Quiet):
        return FormRow(choice="quiet", is_not=is_not, days=str(one.days))
    if isinstance(one, Mail | Converted):
        return _counted_row(one, is_not)
    values = [str(value) for value in one.values]
    if any("," in value or value != value.strip() for value in values):
        return None
    value = ", ".join(values)
    if isinstance(one, Attribute):
        if "=" in one.name or one.name != one.name.strip():
            return None
        value = f"{one.name} = {value}".strip()
    return FormRow(choice=one.kind, is_not=is_not, value=value)


def _counted_row(one: Mail | Converted, is_not: bool) -> FormRow | None:
    choice = one.kind
    value = one.goal if isinstance(one, Converted) else one.campaign
    if isinstance(one, Mail) and one.link is not None:
        if value is not None:
            return None
        return _counted_as("link", one, one.link, is_not)
    if isinstance(one, Mail) and one.message is not None:
        return None
    if value is not None and value != value.strip():
        return None
    return _counted_as(choice, one, value or "", is_not)


def _counted_as(choice: str, one: Mail | Converted, value: str, is_not: bool) -> FormRow | None:
    if isinstance(one, Mail) and choice == "link" and one.message is not None:
        return None
    times, days = str(one.times) if one.times > 1 else "", str(one.days or "")
    return FormRow(choice=choice, is_not=is_not, value=value, times=times, days=days)
