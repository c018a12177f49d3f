"""A tracking domain with mail in it, for tests of its faces: copies as the relay would have sent them, and what is on
record afterwards, to the last cell."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tracker.config import AdminTable, Config, StoreTable, TokensTable, TrackerTable
from tracker.consent import Consent, Decision, DoNotTrack, Mode
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store import deliveries
from tracker.store.deliveries import Attempt, Delivery, Mailing, Message
from tracker.store.register import Source
from tracker.store.schema import metadata
from tracker.tokens import Kind, Token, mailing_id, seal

SENDER = "news@shop.example"
JOE = "joe@people.example"
URLS = ("https://shop.example/apples?kind=russet&box=2", "https://shop.example/stories")
SUFFIX = "?utm_source=news&cid=c1"
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
LONG_AGO = timedelta(hours=1)

IDENTIFIED = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, reason="granted")
OVERRIDDEN = Decision(mode=Mode.IDENTIFIED, opens=True, clicks=True, override=True, reason="override")
ANONYMOUS = Decision(mode=Mode.ANONYMOUS, opens=True, clicks=True, reason="granted+do-not-track")
AGGREGATE = Decision(mode=Mode.AGGREGATE, opens=True, clicks=False, reason="unknown-aggregate")
HYGIENE = Decision(mode=Mode.HYGIENE, opens=True, clicks=False, reason="unknown-hygiene")
UNTRACKED = Decision(mode=Mode.UNTRACKED, opens=False, clicks=False, reason="denied")

Dump = Mapping[str, list[tuple[Any, ...]]]


def configuration(store_url: str, folder: Path, **tables: Any) -> Config:
    """The tracker on a port of the system's choice, patient enough for a busy machine."""
    given = {
        "tracker": tracker_table(folder, answer_within="20s"),
        "admin": AdminTable(listen="127.0.0.1:0"),
        "store": StoreTable(url=store_url, ask_within="20s", write_within="30s"),
        "tokens": TokensTable(keys_file=str(folder / "keys.toml")),
    }
    return Config(**(given | tables))


def tracker_table(folder: Path, **more: Any) -> TrackerTable:
    """The tracker's own table: any port, a journal of its own."""
    return TrackerTable(**({"listen": "127.0.0.1:0", "journal": str(folder / "journal")} | more))


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[Domain]:
    """The domain, closed afterwards."""
    domain = await Domain.open(config)
    try:
        yield domain
    finally:
        await domain.close()


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One recipient's copy: the paths that a mail program would ask for."""

    delivery: bytes
    message: bytes
    mailing: bytes
    recipient: str
    decision: Decision
    sent_at: datetime
    domain: Domain

    def _seal(self, kind: Kind, subject: bytes, **more: Any) -> str:
        token = Token(
            kind=kind,
            mode=self.decision.mode,
            subject=subject,
            sent_at=self.sent_at,
            override=self.decision.override,
            **more,
        )
        return seal(token, self.domain.ring)

    @property
    def pixel(self) -> str:
        subject = self.mailing if self.decision.mode is Mode.AGGREGATE else self.delivery
        return f"/o/{self._seal(Kind.OPEN, subject)}.gif"

    def link(self, number: int = 1, *, url: str = "", suffix: str = "") -> str:
        destination = url or URLS[number - 1]
        more = {"link": number, "destination": destination, "suffix": suffix}
        return f"/c/{self._seal(Kind.CLICK, self.delivery, **more)}"

    @property
    def page(self) -> str:
        return f"/p/{self._seal(Kind.PREFERENCES, self.delivery)}"


@dataclass(kw_only=True)
class Mail:
    """A message to be put on record; `to` maps recipients to what was decided for each."""

    to: Mapping[str, Decision]
    subject: str = "Apples are here"
    sender: str = SENDER
    campaign: str = "apples"
    message_class: str | None = None
    variant: str | None = None
    tags: tuple[str, ...] = ("autumn",)
    metadata: tuple[tuple[str, str], ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = URLS
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC) - LONG_AGO)
    status: str = "accepted"
    text: str = "Ok: queued"


async def send(domain: Domain, mail: Mail) -> dict[str, Copy]:
    """Puts the message and what became of it on record, as the relay does; gives each recipient's copy."""
    name = f"campaign\n{mail.campaign}"
    mailing = Mailing(
        id=mailing_id(name, domain.ring), kind="campaign", name=mail.campaign, sender=mail.sender
    )
    message = Message(
        id=secrets.token_bytes(16),
        mailing=mailing,
        received_at=mail.received_at,
        sender=mail.sender,
        from_header=f"The Shop <{mail.sender}>",
        subject=mail.subject,
        tags=mail.tags,
        metadata=mail.metadata,
        message_class=mail.message_class,
        variant=mail.variant,
        size=1234,
        links=tuple((number, url, "see") for number, url in enumerate(mail.urls, 1)),
    )
    made = [
        Delivery(
            id=secrets.token_bytes(16),
            message_id=message.id,
            position=position,
            recipient=recipient,
            group=mail.groups.get(recipient),
            decision=decision,
            status="new",
        )
        for position, (recipient, decision) in enumerate(mail.to.items())
    ]
    tries = [_attempt(mail, one.id) for one in made] if mail.status != "new" else []
    await domain.database.write(*deliveries.recording(message, made, domain.ring))
    await domain.database.write(*deliveries.settling(tries))
    return {
        str(one.recipient): Copy(
            delivery=one.id,
            message=message.id,
            mailing=mailing.id,
            recipient=str(one.recipient),
            decision=one.decision,
            sent_at=mail.received_at,
            domain=domain,
        )
        for one in made
    }


async def to_joe(domain: Domain, decision: Decision = IDENTIFIED, **mail: Any) -> Copy:
    """Joe's copy of a mail that went to nobody else."""
    return (await send(domain, Mail(to={JOE: decision}, **mail)))[JOE]


def _attempt(mail: Mail, delivery: bytes) -> Attempt:
    code, enhanced = {"accepted": (250, "2.0.0"), "deferred": (451, "4.3.0")}.get(mail.status, (550, "5.1.1"))
    return Attempt(
        delivery_id=delivery,
        at=mail.received_at,
        status=mail.status,
        host="mx.example:25",
        tls="TLSv1.3",
        code=code,
        enhanced=enhanced,
        text=mail.text,
    )


async def say(
    domain: Domain,
    address: str,
    consent: str | None = None,
    dnt: str | None = None,
    *,
    source: Source = Source.API,
    **more: Any,
) -> None:
    """Records what a person said."""
    said = Statement(
        address=address,
        consent=Consent(consent) if consent else None,
        do_not_track=DoNotTrack(dnt) if dnt else None,
        **more,
    )
    await domain.register.record([said], source=source, actor="test", now=datetime.now(UTC))


async def erase(domain: Domain, address: str) -> None:
    await domain.erasure.erase(address, actor="test", now=datetime.now(UTC))


async def dump(domain: Domain) -> Dump:
    """Every row of the tracking domain's tables."""

    def all_rows(connection: Connection) -> Dump:
        return {
            table.name: [
                tuple(bytes(cell) if isinstance(cell, memoryview) else cell for cell in row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in metadata.sorted_tables
        }

    return await domain.database.read(all_rows, within=20)


def changed(before: Dump, after: Dump) -> dict[str, list[tuple[Any, ...]]]:
    """The rows that are new or different, by table."""
    return {
        name: [row for row in rows if row not in before[name]]
        for name, rows in after.items()
        if rows != before[name]
    }
