"""The footer of mail that must carry a withdrawal link and does not: where it stands, what it says, and when."""

from __future__ import annotations

import binascii
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.footer_verifier import PLACEHOLDER, verify_footer
from support.mail import corpus, crlf, message, multipart, part
from support.proof import PREFERENCES, tracked
from support.verifier import PIXEL_URL, link_url, verify

from relay.compiled import footers
from relay.controls import read_block
from relay.footer import Footers, Footing, Wording, spelt
from relay.mime import read_header
from relay.preview import Previewer
from relay.rewrite import Plan, Reason, Rules, compile_message
from relay.verification import Problem, What, verify_footed
from tracker.config import PreferencesTable

found = footers(PreferencesTable(footer=True), "https://t.candor.example")
assert found is not None
FOOTERS: Footers = found
ENGLISH = FOOTERS.wordings["en"]
ENCODINGS = ["8bit", "quoted-printable", "quoted-printable-binary", "base64"]
HTML = (
    "<html><body><p>Grüße, <a href='https://shop.example/'>one</a> "
    + "and a long line of words " * 6
    + "</p></body></html>\r\n"
)
TEXT = "Grüße,\r\n\r\nand a text.\r\n"


def with_footer(
    data: bytes, country: str | None = None, *, rules: Rules | None = None, said: Footers = FOOTERS
) -> Plan | None:
    header = read_header(data)
    controls = read_block(header)
    plan = compile_message(data, rules or Rules(), header=header, controls=controls)
    footing = Footing(plan, header, controls, rules=rules or Rules(), footers=said)
    return footing.plan(country) if plan.untouched is None else None


def proved(data: bytes, language: str = "en", country: str | None = None) -> Plan:
    """The plan of the message with its footer, put to the proof."""
    plan = with_footer(data, country)
    assert plan is not None
    words, otherwise = (FOOTERS.wordings[one] for one in (language, "en"))
    assert verify_footer(data, plan.data, words[1:], otherwise=otherwise[1:]) == []
    report = verify(plan.base(preferences_url=PREFERENCES), tracked(plan), original=plan.data)
    assert report.problems == []
    assert PLACEHOLDER.encode() not in tracked(plan)
    return plan


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("language", FOOTERS.wordings)
def test_it_stands_at_the_end_of_both_texts_in_the_message_s_language(encoding: str, language: str) -> None:
    label = encoding.removesuffix("-binary")
    data = multipart(
        part(TEXT, kind="text/plain", encoding=label),
        part(HTML, encoding=label),
        header=f"Content-Language: {language}-XX\r\n",
    )
    plan = proved(data, language)
    copy = tracked(plan)
    if encoding == "8bit":
        assert copy.count(PREFERENCES.encode()) == 2
        assert copy.index(f'<div lang="{language}"'.encode()) < copy.index(PIXEL_URL.encode())
        assert copy.index(PIXEL_URL.encode()) < copy.index(b"</body>")


@pytest.mark.parametrize(
    ("header", "html", "country", "language"),
    [
        ("", "<html lang='de-CH'>", "FR", "de"),
        ("Content-Language: it\r\n", "<html lang=de>", "FR", "it"),
        ("Content-Language: es, fr\r\n", "<html>", "IT", "fr"),
        ("Content-Language: es\r\n", "<html lang=es>", "IT", "it"),
        ("", "<html xml:lang=x>", "AT", "de"),
        ("", "", "BE", "en"),
        ("", "", None, "en"),
    ],
)
def test_the_message_s_language_comes_first_then_the_recipient_s_country(
    header: str, html: str, country: str | None, language: str
) -> None:
    data = message(html + HTML.removeprefix("<html>"), header=header)
    assert proved(data, language, country).data.count(f'<div lang="{language}"'.encode()) == 1


