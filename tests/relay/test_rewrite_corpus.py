"""Real mail: what is changed, what is wrapped, and what is declined and why."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest
from bs4 import BeautifulSoup
from support.anatomy import leaves
from support.mail import corpus, crlf, message
from support.proof import ENCODINGS, base, prove, tracked
from support.verifier import as_browsers_read, verify, web_links
from support.wrappable import wrappable

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project"),
]


def real_messages() -> list[tuple[str, bytes]]:
    """The messages, and each HTML mail as the body of one, in turns under each encoding; all with CRLF."""
    found = [(file.name, crlf(file.read_bytes())) for file in corpus("eml")]
    for number, file in enumerate(corpus("html")):
        encoding = ENCODINGS[number % len(ENCODINGS)]
        found.append((file.name, message(crlf(file.read_bytes()), encoding=encoding)))
    return found


def test_every_web_link_of_real_mail_is_wrapped_or_has_its_reason() -> None:
    seen = 0
    for name, data in real_messages():
        plan = compile_message(data)
        if plan.untouched is not None or len(plan.links) >= Rules().max_links:
            continue
        answered = {link.url for link in plan.links} | {kept.what for kept in plan.kept}
        left_parts = [kept for kept in plan.kept if kept.what.startswith("part ")]
        for link in web_links(data):
            assert link in answered or link[:1000] in answered or left_parts, (name, link)
            seen += 1
    assert seen > 300


def test_real_mail_changes_in_links_and_pixel_only() -> None:
    tracked_messages = 0
    for name, data in real_messages():
        plan = compile_message(data)
        report = verify(base(plan), tracked(plan), original=data)
        assert report.problems == [], name
        assert plan.untouched is not Reason.INTERNAL_ERROR, name
        assert report.pixels == plan.has_pixel_place, name
        tracked_messages += plan.untouched is None
    assert tracked_messages > 250


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_real_html_changes_in_links_and_pixel_only(encoding: str) -> None:
    for file in corpus("html"):
        data = message(crlf(file.read_bytes()), encoding=encoding)
        plan = compile_message(data, Rules(wrap_visible_urls=True))
        report = verify(base(plan), tracked(plan), original=data)
        assert report.problems == [], file.name
        assert encoding == "8bit" or {link.url for link in plan.links} == set(report.wrapped), file.name


def is_signed(data: bytes) -> bool:
    block = data.partition(b"\r\n\r\n")[0]
    return re.search(rb"(?im)^(?:dkim-signature|domainkey-signature|arc-[a-z-]+)[ \t]*:", block) is not None


def follows_its_label(data: bytes) -> bool:
    """Every HTML body is in the transfer encoding that its label names."""
    for leaf in leaves(data):
        if leaf.is_body and leaf.kind == "text/html":
            content = data[leaf.start : leaf.end]
            if leaf.encoding not in ("7bit", "8bit", "binary", "base64", "quoted-printable"):
                return False
            if leaf.encoding == "quoted-printable" and re.search(rb"=(?![0-9A-Fa-f]{2}|\r\n|\Z)", content):
                return False
    return True


def test_nearly_all_real_mail_with_links_can_be_tracked(capsys: pytest.CaptureFixture[str]) -> None:
    """What bears a signature or is labelled with an encoding that it is not in is left alone by the rules."""
    with_links = well_formed = done = 0
    left: list[str] = []
    for name, data in real_messages():
        if not web_links(data) or is_signed(data):
            continue
        plan = compile_message(data)
        with_links += 1
        well_formed += follows_its_label(data)
        done += plan.untouched is None
        if plan.untouched is not None:
            left.append(f"    {plan.untouched:20} {name}")
            assert not follows_its_label(data), name
    with capsys.disabled():
        print(
            f"\n  {done} of {with_links} real messages with links tracked ({100 * done / with_links:.1f} %; "
            f"{well_formed} of them well-formed); left alone:\n" + "\n".join(left)
        )
    assert done == well_formed
    assert done >= 0.95 * with_links


def test_nearly_all_links_that_may_be_wrapped_are(capsys: pytest.CaptureFixture[str]) -> None:
    rules = Rules()
    wanted_links = wrapped_links = 0
    declined: Counter[str] = Counter()
    missed: list[str] = []
    for name, data in real_messages():
        if is_signed(data) or not follows_its_label(data):
            continue
        wanted, others = wrappable(data, rules)
        declined.update(others.values())
        wrapped = Counter(prove(data, rules).wrapped)
        missing = wanted - wrapped
        wanted_links += wanted.total()
        wrapped_links += wanted.total() - missing.total()
        missed += [f"    {name}: {url[:80]}" for url in missing]
        assert not set(wrapped) & (others.keys() - wanted.keys()), name
    with capsys.disabled():
        share = 100 * wrapped_links / wanted_links
        print(f"\n  {wrapped_links} of {wanted_links} links that may be wrapped are ({share:.1f} %); missed:")
        print("\n".join(missed) or "    none")
        print(f"  links that stay by the rules: {dict(declined.most_common())}")
    assert wanted_links > 200
    assert wrapped_links >= 0.95 * wanted_links


class _Comments(HTMLParser):
    """Sees whether this Python's parser ends a comment at `--!>`, as those do that are repaired."""

    seen = ""

    def handle_comment(self, data: str) -> None:
        self.seen = data


def _is_repaired() -> bool:
    parser = _Comments()
    parser.feed("<!--a--!>b")
    return parser.seen == "a"


@pytest.mark.skipif(
    not _is_repaired(), reason="this Python's html.parser misreads hostile HTML and is quadratic"
)
def test_html_parser_reads_the_same_links_before_and_after() -> None:
    """BeautifulSoup on html.parser, a second oracle: the same links, in the same order, but for what was wrapped."""
    seen = 0
    for file in corpus("html"):
        data = message(crlf(file.read_bytes()), encoding="base64")
        report = prove(data)
        before, after = (_soup_links(one) for one in (data, tracked(compile_message(data))))
        assert len(before) == len(after), file.name
        changed = [was for was, now in zip(before, after, strict=True) if was != now]
        assert not Counter(changed) - Counter(report.wrapped), file.name
        seen += len(changed)
    assert seen > 100


def _soup_links(data: bytes) -> list[str]:
    (leaf,) = leaves(data)
    soup = BeautifulSoup(leaf.content(data).decode("latin-1"), "html.parser")
    return [as_browsers_read(str(tag["href"])) for tag in soup.find_all(["a", "area"], href=True)]
