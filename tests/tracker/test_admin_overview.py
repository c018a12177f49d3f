"""The overview: its numbers are the reports', its charts have their tables, and what wants attention is said."""

from __future__ import annotations

import csv
import io
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from support.lives import hit
from support.outages import away
from support.queued import desk_of, relay_configuration, wait
from support.tracking import IDENTIFIED, JOE, UNTRACKED, Mail, configuration, opened, say, send
from support.web import Client

from relay.store.schema import queue
from tracker.admin.app import AdminFace
from tracker.admin.attention import matters
from tracker.admin.charts import Chart
from tracker.admin.drawings import midnight, of_days, of_mail, waited
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.events import EventKind
from tracker.reports.sums import Scope
from tracker.reports.times import STEPS, Step, TimesTo
from tracker.store.hosts import Examined, note
from tracker.store.requests import RequestKind
from tracker.store.schema import jobs

NOW = datetime.now(UTC)
LOCAL = {"Host": "localhost"}


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    admin = AdminTable(listen="127.0.0.1:0", time_zone="Asia/Kolkata")
    async with opened(configuration(store_url, tmp_path, admin=admin)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def text(client: Client, path: str) -> str:
    answer = await client.ask(path, headers=LOCAL)
    assert answer.status == 200
    return unescape(answer.text)


async def lived(domain: Domain) -> dict[str, str]:
    """Two measured recipients of whom one opened and clicked, and one who is not; an hour ago. Gives ids in hex."""
    people = {JOE: IDENTIFIED, "ann@people.example": IDENTIFIED, "no@people.example": UNTRACKED}
    copies = await send(domain, Mail(to=people))
    await hit(domain, copies[JOE], NOW)
    await hit(domain, copies[JOE], NOW, link=1)
    return {"message": copies[JOE].message.hex(), "mailing": copies[JOE].mailing.hex()}


def value(html: str, title: str) -> str:
    """What stands under a number's name."""
    found = re.search(rf"<dt>{title} .*?</dt>\s*<dd>(.*?)</div>", html, re.S)
    assert found is not None, title
    return " ".join(re.sub("<[^>]*>", " ", found[1]).split())


async def test_the_numbers_of_a_period_stand_with_what_they_are_of(client: Client, domain: Domain) -> None:
    await lived(domain)
    html = await text(client, "/?days=7")
    assert value(html, "Recipients") == "3 before: 0"
    assert value(html, "Delivered") == "3 before: 0"
    assert value(html, "Measured") == "2 before: 0"
    assert value(html, "Not measured by name") == "1 before: 0"
    assert value(html, "Open rate") == "50.0% 1 of 2; 19 times in 20: 9.5% to 90.5% before: –"
    assert 'aria-current="true">7 days' in html


@pytest.mark.parametrize("query", ["", "?days=x"])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_without_a_period_it_is_today(query: str, client: Client, domain: Domain) -> None:
    await lived(domain)
    assert 'aria-current="true">Today' in await text(client, f"/{query}")


async def test_charts_stand_with_the_table_that_their_file_has_too(client: Client, domain: Domain) -> None:
    ids = await lived(domain)
    for path, of in (
        ("/", ""),
        (f"/messages/{ids['message']}", f"?message={ids['message']}"),
        ("/campaign?name=apples", f"?mailing={ids['mailing']}"),
    ):
        html = await text(client, path)
        keys = re.findall(rf'href="/charts/([a-z-]+)\.csv{re.escape(of)}"', html)
        assert {"hours", "time-to-opened"} <= set(keys)
        assert html.count("<svg") == len(keys)
        for key in keys:
            rows = list(csv.reader(io.StringIO(await text(client, f"/charts/{key}.csv{of}"))))
            for label, *values in rows[1:]:
                cells = "".join(f'<td class="number">{value}</td>' for value in values)
                assert f'<th scope="row"><bdi>{label}</bdi></th>{cells}' in html


@pytest.mark.parametrize(
    "path", ["days", "nothing", "hours.csv?message=x", f"hours.csv?message={'0' * 32}", "hours.csv?mailing="]
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_no_chart_is_there_for_is_not_found(path: str, client: Client) -> None:
    assert (await client.ask(f"/charts/{path}", headers=LOCAL)).status == 404


def by_key(charts: list[Chart]) -> dict[str, Chart]:
    return {one.key: one for one in charts}


async def test_days_are_the_operators(domain: Domain) -> None:
    """Half past midnight in Kolkata is the evening before in UTC."""
    today = midnight(NOW, domain.config.admin.zone)
    copies = await send(domain, Mail(to={JOE: IDENTIFIED}, received_at=today - timedelta(hours=2)))
    await hit(domain, copies[JOE], today + timedelta(minutes=1))
    days = by_key(await of_days(domain, today + timedelta(minutes=2)))["days"]
    day = today.astimezone(domain.config.admin.zone).date()
    assert dict(days.rows)[f"{day}"] == (0, 1, 0)
    assert dict(days.rows)[f"{day - timedelta(days=1)}"] == (1, 0, 0)
    assert len(days.rows) == 30


async def test_a_long_life_is_drawn_by_day(domain: Domain) -> None:
    copies = await send(domain, Mail(to={JOE: IDENTIFIED}, received_at=NOW - timedelta(days=9)))
    scope = Scope(message=copies[JOE].message)
    assert "hours" in by_key(await of_mail(domain, scope))
    await hit(domain, copies[JOE], NOW)
    assert "days" in by_key(await of_mail(domain, scope))


def test_spans_are_said_in_units_that_people_use() -> None:
    edges = (0, *STEPS)
    steps = tuple(Step(since=low, until=high, n=1) for low, high in zip(edges, (*STEPS, None), strict=True))
    chart = waited(TimesTo(kind=EventKind.OPENED, n=12, median=60, p90=600, histogram=steps))
    assert chart.labels[0] == "up to 1 min"
    assert "up to 12 h" in chart.labels
    assert chart.labels[-1] == "over 7 d"


# --- what wants attention ---


async def _host(domain: Domain, **found: object) -> None:
    examined = Examined(**{"problem": "", "certificate_until": NOW + timedelta(days=99), **found})  # type: ignore[arg-type]
    await domain.database.change(lambda one: note(one, "https://t.example", examined, NOW))


async def _request(domain: Domain, days: int) -> None:
    await say(domain, JOE, "granted")
    await domain.requests.ask(JOE, RequestKind.EXPORT, NOW - timedelta(days=days))


async def _job(domain: Domain) -> None:
    row = {"name": "purge", "due_at": NOW, "holder": "", "held_until": NOW, "failures": 3}
    await domain.database.write((insert(jobs), [row]))


CASES: tuple[tuple[str, Callable[[Domain], Awaitable[None]], str, bool], ...] = (
    ("host", lambda domain: _host(domain, problem="no answer"), "do not lead on: no answer", True),
    (
        "certificate",
        lambda domain: _host(domain, certificate_until=NOW + timedelta(days=10, hours=1)),
        "runs out in 10 days",
        False,
    ),
    ("request", lambda domain: _request(domain, 3), "1 request waits for an answer", False),
    ("late-request", lambda domain: _request(domain, 40), "1 request waits for an answer", True),
    ("job", _job, "The job purge failed 3 times in a row", True),
)


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("happens", "said", "urgent"), [one[1:] for one in CASES], ids=[one[0] for one in CASES]
)
async def test_what_wants_attention_is_said(
    happens: Callable[[Domain], Awaitable[None]], said: str, urgent: bool, domain: Domain
) -> None:
    assert await matters(domain, None, NOW) == []
    await happens(domain)
    (matter,) = await matters(domain, None, NOW)
    assert said in matter.what
    assert matter.is_urgent is urgent
    assert matter.advice


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_store_that_is_away_comes_first(domain: Domain, client: Client) -> None:
    await _request(domain, 40)
    with away(domain.database.writes):
        html = await text(client, "/")
    assert html.index("does not take writes") < html.index("1 request waits")


async def test_mail_that_waits_long_or_cannot_be_read_wants_attention(store_url: str, tmp_path: Path) -> None:
    async with opened(relay_configuration(store_url, tmp_path)) as domain:
        desk = desk_of(domain)
        await wait(domain, "a@x.example")
        assert await matters(domain, desk, NOW) == []
        for hours, urgent in ((5, False), (30, True)):
            await domain.database.write(
                (update(queue).values(queued_at=time.time() - hours * 3600 - 60), [{}])
            )
            (matter,) = await matters(domain, desk, NOW)
            assert f"for {hours} hours" in matter.what
            assert matter.is_urgent is urgent
        await domain.database.write((update(queue).values(state="damaged", queued_at=time.time()), [{}]))
        (matter,) = await matters(domain, desk, NOW)
        assert "1 recipient waits for mail that cannot be read" in matter.what
