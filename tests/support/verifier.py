"""An independent proof that a rewritten message is its base with links wrapped and one pixel, and no more.

Sees two byte strings and nothing of how the second was made. Shares no code with the rewriter: parts are
found line by line, transfer encodings undone by `binascii`, and links read by lexbor.
"""

from __future__ import annotations

import base64
import codecs
import re
from dataclasses import dataclass, field

from selectolax.lexbor import LexborHTMLParser
from support.anatomy import Leaf, decode, leaves, wide_codec

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
    """`""` for a token that nobody made."""
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        return ""


@dataclass
class Report:
    """What the verifier saw; `problems` is empty when the property holds."""

    problems: list[str] = field(default_factory=list)
    pixels: int = 0
    wrapped: list[str] = field(default_factory=list)
    """Destinations, in the order of the message."""
    line_ends: int = 0
    """Within the values that were replaced."""
    wished: list[str] = field(default_factory=list)
    """Texts in which the author says where the pixel goes."""
    base_is_shorter: bool = False
    """Something was taken out, so that a line may be shorter than it was when room was looked for."""

    def problem(self, text: str) -> None:
        self.problems.append(text)


def verify(base: bytes, output: bytes, *, original: bytes = b"") -> Report:
    """Compare a message's untracked copy with a tracked one. Lines may be as long as the original's were."""
    report = Report(base_is_shorter=len(base) < len(original), wished=_wished(original))
    if base == output:
        return report
    before, after = leaves(base), leaves(output)
    if len(before) != len(after):
        report.problem(f"{len(before)} parts became {len(after)}")
        return report
    at_base = at_output = 0
    for old, new in zip(before, after, strict=True):
        if base[at_base : old.start] != output[at_output : new.start]:
            report.problem(f"bytes before the content at {old.start} differ")
            return report
        at_base, at_output = old.end, new.end
        old_raw, new_raw = base[old.start : old.end], output[new.start : new.end]
        if old_raw != new_raw:
            _verify_part(old, old_raw, new_raw, _longest(original), report)
    if base[at_base:] != output[at_output:]:
        report.problem("bytes behind the last content differ")
    if report.pixels > 1:
        report.problem(f"{report.pixels} pixels")
    return report


def _wished(original: bytes) -> list[str]:
    texts = [
        leaf.content(original).decode("latin-1") for leaf in leaves(original) if leaf.kind == "text/html"
    ]
    return [
        text
        for text in texts
        if "{{open_pixel}}" in text or "{{ses:openTracker}}" in text or "<opentag" in text
    ]


def _verify_part(leaf: Leaf, old: bytes, new: bytes, longest: int, report: Report) -> None:
    if not leaf.is_body:
        report.problem(f"a part of type {leaf.kind} was changed that is no body")
        return
    encoding, charset = leaf.encoding, leaf.charset
    try:
        old_octets, new_octets = decode(old, encoding), decode(new, encoding)
    except ValueError as error:
        report.problem(f"cannot be decoded: {error}")
        return
    wide = wide_codec(charset, old_octets)
    if wide:
        shown_old, shown_new = old_octets.decode(wide), new_octets.decode(wide)
    else:
        shown_old, shown_new = old_octets.decode("latin-1"), new_octets.decode("latin-1")
    changes = _align(shown_old, shown_new, leaf.kind, report)
    if leaf.kind == "text/html":
        for codec in [wide] if wide else _readings(charset):
            _verify_links(old_octets.decode(codec, "replace"), new_octets.decode(codec, "replace"), report)
    if encoding == "quoted-printable":
        _verify_quoted(old, new, changes, longest, report)
        if not wide:
            _align_quoted(old.replace(b"=\r\n", b""), new.replace(b"=\r\n", b""), report)
    elif encoding == "base64":
        _verify_base64(old, new, longest if report.base_is_shorter else 76, report)
    else:
        _verify_lines(old, new, longest, report)


def _readings(charset: str) -> list[str]:
    """How programs read a part: by its label, and octet by octet where labels lie."""
    try:
        b"".decode(charset or "utf-8")
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return ["latin-1"]
    # under an escaping charset the octets say nothing by themselves
    return [name] if name.startswith("iso2022") else ["latin-1", name]


def _align(old: str, new: str, kind: str, report: Report) -> int:
    """What is new must be links and pixels; what lies between must stand in the old text, in the same order
    and with nothing left over. Gives the number of changes."""
    at_old = at_new = changes = 0
    for match in NEW.finditer(new):
        between = new[at_new : match.start()]
        if match["pixel"] and _opens_a_line(old[at_old:], between, new[match.end() :]):
            # a pixel may open a line of its own, where its line would have grown too long
            between = between[:-2]
            line = new.rfind("\n", 0, match.start() - 2) + 1
            length = match.start() - 2 - line + len(new[match.start() :].partition("\n")[0])
            if length < 998 and not report.base_is_shorter:
                report.problem("a line end was put in without need")
        if not old.startswith(between, at_old):
            report.problem(f"differs before {match[0][:60]!r}: {_first_difference(old[at_old:], between)}")
            return changes
        at_old += len(between)
        if match["link"] and old.startswith(match["link"], at_old):
            at_old, at_new = at_old + len(match["link"]), match.end()
            continue  # it was there before
        at_new = match.end()
        changes += 1
        if match["pixel"]:
            report.pixels += 1
            continue
        at_old += _verify_value(old, at_old, destination(match[3]), kind, report)
    if old[at_old:] != new[at_new:]:
        report.problem(f"differs at the end: {_first_difference(old[at_old:], new[at_new:])}")
    return changes


