"""The table of reasons is complete and true, and the documentation holds the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import call
from support.mail import message

from relay.cli.rulestable import BEGIN, END, markdown, sections
from relay.config import Config
from relay.config.rewrite import RewriteTable
from relay.reasons import EXPLANATIONS, TABLE, Reason, Row, Scope
from relay.rewrite import Rules, compile_message

PAGE = Path(__file__).parents[2] / "docs" / "rewriting.md"
HOST = "t.candor.example"
STRICT = Rules(own_hosts=(HOST,), wrap_outlook=False)
EXAMPLES = [(reason, row.example) for reason, row in TABLE.items() if row.example.startswith("<")]


def test_every_reason_has_one_row() -> None:
    assert set(TABLE) == set(Reason) == set(EXPLANATIONS)
    assert len({row.explanation for row in TABLE.values()}) == len(Reason)
    assert {row.scope for row in TABLE.values()} == set(Scope)


@pytest.mark.parametrize(("reason", "example"), EXAMPLES)
def test_the_examples_are_true(reason: Reason, example: str) -> None:
    rules = Rules(own_hosts=(HOST,)) if reason is Reason.UNQUOTED_IN_COMMENT else STRICT
    html = f"<body>{example.replace('TRACKING-HOST', HOST)}text</a></body>"
    data = message(html, header="List-Unsubscribe: <https://list.example/leave?id=1>\r\n")
    kept = [one.reason for one in compile_message(data, rules).kept]
    assert [one for one in kept if TABLE[one].scope is Scope.LINK] == [reason]


@pytest.mark.parametrize("row", [row for row in TABLE.values() if row.option], ids=lambda row: row.option)
def test_the_options_exist(row: Row) -> None:
    if row.option.startswith("["):
        table, key = row.option.removeprefix("[").split("] ")
        assert key in type(getattr(Config(), table)).model_fields
    else:
        assert row.option in RewriteTable.model_fields


def test_every_option_of_the_table_changes_something_that_is_told() -> None:
    told = {row.option for section in sections(Rules()) for row in section.rows}
    assert told >= {f"[rewrite] {name}" for name in RewriteTable.model_fields}


def test_the_page_holds_the_same_tables() -> None:
    between = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert between == f"\n\n{markdown()}\n", "make docs"


def test_a_page_is_made_anew_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nbehind\n", encoding="utf-8")
    assert call("rewrite", "rules", "--page", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n{BEGIN}\n\n{markdown()}\n{END}\nbehind\n"
    page.write_text("no marks", encoding="utf-8")
    result = call("rewrite", "rules", "--page", page)
    assert (result.code, page.read_text(encoding="utf-8")) == (2, "no marks")
    assert str(page) in result.err
