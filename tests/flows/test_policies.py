"""Presets at work on real mail: who is measured in which country, and only in mail that carries the link."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.people import copies, newsletter, rows, send, tell
from support.sites import running, site, until
from support.upstream import ScriptedUpstream, on, say
from support.waiting import let_leases_run_out, nothing_waits

from tracker.consent import Consent
from tracker.store.schema import deliveries

FRENCH, ITALIAN, SPANISH, NOWHERE, DECLINED = (
    f"{name}@people.example" for name in ("fanny", "ida", "santi", "nora", "denise")
)
LINK = b'<a href="{{tracking_preferences_url}}">What is measured</a></body>'
WANTED = {
    # with the link in the mail, of the class `requested`: reason and mode
    FRENCH: ("granted", "identified"),
    ITALIAN: ("unknown-aggregate", "aggregate"),
    SPANISH: ("unknown-identified", "identified"),
    NOWHERE: ("unknown-hygiene", "hygiene"),
}


@pytest.mark.parametrize("has_link", [True, False])
async def test_presets_go_by_country_and_measure_only_mail_with_the_link(
    store_url: str, tmp_path: Path, has_link: bool
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url, consent={"presets": ["fr-2026", "it-2026"]})
        async with running(where) as domain:
            await tell(domain, FRENCH, consent=Consent.GRANTED, country="FR")
            await tell(domain, ITALIAN, country="IT")
            await tell(domain, SPANISH, country="ES")
            data = newsletter(header="X-Candor-Class: requested\r\n")
            if has_link:
                data = data.replace(b"</body>", LINK)
            code, _ = await send(where.smtp_port, data, *WANTED)
            assert code == 250
            found = {row["recipient"]: (row["reason"], row["mode"]) for row in await rows(domain, deliveries)}
        got = copies(upstream.received)
    missing = ("no-withdrawal-link", "untracked")
    assert (
        found == WANTED
        if has_link
        else found == {address: WANTED[address] if address == SPANISH else missing for address in WANTED}
    )
    for address, copy in got.items():
        assert copy.is_tracked is (has_link or address == SPANISH)
        assert (b"/p/" in copy.data) is has_link


async def test_mail_without_the_link_has_it_in_a_footer_for_whom_the_preset_asks_for_one(
    store_url: str, tmp_path: Path
) -> None:
    """In the language of the recipient's country, only in the copies that are measured, and at later tries too."""
    async with ScriptedUpstream(on("rcpt", say("450 4.2.0 later"), match=ITALIAN, times=1)) as upstream:
        where = site(
            tmp_path,
            store_url,
            upstream.url,
            consent={"presets": ["fr-2026", "it-2026"]},
            preferences={"footer": True, "words": {"fr": {"footer": "Nous regardons vos lectures."}}},
        )
        async with running(where) as domain:
            await tell(domain, FRENCH, consent=Consent.GRANTED, country="FR")
            await tell(domain, DECLINED, consent=Consent.DENIED, country="FR")
            await tell(domain, ITALIAN, country="IT")
            await tell(domain, SPANISH, country="ES")
            code, _ = await send(where.smtp_port, newsletter(), FRENCH, DECLINED, ITALIAN, SPANISH)
            assert code == 250
            assert ITALIAN not in copies(upstream.received)
            await domain.database.change(let_leases_run_out)
            await until(lambda: nothing_waits(domain))
            found = {row["recipient"]: row["mode"] for row in await rows(domain, deliveries)}
        got = copies(upstream.received)
    assert found == {
        FRENCH: "identified",
        DECLINED: "untracked",
        ITALIAN: "aggregate",
        SPANISH: "identified",
    }
    for address, words in {FRENCH: b"Nous regardons vos lectures.", ITALIAN: b"Misuriamo la lettura"}.items():
        assert got[address].data.count(words) == 2  # in the text and in the HTML
        assert got[address].data.count(b"/p/") == 2
        assert got[address].is_tracked
    for address in (DECLINED, SPANISH):
        assert b"/p/" not in got[address].data
