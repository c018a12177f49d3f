"""`candor message`: the tracker's commands, with the rewriter's words for what stayed as it was."""

from __future__ import annotations

from relay.reasons import EXPLANATIONS
from tracker.cli.messages import message_commands
from tracker.cli.story import STATUS_WORDS
from tracker.store.messages import CLICKS_OFF, OPENS_OFF, OWN_REPORT

_OF_SENDERS = {
    "unknown-header": "Candor knows no such header and took it for a misspelt wish: the message is not tracked.",
    "unknown-value": "The value of this header is none that Candor knows, and was read as the one that permits least: "
    "no, denied, marketing; of other services' headers, `candor lint FILE` tells more.",
    OPENS_OFF: "The message itself asked for no pixel (X-Candor-Track-Opens, or a header of another service).",
    CLICKS_OFF: "The message itself asked for no wrapped links (X-Candor-Track-Clicks, or a header of another service).",
    "null-sender": "Mail from nobody is a report or an automatic answer, and is never tracked.",
    OWN_REPORT: "A report, written here or passed on to the original sender.",
}

_STATES = {
    "queued": "waits in the queue and was not tried yet; `candor queue show {id}` says until when, and whether it is held.",
    "deferred": "was put off and waits in the queue; `candor queue show {id}` says until when, and whether it is held.",
    "returned": "the client was told to try again, and keeps the mail; nothing of it waits here.",
    "skipped": "not sent, on purpose; the last line of its tries says why.",
    "complained": "it arrived, and its recipient called it spam.",
}

message = message_commands(
    _OF_SENDERS
    | {STATUS_WORDS + state: words for state, words in _STATES.items()}
    | {reason.value: words for reason, words in EXPLANATIONS.items()}
)
