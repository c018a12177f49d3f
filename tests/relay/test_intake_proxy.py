"""The PROXY protocol: the header as octets, and whose connection it makes one."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.certificates import client_context, server_context
from support.smtp import LOOPBACK, Inbox, Talker, serving

from relay.intake import gate
from relay.intake.proxy import MOST_V2, Header, ProxyError, read

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = IPv4Address("203.0.113.7")
V6 = IPv6Address("2001:db8::7")


def v2(addresses: bytes, *, family: int = 0x11, command: int = 0x21, length: int | None = None) -> bytes:
    length = len(addresses) if length is None else length
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", length) + addresses


def v2_of(client: IPv4Address | IPv6Address, more: bytes = b"") -> bytes:
    family = 0x11 if client.version == 4 else 0x21
    server = b"\0" * len(client.packed)
    return v2(client.packed + server + struct.pack("!HH", 4000, 25) + more, family=family)


def v1_of(client: IPv4Address | IPv6Address) -> bytes:
    return f"PROXY TCP{client.version} {client} {client} 4000 25\r\n".encode()


RIGHT = [
    (b"PROXY TCP4 203.0.113.7 192.0.2.1 4000 25\r\n", V4),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 25\r\n", V6),
    (b"PROXY TCP6 2001:0DB8:0:0:0:0:0:7 2001:db8::1 0 65535\r\n", V6),
    (b"PROXY TCP6 ::ffff:203.0.113.7 2001:db8::1 4000 25\r\n", V4),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff:: whatever it is\r\n", None),
    (v2_of(V4), V4),
    (v2_of(V6), V6),
    (v2_of(IPv6Address("::ffff:203.0.113.7")), V4),
    (v2_of(V4, more=b"\x04\x00\x03abc"), V4),
    (v2(b"", command=0x20, family=0x00), None),
    (v2(V4.packed * 2 + b"\0" * 4, command=0x20), None),
    (v2(b"", family=0x00), None),
    (v2(b"\0" * 216, family=0x31), None),
]


@pytest.mark.parametrize(("octets", "client"), RIGHT, ids=[repr(row[0])[:40] for row in RIGHT])
def test_a_header_says_whose_connection_it_is(
    octets: bytes, client: IPv4Address | IPv6Address | None
) -> None:
    header = Header(client=client, size=len(octets))
    assert read(octets) == read(octets + b"EHLO x\r\n") == header
    for end in range(len(octets)):
        assert read(octets[:end]) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"\x16\x03\x01",
        b"PROXY\r\n",
        b"proxy TCP4",
        b"PROXY  TCP4 203.0.113.7 192.0.2.1 4000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4000\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4000 25 \r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4000 25\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.1 4000 25\r\n",
        b"PROXY TCP4 203.0.113.007 192.0.2.1 4000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 04000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 -1 25\r\n",
        b"PROXY TCP5 203.0.113.7 192.0.2.1 4000 25\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 4000 25\n" + b" " * 80,
        b"PROXY TCP4 \xff.0.113.7 192.0.2.1 4000 25\r\n",
        b"PROXY " + b"x" * 101,
        v2(V4.packed * 2 + b"\0" * 4, command=0x11),
        v2(V4.packed * 2 + b"\0" * 4, command=0x22),
        v2(V4.packed * 2 + b"\0" * 3),
        v2(V6.packed * 2 + b"\0" * 3, family=0x21),
        v2(b"", length=MOST_V2),
        SIGNATURE[:-1] + b"\r",
    ],
    ids=repr,
)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ProxyError) as refused:
        read(octets)
    assert "203.0" not in str(refused.value)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=100).map(lambda tail: SIGNATURE + tail)
    | st.binary(max_size=99).map(lambda tail: b"PROXY " + tail)
)
def test_octets_are_a_header_or_its_beginning_or_refused(octets: bytes) -> None:
    try:
        header = read(octets)
    except ProxyError:
        return
    assert header is None or 0 < header.size <= len(octets)


@given(st.ip_addresses(), st.binary(max_size=50))
def test_every_client_comes_through_both_versions(client: Any, rest: bytes) -> None:
    plain = getattr(client, "ipv4_mapped", None) or client
    for header in (v1_of(client), v2_of(client)):
        assert read(header + rest) == Header(client=plain, size=len(header))


# --- on a listener ---

BALANCED: dict[str, Any] = {"proxy_networks": LOOPBACK, "allowed_networks": (ip_network("203.0.113.0/24"),)}


async def envelope(client: Talker) -> None:
    await client.hello()
    await client.envelope()
    assert (await client.data(b"Subject: x\r\n\r\n.\r\n")).startswith("250 ")


@pytest.mark.parametrize("header", [v1_of(V4), v2_of(V4)], ids=["v1", "v2"])
@pytest.mark.parametrize("octet_by_octet", [False, True])
async def test_the_real_clients_address_counts(header: bytes, octet_by_octet: bool) -> None:
    inbox = Inbox()
    async with serving(inbox, **BALANCED) as server, server.talk() as client:
        for part in [bytes([one]) for one in header] if octet_by_octet else [header]:
            await client.send(part)
            await asyncio.sleep(0)
        await envelope(client)
    assert inbox.only.client.address == str(V4)


async def test_what_comes_in_one_packet_with_the_header_is_the_clients() -> None:
    inbox = Inbox()
    async with serving(inbox, **BALANCED) as server, server.talk() as client:
        await client.send(v1_of(V4) + b"EHLO x\r\nMAIL FROM:<a@x.example>\r\n")
        assert [(await client.reply())[:4] for _ in range(3)] == ["220 ", "250-", "250 "]


async def test_an_address_that_may_not_send_is_refused_though_the_balancers_own_might() -> None:
    stranger = ip_address("198.51.100.1")
    async with serving(Inbox(), **BALANCED) as server, server.talk() as client:
        await client.send(v2_of(stranger))
        await client.hello()
        assert (await client.ask("MAIL FROM:<a@x.example>")).startswith("550 5.7.1")


async def test_limits_count_real_clients() -> None:
    async with (
        serving(Inbox(), max_connections_per_client=1, **BALANCED) as server,
        server.talk() as first,
        server.talk() as other,
        server.talk() as again,
    ):
        await first.send(v1_of(V4))
        assert (await first.reply()).startswith("220 ")
        await other.send(v1_of(V6))
        assert (await other.reply()).startswith("220 ")
        await again.send(v1_of(V4))
        assert (await again.reply()).startswith("421 4.7.0 Too many connections from your address")


async def test_a_health_check_is_the_balancers_own_connection() -> None:
    inbox = Inbox()
    options = BALANCED | {"allowed_networks": LOOPBACK}
    async with serving(inbox, **options) as server, server.talk() as client:
        await client.send(v2(b"", command=0x20, family=0x00))
        await envelope(client)
    assert inbox.only.client.address == "127.0.0.1"


async def test_who_must_send_a_header_and_does_not_is_closed_without_a_word() -> None:
    with capture_logs() as log:
        async with serving(Inbox(), **BALANCED) as server, server.talk() as client:
            await client.send(b"EHLO client.test\r\n")
            assert await client.reply() == ""
    (wrong,) = [line for line in log if line["event"] == "proxy-header-wrong"]
    assert "127.0.0.1" not in repr(wrong)


async def test_a_header_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "HEADER_TIMEOUT", 0.05)
    async with serving(Inbox(), **BALANCED) as server, server.talk() as client:
        await client.send(b"PROXY TCP4")
        assert await client.closed()


async def test_who_is_no_load_balancer_may_send_none() -> None:
    async with serving(Inbox(), proxy_networks=(ip_network("10.0.0.0/8"),)) as server:
        async with server.talk() as client:
            assert (await client.reply()).startswith("220 ")
            assert (await client.ask(v1_of(V4)[:-2])).startswith("421 4.7.0 No PROXY header")
            assert await client.closed()
        async with server.talk() as client:
            assert (await client.reply()).startswith("220 ")
            await client.send(v2_of(V4))
            assert (await client.reply()).startswith("500 ")  # an empty command, and so on


async def test_an_intake_that_stops_waits_for_no_header() -> None:
    async with serving(Inbox(), **BALANCED) as server, server.talk() as client:
        await client.send(b"PROXY")
        await asyncio.sleep(0.05)
        await server.intake.stop(grace=30)
        assert await client.closed()


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_the_header_comes_before_tls(together: bool, loop: str) -> None:
    """`together`: the first words of TLS arrive in the packet of the header."""

    def session(port: int) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            if not together:
                connection.sendall(v2_of(V4))
            said, first = b"", v2_of(V4) if together else b""
            handshaken = False
            while not said:
                try:
                    if not handshaken:
                        tls.do_handshake()
                        handshaken = True
                    said = tls.read(4096)
                except ssl.SSLWantReadError:
                    connection.sendall(first + outgoing.read())
                    first = b""
                    octets = connection.recv(65536)
                    if not octets:
                        return b""
                    incoming.write(octets)
            return said

    async def run() -> bytes:
        options: dict[str, Any] = {"tls": server_context(), "implicit_tls": True}
        async with serving(Inbox(), **options, **BALANCED) as server:
            return await asyncio.to_thread(session, server.port)

    if loop == "asyncio":
        said = await run()
    else:
        uvloop = pytest.importorskip("uvloop")
        said = await asyncio.to_thread(uvloop.run, run())
    assert said.startswith(b"220 relay.test")
