"""What a message costs to compile and to render, beside parsing and writing it again with the usual libraries."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from email import message_from_bytes, policy

from bs4 import BeautifulSoup
from newsletter import newsletter

from relay.rewrite import Plan, Rules, compile_message

ROUNDS = 15
MESSAGES = 20


def main() -> None:
    rules = Rules()
    messages = [newsletter(f"reader {n}") for n in range(MESSAGES)]
    kilobytes = sum(map(len, messages)) / 1024
    plans: list[Plan] = []

    def compile_all() -> None:
        plans[:] = [compile_message(message, rules) for message in messages]

    def render_all() -> None:
        for plan in plans:
            plan.render(
                link_url=lambda link: f"https://t.example.com/c/{'x' * 120}{link.number}",
                pixel_url="https://t.example.com/o/y.gif",
            )

    def parse_and_write_all() -> None:
        for message in messages:
            parsed = message_from_bytes(message, policy=policy.SMTP)
            soup = BeautifulSoup(parsed.get_content(), "html.parser")
            for anchor in soup.find_all("a", href=True):
                anchor["href"] = "https://t.example.com/c/" + "x" * 120
            parsed.set_content(str(soup), subtype="html")
            parsed.as_bytes()

    taken: dict[str, list[float]] = {"compile": [], "render": [], "parse and write again": []}
    compile_all()
    for _ in range(ROUNDS):  # in turns, so that a busy moment of the machine meets all three
        taken["compile"].append(_seconds(compile_all))
        taken["render"].append(_seconds(render_all))
        taken["parse and write again"].append(
            _seconds(parse_and_write_all) if len(taken["compile"]) % 5 == 0 else float("nan")
        )
    per_kilobyte = {
        name: statistics.median(one for one in values if one == one) / kilobytes * 1e6
        for name, values in taken.items()
    }
    size = len(messages[0])
    print(
        f"rewriting a message of {size / 1024:.0f} KB with 20 links, microseconds per KB (median of {ROUNDS}):"
    )
    for name, value in per_kilobyte.items():
        print(f"  {name:24} {value:8.2f}")
    both = per_kilobyte["compile"] + per_kilobyte["render"]
    print(
        f"  email + BeautifulSoup + as_bytes takes {per_kilobyte['parse and write again'] / both:.1f} times as long"
    )


def _seconds(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
