"""Presets at work on real mail: who is measured in which country, and only in mail that carries the link."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.people import copies, newsletter, rows, send, tell
from support.sites import running, site
from support.upstream import ScriptedUpstream

from tracker.consent import Consent
from tracker.store.schema import deliveries

FRENCH, ITALIAN, SPANISH, NOWHERE = (f"{name}@people.example" for name in ("fanny", "ida", "santi", "nora"))
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
