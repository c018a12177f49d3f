"""The embedded upstream: mail is kept in a Maildir instead of sent. Nothing can reach a real person.

One file per recipient, in `new`: the envelope in two header lines of our own, `Return-Path: <SENDER>` and
`Delivered-To: RECIPIENT`, each ended by CRLF, then the message octet for octet. Any mail reader shows it;
whoever wants the octets as they would have gone out drops the first two lines, as `captured` does. A file in
`new` is complete and on the disk, its name too.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from relay import log, replies
from relay.outcome import Outcome, Status
from relay.replies import Reply
from relay.upstream.transaction import Offered, ServerState, Transaction

LOG: Final[log.Log] = structlog.get_logger("relay.capture")
UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f]")
ENVELOPE_LINES: Final = 2


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Capture:
    """An upstream that accepts everything. `path` and its parents are made when first needed, for our eyes
    only: captured mail is somebody's mail."""

    def __init__(
        self,
        path: str | Path,
        *,
        clock: Callable[[], datetime] = _utc_now,
        name: str = "default",
        priority: int = 0,
    ) -> None:
        self._path = Path(path)
        self._name, self._priority = name, priority
        self._clock = clock
        self._names = _Names()
        self._writing: set[asyncio.Future[Reply]] = set()

    async def send(self, transaction: Transaction) -> tuple[Outcome, ...]:
        """Accepted by all or, when the disk fails, put off by all."""
        writing = asyncio.ensure_future(asyncio.to_thread(self._keep, transaction))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        reply = await asyncio.shield(writing)
        outcome = Outcome(
            status=Status.ACCEPTED if reply.is_success else Status.DEFERRED,
            reply=reply,
            host=f"capture:{self._path}",
            at=self._clock(),
        )
        return (outcome,) * len(transaction.recipients)

    async def offer(self, transaction: Transaction) -> Offered:
        """A full disk is no reason to send to anybody what was to be captured: its answer is the last."""
        return Offered(outcomes=await self.send(transaction))

    async def probed(self) -> bool:
        return False

    @property
    def trouble(self) -> Reply:
        return replies.NOT_KEPT

    def state(self) -> ServerState:
        return ServerState(name=self._name, host=f"capture:{self._path}", priority=self._priority)

    def pause(self) -> float:
        return 0.0

    async def retire(self) -> None:
        if self._writing:
            await asyncio.wait(self._writing)

    async def close(self, *, grace: float) -> None:
        if self._writing:
            await asyncio.wait(self._writing, timeout=grace)

    def _keep(self, transaction: Transaction) -> Reply:
        """Every copy is written and synced before the first one shows, so that a full disk captures nothing
        of a message rather than half of it."""
        written: list[Path] = []
        try:
            _make_maildir(self._path)
            for recipient in transaction.recipients:
                written.append(self._path / "tmp" / self._names.next())
                _write(written[-1], _envelope(transaction.sender, recipient.address), transaction.content)
            for file in written:
                file.rename(self._path / "new" / file.name)
            _sync(self._path / "new")
        except OSError as error:
            log.capture_failed(LOG, path=str(self._path), problem=error.strerror or type(error).__name__)
            for file in written:
                _remove(file)
                _remove(self._path / "new" / file.name)
            return replies.NOT_KEPT
        return replies.CAPTURED


def captured(path: str | Path) -> list[tuple[str, bytes]]:
    """`(recipient, message)` for each file, in the order of delivery, the envelope lines taken off again;
    whether a mail reader has seen them or not."""
    root = Path(path)
    files = [file for folder in ("new", "cur") for file in (root / folder).glob("*")]
    mails = []
    for file in sorted(files, key=lambda file: file.name):
        *envelope, message = file.read_bytes().split(b"\r\n", ENVELOPE_LINES)
        mails.append((envelope[1].partition(b": ")[2].decode(), message))
    return mails


class _Names:
    """Names that no other file bears (process, time and a number that is never repeated) and that sort by
    the order in which they were given, even when the clock is set back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())

    def next(self) -> str:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns())
            seconds, fraction = divmod(self._last, 10**9)
        return f"{seconds}.N{fraction:09d}P{os.getpid()}.{self._host}"


def _envelope(sender: str, recipient: str) -> bytes:
    lines = f"Return-Path: <{UNSAFE.sub('?', sender)}>\r\nDelivered-To: {UNSAFE.sub('?', recipient)}\r\n"
    return lines.encode("utf-8", "replace")


def _make_maildir(path: Path) -> None:
    if (path / "new").is_dir() and (path / "tmp").is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in ("cur", "tmp", "new"):  # the last one, once it is there, says that all are
        (path / folder).mkdir(mode=0o700, exist_ok=True)
    _sync(path)


def _write(file: Path, envelope: bytes, content: tuple[bytes, ...]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(envelope)
        stream.writelines(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """A new name is on the disk only once its directory is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError:
        pass  # most likely a leftover in tmp, which mail readers ignore
