"""The relay's part of the configuration: where mail comes in, where it goes, who may do what. One module for
what belongs together; here they are one value."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path
from urllib.parse import urlsplit

from relay.config.bounces import BouncesTable, SuppressionTable
from relay.config.compat import CompatTable
from relay.config.dkim import DkimKeyTable, DkimTable
from relay.config.intake import RelayTable, UserTable
from relay.config.networks import within
from relay.config.probe import ProbeTable
from relay.config.queue import QueueTable
from relay.config.rewrite import OverrideTable, RewriteTable
from relay.config.upstream import UpstreamTable
from tracker import config as tracker_config
from tracker.config import parse_listen
from tracker.reload import ALL, TRACKER_CHANGES

__all__ = [
    "CHANGES",
    "BouncesTable",
    "CompatTable",
    "Config",
    "DkimKeyTable",
    "DkimTable",
    "OverrideTable",
    "ProbeTable",
    "QueueTable",
    "RelayTable",
    "RewriteTable",
    "SuppressionTable",
    "UpstreamTable",
    "UserTable",
    "doubts",
    "load",
    "within",
]


class Config(tracker_config.Config):
    """The whole configuration."""

    relay: RelayTable = RelayTable()
    upstream: UpstreamTable = UpstreamTable()
    queue: QueueTable = QueueTable()
    rewrite: RewriteTable = RewriteTable()
    dkim: DkimTable = DkimTable()
    override: OverrideTable = OverrideTable()
    bounces: BouncesTable = BouncesTable()
    suppression: SuppressionTable = SuppressionTable()
    probe: ProbeTable = ProbeTable()
    compat: CompatTable = CompatTable()


CHANGES = {
    **TRACKER_CHANGES,
    "relay": frozenset(RelayTable.model_fields) - {"listen", "listen_tls", "admin_listen"},
    "upstream": frozenset({ALL}),
    "queue": frozenset({ALL}),
    "rewrite": frozenset({ALL}),
    "dkim": frozenset({ALL}),
    "override": frozenset({ALL}),
    "bounces": frozenset({ALL}),
    "suppression": frozenset({ALL}),
    "probe": frozenset({ALL}),
    "compat": frozenset({ALL}),
}
"""What takes effect at SIGHUP; see `tracker.reload`."""


def doubts(config: Config) -> list[str]:
    """What is allowed and yet hardly meant, each as a sentence for the operator."""
    found = []
    if config.upstream.sends and _is_here(config.tracker.public_url):
        found.append(
            f"[tracker] public_url = {config.tracker.public_url!r} leads to the reader's own machine, and mail goes "
            "out: its links will be dead. Set it to the tracker's public address"
        )
    if config.relay.user and not config.relay.certificate and not config.relay.plaintext_auth_from:
        found.append(
            "[[relay.user]] cannot log in: logins need TLS, so set [relay] certificate and private_key"
        )
    if config.relay.user and not all(map(_is_loopback, config.relay.plaintext_auth_from)):
        found.append("[relay] plaintext_auth_from lets passwords cross a network in clear")
    override = config.override
    if (override.users or override.networks) and not override.is_confirmed:
        found.append("[override] permits nobody until lawful_basis and lawful_basis_confirmed_by are set")
    if config.suppression.complaints and not config.bounces.domain:
        found.append(
            "[suppression] complaints suppresses nobody: complaints come in by way of [bounces] domain"
        )
    found += _bounce_doubts(config)
    if _is_open(config.tokens.keys_file):
        found.append(
            f"[tokens] keys_file: everybody on this machine can read {config.tokens.keys_file}, and make links in "
            "your name: chmod 600"
        )
    if any(ipaddress.ip_network(network).prefixlen == 0 for network in config.relay.allowed_networks):
        found.append("[relay] allowed_networks lets the whole world send through this relay")
    found += config.upstream.doubts()
    found += config.dkim.doubts()
    found += config.compat.doubts()
    return found


def _bounce_doubts(config: Config) -> list[str]:
    domain, table, found = config.bounces.domain, config.relay, []
    listens = [parse_listen(one)[0] for one in (table.listen, table.listen_tls) if one]
    if domain and not table.proxy_protocol_from and all(map(_is_this_machine, listens)):
        found.append(
            f"[bounces] domain: reports to {domain} cannot come in, since [relay] listen takes mail from this machine "
            "only; unless a mail server here forwards them, set it to an address that the world reaches"
        )
    if domain and not config.bounces.postmaster:
        found.append(
            f"[bounces] postmaster: mail to postmaster@{domain} and abuse@{domain} is refused, and must not be "
            "(RFC 5321 4.5.1); set it to an address that somebody reads"
        )
    return found


def _is_open(file: str) -> bool:
    """May everybody on this machine read it?"""
    try:
        return bool(Path(file).stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # made at the first start, and then for its owner alone


def _is_here(url: str) -> bool:
    return _is_this_machine(urlsplit(url).hostname or "")


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or within(host, ("127.0.0.0/8", "::1/128"))


def _is_loopback(network: str) -> bool:
    return ipaddress.ip_network(network).is_loopback


def load(path: Path | None) -> Config:
    """The whole configuration in `path`; all defaults when None. Raises ConfigError."""
    return tracker_config.load(path, Config)
