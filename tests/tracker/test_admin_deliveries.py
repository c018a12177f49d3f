"""The pages on deliveries, on what bounced where, and on who gets no mail any more."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.operators import Visit, admin_table, dechunked, visiting, words
from support.queued import desk_of, relay_configuration
from support.tracking import UNTRACKED, Mail, erase, opened, say, send

from relay.store.holdings import Holdings
from relay.store.suppression import Suppressing, suppressed
from tracker.domain import Domain

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=40)
GONE = "gone@two.example"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(relay_configuration(store_url, tmp_path, admin=admin_table())) as domain:
        yield domain


@pytest.fixture
async def visits(domain: Domain) -> AsyncIterator[dict[str, Visit]]:
    async with visiting(domain, desk_of(domain)) as visits:
        yield visits


MAIL = (
    Mail(to={"ann@one.example": UNTRACKED}, subject="Apples"),
    Mail(to={"bob@two.example": UNTRACKED, GONE: UNTRACKED}, subject="Pears", status="bounced", text="Gone"),
    Mail(to={"cy@one.example": UNTRACKED}, subject="Plums", status="bounced", text="No <such> user"),
    Mail(to={"dee@one.example": UNTRACKED}, subject="Figs", status="deferred", text="Later"),
    Mail(to={"old@one.example": UNTRACKED}, subject="Old", status="bounced", received_at=LONG_AGO),
)
NAMES = ("ann@one", "bob@two", "gone@two", "cy@one", "dee@one", "old@one")


async def test_deliveries_are_found(domain: Domain, visits: dict[str, Visit]) -> None:
    for mail in MAIL:
        await send(domain, mail)
    early = (NOW - timedelta(days=60)).date().isoformat()
    for query, expected in {
        "": {"ann@one", "bob@two", "gone@two", "cy@one", "dee@one"},
        "search=bob@two.example": {"bob@two"},
        "search=pear": {"bob@two", "gone@two"},
        "status=bounced": {"bob@two", "gone@two", "cy@one"},
        "status=nonsense": {"ann@one", "bob@two", "gone@two", "cy@one", "dee@one"},
        "domain=One.example&status=bounced": {"cy@one"},
        "reply=550": {"bob@two", "gone@two", "cy@one"},
        "reply=2": {"ann@one"},
        "reply=4.3.0": {"dee@one"},
        "reply=such": {"cy@one"},
        f"from={early}": set(NAMES),
        f"from={early}&to={early}": set(),
        "from=never&to=2026-99-99": {"ann@one", "bob@two", "gone@two", "cy@one", "dee@one"},
    }.items():
        shown = words(await visits["viewer"].page(f"/deliveries?{query}"))
        assert {name for name in NAMES if name + ".example" in shown.partition("Show ")[2]} == expected, query


async def test_the_table_of_deliveries_sorts_pages_and_its_export_is_written_down(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    many = {f"u{number:02}@one.example": UNTRACKED for number in range(60)}
    await send(domain, Mail(to=many, subject="=1+1", status="bounced"))
    for sort in ("received", "changed", "recipient", "subject", "domain", "status"):
        await visits["viewer"].page(f"/deliveries?sort=-{sort}")
    second = words(await visits["viewer"].page("/deliveries?sort=recipient&status=bounced&page=2"))
    assert "u50@one.example" in second
    assert "u49@one.example" not in second
    answer = await visits["viewer"].page("/deliveries?sort=-recipient&status=bounced&format=csv")
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [row["recipient"] for row in rows] == sorted(many, reverse=True)
    assert rows[0]["subject"] == "'=1+1"
    (noted,) = await domain.audit.list(limit=9)
    assert (noted.actor, noted.action, noted.about) == ("viewer", "export", "deliveries")


async def test_a_delivery_is_shown_with_its_story(domain: Domain, visits: dict[str, Visit]) -> None:
    copies = await send(domain, MAIL[2])
    path = f"/deliveries/{copies['cy@one.example'].delivery.hex()}"
    shown = await visits["viewer"].page(path)
    assert "bounced mx.example:25 TLSv1.3 550 5.1.1 No <such> user" in words(shown)
    assert f"/messages/{copies['cy@one.example'].message.hex()}" in shown.text
    await erase(domain, "cy@one.example")
    assert "cy@one.example" not in words(await visits["viewer"].page(path))
    for missing in ("/deliveries/xyz", f"/deliveries/{'0' * 32}"):
        assert (await visits["viewer"].get(missing)).status == 404


BY = {
    "domain-and-reply": {("two.example", "550", "5.1.1"): 2, ("one.example", "550", "5.1.1"): 1},
    "domain": {("two.example", "", ""): 2, ("one.example", "", ""): 1},
    "reply": {("(none)", "550", "5.1.1"): 3},
}


async def test_what_bounced_where_agrees_with_a_count(domain: Domain, visits: dict[str, Visit]) -> None:
    for mail in MAIL:
        await send(domain, mail)
    counted = Counter(
        one.partition("@")[2] for mail in MAIL[:4] for one in mail.to if mail.status == "bounced"
    )
    for by, expected in BY.items():
        answer = await visits["viewer"].page(f"/bounces?by={by}&format=csv")
        rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
        found = {
            (row.get("domain", "(none)"), row.get("code", ""), row.get("enhanced", "")): int(row["n"])
            for row in rows
        }
        assert found == expected, by
        assert by == "reply" or {key[0]: n for key, n in found.items()} == counted
        for sort in ("domain", "code", "enhanced", "n", "latest"):
            await visits["viewer"].page(f"/bounces?by={by}&sort=-{sort}")
    shown = await visits["viewer"].page("/bounces?search=ONE")
    assert "No <such> user" in words(shown)
    assert "two.example" not in words(shown)
    assert "3 of 4; 19 times in 20" in words(shown)  # of those whose fate is known
    assert "status=bounced" in shown.text
    assert "Nothing bounced at such a domain" in words(await visits["viewer"].page("/bounces?search=zzz"))
    await erase(domain, "cy@one.example")
    shown = await visits["viewer"].page("/bounces")
    assert "(erased) 550" in words(shown)
    assert shown.text.count("status=bounced") == 1  # deliveries without a domain cannot be asked for: no link


async def is_suppressed(domain: Domain, address: str) -> bool:
    found = await domain.database.read(lambda connection: suppressed(connection, [address], domain.ring))
    return address in found


async def test_an_address_is_put_on_the_list_and_taken_off_by_who_may(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await say(domain, GONE, "granted")
    contact = (await domain.contacts.show(GONE)).id
    viewer, operator = visits["viewer"], visits["operator"]
    assert '<form class="card"' not in (await viewer.page("/suppressions")).text
    assert (await viewer.post("/suppressions", address=GONE)).status == 403
    assert not await is_suppressed(domain, GONE)
    wrong = await operator.post("/suppressions", address="<b>nobody</b>")
    assert (wrong.status, "is no mail address" in words(wrong)) == (400, True)
    told = await operator.post("/suppressions", address="Gone@TWO.example", note="asked <us>")
    assert "Mail to gone@two.example is skipped from now on." in words(told)
    assert await is_suppressed(domain, GONE)
    await operator.post("/suppressions", address="stranger@x.example")
    listed = await operator.page("/suppressions?search=TWO.ex&reason=manual&sort=-bounces")
    assert "gone@two.example" in words(listed)
    assert "asked <us>" in words(listed)
    assert "stranger" not in words(listed)
    key = listed.text.split('href="/suppressions/')[1].split('"')[0]
    assert (await viewer.get(f"/suppressions/{key}")).status == 403
    assert (await viewer.post(f"/suppressions/{key}/lift")).status == 403
    asked = await operator.page(f"/suppressions/{key}")
    assert "gone@two.example" in words(asked)
    assert await is_suppressed(domain, GONE)
    assert "goes out again" in words(await operator.post(f"/suppressions/{key}/lift"))
    assert not await is_suppressed(domain, GONE)
    assert (await operator.post(f"/suppressions/{key}/lift")).status == 404
    noted = [(one.action, one.contact_id, one.about) for one in await domain.audit.list(limit=9)]
    assert noted == [
        ("suppression-lift", contact, ""),
        ("suppress", None, "an address that is no contact's"),
        ("suppress", contact, ""),
    ]


async def test_the_list_sorts_is_exported_and_names_no_erased_person(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    domain.holders.append(Holdings())
    await say(domain, GONE, "granted")
    bounced = Suppressing(ring=domain.ring, after=1)
    await domain.database.write(*bounced.bounced({GONE: "5.1.1"}, NOW))
    await visits["operator"].post("/suppressions", address="ann@one.example")
    await erase(domain, GONE)
    for sort in ("address", "reason", "since", "bounces"):
        await visits["viewer"].page(f"/suppressions?sort={sort}")
    answer = await visits["viewer"].page("/suppressions?sort=reason&format=csv")
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [(row["address"], row["reason"], row["bounces"]) for row in rows] == [
        ("(erased)", "hard-bounce", "1"),
        ("ann@one.example", "manual", "0"),
    ]
    assert (await domain.audit.list(limit=1))[0].about == "suppressed addresses"


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_nothing_yet_says_what_to_do(visits: dict[str, Visit]) -> None:
    assert "Point a mail system at the relay" in words(await visits["viewer"].page("/deliveries"))
    assert "[bounces] domain" in words(await visits["viewer"].page("/bounces"))
    assert "candor suppression import" in words(await visits["viewer"].page("/suppressions"))
