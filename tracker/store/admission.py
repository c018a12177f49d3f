"""What today's consent leaves of what a copy was sent under: asked at a hit, and when a conversion looks back at it."""

from __future__ import annotations

from tracker.consent import Decision, Question, Reading, decide, narrow, untracked
from tracker.events import EventKind
from tracker.policy import Policy
from tracker.store.deliveries import Sent


def admitted(sent: Sent, kind: EventKind, policy: Policy) -> tuple[Decision, Reading]:
    """The decision for this kind of hit, with what the policy says of this recipient and message."""
    reading = policy.reading(sent.circumstances())
    today = decide(
        Question(
            contact=sent.contact,
            reading=reading,
            opens=sent.decision.opens,
            clicks=sent.decision.clicks,
            override=sent.decision.override,
        )
    )
    allowed = narrow(sent.decision, today)
    measured = allowed.opens if kind is EventKind.OPENED else allowed.clicks
    return (allowed if measured else untracked(allowed.reason)), reading
