"""The envelope while it is being spoken: from MAIL to the dot (RFC 5321 3.3). No I/O.

MAIL and RCPT go in as text and come out as replies; once the message is there, the frozen Submission is made.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

from relay import replies
from relay.intake.parameters import MailParameters, ParameterError, mail_parameters, rcpt_parameters
from relay.intake.paths import PathError, forward_path, reverse_path
from relay.replies import Reply
from relay.submission import MESSAGE_ID_OCTETS, Client, Recipient, Submission

# Spaces after the colon are wrong and common (RFC 5321 3.3); they do no harm.
_FROM = re.compile(r"FROM: *", re.IGNORECASE)
_TO = re.compile(r"TO: *", re.IGNORECASE)


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Transaction:
    """One envelope. Its id is drawn at MAIL, so that every later trouble can be named to the client."""

    def __init__(self, argument: str, *, max_size: int) -> None:
        """`argument` is what follows the word MAIL. Raises Refused."""
        self.id = secrets.token_bytes(MESSAGE_ID_OCTETS)
        self.sender, self.parameters = _read_mail(argument)
        self._recipients: dict[str, Recipient] = {}
        if self.parameters.size > max_size:
            raise Refused(replies.MESSAGE_TOO_BIG)

    @property
    def recipient_count(self) -> int:
        """Those taken so far, each mailbox once."""
        return len(self._recipients)

    def recipient(
        self,
        argument: str,
        *,
        limit: int,
        local_domains: frozenset[str],
        refusal: Reply | None,
        has_mailbox: Callable[[str], bool] | None = None,
    ) -> Reply:
        """Takes one RCPT. The same mailbox again is answered like the first time and kept once; the wishes
        given first hold. `refusal` is what a client that may write to local domains only hears otherwise;
        `has_mailbox` says of a local address whether there is such a mailbox."""
        match = _TO.match(argument)
        if match is None:
            return replies.RCPT_SYNTAX
        try:
            path = forward_path(argument[match.end() :])
            wishes = rcpt_parameters(path.rest, smtputf8=self.parameters.smtputf8)
        except PathError:
            return replies.BAD_RECIPIENT
        except ParameterError as error:
            return error.reply
        if not path.address.isascii() and not self.parameters.smtputf8:
            return replies.SMTPUTF8_NOT_DECLARED
        local = path.domain in local_domains
        if refusal is not None and not local:
            return refusal
        if local and has_mailbox is not None and not has_mailbox(path.address):
            return replies.NO_SUCH_MAILBOX
        if path.mailbox in self._recipients:
            return replies.RECIPIENT_OK
        if len(self._recipients) >= limit:
            return replies.TOO_MANY_RECIPIENTS
        self._recipients[path.mailbox] = Recipient(
            address=path.address, notify=wishes.notify, orcpt=wishes.orcpt, local=local
        )
        return replies.RECIPIENT_OK

    def submission(self, data: bytes, *, client: Client, received_at: datetime) -> Submission:
        return Submission(
            id=self.id,
            sender=self.sender,
            recipients=tuple(self._recipients.values()),
            data=data,
            received_at=received_at,
            client=client,
            smtputf8=self.parameters.smtputf8,
            eight_bit=self.parameters.eight_bit,
            envid=self.parameters.envid,
            ret=self.parameters.ret,
        )


@lru_cache(maxsize=256)
def _read_mail(argument: str) -> tuple[str, MailParameters]:
    match = _FROM.match(argument)
    if match is None:
        raise Refused(replies.MAIL_SYNTAX)
    try:
        path = reverse_path(argument[match.end() :])
        parameters = mail_parameters(path.rest)
    except PathError:
        raise Refused(replies.BAD_SENDER) from None
    except ParameterError as error:
        raise Refused(error.reply) from None
    if not path.address.isascii() and not parameters.smtputf8:
        raise Refused(replies.SMTPUTF8_NOT_DECLARED)
    return path.address, parameters
