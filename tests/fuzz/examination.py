"""One input put to the proof: compiled, rendered, verified, timed."""

from __future__ import annotations

import codecs
import re
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from support.anatomy import leaves, wide_codec
from support.base_verifier import may_need_removal, verify_base
from support.footer_verifier import verify_footer
from support.hanging import Hang, no_longer_than
from support.verifier import PIXEL_URL, link_url, verify, web_links

from relay import rewrite
from relay.controls import read_block
from relay.footer import Footers, Footing, Wording
from relay.mime import read_header
from relay.rewrite import Plan, Reason, Rules, compile_message
from relay.rulebook import rulebook

PREFERENCES = "https://t.candor.example/p/abc"
RULES = (
    Rules(),
    Rules(
        wrap_plain_text=True,
        wrap_visible_urls=True,
        protocol_relative=True,
        track_signed=True,
        skip_hosts=(),
        skip_patterns=(),
        unsubscribe_patterns=(),
    ),
)
FOOTERS = Footers(
    wordings={
        "en": Wording("en", "We measure <this>.", "Stop it"),
        "fr": Wording("fr", "Nous mesurons ça.", "L’arrêter"),
    },
    language="en",
)
HANG = 60
"""Seconds after which an input counts as one that never ends."""


class Finding(NamedTuple):
    """What is wrong with one input. `kind` groups findings of one cause."""

    kind: str
    detail: str


class Cost(NamedTuple):
    octets: int
    seconds: float

    @property
    def per_kilobyte(self) -> float:
        return self.seconds * 1024 / max(1024, self.octets)


def examine(data: bytes, rules: Rules) -> tuple[Finding | None, Cost]:
    """The first thing that is wrong, and what compiling and rendering took of the processor."""
    begun = time.process_time()
    try:
        with no_longer_than(HANG):
            plan = compile_message(data, rules)
            base = plan.base(preferences_url=PREFERENCES)
            copy = plan.rendered(
                link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL, preferences_url=PREFERENCES
            )
        cost = Cost(len(data), time.process_time() - begun)
        again = _rendered_again(plan, copy)
    except Hang:
        return Finding("hang", f"more than {HANG} s"), Cost(len(data), time.process_time() - begun)
    except Exception as error:
        return Finding(f"exception {_where(error)}", repr(error)), Cost(len(data), 0)
    if plan.untouched is Reason.INTERNAL_ERROR:
        error = _cause(data, rules)
        return Finding(f"internal error {_where(error)}", repr(error)), cost
    if not again:
        return Finding("what was laid out for one copy is wrong for others", ""), cost
    return _judge(data, plan, base, copy, rules) or _judge_footer(data, plan, rules), cost


def _judge_footer(data: bytes, plan: Plan, rules: Rules) -> Finding | None:
    """The same of the message with a footer, where it can have one."""
    if plan.untouched is not None or plan.has_preferences_placeholder:
        return None
    header = read_header(data)
    footing = Footing(plan, header, read_block(header), rules=rules, footers=FOOTERS)
    footed = footing.plan(None)
    if footed is None:
        return None
    words = [wording[1:] for wording in FOOTERS.wordings.values()]
    if all(verify_footer(data, footed.data, one, otherwise=words[0]) for one in words):
        problems = verify_footer(data, footed.data, words[0], otherwise=words[0])
        return Finding("footer: " + _kind(problems[0]), problems[0])
    base = footed.base(preferences_url=PREFERENCES)
    copy = footed.rendered(
        link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL, preferences_url=PREFERENCES
    )
    report = verify(base, copy.data, original=footed.data)
    if report.problems:
        return Finding("footed: " + _kind(report.problems[0]), "; ".join(report.problems))
    if not any(
        PREFERENCES.encode() in leaf.content(copy.data) for leaf in leaves(copy.data)
    ) and not _is_wide(data):
        return Finding("a footer without a link", "")
    return None


def _is_wide(data: bytes) -> bool:
    return any(wide_codec(leaf.charset, leaf.content(data)) for leaf in leaves(data))


