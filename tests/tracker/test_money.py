"""Amounts as people write them, and as whole numbers of minor units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import InvalidValue
from tracker.money import MOST, currency_code, parse_amount, shown_amount


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("12.50", "EUR", 1250),
        ("12.5", "EUR", 1250),
        ("12", "EUR", 1200),
        ("0", "EUR", 0),
        ("0.07", "USD", 7),
        ("12.5000", "EUR", 1250),
        ("1200", "JPY", 1200),
        ("1200.0", "JPY", 1200),
        ("1.234", "KWD", 1234),
    ],
)
def test_an_amount_is_whole_minor_units(text: str, currency: str, amount: int) -> None:
    assert parse_amount(text, currency) == amount


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(("", "EUR"), ("-1", "EUR"), ("+1", "EUR"), ("1,50", "EUR"), ("1e3", "EUR"), (".5", "EUR")),
        *(("1.", "EUR"), ("1.234", "EUR"), ("1.5", "JPY"), ("nan", "EUR"), ("١", "EUR"), ("1 ", "EUR")),
        ("9" * 15, "EUR"),
        ("9" * 16, "EUR"),
    ],
)
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(InvalidValue):
        parse_amount(text, currency)


@given(amount=st.integers(0, MOST), currency=st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_what_is_shown_reads_back(amount: int, currency: str) -> None:
    text = shown_amount(amount, currency)
    if len(text.partition(".")[0]) <= 15:
        assert parse_amount(text, currency) == amount


def test_a_currency_is_three_letters() -> None:
    assert currency_code("eur") == "EUR"
    for text in ("", "EU", "EURO", "E1R", "€€€"):
        with pytest.raises(InvalidValue):
            currency_code(text)
