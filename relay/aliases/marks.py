"""Marks of other services in HTML: attributes of links, and words for the pixel's place, one row each. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from relay.aliases.effects import OFF, ON
from relay.aliases.table import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A mark on a link (`attribute`), or a word of the text (`word`)."""

    written: str
    """As people write it."""
    service: str
    """For people."""
    there: str
    here: str
    attribute: str = ""
    classes: str = ""
    """One of the link's classes, in lower case; `attribute` is `class` then."""
    word: re.Pattern[str] | None = None
    switch: bool = False
    """Its value says on or off; anything else is read as off."""
    grade: Grade = Grade.DOCUMENTED

    def value(self, attributes: Mapping[str, object]) -> str | None:
        """What a link says by it; None where it does not carry it."""
        if not self.attribute or self.attribute not in attributes:
            return None
        value = str(attributes[self.attribute]).strip()
        if self.classes:
            return self.classes if self.classes in value.lower().split() else None
        return value

    def is_understood(self, value: str) -> bool:
        return not self.switch or value.lower() in ON | OFF


_NOT_WRAPPED = "left this link alone"
_SAME = "the same; the mark stays in the mail"
_TOLD = "nothing: links are told apart by their places and texts; it stays in the mail"
_PIXEL = "the pixel's place"

MARKS: tuple[Mark, ...] = (
    Mark(
        written="data-candor-no-track",
        service="Candor",
        attribute="data-candor-no-track",
        there=_NOT_WRAPPED,
        here="leaves the link alone, or all links in the element; taken out",
    ),
    Mark(
        written="ses:no-track", service="Amazon SES", attribute="ses:no-track", there=_NOT_WRAPPED, here=_SAME
    ),
    Mark(
        written='ses:tags="name:value;"',
        service="Amazon SES",
        attribute="ses:tags",
        there="named the link in reports",
        here=_TOLD,
    ),
    Mark(
        written="{{ses:openTracker}}",
        service="Amazon SES",
        word=re.compile(r"\{\{ses:openTracker\}\}"),
        there=_PIXEL,
        here="the same; taken out of copies without one",
    ),
    Mark(
        written="clicktracking=off",
        service="SendGrid",
        attribute="clicktracking",
        switch=True,
        there=_NOT_WRAPPED,
        here=_SAME,
    ),
    Mark(
        written='data-msys-clicktrack="0"',
        service="SparkPost, Momentum",
        attribute="data-msys-clicktrack",
        switch=True,
        there=_NOT_WRAPPED,
        here=_SAME,
    ),
    Mark(
        written='data-msys-sublink="…"',
        service="SparkPost, Momentum",
        attribute="data-msys-sublink",
        there="changed the path of the tracking link",
        here="nothing; it stays in the mail",
    ),
    Mark(
        written="data-pm-no-track",
        service="Postmark",
        attribute="data-pm-no-track",
        there=_NOT_WRAPPED,
        here=_SAME,
    ),
    Mark(
        written="data-no-track",
        service="SMTP2GO, Kannon",
        attribute="data-no-track",
        there=_NOT_WRAPPED,
        here=_SAME,
    ),
    Mark(
        written="mc:disable-tracking",
        service="Mailchimp, Mandrill",
        attribute="mc:disable-tracking",
        there=_NOT_WRAPPED,
        here=_SAME,
        grade=Grade.UNCONFIRMED,
    ),
    Mark(
        written="mautic:disable-tracking",
        service="Mautic",
        attribute="mautic:disable-tracking",
        there=_NOT_WRAPPED,
        here=_SAME,
        grade=Grade.SEEN,
    ),
    Mark(
        written="https+notrack://…",
        service="Postal",
        word=re.compile(r"https?(?:\+|&#43;|&#x2b;|&plus;)notrack://", re.IGNORECASE),
        there="left this link alone, and took the prefix off",
        here="the same",
        grade=Grade.SEEN,
    ),
    Mark(
        written="class=untracked",
        service="Customer.io",
        attribute="class",
        classes="untracked",
        there=_NOT_WRAPPED,
        here=_SAME,
        grade=Grade.UNCONFIRMED,
    ),
    Mark(
        written="class=mktNoTrack",
        service="Marketo",
        attribute="class",
        classes="mktnotrack",
        there=_NOT_WRAPPED,
        here=_SAME,
        grade=Grade.UNCONFIRMED,
    ),
    Mark(
        written='autotrack="false"',
        service="others",
        attribute="autotrack",
        switch=True,
        there=_NOT_WRAPPED,
        here=_SAME,
        grade=Grade.UNCONFIRMED,
    ),
    Mark(
        written="<opentag/>",
        service="GreenArrow",
        word=re.compile(r"<opentag[ \t]*/?>"),
        there=_PIXEL,
        here="the same; taken out of copies without one",
    ),
)
