"""`candor user hash`: a password as the configuration wants it."""

from __future__ import annotations

import sys

import click

from tracker.cli.common import CommandError
from tracker.errors import InvalidValue
from tracker.passwords import hash_password


@click.group()
def user() -> None:
    """Passwords of those who send, and of those who look."""


@user.command("hash")
def hash_() -> None:
    """Read a password (from the terminal, or a line of standard input) and print its hash for [[relay.user]] or
    [[admin.user]]."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError(InvalidValue("no password given: expected one on a line of standard input"))
    click.echo(hash_password(password))
