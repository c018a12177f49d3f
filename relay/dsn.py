"""Reports we write: a multipart/report to the sender of what could not be delivered (RFC 3464, RFC 3461).

Pure: gives the message to queue, or nothing where none is owed (null sender, NOTIFY without FAILURE).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from relay.outcome import Outcome
from relay.submission import MESSAGE_ID_OCTETS, Client, Recipient, Submission

_ROOM = 900
"""Octets of what others gave us that are shown in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One recipient whom the message will not reach."""

    recipient: Recipient
    outcome: Outcome
    expired: bool = False


def failure_report(
    submission: Submission,
    failures: Sequence[Failure],
    *,
    hostname: str,
    now: datetime,
    report_id: bytes | None = None,
) -> Submission | None:
    """The report on these failures, addressed to the sender; None when nobody is owed one."""
    owed = [failure for failure in failures if wants_failure(failure.recipient)]
    if not submission.sender or not owed:
        return None
    report_id = report_id or secrets.token_bytes(MESSAGE_ID_OCTETS)
    return Submission(
        id=report_id,
        sender="",
        recipients=(Recipient(address=submission.sender, notify=("NEVER",)),),
        data=_report(submission, owed, report_id.hex(), hostname, now),
        received_at=now,
        client=Client(address="", helo=hostname),
        smtputf8=submission.smtputf8,
        eight_bit=True,
    )


def _report(
    submission: Submission, owed: Sequence[Failure], report_id: str, hostname: str, now: datetime
) -> bytes:
    boundary = f"candor-{report_id}"
    text = "\r\n".join(
        (
            f"From: Mail Delivery System <MAILER-DAEMON@{hostname}>",
            _to(submission.sender),
            "Subject: Undelivered mail returned to sender",
            f"Date: {format_datetime(now)}",
            f"Message-ID: <{report_id}@{hostname}>",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
            f'\tboundary="{boundary}"',
            "",
            f"--{boundary}",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
            "",
            _explanation(owed, hostname),
            f"--{boundary}",
            f"Content-Type: message/{'global-' if submission.smtputf8 else ''}delivery-status",
            "",
            _status(submission, owed, hostname),
            f"--{boundary}",
            f"Content-Type: {_original_type(submission)}",
            "",
            "",
        )
    )
    return text.encode("utf-8") + _original(submission) + f"\r\n--{boundary}--\r\n".encode("ascii")


def wants_failure(recipient: Recipient) -> bool:
    """Failure is reported unless the sender asked otherwise (RFC 3461 4.1)."""
    return not recipient.notify or "FAILURE" in recipient.notify


def _explanation(failures: Sequence[Failure], hostname: str) -> str:
    lines = [
        f"This is the mail system at {hostname}.",
        "",
        "Your message could not be delivered to:",
        "",
    ]
    for failure in failures:
        reply = failure.outcome.reply
        why = (
            "it could not be delivered in time; the last answer was" if failure.expired else "the answer was"
        )
        lines += [
            f"  <{_cut(failure.recipient.address)}>",
            f"    {why}: {reply.code} {reply.enhanced} {_line(reply.text)}",
            "",
        ]
    lines += ["Nothing more will be tried. The details follow for your mail system.", ""]
    return "\r\n".join(lines)


def _status(submission: Submission, failures: Sequence[Failure], hostname: str) -> str:
    """The machine-readable part: fields about the message, then a block for each recipient (RFC 3464 2.1)."""
    lines = []
    if submission.envid:
        lines.append(f"Original-Envelope-Id: {_cut(submission.envid)}")
    lines += [
        f"Reporting-MTA: dns; {hostname}",
        f"Arrival-Date: {format_datetime(submission.received_at)}",
        "",
    ]
    for failure in failures:
        outcome = failure.outcome
        if failure.recipient.orcpt:
            lines.append(f"Original-Recipient: {_cut(failure.recipient.orcpt)}")
        kind = "utf-8" if not failure.recipient.address.isascii() else "rfc822"
        status = "4.4.7" if failure.expired else outcome.reply.enhanced or "5.0.0"
        lines += [
            f"Final-Recipient: {kind}; {_cut(failure.recipient.address)}",
            "Action: failed",
            f"Status: {status}",
        ]
        if outcome.host:
            lines.append(f"Remote-MTA: dns; {outcome.host.rpartition(':')[0].strip('[]') or outcome.host}")
        lines += [
            f"Diagnostic-Code: smtp; {outcome.reply.code} {outcome.reply.enhanced} {_line(outcome.reply.text)}",
            f"Last-Attempt-Date: {format_datetime(outcome.at)}",
            "",
        ]
    return "\r\n".join(lines)


def _original_type(submission: Submission) -> str:
    kind = "global" if submission.smtputf8 else "rfc822"
    if submission.ret == "FULL":
        return f"message/{kind}"
    return "message/global-headers" if submission.smtputf8 else "text/rfc822-headers"


def _original(submission: Submission) -> bytes:
    """The message as it came: never a copy of ours, whose links belong to its recipient."""
    if submission.ret == "FULL":
        return submission.data
    return submission.data.partition(b"\r\n\r\n")[0] + b"\r\n"


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
