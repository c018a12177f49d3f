"""The replies we speak: well formed, with enhanced codes that cannot contradict their codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import replies
from relay.replies import Reply

CONSTANTS = {name: value for name, value in vars(replies).items() if isinstance(value, Reply)}
MADE = {
    "greeting": replies.greeting("relay.test"),
    "hello": replies.hello("relay.test", ("PIPELINING", "DSN")),
    "challenge": replies.challenge(""),
    "bad_parameter": replies.bad_parameter("SIZE"),
    "accepted": replies.accepted("0a"),
    "unexpected": replies.unexpected("0a"),
    "store_unavailable": replies.store_unavailable("0a"),
    "put_off": replies.put_off("0a"),
}
WITHOUT_ENHANCED = {"greeting", "hello", "challenge", "SEND_DATA"}


@pytest.mark.parametrize("name", [*CONSTANTS, *MADE])
def test_every_reply_is_well_formed(name: str) -> None:
    reply = (CONSTANTS | MADE)[name]
    for line in str(reply).split("\r\n"):
        assert line.isascii()
        assert line.isprintable()
        assert len(line) <= 510  # RFC 5321 4.5.3.1.5
        assert line[:3] == str(reply.code)
    if name in WITHOUT_ENHANCED:
        assert reply.enhanced == ""
    else:
        assert str(reply).startswith(f"{reply.code} {reply.code // 100}.{reply.detail} ")


@pytest.mark.parametrize(
    ("reply", "wire"),
    [
        (replies.OK, "250 2.0.0 Ok"),
        (replies.challenge(""), "334 "),
        (replies.challenge("QQ=="), "334 QQ=="),
        (replies.hello("h"), "250 h"),
        (replies.hello("h", ("A", "B 1")), "250-h\r\n250-A\r\n250 B 1"),
        (Reply(code=550, detail="7.1", text="two\nlines"), "550-5.7.1 two\r\n550 5.7.1 lines"),
        (Reply(code=451, detail="3.0", text=""), "451 4.3.0 "),
        (replies.unexpected("ab"), "451 4.3.0 Local error, try again later (ab)"),
    ],
)
def test_replies_on_the_wire(reply: Reply, wire: str) -> None:
    assert str(reply) == wire


@given(st.integers(200, 599), st.text())
def test_no_text_can_make_a_line_that_is_not_of_the_reply(code: int, text: str) -> None:
    wire = str(Reply(code=code, detail="1.0", text=text))
    lines = wire.split("\r\n")
    assert all(line.startswith(str(code)) for line in lines)
    assert [line[3] for line in lines] == ["-"] * (len(lines) - 1) + [" "]
    assert "\n" not in wire.replace("\r\n", "")
    assert "\r" not in wire.replace("\r\n", "")


@pytest.mark.parametrize("code", [0, 199, 600, -250])
def test_a_code_out_of_range_cannot_be_made(code: int) -> None:
    with pytest.raises(ValueError, match="reply code"):
        Reply(code=code, detail="", text="")
