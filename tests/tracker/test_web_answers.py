"""The answer to a hit, to the octet: fixed by the token, whatever kind of request asks for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tracking import (
    IDENTIFIED,
    SUFFIX,
    URLS,
    configuration,
    dump,
    opened,
    to_joe,
    tracker_table,
)
from support.web import Client, serving

from tracker.domain import Domain
from tracker.tokens import Kind, Token, seal
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL, with_suffix

# --- the answer, to the octet ---

DESTINATIONS = (
    "https://shop.example/",
    "https://shop.example",
    "HTTPS://SHOP.Example:443/Path",
    "hTTp://shop.example/%7Euser/%7euser/a%2Fb/%E2%9C%93",
    "http://shop.example/a/./b/../c//d",
    "http://shop.example/?",
    "http://shop.example/?#",
    "http://shop.example/#/route?not=query&x",
    "http://shop.example/a;jsessionid=1?a=1;b=2&c=%26&d=+&e=%20",
    "http://shop.example/?a|b^c`{d}[e]\\f",
    "http://shop.example/?q=\"x\"&r='y'&s=<z>",
    "http://shop.example/%00%0d%0aSet-Cookie:%20a=b",
    "http://shop.example/100%/%zz/%",
    "http://user:secret@shop.example:8443/?u=http://other.example/?x=1",
    "http://[2001:db8::1]:8080/a?b#c",
    "http://[FE80::1%25eth0]/",
    "http://xn--bcher-kva.example/",
    "http://shop.example/?a=b&amp;c=d&&&=",
    "http://shop.example/" + "x" * 2900,
)


@pytest.mark.parametrize("url", DESTINATIONS, ids=lambda url: str(url)[:50])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_destination_goes_out_as_its_author_wrote_it(
    url: str, domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain, urls=(url,))
    for method in ("GET", "HEAD"):
        answer = await client.ask(copy.link(url=url), method)
        assert answer.all("Location") == [url.encode()]
        assert (answer.status, answer.body) == (302, b"")


@pytest.mark.parametrize("store_kind", ["sqlite"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rest=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=200))
async def test_any_destination_goes_out_byte_for_byte(rest: str, domain: Domain, client: Client) -> None:
    token = click_to(f"https://{rest or 'x'}")
    answer = await client.ask(f"/c/{seal(token, domain.ring)}")
    assert answer.all("Location") == [token.destination.encode()]


@pytest.mark.parametrize(
    ("destination", "suffix", "expected"),
    [
        ("http://a.example", "?cid=1", "http://a.example?cid=1"),
        ("http://a.example/", "&cid=1", "http://a.example/?cid=1"),
        ("http://a.example/?", "?cid=1", "http://a.example/?cid=1"),
        ("http://a.example/?x", "?cid=1", "http://a.example/?x&cid=1"),
        ("http://a.example/&", "?cid=1", "http://a.example/&?cid=1"),
        ("http://a.example/?x&", "?cid=1&y=2", "http://a.example/?x&cid=1&y=2"),
        ("http://a.example/#top", "?cid=1", "http://a.example/?cid=1#top"),
        ("http://a.example/?x#top?no", "?cid=1", "http://a.example/?x&cid=1#top?no"),
        ("http://a.example/#", "?cid=1", "http://a.example/?cid=1#"),
        ("http://a.example/#/route?q=1", "?cid=1", "http://a.example/?cid=1#/route?q=1"),
    ],
)
def test_a_suffix_joins_the_query_and_changes_nothing_else(
    destination: str, suffix: str, expected: str
) -> None:
    assert with_suffix(click_to(destination, suffix)) == expected


def click_to(destination: str, suffix: str = "") -> Token:
    return Token(
        kind=Kind.CLICK,
        mode=IDENTIFIED.mode,
        subject=bytes(16),
        sent_at=datetime(2026, 5, 1, tzinfo=UTC),
        link=1,
        destination=destination,
        suffix=suffix,
    )


async def test_answers_set_no_cookie_and_may_not_be_kept_by_anybody(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    pixel, click, page = [await client.ask(path) for path in (copy.pixel, copy.link(), copy.page)]
    assert pixel.header("Content-Type") == b"image/gif"
    assert pixel.header("Content-Length") == b"43"
    assert pixel.header("Cache-Control") == b"no-store, private"
    assert pixel.body[:6] == b"GIF89a"
    assert click.header("Cache-Control") == b"no-store"
    assert click.header("Referrer-Policy") == b"no-referrer"
    for answer in (pixel, click, page):
        assert answer.header("Set-Cookie") is None
        assert answer.header("ETag") is None
        assert answer.header("Last-Modified") is None


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(("word", "header"), [("", None), ("strict-origin", b"strict-origin")])
async def test_the_referrer_policy_is_the_configured_one(
    word: str, header: bytes | None, store_url: str, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path, referrer_policy=word)
    async with (
        opened(configuration(store_url, tmp_path, tracker=table)) as domain,
        serving(domain) as (client, _),
    ):
        assert (await client.ask((await to_joe(domain)).link())).header("Referrer-Policy") == header


# --- kinds of request ---


async def test_only_get_counts(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    before = await dump(domain)
    head = await client.ask(copy.pixel, "HEAD")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", b"43")
    head = await client.ask(copy.link(suffix=SUFFIX), "HEAD")
    assert (head.status, head.location) == (302, URLS[0].encode())
    for method in ("OPTIONS", "POST", "PUT", "DELETE", "PATCH", "PROPFIND", "TRACE"):
        for path in (copy.pixel, copy.link()):
            answer = await client.ask(path, method)
            assert (answer.status, answer.location) == (405, None)
            assert set((answer.header("Allow") or b"").split(b",")) == {b"GET", b"HEAD"}  # RFC 9110 15.5.6
    assert await dump(domain) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-9"},
        {"Range": "bytes=99-"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"If-Match": '"x"'},
        {"Accept-Encoding": "gzip, br"},
        {"Accept": "text/html"},
        {"Expect": "100-continue"},
        {"Cookie": "a=b; " * 200},
        {"X-Forwarded-For": "' OR 1=1 --", "Forwarded": 'for="[::1'},
    ],
    ids=str,
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_whole_pixel_is_served_whatever_the_headers_ask_for(
    headers: dict[str, str], domain: Domain, client: Client
) -> None:
    answer = await client.ask((await to_joe(domain)).pixel, headers=headers)
    if "Expect" in headers:
        assert answer.head == b"HTTP/1.1 100 Continue"
        assert answer.body.startswith(b"HTTP/1.1 200 ")
    else:
        assert (answer.status, answer.header("Content-Encoding")) == (200, None)
    assert answer.body.endswith(PIXEL)
    assert len(await domain.events.list()) == 1


async def test_old_and_bare_requests_are_answered(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    for request in (
        f"GET {copy.pixel} HTTP/1.0\r\n\r\n",
        f"GET {copy.pixel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        f"GET http://t.example.com{copy.pixel} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        f"GET {copy.pixel}?utm=1&x=%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        answer = await client.octets(request.encode())
        assert (answer.status, answer.body) == (200, PIXEL)
    verdicts = [(event["verdict"], event["verdict_reasons"]) for event in await domain.events.list()]
    assert verdicts == [("scanner", ["no-user-agent"])] * 4


async def test_one_connection_carries_many_hits(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    one = f"GET {copy.pixel} HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0 (X11)\r\n"
    answer = await client.octets(f"{one}\r\n{one}Connection: close\r\n\r\n".encode())
    assert (answer.head + answer.body).count(PIXEL) == 2
    assert len(await domain.events.list()) == 2


async def test_the_page_of_nobody_says_that_its_mail_is_not_measured(client: Client) -> None:
    answer = await client.ask("/p")
    assert answer.status == 200
    assert "not measured" in answer.text


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_readers_beyond_our_share_of_the_process_s_files_are_turned_away_at_once(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.web.app.resource.getrlimit", lambda _: (4, 4))
    face = PublicFace(domain)
    host, port = await face.start()
    try:
        opened = [await asyncio.open_connection(host, port) for _ in range(2)]
        await asyncio.sleep(0)
        late_reader, late_writer = await asyncio.open_connection(host, port)
        assert await late_reader.read() == b""
        for _, writer in [*opened, (late_reader, late_writer)]:
            writer.close()
    finally:
        await face.stop()
