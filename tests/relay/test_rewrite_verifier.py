"""The verifier itself: it sees what is wrong."""

from __future__ import annotations

import pytest
from support.mail import message
from support.proof import (
    PIXEL_HTML,
    a,
    tracked,
)
from support.verifier import link_url, verify

from relay.rewrite import compile_message

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
