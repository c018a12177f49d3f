"""Which last words of the other side somebody means who looks for deliveries by them."""

from __future__ import annotations

import re

from sqlalchemy import exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from tracker.store.schema import attempts

_CODE = re.compile(r"[2-5][0-9]{2}\Z")
_CLASS = re.compile(r"[2-5](?:xx)?\Z", re.IGNORECASE)
_ENHANCED = re.compile(r"[2-5]\.[0-9]{1,3}\.[0-9]{1,3}\Z")


def last_words(delivery_id: ColumnElement[bytes], wanted: str) -> ColumnElement[bool]:
    """Whether the latest attempt for a delivery was answered so: `550`, `5` or `5xx` for a class of codes, `5.1.1`, or
    a part of the text."""
    its = attempts.alias()
    latest = (
        select(func.max(attempts.c.id))
        .where(attempts.c.delivery_id == delivery_id)
        .correlate_except(attempts)
        .scalar_subquery()
    )
    if _CODE.match(wanted):
        fits = its.c.code == int(wanted)
    elif _CLASS.match(wanted):
        first = int(wanted[0]) * 100
        fits = its.c.code.between(first, first + 99)
    elif _ENHANCED.match(wanted):
        fits = its.c.enhanced == wanted
    else:
        fits = its.c.text.icontains(wanted, autoescape=True)
    return exists(select(its.c.id).where(its.c.id == latest, fits).correlate_except(its, attempts))
