"""What people do in the month beside reading: joining, changing their minds, asking, complaining; and what the office
does about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from relay.demonstration.company import BOUNCES
from relay.demonstration.month import Month
from relay.demonstration.people import Person, as_file
from relay.desk import MailDesk
from relay.store.selection import Selection
from relay.store.steering import Steering
from tracker.consent import Consent, DoNotTrack
from tracker.contactfile import ContactFile
from tracker.importing import Import
from tracker.segments.terms import All, AnyNode, Converted, Group, InCountry, Mail, Quiet, Said, definition
from tracker.statements import Statement
from tracker.store.audit import Action
from tracker.store.contacts import find
from tracker.store.register import Source
from tracker.store.requests import RequestKind

OPERATOR, COLLEAGUE = "dana", "milo"
_PAGE = {"form": "preference page", "language": "en", "version": "1"}
_SEGMENTS: dict[str, AnyNode] = {
    "German readers who clicked": All(of=(InCountry(values=("DE",)), Mail(kind="clicked", days=30))),
    "Wholesale": Group(values=("wholesale",)),
    "Ordered this month": Converted(goal="order", days=31),
    "Gone quiet": Quiet(days=21),
    "Never said anything": Said(values=(Consent.UNKNOWN,)),
}


async def begin(month: Month) -> None:
    """The house moves in: a file of its customers, its staff, its segments."""
    known = [one for one in month.people if not one.joins]
    customers = [one for one in known if not one.is_staff]
    file = month.folder / "customers.csv"
    file.write_text(as_file(customers, month.begins), encoding="utf-8")
    taken = Import(month.domain, ContactFile(file), actor=OPERATOR, refused=lambda _: None, clock=month.clock)
    await taken.run()
    staff = [_said_at_work(one, month.begins) for one in known if one.is_staff]
    await month.domain.register.record(staff, source=Source.API, actor="hr system", now=month.clock.now)
    for name, node in _SEGMENTS.items():
        await month.domain.segments.save(
            name, definition(node), by=OPERATOR, now=month.clock.now, replace=True
        )


def _said_at_work(one: Person, begins: datetime) -> Statement:
    return Statement(
        address=one.address,
        consent=one.consent,
        do_not_track=DoNotTrack.TRUE if one.do_not_track else None,
        country=one.country,
        group=one.group,
        as_of=begins - timedelta(days=one.said_days),
        evidence={"form": "works agreement on internal mail"} if one.consent else {},
    )


def plan(month: Month) -> None:
    """Puts on the month what people will do in it."""
    _joining(month)
    _choosing(month)
    _asking(month)
    _complaining(month)
    _office(month)


def _later(month: Month, days: float) -> datetime:
    """A moment of that day, by day."""
    return month.begins + timedelta(days=int(days), hours=8 + month.dice.random() * 12)


def _joining(month: Month) -> None:
    for one in month.people:
        if one.joins:
            said = Statement(
                address=one.address,
                consent=one.consent,
                do_not_track=DoNotTrack.FALSE,
                country=one.country,
                group=one.group,
                evidence={"form": "sign-up form v4", "text": "Yes, you may see what I read and click"},
            )
            month.at(_later(month, one.joins), partial(_say, month, said, Source.API, "shop"))


def _choosing(month: Month) -> None:
    """On their own page: nobody reads their mail there, so it is anybody's turn."""
    customers = [one for one in month.people if not one.joins and not one.is_staff and not one.gone]
    granted = iter([one for one in customers if one.consent is Consent.GRANTED and not one.do_not_track])
    silent = iter([one for one in customers if one.consent is None])
    gone = [one for one in customers if one.consent is Consent.WITHDRAWN]
    for day in (3, 6, 9, 12, 13, 16, 19, 22, 26, 29):
        _choose(month, next(granted), day, Consent.WITHDRAWN, None, "No, do not look at what I read")
    for day in (5, 13, 18, 25):
        _choose(month, next(granted), day, Consent.GRANTED, DoNotTrack.TRUE, "Count me, but not by name")
    for day in (2, 4, 7, 10, 14, 17, 20, 23, 27):
        _choose(month, next(silent), day, Consent.GRANTED, DoNotTrack.FALSE, "Yes, you may look")
    for day in (8, 21):
        _choose(month, next(silent), day, Consent.DENIED, None, "No, do not look at what I read")
    for day, one in zip((11, 24), gone, strict=False):
        _choose(month, one, day, Consent.GRANTED, DoNotTrack.FALSE, "Yes, you may look")


