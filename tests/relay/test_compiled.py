from __future__ import annotations

import pytest
from support.submissions import HTML, submission

from relay.compiled import Compiler, normal_form
from relay.rewrite import Rules
from relay.submission import Client, Recipient
from tracker.consent import Ceiling
from tracker.tokens import KeyRing


@pytest.fixture
def compiler(ring: KeyRing) -> Compiler:
    return Compiler(Rules(), ring, {"shop": Ceiling.ANONYMOUS})


def test_a_campaign_is_a_mailing_whoever_sends_it(compiler: Compiler) -> None:
    data = b"X-Candor-Campaign: spring\r\n" + HTML
    one = compiler.compile(submission("a@example.org", data=data))
    other = compiler.compile(submission("b@example.org", data=data.replace(b"news@", b"info@")))
    assert one.mailing.id == other.mailing.id
    assert (one.mailing.kind, one.mailing.name) == ("campaign", "spring")


def test_without_a_campaign_author_and_day_are_the_mailing(compiler: Compiler) -> None:
    mailing = compiler.compile(submission("a@example.org")).mailing
    assert (mailing.kind, mailing.name, mailing.sender) == (
        "sender-day",
        "news@shop.example 2026-05-01",
        "news@shop.example",
    )


def test_an_envelope_sender_of_its_own_for_each_recipient_does_not_make_mailings_of_one(
    compiler: Compiler,
) -> None:
    one, other = (
        compiler.compile(submission(f"{name}@example.org", sender=f"bounce+{name}=example.org@shop.example"))
        for name in ("a", "b")
    )
    assert one.mailing == other.mailing
    assert "bounce" not in one.mailing.name + one.mailing.sender


@pytest.mark.parametrize(
    ("user", "ceiling"),
    [(None, Ceiling.FULL), ("shop", Ceiling.ANONYMOUS), ("gone", Ceiling.NONE)],
)
def test_whoever_logged_in_has_their_ceiling(compiler: Compiler, user: str | None, ceiling: Ceiling) -> None:
    message = submission("a@example.org", client=Client(address="192.0.2.1", user=user))
    assert compiler.compile(message).ceiling is ceiling


def test_mail_from_nobody_is_never_touched(compiler: Compiler) -> None:
    assert compiler.compile(submission("a@example.org", sender="")).untouchable == "null-sender"


@pytest.mark.parametrize("address", ["postmaster", "a@", "", "@b"])
def test_what_is_no_address_has_no_consent_to_ask_for(address: str) -> None:
    assert normal_form(Recipient(address=address)) is None
