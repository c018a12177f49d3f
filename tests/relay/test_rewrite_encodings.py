"""Every charset under every transfer encoding, and the limits of lines."""

from __future__ import annotations

import pytest
from support.mail import message, multipart, part
from support.proof import (
    ENCODINGS,
    PIXEL_HTML,
    PREFERENCES,
    a,
    base,
    octets,
    prove,
    tracked,
)
from support.verifier import PIXEL_URL, link_url, verify

from relay.reasons import Reason
from relay.rewrite import Plan, compile_message


def test_a_line_of_raw_octets_never_passes_998() -> None:
    short, long = a('href="http://x.example/1"'), a('href="http://x.example/2"')
    data = message(f"{short}\r\n{'x' * 950}{long}\r\n</body>")
    plan = compile_message(data)
    copy = plan.rendered(link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL)
    assert copy.unwrapped == (2,)
    assert verify(data, copy.data).wrapped == ["http://x.example/1"]
    crowded = message("x" * 800 + short * 4)
    copy = compile_message(crowded).rendered(link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL)
    report = verify(crowded, copy.data)
    assert report.problems == []
    assert report.pixels == 1
    assert len(report.wrapped) + len(copy.unwrapped) == 4
    assert copy.unwrapped


def test_a_link_over_two_lines_that_stays_makes_no_line_longer() -> None:
    data = message("x" * 700 + a('href="http://x.example/' + "y" * 200 + '\r\n/"') + "z" * 600 + "</body>")
    plan = compile_message(data)
    copy = plan.rendered(link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL)
    assert copy.unwrapped == (1,)
    assert copy.data.replace(PIXEL_HTML, b"") == data


@pytest.mark.parametrize("text", ["<p>x", "<p>" + "x" * 72, "<p>" + "=C3=BC" * 12 + "x"])
def test_a_soft_break_at_the_very_end_stays_at_the_end(text: str) -> None:
    data = multipart(part(text + "=").replace(b"8bit", b"quoted-printable"), part("<p>y"), subtype="mixed")
    plan = compile_message(data)
    assert prove(data).pixels == 1
    copy = tracked(plan)
    assert copy[copy.index(b"border:0") :].startswith(b'border:0">=\r\n--=_b1')


CHARSETS = {
    "us-ascii": "plain",
    "utf-8": "grün 日本 {x}",
    "iso-8859-1": "grün",
    "iso-8859-15": "grün €",
    "windows-1252": "grün €",
    "windows-1251": "привет",
    "koi8-r": "привет",
    "big5": "中文許功蓋",
    "gbk": "中文简体",
    "gb2312": "中文",
    "gb18030": "中文㐀",
    "shift_jis": "表示ソ日本",
    "euc-jp": "日本語",
    "euc-kr": "한국어",
    "cp949": "뷁한국어",
    "iso-2022-jp": "日本語<テスト>",
    "iso-2022-kr": "한국어",
    "utf-16": "grün 日本 😀",
    "utf-16-le": "grün 😀",
    "utf-16-be": "grün 😀",
    "utf-32": "grün 😀",
}


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_charset_goes_with_every_encoding(charset: str, encoding: str) -> None:
    word = CHARSETS[charset]
    wide = charset.startswith(("utf-16", "utf-32"))
    if wide and encoding == "quoted-printable":
        encoding = "quoted-printable-binary"  # its line ends are not two octets, and must be escaped
    html = (
        f"<html><body title='{word}'>{word} {{{{open_pixel}}}}<p>{word * 30}</p>\r\n"
        f"{a('href=' + chr(34) + 'http://x.example/?a=1&amp;b=2' + chr(34), word)}{word}"
        f"<a data-candor-no-track href='http://x.example/2'>{word}</a>{{{{tracking_preferences_url}}}}</body></html>\r\n"
    )
    data = message(html, charset=charset, encoding=encoding)
    plan = compile_message(data)
    if wide and encoding == "8bit":
        assert plan.untouched is Reason.CHARSET_MISMATCH
        return
    report = prove(data)
    assert report.wrapped == ["http://x.example/?a=1&b=2"]
    assert report.pixels == 1
    assert plan.links[0].text == " ".join(word.split())
    wanted = html.replace(" data-candor-no-track", "").replace("{{open_pixel}}", "")
    wanted = wanted.replace("{{tracking_preferences_url}}", PREFERENCES)
    assert octets(base(plan), encoding) == wanted.encode(charset)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_further_copies_are_what_a_plan_of_their_own_would_make(encoding: str) -> None:
    html = "<body>" + "".join(f"<p>Grüße={n} <a href='http://x.example/{n}'>t</a></p>\r\n" for n in range(30))
    data = message(html, encoding=encoding)
    plan = compile_message(data)

    def copy(plan: Plan, size: int) -> bytes:
        return plan.render(
            link_url=lambda link: f"https://t.example/c/{'x' * (size + link.number % 3)}{link.number}",
            pixel_url=f"https://t.example/o/{'y' * size}.gif",
        )

    for size in (1, 2, 60, 1, 2, 60, 200, 201, 202, 1, 2):
        assert copy(plan, size) == copy(compile_message(data), size)
