"""What rewriting a message costs, beside three other ways to put tracking links into HTML mail.

All ways take turns in one process, so that a busy moment of the machine meets all of them; what counts is processor
time. A plan's first two renderings make the frame that all further ones fill: they stand apart. The others parse the
message with the email package and write it anew with `as_bytes`; they differ in what reads and writes the HTML. They
wrap every http link and add no pixel: less than is done here.
"""

from __future__ import annotations

import gc
import os
import platform
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage

import lxml.html
from bs4 import BeautifulSoup
from newsletter import newsletter
from selectolax.lexbor import LexborHTMLParser
from support.mail import corpus, crlf, message, multipart, part

from relay.rewrite import Link, Plan, Rules, compile_message

ROUNDS = 5
NEWSLETTERS = 20
TRACKING = "https://t.example.com/c/" + "x" * 120
OTHERS_LIMIT = 300 * 1024
"""Octets of a real message that the other ways are given: html.parser is quadratic on some Pythons."""
RULES = Rules()


def link_url(link: Link) -> str:
    return f"{TRACKING}{link.number}"


def render(plan: Plan) -> bytes:
    return plan.render(
        link_url=link_url, pixel_url="https://t.example.com/o/y.gif", preferences_url="https://t/p"
    )


def with_html_parser(html: str) -> str:
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(["a", "area"], href=True):
        if str(tag["href"]).startswith("http"):
            tag["href"] = TRACKING
    return str(soup)


def with_lxml(html: str) -> str:
    tree = lxml.html.document_fromstring(html.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    for tag in tree.iter("a", "area"):
        if (tag.get("href") or "").startswith("http"):
            tag.set("href", TRACKING)
    return str(lxml.html.tostring(tree, encoding="unicode"))


def with_selectolax(html: str) -> str:
    tree = LexborHTMLParser(html)
    for node in tree.css("a[href], area[href]"):
        if (node.attributes["href"] or "").startswith("http"):
            node.attrs["href"] = TRACKING  # type: ignore[index]
    return tree.html or ""


def parse_and_write(data: bytes, rewrite: Callable[[str], str]) -> None:
    parsed = message_from_bytes(data, policy=policy.SMTP)
    for leaf in parsed.walk():
        if (
            leaf.get_content_type() == "text/html"
            and isinstance(leaf, EmailMessage)
            and not leaf.is_attachment()
        ):
            text = leaf.get_content()
            if text.strip():
                leaf.set_content(rewrite(text), subtype="html")
    parsed.as_bytes()


OTHERS = {
    "email + BeautifulSoup (html.parser)": with_html_parser,
    "email + lxml": with_lxml,
    "email + selectolax": with_selectolax,
}


def measure(title: str, messages: Sequence[bytes], *, compared: bool = True) -> None:
    """Time per message and way, the least of all rounds for each message."""
    taken: dict[str, list[float]] = {
        name: [float("inf")] * len(messages) for name in ("compile", "first", "further", *OTHERS)
    }
    failed = dict.fromkeys(OTHERS, 0)
    for turn in range(ROUNDS):
        for index, data in enumerate(messages):
            plans: list[Plan] = []
            _note(
                taken["compile"],
                index,
                lambda data=data, plans=plans: plans.append(compile_message(data, RULES)),
            )
            _note(taken["first"], index, lambda plans=plans: render(plans[0]))
            render(plans[0])
            _note(taken["further"], index, lambda plans=plans: render(plans[0]))
            for name, rewrite in OTHERS.items() if compared and turn % 2 == 0 else ():
                try:
                    _note(
                        taken[name], index, lambda data=data, rewrite=rewrite: parse_and_write(data, rewrite)
                    )
                except Exception:
                    failed[name] += turn == 0
    _show(title, messages, taken, failed, compared=compared)


def _note(into: list[float], index: int, work: Callable[[], object]) -> None:
    gc.disable()
    begun = time.process_time()
    try:
        work()
        into[index] = min(into[index], time.process_time() - begun)
    finally:
        gc.enable()


def _show(
    title: str,
    messages: Sequence[bytes],
    taken: dict[str, list[float]],
    failed: dict[str, int],
    *,
    compared: bool,
) -> None:
    print(
        f"\n{title}: {len(messages)} messages, {sum(map(len, messages)) // 1024} KB; best of {ROUNDS} turns"
    )
    print(f"  {'':38}{'us/KB':>9}{'p50 ms':>9}{'p99 ms':>9}{'times':>8}")
    ours = [sum(pair) for pair in zip(taken["compile"], taken["first"], strict=True)]
    _row("compile, once a message", taken["compile"], messages)
    _row("render, the first recipient", taken["first"], messages)
    _row("render, each further recipient", taken["further"], messages)
    if compared:
        _row("compile and first, compared below", ours, messages)
    for name in OTHERS if compared else ():
        done = [index for index, seconds in enumerate(taken[name]) if seconds != float("inf")]
        seconds = [taken[name][index] for index in done]
        ratio = sum(seconds) / sum(ours[index] for index in done)
        _row(name, seconds, [messages[index] for index in done], f"{ratio:8.1f}")
        if failed[name]:
            print(f"    (raised an exception on {failed[name]} messages)")


def _row(name: str, seconds: Sequence[float], messages: Sequence[bytes], ratio: str = "") -> None:
    per_kilobyte = sum(seconds) / (sum(map(len, messages)) / 1024) * 1e6
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    print(f"  {name:38}{per_kilobyte:9.2f}{percentiles[49] * 1e3:9.3f}{percentiles[98] * 1e3:9.3f}{ratio}")


def measure_memory() -> None:
    attachment = (
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + (b"A" * 76 + b"\r\n") * 330_000
    )
    data = multipart(part('<a href="http://x.example/">x</a>'), attachment, subtype="mixed")
    size = len(data) / 1e6
    print(f"\nmemory on top of a message of {size:.0f} MB, at its peak:")
    plan = compile_message(data, RULES)
    works: dict[str, Callable[[], object]] = {
        "compile": lambda: compile_message(data, RULES),
        "render (the copy itself included)": lambda: render(plan),
        "email + lxml": lambda: parse_and_write(data, with_lxml),
    }
    for name, work in works.items():
        gc.collect()
        tracemalloc.start()
        work()
        highest = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        print(f"  {name:38}{highest:9.1f} MB {highest / size:7.2f} times the message")
    print(f"  the process at its largest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


def main() -> None:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    print(f"{python}, {os.cpu_count()} cores, {platform.machine()}; processor time")
    newsletters = [newsletter(f"reader {n}") for n in range(NEWSLETTERS)]
    measure("a newsletter of 34 KB with 20 links", newsletters)
    for encoding in ("quoted-printable", "base64"):
        encoded = [message(data.partition(b"\r\n\r\n")[2], encoding=encoding) for data in newsletters]
        measure(f"the same in {encoding}", encoded, compared=False)
    real = [crlf(file.read_bytes()) for file in corpus("eml")]
    real += [message(crlf(file.read_bytes()), encoding="quoted-printable") for file in corpus("html")]
    small = [data for data in real if len(data) < OTHERS_LIMIT]
    if small:
        measure("real mail", small)
        tracked = [data for data in small if compile_message(data, RULES).untouched is None]
        measure("real mail with something to track", tracked)
    measure_memory()


if __name__ == "__main__":
    main()
