"""What a hit may leave behind, and leaving it: consent of today, the verdict, events and counts.

Hits come here when they happen, and again out of the journal when the store was away meanwhile; the same is asked of
both. A user agent is looked at once and its text forgotten with the least used: mail programs come by the million and
call themselves by a few hundred names.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from tracker.consent import Decision, Mode, Reading, untracked
from tracker.device import device_of
from tracker.domain import Domain
from tracker.events import Device, Event, EventKind, Verdict, VerdictKind
from tracker.policy import Policy
from tracker.store import counts, events
from tracker.store.admission import admitted
from tracker.store.deliveries import Sent
from tracker.tokens import Kind
from tracker.verdict import MACHINES, RULES, TOO_SOON, Hit, Lists, classify
from tracker.web.origin import Address

EVENTS = {Kind.OPEN: EventKind.OPENED, Kind.CLICK: EventKind.CLICKED}
_NO_SUCH = untracked("no-such-delivery")
_NOTHING = Reading()
_MOST_AGENTS = 4096
_MOST_OF_AGENT = 512
_MOST_DECISIONS = 4096


class Heard(NamedTuple):
    """What the request said of itself; in memory only."""

    user_agent: str
    client: Address | None = None
    """The address it came from, as far as it is known."""


class Facts(NamedTuple):
    """What is to be had from what a request said, coarse enough to wait in the journal."""

    soon: Verdict
    """The verdict if upstream has not had the mail for long enough."""
    later: Verdict
    device: Device

    text: str
    """The same for the journal."""

    @classmethod
    def of_text(cls, text: str) -> Facts:
        """What `text` made; what another release wrote, and we cannot read, says nothing of person or machine."""
        try:
            soon, later, client, kind, system = json.loads(text)
            verdicts = [
                Verdict(kind=VerdictKind(one[0]), rules=one[1], reasons=tuple(one[2:]))
                for one in (soon, later)
            ]
        except (ValueError, TypeError, IndexError, KeyError):
            return _UNREADABLE
        return cls(verdicts[0], verdicts[1], Device(client=client, kind=kind, system=system), text)


_UNSURE = Verdict(kind=VerdictKind.UNSURE, reasons=("facts-lost",), rules=RULES)
_UNREADABLE = Facts(_UNSURE, _UNSURE, Device(), "")


class Counted(NamedTuple):
    """A hit that leaves no event, and what it leaves instead."""

    mode: Mode
    kind: EventKind
    link: int
    at: datetime
    sent: Sent
    verdict: Verdict


@lru_cache(maxsize=_MOST_AGENTS)
def _agent_facts(lists: Lists, kind: EventKind, user_agent: str) -> Facts:
    soon, later = (
        classify(Hit(kind=kind, user_agent=user_agent, since_accepted=since), lists)
        for since in (None, TOO_SOON)
    )
    device = device_of(user_agent)
    said = [[one.kind, one.rules, *one.reasons] for one in (soon, later)]
    return Facts(soon, later, device, json.dumps([*said, device.client, device.kind, device.system]))


class Keeping:
    """The store's side of a hit."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._policy: Policy | None = None
        self._decisions: dict[tuple[object, ...], tuple[Decision, Reading]] = {}

    @property
    def is_away(self) -> bool:
        """Is it known that nothing can be written now?"""
        return self._domain.database.writes.tripped

    async def look_up(self, ids: Collection[bytes]) -> Mapping[bytes, Sent]:
        """The deliveries of these ids, with what their recipients say today. Raises StoreUnavailable, StoreError."""
        return await self._domain.deliveries.several(ids) if ids else {}

    def decide(self, kind: EventKind, sent: Sent | None) -> tuple[Decision, Reading]:
        """What today's consent leaves of what the copy was sent under, for this kind of hit."""
        if sent is None:
            return _NO_SUCH, _NOTHING
        if self._policy is not self._domain.policy:
            self._policy = self._domain.policy
            self._decisions.clear()
        contact, was = sent.contact, sent.decision
        key = (
            kind, was, contact.consent, contact.do_not_track, contact.erased, contact.country, contact.group,
            sent.sender, sent.message_class, (sent.recipient or "").rpartition("@")[2],
        )  # fmt: skip
        found = self._decisions.get(key)
        if found is None:
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            found = self._decisions[key] = admitted(sent, kind, self._policy)
        return found

    def facts(self, kind: EventKind, heard: Heard) -> Facts:
        """What the request told of itself, but for where it came from."""
        return _agent_facts(self._domain.verdicts.lists, kind, heard.user_agent[:_MOST_OF_AGENT])

    def verdict(self, kind: EventKind, at: datetime, sent: Sent, heard: Heard) -> Verdict:
        """On a hit that leaves no event: by itself, and nothing of it is remembered."""
        since = None if sent.accepted_at is None else (at - sent.accepted_at).total_seconds()
        address = str(heard.client) if heard.client else ""
        hit = Hit(kind=kind, user_agent=heard.user_agent, address=address, since_accepted=since)
        return classify(hit, self._domain.verdicts.lists)

    def event(
        self,
        kind: EventKind,
        link: int,
        at: datetime,
        sent: Sent,
        reading: Reading,
        facts: Facts,
        heard: Heard,
    ) -> Event:
        """The event of a hit that comes now, in the light of where it came from."""
        verdict, country = verdict_of(sent, at, facts), ""
        if heard.client is not None:
            verdict = self._domain.verdicts.located(verdict, kind, heard.client, sent.delivery_id, at)
            country = self._domain.countries.of(heard.client) if reading.place else ""
        return event_of(kind, link, at, sent, reading, facts, verdict=verdict, country=country)

    def country(self, heard: Heard) -> str:
        """For the journal: whether it may be kept is decided with the rest."""
        return self._domain.countries.of(heard.client) if heard.client is not None else ""

    async def record(self, made: Sequence[Event], *, again: bool = False) -> None:
        """Writes events in one transaction. `again`: what is there already stays as it is. Raises StoreUnavailable,
        StoreError."""
        database = self._domain.database
        if again:
            await database.write(events.recording_new(made))
        else:
            await database.together(events.record, made)
        for one in made:
            self._domain.verdicts.stored(one.kind, one.delivery, one.at, one.verdict)

    async def count_aggregate(self, mailing: bytes, at: datetime) -> None:
        """Counts an aggregate pixel, which names its mailing and nobody. Raises StoreUnavailable, StoreError."""
        domain = self._domain
        least = domain.config.anonymity.min_group
        await domain.database.change(counts.counting_aggregate(mailing, at, domain.ring, least))

    async def count(self, one: Counted) -> None:
        """Counts a hit that leaves no event. Raises StoreUnavailable, StoreError."""
        domain, sent, at = self._domain, one.sent, one.at
        if one.mode is Mode.AGGREGATE:
            await self.count_aggregate(sent.mailing_id, at)
        elif one.mode is Mode.ANONYMOUS:
            least = domain.config.anonymity.min_group
            count = counts.counting_anonymous(sent, one.kind, one.link, at, domain.ring, least)
            await domain.database.change(count)
        elif sent.contact.id is not None and one.verdict.kind not in MACHINES:
            # Hygiene; a prefetch is no sign of life.
            await domain.database.write(counts.noting_hygiene(sent.contact.id, at))


def event_of(
    kind: EventKind,
    link: int,
    at: datetime,
    sent: Sent,
    reading: Reading,
    facts: Facts,
    *,
    verdict: Verdict,
    country: str,
) -> Event:
    """The event of a hit, with what the policy lets it keep."""
    return Event(
        kind=kind,
        at=at,
        message=sent.message_id,
        delivery=sent.delivery_id,
        link=link or None,
        verdict=verdict,
        device=facts.device if reading.device else Device(),
        country=country if reading.place else "",
    )


def verdict_of(sent: Sent, at: datetime, facts: Facts) -> Verdict:
    accepted = sent.accepted_at
    if accepted is None or (at - accepted).total_seconds() < TOO_SOON:
        return facts.soon
    return facts.later
