"""The operator's listener: whether the process is well, and nothing where none is wanted."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.outages import away
from support.sites import free_port
from support.tracking import configuration, opened
from support.web import Client

from tracker.admin.app import AdminFace
from tracker.admin.monitoring import Monitoring, MonitoringFace
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.metrics import Sheet
from tracker.store.hosts import Examined, note


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    url = str(await face.start())
    host, _, port = url.removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def health(client: Client) -> tuple[int, Any]:
    answer = await client.ask("/healthz")
    return answer.status, json.loads(answer.body)


async def test_a_process_that_is_well_says_so(client: Client) -> None:
    assert await health(client) == (200, {"store": {"reads": "ok", "writes": "ok"}, "ok": True})


@pytest.mark.parametrize("direction", ["reads", "writes"])
async def test_a_store_that_is_away_is_said_to_be_away(
    direction: str, domain: Domain, client: Client
) -> None:
    with away(getattr(domain.database, direction)):
        status, said = await health(client)
    assert (status, said["ok"], said["store"][direction]) == (503, False, "away")


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_operators_listener_has_no_links_and_no_preference_pages(client: Client) -> None:
    for path in ("/o/x.gif", "/c/x", "/p/x"):
        assert (await client.ask(path, headers={"Host": "localhost"})).status == 404


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_without_an_address_there_is_no_listener(store_url: str, tmp_path: Path) -> None:
    async with opened(configuration(store_url, tmp_path, admin=AdminTable(listen=""))) as domain:
        face = AdminFace(domain)
        assert await face.start() is None
        await face.stop()


async def test_a_tracking_host_that_fails_is_said_to_fail(domain: Domain, client: Client) -> None:
    url, at = "https://t.shop.example", datetime.now(UTC) - timedelta(minutes=10)
    found = Examined(problem="no connection", certificate_until=datetime.now(UTC) + timedelta(days=3))
    await domain.database.change(lambda one: note(one, url, found, at))
    status, said = await health(client)
    assert status == 200  # the store is well, and mail flows
    assert said["tracking_hosts"] == [{"url": url, "ok": False, "problem": "no connection"}]
    lines = (await client.ask("/metrics")).text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values[f'candor_tracking_host_up{{url="{url}"}}']) == 0
    assert float(values[f'candor_tracking_host_failing_seconds{{url="{url}"}}']) >= 600
    assert 2 * 86400 < float(values[f'candor_tracking_host_certificate_seconds{{url="{url}"}}']) <= 3 * 86400


async def test_with_the_store_away_the_metrics_say_so(domain: Domain, client: Client) -> None:
    with away(domain.database.reads):
        text = (await client.ask("/metrics")).text
    assert re.search(r'candor_store_up\{direction="reads"\} 0(\.0)?$', text, re.M)


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    "octets",
    [
        b"GET /secret HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nContent-Length: secret\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"secret" * 4000 + b"\r\n\r\n",
        b"secret\n\n",
    ],
    ids=lambda octets: str(octets)[:50],
)
async def test_what_is_no_request_is_refused_in_our_words_at_both_listeners(
    octets: bytes, domain: Domain, client: Client
) -> None:
    address = ("127.0.0.1", free_port())
    face = MonitoringFace(
        Monitoring(domain, Sheet()), option="[relay] admin_listen", address=f"127.0.0.1:{address[1]}"
    )
    await face.start()
    try:
        for one in (client, Client(address)):
            answer = await one.octets(octets)
            assert (answer.status, answer.body) == (400, b"400 Bad Request\n")
            assert answer.all("Server") == [b"candor"]
            assert b"secret" not in answer.head
    finally:
        await face.stop()
