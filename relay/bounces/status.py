"""Delivery reports: the fields of a message/delivery-status (RFC 3464, RFC 6533)."""

from __future__ import annotations

import re

from relay.bounces.fields import MOST_BLOCKS, Block, address, blocks, enhanced, first, line, typed
from relay.bounces.report import Action, Fate

_SMTP_CODE = re.compile(r"(?<![\d.])([245]\d\d)(?=[ -]|\Z)")
CODES = re.compile(r"\A\s*[245]\d\d[ -]\s*(?:[245]\.\d{1,3}\.\d{1,3}\s+)?")
"""What stands before the words, and is kept apart from them."""
_BY_CLASS = {"5": Action.FAILED, "4": Action.DELAYED, "2": Action.DELIVERED}


def fates(octets: bytes) -> tuple[str, tuple[Fate, ...]]:
    """The reporting host, and what it says of each recipient. Blocks that say nothing are left out."""
    reporter = ""
    found: list[Fate] = []
    for block in blocks(octets):
        reporter = reporter or _host(first(block, "reporting-mta"))
        for one in _apart(block):
            fate = _fate(one, reporter)
            if fate is not None and len(found) < MOST_BLOCKS:
                found.append(fate)
    return reporter, tuple(found)


def specific(status: str, text: str) -> str:
    """`status`, or the enhanced code in `text` where that says more: Exim writes 5.0.0 whatever the remote host
    said."""
    told = enhanced(text)
    if not status:
        return told
    is_vague = status.endswith(".0.0")
    return told if is_vague and told[:1] == status[0] else status


def smtp_code(text: str) -> int:
    """The reply code in it; 0 where there is none."""
    match = _SMTP_CODE.search(text)
    return int(match[1]) if match else 0


def _apart(block: Block) -> list[Block]:
    """A block for each recipient, from writers who forget the empty lines."""
    finals = block.get("final-recipient", [])
    if len(finals) < 2:
        return [block]
    return [
        {name: [values[n] if n < len(values) else ""] for name, values in block.items()}
        for n in range(len(finals))
    ]


def _fate(block: Block, reporter: str) -> Fate | None:
    diagnostic = typed(first(block, "diagnostic-code"))
    given = enhanced(first(block, "status"))
    status = specific(given, diagnostic)
    action = _action(first(block, "action"), given or status)
    if action is None:
        return None
    return Fate(
        action=action,
        recipients=frozenset(
            known
            for name in ("final-recipient", "original-recipient", "x-actual-recipient")
            if (known := address(first(block, name)))
        ),
        status=status,
        code=smtp_code(diagnostic),
        text=line(CODES.sub("", diagnostic, count=1)) or line(first(block, "status")),
        host=_host(first(block, "remote-mta")) or reporter,
    )


def _action(value: str, status: str) -> Action | None:
    """The action as named, comments dropped; where it is not named, what the status's class means."""
    word = re.split(r"[\s(;]", value.strip().lower(), maxsplit=1)[0]
    try:
        return Action(word)
    except ValueError:
        return _BY_CLASS.get(status[:1])


def _host(value: str) -> str:
    return re.sub(r"[^\x21-\x7e]+", "", typed(value).split(" ")[0].split("(")[0])[:255]
