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


async def test_a_link_that_no_copy_has_wrapped_is_on_record_as_one_that_stayed(
    store_url: str, tmp_path: Path
) -> None:
    """Else it would look like one that nobody follows. The second link's line has room."""
    html = (
        f'<p>{"x" * 900}<a href="https://shop.example/one">one</a></p>\r\n'
        '<p><a href="https://shop.example/two">two</a></p>'
    )
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            assert (await send(where.smtp_port, part(html), GRANTED))[0] == 250
            (listed,) = await domain.deliveries.list()
            shown = await domain.deliveries.show(bytes.fromhex(listed["id"]))
    copy = upstream.received[0].data
    assert (copy.count(b"/c/"), copy.count(b"https://shop.example/one")) == (1, 1)
    assert [link["url"] for link in shown["deliveries"][0]["links"]] == ["https://shop.example/two"]
    assert [(one["reason"], one["where"]) for one in shown["kept"]] == [("line-too-long", "shop.example")]


async def test_what_the_message_itself_switched_off_is_on_record(store_url: str, tmp_path: Path) -> None:
    quiet = "X-Candor-Track-Opens: no\r\nX-Candor-Track-Clicks: no\r\n"
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where) as domain:
            for header in (quiet, ""):
                data = multipart(part("Hello", kind="text/plain"), part(HTML), header=header)
                assert (await send(where.smtp_port, data, GRANTED))[0] == 250
            listed = await domain.deliveries.list()
            shown = [await domain.deliveries.show(bytes.fromhex(one["id"])) for one in listed]
    off = [
        [(one["reason"], one["count"]) for one in story["kept"] if "off" in one["reason"]] for story in shown
    ]
    assert sorted(off) == [[], [("opens-switched-off", 1), ("clicks-switched-off", 1)]]
