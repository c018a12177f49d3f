"""The API as programs meet it: keys, problems, repetition, conditions, streams, and each resource in use."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.operators import admin_table, visiting
from support.programs import Program, asking, new_key
from support.queued import desk_of, relay_configuration, states, wait
from support.tracking import (
    IDENTIFIED,
    JOE,
    PERSON,
    Mail,
    dump,
    opened,
    say,
    send,
    to_joe,
    tracker_table,
)
from support.web import Client, serving

from tracker.admin.api.app import PREFIX, build, routed
from tracker.admin.api.operations import Operation
from tracker.admin.api.table import OPERATIONS, as_markdown
from tracker.apikeys import SCOPES, fresh
from tracker.config import ApiTable, GoalTable
from tracker.domain import Domain
from tracker.store.api_keys import ApiKeys
from tracker.store.register import Source
from tracker.web.app import PublicFace

ANN, BOB = "ann@one.example", "bob@two.example"
ID = "0" * 31 + "1"
ACTUAL = {
    "id": "1",
    "message": ID,
    "delivery": ID,
    "suppression": ID,
    "key": "0" * 12,
    "verb": "hold",
}


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    tables = {"admin": admin_table(), "goal": (GoalTable(name="order", currency="EUR"),)}
    async with opened(relay_configuration(store_url, tmp_path, **tables)) as domain:
        yield domain


@pytest.fixture
async def program(domain: Domain) -> AsyncIterator[Program]:
    async with asking(domain, desk_of(domain)) as program:
        yield program


once = pytest.mark.parametrize("store_kind", ["sqlite"])
"""Where the database does not matter."""


def path_of(one: Operation) -> str:
    path = one.path
    for name in one.parameters:
        path = path.replace(f"{{{name}}}", ACTUAL[name])
    return path


# --- who may ---


@once
async def test_every_operation_wants_a_key_that_holds_and_has_its_scopes(
    program: Program, domain: Domain
) -> None:
    keys = ApiKeys(domain.database)
    nobody = Program(program.client, "", domain)
    stranger = Program(program.client, fresh().token, domain)
    gone = Program(program.client, await new_key(domain, "gone"), domain)
    await keys.revoke("gone", now=datetime.now(UTC))
    for one in OPERATIONS:
        for who in (nobody, stranger, gone):
            answer = await who.ask(one.method, path_of(one), {} if one.takes else None)
            assert answer.status == 401, (one.name, answer.text)
            assert answer.header(
                "WWW-Authenticate",
            ).startswith(b"Bearer")  # type: ignore[union-attr]
        for scope in one.scopes:
            others = await new_key(
                domain, f"{one.name}-{scope.replace(':', '-')}", *(SCOPES.keys() - {scope})
            )
            limited = Program(program.client, others, domain)
            status, _ = await limited.wrong(one.method, path_of(one), {} if one.takes else None)
            assert status == 403, one.name
    assert await domain.audit.list(limit=9) == []


@once
async def test_a_session_opens_no_api_and_a_key_no_page(program: Program, domain: Domain) -> None:
    async with visiting(domain) as visits:
        visit = visits["admin"]
        assert (await visit.get("/api/v1/contacts")).status == 401
        assert (await visit.post("/api/v1/contacts/1/anonymize")).status == 401
    answer = await program.client.ask("/contacts", headers={"Authorization": f"Bearer {program.token}"})
    assert answer.status == 303


@once
async def test_a_key_makes_only_keys_that_may_do_no_more(program: Program, domain: Domain) -> None:
    maker = await program.with_scopes("keys:write", "keys:read", "events:read")
    status, _ = await maker.wrong("POST", "/keys", {"name": "more", "scopes": ["contacts:read"]})
    assert status == 403
    answer = await maker.ask("POST", "/keys", {"name": "less", "scopes": ["events:read"]})
    made = json.loads(answer.body)
    assert answer.status == 201
    assert made["token"].startswith("candor_")
    less = Program(program.client, made["token"], domain)
    assert (await less.get("/events"))["items"] == []
    listed = (await maker.get("/keys"))["items"]
    assert {one["name"] for one in listed} == {"shop", "other", "less"}
    assert made["token"] not in str(listed)
    revoked = await maker.ask("DELETE", f"/keys/{made['key']['id']}")
    assert json.loads(revoked.body)["revoked_at"] is not None
    assert (await less.wrong("GET", "/events"))[0] == 401
    assert [one.action for one in await domain.audit.list(limit=9) if "key" in one.action] == [
        "api-key-revoke",
        "api-key-create",
    ]


@once
async def test_a_key_is_held_to_its_rate(program: Program, domain: Domain) -> None:
    domain.reconfigure(domain.config.model_copy(update={"api": ApiTable(rate="3/h")}))
    left = []
    for _ in range(3):
        answer = await program.ask("GET", "/keys")
        assert answer.header("RateLimit-Policy") == b'"key";q=3;w=3600'
        left.append(answer.header("RateLimit"))
    assert [one.split(b";")[1] for one in left if one] == [b"r=2", b"r=1", b"r=0"]
    answer = await program.ask("GET", "/keys")
    assert answer.status == 429
    assert 0 < int(answer.header("Retry-After") or b"0") <= 1200
    assert (await (await program.with_scopes("keys:read")).get("/keys"))["items"]


# --- what is said wrongly ---


WRONG: tuple[tuple[str, str, Any, int, set[str]], ...] = (
    ("POST", "/contacts", b"{", 400, {""}),
    ("POST", "/contacts", b"[]", 422, {""}),
    ("POST", "/contacts", {}, 422, {"address"}),
    ("POST", "/contacts", {"address": "nobody"}, 422, {"address"}),
    ("POST", "/contacts", {"address": "a\u0000@b.example"}, 422, {"address"}),
    ("POST", "/contacts", {"address": ANN, "more": 1}, 422, {"more"}),
    ("POST", "/contacts", {"address": ANN, "tracking_consent": "yes"}, 422, {"tracking_consent"}),
    ("POST", "/contacts", {"address": ANN, "do_not_track": True}, 422, {"do_not_track"}),
    ("POST", "/contacts", {"address": ANN, "as_of": "2026-05-01T12:00:00"}, 422, {"as_of"}),
    ("POST", "/contacts", {"address": ANN, "country": "France"}, 422, {"country"}),
    ("POST", "/contacts", {"address": ANN, "attributes": {"consent": "yes"}}, 422, {""}),
    ("POST", "/contacts", {"address": ANN, "attributes": {"as_of": "1"}}, 422, {"attributes"}),
    (
        "POST",
        "/contacts/bulk",
        {"contacts": [{"address": ANN}, {"address": "x"}]},
        422,
        {"contacts.1.address"},
    ),
    (
        "POST",
        "/contacts/bulk",
        {"contacts": [{"address": ANN, "group": 7}]},
        422,
        {"contacts.0.group"},
    ),
    ("POST", "/contacts/bulk", {"contacts": []}, 422, {"contacts"}),
    ("POST", "/contacts/1/consent", {"evidence": {"a": "b"}}, 422, {"tracking_consent"}),
    ("POST", "/contacts/1/consent", {"do_not_track": "true"}, 404, set()),
    ("GET", "/contacts?limit=0", None, 422, {"limit"}),
    ("GET", "/contacts?limit=1&limit=2", None, 422, {"limit"}),
    ("GET", "/contacts?what=1", None, 422, {"what"}),
    ("GET", "/contacts?cursor=abc", None, 422, {"cursor"}),
    ("GET", "/messages?cursor=12", None, 422, {"cursor"}),
    ("GET", "/messages?since=yesterday", None, 422, {"since"}),
    ("GET", "/messages?since=0001-01-01T00:00:00%2B14:00", None, 422, {"since"}),
    (
        "GET",
        "/reports/overview?since=2026-05-02T00:00:00Z&until=2026-05-01T00:00:00Z",
        None,
        422,
        {"since"},
    ),
    ("GET", "/reports/conversions?first_day=0001-01-01&last_day=0001-01-02", None, 422, {"first_day"}),
    ("GET", f"/messages/{ID}", None, 404, set()),
    ("GET", "/contacts/99", None, 404, set()),
    ("GET", "/contacts/0", None, 404, set()),
    ("PUT", "/contacts", {}, 405, set()),
    ("GET", "/nothing", None, 404, set()),
    ("POST", "/conversions", {"goal": "what", "contact": ANN}, 422, {""}),
    ("POST", "/conversions", {"goal": "order", "click_id": "abc"}, 422, {"click_id"}),
    ("POST", "/conversions", {"goal": "order", "contact": ANN, "value": 1.5}, 422, {"value"}),
    ("POST", "/queue/hold", {}, 422, {""}),
    ("POST", "/queue/hold", {"all": True, "domain": "a"}, 422, {""}),
    ("POST", "/queue/hold", {"all": True, "bounce": True}, 422, {"bounce"}),
    ("POST", "/queue/drop", {"all": True}, 422, {"bounce"}),
    ("POST", "/queue/eat", {"all": True}, 404, set()),
)
"""Method, path, body; the status, and the fields that are named."""


@once
async def test_what_is_wrong_is_named_and_nothing_is_done(program: Program, domain: Domain) -> None:
    for method, path, body, status, fields in WRONG:
        said = method, path, body
        assert await program.wrong(method, path, body) == (status, fields), said
    assert (await dump(domain))["contacts"] == []


@once
async def test_a_cursor_of_another_time_is_no_error(program: Program) -> None:
    assert (await program.get(f"/messages?cursor=99999999999999999-{ID}"))["items"] == []
    assert (await program.get("/events?cursor=999999999999999999"))["next"] == "999999999999999999"


@once
async def test_what_is_no_json_or_too_long_is_not_read(program: Program, domain: Domain) -> None:
    domain.reconfigure(domain.config.model_copy(update={"api": ApiTable(largest_body="1KB")}))
    long = {"address": ANN, "attributes": {"a": "b" * 2000}}
    assert (await program.wrong("POST", "/contacts", long))[0] == 413
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await program.wrong("POST", "/contacts", b"address=a", headers=kind))[0] == 415


# --- at most once, and only if ---


async def test_the_same_asked_again_is_answered_again_and_done_once(program: Program, domain: Domain) -> None:
    body = {"address": ANN, "tracking_consent": "granted", "evidence": {"form": "f"}}
    once = {"Idempotency-Key": "order-1"}
    first = await program.ask("POST", "/contacts", body, headers=once)
    again = await program.ask("POST", "/contacts", body, headers=once)
    assert (first.status, first.body, first.header("Location")) == (200, again.body, again.header("Location"))
    assert again.header("Idempotency-Replayed") == b"true"
    assert len((await dump(domain))["consent_ledger"]) == 1
    other = await program.wrong("POST", "/contacts", body | {"group": "x"}, headers=once)
    assert other == (422, {"Idempotency-Key"})
    assert ANN not in str((await dump(domain))["api_answers"])
    wrong = {"Idempotency-Key": "order-2"}
    assert (await program.wrong("POST", "/contacts", {"address": "x"}, headers=wrong))[0] == 422
    assert (await program.ask("POST", "/contacts", body, headers=wrong)).status == 200


async def test_of_the_same_asked_at_once_one_is_done(program: Program, domain: Domain) -> None:
    body, once = {"address": ANN, "tracking_consent": "denied"}, {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(program.ask("POST", "/contacts", body, headers=once) for _ in range(6)))
    assert {one.status for one in answers} <= {200, 409}
    assert sum(one.status == 200 and not one.header("Idempotency-Replayed") for one in answers) == 1
    assert len((await dump(domain))["consent_ledger"]) == 1


async def test_a_contact_is_changed_only_in_the_state_that_is_meant(program: Program, domain: Domain) -> None:
    await program.post("/contacts", {"address": ANN, "country": "FR"})
    got = await program.ask("GET", "/contacts/1")
    tag = (got.header("ETag") or b"").decode()
    unchanged = await program.ask("GET", "/contacts/1", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (unchanged.status, unchanged.body) == (304, b"")
    found = await program.ask("POST", "/contacts/lookup", {"address": ANN.upper()})
    assert (found.header("ETag"), found.body) == (tag.encode(), got.body)
    answers = await asyncio.gather(
        *(
            program.ask("PATCH", "/contacts/1", {"group": f"g{number}"}, headers={"If-Match": tag})
            for number in range(4)
        )
    )
    assert sorted(one.status for one in answers) == [200, 412, 412, 412]
    stale = await program.wrong(
        "POST", "/contacts/1/consent", {"tracking_consent": "granted"}, headers={"If-Match": tag}
    )
    assert stale[0] == 412
    said = await program.ask(
        "POST", "/contacts/1/consent", {"tracking_consent": "granted"}, headers={"If-Match": "*"}
    )
    assert said.status == 200
    assert (await program.get("/contacts/1"))["tracking_consent"] == "granted"


# --- lists ---


@once
async def test_a_list_is_the_same_page_by_page_and_as_a_stream(program: Program, domain: Domain) -> None:
    many = [{"address": f"p{number}@people.example", "group": "g"} for number in range(1000)]
    await program.post("/contacts/bulk", {"contacts": many})
    await program.post(
        "/contacts/bulk", {"contacts": [{"address": f"q{n}@people.example"} for n in range(30)]}
    )
    pages, cursor = [], ""
    while True:
        page = await program.get(f"/contacts?limit=400{cursor}")
        pages += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(pages) == len({one["id"] for one in pages}) == 1030
    assert await program.lines("/contacts") == pages
    assert await program.lines("/contacts?limit=7&cursor=3") == pages[3:10]
    assert len(await program.lines("/contacts?group=g")) == 1000
    assert [one.action for one in await domain.audit.list(limit=9)] == [
        "api-read",
        "contact-update",
        "contact-update",
    ]


@once
async def test_of_a_reader_that_is_slow_nothing_is_read_ahead(program: Program, domain: Domain) -> None:
    attributes = {f"a{number}": "x" * 500 for number in range(20)}
    for start in range(4):
        many = [{"address": f"p{start}-{n}@people.example", "attributes": attributes} for n in range(250)]
        await program.post("/contacts/bulk", {"contacts": many})
    asked = []
    read = domain.database.read

    async def watched(*args: Any, **more: Any) -> Any:
        asked.append(1)
        return await read(*args, **more)

    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, program.client.address)
    reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
    domain.database.read = watched  # type: ignore[method-assign]
    try:
        lines = (
            "GET /api/v1/contacts HTTP/1.1",
            "Host: x",
            "Accept: application/x-ndjson",
            "Connection: close",
        )
        head = "\r\n".join((*lines, f"Authorization: Bearer {program.token}", "", ""))
        writer.write(head.encode())
        await reader.readline()
        await until_still(asked)
        held = len(asked)
        rest = await reader.read(-1)
    finally:
        domain.database.read = read  # type: ignore[method-assign]
        writer.close()
    assert rest.count(b'"address"') == 1000
    assert held < len(asked)


async def until_still(asked: list[int]) -> None:
    """Until nothing more is asked."""
    before = -1
    while before != len(asked):
        before = len(asked)
        await asyncio.sleep(0.2)


# --- people ---


async def test_a_person_from_the_first_word_to_erasure(program: Program, domain: Domain) -> None:
    evidence = {"form": "https://shop.example/join", "text": "v3"}
    taken = await program.post(
        "/contacts", {"address": ANN, "tracking_consent": "granted", "evidence": evidence}
    )
    assert taken == {"effect": "changed", "reason": "", "id": 1}
    await program.ask("PATCH", "/contacts/1", {"attributes": {"colour": "red"}, "country": "fr"})
    shown = await program.get("/contacts/1")
    assert (shown["attributes"], shown["country"], shown["consent_source"]) == (
        {"colour": "red"},
        "FR",
        "api",
    )
    (row,) = (await program.get("/contacts/1/consent"))["rows"]
    assert (row["said"]["evidence"], row["said"]["actor"], row["holds"]) == (evidence, "api:shop", True)
    exported = (await program.get("/contacts/1/export"))["content"]
    assert (await program.post("/contacts/export", {"address": ANN}))["content"]["contact"] == exported[
        "contact"
    ]
    assert await program.post("/contacts/1/anonymize", None or {}) == {"events": 0, "deliveries": 0}
    assert (await program.get("/contacts/1"))["do_not_track"] == "true"
    gone = await program.ask("DELETE", "/contacts/1")
    assert json.loads(gone.body) == {"events": 0}
    assert (await program.wrong("GET", "/contacts/1"))[0] == 404
    assert (await program.wrong("POST", "/contacts/lookup", {"address": ANN}))[0] == 404
    back = await program.post("/contacts", {"address": ANN, "tracking_consent": "granted"})
    assert (back["effect"], back["id"]) == ("not-effective", None)
    noted = [(one.actor, one.action, one.contact_id) for one in reversed(await domain.audit.list(limit=20))]
    assert noted == [
        ("api:shop", "contact-update", None),
        ("api:shop", "contact-update", 1),
        ("api:shop", "api-read", None),
        ("api:shop", "export", 1),
        ("api:shop", "export", 1),
        ("api:shop", "export", 1),
        ("api:shop", "anonymize", 1),
        ("api:shop", "erase", 1),
        ("api:shop", "api-read", None),
        ("api:shop", "contact-update", None),
    ]
    assert ANN not in str(await dump(domain))


@once
async def test_a_persons_own_refusal_is_not_undone(program: Program, domain: Domain) -> None:
    await say(domain, ANN, "withdrawn", source=Source.PREFERENCE_PAGE)
    said = await program.post("/contacts/1/consent", {"tracking_consent": "granted"})
    assert said["effect"] == "not-effective"
    assert "without later evidence" in said["reason"]
    many = {"contacts": [{"address": ANN, "tracking_consent": "granted"}, {"address": BOB}]}
    effects = [one["effect"] for one in (await program.post("/contacts/bulk", many))["outcomes"]]
    assert effects == ["not-effective", "unchanged"]
    assert (await program.get("/contacts/1"))["tracking_consent"] == "withdrawn"


@once
async def test_who_is_known_by_mail_alone_can_be_exported_and_erased(
    program: Program, domain: Domain
) -> None:
    await to_joe(domain)
    found = await program.post("/contacts/export", {"address": JOE})
    assert (found["content"]["status"], len(found["content"]["deliveries"])) == ("unknown", 1)
    assert await program.post("/contacts/erase", {"address": JOE}) == {"events": 0}
    assert JOE not in str(await dump(domain))
    assert (await program.post("/contacts/export", {"address": JOE}))["content"]["status"] == "erased"
    assert (await program.wrong("POST", "/contacts/export", {"address": BOB}))[0] == 404


# --- mail, events, numbers ---


@once
async def test_mail_and_what_was_done_with_it(program: Program, domain: Domain) -> None:
    for who in (ANN, BOB):
        await say(domain, who, "granted")
    copies = await send(domain, Mail(to=dict.fromkeys((ANN, BOB), IDENTIFIED), tags=("a",), variant="x"))
    async with serving(domain) as (client, _):
        for copy in copies.values():
            await client.ask(copy.pixel, headers={"User-Agent": PERSON})
            await client.ask(copy.link())
    message = copies[ANN].message.hex()
    (listed,) = (await program.get("/messages"))["items"]
    assert (listed["id"], listed["campaign"], listed["tags"], listed["recipients"]) == (
        message,
        "apples",
        ["a"],
        2,
    )
    assert (await program.get("/messages?campaign=pears"))["items"] == []
    one = await program.get(f"/messages/{message}")
    assert [link["url"] for link in one["links"]] == list(Mail(to={}).urls)
    theirs = (await program.get(f"/deliveries?message={message}&status=accepted"))["items"]
    assert [delivery["recipient"] for delivery in theirs] == [ANN, BOB]
    story = await program.get(f"/deliveries/{copies[ANN].delivery.hex()}")
    assert (story["delivery"]["recipient"], story["attempts"][0]["code"]) == (ANN, 250)
    assert len((await program.post("/deliveries/lookup", {"address": BOB}))["items"]) == 1
    happened = await program.lines("/events")
    assert {(event["recipient"], event["kind"]) for event in happened} == {
        (who, kind) for who in (ANN, BOB) for kind in ("opened", "clicked")
    }
    await say(domain, BOB, "withdrawn")
    page = await program.get("/events")
    assert {event["recipient"] for event in page["items"]} == {ANN}
    assert (await program.get(f"/events?cursor={page['next']}"))["items"] == []
    assert (await program.get("/events?final=true"))["items"] == []
    report = await program.get(f"/reports/messages/{message}")
    assert report["identified"]["opened"]["total"] == 2
    assert (await program.get("/reports/campaign?name=apples"))["messages"] == 1
    assert BOB not in json.dumps(await program.get("/reports/leads"))
    assert BOB not in json.dumps(await program.get("/reports/quiet?least=1"))
    assert (await program.get("/reports/overview"))["now"]["messages"] == 1
    timeline = await program.get(f"/reports/timeline?message={message}&unit=hour")
    assert sum(bucket["opened"]["total"] for bucket in timeline["buckets"]) == 2


@once
async def test_a_conversion_is_counted_once(program: Program, domain: Domain) -> None:
    await say(domain, ANN, "granted")
    order = {"goal": "order", "contact": ANN, "order": "4711", "value": "49.90"}
    assert await program.post("/conversions", order) == {"is_new": True}
    assert await program.post("/conversions", order) == {"is_new": False}
    (report,) = (await program.get("/reports/conversions"))["items"]
    assert (report["conversions"], report["values"]) == (1, {"EUR": "49.90"})


# --- the queue, and who gets no mail ---


@once
async def test_what_waits_is_seen_and_steered(program: Program, domain: Domain) -> None:
    copies = await wait(domain, ANN, BOB)
    items = await program.lines("/queue")
    assert {one["recipient"] for one in items} == {ANN, BOB}
    assert items[0]["last"]["code"] == 451
    standing = await program.get("/queue/standing")
    assert (standing["recipients"], standing["messages"]) == (2, 1)
    assert (await program.post("/queue/hold", {"domain": "two.example"}))["changed"] == 1
    assert await states(domain) == {ANN: "waiting", BOB: "held"}
    assert (await program.post("/queue/release", {"all": True}))["changed"] == 1
    one = {"delivery": copies[ANN].delivery.hex()}
    assert (await program.post("/queue/retry", one))["changed"] == 1
    assert (await program.post("/queue/drop", one | {"bounce": False, "why": "no"}))["changed"] == 1
    assert await states(domain) == {BOB: "waiting"}
    noted = [one for one in await domain.audit.list(limit=20) if one.action.startswith("queue")]
    assert [one.action for one in reversed(noted)] == [
        "queue-hold",
        "queue-release",
        "queue-retry",
        "queue-drop",
    ]
    assert noted[-1].about == "1 recipients of 1 messages, domain two.example"


@once
async def test_addresses_go_on_and_off_the_list(program: Program, domain: Domain) -> None:
    assert await program.post("/suppressions", {"address": ANN, "note": "asked by phone"}) == {
        "is_done": True
    }
    (one,) = (await program.get("/suppressions?reason=manual"))["items"]
    assert (one["address"], one["note"]) == (ANN, "asked by phone")
    assert (await program.get(f"/suppressions/{one['key']}")) == one
    assert (await program.ask("DELETE", f"/suppressions/{one['key']}")).status == 200
    assert (await program.wrong("DELETE", f"/suppressions/{one['key']}"))[0] == 404
    assert (await program.get("/suppressions"))["items"] == []


@once
async def test_where_nobody_knows_of_mail_the_queue_is_not_there(domain: Domain) -> None:
    async with asking(domain) as program:
        assert (await program.wrong("GET", "/queue"))[0] == 404
        health = await program.get("/health")
        assert (health["status"], health["queue_recipients"]) == ("ok", None)


# --- where it listens, and its pages ---


@once
@pytest.mark.parametrize("is_public", [True, False])
async def test_it_is_on_the_public_listener_only_where_that_is_wanted(
    is_public: bool, domain: Domain, tmp_path: Path
) -> None:
    table = tracker_table(tmp_path)
    domain.reconfigure(domain.config.model_copy(update={"tracker": table}))
    face = PublicFace(domain, beside={PREFIX: build(domain, None)} if is_public else {})
    try:
        program = Program(Client(await face.start()), await new_key(domain, "shop"), domain)
        many = [{"address": f"p{n}@people.example", "group": "x" * 100} for n in range(200)]
        answer = await program.ask("POST", "/contacts/bulk", {"contacts": many})
        assert answer.status == (200 if is_public else 404)
        if is_public:
            assert len(await program.lines("/contacts")) == 200
            assert (await program.wrong("GET", "/nothing"))[0] == 404
    finally:
        await face.stop()


@once
async def test_the_document_and_the_page_tell_every_operation(program: Program) -> None:
    answer = await program.client.ask("/api/v1/openapi.json")
    told = json.loads(answer.body)
    assert told["openapi"] == "3.1.0"
    assert {(method.upper(), path) for path, methods in told["paths"].items() for method in methods} == {
        (one.method, one.path) for one in OPERATIONS
    }
    again = await program.client.ask(
        "/api/v1/openapi.json", headers={"If-None-Match": (answer.header("ETag") or b"").decode()}
    )
    assert again.status == 304
    page = await program.client.ask("/api/v1/docs")
    assert b"script" not in page.body
    assert "default-src 'none'" in (page.header("Content-Security-Policy") or b"").decode()
    for one in OPERATIONS:
        assert f'id="{one.name}"' in page.text
    assert (await program.client.ask("/api/v1/docs.css")).status == 200


def test_every_operation_is_told_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert as_markdown() in page
    for scope, about in SCOPES.items():
        assert f"| `{scope}` | {about} |" in page


def test_names_and_addresses_of_operations_are_told_apart() -> None:
    assert len({one.name for one in OPERATIONS}) == len(OPERATIONS)
    assert len({(one.method, routed(one.path)) for one in OPERATIONS}) == len(OPERATIONS)
