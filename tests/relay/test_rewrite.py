"""Whole messages: what is wrapped and what never is, and that no other byte changes."""

from __future__ import annotations

import binascii
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.mail import corpus, crlf, message, multipart, part
from support.verifier import PIXEL, PIXEL_URL, Report, link_url, verify, web_links

from relay import rewrite
from relay.reasons import EXPLANATIONS, Reason
from relay.rewrite import Plan, Rules, compile_message
from relay.rulebook import OPT_OUT_MARKS

PREFERENCES = "https://t.candor.example/p/abc"
PIXEL_HTML = f'<img src="{PIXEL_URL}" width="1" height="1" alt="" style="display:block;border:0">'.encode()
ENCODINGS = ["8bit", "quoted-printable", "quoted-printable-binary", "base64"]


def base(plan: Plan) -> bytes:
    return plan.base(preferences_url=PREFERENCES)


def tracked(plan: Plan) -> bytes:
    return plan.render(
        link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL, preferences_url=PREFERENCES
    )


def prove(data: bytes, rules: Rules | None = None) -> Report:
    """Compile, render, verify; the report of a message that is what it should be."""
    plan = compile_message(data, rules)
    assert plan.untouched is not Reason.INTERNAL_ERROR
    report = verify(base(plan), tracked(plan), original=data)
    assert report.problems == []
    assert report.pixels == plan.has_pixel_place
    assert set(report.wrapped) <= {link.url for link in plan.links}
    assert all(kept.reason in EXPLANATIONS for kept in plan.kept)
    return report


def a(attributes: str, text: str = "text") -> str:
    return f"<a {attributes}>{text}</a>"


WRAPPED = [
    ('href="http://x.example/"', "http://x.example/"),
    ("href='HTTPS://x.example'", "HTTPS://x.example"),
    ("href=http://x.example/a?b=c&d=e#f", "http://x.example/a?b=c&d=e#f"),
    ('href="http://x.example/?a=1&amp;b=2"', "http://x.example/?a=1&b=2"),
    ('href="http://x.example/?a=1&copy=2&reg"', "http://x.example/?a=1&copy=2®"),
    ('href=" http://x.example/\t\r\n "', "http://x.example/"),
    ('href="http://x.\r\n\texample/a"', "http://x.example/a"),
    ('href="&#104;ttp&colon;//x.example/"', "http://x.example/"),
    ('href="http://x.example:8080/"', "http://x.example:8080/"),
    ('href="http://[2001:db8::1]/"', "http://[2001:db8::1]/"),
    ('href="http://192.0.2.1/"', "http://192.0.2.1/"),
    ('href="http://x.example/%7Buser%7D/100%25"', "http://x.example/%7Buser%7D/100%25"),
    ('href="http://x.example/a{b}c|d^e"', "http://x.example/a{b}c|d^e"),
    ('href="http://x.example/" href="http://y.example/"', "http://x.example/"),
    ('title="a > b" href="http://x.example/"', "http://x.example/"),
    ('data-no-trackx clicktracking=on href="http://x.example/"', "http://x.example/"),
    ('class="trackeduntracked" href="http://x.example/"', "http://x.example/"),
    ('href="http://x.example/logins/paying/resettlement"', "http://x.example/logins/paying/resettlement"),
]


@pytest.mark.parametrize(("attributes", "url"), [row for row in WRAPPED if "®" not in row[1]])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_these_links_are_wrapped(attributes: str, url: str, encoding: str) -> None:
    data = message(f"<html><body>{a(attributes)}</body></html>\r\n", encoding=encoding)
    assert prove(data).wrapped == [url]


