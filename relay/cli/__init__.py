"""The one command, `candor`, made of both packages' groups. A command's module is loaded only when it is called:
the process that faces the public web loads nothing of mail."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

_COMMANDS = {
    "up": "relay.cli.serve:up",
    "relay": "relay.cli.serve:relay",
    "tracker": "tracker.cli.serve:tracker",
    "demo": "relay.cli.demo:demo",
    "doctor": "relay.cli.doctor:doctor",
    "queue": "relay.cli.queue:queue",
    "config": "relay.cli.configuration:config",
    "user": "relay.cli.users:user",
    "dkim": "relay.cli.dkim:dkim",
    "contact": "tracker.cli.contacts:contact",
    "consent": "tracker.cli.consent:consent",
    "policy": "tracker.cli.policy:policy",
    "explain": "tracker.cli.policy:explain",
    "rewrite": "relay.cli.rewrite:rewrite",
    "lint": "relay.cli.lint:lint_command",
    "message": "relay.cli.messages:message",
    "suppression": "relay.cli.suppression:suppression",
    "event": "tracker.cli.messages:event",
    "conversion": "tracker.cli.conversions:conversion",
    "segment": "tracker.cli.segments:segment",
    "alert": "tracker.cli.alerts:alert",
    "report": "tracker.cli.reports:report",
    "verdict": "tracker.cli.verdicts:verdict",
    "purge": "tracker.cli.purge:purge",
    "request": "tracker.cli.requests:request",
    "api": "tracker.cli.api:api",
    "token": "tracker.cli.tokens:token",
    "keys": "tracker.cli.tokens:keys",
}
_SUMMARIES = {
    "up": "Run relay, queue worker and tracker in one process.",
    "relay": "Run the SMTP relay and its queue worker.",
    "tracker": "Serve pixels, redirects and preference pages.",
    "demo": "Show the main job working, with mail that reaches nobody.",
    "doctor": "Look at everything that mail and links need, and say what to do.",
    "queue": "Mail that waits to be sent.",
    "config": "Check and show the configuration.",
    "user": "Passwords of sending users.",
    "dkim": "Keys for signing mail, and their DNS records.",
    "contact": "People and their consent.",
    "consent": "The register of consent and its proof.",
    "policy": "The rules for people who have said nothing.",
    "explain": "Show why a person would (not) be tracked.",
    "rewrite": "What a message becomes, what is left alone and why, and the proof.",
    "lint": "What a message's headers and marks, also of other services, do here.",
    "message": "Messages and their deliveries.",
    "suppression": "Addresses that mail is not sent to.",
    "event": "Opens and clicks.",
    "conversion": "What people did on your site.",
    "segment": "Saved selections over people.",
    "alert": "What you were told as it happened.",
    "report": "What it adds up to.",
    "verdict": "Person or machine: judge kept events again.",
    "purge": "Remove what has been kept for long enough.",
    "request": "What people asked of you on their page.",
    "api": "Keys for programs that use the API.",
    "token": "Explain one of our links.",
    "keys": "The key ring.",
}


class _Lazy(click.Group):
    def main(self, *args: Any, **more: Any) -> Any:
        streams = import_module("tracker.cli.streams")
        streams.stand_in_for_closed()
        with streams.readable_trouble():
            return super().main(*args, **more)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[name].partition(":")
        with _without_collections():
            command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in _COMMANDS])


@contextmanager
def _without_collections() -> Iterator[None]:
    """What is imported stays: looking for garbage in the midst of it is a quarter of the time a program takes to start."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@click.command(cls=_Lazy)
@click.version_option(package_name="candor", prog_name="candor")
@click.pass_context
def main(context: click.Context) -> None:
    """Candor: an SMTP relay that tracks only those who may be tracked."""
    context.obj = import_module("tracker.cli.common").Beside(_holders, _desk)


def _holders() -> tuple[Any, ...]:
    """Mail keeps something of people too: the tracker's commands reach it when they export or erase."""
    return (import_module("relay.store.holdings").Holdings(),)


def _desk(domain: Any) -> Any:
    """The operator's pages show what waits, from the store alone: nothing of mail is loaded for it."""
    return import_module("relay.desk").MailDesk(domain)
