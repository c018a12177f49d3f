"""The outage journal: hits of identified deliveries that wait on disk for a store that is away.

An entry holds what the token said of the delivery, the time, and coarse facts: never an address, an IP or a user
agent. What is in the files is encrypted with a key of the key ring, and their size has a limit; what finds no room is
given back to be counted. A file belongs to the process that holds its lock; one without an owner (its process was
killed, or has let go) belongs to whoever locks it first. What was appended survives the end of the process, however
it ends; a block that was cut by it, or damaged later, is passed over.

    file:   magic, key id (3 octets), file id (16), how many blocks are stored by now (4), blocks
    block:  length (4 octets, big-endian), ciphertext (AES-256-GCM, the block's number as its nonce, the head as
            associated data)
    plain:  facts (count, then length and text of each), then entries of 31 octets
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tracker import log
from tracker.errors import JournalError
from tracker.events import EventKind
from tracker.keyring import only_one
from tracker.tokens import Key, KeyRing

_MAGIC = b"candor-journal-1\n"
_HEAD = struct.Struct(f">{len(_MAGIC)}s3s16s")
_LENGTH = struct.Struct(">I")
_BEGIN = _HEAD.size + _LENGTH.size
_COUNT = struct.Struct(">H")
_ENTRY = struct.Struct(">BHHQ2s16s")
_KINDS = (EventKind.OPENED, EventKind.CLICKED)
_MOST_IN_BLOCK = 1000
_MOST_BLOCK = 1 << 20
_PERSON = b"candor-journal"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TRY_AGAIN = 1.0
_FILES = 16
"""Files that the whole room is divided into, so that what was stored again soon gives room back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A hit that waits."""

    kind: EventKind
    delivery: bytes
    link: int
    """0: none."""
    at: datetime
    country: str = ""
    """Two letters, or `""`."""
    facts: str


class Journal:
    """One process's journal. `folder` None: there is none, and nothing is taken. `most`: octets for all processes
    that share the folder. Nothing is made on disk before it is needed."""

    def __init__(self, folder: Path | None, ring: KeyRing, *, most: int) -> None:
        self._folder = folder
        self._ring = ring
        self._most = most
        self._thread = ThreadPoolExecutor(1, "candor-journal")
        self._file: _Writing | None = None
        self._full_until = 0.0

    async def append(self, entries: Sequence[Entry]) -> int:
        """Writes entries down and gives how many found room, from the first on."""
        if self._folder is None:
            return 0
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._append, self._folder, entries
        )

    async def let_go(self) -> None:
        """Ends the file that is being written, so that it can be read."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)

    async def close(self) -> None:
        await self.let_go()
        self._thread.shutdown(wait=True)

    def _append(self, folder: Path, entries: Sequence[Entry]) -> int:
        taken = 0
        for start in range(0, len(entries), _MOST_IN_BLOCK):
            some = entries[start : start + _MOST_IN_BLOCK]
            try:
                if not self._write(folder, _packed(some)):
                    break
            except OSError as error:
                self._close()
                self._full_until = time.monotonic() + _TRY_AGAIN
                log.journal_failed(error.strerror or type(error).__name__)
                break
            taken += len(some)
        return taken

    def _write(self, folder: Path, block: bytes) -> bool:
        """False where there is no room."""
        share = self._most // _FILES
        if self._file is not None and self._file.size + len(block) > share:
            self._close()
        if self._file is None:
            if time.monotonic() < self._full_until:
                return False
            self._file = _begin(folder, self._ring.newest, self._most, share)
            if self._file is None:
                self._full_until = time.monotonic() + _TRY_AGAIN
                log.journal_full(self._most)
                return False
        self._file.append(block)
        return True

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Writing:
    """A file being written, and locked."""

    def __init__(self, descriptor: int, cipher: AESGCM, head: bytes) -> None:
        self._descriptor = descriptor
        self._cipher = cipher
        self._head = head
        self._blocks = 0
        self.size = _BEGIN

    def append(self, block: bytes) -> None:
        """Raises OSError; then nothing of the block stays."""
        sealed = self._cipher.encrypt(_nonce(self._blocks), block, self._head)
        octets = _LENGTH.pack(len(sealed)) + sealed
        try:
            _write_all(self._descriptor, octets)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
                os.lseek(self._descriptor, self.size, os.SEEK_SET)
            raise
        self._blocks += 1
        self.size += len(octets)

    def close(self) -> None:
        with suppress(OSError):
            os.fdatasync(self._descriptor)
        os.close(self._descriptor)


