"""One message, six people, six right copies; then what each of them leaves behind, and what they do not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Table
from support.people import (
    CLIENT_IP,
    DENIED,
    ERASED,
    GRANTED,
    LOOSE,
    READER_IP,
    SENDER,
    SIX,
    UNKNOWN,
    URLS,
    WITHDRAWN,
    Browser,
    Copy,
    assert_names_nobody,
    browsing,
    copies,
    gather_the_six,
    newsletter,
    rows,
    send,
    tell,
    verified,
    with_page,
)
from support.sites import Program, Site, command, domain_of, free_port, running, site, until
from support.upstream import ScriptedUpstream

from tracker.consent import Consent, DoNotTrack
from tracker.domain import Domain
from tracker.store.schema import consent_ledger, contacts, counts, events

DECLINED = (DENIED, WITHDRAWN, ERASED)
ENCODINGS = ("7bit", "8bit", "quoted-printable", "base64")


@dataclass
class Post:
    """A running Candor whose six people have told it what they want, and a browser."""

    site: Site
    domain: Domain
    upstream: ScriptedUpstream
    browser: Browser

    async def send(self, data: bytes, *recipients: str) -> dict[str, Copy]:
        """What each of them got."""
        self.upstream.received.clear()
        code, text = await send(self.site.smtp_port, data, *(recipients or SIX))
        assert code == 250, text
        return copies(self.upstream.received)

    async def kept(self, *tables: Table) -> list[list[dict[str, object]]]:
        return [await rows(self.domain, table) for table in tables or (events, counts, contacts)]

    async def events_of(self, address: str) -> list[str]:
        return [one["kind"] for one in await self.domain.events.list() if one["recipient"] == address]


@pytest.fixture
async def post(store_url: str, tmp_path: Path) -> AsyncIterator[Post]:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain, browsing() as browser:
            await gather_the_six(domain)
            yield Post(where, domain, upstream, browser)


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_who_declined_gets_the_original_and_the_others_pixel_and_links(
    post: Post, encoding: str
) -> None:
    original = newsletter(encoding)
    got = await post.send(original)
    assert set(got) == set(SIX)
    for address in DECLINED:
        assert got[address].base == original
        assert got[address].received_line.count(b"\r\n") == 3
    for address in (GRANTED, UNKNOWN, LOOSE):
        report = await verified(got[DENIED], got[address], post.site.public_url, post.browser)
        assert report.problems == []
        assert (report.pixels, report.wrapped) == (1, list(URLS))
    tokens = [url for address in SIX for url in (*got[address].pixels, *got[address].links)]
    assert len(tokens) == len(set(tokens)) == 3 * (1 + len(URLS))


async def test_untracked_people_share_one_transaction_and_the_tracked_have_their_own(post: Post) -> None:
    await post.send(newsletter())
    sizes = sorted(len(one.recipients) for one in post.upstream.received)
    assert sizes == [1, 1, 1, 3]


async def test_hits_leave_what_each_person_agreed_to(post: Post) -> None:
    got = await post.send(newsletter())
    for copy in got.values():
        await post.browser.read(copy)
    for address in (GRANTED, UNKNOWN):
        assert sorted(await post.events_of(address)) == ["clicked"] * len(URLS) + ["opened"]
    listed = await post.domain.events.list()
    assert {one["recipient"] for one in listed} == {GRANTED, UNKNOWN}
    assert [one["url"] for one in listed if one["recipient"] == GRANTED and one["url"]] == list(URLS)
    (counted,) = await post.kept(counts)
    assert sum(int(str(row["n"])) for row in counted) == 1 + len(URLS)
    assert {row["scope"] for row in counted} == {"month"}, "a cell of one would name her"


async def test_links_lead_exactly_where_the_author_pointed_and_set_nothing(post: Post) -> None:
    got = await post.send(newsletter())
    for address in (GRANTED, UNKNOWN, LOOSE):
        for link, url in zip(got[address].links, URLS, strict=True):
            answer = await post.browser.get(link)
            assert (answer.status, answer.location) == (302, url)
            assert "Set-Cookie" not in answer.headers
            assert "no-store" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("door", ["page", "register", "erasure"])
async def test_a_grant_taken_back_silences_mail_already_sent_whose_links_still_lead_on(
    post: Post, door: str
) -> None:
    got = (await post.send(with_page(), GRANTED))[GRANTED]
    await post.browser.read(got)
    assert len(await post.events_of(GRANTED)) == 2
    if door == "page":
        await post.browser.choose(got, "decline")
    elif door == "register":
        await tell(post.domain, GRANTED, Consent.WITHDRAWN)
    else:
        await command(post.site, "contact", "erase", "--yes", GRANTED)
    before = await post.kept()
    assert await post.browser.read(got) == [URLS[0]]
    assert await post.kept() == before
    assert len(before[0]) == (0 if door == "erasure" else 2)


async def test_the_choice_on_the_page_holds_for_the_next_mail_too(post: Post) -> None:
    first = (await post.send(with_page(), GRANTED))[GRANTED]
    page = await post.browser.get(first.page)
    assert page.status == 200
    await post.browser.choose(first, "decline")
    assert not (await post.send(with_page(), GRANTED))[GRANTED].is_tracked
    await post.browser.choose(first, "allow")
    assert (await post.send(with_page(), GRANTED))[GRANTED].is_tracked


async def test_looking_at_the_page_changes_nothing(post: Post) -> None:
    got = (await post.send(with_page(), GRANTED))[GRANTED]
    before = await post.kept(events, counts, contacts, consent_ledger)
    assert (await post.browser.get(got.page)).status == 200
    assert (await post.browser.ask("HEAD", got.page)).status == 200
    assert await post.kept(events, counts, contacts, consent_ledger) == before


async def test_who_wishes_to_be_anonymous_after_delivery_is_counted_and_not_recorded(post: Post) -> None:
    got = (await post.send(newsletter(), GRANTED))[GRANTED]
    await tell(post.domain, GRANTED, do_not_track=DoNotTrack.TRUE)
    assert await post.browser.read(got) == list(URLS)
    kept_events, counted, _ = await post.kept()
    assert kept_events == []
    assert sum(int(str(row["n"])) for row in counted) == 1 + len(URLS)


async def test_a_grant_after_delivery_never_widens_mail_sent_before(post: Post) -> None:
    got = await post.send(newsletter(), DENIED, LOOSE)
    await tell(post.domain, LOOSE, do_not_track=DoNotTrack.FALSE)
    await tell(post.domain, DENIED, Consent.GRANTED)
    await post.browser.read(got[LOOSE])
    kept_events, counted, _ = await post.kept()
    assert kept_events == []
    assert counted != []


async def test_a_head_request_leaves_nothing(post: Post) -> None:
    got = await post.send(newsletter())
    before = await post.kept()
    for copy in got.values():
        for url in (*copy.pixels, *copy.links):
            answer = await post.browser.ask("HEAD", url)
            assert answer.status in (200, 302)
    assert await post.kept() == before


async def test_a_forged_or_cut_link_leads_nowhere_and_leaves_nothing(post: Post) -> None:
    got = (await post.send(newsletter(), GRANTED))[GRANTED]
    before = await post.kept()
    link = got.links[0]
    for broken in (link[:-3], link[:-1] + ("A" if link[-1] != "A" else "B"), link + "x"):
        assert (await post.browser.get(broken)).status == 404
    assert (await post.browser.get(got.pixel.replace(".gif", "x.gif"))).status == 200
    assert await post.kept() == before


# --- the programs themselves ---


def swaks(port: int, message: Path) -> None:
    """Sends the message to the six, and expects that it was taken."""
    envelope = ["--from", SENDER, "--to", ",".join(SIX), "--local-interface", CLIENT_IP]
    done = subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", *envelope, "--data", f"@{message}", "--suppress-data"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def knock_with_what_is_no_request(port: int) -> None:
    """Nonsense that carries an address, from the reader's machine."""
    for octets in (
        f"GET /o/x HTTP/1.1\r\nX-Was: {GRANTED}\x00\r\n\r\n".encode(),
        b"\x16\x03\x01 no TLS here\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(READER_IP, 0))
        writer.write(octets)
        await reader.read()
        writer.close()
        await writer.wait_closed()


@pytest.mark.skipif(shutil.which("swaks") is None, reason="swaks is not installed")
async def test_the_command_serves_swaks_and_its_log_names_nobody(store_url: str, tmp_path: Path) -> None:
    original = newsletter("quoted-printable")
    (tmp_path / "mail.eml").write_bytes(original)
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with Program(where) as program, domain_of(where) as domain, browsing() as browser:
            await gather_the_six(domain)
            await asyncio.to_thread(swaks, where.smtp_port, tmp_path / "mail.eml")
            got = copies(upstream.received)
            for address in DECLINED:  # swaks ends what it sends with an empty line of its own
                assert got[address].base == original + b"\r\n"
            for copy in got.values():
                await browser.read(copy)
            await knock_with_what_is_no_request(where.web_port)
            (listed,) = json.loads(await command(where, "message", "list", "--json"))
            shown = json.loads(await command(where, "message", "show", listed["id"], "--json"))
            happened = await command(where, "event", "list", "--json")
            assert await program.stop() == 0
    modes = {one["recipient"]: one["mode"] for one in shown["deliveries"]}
    assert modes == {
        GRANTED: "identified",
        UNKNOWN: "identified",
        LOOSE: "anonymous",
        DENIED: "untracked",
        WITHDRAWN: "untracked",
        None: "untracked",
    }
    assert {one["status"] for one in shown["deliveries"]} == {"accepted"}
    assert {json.loads(line)["recipient"] for line in happened.splitlines()} == {GRANTED, UNKNOWN}
    assert_names_nobody(program.log)


@pytest.mark.skipif(shutil.which("smtp-sink") is None, reason="Postfix's smtp-sink is not installed")
async def test_the_original_reaches_postfix_s_own_sink_byte_for_byte(store_url: str, tmp_path: Path) -> None:
    original = newsletter("quoted-printable")
    port = free_port()
    where = site(tmp_path, store_url, f"smtp://127.0.0.1:{port}")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # as root it insists on writing as somebody else
        become = ["-u", "nobody"] if os.getuid() == 0 else []
        sink = subprocess.Popen(["smtp-sink", *become, "-d", f"{folder}/dump.", f"127.0.0.1:{port}", "100"])
        try:
            async with running(where) as domain:
                await until_it_listens(port)
                await gather_the_six(domain)
                code, text = await send(where.smtp_port, original, *SIX)
                assert code == 250, text
            dumps = [file.read_bytes().replace(b"\r\n", b"\n") for file in Path(folder).glob("dump.*")]
        finally:
            sink.kill()
            sink.wait()
    untouched = [dump for dump in dumps if original.replace(b"\r\n", b"\n").strip() in dump]
    assert (len(dumps), len(untouched)) == (4, 1)
    assert all(address.encode() in untouched[0] for address in DECLINED)


async def until_it_listens(port: int) -> None:
    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(answers, "the sink listens")
