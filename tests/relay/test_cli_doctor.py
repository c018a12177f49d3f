"""`candor doctor`: what it says of an installation that is well, and of each thing that may be wrong with one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from support.commands import Result, call
from support.sites import free_port
from support.tracking import configuration, opened
from support.upstream import ScriptedUpstream
from support.web import serving

from relay.cli.dkim import zone_line
from relay.config import DkimKeyTable
from relay.signing import public_record
from tracker.config import TrackerTable
from tracker.keyring import load_or_create

Answers = Mapping[tuple[str, str], list[str]]


@contextmanager
def nameserver(answers: Answers) -> Iterator[str]:
    """A DNS server on loopback that knows these `(name, type)`; gives its `host:port`."""
    with socket(AF_INET, SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.1)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    data, client = sock.recvfrom(4096)
                except TimeoutError:
                    continue
                asked = dns.message.from_wire(data)
                reply = dns.message.make_response(asked)
                (question,) = asked.question
                kind = dns.rdatatype.to_text(question.rdtype)
                texts = answers.get((str(question.name).rstrip("."), kind))
                if texts is None:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                else:
                    reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
                sock.sendto(reply.to_wire(), client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{sock.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


class Patient:
    """An installation, and what the doctor says of it."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.folder = folder
        self.store_url = store_url
        self.more = ""
        self.port = free_port()
        self.upstream = f"capture:{folder}/captured"
        self.dns: Answers = {}
        load_or_create(folder / "keys.toml")

    def write(self) -> Path:
        file = self.folder / "candor.toml"
        file.write_text(
            f'[store]\nurl = "{self.store_url}"\nask_within = "20s"\nwrite_within = "30s"\n'
            f'[tokens]\nkeys_file = "{self.folder / "keys.toml"}"\n'
            f'[tracker]\npublic_url = "http://127.0.0.1:{self.port}"\n[probe]\nwithin = "5s"\n'
            f'[upstream]\nurl = "{self.upstream}"\n{self.more}'
        )
        return file

    def asked(self, *options: str) -> Result:
        with nameserver(self.dns) as at:
            return call("doctor", "--config", self.write(), "--nameserver", at, *options)

    async def examined(self, *options: str) -> Result:
        """With its tracker running."""
        tracker = TrackerTable(listen=f"127.0.0.1:{self.port}", answer_within="20s")
        async with (
            opened(configuration(self.store_url, self.folder, tracker=tracker)) as domain,
            serving(domain),
        ):
            return await asyncio.to_thread(self.asked, *options)


@pytest.fixture
def patient(tmp_path: Path, store_url: str) -> Patient:
    return Patient(tmp_path, store_url)


def states(result: Result) -> dict[str, str]:
    return {one["about"]: one["state"] for one in json.loads(result.out)}


def found(result: Result, about: str) -> dict[str, Any]:
    (one,) = (one for one in json.loads(result.out) if one["about"] == about)
    return dict(one)


async def test_an_installation_that_is_well_is_told_so(patient: Patient, tmp_path: Path) -> None:
    call("dkim", "generate", "--domain", "shop.example", "--file", tmp_path / "dkim.pem")
    entry = DkimKeyTable(domain="shop.example", selector="candor", private_key=str(tmp_path / "dkim.pem"))
    value = zone_line(entry.name, public_record(entry.load())).partition("TXT ")[2].strip("( )")
    patient.more = (
        f'[[dkim.key]]\ndomain = "shop.example"\nselector = "candor"\nprivate_key = "{tmp_path / "dkim.pem"}"\n'
        '[bounces]\ndomain = "bounces.shop.example"\npostmaster = "joe@shop.example"\n'
    )
    patient.dns = {
        (entry.name, "TXT"): [value],
        ("shop.example", "TXT"): ['"something else"', '"v=spf1 include:_spf.example -all"'],
        ("_dmarc.shop.example", "TXT"): ['"v=DMARC1; p=reject"'],
        ("bounces.shop.example", "MX"): ["20 second.example.", "10 relay.shop.example."],
    }
    async with ScriptedUpstream() as upstream:
        patient.upstream = upstream.url
        result = await patient.examined("--json")
    assert result.code == 0, result.out
    said = states(result)
    host = f"tracking host http://127.0.0.1:{patient.port}"
    for about in ("keys", "store", "upstream default", host, "SPF shop.example", "DMARC shop.example"):
        assert said[about] == "ok", about
    assert said[f"DKIM {entry.name}"] == "ok"
    assert found(result, "MX bounces.shop.example")["found"] == "relay.shop.example, second.example"