KEPT = [
    ('href=""', "text", Reason.EMPTY),
    ("href", "text", Reason.EMPTY),
    ('href="#top"', "text", Reason.FRAGMENT),
    ('href="page.html"', "text", Reason.RELATIVE),
    ('href="/page"', "text", Reason.RELATIVE),
    ('href="mailto:a@x.example"', "text", Reason.OTHER_SCHEME),
    ('href="tel:123"', "text", Reason.OTHER_SCHEME),
    ('href="sms:123"', "text", Reason.OTHER_SCHEME),
    ('href="cid:123"', "text", Reason.OTHER_SCHEME),
    ('href="data:text/html,x"', "text", Reason.OTHER_SCHEME),
    ('href="javascript:http://x.example/"', "text", Reason.OTHER_SCHEME),
    ('href="file:///x"', "text", Reason.OTHER_SCHEME),
    ('href="myapp://x.example/"', "text", Reason.OTHER_SCHEME),
    ('href="ftp://x.example/"', "text", Reason.OTHER_SCHEME),
    ('href="http:x.example"', "text", Reason.OTHER_SCHEME),
    ('href="//x.example/"', "text", Reason.PROTOCOL_RELATIVE),
    ('href="http://"', "text", Reason.NO_HOST),
    ('href="http:///x.example"', "text", Reason.NO_HOST),
    ('href="http://x_é.example/"', "text", Reason.NON_ASCII),
    ('href="http://x.example/ü"', "text", Reason.NON_ASCII),
    ('href="http://x.example/&uuml;"', "text", Reason.NON_ASCII),
    ('href="http://x.example/?a&reg"', "text", Reason.NON_ASCII),
    ('href="http://x%2Eexample/"', "text", Reason.ODD_HOST),
    ('href="http://-x.example/"', "text", Reason.ODD_HOST),
    ('href="http://x.example:y/"', "text", Reason.ODD_HOST),
    ('href="http://a:b@x.example/"', "text", Reason.USERINFO),
    ('href="http://a@x.example/"', "text", Reason.USERINFO),
    ('href="http://x.example/a b"', "text", Reason.BLANK),
    ('href="http://x.example/&#32;b"', "text", Reason.BLANK),
    ('href="http://x.example/&#1;b"', "text", Reason.CONTROL_CHARACTER),
    ('href="http://x.example/\x7f"', "text", Reason.CONTROL_CHARACTER),
    *((f'href="http://x.example/{mark}"', "text", Reason.TEMPLATE) for mark in (
        "{{name}}", "{% if x %}", "*|EMAIL|*", "<% x %>", "%%email%%", "${name}", "[[name]]", "[%x%]", "#{x}",
    )),
    ('href="{{link}}"', "text", Reason.TEMPLATE),
    ('href="http://x.example/' + "x" * 2900 + '"', "text", Reason.TOO_LONG),
    ('href="http://t.own.example/c/x"', "text", Reason.OWN_HOST),
    ('href="https://T.Own.example.:443/c/x"', "text", Reason.OWN_HOST),
    ('href="https://us1.list-manage.com/track/click?u=1"', "text", Reason.ALREADY_WRAPPED),
    ('href="https://list.example/u?id=1"', "text", Reason.LIST_UNSUBSCRIBE),
    ('href="https://x.example/unsubscribe"', "text", Reason.UNSUBSCRIBE),
    ('href="https://x.example/1"', "Unsubscribe here", Reason.UNSUBSCRIBE),
    ('href="https://x.example/1"', "Newsletter <b>abmelden</b>", Reason.UNSUBSCRIBE),
    ('href="https://x.example/1"', "Se d&eacute;sabonner", Reason.UNSUBSCRIBE),
    ('href="https://x.example/1"', "Manage your preferences", Reason.UNSUBSCRIBE),
    ('href="https://x.example/1"', "отписаться", Reason.UNSUBSCRIBE),
    ('href="https://x.app.link/1"', "text", Reason.SKIPPED_HOST),
    ('href="https://www.paypal.com/1"', "text", Reason.SKIPPED_HOST),
    ('href="https://x.example/login"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/users/sign_in?x"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/password/reset/abc"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/reset-password?x=1"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/magic-link/abc"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/confirm?x=1"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/?token=abc"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/pay/123"', "text", Reason.SKIPPED_PATTERN),
    ('href="https://x.example/"', "https://x.example/", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "www.x.example", Reason.VISIBLE_URL),
    ('href="https://x.example/"', " <b>x.example</b>. ", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "X.example/path", Reason.VISIBLE_URL),
    *((f'href="https://x.example/" {name}{"" if value is None else f"={value}"}', "text", Reason.OPT_OUT)
      for name, value in OPT_OUT_MARKS),
    ('href="https://x.example/" ClickTracking="OFF"', "text", Reason.OPT_OUT),
    ('href="https://x.example/" class="big untracked"', "text", Reason.OPT_OUT),
    ('href="https://x.example/" class=mktNoTrack', "text", Reason.OPT_OUT),
    ('href="https+notrack://x.example/"', "text", Reason.OPT_OUT),
]  # fmt: skip

