"""The pixel: where it goes, and that there is one."""

from __future__ import annotations

import pytest
from support.mail import message, multipart, part
from support.proof import (
    a,
    decoded,
    prove,
    tracked,
)
from support.verifier import PIXEL, PIXEL_URL

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message

PIXELS = [
    ("<body>x</body>", "<body>x|</body>"),
    ("x\r\n", "x|\r\n"),
    ("x{{open_pixel}}y</body>", "x|y</body>"),
    ("x{{ses:openTracker}}y</body>", "x|y</body>"),
    ("x<opentag/>y<opentag>{{open_pixel}}z</body>", "x|yz</body>"),
    ("x<opentag/>", "x|"),
    (
        "x<!--<opentag/>--><p title='<opentag/>'>y<opentag/></body>",
        "x<!--<opentag/>--><p title='<opentag/>'>y|</body>",
    ),
    ("x<opentag x>y<a<opentag/>z</body>", "x<opentag x>y<a<opentag/>z|</body>"),
    ("<<opentag/>svg>x</body>", "<<opentag/>svg>x|</body>"),
    ("x</body><svg><opentag/>", "x|</body><svg><opentag/>"),
    ("x</body><plaintext><opentag/>", "x|</body><plaintext><opentag/>"),
    ("<frameset><opentag/>x</body>", None),
    ("x<!--{{open_pixel}}--></body>", "x<!---->|</body>"),
    ("<p title='{{open_pixel}}'>x{{open_pixel}}{{open_pixel}}</body>", "<p title=''>x|</body>"),
    ("<body class=x>" + "y" * 102_390 + "</body>", "<body class=x>|" + "y" * 102_390 + "</body>"),
    ("<body>" + "y" * 102_300 + "</body>", "<body>" + "y" * 102_300 + "|</body>"),
    ("y" * 110_000, "y" * 110_000 + "|"),
    # what is asked for where it would not be an image goes to the end
    ("x<! {{open_pixel}}>y</body>", "x<! {{open_pixel}}>y|</body>"),
    ("x<? {{open_pixel}}?>y</body>", "x<? {{open_pixel}}?>y|</body>"),
    ("x</ {{open_pixel}}a>y</body>", "x</ {{open_pixel}}a>y|</body>"),
    # where filling it in would make a tag, it stays
    ("<{{open_pixel}}svg>x</body>", "<{{open_pixel}}svg>x|</body>"),
    ("<{{tracking_preferences_url}} x</body>", "<{{tracking_preferences_url}} x|</body>"),
    ("x<!{{open_pixel}}--y</body>", "x<!{{open_pixel}}--y</body>|"),
    ("x</body><plaintext>{{open_pixel}}", "x|</body><plaintext>"),
    ("x</body><select><p>{{open_pixel}}</select>{{open_pixel}}", "x|</body><select><p></select>"),
]


@pytest.mark.parametrize(("html", "expected"), PIXELS, ids=[row[0][:30] for row in PIXELS])
def test_the_pixel_has_one_place(html: str, expected: str | None) -> None:
    data = message(html, encoding="base64")
    found = PIXEL.sub("|", decoded(tracked(compile_message(data)), "base64"))
    assert found == (html if expected is None else expected)
    assert prove(data).pixels == (expected is not None)


WISHES = "X-Mailgun-Track-Pixel-Location-Top: yes\r\n"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<body class=x>y</body>", "<body class=x>|y</body>"),
        ("<body>y{{open_pixel}}z</body>", "<body>y|z</body>"),
        ("<p>y", "<p>y|"),
        ("<body>y<!-- never closed", "<body>y<!-- never closed"),
    ],
)
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_the_pixel_stands_first_where_the_message_asks_for_it(
    html: str, expected: str, encoding: str
) -> None:
    data = message(html, encoding=encoding, header=WISHES)
    plan = compile_message(data)
    assert PIXEL.sub("|", decoded(tracked(plan), encoding)) == expected
    assert prove(data).pixels == plan.has_pixel_place == ("|" in expected)


def test_a_pixel_that_was_to_stand_first_stands_nowhere_before_a_delimiter() -> None:
    body = f"<body>{a('href=https://x.example/')} --=_b1</body>"
    assert not compile_message(multipart(part(body), header=WISHES)).has_pixel_place


def test_wrapping_may_move_the_pixel_before_what_would_be_clipped() -> None:
    html = "<body>" + "y" * 102_000 + a("href=http://x.example/1") * 8 + "</body>"
    plan = compile_message(message(html, encoding="base64"))
    only_pixel = plan.render(link_url=None, pixel_url=PIXEL_URL)
    assert PIXEL.sub("|", decoded(only_pixel, "base64")).endswith("|</body>")
    assert PIXEL.sub("|", decoded(tracked(plan), "base64")).startswith("<body>|yyy")


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
