"""The lookup in the user's CRM, asked over real HTTP of a CRM that misbehaves in every way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tracker.config import LookupTable
from tracker.consent import Consent, DoNotTrack
from tracker.crm import open_lookup
from tracker.lookup import Lookup

JOE, ANN = "joe+a/b@people.example", "ann@people.example"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CrmServer:
    """Answers as `says` says, and keeps what it was asked."""

    def __init__(self, says: Handler) -> None:
        self.says = says
        self.asked: list[Any] = []
        self.tokens: list[str | None] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.tokens.append(request.headers.get("Authorization"))
        self.asked.append(
            (await request.json())["addresses"] if request.method == "POST" else request.query["a"]
        )
        return await self.says(request)


@asynccontextmanager
async def crm(says: Handler) -> AsyncIterator[CrmServer]:
    server = CrmServer(says)
    app = web.Application()
    app.router.add_route("*", "/consent", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/consent"
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def lookup(server: CrmServer, *, one: bool = True, **options: Any) -> AsyncIterator[Lookup]:
    table = LookupTable(url=server.url + ("?a={address}" if one else ""), **({"within": "20s"} | options))
    opened = open_lookup(table)
    assert opened is not None
    try:
        yield opened
    finally:
        await opened.close()


def saying(body: Any, **options: Any) -> Handler:
    async def says(_request: web.Request) -> web.Response:
        return web.json_response(body, **options)

    return says


async def test_one_person_is_asked_by_get_with_the_token_and_remembered() -> None:
    said = {
        "tracking_consent": "granted",
        "do_not_track": True,
        "country": "fr",
        "as_of": "2026-05-01T12:00:00Z",
        "evidence": "form 7",
        "name": {"of no": "concern"},
    }
    async with crm(saying(said)) as server, lookup(server, token="s3cret") as asked:
        found = (await asked.ask([JOE]))[JOE]
        assert found.fresh
        assert found.statement is not None
        assert (found.statement.address, found.statement.consent) == (JOE, Consent.GRANTED)
        assert (found.statement.do_not_track, found.statement.country) == (DoNotTrack.TRUE, "FR")
        assert found.statement.evidence == {"reference": "form 7"}
        asked.heard([JOE])
        again = (await asked.ask([JOE]))[JOE]
        assert (again.statement, again.fresh) == (found.statement, False)
        assert (server.asked, server.tokens) == ([JOE], ["Bearer s3cret"])


async def test_what_was_asked_is_answered_before_a_crm_is_let_go() -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        asked.set()
        await answer.wait()
        return web.json_response({"tracking_consent": "granted"})

    async with crm(slow) as server:
        before = open_lookup(LookupTable(url=server.url + "?a={address}", within="20s"))
        assert before is not None
        question = asyncio.create_task(before.ask([JOE]))
        await asked.wait()
        retired = asyncio.create_task(before.retire())
        answer.set()
        assert (await question)[JOE].statement is not None
        await retired


async def test_several_are_asked_by_post_at_once_and_who_is_not_in_it_is_not_known() -> None:
    answer = {"contacts": {ANN: {"tracking_consent": "denied"}, "x@people.example": {"tracking_consent": 7}}}
    async with crm(saying(answer)) as server, lookup(server, one=False) as asked:
        found = await asked.ask([JOE, ANN, "x@people.example"])
        assert found.keys() == {JOE, ANN}, "a person's entry that cannot be read is no answer"
        assert found[JOE].statement is None
        assert found[ANN].statement is not None
        assert found[ANN].statement.consent is Consent.DENIED
        assert server.asked == [[JOE, ANN, "x@people.example"]]


async def test_a_404_is_the_answer_that_there_is_no_such_person() -> None:
    async with crm(saying({}, status=404)) as server, lookup(server) as asked:
        assert (await asked.ask([JOE]))[JOE].statement is None
        await asked.ask([JOE])
        assert server.asked == [JOE]


async def _slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(30)
    return web.json_response({})


async def _huge(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(200):
        await answer.write(b" " * 65536)
    return answer


async def _cut(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return answer


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": str(request.url.with_query(a="elsewhere"))})


async def _text(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


MISBEHAVIOUR: dict[str, Handler] = {
    "slow": _slow,
    "an error": saying({"tracking_consent": "granted"}, status=500),
    "refused": saying({}, status=401),
    "created": saying({"tracking_consent": "granted"}, status=201),
    "moved": _elsewhere,
    "huge": _huge,
    "cut off": _cut,
    "no JSON": lambda _request: _text(b"<html>granted</html>"),
    "no UTF-8": lambda _request: _text(b'{"tracking_consent": "\xff"}'),
    "nested": lambda _request: _text(b"[" * 200_000),
    "a list": saying(["granted"]),
    "a number": saying({"tracking_consent": 1}),
    "a word of its own": saying({"tracking_consent": f"yes, {JOE} has"}),
    "a list for a country": saying({"tracking_consent": "granted", "country": ["FR"]}),
    "said tomorrow": saying({"tracking_consent": "granted", "as_of": "2999-01-01T00:00:00Z"}),
    "no time": saying({"tracking_consent": "granted", "as_of": "today"}),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
async def test_a_crm_that_misbehaves_gives_no_answer(how: str, capfd: pytest.CaptureFixture[str]) -> None:
    within = "200ms" if how == "slow" else "20s"
    async with crm(MISBEHAVIOUR[how]) as server, lookup(server, within=within) as asked:
        assert await asked.ask([JOE]) == {}
        assert server.asked == [JOE], "no redirect is followed"
    assert "people.example" not in "".join(capfd.readouterr())


async def test_a_crm_that_is_not_there_gives_no_answer() -> None:
    async with crm(saying({})) as server:
        pass
    async with lookup(server) as asked:
        assert await asked.ask([JOE]) == {}


async def test_a_crm_in_trouble_is_left_alone_for_a_while_and_then_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tracker.lookup._PAUSE", 0.2)
    async with crm(saying({}, status=500)) as server, lookup(server) as asked:
        for number in range(20):
            assert await asked.ask([f"p{number}@people.example"]) == {}
            if len(server.asked) < number + 1:
                break
        assert len(server.asked) == 5
        server.says = saying({"tracking_consent": "granted"})
        while JOE not in await asked.ask([JOE]):
            await asyncio.sleep(0.02)
        assert len(server.asked) == 6


async def test_who_is_asked_about_by_many_at_once_is_asked_about_once() -> None:
    async with crm(saying({"tracking_consent": "denied"})) as server, lookup(server) as asked:
        found = await asyncio.gather(*(asked.ask([JOE]) for _ in range(20)))
        assert all(one[JOE].statement is not None for one in found)
        assert server.asked == [JOE]


async def test_only_so_many_are_remembered_and_only_for_so_long() -> None:
    async with crm(saying({"tracking_consent": "denied"})) as server:
        async with lookup(server, entries=2) as asked:
            for address in ("a@x.example", "b@x.example", "c@x.example", "c@x.example", "a@x.example"):
                await asked.ask([address])
        assert [address[0] for address in server.asked] == ["a", "b", "c", "a"]
        server.asked.clear()
        async with lookup(server, keep="0s") as asked:
            await asked.ask([JOE])
            await asked.ask([JOE])
        assert server.asked == [JOE, JOE]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://crm.example/{address}",
        "https:///x",
        "https://crm.example/{adress}",
        "https://crm.example/ x",
        "crm",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        LookupTable(url=url)


def test_no_url_means_no_lookup() -> None:
    assert open_lookup(LookupTable()) is None
    assert json.loads(LookupTable().model_dump_json())["required"] is False
