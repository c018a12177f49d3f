"""The proof that a tracked copy is what its author wrote, links wrapped and one pixel added, and nothing else.

Sees the message, the copy and the ring that sealed the copy's links. Shares no code with what rewrites: the copy is
taken apart anew, each of our links is unwrapped and held against the value that stood there, and everything
between two changes must be the same octets in the same spelling. Pure.
"""

from relay.verification.comparison import Problem, Verification, verify
from relay.verification.dissection import Leaf, leaves
from relay.verification.footing import verify_footed
from relay.verification.unwrapping import Change, What

__all__ = ["Change", "Leaf", "Problem", "Verification", "What", "leaves", "verify", "verify_footed"]
