"""The OpenAPI 3.1 document, made of the operations and their shapes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tracker.admin.api.operations import PATHS, Operation
from tracker.admin.api.problems import TYPE, Problem
from tracker.admin.api.shapes import Part
from tracker.apikeys import SCOPES

_REF = "#/components/schemas/{model}"
_OF_ALL = (401, 403, 422, 429, 500, 503)
_WORDS = {
    304: "Not changed since `If-None-Match`.",
    400: "The body is no JSON.",
    401: "No key, or none that holds.",
    403: "The key lacks a scope.",
    404: "There is no such thing.",
    409: "This cannot be done now: the same request is under way, or nobody here can.",
    412: "Changed since: `If-Match` names another state.",
    413: "The body is too long.",
    415: "The body is not JSON by its own account.",
    422: "Something that was said is wrong: field and reason are named.",
    429: "Too many requests of one key.",
    500: "Something went wrong here.",
    503: "The store does not answer.",
}
_HEADERS = {
    "RateLimit": 'What is left: `"key";r=REQUESTS;t=SECONDS`.',
    "RateLimit-Policy": 'The rate: `"key";q=REQUESTS;w=SECONDS`.',
}
_About = tuple[type[BaseModel], Literal["validation", "serialization"]]


def document(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """Ready for JSON."""
    shapes: list[_About] = [(Problem, "serialization")]
    for one in operations:
        if one.takes is not None:
            shapes.append((one.takes, "validation"))
        if (gives := _given(one)) is not None:
            shapes.append((gives, "serialization"))
        if one.lists is not None and one.gives is not None:
            shapes.append((one.gives, "serialization"))
    refs, defined = models_json_schema(list(dict.fromkeys(shapes)), ref_template=_REF)
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Candor",
            "version": version("candor"),
            "description": "People and their consent, mail and what became of it. All times are ISO 8601 with a zone.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in operations)],
        "paths": paths,
        "components": {
            "schemas": defined.get("$defs", {}),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key made by `candor api key create`. Scopes: "
                    + "; ".join(f"`{name}`: {about}" for name, about in SCOPES.items()),
                }
            },
        },
    }


def _given(one: Operation) -> type[BaseModel] | None:
    if one.gives is None or one.lists is None:
        return one.gives
    return Part[one.gives]  # type: ignore[name-defined]


def _operation(one: Operation, refs: Any) -> dict[str, Any]:
    parameters = [_of_path(name) for name in one.parameters] + _of_query(one) + _of_headers(one)
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.about,
        "description": f"Needs {' and '.join(f'`{scope}`' for scope in one.scopes)}.",
        "tags": [one.tag],
        "security": [{"key": list(one.scopes)}],
        "parameters": parameters,
        "responses": _responses(one, refs),
    }
    if one.takes is not None:
        content = {"application/json": {"schema": refs[one.takes, "validation"]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _responses(one: Operation, refs: Any) -> dict[str, Any]:
    headers = {name: {"description": about, "schema": {"type": "string"}} for name, about in _HEADERS.items()}
    good: dict[str, Any] = {"description": "Done." if one.method != "GET" else "Found.", "headers": headers}
    if (gives := _given(one)) is not None:
        good["content"] = {"application/json": {"schema": refs[gives, "serialization"]}}
    if one.lists is not None and one.gives is not None:
        good["content"]["application/x-ndjson"] = {"schema": {"type": "string"}}
        good["description"] = "A page; as NDJSON all of it, an item a line."
    if one.method == "GET" and one.lists is None:
        good["headers"] = headers | {"ETag": {"description": "Of this state.", "schema": {"type": "string"}}}
    bad = {*_OF_ALL, *one.also}
    if one.parameters:
        bad.add(404)
    if one.takes is not None:
        bad |= {400, 413, 415}
    if one.is_repeatable:
        bad.add(409)
    found = {str(one.status): good}
    if one.method == "GET":
        found["304"] = {"description": _WORDS[304]}
    problem = {TYPE: {"schema": refs[Problem, "serialization"]}}
    for status in sorted(bad):
        found[str(status)] = {"description": _WORDS[status], "content": problem}
    return found


def _of_path(name: str) -> dict[str, Any]:
    pattern, about = PATHS[name]
    schema: dict[str, Any] = {"type": "string", "pattern": f"^({pattern})$"}
    if name == "id":
        schema = {"type": "integer", "minimum": 1, "maximum": 10**15 - 1}
    elif name == "verb":
        schema = {"type": "string", "enum": pattern.split("|")}
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def _of_query(one: Operation) -> list[dict[str, Any]]:
    whole = one.query.model_json_schema(ref_template=_REF)
    found = []
    for name, schema in whole.get("properties", {}).items():
        schema = _plain(schema, whole.get("$defs", {}))
        about = schema.pop("description", None)
        parameter = {
            "name": name,
            "in": "query",
            "required": name in whole.get("required", []),
            "schema": schema,
        }
        found.append(parameter | ({"description": about} if about else {}))
    return found


def _plain(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """A query says nothing by leaving a name out, never by null; and what is defined elsewhere stands here."""
    found = {key: value for key, value in schema.items() if key not in ("title", "anyOf", "$ref")}
    if found.get("default", 0) is None:
        del found["default"]
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    inner = choices[0] if choices else {"$ref": schema["$ref"]} if "$ref" in schema else {}
    if "$ref" in inner:
        inner = defs[inner["$ref"].rpartition("/")[2]]
    return {key: value for key, value in inner.items() if key not in ("title", "description")} | found


def _of_headers(one: Operation) -> list[dict[str, Any]]:
    wanted: list[tuple[str, str, str | None]] = []
    if one.is_repeatable:
        about = (
            "The same asked again under the same key is answered as before, for 24 hours, and not done again."
        )
        wanted.append(("Idempotency-Key", about, "^[!-~]{1,255}$"))
    if one.minds_match:
        wanted.append(("If-Match", "An ETag of the contact: done only while it is in that state.", None))
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": about,
            "schema": {"type": "string"} | ({"pattern": pattern} if pattern else {}),
        }
        for name, about, pattern in wanted
    ]
