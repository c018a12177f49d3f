"""What a message would become for somebody, without sending it: the copy, what in it is whose, and the proof.

Nothing is stored and no delivery comes of it: links and pixel are sealed with a ring made for this preview and
forgotten, so that no tracker ever believes them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from relay.aliases import EVERY, Aliases
from relay.compiled import NO_POLICIES, Compiled, Compiler
from relay.controls import Controls
from relay.footer import Footers
from relay.personalize import Addressed, Tracking, copies
from relay.rewrite import Link, PixelPlace, Plan, Rules
from relay.signers import Signers
from relay.submission import MESSAGE_ID_OCTETS, Client, Recipient, Submission
from relay.verification import Verification, What, verify, verify_footed
from tracker.consent import Ceiling, Consent, Contact, Decision, Mode, Question, Reading
from tracker.policy import Policy
from tracker.tokens import Key, KeyRing

ANYBODY = "somebody@example.org"
WILLING = Contact(consent=Consent.GRANTED)
"""Somebody who agreed to everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A person, what is known of them, and the policy for what is not."""

    address: str
    """In normal form."""
    contact: Contact
    policy: Policy

    def reading(self, message: Compiled) -> Reading:
        """What the policy says of them for this message."""
        return self.policy.reading(message.circumstances(self.contact, self.address))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One person's copy of a message."""

    data: bytes = field(repr=False)
    copy: bytes = field(repr=False)
    controls: Controls
    plan: Plan
    decision: Decision
    rule: str | None
    """What answered for what the person never said; None where nobody in particular was asked about."""
    footed: Plan | None
    """Of the message with a footer, where this copy has one."""
    pixel: PixelPlace | None
    """Where the pixel of a tracked copy would stand; None where there is no place."""
    signatures: str
    """What becomes of DKIM signatures when such a copy is sent: kept, added, replaced or removed."""
    verification: Verification

    @property
    def wrapped(self) -> frozenset[int]:
        """Numbers of the links that are wrapped in this copy."""
        return frozenset(change.link for change in self.verification.changes if change.what is What.LINK)

    @property
    def has_pixel(self) -> bool:
        return self.verification.count(What.PIXEL) > 0


class Previewer:
    """Previews by one set of rules. `public_url` stands in the copies' links, as it would (where it depends on the
    sender, it is asked with their address); `signers` say which signatures stand in the way."""

    def __init__(
        self,
        rules: Rules,
        public_url: str | Callable[[str], str],
        signers: Signers | None = None,
        footers: Footers | None = None,
        aliases: Aliases = EVERY,
        policies: Mapping[str, Ceiling] = NO_POLICIES,
    ) -> None:
        self._url_for = public_url if callable(public_url) else lambda _sender: public_url
        self._ring = throwaway_ring()
        self._compiler = Compiler(rules, self._ring, {}, signers, footers, aliases, policies)
        self._said = [(one.text, one.link) for one in footers.wordings.values()] if footers else []

    def preview(self, data: bytes, somebody: Somebody | None = None) -> Preview:
        """The copy of a person, or of one who agreed to everything; `data` has CRLF line ends. The message's own
        wishes hold, except that nobody is there to permit an override."""
        message = self._compiler.compile(_submission(data, somebody.address if somebody else ANYBODY))
        plan, options = message.plan, message.controls.options
        reading = somebody.reading(message) if somebody else Reading()
        decision, footed = message.decided(
            Question(
                contact=somebody.contact if somebody else WILLING,
                reading=reading,
                untouchable=message.untouchable,
                opens=options.opens and plan.has_pixel_place,
                clicks=options.clicks and bool(plan.links),
                refused=options.refused,
            )
        )
        if somebody is None and message.footing and decision.mode is not Mode.UNTRACKED:
            footed = message.footing.plan(None)  # as if the policy asked for it
        copy, links = self._copy(message, decision, footed)
        return Preview(
            data=data,
            copy=copy,
            controls=message.controls,
            plan=plan,
            decision=decision,
            rule=reading.source if somebody else None,
            footed=footed,
            pixel=(footed or plan).pixel_place(links),
            signatures=_signatures(message, decision),
            verification=self._verified(data, footed, copy, self._url_for(message.mailing.sender)),
        )

    def _verified(self, data: bytes, footed: Plan | None, copy: bytes, url: str) -> Verification:
        if footed is None:
            return verify(data, copy, public_url=url, ring=self._ring)
        return verify_footed(data, footed.data, copy, said=self._said, public_url=url, ring=self._ring)

    def _copy(
        self, message: Compiled, decision: Decision, footed: Plan | None
    ) -> tuple[bytes, Callable[[Link], str] | None]:
        """The copy without the fields that are put in front, and what its links lead to."""
        (recipient,) = message.submission.recipients
        one = Addressed(
            delivery_id=secrets.token_bytes(16),
            position=0,
            recipient=recipient,
            normal=None,
            decision=decision,
            footed=footed,
        )
        tracking = Tracking(
            public_url=self._url_for(message.mailing.sender),
            ring=self._ring,
            mailing=message.mailing.id,
            sent_at=message.submission.received_at,
        )
        (made,) = copies(message.plan, [one], tracking, b"", recorded=True)
        return b"".join(made.content()), tracking.link(one) if decision.clicks else None


def _submission(data: bytes, address: str) -> Submission:
    """The message as if a client had sent it that needs no login."""
    return Submission(
        id=secrets.token_bytes(MESSAGE_ID_OCTETS),
        sender=ANYBODY,
        recipients=(Recipient(address=address),),
        data=data,
        received_at=datetime.now(UTC),
        client=Client(address=""),
    )


def _signatures(message: Compiled, decision: Decision) -> str:
    """What becomes of DKIM signatures when the copy is sent; the preview shows them as they came."""
    changed = decision.mode is not Mode.UNTRACKED or message.plan.alters_base
    treatment = message.signatures.changed if changed else message.signatures.unchanged
    if treatment.keys:
        return "replaced" if treatment.cut else "added"
    return "removed" if treatment.cut else "kept"


def throwaway_ring() -> KeyRing:
    """A ring that sealed nothing yet and is kept nowhere."""
    key = Key(id=secrets.token_bytes(3), secret=secrets.token_bytes(32))
    return KeyRing(newest=key, keys={key.id: key}, permanent=secrets.token_bytes(32))
