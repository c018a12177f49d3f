"""Headers of other services: what each asks for here, and that none asks for more."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.base_verifier import _OWN as GOES
from support.commands import call
from support.mail import message

from relay.aliases import ALIASES, EVERY, MAX_METADATA, MAX_TAGS, MAX_VALUE, Aliases
from relay.aliases.upstream import NO_TRACKING, no_tracking
from relay.cli.lint import BEGIN, END, markdown
from relay.config import Config
from relay.controls import read
from relay.linting import lint
from relay.mime import MAX_FIELDS
from relay.rewrite import Rules, compile_message
from relay.submission import Options
from relay.verification.comparison import _OTHERS_FIELD
from tracker.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
NOTHING = {"opens": False, "clicks": False}


def ali(value: object) -> str:
    return "X-AliDM-Trace: " + base64.b64encode(json.dumps(value).encode()).decode()


def api(value: object) -> str:
    return "X-SMTPAPI: " + json.dumps(value)


def filters(**switches: object) -> str:
    return api({"filters": {name: {"settings": {"enable": value}} for name, value in switches.items()}})


WISHES = [
    ("X-Mailgun-Track: yes", {}, False),
    ("X-Mailgun-Track: no", NOTHING, False),
    ("X-Mailgun-Track: htmlonly", {"text_links": False}, False),
    ("X-Mailgun-Track: nope", NOTHING, True),
    ("X-Mailgun-Track-Clicks: htmlonly", {"text_links": False}, False),
    ("X-Mailgun-Track-Clicks: no\r\nX-Mailgun-Track-Clicks: yes", {"clicks": False}, False),
    ("X-Mailgun-Track-Opens: No", {"opens": False}, False),
    ("X-Mailgun-Track-Opens:\r\n no", {"opens": False}, False),
    ("X-Mailgun-Track-Opens: =?utf-8?q?no?=", {"opens": False}, False),
    ("X-Mailgun-Track-Opens: y\x00es", {"opens": False}, True),
    ("X-Mailgun-Track-Open: yes", NOTHING, True),
    ("X-Mailgun-Track-Pixel-Location-Top: yes", {"pixel_first": True}, False),
    ("X-Mailgun-Track-Pixel-Location-Top: perhaps", {}, True),
    ("X-Mailgun-Tag: a, b\r\nX-Mailgun-Tag: c", {"tags": ("a, b", "c")}, False),
    ('X-Mailgun-Variables: {"a": "b",\r\n "n": [1, null]}', {"metadata": (("a", "b"), ("n", "[1,null]"))}, False),
    ("X-Mailgun-Variables: {'a': 1}", {}, True),
    ("X-Mailgun-Drop-Message: yes", {}, False),
    ("X-PM-TrackOpens: false", {"opens": False}, False),
    ("X-PM-TrackLinks: None", {"clicks": False}, False),
    ("X-PM-TrackLinks: HtmlAndText", {}, False),
    ("X-PM-TrackLinks: HtmlOnly", {"text_links": False}, False),
    ("X-PM-TrackLinks: textonly", {"html_links": False}, False),
    ("X-PM-TrackLinks: Html", {"clicks": False}, True),
    ("X-PM-Tag: welcome\r\nX-PM-Metadata-Order-Id: 4711", {"tags": ("welcome",), "metadata": (("Order-Id", "4711"),)}, False),
    ("X-PM-Message-Stream: broadcast", {"metadata": (("message-stream", "broadcast"),)}, False),
    ("X-SES-CONFIGURATION-SET: receipts", {"policy": "receipts"}, False),
    ("X-SES-CONFIGURATION-SET: a\r\nX-SES-CONFIGURATION-SET: b", {"policy": "a", **NOTHING}, True),
    ("X-SES-MESSAGE-TAGS: a=1, b=2", {"metadata": (("a", "1"), ("b", "2"))}, False),
    ("X-SES-MESSAGE-TAGS: a=1, b", {"metadata": (("a", "1"),)}, True),
    (filters(clicktrack=1, opentrack="1"), {}, False),
    (filters(clicktrack=0), {"clicks": False}, False),
    (filters(opentrack=False), {"opens": False}, False),
    (filters(clicktrack="maybe"), {"clicks": False}, True),
    (api({"filters": {"clicktrack": {"settings": {"enable": 1, "enable_text": 0}}}}), {"text_links": False}, False),
    (api({"filters": {"opentrack": 0}}), {"opens": False}, True),
    (api({"category": ["a", "b", 3], "unique_args": {"id": 7}}), {"tags": ("a", "b"), "metadata": (("id", "7"),)}, False),
    (api({"to": ["ann@reader.example"], "sub": {"-n-": ["Ann"]}, "category": "x"}), {"tags": ("x",)}, False),
    (filters(Clicktrack=0), NOTHING, True),
    (filters(clicktrack=1, click_tracking=0), NOTHING, True),
    (filters(subscriptiontrack=0), {}, False),
    ("X-SMTPAPI: {", NOTHING, True),
    ("X-SMTPAPI: []", NOTHING, True),
    ('X-SMTPAPI: {"filters": {}, "filters": {}}', NOTHING, True),
    ("X-SMTPAPI: " + "[" * 5000, NOTHING, True),
    ('X-MSYS-API: {"options": {"open_tracking": false, "click_tracking": true}}', {"opens": False}, False),
    ('X-MSYS-API: {"options": {"transactional": true}}', {}, False),
    ('X-MSYS-API: {"options": {"click-tracking": false}}', NOTHING, True),
    ('X-MSYS-API: {"options": 1}', NOTHING, True),
    (
        'X-MSYS-API: {"campaign_id": "spring", "tags": ["t"], "metadata": {"k": true}}',
        {"campaign": "spring", "tags": ("t",), "metadata": (("k", "true"),)},
        False,
    ),
    ("X-MC-Track: opens,clicks_all", {}, False),
    ("X-MC-Track: opens", {"clicks": False}, False),
    ("X-MC-Track: clicks_htmlonly", {"opens": False, "text_links": False}, False),
    ("X-MC-Track: opens, clicks_textonly", {"html_links": False}, False),
    ("X-MC-Track: none", NOTHING, False),
    ("X-MC-Track:", NOTHING, False),
    ("X-MC-Track: open", NOTHING, True),
    ("X-MC-Track: opens, clicks, clicks_none", NOTHING, True),
    ("X-MC-Tags: a, b", {"tags": ("a", "b")}, False),
    ('X-MC-Metadata: {"user": 7}', {"metadata": (("user", "7"),)}, False),
    ('X-MC-Metadata: {"_rcpt": "ann@reader.example", "user": 7}', {}, False),
    ("X-Mailjet-TrackOpen: 0", {"opens": False}, False),
    ("X-Mailjet-TrackClick: 0\r\nX-Mailjet-TrackOpen: 1", {"clicks": False}, False),
    ("X-Mailjet-Campaign: june", {"campaign": "june"}, False),
    ("X-Candor-Campaign: may\r\nX-Mailjet-Campaign: june", {"campaign": "may"}, False),
    ("X-MJ-CustomID: 1\r\nX-MJ-EventPayload: 2", {"metadata": (("CustomID", "1"), ("Payload", "2"))}, False),
    ("x-smtpeter-trackclicks: false", {"clicks": False}, False),
    ("x-smtpeter-trackopens: true\r\nx-smtpeter-tags: a,b", {"tags": ("a", "b")}, False),
    ("X-GreenArrow-MailClass: news", {"metadata": (("MailClass", "news"),)}, False),
    ("X-GreenArrow-InstanceID: 9", {"campaign": "9"}, False),
    ("X-Postal-Tag: a\r\nX-Postal-Tag: b", {"tags": ("b",)}, False),
    ("X-Cuttlefish-Metadata-k: v", {"metadata": (("k", "v"),)}, False),
    ("X-Mailin-Tag: a\r\nX-Mailin-Custom: k:v", {"tags": ("a",), "metadata": (("custom", "k:v"),)}, False),
    ("X-Mailin-Track: 0", NOTHING, False),
    ("X-Mailin-Track-Opens: 0\r\nX-Mailin-Track-Links: 1", {"opens": False}, False),
    ("X-Mailin-Track-Clicks: 0", {"clicks": False}, False),
    ("X-GreenArrow-Click-Tracking-ID: 5", {"metadata": (("Click-Tracking-ID", "5"),)}, False),
    (ali({"OpenTrace": "1", "LinkTrace": "0", "TagName": "t"}), {"clicks": False, "tags": ("t",)}, False),
    ("X-AliDM-Trace: nonsense", NOTHING, True),
]  # fmt: skip


@pytest.mark.parametrize(("header", "expected", "misread"), WISHES, ids=[row[0][:50] for row in WISHES])
def test_a_header_asks_for_less_or_names_something_and_is_taken_out(
    header: str, expected: dict[str, object], misread: bool
) -> None:
    data = f"From: a@b\r\n{header}\r\nTo: c@d\r\n\r\nbody\r\n".encode("latin-1")
    controls = read(data)
    assert controls.options == replace(Options(), **expected)  # type: ignore[arg-type]
    assert b"".join(data[start:end] for start, end in controls.ranges) == f"{header}\r\n".encode("latin-1")
    assert bool(controls.misread) is misread
    assert lint(data).is_misread is misread


def test_every_service_has_a_row() -> None:
    rows = " ".join(header.lower() for header, _, _ in WISHES)
    assert [one.header for one in ALIASES if one.effect and one.header.lower().rstrip("*") not in rows] == []


@pytest.mark.parametrize("alias", ALIASES, ids=lambda one: str(one.header))
def test_who_proves_copies_knows_every_header_from_a_list_of_its_own(alias: object) -> None:
    name = getattr(alias, "header", "").replace("*", "x")
    line = f"{name}: y\r\n".encode()
    assert _OTHERS_FIELD.fullmatch(line)
    assert GOES.match(line)
    large = b"A:\r\n" * (MAX_FIELDS + 1) + line
    assert [large[start:end] for start, end in read(large).ranges] == [line]


@pytest.mark.parametrize(
    "line", ["X-Mailgun-Sid: 1", "X-SES-Outgoing: 1", "X-MC-User: 1", "X-PM-Metadata-: 1", "X-Postal-MsgID: 1", "X-Track: no"]
)  # fmt: skip
def test_what_services_write_for_themselves_stays(line: str) -> None:
    assert read(f"{line}\r\n\r\n".encode()) == read(b"\r\n")


def test_what_is_kept_has_an_end() -> None:
    many = {f"k{n}": "v" * 1000 for n in range(100)}
    data = f"X-Mailgun-Variables: {json.dumps(many)}\r\n{api({'category': [str(n) for n in range(100)]})}\r\n\r\n"
    options = read(data.encode()).options
    assert len(options.metadata) == MAX_METADATA
    assert {len(value) for _, value in options.metadata} == {MAX_VALUE}
    assert len(options.tags) == MAX_TAGS


_pieces = st.sampled_from(
    [
        "{",
        "}",
        "[",
        '"',
        ":",
        ",",
        "filters",
        "enable",
        "0",
        "yes",
        "=?utf-8?q?",
        "?=",
        "\x00",
        "\ud800",
        "é",
        " ",
        "e9",
    ]
)


@given(st.sampled_from([one.header.replace("*", "x") for one in ALIASES]), st.lists(_pieces, max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_value_makes_reading_fail_or_asks_for_more(name: str, pieces: list[str]) -> None:
    value = "".join(pieces).encode("utf-8", "surrogatepass")
    options = read(name.encode() + b": " + value + b"\r\n\r\n").options
    assert (options.override, options.refused, options.declared, options.message_class) == (
        False,
        False,
        None,
        None,
    )
    json.dumps([options.tags, options.metadata, options.campaign], ensure_ascii=False).encode()


@pytest.mark.parametrize("piece", ["[", '{"a":', '"\\ud800"', "=?utf-8?q?a?= ", "a=1,", "é"])
def test_hostile_values_are_read_in_linear_time(piece: str) -> None:
    for name in ("X-SMTPAPI", "X-SES-MESSAGE-TAGS", "X-MC-Tags", "X-Mailgun-Tag"):
        options = read(f"{name}: {piece * (500_000 // len(piece))}\r\n\r\n".encode()).options
        assert len(options.tags) <= MAX_TAGS


def test_services_are_switched_off_and_headers_passed_on() -> None:
    data = b"X-Mailgun-Track: no\r\nX-PM-TrackOpens: false\r\nX-PM-Tag: a\r\n\r\n"
    controls = read(data, Aliases(["postmark"], ["x-pm-tag"]))
    assert controls.options == Options(opens=False, tags=("a",))
    assert [data[start:end] for start, end in controls.ranges] == [b"X-PM-TrackOpens: false\r\n"]


@pytest.mark.parametrize("service", [*NO_TRACKING, "ses"])
def test_what_upstream_is_told_asks_for_nothing_at_all_by_its_own_rules(service: str) -> None:
    lines = no_tracking(service, "quiet")
    options = read(lines + b"\r\n").options
    assert (options.opens, options.clicks) == (False, False) or options.policy == "quiet"
    assert not read(lines + b"\r\n").misread
    assert max(map(len, lines.split(b"\r\n"))) <= 76 or service == "sendgrid"


@pytest.mark.parametrize(
    "table",
    [
        {"services": ["hotmail"]},
        {"pass": ["Subject"]},
        {"pass": ["X-Mailgun-Track"], "upstream": "mailgun"},
        {"upstream": "hotmail"},
        {"upstream_configuration_set": "a\nb"},
        {"ses_configuration_sets": {"a": "some"}},
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(table: dict[str, object]) -> None:
    with pytest.raises((ValueError, ConfigError)):
        Config.model_validate({"compat": table})


def test_links_of_one_kind_of_part_alone() -> None:
    rules = Rules(wrap_plain_text=True)
    html = message("<a href='https://x.example/1'>t</a>", header="X-PM-TrackLinks: TextOnly\r\n")
    text = message("see https://x.example/2", subtype="plain", header="X-PM-TrackLinks: TextOnly\r\n")
    assert [len(compile_message(one, rules).links) for one in (html, text)] == [0, 1]
    assert [one.reason for one in compile_message(html, rules).kept] == ["not-wanted"]
    html, text = (one.replace(b"TextOnly", b"HtmlOnly") for one in (html, text))
    assert [len(compile_message(one, rules).links) for one in (html, text)] == [1, 0]


MARKED = (
    "<body><a ses:no-track ses:tags='a:b;' href='https://x.example/1'>1</a>"
    "<a clicktracking=nein data-msys-sublink=x href='https://x.example/2'>2</a><a class='b mktNoTrack' href=x>3</a>"
    "<a href='https+notrack://x.example/4'>4</a>{{ses:openTracker}}<opentag/>{{ses:openTracker}}</body>"
)


def test_lint_tells_of_headers_and_marks(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    secret = api({"to": ["ann@reader.example"], "category": "news"})
    file.write_bytes(
        message(MARKED, encoding="base64", header=f"{secret}\r\nX-MC-Autotext: yes\r\nX-Candor-Foo: a\r\n")
    )
    ended = call("lint", file, "--json")
    assert ended.code == 1
    found = json.loads(ended.out)
    told = {line["what"]: (line["times"], line["misread"], line["idle"]) for line in found["lines"]}
    assert told == {
        "X-SMTPAPI": (1, False, False),
        "X-MC-Autotext": (1, False, True),
        "X-Candor-Foo": (1, True, False),
        "ses:no-track": (1, False, False),
        'ses:tags="name:value;"': (1, False, True),
        "clicktracking=off": (1, True, False),
        'data-msys-sublink="…"': (1, False, True),
        "class=mktNoTrack": (1, False, False),
        "https+notrack://…": (1, False, False),
        "{{ses:openTracker}}": (2, False, False),
        "<opentag/>": (1, False, False),
    }
    assert (found["tags"], found["clicks"]) == (["news"], False)
    shown = call("lint", file)
    assert "ann@" not in ended.out + shown.out
    assert "not understood" in " ".join(shown.out.split())


def test_lint_has_nothing_to_tell_of_plain_mail(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(message("<p>x", header="X-Mailgun-Sid: 1\r\n"))
    ended = call("lint", file)
    assert (ended.code, "no header" in ended.out) == (0, True)


def test_the_page_holds_the_whole_table() -> None:
    between = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert between == f"\n\n{markdown()}\n", "make docs"


def test_a_name_that_is_forwarded_must_be_one_that_would_go() -> None:
    assert Config.model_validate({"compat": {"pass": ["X-Mailgun-Tag"]}}).compat.aliases.passed == {
        "x-mailgun-tag"
    }
    assert Config().compat.aliases is EVERY
