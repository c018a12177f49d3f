"""The product's own proof: it passes what is right, and notices everything else."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.mail import corpus, crlf, message, multipart, part

from relay.preview import Preview, Previewer, throwaway_ring
from relay.rewrite import Rules
from relay.signers import Signers
from relay.verification import Verification, What, leaves, verify
from relay.verification.markup import as_browsers_read

URL = "https://t.candor.example"
ENCODINGS = ["8bit", "quoted-printable", "quoted-printable-binary", "base64"]
RULES = Rules(own_hosts=("t.candor.example",))
HTML = (
    '<!doctype html><html><body title="a > b">\r\n'
    + "<p>some words that fill a line, and then some more of them, until it is full</p>\r\n" * 3
    + '<p>Grüße, <a class=x href="https://shop.example/?a=1&amp;b=2&copy=3">one</a> or '
    + "<a href=https://shop.example/two>two</a></p>\r\n<p><a href='/page'>page</a></p>\r\n</body></html>\r\n"
)
previewer = Previewer(RULES, URL)


def held_against(preview: Preview, copy: bytes) -> Verification:
    return verify(preview.data, copy, public_url=URL, ring=previewer._ring)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_right_copy_is_told_change_by_change(encoding: str) -> None:
    found = previewer.preview(message(HTML, encoding=encoding)).verification
    assert found.problems == []
    one, two, pixel = found.changes
    assert (one.what, one.old, one.link) == (What.LINK, "https://shop.example/?a=1&amp;b=2&copy=3", 1)
    assert one.destination == "https://shop.example/?a=1&b=2&copy=3"
    assert (two.what, two.old, two.line, two.link) == (What.LINK, "https://shop.example/two", 5, 2)
    assert (pixel.what, pixel.old, pixel.line) == (What.PIXEL, "", 7)
    assert pixel.new.startswith(f'<img src="{URL}/o/')
    if encoding == "8bit":
        assert found.octets == len(one.old) + len(two.old)


PERMITTED = [
    ('<a data-candor-no-track href="http://x.example/">t</a>', 1),
    ("<a data-candor-no-track='x'  href='http://x.example/' >t</a>", 1),
    ('<a\r\n data-candor-no-track = "" href="http://x.example/">t</a>', 1),
    ('<a data-candor-no-track=x/href="http://x.example/">t</a>', 1),
    ('<a href="https+notrack://x.example/">t</a> <a href="HTTP&#43;NOTRACK://x.example/">t</a>', 2),
    ("a{{open_pixel}}b{{ open_pixel }}{{open_pixel}}", 2),
    ('{{open_pixel}}{{tracking_preferences_url}}<a href="%7B%7Btracking_preferences_url%7D%7D">t</a>', 0),
    ("<!--{{open_pixel}}-->{{other}} data-candor-no-track", 1),
    (f'<a href="{URL}/c/abc">ours already</a> <img src="{URL}/o/abc.gif">', 0),
    ('<!--[if mso]><v:rect href="http://x.example/"><![endif]--><a href="http://x.example/">t</a>', 0),
    ('<a title="<b" data-x=\'>\' href = "http://x.example/">t</a>', 0),
]


@pytest.mark.parametrize(("html", "removed"), PERMITTED)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_meant_for_us_may_go(html: str, removed: int, encoding: str) -> None:
    around = "<body>über " + "long words and more " * 8 + f"\r\n{html}\r\n</body>\r\n"
    preview = previewer.preview(message(around, encoding=encoding, header="X-Candor-Tag: a\r\n b\r\n"))
    assert preview.verification.problems == []
    assert preview.verification.count(What.REMOVED) == removed
    assert b"X-Candor" not in preview.copy


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-be", "utf-32", "iso-2022-jp", "shift_jis"])
@pytest.mark.parametrize("encoding", ENCODINGS[2:])
def test_every_charset_is_proved(charset: str, encoding: str) -> None:
    data = message(
        "<body>日本 <a href='http://x.example/'>リンク</a></body>\r\n", charset=charset, encoding=encoding
    )
    found = previewer.preview(data).verification
    assert found.problems == []
    assert (found.count(What.LINK), found.count(What.PIXEL)) == (1, 1)


def test_plain_text_is_proved() -> None:
    rules = Rules(own_hosts=("t.candor.example",), wrap_plain_text=True)
    data = message("See https://shop.example/one.\r\n{{tracking_preferences_url}}\r\n", subtype="plain")
    found = Previewer(rules, URL).preview(data).verification
    assert found.problems == []
    assert [change.what for change in found.changes] == [What.LINK, What.PREFERENCES]


def test_a_pixel_may_open_a_line_where_its_own_is_full() -> None:
    found = previewer.preview(message("<body>" + "x" * 980 + "</body>\r\n")).verification
    assert found.problems == []
    assert [(change.what, change.new[:4]) for change in found.changes] == [
        (What.REMOVED, "\r\n"),
        (What.PIXEL, "<img"),
    ]


# --- what is wrong is noticed ---


@given(encoding=st.sampled_from(ENCODINGS), at=st.integers(0, 10_000), octet=st.integers(0, 255))
@example("base64", 0, 0x20)
@example("quoted-printable", 170, 0x20)
def test_no_octet_of_a_copy_may_be_another(encoding: str, at: int, octet: int) -> None:
    preview = previewer.preview(message(HTML, encoding=encoding))
    at %= len(preview.copy)
    changed = preview.copy[:at] + bytes([octet]) + preview.copy[at + 1 :]
    assert (held_against(preview, changed).problems == []) == (changed == preview.copy)


@given(encoding=st.sampled_from(ENCODINGS), at=st.integers(0, 10_000), size=st.integers(1, 40))
def test_nothing_of_a_copy_may_be_missing(encoding: str, at: int, size: int) -> None:
    preview = previewer.preview(message(HTML, encoding=encoding))
    at %= len(preview.copy)
    assert held_against(preview, preview.copy[:at] + preview.copy[at + size :]).problems != []


def swapped_links(copy: bytes) -> bytes:
    one, two = re.findall(rb"https://t\.candor\.example/c/[\w-]+", copy)
    return copy.replace(one, b"@").replace(two, one).replace(b"@", two)


def pixel_of(copy: bytes) -> bytes:
    match = re.search(rb"<img[^>]*>", copy)
    assert match is not None
    return match[0]


TAMPERED = {
    "links that lead elsewhere": swapped_links,
    "a second pixel": lambda copy: copy.replace(b"</p>", b"</p>" + pixel_of(copy), 1),
    "a pixel in a comment": lambda copy: copy.replace(pixel_of(copy), b"").replace(
        b"<!-- note -->", b"<!-- note " + pixel_of(copy) + b"-->"
    ),
    "a pixel in a tag": lambda copy: copy.replace(pixel_of(copy), b"").replace(
        b"<body>", b"<body " + pixel_of(copy) + b">"
    ),
    "a wrapped style sheet": lambda copy: copy.replace(
        b"https://shop.example/style", re.findall(rb"https://t\.candor\.example/c/[\w-]+", copy)[0]
    ),
    "our field left in place": lambda copy: b"X-Candor-Tag: a\r\n" + copy,
    "another header": lambda copy: copy.replace(b"Subject: News", b"Subject: Old"),
    "an attachment": lambda copy: copy.replace(b"attached", b"ATTACHED"),
    "a preamble": lambda copy: copy.replace(b"A preamble", b"A PREAMBLE"),
    "an epilogue": lambda copy: copy.replace(b"An epilogue", b"AN EPILOGUE"),
    "a part's header": lambda copy: copy.replace(
        b"Content-Disposition: attachment", b"Content-Disposition: inline"
    ),
    "one part more": lambda copy: copy.replace(b"hello", b"\r\n--=_b1\r\n\r\nhello"),
    "a line that is too long": lambda copy: copy.replace(b"\r\n<p>two", b"<p>two" + b" " * 998),
    "text behind the last change": lambda copy: copy.replace(b"</html>", b"</html >"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_the_proof_notices(name: str) -> None:
    html = (
        '<html><head><link href="https://shop.example/style"></head><body><!-- note --><p>hello</p>\r\n'
        '<p><a href="https://shop.example/1">1</a></p>\r\n<p>two <a href="https://shop.example/2">2</a></p>'
        "</body></html>\r\n"
    )
    header = "Subject: News\r\nX-Candor-Tag: a\r\n"
    attachment = part("attached", more="Content-Disposition: attachment\r\n")
    preview = previewer.preview(multipart(part(html), attachment, subtype="mixed", header=header))
    assert held_against(preview, preview.copy).problems == []
    changed = TAMPERED[name](preview.copy)
    assert changed != preview.copy
    (problem, *_) = held_against(preview, changed).problems
    assert str(problem)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"=C3=BC", b"=c3=bc", "spelt anew"),
        (b"that fill a line", b"that fi=\r\nll a line", "soft line break moved"),
    ],
)
def test_quoted_printable_outside_the_changes_keeps_its_spelling(old: bytes, new: bytes, words: str) -> None:
    preview = previewer.preview(message(HTML, encoding="quoted-printable"))
    assert old in preview.copy
    problems = held_against(preview, preview.copy.replace(old, new)).problems
    assert words in str(problems[0])


def test_a_link_sealed_by_another_ring_is_none_of_ours() -> None:
    preview = previewer.preview(message(HTML))
    found = verify(preview.data, preview.copy, public_url=URL, ring=throwaway_ring())
    assert found.problems != []
    assert found.changes == []


@given(data=st.binary(max_size=400), copy=st.binary(max_size=400))
@example(b"Content-Type: multipart/mixed; boundary*0*=\xff''%\r\n\r\n--\r\n", b"")
@example(b"Content-Type: text/html; charset*=\xff\r\nContent-Disposition: \xff\r\n\r\n", b"\r\n")
def test_no_octets_make_the_proof_break_down(data: bytes, copy: bytes) -> None:
    assert (verify(data, copy, public_url=URL, ring=throwaway_ring()).problems == []) == (data == copy)


@given(st.lists(st.sampled_from([b"--b", b"--b--", b"--c", b"\r\n", b"\n", b"\r\n\r\n", b"x", b": ", b"--"])))
def test_leaves_are_in_order_and_lie_apart(pieces: list[bytes]) -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    inner = b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    data = head + inner + b"".join(pieces)
    at = 0
    for leaf in leaves(data):
        assert at <= leaf.start <= leaf.end <= len(data)
        at = leaf.end


@pytest.mark.parametrize(
    ("value", "url"),
    [
        (" http://x.example/\r\n\t", "http://x.example/"),
        ("http://x.example/?a=1&amp;b=2&copy=3&reg", "http://x.example/?a=1&b=2&copy=3®"),
        ("http&colon;//x.example/&#47;&#x2f;", "http://x.example///"),
        ("http://x.example/?a&notit;&amp=1", "http://x.example/?a&notit;&amp=1"),
    ],
)
def test_values_are_read_as_browsers_read_them(value: str, url: str) -> None:
    assert as_browsers_read(value) == url


HOSTILE = {
    "tags without an end": "<a " * 70_000,
    "quotes without an end": "<a href='" * 30_000,
    "comments without an end": "<!-- " * 50_000,
    "styles without an end": "<style " * 40_000,
    "blanks": " " * 300_000 + "data-candor-no-track",
    "placeholders": "{{open_pixel" * 30_000,
    "links": '<a href="https://x.example/">x</a>' * 1_000,
    "brackets in attributes": "<a title='" + "<" * 100_000 + "' href='https://x.example/'>x</a>",
    "references": "<a href='https://x.example/" + "&a" * 900 + "'>x</a>",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_hostile_sizes_are_proved_in_linear_time(name: str, encoding: str) -> None:
    # Quadratic work would take minutes here; there is no clock.
    html = f"<body><p><a href='https://x.example/'>x</a></p>\r\n{HOSTILE[name]}\r\n</body>\r\n"
    preview = previewer.preview(message(html, encoding=encoding))
    assert preview.verification.problems == []
    assert preview.wrapped


# --- real mail ---


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
@pytest.mark.parametrize(
    "rules",
    [
        RULES,
        Rules(own_hosts=("t.candor.example",), wrap_visible_urls=True, wrap_plain_text=True),
    ],
)
def test_real_mail_is_proved(rules: Rules) -> None:
    one = Previewer(rules, URL, Signers(remove_foreign=rules.wrap_visible_urls))
    tracked = 0
    for file in corpus("eml"):
        preview = one.preview(crlf(file.read_bytes()))
        assert preview.verification.problems == [], file.name
        assert preview.has_pixel == preview.decision.opens, file.name
        tracked += preview.has_pixel
    assert tracked > 100


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("html"), reason="no corpus of real mail beside the project")
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_real_html_is_proved(encoding: str) -> None:
    for file in corpus("html"):
        preview = previewer.preview(message(crlf(file.read_bytes()), encoding=encoding))
        assert preview.verification.problems == [], file.name
