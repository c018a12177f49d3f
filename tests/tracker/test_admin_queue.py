"""The pages on the queue: who waits is found, shown and steered, by those who may, and it is written down."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from support.operators import ROLES, Visit, admin_table, dechunked, visiting, words
from support.queued import desk_of, in_hand, relay_configuration, states, wait
from support.submissions import HTML
from support.tracking import Copy, opened

from relay.desk import MailDesk
from tracker.domain import Domain
from tracker.reports.deliveries import delivery_story

ANN, BOB, CY = "ann@one.example", "bob@two.example", "Cy@two.example"
OTHER = "friend@other.example"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(relay_configuration(store_url, tmp_path, admin=admin_table())) as domain:
        yield domain


@pytest.fixture
async def visits(domain: Domain) -> AsyncIterator[dict[str, Visit]]:
    async with visiting(domain, desk_of(domain)) as visits:
        yield visits


async def three(domain: Domain) -> dict[str, Copy]:
    """Ann and Bob wait for one message, Cy for another from somebody else."""
    first = await wait(domain, ANN, BOB, subject="Apples 100%_off")
    return first | await wait(
        domain, CY, subject="Pears", sender=OTHER, answer="User unknown", status="bounced"
    )


def waiting(text: str) -> set[str]:
    return {one for one in (ANN, BOB, CY) if one in text}


async def test_the_list_shows_whom_the_filters_say(domain: Domain, visits: dict[str, Visit]) -> None:
    message = (await three(domain))[CY].message.hex()
    for query, expected in {
        "": {ANN, BOB, CY},
        "search=APPLES": {ANN, BOB},
        "search=100%25_": {ANN, BOB},
        "search=0__off": set(),
        "search=CY%40": {CY},
        "search=friend": {CY},
        f"search={message[:9]}": {CY},
        "domain=two.example": {BOB, CY},
        "domain=@Two.Example": {BOB, CY},
        "state=waiting": {ANN, BOB, CY},
        "state=held": set(),
        "state=what": {ANN, BOB, CY},
        "reply=451": {ANN, BOB},
        "reply=5xx": {CY},
        "reply=4.3.0": {ANN, BOB},
        "reply=UNKNOWN": {CY},
        "reply=unknown&domain=one.example": set(),
        "older=20m": set(),
        "older=1ms": {ANN, BOB, CY},
        "search=%27%3B+DROP+TABLE+queue": set(),
    }.items():
        shown = words(await visits["viewer"].page(f"/queue?{query}")).partition("By domain")[0]
        assert waiting(shown) == expected, query
    assert "2 recipients of 1 message" in words(await visits["viewer"].page("/queue?reply=451"))


async def test_the_table_sorts_and_its_export_is_written_down(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    await three(domain)
    for sort in ("since", "next", "recipient", "sender", "domain", "state", "tries"):
        for sign in ("", "-"):
            await visits["viewer"].page(f"/queue?sort={sign}{sort}")
    answer = await visits["viewer"].page("/queue?sort=-recipient&format=csv&domain=two.example")
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [row["recipient"] for row in rows] == [BOB, CY]
    assert rows[1]["answer"] == "550 5.1.1 User unknown"
    (noted,) = await domain.audit.list(limit=9)
    assert (noted.actor, noted.action, noted.about) == ("viewer", "export", "the queue")


async def test_domains_are_listed_by_age(domain: Domain, visits: dict[str, Visit]) -> None:
    await three(domain)
    answer = await visits["viewer"].page("/queue/domains?sort=domain&format=csv")
    rows = list(csv.DictReader(io.StringIO(dechunked(answer))))
    assert [(row["domain"], row["recipients"], row["<5m"]) for row in rows] == [
        ("one.example", "1", "1"),
        ("two.example", "2", "2"),
    ]
    shown = await visits["viewer"].page("/queue/domains?search=TWO&sort=-%3C5m")
    assert 'href="/queue?domain=two.example"' in shown.text
    assert "one.example" not in shown.text
    assert "Nobody waits for such" in words(await visits["viewer"].page("/queue/domains?search=zzz"))


ACTIONS = {
    "retry": ({}, {ANN: "waiting", BOB: "waiting", CY: "waiting"}),
    "hold": ({}, {ANN: "waiting", BOB: "held", CY: "held"}),
    "release": ({}, {ANN: "waiting", BOB: "waiting", CY: "waiting"}),
    "drop": ({"bounce": "no", "reason": "a <typo>"}, {ANN: "waiting"}),
}


@pytest.mark.parametrize("verb", ACTIONS)
async def test_who_may_not_does_nothing_and_who_may_is_asked_and_written_down(
    verb: str, domain: Domain, visits: dict[str, Visit]
) -> None:
    await three(domain)
    fields, after = ACTIONS[verb]
    before = await states(domain)
    query = "domain=two.example"
    viewer, operator = visits["viewer"], visits["operator"]
    page = (await viewer.page("/queue")).text
    assert "/queue/confirm" not in page
    assert (await viewer.get(f"/queue/confirm?do={verb}&{query}")).status == 403
    assert (await viewer.post(f"/queue/{verb}", domain="two.example", **fields)).status == 403
    assert (await operator.forged(f"/queue/{verb}", domain="two.example", **fields)).status == 403
    asked = await operator.page(f"/queue/confirm?do={verb}&{query}")
    assert "2 recipients of 2 messages" in words(asked)
    assert await states(domain) == before
    assert await domain.audit.list(limit=9) == []
    done = await operator.post(f"/queue/{verb}", domain="two.example", **fields)
    assert done.status == 200
    assert await states(domain) == after
    (noted,) = await domain.audit.list(limit=9)
    assert (noted.actor, noted.action) == ("operator", f"queue-{verb}")
    assert noted.about == "2 recipients of 2 messages, domain two.example"


async def test_a_dropped_message_says_who_did_it_and_its_sender_hears_of_it(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    copies = await three(domain)
    message = copies[CY].message.hex()
    asked = await visits["operator"].page(f"/queue/confirm?do=drop&message={message}")
    assert 'name="bounce" value="yes" required' in asked.text
    done = await visits["operator"].post("/queue/drop", message=message, bounce="yes", reason="no such shop")
    assert "1 recipient dropped" in words(done)
    one, tries = await delivery_story(domain, copies[CY].delivery)
    assert one.status == "bounced"
    assert (tries[-1].host, tries[-1].text) == (
        "operator operator",
        "Dropped by the operator: no such shop",
    )
    assert await states(domain) == {
        ANN: "waiting",
        BOB: "waiting",
        OTHER: "waiting",
    }  # the last is the report
    story = words(await visits["viewer"].page(f"/deliveries/{copies[CY].delivery.hex()}"))
    assert "operator operator 554 5.7.0 Dropped by the operator: no such shop" in story
    assert "(a report of ours to a sender)" in words(await visits["viewer"].page("/deliveries"))


async def test_one_recipient_of_a_message_is_held_and_retrying_says_so(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    copies = await three(domain)
    delivery = copies[ANN].delivery.hex()
    assert "1 recipient held" in words(await visits["operator"].post("/queue/hold", delivery=delivery))
    assert await states(domain) == {ANN: "held", BOB: "waiting", CY: "waiting"}
    told = words(await visits["operator"].post("/queue/retry", message=copies[ANN].message.hex()))
    assert "1 recipient due now" in told
    assert "1 recipient held: release them" in told
    again = words(await visits["operator"].post("/queue/hold", delivery=delivery))
    assert "0 recipients held" in again
    assert "or all were so already" in again


async def test_everything_is_meant_only_where_that_is_said(domain: Domain, visits: dict[str, Visit]) -> None:
    await three(domain)
    asked = (await visits["operator"].page("/queue/confirm?do=hold")).text
    assert "This is everything that waits" in asked
    assert re.search(r'name="all" value="yes"', asked)
    await visits["operator"].post("/queue/hold", all="yes")
    assert set((await states(domain)).values()) == {"held"}


MISTAKEN = (
    ("hold", {"domain": "\0"}),
    ("hold", {}),
    ("hold", {"domian": "two.example"}),
    ("hold", {"state": "hold", "domain": "two.example"}),
    ("hold", {"message": "zz"}),
    ("hold", {"message": "0" * 33}),
    ("hold", {"delivery": "abc"}),
    ("hold", {"older": "1ms"}),
    ("hold", {"all": "yes", "domain": "two.example"}),
    ("hold", {"search": "x" * 201}),
    ("hold", {"search": " ", "all": "no"}),
    ("drop", {"all": "yes"}),
    ("drop", {"all": "yes", "bounce": "maybe"}),
)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_is_not_understood_is_never_done(domain: Domain, visits: dict[str, Visit]) -> None:
    await three(domain)
    before = await states(domain)
    for verb, fields in MISTAKEN:
        assert (await visits["admin"].post(f"/queue/{verb}", **fields)).status == 400, fields
    assert (await visits["admin"].post("/queue/explode", all="yes")).status == 404
    assert (await visits["admin"].get("/queue/confirm?do=explode")).status == 400
    assert (await visits["admin"].get("/queue/confirm?do=hold&stat=held")).status == 400
    assert (await states(domain), await domain.audit.list(limit=9)) == (before, [])


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_an_audit_row_holds_no_address(domain: Domain, visits: dict[str, Visit]) -> None:
    await three(domain)
    await visits["operator"].post("/queue/hold", search=ANN)
    await visits["operator"].post("/queue/hold", reply=f"no such user {BOB}")
    await visits["operator"].post("/queue/hold", reply="4.3.0")
    assert [one.about for one in await domain.audit.list(limit=9)] == [
        "2 recipients of 1 message, reply 4.3.0",
        "0 recipients of 0 messages, by words of the reply",
        "1 recipient of 1 message, by a search",
    ]


async def test_what_is_being_sent_is_left_to_its_worker(domain: Domain, visits: dict[str, Visit]) -> None:
    await three(domain)
    await in_hand(domain, BOB)
    asked = words(await visits["operator"].page("/queue/confirm?do=drop&domain=two.example"))
    assert "1 recipient being sent to at this moment" in asked
    told = words(await visits["operator"].post("/queue/drop", domain="two.example", bounce="no"))
    assert "1 recipient dropped" in told
    assert "1 recipient being sent to now" in told
    assert await states(domain) == {ANN: "waiting", BOB: "waiting"}
    assert waiting(words(await visits["viewer"].page("/queue?state=sending")).partition("By")[0]) == {BOB}
    assert "other-node 4711 1" in words(await visits["viewer"].page("/health"))


async def test_a_message_is_shown_with_every_try_and_taken_as_it_came(
    domain: Domain, visits: dict[str, Visit]
) -> None:
    copies = await three(domain)
    message = copies[ANN].message.hex()
    answer = await visits["viewer"].page(f"/queue/{message}")
    assert 'datetime="2026-05-01T12:00:00.000Z"' in answer.text  # when it was received
    shown = words(answer)
    for part in (ANN, BOB, "Apples 100%_off", "1 failed try", "deferred mx.example:25 TLSv1.3 451 4.3.0"):
        assert part in shown
    assert CY not in shown
    assert (await visits["viewer"].post(f"/queue/{message}/original")).status == 403
    taken = await visits["operator"].post(f"/queue/{message}/original")
    assert (taken.body, taken.header("Content-Type")) == (HTML, b"message/rfc822")
    assert b"attachment" in (taken.header("Content-Disposition") or b"")
    (noted,) = await domain.audit.list(limit=9)
    assert (noted.action, noted.about) == ("queue-read", f"message {message}")
    assert (await visits["viewer"].get(f"/queue/{'0' * 32}")).status == 404
    assert (await visits["viewer"].get("/queue/xyz")).status == 404


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_process_that_sends_no_mail_steers_and_says_what_it_cannot(domain: Domain) -> None:
    await three(domain)
    async with visiting(domain, MailDesk(domain)) as visits:
        shown = await visits["operator"].page("/queue")
        assert 'value="drop"' not in shown.text
        assert "candor queue drop" in words(shown)
        assert (await visits["operator"].post("/queue/drop", all="yes", bounce="no")).status == 400
        asked = words(await visits["operator"].page("/queue/confirm?do=drop&domain=two.example"))
        assert "can write no report" in asked
        await visits["operator"].post("/queue/hold", all="yes")
        assert set((await states(domain)).values()) == {"held"}
        assert "Other processes speak to upstream" in words(await visits["viewer"].page("/health"))


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_nothing_waits_and_nobody_knows_of_mail_both_say_what_to_do(domain: Domain) -> None:
    async with visiting(domain, desk_of(domain)) as visits:
        assert "Nothing waits" in words(await visits["viewer"].page("/queue"))
        assert "Nothing that waits fits" in words(await visits["viewer"].page("/queue?domain=x.example"))
    async with visiting(domain) as visits:
        for path in ("/queue", "/suppressions", "/health"):
            assert "without a relay beside it" in words(await visits["viewer"].page(path))
        assert (await visits["admin"].post("/queue/hold", all="yes")).status == 404


HOSTILE = ("<script>alert(1)</script>", "\u202egnp.exe", "x" * 500, '"><img src=x onerror=alert(1)>')


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_whatever_mail_says_stays_text(domain: Domain, visits: dict[str, Visit]) -> None:
    for text in HOSTILE:
        local = text[:60].replace('"', "'")
        recipient, sender = f'"{local}"@x.example', f'"{local}"@y.example'
        copies = await wait(domain, recipient, subject=text, answer=text, sender=sender)
        copy = copies[recipient]
        message, delivery = copy.message.hex(), copy.delivery.hex()
        for path in (
            f"/queue?search={quote(text[:60])}",
            f"/queue/{message}",
            f"/queue/confirm?do=drop&search={quote(text[:60])}",
            f"/deliveries?search={quote(text[:60])}&reply={quote(text[:60])}",
            f"/deliveries/{delivery}",
            "/health",
        ):
            page = (await visits["admin"].page(path)).text
            assert "<script" not in page
            assert "<img" not in page
            assert path == "/health" or text[:60] in unescape(page), path


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_who_may_act_sees_where(role: str, domain: Domain, visits: dict[str, Visit]) -> None:
    copies = await three(domain)
    message, delivery = copies[ANN].message.hex(), copies[ANN].delivery.hex()
    for path in ("/queue", f"/queue/{message}", f"/deliveries/{delivery}"):
        assert ("/queue/confirm" in (await visits[role].page(path)).text) == (role != "viewer")
