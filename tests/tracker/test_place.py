"""The country of an address, from a database made here; and that neither address nor user agent is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.mmdb import write
from support.tracking import Mail, configuration, dump, opened, send, to_joe
from support.web import serving

from tracker.config import Config, load
from tracker.config.machines import GeographyTable
from tracker.config.tables import ConsentTable, RuleTable
from tracker.domain import Domain
from tracker.errors import ConfigError
from tracker.place import Countries

PLACES = {
    "198.18.0.0/16": "FR",
    "2a01:db8::/32": "IT",
    "127.0.0.0/8": "DE",
    "198.19.0.0/16": {"registered_country": {"iso_code": "SE"}},
    "198.20.0.0/16": {"country": {"iso_code": "Atlantis"}, "city": "no"},
    "198.21.0.0/16": "nothing",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "countries.mmdb", PLACES)


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("198.18.4.4", "FR"), ("2a01:db8::1", "IT"), ("198.19.0.1", "SE"), ("198.20.0.1", ""), ("198.21.0.1", ""),
        ("10.0.0.1", ""), ("2001:db8::1", ""), ("", ""), ("no address", ""),
    ],
)  # fmt: skip
def test_an_address_lies_in_a_country_or_nobody_knows(file: Path, address: str, country: str) -> None:
    assert Countries(str(file)).of(address) == country


def test_without_a_database_nothing_is_known() -> None:
    assert Countries().of("198.18.4.4") == ""


def test_what_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.mmdb").write_bytes(b"none")
    with pytest.raises(ConfigError, match=r"\[geography\] database: .*x\.mmdb cannot be used"):
        Countries(str(tmp_path / "x.mmdb"))
    (tmp_path / "candor.toml").write_text('[geography]\ndatabase = "/nowhere.mmdb"\n')
    with pytest.raises(ConfigError, match=r"\[geography\] database: there is no file /nowhere.mmdb"):
        load(tmp_path / "candor.toml", Config)


async def _kept(domain: Domain) -> dict[str, object]:
    (event,) = await domain.events.list()
    return event


async def test_an_event_keeps_country_and_device_and_neither_address_nor_user_agent(
    store_url: str, tmp_path: Path, file: Path
) -> None:
    config = configuration(store_url, tmp_path, geography=GeographyTable(database=str(file)))
    async with opened(config) as domain, serving(domain) as (client, _):
        copy = await to_joe(domain)
        await client.ask(copy.pixel)
        event = await _kept(domain)
        assert (event["country"], event["client"], event["system"]) == ("DE", "Firefox", "Linux")
        for rows in (await dump(domain)).values():
            assert "127.0.0.1" not in repr(rows)
            assert "Gecko" not in repr(rows)


async def test_the_policy_may_forbid_the_place(store_url: str, tmp_path: Path, file: Path) -> None:
    rule = RuleTable(domains=("people.example",), keep_place=False)
    config = configuration(
        store_url, tmp_path, geography=GeographyTable(database=str(file)), consent=ConsentTable(rule=(rule,))
    )
    async with opened(config) as domain, serving(domain) as (client, _):
        sent = await send(domain, Mail(to={"joe@people.example": (await to_joe(domain)).decision}))
        await client.ask(sent["joe@people.example"].pixel)
        event = await _kept(domain)
        assert (event["country"], event["client"]) == ("", "Firefox")
