"""Each person's own page: looking changes nothing, choosing takes effect before the answer, and nothing on it comes
from anybody but us."""

from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from support.outages import away
from support.tracking import (
    AGGREGATE,
    ANONYMOUS,
    HYGIENE,
    IDENTIFIED,
    OVERRIDDEN,
    UNTRACKED,
    Copy,
    Mail,
    configuration,
    dump,
    erase,
    opened,
    say,
    send,
)
from support.web import Answer, Client, serving

import tracker.words
from tracker.config import Config, PreferencesTable
from tracker.config import load as load_config
from tracker.consent import Contact, Decision, Mode
from tracker.domain import Domain
from tracker.errors import ConfigError
from tracker.policy import Policy, Unknown
from tracker.store.schema import consent_ledger
from tracker.web.preferences import TEXT_VERSION, masked
from tracker.words import LANGUAGES, PLACEHOLDERS, load

JOE = "joe@people.example"
ENGLISH = load()["en"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def client(domain: Domain) -> AsyncIterator[Client]:
    async with serving(domain) as (client, _):
        yield client


@pytest.fixture
async def copy(domain: Domain) -> Copy:
    return (await send(domain, Mail(to={JOE: IDENTIFIED})))[JOE]


async def held(domain: Domain) -> Contact:
    return (await domain.contacts.ask((JOE,)))[JOE]


async def ledger(domain: Domain) -> list[dict[str, object]]:
    rows = await domain.database.read(lambda c: c.execute(select(consent_ledger.c.content)).scalars().all())
    return [json.loads(row) for row in rows]


def ticked(answer: Answer) -> list[str]:
    return [
        value
        for value, rest in re.findall(r'value="(\w+)" required([^>]*)>', answer.text)
        if "checked" in rest
    ]


def state(answer: Answer) -> str:
    """The sentence about the present state."""
    found = re.search(r'<p class="state">(.*?)</p>', answer.text, re.S)
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).split()) if found else ""


# --- looking ---


async def test_looking_changes_nothing(domain: Domain, client: Client, copy: Copy) -> None:
    before = await dump(domain)
    for method in ("GET", "HEAD"):
        for query in ("", "?choice=decline", "?choice=allow&_method=POST"):
            assert (await client.ask(copy.page + query, method)).status == 200
    assert await dump(domain) == before


async def test_a_scanner_that_follows_every_link_changes_nobodys_choice(
    domain: Domain, client: Client, copy: Copy
) -> None:
    await say(domain, JOE, "granted", "false")
    before = await dump(domain)
    todo, done = [copy.page], set()
    while todo:
        path = todo.pop()
        done.add(path)
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = await client.ask(path, method)
            found = re.findall(r'(?:href|action|src|formaction)="([^"]*)"', answer.text)
            todo += [link for link in found if link.startswith("/") and link not in done]
    assert await dump(domain) == before


