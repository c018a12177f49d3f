"""The page on the system's health: what is well and what is not, also while the store is away, and no secret."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel
from support.operators import HASH, Visit, visiting, words
from support.outages import away
from support.queued import relay_configuration, wait
from support.tracking import opened

from relay.config import Config
from relay.desk import MailDesk
from relay.findings import at_once
from relay.upstream import ServerState
from relay.upstream.transaction import Condition
from tracker.config.summary import HIDDEN, summary
from tracker.desk import Finding, Found
from tracker.domain import Domain
from tracker.store import jobs
from tracker.store.hosts import Examined, note

NOW = datetime.now(UTC)
SECRET = "sesame-open"
TABLES: dict[str, Any] = {
    "store": {"url": f"postgresql://candor:{SECRET}@db.example/candor?sslmode=require&password={SECRET}"},
    "lookup": {
        "url": f"https://crm:{SECRET}@crm.example/ask?address={{address}}&key={SECRET}",
        "token": SECRET,
    },
    "relay": {"user": [{"name": "shop", "password_hash": HASH, "tags": ["a", "b"]}]},
    "admin": {"user": [{"name": "ann", "password_hash": HASH, "role": "viewer"}]},
    "upstream": {
        "server": [
            {"name": "one", "url": f"smtps://me:{SECRET}@mail.example"},
            {
                "name": "two",
                "url": "smtp://mail2.example",
                "user": "me",
                "password": SECRET,
                "tls": "require",
            },
        ]
    },
}
DOWN = ServerState(
    name="one",
    host="mail.example:25",
    condition=Condition.DOWN,
    down_until=NOW + timedelta(minutes=1),
    failures=5,
    last_error="421 <b>busy</b>",
    last_error_at=NOW,
)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(relay_configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def visit(domain: Domain) -> AsyncIterator[Visit]:
    config = domain.config
    assert isinstance(config, Config)
    worst = Found(about="disk", state=Finding.WRONG, found="full of <b>", advice="make room")
    desk = MailDesk(domain, upstreams=lambda: (DOWN,), findings=lambda: [*at_once(config), worst])
    async with visiting(domain, desk) as visits:
        yield visits[""]


async def test_it_shows_what_is_well_and_what_is_not(domain: Domain, visit: Visit) -> None:
    (url,) = domain.config.tracker.urls
    found = Examined(problem="no <answer>", certificate_until=NOW + timedelta(days=3, hours=1))
    await domain.database.change(partial(note, url=url, found=found, now=NOW))
    await domain.database.change(
        lambda one: jobs.claim(one, "purge", holder="x", now=NOW, hold=timedelta(hours=1))
    )
    await domain.database.change(lambda one: jobs.failed(one, "purge", holder="x", now=NOW, due_at=NOW))
    await wait(domain, "ann@one.example")
    shown = await visit.page("/health")
    told = words(shown)
    for part in (
        "The store takes questions and writes",
        "Waiting to be sent 1",
        "disk wrong full of <b> make room",
        "keys ok 1 in",
        "mail.example:25 down until",
        "421 <b>busy</b>",
        "no <answer>",
        "3 days left",
        "purge – ",
        "failed 1 time",
        domain.ring.newest.id.hex(),
        "sealed with it",
        domain.database.shown_url,
        " free of ",
        "Candor 0.",
    ):
        assert part in told, part
    assert "<b>" not in shown.text
    assert told.index("disk wrong") < told.index("keys ok")


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_it_is_there_while_the_store_is_away(domain: Domain, visit: Visit) -> None:
    with away(domain.database.reads), away(domain.database.writes):
        told = words(await visit.page("/health"))
    assert "The store does not take questions or writes" in told
    assert "mail.example:25" in told
    assert domain.ring.newest.id.hex() in told


def test_no_secret_is_in_the_summary_of_a_configuration() -> None:
    found = summary(Config.model_validate(TABLES))
    told = "\n".join(f"{one.table}.{one.key} = {one.value}" for one in found)
    assert SECRET not in told
    assert HASH not in told
    for part in (
        f"store.url = postgresql://candor:{HIDDEN}@db.example/candor?",
        f"lookup.token = {HIDDEN}",
        "crm.example/ask?address={address}&key=",
        "relay.user[0].tags = a, b",
        f"relay.user[0].password_hash = {HIDDEN}",
        f"upstream.server[1].password = {HIDDEN}",
        "upstream.server[1].user = me",
        "tracker.listen = 127.0.0.1:8080",
        "tracker.bad_tokens = ",
    ):
        assert part in told, part
    assert [one.key for one in found if one.table == "store" and not one.is_default] == ["url"]
    assert all(one.is_default for one in summary(Config()))


def options(model: type[BaseModel]) -> Iterator[str]:
    """Every key of every table."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = next((one for one in get_args(kind) if isinstance(one, type)), kind)
        below = inner if get_origin(kind) is tuple else kind
        if isinstance(below, type) and issubclass(below, BaseModel):
            yield from options(below)
        else:
            yield name


SHOWN = {"bad_tokens", "keys_file", "private_key", "client_key", "key"}
"""Keys whose name sounds like a secret's and whose value is none: files' names, a rate, tables."""


def test_every_option_that_sounds_like_a_secret_is_hidden() -> None:
    sounding = {
        key
        for key in options(Config)
        if any(word in key for word in ("password", "secret", "token", "hash", "key", "credential"))
    } - SHOWN
    assert sounding >= {"password", "password_hash", "token"}
    for key in sounding:
        kind = type("Table", (BaseModel,), {"__annotations__": {key: str}, key: ""})
        config = type("Config", (BaseModel,), {"__annotations__": {"table": kind}, "table": kind()})
        (one,) = summary(config(table=kind(**{key: SECRET})))
        assert one.value == HIDDEN, key
