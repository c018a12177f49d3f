"""What the word about somebody comes to where the store knows nothing of them: worked out ahead and away from the
store, in the form in which it is written. Whether they are strangers is for the register to find out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tracker.statements import Statement
from tracker.store.ledger import Seal, seal
from tracker.weighing import Held, Noted, Speaker, weigh

Foreseen = tuple[str, tuple[Any, ...], tuple[Seal, ...], bool]
"""A newcomer as plain values, which go from one process to another in no time: address, row, seals, changed."""


@dataclass(slots=True)
class Newcomer:
    """Somebody new, ready to be written."""

    address: str
    row: tuple[Any, ...]
    """Their row in the table of contacts, as `Standing.row` has it."""
    sealed: tuple[Seal, ...]
    """What the ledger is to say of them."""
    changed: bool
    id: int = 0
    """0 until the store has given one."""


def foresee(
    named: Iterable[tuple[str, Statement]], speaker: Speaker, row: Callable[[Held], tuple[Any, ...]]
) -> list[Foreseen]:
    """Each statement by itself, `checked` and with its address in normal form. `row`: how what is held is written."""
    people: list[Held] = []
    ends: list[int] = []
    notes: list[Noted] = []
    for address, said in named:
        held = Held(id=0, address=address, new=True)
        weigh(held, address, said, speaker, notes)
        people.append(held)
        ends.append(len(notes))
    seals = seal([content for _, content in notes])
    return [
        (str(held.address), row(held), tuple(seals[start:end]), held.changed)
        for held, start, end in zip(people, [0, *ends], ends, strict=False)
    ]
