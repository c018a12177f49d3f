"""Charts: what a report counted, drawn as SVG for the middle of a page.

pygal draws (on the server, from Python); what it adds of style and script is taken off, and the house's stylesheet says
how lines and bars look. So a strict Content-Security-Policy holds, colours follow light and dark and paper, and no
browser needs script. Every chart has its table beside it: nobody needs to see the picture.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import pygal
from markupsafe import Markup
from pygal.etree import etree
from pygal.style import Style

from tracker.errors import InvalidValue
from tracker.spreadsheet import as_csv

# Its finder for plug-ins we do not have speaks a protocol that Python 3.12 dropped, and would be asked at every import.
sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, pygal.PluginImportFixer)]
etree.to_etree()  # the standard library's, also where lxml is installed: the same SVG everywhere
_LABELS = 6
"""At most so many words along an axis of time."""
_LETTERS = 24
"""Of a word beside a bar."""
_TAKEN_OFF = ("style", "script", "defs", "title")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML cannot hold."""


class Form(Enum):
    """How numbers are shown: lines over time, columns for parts of a whole such as hours, bars for names."""

    LINES = pygal.Line
    COLUMNS = pygal.Bar
    BARS = pygal.HorizontalBar


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one colour of bars; as many values as the chart has labels, None where nothing is known."""

    title: str
    values: tuple[int | float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is to be drawn. `key` names it in URLs, `head` says what the labels are, such as `Day`; `term` explains it by
    the glossary."""

    key: str
    title: str
    head: str
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    form: Form = Form.LINES
    short: tuple[str, ...] = ()
    """Labels as the axis shows them, where those of the table are too long."""
    term: str = ""

    def __post_init__(self) -> None:
        lengths = {len(one.values) for one in self.series} | ({len(self.short)} if self.short else set())
        if lengths - {len(self.labels)}:
            raise InvalidValue("a chart needs a value for each of its labels")

    @property
    def is_empty(self) -> bool:
        return not any(value for one in self.series for value in one.values)

    @property
    def rows(self) -> list[tuple[str, tuple[int | float | None, ...]]]:
        """What its table shows: a label, and a value of each series."""
        return [(label, tuple(one.values[at] for one in self.series)) for at, label in enumerate(self.labels)]

    def csv(self) -> bytes:
        """Its table as a file for spreadsheets."""
        names = [self.head, *(one.title for one in self.series)]
        return as_csv(names, [dict(zip(names, (label, *values), strict=True)) for label, values in self.rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A chart that was drawn; `svg` is empty where there is nothing to see."""

    chart: Chart
    svg: Markup


async def drawn(*charts: Chart) -> list[Figure]:
    """Draws them beside the loop: each takes some ten milliseconds of processor."""
    pictures = await asyncio.to_thread(lambda: [draw(one) for one in charts])
    return [Figure(chart=one, svg=svg) for one, svg in zip(charts, pictures, strict=True)]


@lru_cache(maxsize=128)
def draw(chart: Chart) -> Markup:
    """The chart as an `<svg>` element without style, script and comments."""
    if chart.is_empty:
        return Markup()
    step = -1 if chart.form is Form.BARS else 1  # bars are drawn from below
    picture = chart.form.value(**_settings(chart))
    picture.x_labels = [_cut(_fit(one)) for one in (chart.short or chart.labels)][::step]
    picture.y_labels = ticks(max(value or 0 for one in chart.series for value in one.values))
    picture.range = picture.y_labels[0], picture.y_labels[-1]
    if chart.form is not Form.BARS and len(chart.labels) > _LABELS:
        picture.x_labels_major_every = -(-len(chart.labels) // _LABELS)
        picture.show_minor_x_labels = False
    for one in chart.series:
        picture.add(_fit(one.title), list(one.values)[::step])
    root = _bare(picture.render_tree(), chart)
    return Markup(etree.tostring(root, encoding="unicode"))  # noqa: S704 - its writer escapes every text


def ticks(most: float) -> list[float]:
    """Round numbers from nothing to at least `most`, some five of them; whole ones."""
    step = 1
    while most > step * 5:
        step = step * 2 if str(step)[0] in "15" else step * 5 // 2
    return [number * step for number in range(math.ceil(most / step) + 1)]


def _settings(chart: Chart) -> dict[str, Any]:
    bars = chart.form is Form.BARS
    return {
        "js": (),
        "no_prefix": True,
        "width": 640,
        "height": 60 + 34 * len(chart.labels) * len(chart.series) if bars else 260,
        "margin": 8,
        "show_legend": False,
        "truncate_label": -1,
        "dots_size": 3,
        "style": Style(label_font_size=16, major_label_font_size=16, value_font_size=16),
    }


def _fit(text: str) -> str:
    return _UNFIT.sub("\ufffd", text)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _bare(root: Any, chart: Chart) -> Any:
    """Takes off what a strict policy forbids and what only pygal's own script uses."""
    for parent in list(root.iter()):
        for child in list(parent):
            is_comment = not isinstance(child.tag, str)
            if is_comment or child.tag in _TAKEN_OFF or "tooltip-overlay" in child.get("class", ""):
                parent.remove(child)
    for one in root.iter():
        one.attrib.pop("style", None)
        one.attrib.pop("id", None)
    for number, series in enumerate(chart.series):
        _tell(root, f"serie-{number}", _fit(series.title) if len(chart.series) > 1 else "")
    root.set("role", "img")
    root.set("aria-label", f"{_fit(chart.title)}, drawn; the table below it has the numbers")
    return root


def _tell(root: Any, css_class: str, title: str) -> None:
    """What a point is worth becomes a tooltip that browsers show by themselves."""
    for series in (one for one in root.iter() if css_class in one.get("class", "").split()):
        for group in list(series.iter()):
            told = {one.get("class", ""): one for one in group if one.tag == "desc"}
            for one in told.values():
                group.remove(one)
            if "value" in told:
                words = (told["x_label"].text if "x_label" in told else "", title, told["value"].text)
                etree.SubElement(group, "title").text = ": ".join(word for word in words if word)
