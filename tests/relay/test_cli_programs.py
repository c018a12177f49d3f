"""The programs as they are started: what they load, what they print, how they end."""

from __future__ import annotations

import json
import re
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from support.commands import ROOT, Installation, call, run_program, started, stop
from support.sites import free_port
from support.tracking import IDENTIFIED, Mail, send

MAIL_MODULES = (
    "aiosmtpd",
    "aiosmtplib",
    "bs4",
    "relay.mime",
    "relay.html",
    "relay.rewrite",
    "relay.intake",
    "relay.upstream",
)


class Place:
    """A folder with a configuration on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.smtp, self.web, self.admin = free_port(), free_port(), free_port()
        (folder / "tmp").mkdir()
        self.config = folder / "candor.toml"
        self.config.write_text(
            f'[relay]\nlisten = "127.0.0.1:{self.smtp}"\n'
            f'[tracker]\nlisten = "127.0.0.1:{self.web}"\npublic_url = "http://127.0.0.1:{self.web}"\n'
            f'[admin]\nlisten = "127.0.0.1:{self.admin}"\n'
        )

    def answers(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def until_up(self, process: subprocess.Popen[str], *ports: int) -> None:
        deadline = time.monotonic() + 60
        while not all(self.answers(port) for port in ports):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the program does not come up"
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def health(place: Place) -> dict[str, object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{place.admin}/healthz") as response:
        found: dict[str, object] = json.load(response)
        return found


def test_up_takes_mail_shows_it_and_ends_with_0_leaving_nothing_about(place: Place) -> None:
    with started("up", "--config", place.config, folder=place.folder) as process:
        place.until_up(process, place.smtp, place.web, place.admin)
        assert health(place) == {"store": {"reads": "ok", "writes": "ok"}, "ok": True}
        with urllib.request.urlopen(f"http://127.0.0.1:{place.admin}/health") as response:
            assert b"capture:" in response.read()  # upstream, as this process sees it
        with smtplib.SMTP("127.0.0.1", place.smtp) as client:
            client.sendmail("news@x.example", ["joe@y.example"], "Subject: Hello\r\n\r\nHello.\r\n")
        shown = run_program("message", "list", "--json", "--config", place.config, folder=place.folder)
        assert [one["subject"] for one in json.loads(shown.out)] == ["Hello"]
        ended = stop(process)
    assert (ended.code, ended.out) == (0, "")
    assert "Traceback" not in ended.err
    assert list((place.folder / "tmp").iterdir()) == []
    data = {file.name for file in (place.folder / "candor-data").iterdir()}
    assert data == {"candor.db", "captured", "keys.toml"}
    assert list((place.folder / "candor-data" / "captured" / "tmp").iterdir()) == []


def test_a_second_program_on_a_taken_port_says_so_in_one_line_and_leaves_the_first_alone(
    place: Place,
) -> None:
    with started("up", "--config", place.config, folder=place.folder) as process:
        place.until_up(process, place.smtp, place.web, place.admin)
        second = run_program("up", "--config", place.config, folder=place.folder)
        complaints = [line for line in second.err.splitlines() if line.startswith("candor: ")]
        assert (second.code, len(complaints)) == (1, 1)
        assert str(place.web) in complaints[0]
        assert "in use" in complaints[0]
        assert "Traceback" not in second.err
        assert health(place)["ok"] is True
        assert stop(process).code == 0


def test_the_relay_runs_alone_and_ends_with_0(place: Place) -> None:
    with started("relay", "--config", place.config, folder=place.folder) as process:
        place.until_up(process, place.smtp)
        assert not place.answers(place.web)
        assert not place.answers(place.admin)
        ended = stop(process)
    assert (ended.code, "Traceback" in ended.err) == (0, False)


def test_an_address_that_is_not_ours_cannot_be_listened_on(place: Place) -> None:
    place.config.write_text('[tracker]\nlisten = "192.0.2.1:8080"\n')
    result = run_program("tracker", "--config", place.config, folder=place.folder)
    assert (result.code, "Traceback" in result.err) == (1, False)
    assert "192.0.2.1" in result.err.splitlines()[-1]


# --- what is loaded ---

LOADED = """
import sys
from relay.cli import main
for words in {commands!r}:
    try:
        main(words, prog_name="candor")
    except SystemExit as ended:
        print(words[0], "ended with", ended.code)
    print(*sorted(sys.modules))
