"""How mail is read: with which programs, from where, when, how often; and by the machines that get there first. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What somebody reads mail with."""

    share: int
    agent: str
    """As it calls itself when it shows a picture."""
    browser: str = ""
    """As a followed link calls itself; `""`: the same."""
    proxy: str = ""
    """The address from which a service loads pictures for its readers; `""`: they come from the reader."""
    fetches: str = ""
    """As the service calls itself that loads pictures before anybody looks; `""`: none does."""
    at_work: bool = False


_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_IPAD = "Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
_ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36"
_SAFARI_PHONE = f"{_IPHONE} Version/18.5 Mobile/15E148 Safari/604.1"
_GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
_GMAIL_AHEAD = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135"
    " Safari/537.36 Edge/12.246 Mozilla/5.0"
)
_APPLE, _GOOGLE = "17.58.101.7", "66.249.84.11"

PROGRAMS = (
    Program(share=14, agent=_IPHONE + " Mobile/15E148", browser=_SAFARI_PHONE, fetches="Mozilla/5.0"),
    Program(share=9, agent=_IPHONE + " Mobile/15E148", browser=_SAFARI_PHONE),
    Program(share=4, agent=_MAC, browser=f"{_MAC} Version/18.5 Safari/605.1.15", fetches="Mozilla/5.0"),
    Program(
        share=4, agent=_IPAD + " Mobile/15E148", browser=f"{_IPAD} Version/18.5 Mobile/15E148 Safari/604.1"
    ),
    Program(share=17, agent=_GMAIL, browser=_ANDROID, proxy=_GOOGLE),
    Program(
        share=9,
        agent=_GMAIL,
        browser=f"{_WINDOWS} {_CHROME} Safari/537.36",
        proxy=_GOOGLE,
        fetches=_GMAIL_AHEAD,
    ),
    Program(share=12, agent=_ANDROID),
    Program(share=11, agent=f"{_WINDOWS} {_CHROME} Safari/537.36 Edg/140.0.0.0", at_work=True),
    Program(share=9, agent=f"{_WINDOWS} {_CHROME} Safari/537.36", at_work=True),
    Program(
        share=7,
        agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Thunderbird/140.0",
        browser="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
        at_work=True,
    ),
    Program(
        share=4, agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", at_work=True
    ),
)
_GATEWAY = "Mozilla/5.0 (compatible; proofpoint url defense)"
_SCRIPT = "python-requests/2.32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One request of a copy: for its pixel, or behind a link."""

    at: datetime
    link: int | None = None
    """The place of the link among those of the copy; None for the pixel."""
    agent: str
    client: IPv4Address
    is_person: bool = False


NETWORKS = {
    country: 198 << 24 | 18 << 16 | number << 8
    for number, country in enumerate(("GB", "DE", "FR", "IT", "US", "CH", "AT"))
}
"""Where readers of a country come from, within the networks that RFC 2544 sets aside for tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A person as far as their reading goes."""

    program: Program
    country: str
    interest: float
    scanned: bool
    """A gateway follows the links first."""
    abroad: float = 0.03

    def address(self, dice: Random) -> IPv4Address:
        country = self.country if self.country in NETWORKS and dice.random() >= self.abroad else "GB"
        return IPv4Address(NETWORKS[country] | dice.randint(1, 254))


def looks(dice: Random, reader: Reader, arrived: datetime, links: Sequence[int], appeal: float) -> list[Look]:
    """All that is asked of one copy, in any order. `links`: the places of its links, the likeliest first; `appeal`:
    how much the mail invites to be opened, 1 for usual."""
    return [*_machines(dice, reader, arrived, links), *_person(dice, reader, arrived, links, appeal)]


def _machines(dice: Random, reader: Reader, arrived: datetime, links: Sequence[int]) -> Iterator[Look]:
    fetches = reader.program.fetches
    if fetches and dice.random() < 0.8:
        client = IPv4Address(_APPLE if fetches == "Mozilla/5.0" else _GOOGLE)
        yield Look(at=arrived + timedelta(seconds=dice.uniform(20, 2400)), agent=fetches, client=client)
    if reader.scanned and dice.random() < 0.9:
        client, agent = reader.address(dice), dice.choice((_GATEWAY, _SCRIPT, ""))
        at = arrived + timedelta(seconds=dice.uniform(0.4, 6))
        yield Look(at=at, agent=agent, client=client)
        for number, link in enumerate(links):
            yield Look(at=at + timedelta(seconds=0.4 * number), link=link, agent=agent, client=client)


def _person(
    dice: Random, reader: Reader, arrived: datetime, links: Sequence[int], appeal: float
) -> Iterator[Look]:
    if dice.random() >= min(0.97, reader.interest * appeal):
        return
    program, at = reader.program, _when(dice, arrived)
    home = reader.address(dice)
    shown_to = IPv4Address(program.proxy) if program.proxy else home
    yield Look(at=at, agent=program.agent, client=shown_to, is_person=True)
    again = at
    while dice.random() < 0.26:  # mail is looked at again, mostly soon
        again += timedelta(minutes=dice.choice((0.2, 3, 45, 300, 1500)) * dice.uniform(0.6, 1.6))
        yield Look(at=again, agent=program.agent, client=shown_to, is_person=True)
    if links and dice.random() < 0.34 * min(1.4, 0.5 + reader.interest):
        browser, chosen = program.browser or program.agent, _chosen(dice, links)
        follows = at + timedelta(seconds=dice.uniform(6, 240))
        for link in chosen:
            yield Look(at=follows, link=link, agent=browser, client=home, is_person=True)
            follows += timedelta(seconds=dice.choice((0.3, 35, 90, 600)))


def _chosen(dice: Random, links: Sequence[int]) -> list[int]:
    """One link, at times two; those further up are likelier."""
    weights = [1 / (place + 1.4) for place in range(len(links))]
    return dice.choices(links, weights, k=2 if dice.random() < 0.18 else 1)


def _when(dice: Random, arrived: datetime) -> datetime:
    """Mostly within hours, at times days or weeks later; hardly anybody reads at night."""
    late = dice.random()
    if late < 0.04:
        at = arrived + timedelta(days=dice.uniform(5, 20))
    elif late < 0.25:
        at = arrived + timedelta(hours=dice.uniform(14, 60))
    else:
        at = arrived + timedelta(minutes=2 + dice.lognormvariate(4.2, 1.3))
    awake = not 6 <= arrived.hour < 22  # who writes at night has readers who are up
    while not awake and (at.hour < 6 or (at.hour < 8 and dice.random() < 0.5)):
        at += timedelta(hours=dice.uniform(1, 4))
    return at
