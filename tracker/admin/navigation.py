"""Which pages there are, in which group, and where in them a path is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A page of the menu; `covers` other paths that belong to it beside those below its own."""

    href: str
    title: str
    covers: tuple[str, ...] = ()

    def state(self, path: str) -> str:
        """As `aria-current` says it: `page`, `true` for what belongs to it, `""`."""
        if path == self.href:
            return "page"
        below = (f"{self.href}/", *self.covers)
        return "true" if self.href != "/" and path.startswith(below) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pages that belong together."""

    title: str
    entries: tuple[Entry, ...]


GROUPS: Sequence[Group] = (
    Group(
        title="",
        entries=(Entry(href="/", title="Overview"),),
    ),
    Group(
        title="Mail",
        entries=(
            Entry(href="/messages", title="Messages"),
            Entry(href="/deliveries", title="Deliveries"),
            Entry(href="/queue", title="Queue"),
            Entry(href="/bounces", title="Bounces"),
            Entry(href="/suppressions", title="Suppressed"),
        ),
    ),
    Group(
        title="People",
        entries=(
            Entry(href="/contacts", title="Contacts", covers=("/contact",)),
            Entry(href="/leads", title="Leads"),
            Entry(href="/quiet", title="Quiet"),
            Entry(href="/departments", title="Departments"),
            Entry(href="/segments", title="Segments", covers=("/segment",)),
            Entry(href="/requests", title="Requests"),
            Entry(href="/register", title="Register"),
        ),
    ),
    Group(
        title="Numbers",
        entries=(
            Entry(href="/campaigns", title="Campaigns", covers=("/campaign",)),
            Entry(href="/conversions", title="Conversions"),
            Entry(href="/alerts", title="Alerts"),
            Entry(href="/links", title="Links"),
            Entry(href="/domains", title="Domains"),
            Entry(href="/glossary", title="Glossary"),
        ),
    ),
    Group(
        title="System",
        entries=(
            Entry(href="/health", title="Health"),
            Entry(href="/audit", title="Audit log"),
        ),
    ),
)
