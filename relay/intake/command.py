"""A command line as it came: its word and what follows, or why it is none. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from relay import replies
from relay.replies import Reply

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


Read = tuple[str, str, Reply | None]


def read_command(line: bytes) -> Read:
    """The word in upper case, what follows it without the blanks around it, and what is wrong with the line."""
    # Clients repeat themselves: of a message's lines only those of its recipients are new.
    return _read(line) if line.startswith(b"RCPT") else _read_once(line)


def _read(line: bytes) -> Read:
    is_whole = line.endswith(b"\r\n")
    text = (line[:-2] if is_whole else line.rstrip(b"\r\n")).decode("utf-8", "surrogateescape")
    verb, _, argument = text.partition(" ")
    fault = None
    if not is_whole:
        fault = replies.BARE_NEWLINE_IN_COMMAND
    elif not _is_text(text):
        fault = replies.BAD_CHARACTERS
    return verb.upper(), argument.strip(" "), fault


_read_once = lru_cache(maxsize=256)(_read)


def _is_text(text: str) -> bool:
    """False where there are controls, and for what was no UTF-8 and now holds lone surrogates."""
    if text.isascii():
        return text.isprintable()
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _CONTROLS.search(text) is None
