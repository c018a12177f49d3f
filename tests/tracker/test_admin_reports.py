"""The pages about numbers and people: what they show, of whom they are silent, and that a file taken away is noted."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from support.lives import hit
from support.tracking import (
    ANONYMOUS,
    IDENTIFIED,
    UNTRACKED,
    URLS,
    Mail,
    configuration,
    erase,
    opened,
    say,
    send,
)
from support.web import Answer, Client

from tracker.admin.app import AdminFace
from tracker.domain import Domain
from tracker.events import VerdictKind

NOW = datetime.now(UTC)
LOCAL = {"Host": "localhost"}
ANN, BOB, CID = "ann@x.example", "bob@y.example", "cid@x.example"
HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "x" * 500, '"><img src=x onerror=alert(1)>')


class Shown:
    """Previews of one message, as whoever keeps messages gives them."""

    def __init__(self) -> None:
        self.message = b""
        self.badges: Mapping[int, tuple[str, str]] = {}

    async def has(self, message: bytes) -> bool:
        return message == self.message

    async def html(self, message: bytes, badges: Mapping[int, tuple[str, str]]) -> str | None:
        self.badges = badges
        return "<p>Apples</p>" if message == self.message else None


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
def previews() -> Shown:
    return Shown()


@pytest.fixture
async def client(domain: Domain, previews: Shown) -> AsyncIterator[Client]:
    face = AdminFace(domain, previews=previews)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def page(client: Client, path: str) -> Answer:
    answer = await client.ask(path, headers=LOCAL)
    assert answer.status == 200, path
    return answer


def words(answer: Answer) -> str:
    """The page's text, in one line, without menu and definitions."""
    body = re.sub(r"(?s)<(style|head|nav|details)\b.*?</\1>", "", text(answer))
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def text(answer: Answer) -> str:
    if answer.header("Transfer-Encoding") != b"chunked":
        return answer.text
    left, whole = answer.body, b""
    while left:
        size, _, left = left.partition(b"\r\n")
        whole, left = whole + left[: int(size, 16)], left[int(size, 16) + 2 :]
    return whole.decode()


async def cells(client: Client, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(await page(client, path)))))


EMPTY = (
    ("/leads", "Look further back"),
    ("/quiet", "Ask for fewer days"),
    ("/departments", "contact import"),
    ("/domains", "Ask for other days"),
    ("/links", "Ask for other days"),
    ("/campaigns", "X-Candor-Variant"),
)


async def test_nothing_yet_says_what_to_do(client: Client) -> None:
    for path, advice in EMPTY:
        assert advice in words(await page(client, path)), path
        assert "is in no" in (found := words(await page(client, f"{path}?search=zzz"))) or "holds" in found, (
            path
        )
        assert (await page(client, f"{path}?format=csv")).status == 200


async def test_people_stand_with_what_they_did_until_they_decline(client: Client, domain: Domain) -> None:
    copies = await send(domain, Mail(to=dict.fromkeys((ANN, BOB), IDENTIFIED), groups={ANN: "Sales"}))
    message = copies[ANN].message.hex()
    for one in (ANN, BOB):
        await say(domain, one, "granted", evidence={"form": "x"})
        await hit(domain, copies[one], NOW, link=2)
    for path in ("/leads", f"/messages/{message}"):
        assert {ANN, BOB} <= set(words(await page(client, path)).split())
    await say(domain, BOB, "withdrawn")
    assert BOB not in words(await page(client, "/leads"))
    recipients = {row["recipient"]: row for row in await cells(client, f"/messages/{message}?format=csv")}
    assert (recipients[ANN]["clicks"], recipients[BOB]["clicks"]) == ("1", "")
    assert recipients[BOB]["mode"] == "identified (not told today)"
    assert [row["clicked"] for row in (recipients[ANN], recipients[BOB])] != ["", ""]
    assert recipients[BOB]["clicked"] == ""
    assert [row["address"] for row in await cells(client, "/leads?format=csv")] == [ANN]


