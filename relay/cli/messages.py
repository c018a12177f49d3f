"""`candor message`: the tracker's commands, with the rewriter's words for what stayed as it was."""

from __future__ import annotations

from relay.reasons import EXPLANATIONS
from relay.records import OWN_REPORT
from tracker.cli.messages import message_commands

_OF_SENDERS = {
    "null-sender": "Mail from nobody is a report or an automatic answer, and is never tracked.",
    OWN_REPORT.reason: "A report, written here or passed on to the original sender.",
}

message = message_commands(_OF_SENDERS | {reason.value: words for reason, words in EXPLANATIONS.items()})
