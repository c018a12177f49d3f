"""Complaints: the fields of a message/feedback-report (ARF, RFC 5965)."""

from __future__ import annotations

from relay.bounces.fields import address, blocks, first, line
from relay.bounces.report import Kind, Report

COMPLAINTS = frozenset({"abuse", "fraud", "opt-out"})
"""Types by which a person says that they do not want this; `not-spam` says the opposite, others nothing of either."""


def feedback(octets: bytes, return_path: str) -> Report:
    """The report; `return_path` is the original's own, `""` where it has none."""
    kind, reporter, paths = "", "", [address(return_path)] if return_path else []
    for block in blocks(octets):
        kind = kind or first(block, "feedback-type").lower()
        reporter = reporter or line(first(block, "reporting-mta") or first(block, "user-agent"), 255)
        paths += [address(value) for value in block.get("original-mail-from", [])]
    return Report(
        kind=Kind.FEEDBACK,
        feedback=line(kind, 40) or "other",
        reporter=reporter.removeprefix("dns;").strip(),
        return_paths=tuple(dict.fromkeys(path for path in paths if path))[:10],
    )
