"""Content-Transfer-Encoding at the encoded level: decode a part, and put new octets into it so that every
encoded octet outside stays where it was.

Knows RFC 2045 section 6 and the line limits of RFC 5321 4.5.3.1.6; knows nothing of what is put in. Content
that does not follow its label is refused, never repaired. Pure.
"""

from relay.reasons import Reason
from relay.transfer.base64 import Base64
from relay.transfer.quoted import Quoted
from relay.transfer.raw import Raw
from relay.transfer.slots import Chunk, Content, Slot

__all__ = ["Chunk", "Content", "Slot", "insert_lines", "open_content"]


def open_content(data: bytes, start: int, end: int, encoding: str) -> Content | Reason:
    """The content `data[start:end]`, or why it cannot be worked on."""
    if encoding in ("7bit", "8bit", "binary"):
        return Raw(data, start, end)
    if encoding == "quoted-printable":
        return Quoted.open(data, start, end) or Reason.BROKEN_ENCODING
    if encoding == "base64":
        return Base64.open(data, start, end) or Reason.BROKEN_ENCODING
    return Reason.UNKNOWN_ENCODING


def insert_lines(content: Content, offset: int, octets: bytes, out: list[Chunk]) -> None:
    """The whole content with these octets put in at `offset`; their CRLFs are ends of lines."""
    if isinstance(content, Quoted):
        content.insert_lines(offset, octets, out)
    else:
        content.write([Slot(offset, offset)], [octets], out)
