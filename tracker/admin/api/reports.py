"""Numbers: what `candor report` and the pages show, by the same functions."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from tracker.admin.api import figures, paging
from tracker.admin.api.operations import Answer, Call, Items, Operation
from tracker.admin.api.shapes import Asked, HexId, Listing, Period, Shape, Text, Word
from tracker.attribution import Model
from tracker.errors import InvalidValue
from tracker.moments import isoformat
from tracker.reports.conversions import By, report_conversions
from tracker.reports.conversions import Period as Days
from tracker.reports.domains import report_domains
from tracker.reports.engagement import leads, quiet
from tracker.reports.links import report_links
from tracker.reports.mailing import latest_mailings, report_mailing
from tracker.reports.message import report_message
from tracker.reports.overview import overview
from tracker.reports.readings import who_has_read
from tracker.reports.rows import reading_row
from tracker.reports.sums import Scope
from tracker.reports.timeline import Unit, by_time

S = TypeVar("S", bound=Shape)
Most = Annotated[int, Field(ge=1, le=1000)]


class Which(Listing):
    search: Text = ""


class Named(Asked):
    name: Word


class Over(Period):
    message: HexId | None = None
    campaign: Word | None = None
    unit: Unit = Unit.DAY


class Limited(Period):
    limit: Most = 50


class Searched(Limited):
    search: Text = ""


class Since(Asked):
    days: Annotated[int, Field(ge=1, le=3650)] = 90
    limit: Most = 50


class SinceLeast(Since):
    least: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="Measured mails they got at least."
    )


class Earning(Asked):
    first_day: date | None = None
    last_day: date | None = None
    by: By = By.CAMPAIGN
    goal: Word | None = None
    model: Model | None = None


async def of_period(call: Call) -> Answer:
    since, until = call.query.between(call.now)
    return Answer(
        body=_as(figures.Overview, (await overview(call.domain, since=since, until=until)).as_json())
    )


async def of_message(call: Call) -> Answer:
    found = await report_message(call.domain, bytes.fromhex(call.path["message"]))
    return Answer(body=_as(figures.MessageReport, found.as_json()))


async def campaigns(call: Call, cursor: str | None, limit: int) -> Items:
    offset = paging.number(cursor)
    asked: Which = call.query
    found = await latest_mailings(call.domain, limit=limit, offset=offset, search=asked.search)
    following = str(offset + len(found)) if len(found) == limit else None
    return Items(items=[_as(figures.Campaign, one.as_json()) for one in found], next=following)


async def of_campaign(call: Call) -> Answer:
    found = await report_mailing(call.domain, call.query.name)
    return Answer(body=_as(figures.CampaignReport, found.as_json()))


async def timeline(call: Call) -> Answer:
    asked: Over = call.query
    if asked.message is not None and asked.campaign is not None:
        raise InvalidValue("campaign: either a message or a campaign, not both")
    scope = Scope()
    if asked.message is not None:
        scope = Scope(message=bytes.fromhex(asked.message))
    elif asked.campaign is not None:
        scope = Scope(mailing=(await report_mailing(call.domain, asked.campaign)).id)
    since, until = asked.between(call.now)
    zone = call.domain.config.admin.zone
    found = await by_time(call.domain, scope, unit=asked.unit, zone=zone, since=since, until=until)
    return Answer(body=_as(figures.Timeline, found.as_json()))


async def links(call: Call) -> Answer:
    asked: Searched = call.query
    since, until = asked.between(call.now)
    found = await report_links(call.domain, since=since, until=until, limit=asked.limit, search=asked.search)
    return Answer(body=_as(figures.Links, {"items": [one.as_json() for one in found]}))


async def domains(call: Call) -> Answer:
    asked: Limited = call.query
    since, until = asked.between(call.now)
    found = await report_domains(call.domain, since=since, until=until, limit=asked.limit)
    return Answer(body=_as(figures.Domains, {"items": [one.as_json() for one in found]}))


async def engaged(call: Call) -> Answer:
    asked: Since = call.query
    found = await leads(call.domain, since=_ago(call, asked.days), limit=asked.limit)
    rows = [asdict(one) | {"last": isoformat(one.last)} for one in found]
    return Answer(body=_as(figures.Leads, {"items": rows}))


async def gone_quiet(call: Call) -> Answer:
    asked: SinceLeast = call.query
    found = await quiet(call.domain, since=_ago(call, asked.days), least=asked.least, limit=asked.limit)
    rows = [asdict(one) | {"last_mail": isoformat(one.last_mail)} for one in found]
    return Answer(body=_as(figures.QuietOnes, {"items": rows}))


async def read_by(call: Call) -> Answer:
    found = await who_has_read(call.domain, bytes.fromhex(call.path["message"]))
    rows = [reading_row(one) | {"group": one.group} for one in found]
    return Answer(body=_as(figures.Readings, {"items": rows}))


async def conversions(call: Call) -> Answer:
    asked: Earning = call.query
    last = asked.last_day or call.now.date()
    first = asked.first_day or max(date(1970, 1, 1), last - timedelta(days=min(29, (last - date.min).days)))
    if not date(1970, 1, 1) <= first <= last or last.year > 9998:
        raise InvalidValue("first_day: has to be before last_day, and both between the years 1970 and 9998")
    period = Days(first=first, last=last)
    found = await report_conversions(call.domain, period, by=asked.by, goal=asked.goal, model=asked.model)
    rows = []
    for one in found:
        row = one.as_json()
        rows.append(row | {"first_day": row.pop("from"), "last_day": row.pop("to")})
    return Answer(body=_as(figures.ConversionReports, {"items": rows}))


def _ago(call: Call, days: int) -> datetime:
    return call.now.astimezone(UTC) - timedelta(days=days)


def _as(shape: type[S], found: dict[str, Any]) -> S:
    """What a report says, held to the shape that is promised."""
    return TypeAdapter(shape).validate_python(found, strict=False)


_SCOPE, _PEOPLE = ("reports:read",), ("reports:read", "contacts:read")


def _report(
    name: str, path: str, about: str, gives: type[Shape], does: Any, query: type[Asked] = Asked, **more: Any
) -> Operation:
    given = {"scopes": _SCOPE} | more
    return Operation(
        name=name,
        method="GET",
        path=f"/reports/{path}",
        about=about,
        gives=gives,
        query=query,
        does=does,
        **given,
    )


OPERATIONS = (
    _report(
        "report_overview",
        "overview",
        "All mail that came in during a period, beside the period before.",
        figures.Overview,
        of_period,
        Period,
    ),
    _report(
        "report_timeline",
        "timeline",
        "What happened by the hour or day, in the operator's time zone.",
        figures.Timeline,
        timeline,
        Over,
        also=(404,),
    ),
    _report(
        "report_message",
        "messages/{message}",
        "One message in numbers.",
        figures.MessageReport,
        of_message,
        also=(404,),
    ),
    _report(
        "report_read",
        "messages/{message}/departments",
        "By department, how many have shown that they read it.",
        figures.Readings,
        read_by,
        also=(404,),
    ),
    Operation(
        name="list_campaigns",
        method="GET",
        path="/reports/campaigns",
        about="Campaigns, and senders' days; the latest first.",
        scopes=_SCOPE,
        query=Which,
        gives=figures.Campaign,
        lists=campaigns,
    ),
    _report(
        "report_campaign",
        "campaign",
        "One campaign in numbers, and its variants held against each other.",
        figures.CampaignReport,
        of_campaign,
        Named,
        also=(404,),
    ),
    _report("report_links", "links", "Which links people followed.", figures.Links, links, Searched),
    _report(
        "report_domains",
        "domains",
        "Where mail arrives and where not, with what was answered.",
        figures.Domains,
        domains,
        Limited,
    ),
    _report(
        "report_conversions",
        "conversions",
        "Conversions, and which mail earned them.",
        figures.ConversionReports,
        conversions,
        Earning,
        also=(404,),
    ),
    _report(
        "report_leads",
        "leads",
        "Who engages most, of those who may be named.",
        figures.Leads,
        engaged,
        Since,
        scopes=_PEOPLE,
        names_people=True,
    ),
    _report(
        "report_quiet",
        "quiet",
        "Who gets mail and shows no sign of life, of those who may be named.",
        figures.QuietOnes,
        gone_quiet,
        SinceLeast,
        scopes=_PEOPLE,
        names_people=True,
    ),
)
