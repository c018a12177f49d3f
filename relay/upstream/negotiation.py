"""What upstream offers, and the commands that make the best of it. Pure.

Parameters upstream did not offer are left out; an address it cannot take is written so that it can, where
there is such a way. What cannot be said at all comes back as the reply its recipients get.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import idna

from relay import replies
from relay.replies import Reply
from relay.submission import Recipient
from relay.upstream.transaction import Transaction

UNSAFE: Final = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The extensions of one connection, as its last EHLO named them; the default is a server with none."""

    pipelining: bool = False
    dsn: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    size: bool = False
    largest: int = 0
    """Octets; 0 for no fixed limit (RFC 1870 4)."""
    most_recipients: int = 0
    """In one transaction; 0 for no announced limit (RFC 9422 4)."""
    most_messages: int = 0
    """On one connection; 0 for no announced limit."""


def read_offer(extensions: Mapping[str, str]) -> Offer:
    """`extensions` by lower-case keyword, each with its parameters as one text."""
    limits = dict(item.upper().partition("=")[::2] for item in extensions.get("limits", "").split())
    return Offer(
        pipelining="pipelining" in extensions,
        dsn="dsn" in extensions,
        eight_bit="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        size="size" in extensions,
        largest=_number(extensions.get("size", "")),
        most_recipients=_number(limits.get("RCPTMAX", "")),
        most_messages=_number(limits.get("MAILMAX", "")),
    )


def mail_command(transaction: Transaction, offer: Offer) -> bytes | Reply:
    """`MAIL FROM` with every parameter that is wished for and offered."""
    size = transaction.size
    if offer.largest and size > offer.largest:  # RFC 1870 6.1
        return replies.too_big_for_upstream(offer.largest)
    path = _path(transaction.sender, offer)
    if isinstance(path, Reply):
        return path
    words = [b"MAIL FROM:" + path]
    if offer.size:
        words.append(b"SIZE=%d" % size)
    if offer.eight_bit and transaction.eight_bit:
        words.append(b"BODY=8BITMIME")
    if offer.smtputf8 and _wants_utf8(transaction):
        words.append(b"SMTPUTF8")
    if offer.dsn and transaction.ret is not None:
        words.append(b"RET=" + transaction.ret.encode())
    if offer.dsn and transaction.envid is not None:
        words.append(b"ENVID=" + transaction.envid.encode())
    return _line(words)


def rcpt_command(recipient: Recipient, offer: Offer) -> bytes | Reply:
    """`RCPT TO` with the recipient's wishes for delivery reports, where upstream takes them."""
    path = _path(recipient.address, offer)
    if isinstance(path, Reply):
        return path
    words = [b"RCPT TO:" + path]
    if offer.dsn and recipient.notify:
        words.append(b"NOTIFY=" + ",".join(recipient.notify).encode())
    if offer.dsn and recipient.orcpt is not None:
        words.append(b"ORCPT=" + recipient.orcpt.encode())
    return _line(words)


def _line(words: list[bytes]) -> bytes | Reply:
    line = b" ".join(words)
    return replies.UNSPEAKABLE if UNSAFE.search(line) else line + b"\r\n"


def _path(address: str, offer: Offer) -> bytes | Reply:
    if address.isascii():
        return b"<%b>" % address.encode("ascii")
    if offer.smtputf8:
        return _utf8_path(address)
    local, at, domain = address.rpartition("@")
    if not at or not local.isascii():
        return replies.NEEDS_SMTPUTF8
    try:
        return b"<%b@%b>" % (local.encode("ascii"), idna.encode(domain, uts46=True))
    except (idna.IDNAError, UnicodeError):
        return replies.NEEDS_SMTPUTF8


def _utf8_path(address: str) -> bytes | Reply:
    try:
        return b"<%b>" % address.encode()
    except UnicodeEncodeError:  # a lone surrogate: octets that never were UTF-8
        return replies.UNSPEAKABLE


def _wants_utf8(transaction: Transaction) -> bool:
    addresses = (transaction.sender, *(recipient.address for recipient in transaction.recipients))
    return transaction.smtputf8 or not all(map(str.isascii, addresses))


def _number(text: str) -> int:
    """The first number of an extension's parameters; 0 for none, and for what is no number."""
    word = text.split()[0] if text.strip() else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 20 else 0
