"""SIGHUP: a new configuration takes effect while connections and running mail go on; a wrong one does not."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import smtplib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.people import SENDER, browsing, newsletter, send
from support.sites import Program, Site, command, free_port, running, site, until
from support.upstream import ScriptedUpstream, hang, on, slow

from relay.capture import captured
from relay.config import CHANGES, Config, load
from relay.service import Relay
from tracker.domain import Domain
from tracker.errors import ConfigError
from tracker.policy import Unknown
from tracker.reload import ALL, renewed

TO = "ann@people.example"


class Running:
    """A program whose configuration the test edits."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def pid(self) -> int:
        return self._program.pid

    def workers(self) -> list[int]:
        pid = self._program.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def edit(self, old: str = "", new: str = "") -> None:
        """Changes the file, and says so to the program."""
        file = self._program.site.config_file
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new) if old else text)
        os.kill(self._program.pid, signal.SIGHUP)

    def events(self, name: str) -> list[dict[str, object]]:
        """What the log says under this name."""
        return [one for one in map(json.loads, self._program.log.splitlines()) if one["event"] == name]

    async def reloaded(self, times: int = 1) -> None:
        await until(lambda: len(self.events("configuration-reloaded")) == times, "it is taken")


@asynccontextmanager
async def program(where: Site, name: str = "up") -> AsyncIterator[Running]:
    async with Program(where, name) as started:
        yield Running(started)
        assert await started.stop() == 0
    assert "Traceback" not in started.log


def capturing(folder: Path, **tables: dict[str, object]) -> Site:
    return site(folder, f"sqlite:///{folder / 'candor.db'}", f"capture:{folder / 'captured'}", **tables)


def banner(where: Site) -> str:
    with smtplib.SMTP(timeout=30) as client:
        return client.connect("127.0.0.1", where.smtp_port)[1].decode()


@pytest.mark.parametrize("name", ["up", "relay --workers 2"])
async def test_new_sessions_go_by_the_new_file_and_open_ones_go_on(name: str, tmp_path: Path) -> None:
    where = capturing(tmp_path)
    async with program(where, name) as here:
        with smtplib.SMTP("127.0.0.1", where.smtp_port, timeout=30) as client:
            here.edit("relay.example", "changed.example")
            await until(lambda: banner(where).startswith("changed.example "), "new sessions see it")
            answer = await asyncio.to_thread(client.sendmail, SENDER, [TO], newsletter())
            assert answer == {}
            assert b"relay.example" in client.ehlo()[1]
        assert len(here.events("configuration-reloaded")) == 1
        assert here.events("needs-restart") == []


