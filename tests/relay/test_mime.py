"""The scanner of header blocks and parts, against hand-made cases and Python's own parser."""

from __future__ import annotations

import email
import email.policy
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.mail import corpus, crlf

from relay.mime import MAX_PARTS, Part, TooManyPartsError, parts, read_header
from relay.reasons import Reason

HEADERS = [
    (b"A: 1\r\nB: 2\r\n\r\nbody", [("a", b"A: 1\r\n"), ("b", b"B: 2\r\n")], 14, False),
    (b"A: 1\r\n\t2\r\nB:3\r\n\r\n", [("a", b"A: 1\r\n\t2\r\n"), ("b", b"B:3\r\n")], 17, False),
    (b"A : 1\r\n\r\n", [("a", b"A : 1\r\n")], 9, True),
    (b"A: 1\n\nbody", [("a", b"A: 1\n")], 6, False),
    (b"A: 1\n\r\nbody", [("a", b"A: 1\n")], 7, False),
    (b"\r\nbody", [], 2, False),
    (b"\nbody", [], 1, False),
    (b"A: 1", [("a", b"A: 1")], None, False),
    (b"A: 1\r\n", [("a", b"A: 1\r\n")], None, False),
    (b"", [], None, False),
    (b"A:\r\n \r\nB: 1\r\n\r\n", [("a", b"A:\r\n \r\n"), ("b", b"B: 1\r\n")], 15, False),
    (b"From me today\r\nA: 1\r\n\r\n", [("a", b"A: 1\r\n")], 23, False),
    (b"A: 1\r\nFrom me\r\n\r\n", [("a", b"A: 1\r\n")], 17, True),
    (b"A: 1\r\nno field\r\nB: 2\r\n\r\n", [("a", b"A: 1\r\n"), ("b", b"B: 2\r\n")], 24, True),
    (b" A: 1\r\n\r\n", [], 9, True),
    (b"A: 1\rB: 2\r\n\r\n", [("a", b"A: 1\rB: 2\r\n")], 13, True),
    (b"A\xe9: 1\r\n\r\n", [], 9, True),
    (b": 1\r\n\r\n", [], 7, True),
]


@pytest.mark.parametrize(("data", "fields", "body", "malformed"), HEADERS)
def test_a_header_block_is_found_to_the_byte(
    data: bytes, fields: list[tuple[str, bytes]], body: int | None, malformed: bool
) -> None:
    header = read_header(data)
    assert [(field.name, data[field.start : field.end]) for field in header.fields] == fields
    assert header.body == body
    assert header.malformed is malformed


def test_values_are_unfolded() -> None:
    header = read_header(b"A: one\r\n\ttwo\r\n  three \r\na:4\r\n\r\n")
    assert header.values("a") == ["one\ttwo  three", "4"]
    assert header.raw(header.fields[0]) == b" one\r\n\ttwo\r\n  three "


def leaves(data: bytes) -> list[Part]:
    return list(parts(data, read_header(data)))


def reasons(data: bytes) -> list[tuple[str, str, Reason | None]]:
    return [(part.number, part.content_type, part.reason) for part in leaves(data)]


def test_a_message_without_a_type_is_plain_text() -> None:
    assert reasons(b"A: 1\r\n\r\nx") == [("1", "text/plain", None)]


def test_parts_have_exact_ranges() -> None:
    data = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n--b \r\n\r\none\r\n\r\n--b\r\n'
        b"Content-Type: text/html\r\n\r\ntwo\r\n--bb\r\n--b--x\r\n--b-- \t\r\nepilogue\r\n"
        b"--b\r\n\r\nthree\r\n"
    )
    assert [data[part.body : part.end] for part in leaves(data)] == [b"one\r\n", b"two\r\n--bb\r\n--b--x"]


@pytest.mark.parametrize(
    ("body", "contents"),
    [
        (b"--b\r\n\r\nx", [b"x"]),
        (b"--b\r\n\r\nx\r\n--b", [b"x", b""]),
        (b"--b\r\n\r\nx\n--b--", [b"x"]),
        (b"--b\r\n\r\n--b--", [b""]),
        (b"--b\r\n--b--", [b""]),
        (b"x--b\r\n\r\nx\r\n--b--", []),
        (b"--b--\r\n--b\r\n\r\nx", []),
        (b"no delimiter", []),
    ],
)
def test_odd_multiparts_are_read_as_far_as_they_go(body: bytes, contents: list[bytes]) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body
    found = [data[p.body : p.end] for p in leaves(data) if p.reason is not Reason.MALFORMED_MULTIPART]
    assert found == contents


