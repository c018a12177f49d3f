"""Several processes on one port: every message accounted for, the fallen started again, an end in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.load import Log, arrived, load
from support.sites import ROOT, Program, Site, site, until
from support.upstream import ScriptedUpstream

from tracker.processes import keep_to_one_processor

PEOPLE = ("ann@people.example", "ben@people.example", "cat@people.example")


def workers_of(pid: int) -> list[int]:
    """The processes a parent has at the moment."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def sockets_of(pid: int) -> int:
    names = (os.readlink(one.path) for one in os.scandir(f"/proc/{pid}/fd"))
    return sum(name.startswith("socket:") for name in names)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists()


def takes_mail(where: Site) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", where.smtp_port, timeout=5) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


def capturing(folder: Path, store_url: str) -> Site:
    return site(folder, store_url, f"capture:{folder / 'captured'}")


async def test_under_load_no_message_is_lost_or_sent_twice(store_url: str, tmp_path: Path) -> None:
    """`wait_for_upstream = "0s"`, so that both workers write, claim and settle in one store at once."""
    log = Log()
    async with ScriptedUpstream() as upstream:
        tables = {"relay": {"wait_for_upstream": "0s"}}
        where = site(tmp_path, store_url, upstream.url, **tables)
        async with Program(where, "relay --workers 2") as program:
            workers = workers_of(program.pid)
            await load(where.smtp_port, log, "all", 80, sessions=12, recipients=PEOPLE)
            assert set(log.codes.values()) == {250}
            await until(lambda: len(arrived(upstream.received)) == 80, "all has arrived")
            assert set(arrived(upstream.received).values()) == {1}
            assert len(workers) == 2
            assert await program.stop() == 0
    assert "Traceback" not in program.log


async def test_connections_are_spread_over_the_workers(tmp_path: Path) -> None:
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    async with Program(where, "relay --workers 2") as program:
        await until(lambda: program.log.count('"listening"') == 2, "both listen")
        before = {pid: sockets_of(pid) for pid in workers_of(program.pid)}
        with ExitStack() as stack:
            for _ in range(60):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", where.smtp_port)))
                assert (await asyncio.to_thread(client.recv, 100)).startswith(b"220 ")
            taken = [sockets_of(pid) - before[pid] for pid in before]
    assert sum(taken) == 60
    assert min(taken) >= 10  # a fair coin falls outside once in ten million tries


async def test_a_fallen_worker_is_started_again_and_the_others_serve_on(tmp_path: Path) -> None:
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    async with Program(where, "up --workers 2") as program:
        await until(lambda: program.log.count('"listening"') == 3, "all serve")
        first = await until(lambda: (found := workers_of(program.pid)) and len(found) == 3 and found)
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: "worker-fell" in program.log, "the parent notices")
        assert await until(lambda: takes_mail(where), "mail is taken")
        now = await until(
            lambda: (found := workers_of(program.pid)) and first[0] not in found and len(found) == 3 and found
        )
        assert set(first[1:]) <= set(now)
        assert '"ended": "SIGKILL"' in program.log
        assert await program.stop() == 0
    assert not any(map(is_there, now))


async def test_workers_whose_parent_was_killed_stop_by_themselves(tmp_path: Path) -> None:
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    async with Program(where, "relay --workers 2") as program:
        workers = workers_of(program.pid)
        program.kill()
        await until(lambda: not any(map(is_there, workers)), "they are gone")
    assert program.log.count('"stopping"') == 2


async def test_a_tracker_may_have_workers_too(tmp_path: Path) -> None:
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    async with Program(where, "tracker --workers 2") as program:
        await until(lambda: program.log.count('"face": "tracker"') == 2, "both listen")
        assert len(workers_of(program.pid)) == 2
        assert await program.stop() == 0


@pytest.mark.parametrize("command", ["relay --workers 2", "up", "tracker"])
async def test_who_is_told_to_stop_again_and_again_ends_well(command: str, tmp_path: Path) -> None:
    """All processes at once, as a service manager and a terminal do it, and until the last is gone."""
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    async with Program(where, command) as program:
        everybody = [*workers_of(program.pid), program.pid]

        def tell() -> bool:
            for pid in everybody:
                for number in (signal.SIGTERM, signal.SIGINT):
                    with suppress(ProcessLookupError):
                        os.kill(pid, number)
            return Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

        await until(tell, "it has ended")
        assert await program.stop() == 0
    assert "Traceback" not in program.log


# --- what cannot work ---


def test_a_port_that_somebody_has_is_not_shared_with_them(tmp_path: Path) -> None:
    """Two programs that both share their port would both be given connections."""
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", where.smtp_port))
        other.listen()
        ended = candor("relay", "--workers", "2", "--config", str(where.config_file))
    assert ended.returncode == 1
    assert f"127.0.0.1:{where.smtp_port}: address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_workers_cannot_share_a_port_that_nobody_chose(tmp_path: Path) -> None:
    config = tmp_path / "candor.toml"
    config.write_text('[relay]\nlisten = "127.0.0.1:0"\n')
    ended = candor("relay", "--workers", "2", "--config", str(config))
    assert (ended.returncode, "port 0" in ended.stderr) == (2, True)


