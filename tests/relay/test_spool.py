from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import text
from support.submissions import TRACKED, addressed, submission

from relay.compiled import Compiler
from relay.config import QueueTable
from relay.outcome import Status
from relay.personalize import Addressed
from relay.queue import Queue
from relay.records import recording
from relay.rewrite import Rules
from relay.store import claims
from relay.store.spool import Claimed, Waiting, deferring, removing
from relay.submission import Client, Recipient, Submission
from tracker.store.database import Database
from tracker.tokens import KeyRing


def waiting(people: Sequence[Addressed]) -> list[Waiting]:
    return [
        Waiting(delivery_id=one.delivery_id, position=one.position, recipient=one.recipient) for one in people
    ]


async def queued(database: Database, message: Submission, people: Sequence[Addressed], queue: Queue) -> None:
    await database.write(*queue.keeping(message, waiting(people), mine=False, tried=False))


async def claim(database: Database, lease: str, seconds: float = 60.0) -> list[Claimed]:
    share = await database.change(
        lambda connection: claims.claim(connection, lease=lease, lease_seconds=seconds, messages=10)
    )
    return list(share.claimed)


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, QueueTable())


async def test_what_was_kept_comes_back_as_it_was(database: Database, queue: Queue) -> None:
    people = [addressed("a@example.org"), addressed("b@example.org", position=1)]
    recipients = (
        Recipient(address="a@example.org", notify=("SUCCESS", "FAILURE"), orcpt="rfc822;a@example.org"),
        Recipient(address="B@Example.org"),
    )
    message = submission(
        *recipients,
        data=b"Subject: \xff\x00\r\n\r\nexact\r\n",
        client=Client(address="::1", helo="h", user="u", tls="TLSv1.3"),
        smtputf8=True,
        eight_bit=True,
        envid="e+2Bid",
        ret="FULL",
    )
    kept = [
        Waiting(delivery_id=one.delivery_id, position=one.position, recipient=recipient)
        for one, recipient in zip(people, recipients, strict=True)
    ]
    await database.write(*queue.keeping(message, kept, mine=False, tried=False))
    (claimed,) = await claim(database, "me")
    assert claimed.submission == message
    assert [one.recipient for one in claimed.waiting] == list(recipients)


async def test_what_was_decided_at_first_comes_back_with_it(
    database: Database, queue: Queue, ring: KeyRing
) -> None:
    people = [addressed("a@example.org", TRACKED), addressed("b@example.org", position=1)]
    message = submission("a@example.org", "b@example.org")
    compiled = Compiler(Rules(), ring, {}).compile(message)
    await database.write(*recording(compiled, people, Status.RETURNED, ring))
    await queued(database, message, people, queue)
    (claimed,) = await claim(database, "me")
    assert [one.sent for one in claimed.waiting] == [one.decision for one in people]


async def test_a_claimed_row_is_nobody_elses_until_its_lease_runs_out(
    database: Database, queue: Queue
) -> None:
    person = addressed("a@example.org")
    await queued(database, submission("a@example.org"), [person], queue)
    assert len(await claim(database, "one", seconds=3600)) == 1
    assert await claim(database, "two") == []
    held = {person.delivery_id}
    await database.change(lambda connection: claims.renew(connection, held, lease="one", lease_seconds=-1))
    assert len(await claim(database, "two")) == 1


async def test_a_lost_lease_writes_nothing(database: Database, queue: Queue) -> None:
    person = addressed("a@example.org")
    message = submission("a@example.org")
    await queued(database, message, [person], queue)
    await claim(database, "one", seconds=-1)
    await claim(database, "two")
    await database.write(*removing([person.delivery_id], message.id, "one"))
    await database.write(deferring([(person.delivery_id, 0.0)], "one"))
    rows = await database.read(
        lambda connection: connection.execute(text("SELECT lease, tries FROM queue")).all()
    )
    assert [tuple(row) for row in rows] == [("two", 0)]


