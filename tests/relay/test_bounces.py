"""Reports read: what well-known writers say, what is no report, and that nothing in a message is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import JOE, SAMPLES, Sample, complaint, crlf, failure, report, status

from relay.bounces import Action, Kind, concerns_mailbox, read
from relay.bounces.fields import blocks


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_what_well_known_writers_say_is_understood(sample: Sample) -> None:
    found = read(sample.data)
    assert found.kind is sample.kind
    if sample.action is None:
        assert found.fates == ()
        return
    (fate,) = found.fates
    assert (fate.action, fate.status, fate.code, fate.host) == (
        sample.action,
        sample.status,
        sample.code,
        sample.host,
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_line_ends_do_not_matter(sample: Sample) -> None:
    assert read(sample.data.replace(b"\r\n", b"\n")) == read(sample.data)


def test_a_folded_diagnostic_is_one_line_and_names_whom_it_concerns() -> None:
    (fate,) = read(SAMPLES[0].data).fates
    assert (
        fate.text.endswith("no such user in virtual mailbox table") or "User unknown in virtual" in fate.text
    )
    assert fate.recipients == {JOE}


@pytest.mark.parametrize(
    "text",
    [
        "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n\n"
        "Final-Recipient: rfc822; b@x.example\nAction: delayed\nStatus: 4.2.2\n",
        "Reporting-MTA: dns; mx.example\n\n\n \n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n\t\n"
        "\nFinal-Recipient: rfc822; b@x.example\nAction: delayed\nStatus: 4.2.2",
        "Reporting-MTA: dns; mx.example\nFinal-Recipient: rfc822; a@x.example\nAction: failed\nStatus: 5.1.1\n"
        "Final-Recipient: rfc822; b@x.example\nAction: delayed\nStatus: 4.2.2\n",
    ],
    ids=["as the standard says", "more empty lines than it says", "none"],
)
def test_each_recipient_has_a_fate_of_its_own(text: str) -> None:
    fates = read(report(("message/delivery-status", text))).fates
    assert [(fate.action, set(fate.recipients), fate.status) for fate in fates] == [
        (Action.FAILED, {"a@x.example"}, "5.1.1"),
        (Action.DELAYED, {"b@x.example"}, "4.2.2"),
    ]


@pytest.mark.parametrize("outer", ["multipart/mixed", "multipart/report; report-type=delivery-status"])
def test_a_report_within_what_a_list_put_around_it_is_found(outer: str) -> None:
    inner = failure().decode().partition("Content-Type: ")[2]
    whole = f"MIME-Version: 1.0\nContent-Type: {outer}; boundary=o\n\n--o\nContent-Type: {inner}\n--o--\n"
    assert read(crlf(whole)).fates[0].status == "5.1.1"


@pytest.mark.parametrize("type_", ["abuse", "Fraud", "not-spam", "other"])
def test_a_complaint_says_what_it_is_and_what_its_original_was_sent_from(type_: str) -> None:
    found = read(complaint("B+x@bounces.example", type_))
    assert (found.kind, found.feedback, found.reporter) == (
        Kind.FEEDBACK,
        type_.lower(),
        "fbl.people.example",
    )
    assert found.return_paths == ("b+x@bounces.example",)
    assert read(complaint("b+x@bounces.example", redacted=True)).return_paths == ("b+x@bounces.example",)


@pytest.mark.parametrize(
    ("code", "concerns"),
    [
        ("5.1.1", True), ("5.1.2", True), ("5.1.3", True), ("5.1.6", True), ("5.1.10", True), ("5.2.1", True),
        ("5.1.0", False), ("5.1.4", False), ("5.1.5", False), ("5.1.7", False), ("5.1.8", False), ("5.1.9", False),
        ("5.2.0", False), ("5.2.2", False), ("5.2.3", False), ("5.2.4", False), ("5.3.4", False), ("5.4.1", False),
        ("5.4.4", False), ("5.5.0", False), ("5.6.0", False), ("5.7.1", False), ("5.7.26", False), ("5.0.0", False),
        ("4.1.1", False), ("4.2.1", False), ("2.1.1", False), ("", False), ("5.1.100", False),
    ],
)  # fmt: skip
def test_only_codes_that_speak_of_the_mailbox_itself_are_held_against_it(code: str, concerns: bool) -> None:
    assert concerns_mailbox(code) is concerns


# --- hostile ones ---

WORDS = (
    *(
        "Final-Recipient: rfc822; joe@people.example",
        "Action: failed",
        "Action:",
        "Status: 5.1.1",
        "Status: 5.1.1.1.1",
    ),
    *("--=_b", "--=_b--", "--x", " folded", "\t", "", ":", "Content-Type: multipart/report; boundary=x"),
    *("Content-Type: text/plain", "Content-Transfer-Encoding: base64", "Diagnostic-Code: smtp; 550"),
    *("X-Failed-Recipients: ,,", "From: MAILER-DAEMON", "Return-Path: <", "Feedback-Type: abuse"),
)
_LINES = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.text(max_size=12),
    ),
    max_size=12,
).map("\n".join)  # fmt: skip


@given(
    _LINES,
    st.sampled_from(["message/delivery-status", "message/feedback-report", "text/plain", "multipart/mixed"]),
)
def test_no_report_is_an_error(text: str, kind: str) -> None:
    for data in (text.encode("utf-8", "replace"), report((kind, text)).replace(b"\0", b"")):
        found = read(data)
        assert (found.kind is Kind.DELIVERY) == bool(found.fates)
        for fate in found.fates:
            assert "\n" not in fate.text
            assert fate.status == "" or fate.status[0] in "245"


@given(st.binary(max_size=400))
def test_no_octets_are_an_error(data: bytes) -> None:
    assert read(data).kind in Kind


@given(st.sampled_from(SAMPLES), st.integers(0, 2000), st.integers(0, 2000), st.binary(max_size=6))
def test_no_damage_is_an_error(sample: Sample, start: int, length: int, put: bytes) -> None:
    data = sample.data
    assert read(data[:start] + put + data[start + length :]).kind in Kind


@pytest.mark.parametrize(
    "data",
    [
        report(
            (
                "message/delivery-status",
                status("Final-Recipient: rfc822; a@x.example\nAction: failed\n\n") * 20_000,
            )
        ),
        report(("message/delivery-status", "Final-Recipient: rfc822; a@x.example\n" * 30_000)),
        report(("message/delivery-status", "Diagnostic-Code: smtp; 550\n" + " 5.1.1.1.1\n" * 60_000)),
        report(("message/delivery-status", "".join(f"X-{n}: y\n" for n in range(60_000)))),
        report(("message/delivery-status", "Action: " + "(" * 300_000)),
        report(("message/delivery-status", "Status: " + "5." * 300_000)),
        report(*[("message/delivery-status", "x")] * 400),
        report(*[("text/plain", "x")] * 3_000),
        crlf("From: MAILER-DAEMON\n\nundeliverable mail\n" + "-" * 300_000),
        crlf("From: MAILER-DAEMON\n\n" + "this is the mail" * 30_000),
        crlf("From: MAILER-DAEMON\n\nreturned mail " + "5.1." * 100_000),
        crlf("X-Failed-Recipients: " + "," * 500_000 + "\n\n"),
        crlf("".join(f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n' for n in range(2_000))),
        complaint("<" * 300_000),
    ],
    ids=lambda data: f"{len(data)} octets",
)
def test_reading_is_bounded_whatever_is_written(data: bytes) -> None:
    found = read(data)
    assert len(found.fates) <= 100
    assert all(len(fate.text) <= 1000 and len(fate.host) <= 255 for fate in found.fates)
    assert len(found.return_paths) <= 10


def test_of_a_block_no_more_is_kept_than_a_report_needs() -> None:
    (block,) = blocks(b"".join(b"x-%d: y\n" % n for n in range(1_000)))
    assert len(block) == 60
