"""What a message would become for somebody, without sending it: the copy, what in it is whose, and the proof.

Nothing is stored and no delivery comes of it: links and pixel are sealed with a ring made for this preview and
forgotten, so that no tracker ever believes them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from relay.compiled import author_of
from relay.controls import Controls, read_block
from relay.mime import read_header
from relay.personalize import Addressed, Tracking, copies
from relay.rewrite import PixelPlace, Plan, Rules, compile_message
from relay.submission import Recipient
from relay.verification import Verification, What, verify
from tracker.consent import Consent, Contact, Decision, Mode, Question, Reading, decide
from tracker.policy import Policy, circumstances
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

    def reading(self, controls: Controls) -> Reading:
        """What the policy says of them for a message with these headers."""
        about = circumstances(
            self.contact,
            address=self.address,
            sender=author_of(controls, ""),
            message_class=controls.options.message_class,
        )
        return self.policy.reading(about)


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
    pixel: PixelPlace | None
    """Where the pixel of a tracked copy would stand; None where there is no place."""
    verification: Verification

    @property
    def wrapped(self) -> frozenset[int]:
        """Numbers of the links that are wrapped in this copy."""
        return frozenset(change.link for change in self.verification.changes if change.what is What.LINK)

    @property
    def has_pixel(self) -> bool:
        return self.verification.count(What.PIXEL) > 0


class Previewer:
    """Previews by one set of rules. `public_url` stands in the copies' links, as it would."""

    def __init__(self, rules: Rules, public_url: str) -> None:
        self._rules = rules
        self._public_url = public_url
        self._ring = throwaway_ring()

    def preview(self, data: bytes, somebody: Somebody | None = None) -> Preview:
        """The copy of a person, or of one who agreed to everything; `data` has CRLF line ends. The message's own
        wishes hold, except that nobody is there to permit an override."""
        header = read_header(data)
        controls = read_block(header)
        plan = compile_message(data, self._rules, header=header, controls=controls)
        options = controls.options
        reading = somebody.reading(controls) if somebody else Reading()
        decision = decide(
            Question(
                contact=somebody.contact if somebody else WILLING,
                reading=reading,
                untouchable=plan.untouched,
                opens=options.opens and plan.has_pixel_place,
                clicks=options.clicks and bool(plan.links),
                refused=options.refused,
            )
        )
        one = Addressed(
            delivery_id=secrets.token_bytes(16),
            position=0,
            recipient=Recipient(address=ANYBODY),
            normal=None,
            decision=decision,
        )
        tracking = Tracking(
            public_url=self._public_url,
            ring=self._ring,
            mailing=secrets.token_bytes(16),
            sent_at=datetime.now(UTC),
        )
        (made,) = copies(plan, [one], tracking, b"", recorded=True)
        copy = b"".join(made.content())
        links = tracking.link(one) if decision.clicks or decision.mode is Mode.UNTRACKED else None
        return Preview(
            data=data,
            copy=copy,
            controls=controls,
            plan=plan,
            decision=decision,
            rule=reading.source if somebody else None,
            pixel=plan.pixel_place(links),
            verification=verify(data, copy, public_url=self._public_url, ring=self._ring),
        )


def throwaway_ring() -> KeyRing:
    """A ring that sealed nothing yet and is kept nowhere."""
    key = Key(id=secrets.token_bytes(3), secret=secrets.token_bytes(32))
    return KeyRing(newest=key, keys={key.id: key}, permanent=secrets.token_bytes(32))
