"""An independent proof that a rewritten message is its base with links wrapped and one pixel, and no more.

Sees two byte strings and nothing of how the second was made. Shares no code with the rewriter: parts are
found by Python's email parser, transfer encodings undone by `binascii`, and links read by lexbor.
"""

from __future__ import annotations

import base64
import binascii
import email
import email.policy
import re
from dataclasses import dataclass, field
from email.message import Message

from selectolax.lexbor import LexborHTMLParser

HOST = "https://t.candor.example"
PIXEL_URL = f"{HOST}/o/{'Ab9_-x' * 12}.gif"
TRACKED = re.compile(re.escape(HOST) + r"/c/([A-Za-z0-9_-]+)")
PIXEL = re.compile(
    r'<img src="' + re.escape(PIXEL_URL) + r'" width="1" height="1" alt="" style="display:block;border:0">'
)
NEW = re.compile(f"(?P<pixel>{PIXEL.pattern})|(?P<link>{TRACKED.pattern})")


def link_url(url: str) -> str:
    """A tracking URL that carries its destination, as the real ones do."""
    return f"{HOST}/c/{base64.urlsafe_b64encode(url.encode()).decode().rstrip('=')}"


def destination(token: str) -> str:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()


@dataclass
class Report:
    """What the verifier saw; `problems` is empty when the property holds."""

    problems: list[str] = field(default_factory=list)
    pixels: int = 0
    wrapped: list[str] = field(default_factory=list)
    """Destinations, in the order of the message."""

    def problem(self, text: str) -> None:
        self.problems.append(text)


def verify(base: bytes, output: bytes) -> Report:
    """Compare a message's untracked copy with a tracked one."""
    report = Report()
    if base == output:
        return report
    before, after = _leaves(base), _leaves(output)
    if len(before) != len(after):
        report.problem(f"{len(before)} parts became {len(after)}")
        return report
    expected = bytearray()
    cursor = header = re.compile(rb"\r?\n\r?\n|\A\r?\n|\Z").search(base).start()  # type: ignore[union-attr]
    expected += base[:cursor]
    for old, new in zip(before, after, strict=True):
        old_raw, new_raw = _raw(old), _raw(new)
        # a delimiter lies between two contents, so an empty one is not found where the last one ended
        at = _find(base, old_raw, cursor + 4 if cursor > header else cursor)
        if old_raw == new_raw:
            if at >= 0:
                expected += base[cursor : at + len(old_raw)]
                cursor = at + len(old_raw)
            continue
        if at < 0:
            report.problem("a part's content cannot be found again")
            return report
        expected += base[cursor:at] + new_raw
        cursor = at + len(old_raw)
        _verify_part(old, old_raw, new_raw, report)
    expected += base[cursor:]
    if bytes(expected) != output:
        report.problem("bytes outside the contents of bodies differ")
    if report.pixels > 1:
        report.problem(f"{report.pixels} pixels")
    return report


def _find(base: bytes, content: bytes, cursor: int) -> int:
    """Where a part's content begins: behind an empty line, and before a delimiter or the end."""
    at = base.find(content, cursor)
    while at >= 0:
        behind = base[at + len(content) : at + len(content) + 4]
        ends = behind.startswith((b"--", b"\r\n--", b"\n--")) or behind in (b"", b"\r\n", b"\n")
        if ends and base[max(0, at - 3) : at].endswith((b"\n\r\n", b"\n\n")):
            return at
        at = base.find(content, at + 1)
    return -1


def _leaves(data: bytes) -> list[Message]:
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    return [part for part in message.walk() if not part.is_multipart()]


def _raw(part: Message) -> bytes:
    # get_payload() decodes 8-bit content by its label; the content as it was read is only here
    return str(part._payload).encode("ascii", "surrogateescape")  # type: ignore[attr-defined]


def _verify_part(part: Message, old: bytes, new: bytes, report: Report) -> None:
    kind = part.get_content_type()
    if kind not in ("text/html", "text/plain") or part.get_content_disposition() == "attachment":
        report.problem(f"a part of type {kind} was changed")
        return
    encoding = str(part.get("content-transfer-encoding", "")).partition(";")[0].strip().lower()
    old_text, new_text = _decode(old, encoding), _decode(new, encoding)
    charset = (part.get_content_charset() or "").lower()
    wide = charset.startswith(("utf-16", "utf-32", "utf16", "utf32"))
    if wide:
        shown_old, shown_new = old_text.decode(charset), new_text.decode(charset)
    else:
        shown_old, shown_new = old_text.decode("latin-1"), new_text.decode("latin-1")
    changes = _align(shown_old, shown_new, kind, report)
    if kind == "text/html":
        _verify_links(shown_old, shown_new, report)
    if encoding == "quoted-printable":
        _verify_quoted(old, new, changes, report)
        if not wide:
            _align_quoted(old.replace(b"=\r\n", b""), new.replace(b"=\r\n", b""), report)
    elif encoding == "base64":
        _verify_base64(old, new, report)
    else:
        _verify_lines(old, new, report)