@pytest.mark.parametrize("since", ["denied", "nameless", "erased", None])
async def test_a_history_tells_what_they_did_only_while_they_may_be_measured(
    since: str | None, client: Client, domain: Domain
) -> None:
    await say(domain, ANN, "granted", evidence={"form": "x"})
    copies = await send(domain, Mail(to={ANN: IDENTIFIED}, subject="Pears"))
    await hit(domain, copies[ANN], NOW - timedelta(minutes=3))
    await hit(domain, copies[ANN], NOW - timedelta(minutes=2), link=2)
    await hit(domain, copies[ANN], NOW, verdict=VerdictKind.SCANNER)
    answer = await client.ask(f"/contact?address={ANN}", headers=LOCAL)
    person = (answer.location or b"").decode()
    assert re.fullmatch(r"/contacts/\d+", person)
    if since == "erased":
        await erase(domain, ANN)
        assert (await client.ask(f"{person}/history", headers=LOCAL)).status == 404
        return
    if since is not None:
        await say(
            domain, ANN, "denied" if since == "denied" else None, "true" if since == "nameless" else None
        )
    rows = await cells(client, f"{person}/history?format=csv")
    did = [(row["what"], row["text"]) for row in rows if row["what"] in ("opened", "followed a link")]
    assert did == ([] if since else [("followed a link", URLS[1]), ("opened", "Pears")])
    assert ("got mail", "Pears") in [(row["what"], row["text"]) for row in rows]
    assert [row["text"] for row in rows if row["what"] == "said"][-1] == "tracking_consent: granted"
    shown = words(await page(client, f"{person}/history"))
    assert ("may not be measured by name today" in shown) is bool(since)
    assert shown.count("followed a link") == (0 if since else 1)


async def test_of_whom_only_mail_is_known_their_mail_is_shown(client: Client) -> None:
    answer = await client.ask("/contact?address=nobody%40x.example", headers=LOCAL)
    assert unquote((answer.location or b"").decode()) == "/messages?search=nobody@x.example"
    assert (await client.ask("/contact?address=%3Cscript%3E", headers=LOCAL)).status == 303


async def test_files_of_people_are_noted(client: Client, domain: Domain) -> None:
    await say(domain, ANN, "granted", evidence={"form": "x"})
    copies = await send(domain, Mail(to={ANN: IDENTIFIED}))
    person = ((await client.ask(f"/contact?address={ANN}", headers=LOCAL)).location or b"").decode()
    message = f"/messages/{copies[ANN].message.hex()}"
    for path in ("/leads", "/quiet?least=1", "/contacts", message, f"{person}/history", "/links", "/domains"):
        await page(client, path)
        await page(client, f"{path}{'&' if '?' in path else '?'}format=csv")
    noted = [(str(one.action), one.contact_id) for one in await domain.audit.list(limit=20)]
    assert noted[::-1] == [
        ("export-leads", None),
        ("export-quiet", None),
        ("export-contacts", None),
        ("export-recipients", None),
        ("export", int(person.rpartition("/")[2])),
    ]
    assert "export-recipients" in words(await page(client, "/audit"))


async def test_recipients_are_searched_and_sorted(client: Client, domain: Domain) -> None:
    people = {ANN: IDENTIFIED, BOB: UNTRACKED, CID: ANONYMOUS}
    copies = await send(domain, Mail(to=people, groups={CID: "Works council"}))
    message = copies[ANN].message.hex()
    for search, found in (
        (".example", {ANN, BOB, CID}),
        ("X.EX", {ANN, CID}),
        ("council", {CID}),
        ("denied", {BOB}),
        ("%", set()),
    ):
        rows = await cells(client, f"/messages/{message}?search={quote(search)}&format=csv")
        assert {row["recipient"] for row in rows} == found, search
    for sort, first in (("recipient", ANN), ("-recipient", CID), ("-group", CID), ("reason", BOB)):
        rows = await cells(client, f"/messages/{message}?sort={sort}&search=.example&format=csv")
        known = [row["recipient"] for row in rows if row["group"] or sort != "-group"]
        assert known[0] == first, sort


