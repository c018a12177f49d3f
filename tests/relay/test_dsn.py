from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from support.submissions import HTML, NOW, outcome, submission

from relay.dsn import Action, Failure, Told, failure_report
from relay.dsn import report as report_of
from relay.outcome import Status
from relay.submission import Recipient, Submission

BOUNCE = outcome(Status.BOUNCED, 550, "1.1", "no such user\nnor ever was")


def report(message: Submission, *failures: Failure) -> Submission:
    made = failure_report(message, failures, hostname="relay.example", now=NOW)
    assert made is not None
    return made


def parsed(made: Submission) -> EmailMessage:
    return message_from_bytes(made.data, policy=policy.SMTP)  # type: ignore[return-value]


def status_blocks(made: Submission) -> list[Any]:
    _, status, _ = parsed(made).iter_parts()
    return list(status.iter_parts())


def test_a_report_is_what_rfc_3464_asks_for() -> None:
    recipient = Recipient(address="Bob@Example.org", orcpt="rfc822;bob@example.org")
    made = report(submission(recipient, envid="QQ314159"), Failure(recipient=recipient, outcome=BOUNCE))
    message = parsed(made)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert str(message["To"]).strip("<>") == "news@shop.example"
    assert message["Auto-Submitted"] == "auto-replied"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    about, block = status_blocks(made)
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert about["Reporting-MTA"] == "dns; relay.example"
    assert block["Final-Recipient"] == "rfc822; Bob@Example.org"
    assert block["Original-Recipient"] == "rfc822;bob@example.org"
    assert (block["Action"], block["Status"]) == ("failed", "5.1.1")
    assert block["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user nor ever was"


def test_a_report_goes_to_the_sender_from_nobody_and_asks_for_none_itself() -> None:
    recipient = Recipient(address="bob@example.org")
    made = report(submission(recipient), Failure(recipient=recipient, outcome=BOUNCE))
    assert made.sender == ""
    assert made.recipients == (Recipient(address="news@shop.example", notify=("NEVER",)),)


def test_what_is_not_ascii_says_so_and_so_does_the_whole() -> None:
    bob, joe = Recipient(address="bob@example.org"), Recipient(address="jö@example.org")
    for message, recipient, labels in (
        (submission(bob, ret="FULL", data=HTML), bob, ["8bit", None, None]),
        (submission(bob, ret="FULL", data=HTML + "grün\r\n".encode()), bob, ["8bit", None, "8bit"]),
        (submission(joe, smtputf8=True), joe, ["8bit", "8bit", None]),
    ):
        made = report(message, Failure(recipient=recipient, outcome=BOUNCE))
        whole = parsed(made)
        assert whole["Content-Transfer-Encoding"] == "8bit"
        assert [part["Content-Transfer-Encoding"] for part in whole.iter_parts()] == labels


@pytest.mark.parametrize(("ret", "whole"), [(None, False), ("HDRS", False), ("FULL", True)])
def test_the_original_comes_back_as_it_came(ret: str | None, whole: bool) -> None:
    recipient = Recipient(address="bob@example.org")
    made = report(submission(recipient, ret=ret), Failure(recipient=recipient, outcome=BOUNCE))
    assert (HTML in made.data) == whole
    assert HTML.partition(b"\r\n\r\n")[0] in made.data


@pytest.mark.parametrize(
    ("sender", "notify", "owed"),
    [
        ("news@shop.example", (), True),
        ("news@shop.example", ("FAILURE",), True),
        ("news@shop.example", ("SUCCESS", "FAILURE"), True),
        ("news@shop.example", ("NEVER",), False),
        ("news@shop.example", ("SUCCESS", "DELAY"), False),
        ("", (), False),
    ],
)
def test_who_is_owed_a_report(sender: str, notify: tuple[str, ...], owed: bool) -> None:
    recipient = Recipient(address="bob@example.org", notify=notify)
    message = submission(recipient, sender=sender)
    made = failure_report(
        message, [Failure(recipient=recipient, outcome=BOUNCE)], hostname="r.example", now=NOW
    )
    assert (made is not None) == owed


def test_only_those_who_are_owed_one_stand_in_it() -> None:
    quiet, loud = Recipient(address="q@example.org", notify=("NEVER",)), Recipient(address="l@example.org")
    made = report(submission(quiet, loud), *(Failure(recipient=one, outcome=BOUNCE) for one in (quiet, loud)))
    assert b"l@example.org" in made.data
    assert b"q@example.org" not in made.data


def test_what_expired_says_so() -> None:
    recipient = Recipient(address="bob@example.org")
    late = outcome(Status.BOUNCED, 451, "4.1", "busy")
    made = report(submission(recipient), Failure(recipient=recipient, outcome=late, expired=True))
    assert status_blocks(made)[1]["Status"] == "4.4.7"


def test_no_line_of_a_report_is_too_long_for_smtp_whatever_upstream_said() -> None:
    recipient = Recipient(address="bob@example.org")
    wordy = outcome(Status.BOUNCED, 550, "1.1", "word " * 2000)
    made = report(submission(recipient), Failure(recipient=recipient, outcome=wordy))
    assert max(map(len, made.data.split(b"\r\n"))) <= 998
    assert b"\n" not in made.data.replace(b"\r\n", b"")


@pytest.mark.parametrize("letter", ["x", "ü"])
def test_no_line_of_a_report_is_too_long_for_smtp_whatever_the_addresses(letter: str) -> None:
    long = f"{letter * 1500}@example.org"
    recipient = Recipient(address=long, orcpt="rfc822;" + "y" * 1500)
    wordy = outcome(Status.BOUNCED, 550, "1.1", "ü" * 2000)
    message = submission(recipient, sender=long, envid="e" * 1500, smtputf8=letter == "ü")
    made = report(message, Failure(recipient=recipient, outcome=wordy))
    assert max(map(len, made.data.split(b"\r\n"))) <= 998
    assert letter * 400 in parsed(made).get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert f"{letter * 400}".encode() in made.data.partition(b"Final-Recipient: ")[2]
    assert made.recipients[0].address == long


@pytest.mark.parametrize(
    ("encoded", "shown"),
    [
        ("QQ314159", "QQ314159"),
        ("a+2Bb+3Dc", "a+b=c"),
        ("a+0D+0AX-Evil:+20yes", "a+0D+0AX-Evil:+20yes"),
        ("+C3+BC", "+C3+BC"),
    ],
)
def test_what_the_sender_encoded_is_shown_decoded_where_it_is_text(encoded: str, shown: str) -> None:
    recipient = Recipient(address="bob@example.org", orcpt=f"rfc822;{encoded}")
    made = report(submission(recipient, envid=encoded), Failure(recipient=recipient, outcome=BOUNCE))
    about, block = status_blocks(made)
    assert about["Original-Envelope-Id"] == shown
    assert block["Original-Recipient"] == f"rfc822;{shown}"
    assert about["X-Evil"] is None


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize(
    ("notify", "owed"),
    [
        ((), {Action.FAILED, Action.DELAYED}),
        (("NEVER",), set()),
        (("FAILURE",), {Action.FAILED}),
        (("DELAY",), {Action.DELAYED}),
        (("SUCCESS",), {Action.RELAYED}),
        (("SUCCESS", "FAILURE", "DELAY"), set(Action)),
    ],
)
def test_each_kind_of_report_is_owed_to_who_asked_for_it(
    action: Action, notify: tuple[str, ...], owed: set[Action]
) -> None:
    recipient = Recipient(address="bob@example.org", notify=notify)
    told = [Told(recipient=recipient, outcome=BOUNCE)]
    for sender in ("news@shop.example", ""):
        message = submission(recipient, sender=sender, ret="FULL")
        made = report_of(action, message, told, hostname="r.example", now=NOW)
        assert (made is not None) == (action in owed and bool(sender))
        if made is not None:
            assert status_blocks(made)[1]["Action"] == action
            assert (HTML in made.data) == (action is Action.FAILED), "RFC 3461 4.3"
