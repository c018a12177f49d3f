"""The pages on the register of consent: its rows, the walk along the chain, signed heads, one person's proof."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update
from support.operators import Visit, admin_table, dechunked, visiting, words
from support.tracking import configuration, erase, opened, say

from tracker.admin.verification import Verification
from tracker.domain import Domain
from tracker.heads import read_document
from tracker.store.register import Source
from tracker.store.schema import consent_ledger

ANN, BOB, CY = "ann@people.example", "bob@people.example", "cy@people.example"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, admin=admin_table())) as domain:
        yield domain


@pytest.fixture
async def visits(domain: Domain) -> AsyncIterator[dict[str, Visit]]:
    async with visiting(domain) as visits:
        yield visits


async def said(domain: Domain) -> None:
    """Rows 1 to 5; the evidence of the first looks like what other rows say."""
    lookalike = {"attribute": "do_not_track", "effective": "x", "source": "cli", "note": '"source":"cli"}'}
    await say(domain, ANN, "granted", evidence=lookalike)
    await say(domain, ANN, dnt="true", source=Source.CLI)
    await say(domain, BOB, "denied", source=Source.PREFERENCE_PAGE)
    await say(domain, CY, "granted")
    await erase(domain, CY)


async def seqs(visit: Visit, query: str) -> list[int]:
    answer = await visit.page(f"/register?format=csv&{query}")
    return [int(row["seq"]) for row in csv.DictReader(io.StringIO(dechunked(answer)))]


async def test_rows_are_found_by_person_kind_and_source(domain: Domain, visits: dict[str, Visit]) -> None:
    await said(domain)
    number = (await domain.contacts.show(BOB)).id
    for query, expected in {
        "": [5, 4, 3, 2, 1],
        "sort=seq": [1, 2, 3, 4, 5],
        "search=ANN@people.example": [2, 1],
        f"search={number}": [3],
        "search=nobody@people.example": [],
        "search=ann": [],
        "kind=tracking_consent": [3, 1],
        "kind=do_not_track": [2],
        "kind=status": [5],
        "kind=erased": [4],
        "kind=override": [],
        "kind=nonsense": [5, 4, 3, 2, 1],
        "source=cli": [2],
        "source=api": [1],
        "source=preference-page&kind=tracking_consent": [3],
        "source=%25": [5, 4, 3, 2, 1],
    }.items():
        assert await seqs(visits["viewer"], query) == expected, query
    assert {one.about for one in await domain.audit.list(limit=99)} == {"the register of consent"}
    shown = words(await visits["viewer"].page("/register"))
    assert "tracking consent granted holds yes api" in shown
    assert "(erased)" in shown
    assert "cy@people" not in shown


async def test_the_whole_chain_is_walked_beside_and_what_was_found_is_told(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await said(domain)
    assert (await visits["viewer"].post("/register/verify")).status == 403
    assert "not verified since" in words(await visits["viewer"].page("/register"))
    assert "It holds: 5 rows, 1 of them erased" in await walked(visits)
    assert "for operator" in words(await visits["viewer"].page("/register"))
    (noted,) = await domain.audit.list(limit=9)
    assert (noted.actor, noted.action) == ("operator", "register-verify")


async def test_a_row_that_was_changed_is_named(domain: Domain, visits: dict[str, Visit]) -> None:
    await said(domain)
    forged = update(consent_ledger).where(consent_ledger.c.seq == 3).values(content="{}}<script>")
    await domain.database.change(lambda connection: connection.execute(forged).rowcount)
    shown = await visits["viewer"].page("/register")
    assert words(shown).count("DOES NOT HOLD") == 1
    told = await walked(visits)
    assert "Broken: row 3: its content is not what was committed to" in told
    assert "2 rows before it hold" in told
    path = f"/contacts/{(await domain.contacts.show(BOB)).id}/proof"
    assert "this row does not hold" in words(await visits["viewer"].page(path))


async def walked(visits: dict[str, Visit]) -> str:
    """Begins a walk and waits for its end."""
    begun = await visits["operator"].post("/register/verify")
    assert (begun.status, begun.location) == (303, b"/register")
    async with asyncio.timeout(60):
        while "Look again" in (shown := words(await visits["viewer"].page("/register"))):
            await asyncio.sleep(0.02)
    return shown


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_one_walk_at_a_time_which_is_broken_off_when_the_program_stops(domain: Domain) -> None:
    await said(domain)
    verification = Verification(domain)
    assert verification.start("ann")
    assert not verification.start("bob")
    await verification.stop()
    assert not verification.is_running
    assert verification.walk is not None
    assert (verification.walk.by, verification.walk.found) == ("ann", None)


async def test_its_end_is_signed_and_can_be_kept_elsewhere(domain: Domain, visits: dict[str, Visit]) -> None:
    assert "Nobody has said anything yet" in words(await visits["operator"].post("/register/sign"))
    assert "None was signed yet" in words(await visits["viewer"].page("/register/heads"))
    await said(domain)
    assert (await visits["viewer"].post("/register/sign")).status == 403
    assert "Signed at row 5." in words(await visits["operator"].post("/register/sign"))
    assert 'href="/register/heads/5"' in (await visits["viewer"].page("/register/heads")).text
    kept = read_document(json.loads((await visits["viewer"].page("/register/heads/5")).text))
    found = await domain.proof.verify([kept])
    assert (kept.seq, found.broken) == (5, None)
    for missing in ("/register/heads/4", "/register/heads/x", "/register/heads/99999999999999999999"):
        assert (await visits["viewer"].get(missing)).status == 404


async def test_a_persons_proof_is_printed_and_that_is_written_down(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await say(domain, ANN, "granted", evidence={"note": "<script>alert(1)</script>", "\u202eform": "x" * 400})
    contact = (await domain.contacts.show(ANN)).id
    assert f'href="/contacts/{contact}/proof"' in (await visits["viewer"].page(f"/contacts/{contact}")).text
    shown = await visits["viewer"].page(f"/contacts/{contact}/proof")
    assert "<script" not in shown.text
    assert "<script>alert(1)</script>" in words(shown)
    history = await domain.proof.history(ANN)
    for part in ("tracking consent unknown → granted", history["rows"][0]["hash"], "How to check it"):
        assert part in words(shown)
    document = await visits["viewer"].page(f"/contacts/{contact}/proof?format=json")
    assert json.loads(document.text) == history
    noted = [(one.action, one.contact_id, one.about) for one in await domain.audit.list(limit=9)]
    assert noted == [("export", contact, "proof of consent")] * 2
    await erase(domain, ANN)
    for path in (f"/contacts/{contact}/proof", "/contacts/99/proof", "/contacts/x/proof"):
        assert (await visits["viewer"].get(path)).status == 404


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_nobody_has_said_anything_yet(visits: dict[str, Visit]) -> None:
    assert "candor contact import" in words(await visits["viewer"].page("/register"))
    assert "No row fits" in words(await visits["viewer"].page("/register?search=x"))