def candor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return python("from relay.cli import main; main()", *arguments)


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


PARENT = """
import os, signal, sys, time
from tracker import log
from tracker.processes import Parent
log.configure("readable", "info")
def stay():
    for _ in range(1200):  # a signal that comes just before a long sleep does not end it
        time.sleep(0.05)
def work(ties):
    {work}
parent = Parent(work, workers=2, prepare=lambda: {prepare}, reload=lambda: True)
sys.exit(parent.run())
"""


@pytest.mark.parametrize(
    ("prepare", "work", "code", "said"),
    [
        ("3", "return 0", 3, ""),
        ("0", "return 4", 4, "workers-given-up"),
        ("0", "raise RuntimeError('broken')", 1, "RuntimeError: broken"),
        ("0", "sys.exit(5)", 1, "workers-given-up"),
        ("0", "ties.ready(); os.kill(os.getppid(), signal.SIGTERM); stay()", 1, ""),
        (
            "0",
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit()); ties.ready(); "
            "os.kill(os.getppid(), signal.SIGTERM); stay()",
            1,
            "",
        ),
    ],
)
def test_a_parent_ends_with_what_its_workers_came_to(prepare: str, work: str, code: int, said: str) -> None:
    ended = python(PARENT.format(prepare=prepare, work=work))
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr


def test_workers_that_hear_sigterm_and_end_well_end_the_parent_well() -> None:
    work = "\n    ".join(
        (
            "signal.signal(signal.SIGTERM, lambda *_: os._exit(0))",
            "ties.ready()",
            "os.kill(os.getppid(), signal.SIGTERM)",
            "stay()",
        )
    )
    assert python(PARENT.format(prepare="0", work=work)).returncode == 0


def test_workers_hear_of_a_new_configuration_only_when_it_is_right() -> None:
    program = """
import os, signal, sys, time
from tracker.processes import Parent
answers = [False, True]
def work(ties):
    signal.signal(signal.SIGHUP, lambda *_: (print("heard", flush=True), os.kill(os.getppid(), signal.SIGTERM)))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ties.ready()
    for _ in range(1200):
        time.sleep(0.05)
def asked():
    answer = answers.pop(0)
    print("asked", answer, flush=True)
    if not answer:
        os.kill(os.getpid(), signal.SIGHUP)
    return answer
parent = Parent(work, workers=1, prepare=lambda: 0, reload=asked)
starting = parent._note_ready
def ready():
    known = parent._served
    starting()
    if parent._served and not known:
        os.kill(os.getpid(), signal.SIGHUP)
parent._note_ready = ready
sys.exit(parent.run())
"""
    ended = python(program)
    said = [line for line in ended.stdout.splitlines() if "workers-serve" not in line]
    assert (ended.returncode, said) == (0, ["asked False", "asked True", "heard"])


WINDOW = """
import os, pty, sys, time
pid, window = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-c", "from relay.cli import main; main()", *sys.argv[1:]])
said = b""
while b'"listening"' not in said:
    said += os.read(window, 4096)
os.close(window)
for _ in range(800):
    if os.waitpid(pid, os.WNOHANG)[0]:
        sys.exit(0)
    time.sleep(0.05)
os.kill(pid, 9)
sys.exit("it is still there")
"""


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_a_program_ends_when_the_window_it_was_started_in_is_closed(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """SIGHUP reads the configuration again, unless it is the terminal's last word."""
    where = capturing(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    ended = python(WINDOW, "relay", *options, "--config", str(where.config_file))
    assert ended.returncode == 0, ended.stderr
    assert not takes_mail(where)


STOPPED_AT_ONCE = """
import os, signal, sys, time
from tracker.processes import Parent
def work(ties):
    ties.ready()
    time.sleep(20)
    return 0
parent = Parent(work, workers=40, prepare=lambda: 0, reload=lambda: True)
fork = parent._fork
def fork_and_stop(life, number):
    pid = fork(life, number)
    if life is work:
        os.kill(pid, signal.SIGTERM)
    if number == 39:
        parent._stopping_until = time.monotonic() + 60  # and nobody is told twice
    return pid
parent._fork = fork_and_stop
began = time.monotonic()
parent.run()
sys.exit(time.monotonic() - began > 15)
"""


def test_a_worker_told_to_stop_before_it_has_begun_hears_it() -> None:
    ended = python(STOPPED_AT_ONCE)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
def test_as_many_workers_as_processors_have_one_each() -> None:
    mine = os.sched_getaffinity(0)
    kept = []
    try:
        for number in range(len(mine)):
            keep_to_one_processor(number, workers=len(mine))
            kept.append(os.sched_getaffinity(0))
            os.sched_setaffinity(0, mine)
        keep_to_one_processor(0, workers=len(mine) - 1)
        assert os.sched_getaffinity(0) == mine, "fewer than processors may use them all"
    finally:
        os.sched_setaffinity(0, mine)
    assert set().union(*kept) == mine
    assert {len(one) for one in kept} == {1}
