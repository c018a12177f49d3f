"""`candor contact export|anonymize`, `candor purge`, `candor request`: what people and programs read, and how they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation
from support.lives import hit, newsletter
from support.tracking import JOE, erase, say, to_joe

from tracker.domain import Domain
from tracker.store.requests import Request, RequestKind

LONG_AGO = datetime.now(UTC) - timedelta(days=1200)


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


async def read_once(domain: Domain) -> None:
    await say(domain, JOE, "granted")
    copy = await to_joe(domain)
    await hit(domain, copy, datetime.now(UTC))


async def asked(domain: Domain) -> Request:
    return await domain.requests.ask(JOE, RequestKind.EXPORT, datetime.now(UTC))


def test_an_export_is_json_and_goes_into_a_file_that_nobody_else_may_read(candor: Installation) -> None:
    candor.prepare(read_once)
    said = candor.call("contact", "export", JOE)
    assert (said.code, said.json["status"], said.json["queue"]) == (0, "active", [])
    file = candor.folder / "joe.json"
    file.write_text("before")
    file.chmod(0o644)
    said = candor.call("contact", "export", JOE, "-o", file)
    assert (said.code, said.out) == (0, f"1 delivery, 1 event: written to {file}\n")
    assert file.stat().st_mode & 0o777 == 0o600
    said = candor.call("contact", "export", JOE, "-o", candor.folder / "no" / "such.json")
    assert (said.code, "cannot be written" in said.err) == (2, True)


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_of_erased_and_unknown_people_an_export_says_so(candor: Installation) -> None:
    said = candor.call("contact", "export", JOE)
    assert (said.code, said.out, said.err) == (1, "", f"candor: nothing is kept of {JOE}\n")
    candor.prepare(lambda domain: erase(domain, JOE))
    said = candor.call("contact", "export", JOE)
    assert (said.code, said.json["status"]) == (0, "erased")
    file = candor.folder / "joe.json"
    assert "the person was erased" in candor.call("contact", "export", JOE, "-o", file).out


def test_anonymising_says_what_it_did(candor: Installation) -> None:
    candor.prepare(read_once)
    said = candor.call("contact", "anonymize", JOE, input="y\n")
    assert (said.code, said.out) == (0, "do_not_track is true; 1 event of 1 delivery made anonymous\n")
    again = candor.call("contact", "anonymize", JOE, "--yes", "--json")
    assert again.json == {"events": 0, "deliveries": 0, "do_not_track": "true"}
    assert candor.call("contact", "anonymize", JOE, input="n\n").code == 1
    candor.prepare(lambda domain: erase(domain, JOE))
    refused = candor.call("contact", "anonymize", JOE, "--yes")
    assert (refused.code, "was erased" in refused.err) == (2, True)


def test_a_purge_is_shown_before_it_is_done(candor: Installation) -> None:
    async def read_long_ago(domain: Domain) -> None:
        for copy in (await newsletter(domain, LONG_AGO)).values():
            await hit(domain, copy, LONG_AGO)

    candor.prepare(read_long_ago)
    due = candor.call("purge", "--dry-run", "--json")
    assert (due.code, due.json["dry_run"], due.json["events"], due.json["deliveries"]) == (0, True, 6, 6)
    day_before = f"{LONG_AGO.replace(year=LONG_AGO.year + 3) - timedelta(days=1):%Y-%m-%d}"
    assert candor.call("purge", "--dry-run", "--as-of", day_before, "--json").json["events"] == 0
    assert "Would go: events before" in candor.call("purge", "--dry-run").out
    done = candor.call("purge")
    assert (done.code, "Gone: events before" in done.out) == (0, True)
    assert candor.call("purge", "--dry-run", "--json").json["events"] == 0


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_the_future_is_only_looked_at(candor: Installation) -> None:
    candor.prepare(read_once)
    later = f"{datetime.now(UTC) + timedelta(days=3660):%Y-%m-%d}"
    said = candor.call("purge", "--as-of", later)
    assert (said.code, "--dry-run" in said.err) == (2, True)
    assert candor.call("purge", "--dry-run", "--as-of", later, "--json").json["events"] == 1


def test_requests_are_listed_and_settled(candor: Installation) -> None:
    number = candor.prepare(asked).id
    assert JOE in candor.call("request", "list").out
    [shown] = candor.call("request", "list", "--json").json
    assert (shown["id"], shown["kind"], shown["state"], shown["settled_at"]) == (
        number,
        "export",
        "open",
        None,
    )
    said = candor.call("request", "refuse", str(number), "--note", "asked yesterday")
    assert (said.code, said.out) == (0, f"request {number} (export): refused\n")
    assert candor.call("request", "list", "--json").json == []
    number = candor.prepare(asked).id
    said = candor.call("request", "done", str(number), "--json")
    assert (said.code, said.json["state"]) == (0, "done")
    states = [one["state"] for one in candor.call("request", "list", "--all", "--json").json]
    assert states == ["done", "refused"]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("request", "done", "7"), 1, "there is no request 7"),
        (("request", "done", "x"), 2, "'x'"),
        (("request", "refuse", "7"), 2, "--note"),
        (("purge", "--as-of", "tomorrow"), 2, "tomorrow"),
        (("contact", "export", "joe@"), 2, "'joe@'"),
        (("contact", "anonymize", "joe@", "--yes"), 2, "'joe@'"),
    ],
)
def test_wrong_calls_say_what_is_wrong(
    arguments: tuple[str, ...], code: int, said: str, candor: Installation
) -> None:
    result = candor.call(*arguments)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert "Traceback" not in result.err
