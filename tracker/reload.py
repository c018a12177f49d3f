"""Reading the configuration again while the program runs: what takes effect at once, and what only a restart changes.

Pure: two configurations in, one out. Whatever is not named as changing at once is taken to need a restart, so that a
new option never claims more than it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from tracker.config import Config

C = TypeVar("C", bound=Config)

ALL = "*"
TRACKER_CHANGES: Mapping[str, frozenset[str]] = {
    "tracker": frozenset(
        {
            "public_url",
            "answer_within",
            "referrer_policy",
            "bad_tokens",
            "host",
            "apple_app_site_association",
            "asset_links",
        }
    ),
    "tracking": frozenset({ALL}),
    "goal": frozenset({ALL}),
    "alert": frozenset({ALL}),
    "consent": frozenset({ALL}),
    "anonymity": frozenset({ALL}),
    "retention": frozenset({ALL}),
    "admin": frozenset({"previews_days"}),
    "api": frozenset({"rate", "largest_body"}),
    "preferences": frozenset({ALL}),
    "lookup": frozenset({ALL}),
    "verdict": frozenset({ALL}),
    "geography": frozenset({ALL}),
}
"""Table → the keys that take effect at once (`ALL` for every one)."""


def renewed(running: C, new: C, changes: Mapping[str, frozenset[str]]) -> tuple[C, list[str]]:
    """The configuration that holds from now on: `new`, but for what needs a restart, which stays as it runs. With it
    the keys that differ and have to wait, as people write them (`[relay] listen`)."""
    kept: dict[str, Any] = {}
    waiting: list[str] = []
    for table in type(new).model_fields:
        at_once = changes.get(table, frozenset())
        before, after = getattr(running, table), getattr(new, table)
        if ALL in at_once or before == after:
            continue
        fixed = [
            key for key in _keys(after) if key not in at_once and getattr(before, key) != getattr(after, key)
        ]
        waiting += [f"[{table}] {key}" for key in fixed]
        kept[table] = after.model_copy(update={key: getattr(before, key) for key in fixed})
    return new.model_copy(update=kept), waiting


def _keys(table: BaseModel) -> list[str]:
    return list(type(table).model_fields)
