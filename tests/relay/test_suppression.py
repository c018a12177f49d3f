"""The list of those who are not written to: counted, listed, and left again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.commands import Installation
from support.people import rows

from relay.store.schema import suppressions
from relay.store.suppression import Suppressing
from tracker.domain import Domain

JOE, ANN = "joe@people.example", "ann@people.example"
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def here(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


def listed(here: Installation) -> list[dict[str, Any]]:
    return here.call("suppression", "list", "--json").lines


def on_record(here: Installation) -> list[dict[str, Any]]:
    async def work(domain: Domain) -> list[dict[str, Any]]:
        return await rows(domain, suppressions)

    return here.prepare(work)


def test_a_list_and_a_way_out(here: Installation) -> None:
    assert here.call("suppression", "add", "Joe@People.Example", ANN, "--note", "by phone").code == 0
    assert {(one["address"], one["reason"], one["note"]) for one in listed(here)} == {
        (JOE, "manual", "by phone"),
        (ANN, "manual", "by phone"),
    }
    assert JOE in here.call("suppression", "list").out
    assert len(here.call("suppression", "list", "--json", "--limit", "1").lines) == 1
    assert here.call("suppression", "remove", "JOE@people.example").code == 0
    assert [one["address"] for one in listed(here)] == [ANN]
    result = here.call("suppression", "remove", JOE, ANN)
    assert (result.code, result.out) == (1, "1 taken off the list\n")
    assert result.err == f"{JOE}: not on the list\n"
    assert listed(here) == []


def test_what_is_no_address_is_refused(here: Installation) -> None:
    for command in ("add", "remove"):
        result = here.call("suppression", command, JOE, "joe")
        assert (result.code, "not a mail address" in result.err) == (2, True)
    assert listed(here) == []


def test_what_is_exported_can_be_imported(here: Installation, tmp_path: Path) -> None:
    here.call("suppression", "add", JOE, "--note", 'said "no", twice')
    here.call("suppression", "add", ANN)
    file = tmp_path / "list.csv"
    assert here.call("suppression", "export", file).code == 0
    before = listed(here)
    assert here.call("suppression", "export").out == file.read_text()
    here.call("suppression", "remove", JOE, ANN)
    assert here.call("suppression", "import", file).out == "2 imported, 0 refused\n"
    assert sorted(map(str, listed(here))) == sorted(map(str, before))


def test_other_lists_can_be_imported(here: Installation) -> None:
    text = (
        "\ufeffEmail,created,Reason,since\njoe@people.example,x,hard-bounce,2026-04-01\nnobody,x,,\n"
        "ann@people.example,x,boredom,\nann@people.example,x,complaint,2026-04-02T10:00:00+02:00\n"
        "ann@people.example,x,,yesterday\n\n"
    )
    result = here.call("suppression", "import", "-", input=text)
    assert (result.code, result.out) == (1, "2 imported, 3 refused\n")
    assert [line.split(":")[1] for line in result.err.splitlines()] == ["3", "4", "6"]
    assert {(one["address"], one["reason"], one["since"]) for one in listed(here)} == {
        (JOE, "hard-bounce", "2026-04-01T00:00:00.000Z"),
        (ANN, "complaint", "2026-04-02T08:00:00.000Z"),
    }


def test_a_plain_list_of_addresses_can_be_imported(here: Installation) -> None:
    assert here.call("suppression", "import", "-", input=f"{JOE}\n{ANN}\n{JOE}\n").code == 0
    assert {one["address"] for one in listed(here)} == {JOE, ANN}


@pytest.mark.parametrize("text", ["name,town\njoe,Bath\n", 'address\n"' + "x" * 200_000])
def test_a_file_of_something_else_is_refused(here: Installation, text: str) -> None:
    result = here.call("suppression", "import", "-", input=text)
    assert (result.code, "Traceback" in result.err) == (2, False)
    assert listed(here) == []


def test_who_is_on_the_list_stays_there_as_they_are(here: Installation) -> None:
    here.call("suppression", "import", "-", input=f"address,reason,since\n{JOE},complaint,2026-04-01\n")
    here.call("suppression", "add", JOE)
    ((reason, since),) = [(one["reason"], one["since"]) for one in listed(here)]
    assert (reason, since) == ("complaint", "2026-04-01T00:00:00.000Z")


def test_bounces_are_counted_until_they_are_enough_and_forgotten_with_the_address(here: Installation) -> None:
    async def bounce(domain: Domain) -> None:
        suppressing = Suppressing(ring=domain.ring, after=2)
        await domain.database.write(*suppressing.bounced({JOE: "5.1.1"}, NOW))

    here.prepare(bounce)
    assert listed(here) == []
    here.prepare(bounce)
    assert [one["since"] for one in listed(here)] == ["2026-05-01T12:00:00.000Z"]
    here.call("suppression", "remove", JOE)
    here.prepare(bounce)
    assert listed(here) == []


def test_a_complaint_is_enough_whatever_was_counted_before(here: Installation) -> None:
    async def both(domain: Domain) -> None:
        suppressing = Suppressing(ring=domain.ring, after=5, complaints=True)
        await domain.database.write(*suppressing.bounced({JOE: "5.1.1"}, NOW))
        await domain.database.write(*suppressing.complained(JOE, "abuse", NOW))
        await domain.database.write(*suppressing.bounced({JOE: "5.1.1"}, NOW))

    here.prepare(both)
    assert [(one["reason"], one["note"]) for one in listed(here)] == [("complaint", "abuse")]


def test_of_an_erased_person_a_hash_is_kept_and_no_address(here: Installation) -> None:
    here.call("suppression", "add", JOE, "--note", "Joe called")
    shown = here.call("contact", "export", JOE).json["suppression"]
    assert [(one["reason"], one["note"]) for one in shown] == [("manual", "Joe called")]
    for person in (JOE, ANN):
        here.call("contact", "erase", person, "--yes")
    here.call("suppression", "add", ANN)  # erased before
    assert [one["address"] for one in on_record(here)] == [None, None]
    assert "Joe" not in str(on_record(here))
    assert "(erased)" in here.call("suppression", "list").out
    exported = here.call("suppression", "export")
    assert (exported.out, exported.err) == ("address,reason,since,note\n", "candor: 2 erased left out\n")
    assert here.call("suppression", "remove", JOE, ANN).code == 0