async def test_the_original_goes_with_its_last_recipient(database: Database, queue: Queue) -> None:
    people = [addressed("a@example.org"), addressed("b@example.org", position=1)]
    message = submission("a@example.org", "b@example.org")
    await queued(database, message, people, queue)
    await claim(database, "me")
    counts = []
    for one in people:
        await database.write(*removing([one.delivery_id], message.id, "me"))
        count = text("SELECT count(*) FROM spool")
        counts.append(
            await database.read(lambda connection, count=count: connection.execute(count).scalar_one())
        )  # type: ignore[misc]
    assert counts == [1, 0]


async def test_what_was_put_off_is_not_due_before_its_time(database: Database, queue: Queue) -> None:
    person = addressed("a@example.org")
    await queued(database, submission("a@example.org"), [person], queue)
    await claim(database, "me")
    await database.write(deferring([(person.delivery_id, 3600.0)], "me"))
    assert await claim(database, "me") == []
    due = await queue.next_due()
    assert due is not None
    assert 3500 < due <= 3600
    await database.write(deferring([(person.delivery_id, -1.0)], ""))
    (claimed,) = await claim(database, "me")
    assert claimed.waiting[0].tries == 2


async def test_what_a_wrong_clock_put_off_for_days_is_due_and_nobody_s_lease_is_broken(
    database: Database, queue: Queue
) -> None:
    """The clock was set back by ten days: what is free is due now, what somebody works on when they are dead."""
    free, busy, usual = (addressed(f"{name}@example.org") for name in ("free", "busy", "usual"))
    for person in (busy, free, usual):
        await queued(database, submission(person.recipient.address), [person], queue)
    await claim(database, "other")
    await database.write(deferring([(free.delivery_id, 0.0), (usual.delivery_id, 3600.0)], "other"))
    later = text("UPDATE queue SET due_at = due_at + 864000 WHERE delivery_id = :id")
    for person in (free, busy):
        one = {"id": person.delivery_id}
        await database.change(lambda connection, one=one: connection.execute(later, one))  # type: ignore[misc]
    assert await claim(database, "me") == []
    await queue.renew()
    (claimed,) = await claim(database, "me")
    assert [one.delivery_id for one in claimed.waiting] == [free.delivery_id]
    held = text("SELECT lease FROM queue WHERE delivery_id = :id")
    one = {"id": busy.delivery_id}
    assert await database.read(lambda connection: connection.execute(held, one).scalar_one()) == "other"
    due = await queue.next_due()
    assert due is not None
    assert due <= 61
    await queue.release()


async def test_a_damaged_row_is_set_aside_and_the_rest_is_served(database: Database, queue: Queue) -> None:
    broken, whole = submission("a@example.org"), submission("b@example.org")
    await queued(database, broken, [addressed("a@example.org")], queue)
    await queued(database, whole, [addressed("b@example.org")], queue)
    spoilt = text("UPDATE spool SET envelope = '{\"nonsense\": 1}' WHERE message_id = :id")
    await database.change(lambda connection: connection.execute(spoilt, {"id": broken.id}))
    assert [one.submission.id for one in await claim(database, "me")] == [whole.id]
    assert (await queue.totals())["damaged"] == 1
    assert await claim(database, "other") == []


async def test_an_empty_queue_has_nothing_due(queue: Queue) -> None:
    assert await queue.next_due() is None
    assert (await queue.claim(5)).claimed == ()


def test_waits_double_up_to_the_longest_and_never_come_back_together(database: Database) -> None:
    queue = Queue(database, QueueTable(first_retry="1m", longest_retry="10m"))  # type: ignore[arg-type]
    for tries, seconds in ((1, 60), (2, 120), (3, 240), (4, 480), (5, 600), (500, 600)):
        drawn = {queue.delay(tries) for _ in range(50)}
        assert all(0.9 * seconds <= one <= 1.1 * seconds for one in drawn)
        assert len(drawn) > 1
