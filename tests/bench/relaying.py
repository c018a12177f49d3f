"""Messages a second through the relay with every recipient tracked, beside a bare proxy on the same libraries.

The proxy takes each message with aiosmtpd and hands it to aiosmtplib: no consent, no rewriting, no record. Relay,
proxy and sink are processes of their own; the same client drives both, in turns.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from newsletter import newsletter

ROUNDS, MESSAGES, SESSIONS = 3, 400, 20
BENCH = Path(__file__).parent
PORTS = {"sink": 18025, "proxy": 18026, "wait": 18027, "store": 18028}


async def session(port: int, numbers: list[int]) -> None:
    """One kept connection that sends its messages one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def expect(code: bytes) -> None:
        while True:
            line = await reader.readline()
            if not line.startswith(code):
                raise SystemExit(f"unexpected answer: {line!r}")
            if line[3:4] == b" ":
                return

    async def say(text: str, code: bytes) -> None:
        writer.write(text.encode() + b"\r\n")
        await expect(code)

    await expect(b"220")
    await say("EHLO bench.example", b"250")
    for number in numbers:
        await say("MAIL FROM:<news@shop.example>", b"250")
        await say(f"RCPT TO:<reader{number}@example.org>", b"250")
        await say("DATA", b"354")
        writer.write(newsletter(f"reader {number}") + b".\r\n")
        await expect(b"250")
    await say("QUIT", b"221")
    writer.close()


async def drive(port: int, begin: int) -> float:
    """Messages a second over all sessions."""
    shares = [list(range(begin + n, begin + MESSAGES, SESSIONS)) for n in range(SESSIONS)]
    started = time.perf_counter()
    await asyncio.gather(*(session(port, share) for share in shares))
    return MESSAGES / (time.perf_counter() - started)


def start(*command: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *command], env={**os.environ, **(environment or {})})


def relay(folder: str, port: int, wait: str) -> subprocess.Popen[bytes]:
    return start(
        "-c",
        "from relay.cli import main; main(['relay'])",
        environment={
            "CANDOR_RELAY_LISTEN": f"127.0.0.1:{port}",
            "CANDOR_RELAY_WAIT_FOR_UPSTREAM": wait,
            "CANDOR_UPSTREAM_URL": f"smtp://127.0.0.1:{PORTS['sink']}",
            "CANDOR_STORE_URL": f"sqlite:///{folder}/{port}.db",
            "CANDOR_TOKENS_KEYS_FILE": f"{folder}/keys.toml",
            "CANDOR_LOG_LEVEL": "error",
        },
    )


async def ready(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise SystemExit(f"nothing listens on {port}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        running = [
            start(str(BENCH / "smtp_sink.py"), str(PORTS["sink"])),
            start(str(BENCH / "smtp_proxy.py"), str(PORTS["proxy"]), str(PORTS["sink"])),
            relay(folder, PORTS["wait"], "20s"),
            relay(folder, PORTS["store"], "0s"),
        ]
        try:
            for port in PORTS.values():
                await ready(port)
            rates: dict[str, list[float]] = {"proxy": [], "wait": [], "store": []}
            for turn in range(ROUNDS + 1):
                for name, values in rates.items():
                    rate = await drive(PORTS[name], begin=turn * MESSAGES)
                    if turn:  # the first turn warms up
                        values.append(rate)
                    if name == "store":
                        await asyncio.sleep(2)  # what was stored goes out before the next is measured
            show({name: statistics.median(values) for name, values in rates.items()})
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait(30)


def show(rates: dict[str, float]) -> None:
    print(
        f"relaying {MESSAGES} messages of {len(newsletter('x')) // 1024} KB over {SESSIONS} kept sessions, all tracked:"
    )
    names = {"proxy": "bare proxy", "wait": 'wait_for_upstream "20s"', "store": '"0s" (accepting)'}
    for name, rate in rates.items():
        print(f"  {names[name]:24} {rate:7.0f} messages/s   {rate / rates['proxy']:.2f} x the bare proxy")


if __name__ == "__main__":
    asyncio.run(main())
