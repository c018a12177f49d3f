"""How many examples a property is put to: few in `make test`, as many times as many in `make soak` as it says."""

from __future__ import annotations

import os

_TIMES = int(os.environ.get("CANDOR_EXAMPLES_TIMES", "1"))


def examples(few: int) -> int:
    """`few`, or a multiple of it."""
    return few * _TIMES
