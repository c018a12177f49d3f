"""Several upstream servers behind a running relay: the client hears one answer, whoever took the mail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.people import newsletter, send
from support.sites import Site, running, site
from support.stores import Stores
from support.upstream import ScriptedUpstream, drop, on, say

ANN, CAT, DAN = "ann@example.net", "cat@mx.corp.example", "dan@corp.example"


def several(
    folder: Path,
    store_url: str,
    first: ScriptedUpstream,
    backup: ScriptedUpstream,
    internal: ScriptedUpstream,
) -> Site:
    upstream: dict[str, Any] = {
        "server": [
            {"name": "backup", "url": backup.url, "priority": 20},
            {"name": "internal", "url": internal.url, "routed_only": True},
        ],
        "route": [{"recipient": ["corp.example", "*.corp.example"], "to": "internal"}],
    }
    return site(folder, store_url, first.url, upstream=upstream)


async def test_mail_finds_its_way_and_another_when_that_one_is_gone(stores: Stores, tmp_path: Path) -> None:
    async with (
        stores.fresh("sqlite", tmp_path) as store_url,
        ScriptedUpstream(on("connect", drop("421 4.3.2 Closed"), after=1)) as first,
        ScriptedUpstream(on("rcpt", say("550 5.1.1 Nobody"), match="nobody")) as backup,
        ScriptedUpstream() as internal,
    ):
        where = several(tmp_path, store_url, first, backup, internal)
        async with running(where):
            assert (await send(where.smtp_port, newsletter(), ANN, CAT, DAN))[0] == 250
            await first.hang_up()
            assert (await send(where.smtp_port, newsletter(), ANN, CAT))[0] == 250
            # Whoever takes it, its word is the client's answer.
            assert await send(where.smtp_port, newsletter(), "nobody@example.net") == (550, "5.1.1 Nobody")
    assert [mail.addresses for mail in first.received] == [(ANN,)]
    assert [mail.addresses for mail in backup.received] == [(ANN,)]
    assert sorted(mail.addresses for mail in internal.received) == [(CAT,), (CAT,), (DAN,)]


async def test_while_the_store_is_away_mail_of_several_ways_stays_with_its_client(
    stores: Stores, tmp_path: Path
) -> None:
    async with (
        stores.fresh("sqlite", tmp_path) as store_url,
        ScriptedUpstream() as first,
        ScriptedUpstream() as backup,
        ScriptedUpstream() as internal,
    ):
        where = several(tmp_path, store_url, first, backup, internal)
        async with running(where) as domain:
            await domain.database.close()
            code, text = await send(where.smtp_port, newsletter(), ANN, CAT)
            assert code == 451, text
            assert first.received == internal.received == []
            assert (await send(where.smtp_port, newsletter(), CAT, DAN))[0] == 250
    assert [mail.addresses for mail in internal.received] == [(CAT, DAN)]
