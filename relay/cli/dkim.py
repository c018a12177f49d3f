"""`candor dkim generate|show`: keys for signing, and what DNS must say of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from pydantic import ValidationError

from relay.config import DkimKeyTable, load
from relay.signing import GOOD_BITS, LEAST_BITS, MOST_BITS, PrivateKey, public_record
from tracker.cli.common import CommandError, config_option, json_option, show_json
from tracker.errors import CandorError, InvalidValue

_STRING = 255
"""Octets of one string of a TXT record (RFC 1035 3.3); a longer text is several of them."""


@click.group()
def dkim() -> None:
    """Keys for signing mail."""


@dkim.command()
@click.option("--domain", required=True, help="Signs mail whose From: is of this domain or one below it.")
@click.option(
    "--selector", default="candor", show_default=True, help="The key's own name; a new key, a new selector."
)
@click.option(
    "--ed25519", "is_ed25519", is_flag=True, help="Ed25519 instead of RSA: not every receiver reads it."
)
@click.option(
    "--bits",
    type=click.IntRange(LEAST_BITS, MOST_BITS),
    default=GOOD_BITS,
    show_default=True,
    help="Of an RSA key.",
)
@click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the private key goes  [default: ./candor-data/dkim/SELECTOR.DOMAIN.pem]",
)
def generate(domain: str, selector: str, is_ed25519: bool, bits: int, file: Path | None) -> None:
    """Make a key pair: the private key into a file, the TXT record for DNS to standard output."""
    try:
        entry = DkimKeyTable(domain=domain, selector=selector, private_key="-")
    except ValidationError as error:
        raise CommandError(InvalidValue(_first(error))) from None
    file = file or Path("candor-data", "dkim", f"{entry.selector}.{entry.domain}.pem")
    key: PrivateKey
    if is_ed25519:
        key = ed25519.Ed25519PrivateKey.generate()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    _write(file, key)
    click.echo(f"The private key is in {file}, for your eyes only. Publish this in DNS:\n", err=True)
    click.echo(zone_line(entry.name, public_record(key)))
    click.echo(
        f'\nand, once the world can see it, say so in the configuration:\n\n[[dkim.key]]\ndomain = "{entry.domain}"\n'
        f'selector = "{entry.selector}"\nprivate_key = "{file.absolute()}"',
        err=True,
    )


@dkim.command()
@json_option
@config_option
def show(as_json: bool, config_file: Path | None) -> None:
    """Show what DNS must say of the configured keys."""
    try:
        records = list(_records(config_file))
    except CandorError as error:
        raise CommandError(error) from error
    if as_json:
        show_json(records)
        return
    if not records:
        click.echo("No [[dkim.key]] is configured: nothing is signed.", err=True)
    for record in records:
        click.echo(zone_line(record["name"], record["value"]))


def _records(config_file: Path | None) -> Iterator[dict[str, Any]]:
    for entry in load(config_file).dkim.key:
        yield {
            "domain": entry.domain,
            "name": entry.name,
            "type": "TXT",
            "value": public_record(entry.load()),
        }


def zone_line(name: str, value: str) -> str:
    """A TXT record as zone files have it (RFC 1035 5.1): strings of at most 255 octets, joined by who reads them."""
    strings = [f'"{value[at : at + _STRING]}"' for at in range(0, len(value), _STRING)]
    return f"{name}. IN TXT ( {' '.join(strings)} )" if len(strings) > 1 else f"{name}. IN TXT {strings[0]}"


def _write(file: Path, key: PrivateKey) -> None:
    """0600, complete, and never over what is there: a key that mail was signed with must not be lost."""
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(pem)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        raise CommandError(
            InvalidValue(f"{file} is there already; give the new key another --selector or --file")
        ) from None
    except OSError as error:
        raise CommandError(CandorError(f"{file} cannot be written: {error.strerror}")) from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return (
        f"--{first['loc'][0]}: {str(first['msg']).removeprefix('Value error, ')} (it is {first['input']!r})"
    )
