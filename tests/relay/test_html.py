"""The HTML reader: which links it finds, where they lie, and where a body ends."""

from __future__ import annotations

import re
from copy import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser
from support.examples import examples

from relay.html import Document, decode_attribute, read
from relay.html.attributes import attributes
from relay.html.tokens import Kind, Token, tokens


def parse(text: str, *, closely: bool = False, limit: int = 1000) -> Document:
    return read(text, lambda start, end: text[start:end], closely=closely, limit=limit)


def hrefs(text: str, *, closely: bool = False) -> list[str]:
    return [text[a.href_start : a.href_end] for a in parse(text, closely=closely).anchors if not a.outlook]


LINKS = [
    ('<a href="http://x/">t</a>', ["http://x/"]),
    ("<a href='http://x/'>t</a>", ["http://x/"]),
    ("<a href=http://x/>t</a>", ["http://x/"]),
    ("<A HREF=http://x/ target=_blank>t</A>", ["http://x/"]),
    ('<a href = "http://x/" >t</a>', ["http://x/"]),
    ('<a\r\n\thref\n=\n"http://x/">t</a>', ["http://x/"]),
    ('<a title="a > b" href="http://x/">t</a>', ["http://x/"]),
    ('<a title=\'"\' href="http://x/">t</a>', ["http://x/"]),
    ('<a href="http://x/" href="http://y/">t</a>', ["http://x/"]),
    ('<a x="1"href="http://x/">t</a>', ["http://x/"]),
    ('<a/href="http://x/"/>t</a>', ["http://x/"]),
    ('<a ="y" href="http://x/">t</a>', ["http://x/"]),
    ('<a b="y>" =\'z>\' href="http://x/">t</a>', []),
    ('<a data-href="http://x/">t</a>', []),
    ('<a name="x">t</a>', []),
    ("<a href>t</a>", [""]),
    ('<a href="">t</a>', [""]),
    ('<map><area shape="rect" href="http://x/"></map>', ["http://x/"]),
    ("<abbr href='http://x/'>t</abbr>", []),
    ('<link href="http://x/"><img src="http://x/"><form action="http://x/">', []),
    ('< a href="http://x/">', []),
    ('<a href="http://x/', []),
    ('<a href="http://x/" ', []),
    ('<!-- <a href="http://x/"> --><a href="http://y/">', ["http://y/"]),
    ('<!--><a href="http://x/">', ["http://x/"]),
    ('<!---><a href="http://x/">', ["http://x/"]),
    ('<!--a--!><a href="http://x/">', ["http://x/"]),
    ('<!----!><a href="http://x/">', ["http://x/"]),
    ('<!-- -- > <a href="http://x/"> -->', []),
    ('<!doctype html><?xml version="1"?></ bogus><a href="http://x/">', ["http://x/"]),
    ('<![if !mso]><a href="http://x/"><![endif]>', ["http://x/"]),
    ('<!--[if !mso]><!--><a href="http://x/"><!--<![endif]-->', ["http://x/"]),
    ('<style><a href="http://x/"></style ><a href="http://y/">', ["http://y/"]),
    ('<STYLE></styles><a href="http://x/"></Style><a href="http://y/">', ["http://y/"]),
    ('<script>"<a href=\\"http://x/\\">"</script><a href="http://y/">', ["http://y/"]),
    ('<title><a href="http://x/"></title><a href="http://y/">', ["http://y/"]),
    ('<textarea><a href="http://x/"></textarea><a href="http://y/">', ["http://y/"]),
    ('<iframe><a href="http://x/"></iframe><xmp><a href=1></xmp><noembed><a href=1></noembed>', []),
    ('<noframes><a href="http://x/"></noframes><a href="http://y/">', ["http://y/"]),
    ('<title/><a href="http://x/"></title>', []),
    ('<style><a href="http://x/">', []),
    ('<a href="http://x/"><a href="http://y/">', ["http://x/", "http://y/"]),
    ('<table><a href="http://x/">t</a></table>', ["http://x/"]),
]


