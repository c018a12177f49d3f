"""Reading the file: what is wrong is said with file, table, key and what is allowed."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import (
    BaseModel,
    ValidationError,
)

from tracker.config.tables import Config
from tracker.config.values import Table
from tracker.errors import ConfigError

C = TypeVar("C", bound=Config)


def load(
    path: Path | None,
    model: type[C],
    *,
    environ: Mapping[str, str] = os.environ,
    foreign: frozenset[str] = frozenset(),
) -> C:
    """The configuration in `path` (all defaults when None), with the environment's values over it.

    Tables named in `foreign` are passed over. Raises ConfigError with one line for each thing that is wrong."""
    name = str(path) if path else "the environment"
    document = _read(path) if path else {}
    for table in foreign:
        document.pop(table, None)
    _read_files(document, model, name)
    _check_variables(model, environ, foreign)
    variables = _overlay(document, model, environ)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        lines = [_explain(name, model, variables, item) for item in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _tables(model: type[BaseModel]) -> dict[str, type[Table]]:
    kinds = {table: field.annotation for table, field in model.model_fields.items()}
    return {
        table: kind for table, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Table)
    }


def _read_files(document: dict[str, Any], model: type[BaseModel], name: str) -> None:
    """`url_file = "/run/secrets/x"` gives `url` what the file holds, without blanks and line ends around it."""
    for table, kind in _tables(model).items():
        keys = document.get(table)
        if not isinstance(keys, dict):
            continue
        for option in [option for option in kind.model_fields if f"{option}_file" in keys]:
            key = f"{option}_file"
            if option in keys:
                raise ConfigError(
                    f"{name}: [{table}] {key}: {option} is given too; only one of them is allowed"
                )
            path = Path(str(keys.pop(key)))
            try:
                keys[option] = path.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{name}: [{table}] {key}: {path} cannot be read: {error}") from None


def _overlay(
    document: dict[str, Any], model: type[BaseModel], environ: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """Puts the environment's values over the document's; gives the variable behind each (table, key) it set."""
    variables = {}
    for table, kind in _tables(model).items():
        for key, field in kind.model_fields.items():
            variable = f"CANDOR_{table}_{key}".upper()
            if variable in environ and isinstance(document.setdefault(table, {}), dict):
                several = get_origin(field.annotation) is tuple
                document[table][key] = _several(environ[variable]) if several else environ[variable]
                variables[table, key] = variable
    return variables


def _several(value: str) -> list[Any]:
    """A list in a variable: a JSON array, or its items with commas between."""
    if value.lstrip().startswith("["):
        try:
            return list(json.loads(value))
        except json.JSONDecodeError:
            pass  # its pieces will be refused by name
    return [item.strip() for item in value.split(",") if item.strip()]


def _check_variables(model: type[BaseModel], environ: Mapping[str, str], foreign: frozenset[str]) -> None:
    """Raises ConfigError for a variable that was surely meant as one of ours: a typo must not leave a default."""
    known = {
        f"CANDOR_{table}_{key}".upper() for table, kind in _tables(model).items() for key in kind.model_fields
    }
    others = tuple(f"CANDOR_{table}_".upper() for table in foreign)
    for variable in environ:
        if variable.startswith("CANDOR_") and variable not in known and not variable.startswith(others):
            meant = get_close_matches(variable, known, n=1, cutoff=0.85)
            if meant:
                raise ConfigError(f"{variable}: no such variable; did you mean {meant[0]}?")


def _explain(name: str, model: type[BaseModel], variables: Mapping[tuple[str, str], str], item: Any) -> str:
    table, *rest = [str(part) for part in item["loc"]] or ["?"]
    key = ".".join(rest)
    source = variables.get((table, rest[0])) if rest else None
    field = model.model_fields.get(table)
    heading = f"[[{table}]]" if field and get_origin(field.annotation) is tuple else f"[{table}]"
    where = f"{source or name}: {heading}" + (f" {key}" if key else "")
    if item["type"] == "model_type":
        return f"{where}: expected a table of that name{_shown(key, item['input'])}"
    if item["type"] == "extra_forbidden":
        known = _keys_at(model, item["loc"][:-1])
        return f"{where}: no such {'key' if rest else 'table'}; known: {', '.join(sorted(known))}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}{_shown(key, item['input'])}"


def _keys_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys of the table at that place, through tables and the entries of `[[…]]`."""
    kind: Any = model
    for part in place:
        if isinstance(part, int):  # an entry of a list of tables
            kind = get_args(kind)[0]
        else:
            kind = kind.model_fields[part].annotation
    return list(kind.model_fields)


def _shown(key: str, value: object) -> str:
    """What the value is, unless a secret could be in it: a URL, a login, or a whole table."""
    secret = re.search(r"url|password|token|user(\.\d+)?$", key) or "://" in str(value)
    return "" if secret or not isinstance(value, str | int | float) else f" (it is {value!r})"
