"""The public listener under hostile clients: never a server error, a redirect that no token gives, or a neighbour who
waits for somebody else."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.tracking import URLS, Copy, configuration, dump, opened, to_joe, tracker_table
from support.web import Client, serving

from tracker.domain import Domain
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL, Heard, Hits
from tracker.web.plain import MOST_HEAD

pytestmark = pytest.mark.parametrize("store_kind", ["sqlite"])

# --- what is sent ---

METHODS = st.sampled_from(
    [b"GET", b"HEAD", b"POST", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"\x00", b"PRI"]
)
HEADERS = st.lists(
    st.builds(
        lambda name, value: name + b":" + value + b"\r\n",
        st.sampled_from(
            [
                b"Host",
                b"User-Agent",
                b"Content-Length",
                b"Transfer-Encoding",
                b"Expect",
                b"Upgrade",
                b"Cookie",
                b"X",
                b"",
            ]
        ),
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [b" chunked", b" 100-continue", b" h2c", b" 5", b" -1", b" 99999999999", b" " + b"a" * 9000]
            ),
        ),
    ),
    max_size=6,
).map(b"".join)


@st.composite
def forged(draw: st.DrawFn, token: bytes) -> bytes:
    """A token of ours that was cut, changed, or put together anew."""
    octets = bytearray(base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)))
    how = draw(st.sampled_from(["cut", "changed", "longer", "spelt otherwise", "other destination"]))
    if how == "cut":
        return token[: draw(st.integers(0, len(token) - 1))]
    if how == "longer":
        return token + draw(st.binary(min_size=1, max_size=8).map(base64.urlsafe_b64encode)).rstrip(b"=")
    if how == "spelt otherwise":
        return draw(
            st.sampled_from([token + b"=", token + b"%20", b"%" + token, token.swapcase(), token[::-1]])
        )
    if how == "other destination":
        octets[27:60] = b"https://evil.example/x?y=z&aaaaaa"
    else:
        octets[draw(st.integers(0, len(octets) - 1))] ^= draw(st.integers(1, 255))
    return base64.urlsafe_b64encode(bytes(octets)).rstrip(b"=")


@settings(max_examples=examples(80), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    method=METHODS,
    headers=HEADERS,
    kind=st.sampled_from([b"o", b"c", b"p"]),
    body=st.binary(max_size=50),
)
async def test_no_request_gives_a_server_error_or_leads_anywhere(
    data: st.DataObject,
    method: bytes,
    headers: bytes,
    kind: bytes,
    body: bytes,
    domain: Domain,
    client: Client,
) -> None:
    copy = await to_joe(domain)
    token = data.draw(st.one_of(forged(copy.link()[3:].encode()), st.binary(max_size=40)), label="token")
    before = await dump(domain)
    path = b"/" + kind + b"/" + token
    octets = b"%b %b HTTP/1.1\r\n%bConnection: close\r\n\r\n%b" % (method, path, headers, body)
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(octets)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(-1), 20)
    writer.close()
    if answer:
        assert answer.startswith(b"HTTP/1.")
        assert 200 <= int(answer[9:12]) < 500 or answer[9:12] == b"503"
        assert answer[9:12] != b"503" or method == b"CONNECT"
        assert b"ocation: " not in answer
    assert await dump(domain) == before


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=400), end=st.sampled_from([b"", b"\r\n\r\n", b"\n\n"]))
async def test_no_octets_give_a_server_error(octets: bytes, end: bytes, client: Client) -> None:
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(octets + end)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(-1), 20)
    writer.close()
    assert not answer or 200 <= int(answer[9:12]) < 500
    assert b"ocation: " not in answer


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(agent=st.binary(max_size=300).filter(lambda one: not set(one) & {0, 10, 13}))
async def test_whatever_a_user_agent_is_made_of_the_hit_is_kept(
    agent: bytes, domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, face = served
    copy = await to_joe(domain)
    before = len(await domain.events.list())
    for where in ("", "http://t"):
        head = f"GET {where}{copy.link()} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nUser-Agent: ".encode()
        answer = await client.octets(head + agent + b"\r\n\r\n")
        assert (answer.status, answer.location) in ((302, URLS[0].encode()), (400, None))
    assert face.hits.lost == 0
    kept = await domain.events.list()
    assert len(kept) in (before, before + 1, before + 2)  # control characters are no header


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"GET /o/x HTTP/1.1\r\n" + b"X: " + b"a" * MOST_HEAD, 431),
        (b"GET /" + b"a" * MOST_HEAD, 414),
        (b"GET /" + b"a" * MOST_HEAD + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /o/x HTTP/1.1\r\n" + b"X: a\r\n" * 8000 + b"\r\n", 431),
        (b"GET /o/x HTTP/1.1\r\n" + b"X: a\r\n" * 500 + b"\r\n", 400),
        (b"POST /p/x HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n" + b"a" * 90_000, 404),
    ],
    ids=["header", "line", "whole line", "headers", "many headers", "form"],
)
async def test_what_is_too_large_is_refused_with_an_answer_that_arrives(
    octets: bytes, status: int, client: Client
) -> None:
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(octets)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    assert int(answer[9:12]) == status


@pytest.mark.parametrize(
    "octets",
    [
        b"GET /o/secret HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /o/secret HTTP/1.1\r\nHost: x\r\nSecret : x\r\n\r\n",
        b"POST /o/x HTTP/1.1\r\nContent-Length: secret\r\n\r\n",
        b"POST /o/x HTTP/1.1\r\nTransfer-Encoding: secret\r\nContent-Length: 2\r\n\r\n",
        b"GET /o/x HTTP/1.1\r\nHost: x\r\nX: secret\x00\r\n\r\n",
        b"secret\n\n",
    ],
    ids=lambda octets: str(octets)[:50],
)
async def test_what_is_no_request_is_refused_without_repeating_it_or_naming_a_library(
    octets: bytes, client: Client
) -> None:
    answer = await client.octets(octets)
    assert answer.status == 400
    assert answer.all("Server") == [b"candor"]
    assert answer.body == b"400 Bad Request\n"
    assert b"secret" not in answer.head


# --- how slowly ---

Slow = Callable[[Client, Copy], Awaitable[bytes]]


async def says_nothing(client: Client, copy: Copy) -> bytes:
    return await _all(client, b"")


async def ends_in_the_middle(client: Client, copy: Copy) -> bytes:
    return await _all(client, b"GET /o/x HTTP/1.1\r\nHost")


async def trickles(client: Client, copy: Copy) -> bytes:
    reader, writer = await asyncio.open_connection(*client.address)
    for octet in b"GET /o/x HTTP/1.1\r\nX-Long: " + b"a" * 10_000:
        writer.write(bytes([octet]))
        await asyncio.sleep(0.02)
        if reader.at_eof() or writer.is_closing():
            break
        if reader._buffer:  # type: ignore[attr-defined]
            break
    try:
        return await reader.read(-1)
    except ConnectionResetError:  # an octet crossed the answer
        return bytes(reader._buffer)  # type: ignore[attr-defined]
    finally:
        writer.close()


async def sends_half_a_form(client: Client, copy: Copy) -> bytes:
    kind = "Content-Type: application/x-www-form-urlencoded"
    return await _all(
        client, f"POST {copy.page} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: 50\r\n\r\na=".encode()
    )


async def idles_after_a_hit(client: Client, copy: Copy) -> bytes:
    return await _all(client, f"GET {copy.pixel} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


async def _all(client: Client, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(octets)
    try:
        return await asyncio.wait_for(reader.read(-1), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("slow", "status"),
    [
        (says_nothing, None),
        (ends_in_the_middle, 408),
        (trickles, 408),
        (sends_half_a_form, None),
        (idles_after_a_hit, 200),
    ],
)
async def test_whoever_is_slow_is_let_go_of_and_nobody_waits_for_them(
    slow: Slow, status: int | None, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, seconds in (("IDLE", 1.0), ("HEAD_WITHIN", 1.0), ("FRAMEWORK_WITHIN", 1.0), ("_SWEEP", 0.05)):
        monkeypatch.setattr(f"tracker.web.connection.{limit}", seconds)
    async with serving(domain) as (client, face):
        copy = await to_joe(domain)
        crowd = [asyncio.create_task(slow(client, copy)) for _ in range(30)]
        await asyncio.sleep(0)
        assert (await client.ask(copy.pixel)).body == PIXEL
        for answer in await asyncio.gather(*crowd):
            assert (int(answer[9:12]) if answer else None) == status
        async with asyncio.timeout(20):
            while face.connections:
                await asyncio.sleep(0.02)


async def test_who_does_not_read_the_answers_is_sent_no_more(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.web.connection._SWEEP", 0.05)
    monkeypatch.setattr("tracker.web.connection.IDLE", 0.5)
    monkeypatch.setattr("tracker.web.connection.HEAD_WITHIN", 0.5)
    async with serving(domain) as (client, face):
        copy = await to_joe(domain)
        one = (
            f"HEAD {copy.link(url='https://shop.example/' + 'x' * 2000)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(client.address)
            deaf.setblocking(False)
            sent = 0
            async with asyncio.timeout(30):
                while face.connections or not sent:
                    try:
                        sent += deaf.send(one * 10)
                    except BlockingIOError:
                        await asyncio.sleep(0.02)
                    except OSError:
                        break
                    else:
                        await asyncio.sleep(0)
                while face.connections:
                    await asyncio.sleep(0.02)
        assert (await client.ask(copy.pixel)).body == PIXEL


async def test_who_asks_and_then_closes_their_side_gets_the_answer(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(f"GET {copy.link()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(-1), 20)
    assert answer.startswith(b"HTTP/1.1 302 ")
    writer.close()


async def test_who_asks_several_times_and_then_closes_their_side_gets_all_answers(
    domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain)
    reader, writer = await asyncio.open_connection(*client.address)
    writer.write(f"GET {copy.link()} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 3)
    writer.write(f"GET {copy.pixel} HTTP/1.1\r\nHost: x\r\n\r\nGET".encode())
    writer.write_eof()
    answers = await asyncio.wait_for(reader.read(-1), 20)
    assert answers.count(b"HTTP/1.1 302 ") == 3
    assert answers.endswith(PIXEL)
    assert len(await domain.events.list()) == 4
    writer.close()


# --- behind a proxy ---


@asynccontextmanager
async def heard(
    store_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **proxy: object
) -> AsyncIterator[tuple[Client, Copy, list[Heard]]]:
    """What the flow hears of each hit, behind such a proxy."""
    said: list[Heard] = []
    take = Hits.take

    def listening(hits: Hits, token: object, one: Heard, answer: object) -> None:
        said.append(one)
        take(hits, token, one, answer)  # type: ignore[arg-type]

    monkeypatch.setattr(Hits, "take", listening)
    config = configuration(store_url, folder, tracker=tracker_table(folder, answer_within="20s", **proxy))
    async with opened(config) as domain, serving(domain) as (client, _):
        yield client, await to_joe(domain), said


@pytest.mark.parametrize("where", ["", "http://t"])
@pytest.mark.parametrize(
    ("trusted", "header", "client_address"),
    [
        ([], "x-forwarded-for", "127.0.0.1"),
        (["127.0.0.0/8"], "x-forwarded-for", "203.0.113.9"),
        (["127.0.0.0/8"], "forwarded", "2001:db8::9"),
        (["10.0.0.0/8"], "forwarded", "127.0.0.1"),
    ],
)
async def test_the_client_s_address_is_what_a_trusted_proxy_says(
    where: str, trusted: list[str], header: str, client_address: str, store_url: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    proxy = {"trusted_proxies": trusted, "proxy_header": header}
    async with heard(store_url, tmp_path, monkeypatch, **proxy) as (client, copy, said):
        headers = {
            "X-Forwarded-For": "6.6.6.6, 203.0.113.9",
            "Forwarded": 'for=6.6.6.6, for="[2001:db8::9]:1"',
        }
        await client.ask(where + copy.pixel, headers=headers)
    assert [str(one.client) for one in said] == [client_address]


async def test_a_proxy_that_speaks_first_is_heard_before_the_request(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = {"trusted_proxies": ["127.0.0.0/8"], "proxy_header": "proxy-protocol"}
    async with heard(store_url, tmp_path, monkeypatch, **proxy) as (client, copy, said):
        request = f"GET {copy.pixel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        preface = b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n"
        assert (await client.octets(preface + request)).body == PIXEL
        assert [str(one.client) for one in said] == ["203.0.113.9"]
        page = f"GET {copy.page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        assert (await client.octets(preface + page)).status == 200
        reader, writer = await asyncio.open_connection(*client.address)
        for octet in preface + request:
            writer.write(bytes([octet]))
            await asyncio.sleep(0)
        assert (await asyncio.wait_for(reader.read(-1), 20)).endswith(PIXEL)
        writer.close()
        assert (await client.octets(request)).head == b""  # whoever does not say it is no proxy of ours
    assert len(said) == 2
