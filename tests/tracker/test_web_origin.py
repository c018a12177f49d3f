"""From where a request comes: a proxy is believed as far as the configuration names it, and nobody else."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.web.origin import (
    SIGNATURE,
    Networks,
    Preface,
    Proxies,
    Tells,
    address_of,
    chain_of,
    client_of,
    forwarded_chain,
    read_preface,
)

TRUSTED = ("10.0.0.0/8", "fd00::/8")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        (' "[2001:db8::1]:4711" ', "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("1.2.3", None),
        ("1.2.3.4.5", None),
        ("[", None),
    ],
)
def test_an_address_is_read_in_every_dress(text: str, address: str | None) -> None:
    assert address_of(text) == (ip_address(address) if address else None)


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours: what it says counts for nothing
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # the client wrote the first itself
        ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:1234 , fd00::1", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, nonsense", None),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", ", ,203.0.113.9,", "203.0.113.9"),
    ],
)
def test_the_first_who_is_not_trusted_is_the_client(peer: str, said: str, client: str | None) -> None:
    proxies = Proxies(TRUSTED, Tells.FORWARDED_FOR)
    assert proxies.client(ip_address(peer), "for=6.6.6.6", said) == (
        ip_address(client) if client else ip_address(peer) if not said else None
    )


@pytest.mark.parametrize(
    ("said", "chain"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", ["192.0.2.60"]),
        ('For="[2001:db8:cafe::17]:4711"', ["[2001:db8:cafe::17]:4711"]),
        ("for=192.0.2.43, for=198.51.100.17", ["192.0.2.43", "198.51.100.17"]),
        ("proto=https, for=198.51.100.17", ["", "198.51.100.17"]),
        ('for="a\\"b";x=", for=6.6.6.6"', ['a"b']),
        ('host="x,y;z";for=192.0.2.1', ["192.0.2.1"]),
        ('for="1.1.1.1', [""]),
        ("for=1.1.1.1 for=2.2.2.2", [""]),
        ("nonsense", [""]),
        ("for=1.1.1.1,,for=2.2.2.2", [""]),
    ],
)
def test_forwarded_is_read_as_the_rfc_says(said: str, chain: list[str]) -> None:
    assert forwarded_chain(said) == chain


@given(st.text(st.characters(max_codepoint=0xFF), max_size=200))
def test_no_header_breaks_the_reading(said: str) -> None:
    peer, trusted = ip_address("10.0.0.1"), Networks(TRUSTED)
    for chain in (forwarded_chain(said), chain_of(said)):
        found, told = client_of(peer, chain, trusted), [address_of(one) for one in chain]
        assert found in (peer, *told)
        assert found not in trusted or all(
            one in trusted for one in told[-32:]
        )  # who is trusted spoke for another


def second(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", 0x20 | command, family, len(body)) + body


FOUR = bytes([203, 0, 113, 9, 10, 0, 0, 1]) + struct.pack(">HH", 4711, 80)
SIX = ip_address("2001:db8::1").packed + ip_address("fd00::1").packed + struct.pack(">HH", 4711, 80)


@pytest.mark.parametrize(
    ("octets", "client"),
    [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n", "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::1 fd00::1 4711 80\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ff ff 1 2\r\n", None),
        (second(1, 0x11, FOUR), "203.0.113.9"),
        (second(1, 0x11, FOUR + b"\x04\x00\x03abc"), "203.0.113.9"),  # with more that we pass over
        (second(1, 0x21, SIX), "2001:db8::1"),
        (second(0, 0x00, b""), None),
        (second(1, 0x31, b"\x00" * 216), None),
    ],
    ids=str,
)
def test_a_proxy_header_is_read_whole_and_nothing_behind_it(octets: bytes, client: str | None) -> None:
    expected = Preface(len(octets), ip_address(client) if client else None)
    assert read_preface(octets) == read_preface(octets + b"GET / HTTP/1.1\r\n") == expected
    assert [read_preface(octets[:cut]) for cut in range(len(octets))] == [None] * len(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.9\r\n",
        b"PROXY TCP4 x y 1 2\r\n",
        b"PROXY " + b"x" * 120,
        b"POST / HTTP/1.1\r\n",
        SIGNATURE + struct.pack(">BBH", 0x31, 0x11, 12) + FOUR,
        b"\r\n\r\nGET",
    ],
    ids=str,
)
def test_what_is_no_proxy_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        read_preface(octets)


@given(st.binary(max_size=150), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21"]))
def test_a_proxy_header_reads_or_is_refused_and_nothing_else(octets: bytes, start: bytes) -> None:
    try:
        preface = read_preface(start + octets)
    except ValueError:
        return
    assert preface is None or preface.octets <= len(start + octets)
