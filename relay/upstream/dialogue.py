"""One mail transaction on one connection, from MAIL to the reply after the dot.

Upstream's word on each recipient is kept as it comes, so that whatever happens later every recipient has the
right answer. Pipelined where upstream announces it (RFC 2920), command by command where not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from relay import log, replies
from relay.outcome import Status
from relay.replies import Reply
from relay.upstream.answers import (
    ABOUT_US,
    Answer,
    agree,
    bounced,
    judge,
    means_too_many,
    put_off,
    withdrawn,
)
from relay.upstream.connection import Connection
from relay.upstream.negotiation import mail_command, rcpt_command
from relay.upstream.settings import UpstreamSettings
from relay.upstream.transaction import Transaction
from relay.upstream.wire import UpstreamError

LOG: Final[log.Log] = structlog.get_logger("relay.upstream")
DATA: Final = b"DATA\r\n"
RSET: Final = b"RSET\r\n"
RSET_TIMEOUT: Final = 10.0
"""Nothing is lost when a kept connection is given up instead of waited for."""


class Dialogue:
    """Speaks `transaction` for those of its recipients whose numbers are `who`. Used once."""

    def __init__(
        self, connection: Connection, transaction: Transaction, who: Sequence[int], settings: UpstreamSettings
    ) -> None:
        self._connection = connection
        self._wire = connection.wire
        self._transaction = transaction
        self._who = who
        self._settings = settings
        self._unsaid: deque[bytes] = deque()
        self._taken: list[int] = []
        self.answers: dict[int, Answer] = {}
        """By recipient number."""
        self.too_many: list[int] = []
        """Refused for their number only: they may go in another transaction, and have no answer yet."""
        self.has_begun = False
        """The message itself is on its way: from here on nothing is silently tried again."""
        self.has_ended = False
        """The final dot has left us: from here on no other server is asked."""
        self.was_completed = False
        """Upstream may have the whole message."""

    async def run(self) -> None:
        """Afterwards everyone has an answer but `too_many`. Raises UpstreamError; what is known by then is
        kept."""
        mail = mail_command(self._transaction, self._connection.offer)
        if isinstance(mail, Reply):
            return self._answer_rest(bounced(mail))
        commands = self._rcpt_commands()
        if commands and self._may_go_on():
            await self._converse(mail, commands)
        return self._conclude()

    def break_off(self, reply: Reply) -> None:
        """Answer everyone who has no answer: the connection came to its end."""
        self._answer_rest(put_off(reply, maybe_sent=self.was_completed))
        self._conclude()

    @property
    def unanswered(self) -> list[int]:
        return [number for number in self._who if number not in self.answers and number not in self.too_many]

    @property
    def how_many_taken(self) -> int:
        return len(self._taken)

    # The course of a transaction.

    async def _converse(self, mail: bytes, commands: dict[int, bytes]) -> None:
        await self._get_in_step()
        self._connection.messages += 1
        # DATA in the same group leaves the decision to upstream: whomever it has accepted gets the message.
        eager = self._connection.offer.pipelining and not self._transaction.unanimous
        self._say(mail, *commands.values(), *([DATA] if eager else []))
        has_begun = await self._mail(commands)
        if self._taken and self._may_go_on():
            if not eager:
                self._say(DATA)
            return await self._data()
        if eager:
            await self._take_back_data()
        if has_begun:
            self._reset()
        return None

    async def _mail(self, commands: dict[int, bytes]) -> bool:
        """The replies to MAIL and every RCPT. False when the sender was refused."""
        answer = self._judge(await self._hear())
        if answer.status is Status.ACCEPTED:
            for number in commands:
                self._note(number, await self._hear())
            return True
        self._answer_rest(answer)
        self._unsaid.clear()
        if self._connection.offer.pipelining:
            for _ in commands:
                await self._hear()  # 503 to each
        return False

    async def _data(self) -> None:
        reply = await self._hear(continues=True)
        if reply.code == 354:
            reply = await self._content()
        elif reply.code < 400:
            raise self._odd()
        else:
            self._reset()
        answer = self._judge(reply)
        for number in self._taken:
            self.answers[number] = answer

    async def _content(self) -> Reply:
        self.has_begun = True
        try:
            await self._wire.send_content(self._transaction.content, timeout=self._settings.command_timeout)
        except UpstreamError:
            # Some say what they dislike and hang up without hearing us out; the dot never reached them.
            early = self._wire.reply_ahead_of_time()
            if early is None or early.code < 400:
                raise
            return early
        self.has_ended = self.was_completed = True
        try:
            reply = await self._wire.reply(timeout=self._settings.data_timeout)
        except UpstreamError as trouble:
            self.was_completed = trouble.reply.code != 421  # 421 is a reply: upstream says it has it not
            raise
        if reply.code < 400 and not reply.is_success:
            raise self._odd()
        return reply

    async def _take_back_data(self) -> None:
        """There is nobody to send to, but DATA has been said. An upstream that goes along with it gets an
        empty message, which it has nobody to deliver to (RFC 2920 3.1)."""
        reply = await self._hear(continues=True)
        if reply.code == 354:
            self._wire.send(b".\r\n", replies_due=1)
            await self._hear()

    def _reset(self) -> None:
        """Leave no envelope behind. Nobody waits for the reply but the next transaction: a hanging RSET must
        not hide what upstream has said already."""
        if self._wire.is_sound:
            self._wire.send(RSET, replies_due=1)

    async def _get_in_step(self) -> None:
        """Read what the transaction before this one left to be read."""
        while self._wire.owed:
            try:
                reply = await self._wire.reply(timeout=min(RSET_TIMEOUT, self._settings.command_timeout))
            except UpstreamError as trouble:
                raise UpstreamError(trouble.reply, gone=True) from trouble
            if not reply.is_success:
                raise self._odd(gone=True)

    # Saying and hearing.

    def _say(self, *lines: bytes) -> None:
        if self._connection.offer.pipelining:
            self._wire.send(b"".join(lines), replies_due=len(lines))
        else:
            self._unsaid.extend(lines)

    async def _hear(self, *, continues: bool = False) -> Reply:
        """The reply to the next command; `continues` where 3xx has a meaning."""
        if self._unsaid:
            self._wire.send(self._unsaid.popleft(), replies_due=1)
        reply = await self._wire.reply(timeout=self._settings.command_timeout)
        if 300 <= reply.code < 400 and not continues:
            raise self._odd()
        return reply

    def _odd(self, *, gone: bool = False) -> UpstreamError:
        """A reply that does not belong where it came: who knows what the next one would belong to."""
        self._wire.abort()
        return UpstreamError(replies.UPSTREAM_GARBLED, gone=gone)

    # Keeping the answers.

    def _rcpt_commands(self) -> dict[int, bytes]:
        commands: dict[int, bytes] = {}
        for number in self._who:
            command = rcpt_command(self._transaction.recipients[number], self._connection.offer)
            if isinstance(command, Reply):
                self.answers[number] = bounced(command)
            else:
                commands[number] = command
        return commands

    def _note(self, number: int, reply: Reply) -> None:
        answer = self._judge(reply)
        if answer.status is Status.ACCEPTED:
            self._taken.append(number)
        elif not means_too_many(reply):
            self.answers[number] = answer
        elif self._taken and not self._transaction.unanimous:
            self.too_many.append(number)
        else:
            self.answers[number] = put_off(reply)

    def _judge(self, reply: Reply) -> Answer:
        if reply.code in ABOUT_US:
            log.upstream_wants_login(LOG, host=self._settings.name, reply=reply)
        return judge(reply)

    def _answer_rest(self, answer: Answer) -> None:
        for number in self.unanswered:
            self.answers[number] = answer

    def _may_go_on(self) -> bool:
        return not (self._transaction.unanimous and self.answers)

    def _conclude(self) -> None:
        """A transaction that must be unanimous gets answers that are."""
        if not self._transaction.unanimous:
            return
        self._answer_rest(put_off(replies.NOT_UNANIMOUS))
        if not agree(self.answers.values()):
            self.answers = {number: withdrawn(answer) for number, answer in self.answers.items()}
