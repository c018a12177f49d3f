"""Mail is put off before the disk is full, and taken again once there is room."""

from __future__ import annotations

from pathlib import Path

from structlog.testing import capture_logs
from support.smtp import Inbox, serving

from relay.diskspace import LOOK_AGAIN, DiskSpace


async def test_on_a_disk_nearly_full_mail_is_put_off_until_there_is_room(tmp_path: Path) -> None:
    free, now = [50], [0.0]
    space = DiskSpace(tmp_path, 100, clock=lambda: now[0], free=lambda _: free[0])
    with capture_logs() as log:
        async with serving(Inbox(), check=space.check) as server, server.talk() as client:
            await client.hello()
            assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("452 4.3.1 Not enough disk")
            free[0] = 100
            assert (await client.ask("MAIL FROM:<a@example.org>")).startswith("452 ")
            now[0] += LOOK_AGAIN
            await client.envelope()
    said = [line["event"] for line in log if line["event"].startswith("disk-")]
    assert said == ["disk-nearly-full", "disk-has-room"]


def test_a_disk_that_cannot_be_asked_is_no_reason_to_take_no_mail(tmp_path: Path) -> None:
    assert DiskSpace(tmp_path / "gone", 10**30).check() is None


def test_the_real_disk_is_asked_and_nothing_is_when_nothing_must_be_free(tmp_path: Path) -> None:
    assert DiskSpace(tmp_path, 10**30).check() is not None
    assert DiskSpace(tmp_path, 1).check() is None
    assert DiskSpace(tmp_path, 0, free=lambda _: 0).check() is None
