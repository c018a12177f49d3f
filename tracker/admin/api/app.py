"""The API as an application of its own, to be put under `/api/v1` of a listener."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import jinja2
from aiohttp import web
from markupsafe import Markup, escape

from tracker.admin.api.answering import Answering, around, etag, headed
from tracker.admin.api.guard import Guard
from tracker.admin.api.openapi import document
from tracker.admin.api.operations import DESK, DOMAIN, PATHS
from tracker.admin.api.table import OPERATIONS
from tracker.apikeys import SCOPES
from tracker.desk import Desk
from tracker.domain import Domain
from tracker.store.once import Once

PREFIX = "/api/v1"
_HERE = Path(__file__).parent


def build(domain: Domain, desk: Desk | None) -> web.Application:
    """`desk`: what is seen and done of mail, where somebody here knows of it."""
    app = web.Application(middlewares=[around])
    app[DOMAIN], app[DESK] = domain, desk
    app.on_response_prepare.append(headed)
    answering = Answering(Guard(domain), Once(domain.database))
    for operation in OPERATIONS:
        app.router.add_route(operation.method, routed(operation.path), answering.handler(operation))
    app.router.add_route("GET", "/openapi.json", _openapi)
    app.router.add_route("GET", "/docs", _docs)
    app.router.add_route("GET", "/docs.css", _style)
    return app


def routed(path: str) -> str:
    """With the pattern of each parameter."""
    for name, (pattern, _) in PATHS.items():
        path = path.replace(f"{{{name}}}", f"{{{name}:{pattern}}}")
    return path


@cache
def _document() -> bytes:
    return json.dumps(document(OPERATIONS), indent=1).encode()


@cache
def _page() -> str:
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["marked"] = _marked
    whole = document(OPERATIONS)
    return templates.get_template("docs.html").render(
        operations=OPERATIONS,
        tags=list(dict.fromkeys(one.tag for one in OPERATIONS)),
        paths=whole["paths"],
        schemas=whole["components"]["schemas"],
        scopes=SCOPES,
        version=whole["info"]["version"],
        said=said,
    )


def said(schema: dict[str, object]) -> str:
    """A schema in a few words: `text or null`, `list of Contact`."""
    if isinstance(ref := schema.get("$ref"), str):
        return ref.rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if isinstance(some := schema.get(several), list):
            return " or ".join(dict.fromkeys(said(one) for one in some))
    if isinstance(words := schema.get("enum"), list):
        return " | ".join(map(str, words))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        return f"list of {said(items)}" if isinstance(items, dict) else "list"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"{said(inner)} by name" if isinstance(inner, dict) and inner else "object"
    if schema.get("format") == "date-time":
        return "time"
    return {"string": "text", "null": "null"}.get(str(kind), str(kind) if kind else "anything")


def _marked(text: str) -> Markup:
    """What stands between backticks is code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


async def _openapi(request: web.Request) -> web.Response:
    tag = etag(_document())
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=_document(), content_type="application/json", headers=headers)


async def _docs(request: web.Request) -> web.Response:
    return web.Response(text=_page(), content_type="text/html", headers={"Cache-Control": "no-cache"})


async def _style(request: web.Request) -> web.FileResponse:
    return web.FileResponse(_HERE / "static" / "docs.css", headers={"Cache-Control": "public, max-age=3600"})
