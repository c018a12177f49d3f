"""Mail as it is written for other services, sent through the real relay: each does here what it asks for."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from support.people import DENIED, GRANTED, URLS, copies, gather_the_six, newsletter, rows, send
from support.sites import running, site
from support.upstream import ScriptedUpstream

from tracker.store.schema import messages

EVERYTHING, NOTHING = (1, len(URLS), 1), (0, 0, 0)
"""Pixels, wrapped links of the HTML, wrapped links of the text."""


def _api(name: str, value: object) -> str:
    return f"{name}: {json.dumps(value)}"


def _filters(opens: int, clicks: int, **more: object) -> dict[str, object]:
    found = {"opentrack": {"settings": {"enable": opens}}, "clicktrack": {"settings": {"enable": clicks}}}
    return {"filters": found, **more}


_TO = {"to": ["joe@elsewhere.example", "ann@elsewhere.example"]}
_TRACE = {"OpenTrace": "1", "LinkTrace": "0", "TagName": "spring"}
MAIL: list[tuple[str, tuple[int, int, int], dict[str, Any]]] = [
    ("X-Mailgun-Track: yes\nX-Mailgun-Tag: newsletter\nX-Mailgun-Tag: spring", EVERYTHING, {"tags": ["newsletter", "spring"]}),
    ("X-Mailgun-Track: no", NOTHING, {}),
    ("X-Mailgun-Track-Clicks: htmlonly", (1, len(URLS), 0), {}),
    ('X-Mailgun-Track-Opens: no\nX-Mailgun-Variables: {"my-id": 123}', (0, len(URLS), 1), {"metadata": {"my-id": "123"}}),
    ("X-PM-TrackOpens: true\nX-PM-TrackLinks: HtmlAndText\nX-PM-Tag: welcome", EVERYTHING, {"tags": ["welcome"]}),
    ("X-PM-TrackOpens: false\nX-PM-TrackLinks: TextOnly", (0, 0, 1), {}),
    ("X-PM-TrackLinks: None\nX-PM-Metadata-Color: blue", (1, 0, 0), {"metadata": {"Color": "blue"}}),
    ("X-SES-CONFIGURATION-SET: all\nX-SES-MESSAGE-TAGS: a=b, c=d", EVERYTHING, {"metadata": {"a": "b", "c": "d"}}),
    ("X-SES-CONFIGURATION-SET: receipts", NOTHING, {}),
    (_api("X-SMTPAPI", _filters(1, 1, category=["Orders"], unique_args={"n": "9"}) | _TO), EVERYTHING, {"tags": ["Orders"]}),
    (_api("X-SMTPAPI", _filters(0, 1)), (0, len(URLS), 1), {}),
    (_api("X-MSYS-API", {"options": {"open_tracking": True, "click_tracking": False}}), (1, 0, 0), {}),
    (_api("X-MSYS-API", {"tags": ["t"], "metadata": {"k": 1}}), EVERYTHING, {"tags": ["t"], "metadata": {"k": "1"}}),
    ("X-MC-Track: opens,clicks_htmlonly\nX-MC-Tags: a,b", (1, len(URLS), 0), {"tags": ["a", "b"]}),
    ("X-MC-Track: clicks", (0, len(URLS), 1), {}),
    ("X-Mailjet-TrackOpen: 0\nX-Mailjet-TrackClick: 1\nX-MJ-CustomID: 77", (0, len(URLS), 1), {"metadata": {"CustomID": "77"}}),
    (f"X-AliDM-Trace: {b64encode(json.dumps(_TRACE).encode()).decode()}", (1, 0, 0), {"tags": ["spring"]}),
    ("X-SMTPAPI: {broken", NOTHING, {"tags": [], "metadata": None}),
]  # fmt: skip


async def test_mail_for_other_services_does_here_what_it_asks_for(store_url: str, tmp_path: Path) -> None:
    compat = {
        "ses_configuration_sets": {"all": "full", "receipts": "none"},
        "pass": ["X-PM-Tag"],
        "upstream": "mailjet",
    }
    told = b"X-Mailjet-TrackOpen: 0\r\nX-Mailjet-TrackClick: 0\r\n"
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, compat=compat, rewrite={"wrap_plain_text": True})
        async with running(where) as domain:
            await gather_the_six(domain)
            for number, (header, expected, kept) in enumerate(MAIL):
                subject = f"Mail {number}"
                upstream.received.clear()
                lines = "".join(f"{line}\r\n" for line in header.split("\n"))
                code, text = await send(
                    where.smtp_port, newsletter(header=lines, subject=subject), GRANTED, DENIED
                )
                assert code == 250, text
                got = copies(upstream.received)
                assert got[DENIED].data.startswith(told + b"Received: ")
                passed = next((line for line in lines.splitlines(True) if line.startswith("X-PM-Tag")), "")
                assert got[DENIED].data.endswith(b"\r\n" + newsletter(header=passed, subject=subject)), header
                copy = got[GRANTED]
                assert copy.data.startswith(told + b"Received: ")
                text_part = copy.data.partition(b"text/plain")[2].partition(b"text/html")[0]
                assert (len(copy.pixels), len(copy.links), text_part.count(b"/c/")) == expected, header
                (row,) = [one for one in await rows(domain, messages) if one["subject"] == subject]
                assert {name: row[name] for name in kept} == kept, header
            assert row["kept"][0] == ["", "unknown-value", "X-SMTPAPI", 1]
            assert "elsewhere.example" not in str(await rows(domain, messages))
