"""Mail in files, as the rewriter wants it: read, with CRLF line ends, and found in folders."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tracker.cli.streams import was_closed
from tracker.errors import CandorError, InvalidValue

STDIN = Path("-")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_FIELD = re.compile(rb"From |[!-9;-~]+[ \t]*:")
_HTML_HEAD = (
    b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFile:
    """A message out of a file."""

    name: str
    data: bytes = field(repr=False)
    had_bare_lf: bool = False
    was_html: bool = False

    @property
    def notes(self) -> list[str]:
        """What was done to it before it was looked at."""
        notes = []
        if self.was_html:
            notes.append("HTML was taken as the body of a message, as UTF-8")
        if self.had_bare_lf:
            notes.append("bare LF line ends were read as CRLF, as mail is sent")
        return notes


def read_mail(path: Path) -> MailFile:
    """The message in a file, or on standard input for `-`. Raises InvalidValue where there is none."""
    if path == STDIN and was_closed("stdin"):
        raise InvalidValue("standard input: it is closed")
    try:
        data = sys.stdin.buffer.read() if path == STDIN else path.read_bytes()
    except OSError as error:
        raise InvalidValue(f"{path}: cannot read it: {error.strerror}") from None
    had_bare_lf = _BARE_LF.search(data) is not None
    if had_bare_lf:
        data = _BARE_LF.sub(b"\r\n", data)
    was_html = path.suffix.lower() in (".html", ".htm")
    name = "standard input" if path == STDIN else str(path)
    return MailFile(
        name=name, data=_HTML_HEAD + data if was_html else data, had_bare_lf=had_bare_lf, was_html=was_html
    )


def mail_in(paths: Iterable[Path]) -> Iterator[Path | None]:
    """The files named, and those in the folders named; None for each file of a folder that is no mail: hidden, or
    neither `.eml` nor `.html` and not beginning with a header field. Raises InvalidValue."""
    for path in paths:
        if path == STDIN or not os.path.isdir(path):  # unlike Path.is_dir it never raises
            yield path
            continue
        try:
            os.scandir(path).close()  # rglob is silent about a folder that may not be read
            files = sorted(file for file in path.rglob("*") if file.is_file())
        except OSError as error:
            raise InvalidValue(f"{path}: cannot read it: {error.strerror}") from None
        for file in files:
            yield file if _is_mail(file) else None


def _is_mail(file: Path) -> bool:
    if file.name.startswith("."):
        return False
    if file.suffix.lower() in (".eml", ".html", ".htm"):
        return True
    try:
        with file.open("rb") as stream:
            return _FIELD.match(stream.read(1000)) is not None
    except OSError:
        return True  # to be complained of when it is read


def is_same(one: Path, other: Path) -> bool:
    """Whether both paths lead to the same file; what cannot be looked at is none."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def write_mail(data: bytes, path: Path | None) -> None:
    """To a file, or to standard output. Raises CandorError."""
    if path in (None, STDIN) and was_closed("stdout"):
        raise CandorError("standard output: it is closed")
    try:
        if path is None or path == STDIN:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            path.write_bytes(data)
    except OSError as error:
        raise CandorError(f"{path or 'standard output'}: cannot write it: {error.strerror}") from None
