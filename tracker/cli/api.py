"""`candor api …`: keys for programs that use the API, and what they may do with them."""

from __future__ import annotations

import getpass
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tracker.admin.api.table import OPERATIONS, as_markdown
from tracker.apikeys import SCOPES
from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    show_json,
    show_table,
    with_domain,
)
from tracker.domain import Domain
from tracker.errors import InvalidValue
from tracker.moments import isoformat
from tracker.store.api_keys import ApiKey, ApiKeys
from tracker.store.audit import Action

_BEGIN, _END = "<!-- operations -->\n", "<!-- end of operations -->\n"


@click.group()
def api() -> None:
    """The API for programs, /api/v1."""


@api.group()
def key() -> None:
    """Keys: what each may do, and since when there is it."""


@key.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(list(SCOPES)),
    help="What it may do (repeatable).",
)
@json_option
@config_option
def create(name: str, scopes: tuple[str, ...], as_json: bool, config_file: Path | None) -> None:
    """Make a key. It is shown this once, and kept only as a digest."""

    async def work(domain: Domain) -> tuple[ApiKey, str]:
        now, by = datetime.now(UTC), _actor()
        about = f"{name}: {', '.join(sorted(set(scopes)))}"
        await domain.audit.note(Action.KEY_CREATE, None, actor=by, now=now, about=about)
        made, fresh = await ApiKeys(domain.database).create(name, scopes, by=by, now=now)
        return made, fresh.token

    made, token = with_domain(config_file, work, without="make")
    if as_json:
        show_json(_shown(made) | {"token": token})
        return
    click.echo(token)
    click.echo(f"key {made.id} ({made.name}): {' '.join(made.scopes)}; it is not shown again", err=True)


@key.command("list")
@json_option
@config_option
def list_(as_json: bool, config_file: Path | None) -> None:
    """List the keys, revoked ones too."""
    found = with_domain(config_file, lambda domain: ApiKeys(domain.database).list())
    rows = [_shown(one) for one in found]
    if as_json:
        show_json(rows)
    elif not rows:
        click.echo("there is no key")
    else:
        cells = [
            (
                row["id"],
                row["name"],
                " ".join(row["scopes"]),
                row["created_at"][:10],
                row["last_used"] or "never",
                (row["revoked_at"] or "")[:10],
            )
            for row in rows
        ]
        show_table(("id", "name", "may", "made", "last used", "revoked"), cells)


@key.command()
@click.argument("key")
@config_option
def revoke(key: str, config_file: Path | None) -> None:
    """Revoke a key, by its id or name: from now on it opens nothing."""

    async def work(domain: Domain) -> ApiKey:
        now = datetime.now(UTC)
        await domain.audit.note(Action.KEY_REVOKE, None, actor=_actor(), now=now, about=key[:64])
        return await ApiKeys(domain.database).revoke(key, now=now)

    gone = with_domain(config_file, work)
    click.echo(f"key {gone.id} ({gone.name}) opens nothing any more")


@api.command()
@click.option(
    "--page",
    type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path),
    help="Write the table into this page, between its marks.",
)
def operations(page: Path | None) -> None:
    """List what can be asked and done."""
    if page is None:
        cells = [(one.method, f"/api/v1{one.path}", " ".join(one.scopes), one.about) for one in OPERATIONS]
        show_table(("method", "path", "needs", ""), cells)
        return
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    if not pattern.search(text):
        raise CommandError(InvalidValue(f"{page}: there is no place marked {_BEGIN.strip()} in it"))
    page.write_text(
        pattern.sub(lambda _: f"{_BEGIN}\n{as_markdown()}\n{_END}", text, count=1), encoding="utf-8"
    )


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _shown(one: ApiKey) -> dict[str, Any]:
    return asdict(one) | {
        "scopes": list(one.scopes),
        "created_at": isoformat(one.created_at),
        "revoked_at": isoformat(one.revoked_at) if one.revoked_at else None,
    }
