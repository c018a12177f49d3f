"""Looking for alerts while a program runs. Each of its jobs is one process's at a time; where no [[alert]] is configured
nothing is done. Whoever has a way out for mail tells what any of them found."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from tracker.alerting.finding import Finding
from tracker.alerting.post import Post
from tracker.alerting.telling import Telling
from tracker.domain import Domain
from tracker.jobs import Job, Jobs

_EVERY = 15.0
"""Seconds between two looks, give or take a fifth."""
_BOUNCES_EVERY = timedelta(minutes=5)


class Alerting:
    """`start()`, and `await stop()`. `post`: the way out, for a program that has one."""

    def __init__(self, domain: Domain, post: Post | None = None, *, every: float = _EVERY) -> None:
        self._domain = domain
        self._every = every
        finding = Finding(domain)
        again = timedelta(seconds=every / 2)
        jobs = [
            Job(name="alerts", every=again, work=_saying(finding.events, "found")),
            Job(name="alert-bounces", every=_BOUNCES_EVERY, work=_saying(finding.bounces, "found")),
        ]
        if post is not None:
            jobs.append(Job(name="alert-mail", every=again, work=_saying(Telling(domain, post).run, "told")))
        self._jobs = Jobs(domain.database, jobs)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Breaks off what runs: it is as due as before."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret
            if self._domain.config.alert:
                await self._jobs.look()


def _saying(work: Callable[[datetime], Awaitable[int]], word: str) -> Callable[[datetime], Awaitable[str]]:
    async def said(now: datetime) -> str:
        number = await work(now)
        return f"{number} {word}" if number else ""

    return said
