"""Telling what was found: consent is asked once more, then the letter is queued and the alert marked as sent in one
transaction, so that after a crash it is both or neither."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, select

from tracker.alerting.finding import measured
from tracker.alerting.post import Letter, Post
from tracker.config import AlertTable
from tracker.domain import Domain
from tracker.store import alerts
from tracker.store.alerts import Found, State
from tracker.store.database import execute
from tracker.store.engines import BeforeErasures
from tracker.store.messages import urls
from tracker.store.schema import messages

_MOST = 200
"""Letters of one turn."""
_A_DAY = timedelta(days=1)
_LONGEST_SUBJECT = 200


class Telling:
    """`await Telling(domain, post).run(now)` gives how many letters were queued. Raises StoreUnavailable."""

    def __init__(self, domain: Domain, post: Post) -> None:
        self._domain = domain
        self._post = post

    async def run(self, now: datetime) -> int:
        database = self._domain.database
        sent = 0
        for number in await database.read(lambda connection: alerts.waiting(connection, _MOST)):
            sent += await database.change(partial(self._tell, number=number, now=now))
        if sent:
            self._post.wake()
        return sent

    def _tell(self, connection: Connection, number: int, now: datetime) -> bool:
        connection.execute(BeforeErasures())
        row = alerts.take(connection, number)
        if row is None:
            return False
        alert = next((one for one in self._domain.config.alert if one.name == row.name), None)
        if alert is None:
            alerts.settle(connection, number, State.DROPPED, now)
            return False
        recipient = self._recipient(connection, row)
        if recipient is None and row.delivery_id is not None:
            alerts.remove(connection, number)
            return False
        if row.kind != "test":
            quiet = now - timedelta(seconds=alert.quiet)
            if alerts.told_about(connection, row.name, quiet, recipient=recipient, domain=row.domain):
                alerts.settle(connection, number, State.QUIET, now)
                return False
        told = alerts.told_since(connection, row.name, now - _A_DAY)
        if row.kind != "test" and told >= alert.most_a_day:
            alerts.settle(connection, number, State.CAPPED, now)
            return False
        is_last = row.kind != "test" and told + 1 == alert.most_a_day
        letter = _letter(connection, alert, row, recipient, is_last=is_last)
        execute(connection, self._post.queueing(letter, now))
        alerts.settle(connection, number, State.SENT, now)
        return True

    def _recipient(self, connection: Connection, row: Any) -> str | None:
        """Whom it names, if today's consent allows that."""
        if row.delivery_id is None:
            return None
        delivery = bytes(row.delivery_id)
        found = Found(name=row.name, kind=row.kind, key=bytes(row.key), at=row.at, delivery_id=delivery)
        return measured(self._domain, connection, [found]).get(delivery)


def _letter(
    connection: Connection, alert: AlertTable, row: Any, recipient: str | None, *, is_last: bool
) -> Letter:
    told = _told(connection, alert, row, recipient)
    if is_last:
        told += f"\nThat was the last letter of this alert for today: most_a_day is {alert.most_a_day}.\n"
    told += f"\nYou get this because [[alert]] {alert.name} names you. All alerts: candor alert list\n"
    return Letter(
        to=alert.to, sender=alert.sender, subject=f"Candor: {_SUBJECTS[row.kind]} ({alert.name})", text=told
    )


_SUBJECTS = {
    "opens": "a message is opened again",
    "click": "a link is followed",
    "bounces": "mail bounces",
    "test": "a test",
}


def _told(connection: Connection, alert: AlertTable, row: Any, recipient: str | None) -> str:
    at = f"{row.at:%Y-%m-%d %H:%M:%S} UTC"
    if row.kind == "test":
        return f"This is what a letter of the alert {alert.name} looks like. Nothing happened.\n"
    if row.kind == "bounces":
        whom = f"to {row.domain}" if row.domain else "to all domains together"
        hours = alert.window / 3600
        return (
            f"Of {row.of} deliveries {whom} {row.n} bounced: {row.n / row.of:.1%}, more than {alert.share:.1%}.\n"
            f"That is mail of the last {hours:g} hours, counted at {at}.\n\n"
            "What upstream said: candor report domains\n"
        )
    message = bytes(row.message_id)
    query = select(messages.c.subject).where(messages.c.id == message)
    subject = one_line(connection.execute(query).scalar_one_or_none() or "")
    lines = [f"{recipient} has opened a message {row.n} times, at last at {at}."]
    if row.kind == "click":
        lines = [f"{recipient} has followed a link, at {at}."]
        lines.append(f"Link: {one_line(urls(connection, [message]).get((message, row.link), ''))}")
    lines.append(f"Message: {subject or '(no subject)'}")
    return "\n".join(lines) + f"\n\nMore: candor message show {message.hex()}\n"


def one_line(text: str) -> str:
    """What came from mail, as one line that steers no reader's program."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    short = " ".join(plain.split())
    return short if len(short) <= _LONGEST_SUBJECT else short[: _LONGEST_SUBJECT - 1] + "…"
