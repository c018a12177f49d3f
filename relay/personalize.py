"""Decisions become copies: who shares the original, who gets their own, and what stands in it. Pure.

Untracked recipients share one copy, which is the message as it came behind one `Received:` line and, where we hold
a key, our signature. A copy's bytes are made when they are needed, so that a thousand tracked recipients never lie
in memory together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache, lru_cache

from relay.rewrite import Link, Plan
from relay.signers import UNSIGNED, Signatures, Treatment
from relay.submission import Recipient, Submission
from relay.verp import ReturnPaths
from tracker.consent import Decision, Mode
from tracker.tokens import KeyRing, Kind, Token, seal, sealing

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGE = 256 * 1024
"""Octets of a message whose copies are made and signed in a thread; below, a thread costs more than it saves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressed:
    """A recipient with what was decided for them."""

    delivery_id: bytes
    position: int
    recipient: Recipient
    normal: str | None
    """The address in normal form; None where it has none, and for erased persons."""
    group: str | None = None
    decision: Decision
    footed: Plan | None = field(default=None, repr=False, compare=False)
    """What a tracked copy is made of where that is not the message's own plan: the message with a footer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What one transaction carries, and for whom."""

    addressed: tuple[Addressed, ...]
    content: Callable[[], tuple[bytes, ...]]
    """The pieces in order; made anew at each call."""
    plain: Callable[[], tuple[bytes, ...]]
    """The same without pixel, wrapped links and signature of ours, should those fail to be made."""
    is_slow: bool = False
    """`content` is better called in a thread."""
    return_path: str | None = None
    """The envelope sender where it is this recipient's own; None where it is the submission's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Where our links lead and what they are sealed with."""

    public_url: str
    ring: KeyRing
    mailing: bytes
    sent_at: datetime

    def url(self, path: str, token: Token) -> str:
        return f"{self.public_url}/{path}/{seal(token, self.ring)}"

    def token(self, kind: Kind, one: Addressed) -> Token:
        return Token(
            kind=kind,
            mode=one.decision.mode,
            subject=one.delivery_id,
            sent_at=self.sent_at,
            override=one.decision.override,
        )

    def pixel(self, one: Addressed) -> str:
        """The pixel's URL. In aggregate mode it is the same for everybody: it names the mailing and no time."""
        if one.decision.mode is Mode.AGGREGATE:
            token = Token(kind=Kind.OPEN, mode=Mode.AGGREGATE, subject=self.mailing, sent_at=_EPOCH)
        else:
            token = self.token(Kind.OPEN, one)
        return self.url("o", token) + ".gif"

    def link(self, one: Addressed) -> Callable[[Link], str]:
        seal_click = sealing(self.token(Kind.CLICK, one), self.ring)
        beginning = f"{self.public_url}/c/"
        return lambda link: beginning + seal_click(link.number, link.url)

    def preferences(self, one: Addressed) -> str:
        return self.url("p", self.token(Kind.PREFERENCES, one))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Front:
    """What stands in front of each copy of a message."""

    received: bytes
    signatures: Signatures
    signed_at: int
    """Unix time."""

    def plain(self, data: bytes) -> tuple[bytes, ...]:
        return self.received, data

    def signed(self, treatment: Treatment, data: bytes) -> tuple[bytes, ...]:
        signed = self.signatures.of(treatment, data, at=self.signed_at)
        return (signed, self.received, data) if signed else (self.received, data)


