"""The pages of segments and alerts: built with a plain form, counted, taken away with a note, and naming nobody who may
not be named."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lives import hit
from support.operators import Visit, admin_table, dechunked, visiting, words
from support.tracking import IDENTIFIED, UNTRACKED, Mail, configuration, opened, say, send

from tracker.admin.conditions import CHOICES, FormRow, as_rows, node_of, rows_of, with_free
from tracker.alerting.finding import Finding
from tracker.config import AlertTable
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.reports.alerts import find_alerts
from tracker.segments.terms import definition
from tracker.segments.wording import parse, shown
from tracker.store.audit import Action

NOW = datetime.now(UTC)
JOE, ANN, UMA = "joe@x.example", "=ann@x.example", "uma@y.example"
HOSTILE = '<script>alert(1)</script>"\u202e'


@pytest.fixture
def store_kind() -> str:
    """What is asked of the store is tried on both by tests of segments and alerts."""
    return "sqlite"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    alert = AlertTable(name="prices", kind="click", to=("sales@x.example",), link="*/apples*")
    nobodys = alert.model_copy(update={"name": "nobody", "segment": "gone"})
    config = configuration(store_url, tmp_path, admin=admin_table(), alert=(alert, nobodys))
    async with opened(config) as domain:
        yield domain


@pytest.fixture
async def visits(domain: Domain) -> AsyncIterator[dict[str, Visit]]:
    async with visiting(domain) as visits:
        yield visits


def at(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}"


async def some_mail(domain: Domain) -> None:
    for address in (JOE, ANN):
        await say(domain, address, "granted", group=HOSTILE if address == JOE else "Sales")
    await Finding(domain).events(NOW - timedelta(hours=1))
    copies = await send(
        domain, Mail(to={JOE: IDENTIFIED, ANN: IDENTIFIED, UMA: UNTRACKED}, subject=HOSTILE + "x" * 500)
    )
    for address in (JOE, ANN):
        await hit(domain, copies[address], NOW - timedelta(minutes=30), link=1)
    await Finding(domain).events(NOW - timedelta(minutes=10))
    await Finding(domain).events(NOW)


# --- the form ---

FLAT = [
    "group is Sales, HR",
    "group is none",
    "not country is FR",
    "attribute plan is gold",
    "attribute plan is none",
    "consent is granted and do_not_track is false",
    "domain is *.example.org or received 2 times campaign apples in 30 days",
    "clicked link */prices* in 7 days and not opened",
    "quiet for 90 days",
    "converted 2 times goal order",
]


@pytest.mark.parametrize("text", FLAT)
def test_what_rows_can_say_they_say_again(text: str) -> None:
    node = parse(text)
    found = as_rows(node)
    assert found is not None
    join, rows = found
    assert node_of(rows, join=join) == node
    sent = {
        f"{key}-{n}": value
        for n, row in enumerate(rows, 1)
        for key, value in (
            ("choice", row.choice),
            ("not", "not" if row.is_not else ""),
            ("value", row.value),
            ("times", row.times),
            ("days", row.days),
        )
    }
    assert rows_of(sent) == rows
    assert with_free(rows)[: len(rows)] == rows
    assert with_free(rows)[-1].is_empty


@pytest.mark.parametrize(
    "text",
    [
        "group is a and (group is b or group is c)",
        'group is "a, b"',
        "opened message abcdef",
        "clicked link */x* campaign apples",
        "clicked link */x* message abcdef",
        "not (group is a and group is b)",
        "not not group is a",
        'attribute "a=b" is c',
    ],
)
def test_what_rows_cannot_say_stays_a_text(text: str) -> None:
    assert as_rows(parse(text)) is None


@given(
    st.lists(
        st.builds(
            FormRow,
            choice=st.sampled_from(list(CHOICES)),
            is_not=st.booleans(),
            value=st.text(max_size=20),
            times=st.sampled_from(["", "2", "x", "0"]),
            days=st.sampled_from(["", "30", "-1"]),
        ),
        max_size=4,
    )
)
def test_whatever_is_typed_is_a_segment_or_told_by_the_row(rows: list[FormRow]) -> None:
    try:
        node = node_of(rows, join="any")
    except InvalidValue as error:
        assert re.match(r"condition \d|choose", str(error))  # noqa: PT017 - either way
    else:
        assert parse(shown(node)) == node


# --- the pages ---


async def test_nothing_yet_says_what_to_do(visits: dict[str, Visit]) -> None:
    assert "No segment is saved yet" in words(await visits["viewer"].get("/segments"))
    assert "Nothing has happened yet that is asked for" in words(await visits["viewer"].get("/alerts"))
    built = words(await visits["viewer"].get("/segments/build"))
    assert "Condition 3" in built
    assert "Who would be in it" not in built


async def test_a_segment_is_built_saved_changed_and_deleted(domain: Domain, visits: dict[str, Visit]) -> None:
    await some_mail(domain)
    rows = {"by": "rows", "join": "all", "choice-1": "domain", "value-1": "x.example"}
    rows |= {"choice-2": "link", "value-2": "*/apples*", "days-2": "30"}
    shown_ = await visits["viewer"].get(at("/segments/build", **rows))
    assert "domain is x.example and clicked link */apples* in 30 days" in words(shown_)
    assert "People in it now 2" in words(shown_)
    assert "only those who may be measured by name today" in words(shown_)
    assert 'action="/segments"' not in shown_.text
    conditions = "domain is x.example and clicked link */apples* in 30 days"
    assert (await visits["viewer"].post("/segments", name="x", conditions=conditions)).status == 403
    assert 'action="/segments"' in (await visits["operator"].get(at("/segments/build", **rows))).text
    made = await visits["operator"].post("/segments", name=HOSTILE[:-1], conditions=conditions)
    assert (made.status, unquote((made.location or b"").decode())) == (303, f"/segment?name={HOSTILE[:-1]}")
    (kept,) = await domain.segments.list()
    assert (kept.created_by, kept.definition) == ("operator", definition(parse(conditions)))
    page = await visits["viewer"].get(at("/segment", name=HOSTILE[:-1]))
    assert JOE in page.text
    assert "<script" not in page.text
    assert "<script" not in (await visits["viewer"].get("/segments")).text
    again = await visits["operator"].post("/segments", name=HOSTILE[:-1], conditions="opened")
    assert (again.status, "there is a segment" in words(again)) == (400, True)
    await visits["operator"].post("/segments", name=HOSTILE[:-1], conditions="group is Sales", replace="yes")
    changed = words(await visits["viewer"].get(at("/segment", name=HOSTILE[:-1])))
    assert "group is Sales" in changed
    assert "People in it now 1" in changed
    assert (await visits["operator"].post("/segments/delete", name=HOSTILE[:-1])).status == 400
    assert (await visits["viewer"].post("/segments/delete", name=HOSTILE[:-1], sure="yes")).status == 403
    await visits["operator"].post("/segments/delete", name=HOSTILE[:-1], sure="yes")
    assert await domain.segments.list() == []
    noted = [(one.action, one.actor) for one in await domain.audit.list(limit=10)]
    assert noted == [(Action.SEGMENT_DELETE, "operator"), *[(Action.SEGMENT_SAVE, "operator")] * 2]
    assert (await visits["viewer"].get(at("/segment", name=HOSTILE[:-1]))).status == 404


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"by": "rows"}, "choose at least one condition"),
        ({"by": "rows", "choice-1": "country", "value-1": "FRA"}, "condition 1 (Country): country values"),
        ({"by": "rows", "choice-2": "opened", "times-2": "x"}, "condition 1 (Opened mail): 'x' is no number"),
        ({"by": "text", "text": HOSTILE}, "at character 1: '<script>alert"),
    ],
)
async def test_what_is_wrong_is_told_and_what_was_typed_is_kept(
    query: dict[str, str], said: str, visits: dict[str, Visit]
) -> None:
    answer = await visits["viewer"].get(at("/segments/build", **query))
    assert answer.status == 400
    assert said in words(answer)
    assert "<script" not in answer.text
    for value in query.values():
        assert value in unescape(answer.text)


async def test_who_takes_a_segment_away_is_written_down_and_no_cell_is_a_formula(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await some_mail(domain)
    await domain.segments.save("x", definition(parse("domain is x.example")), by="", now=NOW, replace=False)
    answer = await visits["viewer"].get(at("/segment", name="x", format="csv"))
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [row["address"] for row in rows] == ["'" + ANN, JOE]
    assert b"attachment" in (answer.header("Content-Disposition") or b"")
    (noted,) = await domain.audit.list(limit=10)
    assert (noted.actor, noted.action, noted.about) == ("viewer", Action.EXPORT_SEGMENT, "segment x")


async def test_lists_of_people_are_narrowed_to_a_segment(domain: Domain, visits: dict[str, Visit]) -> None:
    await some_mail(domain)
    await domain.segments.save("sales", definition(parse("group is Sales")), by="", now=NOW, replace=False)
    leads = await visits["viewer"].get(at("/leads", segment="sales"))
    assert ANN in unescape(leads.text)
    assert JOE not in leads.text
    assert re.search(r"<option selected>sales", leads.text)
    assert JOE in (await visits["viewer"].get("/leads")).text
    assert (await visits["viewer"].get(at("/quiet", segment="sales"))).status == 200
    assert (await visits["viewer"].get(at("/quiet", segment="nobody's"))).status == 404
    (message,) = {one.message_id for one in await find_alerts(domain, limit=10)}
    whole, part = [
        words(await visits["viewer"].get(at(f"/departments/{message.hex() if message else ''}", **query)))
        for query in ({}, {"segment": "sales"})
    ]
    assert "2 of 2 measured" in whole
    assert "1 of 1 measured" in part


async def test_alerts_are_listed_and_name_nobody_who_refused_since(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await some_mail(domain)
    page = await visits["viewer"].get("/alerts")
    assert "somebody follows a link to */apples* sales@x.example" in words(page)
    assert "of the segment gone follows a link to */apples*; but no segment of that name is saved" in words(
        page
    )
    assert JOE in page.text
    assert "<script" not in page.text
    await say(domain, JOE, "withdrawn")
    page = await visits["viewer"].get(at("/alerts", sort="name"))
    assert JOE not in page.text
    assert "(not to be named today)" in words(page)
    answer = await visits["viewer"].get(at("/alerts", format="csv"))
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert sorted(row["about"] for row in rows) == ["'" + ANN, "(not to be named today)"]
    assert [one.action for one in await domain.audit.list(limit=10)] == [Action.EXPORT_ALERTS]
