"""Consent that comes with the mail: the trusted header, and the lookup in the CRM."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.people import (
    CLIENT_IP,
    DENIED,
    GRANTED,
    UNKNOWN,
    Copy,
    assert_names_nobody,
    browsing,
    copies,
    newsletter,
    rows,
    send,
    tell,
)
from support.sites import Program, running, site, until
from support.upstream import ScriptedUpstream

from tracker.consent import Consent
from tracker.crm import open_lookup
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store.contacts import Person
from tracker.store.register import Source
from tracker.store.schema import consent_ledger, deliveries

GRANT, DENY, WITHDRAW = (f"X-Tracking-Consent: {word}\r\n" for word in ("granted", "denied", "withdrawn"))


class Place:
    def __init__(self, domain: Domain, port: int, upstream: ScriptedUpstream) -> None:
        self.domain, self._port, self._upstream = domain, port, upstream

    async def send(self, *recipients: str, header: str = "") -> dict[str, Copy]:
        self._upstream.received.clear()
        data = newsletter(header=f"{header}Message-ID: <m1@shop.example>\r\n")
        code, text = await send(self._port, data, *recipients)
        assert code == 250, text
        got = copies(self._upstream.received)
        assert all(b"Tracking-Consent" not in copy.data for copy in got.values())
        return got

    async def person(self, address: str) -> Person:
        return await self.domain.contacts.show(address)

    async def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(row["content"]) for row in await rows(self.domain, consent_ledger)]


@asynccontextmanager
async def place(folder: Path, store_url: str, **tables: dict[str, Any]) -> AsyncIterator[Place]:
    consent = {"unknown": "deny"} | tables.pop("consent", {})
    async with ScriptedUpstream() as upstream:
        where = site(folder, store_url, upstream.url, consent=consent, **tables)
        async with running(where) as domain:
            yield Place(domain, where.smtp_port, upstream)


TRUSTED = {"trust_header_networks": [f"{CLIENT_IP}/32"]}


async def test_a_trusted_header_goes_into_the_register_before_the_decision(
    store_url: str, tmp_path: Path
) -> None:
    async with place(tmp_path, store_url, consent=TRUSTED) as here:
        assert (await here.send(UNKNOWN, header=GRANT))[UNKNOWN].is_tracked
        (said,) = await here.ledger()
        assert (said["source"], said["actor"], said["new"]) == ("header", "network", "granted")
        assert said["evidence"]["message_id"] == "<m1@shop.example>"
        assert (await here.send(UNKNOWN))[UNKNOWN].is_tracked, "it is on record now"
        await here.send(UNKNOWN, header=GRANT)
        assert len(await here.ledger()) == 1, "the same again says nothing new"
        assert not (await here.send(UNKNOWN, header=WITHDRAW))[UNKNOWN].is_tracked
        assert (await here.person(UNKNOWN)).consent is Consent.WITHDRAWN


@pytest.mark.parametrize(
    "consent", [{}, {"trust_header_networks": ["127.0.9.0/24"], "trust_header_users": ["crm"]}]
)
async def test_an_untrusted_header_grants_nothing_and_refuses_for_this_message_only(
    store_url: str, tmp_path: Path, consent: dict[str, Any]
) -> None:
    async with place(tmp_path, store_url, consent=consent) as here:
        await tell(here.domain, GRANTED, Consent.GRANTED)
        assert not (await here.send(UNKNOWN, header=GRANT))[UNKNOWN].is_tracked
        assert not (await here.send(GRANTED, header=DENY))[GRANTED].is_tracked
        assert (await here.send(GRANTED))[GRANTED].is_tracked
        assert [said["source"] for said in await here.ledger()] == ["api"]


async def test_a_header_speaks_of_one_person_or_of_nobody(store_url: str, tmp_path: Path) -> None:
    async with place(tmp_path, store_url, consent=TRUSTED) as here:
        got = await here.send(UNKNOWN, DENIED, header=GRANT)
        assert not any(copy.is_tracked for copy in got.values())
        assert await here.ledger() == []


async def test_no_header_undoes_what_a_person_chose_nor_brings_back_who_was_erased(
    store_url: str, tmp_path: Path
) -> None:
    async with place(tmp_path, store_url, consent=TRUSTED) as here:
        now = datetime.now(UTC)
        said = Statement(address=DENIED, consent=Consent.DENIED)
        await here.domain.register.record([said], source=Source.PREFERENCE_PAGE, actor="dennis", now=now)
        await here.domain.erasure.erase(UNKNOWN, actor="test", now=now)
        for address in (DENIED, UNKNOWN):
            assert not (await here.send(address, header=GRANT))[address].is_tracked
        assert (await here.person(DENIED)).consent is Consent.DENIED
        assert (await here.person(UNKNOWN)).erased


# --- the CRM ---


@asynccontextmanager
async def crm(answers: dict[str, Any], status: int = 200) -> AsyncIterator[str]:
    async def consent(request: web.Request) -> web.Response:
        asked = (await request.json())["addresses"]
        known = {one: answers[one] for one in asked if one in answers}
        return web.json_response({"contacts": known}, status=status)

    app = web.Application()
    app.router.add_post("/consent", consent)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/consent"
    finally:
        await runner.cleanup()


async def test_the_crm_s_word_is_on_record_before_the_decision(store_url: str, tmp_path: Path) -> None:
    answers = {
        GRANTED: {"tracking_consent": "granted", "country": "IT"},
        DENIED: {"tracking_consent": "denied"},
    }
    async with crm(answers) as url, place(tmp_path, store_url, lookup={"url": url, "within": "20s"}) as here:
        here.domain.lookup = open_lookup(here.domain.config.lookup)
        await tell(here.domain, DENIED, Consent.GRANTED)
        got = await here.send(GRANTED, DENIED, UNKNOWN)
        assert {address for address, copy in got.items() if copy.is_tracked} == {GRANTED}
        person = await here.person(GRANTED)
        assert (person.consent, person.consent_source, person.country) == (Consent.GRANTED, "lookup", "IT")
        assert (await here.person(DENIED)).consent is Consent.DENIED
        number = len(await here.ledger())
        await here.send(GRANTED, DENIED, UNKNOWN)
        assert len(await here.ledger()) == number


@pytest.mark.parametrize("required", [True, False])
async def test_a_crm_in_trouble_leaves_untracked_where_it_is_required(
    store_url: str, tmp_path: Path, required: bool
) -> None:
    async with crm({}, status=503) as url:
        lookup = {"url": url, "within": "20s", "required": required}
        async with place(tmp_path, store_url, lookup=lookup) as here:
            here.domain.lookup = open_lookup(here.domain.config.lookup)
            await tell(here.domain, GRANTED, Consent.GRANTED)
            assert (await here.send(GRANTED))[GRANTED].is_tracked is not required
            (row,) = await rows(here.domain, deliveries)
            assert row["reason"] == ("lookup-failed" if required else "granted")


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_program_asks_the_crm_and_says_nobody_s_name(store_url: str, tmp_path: Path) -> None:
    answers = {GRANTED: {"tracking_consent": "granted"}, DENIED: {"tracking_consent": DENIED}}
    async with crm(answers) as url, ScriptedUpstream() as upstream, browsing() as browser:
        where = site(
            tmp_path,
            store_url,
            upstream.url,
            consent={"unknown": "deny"},
            lookup={"url": url, "within": "20s"},
        )
        async with Program(where) as program:
            assert (await send(where.smtp_port, newsletter(), GRANTED, DENIED))[0] == 250
            got = copies(upstream.received)
            assert (got[GRANTED].is_tracked, got[DENIED].is_tracked) == (True, False)
            await browser.read(got[GRANTED])
            assert "lookup-failed" in program.log
            assert_names_nobody(program.log)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_reload_asks_another_crm_from_then_on_and_none_where_none_is_named(
    store_url: str, tmp_path: Path
) -> None:
    async with (
        crm({GRANTED: {"tracking_consent": "granted"}}) as one,
        crm({}, status=503) as other,
        ScriptedUpstream() as upstream,
    ):
        lookup = {"url": one, "within": "20s", "required": True}
        where = site(tmp_path, store_url, upstream.url, consent={"unknown": "track"}, lookup=lookup)
        async with Program(where) as program:
            for number, (before, after) in enumerate([("", ""), (one, other), (other, "")]):
                if number:
                    where.config_file.write_text(where.config_file.read_text().replace(before, after))
                    os.kill(program.pid, signal.SIGHUP)
                    await until(lambda n=number: program.log.count("configuration-reloaded") == n)
                assert (await send(where.smtp_port, newsletter(), UNKNOWN))[0] == 250
            assert "needs-restart" not in program.log
    sent = [b"/c/" in one.data for one in upstream.received]
    assert sent == [True, False, True]