STRICT = Rules(own_hosts=("t.own.example",))


@pytest.mark.parametrize(
    ("attributes", "text", "reason"), KEPT, ids=[f"{r[2]}-{r[0][:50]}-{r[1]}" for r in KEPT]
)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_these_links_stay_and_say_why(attributes: str, text: str, reason: Reason, encoding: str) -> None:
    data = message(
        f"<html><body>{a(attributes, text)}</body></html>\r\n",
        encoding=encoding,
        header="List-Unsubscribe: <https://list.example/u?id=1>\r\n",
    )
    plan = compile_message(data, STRICT)
    assert [kept.reason for kept in plan.kept] == [reason]
    assert plan.links == ()
    assert prove(data, STRICT).wrapped == []


def test_every_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(text[0].isupper() and text.endswith(".") for text in EXPLANATIONS.values())


OPTIONS = [
    (Rules(protocol_relative=True), a('href="//x.example/"'), ["https://x.example/"]),
    (Rules(wrap_visible_urls=True), a('href="http://x.example/"', "x.example"), ["http://x.example/"]),
    (Rules(skip_hosts=()), a('href="http://wa.me/1"'), ["http://wa.me/1"]),
    (Rules(skip_hosts=("*.example",)), a('href="http://x.example/"'), []),
    (Rules(skip_hosts=("x.example",)), a('href="http://y.x.example/"'), ["http://y.x.example/"]),
    (Rules(skip_patterns=()), a('href="http://x.example/login"'), ["http://x.example/login"]),
    (Rules(skip_patterns=("secret",)), a('href="http://x.example/SECRET"'), []),
    (
        Rules(unsubscribe_patterns=()),
        a('href="http://x.example/unsubscribe"'),
        ["http://x.example/unsubscribe"],
    ),
    (Rules(wrapped_hosts=()), a('href="http://a.list-manage.com/"'), ["http://a.list-manage.com/"]),
    (Rules(max_links=2), a('href="http://x.example/"') * 3, ["http://x.example/"] * 2),
    (
        Rules(max_url_length=18),
        a('href="http://x.example/1"') + a('href="http://x.example/12"'),
        ["http://x.example/1"],
    ),
]


@pytest.mark.parametrize(("rules", "html", "wrapped"), OPTIONS)
def test_the_rules_can_be_configured(rules: Rules, html: str, wrapped: list[str]) -> None:
    assert prove(message(f"<body>{html}</body>"), rules).wrapped == wrapped


def test_a_pattern_that_does_not_compile_is_refused() -> None:
    with pytest.raises(re.error):
        Rules(skip_patterns=("(",))


def test_what_outlook_is_shown_shares_the_fate_of_its_visible_twin() -> None:
    url = 'href="http://x.example/1"'
    html = (
        f"<!--[if mso]><v:roundrect {url}>Go</v:roundrect><![endif]--><a {url}>Go</a>"
        '<a href="http://x.example/2" data-no-track>No</a><!--[if mso]><a href="http://x.example/2">No</a><![endif]-->'
        '<!--[if mso]><a href="http://x.example/3">Only</a><a href=http://x.example/4>bare</a><![endif]-->'
    )
    data = message(f"<body>{html}</body>")
    plan = compile_message(data)
    assert [(link.number, link.url) for link in plan.links] == [
        (1, "http://x.example/1"),
        (2, "http://x.example/3"),
    ]
    assert [kept.reason for kept in plan.kept] == [Reason.OPT_OUT, Reason.OPT_OUT, Reason.UNQUOTED_IN_COMMENT]
    assert prove(data).wrapped == ["http://x.example/1", "http://x.example/1", "http://x.example/3"]
    kept = compile_message(data, Rules(wrap_outlook=False))
    assert [link.url for link in kept.links] == ["http://x.example/1"]
    assert [k.reason for k in kept.kept].count(Reason.OUTLOOK) == 4


