"""One look at a tracking host: the real one, and everything else that may answer in its place."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from support.tracking import configuration, dump, opened
from support.web import serving

from relay.examination import DESTINATION, Way, examine
from tracker.keyring import load_or_create
from tracker.store.hosts import Examined
from tracker.tokens import KeyRing
from tracker.web.hits import PIXEL

GIF = b"HTTP/1.1 200 OK\r\nContent-Type: image/gif\r\nContent-Length: %d\r\n\r\n" % len(PIXEL) + PIXEL
LEADS = f"HTTP/1.1 302 Found\r\nLocation: {DESTINATION}\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def answering(
    link: bytes,
    pixel: bytes = GIF,
    *,
    path: str = "",
    tls: ssl.SSLContext | None = None,
    silent: bool = False,
) -> AsyncIterator[int]:
    """A server that gives these octets to links and pixels; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            if silent:
                await reader.read(-1)
            writer.write(link if f" {path}/c/".encode() in asked else pixel)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def look(url: str, ring: KeyRing, **way: object) -> Examined:
    return await asyncio.to_thread(examine, url, ring, Way(**({"within": 5.0} | way)))  # type: ignore[arg-type]


async def test_the_real_tracker_is_well_and_records_nothing(store_url: str, tmp_path: Path) -> None:
    async with opened(configuration(store_url, tmp_path)) as domain, serving(domain) as (client, face):
        before = await dump(domain)
        assert await look(client.base, domain.ring) == Examined()
        assert await dump(domain) == before
        assert (face.hits.bad_tokens, face.hits.lost) == (0, 0)


async def test_with_another_key_ring_it_is_not(store_url: str, tmp_path: Path) -> None:
    other = load_or_create(tmp_path / "other.toml")
    async with opened(configuration(store_url, tmp_path)) as domain, serving(domain) as (client, _):
        found = await look(client.base, other)
        assert found.problem == "the answer to a link is 404, not 302; does it have this key ring?"


WRONG = {
    "leads elsewhere": (LEADS.replace(b"%20", b"+"), GIF, "a link leads elsewhere than it says"),
    "improves the path": (LEADS.replace(b"b/../c", b"c"), GIF, "a link leads elsewhere than it says"),
    "leads nowhere": (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", GIF, "a link leads elsewhere"),
    "shows a page": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        GIF,
        "the answer to a link is 200, not 302",
    ),
    "is a proxy whose tracker is gone": (
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        GIF,
        "the answer to a link is 502",
    ),
    "gives no picture": (
        LEADS,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        "the answer to a pixel is no GIF",
    ),
    "has lost the pixel": (LEADS, b"HTTP/1.1 404 Not Found\r\n\r\n", "the answer to a pixel is 404"),
    "speaks no HTTP": (b"220 mail.example ESMTP\r\n", GIF, "no answer to a link: BadStatusLine"),
    "hangs up": (b"", GIF, "no answer to a link: RemoteDisconnected"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_whatever_else_answers_there_is_told_from_it(name: str, ring: KeyRing) -> None:
    link, pixel, said = WRONG[name]
    async with answering(link, pixel) as port:
        found = await look(f"http://127.0.0.1:{port}", ring)
    assert found.problem.startswith(said)


async def test_a_path_in_the_public_url_is_kept(ring: KeyRing) -> None:
    async with answering(LEADS, path="/mail") as port:
        assert await look(f"http://127.0.0.1:{port}/mail", ring) == Examined()
        assert (await look(f"http://127.0.0.1:{port}", ring)).problem != ""


async def test_silence_has_an_end(ring: KeyRing) -> None:
    async with answering(LEADS, silent=True) as port:
        found = await look(f"http://127.0.0.1:{port}", ring, within=0.2)
    assert found.problem == "no answer to a link in time"


async def test_a_closed_port_and_an_unknown_name_are_named(ring: KeyRing) -> None:
    async with answering(LEADS) as port:
        pass
    found = await look(f"http://127.0.0.1:{port}", ring)
    assert found.problem == f"no connection to 127.0.0.1:{port}: connection refused"


async def test_via_leads_past_the_public_name(ring: KeyRing) -> None:
    async with answering(LEADS) as port:
        assert await look("http://tracking.invalid", ring, via=f"127.0.0.1:{port}") == Examined()


# --- TLS ---


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, name: str, until: datetime) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name, not_after=until).configure_cert(made)
    return made


@pytest.mark.parametrize(
    ("name", "days", "said"),
    [
        ("t.example.com", 60, ""),
        ("other.example.com", 60, "does not hold for t.example.com: Hostname mismatch"),
        ("t.example.com", -1, "does not hold for t.example.com: certificate has expired"),
    ],
)
async def test_the_certificate_is_the_public_names_and_has_not_run_out(
    name: str, days: int, said: str, ring: KeyRing, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    until = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    way = {"ca_file": str(tmp_path / "ca.pem")}
    async with answering(LEADS, tls=context(authority, name, until)) as port:
        found = await look("https://t.example.com", ring, via=f"127.0.0.1:{port}", **way)
    assert said in found.problem
    assert bool(found.problem) is bool(said)
    assert found.certificate_until == (None if said else until)


async def test_who_speaks_no_tls_is_found_out(ring: KeyRing) -> None:
    async with answering(LEADS) as port:
        found = await look("https://t.example.com", ring, via=f"127.0.0.1:{port}", within=2.0)
    assert found.problem.startswith(f"no TLS with 127.0.0.1:{port}")
