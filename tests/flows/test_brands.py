"""Several brands, one relay: each sender's mail carries links to their own host, and neither wraps the other's."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import default
from pathlib import Path

from support.people import GRANTED, newsletter, send
from support.sites import command, running, site
from support.upstream import ScriptedUpstream

OTHERS = "https://t.wine.example"


async def test_each_senders_mail_carries_their_own_host(store_url: str, tmp_path: Path) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path / "site", store_url, upstream.url)
        with where.config_file.open("a") as file:
            file.write(f'[[tracker.host]]\npublic_url = "{OTHERS}"\nsenders = ["@wine.example"]\n')
        shop = newsletter(header="From: News <news@shop.example>\r\n")
        wine = newsletter(header="From: News <news@wine.example>\r\n")
        async with running(where):
            for data in (shop, wine):
                assert (await send(where.smtp_port, data, GRANTED))[0] == 250
        first, second = (html(one.data) for one in upstream.received)
        own = where.public_url
        assert f"{own}/c/" in first
        assert OTHERS not in first
        assert f"{OTHERS}/c/" in second
        assert f"{OTHERS}/o/" in second
        assert own not in second
        # What one brand sent, quoted in the other's mail, is nobody's to wrap again.
        async with running(where):
            again = upstream.received[1].data.replace(b"@wine.example", b"@shop.example")
            assert (await send(where.smtp_port, again, GRANTED))[0] == 250
        quoted = html(upstream.received[-1].data)
        assert (f"{own}/c/" in quoted, f"{OTHERS}/c/" in quoted) == (False, True)
        (tmp_path / "wine.eml").write_bytes(wine)
        shown = await command(where, "rewrite", str(tmp_path / "wine.eml"))
        assert f"{OTHERS}/c/" in html(shown.encode())


def html(data: bytes) -> str:
    body = BytesParser(policy=default).parsebytes(data).get_body(("html",))
    assert body is not None
    return str(body.get_content())
