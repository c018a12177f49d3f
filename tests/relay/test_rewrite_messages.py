"""Whole messages: what is a body and what is not, and that everything around bodies stays."""

from __future__ import annotations

import pytest
from support.mail import message, multipart, part
from support.proof import (
    a,
    base,
    prove,
    tracked,
)
from support.verifier import PIXEL_URL, Report, link_url, verify

from relay import rewrite
from relay.reasons import Reason
from relay.rewrite import Rules, compile_message


def _part_of(whole: bytes) -> bytes:
    """A message as a part of another: its type and content."""
    return whole[whole.index(b"Content-Type") :]


UNTOUCHED = [
    (b"", Reason.NO_BODY),
    (b"Subject: x\r\n", Reason.NO_BODY),
    (b"Subject: x\r\n\r\n", Reason.NO_HTML),
    (message("x", subtype="plain"), Reason.NO_HTML),
    (message(" \r\n"), Reason.NOTHING_TO_TRACK),
    (message("<!-- open"), Reason.NOTHING_TO_TRACK),
    (message("<a href=http:>x</a></body><frameset>"), Reason.NOTHING_TO_TRACK),
    (message("<frameset></frameset>"), Reason.NOTHING_TO_TRACK),
    (message("<p>x", header="DKIM-Signature: v=1\r\n"), Reason.SIGNED_DKIM),
    (message("<p>x", header="ARC-Seal: i=1\r\n"), Reason.SIGNED_DKIM),
    (message("<p>x", header="nonsense\r\n"), Reason.MALFORMED_HEADER),
    (message("<p>x", header="Content-Disposition: attachment\r\n"), Reason.NO_HTML),
    (message("<p>x", header="Content-Type: text/html\r\n"), Reason.MALFORMED_TYPE),
    (message("<p>x", header="Content-Transfer-Encoding: 8bit\r\n"), Reason.UNKNOWN_ENCODING),
    *(
        (message("<p>x", encoding=e), Reason.UNKNOWN_ENCODING)
        for e in ("7-bit", "8bits", "hexa", "x-uuencode")
    ),
    (message(b"<p a=b>x").replace(b"8bit", b"quoted-printable"), Reason.BROKEN_ENCODING),
    (message(b"PHA+*").replace(b"8bit", b"base64"), Reason.BROKEN_ENCODING),
    (message(b"PHA").replace(b"8bit", b"base64"), Reason.BROKEN_ENCODING),
    (message(b"PHA+\r\n-- \r\nfooter").replace(b"8bit", b"base64"), Reason.BROKEN_ENCODING),
    # decoders skip a CR inside a line; counted by columns, what is new would land elsewhere
    (message(b"PHA+\rPHA+\r\n").replace(b"8bit", b"base64"), Reason.BROKEN_ENCODING),
    (message(b"<p>x", charset="utf-7"), Reason.UNSUPPORTED_CHARSET),
    (message(b"<p>x", charset="hz-gb-2312"), Reason.UNSUPPORTED_CHARSET),
    (message(b"<p>x", charset="johab"), Reason.UNSUPPORTED_CHARSET),
    (message(b"<p>x", charset="cp500"), Reason.UNSUPPORTED_CHARSET),
    (message(b"<p>\xe4", charset="nobody-knows"), Reason.UNSUPPORTED_CHARSET),
    (message(b"<p>x\x00", charset="utf-8"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b$B!!\x1b(B", charset="us-ascii"), Reason.CHARSET_MISMATCH),
    (message("<p>x".encode("utf-16"), charset="utf-8"), Reason.CHARSET_MISMATCH),
    (message("<p>x", charset="utf-16"), Reason.CHARSET_MISMATCH),
    # plain ASCII under such a label: a pixel in two octets a character would be shown as text
    (message("<p>x", encoding="quoted-printable").replace(b"utf-8", b"utf-16"), Reason.CHARSET_MISMATCH),
    (message(b"<p>", charset="utf-16", encoding="base64"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b$B!!", charset="iso-2022-jp"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b$B!!\r\n\x1b(B", charset="iso-2022-jp"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b<e\x1b(B", charset="iso-2022-jp"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b$A!!\x1b(B", charset="iso-2022-jp"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x0e!!\x0f", charset="iso-2022-jp"), Reason.CHARSET_MISMATCH),
    (message(b"<p>\x1b$B!!\x1b(B", charset="iso-2022-kr"), Reason.CHARSET_MISMATCH),
    (message("<p>-----BEGIN PGP MESSAGE-----"), Reason.PGP),
    (multipart(part("<p>x"), subtype="signed"), Reason.SIGNED),
    (multipart(part("<p>x"), subtype="encrypted"), Reason.ENCRYPTED),
    (multipart(part("<p>x"), subtype="report"), Reason.REPORT),
    (multipart(part("<p>x"), subtype="digest"), Reason.DIGEST),
    (multipart(part("<p>x"), subtype="odd"), Reason.UNKNOWN_MULTIPART),
    (multipart(*[part("<p>x")] * 1000), Reason.TOO_MANY_PARTS),
    (multipart(b"Content-Type: text/html\r\n"), Reason.NO_BLANK_LINE),
    (multipart(part("x", kind="text/calendar"), part("x", kind="text/x-amp-html")), Reason.NO_HTML),
    (multipart(b"Content-Type: message/rfc822\r\n\r\n" + message("<p>x"), subtype="mixed"), Reason.NO_HTML),
]


@pytest.mark.parametrize(
    ("data", "reason"), UNTOUCHED, ids=[f"{n}-{row[1]}" for n, row in enumerate(UNTOUCHED)]
)
def test_a_message_in_doubt_is_the_same_object_again(data: bytes, reason: Reason) -> None:
    plan = compile_message(data)
    assert plan.untouched is reason
    assert not plan.links
    assert base(plan) is data
    assert tracked(plan) is data


HTML = part(a('href="http://x.example/"'))
OTHER = part(a('href="http://y.example/"'))
CALENDAR = part("BEGIN:VCALENDAR\r\nURL:http://y.example/", kind="text/calendar; method=REQUEST")
AMP = part("<!doctype html><html amp4email><a href='http://y.example/'>t</a>", kind="text/x-amp-html")
BODIES = {
    "plain text beside it": multipart(part("http://y.example/", kind="text/plain"), HTML),
    "AMP beside it": multipart(AMP, HTML),
    "a calendar beside it": multipart(HTML, CALENDAR, subtype="mixed"),
    "an attached page": multipart(
        HTML, OTHER.replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment\r\n\r\n", 1)
    ),
    "a named page between others": multipart(
        HTML, OTHER.replace(b"utf-8", b"utf-8; name=a.html", 1), subtype="mixed"
    ),
    "an attached message": multipart(
        HTML, b"Content-Type: message/rfc822\r\n\r\n" + message("<a href='http://y/'>t</a>")
    ),
    "a page that an image's place was given to": multipart(HTML, OTHER, subtype="related"),
    "a root named by start": multipart(
        OTHER, HTML.replace(b"\r\n\r\n", b"\r\nContent-ID: <r>\r\n\r\n", 1), subtype='related; start="<r>"'
    ),
    "a signed part": multipart(
        HTML, _part_of(multipart(OTHER, subtype="signed", boundary="s")), subtype="mixed"
    ),
    "a report": multipart(HTML, _part_of(multipart(OTHER, subtype="report", boundary="s")), subtype="mixed"),
    "a digest": multipart(HTML, _part_of(multipart(OTHER, subtype="digest", boundary="s")), subtype="mixed"),
    "PGP armour": multipart(
        HTML, part("-----BEGIN PGP MESSAGE-----<a href='http://y/'>t</a>"), subtype="mixed"
    ),
    "S/MIME": multipart(
        HTML, part("<a href='http://y/'>t</a>", kind="application/pkcs7-mime"), subtype="mixed"
    ),
    "no closing boundary": multipart(HTML).rpartition(b"\r\n--")[0],
}


@pytest.mark.parametrize("name", BODIES)
def test_only_what_is_shown_as_the_body_is_touched(name: str) -> None:
    report = prove(BODIES[name])
    assert report.wrapped == ["http://x.example/"]
    assert report.pixels == 1


def test_a_signed_message_only_loses_its_control_headers() -> None:
    data = message(
        a('data-candor-no-track href="http://x.example/"') + "{{open_pixel}}",
        header="DKIM-Signature: h=x-candor-tag\r\nX-Candor-Tag: a\r\n",
    )
    plan = compile_message(data)
    assert tracked(plan) == base(plan) == data.replace(b"X-Candor-Tag: a\r\n", b"")
    assert compile_message(data, Rules(track_signed=True)).untouched is None


def test_a_message_that_needs_nothing_taken_out_is_the_same_object() -> None:
    data = message(a('href="http://x.example/"'))
    plan = compile_message(data)
    assert base(plan) is data
    assert plan.render(link_url=None, pixel_url=None) is data


def test_links_alone_and_the_pixel_alone_can_be_asked_for() -> None:
    data = message(a('href="http://x.example/"'))
    plan = compile_message(data)
    only_links = plan.render(link_url=lambda link: link_url(link.url), pixel_url=None)
    only_pixel = plan.render(link_url=None, pixel_url=PIXEL_URL)
    assert verify(data, only_links) == Report(wrapped=["http://x.example/"])
    assert verify(data, only_pixel) == Report(pixels=1)


@pytest.mark.parametrize("url", ["", "http://t/?a=b", "http://t/&", 'http://t/"', "http://t/\n"])
def test_a_tracking_url_that_needs_encoding_is_refused(url: str) -> None:
    plan = compile_message(message(a('href="http://x.example/"')))
    with pytest.raises(ValueError, match="encoding"):
        plan.render(link_url=lambda _: url, pixel_url=None)


def test_bytes_around_the_bodies_stay() -> None:
    data = multipart(part(a('href="http://x.example/"'), encoding="quoted-printable"))
    copy = tracked(compile_message(data))
    assert copy.startswith(data[: data.index(b"<a")])
    assert copy.endswith(data[data.index(b"\r\n--=_b1--") :])


def test_a_failure_inside_leaves_the_message_without_its_control_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(rewrite, "html_edits", fail)
    data = message(a('href="http://x.example/"'), header="X-Candor-Tag: a\r\n")
    plan = compile_message(data)
    assert plan.untouched is Reason.INTERNAL_ERROR
    assert tracked(plan) == data.replace(b"X-Candor-Tag: a\r\n", b"")


def test_a_header_block_too_large_leaves_the_message_untouched_but_for_our_own_fields() -> None:
    data = b"X-Candor-Tag: a\r\n" + b"A:\r\n" * 5000 + message(a('href="http://x.example/"'))
    plan = compile_message(data)
    assert plan.untouched is Reason.HEADER_TOO_LARGE
    assert base(plan) == tracked(plan) == data.partition(b"\r\n")[2]


def test_a_part_s_header_too_large_leaves_the_part_alone() -> None:
    other = part(a('href="http://x.example/2"'), more="A:\r\n" * 300)
    plan = compile_message(multipart(part(a('href="http://x.example/1"')), other, subtype="mixed"))
    assert [link.url for link in plan.links] == ["http://x.example/1"]
