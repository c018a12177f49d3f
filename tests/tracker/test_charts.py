"""Charts: whatever the labels are, what comes out is bare SVG that says what its table says."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.admin.charts import Chart, Form, Series, draw, drawn, ticks
from tracker.errors import InvalidValue

ALLOWED = {"svg", "g", "rect", "path", "line", "text", "circle", "title"}


def chart(labels: tuple[str, ...], *values: tuple[int | None, ...], form: Form = Form.LINES) -> Chart:
    series = tuple(Series(title=f"No. {number}", values=one) for number, one in enumerate(values))
    return Chart(key="hits", title="Hits", head="Day", labels=labels, series=series, form=form)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.text(max_size=80), st.one_of(st.none(), st.integers(0, 10**9))), max_size=12),
    st.sampled_from(Form),
)
def test_whatever_the_labels_are_it_is_bare_svg(rows: list[tuple[str, int | None]], form: Form) -> None:
    svg = str(draw(chart(tuple(label for label, _ in rows), tuple(value for _, value in rows), form=form)))
    if not any(value for _, value in rows):
        assert svg == ""
        return
    root = ElementTree.fromstring(svg)
    for one in root.iter():
        assert one.tag.rpartition("}")[2] in ALLOWED
        assert not {"style", "id", "href"} & set(one.attrib)
        assert not any(name.startswith("on") for name in one.attrib)


@pytest.mark.parametrize("form", Form)
def test_each_point_tells_what_it_is_worth(form: Form) -> None:
    svg = draw(chart(("a", "b<i>"), (3, 7), (None, 2), form=form))
    tips = [one for one in re.findall("<title>([^<]*)</title>", svg) if "No." in one]
    assert sorted(tips) == ["a: No. 0: 3", "b&lt;i&gt;: No. 0: 7", "b&lt;i&gt;: No. 1: 2"]


def test_a_long_axis_has_few_words() -> None:
    svg = draw(chart(tuple(f"day{number}" for number in range(30)), tuple(range(30))))
    assert 2 <= len(re.findall(r"<text[^>]*>day", svg)) <= 6


@given(st.floats(0.01, 1e12))
def test_ticks_are_few_and_round_and_reach_far_enough(most: float) -> None:
    found = ticks(most)
    assert found[0] == 0
    assert found[-1] >= most
    assert 2 <= len(found) <= 6
    assert len({after - before for before, after in pairwise(found)}) == 1


def test_a_value_is_missing() -> None:
    with pytest.raises(InvalidValue):
        chart(("a", "b"), (1,))


def test_its_table_is_a_file_that_no_spreadsheet_takes_for_formulas() -> None:
    rows = chart(("=1+1", "b"), (1, None)).csv().decode().splitlines()
    assert [row.strip("\ufeff") for row in rows] == ["Day,No. 0", "'=1+1,1", "b,"]


async def test_nothing_is_not_drawn() -> None:
    (figure,) = await drawn(chart(("a",), (0,), (None,)))
    assert not figure.svg
    assert figure.chart.rows == [("a", (0, None))]