async def test_a_click_map_shows_shares_and_the_message_itself(
    client: Client, domain: Domain, previews: Shown
) -> None:
    copies = await send(domain, Mail(to=dict.fromkeys((ANN, BOB, CID), IDENTIFIED)))
    for one, link in ((ANN, 1), (ANN, 1), (BOB, 1), (ANN, 2)):
        await hit(domain, copies[one], NOW, link=link)
    previews.message = copies[ANN].message
    path = f"/messages/{copies[ANN].message.hex()}"
    rows = await cells(client, f"{path}/links?sort=-total&format=csv")
    assert [(row["url"], row["unique"], row["total"], row["share"]) for row in rows] == [
        (URLS[0], "2", "3", "75.0%"),
        (URLS[1], "1", "1", "25.0%"),
    ]
    shown = await page(client, f"{path}/links")
    assert f'<iframe class="preview" sandbox src="{path}/preview"' in text(shown)
    assert b"frame-src 'self'" in (shown.header("Content-Security-Policy") or b"")
    preview = await page(client, f"{path}/preview")
    policy = (preview.header("Content-Security-Policy") or b"").decode()
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert policy.endswith("sandbox")
    assert "script-src" not in policy
    assert previews.badges == {1: (URLS[0], "1: 75.0%"), 2: (URLS[1], "2: 25.0%")}
    other = await send(domain, Mail(to={ANN: IDENTIFIED}))
    path = f"/messages/{other[ANN].message.hex()}"
    assert "previews_days" in words(await page(client, f"{path}/links"))
    assert (await client.ask(f"{path}/preview", headers=LOCAL)).status == 404


async def test_a_department_that_is_not_measured_has_not_not_read(client: Client, domain: Domain) -> None:
    people = {ANN: IDENTIFIED, BOB: UNTRACKED, CID: ANONYMOUS}
    copies = await send(domain, Mail(to=people, groups={BOB: "Works council", CID: "Works council"}))
    await hit(domain, copies[ANN], NOW)
    path = f"/departments/{copies[ANN].message.hex()}"
    assert "Apples are here" in words(await page(client, "/departments?search=apples"))
    shown = words(await page(client, path))
    assert "100.0% 1 of 1 measured" in shown
    rows = {row["group"]: row for row in await cells(client, f"{path}?format=csv")}
    assert (rows["Works council"]["not_shown"], rows["Works council"]["not_measured"]) == ("0", "2")


@pytest.mark.parametrize("evil", HOSTILE)
async def test_whatever_mail_says_stays_text(evil: str, client: Client, domain: Domain) -> None:
    mail = Mail(
        to={ANN: IDENTIFIED},
        groups={ANN: evil},
        subject=evil,
        campaign=evil,
        variant=evil,
        urls=(f"https://shop.example/{evil}",),
    )
    copies = await send(domain, mail)
    await say(domain, ANN, "granted", group=evil, evidence={"note": evil})
    await hit(domain, copies[ANN], NOW, link=1)
    message = copies[ANN].message.hex()
    person = ((await client.ask(f"/contact?address={ANN}", headers=LOCAL)).location or b"").decode()
    for path in (
        f"/messages/{message}",
        f"/messages/{message}/links",
        f"/departments/{message}",
        "/departments",
        "/leads",
        "/links",
        "/campaigns",
        f"/campaign?name={quote(evil)}",
        f"/leads?search={quote(evil)}",
        f"{person}/history",
    ):
        found = text(await page(client, path))
        assert not re.search(r"<script(?! type=\"module\" src=\"/static/)|<img", found), path
        assert evil in unescape(found), path


@pytest.mark.parametrize(
    "query",
    [
        "days=0",
        "days=-1",
        "days=x",
        "days=99999999999",
        "days=%F0%9F%8D%8E",
        "from=x&to=2026-99-99",
        "least=0",
    ],
)
async def test_what_a_url_asks_amiss_is_left_out(query: str, client: Client) -> None:
    for path in ("/leads", "/quiet", "/domains", "/links"):
        await page(client, f"{path}?{query}")


@pytest.mark.parametrize(
    "path",
    [
        "/contacts?search=%00",
        "/messages?search=a%00",
        "/queue?reply=%00",
        "/segment?name=%00",
        "/leads?segment=%00",
    ],
)
async def test_nul_is_no_text_for_either_database(path: str, client: Client) -> None:
    for wanted in (path, f"{path}&format=csv"):
        answer = await client.ask(wanted, headers=LOCAL)
        assert answer.status == 400, wanted
