"""What was meant for us is taken out or filled in, and nothing else."""

from __future__ import annotations

import pytest
from support.mail import message, multipart, part
from support.proof import (
    ENCODINGS,
    PREFERENCES,
    a,
    base,
    decoded,
    prove,
    reasons,
    tracked,
)
from support.verifier import PIXEL, PIXEL_URL, verify

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message

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
    ("a{{ses:openTracker}}b<opentag/>c<opentag />d<opentag>e", "abcde"),
    ("{{ses:opentracker}} {{ ses:openTracker }} <opentags/> <opentag x>", None),
    ('<!--<opentag/>--><title><opentag/></title><p title="<opentag/>">', None),
    ("<!--{{ses:openTracker}}--><title>{{ses:openTracker}}</title>", "<!----><title></title>"),
    ("<!--{{open_pixel}}--><title>{{open_pixel}}</title>", "<!----><title></title>"),
    ('<p data-candor-no-track="{{open_pixel}}">', "<p>"),
    # lines stay apart: joined they could pass what SMTP permits
    ('<p\r\n data-candor-no-track\r\n id="x">', '<p\r\n\r\n id="x">'),
    ("<p data-candor-no-track=\r\n>" + "y" * 990, "<p\r\n>" + "y" * 990),
    ("<p data-candor-no-track=\r\nx>" + "y" * 985, "<p data-candor-no-track=\r\nx>" + "y" * 985),
    (
        '<!--[if mso]><a data-candor-no-track href="http+notrack://x/"><![endif]-->',
        '<!--[if mso]><a href="http://x/"><![endif]-->',
    ),
]


@pytest.mark.parametrize(("html", "expected"), BASES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_base_lacks_what_was_meant_for_us(html: str, expected: str | None, encoding: str) -> None:
    around = "<body>\r\nüber " + "long words and more " * 8 + "{}\r\n</body>\r\n"
    data = message(around.replace("{}", html), encoding=encoding)
    wanted = around.replace("{}", html if expected is None else expected)
    assert decoded(base(compile_message(data)), encoding) == wanted
    prove(data)


@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_link_is_spoilt_by_a_prefix_of_ours_because_there_are_many(most: int, encoding: str) -> None:
    link = '<a href="https+notrack://x.example/{}">t</a>\r\n'
    vml = '<!--[if mso]><v:rect href="https+notrack://x.example/4">t</v:rect><![endif]-->\r\n'
    html = "".join([link.format(number) for number in range(4)]) + vml
    rules = Rules(max_links=most)
    data = message(html, encoding=encoding)
    plan = compile_message(data, rules)
    assert decoded(base(plan), encoding) == html.replace("+notrack", "")
    assert [kept.reason for kept in plan.kept] == [Reason.OPT_OUT] * most + [Reason.TOO_MANY_LINKS]
    prove(data, rules)


@pytest.mark.parametrize("subtype", ["html", "plain"])
def test_a_placeholder_stays_where_its_line_would_grow_too_long(subtype: str) -> None:
    long = "x" * 970 + "{{tracking_preferences_url}}"
    data = message(f"{{{{tracking_preferences_url}}}}\r\n{long}\r\n", subtype=subtype)
    plan = compile_message(data)
    for copy in (base(plan), tracked(plan)):
        assert f"\r\n{PREFERENCES}\r\n{long}\r\n".encode() in copy
        assert max(map(len, copy.split(b"\r\n"))) <= 998
    rendered = plan.rendered(link_url=None, pixel_url=PIXEL_URL, preferences_url=PREFERENCES)
    assert (rendered.has_pixel, rendered.unwrapped) == (subtype == "html", ())
    prove(data)


@pytest.mark.parametrize("links", [1, 20])
def test_a_placeholder_has_its_line_s_room_before_links(links: int) -> None:
    line = a("href=http://x.example/") * links + "{{tracking_preferences_url}}"
    line = "x" * (990 - len(line)) + line
    data = message(f"{line}\r\n")
    untracked, copy = base(compile_message(data)), tracked(compile_message(data))
    assert PREFERENCES.encode() in untracked
    assert PREFERENCES.encode() in copy
    assert max(map(len, copy.split(b"\r\n"))) <= 998
    prove(data)


P = "{{ open_pixel }}"


@pytest.mark.parametrize(
    ("html", "goes"),
    [
        (f'<a title="{P}">x</a>', True),
        (f"<a title='a{P}b' href='http://x.example/'>x</a>", True),
        (f"<a title=a{P.replace(' ', '')}b>x</a>", True),
        (f"<!-- {P} --><p>x", True),
        (f"<!--{P}--><p>x", True),
        (f"<!--[if mso]><p>{P}</p><![endif]-->x", True),
        (f"<title>{P}</title>x", True),
        (f"<style>a {P} b</style>x", True),
        (f"<a 1 href={P}\"=><a href='http://x.example/'>x\"><b>", False),
        (f'<a title={P.replace(" ", "")}"x>y" href="http://x.example/">x</a>', False),
        (f'<a {P.replace(" ", "")}="x>y" href="http://x.example/">x</a>', False),
        (f"<a hr{P.replace(' ', '')}ef=http://x.example/>x</a>", False),
        (f"<!--{P}><p>--><p>x", False),
        (f"<!-- -{P}-{P}> <p>x --><p>y", False),
        (f"<!--[if mso]><p title={P.replace(' ', '')}\"><a href='http://x.example/'>\"<![endif]-->x", False),
        (f"<title></ti{P.replace(' ', '')}tle>x</title>y", False),
        (f"<style></sty{P.replace(' ', '')}le><p></style>y", False),
        (f"<title>{P}never closed", True),
        (f"<{P}a href='http://x.example/'>x</a>", False),
    ],
)
def test_a_placeholder_goes_only_where_tags_stay_what_they_are(html: str, goes: bool) -> None:
    data = message(f"<body>{html}</body>", encoding="base64")
    plan = compile_message(data)
    found = decoded(plan.base(preferences_url=PREFERENCES), "base64")
    assert (P not in found and P.replace(" ", "") not in found) is goes
    assert any(kept.reason is Reason.IN_TAG for kept in plan.kept) is not goes
    prove(data)


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


def test_only_placeholders_and_marks_that_are_there_are_said_to_stay_before_a_delimiter() -> None:
    body = f"<body>{a('href=https://x.example/')} --=_b1"
    plan = compile_message(multipart(part(body)))
    assert (reasons(plan), len(plan.links), plan.has_pixel_place) == (set(), 1, True)
    assert reasons(compile_message(multipart(part(f"{body}{{{{open_pixel}}}}")))) == {Reason.DELIMITER}


def test_a_placeholder_behind_a_lone_cr_stays_before_a_delimiter() -> None:
    """Without it the CR and the delimiter's LF would be one line end, and the part an octet shorter."""
    head = b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\n'
    data = head + b"\r{{open_pixel}}\n--b--\n"
    assert compile_message(data).base(preferences_url=PREFERENCES) is data
