"""How the system is, as far as it can be told without asking anybody outside."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Literal

from pydantic import Field

from tracker.admin.api.operations import Answer, Call, Operation
from tracker.admin.api.shapes import Shape, Time
from tracker.errors import StoreError
from tracker.store import jobs
from tracker.store.hosts import tracking_hosts_of


class Host(Shape):
    """A tracking host, as the last probe found it."""

    url: str
    checked_at: Time
    failing_since: Time | None
    problem: str
    certificate_until: Time | None


class Job(Shape):
    name: str
    done_at: Time | None
    due_at: Time
    failures: int = Field(description="In a row.")


class Health(Shape):
    status: Literal["ok", "degraded"] = Field(description="degraded: something below wants attention.")
    version: str
    tracking_hosts: list[Host]
    jobs: list[Job]
    queue_recipients: int | None = Field(description="Null where nobody here knows of mail.")
    queue_oldest_seconds: float | None


async def shown(call: Call) -> Answer:
    domain = call.domain
    hosts = await domain.database.read(tracking_hosts_of)
    states = await domain.database.read(jobs.states)
    standing = None
    if call.its_desk is not None:
        with suppress(StoreError):
            standing = await call.its_desk.standing(domains=0)
    is_failing = any(one.failing_since for one in hosts.values()) or any(one.failures for one in states)
    return Answer(
        body=Health(
            status="degraded" if is_failing else "ok",
            version=version("candor"),
            tracking_hosts=[
                Host(
                    url=url,
                    checked_at=one.checked_at,
                    failing_since=one.failing_since,
                    problem=one.problem,
                    certificate_until=one.certificate_until,
                )
                for url, one in hosts.items()
            ],
            jobs=[
                Job(name=one.name, done_at=one.done_at, due_at=one.due_at, failures=one.failures)
                for one in states
            ],
            queue_recipients=standing.recipients if standing is not None else None,
            queue_oldest_seconds=standing.oldest if standing is not None else None,
        )
    )


OPERATIONS = (
    Operation(
        name="get_health",
        method="GET",
        path="/health",
        about="How the system is: tracking hosts, jobs, queue.",
        scopes=("health:read",),
        gives=Health,
        does=shown,
    ),
)
