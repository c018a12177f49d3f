"""One message's preview told: to programs as JSON, to people as tables and a diff."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from relay.cli.mailfiles import MailFile
from relay.edits import Effect
from relay.kept import is_filled_in
from relay.preview import Preview
from relay.reasons import EXPLANATIONS, TABLE, Reason, Scope
from relay.verification import Change, Leaf, What, leaves
from tracker.cli.common import printable, show_table

_PLACES = {
    Effect.PIXEL: ("placeholder", "where the author wrote {{open_pixel}}"),
    Effect.PIXEL_AT_END: ("end", "at the end of the body"),
    Effect.PIXEL_AT_START: ("start", "at the start of the body, since mail programs clip one this long"),
}
_SIGNATURES = {
    "added": "when it is sent, our DKIM signature is put in front",
    "replaced": "when it is sent, our DKIM signature takes the place of those that it breaks",
    "removed": "when it is sent, DKIM signatures that it breaks are taken out",
}
_CONTEXT = 30
_LONGEST = 1000
_KEPT = 1000


def inspected(file: MailFile, preview: Preview, address: str | None) -> dict[str, Any]:
    """What becomes of a message, ready for JSON."""
    plan, decision = preview.plan, preview.decision
    hunks = list(_hunks(preview.data, preview.copy))
    return {
        "file": file.name,
        "notes": file.notes,
        "subject": preview.controls.subject,
        "from": preview.controls.from_header,
        "as": address,
        "decision": {
            "mode": decision.mode,
            "reason": decision.reason,
            "opens": decision.opens,
            "clicks": decision.clicks,
            "rule": preview.rule,
        },
        "signatures": preview.signatures,
        "asks_for_override": preview.controls.override,
        "untouched": plan.untouched,
        "untouched_explanation": EXPLANATIONS[plan.untouched] if plan.untouched else None,
        "size": {"before": len(preview.data), "after": len(preview.copy)},
        "changed": {
            "bytes": preview.verification.octets,
            "of_bytes": len(preview.data),
            "lines": sum(hunk[2] - hunk[1] for hunk in hunks),
            "of_lines": len(_lines(preview.data)),
        },
        "pixel": _pixel(preview),
        "footer": [
            {"part": change.part, "line": change.line, "text": change.new.strip()}
            for change in preview.verification.changes
            if change.what is What.FOOTER
        ],
        "links": _in_order(preview),
        "parts": [
            {
                "number": part.number,
                "type": part.content_type,
                "encoding": part.encoding,
                "bytes": part.end - part.start,
                "reason": part.reason,
                "explanation": EXPLANATIONS[part.reason] if part.reason else None,
            }
            for part in plan.parts
        ],
        "placeholders": [_placeholder(change) for change in preview.verification.changes if _is_own(change)],
        "placeholders_left": [*_kept(preview, Scope.PLACEHOLDER).values()],
        "problems": [str(problem) for problem in preview.verification.problems],
    }


def _in_order(preview: Preview) -> list[dict[str, Any]]:
    """Every link as they stand in the message, those that are wrapped and those that stay."""
    told = {one["number"]: one for one in _links(preview)}
    told |= {-1 - index: one for index, one in _kept(preview, Scope.LINK).items()}
    found = [told[place] for place in preview.plan.order if place in told]
    return [{"position": position, **one} for position, one in enumerate(found, 1)]


def _links(preview: Preview) -> list[dict[str, Any]]:
    numbers = {
        preview.plan.links[index].number: part.number for part in preview.plan.parts for index in part.links
    }
    shown = []
    for link in preview.plan.links:
        reason, why = None, None
        if link.number not in preview.wrapped:
            reason, why = _unwrapped(preview)
        shown.append(
            {
                "number": link.number,
                "part": numbers.get(link.number, ""),
                "url": link.url,
                "text": link.text,
                "wrapped": reason is None,
                "reason": reason,
                "explanation": why,
            }
        )
    return shown


def _unwrapped(preview: Preview) -> tuple[str, str]:
    """Why a link that may be wrapped is not in this copy."""
    if preview.decision.clicks:
        return Reason.LINE_TOO_LONG, EXPLANATIONS[Reason.LINE_TOO_LONG]
    return preview.decision.reason, "This copy carries no wrapped links: that was decided for its recipient."


def _kept(preview: Preview, scope: Scope) -> dict[int, dict[str, Any]]:
    """By their place in what the plan keeps."""
    numbers = {index: part.number for part in preview.plan.parts for index in part.kept}
    return {
        index: {
            "number": None,
            "part": numbers.get(index, ""),
            "url": _readable(one.what),
            "text": one.text,
            "wrapped": False,
            "reason": one.reason,
            "explanation": EXPLANATIONS[one.reason],
        }
        for index, one in enumerate(preview.plan.kept)
        if TABLE[one.reason].scope is scope and not is_filled_in(one)
    }


def _readable(url: str) -> str:
    """A URL's octets as the UTF-8 that they are in all mail of today; what is none stays as it is."""
    try:
        return url.encode("latin-1").decode()
    except UnicodeEncodeError:
        return url  # of a part in UTF-16 or UTF-32: characters already
    except UnicodeDecodeError as error:
        # a plan keeps so many octets of a URL, and that may be within a character
        is_cut = len(url) >= _KEPT and error.end == len(url) and error.reason == "unexpected end of data"
        return error.object[: error.start].decode() if is_cut else url