async def test_what_needs_a_restart_is_named_and_stays(tmp_path: Path) -> None:
    where = capturing(tmp_path)
    async with program(where) as here:
        here.edit('ask_within = "20s"', 'ask_within = "21s"')
        await until(lambda: here.events("needs-restart"), "the log says so")
        here.edit(f'listen = "127.0.0.1:{where.smtp_port}"', 'listen = "127.0.0.1:1"')
        await here.reloaded(2)
        options = [line["option"] for line in here.events("needs-restart")]
        assert sorted(map(str, options)) == ["[relay] listen", *["[store] ask_within"] * 2]
        assert banner(where)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('hostname = "relay.example"', 'hostname = "other"\nport = 25', "[relay] port: no such key"),
        ('hostname = "relay.example"', 'hostname = "other', "not TOML"),
        (
            'hostname = "relay.example"',
            'hostname = "other"\ncertificate = "no.pem"\nprivate_key = "no.key"',
            "there is no file no.pem",
        ),
    ],
)
async def test_a_wrong_file_is_refused_loudly_and_changes_nothing(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    where = capturing(tmp_path)
    async with program(where) as here:
        here.edit(old, new)
        (refused,) = await until(lambda: here.events("configuration-refused"), "the log says so")
        assert refused["level"] == "error"
        assert problem in str(refused["problem"])
        assert banner(where).startswith("relay.example ")
        here.edit(new, old)  # and right again
        await here.reloaded()


async def test_of_several_processes_all_take_a_new_file_or_none(tmp_path: Path) -> None:
    """The file is right for a start. A running listener with implicit TLS goes on needing its certificate, which only
    those who take mail would notice: the tracker must not go by the new file alone."""
    certificate, key = Authority(tmp_path).client("localhost")
    files = {"certificate": str(certificate), "private_key": str(key)}
    where = capturing(
        tmp_path / "site",
        relay={"listen_tls": f"127.0.0.1:{free_port()}", **files},
        consent={"unknown": "deny"},
    )
    text = where.config_file.read_text()
    tls = [
        line for line in text.splitlines() if line.startswith(("listen_tls", "certificate", "private_key"))
    ]
    async with program(where, "up --workers 2") as here:
        await until(lambda: len(here.events("listening")) == 5, "all listen")
        assert {line.get("worker") for line in here.events("listening")} == {0, 1, 2}
        where.config_file.write_text(text.replace('unknown = "deny"', 'unknown = "track"'))
        here.edit("\n".join(tls))
        (refused,) = await until(lambda: here.events("configuration-refused"), "the log says so")
        assert "listen_tls needs it" in str(refused["problem"])
        where.config_file.write_text(text)
        here.edit("relay.example", "changed.example")
        await until(lambda: banner(where).startswith("changed.example "), "and right again")
        assert [line.get("worker") for line in here.events("configuration-refused")] == [None]


async def test_a_renewed_certificate_is_shown_to_new_handshakes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.client("localhost")
    tls = {"certificate": str(certificate), "private_key": str(key)}
    where = capturing(tmp_path / "site", relay=tls)

    def shown() -> bytes | None:
        context = ssl.create_default_context(cafile=str(authority.path))
        with smtplib.SMTP("localhost", where.smtp_port, timeout=30) as client:
            client._host = "localhost"
            client.starttls(context=context)
            assert isinstance(client.sock, ssl.SSLSocket)
            return client.sock.getpeercert(binary_form=True)

    async with program(where) as here:
        before = await asyncio.to_thread(shown)
        authority.client("localhost")  # a new one under the same names
        here.edit()
        await here.reloaded()
        after = await asyncio.to_thread(shown)
    assert before != after


async def test_mail_goes_to_the_new_upstream_while_the_old_one_ends_what_it_began(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream(on("dot", slow(1.0))) as old, ScriptedUpstream() as new:
        where = site(tmp_path, store_url, old.url)
        async with program(where) as here:
            first = asyncio.create_task(send(where.smtp_port, newsletter(), TO))
            await until(lambda: any(line.startswith("DATA") for line in old.commands), "it has begun")
            here.edit(old.url, new.url)
            await here.reloaded()
            await send(where.smtp_port, newsletter(), TO)
            await first
        assert (len(old.received), len(new.received)) == (1, 1)


async def test_what_an_old_configuration_began_holds_up_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try that hangs, of a generation that is gone: the relay waits for it no longer than for any other."""
    monkeypatch.setattr("relay.service.GRACE", 0.5)
    async with ScriptedUpstream(on("dot", hang())) as old, ScriptedUpstream() as new:
        tables: dict[str, dict[str, Any]] = {
            "relay": {"wait_for_upstream": "100ms"},
            "queue": {"first_retry": "100ms"},
        }
        where = site(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}", old.url, **tables)
        config = load(where.config_file)
        domain = await Domain.open(config)
        relay = Relay(config, domain)
        try:
            await relay.start()
            assert (await send(where.smtp_port, newsletter(), TO))[0] == 250
            table = config.upstream.model_copy(update={"url": new.url})
            relay.reload(config.model_copy(update={"upstream": table}))
            assert relay.generation.routing.name in new.url
        finally:
            await asyncio.wait_for(relay.stop(), timeout=15)
            await domain.close()
        where.config_file.write_text(where.config_file.read_text().replace(old.url, new.url))
        async with running(where):  # it is in the queue, and its lease was given back
            await until(lambda: new.received, "the next start sends it")


async def test_a_configuration_that_cannot_hold_leaves_the_old_one_whole(tmp_path: Path) -> None:
    where = capturing(tmp_path)
    config = load(where.config_file)
    domain = await Domain.open(config)
    relay = Relay(config, domain)
    try:
        await relay.start()
        before, policy = relay.generation, domain.policy
        tables = {
            "relay": config.relay.model_copy(update={"certificate": "no.pem", "private_key": "no.key"}),
            "consent": config.consent.model_copy(update={"unknown": Unknown.DENY}),
        }
        with pytest.raises(ConfigError, match=r"no\.pem"):
            relay.reload(config.model_copy(update=tables))
        assert (relay.generation, domain.policy) == (before, policy)
        relay.reload(config)
        assert relay.generation.upstream is before.upstream  # the same settings: its connections stay
        assert (await send(where.smtp_port, newsletter(), TO))[0] == 250
    finally:
        await relay.stop()
        await domain.close()


async def test_the_policy_of_consent_changes_too(tmp_path: Path) -> None:
    where = capturing(tmp_path, consent={"unknown": "track"})
    async with program(where) as here:
        await send(where.smtp_port, newsletter(), TO)
        here.edit('unknown = "track"', 'unknown = "deny"')
        await here.reloaded()
        await send(where.smtp_port, newsletter(), TO)
        listed = json.loads(await command(where, "message", "list", "--json"))
        shown = [json.loads(await command(where, "message", "show", one["id"], "--json")) for one in listed]
    modes = sorted(delivery["mode"] for one in shown for delivery in one["deliveries"])
    assert modes == ["identified", "untracked"]


async def test_the_tracker_reads_its_file_again(tmp_path: Path) -> None:
    where = capturing(tmp_path)
    async with program(where, "tracker") as here:
        here.edit('answer_within = "20s"', 'answer_within = "21s"')
        await here.reloaded()
        here.edit('answer_within = "21s"', 'answer_within = "x"')
        (refused,) = await until(lambda: here.events("configuration-refused"), "the log says so")
        assert "[tracker] answer_within" in str(refused["problem"])
        assert len(here.events("configuration-reloaded")) == 1


@pytest.mark.parametrize("name", ["relay --workers 2", "tracker --workers 2"])
async def test_workers_go_by_what_their_parent_has_read_and_not_by_the_file(
    name: str, tmp_path: Path
) -> None:
    """Whoever reads the file later might read another one: at a start in a fallen one's place, or at SIGHUP."""
    where = capturing(tmp_path)
    async with program(where, name) as here:
        await until(lambda: here.events("workers-serve"), "both serve")
        where.config_file.write_text("nonsense")
        first, second = here.workers()
        os.kill(first, signal.SIGHUP)
        os.kill(second, signal.SIGKILL)
        await until(lambda: len(here.events("workers-serve")) >= 2, "another has taken its place")
        assert here.events("configuration-refused") == []
        os.kill(here.pid, signal.SIGHUP)
        (refused,) = await until(lambda: here.events("configuration-refused"), "the parent has read it")
        assert refused.get("worker") is None


@pytest.mark.parametrize("name", ["up", "tracker"])
async def test_the_recipients_pages_have_new_words_and_a_new_logo(name: str, tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text("<svg/>")
    words = {"en": {"nobody": "One way to say it."}}
    where = capturing(tmp_path, preferences={"logo": str(logo), "words": words})
    async with program(where, name) as here, browsing() as browser:

        async def shown() -> str:
            return (await browser.get(f"{where.public_url}/p")).body.decode()

        before = await shown()
        assert "One way to say it." in before
        assert base64.b64encode(b"<svg/>").decode() in before
        logo.write_text("<svg></svg>")  # the same name: only the file is another
        here.edit("One way", "Another way")
        await here.reloaded()
        after = await shown()
        assert "Another way to say it." in after
        assert base64.b64encode(b"<svg></svg>").decode() in after
        assert here.events("needs-restart") == []


async def test_a_footer_is_put_in_from_the_reload_on(tmp_path: Path) -> None:
    where = capturing(tmp_path, consent={"presets": ["it-2026"]}, preferences={"footer": False})
    async with program(where) as here:
        await send(where.smtp_port, newsletter(), TO)
        here.edit("footer = false", "footer = true")
        await here.reloaded()
        await send(where.smtp_port, newsletter(), TO)
    assert [b"/p/" in data for _, data in captured(tmp_path / "captured")] == [False, True]


# --- what changes ---


def test_every_table_that_changes_at_once_exists() -> None:
    for table, keys in CHANGES.items():
        found = getattr(Config(), table)
        known = set() if isinstance(found, tuple) else set(type(found).model_fields)  # a list of tables
        assert keys <= known | {ALL}


def test_what_needs_a_restart_stays_as_it_runs() -> None:
    running_config = Config()
    new = Config.model_validate(
        {
            "relay": {"listen": "127.0.0.1:1", "hostname": "new"},
            "store": {"ask_within": "9s"},
            "log": {"level": "debug"},
            "queue": {"at_once": 3},
        }
    )
    config, waiting = renewed(running_config, new, CHANGES)
    assert sorted(waiting) == ["[log] level", "[relay] listen", "[store] ask_within"]
    assert (config.relay.listen, config.relay.hostname) == (running_config.relay.listen, "new")
    assert (config.store, config.log, config.queue.at_once) == (running_config.store, running_config.log, 3)
    again, waiting = renewed(config, new, CHANGES)
    assert (again, len(waiting)) == (config, 3)
    assert renewed(config, running_config, CHANGES)[1] == []
