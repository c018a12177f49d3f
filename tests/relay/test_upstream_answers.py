"""What a reply says, and what it means for the recipient."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.outcome import Status
from relay.replies import Reply
from relay.upstream.answers import MAX_LINES, judge, means_too_many, put_off, reply_from, withdrawn

CLASS = {Status.ACCEPTED: 2, Status.DEFERRED: 4, Status.BOUNCED: 5}


@pytest.mark.parametrize(
    ("code", "lines", "detail", "text"),
    [
        (250, ["2.0.0 Ok"], "0.0", "Ok"),
        (250, ["Ok"], "", "Ok"),
        (550, ["5.1.1 No", "5.1.1 really"], "1.1", "No\nreally"),
        (550, ["5.1.1 No", "really"], "1.1", "No\nreally"),
        (550, ["5.7.511 Far away"], "7.511", "Far away"),
        (250, ["2.1.5"], "1.5", ""),
        (550, ["4.2.1 confused"], "", "4.2.1 confused"),
        (550, ["5.1.1000 too long"], "", "5.1.1000 too long"),
        (550, ["5.1.1.7 an address"], "", "5.1.1.7 an address"),
        (354, ["Go"], "", "Go"),
        (250, [""], "", ""),
        (550, ["5.1.1 caf\u00e9 \x1b[31mred\x00"], "1.1", "caf\\xe9  [31mred"),
    ],
)
def test_a_reply_is_read(code: int, lines: list[str], detail: str, text: str) -> None:
    assert reply_from(code, lines) == Reply(code=code, detail=detail, text=text)


@given(st.integers(200, 599), st.lists(st.text(max_size=1000), min_size=1, max_size=40))
def test_every_reply_can_be_passed_on_in_ascii_lines_of_512_octets(code: int, lines: list[str]) -> None:
    reply = reply_from(code, lines)
    assert reply.text.count("\n") < MAX_LINES
    passed_on = str(reply)
    assert passed_on.isascii()
    for line in passed_on.split("\r\n"):
        assert line.isprintable()
        assert len(line) <= 510


@pytest.mark.parametrize(
    ("code", "detail", "status"),
    [
        (250, "0.0", Status.ACCEPTED),
        (251, "", Status.ACCEPTED),
        (354, "", Status.DEFERRED),
        (450, "2.1", Status.DEFERRED),
        (421, "", Status.DEFERRED),
        (550, "1.1", Status.BOUNCED),
        (552, "3.4", Status.BOUNCED),
        (554, "", Status.BOUNCED),
        (503, "5.1", Status.DEFERRED),
        (530, "7.0", Status.DEFERRED),
        (534, "7.9", Status.DEFERRED),
        (535, "7.8", Status.DEFERRED),
        (538, "7.11", Status.DEFERRED),
    ],
)
def test_what_speaks_of_us_and_not_of_the_mail_is_no_bounce(code: int, detail: str, status: Status) -> None:
    reply = Reply(code=code, detail=detail, text="words")
    answer = judge(reply)
    assert answer.status is status
    assert answer.reply.code // 100 == CLASS[status]
    assert answer.reply == reply or (f"{code}" in answer.reply.text and "words" in answer.reply.text)


@given(st.integers(200, 599), st.sampled_from(["", "1.1", "5.3"]))
def test_an_answers_reply_is_always_of_its_status_class(code: int, detail: str) -> None:
    reply = Reply(code=code, detail=detail, text="words")
    for answer in (judge(reply), put_off(reply), withdrawn(judge(reply))):
        assert answer.reply.code // 100 == CLASS[answer.status]
    assert put_off(reply).status is Status.DEFERRED
    assert withdrawn(judge(reply)).status is not Status.BOUNCED


@pytest.mark.parametrize(
    ("code", "detail", "expected"),
    [
        (452, "5.3", True),
        (452, "", True),
        (552, "", True),
        (452, "2.2", False),
        (552, "2.2", False),
        (450, "", False),
    ],
)
def test_too_many_recipients_are_told_from_a_full_mailbox(code: int, detail: str, expected: bool) -> None:
    assert means_too_many(Reply(code=code, detail=detail, text="")) is expected