def _opens_a_line(old: str, between: str, following: str) -> bool:
    """The line end before a pixel came with it."""
    if not between.endswith("\r\n"):
        return False
    if not old.startswith(between):
        return True
    # the old text may go on with a line end of its own; what follows is the same up to the next change
    unchanged = following[: change.start()] if (change := NEW.search(following)) else following
    without, with_ = old[len(between) - 2 :], old[len(between) :]
    return not with_.startswith(unchanged) and without.startswith(unchanged)


def _verify_value(old: str, at: int, url: str, kind: str, report: Report) -> int:
    """The length of what a tracking URL stands for in the old text, if browsers read that as `url`."""
    report.wrapped.append(url)
    if re.match("https?://[^/]", url, re.IGNORECASE) is None:
        report.problem(f"{url!r} is no web address")
    if kind != "text/html":
        if not old.startswith(url, at):
            report.problem(f"{old[at : at + 60]!r} leads to {url!r}")
        return len(url)
    value = _value(old, at)
    quote = old[at - 1] if old[at - 1] in "'\"" else ""
    report.line_ends += value.count("\n")
    read = as_browsers_read(_hrefs(f"<a href={quote}{value}{quote}>")[0])
    if url not in (read, "https:" + read):
        report.problem(f"{value[:100]!r} leads to {url!r}")
    return len(value)


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


def _hrefs(html: str, *, but: str = "") -> list[str]:
    tree = LexborHTMLParser(html)
    for node in tree.css(but) if but else ():
        node.decompose()
    return [node.attributes.get("href") or "" for node in tree.css("a[href], area[href]")]


def as_browsers_read(href: str) -> str:
    """The URL standard's first step: blanks and controls off the ends, tabs and line ends out."""
    return re.sub(r"[\t\n\r]", "", href.strip("".join(map(chr, range(0x21)))))


def web_links(data: bytes) -> list[str]:
    """The http and https links of a message's inline HTML, as lexbor and browsers read them."""
    found: list[str] = []
    for leaf in leaves(data):
        if leaf.is_body and leaf.kind == "text/html":
            octets = leaf.content(data)
            found += html_links(octets.decode(wide_codec(leaf.charset, octets) or "latin-1", "replace"))
    return found


def html_links(html: str) -> list[str]:
    """The http and https links of a document."""
    return [url for url in map(as_browsers_read, _hrefs(html)) if re.match("https?://", url, re.IGNORECASE)]


def _verify_links(old: str, new: str, report: Report) -> None:
    before, after = _hrefs(old), _hrefs(new)
    if len(before) + 1 == len(after) and PIXEL.search(new):
        # a link that is never closed is opened again around what follows (HTML 13.2.4.3): the pixel alone
        # and what nobody sees
        pixel = f'img[src="{PIXEL_URL}"]'
        after = _hrefs(
            new, but=f"a:has(> {pixel}):not(:has(> :not({pixel}, title, style, script, meta, link, base)))"
        )
    if len(before) != len(after) and report.wished:
        # an image where nothing stood may open the body (HTML 13.2.6.4.4), and so does the author's word for it
        before = next((found for found in map(_hrefs, report.wished) if len(found) == len(after)), before)
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
    pixel = f'img[src="{PIXEL_URL}"]'
    added = len(new_tree.css(pixel)) - len(old_tree.css(pixel))
    for name in ("img", "form", "link", "script", "style", "td", "base", "meta", "iframe"):
        grown = len(new_tree.css(name)) - len(old_tree.css(name))
        if grown and not (name == "img" and grown == 1 and added == 1):
            report.problem(f"{grown} more <{name}>")
    if len(PIXEL.findall(new)) > len(PIXEL.findall(old)) and added != 1:
        report.problem("the pixel is not seen as an image")


def _verify_quoted(old: bytes, new: bytes, changes: int, longest: int, report: Report) -> None:
    """No escape is spelt anew, no line grows too long, and few lines are touched."""
    if re.search(rb"=(?![0-9A-Fa-f]{2}|\r\n)", new.rstrip(b"=")):
        report.problem("an escape is cut")
    # Where LF alone ends lines too it is unclear what a line is; the relay takes no such mail.
    bare = re.search(rb"(?<!\r)\n", old)
    if bare is None and _longest(new) > max(76, longest, _longest(old)):
        report.problem("a quoted-printable line is too long")
    kept = set(new.split(b"\r\n"))
    gone = sum(line not in kept for line in old.split(b"\r\n"))
    wrapped = report.line_ends + sum(len(url) // 20 + 1 for url in report.wrapped)
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


def _verify_base64(old: bytes, new: bytes, longest: int, report: Report) -> None:
    old_lines, new_lines = old.split(), new.split()
    if max(map(len, new_lines)) > max([76, longest, *map(len, old_lines)]):
        report.problem("a base64 line is too long")
    lengths = {len(line) for line in old_lines[:-1]}
    even = not report.base_is_shorter and len(lengths) == 1 and len(old_lines[-1]) <= len(old_lines[0])
    if even and len({len(line) for line in new_lines[:-1]}) > 1:
        report.problem("base64 lines became uneven")
    if old[len(old.rstrip()) :] != new[len(new.rstrip()) :]:
        report.problem("what follows the base64 text differs")


def _verify_lines(old: bytes, new: bytes, longest: int, report: Report) -> None:
    if _longest(new) > max(998, longest, _longest(old)):
        report.problem("a line is too long")


def _longest(text: bytes) -> int:
    """Octets of the longest line; a CR that no LF follows is one of them."""
    *lines, last = text.split(b"\n")
    return max(len(last), *(len(line.removesuffix(b"\r")) for line in lines), 0)