@pytest.mark.parametrize("charset", ["us-ascii", "utf-8", "iso-8859-1", "shift_jis", "koi8-r", "gb18030"])
@pytest.mark.parametrize("encoding", ["7bit", *ENCODINGS])
@pytest.mark.parametrize("language", ["de", "fr"])
def test_what_a_charset_lacks_is_written_without(charset: str, encoding: str, language: str) -> None:
    label = encoding.removesuffix("-binary")
    head = f"Content-Type: text/%s; charset={charset}\r\nContent-Transfer-Encoding: {label}\r\n\r\n"
    plain = message("Hello\r\n", subtype="plain", charset=charset, encoding=encoding).partition(b"\r\n\r\n")[
        2
    ]
    html = message("<p>x</p>", charset=charset, encoding=encoding).partition(b"\r\n\r\n")[2]
    data = multipart(
        (head % "plain").encode() + plain,
        (head % "html").encode() + html,
        header=f"Content-Language: {language}\r\n",
    )
    plan = proved(data, language)
    if encoding in ("7bit", "8bit"):
        assert plan.data.isascii()  # what was plain ASCII asks no next hop for more


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-be", "utf-32", "iso-2022-jp"])
@pytest.mark.parametrize("encoding", ENCODINGS[2:])
def test_wide_and_escaped_charsets_have_it_too(charset: str, encoding: str) -> None:
    html = "<body>日本 <a href='http://x.example/'>リンク</a></body>\r\n"
    copy = tracked(proved(message(html, charset=charset, encoding=encoding)))
    shown = cast(EmailMessage, message_from_bytes(copy, policy=default)).get_content()
    assert shown.startswith("<body>日本 <a href=")
    assert shown.count(PREFERENCES) == 1
    assert shown.index("リンク") < shown.index(PREFERENCES) < shown.index("</body>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bye\r\n-- \r\nThe shop\r\n", "Bye\r\n\r\n{}\r\n-- \r\nThe shop\r\n"),
        ("Bye\r\n\r\n-- \r\nThe shop\r\n", "Bye\r\n\r\n{}\r\n-- \r\nThe shop\r\n"),
        ("-- \r\nThe shop\r\n", "{}\r\n-- \r\nThe shop\r\n"),
        ("one\r\n-- \r\ntwo\r\n-- \r\nThe shop", "one\r\n-- \r\ntwo\r\n\r\n{}\r\n-- \r\nThe shop"),
        ("Bye\r\n--\r\nno signature\r\n\r\n", "Bye\r\n--\r\nno signature\r\n\r\n{}\r\n\r\n"),
        ("Bye", "Bye\r\n\r\n{}"),
        ("Bye  \r\n", "Bye  \r\n\r\n{}\r\n"),
    ],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_it_stands_before_a_signature_else_at_the_end(text: str, expected: str, encoding: str) -> None:
    label = encoding.removesuffix("-binary")
    plan = proved(multipart(part(text, kind="text/plain", encoding=label), part(HTML, encoding=label)))
    said = f"{ENGLISH.text}\r\n{ENGLISH.link}\r\n{PLACEHOLDER}"
    raw = plan.data.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--=_b1")[0]
    decode = {"quoted-printable": binascii.a2b_qp, "base64": binascii.a2b_base64}.get(label, bytes)
    assert decode(raw).decode() == expected.format(said)


ATTACHED = 'Content-Disposition: attachment; filename="a.txt"\r\n'


@pytest.mark.parametrize(
    ("data", "footers_in"),
    [
        (message(HTML), ["html"]),
        (multipart(part(TEXT, kind="text/plain"), part(HTML), subtype="mixed"), ["html"]),
        (multipart(part(HTML), part(TEXT, kind="text/plain", more=ATTACHED), subtype="mixed"), ["html"]),
        (multipart(part(HTML), part(HTML), subtype="mixed"), ["html"]),
        (multipart(part(TEXT, kind="text/plain", encoding="x-odd"), part(HTML)), ["html"]),
        (multipart(part("", kind="text/plain"), part(HTML)), ["html"]),
        (multipart(part("-----BEGIN PGP MESSAGE", kind="text/plain"), part(HTML)), ["html"]),
        (multipart(part(TEXT, kind="text/plain"), part(HTML)), ["plain", "html"]),
    ],
    ids=["html", "beside", "attached", "two", "odd", "empty", "pgp", "alternative"],
)
def test_it_stands_once_in_the_html_and_once_in_the_text_that_stands_for_it(
    data: bytes, footers_in: list[str]
) -> None:
    plan = proved(data)
    kinds = [
        re.findall(rb"text/(\w+)", plan.data[: match.start()])[-1].decode()
        for match in re.finditer(re.escape(PLACEHOLDER).encode(), plan.data)
    ]
    assert kinds == footers_in


def test_text_alone_has_it_where_its_links_are_wrapped() -> None:
    data = message("See https://shop.example/ now\r\n", subtype="plain")
    assert with_footer(data) is None
    plan = with_footer(data, rules=Rules(wrap_plain_text=True))
    assert plan is not None
    assert plan.data.endswith(f"now\r\n\r\n{ENGLISH.text}\r\n{ENGLISH.link}\r\n{PLACEHOLDER}\r\n".encode())


NONE_IN = {
    "a comment that is never closed": "<p>x {{open_pixel}}<a href='https://a.example/'>x</a><!-- ",
    "a style that is never closed": "<a href='https://a.example/'>x</a>{{open_pixel}}<style>",
    "frames": "<frameset><a href='https://a.example/'>x</a>",
    "what looks like a delimiter": "<a href='https://a.example/'>x</a> --=_b1</body>",
    "a lone CR": "<a href='https://a.example/'>x</a>\r</body>",
}


@pytest.mark.parametrize("html", NONE_IN.values(), ids=NONE_IN)
def test_where_there_is_no_sure_place_there_is_none(html: str) -> None:
    assert with_footer(multipart(part(TEXT, kind="text/plain"), part(html))) is None


def test_mail_that_must_not_be_touched_has_none() -> None:
    for header in ("DKIM-Signature: x\r\n",):
        data = message(HTML, header=header)
        assert compile_message(data).untouched is Reason.SIGNED_DKIM
        assert with_footer(data) is None
    assert with_footer(multipart(part(HTML), subtype="signed")) is None


