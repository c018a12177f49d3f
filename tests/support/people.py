"""People with something to say about tracking, the mail they get, and the browsers they read it with."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, cast

import aiohttp
import pytest
from sqlalchemy import Table, select, update
from support import verifier
from support.mail import multipart, part
from support.upstream import Received
from yarl import URL

from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store.register import Recorded, Source
from tracker.store.schema import deliveries

SENDER = "news@shop.example"
CLIENT_IP = "127.0.0.66"
READER_IP = "127.0.0.77"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

GRANTED, DENIED, WITHDRAWN, UNKNOWN, LOOSE, ERASED = SIX = tuple(
    f"{name}@people.example" for name in ("grace", "dennis", "wilma", "uma", "donna", "earl")
)
"""The six: agreed, declined, withdrew, never said anything, agreed but not by name, was erased."""

URLS = (
    "https://shop.example/apples?kind=russet&box=2",
    "https://shop.example/a%20story/?q=%E2%82%AC#here",
    "http://other.example/",
)


async def tell(
    domain: Domain,
    address: str,
    consent: Consent | None = None,
    do_not_track: DoNotTrack | None = None,
    *,
    group: str | None = None,
    country: str | None = None,
) -> None:
    """What a person says now, with the evidence a grant needs."""
    said = Statement(
        address=address,
        consent=consent,
        do_not_track=do_not_track,
        group=group,
        country=country,
        evidence={"form": "the test's sign-up form"},
    )
    results: Sequence[Recorded] = await domain.register.record(
        [said], source=Source.API, actor="test", now=datetime.now(UTC)
    )
    assert all(not result.reason for result in results), results


async def gather_the_six(domain: Domain) -> None:
    await tell(domain, GRANTED, Consent.GRANTED)
    await tell(domain, DENIED, Consent.DENIED)
    await tell(domain, WITHDRAWN, Consent.GRANTED)
    await tell(domain, WITHDRAWN, Consent.WITHDRAWN)
    await tell(domain, LOOSE, Consent.GRANTED, DoNotTrack.TRUE)
    await tell(domain, ERASED, Consent.GRANTED)
    await domain.erasure.erase(ERASED, actor="test", now=datetime.now(UTC))


def newsletter(
    encoding: str = "8bit", *, header: str = "", urls: Iterable[str] = URLS, subject: str = "Apples"
) -> bytes:
    """Text and HTML with a link for each of `urls`; none of ours in it, so that untouched means untouched."""
    anchors = "\r\n".join(
        f'<p>Für Sie: <a href="{url.replace("&", "&amp;")}">see number {n}</a></p>'
        for n, url in enumerate(urls)
    )
    html = f"<!doctype html>\r\n<html><body>\r\n<h1>Äpfel</h1>\r\n{anchors}\r\n</body></html>\r\n"
    return multipart(
        part("Äpfel: https://shop.example/apples\r\n", kind="text/plain", encoding=encoding),
        part(html, encoding=encoding),
        header=f"{header}Subject: {subject}\r\nX-Mailer: a shop\r\n",
    )


def with_page(header: str = "") -> bytes:
    """A newsletter with a link to the reader's own page."""
    html = (
        '<html><body><p><a href="https://shop.example/apples?kind=russet&amp;box=2">apples</a></p>'
        '<p><a href="{{tracking_preferences_url}}">May we see whether you read this?</a></p></body></html>'
    )
    return multipart(part(html), header=f"{header}Subject: Apples\r\n")


# --- sending ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who the client says it is; always over STARTTLS."""

    user: str
    password: str
    tls: ssl.SSLContext


async def send(
    port: int,
    data: bytes,
    *recipients: str,
    sender: str = SENDER,
    options: Sequence[str] = (),
    notify: dict[str, str] | None = None,
    login: Login | None = None,
) -> tuple[int, str]:
    """One message by Python's own client; the reply to the dot (or to the command before it that was refused)."""
    return await asyncio.to_thread(_send, port, data, recipients, sender, options, notify or {}, login)


def _send(
    port: int,
    data: bytes,
    recipients: Sequence[str],
    sender: str,
    options: Sequence[str],
    notify: dict[str, str],
    login: Login | None,
) -> tuple[int, str]:
    with smtplib.SMTP(
        "127.0.0.1" if login is None else "localhost",
        port,
        local_hostname="client.example",
        timeout=60,
        source_address=(CLIENT_IP, 0) if login is None else None,
    ) as client:
        client.ehlo()
        if login is not None:
            client.starttls(context=login.tls)
            client.ehlo()
            client.login(login.user, login.password)
        code, text = client.mail(sender, options)
        if code != 250:
            return code, text.decode()
        for recipient in recipients:
            wishes = [f"NOTIFY={notify[recipient]}"] if recipient in notify else []
            code, text = client.rcpt(recipient, wishes)
            if code != 250:
                return code, text.decode()
        code, text = client.data(data)
        return code, text.decode()


