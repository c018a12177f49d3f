"""Segments as people write them, and as they are shown. Pure.

    group is Sales, "Human Resources" and (opened 3 times in 30 days or clicked link "*/prices*")
    not opened campaign apples and consent is granted

`not` binds closest, then `and`, then `or`. What `shown` gives, `parse` reads as the same segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from tracker.errors import InvalidValue
from tracker.segments.terms import (
    DEEPEST,
    All,
    Any_,
    AnyNode,
    Apart,
    Attribute,
    Converted,
    Group,
    InCountry,
    InDomain,
    Mail,
    Not,
    Quiet,
    Said,
    checked,
)

LONGEST = 10_000
KINDS = (
    "attribute",
    "clicked",
    "consent",
    "converted",
    "country",
    "do_not_track",
    "domain",
    "group",
    "opened",
    "quiet",
    "received",
)
_LISTS: Mapping[str, type[Group | InCountry | InDomain | Said | Apart]] = {
    "group": Group,
    "country": InCountry,
    "domain": InDomain,
    "consent": Said,
    "do_not_track": Apart,
}
_MAY_BE_NONE = ("group", "country", "attribute")
_OPTIONS = {
    "received": ("in", "campaign", "message"),
    "opened": ("in", "campaign", "message"),
    "clicked": ("in", "campaign", "message", "link"),
    "converted": ("in", "goal"),
}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[(),]|[^\s(),"]+|"')
_PLAIN = re.compile(r"[A-Za-z0-9@._*:/-]+")
_RESERVED = frozenset(
    {*KINDS, "and", "or", "not", "is", "in", "none", "times", "time", "days", "day", "campaign", "message"}
    | {"link", "goal", "for"}
)


class _Token(NamedTuple):
    text: str
    is_quoted: bool
    at: int
    """Characters before it."""


def parse(text: str) -> AnyNode:
    """Raises InvalidValue that says what is wrong where, and what is allowed."""
    if len(text) > LONGEST:
        raise InvalidValue(f"a segment is written in at most {LONGEST} characters")
    parser = _Parser(text)
    node = parser.either(0)
    if parser.next is not None:
        raise parser.wrong("and, or or the end")
    return checked(node)


def shown(node: AnyNode) -> str:
    """One line; conditions within others in brackets where they need them."""
    if isinstance(node, Any_):
        return " or ".join(_bracketed(one, Any_) for one in node.of)
    if isinstance(node, All):
        return " and ".join(_bracketed(one, Any_, All) for one in node.of)
    if isinstance(node, Not):
        return f"not {_bracketed(node.of, Any_, All)}"
    if isinstance(node, Quiet):
        return f"quiet for {_number(node.days, 'day')}"
    if isinstance(node, Mail | Converted):
        return " ".join((node.kind, *_options(node)))
    name = f"attribute {quoted(node.name)}" if isinstance(node, Attribute) else node.kind
    return f"{name} is {', '.join(map(quoted, node.values)) or 'none'}"


def _bracketed(node: AnyNode, *kinds: type) -> str:
    return f"({shown(node)})" if isinstance(node, kinds) else shown(node)


def _options(node: Mail | Converted) -> list[str]:
    said = [_number(node.times, "time")] if node.times > 1 else []
    for name in ("goal", "campaign", "message", "link"):
        value = getattr(node, name, None)
        if value is not None:
            said.append(f"{name} {quoted(value)}")
    return said + ([f"in {_number(node.days, 'day')}"] if node.days is not None else [])


def _number(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def quoted(value: str) -> str:
    """A value as it is written: in quotes where it needs them."""
    if _PLAIN.fullmatch(value) and value not in _RESERVED:
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Parser:
    """Goes through the words from left to right; `next` is the one it looks at."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [_token(found) for found in _TOKEN.finditer(text)]
        self._at = 0

    @property
    def next(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def wrong(self, allowed: str, token: _Token | None = None) -> InvalidValue:
        """The error, at `token` or at what comes next."""
        token = token or self.next
        if token is None:
            found = "it ends" if self._text.strip() else "it is empty"
            return InvalidValue(f"segment: {found} where {allowed} is expected")
        return InvalidValue(
            f"segment, at character {token.at + 1}: {token.text[:60]!r} where {allowed} is expected"
        )

    def either(self, depth: int) -> AnyNode:
        parts = [self._both(depth)]
        while self._takes("or"):
            parts.append(self._both(depth))
        return Any_(of=tuple(parts)) if len(parts) > 1 else parts[0]

    def _both(self, depth: int) -> AnyNode:
        parts = [self._one(depth)]
        while self._takes("and"):
            parts.append(self._one(depth))
        return All(of=tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self, depth: int) -> AnyNode:
        if depth > DEEPEST * 2:
            raise InvalidValue(f"conditions may stand in one another {DEEPEST} deep at most")
        if self._takes("not"):
            return Not(of=self._one(depth + 1))
        if self._takes("("):
            node = self.either(depth + 1)
            if not self._takes(")"):
                raise self.wrong("and, or or a closing bracket")
            return node
        return self._condition()

    def _condition(self) -> AnyNode:
        token = self.next
        if token is None or token.is_quoted or token.text not in KINDS:
            raise self.wrong(f"a condition ({', '.join(KINDS)}, not, or a bracket)")
        self._at += 1
        kind = token.text
        if kind == "quiet":
            self._takes("for")
            days = self._days()
            return self._made(token, lambda: Quiet(days=days))
        if kind in _OPTIONS:
            return self._engaged(token)
        given: dict[str, Any] = {}
        if kind == "attribute":
            given["name"] = self._value("the name of an attribute")
        if not self._takes("is") and not self._takes("in"):
            raise self.wrong("is")
        is_not = self._takes("not")
        given["values"] = self._values(kind)
        model: type[AnyNode] = Attribute if kind == "attribute" else _LISTS[kind]
        node: AnyNode = self._made(token, lambda: model.model_validate(given))
        return Not(of=node) if is_not else node

    def _values(self, kind: str) -> tuple[str, ...]:
        token = self.next
        if kind in _MAY_BE_NONE and token is not None and not token.is_quoted and token.text == "none":
            self._at += 1
            return ()
        values = [self._value("a value")]
        while self._takes(","):
            values.append(self._value("a value"))
        return tuple(values)

    def _engaged(self, token: _Token) -> AnyNode:
        kind, given = token.text, dict[str, Any]()
        if (number := self.next) is not None and number.text.isascii() and number.text.isdigit():
            self._at += 1
            given["times"] = self._int(number)
            if not self._takes("times") and not self._takes("time"):
                raise self.wrong("times")
        names = {"in": "days"}
        while (option := self.next) is not None and not option.is_quoted and option.text in _OPTIONS[kind]:
            self._at += 1
            name = names.get(option.text, option.text)
            if name in given:
                raise self.wrong("an option that was not said before", option)
            given[name] = self._days() if name == "days" else self._value(f"a {name}")
        if (option := self.next) is not None and (option.is_quoted or option.text not in ("and", "or", ")")):
            raise self.wrong(f"an option ({', '.join(_OPTIONS[kind])}), and, or or the end")
        if kind == "converted":
            return self._made(token, lambda: Converted(**given))
        return self._made(token, lambda: Mail.model_validate({"kind": kind, **given}))

    def _days(self) -> int:
        number = self.next
        if number is None or not (number.text.isascii() and number.text.isdigit()):
            raise self.wrong("a number of days")
        self._at += 1
        days = self._int(number)
        if not self._takes("days") and not self._takes("day"):
            raise self.wrong("days")
        return days

    def _int(self, token: _Token) -> int:
        if len(token.text) > 6:
            raise self.wrong("a smaller number", token)
        return int(token.text)

    def _value(self, what: str) -> str:
        token = self.next
        if token is None or (not token.is_quoted and token.text in ("(", ")", ",", '"')):
            raise self.wrong(what)
        if not token.is_quoted and token.text in _RESERVED:
            raise self.wrong(f'{what} (one that is called {token.text} is written "{token.text}")')
        self._at += 1
        return token.text

    def _takes(self, word: str) -> bool:
        token = self.next
        if token is None or token.is_quoted or token.text != word:
            return False
        self._at += 1
        return True

    def _made(self, token: _Token, make: Callable[[], AnyNode]) -> AnyNode:
        try:
            return make()
        except ValidationError as error:
            first = error.errors()[0]
            said = first["msg"].removeprefix("Value error, ")
            where = next((str(one) for one in first["loc"] if isinstance(one, str)), "")
            got = f" (got {first['input']!r})" if isinstance(first["input"], str | int) else ""
            raise InvalidValue(
                f"segment, at character {token.at + 1}: {token.text}{where and ' ' + where}: {said}{got}"
            ) from None


def _token(found: re.Match[str]) -> _Token:
    text = found[0]
    if len(text) > 1 and text.startswith('"'):
        return _Token(re.sub(r"\\(.)", r"\1", text[1:-1]), True, found.start())
    return _Token(text, False, found.start())
