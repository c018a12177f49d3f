"""The flow of a message, from a complete submission to the reply its client hears.

Promises: a 250 means that for every recipient upstream has the mail, or it is on our disk, or it was refused for
good and a report to the sender is on our disk. Whatever is in doubt about consent is not tracked; whatever is in
doubt about delivery stays with the client or in the queue.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from relay import log, replies
from relay.attempt import Attempt, Budget
from relay.compiled import Compiled, Compiler, footers, normal_form
from relay.config import Config
from relay.outcome import Outcome, Status, answer
from relay.personalize import Addressed, Tracking, copies, received_line
from relay.queue import Queue
from relay.ready import Ready, Work
from relay.replies import Reply
from relay.rewrite import Plan, Rules
from relay.settlement import Settlement
from relay.sources import Sources
from relay.store.recipients import NOBODY, Known, Recipients
from relay.store.spool import Waiting
from relay.store.suppression import Suppressing
from relay.submission import MESSAGE_ID_OCTETS, Recipient, Submission
from relay.upstream import Upstream
from relay.verp import ReturnPaths
from tracker.consent import Contact, Decision, Mode, Question, untracked
from tracker.domain import Domain
from tracker.errors import StoreError

HOST_AWAY = "tracking-host-away"
"""The reason on record of a copy without pixel and wrapped links, since they would have led nowhere."""
MOST_HOPS = 50
"""`Received:` lines beyond which a message is going in circles (RFC 5321 6.3)."""


class Delivery:
    """Hands messages on: the client's first try here, the queue's later ones in `relay.worker`."""

    def __init__(
        self,
        config: Config,
        domain: Domain,
        upstream: Upstream,
        queue: Queue,
        *,
        rules: Rules,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.config = config
        self.domain = domain
        self.upstream = upstream
        ceilings = {user.name: user.track for user in config.relay.user}
        self.compiler = Compiler(
            rules,
            domain.ring,
            ceilings,
            config.dkim.signers(),
            footers(config.preferences, max(config.tracker.urls, key=len)),
            config.compat.aliases,
            config.compat.ses_configuration_sets,
        )
        self._no_tracking = config.compat.no_tracking
        hostname = config.relay.name
        self.suppressing = Suppressing(
            ring=domain.ring,
            after=config.suppression.after if config.suppression.hard_bounces else None,
            complaints=config.suppression.complaints,
        )
        self.settlement = Settlement(
            domain,
            queue,
            self.compiler,
            config.override,
            hostname=hostname,
            clock=clock,
            suppressing=self.suppressing,
            keeps_originals=config.admin.previews_days > 0,
        )
        domain_name = config.bounces.domain
        self.return_paths = ReturnPaths(domain=domain_name, ring=domain.ring) if domain_name else None
        self._recipients = Recipients(domain)
        self._sources = Sources(config, domain, clock=clock)
        self._hostname = hostname
        self._clock = clock
        self._budget = Budget()
        self._background: set[asyncio.Task[None]] = set()
        self.ready = Ready(4 * config.queue.at_once)
        """What goes on from memory; the worker takes it."""
        self.wake: Callable[[], None] = lambda: None
        """Called when there may be something to do; the worker sets it."""
        self.is_up: Callable[[str], bool] = lambda url: True
        """Whether links to that public URL of ours lead anywhere; the probe sets it."""
        self.heard: Callable[[Collection[Outcome]], None] = lambda outcomes: None
        """Called with what each try led to; the worker sets it."""

    async def deliver(self, submission: Submission) -> Reply:
        """The flow; the reply is decided last."""
        message = await self.compiler.compiled(submission)
        if message.controls.misread:
            log.wishes_not_understood(message.id, headers=[name for name, _ in message.controls.misread])
        if message.controls.idle:
            log.headers_without_meaning(message.id, headers=message.controls.idle)
        if refusal := self._refusal(message):
            return refusal
        known = await self.ask(submission)
        learnt = await self._sources.learn(message, known)
        if learnt.changed:
            known = await self.ask(submission)
        await self.prepare(message, known)
        addressed = self._decide(message, known, learnt.doubtful)
        if any(one.decision.clicks for one in addressed):
            message = message.as_sent(self.config.tracker.url_for(message.mailing.sender))
        paths = self.paths(submission, known)
        patience = self.config.relay.wait_for_upstream
        if patience == 0:
            return await self._queue(message, addressed, known, paths)
        recorded = known is not None and await self.settlement.record(message, addressed, paths is not None)
        if not recorded:
            log.store_away(message.id)
            addressed = [replace(one, decision=untracked("store-unavailable")) for one in addressed]
        skipped = self.skipped(addressed, known) if recorded else {}
        attempt = self.attempt(message, addressed, skipped, recorded=recorded, paths=paths)
        finished = await attempt.wait(patience if recorded else None)
        if not recorded:
            return self._answer(message, addressed, attempt.outcomes) or replies.put_off(message.id)
        return await self._conclude(message, addressed, attempt, finished=finished)

    async def ask(self, submission: Submission) -> dict[str, Known] | None:
        """All of whom anything is known, in one question, by address in normal form; None when the store does not
        answer in time."""
        people = submission.recipients
        if self._takes_reports_for(submission):
            people = (*people, Recipient(address=submission.sender))
        addresses = {normal for one in people if (normal := normal_form(one)) is not None}
        try:
            return await self._recipients.ask(addresses)
        except StoreError:
            return None

    async def prepare(self, message: Compiled, known: Mapping[str, Known] | None) -> None:
        """What deciding needs of a large message and is made beside the loop."""
        await self.compiler.prepare(message, (one.contact for one in (known or {}).values()))

    def paths(self, submission: Submission, known: Mapping[str, Known] | None) -> ReturnPaths | None:
        """Where reports on this message's deliveries come back to, when that is us. An erased sender is not to be
        kept, so reports go to them directly."""
        if known is None or not self._takes_reports_for(submission):
            return None
        sender = normal_form(Recipient(address=submission.sender)) or ""
        return None if known.get(sender, NOBODY).contact.erased else self.return_paths

    def _takes_reports_for(self, submission: Submission) -> bool:
        """Never for reports, whose sender is null, nor for what has a return path of ours already."""
        paths, sender = self.return_paths, submission.sender
        return paths is not None and sender != "" and not paths.holds(sender.rpartition("@")[2])

    def skipped(
        self, addressed: Sequence[Addressed], known: Mapping[str, Known] | None
    ) -> dict[bytes, Outcome]:
        """Those whose mail is skipped on purpose, each with the reason."""
        return {
            one.delivery_id: Outcome(
                status=Status.SKIPPED, reply=replies.suppressed(str(why)), at=self._clock()
            )
            for one in addressed
            if known is not None
            and (normal := normal_form(one.recipient)) is not None
            and (why := known.get(normal, NOBODY).suppressed) is not None
        }

    def attempt(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        skipped: Mapping[bytes, Outcome],
        *,
        recorded: bool,
        paths: ReturnPaths | None,
    ) -> Attempt:
        """Starts one try for these recipients."""
        tracking = Tracking(
            public_url=self.config.tracker.url_for(message.mailing.sender),
            ring=self.domain.ring,
            mailing=message.mailing.id,
            sent_at=message.submission.received_at,
        )
        received = self._no_tracking + received_line(message.submission, self._hostname)
        owed = [one for one in addressed if one.delivery_id not in skipped]
        made = copies(
            message.plan,
            owed,
            tracking,
            received,
            recorded=recorded,
            return_paths=paths if recorded else None,
            signatures=message.signatures,
            signed_at=self._clock(),
        )
        attempt = Attempt(
            self.upstream,
            message.submission,
            made,
            unanimous=not recorded,
            budget=self._budget,
            settled=skipped,
        )
        attempt.start()
        return attempt

    async def see_through(
        self,
        submission: Submission,
        addressed: Sequence[Addressed],
        attempt: Attempt,
        *,
        waited: Mapping[bytes, Waiting],
        expired: frozenset[bytes] = frozenset(),
        sender_kept: bool = False,
    ) -> None:
        """Waits for a try under the queue's ownership and writes what it led to. When cancelled it is broken off,
        and whoever has an outcome by then is not tried again."""
        is_over = False
        try:
            is_over = await attempt.wait()
        finally:
            attempt.cancel()
            if is_over:
                self.heard(attempt.outcomes.values())
            await self.settlement.finish(
                submission,
                addressed,
                attempt.outcomes,
                waited=waited,
                # Who was not heard of since we are stopping may still be, after the start.
                expired=expired if is_over else expired & attempt.outcomes.keys(),
                plain=attempt.plain,
                sender_kept=sender_kept,
            )

    async def close(self, *, grace: float) -> None:
        """Waits for attempts that outlived their client's patience, then for what is still to be written."""
        if self._background:
            await asyncio.wait(self._background, timeout=grace)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.settlement.close(grace=grace)

    def _refusal(self, message: Compiled) -> Reply | None:
        """What the message itself makes impossible."""
        client = message.submission.client
        if message.controls.received_count > MOST_HOPS:
            return replies.MAIL_LOOP
        if message.controls.options.override and not self.config.override.permits(
            client.user, client.address
        ):
            return replies.OVERRIDE_REFUSED
        return None

    def _decide(
        self, message: Compiled, known: dict[str, Known] | None, doubtful: Collection[str]
    ) -> list[Addressed]:
        """One decision per recipient. `doubtful`: of whom the lookup was to say something, and did not."""
        addressed = []
        for position, recipient in enumerate(message.submission.recipients):
            normal = normal_form(recipient)
            contact = known.get(normal, NOBODY).contact if known is not None and normal is not None else None
            erased = contact is not None and contact.erased
            decision, footed = (
                (untracked("lookup-failed"), None)
                if normal in doubtful
                else self._decision(message, contact, normal)
            )
            addressed.append(
                Addressed(
                    delivery_id=secrets.token_bytes(16),
                    position=position,
                    recipient=recipient,
                    normal=None if erased else normal or recipient.address,
                    group=contact.group if contact else None,
                    decision=decision,
                    footed=footed,
                )
            )
        return addressed

    def _decision(
        self, message: Compiled, contact: Contact | None, normal: str | None
    ) -> tuple[Decision, Plan | None]:
        if normal is None:  # nobody ever gave consent under what is no address
            return untracked("address-not-understood"), None
        options = message.controls.options
        question = Question(
            contact=contact,
            reading=self.domain.policy.reading(message.circumstances(contact, normal)),
            untouchable=message.untouchable,
            opens=options.opens and message.plan.has_pixel_place,
            clicks=options.clicks and bool(message.plan.links),
            override=options.override,
            ceiling=message.ceiling,
            refused=options.refused,
        )
        return self.reachable(message.decided(question), message)

    def reachable(
        self, decided: tuple[Decision, Plan | None], message: Compiled
    ) -> tuple[Decision, Plan | None]:
        """The same, unless our tracking host is away: then a copy with links to it would be worse than none."""
        url = self.config.tracker.url_for(message.mailing.sender)
        if decided[0].mode is Mode.UNTRACKED or self.is_up(url):
            return decided
        return untracked(HOST_AWAY), None

    async def _queue(
        self,
        message: Compiled,
        addressed: Sequence[Addressed],
        known: Mapping[str, Known] | None,
        paths: ReturnPaths | None,
    ) -> Reply:
        """`wait_for_upstream = "0s"`: commit, 250, deliver then; from memory where there is room for it."""
        if known is None:
            return replies.store_unavailable(message.id)
        skipped = self.skipped(addressed, known)
        owed = [one for one in addressed if one.delivery_id not in skipped]
        octets = len(message.submission.data)
        mine = bool(owed) and self.ready.reserve(octets)
        try:
            waiting = await self.settlement.accept(
                message, addressed, skipped, mine=mine, sender_kept=paths is not None
            )
        except BaseException as error:
            if mine:
                self.ready.give_back(octets)
            if not isinstance(error, StoreError):
                raise
            log.not_recorded(message.id, error=error)
            return replies.store_unavailable(message.id)
        if mine:
            work = Work(
                submission=message.submission,
                waiting=tuple(replace(one, sent=to.decision) for one, to in zip(waiting, owed, strict=True)),
                message=message,
                addressed=tuple(owed),
                paths=paths,
            )
            self.ready.add(work, reserved=True)
        else:
            self.wake()
        return replies.accepted(message.id)

    async def _conclude(
        self, message: Compiled, addressed: Sequence[Addressed], attempt: Attempt, *, finished: bool
    ) -> Reply:
        """One kind of result is the client's answer; anything else is on disk before the 250."""
        if finished:
            self.heard(attempt.outcomes.values())
        reply = self._answer(message, addressed, attempt.outcomes) if finished else None
        if reply is not None:
            await self.settlement.settle(
                message, addressed, attempt.outcomes, returned=reply.is_temporary, plain=attempt.plain
            )
            return reply
        outcomes, report_id = dict(attempt.outcomes), secrets.token_bytes(MESSAGE_ID_OCTETS)
        try:
            owed = await self.settlement.keep(
                message, addressed, outcomes, mine=not finished, report_id=report_id, plain=attempt.plain
            )
        except StoreError:
            # What upstream says of everybody together is still an answer; else the client keeps its copy.
            await attempt.wait()
            reply = self._answer(message, addressed, attempt.outcomes) or replies.put_off(message.id)
            await self.settlement.settle(
                message,
                addressed,
                attempt.outcomes,
                returned=reply.is_temporary,
                plain=attempt.plain,
                withdraw=report_id,
            )
            return reply
        if finished:
            self.wake()
        else:
            self._go_on(message, owed, attempt)
        return replies.accepted(message.id)

    def _go_on(self, message: Compiled, owed: Sequence[Addressed], attempt: Attempt) -> None:
        """The running attempt belongs to the queue now: the lease is ours, the outcomes are written at the end."""

        async def finish() -> None:
            await self.see_through(message.submission, owed, attempt, waited={})
            self.wake()

        task = asyncio.create_task(finish())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _answer(
        self, message: Compiled, addressed: Sequence[Addressed], outcomes: dict[bytes, Outcome]
    ) -> Reply | None:
        in_order = [outcomes[one.delivery_id] for one in addressed if one.delivery_id in outcomes]
        return answer(in_order, len(addressed), replies.accepted(message.id))
