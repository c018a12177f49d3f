"""`candor rewrite`: what a message becomes, what is left alone and why, and the proof that nothing else changed."""

from __future__ import annotations

from pathlib import Path

import click

from relay.cli import rulestable
from relay.cli.inspection import differences, inspected, show_differences, show_inspected
from relay.cli.mailfiles import MailFile, is_same, read_mail, write_mail
from relay.cli.proof import prove, show_tally
from relay.compiled import footers
from relay.config import Config, load
from relay.preview import Preview, Previewer, Somebody
from tracker.address import normalize
from tracker.cli.common import CommandError, config_option, json_option, printable, show_json, with_domain
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue

file_argument = click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
as_option = click.option(
    "--as",
    "address",
    metavar="ADDRESS",
    help="As this person's copy would be, by what the configured store knows of them today.",
)


class _FilesOrCommand(click.Group):
    """A group whose first word may also be a file or an option: then `FILES` is meant, a name that no file has."""

    FILES = ""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(context):
            args = [self.FILES, *args]
        return super().parse_args(context, args)

    def collect_usage_pieces(self, context: click.Context) -> list[str]:
        return ["FILE [OPTIONS] | --verify FILE… | show FILE | rules"]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        files = self.commands[self.FILES]
        options = [one for one in files.params if isinstance(one, click.Option)]
        own = [record for one in options if (record := one.get_help_record(context))]
        with formatter.section("Options with FILE"):
            formatter.write_dl(own)
        self.format_commands(context, formatter)


@click.group(cls=_FilesOrCommand)
def rewrite() -> None:
    """Write what a message becomes, say what is left alone and why, or prove that nothing else changed.

    `candor rewrite FILE` writes the copy that a recipient who agreed to everything would get (with --as, a certain
    one) to standard output; FILE may be - for standard input. Nothing is sent or stored, and no delivery comes of
    it: its pixel and links are sealed with a key that is made for this call and forgotten. They look like real ones,
    but the tracker answers them as it answers links that were damaged, with a page that says so, and counts nothing.
    The `Received:` line of a real copy is missing, and DKIM signatures are as they came.

    With --verify each FILE, or each message in a folder, is rewritten, unwrapped again and compared octet by octet.

    A file called `rules` or `show` is reached as ./rules or ./show.
    """


@rewrite.command(_FilesOrCommand.FILES, hidden=True)
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the copy to this file."
)
@as_option
@click.option(
    "--verify", is_flag=True, help="Prove each message (of folders too) and sum up what was left, and why."
)
@click.option("--json", "as_json", is_flag=True, help="With --verify: print JSON, for programs.")
@config_option
def rewrite_files(
    files: tuple[Path, ...],
    output: Path | None,
    address: str | None,
    verify: bool,
    as_json: bool,
    config_file: Path | None,
) -> None:
    """Write what a message becomes, or with --verify prove it of many.

    A file called `rules` or `show` is reached as ./rules or ./show.
    """
    try:
        if verify:
            _verify(files, output, address, as_json=as_json, config_file=config_file)
            return
        if as_json or len(files) != 1:
            raise InvalidValue("one FILE is written at a time; --json and several files go with --verify")
        mail, preview = _preview(files[0], address, config_file)
        for note in mail.notes:
            click.echo(printable(f"candor: {mail.name}: {note}"), err=True)
        if output is not None and is_same(output, files[0]):
            raise InvalidValue(f"{output}: is the message itself, which is never written over")
        write_mail(preview.copy, output)
    except CandorError as error:
        raise CommandError(error) from error
    _end_badly(preview)


@rewrite.command(short_help="Show links, parts and placeholders, and why what stays does.")
@file_argument
@as_option
@click.option(
    "--diff", is_flag=True, help="Show the changed lines, and the changes in encoded parts decoded too."
)
@json_option
@config_option
def show(file: Path, address: str | None, diff: bool, as_json: bool, config_file: Path | None) -> None:
    """Show what becomes of a message: each link, part and placeholder, and why what stays does.

    Without --as it is the copy of somebody who agreed to everything, and no store is asked.
    """
    try:
        mail, preview = _preview(file, address, config_file)
    except CandorError as error:
        raise CommandError(error) from error
    found = inspected(mail, preview, address)
    if as_json:
        more = {"diff": [line for _, line in differences(preview)]} if diff else {}
        show_json(found | more)
    else:
        for note in mail.notes:
            click.echo(printable(f"candor: {mail.name}: {note}"), err=True)
        show_inspected(found)
        if diff:
            show_differences(preview)
    _end_badly(preview)


@rewrite.command(short_help="Show what is wrapped and what is left, and why.")
@json_option
@click.option("--markdown", is_flag=True, help="Print the tables as docs/rewriting.md has them.")
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Make the tables of this Markdown page anew.",
)
@config_option
def rules(as_json: bool, markdown: bool, page: Path | None, config_file: Path | None) -> None:
    """Show the whole rulebook: what is wrapped, what is left, and why, with the lists in effect."""
    try:
        if page is not None:
            rulestable.put_into_page(page)
            return
        config = load(config_file)
    except CandorError as error:
        raise CommandError(error) from error
    in_effect = config.rewrite.rules(*config.tracker.urls)
    if as_json:
        show_json(rulestable.as_json(in_effect))
    elif markdown:
        click.echo(rulestable.markdown())
    else:
        rulestable.show_rules(in_effect)


def _verify(
    files: tuple[Path, ...],
    output: Path | None,
    address: str | None,
    *,
    as_json: bool,
    config_file: Path | None,
) -> None:
    if output is not None or address is not None:
        raise InvalidValue(
            "--verify goes with neither --output nor --as: it writes no message and asks no store"
        )
    tally = prove(files, _previewer(load(config_file)))
    empty = not tally.messages and not tally.problems
    if as_json:
        show_json(tally.as_json())
    elif not empty:
        show_tally(tally)
    if empty:
        skipped = f"; {tally.skipped} files are no mail and were skipped" if tally.skipped else ""
        raise InvalidValue(
            f"there was nothing to verify: no message in {', '.join(map(str, files))}{skipped}"
        )
    if tally.problems:
        raise SystemExit(1)


def _previewer(config: Config) -> Previewer:
    """Raises ConfigError."""
    urls = config.tracker.urls
    said = footers(config.preferences, max(urls, key=len))
    return Previewer(
        config.rewrite.rules(*urls),
        config.tracker.url_for,
        config.dkim.signers(),
        said,
        config.compat.aliases,
        config.compat.ses_configuration_sets,
    )


def _preview(file: Path, address: str | None, config_file: Path | None) -> tuple[MailFile, Preview]:
    """Raises CandorError."""
    previewer = _previewer(load(config_file))
    if address is None:
        mail = read_mail(file)
        return mail, previewer.preview(mail.data)
    normal = normalize(address)
    mail = read_mail(file)

    async def ask(domain: Domain) -> Somebody:
        contact = (await domain.contacts.ask((normal,)))[normal]
        return Somebody(address=normal, contact=contact, policy=domain.policy)

    return mail, previewer.preview(mail.data, with_domain(config_file, ask))


def _end_badly(preview: Preview) -> None:
    """Should the proof ever fail, nobody may take the copy for a good one."""
    for problem in preview.verification.problems:
        click.echo(printable(f"candor: this should not be, please report it: {problem}"), err=True)
    if preview.verification.problems:
        raise SystemExit(1)
