"""Properties over invented messages: well-formed, broken, and noise."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.mail import message, multipart, part
from support.proof import (
    PREFERENCES,
    base,
    tracked,
)
from support.verifier import PIXEL_URL, link_url, verify

from relay.reasons import Reason
from relay.rewrite import Rules, compile_message


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
@settings(max_examples=examples(150), deadline=None)
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
@settings(max_examples=examples(120), deadline=None)
def test_the_base_of_a_base_is_itself(data: bytes) -> None:
    first = base(compile_message(data))
    assert base(compile_message(first)) is first or b"{{" in first


@given(mail(), st.integers(0, 400), st.binary(max_size=20), st.integers(0, 30))
@settings(max_examples=examples(120), deadline=None)
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
@settings(max_examples=examples(120), deadline=None)
def test_no_bytes_make_compiling_fail(data: bytes) -> None:
    for prefix in (
        b"",
        b"Content-Type: text/html\r\n\r\n",
        b"Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    ):
        plan = compile_message(prefix + data)
        assert plan.untouched is not Reason.INTERNAL_ERROR
        tracked(plan)