def _rendered_again(plan: Plan, copy: rewrite.Rendered) -> bool:
    """Further copies of one shape come of what the first ones left: they are filled as those were made."""

    def render(more: str) -> rewrite.Rendered:
        return plan.rendered(
            link_url=lambda link: link_url(link.url) + more, pixel_url=PIXEL_URL, preferences_url=PREFERENCES
        )

    longer = render("xyz")
    return render("") == copy and render("xyz") == longer and render("") == copy and render("xyz") == longer


def _judge(data: bytes, plan: Plan, base: bytes, copy: rewrite.Rendered, rules: Rules) -> Finding | None:
    if base is not data and not may_need_removal(data):
        return Finding("the base is another object", "nothing had to go")
    problems = verify_base(data, base, PREFERENCES)
    if problems:
        return Finding("base: " + _kind(problems[0]), problems[0])
    if plan.render(link_url=None, pixel_url=None, preferences_url=PREFERENCES) != base:
        return Finding("a copy with nothing in it is not the base", "")
    report = verify(base, copy.data, original=data)
    if report.problems:
        return Finding(_kind(report.problems[0]), "; ".join(report.problems))
    if report.pixels != copy.has_pixel:
        return Finding("pixels", f"{report.pixels} found, has_pixel is {copy.has_pixel}")
    planned = {link.url for link in plan.links}
    if not set(report.wrapped) <= planned:
        return Finding("a destination that was not planned", repr(set(report.wrapped) - planned))
    left = planned - set(report.wrapped) - {link.url for link in plan.links if link.number in copy.unwrapped}
    if left:
        return Finding("a planned link is not wrapped", repr(left))
    missed = _unanswered(data, plan)
    return Finding("a link that nobody answered for", repr(missed)) if missed else None


_LIMITS = (Reason.TOO_MANY_LINKS, Reason.TOO_MANY_TAGS)


def _unanswered(data: bytes, plan: Plan) -> set[str]:
    """Links that browsers see and that are neither planned nor kept for a reason."""
    limited = any(kept.reason in _LIMITS or kept.what.startswith("part ") for kept in plan.kept)
    if plan.untouched is not None or limited:
        return set()
    answered = {link.url[:1000] for link in plan.links} | {kept.what for kept in plan.kept}
    if _DISAGREED.search(b"".join(leaf.content(data) for leaf in leaves(data) if leaf.is_body)):
        return set()
    if any(
        _is_escaped(leaf.charset) and b"\x1b" in leaf.content(data) for leaf in leaves(data) if leaf.is_body
    ):
        return set()  # what stands behind an escape may be no link at all
    return {link for link in web_links(data) if link.isascii() and link[:1000] not in answered}


def _is_escaped(charset: str) -> bool:
    """ISO-2022 in one of its kinds, by any of their names."""
    try:
        return codecs.lookup(charset).name.startswith("iso2022")
    except (LookupError, ValueError):  # with a NUL in it
        return False


_DISAGREED = re.compile(
    rb"<\0*(?:svg|math|frameset|select|template|noscript|plaintext|script)", re.IGNORECASE
)
"""Behind these nothing is wrapped, and what is a link is not looked for."""


def _kind(problem: str) -> str:
    return re.sub(r"['\"].*['\"]|\d+", "…", problem)[:60]


def _cause(data: bytes, rules: Rules) -> BaseException:
    """The error that `compile_message` caught."""
    header = read_header(data)
    try:
        rewrite._compile(data, header, read_block(header), rulebook(rules))
    except Exception as error:
        return error
    return RuntimeError("not seen again")


def _where(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.name}:{frame.lineno}"


def minimised(data: bytes, still_wrong: Callable[[bytes], bool], *, tries: int = 3000) -> bytes:
    """A shorter input that is wrong in the same way: ever smaller pieces are left out."""
    size = max(1, len(data) // 2)
    while size and tries > 0:
        at, shorter = 0, False
        while at < len(data) and tries > 0:
            tries -= 1
            candidate = data[:at] + data[at + size :]
            if still_wrong(candidate):
                data, shorter = candidate, True
            else:
                at += size
        if not shorter or size > len(data):
            size //= 2
    return data
