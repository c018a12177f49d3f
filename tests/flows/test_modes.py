"""Every mode from the mail that comes in to what a hit leaves behind, and everything that can lower it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from support.certificates import authority, client_context
from support.people import (
    DENIED,
    GRANTED,
    LOOSE,
    SENDER,
    SIX,
    UNKNOWN,
    URLS,
    Browser,
    Copy,
    Login,
    browsing,
    copies,
    gather_the_six,
    let_time_pass,
    newsletter,
    rows,
    send,
    tell,
)
from support.sites import Site, running, site
from support.upstream import ScriptedUpstream

from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.store.schema import audience_members, consent_ledger, contacts, counts, deliveries, events

EVERYTHING = 1 + len(URLS)
"""Hits of a reader who loads the pixel and follows each link."""


class Place:
    """A running Candor with this configuration, and what it was made to do."""

    def __init__(self, where: Site, domain: Domain, upstream: ScriptedUpstream, browser: Browser) -> None:
        self.site, self.domain, self.upstream, self.browser = where, domain, upstream, browser

    async def send(self, *recipients: str, header: str = "", login: Login | None = None) -> dict[str, Copy]:
        """What each of them got; everything has been delivered for a while then."""
        self.upstream.received.clear()
        data = newsletter(header=header)
        code, text = await send(self.site.smtp_port, data, *recipients, login=login)
        assert code == 250, text
        await let_time_pass(self.domain, 60)
        got = copies(self.upstream.received)
        assert all(copy.is_tracked or copy.base == newsletter() for copy in got.values())
        return got

    async def modes(self) -> dict[str | None, str]:
        return {row["recipient"]: row["mode"] for row in await rows(self.domain, deliveries)}

    async def counted(self) -> list[tuple[str, str, int]]:
        """(scope, group, number), summed over kinds and positions."""
        sums: dict[tuple[str, str], int] = {}
        for row in await rows(self.domain, counts):
            cell = row["scope"], row["grp"]
            sums[cell] = sums.get(cell, 0) + row["n"]
        return sorted((*cell, number) for cell, number in sums.items())


@asynccontextmanager
async def configured(folder: Path, store_url: str, **tables: dict[str, Any]) -> AsyncIterator[Place]:
    async with ScriptedUpstream() as upstream:
        where = site(folder, store_url, upstream.url, **tables)
        async with running(where) as domain, browsing() as browser:
            yield Place(where, domain, upstream, browser)


async def test_hygiene_keeps_only_the_day_of_the_last_open(store_url: str, tmp_path: Path) -> None:
    async with configured(tmp_path, store_url, consent={"unknown": "hygiene"}) as place:
        got = await place.send(UNKNOWN)
        assert (len(got[UNKNOWN].pixels), got[UNKNOWN].links) == (1, [])
        days = {f"{datetime.now(UTC):%Y-%m-%d}"}
        await place.browser.read(got[UNKNOWN])
        days.add(f"{datetime.now(UTC):%Y-%m-%d}")
        (person,) = await rows(place.domain, contacts)
        assert person["last_open_day"] in days
        assert (await rows(place.domain, events), await place.counted()) == ([], [])


async def test_aggregate_is_one_pixel_for_all_and_one_count_for_the_mailing(
    store_url: str, tmp_path: Path
) -> None:
    tables: dict[str, dict[str, Any]] = {"consent": {"unknown": "aggregate"}, "anonymity": {"min_group": 3}}
    async with configured(tmp_path, store_url, **tables) as place:
        got = await place.send(UNKNOWN, "ulla@people.example")
        assert len({copy.pixel for copy in got.values()}) == 1
        assert all(copy.links == [] for copy in got.values())
        again = await place.send("urs@people.example")
        assert again["urs@people.example"].pixel == got[UNKNOWN].pixel, "a mailing has one pixel"
        for copy in (*got.values(), *again.values()):
            await place.browser.read(copy)
        assert await place.counted() == [("aggregate", "", 3)]
        assert await rows(place.domain, events) == []
        assert {row["last_open_day"] for row in await rows(place.domain, contacts)} <= {None}


async def test_anonymous_hits_are_counted_in_a_cell_that_is_large_enough(
    store_url: str, tmp_path: Path
) -> None:
    async with configured(tmp_path, store_url, anonymity={"min_group": 3}) as place:
        sales = [f"seller{n}@people.example" for n in range(3)]
        board = ["chair@people.example", "founder@people.example"]
        for group, people in (("sales", sales), ("board", board)):
            for person in people:
                await tell(place.domain, person, Consent.GRANTED, DoNotTrack.TRUE, group=group)
        got = await place.send(*sales, *board)
        assert set((await place.modes()).values()) == {"anonymous"}
        assert all((len(copy.pixels), len(copy.links)) == (1, len(URLS)) for copy in got.values())
        assert await place.browser.read(got[sales[0]]) == list(URLS)
        assert await place.counted() == [("group", "sales", EVERYTHING)]
        await place.browser.read(got[board[0]])
        assert await place.counted() == [("group", "sales", EVERYTHING), ("month", "", EVERYTHING)]
        assert await rows(place.domain, events) == []
        members = Counter(row["grp"] for row in await rows(place.domain, audience_members))
        assert members == {"sales": 3, "board": 2}


@pytest.mark.parametrize(
    "override",
    [
        {},
        {"networks": ["127.0.0.0/8"]},
        {"networks": ["127.0.0.0/8"], "lawful_basis": "legal obligation"},
        {
            "networks": ["10.0.0.0/8"],
            "lawful_basis": "legal obligation",
            "lawful_basis_confirmed_by": "A. Jurist",
        },
    ],
)
async def test_an_override_that_nobody_answers_for_is_refused(
    store_url: str, tmp_path: Path, override: dict[str, Any]
) -> None:
    async with configured(tmp_path, store_url, override=override) as place:
        data = newsletter(header="X-Candor-Override: yes\r\n")
        code, text = await send(place.site.smtp_port, data, GRANTED)
        assert (code, text[:5]) == (550, "5.7.1")
        assert place.upstream.received == []
        assert await rows(place.domain, deliveries) == []


async def test_an_override_passes_over_consent_and_leaves_a_row_in_the_ledger_for_each(
    store_url: str, tmp_path: Path
) -> None:
    confirmed = {
        "networks": ["127.0.0.0/8"],
        "lawful_basis": "legal obligation",
        "lawful_basis_confirmed_by": "A. Jurist",
    }
    async with configured(tmp_path, store_url, override=confirmed) as place:
        await gather_the_six(place.domain)
        before = len(await rows(place.domain, consent_ledger))
        got = await place.send(*SIX, header="X-Candor-Override: yes\r\n")
        modes = await place.modes()
        assert (modes[DENIED], modes[LOOSE], modes[None]) == ("identified", "anonymous", "untracked")
        await place.browser.read(got[DENIED])
        assert [one["recipient"] for one in await place.domain.events.list()] == [DENIED] * EVERYTHING
        added = (await rows(place.domain, consent_ledger))[before:]
        assert len(added) == 5, "one for each but the erased"
        assert all("legal obligation" in row["content"] and "A. Jurist" in row["content"] for row in added)
        plain = await place.send(DENIED)
        assert not plain[DENIED].is_tracked, "it holds for the one message"


# --- what lowers a mode ---

CEILINGS = {"full": "identified", "anonymous": "anonymous", "none": "untracked"}


async def test_a_user_s_ceiling_lowers_what_their_mail_measures(store_url: str, tmp_path: Path) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    users = [
        {"name": name, "password_hash": hasher.hash(f"{name} secret"), "track": name} for name in CEILINGS
    ]
    relay = {"user": users, "allowed_networks": [], **certificate(tmp_path)}
    async with configured(tmp_path, store_url, relay=relay) as place:
        refused, _ = await send(place.site.smtp_port, newsletter(), GRANTED)
        assert refused == 530, "nobody sends without a login"
        for name, mode in CEILINGS.items():
            person = f"{name}@people.example"
            await tell(place.domain, person, Consent.GRANTED)
            login = Login(user=name, password=f"{name} secret", tls=client_context())
            got = await place.send(person, login=login)
            assert got[person].is_tracked == (name != "none")
            assert b" with ESMTPSA id " in got[person].received_line
            assert (await place.modes())[person] == mode


def certificate(folder: Path) -> dict[str, str]:
    issued = authority().issue_cert("localhost", "127.0.0.1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return {"certificate": str(chain), "private_key": str(key)}


@pytest.mark.parametrize(
    ("header", "pixels", "links"),
    [
        ("X-Candor-Track-Opens: no\r\n", 0, len(URLS)),
        ("X-Candor-Track-Clicks: no\r\n", 1, 0),
        ("X-Candor-Track-Opens: no\r\nX-Candor-Track-Clicks: no\r\n", 0, 0),
        ("X-Tracking-Consent: denied\r\n", 0, 0),
        ("X-Tracking-Consent: granted\r\n", 1, len(URLS)),
        ("X-Candor-Tag: spring\r\nX-Candor-Campaign: apples\r\n", 1, len(URLS)),
    ],
)
async def test_a_message_may_ask_for_less_and_its_control_headers_stay_here(
    store_url: str, tmp_path: Path, header: str, pixels: int, links: int
) -> None:
    async with configured(tmp_path, store_url) as place:
        await tell(place.domain, GRANTED, Consent.GRANTED)
        got = (await place.send(GRANTED, header=header))[GRANTED]
        assert (len(got.pixels), len(got.links)) == (pixels, links)
        assert b"Candor-" not in got.base
        assert b"Tracking-Consent" not in got.base
        await place.browser.read(got)
        assert len(await rows(place.domain, events)) == pixels + links


async def test_a_header_that_claims_a_grant_is_no_grant(store_url: str, tmp_path: Path) -> None:
    async with configured(tmp_path, store_url, consent={"unknown": "deny"}) as place:
        got = await place.send(UNKNOWN, header="X-Tracking-Consent: granted\r\n")
        assert not got[UNKNOWN].is_tracked


@pytest.mark.parametrize("sender", [SENDER, ""])
async def test_mail_from_the_null_sender_is_never_tracked(
    store_url: str, tmp_path: Path, sender: str
) -> None:
    async with configured(tmp_path, store_url) as place:
        assert (await send(place.site.smtp_port, newsletter(), GRANTED, sender=sender))[0] == 250
        (copy,) = _all(copies(place.upstream.received))
        assert copy.is_tracked == bool(sender)


def _all(found: dict[str, Copy]) -> Sequence[Copy]:
    return tuple(found.values())
