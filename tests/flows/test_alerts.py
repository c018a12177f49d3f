"""Alerts as letters: through the relay itself to a real server, untracked, once, and only as consent of the moment allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest
from support.lives import hit
from support.people import rows
from support.sites import site, until
from support.tracking import IDENTIFIED, Copy, Mail, say, send
from support.upstream import Received, ScriptedUpstream
from support.waiting import nothing_waits

from relay.config import load
from relay.service import Relay
from tracker.alerting.finding import Finding
from tracker.alerting.running import Alerting
from tracker.alerting.telling import Telling
from tracker.domain import Domain
from tracker.reports.alerts import find_alerts
from tracker.store.schema import alerts, deliveries, messages

NOW = datetime.now(UTC)
JOE, ANN, SALES = "joe@people.example", "ann@people.example", "sales@shop.example"
ALERT = f'\n[[alert]]\nname = "prices"\nkind = "click"\nto = ["{SALES}"]\nlink = "*/apples*"\nquiet = "1h"\n'


@dataclass
class House:
    """A relay that runs, with somebody in it who wants to be told."""

    domain: Domain
    relay: Relay
    upstream: ScriptedUpstream

    async def found(self, copies: dict[str, Copy], *people: str) -> None:
        """These have followed the link, and it is final."""
        await Finding(self.domain).events(NOW - timedelta(minutes=10))
        for address in people:
            await hit(self.domain, copies[address], NOW - timedelta(minutes=5), link=1)
        await Finding(self.domain).events(NOW - timedelta(minutes=4))
        assert await Finding(self.domain).events(NOW) == len(people)

    async def tell(self, at: datetime = NOW) -> int:
        return await Telling(self.domain, self.relay.post).run(at)

    async def letters(self, number: int) -> list[Received]:
        await until(lambda: len(self.upstream.received) >= number, "the letters have come")
        await until(lambda: nothing_waits(self.domain), "nothing waits")
        assert len(self.upstream.received) == number
        return list(self.upstream.received)

    async def states(self) -> list[str]:
        return [one.state for one in await find_alerts(self.domain, limit=50, descending=False)]


@asynccontextmanager
async def house(folder: Path, store_url: str, alert: str = ALERT) -> AsyncIterator[House]:
    async with ScriptedUpstream() as upstream:
        where = site(folder, store_url, upstream.url)
        with where.config_file.open("a") as file:
            file.write(alert)
        config = load(where.config_file)
        domain = await Domain.open(config)
        relay = Relay(config, domain)
        try:
            await relay.start()
            yield House(domain, relay, upstream)
        finally:
            await relay.stop()
            await domain.close()


async def copies(domain: Domain, subject: str = "Apples", *people: str) -> dict[str, Copy]:
    to = dict.fromkeys(people or (JOE, ANN), IDENTIFIED)
    return await send(domain, Mail(to=to, subject=subject))


async def test_a_click_becomes_one_letter_that_measures_nobody(store_url: str, tmp_path: Path) -> None:
    async with house(tmp_path, store_url) as at:
        theirs = await copies(at.domain, "Äpfel\r\nBcc: x@y.example \u202e<b>")
        await at.found(theirs, JOE)
        assert await asyncio.gather(at.tell(), at.tell()) in ([1, 0], [0, 1])
        (one,) = await at.letters(1)
        assert (one.sender.split()[0], list(one.addresses)) == ("<>", [SALES])
        letter = cast(EmailMessage, message_from_bytes(one.data, policy=policy.default))
        assert (letter["To"], letter["Auto-Submitted"]) == (SALES, "auto-generated")
        assert letter["From"] == "Candor <MAILER-DAEMON@relay.example>"
        assert letter["Subject"] == "Candor: a link is followed (prices)"
        assert letter["Bcc"] is None
        text = letter.get_content()
        assert f"{JOE} has followed a link, at {NOW - timedelta(minutes=5):%Y-%m-%d %H:%M:%S} UTC." in text
        assert "Link: https://shop.example/apples?kind=russet&box=2" in text
        assert "Message: Äpfel Bcc: x@y.example <b>" in text
        assert await at.states() == ["sent"]
        own = [row for row in await rows(at.domain, messages) if row["untouched"] == "own-report"]
        assert [JOE in str(row) for row in own] == [False]
        (theirs_own,) = [
            r for r in await rows(at.domain, deliveries) if bytes(r["message_id"]) == bytes(own[0]["id"])
        ]
        assert (theirs_own["recipient"], theirs_own["mode"], theirs_own["status"]) == (
            None,
            "untracked",
            "accepted",
        )
        assert await at.tell() == 0


@pytest.mark.parametrize("how", ["withdrawn", "erased", "no longer configured"])
async def test_consent_is_asked_again_before_anybody_is_told(
    how: str, store_url: str, tmp_path: Path
) -> None:
    async with house(tmp_path, store_url) as at:
        await at.found(await copies(at.domain), JOE, ANN)
        if how == "withdrawn":
            await say(at.domain, JOE, "withdrawn")
        elif how == "erased":
            await at.domain.erasure.erase(JOE, actor="test", now=NOW)
        else:
            at.domain.reconfigure(at.domain.config.model_copy(update={"alert": ()}))
        await at.tell()
        if how == "no longer configured":
            assert await at.states() == ["dropped", "dropped"]
            return
        (one,) = await at.letters(1)
        assert ANN.encode() in one.data
        assert await at.states() == ["sent"]
        assert len(await rows(at.domain, alerts)) == 1


async def test_of_one_person_nothing_more_is_told_for_a_while_and_no_more_than_the_day_s_number(
    store_url: str, tmp_path: Path
) -> None:
    alert = ALERT + 'most_a_day = 2\nsender = "candor@shop.example"\n'
    async with house(tmp_path, store_url, alert) as at:
        first, second, third = [await copies(at.domain, f"Mail {n}") for n in range(3)]
        await at.found(first, JOE)
        await at.tell()
        await at.found(second, JOE)
        await at.tell(NOW + timedelta(minutes=30))
        assert sorted(await at.states()) == ["quiet", "sent"]
        await at.found(third, JOE, ANN)
        await at.tell(NOW + timedelta(minutes=70))
        assert sorted(await at.states()) == ["capped", "quiet", "sent", "sent"]
        first_letter, last = await at.letters(2)
        assert last.sender.startswith("<candor@shop.example>")
        assert b"candor@shop.example" in last.data
        assert b"last letter of this alert for today" in last.data
        assert b"last letter" not in first_letter.data


async def test_a_program_that_runs_does_it_all_by_itself(store_url: str, tmp_path: Path) -> None:
    async with house(tmp_path, store_url) as at:
        elsewhere = Alerting(at.domain, every=0.05)  # a tracker alone: it finds, and sends nothing
        await Finding(at.domain).events(datetime.now(UTC) - timedelta(hours=2))
        await Finding(at.domain).events(datetime.now(UTC) - timedelta(hours=1))
        theirs = await copies(at.domain)
        await hit(at.domain, theirs[JOE], datetime.now(UTC) - timedelta(minutes=20), link=1)
        await Finding(at.domain).events(datetime.now(UTC) - timedelta(minutes=20))
        elsewhere.start()
        try:
            await until(at.states, "it is found")
            assert await at.states() == ["waiting"]
        finally:
            await elsewhere.stop()
        here = Alerting(at.domain, at.relay.post, every=0.05)
        here.start()
        try:
            (one,) = await at.letters(1)
        finally:
            await here.stop()
        assert JOE.encode() in one.data