@pytest.mark.parametrize(("html", "expected"), LINKS, ids=[row[0][:60] for row in LINKS])
@pytest.mark.parametrize("closely", [False, True])
def test_links_are_found_where_browsers_find_them(html: str, expected: list[str], closely: bool) -> None:
    assert hrefs(html, closely=closely) == expected
    assert [decode_attribute(href) for href in expected] == oracle(html)


def oracle(html: str) -> list[str]:
    return [node.attributes.get("href") or "" for node in LexborHTMLParser(html).css("a[href], area[href]")]


PIECES = [
    *(
        '<a href="#{}">',
        "<a href='#{}'>",
        "<a href=#{}>",
        "<A HREF=#{} >",
        '<area href="#{}">',
        "<a\thref=#{}/>",
    ),
    *(
        '<a x="" href="#{}">',
        "<a href=\"#{}\" href='z'>",
        "<a title=\">\" href='#{}'>",
        "<a href=#{}'\">",
        '<a b==" href=#{}>',
    ),
    *(
        "</a>",
        "text",
        " ",
        "\r\n",
        "&amp;",
        "&lt;",
        "<",
        ">",
        '"',
        "'",
        "=",
        "/",
        "-",
        "--",
        "-->",
        "--!>",
        "<!--",
        "<!-->",
    ),
    *(
        "<!--[if mso]>",
        "<![endif]-->",
        "<![endif]>",
        "<![if !mso]>",
        "<!doctype html>",
        "<?php",
        "?>",
        "</",
        "</>",
        "<!",
        "<!>",
    ),
    *(
        "<style>",
        "</style>",
        "<script>",
        "</script>",
        "<title>",
        "</title>",
        "<textarea>",
        "</textarea>",
        "<xmp>",
        "</xmp>",
    ),
    *(
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        "<div class='x'>",
        "</div>",
        "<table>",
        "<tr>",
        "<td>",
        "</td>",
        "</table>",
        "<br/>",
    ),
    *(
        "<body>",
        "</body>",
        "</html>",
        "<html>",
        "<head>",
        "</head>",
        "<iframe>",
        "</iframe>",
        "<noembed>",
        "</noembed>",
    ),
    *(
        '<p =">">',
        "<p a='",
        '<p a="',
        "<p a=",
        "<p ",
        "<é href=#{}>",
        "\x0c",
        "<a\x0bhref=#{}>",
        "<img src=x>",
        "<form>",
        "</form>",
    ),
]


@st.composite
def hostile_html(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(st.sampled_from(PIECES), max_size=25))
    return "".join(piece.replace("{}", str(index)) for index, piece in enumerate(pieces))


@given(hostile_html())
@settings(max_examples=examples(200), deadline=None)
@example('<a href=#1></a><script><!--<script></script><a href="#2">')
@example("<p a=\"<a href='#1'>\">")
def test_hostile_html_has_the_links_that_browsers_see(html: str) -> None:
    anchors = [anchor for anchor in parse(html).anchors if not anchor.outlook]
    found = {html[a.href_start : a.href_end] for a in anchors if not a.doubtful}
    doubtful = {html[a.href_start : a.href_end] for a in anchors if a.doubtful}
    seen = {re.sub(r"[\t\r\n]", "", href) for href in oracle(html)}
    # lexbor stands for all WHATWG tree builders; tables and formatting may repeat or move a link, not lose it
    assert {decode_attribute(href) for href in found} - seen == set()
    assert seen - {decode_attribute(href) for href in found | doubtful} == set()


@given(hostile_html())
@settings(max_examples=examples(200), deadline=None)
def test_looking_closely_finds_the_same(html: str) -> None:
    quick, close = parse(html), parse(html, closely=True)
    assert [(a.start, a.href_start, a.outlook) for a in quick.anchors] == [
        (a.start, a.href_start, a.outlook) for a in close.anchors
    ]
    assert (quick.body_start, quick.body_end) == (close.body_start, close.body_end)


