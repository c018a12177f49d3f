"""The configuration for people to read: what holds, table by table, and no secret in it.

What is hidden goes by the name of a key and by the form of a value, so that an option that comes later is hidden
rather than shown; a test holds every secret of every table against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel

from tracker.config.values import without_password

HIDDEN = "…"
_SECRET = re.compile(r"password|secret|token|hash|credential|private|api_key", re.IGNORECASE)
_HARMLESS = frozenset({"private_key", "keys_file", "bad_tokens"})
"""The names of files, and a rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: `[table] key = value`."""

    table: str
    """`relay`, or `relay.user[0]` for one of several."""
    key: str
    value: str
    is_default: bool


def summary(config: BaseModel) -> list[Option]:
    """Every option in the order of the tables."""
    defaults = type(config)()
    return [
        option
        for table in type(config).model_fields
        for option in _of(table, getattr(config, table), getattr(defaults, table))
    ]


def _of(table: str, value: Any, default: Any) -> Iterator[Option]:
    if isinstance(value, BaseModel):
        yield from _of_model(table, value, default)
    elif _is_list_of_tables(value):
        for number, one in enumerate(value):
            yield from _of_model(f"{table}[{number}]", one, None)


def _of_model(table: str, model: BaseModel, default: BaseModel | None) -> Iterator[Option]:
    """Tables within it come after its own options."""
    document = model.model_dump(mode="json")
    usual = default.model_dump(mode="json") if default is not None else {}
    below = []
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, BaseModel) or _is_list_of_tables(value):
            below.append((f"{table}.{key}", value, getattr(default, key, None)))
            continue
        is_default = key in usual and usual[key] == document[key]
        yield Option(table=table, key=key, value=_shown(key, document[key]), is_default=is_default)
    for name, value, usually in below:
        yield from _of(name, value, usually)


def _is_list_of_tables(value: Any) -> bool:
    return (
        isinstance(value, tuple | list) and bool(value) and all(isinstance(one, BaseModel) for one in value)
    )


def _shown(key: str, value: Any) -> str:
    if value in ("", None, [], {}):
        return ""
    if _SECRET.search(key) and key not in _HARMLESS:
        return HIDDEN
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {_shown(str(name), one)}" for name, one in value.items())
    if isinstance(value, Sequence):
        return ", ".join(_shown(key, one) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _without_secrets(text: str) -> str:
    """A URL without its passwords; of what stands behind `?` the names alone."""
    if "://" not in text:
        return text
    text = without_password(text)
    try:
        parts = urlsplit(text)
    except ValueError:
        return HIDDEN
    query = re.sub(r"=(?!\{)[^&]*", f"={HIDDEN}", parts.query)
    return urlunsplit(parts._replace(query=query)) if query != parts.query else text
