"""The probe: after how long a tracking host counts as away, that nodes agree on it, and that it comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from support.outages import away
from support.sites import free_port, until
from support.tracking import configuration, opened
from support.web import serving

from relay.config import Config, ProbeTable
from relay.probe import Probe
from tracker.config import TrackerTable
from tracker.domain import Domain
from tracker.store.hosts import Examined, note, tracking_hosts_of

BROKEN = Examined(problem="no connection to it: connection refused")


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def a_domain(store_url: str, folder: Path) -> AsyncIterator[tuple[Domain, Config]]:
    """The whole configuration, its public URL where nobody listens yet."""
    port = free_port()
    table = TrackerTable(
        listen=f"127.0.0.1:{port}", public_url=f"http://127.0.0.1:{port}", answer_within="20s"
    )
    own = configuration(store_url, folder, tracker=table)
    config = Config(
        **{name: getattr(own, name) for name in type(own).model_fields}, probe=ProbeTable(every="1ms")
    )
    async with opened(config) as domain:
        yield domain, config


async def test_a_host_is_away_once_it_failed_for_longer_than_grace_and_back_at_once(
    store_url: str, tmp_path: Path
) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        clock, url = Clock(), config.tracker.public_url
        probe = Probe(config, domain, clock=clock)
        assert probe.is_up(url)
        await probe.look()
        assert probe.is_up(url)  # failing, and within grace
        clock.now += timedelta(minutes=6)
        await probe.look()
        assert not probe.is_up(url)
        (state,) = (await domain.database.read(tracking_hosts_of)).values()
        assert (state.url, state.problem.startswith("no connection to")) == (url, True)
        async with serving(domain):

            async def comes_back() -> bool:
                await probe.look()  # SQLite's clock knows whole seconds: within one, what was found is fresh
                return probe.is_up(url)

            await until(comes_back, "it is back")
        (state,) = (await domain.database.read(tracking_hosts_of)).values()
        assert (state.failing_since, state.problem) == (None, "")


async def test_it_fails_since_the_first_failure_in_a_row(store_url: str, tmp_path: Path) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        start = datetime(2026, 5, 1, tzinfo=UTC)

        async def find(minute: int, found: Examined) -> datetime | None:
            work = partial(
                note, url=config.tracker.public_url, found=found, now=start + timedelta(minutes=minute)
            )
            return (await domain.database.change(work)).failing_since

        assert await find(0, Examined()) is None
        assert await find(1, BROKEN) == start + timedelta(minutes=1)
        assert await find(2, BROKEN) == start + timedelta(minutes=1)
        assert await find(3, Examined()) is None
        assert await find(4, BROKEN) == start + timedelta(minutes=4)


async def test_what_one_node_found_holds_for_the_others_and_after_a_restart(
    store_url: str, tmp_path: Path
) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        url, long_ago = config.tracker.public_url, datetime.now(UTC) - timedelta(hours=1)
        await domain.database.change(partial(note, url=url, found=BROKEN, now=long_ago))
        other = Probe(config, domain, first_look=3600)
        await other.start()
        assert not other.is_up(url)
        await other.stop()


async def test_what_is_fresh_is_not_asked_for_again(store_url: str, tmp_path: Path) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        patient = config.model_copy(update={"probe": ProbeTable(every="1h")})
        url, now = config.tracker.public_url, datetime.now(UTC)
        await domain.database.change(partial(note, url=url, found=Examined(), now=now))
        probe = Probe(patient, domain)
        await probe.look()  # nobody listens there
        (state,) = (await domain.database.read(tracking_hosts_of)).values()
        assert state.failing_since is None


async def test_with_the_store_away_what_was_known_holds(store_url: str, tmp_path: Path) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        clock, url = Clock(), config.tracker.public_url
        probe = Probe(config, domain, clock=clock)
        await probe.look()
        clock.now += timedelta(hours=1)
        with away(domain.database.reads):
            await probe.look()
        assert not probe.is_up(url)


async def test_switched_off_it_takes_every_host_for_well(store_url: str, tmp_path: Path) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        url, long_ago = config.tracker.public_url, datetime.now(UTC) - timedelta(hours=1)
        await domain.database.change(partial(note, url=url, found=BROKEN, now=long_ago))
        probe = Probe(config, domain)
        await probe.start()
        assert not probe.is_up(url)
        probe.reconfigure(config.model_copy(update={"probe": ProbeTable(every="0s")}))
        assert probe.is_up(url)
        await probe.stop()


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_it_looks_by_itself(store_url: str, tmp_path: Path) -> None:
    async with a_domain(store_url, tmp_path) as (domain, config):
        probe = Probe(config, domain, first_look=0.0)
        await probe.start()
        try:
            states = partial(domain.database.read, tracking_hosts_of)
            await until(states, "it has looked")
            (state,) = (await states()).values()
            assert (state.url, state.problem.startswith("no connection to")) == (
                config.tracker.public_url,
                True,
            )
        finally:
            await probe.stop()
