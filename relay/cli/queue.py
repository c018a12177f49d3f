"""`candor queue …`: mail that waits, seen and steered by its operator, while the relay runs."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import click
from pydantic import TypeAdapter, ValidationError

from relay.compiled import Compiler
from relay.config import Config, load
from relay.postmaster import Done, Postmaster
from relay.queue import Queue
from relay.settlement import Settlement
from relay.store.selection import Selection
from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.cli.story import answer, show_tries
from tracker.config import Duration
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.moments import shown

T = TypeVar("T")
_SECONDS: TypeAdapter[float] = TypeAdapter(Duration)
_STATES = ("waiting", "sending", "held", "damaged")


@click.group()
def queue() -> None:
    """Mail that waits to be sent."""


def _filters(command: Callable[..., None]) -> Callable[..., None]:
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


def _action(command: Callable[..., None]) -> Callable[..., None]:
    """What the commands share that change something: whom they mean, and the question before they do it."""

    @click.argument("messages", metavar="[MESSAGE]...", nargs=-1)
    @_filters
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
        command(whom=_Whom(messages, wanted), **more)

    return asked


class _Whom:
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


@queue.command("list")
@click.argument("message", metavar="[MESSAGE]", default="")
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--page", default=1, show_default=True, type=click.IntRange(1))
@json_option
@config_option
def list_queue(
    wanted: Selection, message: str, limit: int, page: int, as_json: bool, config_file: Path | None
) -> None:
    """List recipients who wait, oldest first; of one message, or those that the options say.

    MESSAGE is an id or its beginning."""
    wanted = Selection(
        message=message,
        sender=wanted.sender,
        recipient=wanted.recipient,
        domain=wanted.domain,
        state=wanted.state,
        older_than=wanted.older_than,
    )

    async def work(postmaster: Postmaster) -> tuple[dict[str, int], list[dict[str, Any]]]:
        found = await postmaster.page(wanted, limit=limit, offset=(page - 1) * limit)
        return await postmaster.count(wanted), found

    counted, found = _with_postmaster(config_file, work)
    if as_json:
        show_json({**counted, "page": page, "limit": limit, "waiting": found})
        return
    if found:
        show_table(
            ("message", "from", "to", "state", "age", "next try", "tries", "size", "last answer"),
            [_row(one) for one in found],
        )
    first = (page - 1) * limit
    which = f"{first + 1} to {first + len(found)} of " if found else ""
    click.echo(
        f"{which}{_many(counted['recipients'], 'recipient')} of {_many(counted['messages'], 'message')}"
    )


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    sender = "(gone)" if one["sender"] is None else f"<{one['sender']}>"
    return (
        one["message"][:12],
        sender,
        f"<{one['recipient']}>",
        one["state"],
        _span(one["age"]),
        "" if one["next_try"] is None else _span(one["next_try"]),
        one["tries"],
        "" if one["size"] is None else _octets(one["size"]),
        answer(one["last_try"]),
    )


@queue.command("show")
@click.argument("message")
@click.option("--raw", is_flag=True, help="Write the message as it came to standard output.")
@json_option
@config_option
def show_message(message: str, raw: bool, as_json: bool, config_file: Path | None) -> None:
    """Show one message that waits: its envelope, recipients and every attempt. MESSAGE is an id or its beginning."""
    if raw:
        data = _with_postmaster(config_file, lambda postmaster: postmaster.original(message))
        sys.stdout.buffer.write(data)
        return
    found = _with_postmaster(config_file, lambda postmaster: postmaster.show(message))
    if as_json:
        show_json(found)
        return
    click.echo(f"{found['id']}   {printable(found['subject'])}")
    if "sender" in found:
        click.echo(
            printable(
                f"from <{found['sender']}>, {shown(str(found['received_at']))}, {_octets(found['size'])}"
            )
        )
        click.echo(printable(_envelope(str(found["envelope"]))))
    else:
        click.echo("its content is gone")
    waiting = [
        (f"<{one['recipient']}>", one["state"], _span(one["age"]), _span(one["next_try"]), one["tries"])
        for one in found["waiting"]
    ]
    show_table(("waits for", "state", "age", "next try", "tries"), waiting)
    people = [(f"<{one['recipient']}>", one["attempts"]) for one in found["waiting"]]
    people += [(one["recipient"] or "(erased)", one["attempts"]) for one in found["settled"]]
    show_tries(people)
    if found["settled"]:
        settled = [(one["recipient"] or "(erased)", one["status"]) for one in found["settled"]]
        show_table(("settled", "status"), settled)


@queue.command()
@_action
def retry(whom: _Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try now what waits for its next try. MESSAGE is an id or its beginning."""
    _change("retry", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.retry(one))


@queue.command()
@json_option
@config_option
def flush(as_json: bool, config_file: Path | None) -> None:
    """Try everything now that waits for its next try."""
    _change(
        "retry",
        _Whom((), Selection()),
        True,
        as_json,
        config_file,
        lambda postmaster, one: postmaster.retry(one),
    )


