"""`candor message`, `candor event`, `candor report message`: tables for people, fixed shapes for programs, and text
from mail that steers nobody's terminal."""

from __future__ import annotations

import json
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import Installation, Result
from support.deliveries import a_delivery, a_message, id_of, record
from support.tracking import ANONYMOUS, IDENTIFIED, SENDER, UNTRACKED, URLS, Copy, Mail, send
from support.web import serving

from tracker.cli.common import printable
from tracker.consent import Mode
from tracker.domain import Domain
from tracker.store.deliveries import Attempt, Kept, noting, settling

JOE, DAN, ANN = "joe@people.example", "dan@people.example", "ann@people.example"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31mred",
    "a\r\nb\tc\x08\x7f",
    "\u202egnp.exe\u2066",
    "[bold red]markup[/] [link=http://x]y[/link]",
    "\U000e0041\ufeff\u2028",
)


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


async def a_mail_that_was_read(domain: Domain) -> dict[str, Copy]:
    """Joe opens and follows the second link, Ann is counted, Dan is untracked."""
    copies = await send(domain, Mail(to={JOE: IDENTIFIED, DAN: UNTRACKED, ANN: ANONYMOUS}, tags=("a", "b")))
    async with serving(domain) as (client, _):
        for path in (copies[JOE].pixel, copies[JOE].link(2), copies[ANN].pixel):
            await client.ask(path)
    return copies


def test_a_message_is_shown_to_programs_in_the_agreed_shape(candor: Installation) -> None:
    copies = candor.prepare(a_mail_that_was_read)
    found = candor.call("message", "show", copies[JOE].message.hex(), "--json").json
    assert {"id", "mailing", "from", "subject", "tags", "received_at", "deliveries"} <= set(found)
    assert (found["id"], found["mailing"]) == (copies[JOE].message.hex(), "apples")
    assert (found["from"], found["subject"]) == (f"The Shop <{SENDER}>", "Apples are here")
    assert found["tags"] == ["a", "b"]
    assert MOMENT.fullmatch(found["received_at"])
    joe, dan, ann = found["deliveries"]
    for one, copy in ((joe, copies[JOE]), (dan, copies[DAN]), (ann, copies[ANN])):
        decision = copy.decision
        expected = (
            copy.delivery.hex(),
            copy.recipient,
            decision.mode,
            decision.reason,
            decision.opens,
            decision.clicks,
        )
        assert tuple(one[key] for key in ("id", "recipient", "mode", "reason", "opens", "clicks")) == expected
        assert one["status"] == "accepted"
        (attempt,) = one["attempts"]
        assert MOMENT.fullmatch(attempt["at"])
        assert {key: attempt[key] for key in ("host", "code", "enhanced", "text")} == {
            "host": "mx.example:25",
            "code": 250,
            "enhanced": "2.0.0",
            "text": "Ok: queued",
        }
    links = [{"number": number, "url": url, "text": "see"} for number, url in enumerate(URLS, 1)]
    assert (joe["links"], dan["links"], ann["links"]) == (links, [], links)


def test_events_are_listed_for_programs_one_a_line(candor: Installation) -> None:
    copies = candor.prepare(a_mail_that_was_read)
    opened, clicked = candor.call("event", "list", "--json").lines
    for one in (opened, clicked):
        assert {"id", "kind", "at", "message", "delivery", "link", "url", "verdict", "recipient"} <= set(one)
        assert isinstance(one["id"], str)
        assert MOMENT.fullmatch(one["at"])
        assert (one["message"], one["delivery"]) == (copies[JOE].message.hex(), copies[JOE].delivery.hex())
        assert (one["verdict"], one["recipient"]) == ("person", JOE)
    assert (opened["kind"], opened["link"], opened["url"]) == ("opened", None, None)
    assert (clicked["kind"], clicked["link"], clicked["url"]) == ("clicked", 2, URLS[1])


