"""What `candor doctor` looks at: each check gives findings, and never raises for what it finds."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path

from relay.cli.records import Names
from relay.config import Config, doubts
from relay.config.upstream import UpstreamTable
from relay.generation import upstream_settings
from relay.probe import look_at
from relay.upstream import Scheme
from relay.upstream.connection import open_connection, tls_context
from relay.upstream.routing import Server
from relay.upstream.wire import UpstreamError
from tracker import keyring
from tracker.domain import Domain
from tracker.errors import CandorError, StoreError
from tracker.store.hosts import note
from tracker.store.jobs import database_time
from tracker.tokens import KeyRing

_CLOCKS_APART = 2.0
_SOON_OUT = 14
_LITTLE = 1024**3


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    about: str
    state: State = State.OK
    found: str
    advice: str = ""
    """What to do about it."""


def _wrong(about: str, found: str, advice: str) -> Finding:
    return Finding(about=about, state=State.WRONG, found=found, advice=advice)


def _warning(about: str, found: str, advice: str) -> Finding:
    return Finding(about=about, state=State.WARNING, found=found, advice=advice)


def of_config(config: Config) -> Iterator[Finding]:
    found = doubts(config)
    for doubt in found:
        yield _warning("configuration", doubt, "change it, or be sure that you mean it")
    if not found:
        yield Finding(about="configuration", found="nothing to be said against it")


def of_keys(config: Config) -> Iterator[Finding]:
    """The key file; one that is not there yet is made at the first start."""
    file = Path(config.tokens.keys_file)
    if not file.exists():
        yield _warning(
            "keys", f"{file} is not there", "the first start makes it; on a further node copy it there"
        )
        return
    try:
        ring = keyring.load(file)
    except CandorError as error:
        yield _wrong("keys", str(error), "restore it from the backup: links in mail already sent need it")
        return
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        yield _wrong("keys", f"others may read {file} (mode {mode:o})", f"chmod 600 {file}")
    yield Finding(about="keys", found=f"{len(ring.keys)} in {file}, the newest {ring.newest.id.hex()}")


def of_disk(config: Config) -> Iterator[Finding]:
    store = config.store.url
    places = {Path(config.tokens.keys_file).parent: "keys"}
    if store.startswith("sqlite:///"):
        places[Path(store.removeprefix("sqlite:///")).parent] = "store"
    for folder, what in places.items():
        there = next((one for one in (folder, *folder.absolute().parents) if one.is_dir()), None)
        if there is None:
            continue
        free = shutil.disk_usage(there).free
        said = f"{free / 1e9:.1f} GB free in {there} ({what})"
        if free < config.queue.min_free and what == "store":
            yield _wrong("disk", said, "make room: new mail is put off (452) until there is some")
        elif free < _LITTLE:
            yield _warning("disk", said, "make room before the store or the queue needs it")
        else:
            yield Finding(about="disk", found=said)
        if not os.access(there, os.W_OK):
            yield _wrong("disk", f"{there} cannot be written", "give it to the user that Candor runs as")


def of_clock() -> Iterator[Finding]:
    """What the kernel says of it; tokens, verdicts and signatures carry the time."""
    if not sys.platform.startswith("linux"):
        return
    try:
        unsynchronised = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) == 5  # TIME_ERROR
    except (OSError, AttributeError):
        return
    if unsynchronised:
        yield _warning(
            "clock",
            "the kernel says that nobody sets it",
            "run chrony, systemd-timesyncd or ntpd, here or on the host",
        )
    else:
        yield Finding(about="clock", found="it is set by somebody")


async def of_store(config: Config) -> tuple[Domain | None, list[Finding]]:
    """Opens it; the caller closes it."""
    file = Path(config.store.url.removeprefix("sqlite:///"))
    if config.store.url.startswith("sqlite:///") and not file.exists():  # noqa: ASYNC240 - a command
        return None, [_warning("store", f"{file} is not there", "the first start makes it")]
    try:
        domain = await Domain.open(config)
    except CandorError as error:
        return None, [
            _wrong("store", str(error), "until then mail flows untracked, and hits wait or are lost")
        ]
    found = [Finding(about="store", found=f"{domain.database.shown_url} answers")]
    try:
        apart = abs((await domain.database.read(database_time) - datetime.now(UTC)).total_seconds())
        if apart > _CLOCKS_APART:
            said = f"{apart:.0f} s between this clock and the store's"
            found.append(_warning("clock", said, "set both by NTP: nodes agree on time by the store's"))
        await domain.database.change(lambda connection: connection.get_isolation_level())
    except StoreError as error:
        found.append(_wrong("store", str(error), "look at its disk and its log"))
    return domain, found


async def of_upstream(config: Config) -> AsyncIterator[Finding]:
    """Connects as mail would: TLS, login. No mail is sent."""
    for server in upstream_settings(config).servers:
        about, settings = f"upstream {server.name}", server.settings
        if settings.scheme is Scheme.CAPTURE:
            yield _capture(about, config.upstream)
            continue
        yield await _connected(about, server)


def _capture(about: str, table: UpstreamTable) -> Finding:
    return _warning(
        about, f"mail stays on this machine ({table.url})", "set [upstream] url when mail is to go out"
    )


async def _connected(about: str, server: Server) -> Finding:
    settings = server.settings
    try:
        connection = await open_connection(settings, tls_context(settings))
    except UpstreamError as error:
        return _wrong(
            about, f"{settings.name}: {error}", "look at [upstream]: url, tls, user, password, ca_file"
        )
    except ValueError as error:
        return _wrong(about, str(error), "look at the files that [upstream] names")
    connection.wire.quit()
    login = f", logged in as {settings.user}" if settings.user else ""
    return Finding(about=about, found=f"{settings.name} takes mail, {connection.tls or 'in clear'}{login}")


async def of_tracking_hosts(config: Config, ring: KeyRing, domain: Domain | None) -> AsyncIterator[Finding]:
    """The probe, now; what it finds goes on record as always, where there is a store. Raises StoreError."""
    for url in config.tracker.urls:
        found = await look_at(url, ring, config.probe.way())
        if domain is not None:
            now = await domain.database.read(database_time)
            await domain.database.change(partial(note, url=url, found=found, now=now))
        about = f"tracking host {url}"
        ends = found.certificate_until
        days = (ends - datetime.now(UTC)).days if ends is not None else None
        if found.problem:
            yield _wrong(
                about,
                found.problem,
                "bring it back: mail goes out untracked while it is away. Where this machine cannot reach itself by its"
                " public name, set [probe] via",
            )
        elif days is not None and days < _SOON_OUT:
            yield _warning(about, f"its certificate runs out in {days} days", "renew it")
        else:
            yield Finding(about=about, found="links and pixels are answered rightly")


def of_names(config: Config, names: Names) -> Iterator[Finding]:
    """What DNS must say."""
    for entry in config.dkim.key:
        try:
            wanted = names.same_key(entry.name, entry.load())
        except CandorError as error:
            yield _wrong(f"DKIM {entry.name}", str(error), "candor dkim generate")
            continue
        if wanted:
            yield _wrong(f"DKIM {entry.name}", wanted, "publish what `candor dkim show` prints")
        else:
            yield Finding(about=f"DKIM {entry.name}", found="DNS has its public half")
    for domain in sorted({entry.domain for entry in config.dkim.key}):
        yield from _of_domain(domain, names)
    if config.bounces.domain:
        about = f"MX {config.bounces.domain}"
        servers = names.mail_servers(config.bounces.domain)
        if not servers:
            yield _wrong(about, "DNS names no mail server", "publish an MX record that names this relay")
        else:
            yield Finding(about=about, found=", ".join(servers))


def _of_domain(domain: str, names: Names) -> Iterator[Finding]:
    if not names.text(domain, "v=spf1"):
        yield _warning(f"SPF {domain}", "there is no v=spf1 record", "publish one that names your upstream")
    else:
        yield Finding(about=f"SPF {domain}", found="there")
    if not names.text(f"_dmarc.{domain}", "v=DMARC1"):
        yield _warning(
            f"DMARC {domain}", "there is no record", f'publish _dmarc.{domain} TXT "v=DMARC1; p=none"'
        )
    else:
        yield Finding(about=f"DMARC {domain}", found="there")
