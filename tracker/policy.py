"""What the operator's policy says where a person has said nothing. Pure.

A `Policy` gives the `Reading` for one recipient of one message; it can only answer for `unknown` and `unset`,
never lift a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tracker.consent import Mode, Reading


class Unknown(StrEnum):
    """What an unknown consent leads to, in the operator's words."""

    TRACK = "track"
    ANONYMOUS = "anonymous"
    AGGREGATE = "aggregate"
    HYGIENE = "hygiene"
    DENY = "deny"

    @property
    def mode(self) -> Mode:
        return _MODES[self]


_MODES = {
    Unknown.TRACK: Mode.IDENTIFIED,
    Unknown.ANONYMOUS: Mode.ANONYMOUS,
    Unknown.AGGREGATE: Mode.AGGREGATE,
    Unknown.HYGIENE: Mode.HYGIENE,
    Unknown.DENY: Mode.UNTRACKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The `[consent]` table as a value."""

    unknown: Unknown = Unknown.TRACK
    do_not_track_unset: bool = False

    def reading(self) -> Reading:
        """What holds for a contact of whom nothing more particular is said."""
        return Reading(
            unknown=self.unknown.mode,
            do_not_track_unset=self.do_not_track_unset,
            source=f'[consent] unknown = "{self.unknown}"',
        )