@given(hostile_html())
@settings(max_examples=examples(150), deadline=None)
def test_a_pixel_at_the_body_end_is_an_image_and_changes_no_link(html: str) -> None:
    end = parse(html).body_end
    if end is None:
        return
    after = html[:end] + '<img src="PIXEL">' + html[end:]
    assert LexborHTMLParser(after).css('img[src="PIXEL"]'), after
    assert set(oracle(after)) == set(oracle(html))


BODY_ENDS = [
    ("<body>x</body>", "<body>x|</body>"),
    ("<body>x</BODY ></html>\r\n", "<body>x|</BODY ></html>\r\n"),
    ("x</body>y</body>z", "x</body>y|</body>z"),
    ("x<!--</body>-->y \r\n", "x<!--</body>-->y| \r\n"),
    ("x<style></body></style>", "x<style></body></style>|"),
    ("x", "x|"),
    ("x</body><!-- open", "x|</body><!-- open"),
    ("x<!-- open", None),
    ("x<style>open", None),
    ("x<p a='open", None),
    ("x<plaintext></body>", None),
    ("<frameset></frameset>", None),
    ("<svg></body>", None),
    ("x</body><svg>", "x|</body><svg>"),
    ("x<textarea>", None),
]


@pytest.mark.parametrize(("html", "expected"), BODY_ENDS)
def test_the_body_ends(html: str, expected: str | None) -> None:
    end = parse(html).body_end
    assert (None if end is None else f"{html[:end]}|{html[end:]}") == expected


def test_a_body_starts_behind_its_first_tag() -> None:
    html = "<!--<body>--><title><body></title><body class='a>b'>x<body>"
    start = parse(html).body_start
    assert start is not None
    assert html[:start].endswith("'a>b'>")


@pytest.mark.parametrize("name", ["svg", "math", "frameset", "select", "template", "noscript", "plaintext"])
def test_links_behind_elements_that_programs_disagree_on_are_doubtful(name: str) -> None:
    html = f"<a href=1>t</a><{name.upper()} x></{name}><a href=2>t</a>"
    assert [(html[a.href_start], a.doubtful) for a in parse(html).anchors] == [("1", False), ("2", True)]


def test_links_for_outlook_are_found_in_its_conditional_comments() -> None:
    html = (
        '<!--[if mso]><v:roundrect href="1">T</v:roundrect><a href="2">U</a><link href="x"><![endif]-->'
        '<!--[if gte mso 9]><a href="3"><![endif]--><!--[if !mso]><a href="x"><![endif]-->'
        '<!--[if (gte mso 9)|(IE)]><a href="4"><![endif]--><!--[if !(mso)]><a href="x"><![endif]-->'
        '<!-- [if mso]><a href="x"><![endif]--><!--[if mso]><a href="x">-->'
        '<!--[if IE]><a href="x"><![endif]-->'
        '<!--[if mso]><a href="x"><style><![endif]--><a href="5">'
    )
    found = parse(html).anchors
    assert [(html[a.href_start], a.outlook) for a in found] == [*((n, True) for n in "1234"), ("5", False)]
    assert [a.text for a in found[:2]] == ["T", "U"]


TEXTS = [
    ("<a href=1>Read <b>more</b></a>", "Read more"),
    ("<a href=1>a<br>b</a>", "a b"),
    ("<a href=1>a &amp; b&nbsp;c</a>", "a & b\xa0c"),
    ("<a href=1><!-- no -->yes</a>", "yes"),
    ("<a href=1>first<a href=2>", "first"),
    ("<a href=1><img alt=x></a>", ""),
    ("<a href=1>end", "end"),
]


@pytest.mark.parametrize(("html", "text"), TEXTS)
def test_a_link_has_its_visible_text(html: str, text: str) -> None:
    assert parse(html).anchors[0].text == text


