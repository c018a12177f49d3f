"""Compile a message, render it, and put both copies to the proof."""

from __future__ import annotations

import binascii

from support.verifier import PIXEL_URL, Report, link_url, verify

from relay.reasons import EXPLANATIONS, Reason
from relay.rewrite import Plan, Rules, compile_message

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


def octets(data: bytes, encoding: str) -> bytes:
    """The content of a message of one part."""
    content = data.partition(b"\r\n\r\n")[2]
    if encoding.startswith("quoted"):
        return binascii.a2b_qp(content)
    return binascii.a2b_base64(content) if encoding == "base64" else content


def decoded(data: bytes, encoding: str) -> str:
    return octets(data, encoding).decode()


def reasons(plan: Plan) -> set[Reason]:
    return {kept.reason for kept in plan.kept}
