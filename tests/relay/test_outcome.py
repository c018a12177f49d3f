from __future__ import annotations

import pytest
from support.submissions import outcome

from relay.outcome import Outcome, Status, answer
from relay.replies import accepted

ACCEPTED = outcome(Status.ACCEPTED, 250, "0.0", "queued as 42")
DEFERRED = outcome(Status.DEFERRED, 451, "4.1", "busy")
BOUNCED = outcome(Status.BOUNCED, 550, "1.1", "no such user")
GREETED_5XX = outcome(Status.DEFERRED, 554, "3.2", "not now")
CLOSING = outcome(Status.DEFERRED, 421, "3.2", "closing")
SKIPPED = outcome(Status.SKIPPED, 250, "0.0", "not sent, suppressed")
OURS = accepted("abc")


@pytest.mark.parametrize(
    ("outcomes", "owed", "code", "text"),
    [
        ([ACCEPTED], 1, 250, "queued as 42"),
        ([BOUNCED], 1, 550, "no such user"),
        ([DEFERRED], 1, 451, "busy"),
        ([ACCEPTED, ACCEPTED], 2, 250, OURS.text),
        ([BOUNCED, BOUNCED], 2, 550, "no such user"),
        ([DEFERRED, DEFERRED], 2, 451, "busy"),
        ([GREETED_5XX], 1, 451, "not now"),
        ([CLOSING], 1, 451, "closing"),
        ([CLOSING, CLOSING], 2, 451, "closing"),
        ([SKIPPED], 1, 250, "not sent, suppressed"),
        ([SKIPPED, SKIPPED], 2, 250, OURS.text),
        ([SKIPPED, ACCEPTED], 2, 250, OURS.text),
        ([BOUNCED, SKIPPED], 2, 550, "no such user"),
        ([SKIPPED, DEFERRED], 2, 451, "busy"),
    ],
)
def test_one_kind_of_result_is_the_clients_answer(
    outcomes: list[Outcome], owed: int, code: int, text: str
) -> None:
    reply = answer(outcomes, owed, OURS)
    assert reply is not None
    assert (reply.code, reply.text) == (code, text)


@pytest.mark.parametrize(
    ("outcomes", "owed"),
    [
        ([], 1),
        ([ACCEPTED], 2),
        ([ACCEPTED, DEFERRED], 2),
        ([ACCEPTED, BOUNCED], 2),
        ([DEFERRED, BOUNCED], 2),
        ([SKIPPED], 2),
    ],
)
def test_mixed_or_missing_results_are_no_answer(outcomes: list[Outcome], owed: int) -> None:
    assert answer(outcomes, owed, OURS) is None


def test_only_what_upstream_decided_is_settled() -> None:
    assert [one.settled for one in (ACCEPTED, BOUNCED, DEFERRED)] == [True, True, False]
