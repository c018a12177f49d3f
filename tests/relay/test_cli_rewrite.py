"""`candor rewrite`: the copy, what is told of it, the rules, and the proof; to people and to programs."""

from __future__ import annotations

import json
import os
import subprocess
from binascii import b2a_base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import COMMAND, ROOT, Installation, call
from support.hanging import no_longer_than
from support.mail import corpus, message, multipart, part

from relay.preview import Previewer
from relay.reasons import EXPLANATIONS, Reason
from relay.rewrite import Rules
from relay.signers import Signers
from relay.verification import leaves
from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.statements import Statement
from tracker.store.register import Source

HTML = (
    '<body><p>Grüße <a href="https://shop.example/apples?a=1&amp;b=2">Apples</a>\r\n'
    '<a href="https://shop.example/unsubscribe?u=1">Leave</a> <a href="mailto:a@shop.example">write</a>\r\n'
    '<a data-candor-no-track href="{{tracking_preferences_url}}">choices</a></p></body>\r\n'
)
LINK = "<a href='https://x.example/'>t</a>\r\n"
HEADER = "Subject: Apples\r\nX-Candor-Tag: autumn\r\n"
PUBLIC = "http://127.0.0.1:8080"


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    file = tmp_path / "mail.eml"
    plain = part("Hello", kind="text/plain")
    file.write_bytes(multipart(plain, part(HTML, encoding="quoted-printable"), header=HEADER))
    return file


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


# --- the copy ---


