"""Whom a command on the queue means: the options that say it, alike for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from relay.postmaster import Postmaster
from relay.store.selection import Selection
from tracker.cli.common import CommandError, config_option, json_option
from tracker.cli.messages import message_id_argument
from tracker.config import Duration
from tracker.errors import InvalidValue

_SECONDS: TypeAdapter[float] = TypeAdapter(Duration)
_STATES = ("waiting", "sending", "held", "damaged")


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which recipients are meant, given to the command as one `wanted`."""

    @click.option("--sender", help='Of this sender: an address, "@domain", or "<>" for mail from nobody.')
    @click.option("--recipient", help="To this address.")
    @click.option("--domain", help="To addresses of this domain.")
    @click.option("--state", type=click.Choice(_STATES), help="In this state.")
    @click.option("--older-than", metavar="DURATION", help='Waiting for longer than this ("4h", "2d").')
    @wraps(command)
    def filtered(
        sender: str | None,
        recipient: str | None,
        domain: str | None,
        state: str | None,
        older_than: str | None,
        **more: Any,
    ) -> None:
        wanted = Selection(
            sender=None if sender is None else sender.strip("<>"),
            recipient=None if recipient is None else recipient.strip("<>"),
            domain=domain,
            state=state,
            older_than=_seconds(older_than),
        )
        command(wanted=wanted, **more)

    return filtered


def action(command: Callable[..., None]) -> Callable[..., None]:
    """What the commands share that change something: whom they mean, and the question before they do it."""

    @click.argument("messages", metavar="[MESSAGE]...", nargs=-1)
    @filters
    @click.option("--all", "everything", is_flag=True, help="All that waits.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @json_option
    @config_option
    @wraps(command)
    def asked(wanted: Selection, messages: tuple[str, ...], everything: bool, **more: Any) -> None:
        if sum((bool(messages), not wanted.everything, everything)) != 1:
            raise CommandError(
                InvalidValue("say which: ids of messages (or how they begin), or filters, or --all")
            )
        command(whom=Whom(list(map(message_id_argument, messages)), wanted), **more)

    return asked


class Whom:
    """Messages by id, or everybody whom a filter fits."""

    def __init__(self, messages: Sequence[str], wanted: Selection) -> None:
        self._messages = messages
        self._wanted = wanted
        self.named = bool(messages)

    async def selections(self, postmaster: Postmaster) -> list[Selection]:
        if not self.named:
            return [self._wanted]
        found = [await postmaster.find(prefix) for prefix in self._messages]
        return list(dict.fromkeys(found))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise CommandError(
            InvalidValue(f'--older-than: {text!r} is no duration; expected one such as "20m", "4h" or "2d"')
        ) from None