def test_links_are_numbered_in_the_order_of_the_message() -> None:
    html = part(a('href="http://x.example/1"') + a('href="http://x.example/1"'))
    more = part(a('href="http://x.example/2"', "Two" * 100))
    plan = compile_message(multipart(part("text", kind="text/plain"), html, more, subtype="mixed"))
    assert [(link.number, link.url) for link in plan.links] == [
        (1, "http://x.example/1"),
        (2, "http://x.example/1"),
        (3, "http://x.example/2"),
    ]
    assert plan.links[2].text == ("Two" * 100)[:200]


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


BASES = [
    ('<a data-candor-no-track href="http://x.example/">t</a>', '<a href="http://x.example/">t</a>'),
    ('<a href="https+notrack://x.example/">t</a>', '<a href="https://x.example/">t</a>'),
    ("<a href='HTTP&#43;NOTRACK://x.example/'>t</a>", "<a href='HTTP://x.example/'>t</a>"),
    ("<p>https+notrack://x.example/</p>", "<p>https+notrack://x.example/</p>"),
    ("a{{open_pixel}}b", "ab"),
    ("a{{ open_pixel }}b{{open_pixel}}", "ab"),
    ('<a href="{{tracking_preferences_url}}">t</a>', f'<a href="{PREFERENCES}">t</a>'),
    ('<a href="%7B%7Btracking_preferences_url%7D%7D">t</a>', f'<a href="{PREFERENCES}">t</a>'),
    ("{{TRACKING_PREFERENCES_URL}}", PREFERENCES),
    ("{{other}} {{open_pixels}} {open_pixel}", "{{other}} {{open_pixels}} {open_pixel}"),
    ("<!--{{open_pixel}}--><title>{{open_pixel}}</title>", "<!----><title></title>"),
    ('<p data-candor-no-track="{{open_pixel}}">', "<p>"),
    (
        '<!--[if mso]><a data-candor-no-track href="http+notrack://x/"><![endif]-->',
        '<!--[if mso]><a href="http://x/"><![endif]-->',
    ),
]


