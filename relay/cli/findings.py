"""What `candor doctor` looks at: each check gives findings, and never raises for what it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from relay.cli.records import Names
from relay.config import Config
from relay.config.upstream import UpstreamTable
from relay.findings import warning, wrong
from relay.generation import upstream_settings
from relay.probe import look_at
from relay.upstream import Scheme
from relay.upstream.connection import open_connection, tls_context
from relay.upstream.routing import Server
from relay.upstream.wire import UpstreamError
from tracker.desk import Found
from tracker.domain import Domain
from tracker.errors import CandorError, StoreError
from tracker.store.hosts import note
from tracker.store.jobs import database_time
from tracker.tokens import KeyRing

_CLOCKS_APART = 2.0
_SOON_OUT = 14


async def of_store(config: Config) -> tuple[Domain | None, list[Found]]:
    """Opens it; the caller closes it."""
    file = Path(config.store.url.removeprefix("sqlite:///"))
    if config.store.url.startswith("sqlite:///") and not file.exists():  # noqa: ASYNC240 - a command
        return None, [warning("store", f"{file} is not there", "the first start makes it")]
    try:
        domain = await Domain.open(config)
    except CandorError as error:
        return None, [
            wrong("store", str(error), "until then mail flows untracked, and hits wait or are lost")
        ]
    found = [Found(about="store", found=f"{domain.database.shown_url} answers")]
    try:
        apart = abs((await domain.database.read(database_time) - datetime.now(UTC)).total_seconds())
        if apart > _CLOCKS_APART:
            said = f"{apart:.0f} s between this clock and the store's"
            found.append(warning("clock", said, "set both by NTP: nodes agree on time by the store's"))
        await domain.database.change(lambda connection: connection.get_isolation_level())
    except StoreError as error:
        found.append(wrong("store", str(error), "look at its disk and its log"))
    return domain, found


async def of_upstream(config: Config) -> AsyncIterator[Found]:
    """Connects as mail would: TLS, login. No mail is sent."""
    for server in upstream_settings(config).servers:
        about, settings = f"upstream {server.name}", server.settings
        if settings.scheme is Scheme.CAPTURE:
            yield _capture(about, config.upstream)
            continue
        yield await _connected(about, server)


def _capture(about: str, table: UpstreamTable) -> Found:
    return warning(
        about, f"mail stays on this machine ({table.url})", "set [upstream] url when mail is to go out"
    )


async def _connected(about: str, server: Server) -> Found:
    settings = server.settings
    try:
        connection = await open_connection(settings, tls_context(settings))
    except UpstreamError as error:
        return wrong(
            about, f"{settings.name}: {error}", "look at [upstream]: url, tls, user, password, ca_file"
        )
    except ValueError as error:
        return wrong(about, str(error), "look at the files that [upstream] names")
    connection.wire.quit()
    login = f", logged in as {settings.user}" if settings.user else ""
    return Found(about=about, found=f"{settings.name} takes mail, {connection.tls or 'in clear'}{login}")


async def of_tracking_hosts(config: Config, ring: KeyRing, domain: Domain | None) -> AsyncIterator[Found]:
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
            yield wrong(
                about,
                found.problem,
                "bring it back: mail goes out untracked while it is away. Where this machine cannot reach itself by its"
                " public name, set [probe] via",
            )
        elif days is not None and days < _SOON_OUT:
            yield warning(about, f"its certificate runs out in {days} days", "renew it")
        else:
            yield Found(about=about, found="links and pixels are answered rightly")


def of_names(config: Config, names: Names) -> Iterator[Found]:
    """What DNS must say."""
    for entry in config.dkim.key:
        try:
            wanted = names.same_key(entry.name, entry.load())
        except CandorError as error:
            yield wrong(f"DKIM {entry.name}", str(error), "candor dkim generate")
            continue
        if wanted:
            yield wrong(f"DKIM {entry.name}", wanted, "publish what `candor dkim show` prints")
        else:
            yield Found(about=f"DKIM {entry.name}", found="DNS has its public half")
    for domain in sorted({entry.domain for entry in config.dkim.key}):
        yield from _of_domain(domain, names)
    if config.bounces.domain:
        about = f"MX {config.bounces.domain}"
        servers = names.mail_servers(config.bounces.domain)
        if not servers:
            yield wrong(about, "DNS names no mail server", "publish an MX record that names this relay")
        else:
            yield Found(about=about, found=", ".join(servers))


def _of_domain(domain: str, names: Names) -> Iterator[Found]:
    if not names.text(domain, "v=spf1"):
        yield warning(f"SPF {domain}", "there is no v=spf1 record", "publish one that names your upstream")
    else:
        yield Found(about=f"SPF {domain}", found="there")
    if not names.text(f"_dmarc.{domain}", "v=DMARC1"):
        yield warning(
            f"DMARC {domain}", "there is no record", f'publish _dmarc.{domain} TXT "v=DMARC1; p=none"'
        )
    else:
        yield Found(about=f"DMARC {domain}", found="there")