# --- what arrived ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A message as upstream got it."""

    data: bytes

    @property
    def received_line(self) -> bytes:
        """The first header field, folded lines included."""
        match = re.match(rb"Received: [^\r]*\r\n(?:[ \t][^\r]*\r\n)*", self.data)
        assert match is not None, self.data[:200]
        return match[0]

    @property
    def base(self) -> bytes:
        """What stands behind our `Received:` line."""
        return self.data[len(self.received_line) :]

    @property
    def html(self) -> str:
        """What a mail program would show."""
        body = cast(EmailMessage, BytesParser(policy=default).parsebytes(self.data)).get_body(("html",))
        return str(body.get_content()) if body is not None else ""

    @property
    def pixels(self) -> list[str]:
        return re.findall(r'src="(http://[^"\s]+/o/[A-Za-z0-9_-]+\.gif)"', self.html)

    @property
    def pixel(self) -> str:
        (pixel,) = self.pixels
        return pixel

    @property
    def links(self) -> list[str]:
        """Wrapped ones, in the order of the message."""
        return re.findall(r'href="(http://[^"\s]+/c/[A-Za-z0-9_-]+)"', self.html)

    @property
    def page(self) -> str:
        (page,) = re.findall(r'href="(http://[^"\s]+/p/[A-Za-z0-9_-]+)"', self.html)
        return page

    @property
    def is_tracked(self) -> bool:
        return bool(self.pixels or self.links)


def copies(received: Iterable[Received]) -> dict[str, Copy]:
    """By recipient; nobody may have got two."""
    found: dict[str, Copy] = {}
    for one in received:
        for address in one.addresses:
            assert address not in found, f"{address} got two copies"
            found[address] = Copy(data=one.data)
    return found


# --- reading ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    location: str | None
    body: bytes
    headers: dict[str, str]


class Browser:
    """A real HTTP client that never follows a redirect by itself."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, url: str) -> Answer:
        return await self.ask("GET", url)

    async def ask(self, method: str, url: str, data: dict[str, str] | None = None) -> Answer:
        request = self._session.request(method, URL(url, encoded=True), data=data, allow_redirects=False)
        async with request as response:
            return Answer(
                status=response.status,
                location=response.headers.get("Location"),
                body=await response.read(),
                headers=dict(response.headers),
            )

    async def read(self, copy: Copy) -> list[str | None]:
        """Loads the pixels and follows every wrapped link; gives where those led."""
        for pixel in copy.pixels:
            answer = await self.get(pixel)
            assert (answer.status, len(answer.body)) == (200, 43)
        return [(await self.get(link)).location for link in copy.links]

    async def choose(self, copy: Copy, choice: str) -> None:
        answer = await self.ask("POST", copy.page, {"choice": choice})
        assert answer.status == 200, answer.body


@asynccontextmanager
async def browsing(user_agent: str = USER_AGENT, address: str = READER_IP) -> AsyncIterator[Browser]:
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    headers = {"User-Agent": user_agent}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield Browser(session)


# --- what is on record ---


async def rows(domain: Domain, table: Table) -> list[dict[str, Any]]:
    """All of a table, in the order of its key."""
    query = select(table).order_by(*table.primary_key.columns)
    return [
        dict(row)
        for row in await domain.database.read(lambda connection: connection.execute(query).mappings().all())
    ]


async def statuses(domain: Domain) -> dict[str | None, str]:
    """Each recipient's state."""
    return {row["recipient"]: row["status"] for row in await rows(domain, deliveries)}


async def let_time_pass(domain: Domain, seconds: float) -> None:
    """Everything that was accepted was accepted so much earlier: who reads at once is taken for a machine."""
    earlier = update(deliveries).values(accepted_at=datetime.now(UTC) - timedelta(seconds=seconds))
    await domain.database.change(
        lambda connection: connection.execute(earlier.where(deliveries.c.accepted_at.is_not(None)))
    )


def assert_names_nobody(log: str) -> None:
    """No person, no machine of theirs, nothing their browser said, no text of upstream's that quotes them."""
    assert log.strip(), "nothing was logged at all"
    for word in ("people.example", SENDER, CLIENT_IP, READER_IP, "Mozilla", "Firefox"):
        lines = [line for line in log.splitlines() if word in line]
        assert not lines, lines[0]


# --- the verifier, told what our own links look like ---


async def verified(base: Copy, tracked: Copy, public_url: str, browser: Browser) -> verifier.Report:
    """`tracked` against `base`. Where a link leads is asked of the tracker itself, by HEAD, which leaves nothing."""
    leads = {}
    text = tracked.data.replace(b"=\r\n", b"").replace(b"=3D", b"=").decode("latin-1") + tracked.html
    for url in set(re.findall(re.escape(public_url) + r"/c/[A-Za-z0-9_-]+", text)):
        answer = await browser.ask("HEAD", url)
        if answer.location is not None:
            leads[url.rpartition("/")[2]] = answer.location
    pixel = re.escape(
        f'<img src="{tracked.pixel}" width="1" height="1" alt="" style="display:block;border:0">'
    )
    link = re.escape(public_url) + r"/c/([A-Za-z0-9_-]+)"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifier, "HOST", public_url)
        patch.setattr(verifier, "PIXEL_URL", tracked.pixel)
        patch.setattr(verifier, "PIXEL", re.compile(pixel))
        patch.setattr(verifier, "TRACKED", re.compile(link))
        patch.setattr(verifier, "NEW", re.compile(f"(?P<pixel>{pixel})|(?P<link>{link})"))
        patch.setattr(verifier, "destination", leads.__getitem__)
        return verifier.verify(base.data, tracked.data)
