"""HTML as it arrives in mail: where links, marks and the body's ends lie, as exact ranges. Pure."""

from relay.html.attributes import decode_attribute
from relay.html.removal import stays_the_same
from relay.html.soup import MARK
from relay.html.tree import Anchor, Document, read

__all__ = ["MARK", "Anchor", "Document", "decode_attribute", "read", "stays_the_same"]
