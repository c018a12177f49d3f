"""The other end of the wire: mail systems that take mail, ask for patience, or refuse it, each in its own words.

Fulfils `relay.upstream.Upstream`. What it took is held as far as a reader needs it: the copy's own links."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from relay.demonstration.company import BY_DOMAIN, MailSystem
from relay.demonstration.people import Person
from relay.outcome import Outcome, Status
from relay.replies import Reply
from relay.submission import Recipient
from relay.upstream import Transaction

_PIXEL = re.compile(rb"/o/([A-Za-z0-9_-]+)\.gif")
_LINK = re.compile(rb"""href="?https?://[^"/]+/c/([A-Za-z0-9_-]+)""")
_STATUS = {2: Status.ACCEPTED, 4: Status.DEFERRED, 5: Status.BOUNCED}
_REPAIRS = timedelta(minutes=30)

GONE = {
    "oldtown-mail.example": (550, "1.1", "Requested action not taken: mailbox unavailable"),
    "lettre.example": (550, "1.1", "Adresse d'au moins un destinataire invalide. Invalid recipient."),
    "postfach.example": (550, "1.1", "Requested action not taken: mailbox unavailable (user unknown)"),
    "brightpost.example": (550, "1.1", "The email account that you tried to reach does not exist."),
}
_NO_SUCH = (550, "1.1", "User unknown in virtual mailbox table")
_FULL = (452, "2.2", "Mailbox full: try again later")
_STILL_FULL = (552, "2.2", "Mailbox full: over quota for too long")
_BUSY = (421, "7.0", "Too many messages from this network in a short time. Slow down.")
_GREYLISTED = (451, "7.1", "Greylisted: please come again in five minutes")
_CLOSED = (451, "3.2", "System not accepting messages at the moment: maintenance")
_ADVERTISING = (550, "7.1", "Message refused by the recipient's policy: looks like bulk mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A copy that was taken."""

    address: str
    at: datetime
    envelope_sender: str
    pixel: str | None
    """The token in it, where it has one."""
    links: tuple[str, ...]


class Carrier:
    """Answers as the recipients' mail systems would. `arrived` is emptied by whoever reads it."""

    def __init__(
        self, seed: int, people: Mapping[str, Person], clock: Callable[[], datetime], ends: datetime
    ) -> None:
        self._seed = seed
        self._people = people
        self._clock = clock
        self._closes_at = ends - _REPAIRS
        self._met: set[tuple[str, str]] = set()
        self._put_off: dict[str, int] = {}
        self.arrived: list[Arrived] = []

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        sender = transaction.client_sender or transaction.sender
        outcomes = tuple(self._outcome(sender, one) for one in transaction.recipients)
        taken = [
            one for one, outcome in zip(transaction.recipients, outcomes, strict=True) if outcome.settled
        ]
        if taken and sender:
            whole = b"".join(transaction.content)
            pixel = _PIXEL.search(whole)
            links = tuple(one.decode("ascii") for one in _LINK.findall(whole))
            self.arrived += [
                Arrived(
                    address=one.address,
                    at=self._clock(),
                    envelope_sender=transaction.sender,
                    pixel=pixel[1].decode("ascii") if pixel else None,
                    links=links,
                )
                for one, outcome in zip(transaction.recipients, outcomes, strict=True)
                if outcome.status is Status.ACCEPTED
            ]
        return outcomes

    async def close(self, *, grace: float) -> None:
        """There is nothing to be closed."""

    def _outcome(self, sender: str, recipient: Recipient) -> Outcome:
        domain = recipient.address.rpartition("@")[2]
        # Dice of its own for each: in which order copies come is nobody's to say.
        dice = Random(f"{self._seed} {sender} {recipient.address} {self._clock()}")  # noqa: S311 - a play
        code, detail, text = self._answer(dice, sender, recipient.address, domain)
        return Outcome(
            status=_STATUS[code // 100],
            reply=Reply(code=code, detail=detail, text=text),
            host=f"mx1.{domain}:25",
            at=self._clock() + timedelta(seconds=dice.uniform(0.2, 1.8)),
            tls="TLSv1.2" if domain == "oldtown-mail.example" else "TLSv1.3",
        )

    def _answer(self, dice: Random, sender: str, address: str, domain: str) -> tuple[int, str, str]:
        system, person = BY_DOMAIN.get(domain), self._people.get(address)
        refusal = self._refusal(dice, sender, address, system, person) if system and person else None
        if refusal is not None:
            if refusal[0] < 500:
                self._put_off[address] = self._put_off.get(address, 0) + 1
            return refusal
        self._put_off.pop(address, None)
        return 250, "0.0", f"Ok: queued as {dice.getrandbits(40):010X}"

    def _refusal(
        self, dice: Random, sender: str, address: str, system: MailSystem, person: Person
    ) -> tuple[int, str, str] | None:
        if system.closes and self._clock() >= self._closes_at:
            return _CLOSED
        if person.gone:
            return GONE.get(system.domain, _NO_SUCH)
        if person.full:
            return _STILL_FULL if self._put_off.get(address, 0) >= 2 else _FULL
        if system.refuses == sender:
            return _ADVERTISING
        if system.greylists and (sender, address) not in self._met:
            self._met.add((sender, address))
            return _GREYLISTED
        return _BUSY if dice.random() < system.busy else None
