"""`candor segment …`, and the reports of a segment."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation
from support.lives import hit
from support.tracking import IDENTIFIED, UNTRACKED, Mail, say, send

from tracker.domain import Domain

NOW = datetime.now(UTC)
TO = {"=joe@x.example": IDENTIFIED, "ann@x.example": IDENTIFIED, "uma@y.example": UNTRACKED}


async def some_mail(domain: Domain) -> str:
    groups = {"=joe@x.example": "Sales", "uma@y.example": "Sales"}
    for _ in range(3):
        copies = await send(domain, Mail(to=TO, groups=groups))
    for address in TO:
        await say(domain, address, "granted", group=groups.get(address, ""))
    await hit(domain, copies["=joe@x.example"], NOW - timedelta(minutes=5), link=1)
    return copies["ann@x.example"].message.hex()


def test_a_segment_is_saved_counted_exported_and_used(store_url: str, tmp_path: Path) -> None:
    candor = Installation(tmp_path, store_url)
    message = candor.prepare(some_mail)
    assert "no segment is saved yet" in candor.call("segment", "list").out
    made = candor.call("segment", "save", "sales team", "group is Sales and domain is x.example")
    assert (made.code, made.err) == (0, "")
    clicked = candor.call("segment", "save", "clicked", "-", input="clicked link */apples*\nin 30 days\n")
    assert "only those who may be measured by name" in clicked.err
    assert candor.call("segment", "save", "clicked", "opened").code == 2
    assert candor.call("segment", "save", "clicked", "clicked in 30 days", "--replace").code == 0
    (one, other) = candor.call("segment", "list", "--json").json
    assert (one["name"], one["conditions"], other["name"]) == ("clicked", "clicked in 30 days", "sales team")
    assert one["definition"] == {"kind": "clicked", "times": 1, "days": 30}
    assert "group is Sales and domain is x.example" in candor.call("segment", "show", "sales team").out

    assert candor.call("segment", "count", "clicked", "--json").json == {"people": 1}
    counted = candor.call("segment", "count", "--where", "domain is x.example")
    assert counted.out.startswith("2 people")
    assert "ann@x.example" in counted.out
    (row,) = csv.DictReader(io.StringIO(candor.call("segment", "export", "clicked").out))
    assert (row["address"], row["group"], row["tracking_consent"]) == ("'=joe@x.example", "Sales", "granted")
    file = tmp_path / "people.csv"
    assert "1 person in" in candor.call("segment", "export", "clicked", "-o", file).err
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(csv.DictReader(io.StringIO(file.read_text()))) == [row]

    leads = candor.call("report", "leads", "--segment", "sales team", "--json").json
    assert [one["address"] for one in leads] == ["=joe@x.example"]
    candor.call("segment", "save", "nobody", "country is FR")
    assert candor.call("report", "leads", "--segment", "nobody", "--json").json == []
    assert candor.call("report", "quiet", "--segment", "nobody", "--json").json == []
    (quiet,) = candor.call("report", "quiet", "--json").json
    candor.call("segment", "save", "x", "domain is x.example")
    assert candor.call("report", "quiet", "--segment", "x", "--json").json == [quiet]
    told = candor.call("report", "read", message, "--segment", "x", "--json").json
    assert [(one["group"], one["recipients"], one["read"], one["not_shown"]) for one in told] == [
        ("(none)", 1, 0, 1),
        ("Sales", 1, 1, 0),
    ]

    assert candor.call("segment", "delete", "clicked").code == 0
    gone = candor.call("segment", "delete", "clicked")
    assert (gone.code, gone.err) == (1, "candor: there is no segment 'clicked'\n")


def test_of_a_segment_only_who_may_be_measured_today_counts_as_measured(
    store_url: str, tmp_path: Path
) -> None:
    candor = Installation(tmp_path, store_url)
    message = candor.prepare(some_mail)

    async def joe_withdraws(domain: Domain) -> None:
        await say(domain, "=joe@x.example", "withdrawn")

    candor.prepare(joe_withdraws)
    candor.call("segment", "save", "joe", "group is Sales and domain is x.example")
    (told,) = candor.call("report", "read", message, "--segment", "joe", "--json").json
    assert (told["recipients"], told["delivered"], told["read"], told["not_measured"]) == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("count",), "expected the NAME of a saved segment, or --where CONDITIONS"),
        (("count", "x", "--where", "opened"), "expected the NAME"),
        (("count", "--where", "opend"), "segment, at character 1: 'opend' where a condition"),
        (("save", "x", ""), "it is empty"),
        (("save", "x\u202e", "opened"), "cannot be a segment's name"),
        (("show", "x"), "there is no segment 'x'"),
        (("export", "x"), "there is no segment 'x'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    candor = Installation(tmp_path, f"sqlite:///{tmp_path / 'candor.db'}")
    if arguments[0] in ("show", "export"):
        candor.call("segment", "save", "y", "opened")
    done = candor.call("segment", *arguments)
    assert done.code in (1, 2)
    assert said in done.err
