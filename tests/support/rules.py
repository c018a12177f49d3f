"""The rules of CONSENT, written down a second time, from the specification and not from the code, as a small model:
what is known of people, what their mail may measure, and what a hit leaves behind.

Nothing here imports the decision, the policy or the weighing of statements: two that were wrong alike would agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

REFUSALS = {"tracking_consent": {"denied", "withdrawn"}, "do_not_track": {"true"}}
GRANTS = {"granted", "false"}
"""What lifts a refusal of one's own; that nothing is known lifts none."""
LEAVES = {
    "identified": {"event", "count", "total", "day"},
    "anonymous": {"count", "total"},
    "aggregate": {"total"},
    "hygiene": {"day"},
    "untracked": set[str](),
}
"""What a hit may leave behind under each mode. Mail already sent may do what both then and now allow."""
YEARS = 3
TOO_SOON = timedelta(seconds=2)


@dataclass
class Said:
    """What holds of one attribute: the word, since when, whether the person chose it on their own page."""

    word: str
    at: datetime | None = None
    own: bool = False


@dataclass
class Person:
    known: bool = False
    """There is a contact."""
    consent: Said = field(default_factory=lambda: Said("unknown"))
    apart: Said = field(default_factory=lambda: Said("unset"))
    group: str = ""
    erased: datetime | None = None
    last_open: str | None = None
    overridden: int = 0
    """Times that consent was passed over, since the last erasure."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    person: str
    consent: str | None = None
    apart: str | None = None
    by_silence: bool = False
    """`apart` is what an empty cell means."""
    group: str | None = None
    as_of: datetime | None = None
    evidence: bool = False


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A message as far as the rules look at it."""

    to: Sequence[str]
    mailing: str
    opens: bool = True
    clicks: bool = True
    override: bool = False
    declared: str | None = None
    trusted: bool = False
    ceiling: str = "full"


@dataclass(frozen=True, kw_only=True)
class Allowed:
    mode: str
    opens: bool
    clicks: bool
    override: bool = False


NOTHING = Allowed(mode="untracked", opens=False, clicks=False)


@dataclass
class Delivery:
    """One recipient's copy, for as long as it is on record."""

    number: int
    person: str | None
    """None once they were erased."""
    mailing: str
    group: str
    sent: Allowed
    mode: str
    """As sent, or less since."""
    at: datetime
    message: int


@dataclass(frozen=True, kw_only=True)
class Event:
    delivery: int
    kind: str
    link: int
    at: datetime
    machine: bool


Cell = tuple[str, str, str, str, int, str]
"""mailing, scope, group, kind, position, day."""


@dataclass
class Rules:
    """The operator's policy."""

    unknown: str = "track"
    staff: str | None = None
    """What holds for the group `staff`, where a rule says so."""
    unset_is_true: bool = False

    def silence(self, group: str) -> str:
        word = self.staff if self.staff is not None and group == "staff" else self.unknown
        return {"track": "identified", "deny": "untracked"}.get(word, word)


