from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs
from support.submissions import HTML, submission

from relay.compiled import BESIDE_THE_LOOP, Compiled, Compiler, normal_form
from relay.rewrite import Rules
from relay.submission import Client, Recipient, Submission
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


@pytest.mark.parametrize(
    "field", ["X-Candor-Campaign: =?utf-7?Q?+2AA-?=", "From: =?utf-7?Q?+2AA-?= <a@b.example>"]
)
def test_half_a_character_in_a_header_makes_no_message_undeliverable(compiler: Compiler, field: str) -> None:
    compiled = compiler.compile(submission("a@example.org", data=field.encode() + b"\r\n" + HTML))
    compiled.mailing.name.encode()
    assert compiled.untouchable is None


def test_a_message_that_cannot_be_compiled_is_passed_on_untouched(compiler: Compiler) -> None:
    data = b"X-Candor-Override: yes\r\n" + HTML.replace(b"From: ", b"Reply-To: ")
    with capture_logs() as said:
        compiled = compiler.compile(submission("a@example.org", sender="\ud800@shop.example", data=data))
    assert [line["event"] for line in said] == ["passed-on-not-compiled"]
    assert compiled.untouchable == "internal-error"
    assert not compiled.controls.override
    assert compiled.plan.base() == data.partition(b"\r\n")[2]
    assert (compiled.mailing.name, compiled.mailing.sender) == ("not understood 2026-05-01", "")


def test_the_header_block_is_read_once(compiler: Compiler, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(data: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr("relay.rewrite.read_header", no_more)
    assert compiler.compile(submission("a@example.org")).untouchable is None


@pytest.mark.parametrize(("octets", "beside"), [(0, False), (BESIDE_THE_LOOP, True)])
async def test_what_takes_long_is_compiled_beside_the_loop(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, octets: int, beside: bool
) -> None:
    threads: list[object] = []
    compile_it = compiler.compile

    def noted(message: Submission) -> Compiled:
        threads.append(threading.current_thread())
        return compile_it(message)

    monkeypatch.setattr(compiler, "compile", noted)
    message = submission("a@example.org", data=HTML + b" " * octets)
    assert (await compiler.compiled(message)).plan.links
    assert (threads[0] is not threading.current_thread()) == beside


def test_a_users_own_tags_stand_before_those_of_the_message(compiler: Compiler) -> None:
    data = b"X-Candor-Tag: spring\r\nX-Candor-Tag: eu\r\n" + HTML
    client = Client(address="127.0.0.1", user="shop", tags=("shop", "eu"))
    message = compiler.compile(submission("a@example.org", data=data, client=client))
    assert message.controls.options.tags == ("shop", "eu", "spring")
