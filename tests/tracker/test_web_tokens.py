"""Tokens that are not ours, and requests that are none: nothing is stored, nothing leads anywhere, nothing breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.tracking import (
    URLS,
    Copy,
    configuration,
    dump,
    opened,
    to_joe,
    tracker_table,
)
from support.web import Client, serving

from tracker.consent import Mode
from tracker.domain import Domain
from tracker.tokens import Key, KeyRing, Kind, Token, read, seal
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL

NOW = datetime(2026, 5, 1, tzinfo=UTC)

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


# --- too many of them ---


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_who_sends_bad_tokens_by_the_dozen_hears_few_words_and_good_ones_lead_on(
    store_url: str, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path, bad_tokens="3/h", trusted_proxies=["127.0.0.0/8"])
    async with (
        opened(configuration(store_url, tmp_path, tracker=table)) as domain,
        serving(domain) as (client, face),
    ):
        copy = await to_joe(domain)
        bad, here = f"/c/{copy.link()[3:-1]}", {"X-Forwarded-For": "203.0.113.9"}
        assert [(await client.ask(bad, headers=here)).status for _ in range(5)] == [404, 404, 404, 429, 429]
        assert (await client.ask("http://t" + bad, headers=here)).status == 429  # not plain: the framework's
        refused = await client.ask(bad, headers=here)
        assert (refused.body, refused.location, refused.all("Server")) == (b"", None, [b"candor"])
        assert (await client.ask("/o/bad.gif", headers=here)).body == PIXEL
        assert (await client.ask(copy.link(), headers=here)).location == URLS[0].encode()
        other = {"X-Forwarded-For": "203.0.113.10"}
        assert (await client.ask(bad, headers=other)).status == 404
        assert face.hits.bad_tokens == 9
        assert len(await domain.events.list()) == 1


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_shared_connection_goes_on_behind_a_bad_token(store_url: str, tmp_path: Path) -> None:
    table = tracker_table(tmp_path, bad_tokens="1/h")
    async with (
        opened(configuration(store_url, tmp_path, tracker=table)) as domain,
        serving(domain) as (client, _),
    ):
        copy = await to_joe(domain)
        bad = f"GET {copy.link()[:-1]} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        assert (await client.octets(bad)).status == 404  # the framework closes behind its page
        reader, writer = await asyncio.open_connection(*client.address)
        good = f"GET {copy.link()} HTTP/1.1\r\nHost: t\r\n\r\n".encode()
        for octets, status in ((bad, 429), (good, 302), (b"GET /o/x.gif HTTP/1.1\r\n\r\n", 200), (good, 302)):
            writer.write(octets)
            assert int((await read_answer(reader))[9:12]) == status
        writer.close()


async def test_links_of_a_key_that_is_not_here_are_told_of_aloud_but_rarely(
    client: Client, ring: KeyRing
) -> None:
    elsewhere = Key(id=b"new", secret=b"n" * 32)
    token = Token(
        kind=Kind.CLICK, mode=Mode.IDENTIFIED, subject=bytes(16), sent_at=NOW, link=1, destination=URLS[0]
    )
    path = f"/c/{seal(token, replace(ring, newest=elsewhere))}"
    with capture_logs() as said:
        for _ in range(3):
            assert (await client.ask(path)).status == 404
    [told] = [line for line in said if line["event"] == "unknown-keys"]
    assert (told["log_level"], told["keys"]) == ("error", [b"new".hex()])
