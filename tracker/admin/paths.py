"""What a page's path names."""

from __future__ import annotations

import re

from aiohttp import web


def message_id(request: web.Request) -> bytes:
    """The message's. Raises HTTPNotFound for what is no id."""
    text = request.match_info["id"]
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise web.HTTPNotFound
    return bytes.fromhex(text)