def _pixel(preview: Preview) -> dict[str, Any]:
    """The pixel's place, or why there is none."""
    change = next((one for one in preview.verification.changes if one.what is What.PIXEL), None)
    if change is not None and preview.pixel is not None:
        place, words = _PLACES[preview.pixel.effect]
        return {
            "part": change.part,
            "line": change.line,
            "place": place,
            "reason": None,
            "explanation": words,
        }
    reason, words = _no_pixel(preview)
    return {"part": None, "line": None, "place": None, "reason": reason, "explanation": words}


def _no_pixel(preview: Preview) -> tuple[str, str]:
    if preview.decision.opens:
        return Reason.LINE_TOO_LONG, EXPLANATIONS[Reason.LINE_TOO_LONG]
    if preview.plan.untouched is not None:
        return preview.plan.untouched, EXPLANATIONS[preview.plan.untouched]
    if not preview.plan.has_pixel_place:
        own = (one.reason for one in preview.plan.kept if TABLE[one.reason].scope is Scope.PIXEL)
        reason = next(own, Reason.NO_HTML)
        return reason, EXPLANATIONS[reason]
    return preview.decision.reason, "This copy carries no pixel: that was decided for its recipient."


def _is_own(change: Change) -> bool:
    return bool(change.old) and change.what is not What.LINK


def _placeholder(change: Change) -> dict[str, Any]:
    return {"part": change.part, "line": change.line, "what": change.old.strip(), "becomes": change.new}


# --- for people ---


def show_inspected(found: dict[str, Any]) -> None:
    """The same as tables."""
    _show_decision(found)
    _show_changes(found)
    click.echo("")
    if found["parts"]:
        rows = [
            (one["number"], one["type"], one["encoding"], f"{one['bytes']:,}", _why(one, "looked into"))
            for one in found["parts"]
        ]
        show_table(("part", "type", "encoding", "bytes", "what became of it"), rows)
    if found["links"]:
        rows = [
            (
                one["position"],
                one["number"] or "–",
                *(one[key] for key in ("part", "url", "text")),
                _why(one, "wrapped"),
            )
            for one in found["links"]
        ]
        show_table(("no.", "link", "part", "leads to", "text", "what became of it"), rows)
    ours = [
        (one["part"], one["line"], one["what"], one["becomes"] or "(nothing)")
        for one in found["placeholders"]
    ]
    left = [(one["part"], "", one["url"], _why(one, "")) for one in found["placeholders_left"]]
    if ours or left:
        show_table(("part", "line", "placeholder or mark", "becomes"), ours + left)
    for problem in found["problems"]:
        click.echo(printable(f"WRONG: {problem}"), err=True)


