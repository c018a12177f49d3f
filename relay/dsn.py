"""Reports we write: a multipart/report to the sender of what could not be delivered, is late, or was handed to a
system that makes no reports itself (RFC 3464, RFC 3461).

Pure: gives the message to queue, or nothing where none is owed (null sender, or a NOTIFY that does not ask for it).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from relay.outcome import Outcome
from relay.submission import MESSAGE_ID_OCTETS, Client, Recipient, Submission

_ROOM = 900
"""Octets of what others gave us that are shown in one line."""
_EIGHT_BIT = "Content-Transfer-Encoding: 8bit"


class Action(StrEnum):
    """What became of the recipients of a report (RFC 3464 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One recipient of whom the sender is told."""

    recipient: Recipient
    outcome: Outcome
    expired: bool = False
    retry_until: datetime | None = None
    """Of a delayed one: when we give up."""


Failure = Told
"""One recipient whom the message will not reach."""

_SUBJECT = {
    Action.FAILED: "Undelivered mail returned to sender",
    Action.DELAYED: "Your mail is delayed",
    Action.RELAYED: "Your mail was passed on",
}
_OPENING = {
    Action.FAILED: "Your message could not be delivered to:",
    Action.DELAYED: "Your message has not been delivered yet to:",
    Action.RELAYED: "Your message was handed to a mail system that sends no delivery reports, for:",
}
_CLOSING = {
    Action.FAILED: "Nothing more will be tried.",
    Action.DELAYED: "You need not send it again: it will be tried further.",
    Action.RELAYED: "Whether it arrives there will not be reported.",
}


def failure_report(
    submission: Submission,
    failures: Sequence[Told],
    *,
    hostname: str,
    now: datetime,
    report_id: bytes | None = None,
) -> Submission | None:
    """The report on these failures, addressed to the sender; None when nobody is owed one."""
    return report(Action.FAILED, submission, failures, hostname=hostname, now=now, report_id=report_id)


def report(
    action: Action,
    submission: Submission,
    told: Sequence[Told],
    *,
    hostname: str,
    now: datetime,
    report_id: bytes | None = None,
) -> Submission | None:
    """The report that this became of those, addressed to the sender; None when nobody is owed one."""
    owed = [one for one in told if wants(action, one.recipient)]
    if not submission.sender or not owed:
        return None
    report_id = report_id or secrets.token_bytes(MESSAGE_ID_OCTETS)
    return Submission(
        id=report_id,
        sender="",
        recipients=(Recipient(address=submission.sender, notify=("NEVER",)),),
        data=_report(action, submission, owed, report_id.hex(), hostname, now),
        received_at=now,
        client=Client(address="", helo=hostname),
        smtputf8=submission.smtputf8,
        eight_bit=True,
    )


def wants(action: Action, recipient: Recipient) -> bool:
    """Failure and delay are reported unless the sender asked otherwise, success only where it was asked for (RFC 3461
    4.1: without NOTIFY it is ours to say whether a delay is told)."""
    word = {Action.FAILED: "FAILURE", Action.DELAYED: "DELAY", Action.RELAYED: "SUCCESS"}[action]
    return word in recipient.notify or (not recipient.notify and action is not Action.RELAYED)


def wants_failure(recipient: Recipient) -> bool:
    """Failure is reported unless the sender asked otherwise (RFC 3461 4.1)."""
    return wants(Action.FAILED, recipient)


def _report(
    action: Action,
    submission: Submission,
    owed: Sequence[Told],
    report_id: str,
    hostname: str,
    now: datetime,
) -> bytes:
    boundary = f"candor-{report_id}"
    whole = action is Action.FAILED and submission.ret == "FULL"  # RFC 3461 4.3: of failures only
    status = _status(action, submission, owed, hostname).encode("utf-8", "replace")
    original = _original(submission, whole=whole)
    text = "\r\n".join(
        (
            f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
            _to(submission.sender),
            f"Subject: {_SUBJECT[action]}",
            f"Date: {format_datetime(now)}",
            f"Message-ID: <{report_id}@{hostname}>",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
            f'\tboundary="{boundary}"',
            _EIGHT_BIT,
            "",
            f"--{boundary}",
            "Content-Type: text/plain; charset=utf-8",
            _EIGHT_BIT,
            "",
            _explanation(action, owed, hostname),
            f"--{boundary}",
            f"Content-Type: message/{'global-' if submission.smtputf8 else ''}delivery-status",
            "",
        )
    )
    return b"".join(
        (
            text.encode("utf-8", "replace"),
            _labelled(status),
            f"\r\n--{boundary}\r\nContent-Type: {_original_type(submission, whole=whole)}\r\n".encode(),
            _labelled(original),
            f"\r\n--{boundary}--\r\n".encode(),
        )
    )


def _labelled(part: bytes) -> bytes:
    """The rest of a part's header and the part: what is not ASCII says so (RFC 2045 6.2)."""
    return (b"" if part.isascii() else f"{_EIGHT_BIT}\r\n".encode()) + b"\r\n" + part


def _explanation(action: Action, told: Sequence[Told], hostname: str) -> str:
    lines = [f"This is the mail system at {hostname}.", "", _OPENING[action], ""]
    for one in told:
        reply = one.outcome.reply
        why = "it could not be delivered in time; the last answer was" if one.expired else "the answer was"
        lines += [
            f"  <{_cut(one.recipient.address)}>",
            f"    {why}: {reply.code} {reply.enhanced} {_line(reply.text)}",
            "",
        ]
    until = max((one.retry_until for one in told if one.retry_until is not None), default=None)
    if until is not None:
        lines += [f"The last try will be at {format_datetime(until)} or soon after.", ""]
    lines += [f"{_CLOSING[action]} The details follow for your mail system.", ""]
    return "\r\n".join(lines)


def _status(action: Action, submission: Submission, told: Sequence[Told], hostname: str) -> str:
    """The machine-readable part: fields about the message, then a block for each recipient (RFC 3464 2.1)."""
    lines = []
    if submission.envid:
        lines.append(f"Original-Envelope-Id: {_cut(_plain(submission.envid))}")
    lines += [
        f"Reporting-MTA: dns; {hostname}",
        f"Arrival-Date: {format_datetime(submission.received_at)}",
        "",
    ]
    for one in told:
        outcome = one.outcome
        if one.recipient.orcpt:
            kind, _, original = one.recipient.orcpt.partition(";")
            lines.append(f"Original-Recipient: {kind};{_cut(_plain(original))}")
        kind = "utf-8" if not one.recipient.address.isascii() else "rfc822"
        lines += [
            f"Final-Recipient: {kind}; {_cut(one.recipient.address)}",
            f"Action: {action}",
            f"Status: {_status_code(action, one)}",
        ]
        if outcome.host:
            lines.append(f"Remote-MTA: dns; {outcome.host.rpartition(':')[0].strip('[]') or outcome.host}")
        lines += [
            f"Diagnostic-Code: smtp; {outcome.reply.code} {outcome.reply.enhanced} {_line(outcome.reply.text)}",
            f"Last-Attempt-Date: {format_datetime(outcome.at)}",
        ]
        if one.retry_until is not None:
            lines.append(f"Will-Retry-Until: {format_datetime(one.retry_until)}")
        lines.append("")
    return "\r\n".join(lines)


def _status_code(action: Action, one: Told) -> str:
    """Of the class that the action stands for (RFC 3463 2)."""
    if one.expired:
        return "4.4.7"
    if one.outcome.reply.enhanced:
        return one.outcome.reply.enhanced
    return {Action.FAILED: "5.0.0", Action.DELAYED: "4.0.0", Action.RELAYED: "2.0.0"}[action]


def _original_type(submission: Submission, *, whole: bool) -> str:
    if whole:
        return f"message/{'global' if submission.smtputf8 else 'rfc822'}"
    return "message/global-headers" if submission.smtputf8 else "text/rfc822-headers"


def _original(submission: Submission, *, whole: bool) -> bytes:
    """The message as it came: never a copy of ours, whose links belong to its recipient."""
    if whole:
        return submission.data
    return submission.data.partition(b"\r\n\r\n")[0] + b"\r\n"


_XTEXT = re.compile(r"\+([0-9A-F]{2})")


def _plain(xtext: str) -> str:
    """What `ENVID=` and `ORCPT=` encode (RFC 3461 4); left encoded where it is no text for a line."""
    plain = _XTEXT.sub(lambda octet: chr(int(octet[1], 16)), xtext)
    return plain if plain.isascii() and plain.isprintable() else xtext


def _line(text: str) -> str:
    """One line, however many upstream spoke."""
    return _cut(" ".join(text.split())[:500])


def _to(sender: str) -> str:
    """An address cannot be folded (RFC 5322 3.4.1), and one that was cut would be somebody else's."""
    return f"To: <{sender}>" if _cut(sender) == sender else "To: undisclosed-recipients:;"


def _cut(text: str) -> str:
    """So much of it that its line stays within the 998 octets of RFC 5322 2.1.1, whatever stands before it."""
    octets = text.encode("utf-8", "replace")
    return text if len(octets) <= _ROOM else octets[:_ROOM].decode("utf-8", "ignore") + "..."
