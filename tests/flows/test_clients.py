"""What real clients make of us: Postfix, swaks, msmtp, smtp-source, smtplib; and a message that goes in circles."""

from __future__ import annotations

import asyncio
import os
import shutil
import smtplib
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from support.certificates import Authority
from support.people import SENDER, newsletter, send
from support.sites import Program, Site, running, site, until

from relay.capture import captured

TO = "ann@people.example"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("open sesame")


def needs(program: str) -> pytest.MarkDecorator:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    return pytest.mark.skipif(found is None, reason=f"{program} is not installed")


def capturing(folder: Path, **tables: dict[str, Any]) -> Site:
    return site(folder, f"sqlite:///{folder / 'candor.db'}", f"capture:{folder / 'captured'}", **tables)


def secured(folder: Path) -> tuple[Site, Path]:
    """One that wants a login over TLS, and the authority its certificate is from."""
    folder.mkdir(exist_ok=True)
    authority = Authority(folder)
    certificate, key = authority.client("localhost")
    user = {"name": "shop", "password_hash": HASH, "tags": ["shop"]}
    table = {
        "certificate": str(certificate),
        "private_key": str(key),
        "allowed_networks": [],
        "user": [user],
    }
    return capturing(folder / "site", relay=table), authority.path


def messages(where: Site) -> list[bytes]:
    return [message for _, message in captured(where.folder / "captured")]


async def run(*arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    return await asyncio.to_thread(
        subprocess.run,
        arguments,
        input=input,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PATH": path},
        check=True,
    )


@needs("swaks")
async def test_swaks_in_clear_and_pipelined(tmp_path: Path) -> None:
    where = capturing(tmp_path)
    async with running(where):
        server = f"127.0.0.1:{where.smtp_port}"
        await run("swaks", "--server", server, "--from", SENDER, "--to", TO, "--pipeline")
        await run("swaks", "--server", server, "--from", "<>", "--to", TO, "--protocol", "SMTP")
    assert len(messages(where)) == 2


@needs("swaks")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_swaks_with_a_login_over_tls(mechanism: str, tmp_path: Path) -> None:
    where, authority = secured(tmp_path)
    login = ["--auth", mechanism, "--auth-user", "shop", "--auth-password", "open sesame"]
    tls = ["--tls", "--tls-verify", "--tls-verify-ca", str(authority), "--tls-verify-target", "localhost"]
    async with running(where):
        server = f"localhost:{where.smtp_port}"
        probe = await run("swaks", "--help")
        verify = tls if b"--tls-verify-target" in probe.stdout else ["--tls"]
        await run("swaks", "--server", server, "--from", SENDER, "--to", TO, *login, *verify)
    assert len(messages(where)) == 1


@needs("msmtp")
async def test_msmtp_with_a_login_over_tls(tmp_path: Path) -> None:
    where, authority = secured(tmp_path)
    config = tmp_path / "msmtprc"
    config.write_text(
        f"account default\nhost localhost\nport {where.smtp_port}\ntls on\ntls_starttls on\n"
        f"tls_trust_file {authority}\nauth on\nuser shop\npassword open sesame\nfrom {SENDER}\n"
    )
    config.chmod(0o600)
    async with running(where):
        await run("msmtp", f"--file={config}", TO, input=newsletter().replace(b"\r\n", b"\n"))
    assert len(messages(where)) == 1


@needs("smtp-source")
async def test_smtp_source_with_many_sessions_at_once(tmp_path: Path) -> None:
    where = capturing(tmp_path)
    options = ["-s", "10", "-m", "40", "-l", "34000", "-f", SENDER, "-t", TO]
    async with running(where):
        await run("smtp-source", *options, f"inet:127.0.0.1:{where.smtp_port}")
    assert len(messages(where)) == 40


async def test_smtplib_logs_in_over_tls(tmp_path: Path) -> None:
    where, authority = secured(tmp_path)
    context = ssl.create_default_context(cafile=str(authority))

    def speak() -> None:
        with smtplib.SMTP("localhost", where.smtp_port, timeout=30) as client:
            client.starttls(context=context)
            client.login("shop", "open sesame")
            client.sendmail(SENDER, [TO], newsletter(), ["BODY=8BITMIME"])

    async with running(where) as domain:
        await asyncio.to_thread(speak)
        (listed,) = await domain.deliveries.list(limit=10)
        assert (await domain.deliveries.show(bytes.fromhex(listed["id"])))["tags"] == ["shop"]


@pytest.mark.parametrize(("lines", "code"), [(50, 250), (51, 554)])
async def test_a_message_that_goes_in_circles_is_stopped(lines: int, code: int, tmp_path: Path) -> None:
    where = capturing(tmp_path)
    async with running(where):
        answer = await send(where.smtp_port, newsletter(header="Received: from a by b\r\n" * lines), TO)
    assert answer[0] == code
    assert len(messages(where)) == (code == 250)


# --- a real Postfix ---

MASTER_CF = Path("/usr/share/postfix/master.cf.dist")
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
mail_owner = postfix
maillog_file = {log}
maillog_file_prefixes = {folder}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mail.shop.example
mydestination =
relayhost = [127.0.0.1]:{port}
alias_maps =
smtp_dns_support_level = disabled
smtp_tls_security_level = may
"""


@contextmanager
def postfix(port: int) -> Iterator[Path]:
    """A Postfix whose `relayhost` is this port; it takes mail by sendmail only. In a folder of its own that others may
    enter, because its daemons run as another user."""
    with tempfile.TemporaryDirectory(prefix="candor-postfix-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        config, queue, data = folder / "etc", folder / "queue", folder / "data"
        for one in (config, queue, data):
            one.mkdir()
        shutil.chown(data, "postfix")
        names = {"queue": queue, "data": data, "log": folder / "log", "folder": folder, "port": port}
        (config / "main.cf").write_text(MAIN_CF.format(**names))
        services = [
            line for line in MASTER_CF.read_text().splitlines() if not line.startswith("smtp      inet")
        ]
        unjailed = "\n".join(line.replace("y       -       y", "y       -       n") for line in services)
        (config / "master.cf").write_text(unjailed + "\n")
        command = ["/usr/sbin/postfix", "-c", str(config)]
        subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
        try:
            yield folder
        finally:
            subprocess.run([*command, "stop"], check=False, capture_output=True, timeout=60)


@needs("postfix")
@pytest.mark.skipif(os.getuid() != 0, reason="Postfix starts as root only")
@pytest.mark.skipif(not MASTER_CF.exists(), reason="no master.cf to begin with")
async def test_a_postfix_with_us_as_its_relayhost(tmp_path: Path) -> None:
    where = capturing(tmp_path / "site")
    async with Program(where):
        with postfix(where.smtp_port) as folder:
            sendmail = [
                "/usr/sbin/sendmail",
                "-C",
                str(folder / "etc"),
                "-f",
                SENDER,
                TO,
                "ben@people.example",
            ]
            await run(*sendmail, input=newsletter().replace(b"\r\n", b"\n"))
            try:
                await until(lambda: len(messages(where)) == 2, "Postfix hands it over")
            except AssertionError:
                print((folder / "log").read_text(), file=sys.stderr)
                raise
    assert b"by mail.shop.example (Postfix" in messages(where)[0]
