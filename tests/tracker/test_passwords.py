"""Who may come in: hashes off the loop, successes remembered for a while, nothing told about names."""

from __future__ import annotations

import asyncio
import threading

import pytest
from argon2 import PasswordHasher
from support.sites import until

from tracker import passwords as module
from tracker.passwords import REMEMBER_FOR, Passwords, hash_password

# Cheap on purpose; the parameters are in the hash.
WEAK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that were computed for, and that it happened off the loop's thread."""
    seen: list[str] = []
    real = module._matches

    def counted(password_hash: str, password: str) -> bool:
        assert threading.current_thread() is not threading.main_thread()
        seen.append(password_hash)
        return real(password_hash, password)

    monkeypatch.setattr(module, "_matches", counted)
    return seen


def known_by(clock: Clock | None = None, **passwords: str) -> Passwords:
    return Passwords({name: WEAK.hash(word) for name, word in passwords.items()}, clock=clock or Clock())


def test_a_hash_is_argon2id_salted_and_never_the_same() -> None:
    first, second = hash_password("secret"), hash_password("secret")
    assert first.startswith("$argon2id$")
    assert first != second
    assert PasswordHasher().verify(first, "secret")


@pytest.mark.parametrize(
    ("name", "password", "right"),
    [
        ("joe", "secret", True),
        ("ann", "pässwörd ✓", True),
        ("joe", "Secret", False),
        ("joe", "", False),
        ("joe", "pässwörd ✓", False),
        ("Joe", "secret", False),
        ("nobody", "secret", False),
        ("", "", False),
        ("joe", "lone \ud800 surrogate", False),
        ("lone \ud800 surrogate", "secret", False),
        ("joe", "x" * 10_000, False),
    ],
)
async def test_only_the_right_password_of_a_known_user_is_right(
    name: str, password: str, right: bool
) -> None:
    assert await known_by(joe="secret", ann="pässwörd ✓").match(name, password) is right


async def test_a_success_is_remembered_and_asks_for_no_second_hash(verified: list[str]) -> None:
    clock = Clock()
    known = known_by(clock, joe="secret", ann="secret")
    assert await known.match("joe", "secret")
    assert await known.match("joe", "secret")
    assert len(verified) == 1
    assert not await known.match("joe", "other")
    assert await known.match("ann", "secret")
    assert len(verified) == 3
    clock.now += REMEMBER_FOR
    assert await known.match("joe", "secret")
    assert len(verified) == 4


async def test_a_failure_is_not_remembered(verified: list[str]) -> None:
    known = known_by(joe="secret")
    for _ in range(3):
        assert not await known.match("joe", "guess")
    assert len(verified) == 3


async def test_an_unknown_name_costs_a_hash_too(verified: list[str]) -> None:
    known = known_by(joe="secret")
    for _ in range(2):
        assert not await known.match("nobody", "secret")
    assert len(verified) == 2


async def test_no_users_means_no_login(verified: list[str]) -> None:
    assert not await Passwords({}).match("joe", "secret")
    assert verified == []


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch, verified: list[str]) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    known = known_by(a="1", b="2", c="3")
    for name, password in (("a", "1"), ("b", "2"), ("c", "3"), ("b", "2"), ("c", "3")):
        assert await known.match(name, password)
    assert len(verified) == 3
    assert await known.match("a", "1")
    assert len(verified) == 4


async def test_few_hashes_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = 0, 0, threading.Lock()
    two = threading.Barrier(module.HASHES_AT_ONCE, timeout=60)

    def counted(password_hash: str, password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        two.wait()
        with lock:
            running -= 1
        return False

    monkeypatch.setattr(module, "_matches", counted)
    known = known_by(joe="secret")
    await asyncio.gather(*(known.match("joe", str(n)) for n in range(6)))
    assert most == module.HASHES_AT_ONCE


async def test_who_leaves_keeps_the_turn_until_the_hash_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, lock, over = 0, 0, threading.Lock(), threading.Event()

    def slow(_hash: str, _password: str) -> bool:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        over.wait(60)
        with lock:
            now -= 1
        return False

    monkeypatch.setattr(module, "_matches", slow)
    known = known_by(shop="secret")
    for number in range(4 * module.HASHES_AT_ONCE):
        asking = asyncio.create_task(known.match("shop", "wrong"))
        await asyncio.sleep(0.02)
        begun = min(number + 1, module.HASHES_AT_ONCE)
        await until(lambda: most >= begun, "a thread has begun")  # noqa: B023
        asking.cancel()
    last = asyncio.create_task(known.match("shop", "wrong"))
    await asyncio.sleep(0.05)
    assert most == module.HASHES_AT_ONCE
    over.set()
    assert not await last
    assert most == module.HASHES_AT_ONCE


async def test_a_damaged_hash_lets_nobody_in() -> None:
    known = Passwords({"joe": "secret"})
    assert not await known.match("joe", "secret")
