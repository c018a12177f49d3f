"""The key ring's file: made once before any worker starts, 0600, never overwritten, only added to.

TOML, so that an administrator can see what it is; the secrets in it make every link ever sent, so it belongs in
the backup and on every node.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tracker.errors import KeyRingError
from tracker.tokens import Key, KeyRing

_KEY_ID_OCTETS = 3
_SECRET_OCTETS = 32
_HEADER = """\
# Candor's key ring. Every link and pixel ever sent is verified with these keys: keep this file in your
# backup, give the same file to every node, never remove a key. Rotate with `candor keys rotate`.
"""


def load_or_create(path: Path) -> KeyRing:
    """The ring in `path`, made on the first start. Safe when several processes start at once.

    Raises KeyRingError when the file cannot be read, made or understood."""
    if not path.exists():
        _create(path)
    return load(path)


def load(path: Path) -> KeyRing:
    """The ring in `path`. Raises KeyRingError when it is missing or not understood."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        permanent = _secret(document["permanent"]["secret"])
        keys = [
            Key(id=bytes.fromhex(entry["id"]), secret=_secret(entry["secret"])) for entry in document["key"]
        ]
    except FileNotFoundError:
        raise KeyRingError(f"{path}: there is no key ring; copy it from the node that made it") from None
    except OSError as error:
        raise KeyRingError(f"{path}: cannot read the key ring: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, ValueError, TypeError) as error:
        raise KeyRingError(f"{path}: the key ring is damaged ({error}); restore it from the backup") from None
    if (
        not keys
        or any(len(key.id) != _KEY_ID_OCTETS for key in keys)
        or len({key.id for key in keys}) != len(keys)
    ):
        raise KeyRingError(f"{path}: the key ring is damaged (no key, or a wrong or repeated id)")
    return KeyRing(newest=keys[-1], keys={key.id: key for key in keys}, permanent=permanent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A key as its file tells of it; nothing secret."""

    id: bytes
    made: datetime | None
    newest: bool


def listed(path: Path) -> list[Listed]:
    """The keys in the order in which they were made, the newest last. Raises KeyRingError."""
    ring = load(path)
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["key"]
    found = []
    for entry in entries:
        id_, made = bytes.fromhex(entry["id"]), entry.get("made")
        told = made if isinstance(made, datetime) and made.tzinfo is not None else None
        found.append(Listed(id=id_, made=told, newest=id_ == ring.newest.id))
    return found


def rotate(path: Path) -> KeyRing:
    """Adds a key, which new tokens use from the next start or reload on; the file keeps its owner, and whoever
    rotates at the same time waits their turn. Raises KeyRingError."""
    load(path)
    real = path.resolve()
    try:
        with only_one(real.parent), _fresh(real) as fresh:
            _write_new(fresh, real.read_text(encoding="utf-8") + _key_entry())
            owner = real.stat()
            with suppress(PermissionError):  # only the superuser may give a file away, and only they need to
                os.chown(fresh, owner.st_uid, owner.st_gid)
            os.replace(fresh, real)
            _sync_folder(real.parent)
            return load(path)
    except OSError as error:
        raise KeyRingError(f"{path}: cannot write the key ring: {error.strerror}") from None


def _create(path: Path) -> None:
    permanent = f'\n[permanent]\nsecret = "{secrets.token_hex(_SECRET_OCTETS)}"\n'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _fresh(path) as fresh:
            _write_new(fresh, _HEADER + permanent + _key_entry())
            # A link either makes the whole file or fails because another process was first: nobody ever
            # reads half a ring.
            with suppress(FileExistsError):
                os.link(fresh, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise KeyRingError(f"{path}: cannot make the key ring: {error.strerror}") from None


def _key_entry() -> str:
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key_id, secret = secrets.token_hex(_KEY_ID_OCTETS), secrets.token_hex(_SECRET_OCTETS)
    return f'\n[[key]]\nid = "{key_id}"\nmade = {made}\nsecret = "{secret}"\n'


def _secret(text: str) -> bytes:
    secret = bytes.fromhex(text)
    if len(secret) != _SECRET_OCTETS:
        raise ValueError(f"a secret has {_SECRET_OCTETS} octets")
    return secret


@contextmanager
def _fresh(path: Path) -> Iterator[Path]:
    """A name beside `path` for what is being written; nothing of that name stays."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Held by one process at a time."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
