"""Which links are wrapped and which never are: a row for each rule and each exception."""

from __future__ import annotations

import re

import pytest
from support.mail import message, multipart, part
from support.proof import (
    ENCODINGS,
    a,
    prove,
)

from relay.reasons import EXPLANATIONS, Reason
from relay.rewrite import Rules, compile_message
from relay.rulebook import OPT_OUT_MARKS

WRAPPED = [
    ('href="http://x.example/"', "http://x.example/"),
    ("href='HTTPS://x.example'", "HTTPS://x.example"),
    ("href=http://x.example/a?b=c&d=e#f", "http://x.example/a?b=c&d=e#f"),
    ('href="http://x.example/?a=1&amp;b=2"', "http://x.example/?a=1&b=2"),
    ('href="http://x.example/?a=1&copy=2&reg"', "http://x.example/?a=1&copy=2®"),
    ('href=" http://x.example/\t\r\n "', "http://x.example/"),
    ('href="http://x.\r\n\texample/a"', "http://x.example/a"),
    ('href="&#104;ttp&colon;//x.example/"', "http://x.example/"),
    ('href="http://x.example/&#000000000000065;"', "http://x.example/A"),
    ('href="http://x.example:8080/"', "http://x.example:8080/"),
    ('href="http://[2001:db8::1]/"', "http://[2001:db8::1]/"),
    ('href="http://192.0.2.1/"', "http://192.0.2.1/"),
    ('href="http://x.example/%7Buser%7D/100%25"', "http://x.example/%7Buser%7D/100%25"),
    ('href="http://x.example/a{b}c|d^e"', "http://x.example/a{b}c|d^e"),
    ('href="http://x.example/" href="http://y.example/"', "http://x.example/"),
    ('title="a > b" href="http://x.example/"', "http://x.example/"),
    ('data-no-trackx clicktracking=on href="http://x.example/"', "http://x.example/"),
    ('ses:tags="colour:red;" data-msys-sublink="top" href="http://x.example/"', "http://x.example/"),
    ('data-msys-clicktrack="1" autotrack="true" href="http://x.example/"', "http://x.example/"),
    ('class="trackeduntracked" href="http://x.example/"', "http://x.example/"),
    ('href="http://x.example/logins/paying/resettlement"', "http://x.example/logins/paying/resettlement"),
]


@pytest.mark.parametrize(("attributes", "url"), [row for row in WRAPPED if "®" not in row[1]])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_these_links_are_wrapped(attributes: str, url: str, encoding: str) -> None:
    data = message(f"<html><body>{a(attributes)}</body></html>\r\n", encoding=encoding)
    assert prove(data).wrapped == [url]


KEPT = [
    ('clicktracking=no href="http://x.example/"', "text", Reason.OPT_OUT),
    ('clicktracking href="http://x.example/"', "text", Reason.OPT_OUT),
    ('data-msys-clicktrack="false" href="http://x.example/"', "text", Reason.OPT_OUT),
    ('autotrack=FALSE href="http://x.example/"', "text", Reason.OPT_OUT),
    ('class="a MktNoTrack" href="http://x.example/"', "text", Reason.OPT_OUT),
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
    ('href="http://x.example/&#000000000065123;"', "text", Reason.NON_ASCII),
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
    ('href="https://x.example/"', "b&uuml;cher.example", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "www.пример.испытание/путь", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "пример.испытание/путь", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "उदाहरण.परीक्षा", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "例え.テスト", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "<!-->x.example<!-- -->", Reason.VISIBLE_URL),
    ('href="https://x.example/"', "x.example<!-- a --!>", Reason.VISIBLE_URL),
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


X = "http://x.example/"
DOCUMENTS = {
    "an area": (f"<map name=m><area shape=rect href='{X}'></map>", [X]),
    "single quotes and none": (
        f"<a href='{X}1'>t</a><a href={X}2>t</a><a href={X}3/>t</a>",
        [f"{X}1", f"{X}2", f"{X}3/"],
    ),
    "a base leaves what is absolute": (
        f"<head><base href='{X}'></head><a href='{X}1'>t</a><a href='2'>t</a>",
        [f"{X}1"],
    ),
    "a base is no link": (f"<base href='{X}'>", []),
    "a form": (f"<form action='{X}'><button formaction='{X}'>b</button></form>", []),
    "a style sheet": (f"<link rel=stylesheet href='{X}'><style>@import '{X}';</style>", []),
    "an image": (f"<img src='{X}' longdesc='{X}'><img usemap='{X}'>", []),
    "a background": (f"<td background='{X}' style='background:url({X})'>t</td>", []),
    "a quotation": (f"<blockquote cite='{X}'>t</blockquote>", []),
    "an iframe": (f"<iframe src='{X}'><a href='{X}'>t</a></iframe>", []),
    "xlink": (f"<a xlink:href='{X}'>t</a>", []),
    "before svg and behind it": (
        f"<a href='{X}1'>t</a><svg><a href='{X}2'>t</a></svg><a href='{X}3'>t</a>",
        [f"{X}1"],
    ),
    "inside svg by xlink": (f"<svg><a xlink:href='{X}'><text>t</text></a></svg>", []),
    "behind math": (f"<math></math><a href='{X}'>t</a>", []),
    "inside a template": (f"<template><a href='{X}'>t</a></template>", []),
    "inside a select": (f"<select><option><a href='{X}'>t</a></select>", []),
    "behind plaintext": (f"<plaintext><a href='{X}'>t</a>", []),
    "a comment": (f"<!-- <a href='{X}'>t</a> -->", []),
    "a comment for others than Outlook": (f"<!--[if IE]><a href='{X}'>t</a><![endif]-->", []),
    "shown by all but Outlook": (f"<!--[if !mso]><!--><a href='{X}'>t</a><!--<![endif]-->", [X]),
    "only Outlook's": (f"<!--[if gte mso 9]><a href='{X}'>t</a><![endif]-->", [X]),
    "VML for Outlook": (
        f"<!--[if mso]><v:rect href='{X}'><v:textbox>t</v:textbox></v:rect><![endif]-->",
        [X],
    ),
    "VML outside comments": (f"<v:rect href='{X}'>t</v:rect>", []),
    "a link in Outlook's head": (f"<!--[if mso]><link href='{X}'><![endif]-->", []),
    "raw text": (
        f"<title><a href='{X}'></title><textarea><a href='{X}'></textarea><script>'<a href={X}>'</script>",
        [],
    ),
    "a heading around": (f"<a href='{X}'><h1>t</h1></a>", [X]),
    "an image inside": (f"<a href='{X}'><img src='cid:1' alt='x.example'></a>", [X]),
    "a button": (f"<table><tr><td><a href='{X}' target=_blank rel=noopener>t</a></td></tr></table>", [X]),
    "a mark around": (
        f"<div data-candor-no-track><p><a href='{X}1'>t</a></p></div><a href='{X}2'>t</a>",
        [f"{X}2"],
    ),
    "an address with a path in view": (
        f"<a href='{X}1'>x.example/1</a><a href='{X}2'>read x.example</a>",
        [f"{X}2"],
    ),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_links_are_wrapped_where_people_can_follow_them(name: str, encoding: str) -> None:
    html, wrapped = DOCUMENTS[name]
    assert prove(message(f"<body>{html}</body>", encoding=encoding)).wrapped == wrapped


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
