"""The key ring's file: made once, only added to, never half there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from tracker.errors import KeyRingError
from tracker.keyring import load, load_or_create, rotate

PROGRAM = """
import sys
from pathlib import Path
from tracker import keyring

print(getattr(keyring, sys.argv[1])(Path(sys.argv[2])).newest.id.hex())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "keys.toml"


def at_once(function: str, path: Path, times: int) -> list[str]:
    """The newest key's id as so many processes see it that call `function` at the same time."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, function, str(path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(times)
    ]
    printed = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0] * times
    return printed


def test_the_first_start_makes_a_ring_for_its_owner_only(path: Path) -> None:
    ring = load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(ring.keys.values()) == [ring.newest]
    assert len(ring.newest.secret) == len(ring.permanent) == 32
    assert ring.newest.secret != ring.permanent
    assert os.listdir(path.parent) == ["keys.toml"]


def test_the_next_start_finds_it_again_and_changes_nothing(path: Path) -> None:
    first = load_or_create(path)
    before = path.read_bytes()
    assert load_or_create(path) == load(path) == first
    assert path.read_bytes() == before


def test_threads_that_start_at_once_agree_on_one_ring(path: Path) -> None:
    together = Barrier(8)

    def start(_: int) -> bytes:
        together.wait()
        return load_or_create(path).newest.id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
    assert os.listdir(path.parent) == ["keys.toml"]


def test_processes_that_start_at_once_agree_on_one_ring(path: Path) -> None:
    assert len(set(at_once("load_or_create", path, 4))) == 1
    assert os.listdir(path.parent) == ["keys.toml"]


def test_rotation_adds_a_key_and_keeps_all(path: Path) -> None:
    rings = [load_or_create(path), rotate(path), rotate(path)]
    last = load(path)
    assert list(last.keys) == [ring.newest.id for ring in rings]
    assert last.newest == rings[-1].newest
    assert all(last.keys[ring.newest.id] == ring.newest for ring in rings)
    assert last.permanent == rings[0].permanent
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["keys.toml"]


def test_rotations_at_the_same_time_lose_no_key(path: Path) -> None:
    first = load_or_create(path)
    made = at_once("rotate", path, 4)
    assert {key.hex() for key in load(path).keys} == {first.newest.id.hex(), *made}
    assert len(load(path).keys) == 5


def test_rotation_goes_through_a_symbolic_link(path: Path, tmp_path: Path) -> None:
    load_or_create(path)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    assert rotate(link) == load(path)
    assert link.is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give a file away")
def test_rotation_leaves_the_file_to_its_owner(path: Path) -> None:
    load_or_create(path)
    os.chown(path, 65534, 65534)
    rotate(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


def test_a_ring_that_is_not_there_is_not_made_by_the_way(path: Path) -> None:
    for work in (load, rotate):
        with pytest.raises(KeyRingError, match=r"keys\.toml: there is no key ring; copy it"):
            work(path)
    assert not path.exists()


KEY = f'[[key]]\nid = "010203"\nsecret = "{"ab" * 32}"\n'
PERMANENT = f'[permanent]\nsecret = "{"cd" * 32}"\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[key",
        "\xff\xfe",
        PERMANENT,
        KEY,
        PERMANENT + "key = []\n",
        f'permanent = "x"\n{KEY}',
        f'key = "x"\n{PERMANENT}',
        f"key = [1]\n{PERMANENT}",
        f"[key]\nid = 1\n{PERMANENT}",
        PERMANENT + KEY.replace("010203", "0102"),
        PERMANENT + KEY.replace("010203", "01020g"),
        PERMANENT + KEY.replace('"010203"', "10203"),
        PERMANENT + KEY.replace("ab", "a", 1),
        PERMANENT + KEY.replace("ab" * 32, "ab" * 31),
        PERMANENT.replace("cd" * 32, "cd" * 33) + KEY,
        PERMANENT + KEY + KEY,
        PERMANENT + KEY[:-20],
    ],
)
def test_a_damaged_ring_is_refused_by_name_and_left_alone(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    for work in (load, load_or_create, rotate):
        with pytest.raises(
            KeyRingError, match=r"keys\.toml: the key ring is damaged .* backup|wrong or repeated"
        ):
            work(path)
    assert path.read_text(encoding="latin-1") == text


def test_a_folder_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(KeyRingError, match="cannot read the key ring"):
        load_or_create(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be", encoding="ascii")
    with pytest.raises(KeyRingError, match=r"keys\.toml: cannot make the key ring"):
        load_or_create(tmp_path / "data" / "keys.toml")
