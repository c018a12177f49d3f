"""The operator's pages: the numbers of the reports, whatever the mail says, and tables that sort, page and export."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lives import hit
from support.operators import dechunked, words
from support.outages import away
from support.tracking import ANONYMOUS, IDENTIFIED, UNTRACKED, Mail, configuration, opened, send
from support.web import Answer, Client

from tracker.admin.app import AdminFace
from tracker.admin.tables import Column, view
from tracker.domain import Domain
from tracker.spreadsheet import as_csv

NOW = datetime.now(UTC)
LOCAL = {"Host": "localhost"}


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def page(client: Client, path: str) -> Answer:
    answer = await client.ask(path, headers=LOCAL)
    assert answer.status == 200
    return answer


async def test_nothing_yet_says_what_to_do(client: Client) -> None:
    assert "No mail has come through yet" in words(await page(client, "/"))
    assert "No message is on record" in words(await page(client, "/messages"))
    assert "X-Candor-Campaign" in words(await page(client, "/campaigns"))


async def test_a_message_is_shown_with_its_numbers_and_everybody_in_it(
    client: Client, domain: Domain
) -> None:
    people = {"a@x.example": IDENTIFIED, "b@x.example": IDENTIFIED, "c@x.example": UNTRACKED}
    copies = await send(domain, Mail(to=people, groups={"a@x.example": "Sales"}))
    await hit(domain, copies["a@x.example"], NOW)
    await hit(domain, copies["a@x.example"], NOW, link=1)
    listed = words(await page(client, "/messages"))
    assert "Apples are here" in listed
    assert "50.0%" in listed
    shown = words(await page(client, f"/messages/{copies['a@x.example'].message.hex()}"))
    for part in (
        "Opens 50.0% 1 of 2; 19 times in 20: 9.5% to 90.5%",
        "denied",
        "a@x.example Sales accepted identified",
    ):
        assert part in shown
    assert re.search(r"https:..shop\.example.apples\?kind=russet&box=2 .*1 50\.0%", shown)


async def test_a_campaign_is_shown_with_its_variants(client: Client, domain: Domain) -> None:
    for variant in ("red", "blue"):
        await send(domain, Mail(to={f"{variant}@x.example": IDENTIFIED}, variant=variant))
    assert "apples" in words(await page(client, "/campaigns"))
    shown = words(await page(client, "/campaign?name=apples"))
    assert "2 messages" in shown
    assert "Opens by variant" in shown
    assert (await client.ask("/campaign?name=pears", headers=LOCAL)).status == 404


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("APPLES", {"Apples 100%_off"}),
        ("100%_", {"Apples 100%_off"}),
        ("0__off", set()),
        ("pear", {"Pears"}),
        ("campaign-2", {"Pears"}),
        ("B@X.example", {"Pears"}),
        ("nobody@x.example", set()),
        ("shop.example", {"Apples 100%_off", "Pears"}),
        ("'; DROP TABLE messages; --", set()),
    ],
)
async def test_messages_are_found(search: str, found: set[str], client: Client, domain: Domain) -> None:
    await send(domain, Mail(to={"a@x.example": UNTRACKED}, subject="Apples 100%_off", campaign="campaign-1"))
    await send(domain, Mail(to={"b@x.example": UNTRACKED}, subject="Pears", campaign="campaign-2"))
    shown = words(await page(client, f"/messages?search={quote(search)}"))
    assert {one for one in ("Apples 100%_off", "Pears") if one in shown} == found


async def test_tables_page_and_sort_and_export_all_of_it(client: Client, domain: Domain) -> None:
    for number in range(60):
        at = NOW - timedelta(minutes=number)
        await send(domain, Mail(to={"a@x.example": UNTRACKED}, subject=f"No. {number:02}", received_at=at))
    first, second = [words(await page(client, f"/messages?sort=subject&page={n}")) for n in (1, 2)]
    assert re.findall(r"No\. \d\d", first) == [f"No. {n:02}" for n in range(50)]
    assert re.findall(r"No\. \d\d", second) == [f"No. {n:02}" for n in range(50, 60)]
    latest = words(await page(client, "/messages?sort=-received"))
    assert re.findall(r"No\. \d\d", latest)[:2] == ["No. 00", "No. 01"]
    answer = await page(client, "/messages?sort=-subject&format=csv")
    assert answer.header("Content-Type") == b"text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [row["subject"] for row in rows] == [f"No. {n:02}" for n in reversed(range(60))]


@pytest.mark.parametrize(
    "subject",
    ["<script>alert(1)</script>", "\u202egnp.exe", "x" * 500, "=1+1", '"><img src=x onerror=alert(1)>', ""],
)
async def test_whatever_mail_says_stays_text(subject: str, client: Client, domain: Domain) -> None:
    mail = Mail(
        to={"a@x.example": ANONYMOUS},
        subject=subject,
        campaign=subject or "c",
        variant=subject,
        tags=(subject,),
        metadata=((subject, subject),),
    )
    copies = await send(domain, mail)
    message = copies["a@x.example"].message.hex()
    for path in (
        "/",
        "/messages",
        f"/messages/{message}",
        "/campaigns",
        f"/campaign?name={quote(subject or 'c')}",
    ):
        text = dechunked(await page(client, path))
        assert "<script>" not in text
        assert "<img" not in text
        assert unescape(text).count(subject)
    (row,) = csv.DictReader(io.StringIO(dechunked(await page(client, "/messages?format=csv"))))
    assert row["subject"] == ("'" + subject if subject.startswith("=") else subject)


@pytest.mark.parametrize(
    "path", ["/messages/", "/messages/zz", f"/messages/{'0' * 32}", "/campaign", "/nothing"]
)
async def test_what_there_is_not_is_a_page(path: str, client: Client) -> None:
    answer = await client.ask(path, headers=LOCAL)
    assert answer.status == 404
    assert "There is nothing here" in words(answer)


async def test_a_store_that_is_away_is_told(client: Client, domain: Domain) -> None:
    with away(domain.database.reads):
        answer = await client.ask("/messages", headers=LOCAL)
    assert answer.status == 503
    assert "The store does not answer" in words(answer)


COLUMNS = (
    Column(key="a", title="A", sorts=True),
    Column(key="b", title="B"),
    Column(key="n", title="N", sorts=True),
)


@given(st.dictionaries(st.sampled_from(["sort", "page", "search", "format", "other"]), st.text(max_size=300)))
def test_whatever_a_url_asks_for_is_a_view_that_its_own_url_gives_again(query: dict[str, str]) -> None:
    found = view(query, COLUMNS, sort="a")
    assert found.sort in ("a", "n")
    assert found.page >= 1
    again = dict(part.split("=", 1) for part in found.url(page=found.page).removeprefix("?").split("&"))
    assert view({"sort": again["sort"], "page": again.get("page", "")}, COLUMNS, sort="a").page == found.page


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1", "'=1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        (-1, "-1"),
        (None, ""),
        ("a,b", "a,b"),
    ],
)
def test_no_cell_is_a_formula(value: object, cell: str) -> None:
    (row,) = csv.DictReader(io.StringIO(as_csv(["a", "b", "n"], [{"a": value}]).decode(), newline=""))
    assert row["a"] == cell