class Model:
    """What ought to be on record."""

    def __init__(self, sender: str, min_group: int) -> None:
        self.sender, self.min_group = sender, min_group
        self.rules = Rules()
        self.people: dict[str, Person] = {}
        self.deliveries: dict[int, Delivery] = {}
        self.events: list[Event] = []
        self.counts: Counter[Cell] = Counter()
        self.carried: Counter[str] = Counter()
        """Events that erasure and purge took, by kind."""
        self.audience: dict[tuple[str, str, str], str] = {}
        """(mailing, mode, person) → group."""
        self.mailings: set[str] = set()
        self._number = self._message = 0

    def person(self, name: str) -> Person:
        return self.people.setdefault(name, Person())

    # --- what is said ---

    def say(self, said: Statement, source: str, now: datetime) -> bool:
        """Whether all of it took effect, or said nothing new."""
        person = self.person(said.person)
        proven = said.evidence and source not in ("header", "lookup")
        at = min(said.as_of or now, now)
        dated = said.as_of is not None or source != "import"
        if person.erased is not None:
            if not (said.consent == "granted" and proven and dated and at > person.erased):
                return False
            self.people[said.person] = person = Person()
        person.known = True
        fine = True
        for attribute, held, word in (
            ("tracking_consent", person.consent, said.consent),
            ("do_not_track", person.apart, said.apart),
        ):
            if word is not None:
                by_name = attribute != "do_not_track" or not said.by_silence
                fine &= _say(held, REFUSALS[attribute], word, said.as_of, at, source, proven and by_name)
        person.group = said.group or person.group
        return fine

    def erase(self, name: str, now: datetime) -> None:
        self.people[name] = Person(known=True, erased=now)
        for one in self.deliveries.values():
            if one.person == name:
                one.person, one.group = None, ""
                self._carry(event for event in list(self.events) if event.delivery == one.number)
        self.audience = {key: group for key, group in self.audience.items() if key[2] != name}

    def anonymize(self, name: str, now: datetime) -> bool:
        """False where it is refused."""
        if self.person(name).erased is not None:
            return False
        if not self.say(Statement(person=name, apart="true"), "cli", now):
            return False
        self.person(name).last_open = None
        theirs = {one.number: one for one in self.deliveries.values() if one.person == name}
        cut = {number: one for number, one in theirs.items() if one.mode == "identified"}
        for one in cut.values():
            one.mode = "anonymous"
            self.audience.setdefault((one.mailing, "anonymous", name), one.group)
        gone = sorted((one for one in self.events if one.delivery in cut), key=lambda one: one.at)
        self.events = [one for one in self.events if one.delivery not in cut]
        for event in gone:
            if not event.machine:
                sent = cut[event.delivery]
                self._count(sent.mailing, sent.group, event.kind, event.link, event.at)
        return True

    def purge(self, today: date) -> None:
        expired = {one.number for one in self.deliveries.values() if _expired(one.at, today)}
        touched = {self.deliveries[number].mailing for number in expired}
        gone = [one for one in self.events if one.delivery in expired or _expired(one.at, today)]
        self._carry(gone)
        for number in expired:
            del self.deliveries[number]
        empty = touched - {one.mailing for one in self.deliveries.values()}
        self.audience = {key: group for key, group in self.audience.items() if key[0] not in empty}
        for person in self.people.values():
            if person.last_open and _expired(datetime.fromisoformat(person.last_open), today):
                person.last_open = None

    # --- mail ---

    def send(self, mail: Sending, now: datetime) -> list[Delivery]:
        """What each recipient gets, in order."""
        if mail.declared is not None and mail.trusted and len(mail.to) == 1:
            self._declare(mail.to[0], mail.declared, now)
        self._message += 1
        self.mailings.add(mail.mailing)
        sent = []
        for name in mail.to:
            person = self.person(name)
            allowed = self._allowed(person, mail)
            self._number += 1
            one = Delivery(
                number=self._number,
                person=None if person.erased else name,
                mailing=mail.mailing,
                group=person.group,
                sent=allowed,
                mode=allowed.mode,
                at=now,
                message=self._message,
            )
            self.deliveries[one.number] = one
            if allowed.mode in ("anonymous", "aggregate"):
                self.audience.setdefault((mail.mailing, allowed.mode, name), person.group)
            person.known |= allowed.mode == "hygiene" or allowed.override
            person.overridden += allowed.override
            sent.append(one)
        return sent

    def _declare(self, name: str, word: str, now: datetime) -> None:
        person = self.person(name)
        if (person.consent.word if person.erased is None else "denied") != word:
            self.say(Statement(person=name, consent=word, evidence=True), "header", now)

    def _allowed(self, person: Person, mail: Sending) -> Allowed:
        if person.erased is not None:
            return NOTHING
        if mail.declared in ("denied", "withdrawn") and not mail.override:
            return NOTHING
        mode = self._mode(person, mail.override)
        if mail.ceiling == "none":
            mode = "untracked"
        elif mail.ceiling == "anonymous":  # a day on the person is more than an anonymous count
            mode = {"identified": "anonymous", "hygiene": "untracked"}.get(mode, mode)
        opens = mail.opens and mode != "untracked"
        clicks = mail.clicks and mode in ("identified", "anonymous")
        if not (opens or clicks):
            return NOTHING
        return Allowed(mode=mode, opens=opens, clicks=clicks, override=mail.override)

    def _mode(self, person: Person, override: bool) -> str:
        """What consent, policy and the wish to be cut loose come to."""
        if override:
            mode = "identified"
        elif person.consent.word in REFUSALS["tracking_consent"]:
            return "untracked"
        elif person.consent.word == "granted":
            mode = "identified"
        else:
            mode = self.rules.silence(person.group)
        cut = person.apart.word == "true" or (person.apart.word == "unset" and self.rules.unset_is_true)
        return {"identified": "anonymous", "hygiene": "aggregate"}.get(mode, mode) if cut else mode

    # --- hits ---

    def hit(self, copy: Delivery, kind: str, link: int, now: datetime, *, machine: bool) -> None:
        """`copy` as it was sent: it lies in an inbox, whatever became of our record of it."""
        if copy.sent.mode == "aggregate":  # its pixel names nobody: today's consent cannot be asked
            if copy.mailing in self.mailings:
                self._total(copy.mailing, now)
            return
        record = self.deliveries.get(copy.number)
        if record is None or record.person is None:
            return
        person = self.person(record.person)
        if person.erased is not None:
            return
        today = self._mode(person, record.sent.override)
        may = LEAVES[record.mode] & LEAVES[today]
        machine |= now - record.at < TOO_SOON
        if "event" in may:
            self.events.append(Event(delivery=copy.number, kind=kind, link=link, at=now, machine=machine))
        elif "count" in may:
            self._count(record.mailing, record.group, kind, link, now)
        elif kind == "opened" and "total" in may:
            self._total(record.mailing, now)
        elif kind == "opened" and "day" in may and person.known and not machine:
            person.last_open = max(person.last_open or "", f"{now:%Y-%m-%d}")

    def _count(self, mailing: str, group: str, kind: str, link: int, at: datetime) -> None:
        sizes = Counter(g for (m, mode, _), g in self.audience.items() if (m, mode) == (mailing, "anonymous"))
        small = sum(n for n in sizes.values() if n < self.min_group)
        day = f"{at:%Y-%m-%d}"
        if sizes[group] >= self.min_group:
            self.counts[mailing, "group", group, kind, link, day] += 1
        elif small >= self.min_group:
            self.counts[mailing, "other", "", kind, link, day] += 1
        else:
            self._month(kind, at)

    def _total(self, mailing: str, at: datetime) -> None:
        members = sum((m, mode) == (mailing, "aggregate") for m, mode, _ in self.audience)
        if members >= self.min_group:
            self.counts[mailing, "aggregate", "", "opened", 0, ""] += 1
        else:
            self._month("opened", at)

    def _month(self, kind: str, at: datetime) -> None:
        month = f"{at:%Y-%m}"
        self.mailings.add(f"{self.sender} {month}")
        self.counts[f"{self.sender} {month}", "month", "", kind, 0, month] += 1

    def _carry(self, events: Iterable[Event]) -> None:
        gone = list(events)
        self.events = [one for one in self.events if one not in gone]
        self.carried.update(one.kind for one in gone)


