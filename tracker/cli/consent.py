"""`candor consent …`: that the register is whole, what one person said, and the ledger's signed end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from jinja2 import Environment

from tracker.cli.common import (
    CommandError,
    config_option,
    json_option,
    printable,
    show_json,
    show_table,
    with_domain,
)
from tracker.domain import Domain
from tracker.errors import CandorError, InvalidValue
from tracker.heads import Head, read_document
from tracker.moments import isoformat
from tracker.store.proof import Verified


@click.group()
def consent() -> None:
    """The register of consent and its proof."""


@consent.command()
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A signed head that was kept elsewhere (repeatable): it must still be in the ledger.",
)
@json_option
@config_option
def verify(heads: tuple[Path, ...], as_json: bool, config_file: Path | None) -> None:
    """Walk the ledger from its first row and name the first that does not hold.

    Also compares every person's present values, and the signed heads, with it. Ends with 1 when something is wrong.
    """
    try:
        kept = [_read(path) for path in heads]
    except CandorError as error:
        raise CommandError(error) from error

    async def work(domain: Domain) -> Verified:
        return await domain.proof.verify(kept)

    found = with_domain(config_file, work)
    if as_json:
        show_json(
            {"rows": found.rows, "erased": found.erased, "hash": found.hash.hex(), "broken": found.broken}
        )
    elif found.broken is None:
        plural = "row holds" if found.rows == 1 else "rows hold"
        click.echo(
            f"{found.rows} {plural}, {found.erased} of them erased; the last hash is {found.hash.hex()}"
        )
    else:
        click.echo(f"BROKEN: {printable(found.broken)}")
        click.echo(f"{found.rows} rows before it hold")
    if found.broken is not None:
        raise SystemExit(1)


@consent.command()
@click.argument("address")
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write a page to read and print.",
)
@json_option
@config_option
def proof(address: str, html_file: Path | None, as_json: bool, config_file: Path | None) -> None:
    """Print all that a person ever said, with what proves it.

    JSON carries everything that is needed to check each row; --html writes the same as a page.
    """

    async def work(domain: Domain) -> dict[str, Any]:
        return await domain.proof.history(address)

    found = with_domain(config_file, work)
    if html_file is not None:
        page = _page(found)
        try:
            html_file.write_text(page, encoding="utf-8")
        except OSError as error:
            raise CommandError(InvalidValue(f"{html_file}: cannot be written: {error.strerror}")) from None
        click.echo(f"written to {printable(html_file)}")
    if as_json:
        show_json(found)
    elif html_file is None:
        _show(found)
    if not all(row["holds"] for row in found["rows"]):
        raise SystemExit(1)


@consent.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write it to a file.",
)
@config_option
def head(output: Path | None, config_file: Path | None) -> None:
    """Print the ledger's signed end, to be kept where nobody here can change it.

    `candor consent verify --head FILE` later shows that nothing before it was changed.
    """

    async def work(domain: Domain) -> Head | None:
        return await domain.proof.head(datetime.now(UTC))

    signed = with_domain(config_file, work)
    if signed is None:
        raise CommandError(CandorError("the ledger is empty: nobody has said anything yet"))
    if output is None:
        show_json(signed.document())
        return
    try:
        output.write_text(json.dumps(signed.document(), indent=2) + "\n", encoding="ascii")
    except OSError as error:
        raise CommandError(InvalidValue(f"{output}: cannot be written: {error.strerror}")) from None
    click.echo(f"row {signed.seq}, signed {signed.signed_at}: written to {printable(output)}")


def _read(path: Path) -> Head:
    try:
        return read_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidValue(f"{path}: cannot be read: {error}") from None
    except InvalidValue as error:
        raise InvalidValue(f"{path}: {error}") from None


def _page(found: dict[str, Any]) -> str:
    template = files("tracker.cli").joinpath("templates/proof.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(**found, printed_at=isoformat(datetime.now(UTC)))


def _show(found: dict[str, Any]) -> None:
    click.echo(
        f"{printable(found['address'] or 'an erased person')}: tracking_consent {found['tracking_consent']}, "
        f"do_not_track {found['do_not_track']}"
    )
    rows = []
    for row in found["rows"]:
        said = row["said"] or {}
        change, evidence = _told(said)
        effect = (
            {True: "holds", False: "not effective"}.get(bool(said.get("effective")), "")
            if "effective" in said
            else ""
        )
        if not row["holds"]:
            effect = "BROKEN"
        rows.append(
            (
                row["seq"],
                said.get("as_of", row["recorded_at"]),
                change,
                said.get("source", ""),
                evidence,
                effect,
            )
        )
    show_table(("row", "as of", "what", "source", "evidence", ""), rows)


def _told(said: dict[str, Any]) -> tuple[str, str]:
    """What a row says happened, and on what ground."""
    if not said:
        return "erased", ""
    if said["attribute"] == "override":
        ground = {key: said.get(key, "") for key in ("lawful_basis", "confirmed_by", "user", "message")}
        return "consent was passed over", _listed({key: text for key, text in ground.items() if text})
    if said["attribute"] == "status":
        return f"status → {said.get('new', '')}", ""
    change = f"{said['attribute']} {said.get('old', '')} → {said.get('new', '')}"
    return change, _listed(said.get("evidence", {}))


def _listed(evidence: dict[str, str]) -> str:
    return "; ".join(f"{key}: {value}" for key, value in evidence.items())
