"""The flow of a hit over a real socket: the answer is fixed by the token, what is kept by consent, and neither the
store nor hostile input can change the answer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.stores import PostgresServer
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    OVERRIDDEN,
    SUFFIX,
    UNTRACKED,
    URLS,
    Copy,
    Dump,
    Mail,
    changed,
    configuration,
    dump,
    erase,
    opened,
    say,
    send,
)
from support.web import Answer, Client, serving

from tracker.config import StoreTable, TrackerTable
from tracker.consent import Decision
from tracker.domain import Domain
from tracker.policy import Policy, Unknown
from tracker.store.schema import contacts, counts
from tracker.tokens import Kind, Token, read, seal
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL, with_suffix

JOE = "joe@people.example"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def served(domain: Domain) -> AsyncIterator[tuple[Client, PublicFace]]:
    async with serving(domain) as served:
        yield served


@pytest.fixture
def client(served: tuple[Client, PublicFace]) -> Client:
    return served[0]


async def to_joe(domain: Domain, decision: Decision = IDENTIFIED, **mail: object) -> Copy:
    return (await send(domain, Mail(to={JOE: decision}, **mail)))[JOE]  # type: ignore[arg-type]


# --- what is kept ---

# What somebody said, or the policy for those who said nothing, at the time of the hit.
TODAY = (
    *("granted", "denied", "withdrawn", "granted, not by name", "unknown, not by name", "erased"),
    *(f"unknown: {word}" for word in Unknown),
)
REFUSED = {"denied": "", "withdrawn": "", "erased": "", "unknown: deny": ""}
KEPT: Mapping[str, tuple[Decision, Mapping[str, str], Mapping[str, str]]] = {
    # sent as: what an open leaves behind on each of these days, and what a click does
    "identified": (
        IDENTIFIED,
        REFUSED
        | {"granted": "event", "unknown: track": "event", "unknown: anonymous": "count month"}
        | {"granted, not by name": "count month", "unknown, not by name": "count month"}
        | {"unknown: aggregate": "count aggregate", "unknown: hygiene": "day"},
        REFUSED
        | {"granted": "event", "unknown: track": "event", "unknown: anonymous": "count month"}
        | {"granted, not by name": "count month", "unknown, not by name": "count month"}
        | {"unknown: aggregate": "", "unknown: hygiene": ""},
    ),
    "overridden": (
        OVERRIDDEN,
        dict.fromkeys(TODAY, "event")
        | {"erased": "", "granted, not by name": "count month", "unknown, not by name": "count month"},
        dict.fromkeys(TODAY, "event")
        | {"erased": "", "granted, not by name": "count month", "unknown, not by name": "count month"},
    ),
    "anonymous": (
        ANONYMOUS,
        dict.fromkeys(TODAY, "count month")
        | REFUSED
        | {"unknown: aggregate": "count aggregate", "unknown: hygiene": ""},
        dict.fromkeys(TODAY, "count month") | REFUSED | {"unknown: aggregate": "", "unknown: hygiene": ""},
    ),
    "aggregate": (
        AGGREGATE,  # its pixel names the mailing only, so nobody's refusal can reach it
        dict.fromkeys(TODAY, "count aggregate"),
        dict.fromkeys(TODAY, ""),
    ),
    "hygiene": (
        HYGIENE,
        dict.fromkeys(TODAY, "") | {"granted": "day", "unknown: track": "day", "unknown: hygiene": "day"},
        dict.fromkeys(TODAY, ""),
    ),
    "untracked": (UNTRACKED, dict.fromkeys(TODAY, ""), dict.fromkeys(TODAY, "")),
}


async def arrange(domain: Domain, address: str, today: str) -> None:
    """Makes it the day on which that holds."""
    words, _, policy = today.partition(": ")
    domain.policy = Policy(unknown=Unknown(policy or "track"))
    consent, _, loose = words.partition(", ")
    if words == "erased":
        await erase(domain, address)
    else:
        await say(domain, address, None if consent == "unknown" else consent, "true" if loose else None)


def kept(before: Dump, after: Dump) -> str:
    """What a hit left behind, in one word; fails on anything that no hit may leave."""
    rows = changed(before, after)
    rows.pop("mailings", None)  # the sender's month, where a count went there
    if not rows:
        return ""
    ((table, new),) = rows.items()
    assert len(new) == 1, new
    if table == "counts":
        row = dict(zip(counts.c.keys(), new[0], strict=True))
        assert (row["n"], row["grp"]) == (1, "")
        return f"count {row['scope']}"
    if table == "contacts":
        row = dict(zip(contacts.c.keys(), new[0], strict=True))
        assert len(row["last_open_day"]) == len("2026-01-31")
        return "day"
    assert table == "events"
    return "event"


@pytest.mark.parametrize("sent", KEPT)
async def test_a_hit_leaves_what_both_days_allow_and_the_answer_is_always_right(
    sent: str, domain: Domain, client: Client
) -> None:
    decision, opens, clicks = KEPT[sent]
    found: dict[str, tuple[str, str]] = {}
    for number, today in enumerate(TODAY):
        address = f"p{number}@people.example"
        copies = await send(
            domain, Mail(to={address: decision}, campaign=today, sender=f"s{number}@shop.example")
        )
        await arrange(domain, address, today)
        before = await dump(domain)
        opened_at = await client.ask(copies[address].pixel)
        between = await dump(domain)
        clicked = await client.ask(copies[address].link(suffix=SUFFIX))
        after = await dump(domain)
        found[today] = kept(before, between), kept(between, after)
        assert (opened_at.status, opened_at.body) == (200, PIXEL)
        named = found[today][1] == "event"
        assert (clicked.status, clicked.location) == (
            302,
            (URLS[0] + ("&" + SUFFIX[1:] if named else "")).encode(),
        )
    assert found == {today: (opens[today], clicks[today]) for today in TODAY}


async def test_an_event_holds_what_it_must_and_neither_address_nor_user_agent(
    domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain)
    await client.ask(copy.pixel)
    await client.ask(copy.link(2))
    opened_, clicked = await domain.events.list()
    assert (opened_["kind"], opened_["link"], opened_["url"]) == ("opened", None, None)
    assert (clicked["kind"], clicked["link"], clicked["url"]) == ("clicked", 2, URLS[1])
    for one in (opened_, clicked):
        assert (one["message"], one["delivery"]) == (copy.message.hex(), copy.delivery.hex())
        assert (one["verdict"], one["recipient"]) == ("person", JOE)
        assert (one["client"], one["device"], one["system"]) == ("Firefox", "desktop", "Linux")
    rows = str((await dump(domain))["events"])
    assert "Mozilla" not in rows
    assert "127.0.0.1" not in rows


async def test_every_repetition_is_an_event(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain)
    await asyncio.gather(*(client.ask(path) for path in (copy.pixel, copy.link()) * 5))
    kinds = [event["kind"] for event in await domain.events.list()]
    assert (kinds.count("opened"), kinds.count("clicked")) == (5, 5)


async def test_large_cells_are_counted_by_group_and_link_position(domain: Domain, client: Client) -> None:
    people = {f"p{n}@people.example": ANONYMOUS for n in range(6)}
    groups = dict.fromkeys(list(people)[:5], "sales")
    copies = await send(domain, Mail(to=people, groups=groups))
    first, *_, alone = copies.values()
    await client.ask(first.link(2))
    await client.ask(first.pixel)
    await client.ask(alone.pixel)
    rows = [dict(zip(counts.c.keys(), row, strict=True)) for row in (await dump(domain))["counts"]]
    cells = {(row["scope"], row["grp"], row["kind"], row["position"]) for row in rows}
    assert cells == {
        ("group", "sales", "clicked", 2),
        ("group", "sales", "opened", 0),
        ("month", "", "opened", 0),
    }


async def test_a_prefetch_is_no_sign_of_life(domain: Domain, client: Client) -> None:
    copy = await to_joe(domain, HYGIENE)
    before = await dump(domain)
    await client.ask(copy.pixel, headers={"User-Agent": "Mozilla/5.0"})
    assert await dump(domain) == before
    await client.ask(copy.pixel)
    assert kept(before, await dump(domain)) == "day"


async def test_a_link_of_mail_that_no_store_knows_leads_on_and_leaves_nothing(
    domain: Domain, client: Client
) -> None:
    copy = await to_joe(domain)
    unknown = Copy(
        **{name: getattr(copy, name) for name in copy.__dataclass_fields__} | {"delivery": bytes(16)}
    )
    before = await dump(domain)
    assert (await client.ask(unknown.link(suffix=SUFFIX))).location == URLS[0].encode()
    assert (await client.ask(unknown.pixel)).body == PIXEL
    assert await dump(domain) == before


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
    table = TrackerTable(listen="127.0.0.1:0", referrer_policy=word)  # type: ignore[arg-type]
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


# --- tokens that are not ours ---


def spoilt(copy: Copy) -> dict[str, str]:
    """What happens to tokens on their way."""
    token = copy.link().removeprefix("/c/")
    return {
        "cut": token[:-1],
        "cut short": token[:20],
        "nothing but a point": ".",
        "changed": ("B" if token[0] != "B" else "C") + token[1:],
        "with a bracket of the sentence": token + ")",
        "wrapped": token[:40] + "%0D%0A" + token[40:],
        "of an opening": copy.pixel.removeprefix("/o/").removesuffix(".gif"),
        "of a page": copy.page.removeprefix("/p/"),
        "padded": token + "==",
        "in UTF-8": "%E2%9C%93",
        "in no encoding": "%ff%fe",
        "with NUL": "%00",
    }


async def test_a_spoilt_link_gets_a_page_that_helps_and_leaves_nothing(
    domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, face = served
    copy = await to_joe(domain)
    before = await dump(domain)
    for what, token in spoilt(copy).items():
        bad = face.hits.bad_tokens
        answer = await client.ask(f"/c/{token}")
        assert (answer.status, answer.location) == (404, None), what
        assert "sometimes cut" in answer.text
        assert face.hits.bad_tokens == bad + 1, what
    assert await dump(domain) == before


async def test_a_spoilt_pixel_is_served_and_leaves_nothing(
    domain: Domain, served: tuple[Client, PublicFace]
) -> None:
    client, face = served
    copy = await to_joe(domain)
    before = await dump(domain)
    tokens = spoilt(copy) | {"of a link": copy.link().removeprefix("/c/")}
    del tokens["of an opening"]
    for what, token in tokens.items():
        bad = face.hits.bad_tokens
        for path in (f"/o/{token}.gif", f"/o/{token}"):
            answer = await client.ask(path)
            assert (answer.status, answer.body) == (200, PIXEL), what
        assert face.hits.bad_tokens == bad + 2, what
    assert await dump(domain) == before


async def test_a_token_of_another_ring_leads_nowhere(
    domain: Domain, client: Client, store_url: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = configuration(f"sqlite:///{elsewhere / 'x.db'}", elsewhere)
    async with opened(other) as stranger:
        copy = await to_joe(stranger)
        assert (await client.ask(copy.link())).status == 404
        assert read(copy.link().removeprefix("/c/"), stranger.ring).destination == URLS[0]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda kind, token: kind + token,
            st.sampled_from([b"o/", b"c/", b"p/", b"c", b"p/../c/", b"%63/"]),
            st.binary(max_size=120),
        ),
        st.builds(lambda text: f"c/{text}".encode(), st.from_regex(r"[A-Za-z0-9_-]{0,120}", fullmatch=True)),
    ),
    method=st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS"]),
    escaped=st.booleans(),
)
async def test_no_path_gives_a_server_error_or_leads_anywhere(
    path: bytes, method: bytes, escaped: bool, client: Client
) -> None:
    if escaped:
        path = "".join(f"%{octet:02x}" for octet in path).encode()
    request = b"%b /%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (method, path)
    answer = await client.octets(request)
    assert 200 <= answer.status < 500
    assert answer.location is None


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /o/x HTTP/1.1\r\nBad Header: x\r\n\r\n",
    ],
    ids=str,
)
async def test_what_is_no_request_is_refused_without_a_word_about_who_sent_it(
    octets: bytes, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with capture_logs() as said:
        answer = await client.octets(octets + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 400
    assert [(one["event"], one["log_level"]) for one in said] == [("request-refused", "debug")]
    assert "127.0.0.1" not in f"{said}{caplog.text}"


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_request_line_of_any_length_is_answered(client: Client) -> None:
    assert (await client.ask("/c/" + "A" * 15_000)).status == 404
    assert (await client.ask("/c/" + "A" * 40_000)).status in (400, 414)
    assert (await client.ask("/", headers={"X": "A" * 40_000})).status in (400, 431)


# --- the store slow or away ---


@asynccontextmanager
async def impatient(store_url: str, folder: Path) -> AsyncIterator[tuple[Domain, Client, PublicFace]]:
    """A face whose store has little time."""
    quick = {
        "tracker": TrackerTable(listen="127.0.0.1:0", answer_within="50ms"),
        "store": StoreTable(url=store_url, ask_within="300ms", write_within="300ms"),
    }
    async with opened(configuration(store_url, folder, **quick)) as domain, serving(domain) as (client, face):
        yield domain, client, face


def file_of(store_url: str) -> Path:
    return Path(store_url.removeprefix("sqlite:///"))


async def until_nothing_runs(face: PublicFace) -> None:
    await asyncio.wait_for(face.hits.close(), 20)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_an_answer_leaves_before_a_slow_commit_and_the_event_still_lands(
    store_url: str, tmp_path: Path
) -> None:
    table = TrackerTable(listen="127.0.0.1:0", answer_within="50ms")
    config = configuration(store_url, tmp_path, tracker=table)  # the store has all the time it wants
    async with opened(config) as domain, serving(domain) as (client, face):
        copy = await to_joe(domain)
        with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = [await client.ask(path) for path in (copy.pixel, copy.link(suffix=SUFFIX))]
            assert face.hits.late == 2
            assert await domain.events.list() == []
            other.execute("ROLLBACK")
        assert answers[0].body == PIXEL
        assert answers[1].location == URLS[0].encode()  # nobody knew in time that it may say more
        await until_nothing_runs(face)
        assert sorted(event["kind"] for event in await domain.events.list()) == ["clicked", "opened"]
        assert face.hits.lost == 0


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_stopping_waits_for_hits_that_were_answered_before_their_commit(
    store_url: str, tmp_path: Path
) -> None:
    table = TrackerTable(listen="127.0.0.1:0", answer_within="1ms")
    async with opened(configuration(store_url, tmp_path, tracker=table)) as domain:
        async with serving(domain) as (client, _):
            copy = await to_joe(domain)
            await asyncio.gather(*(client.ask(copy.pixel) for _ in range(20)))
        assert len(await domain.events.list()) == 20


async def answers_while_away(client: Client, copy: Copy, times: int = 20) -> list[Answer]:
    return [await client.ask(path) for _ in range(times) for path in (copy.pixel, copy.link(suffix=SUFFIX))]


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_with_the_file_locked_links_lead_on_and_what_is_lost_is_counted(
    store_url: str, tmp_path: Path
) -> None:
    async with impatient(store_url, tmp_path) as (domain, client, face):
        copy = await to_joe(domain)
        with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = await answers_while_away(client, copy)
            await until_nothing_runs(face)
            assert face.hits.lost == 40
            other.execute("ROLLBACK")
        assert {answer.body for answer in answers[::2]} == {PIXEL}
        assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
        while domain.database.writes.tripped or domain.database.reads.tripped:
            await asyncio.sleep(0.05)
        await client.ask(copy.pixel)
        await until_nothing_runs(face)
        assert len(await domain.events.list()) == 1


async def test_with_the_server_gone_links_lead_on_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        async with impatient(server.url(), tmp_path) as (domain, client, face):
            copy = await to_joe(domain)
            server.hang()
            answers = await answers_while_away(client, copy, 5)
            server.kill()
            answers += await answers_while_away(client, copy, 5)
            await until_nothing_runs(face)
            assert face.hits.lost == 20
            assert {answer.body for answer in answers[::2]} == {PIXEL}
            assert {answer.location for answer in answers[1::2]} == {URLS[0].encode()}
    finally:
        server.close()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_row_that_cannot_be_read_breaks_no_link(
    domain: Domain, served: tuple[Client, PublicFace], store_url: str
) -> None:
    client, face = served
    copy = await to_joe(domain)
    with closing(sqlite3.connect(file_of(store_url), isolation_level=None)) as other:
        other.execute("UPDATE deliveries SET accepted_at = 'of a later release'")
    assert (await client.ask(copy.link(suffix=SUFFIX))).location == URLS[0].encode()
    assert (await client.ask(copy.pixel)).body == PIXEL
    assert face.hits.lost == 2


# --- the log ---


async def test_of_those_who_declined_nothing_is_logged_and_of_others_nobody_is_named(
    domain: Domain, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    copy = await to_joe(domain)
    caplog.set_level("INFO")
    with capture_logs() as said:
        for path in (copy.pixel, copy.link(), copy.page):
            await client.ask(path)
        assert (said, caplog.text) == ([], "")
        await say(domain, JOE, "denied")
        said.clear()
        for path in (copy.pixel, copy.link(), copy.page):
            await client.ask(path)
        await client.choose(copy.page, "decline")
    assert "joe" not in f"{said}{caplog.text}"
    assert copy.delivery.hex() not in f"{said}{caplog.text}"
    assert {one["event"] for one in said} <= {"consent-changed"}
