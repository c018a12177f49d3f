"""What upstream's replies mean for a recipient. Pure.

The one policy of delivery trouble: what is refused for good, what is only put off, what says something about
our configuration and nothing about the mail. An answer's reply is always of its status' class (ACCEPTED 2xx,
DEFERRED 4xx, BOUNCED 5xx), so that it may be passed on to a client as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from relay import replies
from relay.outcome import Status
from relay.replies import Reply

ENHANCED: Final = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})(?:\s+|$)")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
MAX_LINES: Final = 20
MAX_LINE: Final = 480
"""With code and enhanced code in front a line still fits into 512 octets (RFC 5321 4.5.3.1.5)."""

ABOUT_US: Final = frozenset({503, 530, 534, 535, 538})
"""A wrong order of commands, and all that RFC 4954 6 and RFC 3207 4 say about logging in: they are about us,
not about the mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one recipient, before time and host are added."""

    status: Status
    reply: Reply
    maybe_sent: bool = False


def reply_from(code: int, lines: Sequence[str]) -> Reply:
    """A reply as upstream spoke it, its enhanced code told apart from its text (RFC 2034 4). ValueError for a
    code outside 200 to 599. Text is cut to what fits on the wire again, in ASCII."""
    found = ENHANCED.match(lines[0]) if lines else None
    detail = found[2] if found and int(found[1]) == code // 100 else ""
    mark = f"{code // 100}.{detail}"
    texts = []
    for line in lines[:MAX_LINES]:
        text = CONTROL.sub(" ", line)
        if detail and text.startswith(mark):
            text = text.removeprefix(mark)
        texts.append(text.strip().encode("ascii", "backslashreplace").decode("ascii")[:MAX_LINE])
    return Reply(code=code, detail=detail, text="\n".join(texts))


@lru_cache(maxsize=256)
def judge(reply: Reply) -> Answer:
    """What a reply to MAIL, RCPT, DATA or the dot means for the recipients it is about."""
    if reply.is_success:
        return Answer(status=Status.ACCEPTED, reply=reply)
    if reply.is_permanent and reply.code not in ABOUT_US:
        return Answer(status=Status.BOUNCED, reply=reply)
    return put_off(reply)


def put_off(reply: Reply, *, maybe_sent: bool = False) -> Answer:
    """DEFERRED, in upstream's own words where they are those of a temporary failure."""
    words = reply if reply.is_temporary else replies.softened(reply)
    return Answer(status=Status.DEFERRED, reply=words, maybe_sent=maybe_sent)


def bounced(reply: Reply) -> Answer:
    return Answer(status=Status.BOUNCED, reply=reply)


def means_too_many(reply: Reply) -> bool:
    """Is it the number of recipients that this RCPT was refused for? Old servers say 552 (RFC 5321
    4.5.3.1.10); with another enhanced code both mean a full mailbox or disk."""
    return reply.code in (452, 552) and reply.detail in ("", "5.3")


def agree(answers: Iterable[Answer]) -> bool:
    return len({answer.status for answer in answers}) <= 1


def withdrawn(answer: Answer) -> Answer:
    """The answer of someone who was sent nothing because the answers differed: upstream's refusal kept in the
    text, but nothing final."""
    if answer.status is Status.BOUNCED:
        return put_off(replies.softened(answer.reply, "Not sent, upstream said"))
    return answer
