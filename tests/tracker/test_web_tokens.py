"""Tokens that are not ours, and requests that are none: nothing is stored, nothing leads anywhere, nothing breaks."""

from __future__ import annotations

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
)
from support.web import Client

from tracker.domain import Domain
from tracker.tokens import read
from tracker.web.app import PublicFace
from tracker.web.hits import PIXEL

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