def _show_decision(found: dict[str, Any]) -> None:
    """Whose copy it is, and what was decided for it."""
    click.echo(printable(f"{found['file']}: {found['subject'] or '(no subject)'}"))
    if found["from"]:
        click.echo(printable(f"from {found['from']}"))
    decision = found["decision"]
    whose = found["as"] or "somebody who agreed to everything"
    click.echo(printable(f"the copy of {whose}: {decision['mode']} ({decision['reason']})"))
    if decision["rule"] and decision["reason"].startswith("unknown"):
        click.echo(printable(f"of what they never said, {decision['rule']} decides"))
    if found["signatures"] != "kept":
        click.echo(_SIGNATURES[found["signatures"]])
    if found["asks_for_override"]:
        click.echo(
            "it asks to pass over consent; who may is decided when it is sent, and here it is not granted"
        )
    if found["untouched"]:
        click.echo(f"left as it came: {found['untouched']}. {found['untouched_explanation']}")


def _show_changes(found: dict[str, Any]) -> None:
    """How much of it changed, and where the pixel and the footer went."""
    changed, size = found["changed"], found["size"]
    click.echo(
        f"changed: {changed['bytes']:,} of {changed['of_bytes']:,} bytes, in {changed['lines']:,} of "
        f"{changed['of_lines']:,} lines; {size['before']:,} bytes became {size['after']:,}"
    )
    pixel = found["pixel"]
    if pixel["place"]:
        click.echo(f"pixel: in part {pixel['part']}, line {pixel['line']}, {pixel['explanation']}")
    else:
        click.echo(f"pixel: none, {pixel['reason']}. {pixel['explanation']}")
    for footer in found["footer"]:
        when = "" if found["as"] else ", where a rule or preset asks for a withdrawal link"
        click.echo(f"footer: in part {footer['part']}, line {footer['line']}{when}")


def _why(one: dict[str, Any], otherwise: str) -> str:
    return f"{one['reason']}: {one['explanation']}" if one["reason"] else otherwise


# --- differences ---


def show_differences(preview: Preview) -> None:
    """What changed: line by line as transferred; parts in quoted-printable and base64 also decoded, change by
    change. Octets that are no printable ASCII are escaped."""
    for sign, line in differences(preview):
        click.secho(line, fg={"-": "red", "+": "green", "@": "cyan"}.get(sign))


def differences(preview: Preview) -> Iterator[tuple[str, str]]:
    """(`-`, `+`, `@` or a blank, the line)."""
    if preview.data == preview.copy:
        yield "@", "@@ nothing changed @@"
        return
    yield from _as_transferred(preview)
    changed = {change.part for change in preview.verification.changes}
    for leaf in leaves(preview.data):
        if leaf.number not in changed or leaf.encoding not in ("quoted-printable", "base64"):
            continue
        text = leaf.text(preview.data[leaf.start : leaf.end])
        for change in preview.verification.changes:
            if change.part == leaf.number:
                yield "@", f"@@ part {change.part}, decoded, line {change.line} @@"
                yield "-", "-" + _around(leaf, text, change, change.old)
                yield "+", "+" + _around(leaf, text, change, change.new)


def _around(leaf: Leaf, text: str, change: Change, value: str) -> str:
    """The change with a little of its line on both sides, in the part's own charset."""
    start, end = change.start, change.start + len(change.old)
    before = text[max(0, start - _CONTEXT, text.rfind("\n", 0, start) + 1) : start]
    line_end = text.find("\n", end)
    behind = text[end : min(end + _CONTEXT, len(text) if line_end < 0 else line_end)]
    return escaped(leaf.readable(before + value + behind.rstrip("\r")))