def test_the_copy_is_written_to_a_file_or_to_standard_output(mail: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.eml"
    result = call("rewrite", mail, "-o", copy)
    assert (result.code, result.out, result.err) == (0, "", "")
    written = copy.read_bytes()
    assert b"X-Candor" not in written
    assert f"{PUBLIC}/c/".encode() in written
    assert f"{PUBLIC}/o/".encode() in written
    shown = call("rewrite", mail)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.count(f"{PUBLIC}/c/") == 1


def test_a_dash_is_standard_input(mail: Path) -> None:
    result = call("rewrite", "-", input=mail.read_bytes().decode())
    assert result.code == 0
    assert result.out.count(f"{PUBLIC}/c/") == 1


def test_bare_line_ends_are_made_crlf_and_said_so(mail: Path) -> None:
    wanted = len(leaves(mail.read_bytes()))
    mail.write_bytes(mail.read_bytes().replace(b"\r\n", b"\n"))
    copy = mail.with_name("copy.eml")
    result = call("rewrite", mail, "-o", copy)
    assert result.code == 0
    assert result.err == f"candor: {mail}: bare LF line ends were read as CRLF, as mail is sent\n"
    written = copy.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n")
    assert len(leaves(written)) == wanted


def test_nothing_is_stored_for_a_dry_run(candor: Installation, mail: Path) -> None:
    assert candor.call("rewrite", mail, "--as", "ann@example.org").code == 0
    assert candor.call("rewrite", "show", mail, "--as", "ann@example.org").code == 0
    assert candor.call("message", "list", "--json").json == []
    assert candor.call("contact", "show", "ann@example.org").code == 1


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_the_tracker_believes_no_link_of_a_dry_run(candor: Installation, mail: Path) -> None:
    copy = candor.call("rewrite", mail, "--as", "ann@example.org").out.replace("=\r\n", "").replace("=\n", "")
    for path in ("/c/", "/o/", "/p/"):
        link = path + copy.partition(path)[2].partition('"')[0]
        result = candor.call("token", "show", f"{PUBLIC}{link}")
        assert (result.code, result.out) == (1, "")
        assert "does not verify" in result.err


def test_the_message_itself_is_never_written_over(mail: Path) -> None:
    before = mail.read_bytes()
    result = call("rewrite", mail, "--output", mail)
    assert (result.code, mail.read_bytes()) == (2, before)


@pytest.mark.parametrize(
    "arguments",
    [
        ("rewrite", "missing.eml"),
        ("rewrite", "show", "missing.eml"),
        ("rewrite", "a.eml", "b.eml"),
        ("rewrite", "a.eml", "--json"),
        ("rewrite", "a.eml", "--verify", "--as", "ann@example.org"),
        ("rewrite", "a.eml", "--verify", "-o", "b.eml"),
        ("rewrite", "a.eml", "--as", "ann"),
        ("rewrite", "--nonsense"),
        ("rewrite", "--verify"),
        ("rewrite", "rules", "more"),
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_told_in_words(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = call(*arguments)
    assert result.out == ""
    assert result.err
    assert "Traceback" not in result.err
    assert result.code == 2


@pytest.mark.parametrize(
    "arguments", [("mail.eml", "-o", "x" * 300), ("--verify", "x" * 300)], ids=["to", "of"]
)
def test_a_name_too_long_for_a_file_is_told_in_words(
    arguments: tuple[str, ...], mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mail.parent)
    result = call("rewrite", *arguments)
    assert result.code == 1
    assert "File name too long" in result.err


@pytest.mark.parametrize(("arguments", "closed"), [(("-",), "stdin"), (("mail.eml",), "stdout")])
def test_closed_standard_streams_are_told_in_words(
    arguments: tuple[str, ...], closed: str, mail: Path
) -> None:
    shell = 'exec "$@" <&-' if closed == "stdin" else 'exec "$@" >&-'
    result = subprocess.run(
        ["/bin/sh", "-c", shell, "sh", *COMMAND, "rewrite", *arguments],
        cwd=mail.parent, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode in (1, 2)
    assert result.stderr.endswith(": it is closed\n")
    assert "Traceback" not in result.stderr


def test_help_says_what_the_links_lead_to_and_how_odd_names_are_reached() -> None:
    words = " ".join(call("rewrite", "--help").out.split())
    for text in ("no delivery comes of it", "./rules or ./show", "--verify", "--as ADDRESS", "show", "rules"):
        assert text in words


# --- what is told of it ---


def test_programs_are_told_every_link_and_part(mail: Path) -> None:
    found = call("rewrite", "show", mail, "--json").json
    links = [(one["number"], one["part"], one["url"], one["text"], one["reason"]) for one in found["links"]]
    assert links == [
        (1, "2", "https://shop.example/apples?a=1&b=2", "Apples", None),
        (None, "2", "https://shop.example/unsubscribe?u=1", "Leave", "unsubscribe"),
        (None, "2", "mailto:a@shop.example", "write", "other-scheme"),
        (None, "2", "{{tracking_preferences_url}}", "choices", "opt-out"),
    ]
    assert [one["wrapped"] for one in found["links"]] == [True, False, False, False]
    assert found["links"][1]["explanation"] == EXPLANATIONS[Reason.UNSUBSCRIBE]
    assert [(one["number"], one["type"], one["reason"]) for one in found["parts"]] == [
        ("1", "text/plain", "plain-text"),
        ("2", "text/html", None),
    ]
    assert (found["pixel"]["part"], found["pixel"]["line"], found["pixel"]["place"]) == ("2", 3, "end")
    assert [one["what"] for one in found["placeholders"]] == [
        "data-candor-no-track",
        "{{tracking_preferences_url}}",
    ]
    decided = {"mode": "identified", "reason": "granted", "opens": True, "clicks": True, "rule": None}
    assert (found["decision"], found["asks_for_override"]) == (decided, False)
    changed = found["changed"]
    assert 0 < changed["bytes"] < changed["of_bytes"] == found["size"]["before"]
    assert 0 < changed["lines"] < changed["of_lines"]
    assert found["problems"] == []


@pytest.mark.parametrize(
    ("html", "place", "reason"),
    [
        ("<body>a</body>", "end", None),
        ("<body>a{{open_pixel}}b</body>", "placeholder", None),
        ("<body>" + "<p>words</p>\r\n" * 10_000 + "</body>", "start", None),
        ("<a href='https://x.example/'>a</a><!-- ", None, "no-pixel-place"),
        (f"<a href='https://x.example/'>a</a><img src='{PUBLIC}/o/x.gif'>", None, "already-tracked"),
        ("<body>" + "x" * 1200 + "</body>", "end", None),
        ("<body>" + "x" * 1200 + "{{open_pixel}}" + "x" * 900, None, "line-too-long"),
    ],
    ids=["end", "placeholder", "start", "swallowed", "there already", "a line of its own", "no line"],
)
def test_the_pixel_s_place_is_told(html: str, place: str | None, reason: str | None, tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(message(html))
    pixel = call("rewrite", "show", file, "--json").json["pixel"]
    assert (pixel["place"], pixel["reason"]) == (place, reason)
    assert pixel["explanation"] in call("rewrite", "show", file).out


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"Subject: x\r\n\r\ntext", "no-html"),
        (b"DKIM-Signature: v=1\r\nContent-Type: text/html\r\n\r\n<body>x</body>", "signed-dkim"),
        (b"X-Candor-Track-Opens: no\r\nX-Candor-Track-Clicks: no\r\n" + message(HTML), "message-switch"),
        (b"X-Tracking-Consent: denied\r\n" + message(HTML), "header-refused"),
    ],
)
def test_a_message_that_is_left_says_why(data: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(data)
    found = call("rewrite", "show", file, "--json").json
    assert (found["decision"]["mode"], found["decision"]["reason"]) == ("untracked", reason)
    assert found["pixel"]["reason"] == reason
    assert {one["reason"] for one in found["links"] if one["number"]} <= {reason}


@pytest.mark.parametrize(
    ("configured", "mode", "signatures"),
    [("", "untracked", "kept"), ('[dkim]\nforeign_signatures = "remove"\n', "identified", "removed")],
)
def test_what_becomes_of_signatures_is_told(
    configured: str, mode: str, signatures: str, tmp_path: Path
) -> None:
    file, config = tmp_path / "mail.eml", tmp_path / "candor.toml"
    config.write_text(configured)
    header = "DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x; h=From; bh=eA==; b=eA==\r\n"
    file.write_bytes(message(HTML, header=header))
    found = call("rewrite", "show", file, "--json", "--config", config).json
    assert (found["decision"]["mode"], found["signatures"]) == (mode, signatures)
    assert ("are taken out" in call("rewrite", "show", file, "--config", config).out) == (
        signatures == "removed"
    )
    assert "DKIM-Signature" in call("rewrite", file, "--config", config).out


def test_nobody_permits_an_override_here(candor: Installation, mail: Path) -> None:
    candor.prepare(told)
    mail.write_bytes(b"X-Candor-Override: yes\r\n" + message(HTML))
    found = candor.call("rewrite", "show", mail, "--as", "dan@x.example", "--json").json
    assert (found["decision"]["reason"], found["asks_for_override"]) == ("denied", True)
    text = candor.call("rewrite", "show", mail, "--as", "uma@x.example").out
    assert "it asks to pass over consent" in text
    assert '[consent] unknown = "track" decides' in text


def test_a_link_whose_line_would_grow_too_long_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(message("<body>" + "x" * 950 + "<a href='https://x.example/'>a</a>\r\n</body>"))
    (link,) = call("rewrite", "show", file, "--json").json["links"]
    assert (link["wrapped"], link["reason"]) == (False, "line-too-long")


async def told(domain: Domain) -> None:
    said = [
        Statement(address="grace@x.example", consent=Consent.GRANTED),
        Statement(address="dan@x.example", consent=Consent.DENIED),
        Statement(address="donna@x.example", consent=Consent.GRANTED, do_not_track=DoNotTrack.TRUE),
    ]
    await domain.register.record(said, source=Source.API, actor="test", now=datetime.now(UTC))
    await domain.erasure.erase("earl@x.example", actor="test", now=datetime.now(UTC))


def test_a_certain_person_s_copy_is_shown_as_theirs_would_be(candor: Installation, mail: Path) -> None:
    candor.prepare(told)
    expected = {
        "grace@X.example": ("identified", "granted", True),
        "dan@x.example": ("untracked", "denied", False),
        "donna@x.example": ("anonymous", "granted+do-not-track", True),
        "earl@x.example": ("untracked", "erased", False),
        "uma@x.example": ("identified", "unknown-identified", True),
    }
    for address, (mode, reason, wrapped) in expected.items():
        found = candor.call("rewrite", "show", mail, "--as", address, "--json").json
        assert (found["decision"]["mode"], found["decision"]["reason"]) == (mode, reason)
        assert (found["links"][0]["wrapped"], found["pixel"]["place"] is not None) == (wrapped, wrapped)
        written = candor.call("rewrite", mail, "--as", address).out
        assert (f"{PUBLIC}/c/" in written) == wrapped
        assert f"{PUBLIC}/p/" in written


def test_the_policy_is_asked_for_this_message(candor: Installation, mail: Path) -> None:
    with candor.config.open("a") as config:
        config.write(
            '[[consent.rule]]\nsenders = ["@sender.example"]\nclasses = ["transactional"]\nunknown = "deny"\n'
        )
    for header, reason in (
        ("", "unknown-identified"),
        ("X-Candor-Class: transactional\r\n", "unknown-untracked"),
    ):
        mail.write_bytes(header.encode() + message(HTML))
        found = candor.call("rewrite", "show", mail, "--as", "uma@x.example", "--json").json
        assert found["decision"]["reason"] == reason


def test_the_diff_shows_lines_as_transferred_and_decoded(mail: Path) -> None:
    text = call("rewrite", "show", mail, "--diff").out
    assert "-X-Candor-Tag: autumn" in text
    assert '-<body><p>Gr=C3=BC=C3=9Fe <a href=3D"https://shop.example/apples' in text
    assert "@@ part 2, decoded, line 1 @@" in text
    assert '-<body><p>Grüße <a href="https://shop.example/apples?a=1&amp;b=2">Apples</a>' in text
    lines = call("rewrite", "show", mail, "--diff", "--json").json["diff"]
    assert [line for line in lines if line.startswith("@@ part 2")] != []
    assert all(line in text for line in lines if not line.startswith("+"))  # links differ each time


def test_a_base64_part_is_shown_decoded_alone(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(message(HTML * 20, encoding="base64"))
    text = call("rewrite", "show", file, "--diff").out
    assert "(base64 of part 1, encoded anew from here; decoded below)" in text
    assert text.count("@@ part 1, decoded") == 20 * 3 + 1
    assert text.count("\n-") == text.count("\n+") == 20 * 3 + 1


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_a_large_message_s_lines_are_compared_in_seconds(encoding: str, tmp_path: Path) -> None:
    lines = "".join(f"{n}\r\n" * 2 + (LINK if n % 60 == 0 else "") for n in range(60_000))
    html = message(lines, encoding=encoding)
    file = tmp_path / "mail.eml"
    file.write_bytes(html)
    with no_longer_than(60):
        found = call("rewrite", "show", file, "--diff", "--json").json
    assert found["problems"] == []
    if encoding == "base64":
        assert found["diff"].count(" (base64 of part 1, encoded anew from here; decoded below)") == 1
    else:
        assert found["changed"]["lines"] == 1000 + 1


def test_between_and_behind_an_encoded_part_lines_are_compared(tmp_path: Path) -> None:
    html = part(LINK + "<p>" + "words " * 1000, encoding="base64")
    text = part("a\r\n{{tracking_preferences_url}}\r\nb", kind="text/plain")
    file = tmp_path / "mail.eml"
    file.write_bytes(multipart(html, text, html, subtype="mixed"))
    lines = call("rewrite", "show", file, "--diff").out.splitlines()
    assert "-{{tracking_preferences_url}}" in lines
    assert not {"-a", "-b"} & set(lines)
    assert sum("encoded anew from here" in line for line in lines) == 2


def test_what_came_from_mail_steers_no_terminal(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    html = "<p>\x1b[2J\u202e\x9b<a href='https://x.example/'>\x1b]0;x\x07t</a><a href='\x1b[1mx'>y</a></p>"
    for encoding in ("8bit", "quoted-printable", "base64"):
        file.write_bytes(b"Subject: =?utf-8?q?=1B[2J?=\r\n" + message(html, encoding=encoding))
        result = call("rewrite", "show", file, "--diff")
        assert result.code == 0
        assert all(one.isprintable() or one == "\n" for one in result.out + result.err)


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_of_all_real_mail_everything_is_told(tmp_path: Path) -> None:
    from relay.cli.inspection import differences, inspected
    from relay.cli.mailfiles import read_mail

    previewer = Previewer(Rules(own_hosts=("127.0.0.1",)), PUBLIC, Signers(remove_foreign=True))
    for file in corpus("eml"):
        mail = read_mail(file)
        preview = previewer.preview(mail.data)
        found = inspected(mail, preview, None)
        json.dumps(found)
        assert all(one["reason"] or one["wrapped"] for one in found["links"])
        assert found["pixel"]["place"] or found["pixel"]["explanation"]
        assert (found["changed"]["lines"] > 0) == (preview.data != preview.copy), file.name
        assert all(sign in "-+@ " for sign, _ in differences(preview))


# --- the proof ---


def test_a_folder_is_proved_and_summed_up(mail: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "letter.html").write_bytes(HTML.replace("\r\n", "\n").encode())
    (tmp_path / "more" / "plain").write_bytes(b"Subject: x\n\ntext\n")
    (tmp_path / "more" / "notes.txt").write_bytes(b"no mail at all")
    (tmp_path / "more" / ".hidden.eml").write_bytes(b"Subject: x\n\n")
    result = call("rewrite", "--verify", tmp_path, "--json")
    found = result.json
    assert (result.code, found["problems"]) == (0, [])
    assert (found["files"], found["skipped"], found["had_bare_lf"], found["were_html"]) == (3, 2, 2, 1)
    assert {one["what"]: one["count"] for one in found["messages"]} == {"tracked": 2, "no-html": 1}
    links = {one["what"]: one["count"] for one in found["links"]}
    assert links == {"wrapped": 2, "unsubscribe": 2, "other-scheme": 2, "opt-out": 2}
    assert sum(one["share"] for one in found["links"]) == pytest.approx(1)
    text = call("rewrite", "--verify", tmp_path).out
    for words in ("wrapped", "25.0%", "2 files are no mail", "2 files had bare LF", "no difference"):
        assert words in text


def test_of_text_with_wrapped_links_it_is_said_why_it_has_no_pixel(tmp_path: Path) -> None:
    (tmp_path / "candor.toml").write_text("[rewrite]\nwrap_plain_text = true\n")
    (tmp_path / "plain.eml").write_bytes(b"Subject: x\r\n\r\nhttps://shop.example/\r\n")
    found = call("rewrite", "--verify", tmp_path, "--json", "--config", tmp_path / "candor.toml").json
    assert [(one["what"], one["count"]) for one in found["messages"]] == [("tracked", 1)]
    assert [(one["what"], one["count"]) for one in found["pixels"]] == [("no-html", 1)]


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_where_there_is_nothing_to_verify_nothing_is_proved(option: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"no mail at all")
    result = call("rewrite", "--verify", tmp_path, *option)
    assert result.code != 0
    assert "nothing to verify" in result.err
    assert "1 files are no mail" in result.err
    assert "no difference" not in result.out


def test_links_are_told_in_the_order_of_the_message(tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    html = "".join(
        f"<a href='{url}'>t</a>\r\n" for url in ("mailto:a@b", "http://x/1", "#2", "http://x/3", "tel:4")
    )
    file.write_bytes(
        multipart(part(html), part("<a href='#5'>t</a><a href='http://x/6'>t</a>"), subtype="mixed")
    )
    found = call("rewrite", "show", file, "--json").json["links"]
    assert [(one["position"], one["number"], one["part"], one["url"][-1]) for one in found] == [
        (1, None, "1", "b"),
        (2, 1, "1", "1"),
        (3, None, "1", "2"),
        (4, 2, "1", "3"),
        (5, None, "1", "4"),
        (6, None, "2", "5"),
        (7, 3, "2", "6"),
    ]
    shown = call("rewrite", "show", file).out
    assert (
        shown.index("mailto:a@b") < shown.index("http://x/1") < shown.index("#2") < shown.index("http://x/6")
    )


@pytest.mark.parametrize(
    ("url", "charset", "shown"),
    [
        ("https://bücher.example/größe".encode(), "utf-8", "https://bücher.example/größe"),
        ("https://x.example/größe".encode("latin-1"), "iso-8859-1", "https://x.example/größe"),
        (b"https://x.example/" + "ü".encode() * 600, "utf-8", "https://x.example/" + "ü" * 491),
        (b"https://x.example/a" + "ü".encode() * 600, "utf-8", "https://x.example/a" + "ü" * 490),
        ("https://x.example/größe".encode("utf-16-le"), "utf-16le", "https://x.example/größe"),
    ],
)
def test_a_link_s_octets_are_told_as_the_characters_they_are(
    url: bytes, charset: str, shown: str, tmp_path: Path
) -> None:
    file = tmp_path / "mail.eml"
    tag, end = "<a href='", "'>t</a>"
    if charset == "utf-16le":
        content = tag.encode(charset) + url + end.encode(charset)
    else:
        content = tag.encode() + url + end.encode()
    head = f"Content-Type: text/html; charset={charset}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    file.write_bytes(head.encode() + b2a_base64(content).replace(b"\n", b"\r\n"))
    assert [one["url"] for one in call("rewrite", "show", file, "--json").json["links"]] == [shown]


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_proved(mail: Path) -> None:
    missing = mail.with_name("missing.eml")
    result = call("rewrite", "--verify", missing, mail)
    assert result.code == 1
    assert f"{missing}: " in result.err
    assert "tracked" in result.out


def test_a_difference_is_named_with_its_file_and_place(mail: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relay.rewrite import Plan

    render = Plan.render
    monkeypatch.setattr(Plan, "render", lambda *all, **more: render(*all, **more).replace(b"Leave", b"Stay!"))
    result = call("rewrite", "--verify", mail)
    assert result.code == 1
    assert f"{mail}, part 2, line 2: " in result.err
    assert "1 differences" in result.err
    for arguments in (("rewrite", mail), ("rewrite", "show", mail)):
        wrong = call(*arguments)
        assert wrong.code == 1
        assert "please report it" in wrong.err


@pytest.mark.corpus
@pytest.mark.skipif(not corpus("eml"), reason="no corpus of real mail beside the project")
def test_the_whole_corpus_is_proved() -> None:
    result = call("rewrite", "--verify", corpus("eml")[0].parent, corpus("html")[0].parent, "--json")
    assert (result.code, result.json["problems"]) == (0, [])
    assert result.json["files"] > 700


# --- the rules ---


def test_the_rules_are_told_with_the_lists_in_effect(tmp_path: Path) -> None:
    config = tmp_path / "candor.toml"
    config.write_text(
        '[rewrite]\nskip_hosts = ["shop.example"]\nwrap_plain_text = true\n'
        '[tracker]\npublic_url = "https://t.shop.example"\n'
    )
    text = call("rewrite", "rules", "--config", config).out
    for words in (
        "  shop.example",
        "  t.shop.example",
        "wrap_plain_text (now true)",
        *(f"  {reason}: {EXPLANATIONS[reason]}" for reason in Reason),
    ):
        assert words in text
    found = call("rewrite", "rules", "--json", "--config", config).json
    assert found["lists"]["[rewrite] skip_hosts"] == ["shop.example"]
    names = {row["name"] for rows in found["rules"].values() for row in rows}
    assert names >= set(Reason)
    assert "| `unsubscribe` |" in call("rewrite", "rules", "--markdown").out


def test_files_of_the_commands_names_are_reached_by_their_path(
    mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mail.parent)
    for name in ("rules", "show", "file"):
        mail.with_name(name).write_bytes(mail.read_bytes())
        assert call("rewrite", f"./{name}").out.count(f"{PUBLIC}/c/") == 1
    assert call("rewrite", "file").out.count(f"{PUBLIC}/c/") == 1
    assert call("rewrite", "show", "show").code == 0
