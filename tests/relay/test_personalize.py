from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.submissions import HTML, NOW, TRACKED, addressed, submission

from relay.personalize import Addressed, Copy, Tracking, copies, received_line
from relay.rewrite import compile_message
from relay.submission import Client
from relay.verp import ReturnPaths
from tracker.consent import Decision, Mode, untracked
from tracker.tokens import KeyRing, Kind, read

RECEIVED = b"Received: from here\r\n"
PLACEHOLDER = HTML.replace(b"</p>", b'<a href="{{tracking_preferences_url}}">Your choice</a></p>')
AGGREGATE = Decision(mode=Mode.AGGREGATE, opens=True, clicks=False, reason="unknown-aggregate")


@pytest.fixture
def tracking(ring: KeyRing) -> Tracking:
    return Tracking(public_url="https://t.example.com", ring=ring, mailing=b"m" * 16, sent_at=NOW)


def made(tracking: Tracking, *people: Addressed, data: bytes = HTML, recorded: bool = True) -> list[Copy]:
    return copies(compile_message(data), people, tracking, RECEIVED, recorded=recorded)


def token_of(pattern: bytes, copy: Copy, ring: KeyRing) -> tuple[Kind, Mode, bytes]:
    match = re.search(pattern, b"".join(copy.content()))
    assert match is not None
    token = read(match[1].decode(), ring)
    return token.kind, token.mode, token.subject


def test_the_untracked_share_the_very_bytes_that_came(tracking: Tracking) -> None:
    people = [addressed(f"{n}@example.org") for n in range(3)]
    (copy,) = made(tracking, *people)
    received, body = copy.content()
    assert copy.addressed == tuple(people)
    assert (received, body) == (RECEIVED, HTML)
    assert body is HTML


def test_with_return_paths_everybody_has_their_own_and_the_untracked_the_same_bytes(
    tracking: Tracking, ring: KeyRing
) -> None:
    people = [addressed(f"{n}@example.org", TRACKED if n == 2 else None) for n in range(3)]
    paths = ReturnPaths(domain="bounces.example", ring=ring)
    made = copies(compile_message(HTML), people, tracking, RECEIVED, recorded=True, return_paths=paths)
    assert [paths.delivery(copy.return_path or "") for copy in made] == [one.delivery_id for one in people]
    assert [copy.addressed for copy in made] == [(one,) for one in people]
    first, second, tracked = made
    assert first.content() is second.content()
    assert tracked.content()[1] != HTML


def test_each_tracked_recipient_has_links_of_their_own(tracking: Tracking, ring: KeyRing) -> None:
    people = [addressed(f"{n}@example.org", TRACKED) for n in range(2)]
    for one, copy in zip(people, made(tracking, *people), strict=True):
        assert copy.addressed == (one,)
        assert token_of(rb"/c/([\w-]+)", copy, ring) == (Kind.CLICK, Mode.IDENTIFIED, one.delivery_id)
        assert token_of(rb"/o/([\w-]+)\.gif", copy, ring) == (Kind.OPEN, Mode.IDENTIFIED, one.delivery_id)


def test_a_copy_is_the_same_however_often_it_is_made(tracking: Tracking) -> None:
    (copy,) = made(tracking, addressed("a@example.org", TRACKED))
    assert copy.content() == copy.content()


@pytest.mark.parametrize(("opens", "clicks"), [(True, False), (False, True)])
def test_a_copy_carries_what_was_decided_and_no_more(tracking: Tracking, opens: bool, clicks: bool) -> None:
    decision = replace(TRACKED, opens=opens, clicks=clicks)
    (copy,) = made(tracking, addressed("a@example.org", decision))
    body = b"".join(copy.content())
    assert (b"/o/" in body, b"/c/" in body) == (opens, clicks)


def test_an_aggregate_pixel_is_one_and_the_same_for_everybody_and_names_the_mailing(
    tracking: Tracking, ring: KeyRing
) -> None:
    one, two = made(tracking, addressed("a@example.org", AGGREGATE), addressed("b@example.org", AGGREGATE))
    assert one.content() == two.content()
    assert token_of(rb"/o/([\w-]+)\.gif", one, ring) == (Kind.OPEN, Mode.AGGREGATE, tracking.mailing)


def test_everybody_has_a_link_to_their_own_page(tracking: Tracking, ring: KeyRing) -> None:
    people = [addressed("a@example.org", TRACKED), addressed("b@example.org", untracked("denied"))]
    by_person = {copy.addressed[0].delivery_id: copy for copy in made(tracking, *people, data=PLACEHOLDER)}
    for one in people:
        kind, _, subject = token_of(rb"/p/([\w-]+)", by_person[one.delivery_id], ring)
        assert (kind, subject) == (Kind.PREFERENCES, one.delivery_id)


def test_without_a_record_all_share_one_copy_and_no_link_names_anybody(tracking: Tracking) -> None:
    people = [addressed(f"{n}@example.org", untracked("store-unavailable")) for n in range(3)]
    (copy,) = made(tracking, *people, data=PLACEHOLDER, recorded=False)
    assert len(copy.addressed) == 3
    assert b'href="https://t.example.com/p"' in b"".join(copy.content())


@pytest.mark.parametrize(
    ("client", "utf8", "protocol"),
    [
        (Client(address="192.0.2.1", helo="h.example"), False, "with ESMTP id"),
        (Client(address="192.0.2.1", helo="h.example", esmtp=False), False, "with SMTP id"),
        (Client(address="192.0.2.1", helo="h.example", tls="TLSv1.3"), False, "with ESMTPS id"),
        (Client(address="192.0.2.1", helo="h.example", tls="TLSv1.3", user="u"), False, "with ESMTPSA id"),
        (Client(address="192.0.2.1", helo="h.example"), True, "with UTF8SMTP id"),
    ],
)
def test_the_trace_line_names_the_protocol(client: Client, utf8: bool, protocol: str) -> None:
    line = received_line(submission("a@example.org", client=client, smtputf8=utf8), "relay.example").decode()
    assert protocol in line
    assert "a@example.org" not in line
    assert (client.user or "nobody") not in line.replace("UTF8", "").split("by")[0]


def test_the_trace_line_is_one_folded_header_field() -> None:
    line = received_line(
        submission("a@example.org", client=Client(address="2001:db8::1", helo="h")), "r.example"
    )
    assert line.startswith(b"Received: from h ([IPv6:2001:db8::1])\r\n\tby r.example ")
    assert all(part.startswith(b"\t") for part in line.split(b"\r\n")[1:-1])
    assert line.endswith(b"+0000\r\n")