def _choose(
    month: Month, one: Person, day: int, consent: Consent, do_not_track: DoNotTrack | None, text: str
) -> None:
    said = Statement(
        address=one.address, consent=consent, do_not_track=do_not_track, evidence={**_PAGE, "text": text}
    )
    month.at(_later(month, day), partial(_say, month, said, Source.PREFERENCE_PAGE, "recipient"))


async def _say(month: Month, said: Statement, source: Source, actor: str) -> None:
    await month.domain.register.record([said], source=source, actor=actor, now=month.clock.now)


def _asking(month: Month) -> None:
    """For their data, or to be forgotten; the office answers some days later."""
    customers = [one for one in month.people if not one.joins and not one.is_staff and not one.gone]
    asking = iter(customers[40:])
    for day in (7, 15, 22):
        one = next(asking)
        month.at(_later(month, day), partial(_ask, month, one, RequestKind.ERASE))
        month.at(_later(month, day + 1), partial(_erase, month, one))
    first, second, third, fourth = (next(asking) for _ in range(4))
    for one, day in ((first, 10), (second, 17)):
        month.at(_later(month, day), partial(_ask, month, one, RequestKind.EXPORT))
    month.at(_later(month, 12), partial(_answer, month, first, "sent by post", refuse=False))
    month.at(_later(month, 19), partial(_answer, month, second, "asked from another address", refuse=True))
    month.at(month.ends - timedelta(days=2, hours=3), partial(_ask, month, third, RequestKind.EXPORT))
    month.at(month.ends - timedelta(hours=5), partial(_ask, month, fourth, RequestKind.ERASE))


async def _ask(month: Month, one: Person, kind: RequestKind) -> None:
    await month.domain.requests.ask(one.address, kind, month.clock.now)


async def _contact_id(month: Month, address: str) -> int | None:
    row = await month.domain.database.read(
        lambda connection: find(connection, address, month.domain.ring), within=20.0
    )
    return None if row is None else int(row.id)


async def _erase(month: Month, one: Person) -> None:
    domain, now = month.domain, month.clock.now
    number = await _contact_id(month, one.address)
    await domain.audit.note(Action.ERASE, number, actor=OPERATOR, now=now)
    await domain.erasure.erase(one.address, actor=OPERATOR, now=now)
    del month.by_address[one.address]


async def _answer(month: Month, one: Person, note: str, *, refuse: bool) -> None:
    domain, now = month.domain, month.clock.now
    number = await _contact_id(month, one.address)
    (asked,) = [each for each in await domain.requests.list() if each.address == one.address]
    await domain.audit.note(Action.REQUEST, number, actor=COLLEAGUE, now=now)
    if refuse:
        await domain.requests.refuse(asked.id, now, note=note)
    else:
        await domain.audit.note(Action.EXPORT, number, actor=COLLEAGUE, now=now)
        await domain.requests.done(asked.id, now, note=note)


# --- what comes back ---


def _complaining(month: Month) -> None:
    for day in (5, 14, 19, 26):
        month.at(_later(month, day), partial(_report, month, _complaint))
    for day in (4, 11, 21, 28):
        month.at(_later(month, day), partial(_report, month, _bounce))


async def _report(month: Month, write: Callable[[str, str], bytes]) -> None:
    """Of one of the latest copies, whoever got it."""
    latest = sorted(month.arrivals, key=lambda one: (one.at, one.address))[-300:]
    copies = [one for one in latest if one.address in month.by_address]
    if copies:
        copy = month.dice.choice(copies)
        await month.come_back(copy.envelope_sender, write(copy.address, copy.envelope_sender))