def copies(
    plan: Plan,
    addressed: Sequence[Addressed],
    tracking: Tracking,
    received: bytes,
    *,
    recorded: bool,
    return_paths: ReturnPaths | None = None,
    signatures: Signatures = UNSIGNED,
    signed_at: datetime = _EPOCH,
) -> list[Copy]:
    """The copies of one message. With `return_paths` each recipient has a copy with an envelope sender of its own, and
    the untracked share the bytes. With `recorded` false (the store is away) links to a person's page would lead
    nowhere, so everybody's placeholder becomes the tracker's own address and all share one copy."""
    front = _Front(received=received, signatures=signatures, signed_at=int(signed_at.timestamp()))
    made: list[Copy] = []
    personal = plan.has_preferences_placeholder and recorded
    shared = [one for one in addressed if one.decision.mode is Mode.UNTRACKED and not personal]
    if shared:
        anybody = tracking.public_url + "/p" if plan.has_preferences_placeholder else None
        together = _untracked(plan, tuple(shared), front, anybody)
        made.extend([together] if return_paths is None else _apart(together))
    for one in addressed:
        if one.decision.mode is not Mode.UNTRACKED:
            made.append(_tracked(plan, one, tracking, front))
        elif personal:
            made.append(_untracked(plan, (one,), front, tracking.preferences(one)))
    if return_paths is None:
        return made
    return [replace(copy, return_path=return_paths.of(copy.addressed[0].delivery_id)) for copy in made]


def _apart(copy: Copy) -> list[Copy]:
    """One for each recipient; the bytes are made once."""
    content, plain = cache(copy.content), cache(copy.plain)
    return [replace(copy, addressed=(one,), content=content, plain=plain) for one in copy.addressed]


def _untracked(plan: Plan, addressed: tuple[Addressed, ...], front: _Front, preferences: str | None) -> Copy:
    signatures = front.signatures
    treatment = signatures.changed if plan.alters_base else signatures.unchanged
    to_sign = plan.without(treatment.cut)

    def plain() -> tuple[bytes, ...]:
        return front.plain(plan.base(preferences_url=preferences))

    def content() -> tuple[bytes, ...]:
        return front.signed(treatment, to_sign.base(preferences_url=preferences))

    return Copy(addressed=addressed, content=content, plain=plain, is_slow=_is_slow(plan, treatment))


def _tracked(plan: Plan, one: Addressed, tracking: Tracking, front: _Front) -> Copy:
    with_link = one.footed or plan
    preferences = tracking.preferences(one) if with_link.has_preferences_placeholder else None
    treatment = front.signatures.changed
    to_sign = with_link.without(treatment.cut)

    def plain() -> tuple[bytes, ...]:
        return front.plain(plan.base(preferences_url=preferences))

    def content() -> tuple[bytes, ...]:
        data = to_sign.render(
            link_url=tracking.link(one) if one.decision.clicks else None,
            pixel_url=tracking.pixel(one) if one.decision.opens else None,
            preferences_url=preferences,
        )
        return front.signed(treatment, data)

    return Copy(addressed=(one,), content=content, plain=plain, is_slow=_is_slow(plan, treatment))


def _is_slow(plan: Plan, treatment: Treatment) -> bool:
    """Signing with RSA takes ten times what handing it to a thread does, and so does making or reading a copy of
    megabytes: others' mail goes on meanwhile."""
    return len(plan.data) > _LARGE or any(key.is_slow for key in treatment.keys)


@lru_cache(maxsize=16)
def _dated(second: datetime) -> str:
    """As headers have it (RFC 5322 3.3); mail that comes in the same second shares it."""
    return format_datetime(second)


def received_line(submission: Submission, hostname: str) -> bytes:
    """The trace line in front of every copy (RFC 5321 4.4, RFC 3848 for the protocol's name)."""
    client = submission.client
    protocol = "SMTP"
    if client.esmtp:
        protocol = "ESMTP" + ("S" if client.tls else "") + ("A" if client.user else "")
    if submission.smtputf8:
        protocol = "UTF8SMTP" + protocol.removeprefix("ESMTP")
    literal = f"IPv6:{client.address}" if ":" in client.address else client.address
    origin = f"from {client.helo or 'localhost'} ([{literal}])\r\n\t" if client.address else ""
    line = (
        f"Received: {origin}by {hostname} (Candor) with {protocol} id {submission.id.hex()};\r\n"
        f"\t{_dated(submission.received_at.replace(microsecond=0))}\r\n"
    )
    return line.encode("utf-8" if submission.smtputf8 else "ascii", "replace")