MARKS = [
    ("<a data-candor-no-track href=1>t</a>", "<a href=1>t</a>", ["1"]),
    ('<a href=1 data-candor-no-track="yes">t</a>', "<a href=1>t</a>", ["1"]),
    ("<a href=1 DATA-Candor-No-Track>t</a>", "<a href=1>t</a>", ["1"]),
    ("<a data-candor-no-track='1'href=1>t</a>", "<a href=1>t</a>", ["1"]),
    ("<a href=1 data-candor-no-track/>t</a>", "<a href=1 />t</a>", ["1"]),
    ("<a/data-candor-no-track/href=1>t</a>", "<a//href=1>t</a>", ["1"]),
    ("<a data-candor-no-track data-candor-no-track href=1>", "<a href=1>", ["1"]),
    (
        "<div data-candor-no-track><a href=1></a></div><a href=2>",
        "<div><a href=1></a></div><a href=2>",
        ["1"],
    ),
    ("<div data-candor-no-track><p><a href=1></div><a href=2>", "<div><p><a href=1></div><a href=2>", ["1"]),
    ("<br data-candor-no-track><a href=1>", "<br><a href=1>", []),
    ("<p title='data-candor-no-track'><a href=1>", "<p title='data-candor-no-track'><a href=1>", []),
    ("<a href=1 data-candor-no-tracking>", "<a href=1 data-candor-no-tracking>", []),
]


@pytest.mark.parametrize(("html", "without", "marked"), MARKS)
def test_marks_are_read_and_can_be_taken_out(html: str, without: str, marked: list[str]) -> None:
    document = parse(html, closely=True)
    left, at = "", 0
    for start, end in document.marks:
        left += html[at:start]
        at = end
    assert left + html[at:] == without
    tags = zip(document.anchors, document.tags(), strict=True)
    found = [html[anchor.href_start] for anchor, tag in tags if "data-candor-no-track" in tag.attrs]
    assert found == marked
    assert oracle(without) == oracle(html)


def test_links_are_tags_of_a_document_that_beautifulsoup_can_walk() -> None:
    html = "<a href='1' class='x y' title='&amp;'>t</a><area href=2><A HREF=3>"
    tags = parse(html).tags()
    document = tags[0].parent
    assert document is not None
    assert document.find_all(["a", "area"], href=True) == tags
    assert tags[0].attrs == {"href": "1", "class": "x y", "title": "&"}
    assert [anchor.href for anchor in parse(html).anchors] == [tag["href"] for tag in tags]
    assert tags[0].find_next_sibling("a") is tags[2]
    assert tags[2].find_previous("area") is tags[1]
    assert [tag.sourcepos for tag in tags] == [match.start() for match in re.finditer("<[aA]", html)]
    assert copy(tags[0]).get("href") == "1"
    assert str(tags[1]) == '<area href="2"/>'


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ("<a href=1 CLASS=Untracked>", True),
        ("<a href=1 class='untr&#97;cked'>", True),
        ("<a ses:no-track href=1><a href=2>", True),
        ("<a href='track' class=x>", False),
        ("<p class=track><a href='?a&amp;b' class=x>track</a>", False),
    ],
)
def test_a_document_knows_whether_a_links_attributes_may_say_a_word(html: str, says: bool) -> None:
    assert parse(html).may_say("track") is says


REFERENCES = [
    *(
        "?a=1&amp;b=2",
        "?a=1&b=2",
        "?a=1&copy=2",
        "?a=1&copy2",
        "&copy",
        "&copy;",
        "&copy/",
        "&notit;",
        "&notin;",
        "&not;x",
    ),
    *(
        "&#38;",
        "&#x26;",
        "&#38x",
        "&#128;",
        "&#0;",
        "&#xD800;",
        "&#x110000;",
        "&#;",
        "&;",
        "&",
        "&amp",
        "&amp;amp;",
        "&ampx",
    ),
    *(
        "&lt=",
        "&lt;=",
        "&zzz;",
        "&#x3A;//",
        "&Tab;",
        "&NewLine;",
        "&apos;",
        "&AMP",
        "&AMPx",
        "&hellip",
        "&hellip;",
    ),
]


@pytest.mark.parametrize("value", REFERENCES)
def test_references_in_attributes_are_decoded_as_browsers_do(value: str) -> None:
    seen = LexborHTMLParser(f'<a href="{value}">').css("a")[0].attributes["href"]
    assert decode_attribute(value) == seen


