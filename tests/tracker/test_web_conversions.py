"""The click id on its way to the site and back: links that lead on, the pixel, the script."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.outages import locked
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    IDENTIFIED,
    JOE,
    SUFFIX,
    URLS,
    Dump,
    configuration,
    dump,
    opened,
    say,
    to_joe,
    tracker_table,
)
from support.web import Answer, Client, serving

from tracker.clickid import ClickId, read_click_id
from tracker.config import GoalTable, TrackingTable
from tracker.domain import Domain
from tracker.web.answers import PIXEL, with_parameter
from tracker.web.app import PublicFace
from tracker.web.conversions import script

GOALS = (GoalTable(name="order"), GoalTable(name="signup", value="5", currency="EUR"))
CLICK_ID = re.compile(rb"[?&]cid=([A-Za-z0-9_-]{54})(?=#|$)")


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, goal=GOALS)) as domain:
        yield domain


async def taken(domain: Domain) -> list[tuple[Any, ...]]:
    return (await dump(domain))["conversions"]


async def click_id_from(client: Client, path: str) -> str:
    location = (await client.ask(path)).location or b""
    found = CLICK_ID.search(location)
    assert found, location
    return found[1].decode()


def is_the_pixel(answer: Answer) -> bool:
    return (answer.status, answer.body, answer.header("Set-Cookie")) == (200, PIXEL, None)


# --- out ---


async def test_a_click_by_name_takes_the_click_id_along(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    cid = await click_id_from(client, copy.link())
    assert read_click_id(cid, domain.ring) == ClickId(delivery=copy.delivery, link=1)
    assert (await client.ask(copy.link())).location == f"{URLS[0]}&cid={cid}".encode()
    # Through the framework too, which answers what is no plain request.
    answer = await client.ask(copy.link(), headers={"Expect": ""})
    assert answer.location == f"{URLS[0]}&cid={cid}".encode()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a.example", "http://a.example?cid=1"),
        ("http://a.example/?", "http://a.example/?cid=1"),
        ("http://a.example/?x", "http://a.example/?x&cid=1"),
        ("http://a.example/?x&", "http://a.example/?x&cid=1"),
        ("http://a.example/#top", "http://a.example/?cid=1#top"),
        ("http://a.example/#?cid=2", "http://a.example/?cid=1#?cid=2"),
        ("http://a.example/?xcid=2", "http://a.example/?xcid=2&cid=1"),
        ("http://a.example/cid=2?x=cid", "http://a.example/cid=2?x=cid&cid=1"),
        ("http://a.example/?a=%zz&b=|#%", "http://a.example/?a=%zz&b=|&cid=1#%"),
        *(
            (url, url)
            for url in ("http://a.example/?cid=2", "http://a.example/?x;cid=2", "http://a.example/?x&cid")
        ),
        *((url, url) for url in ("http://a.example/?c%69d=2#a", "http://a.example/?a=b&%63id#?")),
    ],
)
def test_a_parameter_joins_the_query_and_never_replaces_one(url: str, expected: str) -> None:
    assert with_parameter(url, "cid", "1") == expected


@given(rest=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60))
def test_the_rest_of_a_destination_stays_byte_for_byte(rest: str) -> None:
    url = f"https://a.example/{rest}"
    changed = with_parameter(url, "cid", "7")
    without = [re.sub(rf"{joint}cid=7(?=#|$)", "", changed, count=1) for joint in ("", r"\?", "&")]
    assert url in (changed, *without)


async def test_the_click_id_comes_after_the_suffix(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    path = copy.link(url="http://a.example/#x", suffix="?utm_source=news")
    cid = await click_id_from(client, path)
    assert (await client.ask(path)).location == f"http://a.example/?utm_source=news&cid={cid}#x".encode()
    # The suffix brings one of that name already: nothing is overwritten.
    path = copy.link(url="http://a.example/", suffix=SUFFIX)
    assert (await client.ask(path)).location == f"http://a.example/{SUFFIX}".encode()


@pytest.mark.parametrize(
    ("decision", "consent", "dnt", "method"),
    [
        (IDENTIFIED, "denied", None, "GET"),
        (IDENTIFIED, "withdrawn", None, "GET"),
        (IDENTIFIED, "granted", "true", "GET"),
        (IDENTIFIED, "granted", None, "HEAD"),
        (ANONYMOUS, "granted", None, "GET"),
        (AGGREGATE, "granted", None, "GET"),
    ],
)
async def test_nobody_else_takes_one_along(
    decision: Any, consent: str, dnt: str | None, method: str, domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain, decision)
    await say(domain, JOE, consent, dnt)
    assert (await client.ask(copy.link(), method)).location == URLS[0].encode()


@pytest.mark.parametrize(
    "tables",
    [{}, {"goal": GOALS, "tracking": TrackingTable(click_id_parameter="")}],
    ids=["no goal", "no name"],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_without_a_goal_or_a_name_for_it_links_lead_on_as_ever(
    tables: dict[str, Any], store_url: str, tmp_path: Path
) -> None:
    async with opened(configuration(store_url, tmp_path, **tables)) as domain, serving(domain) as (client, _):
        copy = await to_joe(domain)
        assert (await client.ask(copy.link())).location == URLS[0].encode()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_with_the_store_away_links_lead_on_without(store_url: str, tmp_path: Path) -> None:
    config = configuration(store_url, tmp_path, goal=GOALS)
    async with opened(config) as domain, serving(domain) as (client, _):
        copy = await to_joe(domain)
        domain.database.reads.trip("as if the disk were gone")
        assert (await client.ask(copy.link())).location == URLS[0].encode()


# --- and back ---


async def test_the_pixel_takes_a_conversion_down_once(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    cid = await click_id_from(client, copy.link())
    path = f"/v/conversion.gif?goal=order&cid={cid}&order=1001&value=12.50&currency=EUR"
    for answer in [await client.ask(path) for _ in range(3)]:
        assert is_the_pixel(answer)
        assert answer.header("Cache-Control") == b"no-store, private"
        assert answer.header("Cross-Origin-Resource-Policy") == b"cross-origin"
    (row,) = await taken(domain)
    assert (row[1], row[6], row[8], row[9]) == ("order", "", "EUR", 1250)
    assert is_the_pixel(await client.ask(f"/v/conversion.gif?goal=signup&cid={cid}&order=&value=&x=1"))
    assert [row[9] for row in await taken(domain)] == [1250, 500]


HOSTILE = [
    "",
    "?",
    "?goal=order",
    "?goal=order&cid=",
    "?goal=order&cid=x",
    f"?goal=order&cid={'A' * 54}",
    "?goal=sale&cid=CID",
    "?goal=&cid=CID",
    "?GOAL=order&cid=CID",
    "?goal=order&cid=CID&cid=CID",
    "?goal=order&goal=signup&cid=CID",
    "?goal=order&cid=CID%00",
    "?goal=order&cid=CID&value=-1&currency=EUR",
    "?goal=order&cid=CID&value=1e9&currency=EUR",
    "?goal=order&cid=CID&value=999999999999999&currency=EUR",
    "?goal=order&cid=CID&value=1&currency=%3Cb%3E",
    "?goal=order&cid=CID&value=1",
    "?goal=order&cid=CID&currency=EUR",
    "?goal=order&cid=CID&order=%00",
    "?goal=order&cid=CID&order=%FF%FE",
    "?goal=order&cid=CID&order=" + "9" * 129,
    "?goal=order'--&cid=CID",
    "?goal=order&cid=CID&order=" + "%F0%9F%98%80" * 1000,
]


@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: query[:40])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_whatever_else_is_asked_the_pixel_is_the_same_and_nothing_is_kept(
    query: str, domain: Domain, client: Client
) -> None:
    cid = await click_id_from(client, (await to_joe(domain)).link())
    before: Dump = await dump(domain)
    answer = await client.ask(f"/v/conversion.gif{query.replace('CID', cid)}")
    if len(query) < 4000:
        assert is_the_pixel(answer)
    assert await dump(domain) == before


@pytest.mark.parametrize("store_kind", ["sqlite"])
@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    query=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=200)
)
async def test_any_query_gets_the_pixel(query: str, domain: Domain, client: Client) -> None:
    assert is_the_pixel(await client.ask(f"/v/conversion.gif?{query}"))
    assert await taken(domain) == []


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_only_get_counts(domain: Domain, client: Client) -> None:
    cid = await click_id_from(client, (await to_joe(domain)).link())
    path = f"/v/conversion.gif?goal=order&cid={cid}"
    assert (await client.ask(path, "HEAD")).status == 200
    for method in ("POST", "OPTIONS", "PUT"):
        assert (await client.ask(path, method)).status == 405
    assert await taken(domain) == []


async def test_who_declined_since_counts_and_leaves_nothing_of_theirs(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    cid = await click_id_from(client, copy.link())
    await say(domain, JOE, "withdrawn")
    path = f"/v/conversion.gif?goal=order&cid={cid}"
    assert is_the_pixel(await client.ask(path))
    assert is_the_pixel(await client.ask(path))
    ((_, goal, _, _, person, order, reason, *_),) = await taken(domain)
    assert (goal, person, order, reason) == ("order", None, None, "declined")
    assert (await dump(domain))["conversion_touches"] == []


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_one_click_id_cannot_fill_the_store(domain: Domain, client: Client) -> None:
    cid = await click_id_from(client, (await to_joe(domain)).link())
    for number in range(25):
        assert is_the_pixel(await client.ask(f"/v/conversion.gif?goal=order&cid={cid}&order={number}"))
    assert len(await taken(domain)) == 20


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_store_that_hangs_keeps_nobody_waiting_and_loses_nothing(
    store_url: str, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path, answer_within="50ms")
    async with opened(configuration(store_url, tmp_path, goal=GOALS)) as domain:
        copy = await to_joe(domain)
        async with serving(domain) as (client, _):
            cid = await click_id_from(client, copy.link())
        domain.reconfigure(domain.config.model_copy(update={"tracker": table}))
        face = PublicFace(domain)
        client = Client(await face.start())
        with locked(store_url):
            assert is_the_pixel(await client.ask(f"/v/conversion.gif?goal=order&cid={cid}"))
        await face.stop()
        assert len(await taken(domain)) == 1


# --- the script ---


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_script_knows_what_the_configuration_says(domain: Domain, client: Client) -> None:
    answer = await client.ask("/v/candor.js")
    assert (answer.status, answer.header("Content-Type")) == (200, b"text/javascript; charset=utf-8")
    assert answer.header("Set-Cookie") is None
    assert 'const parameter = "cid";' in answer.text
    assert "const seconds = 0;" in answer.text
    told = script(TrackingTable(click_id_parameter="mc", first_party_cookie="30d"))
    assert 'const parameter = "mc";' in told
    assert "const seconds = 2592000;" in told
