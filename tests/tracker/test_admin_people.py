"""The pages about people: what is known, what was said, their rights, who may do what, and that it is written down."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.lives import hit
from support.operators import ROLES, Visit, admin_table, visiting
from support.tracking import IDENTIFIED, JOE, Mail, configuration, opened, send

from tracker.consent import Consent
from tracker.domain import Domain
from tracker.statements import parse_statement
from tracker.store.register import Source
from tracker.store.requests import RequestKind, RequestState

NOW = datetime.now(UTC)


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, admin=admin_table())) as domain:
        yield domain


@pytest.fixture
async def visits(domain: Domain) -> AsyncIterator[dict[str, Visit]]:
    async with visiting(domain) as visits:
        yield visits


async def joe(domain: Domain) -> str:
    """The path of his page."""
    said = parse_statement(
        JOE, {"tracking_consent": "granted", "country": "FR", "group": "Sales"}, evidence={}
    )
    await domain.register.record([said], source=Source.CLI, actor="test", now=NOW)
    return f"/contacts/{(await domain.contacts.show(JOE)).id}"


async def test_people_are_found_and_shown_with_all_that_matters(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    path = await joe(domain)
    copies = await send(domain, Mail(to={JOE: IDENTIFIED}, subject="<b>Apples</b>"))
    await hit(domain, copies[JOE], NOW, link=1)
    listed = (await visits["viewer"].get("/contacts?search=PEOPLE.ex")).text
    assert path in listed
    assert "granted" in listed
    assert JOE not in (await visits["viewer"].get("/contacts?search=nobody")).text
    shown = (await visits["viewer"].get(path)).text
    for part in (
        JOE,
        "granted",
        "Sales",
        "identified",
        "&lt;b&gt;Apples&lt;/b&gt;",
        copies[JOE].message.hex(),
        "holds",
    ):
        assert part in shown
    assert "DOES NOT HOLD" not in shown


ACTIONS = (
    ("consent", {"tracking_consent": "withdrawn", "evidence": "telephone"}, "operator"),
    ("export", {}, "operator"),
    ("anonymize", {"sure": "yes"}, "operator"),
    ("erase", {"sure": "yes"}, "admin"),
)


@pytest.mark.parametrize(("action", "fields", "least"), ACTIONS, ids=[one[0] for one in ACTIONS])
async def test_who_may_not_does_nothing_and_who_may_is_written_down(
    action: str, fields: dict[str, str], least: str, domain: Domain, visits: dict[str, Visit]
) -> None:
    path = await joe(domain)
    for role in ROLES[: ROLES.index(least)]:
        assert f'action="{path}/{action}"' not in (await visits[role].get(path)).text
        assert (await visits[role].post(f"{path}/{action}", **fields)).status == 403
    assert await domain.audit.list(limit=10) == []
    assert (await domain.contacts.show(JOE)).consent is Consent.GRANTED
    assert f'action="{path}/{action}"' in (await visits[least].get(path)).text
    assert (await visits[least].post(f"{path}/{action}", **fields)).status == 200
    (noted,) = await domain.audit.list(limit=10)
    assert (noted.actor, noted.action, f"/contacts/{noted.contact_id}") == (least, action, path)
    assert action in (await visits["viewer"].get("/audit")).text


@pytest.mark.parametrize("role", ROLES)
async def test_the_menu_leads_to_the_audit_log_and_nowhere_a_role_may_not_go(
    role: str, visits: dict[str, Visit]
) -> None:
    menu = (await visits[role].get("/")).text.partition("<nav")[2].partition("</nav>")[0]
    places = re.findall(r'href="([^"]+)"', menu)
    assert "/audit" in places
    for place in places:
        answer = await visits[role].get(place)
        assert answer.status == 200
        assert f'href="{place}" aria-current="page"' in answer.text


async def test_what_is_taken_down_holds_with_its_evidence(domain: Domain, visits: dict[str, Visit]) -> None:
    path = await joe(domain)
    answer = await visits["operator"].post(
        f"{path}/consent", tracking_consent="withdrawn", evidence="call of 4 May"
    )
    assert "holds from now on" in answer.text
    assert (await domain.contacts.show(JOE)).consent is Consent.WITHDRAWN
    row = (await domain.proof.history(JOE))["rows"][-1]["said"]
    assert (row["source"], row["actor"], row["evidence"]) == (
        "operator-page",
        "operator",
        {"note": "call of 4 May"},
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"tracking_consent": "withdrawn"},
        {"evidence": "call"},
        {"tracking_consent": "perhaps", "evidence": "call"},
        {"tracking_consent": "withdrawn", "evidence": "x" * 501},
    ],
)
async def test_what_is_no_statement_is_not_taken(
    fields: dict[str, str], domain: Domain, visits: dict[str, Visit]
) -> None:
    path = await joe(domain)
    assert (await visits["operator"].post(f"{path}/consent", **fields)).status == 400
    assert (await domain.contacts.show(JOE)).consent is Consent.GRANTED


async def test_an_export_is_a_file_with_everything(domain: Domain, visits: dict[str, Visit]) -> None:
    path = await joe(domain)
    answer = await visits["operator"].post(f"{path}/export")
    assert b"attachment" in (answer.header("Content-Disposition") or b"")
    assert JOE.encode() not in answer.head
    assert json.loads(answer.body)["address"] == JOE


@pytest.mark.parametrize("action", ["anonymize", "erase"])
async def test_what_cannot_be_undone_is_asked_twice(
    action: str, domain: Domain, visits: dict[str, Visit]
) -> None:
    path = await joe(domain)
    assert (await visits["admin"].post(f"{path}/{action}")).status == 400
    assert (await domain.contacts.show(JOE)).erased is False


async def test_after_erasure_the_page_and_the_log_name_nobody(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    path = await joe(domain)
    assert (await visits["admin"].post(f"{path}/erase", sure="yes")).status == 200
    for where in (path, "/contacts", "/audit", "/requests"):
        assert JOE not in (await visits["admin"].get(where)).text
    assert (await visits["admin"].post(f"{path}/export")).status == 404


async def test_requests_are_settled_and_a_refusal_needs_a_reason(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await joe(domain)
    asked = await domain.requests.ask(JOE, RequestKind.EXPORT, NOW)
    assert JOE in (await visits["viewer"].get("/requests")).text
    assert (await visits["viewer"].post(f"/requests/{asked.id}", answer="done")).status == 403
    answer = await visits["operator"].post(f"/requests/{asked.id}", answer="refused")
    assert "needs a reason" in answer.text
    assert len(await domain.requests.list(RequestState.OPEN)) == 1
    assert (
        await visits["operator"].post(f"/requests/{asked.id}", answer="refused", note="not theirs")
    ).status == 200
    assert await domain.requests.list(RequestState.OPEN) == []
    assert "not theirs" in (await visits["viewer"].get("/requests")).text


@pytest.mark.parametrize(
    "path", ["/contacts/0", "/contacts/x", "/contacts/99999999999999999999", "/contacts/1%27"]
)
async def test_nobody_there_is_a_page(path: str, visits: dict[str, Visit]) -> None:
    answer = await visits["viewer"].get(path)
    assert answer.status == 404
    assert re.search("nothing here", answer.text)
