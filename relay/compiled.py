"""A submission with all that can be known of it without asking anybody: controls, plan, mailing, ceiling."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parseaddr
from functools import lru_cache
from types import MappingProxyType

from relay import log
from relay.aliases import EVERY, Aliases
from relay.controls import Controls, read_block, read_own
from relay.footer import Footers, Footing, Wording
from relay.mime import read_header
from relay.rewrite import Plan, Reason, Rules, compile_message
from relay.signers import UNSIGNED, Signatures, Signers
from relay.submission import Recipient, Submission
from tracker import words
from tracker.address import normalize
from tracker.config import PreferencesTable
from tracker.consent import Ceiling, Contact, Decision, Mode, Question, decide
from tracker.errors import InvalidAddress
from tracker.policy import Circumstances, circumstances
from tracker.store.deliveries import Mailing
from tracker.tokens import KeyRing, click_length, mailing_id

BESIDE_THE_LOOP = 256 * 1024
"""Octets of a message from which on it is compiled in a thread; below, a thread costs more than it saves."""


NO_POLICIES: Mapping[str, Ceiling] = MappingProxyType({})
_STRICTNESS = {ceiling: rank for rank, ceiling in enumerate((Ceiling.FULL, Ceiling.ANONYMOUS, Ceiling.NONE))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What a message is, before it is asked what may be measured."""

    submission: Submission
    controls: Controls
    plan: Plan
    mailing: Mailing
    ceiling: Ceiling
    signatures: Signatures = UNSIGNED
    footing: Footing | None = None
    """None where no footer may be put in, and where none is needed."""
    staying: frozenset[int] = frozenset()
    """Numbers of links that no copy has wrapped, since their lines would grow too long."""

    @property
    def untouchable(self) -> str | None:
        """Why nobody may be tracked by this message, if so."""
        return "null-sender" if not self.submission.sender else self.plan.untouched

    def circumstances(self, contact: Contact | None, address: str | None) -> Circumstances:
        """What the policy looks at for this recipient; `address` in normal form."""
        return circumstances(
            contact,
            address=address,
            sender=self.mailing.sender,
            message_class=self.controls.options.message_class,
        )

    def decided(self, question: Question) -> tuple[Decision, Plan | None]:
        """The decision for one recipient, and the plan of the message with a footer where the withdrawal link that the
        policy asks for stands only in there. Who is not tracked has none, nor whose consent is passed over."""
        decision = decide(question)
        asks = question.reading.withdrawal_link and not decision.override
        if decision.mode is Mode.UNTRACKED or not asks or self.plan.has_preferences_placeholder:
            return decision, None
        country = question.contact.country if question.contact else None
        footed = self.footing.plan(country) if self.footing else None
        return (decision, footed) if footed else (decide(replace(question, has_link=False)), None)

    def as_sent(self, public_url: str) -> Compiled:
        """With the links named that copies with tracking URLs below this cannot have wrapped: they are on record as
        what they are."""
        plan, beginning = self.plan, len(f"{public_url}/c/")
        if not plan.links:
            return self
        longest = click_length(plan.links[-1].number, max((link.url for link in plan.links), key=len))
        if plan.has_room(beginning + longest):
            return self
        staying = plan.staying(lambda link: beginning + click_length(link.number, link.url))
        return replace(self, staying=staying)

    @property
    def id(self) -> str:
        return self.submission.id.hex()


