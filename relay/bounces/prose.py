"""Bounces written for people only. Read with caution: without a known writer *and* a refusal in its words, a text
is no bounce."""

from __future__ import annotations

import re

from relay.bounces.fields import enhanced, line
from relay.bounces.report import Action, Fate
from relay.bounces.status import CODES, smtp_code

MOST_OCTETS = 64 * 1024
_WRITERS = re.compile(
    r"(?i)this is the (?:qmail-send|mail system|mail delivery)|"  # qmail and its kin
    r"did not reach (?:some or all of )?the (?:following|intended) recipient|"  # Exchange
    r"(?:could not be|cannot be|was not|wasn't|couldn't be) delivered to|"
    r"delivery (?:to the following recipients? )?(?:has )?failed|"
    r"message that you sent could not be delivered|"  # Exim
    r"returned mail|undeliver(?:able|ed) mail"
)
_REFUSAL = re.compile(
    r"(?<![\d.])5\d\d[ -]|\(?#5\.\d{1,3}\.\d{1,3}|(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.]*\d)"
)
_AROUND = 300
_FROM_THE_DAEMON = re.compile(r"(?i)\bmailer-daemon\b")
_FROM_A_PROGRAM = re.compile(
    r"(?i)\b(?:mailer-daemon|postmaster|mail[ .-]delivery|microsoftexchange[0-9a-f]*)\b"
)


def from_a_program(from_header: str, *, automatic: bool) -> bool:
    """Whether the author is a mail system. Of `automatic` mail only the daemon itself: it alone takes no leave."""
    return (_FROM_THE_DAEMON if automatic else _FROM_A_PROGRAM).search(from_header) is not None


def refused(text: str) -> Fate | None:
    """The refusal that a bounce tells of; None where it is no bounce we know."""
    # What follows is the original, in which anything may stand.
    text = re.split(
        r"(?im)^--.*(?:copy of (?:the|your) message|original message|below this line)",
        text[:MOST_OCTETS],
        maxsplit=1,
    )[0]
    writer = _WRITERS.search(text)
    refusal = _REFUSAL.search(text, writer.start() if writer else 0)
    return _fate(text, refusal) if writer and refusal else None


def failed(text: str) -> Fate:
    """What is told of a failure that is certain (Exim's X-Failed-Recipients), be it nothing."""
    refusal = _REFUSAL.search(text[:MOST_OCTETS])
    return _fate(text, refusal) if refusal else Fate(action=Action.FAILED)


def _fate(text: str, refusal: re.Match[str]) -> Fate:
    found = line(text[refusal.start() : refusal.start() + _AROUND].lstrip("(#"), _AROUND)
    return Fate(
        action=Action.FAILED,
        status=_permanent(found),
        code=smtp_code(found[:4]),
        text=CODES.sub("", found, count=1),
    )


def _permanent(words: str) -> str:
    status = enhanced(words)
    return status if status.startswith("5") else ""
