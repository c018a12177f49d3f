"""A bare proxy: aiosmtpd in, aiosmtplib out, nothing between. Usage: smtp_proxy.py PORT UPSTREAM-PORT"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiosmtplib
from aiosmtpd.smtp import SMTP


class Forward:
    """Keeps open connections and hands each message on."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[aiosmtplib.SMTP] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        client = self._idle.pop() if self._idle else await self._connect()
        _, reply = await client.sendmail(envelope.mail_from, envelope.rcpt_tos, envelope.original_content)
        self._idle.append(client)
        return f"250 {reply}"

    async def _connect(self) -> aiosmtplib.SMTP:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=self._port, use_tls=False, start_tls=False)
        await client.connect()
        return client


async def main() -> None:
    handler = Forward(int(sys.argv[2]))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="proxy.example"), "127.0.0.1", int(sys.argv[1])
    )
    await server.serve_forever()


asyncio.run(main())
