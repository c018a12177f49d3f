"""Clients that send many messages over several sessions, and keep a log of what they were told.

The log is what a promise is measured by: whoever heard 250 has let go of the mail.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from support.people import SENDER, Copy, newsletter
from support.upstream import Received

_NUMBER = re.compile(rb"^X-Number: (\S+)\r$", re.MULTILINE)


NOT_SENT = 0


@dataclass
class Log:
    """Number of each message, and the code the client heard; None where it heard nothing, `NOT_SENT` where nobody was
    there to send it to."""

    codes: dict[str, int | None] = field(default_factory=dict)
    closed: bool = False
    """Nothing more is to be sent: threads cannot be cancelled."""

    @property
    def acknowledged(self) -> set[str]:
        return {number for number, code in self.codes.items() if code == 250}

    @property
    def unheard(self) -> set[str]:
        """Those whose fate the client does not know: it would send them again."""
        return {number for number, code in self.codes.items() if code is None}


async def load(
    port: int,
    log: Log,
    name: str,
    count: int,
    *,
    sessions: int,
    recipients: Sequence[str],
    persist: bool = True,
) -> None:
    """Sends `count` messages as fast as `sessions` clients can; recipients take turns. Unless they `persist`,
    clients whose connection is cut send nothing more."""
    numbers = [f"{name}-{n}" for n in range(count)]
    await load_these(port, log, numbers, sessions=sessions, recipients=recipients, persist=persist)


async def load_these(
    port: int,
    log: Log,
    numbers: Sequence[str],
    *,
    sessions: int,
    recipients: Sequence[str],
    persist: bool = True,
) -> None:
    """The same for these messages, say those that were put off."""
    await asyncio.gather(
        *(
            asyncio.to_thread(_session, port, log, numbers[n::sessions], recipients, persist)
            for n in range(sessions)
        )
    )


def _session(port: int, log: Log, numbers: Iterable[str], recipients: Sequence[str], persist: bool) -> None:
    client: smtplib.SMTP | None = None
    for number in numbers:
        if log.closed:
            break
        log.codes[number] = None
        try:
            if client is None:
                client = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60)
                client.ehlo()
            recipient = recipients[int(number.rpartition("-")[2]) % len(recipients)]
            log.codes[number] = _one(client, number, recipient)
        except (smtplib.SMTPException, OSError):
            if client is None:
                log.codes[number] = NOT_SENT
                time.sleep(0.1)
            else:
                client.close()
            client = None
            if not persist:
                return
    if client is not None:
        client.close()


def _one(client: smtplib.SMTP, number: str, recipient: str) -> int:
    for code, text in (client.mail(SENDER), client.rcpt(recipient)):
        if code != 250:
            raise smtplib.SMTPException(f"{code} {text!r}")
    code, _ = client.data(newsletter(header=f"X-Number: {number}\r\n"))
    return code


def number_of(one: Received) -> str:
    match = _NUMBER.search(one.data)
    assert match is not None
    return match[1].decode()


def arrived(received: Iterable[Received]) -> Counter[str]:
    """How many copies of each message the sink has."""
    return Counter(number_of(one) for one in received)


def copies_of(received: Iterable[Received], name: str) -> list[Copy]:
    """The copies of one phase."""
    return [Copy(data=one.data) for one in received if number_of(one).startswith(f"{name}-")]