async def test_for_people_it_says_what_to_do_and_ends_with_1_when_something_is_wrong(
    patient: Patient,
) -> None:
    result = await asyncio.to_thread(patient.asked, "--no-dns")
    assert result.code == 1
    assert f"WRONG    tracking host http://127.0.0.1:{patient.port}: no connection to" in result.out
    assert "→ bring it back: mail goes out untracked while it is away" in result.out
    assert "[upstream] url" in result.out


def _readable_keys(patient: Patient) -> None:
    (patient.folder / "keys.toml").chmod(0o644)


def _damaged_keys(patient: Patient) -> None:
    (patient.folder / "keys.toml").write_text("[[key")


def _dead_upstream(patient: Patient) -> None:
    patient.upstream = f"smtp://127.0.0.1:{free_port()}"


def _no_room(patient: Patient) -> None:
    patient.more = '[queue]\nmin_free = "900000GB"\n'


def _dkim_without_record(patient: Patient) -> None:
    file = patient.folder / "dkim.pem"
    call("dkim", "generate", "--domain", "shop.example", "--ed25519", "--file", file)
    patient.more = f'[[dkim.key]]\ndomain = "shop.example"\nselector = "candor"\nprivate_key = "{file}"\n'


def _dkim_of_another_key(patient: Patient) -> None:
    _dkim_without_record(patient)
    patient.dns = {("candor._domainkey.shop.example", "TXT"): ['"v=DKIM1; k=ed25519; p=AAAA"']}


def _dkim_revoked(patient: Patient) -> None:
    _dkim_without_record(patient)
    patient.dns = {("candor._domainkey.shop.example", "TXT"): ['"v=DKIM1; p="']}


def _bounces_without_mx(patient: Patient) -> None:
    patient.more = '[bounces]\ndomain = "bounces.shop.example"\n'


ILLS: list[tuple[Callable[[Patient], None], str, str, str]] = [
    (_readable_keys, "keys", "others may read", "chmod 600"),
    (_damaged_keys, "keys", "damaged", "backup"),
    (_dead_upstream, "upstream default", "127.0.0.1", "[upstream]"),
    (_dkim_without_record, "DKIM candor._domainkey.shop.example", "no such record", "candor dkim show"),
    (_dkim_of_another_key, "DKIM candor._domainkey.shop.example", "another key's", "candor dkim show"),
    (_dkim_revoked, "DKIM candor._domainkey.shop.example", "revokes", "candor dkim show"),
    (_bounces_without_mx, "MX bounces.shop.example", "no mail server", "publish an MX"),
]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(("ill", "about", "word", "advice"), ILLS)
def test_each_ill_is_named_with_what_to_do(
    ill: Callable[[Patient], None], about: str, word: str, advice: str, patient: Patient
) -> None:
    ill(patient)
    result = patient.asked("--json")
    assert result.code == 1
    wrong = [one for one in json.loads(result.out) if one["about"] == about and one["state"] == "wrong"]
    assert len(wrong) == 1, result.out
    assert word in wrong[0]["found"]
    assert advice in wrong[0]["advice"]


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_full_disk_is_named(patient: Patient) -> None:
    _no_room(patient)
    assert found(patient.asked("--json", "--no-dns"), "disk")["state"] == "wrong"


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_before_the_first_start_nothing_is_made(patient: Patient, tmp_path: Path) -> None:
    patient.store_url = f"sqlite:///{tmp_path}/later/candor.db"
    (tmp_path / "keys.toml").unlink()
    result = patient.asked("--json", "--no-dns")
    assert {about: state for about, state in states(result).items() if about in ("keys", "store")} == {
        "keys": "warning",
        "store": "warning",
    }
    assert not (tmp_path / "later").exists()
    assert not (tmp_path / "keys.toml").exists()


@pytest.mark.parametrize("store_kind", ["postgresql"])
def test_a_store_that_is_away_is_named_and_the_rest_is_looked_at_all_the_same(patient: Patient) -> None:
    patient.store_url = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    result = patient.asked("--json", "--no-dns")
    said = states(result)
    assert said["store"] == "wrong"
    assert f"tracking host http://127.0.0.1:{patient.port}" in said


def test_a_nameserver_that_is_none_is_refused() -> None:
    result = call("doctor", "--nameserver", "here")
    assert result.code == 2
    assert "host:port" in result.err