@pytest.mark.parametrize(("html", "expected"), BASES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_base_lacks_what_was_meant_for_us(html: str, expected: str, encoding: str) -> None:
    around = "<body>\r\nüber " + "long words and more " * 8 + "{}\r\n</body>\r\n"
    data = message(around.replace("{}", html), encoding=encoding)
    wanted = around.replace("{}", expected)
    assert decoded(base(compile_message(data)), encoding) == wanted
    prove(data)


def octets(data: bytes, encoding: str) -> bytes:
    """The content of a message of one part."""
    content = data.partition(b"\r\n\r\n")[2]
    if encoding.startswith("quoted"):
        return binascii.a2b_qp(content)
    return binascii.a2b_base64(content) if encoding == "base64" else content


def decoded(data: bytes, encoding: str) -> str:
    return octets(data, encoding).decode()


def test_without_a_preferences_url_its_placeholder_stays() -> None:
    data = message("<p>{{tracking_preferences_url}}</p>")
    plan = compile_message(data)
    assert plan.has_preferences_placeholder
    assert plan.base(preferences_url=None) is data
    assert plan.base(preferences_url="") == data.replace(b"{{tracking_preferences_url}}", b"")


def test_a_preferences_url_is_escaped_where_it_must_be() -> None:
    html = message("<p>{{tracking_preferences_url}}</p>", encoding="quoted-printable")
    assert b"<p>x?a=3D1&amp;b</p>" in compile_message(html).base(preferences_url="x?a=1&b")
    text = message("{{tracking_preferences_url}}", subtype="plain")
    assert b"x?a=1&b" in compile_message(text).base(preferences_url="x?a=1&b")


def test_placeholders_in_text_parts_are_resolved() -> None:
    text = "See {{tracking_preferences_url}} {{open_pixel}}or https+notrack://x.example/"
    for encoding in ENCODINGS:
        data = multipart(
            part(text, kind="text/plain", encoding=encoding.removesuffix("-binary")), part("<p>x")
        )
        plan = compile_message(data)
        assert plan.has_preferences_placeholder
        assert verify(base(plan), tracked(plan), original=data).problems == []
        assert b"notrack" not in base(plan)
    assert decoded(base(compile_message(message(text, subtype="plain"))), "8bit") == (
        f"See {PREFERENCES} or https://x.example/"
    )


PIXELS = [
    ("<body>x</body>", "<body>x|</body>"),
    ("x\r\n", "x|\r\n"),
    ("x{{open_pixel}}y</body>", "x|y</body>"),
    ("x<!--{{open_pixel}}--></body>", "x<!---->|</body>"),
    ("<p title='{{open_pixel}}'>x{{open_pixel}}{{open_pixel}}</body>", "<p title=''>x|</body>"),
    ("<body class=x>" + "y" * 102_390 + "</body>", "<body class=x>|" + "y" * 102_390 + "</body>"),
    ("<body>" + "y" * 102_300 + "</body>", "<body>" + "y" * 102_300 + "|</body>"),
    ("y" * 110_000, "y" * 110_000 + "|"),
    # what is asked for where it would not be an image goes to the end
    ("x<! {{open_pixel}}>y</body>", "x<! >y|</body>"),
    ("x<? {{open_pixel}}?>y</body>", "x<? ?>y|</body>"),
    ("x</ {{open_pixel}}a>y</body>", "x</ a>y|</body>"),
    # where filling it in would make a tag, it stays
    ("<{{open_pixel}}svg>x</body>", "<{{open_pixel}}svg>x|</body>"),
    ("<{{tracking_preferences_url}} x</body>", "<{{tracking_preferences_url}} x|</body>"),
    ("x<!{{open_pixel}}--y</body>", "x<!{{open_pixel}}--y</body>|"),
    ("x</body><plaintext>{{open_pixel}}", "x|</body><plaintext>"),
    ("x</body><select><p>{{open_pixel}}</select>{{open_pixel}}", "x|</body><select><p></select>"),
]


@pytest.mark.parametrize(("html", "expected"), PIXELS, ids=[row[0][:30] for row in PIXELS])
def test_the_pixel_has_one_place(html: str, expected: str) -> None:
    data = message(html, encoding="base64")
    assert PIXEL.sub("|", decoded(tracked(compile_message(data)), "base64")) == expected
    assert prove(data).pixels == 1


def test_a_message_has_one_pixel_in_its_first_body() -> None:
    data = multipart(part("<p>one"), part("<p>two{{open_pixel}}"), subtype="mixed")
    assert prove(data).pixels == 1
    assert tracked(compile_message(data)).index(PIXEL_URL.encode()) < data.index(b"two")


def test_a_pixel_of_ours_is_never_put_twice() -> None:
    rules = Rules(own_hosts=("t.candor.example",))
    data = message("<p>x")
    again = tracked(compile_message(data, rules))
    plan = compile_message(again, rules)
    assert not plan.has_pixel_place
    assert [kept.reason for kept in plan.kept] == [Reason.ALREADY_TRACKED]


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


def test_bytes_around_the_bodies_stay() -> None:
    data = multipart(part(a('href="http://x.example/"'), encoding="quoted-printable"))
    copy = tracked(compile_message(data))
    assert copy.startswith(data[: data.index(b"<a")])
    assert copy.endswith(data[data.index(b"\r\n--=_b1--") :])


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


PLAIN = [
    ("See http://x.example/a.", ["http://x.example/a"]),
    ("(http://x.example/a) http://x.example/(b)", ["http://x.example/a", "http://x.example/(b)"]),
    ('<http://x.example/a.>, "http://x.example/b"', ["http://x.example/a.", "http://x.example/b"]),
    ("<http://x.example/a b>", []),
    ("> http://x.example/a\r\n | http://x.example/a\r\nhttp://x.example/b", ["http://x.example/b"]),
    ("http://x.example/é http://x.example/b", ["http://x.example/b"]),
    ("xhttp://x.example/ ftp://x.example/ mailto:http://x.example/", ["http://x.example/"]),
    ("http://x.example/unsubscribe\r\nhttp://x.example/?a=1&b=2!", ["http://x.example/?a=1&b=2"]),
    ("*http://x.example/a* _http://x.example/b_", ["http://x.example/a"]),
    ("http://x.example/a_ http://x.example/b_.", ["http://x.example/a_", "http://x.example/b_"]),
]


@pytest.mark.parametrize(("text", "wrapped"), PLAIN)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_plain_text_is_wrapped_where_configured(text: str, wrapped: list[str], encoding: str) -> None:
    data = message(text + "\r\n", subtype="plain", encoding=encoding)
    assert prove(data, Rules(wrap_plain_text=True)).wrapped == wrapped
    assert compile_message(data).untouched is Reason.NO_HTML


def test_flowed_text_that_may_run_on_is_left_alone() -> None:
    data = message(
        "http://x.example/a \r\nb http://x.example/c d\r\n", subtype="plain; format=flowed; delsp=yes"
    )
    assert prove(data, Rules(wrap_plain_text=True)).wrapped == ["http://x.example/c"]


@st.composite
def mail(draw: st.DrawFn) -> bytes:
    """Whole messages: trees of parts with HTML of every encoding, well-formed and broken."""
    words = st.sampled_from(
        [
            *(
                '<a href="http://x.example/?a=1&amp;b=2">go</a>',
                "<a href=http://x.example/1 >go</a>",
                "<a href='http://x.example/long/{}'>go</a>",
            ),
            *(
                "<p>",
                "</p>",
                "\r\n",
                " ",
                "=",
                "=3D",
                "ü",
                "€",
                "x" * 70,
                "<!--",
                "-->",
                "<style>",
                "</style>",
                "</body>",
                "<body>",
            ),
            *(
                "{{open_pixel}}",
                "{{tracking_preferences_url}}",
                "<a data-candor-no-track href='http://x.example/'>no</a>",
                ".",
                "From ",
            ),
            *(
                "<!--[if mso]><a href='http://x.example/1'>go</a><![endif]-->",
                "<a href='https+notrack://x.example/'>no</a>",
                "\t",
                "--b",
                "y" * 300,
            ),
        ]
    )
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        pieces = draw(st.lists(words, max_size=30))
        text = "".join(piece.replace("{}", "z" * draw(st.integers(0, 150))) for piece in pieces)
        kind = draw(st.sampled_from(["text/html", "text/html", "text/plain"]))
        encoding = draw(st.sampled_from(["8bit", "quoted-printable", "base64"]))
        parts.append(part(text, kind=kind, encoding=encoding))
    if len(parts) == 1:
        return b"X-Candor-Tag: t\r\nMIME-Version: 1.0\r\n" + parts[0]
    subtype = draw(st.sampled_from(["alternative", "mixed", "related"]))
    return multipart(*parts, subtype=subtype, boundary=draw(st.sampled_from(["b", "=_x", "a'b"])))


@given(mail())
@settings(max_examples=1200, deadline=None)
@example(multipart(part("-{{open_pixel}}{{open_pixel}}-b"), boundary="b"))
@example(multipart(part("--b{{open_pixel}}"), boundary="b"))
@example(multipart(part("<p>" + "{{open_pixel}}" + "--b\r\n", encoding="quoted-printable"), boundary="b"))
@example(message("</body><p><p>{{tracking_preferences_url}}", encoding="quoted-printable"))
@example(message("<a href=http://x.example/ >x" + "y" * 60, encoding="quoted-printable"))
def test_invented_mail_changes_in_links_and_pixel_only(data: bytes) -> None:
    for rules in (Rules(), Rules(wrap_plain_text=True)):
        plan = compile_message(data, rules)
        assert plan.untouched is not Reason.INTERNAL_ERROR
        copy = plan.rendered(
            link_url=lambda link: link_url(link.url), pixel_url=PIXEL_URL, preferences_url=PREFERENCES
        )
        report = verify(base(plan), copy.data, original=data)
        assert report.problems == []
        assert report.pixels == copy.has_pixel
        assert {link.url for link in plan.links} == set(report.wrapped) | {
            link.url for link in plan.links if link.number in copy.unwrapped
        }
        assert plan.render(link_url=None, pixel_url=None, preferences_url=PREFERENCES) == base(plan)


@given(mail())
@settings(max_examples=300, deadline=None)
def test_the_base_of_a_base_is_itself(data: bytes) -> None:
    first = base(compile_message(data))
    assert base(compile_message(first)) is first or b"{{" in first


@given(mail(), st.integers(0, 400), st.binary(max_size=20), st.integers(0, 30))
@settings(max_examples=800, deadline=None)
def test_broken_mail_is_never_made_worse(data: bytes, at: int, noise: bytes, cut: int) -> None:
    at %= len(data)
    broken = data[:at] + noise + data[at + cut :]
    plan = compile_message(broken)
    assert plan.untouched is not Reason.INTERNAL_ERROR
    copy = tracked(plan)
    if plan.untouched is not None:
        assert copy == base(plan)
    first = copy.find(b"https://t.candor")
    if first >= 0 and b"base64" not in broken:
        # a soft break and the beginning of an image's tag may stand between
        assert base(plan).startswith(copy[: max(0, first - 80)])


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_compiling_fail(data: bytes) -> None:
    for prefix in (
        b"",
        b"Content-Type: text/html\r\n\r\n",
        b"Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    ):
        plan = compile_message(prefix + data)
        assert plan.untouched is not Reason.INTERNAL_ERROR
        tracked(plan)


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


HOSTILE = {
    "one line of 5 MB": message("x" * 5_000_000 + a('href="http://x.example/"') * 100),
    "5 MB of quoted-printable": message("ü" * 800_000, encoding="quoted-printable"),
    "one quoted-printable line": message(b"=3D" * 1_000_000).replace(b"8bit", b"quoted-printable"),
    "soft breaks": message(b"=\r\n" * 500_000).replace(b"8bit", b"quoted-printable"),
    "5 MB of base64": message(a('href="http://x.example/"') * 120_000, encoding="base64"),
    "an attachment": multipart(
        part(a('href="http://x.example/"')),
        b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + (b"A" * 76 + b"\r\n") * 300_000,
        subtype="mixed",
    ),
    "placeholders": message("{{open_pixel}}{{tracking_preferences_url}}" * 5000, encoding="quoted-printable"),
    "many headers": b"A: 1\r\n" * 200_000 + b"\r\n",
    "parameters": b"Content-Type: text/html" + b"; a=b" * 200_000 + b"\r\n\r\n<p>",
    "a parameter without a value": b"Content-Type: text/html; " + b"a" * 500_000 + b"\r\n\r\n<p>",
    "words for parameters": b"Content-Type: text/html; " + b"a " * 250_000 + b"\r\n\r\n<p>",
    "quoted parameter": b'Content-Type: text/html; a="' + b'\\"' * 500_000 + b"\r\n\r\n<p>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_sizes_are_done_in_linear_time(name: str) -> None:
    # Quadratic work would take minutes here; there is no clock.
    plan = compile_message(HOSTILE[name])
    assert plan.untouched is not Reason.INTERNAL_ERROR
    tracked(plan)


TAMPERED = {
    "a byte of text": lambda copy: copy.replace(b"hello", b"hallo"),
    "a header": lambda copy: copy.replace(b"Subject: News", b"Subject: Olds"),
    "a destination": lambda copy: copy.replace(
        link_url("http://x.example/1").encode(), link_url("http://x.example/2").encode()
    ),
    "a second pixel": lambda copy: copy.replace(b"<img", b"<img>" + PIXEL_HTML + b"<img"),
    "a link that was none": lambda copy: copy.replace(b"/page", link_url("/page").encode()),
    "an end tag": lambda copy: copy.replace(b"</p>", b""),
    "a soft break": lambda copy: copy.replace(b"hello", b"hel=\r\nlo").replace(b"=3D", b"=3d"),
    "a line end": lambda copy: copy.replace(b"</p>\r\n", b"</p>\n"),
}


@pytest.mark.parametrize("name", TAMPERED)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable"])
def test_the_verifier_sees_what_is_wrong(name: str, encoding: str) -> None:
    html = f"<body><p>hello {a('href=http://x.example/1')} <a href='/page'>p</a></p>\r\n</body>"
    data = message(html, encoding=encoding)
    copy = tracked(compile_message(data))
    assert verify(data, copy).problems == []
    changed = TAMPERED[name](copy)
    assert changed != copy
    assert verify(data, changed).problems != []


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_every_web_link_of_real_mail_is_wrapped_or_has_its_reason() -> None:
    seen = 0
    for file in corpus("eml"):
        data = crlf(file.read_bytes())
        plan = compile_message(data)
        if plan.untouched is not None or len(plan.links) >= Rules().max_links:
            continue
        answered = {link.url for link in plan.links} | {kept.what for kept in plan.kept}
        left_parts = [kept for kept in plan.kept if kept.what.startswith("part ")]
        for link in web_links(data):
            assert link in answered or link[:1000] in answered or left_parts, (file.name, link)
            seen += 1
    assert seen > 100


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_real_mail_changes_in_links_and_pixel_only() -> None:
    tracked_messages = 0
    for file in corpus("eml"):
        data = crlf(file.read_bytes())
        plan = compile_message(data)
        report = verify(base(plan), tracked(plan), original=data)
        assert report.problems == [], file.name
        assert plan.untouched is not Reason.INTERNAL_ERROR, file.name
        assert report.pixels == plan.has_pixel_place, file.name
        tracked_messages += plan.untouched is None
    assert tracked_messages > 100


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("html"), reason="no corpus of real mail beside the project")
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_real_html_changes_in_links_and_pixel_only(encoding: str) -> None:
    for file in corpus("html"):
        data = message(crlf(file.read_bytes()), encoding=encoding)
        plan = compile_message(data, Rules(wrap_visible_urls=True))
        report = verify(base(plan), tracked(plan), original=data)
        assert report.problems == [], file.name
        assert encoding == "8bit" or {link.url for link in plan.links} == set(report.wrapped), file.name


# --- what is more than is looked at ---


def reasons(plan: Plan) -> set[Reason]:
    return {kept.reason for kept in plan.kept}


def test_a_header_block_too_large_leaves_the_message_untouched_but_for_our_own_fields() -> None:
    data = b"X-Candor-Tag: a\r\n" + b"A:\r\n" * 5000 + message(a('href="http://x.example/"'))
    plan = compile_message(data)
    assert plan.untouched is Reason.HEADER_TOO_LARGE
    assert base(plan) == tracked(plan) == data.partition(b"\r\n")[2]


def test_a_part_s_header_too_large_leaves_the_part_alone() -> None:
    other = part(a('href="http://x.example/2"'), more="A:\r\n" * 300)
    plan = compile_message(multipart(part(a('href="http://x.example/1"')), other, subtype="mixed"))
    assert [link.url for link in plan.links] == ["http://x.example/1"]


@pytest.mark.parametrize("subtype", ["html", "plain"])
def test_of_too_many_placeholders_the_first_are_filled_in(subtype: str) -> None:
    plan = compile_message(message("{{tracking_preferences_url}}\r\n" * 150, subtype=subtype))
    assert base(plan).count(PREFERENCES.encode()) == 100
    assert Reason.TOO_MANY_PLACEHOLDERS in reasons(plan)


def test_of_too_many_pixel_placeholders_one_is_the_pixel() -> None:
    data = message("<p>x" + "{{open_pixel}}\r\n" * 150)
    copy = tracked(compile_message(data))
    assert len(PIXEL.findall(copy.decode())) == 1
    assert copy.count(b"{{open_pixel}}") == 50


def test_of_too_many_links_in_plain_text_the_first_are_looked_at() -> None:
    data = message("http://x.example/1 http://x.example/2 http://x.example/3", subtype="plain")
    plan = compile_message(data, Rules(wrap_plain_text=True, max_links=2))
    assert len(plan.links) == 2
    assert Reason.TOO_MANY_LINKS in reasons(plan)


@pytest.mark.parametrize("mark", ["", "{{open_pixel}}"])
def test_behind_too_many_tags_nothing_is_known(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    monkeypatch.setattr("relay.html.tree.MAX_TOKENS", 10)
    html = f"<body>{a('href=http://x.example/1')}</body>" + a("href=http://x.example/2") * 20 + mark
    plan = compile_message(message(html))
    assert plan.links[0].url == "http://x.example/1"
    assert not plan.has_pixel_place
    assert Reason.TOO_MANY_TAGS in reasons(plan)
    assert tracked(plan).endswith(b"text</a>" + message("").rpartition(b"\r\n\r\n")[2])


def test_too_many_tags_in_what_only_outlook_reads_leave_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.html.tree.MAX_TOKENS", 10)
    inside = a("href='http://x.example/2'") * 20
    plan = compile_message(message(a("href='http://x.example/1'") + f"<!--[if mso]>{inside}<![endif]-->"))
    assert [link.url for link in plan.links] == ["http://x.example/1"]
    assert plan.has_pixel_place
    assert Reason.TOO_MANY_TAGS in reasons(plan)
