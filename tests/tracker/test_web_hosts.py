"""Several brands behind one tracker: each host's pages speak for its own house; and the files for apps."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.tracking import configuration, opened, to_joe
from support.web import Client, serving

from tracker.config import Config, HostTable, PreferencesTable, TrackerTable, load
from tracker.domain import Domain
from tracker.errors import ConfigError
from tracker.reload import TRACKER_CHANGES, renewed

APPS = {"applinks": {"details": [{"appIDs": ["ABCDE.example.shop"], "components": [{"/": "/c/*"}]}]}}
APPLE = ("/.well-known/apple-app-site-association", "/apple-app-site-association")
ANDROID = "/.well-known/assetlinks.json"
PAINT = "<svg xmlns='http://www.w3.org/2000/svg'/>"


@pytest.fixture
async def brands(store_url: str, tmp_path: Path) -> AsyncIterator[tuple[Client, Domain]]:
    (tmp_path / "aasa.json").write_text(json.dumps(APPS))
    (tmp_path / "links.json").write_text("[]")
    (tmp_path / "logo.svg").write_text(PAINT)
    wine = HostTable(
        public_url="https://t.wine.example",
        senders=("@wine.example", "@*.wine.example"),
        sender_name="The Cellar",
        contact="cellar@wine.example",
        logo=str(tmp_path / "logo.svg"),
        language="fr",
        apple_app_site_association=str(tmp_path / "aasa.json"),
    )
    plain = HostTable(public_url="https://t.plain.example:8443/mail", senders=("news@plain.example",))
    table = TrackerTable(
        listen="127.0.0.1:0",
        answer_within="20s",
        public_url="https://t.shop.example",
        asset_links=str(tmp_path / "links.json"),
        host=(wine, plain),
    )
    house = PreferencesTable(sender_name="The Shop", contact="https://shop.example/data")
    async with (
        opened(configuration(store_url, tmp_path, tracker=table, preferences=house)) as domain,
        serving(domain) as (client, _),
    ):
        yield client, domain


@pytest.mark.parametrize(
    ("host", "name", "contact", "language"),
    [
        ("t.shop.example", "The Shop", "https://shop.example/data", b"en"),
        ("t.wine.example", "The Cellar", "cellar@wine.example", b"fr"),
        ("T.Wine.Example:443", "The Cellar", "cellar@wine.example", b"fr"),
        ("t.plain.example:8443", "The Shop", "https://shop.example/data", b"en"),
        ("elsewhere.example", "The Shop", "https://shop.example/data", b"en"),
        ("", "The Shop", "https://shop.example/data", b"en"),
    ],
)
async def test_each_hosts_page_speaks_for_its_house(
    host: str, name: str, contact: str, language: bytes, brands: tuple[Client, Domain]
) -> None:
    client, domain = brands
    copy = await to_joe(domain)
    page = await client.ask(copy.page, headers={"Host": host})
    assert page.status == 200
    assert (name in page.text, contact in page.text) == (True, True)
    assert page.header("Content-Language") == language
    assert ("data:image/svg+xml" in page.text) is (name == "The Cellar")
    missing = await client.ask("/c/cut", headers={"Host": host})
    assert (missing.status, missing.header("Content-Language")) == (404, language)


async def test_a_link_leads_on_at_every_host(brands: tuple[Client, Domain]) -> None:
    client, domain = brands
    copy = await to_joe(domain)
    for host in ("t.shop.example", "t.wine.example", "elsewhere.example"):
        assert (await client.ask(copy.link(), headers={"Host": host})).status == 302


async def test_telephones_find_the_files_for_their_apps_where_there_are_some(
    brands: tuple[Client, Domain],
) -> None:
    client, _ = brands
    for path in APPLE:
        found = await client.ask(path, headers={"Host": "t.wine.example"})
        assert (found.status, json.loads(found.body)) == (200, APPS)
        assert found.header("Content-Type") == b"application/json"
        assert (await client.ask(path, headers={"Host": "t.shop.example"})).status == 404
    found = await client.ask(ANDROID, headers={"Host": "t.shop.example"})
    assert (found.status, found.body) == (200, b"[]")
    assert (await client.ask(ANDROID, headers={"Host": "t.wine.example"})).status == 404


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_host_that_is_named_later_needs_no_restart(
    brands: tuple[Client, Domain], tmp_path: Path
) -> None:
    client, domain = brands
    before = domain.config
    host = HostTable(
        public_url="https://t.tea.example",
        senders=("@tea.example",),
        sender_name="The Tea House",
        asset_links=str(tmp_path / "links.json"),
    )
    table = before.tracker.model_copy(update={"host": (host,), "asset_links": ""})
    config, waiting = renewed(before, before.model_copy(update={"tracker": table}), TRACKER_CHANGES)
    assert waiting == []
    domain.reconfigure(config)
    assert config.tracker.url_for("news@tea.example") == "https://t.tea.example"
    copy = await to_joe(domain)
    page = await client.ask(copy.page, headers={"Host": "t.tea.example"})
    assert "The Tea House" in page.text
    statuses = [
        (await client.ask(ANDROID, headers={"Host": name})).status
        for name in ("t.tea.example", "t.shop.example", "t.wine.example")
    ]
    assert statuses == [200, 404, 404]


@pytest.mark.parametrize(
    ("sender", "url"),
    [
        ("news@wine.example", "https://t.wine.example"),
        ("news@old.wine.example", "https://t.wine.example"),
        ("news@plain.example", "https://t.plain.example:8443/mail"),
        ("other@plain.example", "https://t.shop.example"),
        ("news@shop.example", "https://t.shop.example"),
        ("", "https://t.shop.example"),
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_mail_of_a_sender_carries_their_host(
    sender: str, url: str, brands: tuple[Client, Domain]
) -> None:
    assert brands[1].config.tracker.url_for(sender) == url


WRONG = [
    ('[[tracker.host]]\nsenders = ["@shop.example"]', "host.0.public_url", "required"),
    ('[[tracker.host]]\npublic_url = "t.example"', "host.0.public_url", "public base URL"),
    (
        '[[tracker.host]]\npublic_url = "https://t.example"\nsenders = ["shop"]',
        "host.0.senders.0",
        "@shop.example",
    ),
    ('[[tracker.host]]\npublic_url = "https://t.example"\nlogo = "x.exe"', "host.0.logo", "image file"),
    ('[[tracker.host]]\npublic_url = "https://t.example"\ncolour = "red"', "host.0.colour", "no such key"),
    ('[tracker]\nasset_links = "/nowhere"', "asset_links", "cannot be read"),
    ('[tracker]\nasset_links = "FILE"', "asset_links", "not JSON"),
]


@pytest.mark.parametrize(("text", "key", "said"), WRONG)
def test_what_is_wrong_with_a_host_is_named(text: str, key: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "candor.toml").write_text(text.replace("FILE", str(tmp_path / "no.json")))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "candor.toml", Config)
    assert f"[tracker] {key}" in str(caught.value)
    assert said in str(caught.value)