def _say(
    held: Said, refusals: set[str], word: str, given: datetime | None, at: datetime, source: str, proven: bool
) -> bool:
    """One word about one attribute; False where it has no effect although it would change something."""
    refuses, own = word in refusals, source == "preference-page"
    if held.at is None:
        if word == "unset" and not proven:
            return True
    else:
        personal_now = own and not held.own
        if word == held.word and not proven and given in (None, held.at) and not personal_now:
            return True  # a bare repetition is no new statement
        stands = held.word in refusals
        if not (own and refuses):  # who refuses on their own page is heard at once
            if at < held.at or (at == held.at and stands and not refuses):
                return False
            dated = given is not None or source != "import"
            lifts = word in GRANTS and proven and dated and at > held.at
            if stands and held.own and not refuses and not lifts:
                return False
    stays_own = held.own and held.word in refusals and refuses
    held.word, held.own = word, own or stays_own
    held.at = max(at, held.at) if held.at else at
    return True


def _expired(collected: datetime, today: date) -> bool:
    """Three calendar years on; what came on 29 February expires on the 28th."""
    day = collected.astimezone(UTC).date() if collected.tzinfo else collected.date()
    try:
        ends = day.replace(year=day.year + YEARS)
    except ValueError:
        ends = date(day.year + YEARS, 2, 28)
    return ends <= today
