"""`candor queue …`: mail that waits, seen and steered by its operator, while the relay runs."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from relay.cli.whom import Whom, action, filters
from relay.config import Config, load
from relay.desk import envelope_words
from relay.postmaster import Done, Postmaster, postmaster
from relay.store.selection import Selection
from tracker.cli.common import (
    CommandError,
    be_sure,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.cli.messages import message_id_argument
from tracker.cli.story import SHORT_ID, answer, show_tries
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.moments import lasting, shown

T = TypeVar("T")


@click.group()
def queue() -> None:
    """Mail that waits to be sent.

    retry, hold, release and drop end with 1 where they changed nothing."""


@queue.command("list")
@click.argument("message", metavar="[MESSAGE]", default="")
@filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--page", default=1, show_default=True, type=click.IntRange(1))
@json_option
@config_option
def list_queue(
    wanted: Selection, message: str, limit: int, page: int, as_json: bool, config_file: Path | None
) -> None:
    """List recipients who wait, oldest first; of one message, or those that the options say.

    MESSAGE is an id or its beginning."""
    wanted = replace(wanted, message=message_id_argument(message) if message else "")

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
        one["message"][:SHORT_ID],
        sender,
        f"<{one['recipient']}>",
        one["state"],
        lasting(one["age"]),
        "" if one["next_try"] is None else lasting(one["next_try"]),
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
    message = message_id_argument(message)
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
        click.echo(printable(f"envelope: {envelope_words(str(found['envelope']))}"))
    else:
        click.echo("its content is gone")
    waiting = [
        (f"<{one['recipient']}>", one["state"], lasting(one["age"]), lasting(one["next_try"]), one["tries"])
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
@action
def retry(whom: Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try now what waits for its next try. MESSAGE is an id or its beginning."""
    _change("retry", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.retry(one))


@queue.command()
@json_option
@config_option
def flush(as_json: bool, config_file: Path | None) -> None:
    """Try everything now that waits for its next try."""
    _change(
        "retry",
        Whom((), Selection()),
        True,
        as_json,
        config_file,
        lambda postmaster, one: postmaster.retry(one),
        may_be_nothing=True,
    )


@queue.command()
@action
def hold(whom: Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try no more until it is released. What is being sent at the moment is held after that try."""
    _change("hold", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.hold(one))


@queue.command()
@action
def release(whom: Whom, yes: bool, as_json: bool, config_file: Path | None) -> None:
    """Try again what was held, or set aside because it could not be read."""
    _change("release", whom, yes, as_json, config_file, lambda postmaster, one: postmaster.release(one))


@queue.command()
@action
@click.option("--bounce/--silent", "bounce", default=None, help="Tell the sender with a report, or nobody.")
@click.option("--reason", default="", help="Stands in the record, and in the report.")
def drop(
    whom: Whom, bounce: bool | None, reason: str, yes: bool, as_json: bool, config_file: Path | None
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
    oldest = "" if found["oldest"] is None else f", the oldest for {lasting(found['oldest'])}"
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


_Do = Callable[[Postmaster, Selection], Awaitable[Done]]


def _change(
    verb: str,
    whom: Whom,
    yes: bool,
    as_json: bool,
    config_file: Path | None,
    do: _Do,
    *,
    always_ask: bool = False,
    may_be_nothing: bool = False,
) -> None:
    """Asks where much is meant, does it, and says what came of it; ends with 1 where that is nothing, unless it
    `may_be_nothing`."""

    async def work(postmaster: Postmaster) -> tuple[Done, int]:
        selections = await whom.selections(postmaster)
        if not yes and not whom.named and (always_ask or selections[0].everything):
            await _confirm(verb, postmaster, selections[0])
        done = [await do(postmaster, one) for one in selections]
        # Of those asked for by name it is a surprise that nothing happens to them.
        surprising = selections if verb == "retry" and whom.named else []
        held = [await postmaster.count(replace(one, state="held")) for one in surprising]
        together = Done(
            changed=sum(one.changed for one in done),
            sending=sum(one.sending for one in done),
            damaged=sum(one.damaged for one in done),
        )
        return together, sum(one["recipients"] for one in held)

    done, held = _with_postmaster(config_file, work)
    if as_json:
        show_json({"action": verb, "changed": done.changed, "sending": done.sending, "damaged": done.damaged})
    else:
        _say(verb, done, held, may_be_nothing=may_be_nothing)
    if not done.changed and not may_be_nothing:
        click.echo(f"0 recipients {_DONE[verb]}: {_why_nothing(done, held)}", err=True)
        raise SystemExit(1)


async def _confirm(verb: str, postmaster: Postmaster, wanted: Selection) -> None:
    counted = await postmaster.count(wanted)
    whom = f"{_many(counted['recipients'], 'recipient')} of {_many(counted['messages'], 'message')}"
    be_sure(f"{verb} {whom}?")


def _why_nothing(done: Done, held: int) -> str:
    """What stood in the way is told above; where nothing did, nobody was there."""
    known = done.sending or done.damaged or held
    return "see above" if known else "nobody in the queue matched, or all were so already"


def _say(verb: str, done: Done, held: int, *, may_be_nothing: bool) -> None:
    if done.changed or may_be_nothing:
        click.echo(f"{_many(done.changed, 'recipient')} {_DONE[verb]}")
    if held:
        click.echo(f"{_many(held, 'recipient')} held: `candor queue release` lets them go")
    if done.sending:
        then = {"hold": "held after this try", "retry": "left alone"}
        so = then.get(verb, "left alone; ask again, or hold them first")
        click.echo(f"{_many(done.sending, 'recipient')} being sent to now: {so}")
    if done.damaged:
        click.echo(
            f"{_many(done.damaged, 'recipient')} not dropped: their message cannot be read, use --silent"
        )


def _with_postmaster(config_file: Path | None, work: Callable[[Postmaster], Awaitable[T]]) -> T:
    """Opens the store as the relay does and does the work; errors are shown, not raised."""

    async def main(domain: Domain) -> T:
        return await work(postmaster(domain, cast(Config, domain.config)))

    return with_domain(config_file, main, reading=load)


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _octets(number: int) -> str:
    return (
        f"{number} B"
        if number < 1000
        else f"{number / 1000:.0f} KB"
        if number < 10**6
        else f"{number / 1e6:.1f} MB"
    )
