"""`candor message`: the tracker's commands, with the rewriter's words for what stayed as it was."""

from __future__ import annotations

from relay.reasons import EXPLANATIONS
from tracker.cli.messages import message_commands
from tracker.store.messages import OWN_REPORT

_OF_SENDERS = {
    "unknown-header": "Candor knows no such header and took it for a misspelt wish: the message is not tracked.",
    "unknown-value": "The value of this header is none that Candor knows, and was read as the one that permits least: "
    "no, denied, marketing.",
    "null-sender": "Mail from nobody is a report or an automatic answer, and is never tracked.",
    OWN_REPORT: "A report, written here or passed on to the original sender.",
}

message = message_commands(_OF_SENDERS | {reason.value: words for reason, words in EXPLANATIONS.items()})
