"""A message as a page shows it: what was wrapped bears its badge, and nothing in it acts."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.display import displayed
from relay.rewrite import Rules, compile_message

RULES = Rules()
APPLES, PEARS = "https://shop.example/apples?a=1&b=2", "https://shop.example/pears"
GIF = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
BADGES = {1: (APPLES, "1: 25.0%"), 2: (PEARS, "2: 5.0%")}


def message(html: str, *, charset: str = "utf-8", encoding: str = "base64") -> bytes:
    octets = html.encode(charset)
    body = b64encode(octets) if encoding == "base64" else octets
    return (
        f"From: shop@shop.example\r\nTo: joe@people.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/html; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    ).encode() + body


LINKS = (
    f'<p>Grüße <a href="{APPLES.replace("&", "&amp;")}">apples</a>'
    f' <a href="{PEARS}"><img src="cid:p" alt="pears"></a></p>'
)


@pytest.mark.parametrize(
    ("charset", "encoding"), [("utf-8", "base64"), ("iso-8859-1", "8bit"), ("utf-16", "base64")]
)
def test_each_link_bears_its_badge_and_leads_nowhere(charset: str, encoding: str) -> None:
    data = message(LINKS, charset=charset, encoding=encoding)
    html = displayed(data, RULES, BADGES) or ""
    assert "Gr\u00fc\u00dfe" in html
    assert ("1: 25.0%" in html) is bool(compile_message(data, RULES).links)
    assert "href" not in html
    assert "link.invalid" not in html


def test_a_link_that_other_rules_would_number_otherwise_bears_none() -> None:
    html = displayed(message(LINKS), RULES, {1: (PEARS, "wrong"), 2: (PEARS, "right")}) or ""
    assert "right" in html
    assert "wrong" not in html


def test_pictures_that_come_with_the_message_are_shown_and_others_are_not() -> None:
    html = (
        '<a href="https://shop.example/"><img src="cid:logo@shop" alt="logo"></a>'
        '<img src="https://t.example/spy.gif" alt="spy">'
    )
    data = (
        b'From: a@b.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"\r\n\r\n--b\r\n'
        b"Content-Type: text/html\r\n\r\n" + html.encode() + b"\r\n--b\r\nContent-Type: image/gif\r\n"
        b"Content-ID: <logo@shop>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b64encode(GIF)
        + b"\r\n--b--\r\n"
    )
    shown = displayed(data, RULES, {}) or ""
    assert f'src="data:image/gif;base64,{b64encode(GIF).decode()}"' in shown
    assert "spy.gif" not in shown
    assert 'alt="spy"' in shown


def test_what_has_no_html_is_not_shown() -> None:
    assert displayed(b"From: a@b.example\r\nContent-Type: text/plain\r\n\r\nhello\r\n", RULES, {}) is None


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<form action='https://evil.example/'><input name=p autofocus onfocus=alert(1)><button>go</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<object data='https://evil.example/x'></object>",
    "<a href='javascript:alert(1)' ping='https://evil.example/' target=_top>x</a>",
    "<img srcset='https://evil.example/x 2x' src='data:image/svg+xml;base64,AAAA'>",
    "<table background='https://evil.example/x'><tr><td>x</table>",
    "<video poster='https://evil.example/x' src='https://evil.example/y'></video>",
)
_ACTS = re.compile(
    r"<[^>]*(?:\son\w+=|javascript:|srcdoc|https?://evil)|<(?:script|iframe|form|meta|base|link|object|svg)\b",
    re.I,
)


@pytest.mark.parametrize("html", HOSTILE)
def test_nothing_acts_loads_or_leads_away(html: str) -> None:
    shown = displayed(message(f"<p>before</p>{html}<p>after</p>"), RULES, BADGES) or ""
    assert not _ACTS.search(shown), shown
    assert "before" in shown


@given(
    st.lists(
        st.sampled_from((*HOSTILE, LINKS, "<", ">", '"', "<a", "</p>", "<!--", "-->", "<![CDATA[", "&#60;")),
        max_size=8,
    ).map("".join)
)
def test_however_it_is_put_together_nothing_acts(html: str) -> None:
    shown = displayed(message(f"<p>{html}"), RULES, BADGES) or ""
    assert not _ACTS.search(re.sub(r"<!--.*?-->", "", shown, flags=re.S)), shown
