"""The configuration: strict TOML, read once into frozen values.

An error names file, table and key, says what is wrong and what is allowed. Every string may come from a file
(`url_file = "/run/secrets/url"`) and every key from the environment (`CANDOR_STORE_URL`), so that secrets need
not stand in the configuration. The relay's tables are read by `relay.config`; here they are passed over.
"""

from __future__ import annotations

from tracker.config.alerts import AlertTable
from tracker.config.goals import GoalTable, TrackingTable
from tracker.config.loading import load
from tracker.config.tables import (
    AdminTable,
    ApiTable,
    Config,
    HostTable,
    LookupTable,
    PreferencesTable,
    RetentionTable,
    StoreTable,
    TokensTable,
    TrackerTable,
)
from tracker.config.values import (
    Duration,
    Listen,
    NetworkText,
    OptionalListen,
    OptionalSize,
    RateText,
    Size,
    Table,
    parse_listen,
    without_password,
)

__all__ = [
    "RELAY_TABLES",
    "AdminTable",
    "AlertTable",
    "ApiTable",
    "Config",
    "Duration",
    "GoalTable",
    "HostTable",
    "Listen",
    "LookupTable",
    "NetworkText",
    "OptionalListen",
    "OptionalSize",
    "PreferencesTable",
    "RateText",
    "RetentionTable",
    "Size",
    "StoreTable",
    "Table",
    "TokensTable",
    "TrackerTable",
    "TrackingTable",
    "load",
    "parse_listen",
    "without_password",
]

RELAY_TABLES = frozenset(
    {"relay", "upstream", "queue", "rewrite", "dkim", "override", "bounces", "suppression", "probe", "compat"}
)
"""Tables that belong to the relay: the tracker's programs accept that they are there and never read them."""
