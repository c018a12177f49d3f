"""How the house has set up its Candor: what is measured of whom in which country, what it counts as success."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from relay.config import BouncesTable, Config, QueueTable, SuppressionTable
from relay.demonstration.company import BOUNCES, SALES, STAFF_SENDER
from relay.demonstration.reading import NETWORKS
from tracker.attribution import Model
from tracker.config import AlertTable, PreferencesTable
from tracker.config.goals import GoalTable
from tracker.config.tables import ConsentTable
from tracker.place import Countries

_RULES = (
    {"countries": ["FR"], "unknown": "hygiene", "withdrawal_link": True},
    {"countries": ["IT"], "unknown": "aggregate"},
    {"countries": ["DE"], "unknown": "anonymous"},
    {"countries": ["AT"], "unknown": "deny"},
)

_ALERTS = (
    {"name": "keen-readers", "kind": "opens", "times": 3, "to": [SALES], "quiet": "1d", "most_a_day": 3},
    {"name": "price-list", "kind": "click", "link": "*/prices.pdf", "to": [SALES], "most_a_day": 4},
    {"name": "bounces", "kind": "bounces", "share": 0.2, "least": 8, "to": [STAFF_SENDER], "quiet": "1d"},
)


def arranged(config: Config) -> Config:
    """The same addresses and files, with the house's rules. Busy machines reach no limit of its store, and what waits
    is left alone for an hour, so that there is time to look at it."""
    store = config.store.model_copy(update={"ask_within": 20.0, "write_within": 30.0})
    return config.model_copy(
        update={
            "store": store,
            "admin": config.admin.model_copy(update={"previews_days": 60}),
            "queue": QueueTable.model_validate({"first_retry": "1h"}),
            "bounces": BouncesTable(domain=BOUNCES, postmaster=STAFF_SENDER),
            "suppression": SuppressionTable(hard_bounces=True, after=2, complaints=True),
            "consent": ConsentTable.model_validate({"unknown": "track", "rule": _RULES}),
            "alert": tuple(AlertTable.model_validate(one) for one in _ALERTS),
            "preferences": PreferencesTable(sender_name="Nordhaven", data_requests="queue"),
            "goal": (
                GoalTable(name="order", window_days=14),
                GoalTable(name="booking", window_days=30, model=Model.LINEAR),
                GoalTable(name="brochure"),
            ),
        }
    )


class Atlas(Countries):
    """Knows the networks that the month's readers come from, and no others."""

    def of(self, address: str | IPv4Address | IPv6Address) -> str:
        number = int(ip_address(address)) >> 8 << 8
        return next((country for country, network in NETWORKS.items() if network == number), "")
