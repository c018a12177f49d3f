"""`candor consent`: a whole ledger verifies, a tampered one does not and the first bad row is named, and a person's
history comes with what proves it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from support.commands import Installation
from support.tracking import erase, say

from tracker.domain import Domain
from tracker.store.register import overriding

JOE, ANN = "joe@people.example", "ann@people.example"


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    """Six rows: Joe grants, is refused a stale grant, withdraws; Ann grants with evidence and asks for no name; Joe
    grants again."""
    made = Installation(tmp_path, store_url)

    async def work(domain: Domain) -> None:
        await say(domain, JOE, "granted", evidence={"form": "https://shop.example/signup"})
        await say(domain, ANN, "granted", "true", evidence={"text": "<b>Yes</b> & more"})
        await say(domain, JOE, "withdrawn")
        await say(domain, JOE, "granted", as_of=datetime.fromisoformat("2020-01-01T00:00:00+00:00"))
        await say(domain, JOE, "granted")

    made.prepare(work)
    return made


def tamper(candor: Installation, *statements: str) -> None:
    def work() -> Callable[[Domain], Awaitable[None]]:
        async def doing(domain: Domain) -> None:
            await domain.database.change(
                lambda connection: [connection.execute(text(statement)) for statement in statements]
            )

        return doing

    candor.prepare(work())


def test_a_whole_ledger_verifies(candor: Installation) -> None:
    found = candor.call("consent", "verify", "--json")
    assert found.code == 0
    assert found.json | {"hash": ""} == {"rows": 6, "erased": 0, "hash": "", "broken": None}
    said = candor.call("consent", "verify")
    assert (said.code, said.out.startswith("6 rows hold, 0 of them erased")) == (0, True)


def test_an_empty_ledger_is_whole_and_has_no_head(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)
    assert candor.call("consent", "verify", "--json").json["rows"] == 0
    head = candor.call("consent", "head")
    assert (head.code, "the ledger is empty" in head.err) == (1, True)


def test_erasure_leaves_the_chain_whole(candor: Installation) -> None:
    async def work(domain: Domain) -> None:
        await erase(domain, JOE)

    candor.prepare(work)
    found = candor.call("consent", "verify", "--json").json
    assert (found["rows"], found["erased"], found["broken"]) == (7, 4, None)


def test_a_restored_person_verifies(candor: Installation) -> None:
    async def work(domain: Domain) -> None:
        await erase(domain, JOE)
        await say(domain, JOE, "granted", evidence={"form": "again"})

    candor.prepare(work)
    assert candor.call("consent", "verify", "--json").json["broken"] is None


TAMPERING = {
    "content": ("UPDATE consent_ledger SET content = replace(content, 'withdrawn', 'granted') WHERE seq = 4",
                "row 4: its content is not what was committed to"),
    "lost salt": ("UPDATE consent_ledger SET salt = NULL WHERE seq = 2", "row 2: has lost a part of its content"),
    "lost content": ("UPDATE consent_ledger SET salt = NULL, content = NULL WHERE seq = 2",
                     "row 2: has lost its content, and its person was not erased"),
    "deleted": ("DELETE FROM consent_ledger WHERE seq = 3", "row 4: row 3 is missing before it"),
    "first deleted": ("DELETE FROM consent_ledger WHERE seq = 1", "row 2: row 1 is missing before it"),
    "present value": ("UPDATE contacts SET tracking_consent = 'denied' WHERE address = 'ann@people.example'",
                      "tracking_consent is denied and do_not_track true, but the ledger says granted and true"),
    "taken from a person": ("UPDATE consent_ledger SET contact_id = 999 WHERE seq = 6",
                            "tracking_consent is granted and do_not_track unset, but the ledger says withdrawn"),
    "given to another": ("UPDATE consent_ledger SET contact_id = (SELECT contact_id FROM consent_ledger WHERE seq = 2)"
                         " WHERE seq = 1", "what somebody else said"),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "said"), TAMPERING.values(), ids=TAMPERING)
def test_the_first_row_that_does_not_hold_is_named(candor: Installation, statement: str, said: str) -> None:
    tamper(candor, statement)
    found = candor.call("consent", "verify", "--json")
    assert found.code == 1
    assert said in found.json["broken"]
    assert said in candor.call("consent", "verify").out


@pytest.mark.parametrize("column", ["recorded_at", "commitment", "previous", "hash"])
def test_every_column_of_a_row_is_bound(candor: Installation, column: str) -> None:
    async def work(domain: Domain) -> None:
        other = f"SELECT {column} FROM consent_ledger WHERE seq = 5"
        if column == "recorded_at":
            statement = text("UPDATE consent_ledger SET recorded_at = :then WHERE seq = 2")
            then = (await domain.proof.history(JOE))["rows"][0]["recorded_at"]
            moment = datetime.fromisoformat(then) - timedelta(days=1)
            value = moment.replace(tzinfo=None) if domain.database.dialect == "sqlite" else moment
            await domain.database.change(lambda connection: connection.execute(statement, {"then": value}))
        else:
            statement = text(f"UPDATE consent_ledger SET {column} = ({other}) WHERE seq = 2")
            await domain.database.change(lambda connection: connection.execute(statement))

    candor.prepare(work)
    assert candor.call("consent", "verify", "--json").json["broken"].startswith("row 2: ")


@pytest.mark.filterwarnings("ignore:The default datetime adapter")
def test_a_chain_made_anew_and_a_cut_one_are_found_by_a_head_kept_elsewhere(
    candor: Installation, tmp_path: Path
) -> None:
    kept = tmp_path / "head.json"
    assert candor.call("consent", "head", "-o", kept).code == 0
    assert candor.call("consent", "verify", "--head", kept).code == 0
    tamper(candor, "DELETE FROM ledger_heads")
    # The last rows are gone, and the person's values fit what is left: only the head tells.
    tamper(
        candor,
        "DELETE FROM consent_ledger WHERE seq > 4",
        "UPDATE contacts SET tracking_consent = 'withdrawn' WHERE address = 'joe@people.example'",
    )
    assert candor.call("consent", "verify").code == 0
    found = candor.call("consent", "verify", "--head", kept)
    assert found.code == 1
    assert "row 6: signed on" in found.out
    assert "no longer there" in found.out

    async def other_rows(domain: Domain) -> None:
        await say(domain, JOE, "granted")
        await say(domain, ANN, "withdrawn")

    candor.prepare(other_rows)
    assert candor.call("consent", "verify").code == 0
    again = candor.call("consent", "verify", "--head", kept)
    assert (again.code, "row 6: is not the row that was signed" in again.out) == (1, True)


def test_the_head_is_signed_once_a_day_and_holds_outside(candor: Installation, tmp_path: Path) -> None:
    first, second = candor.call("consent", "head").json, candor.call("consent", "head").json
    assert first == second
    assert first["seq"] == 6
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(first | {"seq": 5}))
    found = candor.call("consent", "verify", "--head", forged)
    assert (found.code, "its signature does not fit" in found.err) == (2, True)
    forged.write_text('{"a": 1}')
    assert "this is no signed head" in candor.call("consent", "verify", "--head", forged).err


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_head_signed_with_another_ring_is_not_ours(candor: Installation, tmp_path: Path) -> None:
    kept = tmp_path / "head.json"
    candor.call("consent", "head", "-o", kept)
    tamper(candor, "UPDATE ledger_heads SET key_id = x'000000'")
    assert "was not signed with a key of this key ring" in candor.call("consent", "verify").out


def test_a_persons_history_carries_what_proves_it(candor: Installation) -> None:
    found = candor.call("consent", "proof", JOE.upper(), "--json").json
    assert (found["address"], found["tracking_consent"], found["status"]) == (JOE, "granted", "active")
    said = [(row["said"]["new"], row["said"]["effective"]) for row in found["rows"]]
    assert said == [("granted", True), ("withdrawn", True), ("granted", False), ("granted", True)]
    assert found["rows"][0]["said"]["evidence"] == {"form": "https://shop.example/signup"}
    for row in found["rows"]:  # by the recipe that the page prints, with nothing of ours
        commitment = hashlib.sha256(bytes.fromhex(row["salt"]) + row["content"].encode()).digest()
        assert commitment.hex() == row["commitment"]
        since_1970 = datetime.fromisoformat(row["recorded_at"]) - datetime.fromisoformat(
            "1970-01-01T00:00:00Z"
        )
        micros = since_1970 // timedelta(microseconds=1)
        packed = struct.pack(">Qq", row["seq"], micros) + bytes.fromhex(row["previous"]) + commitment
        assert hashlib.sha256(packed).hexdigest() == row["hash"]
        assert row["holds"]


def test_proof_is_a_table_and_a_page_too(candor: Installation, tmp_path: Path) -> None:
    table = candor.call("consent", "proof", JOE)
    assert table.code == 0
    for word in (JOE, "unknown → granted", "not effective", "https://shop.example/signup"):
        assert word in table.out
    page = tmp_path / "proof.html"
    assert candor.call("consent", "proof", ANN, "--html", page).code == 0
    text_ = page.read_text(encoding="utf-8")
    assert ANN in text_
    assert "&lt;b&gt;Yes&lt;/b&gt; &amp; more" in text_
    assert "<b>Yes" not in text_
    assert "How to check it" in text_


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_row_that_does_not_hold_shows_in_the_proof(candor: Installation) -> None:
    tamper(candor, TAMPERING["content"][0])
    found = candor.call("consent", "proof", JOE)
    assert (found.code, "BROKEN" in found.out) == (1, True)


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_of_an_erased_person_the_proof_names_nobody(candor: Installation) -> None:
    candor.call("contact", "erase", JOE, "--yes")
    found = candor.call("consent", "proof", JOE, "--json").json
    assert (found["address"], found["status"]) == (None, "erased")
    assert JOE not in json.dumps(found)
    assert candor.call("consent", "proof", "nobody@people.example").code == 1


def test_the_proof_tells_people_on_what_ground_consent_was_passed_over(candor: Installation) -> None:
    ground = {"lawful_basis": "legal obligation", "confirmed_by": "A. Jurist", "message": "a1b2"}

    async def work(domain: Domain) -> None:
        note = overriding([JOE], ground, now=datetime.now(UTC), ring=domain.ring)
        await domain.database.change(note)

    candor.prepare(work)
    told = candor.call("consent", "proof", JOE).out
    # A narrow table breaks lines between words.
    assert {"passed", "legal", "obligation;", "Jurist;", "a1b2"} <= set(told.split())
