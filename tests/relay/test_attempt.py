"""One try: how much of it lies in memory, and what went in place of a copy that could not be made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from support.submissions import HTML, NOW, TRACKED, addressed, outcome, submission

from relay.attempt import Attempt, Budget
from relay.outcome import Outcome, Status
from relay.personalize import Addressed, Copy
from relay.submission import Client
from relay.upstream import Transaction


class Memory:
    """An upstream that takes its time, and counts the octets that wait for it."""

    def __init__(self) -> None:
        self.octets = self.most = 0
        self.taken: list[bytes] = []

    def make(self, octets: int) -> Callable[[], tuple[bytes, ...]]:
        def content() -> tuple[bytes, ...]:
            self.octets += octets
            self.most = max(self.most, self.octets)
            return (b"x" * octets,)

        return content

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        await asyncio.sleep(0.001)
        self.octets -= transaction.size
        self.taken.append(b"".join(transaction.content))
        return tuple(outcome(Status.ACCEPTED, 250) for _ in transaction.recipients)

    async def close(self, *, grace: float) -> None: ...


def attempt_of(memory: Memory, budget: Budget, *, octets: int, people: int) -> Attempt:
    everybody = [addressed(f"p{n}@example.org", TRACKED) for n in range(people)]
    made = [
        Copy(addressed=(one,), content=memory.make(octets), plain=memory.make(octets)) for one in everybody
    ]
    message = submission(*(one.recipient for one in everybody), data=b"x" * octets)
    return Attempt(memory, message, made, unanimous=False, budget=budget)


async def test_the_copies_of_all_messages_together_stay_within_the_budget() -> None:
    memory, budget = Memory(), Budget(3500)
    attempts = [attempt_of(memory, budget, octets=1000, people=10) for _ in range(5)]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        await attempt.wait()
    assert memory.most == 3000
    assert sum(len(attempt.outcomes) for attempt in attempts) == 50


async def test_a_copy_larger_than_the_budget_goes_alone() -> None:
    memory, budget = Memory(), Budget(100)
    large, small = (attempt_of(memory, budget, octets=octets, people=3) for octets in (1000, 10))
    large.start()
    small.start()
    await large.wait()
    await small.wait()
    assert memory.most == 1000
    assert len(large.outcomes) == len(small.outcomes) == 3


async def test_what_is_broken_off_gives_its_room_back() -> None:
    memory, budget = Memory(), Budget(1000)
    broken = attempt_of(memory, budget, octets=1000, people=2)
    broken.start()
    await asyncio.sleep(0)
    broken.cancel()
    await broken.wait()
    memory.octets = 0
    attempt = attempt_of(memory, budget, octets=1000, people=2)
    attempt.start()
    assert await attempt.wait(5.0)
    assert len(attempt.outcomes) == 2


async def test_who_was_sent_the_plain_copy_for_want_of_a_tracked_one_is_known() -> None:
    def broken() -> tuple[bytes, ...]:
        raise ValueError

    def copy(one: Addressed, content: Callable[[], tuple[bytes, ...]]) -> Copy:
        return Copy(addressed=(one,), content=content, plain=lambda: (HTML,))

    unlucky, lucky = addressed("a@example.org", TRACKED), addressed("b@example.org", TRACKED)
    nobody = addressed("c@example.org")
    made = [copy(unlucky, broken), copy(lucky, lambda: (HTML,)), copy(nobody, broken)]
    upstream = Memory()
    attempt = Attempt(upstream, submission("a@example.org"), made, unanimous=False, budget=Budget())
    with capture_logs() as said:
        attempt.start()
        await attempt.wait()
    assert [line["event"] for line in said] == ["sent-untracked-copy-failed"] * 2
    assert attempt.plain == {unlucky.delivery_id}
    assert upstream.taken == [HTML] * 3
    assert all(one.at == NOW for one in attempt.outcomes.values())


class Listener(Memory):
    """Keeps what it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[Transaction] = []

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        self.transactions.append(transaction)
        return await super().send(transaction)


async def test_routes_are_told_who_handed_the_message_in_and_for_whom() -> None:
    upstream = Listener()
    one = addressed("a@example.org")
    message = submission(
        "a@example.org", sender="news@shop.example", client=Client(address="127.0.0.1", user="crm")
    )
    copy = Copy(addressed=(one,), content=lambda: (HTML,), plain=lambda: (HTML,))
    attempt = Attempt(upstream, message, [copy], unanimous=False, budget=Budget())
    attempt.start()
    await attempt.wait()
    (transaction,) = upstream.transactions
    assert (transaction.user, transaction.client_sender) == ("crm", "news@shop.example")


@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_copy_that_takes_long_is_made_beside_the_loop(is_slow: bool) -> None:
    made_in: list[threading.Thread] = []

    def content() -> tuple[bytes, ...]:
        made_in.append(threading.current_thread())
        return (b"x",)

    one = addressed("a@example.org", TRACKED)
    copy = Copy(addressed=(one,), content=content, plain=content, is_slow=is_slow)
    attempt = Attempt(Memory(), submission(one.recipient), [copy], unanimous=False, budget=Budget())
    attempt.start()
    await attempt.wait()
    assert (made_in[0] is threading.current_thread()) == (not is_slow)
    assert len(made_in) == len(attempt.outcomes) == 1


async def test_who_breaks_off_waits_for_the_thread_that_makes_a_copy() -> None:
    begun, free = threading.Event(), threading.Event()
    made: list[bytes] = []

    def content() -> tuple[bytes, ...]:
        begun.set()
        free.wait(10)
        made.append(HTML)
        return (HTML,)

    one = addressed("a@example.org", TRACKED)
    copy = Copy(addressed=(one,), content=content, plain=content, is_slow=True)
    upstream, budget = Memory(), Budget()
    attempt = Attempt(upstream, submission("a@example.org"), [copy], unanimous=False, budget=budget)
    attempt.start()
    await asyncio.to_thread(begun.wait, 10)
    attempt.cancel()
    assert not await attempt.wait(0.05)
    assert made == []
    free.set()
    assert await attempt.wait(10)
    assert made == [HTML]
    assert upstream.taken == []
    assert attempt.outcomes == {}
