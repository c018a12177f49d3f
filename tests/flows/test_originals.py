"""Messages kept to be looked at: which they are, how they look, and how they go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from support.people import DENIED, GRANTED, LOOSE, gather_the_six, newsletter, send
from support.sites import command, domain_of, running, site
from support.upstream import ScriptedUpstream

from relay.config import load
from relay.originals import Originals
from relay.store.schema import originals
from tracker.domain import Domain
from tracker.store.schema import messages


async def kept(domain: Domain) -> dict[str, bytes]:
    """Ids of what is kept, by subject."""
    query = select(messages.c.subject, originals.c.message_id).join(
        messages, messages.c.id == originals.c.message_id
    )
    rows = await domain.database.read(lambda connection: connection.execute(query).all(), within=20.0)
    return {row.subject: bytes(row.message_id) for row in rows}


async def test_what_is_measured_is_kept_for_some_days_and_goes_with_the_people_it_went_to(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, admin={"listen": "", "previews_days": 3})
        async with running(where) as domain, domain_of(where) as beside:
            await gather_the_six(domain)
            transactional = "X-Candor-Class: transactional\r\n"
            for subject, to, more in (
                ("for Grace", [GRANTED], ""),
                ("for two", [LOOSE, DENIED], ""),
                ("for Dennis", [DENIED], ""),
                ("with an erased one", [GRANTED, "earl@people.example"], ""),
                ("a code", [GRANTED], transactional),
            ):
                reply = await send(where.smtp_port, newsletter(header=more, subject=subject), *to)
                assert reply[0] == 250, reply
            assert (await kept(domain)).keys() == {"for Grace", "for two"}
            shown = Originals(domain, load(where.config_file))
            message = (await kept(domain))["for Grace"]
            assert await shown.has(message)
            url = "https://shop.example/apples?kind=russet&box=2"
            html = await shown.html(message, {1: (url, "1: 50.0%")}) or ""
            assert "1: 50.0%" in html
            assert "href" not in html
            assert GRANTED in await command(where, "contact", "export", GRANTED)
            await command(where, "contact", "erase", "--yes", GRANTED)
            assert (await kept(domain)).keys() == {"for two"}
            assert await shown.html(message, {}) is None
            today = datetime.now(UTC).date()
            assert (await beside.purge.due(today + timedelta(days=3))).originals == 0
            assert (await domain.purge.run(today + timedelta(days=3))).originals == 0
            assert (await domain.purge.run(today + timedelta(days=4))).originals == 1
            assert await kept(domain) == {}


async def test_nothing_is_kept_unless_somebody_says_so(store_url: str, tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, relay={"wait_for_upstream": "0s"})
        async with running(where) as domain:
            await gather_the_six(domain)
            assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
            assert await kept(domain) == {}


async def test_what_was_said_to_us_is_not_kept_with_them(store_url: str, tmp_path: Path) -> None:
    """Lists of other recipients stand in such fields, and nobody's erasure would find them."""
    others = 'X-SMTPAPI: {"to": ["victim@people.example"], "filters": {"clicktrack": {"settings": {"enable_text": 0}}}}\r\n'
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, admin={"listen": "", "previews_days": 3})
        async with running(where) as domain:
            await gather_the_six(domain)
            for subject, header in (("html", others), ("text", "X-PM-TrackLinks: TextOnly\r\n")):
                assert (await send(where.smtp_port, newsletter(header=header, subject=subject), GRANTED))[
                    0
                ] == 250
            rows = await domain.database.read(
                lambda connection: connection.execute(select(originals.c.data)).scalars().all(), within=20.0
            )
            assert len(rows) == 2
            assert not any(b"victim" in bytes(row) or b"X-SMTPAPI" in bytes(row) for row in rows)
            found = await kept(domain)
            shown = Originals(domain, load(where.config_file))
            url = "https://shop.example/apples?kind=russet&box=2"
            assert "1: 50.0%" in (await shown.html(found["html"], {1: (url, "1: 50.0%")}) or "")
            in_text = {1: ("https://shop.example/apples", "1: 50.0%")}
            assert "1: 50.0%" not in (await shown.html(found["text"], in_text) or "1: 50.0%")
