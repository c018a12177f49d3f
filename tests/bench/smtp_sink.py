"""An SMTP server that takes everything, keeps nothing and prints how many it had. Usage: smtp_sink.py PORT"""

from __future__ import annotations

import asyncio
import sys

_taken = 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global _taken
    writer.write(b"220 sink\r\n")
    try:
        while line := await reader.readline():
            word = line[:4].upper()
            if word == b"EHLO":
                writer.write(b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif word == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 taken\r\n")
                _taken += 1
                print(f"mesg={_taken}", flush=True)
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                break
            else:
                writer.write(b"250 ok\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), limit=64 * 1024 * 1024)
    await server.serve_forever()


asyncio.run(main())
