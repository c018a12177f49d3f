"""URLs in plain text, where wrapping them is configured."""

from __future__ import annotations

import pytest
from support.mail import message
from support.proof import (
    ENCODINGS,
    prove,
    reasons,
)

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message

PLAIN = [
    ("See http://x.example/a.", ["http://x.example/a"]),
    ("(http://x.example/a) http://x.example/(b)", ["http://x.example/a", "http://x.example/(b)"]),
    ('<http://x.example/a.>, "http://x.example/b"', ["http://x.example/a.", "http://x.example/b"]),
    ("<http://x.example/a b>", []),
    ("> http://x.example/a\r\n | http://x.example/a\r\nhttp://x.example/b", ["http://x.example/b"]),
    ("http://x.example/é http://x.example/b", ["http://x.example/b"]),
    ("xhttp://x.example/ ftp://x.example/ mailto:http://x.example/", ["http://x.example/"]),
    ("http://x.example/unsubscribe\r\nhttp://x.example/?a=1&b=2!", ["http://x.example/?a=1&b=2"]),
    ("*http://x.example/a* _http://x.example/b_", ["http://x.example/a"]),
    ("http://x.example/a_ http://x.example/b_.", ["http://x.example/a_", "http://x.example/b_"]),
]


@pytest.mark.parametrize(("text", "wrapped"), PLAIN)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_plain_text_is_wrapped_where_configured(text: str, wrapped: list[str], encoding: str) -> None:
    data = message(text + "\r\n", subtype="plain", encoding=encoding)
    assert prove(data, Rules(wrap_plain_text=True)).wrapped == wrapped
    assert compile_message(data).untouched is Reason.NO_HTML


def test_flowed_text_that_may_run_on_is_left_alone() -> None:
    data = message(
        "http://x.example/a \r\nb http://x.example/c d\r\n", subtype="plain; format=flowed; delsp=yes"
    )
    assert prove(data, Rules(wrap_plain_text=True)).wrapped == ["http://x.example/c"]


def test_of_too_many_links_in_plain_text_the_first_are_looked_at() -> None:
    data = message("http://x.example/1 http://x.example/2 http://x.example/3", subtype="plain")
    plan = compile_message(data, Rules(wrap_plain_text=True, max_links=2))
    assert len(plan.links) == 2
    assert Reason.TOO_MANY_LINKS in reasons(plan)
