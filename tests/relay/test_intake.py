"""The intake as its clients see it: smtplib, in clear and under TLS."""

from __future__ import annotations

import asyncio
import smtplib

from support.smtp import Inbox, serving


async def test_a_message_arrives_with_its_envelope() -> None:
    inbox = Inbox()

    def send(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.sendmail("from@example.org", ["a@example.org", "b@example.org"], "Subject: x\n\n.dot\n")

    async with serving(inbox) as server:
        await asyncio.to_thread(send, server.port)
    submission = inbox.only
    assert submission.sender == "from@example.org"
    assert [r.address for r in submission.recipients] == ["a@example.org", "b@example.org"]
    assert submission.data == b"Subject: x\r\n\r\n.dot\r\n"
    assert submission.client.address == "127.0.0.1"
    assert len(submission.id) == 16
