"""Faults as they happen to real programs: killed at the worst moments, a disk without room, a clock that jumps.

Where each row of the specification's fault table is shown:

    client leaves in the middle of DATA, after the dot          relay/test_intake_faults
    no connection, 421, 4xx or 5xx greeting                     relay/test_upstream, test_upstream_failover
    upstream drops after DATA, is too slow                      relay/test_upstream, test_upstream_failover
    some RCPT refused or put off, 452 too many                  relay/test_upstream; flows/test_queue
    login refused, bad certificate, no STARTTLS                 relay/test_upstream_tls, test_upstream_failover
    malformed or endless reply                                  relay/test_upstream
    shutdown in the middle of a send                            relay/test_upstream; flows/test_queue
    smuggling                                                   relay/test_intake_content, _chunking, _dialogue
    NUL, control bytes, paths, parameters, sizes, recipients    relay/test_intake_dialogue, _paths, _parameters
    long lines                                                  relay/test_intake_dialogue, test_upstream
    null sender, bounce of a bounce, loops                      flows/test_modes, test_reports, test_clients
    no 8BITMIME, SMTPUTF8 or DSN upstream                       relay/test_upstream_negotiation; flows/test_reports
    AUTH without TLS, password guessing                         relay/test_intake_tls
    too many connections, slow clients, HTTP                    relay/test_intake_limits
    disk nearly full                                            flows/test_upstream_away; full: here
    store locked or gone                                        flows/test_store_away; relay/test_upstream (unanimous)
    kill -9                                                     here at chosen moments; flows/test_crash at random ones
    restart with a long queue                                   flows/test_soak
    damaged rows                                                flows/test_leases, test_queue_commands
    clocks, leases, several nodes                               here; flows/test_leases, test_queue
    malformed MIME                                              flows/test_odd_mail; relay/test_rewrite_hostile
    dots                                                        relay/test_intake_content, test_upstream_content
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from structlog.testing import capture_logs
from support.load import Log, arrived
from support.people import newsletter, send, statuses
from support.sites import Program, Site, domain_of, free_port, running, site, until
from support.stores import Stores
from support.upstream import ScriptedUpstream, hang, on, say, slow
from support.waiting import nothing_waits

TO = "ann@people.example"
QUICK = {"first_retry": "200ms", "longest_retry": "1s", "min_free": "0B"}


# --- kill -9 ---


async def test_killed_before_the_commit_the_client_has_no_250(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'candor.db'}"
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, url, upstream.url, relay={"wait_for_upstream": "0s"}, queue=QUICK)
        async with Program(where, "relay") as program:
            with locked(url):
                sending = asyncio.create_task(send(where.smtp_port, newsletter(), TO))
                await asyncio.sleep(0.5)  # the dot is said, and the commit waits for the lock
                assert not sending.done()
                program.kill()
                with pytest.raises(smtplib.SMTPServerDisconnected):
                    await sending
            await program.start()
            async with domain_of(where) as domain:
                assert await nothing_waits(domain)
                assert (await send(where.smtp_port, newsletter(subject="the next"), TO))[0] == 250
                await until(lambda: upstream.received, "the next one goes")
            assert await program.stop() == 0
    assert [b"the next" in one.data for one in upstream.received] == [True]


@pytest.mark.parametrize("store_kind", ["sqlite", "postgresql"])
async def test_killed_after_the_commit_it_is_delivered_after_the_restart(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream(on("mail", hang(), times=1)) as upstream:
        where = site(tmp_path, store_url, upstream.url, relay={"wait_for_upstream": "0s"}, queue=QUICK)
        async with Program(where, "relay") as program, domain_of(where) as domain:
            assert (await send(where.smtp_port, newsletter(), TO))[0] == 250
            await upstream.said("MAIL")
            program.kill()
            assert upstream.received == []
            await program.start()
            await until(lambda: nothing_waits(domain), "it is delivered")
            assert await program.stop() == 0
    assert [one.addresses for one in upstream.received] == [(TO,)]


@pytest.mark.parametrize(("wait", "copies"), [("0s", 2), ("20s", 1)])
async def test_killed_when_upstream_has_it_there_is_one_more_copy_at_most(
    wait: str, copies: int, tmp_path: Path
) -> None:
    """Upstream has said 250, and that is written nowhere yet: the store is locked. Who answered at once owes the mail
    and sends it again; who waited never answered, so the client has its own."""
    url = f"sqlite:///{tmp_path / 'candor.db'}"
    async with ScriptedUpstream(on("dot", slow(0.5), times=1)) as upstream:
        where = site(tmp_path, url, upstream.url, relay={"wait_for_upstream": wait}, queue=QUICK)
        async with Program(where, "relay") as program, domain_of(where) as domain:
            sending = asyncio.create_task(send(where.smtp_port, newsletter(), TO))
            await upstream.said(".")
            with locked(url):
                await until(lambda: upstream.received, "upstream has it")
                if wait == "0s":
                    await until(sending.done, "the client has its answer")
                await asyncio.sleep(0.3)
                assert sending.done() == (wait == "0s")
                program.kill()
                (heard,) = await asyncio.gather(sending, return_exceptions=True)
            assert isinstance(heard, tuple if wait == "0s" else smtplib.SMTPServerDisconnected)
            await program.start()
            await until(lambda: nothing_waits(domain), "the queue is empty")
            assert await program.stop() == 0
    assert len(upstream.received) == copies


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program holds the only writer's place."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


# --- a disk that is full ---

SMALL_DISK = 'mount -t tmpfs -o size=10m tmpfs "$0" && head -c 6000000 /dev/zero > "$0/ballast" && exec "$@"'
OWN_MOUNTS = ("unshare", "--map-root-user", "--mount", "sh", "-c")


def may_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = subprocess.run([*OWN_MOUNTS, SMALL_DISK, folder, "true"], capture_output=True, timeout=60)
    return trial.returncode == 0


async def test_a_full_disk_is_451_and_what_was_acknowledged_goes_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("this machine lets nobody mount a small disk of their own")
    port, log = free_port(), Log()
    tables = {"relay": {"wait_for_upstream": "0s"}, "queue": QUICK}
    where = site(tmp_path, f"sqlite:///{disk / 'candor.db'}", f"smtp://127.0.0.1:{port}", **tables)
    async with Program(where, "relay", within=(*OWN_MOUNTS, SMALL_DISK, str(disk))) as program:
        big = "X-Padding: " + "x" * 900 + "\r\n"
        for number in range(40):
            data = newsletter(header=f"X-Number: full-{number}\r\n" + big * 150)
            log.codes[f"full-{number}"], text = await send(where.smtp_port, data, TO)
            assert (log.codes[f"full-{number}"], text[:5]) in ((250, "2.0.0"), (451, "4.3.0")), text
        assert {250, 451} == set(log.codes.values())
        Path(f"/proc/{program.pid}/root{disk}/ballast").unlink()
        async with ScriptedUpstream(port=port) as upstream:
            await until(lambda: set(arrived(upstream.received)) >= log.acknowledged, "all of it goes")
            await until(lambda: taken_again(where), "new mail is taken")
            assert await program.stop() == 0
        counted = arrived(one for one in upstream.received if b"X-Padding" in one.data)
        assert set(counted) == log.acknowledged
        assert set(counted.values()) == {1}
    assert "Traceback" not in program.log
    assert "people.example" not in program.log


async def taken_again(where: Site) -> bool:
    return (await send(where.smtp_port, newsletter(header="X-Number: again-0\r\n"), TO))[0] == 250


# --- a clock that jumps ---

CLOCK = """
CREATE TABLE public.wrong (ahead interval);
INSERT INTO public.wrong VALUES ('0');
CREATE FUNCTION public.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.statement_timestamp() + (SELECT ahead FROM public.wrong)';
"""


@pytest.mark.parametrize("jump", ["10 days", "-10 days"])
async def test_mail_outlives_a_clock_that_jumps(
    jump: str, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's clock itself, as all nodes see it. Forward: nothing expires, nobody is told of a delay. Backward:
    nothing waits until the clock is where it was."""
    monkeypatch.setattr("relay.worker.LEASE_SECONDS", 2.0)
    short = {"queue": {"first_retry": "500ms", "longest_retry": "500ms", "lifetime": "5d"}}
    async with stores.empty("postgresql", tmp_path) as url:
        async with asyncpg.create_pool(url, min_size=1, max_size=1) as clock:
            await clock.execute(CLOCK)
            name = await clock.fetchval("SELECT current_database()")
            await clock.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
            with capture_logs() as said:
                async with ScriptedUpstream(on("mail", say("451 4.3.0 Not now"), times=30)) as upstream:
                    where = site(tmp_path, url, upstream.url, relay={"wait_for_upstream": "0s"}, **short)
                    async with running(where) as domain:
                        people = [f"p{number}@people.example" for number in range(5)]
                        for person in people:
                            assert (await send(where.smtp_port, newsletter(), person))[0] == 250
                        await until(lambda: len(upstream.commands) > 20, "all were tried twice")
                        await clock.execute("UPDATE public.wrong SET ahead = $1::text::interval", jump)
                        await until(lambda: nothing_waits(domain), "all is delivered")
                        assert set((await statuses(domain)).values()) == {"accepted"}
        assert sorted(one.addresses[0] for one in upstream.received) == people
        noticed = [round(one["seconds"] / 86400) for one in said if one["event"] == "clock-jumped"]
        assert noticed[0] == int(jump.removesuffix(" days"))
