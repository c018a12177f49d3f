"""`candor policy show` and what `candor explain` makes of rules, senders, kinds of mail and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation

from tracker.policy import PRESETS

JOE = "joe@people.example"
RULES = """
[consent]
unknown = "track"
presets = ["fr-2026", "it-2026"]
[[consent.rule]]
groups = ["staff"]
senders = ["@shop.example"]
unknown = "anonymous"
[[consent.rule]]
domains = ["*.bücher.example"]
do_not_track_unset = true
keep_device = false
"""


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


@pytest.fixture
def ruled(candor: Installation) -> Installation:
    candor.config.write_text(candor.config.read_text() + RULES)
    return candor


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_every_rule_is_printed_in_full_and_in_order(ruled: Installation) -> None:
    shown = ruled.call("policy", "show", "--json").json
    names = [rule["name"] for rule in shown["rules"]]
    presets = [rule.name for name in ("fr-2026", "it-2026") for rule in PRESETS[name]]
    assert names == ["[[consent.rule]] 1", "[[consent.rule]] 2", *presets]
    assert shown["rules"][1]["domains"] == ["*.xn--bcher-kva.example"]
    assert shown["otherwise"] == {"unknown": "track", "do_not_track_unset": False}
    table = ruled.call("policy", "show").out
    for word in (
        "@shop.example",
        "anonymous",
        "FR",
        "hygiene",
        "IT",
        "tracking_preferences_url",
        "no legal advice",
        "[consent]",
    ):
        assert word in table


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("said", "arguments", "mode", "rule"),
    [
        ("country=ES", (), "identified", "[consent]"),
        ("country=FR", (), "untracked", "fr-2026: all other mail"),
        ("country=FR", ("--class", "requested"), "hygiene", "fr-2026: mail the person asked for"),
        ("country=IT", (), "aggregate", "it-2026"),
        ("note=nothing", ("--class", "requested"), "hygiene", "country not known"),
        ("group=staff", ("--from", "News@Shop.example"), "anonymous", "[[consent.rule]] 1"),
        (
            "group=staff",
            ("--from", "news@other.example", "--class", "requested"),
            "hygiene",
            "country not known",
        ),
    ],
)
def test_explaining_names_the_rule_that_holds(
    ruled: Installation, said: str, arguments: tuple[str, ...], mode: str, rule: str
) -> None:
    ruled.call("contact", "set", JOE, said)
    found = ruled.call("explain", JOE, *arguments, "--json").json
    assert found["mode"] == mode
    assert rule in found["rule"]
    assert any(rule in step["asked"] for step in found["steps"])


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_rule_for_domains_reads_what_is_unset_in_its_own_way(ruled: Installation) -> None:
    address = "x@mail.bücher.example"
    ruled.call("contact", "set", address, "tracking_consent=granted", "country=ES")
    assert ruled.call("explain", address, "--json").json["reason"] == "granted+do-not-track"


def test_explaining_a_past_time_goes_by_what_was_known_then(candor: Installation) -> None:
    before = datetime.now(UTC)
    candor.call("contact", "set", JOE, "tracking_consent=granted", "do_not_track=true")
    between = datetime.now(UTC)
    candor.call("contact", "set", JOE, "tracking_consent=withdrawn")
    candor.call("contact", "set", JOE, "tracking_consent=granted", "--as-of", "2020-01-01T00:00:00Z")

    def reason(at: datetime) -> str:
        return str(candor.call("explain", JOE, "--at", at.isoformat(), "--json").json["reason"])

    assert reason(before) == "unknown-identified"
    assert reason(between) == "granted+do-not-track"
    assert reason(datetime.now(UTC)) == "withdrawn"
    assert reason(datetime.now(UTC) + timedelta(days=1)) == "withdrawn"


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", "yesterday"), "--at: 'yesterday' is no time; write 2026"),
        (("--at", "2026-01-01"), "--at: '2026-01-01' has no time zone"),
        (("--from", "nobody"), "'nobody' is not a mail address"),
        (("--class", "spam"), "'spam' is not one of"),
    ],
)
def test_what_cannot_be_asked_is_said(candor: Installation, arguments: tuple[str, ...], said: str) -> None:
    result = candor.call("explain", JOE, *arguments)
    assert result.code == 2
    assert said in result.err


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            '[consent]\npresets = ["fr-2025"]',
            "'fr-2025' is no preset of ours; there are fr-2026, it-2026, strict",
        ),
        (
            '[[consent.rule]]\ncountries = ["France"]',
            "rule.0.countries.0: expected a country code of two letters",
        ),
        ('[[consent.rule]]\ndomains = ["a@b"]', "rule.0.domains.0: expected a domain such as"),
        ('[[consent.rule]]\nsenders = ["shop"]', "rule.0.senders.0: 'shop' is not a mail address"),
        ('[[consent.rule]]\nclasses = ["spam"]', "rule.0.classes.0"),
        ('[[consent.rule]]\nunknown = "maybe"', "rule.0.unknown"),
        ('[[consent.rule]]\ncountry = "FR"', "countries"),
    ],
)
def test_a_wrong_rule_is_named(candor: Installation, rule: str, said: str) -> None:
    candor.config.write_text(candor.config.read_text() + rule + "\n")
    result = candor.call("policy", "show")
    assert result.code == 2
    assert said in result.err
