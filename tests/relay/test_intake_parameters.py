"""The parameters of MAIL and RCPT: values kept as encoded, everything doubtful refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.intake.parameters import (
    MailParameters,
    ParameterError,
    RcptParameters,
    mail_parameters,
    rcpt_parameters,
)
from relay.replies import Reply

MAIL = [
    ("", MailParameters()),
    ("SIZE=1000", MailParameters(size=1000)),
    ("size=0", MailParameters(size=0)),
    ("BODY=7BIT", MailParameters()),
    ("BODY=8bitmime", MailParameters(eight_bit=True)),
    ("SMTPUTF8", MailParameters(smtputf8=True)),
    ("RET=hdrs", MailParameters(ret="HDRS")),
    ("RET=FULL ENVID=abc+3Dxyz", MailParameters(ret="FULL", envid="abc+3Dxyz")),
    ("ENVID=MixedCase+20kept", MailParameters(envid="MixedCase+20kept")),
    (f"ENVID={'e' * 100}", MailParameters(envid="e" * 100)),
    ("AUTH=<>", MailParameters()),
    ("AUTH=someone@example.org", MailParameters()),
    (
        "SIZE=1  BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x",
        MailParameters(size=1, eight_bit=True, smtputf8=True, ret="FULL", envid="x"),
    ),
]

BAD_MAIL = [
    "SIZE",
    "SIZE=",
    "SIZE=-1",
    "SIZE=1k",
    "SIZE=١",
    "SIZE=123456789012345678901",
    "SIZE=1 SIZE=2",
    "BODY",
    "BODY=BINARYMIME",
    "BODY=7BIT BODY=8BITMIME",
    "SMTPUTF8=yes",
    "SMTPUTF8 SMTPUTF8",
    "RET",
    "RET=BODY",
    "RET=FULL ret=hdrs",
    "ENVID",
    "ENVID=",
    "ENVID=a=b",
    "ENVID=+",
    "ENVID=+4",
    "ENVID=+4g",
    "ENVID=+3d",
    "ENVID=line+0D+0Abreak",
    "ENVID=nul+00",
    "ENVID=del+7F",
    "ENVID=high+E4",
    "ENVID=ä",
    f"ENVID={'e' * 101}",
    "AUTH",
    "AUTH=+zz",
    "=1",
    "-X=1",
    "!",
]

RCPT = [
    ("", RcptParameters()),
    ("NOTIFY=NEVER", RcptParameters(notify=("NEVER",))),
    ("notify=success,failure,delay", RcptParameters(notify=("SUCCESS", "FAILURE", "DELAY"))),
    ("NOTIFY=FAILURE", RcptParameters(notify=("FAILURE",))),
    ("ORCPT=rfc822;Bob@Example.org", RcptParameters(orcpt="rfc822;Bob@Example.org")),
    ("ORCPT=rfc822;a+2Bb@example.org", RcptParameters(orcpt="rfc822;a+2Bb@example.org")),
    ("ORCPT=x400;/c+3Dus", RcptParameters(orcpt="x400;/c+3Dus")),
    ("ORCPT=utf-8;a\\x{E4}b@example.org", RcptParameters(orcpt="utf-8;a\\x{E4}b@example.org")),
    (
        "NOTIFY=DELAY ORCPT=rfc822;a@b.example",
        RcptParameters(notify=("DELAY",), orcpt="rfc822;a@b.example"),
    ),
]

BAD_RCPT = [
    "NOTIFY",
    "NOTIFY=",
    "NOTIFY=NEVER,SUCCESS",
    "NOTIFY=SUCCESS,NEVER",
    "NOTIFY=SUCCESS,SUCCESS",
    "NOTIFY=SUCCESS,",
    "NOTIFY=ALWAYS",
    "NOTIFY=NEVER NOTIFY=NEVER",
    "ORCPT",
    "ORCPT=rfc822",
    "ORCPT=;a@b.example",
    "ORCPT=rfc822;",
    "ORCPT=rfc 822;a",
    "ORCPT=x400;/c=us",
    "ORCPT=rfc822;+0A",
    "ORCPT=rfc822;ä@example.org",
    "ORCPT=(c);a@b.example",
    f"ORCPT=rfc822;{'o' * 500}",
    "ORCPT=rfc822;a@b.example ORCPT=rfc822;a@b.example",
]


@pytest.mark.parametrize(("text", "expected"), MAIL)
def test_parameters_of_mail(text: str, expected: MailParameters) -> None:
    assert mail_parameters(text) == expected


@pytest.mark.parametrize("text", BAD_MAIL)
def test_bad_parameters_of_mail(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        mail_parameters(text)
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (501, "5.5.4")


@pytest.mark.parametrize(("text", "expected"), RCPT)
def test_parameters_of_rcpt(text: str, expected: RcptParameters) -> None:
    assert rcpt_parameters(text, smtputf8=False) == expected


@pytest.mark.parametrize("text", BAD_RCPT)
def test_bad_parameters_of_rcpt(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        rcpt_parameters(text, smtputf8=False)
    assert caught.value.reply.code in (501, 555)
    assert caught.value.reply.enhanced == "5.5.4"


def test_a_non_ascii_original_recipient_needs_smtputf8() -> None:
    text = "ORCPT=utf-8;jörg@example.org"
    assert rcpt_parameters(text, smtputf8=True).orcpt == "utf-8;jörg@example.org"
    with pytest.raises(ParameterError):
        rcpt_parameters(text, smtputf8=False)


@pytest.mark.parametrize("text", ["NOTIFY=NEVER", "FOO", "FOO=BAR", "BY=100;R", "HOLDFOR=1"])
def test_unknown_parameters_of_mail(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        mail_parameters(text)
    assert caught.value.reply.code == 555


def refusal(read: Callable[[str], object], text: str) -> Reply | None:
    try:
        read(text)
    except ParameterError as error:
        return error.reply
    return None


@given(st.text(max_size=120))
def test_any_text_is_parameters_or_the_one_error_and_is_never_quoted_back(text: str) -> None:
    for attempt in (text, f"ENVID={text}", f"ORCPT=rfc822;{text}", f"NOTIFY={text}"):
        for read in (mail_parameters, lambda t: rcpt_parameters(t, smtputf8=True)):
            reply = refusal(read, attempt)
            assert reply is None or reply.code in (501, 555)
            assert str(reply).isascii()


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_any_printable_text_can_be_an_envelope_id(text: str) -> None:
    xtext = "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in text)
    assert mail_parameters(f"ENVID={xtext}").envid == xtext
