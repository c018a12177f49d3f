"""Proof by test: whatever people say, mail systems send and readers do, in any order and over years, there is never an
event that the rules forbid, and none is missing that they allow.

Relay and tracker are the real ones; what ought to be on record comes from a second, small statement of the rules
(`support.rules`). `make soak` looks longer: CANDOR_RULES_EXAMPLES and CANDOR_RULES_STEPS say how much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from support.rulebook import MIN_GROUP, PEOPLE, POLICIES, Rulebook
from support.rules import Rules
from support.virtual import House

from relay.config import Config, OverrideTable, UserTable
from tracker.config import StoreTable, TokensTable, TrackerTable
from tracker.config.tables import AnonymityTable, ConsentTable
from tracker.consent import Ceiling
from tracker.store.register import Source

EXAMPLES = int(os.environ.get("CANDOR_RULES_EXAMPLES", "4"))
STEPS = int(os.environ.get("CANDOR_RULES_STEPS", "25"))
HASH = PasswordHasher(time_cost=1, memory_cost=64).hash("secret")


@pytest.fixture
def house(store_url: str, tmp_path: Path) -> Iterator[House]:
    config = Config(
        tracker=TrackerTable(listen="127.0.0.1:0", public_url="http://t.example.com", answer_within="20s"),
        store=StoreTable(url=store_url, ask_within="20s", write_within="30s"),
        tokens=TokensTable(keys_file=str(tmp_path / "keys.toml")),
        anonymity=AnonymityTable(min_group=MIN_GROUP),
        consent=ConsentTable(trust_header_users=("crm",)),
        override=OverrideTable(
            users=("court",), lawful_basis="legal obligation", lawful_basis_confirmed_by="A. Jurist"
        ),
    )
    ceilings = {"quiet": Ceiling.ANONYMOUS, "mute": Ceiling.NONE}
    users = tuple(
        UserTable(name=name, password_hash=HASH, track=ceilings.get(name, Ceiling.FULL))
        for name in ("shop", "crm", "court", "quiet", "mute")
    )
    config = config.model_copy(update={"relay": config.relay.model_copy(update={"user": users})})
    house = House()
    house.open(config)
    yield house
    house.close()


def test_no_event_exists_that_the_rules_forbid_and_none_is_missing_that_they_allow(
    house: House, tmp_path: Path
) -> None:
    machine = type("Rulebook", (Rulebook,), {"house": house, "folder": tmp_path})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            # A failure is told as it was found: making it smaller would take minutes, a run with more examples less.
            phases=[phase for phase in Phase if phase is not Phase.shrink],
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.compared >= EXAMPLES, "each run ends with the store and the model agreeing"
    assert machine.events_seen > len(PEOPLE), "hardly anything was measured: this would show nothing"


def test_whatever_held_when_mail_was_sent_and_whatever_holds_now(house: House, tmp_path: Path) -> None:
    """Every pair of the two, which chance would take long to find."""
    machine = type("Rulebook", (Rulebook,), {"house": house, "folder": tmp_path})
    book = machine()
    for name, apart in zip(PEOPLE, (None, "true", "false", "unset"), strict=True):
        book.tell(name, None, apart, "sales", None, False, Source.API)
    for then in POLICIES:
        book.policy(Rules(unknown=then))
        book.send(list(PEOPLE), f"then {then}", "", None, ("shop", False), False)
        for now in POLICIES:
            book.now(timedelta(days=1))
            book.policy(Rules(unknown=now))
            book.look(*PEOPLE)
            book.the_record_is_what_the_rules_say()
    for word in ("granted", "denied", "granted", "withdrawn"):
        for name in PEOPLE:
            book.tell(name, word, None, None, None, True, Source.CLI)
        book.the_record_is_what_the_rules_say()
    book.teardown()
    assert machine.compared == len(POLICIES) ** 2 + 4, "the store held what the rules say, each time"
    assert machine.events_seen > len(PEOPLE), "hardly anything was measured: this would show nothing"
