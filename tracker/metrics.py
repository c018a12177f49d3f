"""Numbers for monitoring, of all processes of a program together: each writes into a row of its own in memory that they
share, and whoever is asked adds the rows up.

The memory is made before the processes are forked and has no file, so there is nothing to clean up. A worker that falls
takes nothing with it that it had counted: the one started in its place goes on in the same row. Only gauges begin
anew, since they say how things are with one process. A row has one writer, so nothing is locked.

Knows the text format of Prometheus (version 0.0.4) and no library for it. No label is ever made of anything that came
from mail or the web: a family's labels are written down where it is declared.
"""

from __future__ import annotations

import mmap
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_WIDTH = 512
"""Numbers in a row; more families than that are a mistake that the first start shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A number that is the same for all processes, looked up when somebody asks: of the store, say."""

    name: str
    help: str
    labels: tuple[tuple[str, str], ...] = ()
    value: float


Looking = Callable[[], Awaitable[Sequence[Sample]]]
"""Looks such numbers up; samples of one name stand together."""


class Sheet:
    """The rows. Families are declared on it before anybody forks; then each process takes its row."""

    def __init__(self, processes: int = 1) -> None:
        self._memory = mmap.mmap(-1, processes * _WIDTH * 8)
        self.cells = memoryview(self._memory).cast("d")
        self.start = 0
        self._used = 0
        self._families: list[Counter | Histogram] = []
        self._starts = self.counter("candor_process_starts_total", "Processes that began to serve.")
        self._alive = self.gauge("candor_processes", "Processes that serve now.")

    def counter(self, name: str, help: str, label: str = "", values: Sequence[str] = ("",)) -> Counter:
        """What only grows. `label` with all the `values` it can have."""
        return self._declared(Counter(self, name, help, "counter", label, tuple(values), self._used))

    def gauge(self, name: str, help: str, label: str = "", values: Sequence[str] = ("",)) -> Counter:
        """How things are with each process; the sum is how they are with the program."""
        return self._declared(Counter(self, name, help, "gauge", label, tuple(values), self._used))

    def histogram(self, name: str, help: str, bounds: Sequence[float]) -> Histogram:
        """How many were how large; `bounds` ascending, without infinity."""
        family = Histogram(self, name, help, tuple(bounds), self._used)
        self._reserve(family)
        return family

    def take(self, row: int) -> None:
        """From now on this process writes here, and begins to serve."""
        self.start = row * _WIDTH
        for family in self._families:
            if family.kind == "gauge":
                for at in range(family.at, family.at + family.width):
                    self.cells[self.start + at] = 0.0
        self._starts.add()
        self._alive.set(1)

    def leave(self, row: int) -> None:
        """Of a process that has ended: what it said of itself holds no more. Called by its parent."""
        mine, self.start = self.start, row * _WIDTH
        for family in self._families:
            if family.kind == "gauge":
                for at in range(family.at, family.at + family.width):
                    self.cells[self.start + at] = 0.0
        self.start = mine

    def total(self, at: int) -> float:
        return float(sum(self.cells[at::_WIDTH]))

    def gauges(self) -> dict[str, float]:
        """How things are with the program's processes now, by name; those without a label."""
        return {
            family.name: self.total(family.at)
            for family in self._families
            if family.kind == "gauge" and family.width == 1
        }

    def text(self, samples: Iterable[Sample] = ()) -> str:
        """Everything, with `samples` behind it, for whoever collects it."""
        lines = [line for family in self._families for line in family.lines()]
        named = ""
        for one in samples:
            if one.name != named:
                lines += _heading(one.name, one.help, "gauge")
                named = one.name
            lines.append(_line(one.name, one.labels, one.value))
        return "\n".join(lines) + "\n"

    def _declared(self, family: Counter) -> Counter:
        self._reserve(family)
        return family

    def _reserve(self, family: Counter | Histogram) -> None:
        self._used += family.width
        if self._used > _WIDTH:
            raise ValueError(f"no room for {family.name}: a row has {_WIDTH} numbers")
        self._families.append(family)


class Counter:
    """A family of numbers, one for each value of its label."""

    def __init__(
        self, sheet: Sheet, name: str, help: str, kind: str, label: str, values: tuple[str, ...], at: int
    ) -> None:
        self.name, self.kind, self.at, self.width = name, kind, at, len(values)
        self._sheet, self._help, self._label = sheet, help, label
        self._places = {value: at + position for position, value in enumerate(values)}

    def add(self, value: str = "", number: float = 1.0) -> None:
        sheet = self._sheet
        sheet.cells[sheet.start + self._places[value]] += number

    def set(self, number: float, value: str = "") -> None:
        self._sheet.cells[self._sheet.start + self._places[value]] = number

    def lines(self) -> Iterable[str]:
        yield from _heading(self.name, self._help, self.kind)
        for value, at in self._places.items():
            labels = ((self._label, value),) if self._label else ()
            yield _line(self.name, labels, self._sheet.total(at))


class Histogram:
    """How many were at most so large, for each bound, and their sum."""

    kind = "histogram"

    def __init__(self, sheet: Sheet, name: str, help: str, bounds: tuple[float, ...], at: int) -> None:
        self.name, self.at, self.width = name, at, len(bounds) + 2
        self._sheet, self._help, self._bounds = sheet, help, bounds

    def observe(self, size: float) -> None:
        """Each counts in its own class only; they are added up when somebody asks."""
        place = next((n for n, bound in enumerate(self._bounds) if size <= bound), len(self._bounds))
        start = self._sheet.start + self.at
        self._sheet.cells[start + place] += 1.0
        self._sheet.cells[start + len(self._bounds) + 1] += size

    def lines(self) -> Iterable[str]:
        yield from _heading(self.name, self._help, self.kind)
        passed = 0.0
        for place, bound in enumerate((*map(_number, self._bounds), "+Inf")):
            passed += self._sheet.total(self.at + place)
            yield _line(f"{self.name}_bucket", (("le", bound),), passed)
        yield _line(f"{self.name}_sum", (), self._sheet.total(self.at + len(self._bounds) + 1))
        yield _line(f"{self.name}_count", (), passed)


def _heading(name: str, help: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {help}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Sequence[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{text}"' for label, text in labels)
    return f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