@given(st.text(alphabet="&#;=x3 amplgtcopynoti8/", max_size=12))
@settings(max_examples=examples(200), deadline=None)
def test_any_reference_is_decoded_as_browsers_do(value: str) -> None:
    seen = LexborHTMLParser(f'<a href="{value}">').css("a")[0].attributes["href"] or ""
    assert decode_attribute(value) == seen


def test_attributes_have_exact_ranges() -> None:
    text = ' a="1" b=\'2\'\tC = 3 d /e=" x"'
    found = list(attributes(text, 0, len(text)))
    assert [(a.name, text[a.value_start : a.value_end], a.quote) for a in found] == [
        ("a", "1", '"'),
        ("b", "2", "'"),
        ("c", "3", ""),
        ("d", "", ""),
        ("e", " x", '"'),
    ]
    assert [text[a.start : a.end] for a in found] == ['a="1"', "b='2'", "C = 3", "d", 'e=" x"']


def test_no_more_links_than_asked_for_are_looked_at() -> None:
    document = parse("<a href=1></a>" * 5, limit=3)
    assert len(document.anchors) == 3
    assert [document.source[start:end] for start, end in document.more_anchors] == ["1", "1"]


HOSTILE = [
    *(
        '<p a="<style>">',
        "<p a='<!--'>",
        '<style></style><p a="',
        "don't <a href=x>",
        "<p a=' ><a href=x>",
        "<3 <a href=x>",
        "<script></script ",
        '= "<a href=x>',
    ),
    *(
        "<a ",
        "<!--",
        '<a href="',
        "<a href='",
        "<a>",
        "<a href=x>",
        "<",
        "</",
        "</a",
        "<!",
        "<![if",
        "<!--[if mso]>",
        "<p><a href=x>",
    ),
    *(
        "<style>",
        "<script><!--",
        "<title>",
        "<a b=",
        '<a b="" ',
        "<a\r\n",
        "--",
        "&",
        "&amp",
        "&#",
        "<svg>",
        "<div data-candor-no-track>",
    ),
    *(
        "<b></i>",
        "<a href=x data-candor-no-track>",
        "<body>",
        "</body>",
        "{{open_pixel}}",
        "<!--[if mso]><a href=x><![endif]-->",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("closely", [False, True])
def test_hostile_repetition_is_read_in_linear_time(piece: str, closely: bool) -> None:
    # A quadratic reader would take minutes for each of these; there is no clock here.
    text = piece * (200_000 // len(piece))
    document = parse(text, closely=closely)
    assert len(document.anchors) <= 1000
    assert document.body_end is None or document.body_end <= len(text)


WANTED = frozenset(
    {"a", "area", "body", "svg", "math", "plaintext", "frameset", "select", "template", "noscript"}
)
ENDS = frozenset({"a", "body"})


def is_wanted(text: str, token: Token) -> bool:
    if token.kind is Kind.COMMENT:
        return text[token.attributes : token.attributes + 3].lower() == "[if"
    if token.kind in (Kind.START, Kind.END):
        return token.name in (WANTED if token.kind is Kind.START else ENDS)
    return True


@given(hostile_html())
@settings(max_examples=examples(250), deadline=None)
@example('<p a=b"c d="> <a href=#1>">')
@example("<p title='> ' <a href=#1>>don't <a href=#2></a>")
@example('<p a= "<a href=#1>"><style><a href=#2>')
@example('<p a="<style>"><a href=#1><!--[if mso]>')
def test_the_few_tokens_that_are_searched_for_are_those_of_all_that_are_wanted(html: str) -> None:
    every = [token for token in tokens(html, every=True) if is_wanted(html, token)]
    assert list(tokens(html)) == every


@pytest.mark.parametrize("text", ["<", "<a", "</", "", "<!", "<!-", "<!--", "<style", "<style>", "&"])
def test_tokens_cover_what_is_cut_off(text: str) -> None:
    for token in tokens(text):
        assert token.kind in (Kind.OPEN, Kind.RAW)
        assert token.end == len(text)