def test_events_of_one_message_the_latest_so_many(candor: Installation) -> None:
    async def two_mails(domain: Domain) -> list[Copy]:
        copies = [(await send(domain, Mail(to={JOE: IDENTIFIED})))[JOE] for _ in range(2)]
        async with serving(domain) as (client, _):
            for path in (copies[0].pixel, copies[1].pixel, copies[0].link(1), copies[0].link(2)):
                await client.ask(path)
        return copies

    first, second = candor.prepare(two_mails)
    of_first = candor.call("event", "list", "--json", "--message", first.message.hex()).lines
    assert [one["link"] for one in of_first] == [None, 1, 2]
    latest = candor.call("event", "list", "--json", "--message", first.message.hex(), "--limit", "2").lines
    assert [one["link"] for one in latest] == [1, 2]
    assert len(candor.call("event", "list", "--json", "--message", second.message.hex()).lines) == 1
    nothing = candor.call("event", "list", "--json", "--message", "00" * 16)
    assert (nothing.code, nothing.out) == (0, "")
    table = candor.call("event", "list").out
    for word in ("opened", "clicked", JOE, URLS[1], "person", "Firefox"):
        assert word in table


def test_messages_are_listed_latest_first(candor: Installation) -> None:
    async def three(domain: Domain) -> list[str]:
        made = []
        for days in (3, 1, 2):
            when = datetime.now(UTC) - timedelta(days=days)
            mail = Mail(to={JOE: IDENTIFIED, DAN: UNTRACKED}, subject=f"{days} days ago", received_at=when)
            made.append((await send(domain, mail))[JOE].message.hex())
        return made

    three_ago, one_ago, two_ago = candor.prepare(three)
    found = candor.call("message", "list", "--json").json
    assert [one["id"] for one in found] == [one_ago, two_ago, three_ago]
    assert found[0]["deliveries"] == {"accepted": 2}
    assert [one["id"] for one in candor.call("message", "list", "--json", "--limit", "1").json] == [one_ago]
    table = candor.call("message", "list").out
    for word in (one_ago[:8], three_ago[:8], "2 days ago", "2 accepted"):
        assert word in table
    assert one_ago[:9] not in table


def test_a_message_is_shown_to_people_with_every_answer(candor: Installation) -> None:
    async def refused(domain: Domain) -> Copy:
        return (await send(domain, Mail(to={JOE: IDENTIFIED}, status="rejected", text="No such user")))[JOE]

    text = candor.call("message", "show", candor.prepare(refused).message.hex()).out
    for word in (
        "Apples are here",
        f"The Shop <{SENDER}>",
        JOE,
        "identified",
        "granted",
        "rejected",
        "550 5.1.1 No such user",
    ):
        assert word in text
    assert URLS[0] in text