class Compiler:
    """Compiles submissions by one set of rules."""

    def __init__(
        self,
        rules: Rules,
        ring: KeyRing,
        ceilings: Mapping[str, Ceiling],
        signers: Signers | None = None,
        footers: Footers | None = None,
        aliases: Aliases = EVERY,
        policies: Mapping[str, Ceiling] = NO_POLICIES,
    ) -> None:
        """`policies`: what names that a message may give permit; where there are any, an unknown name permits
        nothing."""
        self._aliases, self._policies = aliases, policies
        self._rules = replace(rules, track_signed=False)
        self._rules_for_replaceable = replace(rules, track_signed=True)
        self._signers = signers or Signers()
        self._footers = footers
        self._ring = ring
        self._ceilings = ceilings

    async def compiled(self, submission: Submission) -> Compiled:
        """The same beside the loop where it may take long, so that others' mail goes on meanwhile."""
        if len(submission.data) <= BESIDE_THE_LOOP:
            return self.compile(submission)
        return await asyncio.to_thread(self.compile, submission)

    def compile(self, submission: Submission) -> Compiled:
        """Reads the headers and plans the cuts; no I/O, never an exception for what a message holds."""
        footing = None
        try:
            header = read_header(submission.data)
            controls = self._with_policy(read_block(header, self._aliases))
            signatures = self._signers.examine(header, cut=controls.ranges, is_signed=controls.is_signed)
            rules = self._rules if signatures.stand_in_the_way else self._rules_for_replaceable
            plan = compile_message(submission.data, rules, header=header, controls=controls)
            mailing = self._mailing(submission, controls)
            if self._footers and plan.untouched is None and not plan.has_preferences_placeholder:
                footing = Footing(plan, header, controls, rules=rules, footers=self._footers)
        except Exception as error:  # noqa: BLE001 - mail that we fail on is passed on as it came
            log.not_compiled(submission.id.hex(), error=error)
            controls = read_own(submission.data, self._aliases)
            plan = Plan(data=submission.data, untouched=Reason.INTERNAL_ERROR, cuts=controls.ranges)
            mailing = self._nobodys_mailing(submission)
            signatures = UNSIGNED
        ceiling = self._policies.get(controls.options.policy or "", Ceiling.FULL)
        user, tags = submission.client.user, submission.client.tags
        if tags:
            options = controls.options
            mine = tuple(dict.fromkeys((*tags, *options.tags)))
            controls = replace(controls, options=replace(options, tags=mine))
        return Compiled(
            submission=submission,
            controls=controls,
            plan=plan,
            mailing=mailing,
            # A user whom the configuration no longer names has nobody who answers for the tracking.
            ceiling=ceiling
            if user is None
            else max(ceiling, self._ceilings.get(user, Ceiling.NONE), key=_STRICTNESS.__getitem__),
            signatures=signatures,
            footing=footing,
        )

    def _with_policy(self, controls: Controls) -> Controls:
        name = controls.options.policy
        if name is None or not self._policies or name in self._policies:
            return controls
        return replace(
            controls,
            options=replace(controls.options, opens=False, clicks=False),
            misread=(*controls.misread, ("X-SES-CONFIGURATION-SET", "unknown-value")),
        )

    async def prepare(self, message: Compiled, contacts: Iterable[Contact]) -> None:
        """Footers of a large message are made beside the loop, in whatever languages its recipients may need."""
        if message.footing is not None and len(message.submission.data) > BESIDE_THE_LOOP:
            await asyncio.to_thread(message.footing.prepare, {None, *(one.country for one in contacts)})

    def _mailing(self, submission: Submission, controls: Controls) -> Mailing:
        """The campaign, else author and day. The author is the `From:` address and not the envelope's sender,
        which list software makes unique to each recipient: a mailing of one would be a person."""
        author = author_of(controls, submission.sender)
        if controls.options.campaign:
            name, kind = controls.options.campaign, "campaign"
        else:
            name, kind = f"{author} {submission.received_at.date().isoformat()}", "sender-day"
        return Mailing(id=mailing_id(f"{kind}\n{name}", self._ring), kind=kind, name=name, sender=author)

    def _nobodys_mailing(self, submission: Submission) -> Mailing:
        """Depends on nothing that a message holds."""
        name = f"not understood {submission.received_at:%Y-%m-%d}"
        return Mailing(
            id=mailing_id(f"sender-day\n{name}", self._ring), kind="sender-day", name=name, sender=""
        )


def footers(table: PreferencesTable, public_url: str) -> Footers | None:
    """The sender's wordings, where the configuration wants footers. Under a public URL of hundreds of characters a
    line would grow too long for them."""
    if not table.footer or len(public_url) > _LONGEST_URL:
        return None
    said = words.load({language: dict(sentences) for language, sentences in table.words.items()})
    wordings = {
        language: Wording(language, one.plain("footer"), one.plain("footer_link"))
        for language, one in said.items()
    }
    return Footers(wordings=wordings, language=table.language)


_LONGEST_URL = 300


def author_of(controls: Controls, sender: str) -> str:
    """The address in `From:`, in normal form where it has one; the envelope's sender where there is none."""
    # A mailing's messages share it; a header of any length is not to be kept.
    known = len(controls.from_header) <= _LONGEST_KEPT
    return (_author if known else _read_author)(controls.from_header, sender)


def _read_author(from_header: str, sender: str) -> str:
    address = parseaddr(from_header)[1] or sender
    try:
        return normalize(address)
    except InvalidAddress:
        return address.lower()[:320]


_LONGEST_KEPT = 500
_author = lru_cache(maxsize=256)(_read_author)


def normal_form(recipient: Recipient) -> str | None:
    """The key under which consent is asked; None for what is no address anybody gave consent with."""
    try:
        return normalize(recipient.address)
    except InvalidAddress:
        return None
