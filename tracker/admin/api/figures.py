"""The shapes of reports: numbers, each with what it is a share of (docs: `candor report`, the glossary)."""

from __future__ import annotations

from pydantic import Field

from tracker.admin.api.shapes import Shape


class Engagement(Shape):
    unique: int = Field(description="Deliveries that had it, by people or their mail services' proxies.")
    delivered: int
    total: int
    machines: int
    unsure: int
    rate: float | None = Field(description="Of those delivered and measured by name; null of none.")
    interval: tuple[float, float] | None = Field(description="Where the true rate lies, 19 times in 20.")


class Figures(Shape):
    deliveries: dict[str, int] = Field(description="By state.")
    delivered: int
    trackable_delivered: int = Field(description="Delivered and measured by name: what rates are shares of.")
    not_trackable: dict[str, int] = Field(description="Not measured by name, by reason.")
    identified: dict[str, Engagement]
    views: int
    implied_opens: int = Field(description="Clicked, and no open was seen.")
    engaged: int


class PeriodFigures(Figures):
    since: str
    until: str
    messages: int
    mailings: int
    active: dict[str, int]


class Overview(Shape):
    now: PeriodFigures
    before: PeriodFigures


class LinkFigures(Shape):
    number: int
    url: str
    text: str
    unique: int
    total: int


class Counted(Shape):
    """Counted without a name: totals, never people."""

    scope: str
    group: str
    kind: str
    link: int | None
    count: int


class MessageReport(Figures):
    id: str
    subject: str
    mailing: str
    links: list[LinkFigures]
    mailing_counts: list[Counted]


class Campaign(Shape):
    name: str
    kind: str
    messages: int
    last: str


class Comparison(Shape):
    difference: float
    interval: tuple[float, float]
    p: float
    finding: str


class Contest(Shape):
    """Variants held against the one with the highest rate."""

    leader: str
    others: dict[str, Comparison]


class CampaignReport(Figures):
    id: str
    name: str
    kind: str
    messages: int
    first: str | None
    last: str | None
    variants: dict[str, Figures]
    contests: dict[str, Contest]
    counts: list[Counted]


class Activity(Shape):
    total: int
    new: int
    views: int
    machines: int
    unsure: int


class Bucket(Shape):
    begins: str
    delivered: int
    opened: Activity
    clicked: Activity


class Timeline(Shape):
    unit: str
    since: str | None
    until: str | None
    buckets: list[Bucket]


class LinkReport(Shape):
    url: str
    text: str
    unique: int
    total: int
    messages: int
    last: str


class Links(Shape):
    items: list[LinkReport]


class Arrived(Shape):
    n: int
    of: int
    rate: float | None


class DomainShare(Shape):
    delivered: int
    rate: float | None


class Reply(Shape):
    code: int
    enhanced: str
    n: int


class DomainReport(Shape):
    domain: str
    deliveries: dict[str, int]
    arrived: Arrived
    trackable_delivered: int
    identified: dict[str, DomainShare]
    answers: list[Reply]


class Domains(Shape):
    items: list[DomainReport]


class Lead(Shape):
    """Somebody who engages, of those who may be measured by name today."""

    address: str
    group: str | None
    opened: int
    clicked: int
    last: str
    score: int


class Leads(Shape):
    items: list[Lead]


class Quiet(Shape):
    """Somebody who gets mail and shows no sign of life, of those who may be measured by name today."""

    address: str
    group: str | None
    delivered: int
    last_mail: str


class QuietOnes(Shape):
    items: list[Quiet]


class Reading(Shape):
    """A department and one message. What is not measured is never "not read"."""

    group: str
    recipients: int
    delivered: int
    measured: int
    read: int
    not_shown: int
    not_measured: int


class Readings(Shape):
    items: list[Reading]


class Earned(Shape):
    title: str
    campaign: str | None
    message: str | None
    link: int | None
    conversions: float
    value: str | None
    currency: str | None


class ByChoice(Shape):
    n: int
    rate: float | None


class ConversionReport(Shape):
    goal: str
    model: str
    window_days: list[int]
    by: str
    first_day: str
    last_day: str
    conversions: int
    attributed: int
    unattributed: dict[str, int]
    unattributed_by_choice: ByChoice
    values: dict[str, str]
    rows: list[Earned]


class ConversionReports(Shape):
    items: list[ConversionReport]