def test_every_try_is_shown_in_order_on_a_narrow_terminal(
    candor: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(at: int, status: str, code: int, text: str, tls: str | None = None) -> Attempt:
        when = datetime(2026, 5, 1, 12, at, 7, tzinfo=UTC)
        words = {"host": "mx1.upstream.example:587", "tls": tls, "code": code, "enhanced": "", "text": text}
        return Attempt(delivery_id=id_of(1), at=when, status=status, **words)

    async def thrice(domain: Domain) -> None:
        await record(domain.database, a_message(), a_delivery(1, recipient="a-longer-name@people.example"))
        await domain.database.write(
            *settling([tried(0, "deferred", 451, "come back later")]),
            *settling([tried(20, "accepted", 250, "Ok: queued", "TLSv1.3")]),
            noting([tried(50, "bounced", 550, "no such user")]),
            noting([tried(55, "bounced", 452, "still full")]),
        )

    candor.prepare(thrice)
    monkeypatch.setattr("tracker.cli.common._OTHERWISE", 80)
    text = candor.call("message", "show", id_of(1).hex()).out
    wanted = (
        f"{id_of(1).hex()[:8]}  2026-05-01 12:00:07Z  deferred  mx1.upstream.example:587\n    451 come back later\n"
        f"{id_of(1).hex()[:8]}  2026-05-01 12:20:07Z  accepted  mx1.upstream.example:587, TLSv1.3\n    250 Ok: queued\n"
        f"{id_of(1).hex()[:8]}  2026-05-01 12:50:07Z  bounced  mx1.upstream.example:587\n    550 no such user\n"
        f"{id_of(1).hex()[:8]}  2026-05-01 12:55:07Z  bounced (expired)  mx1.upstream.example:587\n"
        "    452 still full\n"
    )
    assert wanted in text
    assert "a-longer-name@people.example" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_an_empty_store_has_empty_lists(candor: Installation) -> None:
    for command, empty in (("message", "[]\n"), ("event", "")):
        found = candor.call(command, "list", "--json")
        assert (found.code, found.out) == (0, empty)
        said = candor.call(command, "list")
        assert (said.code, said.out.endswith("is on record\n")) == (0, True)


@pytest.mark.parametrize("command", [("message", "show"), ("report", "message")], ids=" ".join)
def test_a_message_there_is_not_ends_with_1_and_what_is_no_id_with_2(
    command: tuple[str, ...], candor: Installation
) -> None:
    missing = candor.call(*command, "ab" * 16, "--json")
    assert (missing.code, missing.out, missing.err) == (1, "", f"candor: there is no message {'ab' * 16}\n")
    short = candor.call(*command, "abcdef", "--json")
    assert (short.code, short.out, short.err) == (1, "", "candor: there is no message abcdef\n")
    for word in ("x", "abcde", "ab" * 17, "", "zz" * 16, "abcdeg"):
        wrong = candor.call(*command, word)
        assert (wrong.code, wrong.out) == (2, "")
        assert "expected 32 hex digits" in wrong.err


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(
    "arguments", [("--limit", "0"), ("--limit", "many"), ("--message", "x")], ids=" ".join
)
def test_a_wrong_option_ends_with_2(arguments: tuple[str, ...], candor: Installation) -> None:
    result = candor.call("event", "list", *arguments)
    assert (result.code, result.out) == (2, "")


@pytest.mark.parametrize("beginning", [6, 7, 8, 32])
def test_an_id_may_be_cut(candor: Installation, beginning: int) -> None:
    copies = candor.prepare(a_mail_that_was_read)
    message = copies[JOE].message.hex()
    word = message[:beginning].upper()
    assert candor.call("message", "show", word, "--json").json["id"] == message
    assert candor.call("report", "message", word, "--json").json["id"] == message
    assert len(candor.call("event", "list", "--message", word, "--json").lines) == 2


def test_a_beginning_of_several_ids_is_none(candor: Installation) -> None:
    async def alike(domain: Domain) -> None:
        for number in range(2):
            await record(domain.database, a_message(id=bytes.fromhex(f"abcdef{number}".ljust(32, "0"))))

    candor.prepare(alike)
    for command in (("message", "show"), ("report", "message"), ("event", "list", "--message")):
        result = candor.call(*command, "abcdef")
        assert (result.code, result.out) == (2, "")
        assert "more than one message begins with abcdef" in result.err
    assert candor.call("message", "show", "abcdef1").code == 0


def test_what_stayed_is_told_with_its_reason_in_words(candor: Installation) -> None:
    async def kept(domain: Domain) -> None:
        rows = (
            Kept("1.2", "unsubscribe", "shop.example", 3),
            Kept("1.3", "what-a-later-release-says", "", 1),
            Kept("", "", "", 40),
        )
        message = a_message(untouched="signed-dkim", kept=rows)
        await record(domain.database, message, a_delivery(1, mode=Mode.UNTRACKED))

    candor.prepare(kept)
    text = " ".join(candor.call("message", "show", id_of(1).hex()).out.split())
    for words in (
        "sent as it came: signed-dkim. The message carries a DKIM or ARC signature",
        "shop.example │ 1.2 │ 3 │ unsubscribe: The link looks like one for unsubscribing or for preferences.",
        "– │ 1.3 │ 1 │ what-a-later-release-says │",
        "… and 40 more that stayed",
    ):
        assert words in text
    found = candor.call("message", "show", id_of(1).hex(), "--json").json
    assert found["untouched_explanation"].startswith("The message carries")
    assert found["kept"][0] == {
        "part": "1.2",
        "where": "shop.example",
        "reason": "unsubscribe",
        "count": 3,
        "explanation": "The link looks like one for unsubscribing or for preferences.",
    }
    assert (len(found["kept"]), found["kept_more"]) == (2, 40)


# --- reports ---


def test_a_report_says_what_each_number_is_a_share_of(candor: Installation) -> None:
    copies = candor.prepare(a_mail_that_was_read)
    found = candor.call("report", "message", copies[JOE].message.hex(), "--json").json
    assert (found["delivered"], found["trackable_delivered"]) == (3, 1)
    assert found["not_trackable"] == {"denied": 1, "anonymous: granted+do-not-track": 1}
    opened = found["identified"]["opened"]
    assert (opened["unique"], opened["total"], opened["machines"], opened["rate"]) == (1, 1, 0, 1.0)
    assert [(one["number"], one["unique"], one["total"]) for one in found["links"]] == [(1, 0, 0), (2, 1, 1)]
    text = candor.call("report", "message", copies[JOE].message.hex()).out
    for word in ("Apples are here", "of 1", "100.0%", "denied", URLS[1]):
        assert word in text


# --- text from mail ---


def steering(text: str) -> set[str]:
    """Characters that do something to a terminal or to the direction of what follows."""
    return {
        one for one in text if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one != "\n"
    }


async def a_hostile_mail(domain: Domain) -> str:
    subject = " ".join(HOSTILE)
    urls = ("https://shop.example/" + "x" * 400,)
    mail = Mail(
        to={JOE: IDENTIFIED}, subject=subject, sender=f"{HOSTILE[0]}@x.example", text=subject, urls=urls
    )
    copy = (await send(domain, mail))[JOE]
    async with serving(domain) as (client, _):
        await client.ask(copy.link(url=urls[0]), headers={"User-Agent": "\x1b[2JFirefox/140.0"})
        await client.ask(copy.link(url=urls[0]))
    return copy.message.hex()


def test_what_came_from_mail_steers_no_terminal(candor: Installation) -> None:
    message = candor.prepare(a_hostile_mail)
    everything: list[Result] = [
        candor.call(*command, *how)
        for command in (
            ("message", "list"),
            ("message", "show", message),
            ("event", "list"),
            ("report", "message", message),
        )
        for how in ((), ("--json",))
    ]
    for result in everything:
        assert result.code == 0
        assert steering(result.out + result.err) == set()
    shown = everything[3].json
    assert shown["subject"] == " ".join(HOSTILE)  # programs get it whole
    assert "[bold red]markup[/]" in everything[2].out  # and people as it was written


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_text_keeps_its_words(text: str) -> None:
    assert steering(printable(text)) == set()
    assert printable("Grüße, 你好 🙂 – a b") == "Grüße, 你好 🙂 – a b"
    assert printable(None) == ""
    assert printable(7) == "7"


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_json_is_ascii_and_reads_back(candor: Installation) -> None:
    async def umlauts(domain: Domain) -> None:
        await send(domain, Mail(to={"jö@bücher.example": IDENTIFIED}, subject="Grüße 🙂"))

    candor.prepare(umlauts)
    found = candor.call("message", "list", "--json")
    assert found.out.isascii()
    assert json.loads(found.out)[0]["subject"] == "Grüße 🙂"
