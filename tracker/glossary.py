"""What each number means: one list of terms for pages, programs and documentation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`key` names it in pages and links, `title` is what people read, `words` its definition in a few sentences."""

    key: str
    title: str
    words: str


def _read() -> Mapping[str, Term]:
    text = files("tracker").joinpath("data", "glossary.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    return {key: Term(key=key, title=one["title"], words=one["words"]) for key, one in found.items()}


TERMS: Mapping[str, Term] = _read()
"""By key, in the order in which a reader needs them."""


def as_page() -> str:
    """The list as a page of the documentation (Markdown)."""
    terms = (f"**{one.title}**: {one.words}" for one in TERMS.values())
    about = "The words that pages, commands and reports use; the pages show them beside each number and on `/glossary`."
    return "\n\n".join(("# What the numbers mean", about, *terms)) + "\n"
