"""What monitoring sees of several processes: one view of them all, whichever answers, and whoever falls."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import smtplib
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from support.load import Log, load
from support.people import newsletter, send
from support.sites import ROOT, Program, free_port, site, until
from support.upstream import ScriptedUpstream, lose, on, say

from relay.cli.serve import MailNumbers

_LINE = re.compile(r"^([a-z_]+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
TO = "ann@people.example"


def scraped(port: int) -> dict[str, float]:
    """Asked again where a process died with the question."""
    for _ in range(1200):
        with suppress(OSError):
            return _scraped(port)
        time.sleep(0.05)
    raise AssertionError("nobody answers")


def _scraped(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return {name: float(value) for name, value in _LINE.findall(response.read().decode())}


def workers_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize("command", ["relay --workers 2", "up --workers 2"])
async def test_all_workers_are_added_up_and_a_fallen_one_takes_nothing_along(
    command: str, store_url: str, tmp_path: Path
) -> None:
    port = free_port()
    rules = (
        on("rcpt", say("550 5.1.1 No such user"), match="gone@"),
        on("rcpt", say("451 4.2.1 Not now"), match="busy@"),
    )
    async with ScriptedUpstream(*rules, on("dot", lose(), match="<late@")) as upstream:
        tables = {"relay": {"admin_listen": f"127.0.0.1:{port}"}, "admin": {"listen": f"127.0.0.1:{port}"}}
        where = site(tmp_path, store_url, upstream.url, **tables)
        async with Program(where, command) as program:
            number = len(workers_of(program.pid))
            await until(lambda: scraped(port)["candor_processes"] == number, "all serve")
            log = Log()
            await load(where.smtp_port, log, "all", 30, sessions=12, recipients=[TO])
            assert (await send(where.smtp_port, newsletter(), "gone@people.example"))[0] == 550
            assert (await send(where.smtp_port, newsletter(), "busy@people.example"))[0] == 451
            assert (await send(where.smtp_port, newsletter(), TO, sender="late@shop.example"))[0] == 451
            await turned_away(where.smtp_port)
            before = scraped(port)
            assert before['candor_messages_total{answer="accepted"}'] == 30
            assert before['candor_messages_total{answer="refused"}'] == 1 + len(TURNED_AWAY)
            assert before['candor_messages_total{answer="put-off"}'] == 2
            assert before['candor_outcomes_total{status="accepted"}'] == 30
            assert before['candor_outcomes_total{status="bounced"}'] == 1
            assert before["candor_maybe_sent_twice_total"] == 1
            assert before["candor_answer_seconds_count"] == before["candor_message_octets_count"] == 33
            assert before['candor_queue_recipients{state="waiting"}'] == 0
            assert all(seen(scraped(port)) == seen(before) for _ in range(8)), "it depends on who is asked"
            os.kill(workers_of(program.pid)[0], signal.SIGKILL)
            await until(
                lambda: scraped(port)["candor_processes"] == number - 1, "the fallen one is not counted"
            )
            assert seen(scraped(port)) == seen(before)
            await until(lambda: scraped(port)["candor_processes"] == number, "another is there")
            assert (await send(where.smtp_port, newsletter(), TO))[0] == 250
            after = scraped(port)
            assert after["candor_process_starts_total"] == number + 1
            assert after['candor_messages_total{answer="accepted"}'] == 31
            assert await program.stop() == 0
    assert "people.example" not in str(before)


TURNED_AWAY = {
    "its size": ("MAIL FROM:<a@shop.example> SIZE=999999999", "552"),
    "its sender": ("MAIL FROM:<not an address>", "501"),
    "its recipients": ("MAIL FROM:<a@shop.example>", "RCPT TO:<x>", "RCPT TO:<@>", "DATA", "RSET", "250"),
    "its recipients, at the end": ("MAIL FROM:<a@shop.example>", "RCPT TO:<x>", "501"),
    "its bytes": ("MAIL FROM:<a@shop.example>", "RCPT TO:<b@shop.example>", "DATA", "bare\n\r\n.", "550"),
}
"""What is said of a message that the intake itself refuses, and its last word."""


async def turned_away(port: int) -> None:
    for *said, last in TURNED_AWAY.values():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for line in ("EHLO x", "RSET", *said):
            writer.write(line.encode() + b"\r\n")
        writer.write(b"QUIT\r\n")
        *_, answer, _ = (await reader.read()).splitlines()
        assert answer.startswith(last.encode()), answer
        writer.close()
        await writer.wait_closed()


def test_the_page_for_operators_names_every_metric_and_no_other() -> None:
    numbers = MailNumbers()
    exposed = set(re.findall(r"^# TYPE (\S+)", numbers.sheet.text(), re.MULTILINE))
    looked_up = {"candor_queue_recipients", "candor_queue_oldest_seconds", "candor_store_up"}
    page = (ROOT / "docs" / "operating.md").read_text().partition("## Numbers")[2]
    assert set(re.findall(r"`(candor_[a-z_]+)[{`]", page)) == exposed | looked_up


def seen(found: dict[str, float]) -> dict[str, float]:
    """What was counted of mail."""
    return {name: value for name, value in found.items() if "messages" in name or "outcomes" in name}


async def test_gauges_say_how_things_are(tmp_path: Path) -> None:
    port = free_port()
    where = site(
        tmp_path,
        f"sqlite:///{tmp_path / 'candor.db'}",
        f"smtp://127.0.0.1:{free_port()}",
        relay={"admin_listen": f"127.0.0.1:{port}", "wait_for_upstream": "0s"},
    )
    async with Program(where, "relay") as program:
        with smtplib.SMTP("127.0.0.1", where.smtp_port):
            await until(lambda: scraped(port)["candor_smtp_sessions"] == 1, "the session is seen")
        await until(lambda: scraped(port)["candor_smtp_sessions"] == 0, "its end is seen")
        for _ in range(6):
            assert (await send(where.smtp_port, newsletter(), TO))[0] == 250
        await until(lambda: scraped(port)["candor_upstream_away"] == 1, "upstream is seen to be away")
        found = scraped(port)
        assert (
            found['candor_queue_recipients{state="waiting"}']
            + found['candor_queue_recipients{state="sending"}']
            == 6
        )
        assert found["candor_queue_oldest_seconds"] > 0
        assert found['candor_store_up{direction="reads"}'] == 1
        assert await program.stop() == 0


async def test_trackers_are_added_up_too(tmp_path: Path) -> None:
    port = free_port()
    where = site(
        tmp_path, f"sqlite:///{tmp_path / 'candor.db'}", "capture:x", admin={"listen": f"127.0.0.1:{port}"}
    )
    async with Program(where, "tracker --workers 2") as program:
        await until(lambda: scraped(port)["candor_processes"] == 2, "both serve")
        await asyncio.gather(*(asyncio.to_thread(bad_hit, where.web_port) for _ in range(20)))
        assert [scraped(port)["candor_bad_tokens_total"] for _ in range(6)] == [20] * 6
        for pid in workers_of(program.pid):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: scraped(port)["candor_process_starts_total"] == 4, "they are back")
        assert scraped(port)["candor_bad_tokens_total"] == 20
        assert await program.stop() == 0


def bad_hit(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/o/nonsense.gif", timeout=30) as response:
        assert response.status == 200