def _crlf(lines: Iterator[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _complaint(address: str, return_path: str) -> bytes:
    """As a feedback loop sends it (RFC 5965)."""
    domain = address.rpartition("@")[2]

    def lines() -> Iterator[str]:
        yield from (
            f"From: feedback@{domain}",
            f"To: fbl@{BOUNCES}",
            "Subject: Complaint",
            "MIME-Version: 1.0",
        )
        yield "Content-Type: multipart/report; report-type=feedback-report; boundary=b"
        yield from ("", "--b", "Content-Type: text/plain", "", "A reader called this spam.", "--b")
        yield from (
            "Content-Type: message/feedback-report",
            "",
            "Feedback-Type: abuse",
            "User-Agent: Loop/2.1",
        )
        yield from (
            "Version: 1",
            f"Original-Mail-From: <{return_path}>",
            f"Reporting-MTA: dns; fbl.{domain}",
            "",
        )
        yield "--b--"

    return _crlf(lines())


def _bounce(address: str, return_path: str) -> bytes:
    """As a mail system sends it that took the mail and then found no mailbox (RFC 3464)."""
    domain = address.rpartition("@")[2]

    def lines() -> Iterator[str]:
        yield from (f"From: MAILER-DAEMON@mx1.{domain}", f"To: {return_path}", "Subject: Undelivered mail")
        yield from ("MIME-Version: 1.0", "Auto-Submitted: auto-replied")
        yield "Content-Type: multipart/report; report-type=delivery-status; boundary=b"
        yield from ("", "--b", "Content-Type: text/plain", "", "It could not be delivered.", "--b")
        yield from ("Content-Type: message/delivery-status", "", f"Reporting-MTA: dns; mx1.{domain}", "")
        yield from (f"Final-Recipient: rfc822; {address}", "Action: failed", "Status: 5.2.1")
        yield from ("Diagnostic-Code: smtp; 550 5.2.1 mailbox disabled, not accepting messages", "", "--b--")

    return _crlf(lines())


# --- the office ---


def _office(month: Month) -> None:
    days = (month.ends - month.begins).days + 1
    for day in range(1, days + 1):
        signing = month.begins + timedelta(days=day, minutes=5)
        month.at(signing, partial(_sign, month))
        for hour in range(1, 24, 4):
            month.at(month.begins + timedelta(days=day, hours=hour), month.watch)
    month.at(month.ends, month.watch)
    month.at(_later(month, 18), partial(_by_telephone, month))
    month.at(
        _later(month, 20), partial(_suppress, month, "press.office@inboxly.example", "asked us by telephone")
    )
    month.at(
        _later(month, 23),
        partial(_suppress, month, "spamtrap@brightpost.example", "a trap, says their postmaster"),
    )
    month.at(month.ends - timedelta(minutes=4), partial(_hold, month))


async def _sign(month: Month) -> None:
    await month.domain.proof.head(month.clock.now, daily=True)


async def _by_telephone(month: Month) -> None:
    """Somebody calls, and an operator takes down what they say."""
    one = next(one for one in month.people[60:] if one.consent is None and one.address in month.by_address)
    number = await _contact_id(month, one.address)
    await month.domain.audit.note(Action.CONSENT, number, actor=OPERATOR, now=month.clock.now)
    said = Statement(address=one.address, consent=Consent.DENIED, evidence={"reference": "call 2217"})
    await _say(month, said, Source.OPERATOR_PAGE, OPERATOR)


async def _suppress(month: Month, address: str, note: str) -> None:
    await month.domain.audit.note(Action.SUPPRESS, None, actor=OPERATOR, now=month.clock.now)
    await MailDesk(month.domain).suppress(address, note=note, now=month.clock.now)


async def _hold(month: Month) -> None:
    """Some of what waits is kept back."""
    steering = Steering(month.domain)
    waiting = await steering.page(Selection(), limit=100)
    for one in waiting[:3]:
        await steering.hold(Selection(delivery=one["delivery"]))
    await month.domain.audit.note(
        Action.HOLD, None, actor=COLLEAGUE, now=month.clock.now, about=f"{len(waiting[:3])} recipients"
    )
