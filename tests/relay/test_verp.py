"""Return paths that name their delivery: read back in any case, and never made by anybody else."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.verp import ReturnPaths
from tracker.tokens import Key, KeyRing

KEY, NEWER = (Key(id=id_, secret=id_ * 10 + b"ss") for id_ in (b"one", b"two"))
RING = KeyRing(newest=KEY, keys={KEY.id: KEY}, permanent=b"p" * 32)
PATHS = ReturnPaths(domain="bounces.example", ring=RING)
ID = bytes(range(16))


@given(st.binary(min_size=16, max_size=16), st.booleans())
def test_a_return_path_names_its_delivery_in_any_case(delivery: bytes, upper: bool) -> None:
    path = PATHS.of(delivery)
    assert len(path.rpartition("@")[0]) <= 64
    assert PATHS.delivery(path.upper() if upper else path) == delivery
    assert PATHS.named_in(f"for <{path}>;") == delivery


def test_old_keys_go_on_verifying() -> None:
    path = PATHS.of(ID)
    rotated = replace(RING, newest=NEWER, keys={KEY.id: KEY, NEWER.id: NEWER})
    newer = ReturnPaths(domain="bounces.example", ring=rotated)
    assert newer.delivery(path) == ID
    assert newer.of(ID) != path
    assert PATHS.delivery(newer.of(ID)) is None


@given(st.integers(0, 57), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567+="))
def test_no_changed_character_verifies(at: int, character: str) -> None:
    path = PATHS.of(ID)
    changed = path[:at] + character + path[at + 1 :]
    assert PATHS.delivery(changed) == (ID if changed.lower() == path else None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@bounces.example",
        "b+@bounces.example",
        "postmaster@bounces.example",
        PATHS.of(ID).replace("@", "@other."),
        PATHS.of(ID).partition("@")[0],
        "b" + PATHS.of(ID),
        PATHS.of(ID).replace("@", "x@"),
        PATHS.of(ID)[:40] + "@bounces.example",
        "b+" + "a" * 56 + "@bounces.example",
        "b+" + "\N{LATIN SMALL LETTER A WITH DIAERESIS}" * 56 + "@bounces.example",
        "b+" + "\N{KELVIN SIGN}" * 56 + "@bounces.example",
    ],
)
def test_nothing_else_is_a_return_path(address: str) -> None:
    assert PATHS.delivery(address) is None


def test_a_return_path_of_another_ring_is_none_of_ours() -> None:
    other = Key(id=KEY.id, secret=secrets.token_bytes(32))
    theirs = ReturnPaths(
        domain="bounces.example", ring=KeyRing(newest=other, keys={other.id: other}, permanent=b"q" * 32)
    )
    assert PATHS.delivery(theirs.of(ID)) is None
    assert PATHS.named_in(f"{theirs.of(ID)} and {PATHS.of(ID)}") == ID
    assert PATHS.named_in(f"{theirs.of(ID)} " * 100) is None
