"""`candor message`: the tracker's commands, with the rewriter's words for what stayed as it was."""

from __future__ import annotations

from relay.reasons import EXPLANATIONS
from tracker.cli.messages import message_commands

message = message_commands({reason.value: words for reason, words in EXPLANATIONS.items()})
