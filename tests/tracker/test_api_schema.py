"""The API keeps to its own OpenAPI document, whatever it is asked: schemathesis makes the requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.operators import admin_table
from support.programs import Program, asking
from support.queued import desk_of, relay_configuration, wait
from support.tracking import JOE, PERSON, opened, say, to_joe
from support.web import serving

from tracker.admin.api.openapi import document
from tracker.admin.api.table import OPERATIONS
from tracker.config import ApiTable, GoalTable

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
    negative_data_rejection,
]
EXAMPLES = 3
"""Of what fits, and of what does not, for each operation."""


@pytest.fixture
async def program(stores: Any, tmp_path: Path) -> AsyncIterator[tuple[Program, dict[str, Any]]]:
    """A store with something of everything, and what is in it by the names in paths."""
    async with stores.fresh("sqlite", tmp_path) as url:
        tables = {
            "admin": admin_table(),
            "api": ApiTable(rate=""),
            "goal": (GoalTable(name="order", currency="EUR"),),
        }
        async with opened(relay_configuration(url, tmp_path, **tables)) as domain:
            await say(domain, JOE, "granted", evidence={"form": "f"})
            copy = await to_joe(domain)
            await wait(domain, "ann@one.example", "bob@two.example")
            async with serving(domain) as (client, _):
                await client.ask(copy.pixel, headers={"User-Agent": PERSON})
                await client.ask(copy.link())
            desk = desk_of(domain)
            async with asking(domain, desk) as program:
                await program.post("/suppressions", {"address": "cy@three.example"})
                listed = await program.get("/suppressions")
                there = {
                    "id": 1,
                    "message": copy.message.hex(),
                    "delivery": copy.delivery.hex(),
                    "suppression": listed["items"][0]["key"],
                }
                yield program, there


async def test_whatever_is_asked_the_answer_is_one_that_was_promised(
    program: tuple[Program, dict[str, Any]],
) -> None:
    asks, there = program
    base = f"{asks.client.base}/api/v1"
    seen = await asyncio.to_thread(_ask_everything, base, asks.token, there)
    assert set(seen) == {one.name for one in OPERATIONS}
    # What is there was found, but for what was taken away: the answers' shapes were looked at.
    good = {name for name, statuses in seen.items() if statuses & {200, 201}}
    assert {one.name for one in OPERATIONS if one.method == "GET" and one.path != "/reports/campaign"} <= good
    assert asks.token not in str(seen)


def _ask_everything(base: str, token: str, there: dict[str, Any]) -> dict[str, set[int]]:
    """The statuses of each operation's answers."""
    schema = schemathesis.openapi.from_dict(document(OPERATIONS))
    seen: dict[str, set[int]] = {}
    headers = {"Authorization": f"Bearer {token}"}
    with requests.Session() as session:
        operations = [found.ok() for found in schema.get_all_operations()]
        # What takes away comes last.
        for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
            name = operation.definition.raw["operationId"]
            statuses = seen.setdefault(name, set())
            for mode in schemathesis.GenerationMode:
                known = {key: there[key] for key in there if f"{{{key}}}" in operation.path}
                if name in ("anonymize_contact", "erase_by_address") or not mode.is_positive:
                    known = {}
                strategy = operation.as_strategy(mode, path_parameters=known or None)
                _run(strategy, session, base, headers, statuses)
    return seen


def _run(
    strategy: Any, session: requests.Session, base: str, headers: dict[str, str], statuses: set[int]
) -> None:
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        response = case.call(base_url=base, session=session, headers=headers)
        case.validate_response(response, checks=CHECKS)
        statuses.add(response.status_code)

    ask()
