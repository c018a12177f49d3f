"""Who may come in: sessions that cannot be made or kept by others, forms that cannot be forged, guesses that end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.tracking import configuration, opened
from support.web import Answer, Client

from tracker.admin.access import Access, Role, TooManyFailures, Visitor, is_this_machine
from tracker.admin.app import AdminFace
from tracker.admin.signing_in import where_to
from tracker.config import AdminTable
from tracker.domain import Domain
from tracker.tokens import Key, KeyRing

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
OTHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def table(**user: Any) -> AdminTable:
    return AdminTable(listen="127.0.0.1:0", user=({"name": "ann", "password_hash": HASH, **user},))


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Place:
    """A door with a clock, whose configuration may change."""

    def __init__(self, table: AdminTable) -> None:
        self.table = table
        self.clock = Clock()
        key = Key(id=b"abc", secret=secrets.token_bytes(32))
        self.ring = KeyRing(newest=key, keys={key.id: key}, permanent=secrets.token_bytes(32))
        self.access = self.another()

    def another(self) -> Access:
        """As another worker or node has it."""
        return Access(lambda: self.table, self.ring, clock=self.clock)

    async def ann(self) -> Visitor:
        visitor = await self.access.sign_in("ann", "secret", "10.0.0.1")
        assert visitor is not None
        return visitor


async def test_a_session_is_known_to_every_worker_until_its_time_is_over() -> None:
    place = Place(table(role="operator"))
    cookie = (await place.ann()).cookie
    place.clock.now += 12 * 3600 - 1
    found = place.another().visitor(cookie, "admin.example")
    assert found is not None
    assert (found.name, found.role) == ("ann", Role.OPERATOR)
    place.clock.now += 1
    assert place.another().visitor(cookie, "admin.example") is None


@pytest.mark.parametrize(
    "change",
    [
        lambda: table(password_hash=OTHER),
        lambda: table(role="admin"),
        lambda: table(name="bob"),
    ],
    ids=["password", "role", "name"],
)
async def test_what_changes_of_a_user_ends_their_sessions(change: Callable[[], AdminTable]) -> None:
    place = Place(table())
    cookie = (await place.ann()).cookie
    place.table = change()
    assert place.access.visitor(cookie, "localhost") is None


async def test_a_key_of_another_ring_makes_no_session() -> None:
    cookie = (await Place(table()).ann()).cookie
    assert Place(table()).access.visitor(cookie, "localhost") is None


@given(st.text(max_size=200))
def test_nobody_makes_a_cookie(text: str) -> None:
    place = Place(table())
    for cookie in (text, f"{text}.{text}", text + ".00", "." + text):
        assert place.access.visitor(cookie, "localhost") is None


async def test_a_session_cannot_be_changed() -> None:
    place = Place(table())
    cookie = (await place.ann()).cookie
    for at in range(len(cookie)):
        changed = cookie[:at] + ("A" if cookie[at] != "A" else "B") + cookie[at + 1 :]
        assert place.access.visitor(changed, "localhost") is None


async def test_who_guesses_waits_and_others_do_not() -> None:
    place = Place(table())
    for _ in range(10):
        assert await place.access.sign_in("ann", "guess", "10.0.0.9") is None
    with pytest.raises(TooManyFailures):
        await place.access.sign_in("ann", "secret", "10.0.0.9")
    assert await place.access.sign_in("ann", "secret", "10.0.0.1") is not None
    place.clock.now += 300
    assert await place.access.sign_in("ann", "secret", "10.0.0.9") is not None


async def test_guesses_made_at_once_are_counted_like_those_one_after_another() -> None:
    place = Place(table())
    guesses = [place.access.sign_in("ann", f"guess {n}", "10.0.0.9") for n in range(25)]
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    assert answers.count(None) == 10
    assert sum(isinstance(one, TooManyFailures) for one in answers) == 15
    place.clock.now += 300
    assert await place.access.sign_in("ann", "secret", "10.0.0.9") is not None


async def test_who_guesses_from_everywhere_waits_too() -> None:
    place = Place(table())
    for number in range(100):
        assert await place.access.sign_in("ann", "guess", f"10.0.0.{number}") is None
    with pytest.raises(TooManyFailures):
        await place.access.sign_in("ann", "guess", "10.0.1.1")


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost:8081", True),
        ("LOCALHOST", True),
        ("127.0.0.1:8081", True),
        ("127.8.0.1", True),
        ("[::1]:8081", True),
        ("[::1]", True),
        ("admin.example", False),
        ("127.0.0.1.admin.example:8081", False),
        ("localhost.admin.example", False),
        ("192.0.2.1:8081", False),
        ("", False),
        (":8081", False),
    ],
)
def test_without_users_only_the_machine_itself_is_answered(host: str, here: bool) -> None:
    assert is_this_machine(host) is here
    place = Place(AdminTable(listen="127.0.0.1:0"))
    found = place.access.visitor("", host)
    assert (found is not None) is here
    if found is not None:
        assert (found.name, found.role) == ("", Role.ADMIN)


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"listen": "0.0.0.0:8081"}, False),
        ({"listen": ":8081"}, False),
        ({"listen": "[::]:8081"}, False),
        ({"listen": "admin.example:8081"}, False),
        ({"listen": "[::1]:8081"}, True),
        ({"listen": "localhost:8081"}, True),
        ({"listen": ""}, True),
        ({"listen": "0.0.0.0:8081", "user": [{"name": "ann", "password_hash": HASH}]}, True),
        ({"user": [{"name": "ann", "password_hash": HASH}] * 2}, False),
        ({"user": [{"name": "ann", "password_hash": "secret"}]}, False),
        ({"user": [{"name": "ann", "password_hash": HASH, "role": "root"}]}, False),
    ],
)
def test_what_the_world_reaches_needs_users(given: dict[str, Any], allowed: bool) -> None:
    if allowed:
        assert AdminTable(**given).session == 12 * 3600
    else:
        with pytest.raises(ValidationError):
            AdminTable(**given)


@pytest.mark.parametrize(
    ("asked", "leads"),
    [
        ("/messages?search=a%20b", "/messages?search=a%20b"),
        ("//elsewhere.example", "/"),
        ("/\\elsewhere.example", "/"),
        ("https://elsewhere.example", "/"),
        ("", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
    ],
)
def test_after_signing_in_one_stays_here(asked: str, leads: str) -> None:
    assert where_to(asked) == leads


# --- over a socket ---


@pytest.fixture
def store_kind() -> str:
    return "sqlite"


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path, admin=table())) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    face = AdminFace(domain)
    host, _, port = str(await face.start()).removeprefix("http://").rpartition(":")
    yield Client((host, int(port)))
    await face.stop()


async def post(client: Client, path: str, fields: dict[str, str], **headers: str) -> Answer:
    return await client.ask(path, "POST", headers={**FORM, **headers}, body=urlencode(fields).encode())


async def cookie_of(client: Client, password: str = "secret") -> str:
    answer = await post(client, "/sign-in", {"name": "ann", "password": password, "next": "/messages"})
    assert (answer.status, answer.location) == (303, b"/messages")
    (cookie,) = answer.all("Set-Cookie")
    for part in (b"HttpOnly", b"SameSite=Strict", b"Path=/"):
        assert part in cookie
    return cookie.split(b";")[0].decode()


async def test_signing_in_and_out(client: Client) -> None:
    answer = await client.ask("/messages?search=x")
    assert (answer.status, answer.location) == (303, b"/sign-in?next=/messages?search%3Dx")
    cookie = await cookie_of(client)
    page = await client.ask("/messages", headers={"Cookie": cookie})
    assert page.status == 200
    assert "ann, viewer" in page.text.replace("<bdi>", "").replace("</bdi>", "")
    token = page.text.split('name="form_token" value="')[1].split('"')[0]
    out = await post(client, "/sign-out", {"form_token": token}, Cookie=cookie)
    assert (out.status, out.location) == (303, b"/sign-in")
    assert b"candor_session=" in out.all("Set-Cookie")[0]
    assert b"Max-Age=0" in out.all("Set-Cookie")[0]


async def test_a_wrong_password_is_told_without_saying_what_was_wrong(client: Client) -> None:
    told = {
        (await post(client, "/sign-in", {"name": name, "password": "guess"})).text
        for name in ("ann", "nobody")
    }
    assert len(told) == 1
    assert "do not fit together" in told.pop()


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({}, "", 403),
        ({}, "0" * 32, 403),
        ({"Origin": "https://elsewhere.example"}, "right", 403),
        ({"Origin": "null"}, "right", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "right", 403),
        ({"Sec-Fetch-Site": "same-site"}, "right", 403),
        ({"Origin": "http://t.example.com", "Sec-Fetch-Site": "same-origin"}, "right", 303),
        ({}, "right", 303),
    ],
)
async def test_a_form_that_others_made_does_nothing(
    headers: dict[str, str], token: str, status: int, client: Client, domain: Domain
) -> None:
    cookie = await cookie_of(client)
    page = await client.ask("/", headers={"Cookie": cookie})
    right = page.text.split('name="form_token" value="')[1].split('"')[0]
    fields = {"form_token": right if token == "right" else token}
    assert (await post(client, "/sign-out", fields, Cookie=cookie, **headers)).status == status


async def test_every_answer_forbids_what_pages_do_not_need(client: Client) -> None:
    cookie = await cookie_of(client)
    for path in ("/", "/messages", "/nothing", "/sign-in", "/static/admin.css", "/messages/xyz"):
        answer = await client.ask(path, headers={"Cookie": cookie})
        policy = str(answer.header("Content-Security-Policy"))
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.header("Server") == b"candor"
        assert b"X-Content-Type-Options: nosniff" in answer.head


async def test_guessing_over_the_socket_ends(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(10):
        assert (await post(client, "/sign-in", {"name": "ann", "password": "guess"})).status == 401
    assert (await post(client, "/sign-in", {"name": "ann", "password": "secret"})).status == 429
    said = capsys.readouterr()
    assert "127.0.0.1" not in said.err.replace("http://127.0.0.1", "")
    assert "ann" not in said.err
