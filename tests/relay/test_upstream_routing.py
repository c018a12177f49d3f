"""Who goes which way: the first route that fits, and the order in which its servers are asked."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transactions import routing, server, to

from relay.upstream import Addresses, Route, Routing, Transaction
from relay.upstream.routing import in_order

SHOP, CORP, DEFAULT = (server(name, f"smtp://{name}.example") for name in ("shop", "corp", "default"))


@pytest.mark.parametrize(
    ("pattern", "address", "fits"),
    [
        ("ann@example.org", "ann@example.org", True),
        ("ann@example.org", "ANN@Example.ORG", True),
        ("ann@example.org", '"ann"@example.org', True),
        ("ann@example.org", "ann@sub.example.org", False),
        ("ann@example.org", "joann@example.org", False),
        ("example.org", "ann@example.org", True),
        ("example.org", "ann@EXAMPLE.org.", True),
        ("@example.org", "ann@example.org", True),
        ("example.org", "ann@sub.example.org", False),
        ("example.org", "ann@notexample.org", False),
        ("*.example.org", "ann@sub.example.org", True),
        ("*.example.org", "ann@a.b.example.org", True),
        ("*.example.org", "ann@example.org", False),
        ("*.example.org", "ann@notexample.org", False),
        ("bücher.example", "ann@xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "ann@Bücher.example", True),
        ("localhost", "ann@localhost", True),
        ("[192.0.2.1]", "ann@[192.0.2.1]", True),
        ("<>", "", True),
        ("<>", "ann@example.org", False),
        ("example.org", "", False),
        ("example.org", "postmaster", False),
        ("postmaster", "postmaster", False),
        ("example.org", "a@b@example.org", True),
        ("example.org", "ann@\udcff", False),
        ("ann@example.org", "@", False),
    ],
)
def test_an_address_fits_a_pattern_or_not(pattern: str, address: str, fits: bool) -> None:
    assert (address in Addresses([pattern])) is fits
    assert (address in Addresses(["other.example", "*.other.example", "x@other.example", pattern])) is fits


@pytest.mark.parametrize(
    "pattern", ["", "*", "*.", "a b", "ann@", "@", "exa mple.org", "*.*.org", "ann@a..b"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="neither an address"):
        Addresses([pattern])


@given(st.text())
def test_any_address_is_looked_for_without_an_error(address: str) -> None:
    assert address not in Addresses(["a@no.example", "no.such.example", "*.no.such.example"])


def ways(routes: tuple[Route, ...], transaction: Transaction) -> dict[str, tuple[str, ...]]:
    shares = routing(SHOP, CORP, DEFAULT, routes=routes, default=("default",)).shares(transaction)
    return {transaction.recipients[number].address: share.to for share in shares for number in share.numbers}


BY_SENDER = Route(to=("shop",), senders=Addresses(["shop.example"]))
BY_RECIPIENT = Route(to=("corp",), recipients=Addresses(["corp.example", "*.corp.example"]))
BY_USER = Route(to=("shop",), users=frozenset({"shop", "crm"}))
BY_BOTH = Route(to=("corp",), users=frozenset({"crm"}), recipients=Addresses(["corp.example"]))
BOUNCES = Route(to=("corp",), senders=Addresses(["<>"]))
CATCH_ALL = Route(to=("corp", "shop"))


@pytest.mark.parametrize(
    ("routes", "envelope", "expected"),
    [
        ((), {}, "default default"),
        ((BY_SENDER,), {}, "default default"),
        ((BY_SENDER,), {"sender": "news@shop.example"}, "shop shop"),
        ((BY_SENDER,), {"sender": "b+1@v.example", "client_sender": "news@shop.example"}, "shop shop"),
        ((BY_SENDER,), {"sender": "b+1@shop.example", "client_sender": "x@y.example"}, "default default"),
        ((BOUNCES,), {"sender": ""}, "corp corp"),
        ((BOUNCES,), {"sender": "b+1@v.example", "client_sender": ""}, "corp corp"),
        ((BY_RECIPIENT,), {}, "corp default"),
        ((BY_USER,), {}, "default default"),
        ((BY_USER,), {"user": "crm"}, "shop shop"),
        ((BY_USER,), {"user": "joe"}, "default default"),
        ((BY_BOTH,), {"user": "crm"}, "corp default"),
        ((BY_BOTH,), {"user": "shop"}, "default default"),
        ((BY_BOTH, BY_USER), {"user": "crm"}, "corp shop"),
        ((BY_USER, BY_BOTH), {"user": "crm"}, "shop shop"),
        ((BY_RECIPIENT, CATCH_ALL), {}, "corp corp+shop"),
    ],
)
def test_the_first_route_that_fits_decides(
    routes: tuple[Route, ...], envelope: dict[str, str], expected: str
) -> None:
    found = ways(routes, to("ann@corp.example", "bob@example.net", **envelope))
    assert ["+".join(way) for way in found.values()] == expected.split()


@given(st.lists(st.sampled_from(["a@corp.example", "b@x.corp.example", "c@example.net", "d@shop.example"])))
def test_everybody_goes_exactly_one_way(addresses: list[str]) -> None:
    transaction = to(recipients=to(*addresses).recipients if addresses else ())
    shares = routing(SHOP, CORP, DEFAULT, routes=(BY_RECIPIENT,), default=("default",)).shares(transaction)
    assert sorted(number for share in shares for number in share.numbers) == list(range(len(addresses)))
    assert len({share.to for share in shares}) == len(shares)


def test_a_lower_priority_comes_first_and_weights_share_one_priority() -> None:
    chance = random.Random(1)
    servers = [
        server("backup", "smtp://a", priority=20, weight=1000),
        server("large", "smtp://b", weight=3),
        server("small", "smtp://c", weight=1),
    ]
    orders = Counter(tuple(one.name for one in in_order(servers, chance)) for _ in range(4000))
    assert set(orders) == {("large", "small", "backup"), ("small", "large", "backup")}
    assert 2850 < orders["large", "small", "backup"] < 3150


@pytest.mark.parametrize(
    ("routes", "default", "words"),
    [
        ((Route(to=("nowhere",)),), ("shop",), "leads to nowhere; the servers are corp, shop"),
        ((Route(to=()),), ("shop",), "at least one"),
        ((), (), "at least one"),
        ((), ("nowhere",), "leads to nowhere"),
    ],
)
def test_a_route_leads_to_servers_that_are_there(
    routes: tuple[Route, ...], default: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Routing(servers=(SHOP, CORP), routes=routes, default=default)


def test_a_name_stands_for_one_server() -> None:
    with pytest.raises(ValueError, match="shop is there twice"):
        Routing(servers=(SHOP, CORP, SHOP), default=("shop",))
