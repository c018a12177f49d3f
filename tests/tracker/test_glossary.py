"""The terms that pages explain: each is there, said in words, and every page that names one names one there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tracker.admin
from tracker.glossary import TERMS, as_page

ADMIN = Path(tracker.admin.__file__).parent


@pytest.mark.parametrize("key", TERMS)
def test_a_term_has_a_title_and_a_sentence(key: str) -> None:
    term = TERMS[key]
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", key)
    assert term.title
    assert term.words.endswith(".")


def test_titles_differ() -> None:
    titles = [one.title for one in TERMS.values()]
    assert len(set(titles)) == len(titles)


def test_every_page_names_terms_that_there_are() -> None:
    sources = [*ADMIN.rglob("*.html"), *ADMIN.rglob("*.py")]
    named = {
        (source.name, key)
        for source in sources
        for key in re.findall(r"""\bterm\(\s*"([^"]+)"|\bterm="([^"]+)""", source.read_text())
        for key in key
        if key
    }
    assert named
    assert {(name, key) for name, key in named if key not in TERMS} == set()


def test_the_documentation_has_the_same_words() -> None:
    """`make docs` writes them anew."""
    page = Path(__file__).parents[2] / "docs" / "glossary.md"
    assert page.read_text(encoding="utf-8") == as_page()
