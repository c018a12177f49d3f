"""`candor token show` and `candor keys rotate`: they need the key ring and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import Installation
from support.tracking import AGGREGATE, IDENTIFIED, SUFFIX, URLS, Copy

from tracker import keyring
from tracker.consent import Decision
from tracker.tokens import KeyRing, Token, read, seal


@pytest.fixture
def candor(tmp_path: Path, ring: KeyRing) -> Installation:
    return Installation(tmp_path, "postgresql://candor:hunter2@127.0.0.1:1/nobody-there")


def copy_of(ring: KeyRing, decision: Decision) -> Copy:
    class Holder:
        pass

    holder = Holder()
    holder.ring = ring  # type: ignore[attr-defined]
    return Copy(
        delivery=bytes(range(16)),
        message=bytes(16),
        mailing=b"m" * 16,
        recipient="joe@people.example",
        decision=decision,
        sent_at=datetime(2026, 5, 1, 12, 0, tzinfo=UTC),
        domain=holder,  # type: ignore[arg-type]
    )


def test_a_link_is_explained_without_the_store(candor: Installation, ring: KeyRing) -> None:
    path = copy_of(ring, IDENTIFIED).link(2, suffix=SUFFIX)
    expected = {
        "kind": "click",
        "mode": "identified",
        "override": False,
        "delivery": bytes(range(16)).hex(),
        "sent_at": "2026-05-01T12:00:00.000Z",
        "link": 2,
        "destination": URLS[1],
        "suffix": SUFFIX,
        "key": ring.newest.id.hex(),
    }
    for way in (
        f"https://t.example.com{path}",
        f"http://[::1]:8080/base{path}?x=y#z",
        path,
        path.removeprefix("/c/"),
    ):
        assert candor.call("token", "show", way, "--json").json == expected
    table = candor.call("token", "show", path).out
    for word in ("click", URLS[1], bytes(range(16)).hex(), ring.newest.id.hex(), "2026-05-01T12:00:00.000Z"):
        assert word in table


def test_pixels_and_pages_are_explained_too(candor: Installation, ring: KeyRing) -> None:
    copy = copy_of(ring, IDENTIFIED)
    pixel = candor.call("token", "show", f"https://t.example.com{copy.pixel}", "--json").json
    assert (pixel["kind"], pixel["delivery"], pixel["destination"]) == ("open", copy.delivery.hex(), None)
    assert candor.call("token", "show", copy.page, "--json").json["kind"] == "preferences"
    aggregate = candor.call("token", "show", copy_of(ring, AGGREGATE).pixel, "--json").json
    assert aggregate["mailing"] == (b"m" * 16).hex()
    assert "delivery" not in aggregate


@pytest.mark.parametrize(
    "url", ["https://t.example.com/c/AAAA", "https://t.example.com/c/", "/", "x y", "", "http://[bad"]
)
def test_what_is_no_link_of_ours_ends_with_1_and_one_line(url: str, candor: Installation) -> None:
    result = candor.call("token", "show", url)
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    assert result.err.startswith("candor: ")


def test_a_cut_link_is_said_to_be_cut(candor: Installation, ring: KeyRing) -> None:
    result = candor.call("token", "show", copy_of(ring, IDENTIFIED).link()[:-3])
    assert result.code == 1
    assert "cut" in result.err


def test_rotation_adds_a_key_and_old_links_stay_readable(candor: Installation, ring: KeyRing) -> None:
    path = copy_of(ring, IDENTIFIED).link()
    said = candor.call("keys", "rotate")
    rotated = keyring.load(candor.folder / "keys.toml")
    assert (said.code, len(rotated.keys)) == (0, 2)
    assert said.out == f"key {rotated.newest.id.hex()} is the newest of 2 in {candor.folder / 'keys.toml'}\n"
    assert rotated.newest.secret.hex() not in said.out
    assert candor.call("token", "show", path, "--json").json["key"] == ring.newest.id.hex()
    fresh = Token(
        kind=copy_token(path, rotated).kind,
        mode=IDENTIFIED.mode,
        subject=bytes(16),
        sent_at=datetime.now(UTC),
        destination=URLS[0],
    )
    assert candor.call("token", "show", seal(fresh, rotated), "--json").json["key"] == rotated.newest.id.hex()


def copy_token(path: str, ring: KeyRing) -> Token:
    return read(path.removeprefix("/c/"), ring)


def test_without_a_key_ring_nothing_is_made(tmp_path: Path) -> None:
    candor = Installation(tmp_path, "sqlite:///x.db")
    for command in (("keys", "rotate"), ("token", "show", "x")):
        result = candor.call(*command)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert str(tmp_path / "keys.toml") in result.err
    assert {file.name for file in tmp_path.iterdir()} == {"candor.toml"}


def test_keys_are_listed_with_what_they_are_for_and_without_their_secrets(
    candor: Installation, ring: KeyRing
) -> None:
    newer = keyring.rotate(candor.folder / "keys.toml")
    first, second = candor.call("keys", "list", "--json").json
    assert (first["id"], first["state"], first["used_for"]) == (ring.newest.id.hex(), "retired", "links sent")
    assert (second["id"], second["state"]) == (newer.newest.id.hex(), "active")
    assert datetime.fromisoformat(second["created"]) <= datetime.now(UTC)
    table = candor.call("keys", "list").out
    for key in newer.keys.values():
        assert key.id.hex() in table
        assert key.secret.hex() not in table
