"""`candor user hash`: a password as the configuration wants it."""

from __future__ import annotations

import sys

import click

from relay.users import hash_password
from tracker.cli.common import CommandError
from tracker.errors import InvalidValue


@click.group()
def user() -> None:
    """Passwords of sending users."""


@user.command("hash")
def hash_() -> None:
    """Read a password (from the terminal, or a line of standard input) and print its hash for [[relay.user]]."""
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError(InvalidValue("no password given: expected one on a line of standard input"))
    click.echo(hash_password(password))