@pytest.mark.parametrize(
    ("consent", "dnt", "policy", "says", "choice"),
    [
        (None, None, "track", "when you open a mail and which links", []),
        (None, None, "anonymous", "counted without your name", []),
        (None, None, "aggregate", "counted for everybody together", []),
        (None, None, "hygiene", "only the day", []),
        (None, None, "deny", "not measured", []),
        (None, "true", "track", "counted without your name", []),
        ("granted", None, "deny", "when you open a mail and which links", ["allow"]),
        ("granted", "true", "deny", "counted without your name", ["anonymous"]),
        ("denied", None, "track", "not measured", ["decline"]),
        ("withdrawn", "true", "track", "not measured", ["decline"]),
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_page_says_what_holds_and_ticks_only_what_the_person_chose(
    consent: str | None,
    dnt: str | None,
    policy: str,
    says: str,
    choice: list[str],
    domain: Domain,
    client: Client,
    copy: Copy,
) -> None:
    domain.policy = Policy(unknown=Unknown(policy))
    await say(domain, JOE, consent, dnt)
    answer = await client.ask(copy.page)
    assert says in state(answer)
    assert ticked(answer) == choice


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(("decision", "told"), [(OVERRIDDEN, True), (IDENTIFIED, False)])
async def test_the_page_says_that_a_choice_cannot_reach_mail_measured_on_another_ground(
    decision: Decision, told: bool, domain: Domain, client: Client
) -> None:
    copy = (await send(domain, Mail(to={JOE: decision})))[JOE]
    for answer in (await client.ask(copy.page), await client.choose(copy.page, "decline")):
        assert ("relies on another legal ground" in answer.text) is told


async def test_the_page_says_whether_a_look_at_it_is_kept(domain: Domain, client: Client) -> None:
    for decision, consent, kept in (
        (IDENTIFIED, "granted", True),
        (ANONYMOUS, "granted", False),
        (IDENTIFIED, "denied", False),
    ):
        copy = (await send(domain, Mail(to={JOE: decision})))[JOE]
        await say(domain, JOE, consent)
        answer = await client.ask(copy.page)
        assert ("is kept for a quarter of an hour" in answer.text) is kept
        assert ("is not recorded" in answer.text) is not kept


@pytest.mark.parametrize(
    "decision", [IDENTIFIED, ANONYMOUS, AGGREGATE, HYGIENE, UNTRACKED], ids=lambda one: str(one.mode)
)
async def test_every_copy_has_a_page_that_works(decision: Decision, domain: Domain, client: Client) -> None:
    copy = (await send(domain, Mail(to={JOE: decision})))[JOE]
    assert (await client.ask(copy.page)).status == 200
    assert 'role="status">Saved' in (await client.choose(copy.page, "decline")).text
    assert (await held(domain)).consent == "denied"


async def test_the_page_names_its_reader_only_so_far_as_they_know_themselves(
    client: Client, copy: Copy
) -> None:
    page = (await client.ask(copy.page)).text
    assert "j•••@people.example" in page
    assert JOE not in page


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("joe@x.example", "j•••@x.example"),
        ("j@x.example", "j•••@x.example"),
        ("a@b@x", "a•••@x"),
        ("ö@x", "ö•••@x"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_masked_address_shows_one_letter(address: str | None, shown: str) -> None:
    assert masked(address) == shown


# --- choosing ---

LEAVES: Mapping[str, tuple[str, str, str]] = {
    # choice: consent, do_not_track, what an open then leaves
    "allow": ("granted", "false", "events"),
    "anonymous": ("granted", "true", "counts"),
    "decline": ("denied", "unset", ""),
}


@pytest.mark.parametrize("choice", LEAVES)
async def test_a_choice_holds_before_the_answer_leaves_for_mail_in_the_inbox_too(
    choice: str, domain: Domain, client: Client, copy: Copy
) -> None:
    answer = await client.choose(copy.page, choice)
    before = await dump(domain)
    assert (answer.status, ticked(answer)) == (200, [choice])
    assert '<p class="said" role="status">Saved.' in answer.text
    consent, dnt, leaves = LEAVES[choice]
    contact = await held(domain)
    assert (contact.consent, contact.do_not_track) == (consent, dnt)
    await client.ask(copy.pixel)
    after = await dump(domain)
    assert {table for table in ("events", "counts") if after[table] != before[table]} == ({leaves} - {""})


@pytest.mark.parametrize("choice", LEAVES)
async def test_a_choice_leaves_its_proof_with_the_very_words_that_were_read(
    choice: str, domain: Domain, client: Client, copy: Copy
) -> None:
    page = (await client.ask(copy.page)).text
    await client.choose(copy.page, choice)
    rows = await ledger(domain)
    consent, dnt, _ = LEAVES[choice]
    said = {row["attribute"]: row["new"] for row in rows}
    assert said == {"tracking_consent": consent} | ({"do_not_track": dnt} if dnt != "unset" else {})
    for row in rows:
        assert (row["source"], row["effective"], row["address"]) == ("preference-page", True, JOE)
        assert row["evidence"] == {
            "text": ENGLISH.plain(choice),
            "language": "en",
            "version": TEXT_VERSION,
            "form": "preference page",
        }
    assert ENGLISH[choice] in page


async def test_who_agreed_once_withdraws_and_stays_withdrawn(
    domain: Domain, client: Client, copy: Copy
) -> None:
    await say(domain, JOE, "granted")
    for _ in range(2):
        await client.choose(copy.page, "decline")
        assert (await held(domain)).consent == "withdrawn"


async def test_declining_leaves_do_not_track_as_it_was(domain: Domain, client: Client, copy: Copy) -> None:
    await client.choose(copy.page, "anonymous")
    await client.choose(copy.page, "decline")
    await client.choose(copy.page, "decline")
    assert (await held(domain)).do_not_track == "true"
    await client.choose(copy.page, "allow")
    assert ((await held(domain)).consent, (await held(domain)).do_not_track) == ("granted", "false")


async def test_a_later_statement_on_record_is_not_said_to_be_overcome(
    domain: Domain, client: Client, copy: Copy
) -> None:
    await say(
        domain, JOE, "denied", as_of=datetime.now(UTC) + timedelta(minutes=4)
    )  # another node's clock runs ahead
    await domain.database.write(_later())
    answer = await client.choose(copy.page, "allow")
    assert "could not be saved" in answer.text
    assert "Saved." not in answer.text
    assert ticked(answer) == ["decline"]
    assert (await held(domain)).consent == "denied"


def _later():  # type: ignore[no-untyped-def]
    from sqlalchemy import update

    from tracker.store.schema import contacts

    return update(contacts), [{"consent_as_of": datetime.now(UTC) + timedelta(minutes=4)}]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
NO_CHOICE = (
    *(
        (FORM, body)
        for body in (b"", b"choice=", b"choice=ALLOW", b"choice=%ff%fe", b"choice=\xff", b"Choice=allow")
    ),
    *((FORM, body) for body in (b"&&&=&==%", b"choice=allow&choice=decline", b"&choice=allow" * 50)),
    ({}, b"choice=allow"),
    ({"Content-Type": "application/json"}, b'{"choice": "allow"}'),
    ({"Content-Type": "text/plain"}, b"choice=allow"),
    ({"Content-Type": "/;;="}, b"choice=allow"),
    (MULTIPART, b"nothing of the kind"),
    (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="choice"\r\n\r\nallow\r\n--x--\r\n'),
    ({"Content-Encoding": "gzip"} | FORM, b"choice=allow"),
    ({"Sec-Fetch-Site": "cross-site"} | FORM, b"choice=allow"),
)


@pytest.mark.parametrize(("headers", "body"), NO_CHOICE, ids=str)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_is_no_choice_is_refused_with_a_page_and_changes_nothing(
    headers: dict[str, str], body: bytes, domain: Domain, client: Client, copy: Copy
) -> None:
    before = await dump(domain)
    answer = await client.ask(copy.page, "POST", headers=headers, body=body)
    assert answer.status == 400
    assert await dump(domain) == before
    assert "choose one of the answers" in answer.text


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_form_too_large_is_refused_with_a_page(domain: Domain, client: Client, copy: Copy) -> None:
    answer = await client.ask(copy.page, "POST", headers=FORM, body=b"choice=allow&x=" + b"y" * 20_000)
    assert answer.status == 413
    assert "too long" in answer.text
    assert (await held(domain)).consent == "unknown"


async def test_an_erased_person_stays_erased_whatever_the_page_is_sent(
    domain: Domain, client: Client, copy: Copy
) -> None:
    await erase(domain, JOE)
    before = await dump(domain)
    for answer in (await client.ask(copy.page), await client.choose(copy.page, "allow")):
        assert answer.status == 200
        assert "Nothing is kept about you here" in answer.text
        assert "<form" not in answer.text
        assert "people.example" not in answer.text
    assert await dump(domain) == before


async def test_only_a_whole_page_link_of_ours_opens_a_page(
    domain: Domain, client: Client, copy: Copy
) -> None:
    before = await dump(domain)
    token = copy.page.removeprefix("/p/")
    wrong = (token[:-1], token + "x", copy.pixel[3:-4], copy.link()[3:], "%00", "x")
    for word in wrong:
        for answer in (await client.ask(f"/p/{word}"), await client.choose(f"/p/{word}", "allow")):
            assert answer.status == 404
            assert "not complete" in answer.text
    assert await dump(domain) == before


# --- the store away ---


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_with_the_store_away_the_page_says_that_nothing_was_saved(
    store_url: str, tmp_path: Path
) -> None:
    async with opened(configuration(store_url, tmp_path)) as domain, serving(domain) as (client, _):
        copy = (await send(domain, Mail(to={JOE: IDENTIFIED})))[JOE]
        before = await dump(domain)
        with away(domain.database.writes):
            answer = await client.choose(copy.page, "decline")
        assert answer.status == 503
        assert "may not have been saved" in answer.text
        assert await dump(domain) == before
        with away(domain.database.reads):
            answers = (await client.ask(copy.page), await client.choose(copy.page, "decline"))
        for answer in answers:
            assert answer.status == 503
            assert "cannot reach our records" in answer.text


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_was_saved_is_said_to_be_saved_even_if_it_cannot_be_read_again(
    domain: Domain, client: Client, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = domain.database.change

    async def change_and_lose_the_readers(*args, **kwargs):  # type: ignore[no-untyped-def]
        result = await write(*args, **kwargs)
        domain.database.reads.trip("gone in this very moment")
        return result

    monkeypatch.setattr(domain.database, "change", change_and_lose_the_readers)
    answer = await client.choose(copy.page, "anonymous")
    assert "Saved." in answer.text
    assert ticked(answer) == ["anonymous"]
    assert "without your name" in state(answer)


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_an_error_inside_shows_a_page_and_none_of_our_insides(
    domain: Domain, client: Client, copy: Copy, store_url: str
) -> None:
    with closing(sqlite3.connect(store_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("UPDATE deliveries SET accepted_at = 'of a later release'")
    answer = await client.ask(copy.page)
    assert answer.status == 503
    assert "Traceback" not in answer.text
    assert "later release" not in answer.text


# --- the page itself ---


async def test_every_page_forbids_what_it_does_not_need(client: Client, copy: Copy) -> None:
    for answer in (
        await client.ask(copy.page),
        await client.choose(copy.page, "decline"),
        await client.choose(copy.page, "nonsense"),
        await client.ask("/p/x"),
        await client.ask("/c/x"),
        await client.ask("/"),
        await client.ask("/favicon.ico"),
    ):
        policy = dict(
            part.strip().partition(b" ")[::2]
            for part in (answer.header("Content-Security-Policy") or b"").split(b";")
        )
        assert policy[b"default-src"] == b"'none'"
        assert policy[b"form-action"] == b"'self'"
        assert policy[b"frame-ancestors"] == b"'none'"
        assert b"script-src" not in policy
        assert answer.header("Cache-Control") == b"no-store"
        assert answer.header("Referrer-Policy") == b"no-referrer"
        assert answer.header("X-Content-Type-Options") == b"nosniff"
        assert answer.header("Content-Type") == b"text/html; charset=utf-8"
        assert answer.header("Set-Cookie") is None
        assert "<script" not in answer.text
        assert not re.search(r'src="|<link|@import|url\(', answer.text), "the page loads something"


HOSTILE = (
    "<script>alert(1)</script>@x.example",
    '"><img src=x onerror=alert(1)>@x.example',
    "{{ 7*7 }}@x.example",
    "a&amp;b@x.example",
    "\u202emoc@x.example",
    "x" * 300 + "@x.example",
)


@pytest.mark.parametrize("sender", HOSTILE, ids=lambda sender: str(sender)[:30])
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_a_hostile_sender_is_shown_as_text(sender: str, domain: Domain, client: Client) -> None:
    copy = (await send(domain, Mail(to={JOE: IDENTIFIED}, sender=sender)))[JOE]
    page = (await client.ask(copy.page)).text
    assert "<script" not in page
    assert "<img" not in page
    assert "49" not in page
    assert re.search(r"<bdi>[^<>]*@x\.example</bdi>", page)


# --- languages, and who the page speaks for ---


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything_with_the_same_values_in_it(language: str) -> None:
    english, other = all_sentences("en"), all_sentences(language)
    assert other.keys() == english.keys()
    for name, sentence in other.items():
        assert set(re.findall(r"\{(\w*)\}", sentence)) == set(PLACEHOLDERS.get(name, ())), name
        assert sorted(re.findall(r"<[^>]*>", sentence)) == sorted(re.findall(r"<[^>]*>", english[name])), name
        assert set(re.findall(r"<[^>]*>", sentence)) <= {"<strong>", "</strong>"}, name
    for mode in Mode:
        assert {f"state_{mode}", f"kept_{mode}"} <= other.keys()


def all_sentences(language: str) -> dict[str, str]:
    file = Path(tracker.words.__file__).parent / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("accepted", "query", "language"),
    [
        ("", "", "en"),
        ("fr", "", "fr"),
        ("fr-CA,fr;q=0.9,en;q=0.8", "", "fr"),
        ("pt-BR, it;q=0.4, de;q=0.7", "", "de"),
        ("PT, DE-at", "", "de"),
        ("nl", "", "en"),
        ("*", "", "en"),
        ("fr;q=0, it;q=0.1", "", "it"),
        ("fr;q=x,,;;q,=", "", "en"),
        ("fr", "?lang=it", "it"),
        ("fr", "?lang=xx", "fr"),
        ("fr", "?lang=", "fr"),
        ("de," * 2000, "", "de"),
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_page_speaks_the_readers_language(
    accepted: str, query: str, language: str, client: Client, copy: Copy
) -> None:
    answer = await client.ask(copy.page + query, headers={"Accept-Language": accepted})
    assert f'<html lang="{language}">' in answer.text
    assert answer.header("Content-Language") == language.encode()
    assert load()[language]["question"] in answer.text


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_pages_about_trouble_speak_it_too(client: Client) -> None:
    answer = await client.ask("/c/broken", headers={"Accept-Language": "it"})
    assert (answer.status, load()["it"]["cut_title"] in answer.text) == (404, True)


async def test_what_was_read_is_the_evidence_in_the_language_it_was_read_in(
    domain: Domain, client: Client, copy: Copy
) -> None:
    answer = await client.choose(copy.page + "?lang=fr", "decline")
    french = load()["fr"]
    assert french["saved"] in answer.text
    (row,) = await ledger(domain)
    evidence = row["evidence"]
    assert isinstance(evidence, dict)
    assert (evidence["text"], evidence["language"]) == (french.plain("decline"), "fr")


@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_the_page_names_the_house_and_keeps_its_wording_text(store_url: str, tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    table = PreferencesTable(
        sender_name='The "Orchard" <Shop>',
        contact="privacy@shop.example",
        privacy_url="https://shop.example/privacy?a=1&b=2",
        logo=str(logo),
        language="de",
        words={
            "en": {"title": "Who <b>sees</b> what {x}", "about_from": "From {sender} to {address}, {nobody}"},
            "fr": {"save": "Voilà"},
        },
    )
    async with opened(configuration(store_url, tmp_path, preferences=table)) as domain:
        copy = (await send(domain, Mail(to={JOE: IDENTIFIED})))[JOE]
        async with serving(domain) as (client, _):
            english = (await client.ask(copy.page + "?lang=en")).text
            french = (await client.ask(copy.page + "?lang=fr")).text
            german = (await client.ask(copy.page)).text
    assert "Who &lt;b&gt;sees&lt;/b&gt; what {x}" in english
    assert "</bdi></strong>, {nobody}" in english
    assert "The &#34;Orchard&#34; &lt;Shop&gt;" in english
    assert 'href="mailto:privacy@shop.example"' in english
    assert 'href="https://shop.example/privacy?a=1&amp;b=2"' in english
    assert re.search(r'<img src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]+" alt="The &#34;Orchard', english)
    assert "Voilà" in french
    assert load()["de"]["question"] in german


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('logo = "nowhere.png"', "there is no file nowhere.png"),
        ('logo = "logo.exe"', "expected an image file"),
        ('contact = "nobody"', "expected a mail address or a URL"),
        ('privacy_url = "javascript:alert(1)"', "expected a URL"),
        ('language = "es"', "'en', 'fr', 'it' or 'de'"),
        ('words = {en = {titel = "x"}}', "en.titel: no such words; there are"),
        ('words = {en = {footer = "a {{b}}"}}', "en.footer: stands in mail, so it is one line"),
        ('words = {en = {footer = "a\\nb"}}', "en.footer: stands in mail, so it is one line"),
        ('words = {fr = {footer_link = " "}}', "fr.footer_link: stands in mail, so it is one line"),
        ('words = {es = {title = "x"}}', "'en', 'fr', 'it' or 'de'"),
    ],
)
def test_what_cannot_stand_on_the_page_is_said(table: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "candor.toml"
    file.write_text(f"[preferences]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file, Config)
    assert said in str(caught.value)


# --- one's data ---


@pytest.fixture
async def asking(store_url: str, tmp_path: Path, how: str) -> AsyncIterator[tuple[Domain, Client, Copy]]:
    table = PreferencesTable(data_requests=how)  # type: ignore[arg-type]
    async with opened(configuration(store_url, tmp_path, preferences=table)) as domain:
        copy = (await send(domain, Mail(to={JOE: IDENTIFIED})))[JOE]
        async with serving(domain) as (client, _):
            yield domain, client, copy


async def wish(client: Client, copy: Copy, body: str) -> Answer:
    return await client.ask(copy.page, "POST", headers=FORM, body=body.encode())


@pytest.mark.parametrize("how", ["queue", "at-once"])
async def test_what_is_kept_is_asked_for_and_never_shown_to_whoever_has_the_link(
    asking: tuple[Domain, Client, Copy], how: str
) -> None:
    domain, client, copy = asking
    answer = await wish(client, copy, "request=export")
    assert (answer.status, "Your request was taken down" in answer.text) == (200, True)
    await wish(client, copy, "request=export")
    (asked,) = await domain.requests.list()
    assert (asked.kind, asked.state) == ("export", "open")
    assert JOE not in answer.text


@pytest.mark.parametrize("how", ["queue"])
async def test_a_wish_to_be_erased_waits_for_the_operator(
    asking: tuple[Domain, Client, Copy], how: str
) -> None:
    domain, client, copy = asking
    answer = await wish(client, copy, "request=erase&sure=yes")
    assert "Your wish was taken down" in answer.text
    (asked,) = await domain.requests.list()
    assert (asked.kind, (await held(domain)).erased) == ("erase", False)


@pytest.mark.parametrize("how", ["at-once"])
async def test_a_wish_to_be_erased_is_done_at_once_where_the_operator_allows_it(
    asking: tuple[Domain, Client, Copy], how: str
) -> None:
    domain, client, copy = asking
    answer = await wish(client, copy, "request=erase&sure=yes")
    assert "Erased. Nothing is kept" in answer.text
    assert (await held(domain)).erased
    again = await client.ask(copy.page)
    assert "Nothing is kept about you here" in again.text
    assert "<form" not in again.text


@pytest.mark.parametrize(
    ("how", "body"),
    [
        ("contact", "request=export"),
        ("contact", "request=erase&sure=yes"),
        ("queue", "request=erase"),
        ("at-once", "request=erase"),
        ("at-once", "request=erase&sure=no"),
        ("at-once", "request=everything&sure=yes"),
        ("at-once", "request=erase&request=export&sure=yes"),
    ],
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
async def test_what_was_not_meant_changes_nothing(
    asking: tuple[Domain, Client, Copy], how: str, body: str
) -> None:
    domain, client, copy = asking
    before = await dump(domain)
    assert (await wish(client, copy, body)).status == 400
    assert await dump(domain) == before
    assert (await client.ask(copy.page)).text.count("<form") == (1 if how == "contact" else 3)
