"""Plain requests are answered without the web framework, and nobody can tell: both answer alike to the octet. What is
not exactly plain is the framework's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tracking import SUFFIX, to_joe
from support.web import Client

from tracker.domain import Domain
from tracker.tokens import Kind
from tracker.web.plain import Plain, read_plain

LINE = "GET /o/Abc-_9.gif HTTP/1.1"


def head(*lines: str, request: str = LINE) -> bytes:
    return "".join(f"{line}\r\n" for line in (request, *lines, "")).encode("latin-1")


PLAIN = [
    (head("Host: x"), {}),
    (head(), {}),
    (head("User-Agent: Thunderbird/140"), {"user_agent": "Thunderbird/140"}),
    (head("uSER-aGENT:\t two  words \t"), {"user_agent": "two  words"}),
    (head("User-Agent: first", "User-Agent: second"), {"user_agent": "first"}),
    (head("User-Agent:"), {"user_agent": ""}),
    (head("User-Agent: caf\xe9"), {"user_agent": "caf\ufffd"}),
    (head("Connection: close"), {"keep": False}),
    (head("Connection: Keep-Alive"), {}),
    (head("Connection: close, keep-alive"), {"keep": False}),
    (head("Connection: keep-alive ,Close"), {"keep": False}),
    (head("Connection: close", "Connection: keep-alive"), {"keep": False}),
    (head("Connection:"), {}),
    (
        head("Connection: keep-alive, close", request="GET /o/x HTTP/1.0"),
        {"token": "x", "old": True, "keep": False},
    ),
    (head(request="GET /o/x HTTP/1.0"), {"token": "x", "old": True, "keep": False}),
    (head("connection: keep-alive", request="GET /o/x HTTP/1.0"), {"token": "x", "old": True}),
    (head(request="HEAD /c/x?utm=1&y=%ff HTTP/1.1"), {"get": False, "kind": Kind.CLICK, "token": "x"}),
    (head("Range: bytes=0-9", "If-None-Match: *", "Accept: text/html", "Cookie: a=b"), {}),
    (
        head("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2"),
        {"forwarded_for": " 1.1.1.1, 2.2.2.2"},
    ),
    (head("Forwarded: for=1.1.1.1"), {"forwarded": " for=1.1.1.1"}),
]


@pytest.mark.parametrize(("octets", "said"), PLAIN, ids=str)
def test_a_plain_request_says_what_it_asks_for(octets: bytes, said: dict[str, object]) -> None:
    usual = Plain(True, Kind.OPEN, "Abc-_9", "", False, True, "", "")
    assert read_plain(octets) == usual._replace(**said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "octets",
    [
        head(request="POST /o/x HTTP/1.1"),
        head(request="get /o/x HTTP/1.1"),
        head(request="GET /p/x HTTP/1.1"),
        head(request="GET /o/ HTTP/1.1"),
        head(request="GET /o/x.gif.gif HTTP/1.1"),
        head(request="GET /c/x.gif HTTP/1.1"),
        head(request="GET /o/x%41 HTTP/1.1"),
        head(request="GET /o/x/y HTTP/1.1"),
        head(request="GET //o/x HTTP/1.1"),
        head(request="GET /o/x HTTP/2.0"),
        head(request="GET /o/x HTTP/1.11"),
        head(request="GET  /o/x HTTP/1.1"),
        head(request="GET http://h/o/x HTTP/1.1"),
        head(request="GET /o/x#y HTTP/1.1"),
        head(request="GET /o/x\xe9 HTTP/1.1"),
        head("Content-Length: 0"),
        head("Transfer-Encoding: chunked"),
        head("Expect: 100-continue"),
        head("Connection: Upgrade"),
        head("Connection: close, x"),
        head("Upgrade: h2c"),
        head("Host x"),
        head(": x"),
        head("Bad Header: x"),
        head("Header : x"),
        head("X: a", " folded"),
        head("X: a\x00b"),
        head("X: a\rb"),
        head("X: a\nContent-Length: 3"),
        head("X: \x7f"),
        head(*(f"X{n}: 1" for n in range(200))),
        b"\r\n\r\n",
        b"GET /o/x HTTP/1.1\n\n\r\n\r\n",
        b"\x16\x03\x01\x02\r\n\r\n",
    ],
    ids=lambda octets: str(octets)[:60],
)
def test_what_is_not_exactly_plain_is_left_to_the_framework(octets: bytes) -> None:
    assert read_plain(octets) is None


@given(st.binary(max_size=300), st.booleans())
def test_no_octets_break_the_reading(octets: bytes, begun: bool) -> None:
    octets = (head("User-Agent: x")[:-2] if begun else b"") + octets + b"\r\n\r\n"
    found = read_plain(octets)
    if found is not None:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", found.token)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", found.user_agent)


# --- both ways ---


def without_date(octets: bytes) -> tuple[list[bytes], bytes]:
    top, _, body = octets.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    return [lines[0], *sorted(line for line in lines[1:] if not line.startswith(b"Date: "))], body


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize("minor", ["0", "1"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_framework_answers_the_same_octets(
    method: str, minor: str, domain: Domain, client: Client
) -> None:
    """A request that names the host in its first line says the same and is not plain."""
    copy = await to_joe(domain)
    for path in (copy.pixel, copy.link(), copy.link(suffix=SUFFIX)):
        told = "Connection: close\r\n" if minor == "1" else ""
        plain, other = [
            await client.octets(f"{method} {where}{path} HTTP/1.{minor}\r\nHost: t\r\n{told}\r\n".encode())
            for where in ("", "http://t")
        ]
        first, second = (without_date(one.head + b"\r\n\r\n" + one.body) for one in (plain, other))
        assert first == second
        assert plain.header("Date") is not None
        assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", plain.header("Date") or b"")
    events = await domain.events.list()
    assert len(events) == (6 if method == "GET" else 0)


@pytest.mark.parametrize("store_kind", ["sqlite"])
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "User-Agent",
                    "Accept",
                    "Connection",
                    "Range",
                    "X-Forwarded-For",
                    "Content-Length",
                    "X y",
                    "",
                ]
            ),
            st.sampled_from(
                [" x", "", " close", " keep-alive", " 0", " Upgrade", " \xe9\xff", "\t", " a\x00", " a, b"]
            ),
        ),
        max_size=5,
        unique_by=lambda field: field[0],  # twice what may stand once is refused there
    ),
    spare=st.sampled_from(["", "\r\n", "\n", " ", "\x00"]),
)
async def test_whatever_the_headers_both_ways_lead_to_the_same(
    fields: list[tuple[str, str]], spare: str, domain: Domain, client: Client, tmp_path: Path
) -> None:
    copy = await to_joe(domain)
    lines = "".join(f"{name}:{value}\r\n" for name, value in fields)
    answers = []
    for where in ("", "http://t"):
        request = f"{spare}GET {where}{copy.link()} HTTP/1.1\r\nHost: t\r\n{lines}"
        if "Connection" not in lines:
            request += "Connection: close\r\n"
        last = f"GET {copy.pixel} HTTP/1.0\r\n\r\n" if ("Connection", " keep-alive") in fields else ""
        answer = await client.octets((request + "\r\n" + last).encode("latin-1"))
        answers.append((answer.status, answer.location))
    assert answers[0] == answers[1]
