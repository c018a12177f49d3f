"""Every number of the reports, counted by hand: all rows are read, and gone through one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection, select

from tracker.domain import Domain
from tracker.reports.dimensions import Part
from tracker.reports.domains import Outcomes
from tracker.reports.figures import Figures
from tracker.reports.timeline import Timeline
from tracker.reports.times import TimesTo
from tracker.store.schema import (
    attempts,
    carried_deliveries,
    carried_totals,
    deliveries,
    events,
    messages,
)

KINDS = ("opened", "clicked")
HUMAN = {"person", "proxy"}
CLASSES = {
    "person": "total",
    "proxy": "total",
    "prefetch": "machines",
    "scanner": "machines",
    "unsure": "unsure",
}
ARRIVED = {"accepted", "complained"}
Numbers = dict[str, Any]


@dataclass
class Delivery:
    row: Any
    message: Any
    events: list[Any]
    reply: tuple[int, str] | None

    @property
    def arrived(self) -> bool:
        return self.row.status in ARRIVED

    @property
    def measured(self) -> bool:
        return self.arrived and self.row.mode == "identified"

    def human(self, kind: str | None = None) -> list[Any]:
        return [one for one in self.events if one.verdict in HUMAN and kind in (None, one.kind)]

    def views(self) -> list[datetime]:
        begun: list[datetime] = []
        for one in self.human("opened"):
            if not begun or one.at - begun[-1] > timedelta(seconds=30):
                begun.append(one.at)
        return begun


class Count:
    """The mail of the messages that `fits`; carried totals are those of messages, and of `also`."""

    def __init__(
        self, tables: dict[str, list[Any]], fits: Callable[[Any], bool], also: bytes | None = None
    ) -> None:
        self.messages = {bytes(one.id): one for one in tables["messages"] if fits(one)}
        hits: dict[bytes, list[Any]] = defaultdict(list)
        for event in sorted(tables["events"], key=lambda one: (one.at, one.id)):
            hits[bytes(event.delivery_id)].append(event)
        said: dict[bytes, Any] = {}
        for attempt in sorted(tables["attempts"], key=lambda one: one.id):
            said[bytes(attempt.delivery_id)] = (attempt.code, attempt.enhanced)
        self.deliveries = [
            Delivery(row, self.messages[bytes(row.message_id)], hits[bytes(row.id)], said.get(bytes(row.id)))
            for row in tables["deliveries"]
            if bytes(row.message_id) in self.messages
        ]
        subjects = {*self.messages, *([also] if also else [])}
        self.totals = [one for one in tables["carried_totals"] if bytes(one.subject_id) in subjects]
        self.own_totals = [one for one in self.totals if bytes(one.subject_id) in self.messages]
        self.settled = [one for one in tables["carried_deliveries"] if bytes(one.subject_id) in subjects]

    def _carried(self, measure: str, kind: str, rows: Iterable[Any] | None = None) -> int:
        own = self.totals if rows is None else rows
        return sum(one.n for one in own if (one.measure, one.kind, one.link) == (measure, kind, 0))

    def figures(self) -> Numbers:
        states = [(one.row.status, one.row.mode, one.row.reason, 1) for one in self.deliveries]
        states += [(one.status, one.mode, one.reason, one.n) for one in self.settled]
        statuses: Counter[str] = Counter()
        not_trackable: Counter[str] = Counter()
        trackable = 0
        for status, mode, reason, n in states:
            statuses[status] += n
            if mode != "identified":
                not_trackable[reason if mode == "untracked" else f"{mode}: {reason}"] += n
            elif status in ARRIVED:
                trackable += n
        found: Numbers = {"statuses": statuses, "trackable": trackable, "not_trackable": not_trackable}
        for kind in KINDS:
            classes: Counter[str] = Counter()
            for one in self.deliveries:
                classes.update(CLASSES[hit.verdict] for hit in one.events if hit.kind == kind)
            for row in self.totals:
                if row.measure == "hits" and row.kind == kind:
                    classes[CLASSES[row.verdict]] += row.n
            people = [one for one in self.deliveries if one.human(kind)]
            found[kind] = (
                len(people) + self._carried("people", kind),
                sum(one.measured for one in people) + self._carried("delivered", kind),
                *(classes[name] for name in ("total", "machines", "unsure")),
            )
        found["views"] = sum(len(one.views()) for one in self.deliveries) + self._carried("views", "opened")
        alone = [one for one in self.deliveries if one.measured and one.human() and not one.human("opened")]
        found["implied"] = len(alone) + self._carried("signs", "implied")
        alive = [one for one in self.deliveries if one.measured and one.human()]
        found["engaged"] = len(alive) + self._carried("signs", "any")
        return found

    def split(self, dimension: str) -> dict[str, Numbers]:
        parts: dict[str, Numbers] = defaultdict(
            lambda: {
                "deliveries": 0,
                "delivered": 0,
                "measured": 0,
                "people": Counter(),
                "arrived": Counter(),
                "hits": Counter(),
            }
        )
        for one in self.deliveries:
            if dimension in ("domain", "group"):
                part = parts[one.row.domain if dimension == "domain" else one.row.grp or ""]
                part["deliveries"] += 1
                part["delivered"] += one.arrived
                part["measured"] += one.measured
                for kind in KINDS:
                    part["people"][kind] += bool(one.human(kind))
                    part["arrived"][kind] += one.measured and bool(one.human(kind))
                    part["hits"][kind] += len(one.human(kind))
                continue
            seen = set()
            for hit in one.events if dimension == "verdict" else one.human():
                if dimension == "link" and not hit.link:
                    continue
                value = str(getattr(hit, dimension))
                parts[value]["hits"][hit.kind] += 1
                if (value, hit.kind) not in seen:
                    parts[value]["people"][hit.kind] += 1
                seen.add((value, hit.kind))
        for row in self.own_totals:
            if dimension == "link" and row.link and (row.verdict in HUMAN or row.measure == "people"):
                parts[str(row.link)]["hits" if row.measure == "hits" else "people"][row.kind] += row.n
            if dimension == "verdict" and row.measure == "hits":
                parts[row.verdict]["hits"][row.kind] += row.n
        return parts

    def days(self, zone: tzinfo) -> dict[date, Counter[str]]:
        found: dict[date, Counter[str]] = defaultdict(Counter)
        for one in self.deliveries:
            if one.arrived and one.row.accepted_at is not None:
                found[one.row.accepted_at.astimezone(zone).date()]["delivered"] += 1
            for kind in KINDS:
                for hit in one.events:
                    if hit.kind == kind:
                        found[hit.at.astimezone(zone).date()][f"{kind} {CLASSES[hit.verdict]}"] += 1
                for hit in one.human(kind)[:1]:
                    found[hit.at.astimezone(zone).date()][f"{kind} new"] += 1
            for at in one.views():
                found[at.astimezone(zone).date()]["opened views"] += 1
        for row in self.own_totals:
            if row.measure == "hits" and row.day:
                found[date.fromisoformat(row.day)][f"{row.kind} {CLASSES[row.verdict]}"] += row.n
        return {day: +counted for day, counted in found.items() if +counted}

    def waited(self, kind: str) -> list[int]:
        found = []
        for one in self.deliveries:
            if one.measured and one.row.accepted_at is not None and one.human(kind):
                seconds = (one.human(kind)[0].at - one.row.accepted_at) // timedelta(seconds=1)
                digits = str(max(0, seconds))
                found.append(int(digits[:2].ljust(len(digits), "0")))
        return sorted(found)

    def outcomes(self) -> tuple[dict[str, Counter[str]], Counter[tuple[int, str]]]:
        statuses: dict[str, Counter[str]] = defaultdict(Counter)
        replies: Counter[tuple[int, str]] = Counter()
        for one in self.deliveries:
            statuses[one.row.domain][one.row.status] += 1
            if not one.arrived and one.reply is not None:
                replies[one.reply] += 1
        return dict(statuses), replies

    def active(self, kind: str, since: datetime, until: datetime) -> int:
        return sum(any(since <= hit.at < until for hit in one.human(kind)) for one in self.deliveries)


def engaged(tables: dict[str, list[Any]], since: datetime) -> list[tuple[int, datetime, str, int, int]]:
    """Score, last sign, address, messages opened and clicked, of everybody who engaged since then; best first."""
    of = {bytes(one.id): one.recipient for one in tables["deliveries"] if one.recipient is not None}
    did: dict[str, list[Any]] = defaultdict(list)
    for event in tables["events"]:
        if event.at >= since and event.verdict in HUMAN and bytes(event.delivery_id) in of:
            did[of[bytes(event.delivery_id)]].append(event)
    found = []
    for address, theirs in did.items():
        opened, clicked = (
            len({bytes(one.message_id) for one in theirs if one.kind == kind}) for kind in KINDS
        )
        found.append((opened + 3 * clicked, max(one.at for one in theirs), address, opened, clicked))
    return sorted(found, key=lambda one: (-one[0], -one[1].timestamp(), one[2]))


def silent(tables: dict[str, list[Any]], since: datetime, least: int) -> list[tuple[int, str, datetime]]:
    """Mails, address and last mail of everybody who got so many measured mails since then and did nothing."""
    alive = {address for _, _, address, _, _ in engaged(tables, since)}
    came = {bytes(one.id): one.received_at for one in tables["messages"]}
    mails: dict[str, list[datetime]] = defaultdict(list)
    for one in tables["deliveries"]:
        at = came[bytes(one.message_id)]
        measured = one.mode in ("identified", "hygiene") and one.status in ARRIVED
        if measured and at >= since and one.recipient is not None and one.recipient not in alive:
            mails[one.recipient].append(at)
    found = [(len(some), address, max(some)) for address, some in mails.items() if len(some) >= least]
    return sorted(found, key=lambda one: (-one[0], one[1]))


async def tables_of(domain: Domain) -> dict[str, list[Any]]:
    wanted = (messages, deliveries, events, attempts, carried_totals, carried_deliveries)

    def work(connection: Connection) -> dict[str, list[Any]]:
        return {table.name: list(connection.execute(select(table)).all()) for table in wanted}

    return await domain.database.view(work, within=20)


# --- what reports say, in the same form ---


def said(figures: Figures) -> Numbers:
    found: Numbers = {
        "statuses": figures.statuses,
        "trackable": figures.trackable_delivered,
        "not_trackable": figures.not_trackable,
        "views": figures.views,
        "implied": figures.implied,
        "engaged": figures.engaged,
    }
    for kind, one in figures.identified.items():
        found[kind.value] = (one.unique, one.delivered, one.total, one.machines, one.unsure)
    return found


def said_days(timeline: Timeline) -> dict[date, Counter[str]]:
    found = {}
    for bucket in timeline.buckets:
        counted = Counter({"delivered": bucket.delivered})
        for kind, one in bucket.kinds.items():
            names = {
                "total": one.total,
                "new": one.new,
                "views": one.views,
                "machines": one.machines,
                "unsure": one.unsure,
            }
            counted.update({f"{kind.value} {name}": n for name, n in names.items()})
        if +counted:
            found[bucket.begins.date()] = +counted
    return found


def said_parts(parts: Iterable[Part]) -> dict[str, Numbers]:
    return {
        one.value: {
            "deliveries": one.deliveries,
            "delivered": one.delivered,
            "measured": one.measured,
            **{
                name: Counter({kind.value: n for kind, n in counted.items()})
                for name, counted in (("people", one.people), ("arrived", one.arrived), ("hits", one.hits))
            },
        }
        for one in parts
    }


def said_outcomes(found: Outcomes) -> tuple[dict[str, Counter[str]], Counter[tuple[int, str]]]:
    return (
        {one.domain: one.statuses for one in found.domains},
        Counter({(one.code, one.enhanced): one.n for one in found.answers}),
    )


def check_times(found: TimesTo, waited: list[int]) -> None:
    assert found.n == len(waited) == sum(one.n for one in found.histogram)
    if waited:
        assert found.median == waited[(len(waited) + 1) // 2 - 1]
        assert found.p90 == waited[-(-9 * len(waited) // 10) - 1]
    else:
        assert found.median is None


def midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
