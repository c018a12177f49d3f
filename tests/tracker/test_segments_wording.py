"""Segments as people write them, and as they are stored: the same segment again, or what is wrong and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InvalidValue
from tracker.segments import terms
from tracker.segments.terms import AnyNode, definition, from_definition
from tracker.segments.wording import parse, shown
from tracker.urlpattern import fits, like

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
DAYS, TIMES = st.integers(1, 3660), st.integers(1, 1000)
PATTERNS = st.sampled_from(["*/prices*", "https://shop.example/*", "*100%_off*"])


def some(one: st.SearchStrategy[Any], least: int = 0) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(one, min_size=least, max_size=3).map(tuple)


def maybe(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | one


def mail(kind: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[AnyNode]:
    scope = st.one_of(
        st.just({}),
        st.fixed_dictionaries({"campaign": NAMES}),
        st.fixed_dictionaries({"message": st.text("0123456789abcdef", min_size=6, max_size=32)}),
    )
    plain = st.fixed_dictionaries({"times": TIMES, "days": maybe(DAYS), **more})
    return st.builds(lambda a, b: terms.Mail(kind=kind, **a, **b), plain, scope)


LEAVES = st.one_of(
    st.builds(terms.Group, values=some(NAMES)),
    st.builds(terms.InCountry, values=some(st.sampled_from(["FR", "DE"]))),
    st.builds(terms.InDomain, values=some(st.sampled_from(["x.example", "*.example"]), 1)),
    st.builds(
        terms.Attribute,
        name=st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='"\\'), min_size=1),
        values=some(NAMES),
    ),
    st.builds(terms.Said, values=some(st.sampled_from(["granted", "denied", "withdrawn", "unknown"]), 1)),
    st.builds(terms.Apart, values=some(st.sampled_from(["true", "false", "unset"]), 1)),
    mail("received"),
    mail("opened"),
    mail("clicked", link=maybe(PATTERNS)),
    st.builds(terms.Quiet, days=DAYS),
    st.builds(terms.Converted, times=TIMES, days=maybe(DAYS), goal=maybe(NAMES)),
)
TREES = st.recursive(
    LEAVES,
    lambda node: st.one_of(
        st.builds(terms.Not, of=node),
        st.builds(terms.All, of=st.lists(node, min_size=2, max_size=3).map(tuple)),
        st.builds(terms.Any_, of=st.lists(node, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(TREES)
def test_what_is_shown_and_what_is_stored_are_the_same_segment_again(node: AnyNode) -> None:
    assert parse(shown(node)) == node
    assert from_definition(definition(node)) == node


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*"(),", "not", "and", "group", "is", "opened", "3"])).map(" ".join)
)
def test_whatever_is_written_is_a_segment_or_told_what_is_wrong(text: str) -> None:
    try:
        node = parse(text)
    except InvalidValue as error:
        assert len(str(error)) < 400  # noqa: PT017 - either way
    else:
        assert parse(shown(node)) == node


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty where a condition (attribute, clicked"),
        ("grup is Sales", "at character 1: 'grup' where a condition"),
        ("group Sales", "at character 7: 'Sales' where is is expected"),
        ("group is Sales and", "it ends where a condition"),
        ("group is Sales,", "it ends where a value is expected"),
        ("group is a b", "at character 12: 'b' where and, or or the end is expected"),
        ("(group is a", "a closing bracket"),
        ('group is "a', "at character 10: '\"' where a value is expected"),
        ("group is or", 'one that is called or is written "or"'),
        ("opened 3 in 2 days", "at character 10: 'in' where times is expected"),
        ("opened in 3 weeks", "at character 13: 'weeks' where days is expected"),
        ("opened link x", "at character 8: 'link' where an option (in, campaign, message)"),
        ("clicked in 3 days in 4 days", "at character 19: 'in' where an option that was not said before"),
        ("clicked link prices", "begins with * or https:, as in */prices*"),
        ("clicked link *", "is no pattern for links"),
        ("opened campaign a message aaaaaa", "one or the other"),
        ("opened 0 times", "opened times: Input should be greater than or equal to 1 (got 0)"),
        ("quiet for 9999 days", "less than or equal to 3660 (got 9999)"),
        ("consent is perhaps", "'granted', 'denied', 'withdrawn' or 'unknown' (got 'perhaps')"),
        ("country is FRA", "country code of two letters"),
        ("domain is a@x", "expected a domain"),
        ("(" * 40 + "group is a" + ")" * 40, "8 deep at most"),
        (" or ".join(["group is a"] * 51), "at most 50 conditions"),
        ("x" * 10_001, "at most 10000 characters"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "url", "does"),
    [
        ("*/prices*", "https://shop.example/prices?x=1", True),
        ("*/PRICES*", "https://shop.example/prices", True),
        ("https://shop.example/*", "https://shop.example/", True),
        ("https://shop.example", "https://shop.example/", False),
        ("*100%*", "https://shop.example/1000", False),
        ("*a.b*", "https://shop.example/axb", False),
    ],
)
def test_patterns_cover_the_whole_url(pattern: str, url: str, does: bool) -> None:
    assert fits(pattern, url) is does
    assert like(pattern).replace("\\%", "").count("%") == pattern.count("*")


@pytest.mark.parametrize(
    "stored", [{}, {"kind": "opnd"}, {"kind": "opened", "times": 0}, {"kind": "all", "of": []}]
)
def test_what_no_release_would_store_is_told(stored: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="the stored segment is not understood"):
        from_definition(stored)