"""


def loading(place: Place, *commands: list[str]) -> subprocess.Popen[str]:
    """A process that runs the commands and says after each which modules are in memory."""
    program = LOADED.format(commands=[[*words, "--config", str(place.config)] for words in commands])
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=place.folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def of_mail(modules: str) -> list[str]:
    names = modules.split()
    return [one for one in names if any(one == name or one.startswith(name + ".") for name in MAIL_MODULES)]


def test_the_process_on_the_public_web_loads_nothing_of_mail_and_ends_with_0(place: Place) -> None:
    process = loading(place, ["tracker"])
    place.until_up(process, place.web, place.admin)
    assert not place.answers(place.smtp)
    with urllib.request.urlopen(f"http://127.0.0.1:{place.admin}/queue") as response:
        assert b"Nothing waits" in response.read()  # seen by way of the store
    ended, modules = stop(process).out.splitlines()
    assert ended == "tracker ended with 0"
    assert "tracker.web.app" in modules.split()
    assert of_mail(modules) == []


def test_commands_of_the_domain_load_nothing_of_mail(place: Place) -> None:
    domain = (
        ["contact", "show", "joe@x.example"],
        ["keys", "rotate"],
        ["token", "show", "x"],
        ["message", "list"],
    )
    out, err = loading(place, *domain, ["config", "check"]).communicate(timeout=60)
    assert "Traceback" not in err
    *after_each, after_config = [line for line in out.splitlines() if "relay.cli" in line.split()]
    assert len(after_each) == len(domain)
    assert [of_mail(modules) for modules in after_each] == [[]] * len(domain)
    assert of_mail(after_config) != []  # or this test could not see mail


# --- the demo ---


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table that stands under these columns."""
    _, found, rest = text.partition(heading)
    assert found, f"there is no table {heading!r}"
    table = rest.split("└")[0]
    return [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in table.splitlines()
        if line.startswith("│")
    ]


def test_the_demo_shows_the_main_job_and_ends_with_0_leaving_nothing_about(tmp_path: Path) -> None:
    result = run_program("demo", folder=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert list((tmp_path / "tmp").iterdir()) == []
    assert [one.name for one in tmp_path.iterdir()] == ["tmp"]
    received = dict(rows(result.out, "person                ┃ received"))
    tracked, untouched = "a pixel, 2 wrapped links", "no pixel, no wrapped link"
    assert received == {
        "grace@people.example": tracked,
        "dennis@people.example": untouched,
        "wilma@people.example": untouched,
        "uma@people.example": tracked,
        "donna@people.example": tracked,
        "earl@people.example": untouched,
    }
    events = [
        (kind, person)
        for kind, person, _, verdict in rows(result.out, "event   ┃ person")
        if verdict == "person"
    ]
    people = ("grace@people.example", "uma@people.example")
    assert sorted(events) == sorted((kind, person) for kind in ("opened", "clicked") for person in people)
    assert "her page says: Saved." in result.out
    assert re.search(r"her link: https://shop\.example/apples\?kind=russet&box=2 \(302\)", result.out)
    assert "Pages to visit" not in result.out


def test_a_month_of_mail_is_never_put_into_a_store_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "candor.db").write_bytes(b"mine")
    result = call("demo", "--rich", "--keep", tmp_path)
    assert result.code != 0
    assert "holds a store already" in result.err
    assert (tmp_path / "candor.db").read_bytes() == b"mine"
    assert [one.name for one in tmp_path.iterdir()] == ["candor.db"]


# --- a program among programs ---


def test_a_reader_that_has_heard_enough_is_no_error(tmp_path: Path) -> None:
    candor = Installation(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    urls = tuple(f"https://shop.example/{number}/{'x' * 200}" for number in range(2000))
    message = candor.prepare(lambda domain: send(domain, Mail(to={"joe@x.example": IDENTIFIED}, urls=urls)))
    with started(
        "message",
        "show",
        message["joe@x.example"].message.hex(),
        "--json",
        "--config",
        candor.config,
        folder=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "{\n"
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(60)
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command",
    [
        "",
        "up",
        "relay",
        "tracker",
        "demo",
        "config",
        "user",
        "contact",
        "consent",
        "consent verify",
        "consent proof",
        "consent head",
        "policy",
        "policy show",
        "explain",
        "message",
        "event",
        "report",
        "token",
        "keys",
    ],
)
def test_every_command_says_what_it_is_for(command: str) -> None:
    result = call(*command.split(), "--help")
    assert (result.code, result.err) == (0, "")
    first = result.out.splitlines()[0]
    assert first.startswith(f"Usage: candor {command}".rstrip())
    assert len(result.out.split()) > 8


def test_the_command_names_its_version_and_what_it_does_not_know() -> None:
    assert call("--version").out.startswith("candor, version ")
    wrong = call("dance")
    assert (wrong.code, wrong.out) == (2, "")
    assert "dance" in wrong.err