def _begin(folder: Path, key: Key, most: int, share: int) -> _Writing | None:
    """A new file; None where there is no room for one. Others who begin one at the same time wait their turn."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_one(folder):
        if _taken(folder, share) + share > most:
            return None
        file_id = secrets.token_bytes(16)
        descriptor = os.open(folder / f"{file_id.hex()}.hits", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            head = _HEAD.pack(_MAGIC, key.id, file_id)
            _write_all(descriptor, head + _LENGTH.pack(0))
        except BaseException:
            os.close(descriptor)
            raise
    return _Writing(descriptor, _cipher(key, file_id), head)


def _taken(folder: Path, share: int) -> int:
    """Octets that the files have, or will have: one that is being written may yet grow to its whole share."""
    octets = 0
    for path in waiting(folder):
        with suppress(FileNotFoundError), path.open("rb") as file:
            octets += share if not _locked(file.fileno()) else os.fstat(file.fileno()).st_size
    return octets


# --- reading ---


def waiting(folder: Path) -> list[Path]:
    """The files that are there, whoever they belong to, oldest first."""
    found = []
    with suppress(FileNotFoundError):
        for path in folder.glob("*.hits"):
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


class Reading:
    """A file without an owner, locked: what waits in it, and its end. Open with `take_over`."""

    def __init__(self, path: Path, descriptor: int, cipher: AESGCM, head: bytes) -> None:
        self._path = path
        self._file = os.fdopen(descriptor, "rb")
        self._cipher = cipher
        self._head = head
        self._stored = 0
        self.damaged = False
        """There is something that cannot be read."""

    def blocks(self) -> Iterator[list[Entry]]:
        """What waits, block by block; what was damaged is passed over. Ends where the file does, or was cut."""
        self._file.seek(len(self._head))
        (done,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
        for number in range(1 << 32):
            self._stored = number + 1
            prefix = self._file.read(_LENGTH.size)
            if not prefix:
                return
            length = _LENGTH.unpack(prefix)[0] if len(prefix) == _LENGTH.size else 0
            sealed = self._file.read(length) if 0 < length <= _MOST_BLOCK else b""
            if not sealed or len(sealed) < length:
                self.damaged = True
                return
            if number < done:
                continue
            try:
                yield _unpacked(self._cipher.decrypt(_nonce(number), sealed, self._head))
            except (InvalidTag, ValueError, IndexError, struct.error):
                self.damaged = True

    def stored(self) -> None:
        """The block given last, and all before it, are not to be given again. Raises OSError."""
        os.pwrite(self._file.fileno(), _LENGTH.pack(self._stored), len(self._head))

    def remove(self) -> None:
        """All of it is stored: the file goes."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Lets go of it as it is."""
        self._file.close()


def take_over(path: Path, ring: KeyRing) -> Reading | None:
    """The file, if nobody has it; None when somebody does, or it is gone. Raises JournalError where it is none of
    ours, OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        if not _locked(descriptor) or not os.fstat(descriptor).st_nlink:
            os.close(descriptor)
            return None
        head = os.read(descriptor, _HEAD.size)
        if os.fstat(descriptor).st_size < _BEGIN:  # killed before it was written: there was never an entry
            path.unlink(missing_ok=True)
            os.close(descriptor)
            return None
        magic, key_id, file_id = _HEAD.unpack(head)
        key = ring.keys.get(key_id)
        if magic != _MAGIC or key is None:
            raise JournalError(f"{path}: written with a key that this key ring lacks, or by another program")
    except BaseException:
        with suppress(OSError):
            os.close(descriptor)
        raise
    return Reading(path, descriptor, _cipher(key, file_id), head)


# --- small parts ---


def _packed(entries: Sequence[Entry]) -> bytes:
    facts: dict[str, int] = {}
    rows = [
        _ENTRY.pack(
            _KINDS.index(one.kind),
            one.link,
            facts.setdefault(one.facts, len(facts)),
            (one.at - _EPOCH) // _MICROSECOND,
            one.country.encode("ascii"),
            one.delivery,
        )
        for one in entries
    ]
    texts = [text.encode() for text in facts]
    said = b"".join(_COUNT.pack(len(text)) + text for text in texts)
    return _COUNT.pack(len(texts)) + said + b"".join(rows)


def _unpacked(block: bytes) -> list[Entry]:
    (count,), at = _COUNT.unpack_from(block), _COUNT.size
    facts = []
    for _ in range(count):
        (length,) = _COUNT.unpack_from(block, at)
        at += _COUNT.size + length
        facts.append(block[at - length : at].decode())
    return [
        Entry(
            kind=_KINDS[kind],
            delivery=delivery,
            link=link,
            at=_EPOCH + moment * _MICROSECOND,
            country=country.rstrip(b"\0").decode("ascii"),
            facts=facts[index],
        )
        for kind, link, index, moment, country, delivery in _ENTRY.iter_unpack(block[at:])
    ]


def _cipher(key: Key, file_id: bytes) -> AESGCM:
    """A key for each file: so the blocks' numbers may be their nonces."""
    return AESGCM(hashlib.blake2b(file_id, key=key.secret, digest_size=32, person=_PERSON).digest())


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(descriptor: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(descriptor, octets) :]