@queue.command()
@_action
def hold(whom: _Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try no more until it is released. What is being sent at the moment is held after that try."""
    _change("hold", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.hold(one))


@queue.command()
@_action
def release(whom: _Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try again what was held, or set aside because it could not be read."""
    _change("release", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.release(one))


@queue.command()
@_action
@click.option("--bounce/--silent", "bounce", default=None, help="Tell the sender with a report, or nobody.")
@click.option("--reason", default="", help="Stands in the record, and in the report.")
def drop(
    whom: _Whom, bounce: bool | None, reason: str, yes: bool, as_json: bool, config_file: Path | None
) -> None:
    """Give up mail for good. Say whether the sender is told (--bounce) or nobody (--silent)."""
    if bounce is None:
        raise CommandError(InvalidValue("say whether the sender is told: --bounce or --silent"))
    why = " ".join(reason.split())[:400]
    by = getpass.getuser()
    _change(
        "drop",
        whom,
        yes or whom.named,
        as_json,
        config_file,
        lambda postmaster, one: postmaster.drop(one, bounce=bounce, by=by, why=why),
        always_ask=True,
    )


@queue.command()
@click.option("--domains", default=20, show_default=True, type=click.IntRange(1, 100_000))
@json_option
@config_option
def stats(domains: int, as_json: bool, config_file: Path | None) -> None:
    """Count what waits: by state, and by domain and age (the domains with the most first)."""
    found = _with_postmaster(config_file, lambda postmaster: postmaster.statistics(domains=domains))
    if as_json:
        show_json(found)
        return
    if not found["recipients"]:
        click.echo("the queue is empty")
        return
    oldest = "" if found["oldest"] is None else f", the oldest for {_span(found['oldest'])}"
    sizes = f"{_octets(found['octets'])}, the largest {_octets(found['largest'])}"
    waiting = f"{_many(found['recipients'], 'recipient')} of {_many(found['messages'], 'message')}"
    click.echo(f"waiting: {waiting}{oldest}; {sizes}")
    show_table(("state", "recipients"), sorted(found["states"].items()))
    rows = [("all", found["recipients"], *found["ages"].values())]
    rows += [
        (one["domain"] or "(none)", one["recipients"], *one["ages"].values()) for one in found["domains"]
    ]
    show_table(("domain", "all", *found["ages"]), rows)


_DONE = {"retry": "due now", "hold": "held", "release": "released", "drop": "dropped"}


def _change(
    verb: str,
    whom: _Whom,
    yes: bool,
    as_json: bool,
    config_file: Path | None,
    do: Callable[[Postmaster, Selection], Awaitable[Done]],
    *,
    always_ask: bool = False,
) -> None:
    """Asks where much is meant, does it, and says what came of it."""

    held = 0

    async def work(postmaster: Postmaster) -> Done:
        nonlocal held
        selections = await whom.selections(postmaster)
        if not yes and not whom.named and (always_ask or selections[0].everything):
            counted = await postmaster.count(selections[0])
            click.confirm(
                f"{verb} {_many(counted['recipients'], 'recipient')} of {_many(counted['messages'], 'message')}?",
                abort=True,
                err=True,
            )
        done = [await do(postmaster, one) for one in selections]
        if verb == "retry" and whom.named:  # of those asked for by name it is a surprise
            held = sum(
                [(await postmaster.count(replace(one, state="held")))["recipients"] for one in selections]
            )
        return Done(
            changed=sum(one.changed for one in done),
            sending=sum(one.sending for one in done),
            damaged=sum(one.damaged for one in done),
        )

    done = _with_postmaster(config_file, work)
    if as_json:
        show_json({"action": verb, "changed": done.changed, "sending": done.sending, "damaged": done.damaged})
        return
    click.echo(f"{_many(done.changed, 'recipient')} {_DONE[verb]}")
    if held:
        click.echo(f"{_many(held, 'recipient')} held: `candor queue release` lets them go")
    if done.sending:
        then = "held after this try" if verb == "hold" else "left alone; ask again, or hold them first"
        click.echo(
            f"{_many(done.sending, 'recipient')} being sent to now: {then if verb != 'retry' else 'left alone'}"
        )
    if done.damaged:
        click.echo(
            f"{_many(done.damaged, 'recipient')} not dropped: their message cannot be read, use --silent"
        )


def _with_postmaster(config_file: Path | None, work: Callable[[Postmaster], Awaitable[T]]) -> T:
    """Opens the store as the relay does and does the work; errors are shown, not raised."""

    async def main(domain: Domain) -> T:
        config = cast(Config, domain.config)
        queue = Queue(domain.database, config.queue)
        compiler = Compiler(config.rewrite.rules(*config.tracker.urls), domain.ring, {})
        settlement = Settlement(
            domain, queue, compiler, config.override, hostname=config.relay.name, clock=_now
        )
        return await work(Postmaster(domain, queue, settlement, clock=_now))

    return with_domain(config_file, main, reading=load)


def _now() -> datetime:
    return datetime.now(UTC)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return _SECONDS.validate_python(text)
    except ValidationError:
        raise CommandError(
            InvalidValue(f'--older-than: {text!r} is no duration; expected one such as "20m", "4h" or "2d"')
        ) from None


_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def _span(seconds: float | None) -> str:
    """The two largest units: `3d 4h`."""
    if seconds is None:
        return ""
    left, words = int(seconds), []
    for size, unit in _UNITS:
        if number := left // size:
            words.append(f"{number}{unit}")
            left -= number * size
    return " ".join(words[:2]) or "0s"


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _envelope(text: str) -> str:
    """What else the client said with it, as words; what is damaged as it stands there."""
    try:
        said = json.loads(text)
        return "envelope: " + (
            ", ".join(f"{key} {value}" for key, value in said.items() if value) or "nothing more"
        )
    except (ValueError, AttributeError):
        return f"envelope: {text}"


def _octets(number: int) -> str:
    return (
        f"{number} B"
        if number < 1000
        else f"{number / 1000:.0f} KB"
        if number < 10**6
        else f"{number / 1e6:.1f} MB"
    )