def test_the_last_blank_of_a_line_stays_in_quoted_printable() -> None:
    data = message("<p>word </body>", encoding="8bit").replace(b"8bit", b"quoted-printable")
    plan = proved(data)
    assert binascii.a2b_qp(plan.data.partition(b"\r\n\r\n")[2]).startswith(b"<p>word \r\n<div")


def test_long_wordings_break_into_lines() -> None:
    wording = Wording("en", "é" * 300, "word " * 60)
    data = multipart(part(TEXT, kind="text/plain"), part(HTML))
    said = Footers(wordings={"en": wording}, language="en")
    plan = with_footer(data, said=said)
    assert plan is not None
    assert max(map(len, plan.data.split(b"\r\n"))) < 998
    assert plan.data.count(b"&#233;") == 300


@pytest.mark.parametrize(
    ("text", "codec", "language", "expected"),
    [
        ("Grüße", "ascii", "de", "Gruesse"),
        ("l’œuvre à « Noël »", "ascii", "fr", 'l\'oeuvre a " Noel "'),
        ("l’œuvre", "latin-1", "fr", "l'oeuvre"),
        ("già", "utf_8", "it", "già"),
        ("Привет", "ascii", "en", None),
        ("Привет", "koi8_r", "en", "Привет"),
    ],
)
def test_letters_that_a_charset_lacks(text: str, codec: str, language: str, expected: str | None) -> None:
    assert spelt(text, codec, language) == expected


def test_wording_that_no_plain_text_can_hold_falls_back_to_english() -> None:
    russian = Wording("de", "Привет.", "Выбор")
    said = Footers(wordings={"de": russian, "en": ENGLISH}, language="de")
    plan = with_footer(multipart(part("Hello", kind="text/plain"), part("<p>x</p>")), said=said)
    assert plan is not None
    assert ENGLISH.text.encode() in plan.data
    assert b"&#1055;" in plan.data


PIECES = st.sampled_from(
    [
        *("<p>", "word ", "é", "</body>", "\r\n", "-- ", "<a href='https://a.example/'>", "</a>", " ", "="),
        *(
            "<!-- b -->",
            "</html>",
            "<table>",
            "\r\n-- \r\n",
            "<body>",
            "日本",
            "\t",
            "{{open_pixel}}",
            "x" * 80,
        ),
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from([*ENCODINGS[:2], "base64"]))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_outside_the_footer_no_octet_changes(content: str, encoding: str) -> None:
    data = multipart(part(content, kind="text/plain", encoding=encoding), part(content, encoding=encoding))
    plan = with_footer(data)
    if plan is not None:
        assert verify_footer(data, plan.data, ENGLISH[1:], otherwise=ENGLISH[1:]) == []
        base = plan.base(preferences_url=PREFERENCES)
        copy = plan.render(
            link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL, preferences_url=PREFERENCES
        )
        assert verify(base, copy, original=plan.data).problems == []
        assert PREFERENCES.encode() in copy or encoding != "8bit"


PUBLIC = "https://t.candor.example"


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_the_product_s_own_proof_knows_the_footer(encoding: str) -> None:
    previewer = Previewer(Rules(), PUBLIC, None, FOOTERS)
    text = part(TEXT + "-- \r\nWe", kind="text/plain", encoding=encoding)
    html = part(HTML, encoding=encoding)
    preview = previewer.preview(multipart(text, html, header="Content-Language: de\r\n"))
    assert preview.verification.problems == []
    assert [str(one.what) for one in preview.verification.changes] == ["footer", "link", "footer", "pixel"]
    footed = preview.footed.data if preview.footed else b""
    wrong = [footed.replace(old, new) for old, new in WRONG if old in footed]
    assert len(wrong) > (3 if encoding == "8bit" else 0)

    def problems(footed: bytes, copy: bytes) -> list[Problem]:
        return verify_footed(
            preview.data, footed, copy, said=previewer._said, public_url=PUBLIC, ring=previewer._ring
        ).problems

    assert problems(footed, preview.copy) == []
    assert all(problems(one, preview.copy) for one in [*wrong, preview.data])
    assert problems(footed, preview.copy[:-3]) != []


WRONG = [
    (b"Messung", b"Massung"),
    (b"<div lang", b"<p>x<div lang"),
    (b"An epi", b"an epi"),
    (b"</body>", b"<a href='{{tracking_preferences_url}}'>x</a></body>"),
    (b"\r\n<div lang", b"<!--\r\n<div lang"),
]


def test_a_preview_without_footers_has_none() -> None:
    preview = Previewer(Rules(), PUBLIC).preview(message(HTML))
    assert (preview.footed, preview.verification.count(What.FOOTER)) == (None, 0)


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_real_mail_has_it_and_nothing_else() -> None:
    number = 0
    for file in corpus("eml"):
        data = crlf(file.read_bytes())
        if with_footer(data, rules=Rules(track_signed=True)) is None:
            continue
        plan = with_footer(data, rules=Rules(track_signed=True))
        assert plan is not None
        said = FOOTERS.wordings.values()
        assert any(
            verify_footer(data, plan.data, words[1:], otherwise=ENGLISH[1:]) == [] for words in said
        ), file
        number += 1
    assert number > 20
