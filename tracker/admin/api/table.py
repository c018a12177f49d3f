"""Every operation there is, in the order in which they are told."""

from __future__ import annotations

from tracker.admin.api import (
    contacts,
    conversions,
    events,
    health,
    keys,
    mail,
    queue,
    reports,
    suppressions,
)
from tracker.admin.api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *contacts.OPERATIONS,
    *mail.OPERATIONS,
    *events.OPERATIONS,
    *reports.OPERATIONS,
    *conversions.OPERATIONS,
    *suppressions.OPERATIONS,
    *queue.OPERATIONS,
    *keys.OPERATIONS,
    *health.OPERATIONS,
)


def as_markdown() -> str:
    """The table that stands in docs/api.md."""
    lines = ["| operation | needs | |", "|---|---|---|"]
    for one in OPERATIONS:
        marks = [
            mark
            for mark, is_so in (
                ("streams", one.lists is not None),
                ("`Idempotency-Key`", one.is_repeatable),
                ("`If-Match`", one.minds_match),
            )
            if is_so
        ]
        also = f" ({', '.join(marks)})" if marks else ""
        needs = " ".join(f"`{scope}`" for scope in one.scopes)
        lines.append(f"| `{one.method} {one.path}` | {needs} | {one.about}{also} |")
    return "\n".join(lines) + "\n"
