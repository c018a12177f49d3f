"""Builders of messages, for tests: by hand, byte by byte, so that nothing is changed on the way."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path

CORPUS = Path(os.environ.get("CANDOR_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))
"""Real mail, kept beside the project and not in it."""


def corpus(kind: str) -> list[Path]:
    """The files of the corpus, `eml` or `html`; empty where there is none."""
    folder = CORPUS / kind
    return sorted(folder.iterdir()) if folder.is_dir() else []


def crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def encode(content: bytes, encoding: str) -> bytes:
    if encoding == "quoted-printable":
        return binascii.b2a_qp(content, istext=True).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if encoding == "quoted-printable-binary":
        return binascii.b2a_qp(content, istext=False).replace(b"=\n", b"=\r\n")
    if encoding == "base64":
        return base64.encodebytes(content).replace(b"\n", b"\r\n")
    return content


def message(
    content: str | bytes,
    *,
    subtype: str = "html",
    charset: str = "utf-8",
    encoding: str = "8bit",
    header: str = "",
) -> bytes:
    """A message of one part. `header` is put first, each line with its CRLF."""
    octets = content.encode(charset) if isinstance(content, str) else content
    label = encoding.removesuffix("-binary")
    return (
        f"{header}From: a@sender.example\r\nTo: b@reader.example\r\nSubject: News\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {label}\r\n\r\n"
    ).encode() + encode(octets, encoding)


def multipart(*parts: bytes, subtype: str = "alternative", boundary: str = "=_b1", header: str = "") -> bytes:
    """A message of several parts, each given with its own header."""
    edge = boundary.encode()
    body = b"".join(b"\r\n--" + edge + b"\r\n" + part for part in parts)
    return (
        header.encode()
        + b"From: a@sender.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/"
        + subtype.encode()
        + b'; boundary="'
        + edge
        + b'"\r\n\r\nA preamble.'
        + body
        + b"\r\n--"
        + edge
        + b"--\r\nAn epilogue.\r\n"
    )


def part(content: str, *, kind: str = "text/html", encoding: str = "8bit", more: str = "") -> bytes:
    return (
        f"Content-Type: {kind}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n{more}\r\n".encode()
        + encode(content.encode(), encoding)
    )
