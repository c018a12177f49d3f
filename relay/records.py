"""What is written of a message, as statements: that it came and for whom, what became of each copy, and what the
copies really carried. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from relay.compiled import Compiled
from relay.edits import Link
from relay.kept import kept
from relay.outcome import Outcome, Outcomes, Status
from relay.personalize import Addressed
from tracker.consent import Mode, untracked
from tracker.store import deliveries, messages
from tracker.store.database import Statement
from tracker.tokens import KeyRing

OWN_REPORT = untracked(messages.OWN_REPORT)
"""On a report that we wrote or pass on: no question of consent, and its recipient's name is not written down."""


def recording(
    message: Compiled, addressed: Sequence[Addressed], status: Status, ring: KeyRing
) -> tuple[Statement, ...]:
    """The statements that write down a message and its deliveries."""
    submission, controls, options = message.submission, message.controls, message.controls.options
    # where no copy has wrapped links, no event will ever name one, and they may tell of a person who declined
    wrapped = message.plan.links if any(one.decision.clicks for one in addressed) else ()
    if message.staying:
        wrapped = tuple(link for link in wrapped if link.number not in message.staying)
    row = deliveries.Message(
        id=submission.id,
        mailing=message.mailing,
        received_at=submission.received_at,
        sender=message.mailing.sender,
        from_header=_storable(controls.from_header),
        subject=_storable(controls.subject),
        tags=tuple(map(_storable, options.tags)),
        metadata=options.metadata
        and tuple((_storable(name), _storable(value)) for name, value in options.metadata),
        variant=None if options.variant is None else _storable(options.variant),
        message_class=options.message_class,
        size=len(submission.data),
        untouched=OWN_REPORT.reason
        if any(one.decision is OWN_REPORT for one in addressed)
        else message.untouchable,
        kept=(
            *(deliveries.Kept("", why, name, 1) for name, why in controls.misread),
            *_switched_off(message),
            *kept(message.plan, message.staying),
        ),
        links=_links(wrapped),
    )
    sent = [
        deliveries.Delivery(
            id=one.delivery_id,
            message_id=submission.id,
            position=one.position,
            recipient=one.normal,
            group=one.group,
            decision=one.decision,
            status=str(status),
        )
        for one in addressed
    ]
    return deliveries.recording(row, sent, ring)


def may_be_kept(message: Compiled, addressed: Sequence[Addressed]) -> bool:
    """Whether the message as it came may stay to be looked at: only one in which something is measured, which went to
    nobody who was erased, and which is not a transaction's (those carry codes and names), nor very large."""
    return (
        any(one.decision.mode is not Mode.UNTRACKED for one in addressed)
        and all(one.normal is not None for one in addressed)
        and message.controls.options.message_class != "transactional"
        and len(message.submission.data) <= _LARGEST_KEPT
    )


_LARGEST_KEPT = 5_000_000
_PARTS = {
    (True, False): b"X-Mailgun-Track-Clicks: htmlonly\r\n",
    (False, True): b"X-PM-TrackLinks: TextOnly\r\n",
}


def as_kept(message: Compiled) -> bytes:
    """The message without the fields that are for us, some of which list other people. Where links of one part only
    were wrapped it still says so: links are numbered by that."""
    data, options, at = message.submission.data, message.controls.options, 0
    pieces = [_PARTS.get((options.html_links, options.text_links), b"")]
    for start, end in message.controls.ranges:
        pieces.append(data[at:start])
        at = end
    return b"".join((*pieces, data[at:]))


def _switched_off(message: Compiled) -> Iterator[deliveries.Kept]:
    """What the message itself asked not to be measured, where there was something to measure."""
    options, plan = message.controls.options, message.plan
    if not options.opens and plan.has_pixel_place:
        yield deliveries.Kept("", messages.OPENS_OFF, "", 1)
    if not options.clicks and plan.links:
        yield deliveries.Kept("", messages.CLICKS_OFF, "", len(plan.links))


def _links(wrapped: Sequence[Link]) -> tuple[tuple[int, str, str], ...]:
    if _is_storable("".join([text for link in wrapped for text in (link.url, link.text)])):
        return tuple([(link.number, link.url, link.text) for link in wrapped])
    return tuple([(link.number, _storable(link.url), _storable(link.text)) for link in wrapped])


def settling(
    addressed: Iterable[Addressed], outcomes: Outcomes, status: Status | None = None
) -> tuple[Statement, ...]:
    """The statements that write attempts and states; `status` stands in for every state when given."""
    return deliveries.settling(
        deliveries.Attempt(
            delivery_id=one.delivery_id,
            at=outcome.at,
            status=str(status or outcome.status),
            host=outcome.host or (outcome.tried and f"{outcome.tried} (not got through to)"),
            tls=outcome.tls,
            code=outcome.reply.code,
            enhanced=outcome.reply.enhanced,
            # Upstream likes to quote the address, and of an erased person there is none to be kept.
            text="" if one.normal is None else _storable(outcome.reply.text[:1000] + _doubt(outcome)),
            names_nobody=not _quotes(outcome.reply.text, one.recipient.address),
        )
        for one in addressed
        if (outcome := outcomes.get(one.delivery_id)) is not None
    )


def narrowing(
    addressed: Iterable[Addressed], outcomes: Outcomes, plain: Collection[bytes], *, everybody: bool = False
) -> Statement:
    """The statement that says what the copies really carry that upstream took: those in `plain` nothing, because
    theirs could not be made; and with `everybody` the others what was decided for this try."""
    return deliveries.narrowing(
        (one.delivery_id, untracked("copy-failed") if one.delivery_id in plain else one.decision)
        for one in addressed
        if (everybody or one.delivery_id in plain)
        and (outcome := outcomes.get(one.delivery_id)) is not None
        and outcome.status is Status.ACCEPTED
    )


def _doubt(outcome: Outcome) -> str:
    return "; it had the whole message, which may be sent twice" if outcome.maybe_sent else ""


def _quotes(text: str, address: str) -> bool:
    """Does an answer name whom it is about, or a part of it?"""
    text = text.casefold()
    return any(part in text for part in address.casefold().split("@"))


def _storable(text: str) -> str:
    """As databases take it: mail can spell lone surrogates, which are no characters, and PostgreSQL keeps no NUL."""
    if _is_storable(text):
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _is_storable(text: str) -> bool:
    """Surely; what is not ASCII has to be looked at."""
    return text.isascii() and "\0" not in text
