"""Why a link stayed is on record with its message, and nothing of a link that was somebody's own."""

from __future__ import annotations

from pathlib import Path

from support.mail import multipart, part
from support.people import GRANTED, UNKNOWN, send
from support.sites import running, site
from support.stores import dump
from support.upstream import ScriptedUpstream

HTML = (
    '<p><a href="https://shop.example/apples">Apples</a> '
    '<a href="https://list.example/unsubscribe?who=grace-own-word">Unsubscribe Grace-Own-Word</a> '
    '<a href="https://shop.example/login/grace-own-word">Log in, Grace-Own-Word</a> '
    '<a href="mailto:grace-own-word@people.example">write</a></p>'
)


async def test_why_a_link_stayed_is_on_record_and_nothing_of_whose_it_was(
    store_url: str, tmp_path: Path
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            data = multipart(part("Hello", kind="text/plain"), part(HTML), header="Subject: Apples\r\n")
            assert (await send(where.smtp_port, data, GRANTED, UNKNOWN))[0] == 250
            (listed,) = await domain.deliveries.list()
            shown = await domain.deliveries.show(bytes.fromhex(listed["id"]))
            everything = str(await dump(domain.database))
    assert [(one["part"], one["reason"], one["where"]) for one in shown["kept"]] == [
        ("2", "unsubscribe", "list.example"),
        ("2", "skipped-pattern", "shop.example"),
        ("2", "other-scheme", "mailto:"),
    ]
    assert "list.example" in everything
    assert "own-word" not in everything.lower()