def _as_transferred(preview: Preview) -> Iterator[tuple[str, str]]:
    before, after = _lines(preview.data), _lines(preview.copy)
    encoded = [leaf for leaf in leaves(preview.data) if leaf.encoding == "base64"]
    for old_start, old_from, old_to, new_from, new_to in _hunks(preview.data, preview.copy):
        base64 = next((leaf for leaf in encoded if leaf.start <= old_start < leaf.end), None)
        yield "@", f"@@ -{old_from + 1},{old_to - old_from} +{new_from + 1},{new_to - new_from} @@"
        if base64 is not None:
            yield " ", f" (base64 of part {base64.number}, encoded anew from here; decoded below)"
            continue
        for line in before[old_from:old_to]:
            yield "-", "-" + escaped(_ended(line))
        for line in after[new_from:new_to]:
            yield "+", "+" + escaped(_ended(line))


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


_REACH = 40
"""So many lines further on the message and its copy are looked for to agree again: what is put in breaks few."""


def _hunks(data: bytes, copy: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """Runs of lines that differ: where in the message the run begins in octets, then its lines before and after."""
    before, after = _lines(data), _lines(copy)
    at = counted = 0
    for a, b, c, d in _pieces(data, copy, before, after):
        for start, stop, start_copy, stop_copy in _differing(before[a:b], after[c:d]):
            at += sum(map(len, before[counted : a + start])) + a + start - counted
            counted = a + start
            yield at, a + start, a + stop, c + start_copy, c + stop_copy


def _pieces(
    data: bytes, copy: bytes, before: Sequence[bytes], after: Sequence[bytes]
) -> Iterator[tuple[int, int, int, int]]:
    """Lines of the message and of its copy that belong together: those of each part, and what stands between."""
    old, new = leaves(data), leaves(copy)
    borders = [(len(before), len(after))]
    if len(old) == len(new):
        pairs = zip(_borders(data, old), _borders(copy, new), strict=True)
        borders = [*pairs, *borders]
    a = c = 0
    for b, d in borders:
        yield a, b, c, d
        a, c = b, d


def _borders(data: bytes, parts: Sequence[Leaf]) -> Iterator[int]:
    """Behind so many lines a part begins or ends; the line end behind its last line is not the part's."""
    at = lines = 0
    for part in parts:
        for place, rest in ((part.start, 0), (part.end, 1)):
            lines += data.count(b"\n", at, place)
            at = place
            yield lines + rest


def _differing(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, int, int]]:
    a = c = 0
    most = min(len(old), len(new))
    bottom = next((n for n in range(most) if old[-1 - n] != new[-1 - n]), most)
    while a < len(old) or c < len(new):
        if a < len(old) and c < len(new) and old[a] == new[c]:
            a, c = a + 1, c + 1
            continue
        b, d = _agreeing(old, new, a, c) or (max(a, len(old) - bottom), max(c, len(new) - bottom))
        yield a, b, c, d
        a, c = b, d


def _agreeing(old: Sequence[bytes], new: Sequence[bytes], a: int, c: int) -> tuple[int, int] | None:
    """The nearest place from which on two lines, or all that is left, agree again."""
    for far in range(1, _REACH):
        for more in range(far + 1):
            b, d = a + far - more, c + more
            if old[b : b + 1] == new[d : d + 1] != [] and old[b + 1 : b + 2] == new[d + 1 : d + 2]:
                return b, d
    return None


def _ended(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("ascii", "backslashreplace")


def escaped(text: str) -> str:
    """What can be printed as it is, everything else as `\\xNN` or `\\uNNNN`; very long lines are cut."""
    cut = f"… and {len(text) - _LONGEST:,} more" if len(text) > _LONGEST else ""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:_LONGEST]) + cut