ROOTS = [
    ("Content-Type: text/html", "text/html", None),
    ("CONTENT-TYPE: TEXT/HTML; charset=utf-8", "text/html", None),
    ("Content-Type: text/html (a comment); charset=x", "text/html", None),
    ("Content-Type:\r\n text/html;\r\n\tcharset=utf-8", "text/html", None),
    ("Content-Type: html", "", Reason.MALFORMED_TYPE),
    ("Content-Type: text/html\r\nContent-Type: text/plain", "", Reason.MALFORMED_TYPE),
    ("Content-Type: text/html; charset=a; charset=b", "", Reason.MALFORMED_TYPE),
    ("Content-Type: text/html; charset*=utf-8''x", "", Reason.MALFORMED_TYPE),
    ('Content-Type: multipart/mixed; boundary=b"', "", Reason.MALFORMED_TYPE),
    ('Content-Type: multipart/mixed; boundary="b"d', "", Reason.MALFORMED_TYPE),
    ('Content-Type: multipart/mixed; boundary="b""', "", Reason.MALFORMED_TYPE),
    ('Content-Type: multipart/mixed; > boundary="b"', "", Reason.MALFORMED_TYPE),
    ("Content-Type: multipart/mixed; boundary=b charset=x", "", Reason.MALFORMED_TYPE),
    ("Content-Type: multipart/mixed; boundary=b (a comment)", "", Reason.MALFORMED_TYPE),
    ("Content-Type: text/html; charset = utf-8 ; odd ;;", "text/html", None),
    ("Content-Type: text/html\r\nContent-Disposition: attachment", "text/html", Reason.ATTACHMENT),
    ("Content-Type: text/html\r\nContent-Disposition: inline; filename=a.html", "text/html", None),
    ("Content-Type: text/html\r\nContent-Disposition: odd", "text/html", Reason.ATTACHMENT),
    ("Content-Type: text/calendar", "text/calendar", Reason.CALENDAR),
    ("Content-Type: text/x-amp-html", "text/x-amp-html", Reason.AMP),
    ("Content-Type: application/pkcs7-mime", "application/pkcs7-mime", Reason.SMIME),
    ("Content-Type: multipart/signed; boundary=b", "multipart/signed", Reason.SIGNED),
    ("Content-Type: multipart/encrypted; boundary=b", "multipart/encrypted", Reason.ENCRYPTED),
    ("Content-Type: multipart/report; boundary=b", "multipart/report", Reason.REPORT),
    ("Content-Type: multipart/digest; boundary=b", "multipart/digest", Reason.DIGEST),
    ("Content-Type: multipart/odd; boundary=b", "multipart/odd", Reason.UNKNOWN_MULTIPART),
    ("Content-Type: multipart/mixed", "multipart/mixed", Reason.MALFORMED_MULTIPART),
    ("Content-Type: multipart/mixed; boundary=c", "multipart/mixed", Reason.MALFORMED_MULTIPART),
    (
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64",
        "multipart/mixed",
        Reason.MALFORMED_MULTIPART,
    ),
    ("Content-Type: message/rfc822", "message/rfc822", Reason.ATTACHED_MESSAGE),
]


@pytest.mark.parametrize(("header", "kind", "reason"), ROOTS)
def test_a_root_is_a_body_or_says_why_not(header: str, kind: str, reason: Reason | None) -> None:
    data = header.encode() + b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    assert reasons(data) == [("1", kind, reason)]


MULTIPARTS = [
    ("mixed", "", ["", "Content-Disposition: attachment"], [None, Reason.ATTACHMENT]),
    ("mixed", "", ["", "Content-Disposition: inline; filename=x"], [None, Reason.ATTACHMENT]),
    ("alternative", "", ["", "Content-Disposition: inline; filename=x"], [None, None]),
    ("related", "", ["", ""], [None, Reason.NOT_ROOT]),
    ("related", '; start="<2>"', ["Content-ID: <1>", "Content-ID: <2>"], [Reason.NOT_ROOT, None]),
    ("related", '; start="<3>"', ["Content-ID: <1>", "Content-ID: <2>"], [Reason.NOT_ROOT] * 2),
]


@pytest.mark.parametrize(("subtype", "more", "headers", "expected"), MULTIPARTS)
def test_parts_are_bodies_by_their_place(
    subtype: str, more: str, headers: list[str], expected: list[Reason | None]
) -> None:
    data = f"Content-Type: multipart/{subtype}; boundary=b{more}\r\n\r\n".encode()
    for header in headers:
        fields = ["Content-Type: text/html", *([header] if header else [])]
        data += ("--b\r\n" + "\r\n".join(fields) + "\r\n\r\nx\r\n").encode()
    assert [part.reason for part in leaves(data + b"--b--")] == expected


