"""Links with nothing but the key file; and keys that are added while a program runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.outages import away
from support.sites import Program, Site, site, until
from support.tracking import PERSON, SUFFIX, configuration, opened, to_joe
from support.web import Client, serving

from tracker import keyring
from tracker.config import Config, StoreTable, TokensTable, TrackerTable
from tracker.consent import Mode
from tracker.errors import KeyRingError
from tracker.keywatch import KeyWatch
from tracker.store import ringkeys
from tracker.tokens import KeyRing, Kind, Token, seal
from tracker.web.linksonly import LinksFace

ODD = "https://shop.example/a%2Fb/../c?x=1&&y#%C3%A9"
LONG = "https://shop.example/" + "a%20b;c=" * 1000
"""8 KB."""


def a_link(ring: KeyRing, destination: str = ODD) -> str:
    token = Token(
        kind=Kind.CLICK, mode=Mode.IDENTIFIED, subject=bytes(16), sent_at=datetime(2026, 5, 1, tzinfo=UTC), link=1,
        destination=destination, suffix=SUFFIX,
    )  # fmt: skip
    return f"/c/{seal(token, ring)}"


@pytest.fixture
def config(tmp_path: Path, ring: KeyRing) -> Config:
    """A configuration whose store is nowhere."""
    return Config(
        tracker=TrackerTable(listen="127.0.0.1:0"),
        store=StoreTable(url=f"sqlite:///{tmp_path}/no/such/folder/candor.db"),
        tokens=TokensTable(keys_file=str(tmp_path / "keys.toml")),
    )


@pytest.fixture
async def client(config: Config) -> AsyncIterator[Client]:
    face = LinksFace(config)
    yield Client(await face.start())
    await face.stop()


async def test_a_link_leads_on_without_a_store_and_without_its_suffix(client: Client, ring: KeyRing) -> None:
    for destination in (ODD, LONG, "HTTP://Shop.Example"):
        answer = await client.ask(a_link(ring, destination))
        assert (answer.status, answer.location) == (302, destination.encode())
        assert (answer.header("Cache-Control"), answer.header("Referrer-Policy")) == (
            b"no-store",
            b"no-referrer",
        )
        assert answer.all("Set-Cookie") == []


async def test_all_else_is_as_with_a_store_or_says_that_it_is_away(client: Client, ring: KeyRing) -> None:
    link = a_link(ring)
    assert (await client.ask(link[:-1])).status == 404
    assert (await client.ask(f"{link[:3]}{seal_page(ring)}")).status == 404
    pixel = await client.ask("/o/anything.gif")
    assert (pixel.status, len(pixel.body), pixel.header("Content-Type")) == (200, 43, b"image/gif")
    for method in ("GET", "POST"):
        for path in ("/p", f"/p/{seal_page(ring)}"):
            assert (await client.ask(path, method)).status == 503
    assert (await client.ask("/other")).status == 404


async def test_it_is_reached_through_the_proxy_that_the_tracker_is_reached_through(
    config: Config, ring: KeyRing
) -> None:
    table = config.tracker.model_copy(
        update={"trusted_proxies": ("127.0.0.0/8",), "proxy_header": "proxy-protocol"}
    )
    face = LinksFace(config.model_copy(update={"tracker": table}))
    client = Client(await face.start())
    try:
        for where in ("", "http://t"):
            said = f"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\nGET {where}{a_link(ring)} HTTP/1.1\r\n"
            answer = await client.octets(f"{said}Host: t\r\nConnection: close\r\n\r\n".encode())
            assert (answer.status, answer.location) == (302, ODD.encode())
    finally:
        await face.stop()


async def test_whoever_never_ends_a_request_is_let_go_of(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, seconds in (("IDLE", 0.3), ("HEAD_WITHIN", 0.3), ("_SWEEP", 0.05)):
        monkeypatch.setattr(f"tracker.web.connection.{limit}", seconds)
    face = LinksFace(config)
    client = Client(await face.start())
    try:
        assert (await client.octets(b"GET /c/x HTTP/1.1\r\nHost")).status == 408
        assert (await client.octets(b"")).head == b""
    finally:
        await face.stop()


def seal_page(ring: KeyRing) -> str:
    return seal(
        Token(kind=Kind.PREFERENCES, mode=Mode.UNTRACKED, subject=bytes(16), sent_at=datetime.now(UTC)), ring
    )


def test_without_the_key_file_it_refuses_and_makes_none(config: Config, tmp_path: Path) -> None:
    (tmp_path / "keys.toml").unlink()
    with pytest.raises(KeyRingError, match="there is no key ring"):
        LinksFace(config)
    assert not (tmp_path / "keys.toml").exists()


@pytest.mark.parametrize("options", ["", " --workers 2"])
async def test_the_program_needs_no_database_and_makes_none(options: str, tmp_path: Path) -> None:
    store = tmp_path / "gone" / "candor.db"
    where: Site = site(tmp_path / "site", f"sqlite:///{store}", "capture:./captured")
    ring = keyring.load_or_create(where.folder / "keys.toml")
    async with Program(where, f"tracker --links-only{options}") as program:
        client = Client(("127.0.0.1", where.web_port))
        answer = await client.ask(a_link(ring), headers={"User-Agent": PERSON})
        assert answer.location == ODD.encode()
        newer = keyring.rotate(where.folder / "keys.toml")

        async def leads() -> bool:
            return (await client.ask(a_link(newer))).status == 302

        await until(leads, "the new key is taken up")
        assert await program.stop() == 0
    assert not store.parent.exists()
    assert "Traceback" not in program.log


# --- keys that come while it runs ---


async def test_a_new_key_verifies_at_once_and_seals_from_the_next_start_on(
    store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    async with opened(configuration(store_url, tmp_path)) as domain, serving(domain) as (client, _):
        before, copy = domain.ring, await to_joe(domain)
        newer = keyring.rotate(file)
        watch = KeyWatch(file, lambda: domain.ring, domain.take_up)
        assert (await client.ask(a_link(newer))).status == 404
        assert await watch.look()
        assert (await client.ask(a_link(newer))).status == 302
        assert (await client.ask(copy.link())).status == 302
        assert domain.ring.newest == before.newest
        assert await ringkeys.sealed_with(domain.database) == set(newer.keys)
        assert not await watch.look()
    async with opened(configuration(store_url, tmp_path)) as again:
        assert again.ring.newest == newer.newest


async def test_a_file_that_is_damaged_or_lacks_a_key_changes_nothing(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    async with opened(configuration(store_url, tmp_path)) as domain:
        held, text = domain.ring, file.read_text()
        watch = KeyWatch(file, lambda: domain.ring, domain.take_up)
        other = tmp_path / "other.toml"
        keyring.load_or_create(other)
        for content in ("[[key", other.read_text()):
            file.write_text(content)
            assert not await watch.look()
            assert domain.ring is held
        file.unlink()
        assert not await watch.look()
        file.write_text(text)
        newer = keyring.rotate(file)
        assert await watch.look()
        assert set(domain.ring.keys) == set(newer.keys)


async def test_with_the_store_away_a_key_is_taken_up_when_it_is_back(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    async with opened(configuration(store_url, tmp_path)) as domain:
        keyring.rotate(file)
        watch, held = KeyWatch(file, lambda: domain.ring, domain.take_up), domain.ring
        with away(domain.database.writes):
            assert not await watch.look()
        assert domain.ring is held
        await until(lambda: not domain.database.writes.tripped, "it is back")
        assert await watch.look()