def _decode(raw: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding == "base64":
        return binascii.a2b_base64(raw)
    return raw


def _align(old: str, new: str, kind: str, report: Report) -> int:
    """What is new must be links and pixels; what lies between must stand in the old text, in the same order
    and with nothing left over. Gives the number of changes."""
    at_old = at_new = changes = 0
    for match in NEW.finditer(new):
        between = new[at_new : match.start()]
        if match["pixel"] and between.endswith("\r\n") and not old.startswith(between, at_old):
            # a pixel may open a line of its own, where its line would have grown too long
            between = between[:-2]
            line = new.rfind("\n", 0, match.start() - 2) + 1
            if match.start() - 2 - line + len(new[match.start() :].partition("\n")[0]) < 998:
                report.problem("a line end was put in without need")
        if not old.startswith(between, at_old):
            report.problem(f"differs before {match[0][:60]!r}: {_first_difference(old[at_old:], between)}")
            return changes
        at_old += len(between)
        at_new = match.end()
        changes += 1
        if match["pixel"]:
            report.pixels += 1
            continue
        url = destination(match[3])
        report.wrapped.append(url)
        gap = _value(old, at_old) if kind == "text/html" else url
        if re.match("https?://[^/]", url, re.IGNORECASE) is None:
            report.problem(f"{url!r} is no web address")
        if not old.startswith(gap, at_old):
            report.problem(f"{old[at_old : at_old + 60]!r} leads to {url!r}")
        at_old += len(gap)
    if old[at_old:] != new[at_new:]:
        report.problem(f"differs at the end: {_first_difference(old[at_old:], new[at_new:])}")
    return changes


def _first_difference(old: str, new: str) -> str:
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return f"{old[max(0, at - 20) : at + 40]!r} became {new[max(0, at - 20) : at + 40]!r}"


def _value(text: str, at: int) -> str:
    """The attribute value that begins at `at`, as the character before it says."""
    quote = text[at - 1]
    pattern = {'"': r'[^"]*', "'": r"[^']*"}.get(quote, r"[^ \t\r\n\f>]*")
    match = re.compile(pattern).match(text, at)
    assert match is not None
    return match[0]


def _hrefs(html: str) -> list[str]:
    tree = LexborHTMLParser(html)
    return [node.attributes.get("href") or "" for node in tree.css("a[href], area[href]")]


def as_browsers_read(href: str) -> str:
    """The URL standard's first step: blanks and controls off the ends, tabs and line ends out."""
    return re.sub(r"[\t\n\r]", "", href.strip("".join(map(chr, range(0x21)))))


def web_links(data: bytes) -> list[str]:
    """The http and https links of a message's inline HTML, as lexbor and browsers read them."""
    found = []
    for part in _leaves(data):
        if part.get_content_type() == "text/html" and part.get_content_disposition() in (None, "inline"):
            encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
            found += _hrefs(_decode(_raw(part), encoding).decode("latin-1"))
    return [url for url in map(as_browsers_read, found) if re.match("https?://", url, re.IGNORECASE)]


def _verify_links(old: str, new: str, report: Report) -> None:
    before, after = _hrefs(old), _hrefs(new)
    if len(before) != len(after):
        report.problem(f"{len(before)} links became {len(after)}")
        return
    for was, now in zip(before, after, strict=True):
        if was == now:
            continue
        token = TRACKED.fullmatch(now)
        if token is None:
            report.problem(f"a link became {now!r}")
            continue
        wanted = as_browsers_read(was)
        if destination(token[1]) not in (wanted, "https:" + wanted):
            report.problem(f"{was!r} leads to {destination(token[1])!r}")
    old_tree, new_tree = LexborHTMLParser(old), LexborHTMLParser(new)
    for name in ("img", "form", "link", "script", "style", "td"):
        grown = len(new_tree.css(name)) - len(old_tree.css(name))
        if grown and not (name == "img" and grown == 1 and PIXEL.search(new)):
            report.problem(f"{grown} more <{name}>")
    if PIXEL.search(new) and not new_tree.css(f'img[src="{PIXEL_URL}"]'):
        report.problem("the pixel is not seen as an image")


def _verify_quoted(old: bytes, new: bytes, changes: int, report: Report) -> None:
    """No escape is spelt anew, no line grows too long, and few lines are touched."""
    if re.search(rb"=(?![0-9A-Fa-f]{2}|\r\n)", new.rstrip(b"=")):
        report.problem("an escape is cut")
    longest = max(76, *map(len, old.split(b"\r\n")))
    if max(map(len, new.split(b"\r\n"))) > longest:
        report.problem("a quoted-printable line is too long")
    kept = set(new.split(b"\r\n"))
    gone = sum(line not in kept for line in old.split(b"\r\n"))
    wrapped = sum(len(url) // 20 + 1 for url in report.wrapped)
    if gone > 3 * changes + wrapped:
        report.problem(f"{gone} lines touched for {changes} changes")


def _align_quoted(old: bytes, new: bytes, report: Report) -> None:
    """Between what is new, the encoded octets are the same ones."""
    new_things = re.compile(NEW.pattern.replace("=", "=3D").encode())
    at = 0
    last = 0
    for match in new_things.finditer(new):
        between = new[last : match.start()]
        found = old.find(between, at)
        if found < 0:
            report.problem("quoted-printable octets between changes differ")
            return
        at, last = found + len(between), match.end()
    if not old.endswith(new[last:]):
        report.problem("quoted-printable octets behind the last change differ")


def _verify_base64(old: bytes, new: bytes, report: Report) -> None:
    old_lines, new_lines = old.split(), new.split()
    if max(map(len, new_lines)) > max([76, *map(len, old_lines)]):
        report.problem("a base64 line is too long")
    if len(old_lines) > 1 and len({len(line) for line in new_lines[:-1]}) > max(
        1, len({len(line) for line in old_lines[:-1]})
    ):
        report.problem("base64 lines became uneven")
    if old[len(old.rstrip()) :] != new[len(new.rstrip()) :]:
        report.problem("what follows the base64 text differs")


def _verify_lines(old: bytes, new: bytes, report: Report) -> None:
    longest = max(998, *map(len, old.split(b"\r\n")))
    if max(map(len, new.split(b"\r\n"))) > longest:
        report.problem("a line is too long")
