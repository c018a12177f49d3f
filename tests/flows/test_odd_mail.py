"""Mail that no database likes goes on like any other, and does not keep the next from being tracked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.mail import multipart, part
from support.people import GRANTED, UNKNOWN, Copy, newsletter, send
from support.sites import running, site
from support.upstream import ScriptedUpstream

ODD = {
    "lone surrogates in the subject": newsletter(subject="=?unicode_escape?Q?=5Cud800?="),
    "lone surrogates in a tag": newsletter(header="X-Candor-Tag: =?utf-7?Q?+2AA-?=\r\n"),
    "lone surrogates in the sender's name": newsletter(
        header="From: =?raw_unicode_escape?Q?=5Cudfff?= <a@b.example>\r\n"
    ),
    "NUL in a link": multipart(
        part('<p><a href="https://shop.example/&#0;a">a&#0;b</a> <a href="https://shop.example/b">b</a></p>')
    ),
    "NUL by encoded word": newsletter(subject="=?utf-8?Q?=00a?="),
    "a surrogate by reference": multipart(part('<p><a href="https://shop.example/">&#xD800;</a></p>')),
    "a number of links beyond reason": multipart(
        part("<p>" + '<a href="https://shop.example/">x</a>\r\n' * 3000)
    ),
}


@pytest.mark.parametrize("kind", ODD)
async def test_odd_mail_goes_on_and_does_not_keep_the_next_from_being_tracked(
    store_url: str, tmp_path: Path, kind: str
) -> None:
    async with ScriptedUpstream() as upstream:
        where = site(tmp_path, store_url, upstream.url)
        async with running(where):
            assert (await send(where.smtp_port, ODD[kind], GRANTED, UNKNOWN))[0] == 250
            assert sorted(address for one in upstream.received for address in one.addresses) == [
                GRANTED,
                UNKNOWN,
            ]
            assert (await send(where.smtp_port, newsletter(), GRANTED))[0] == 250
            assert all(Copy(data=one.data).is_tracked for one in upstream.received)
