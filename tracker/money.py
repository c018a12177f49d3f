"""Amounts of money in minor units (cents), as whole numbers of one currency. Pure; currencies are never added up.

How many decimals a currency has is ISO 4217's; of one that is not in our list we take it to have two.
"""

from __future__ import annotations

import re
from functools import cache

from tracker.errors import InvalidValue

MOST = 10**14
"""Minor units of one amount: sums of many stay within 63 bits."""
_CODE = re.compile(r"[A-Za-z]{3}")
_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,4}))?")
_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


def currency_code(text: str) -> str:
    """`EUR` from `eur`. Raises InvalidValue."""
    if not _CODE.fullmatch(text):
        raise InvalidValue(f"{text!r} is no currency: expected three letters (ISO 4217), such as EUR")
    return text.upper()


def parse_amount(text: str, currency: str) -> int:
    """Minor units: 1250 from `12.50` of EUR. Raises InvalidValue for what is no amount, negative, too large, or finer
    than the currency is."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise InvalidValue(f"{text!r} is no amount: expected digits with a point, such as 12.50")
    decimals = decimals_of(currency)
    fraction = (match[2] or "").ljust(decimals, "0")
    if fraction[decimals:].strip("0"):
        raise InvalidValue(f"{text!r}: {currency} has {decimals} decimals")
    amount: int = int(match[1]) * 10**decimals + int(fraction[:decimals] or "0")
    if amount > MOST:
        raise InvalidValue(f"{text!r} is more than an amount may be")
    return amount


def shown_amount(amount: int, currency: str) -> str:
    """`12.50` from 1250 of EUR."""
    decimals = decimals_of(currency)
    whole, fraction = divmod(amount, 10**decimals)
    return f"{whole}.{fraction:0{decimals}}" if decimals else str(whole)


def decimals_of(currency: str) -> int:
    """Digits behind the point."""
    return _table().get(currency, 2)


@cache
def _table() -> dict[str, int]:
    return {code: decimals for decimals, codes in _DECIMALS.items() for code in codes.split()}
