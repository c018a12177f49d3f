"""What is written down of what stayed: enough to say why, nothing that is anybody's own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.mail import message, multipart, part

from relay.kept import MOST, kept, place
from relay.reasons import TABLE, Reason, Scope
from relay.rewrite import compile_message

LINKS = sorted(reason for reason, row in TABLE.items() if row.scope is Scope.LINK)


def test_rows_tell_part_reason_and_host() -> None:
    html = (
        '<a href="https://Shop.example/unsubscribe?u=ann">Unsubscribe Ann</a>'
        '<a href="https://shop.example/unsubscribe?u=ann">again</a><a href="mailto:ann@people.example">Ann</a>'
        '<a href="{{tracking_preferences_url}}">choices</a><a href="{{name}}">x</a>'
    )
    data = multipart(
        part("text", kind="text/plain"), part(html), part("x", more="Content-Transfer-Encoding: 7bit\r\n")
    )
    assert kept(compile_message(data)) == (
        ("2", "unsubscribe", "shop.example", 2),
        ("2", "other-scheme", "mailto:", 1),
        ("2", "template-placeholder", "", 1),
        ("3", "unknown-encoding", "text/html", 1),
    )


def test_a_message_of_which_nothing_stayed_has_no_rows() -> None:
    assert kept(compile_message(message('<a href="https://shop.example/">shop</a>'))) == ()


def test_rows_are_limited_and_the_rest_is_counted() -> None:
    hosts = 3 * MOST
    html = "".join(f'<a href="https://h{n}.paypal.com/">t</a>' for n in range(hosts))
    rows = kept(compile_message(message(html)))
    assert len(rows) == MOST
    assert rows[-1] == ("", "", "", hosts - MOST + 1)
    assert sum(row.times for row in rows) == hosts


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://Shop.example:8080/unsubscribe?u=ann", "shop.example"),
        ("//shop.example/ann", "shop.example"),
        ("https+notrack://shop.example/ann", "shop.example"),
        ("https://ann:secret@shop.example/", "https:"),
        ("https://ann@shop.example", "https:"),
        ("https://%61nn/", "https:"),
        ("mailto:ann@people.example", "mailto:"),
        ("myapp://ann/", "myapp:"),
        ("ann/page", ""),
        ("ann@people.example", ""),
    ],
)
def test_of_a_link_only_host_or_scheme_is_told(url: str, where: str) -> None:
    assert place(url, Reason.UNSUBSCRIBE) == where


@given(
    path=st.text(st.characters(codec="utf-8"), min_size=1),
    reason=st.sampled_from(LINKS),
    start=st.sampled_from(["https://shop.example/", "mailto:", "/", "#", "?", "https://shop.example?"]),
)
def test_whatever_stands_behind_the_host_is_not_told(path: str, reason: Reason, start: str) -> None:
    assert place(f"{start}{path}", reason) in ("shop.example", "mailto:", "")


@given(st.text(alphabet=st.sampled_from("<a href=\"'>{{}}:/.@%?#&;\x00\n xyz"), max_size=300))
def test_rows_can_be_stored_whatever_the_message_holds(html: str) -> None:
    rows = kept(compile_message(message(html)))
    assert json.loads(json.dumps(rows)) == [list(row) for row in rows]
    assert all(row.part.isascii() and row.where.isascii() and row.where.isprintable() for row in rows)