def test_a_part_without_an_empty_line_is_left_alone() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n--b--\r\n"
    assert [part.reason for part in leaves(data)] == [Reason.NO_BLANK_LINE]


def test_deep_nesting_ends_early() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b0\r\n\r\n"
    for depth in range(1000):
        data += f"--b{depth}\r\nContent-Type: multipart/mixed; boundary=b{depth + 1}\r\n\r\n".encode()
    assert [part.reason for part in leaves(data)] == [Reason.TOO_DEEP]


def test_too_many_parts_are_refused() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    assert len(leaves(head + b"--b\r\n\r\n\r\n" * (MAX_PARTS - 1))) == MAX_PARTS - 1
    with pytest.raises(TooManyPartsError):
        leaves(head + b"--b\r\n\r\n\r\n" * 10_000)
    with pytest.raises(TooManyPartsError):
        leaves(head + b"--b x\r\n" * 100_000)


KINDS = ["text/plain", "text/html", "image/png", "application/pdf"]


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> bytes:
    """A part with its header: a leaf, or a multipart with a boundary that may begin another's."""
    eol = draw(st.sampled_from([b"\r\n", b"\r\n", b"\n"]))
    if depth < 3 and draw(st.integers(0, 2)) == 0:
        boundary = draw(st.sampled_from([b"b", b"bb", b"b-", b"a b", b"=_x(1)"])) + str(depth).encode()
        subtype = draw(st.sampled_from([b"mixed", b"alternative"]))
        children = draw(st.lists(trees(depth=depth + 1), min_size=1, max_size=3))
        preamble = draw(st.sampled_from([b"", b"preamble" + eol, eol, b"--other" + eol]))
        padding = draw(st.sampled_from([b"", b" ", b"\t"]))
        body = b"".join(b"--" + boundary + padding + eol + child + eol for child in children)
        closing = draw(st.sampled_from([b"--" + boundary + b"--" + eol, b"--" + boundary + b"--", b""]))
        head = b"Content-Type: multipart/" + subtype + b'; boundary="' + boundary + b'"' + eol + eol
        return head + preamble + body + closing
    kind = draw(st.sampled_from(KINDS)).encode()
    content = draw(
        st.lists(
            st.sampled_from([b"x", b"--", b"--b", b"\r\n", b"\n", b"-", b" ", b"\xff", b"b0"]), max_size=8
        )
    )
    return b"Content-Type: " + kind + eol + eol + b"".join(content)


@given(trees())
@settings(max_examples=examples(120), deadline=None)
def test_leaves_are_those_that_pythons_parser_sees(data: bytes) -> None:
    message = email.message_from_bytes(data, policy=email.policy.compat32)
    theirs = [
        (part.get_content_type(), str(part._payload).encode("ascii", "surrogateescape"))  # type: ignore[attr-defined]
        for part in message.walk()
        if not part.is_multipart() and part.get_content_maintype() != "multipart"
    ]
    ours = [(p.content_type, data[p.body : p.end]) for p in leaves(data) if p.reason is None]
    if len(ours) != len(theirs):
        return  # a contradiction that Python repairs; such parts are left alone
    assert ours[:-1] == theirs[:-1]
    if ours:
        # Python takes a line end off the last part although no delimiter owns it
        assert theirs[-1] in (ours[-1], (ours[-1][0], without_line_end(ours[-1][1])))


def without_line_end(content: bytes) -> bytes:
    return content.removesuffix(b"\n").removesuffix(b"\r")


@given(st.binary(max_size=300), st.integers(0, 2**32))
@settings(max_examples=examples(120), deadline=None)
def test_no_bytes_make_the_scanner_fail(noise: bytes, seed: int) -> None:
    base = (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\n\r\ny\r\n--b--\r\n"
    )
    at = random.Random(seed).randrange(len(base))
    for data in (noise, base[:at] + noise + base[at:], base[:at] + base[at + len(noise) :]):
        for part in leaves(data):
            assert 0 <= part.body <= part.end <= len(data)


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_real_mail_has_the_leaves_that_pythons_parser_sees() -> None:
    seen = 0
    for file in corpus("eml"):
        data = crlf(file.read_bytes())
        message = email.message_from_bytes(data, policy=email.policy.compat32)
        if read_header(data).malformed or message.defects:
            continue
        contents = {
            str(part._payload).encode("ascii", "surrogateescape")  # type: ignore[attr-defined]
            for part in message.walk()
            if not part.is_multipart()
        }
        for part in leaves(data):
            if part.content_type.startswith("text/") and part.reason is None:
                content = data[part.body : part.end]
                assert content in contents or without_line_end(content) in contents, file.name
                seen += 1
    assert seen > 300
