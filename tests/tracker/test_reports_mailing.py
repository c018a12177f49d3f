"""A mailing in numbers and its variants against each other, as counted by hand and as the command shows them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from support.commands import Installation
from support.lives import PEOPLE, hit, read_by_all
from support.tracking import ANONYMOUS, IDENTIFIED, UNTRACKED, Mail, configuration, opened, send

from tracker.domain import Domain
from tracker.errors import NotFound
from tracker.events import EventKind, VerdictKind
from tracker.reports.figures import Figures
from tracker.reports.mailing import MailingReport, latest_mailings, report_mailing
from tracker.statistics import Finding

NOW = datetime.now(UTC)
EXPIRED = datetime(2021, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.mark.parametrize("seed", range(4))
async def test_a_mailing_is_its_messages_and_each_variant_its_own(seed: int, domain: Domain) -> None:
    chance = random.Random(seed)
    tally: dict[str, dict[str, int]] = {}
    for number in range(12):
        variant = chance.choice(["red", "blue", None])
        decisions = {
            f"p{number}-{person}@x.example": chance.choice([IDENTIFIED, IDENTIFIED, UNTRACKED])
            for person in range(chance.randint(1, 3))
        }
        status = chance.choice(["accepted", "accepted", "rejected"])
        copies = await send(domain, Mail(to=decisions, variant=variant, status=status))
        counted = tally.setdefault(variant or "", dict.fromkeys(("sent", "of", "opened", "clicked"), 0))
        for copy in copies.values():
            counted["sent"] += 1
            measured = status == "accepted" and copy.decision is IDENTIFIED
            counted["of"] += measured
            for kind, link in (("opened", None), ("clicked", 1)):
                times = chance.randint(0, 2) if copy.decision is IDENTIFIED else 0
                counted[kind] += bool(times) and measured
                for _ in range(times):
                    await hit(domain, copy, NOW, link=link)
                    await hit(domain, copy, NOW, link=link, verdict=VerdictKind.SCANNER)
    await send(domain, Mail(to={"elsewhere@x.example": IDENTIFIED}, campaign="pears", variant="red"))

    found = await report_mailing(domain, "apples")

    assert found.messages == 12
    assert (set(found.variants) if any(tally) else {""}) == set(tally)
    for name, counted in tally.items():
        held(found.variants.get(name, found.figures), counted)
    held(
        found.figures,
        {key: sum(one[key] for one in tally.values()) for key in ("sent", "of", "opened", "clicked")},
    )


def held(figures: Figures, counted: dict[str, int]) -> None:
    assert figures.statuses.total() == counted["sent"]
    for kind in EventKind:
        share = figures.share(kind)
        assert (share.n, share.of) == (counted[kind.value], counted["of"])


async def test_what_the_purge_leaves_with_the_mailing_stays_in_its_figures(domain: Domain) -> None:
    copies = {}
    for person in PEOPLE:
        mail = Mail(to={person: IDENTIFIED}, received_at=EXPIRED, variant="red")
        copies |= await send(domain, mail)
    await read_by_all(domain, copies, EXPIRED)
    before = await report_mailing(domain, "apples")
    assert before.figures.share(EventKind.OPENED).n == len(PEOPLE)
    await domain.purge.run(date(2026, 1, 1))
    after = await report_mailing(domain, "apples")
    assert after.figures == before.figures
    assert (after.messages, after.first, after.variants, after.contest(EventKind.OPENED)) == (
        0,
        None,
        {},
        None,
    )


async def test_counts_without_names_are_beside_and_in_no_rate(domain: Domain) -> None:
    copies = await send(domain, Mail(to=dict.fromkeys(PEOPLE, ANONYMOUS)))
    found = await report_mailing(domain, "apples")
    assert found.figures.share(EventKind.OPENED).rate is None
    assert found.figures.not_trackable == {"anonymous: granted+do-not-track": len(copies)}


async def test_the_latest_come_first(domain: Domain) -> None:
    for number, campaign in enumerate(("pears", "apples", "plums"), 1):
        at = datetime(2026, 5, number, tzinfo=UTC)
        await send(domain, Mail(to={"a@x.example": UNTRACKED}, campaign=campaign, received_at=at))
    found = await latest_mailings(domain, limit=2)
    assert [(one.name, one.kind, one.messages) for one in found] == [
        ("plums", "campaign", 1),
        ("apples", "campaign", 1),
    ]


async def test_a_mailing_there_is_not_has_no_report(domain: Domain) -> None:
    with pytest.raises(NotFound, match="candor report campaign"):
        await report_mailing(domain, "cherries")


def test_the_command_compares_the_variants(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)

    async def three_variants(domain: Domain) -> MailingReport:
        for variant, openers in (("red", 20), ("blue", 35), ("green", 33)):
            people = {f"{variant}{number}@x.example": IDENTIFIED for number in range(40)}
            copies = await send(domain, Mail(to=people, variant=variant))
            for copy in list(copies.values())[:openers]:
                await hit(domain, copy, NOW)
        return await report_mailing(domain, "apples")

    won = candor.prepare(three_variants).contest(EventKind.OPENED)
    assert won is not None
    assert won.leader == "blue"
    assert {name: one.finding for name, one in won.others.items()} == {
        "red": Finding.BEHIND,
        "green": Finding.NO_DIFFERENCE,
    }
    shown = candor.call("report", "campaign", "apples")
    assert shown.code == 0, shown.err
    for part in ("3 messages", "87.5%", "73.9% to 94.5%", "highest", "behind", "no difference shown"):
        assert part in shown.out
    told = candor.call("report", "campaign", "apples", "--json").json
    assert told["variants"]["blue"]["identified"]["opened"]["delivered"] == 35
    assert told["contests"]["opened"]["leader"] == "blue"
    assert "clicked" in told["contests"]
    assert "apples" in candor.call("report", "campaign").out
    (listed,) = candor.call("report", "campaign", "--json").json
    assert (listed["name"], listed["messages"]) == ("apples", 3)
    missing = candor.call("report", "campaign", "cherries")
    assert missing.code != 0
    assert "there is no mailing called 'cherries'" in missing.err


def test_an_empty_store_has_no_mailing(store_url: str, tmp_path: Path) -> None:
    assert "no mailing is on record" in Installation(tmp_path, store_url).call("report", "campaign").out
