"""The web framework's side of a connection, at every listener of ours. Its own refusals say no more than ours do: which
library it is that could not read a request, and what the request said, is nobody's business."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from tracker.config import parse_listen
from tracker.httplog import retelling
from tracker.listening import listening

SERVER = "candor"
"""Which library and version answers is nobody's business."""
_MOST_LINE = 16 * 1024  # a request line: our longest token is a quarter of that
HANDLING: dict[str, Any] = {
    "access_log": None,
    "logger": retelling(),
    "max_line_size": _MOST_LINE,
    "max_field_size": _MOST_LINE,
    "keepalive_timeout": 30.0,
}
"""How the framework handles a connection."""


class _Refusing(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, "")  # for the log, and for what was half sent already
        answer = web.Response(
            status=status,
            text=f"{status} {HTTPStatus(status).phrase}\n",
            headers={"Server": SERVER, "Cache-Control": "no-store"},
        )
        answer.force_close()
        return answer


def framework(runner: web.AppRunner) -> Callable[[], web.RequestHandler]:
    """Makes the framework's handler of a connection, for the application of `runner`, which was set up."""
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None  # noqa: S101 - it was set up just now
    return lambda: _Refusing(server, loop=loop, **HANDLING)


async def listen(
    runner: web.AppRunner, option: str, address: str, *, share_port: bool = False
) -> asyncio.Server:
    """A socket for the application of `runner`, which was set up; `option` names the address. `share_port`: other
    processes listen there too. Raises CannotListen."""
    host, port = parse_listen(address)
    with listening(option, address):
        return await asyncio.get_running_loop().create_server(
            framework(runner), host or None, port, reuse_port=share_port or None
        )
