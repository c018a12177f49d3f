"""A request on its way through an operation: allowed, read, done at most once, answered.

Lists go out as a page, or whole as lines (NDJSON), part by part, no quicker than their reader takes them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import ClientConnectionResetError, web
from pydantic import ValidationError

from tracker import log
from tracker.admin.api.guard import HEADERS, Guard
from tracker.admin.api.operations import DESK, DOMAIN, PAGE, Answer, Call, Items, Operation
from tracker.admin.api.problems import Trouble, Wrong, invalid, troubled
from tracker.admin.api.shapes import Asked, Listing, Shape
from tracker.errors import CandorError, NotFound, StoreError
from tracker.store.api_keys import ApiKey
from tracker.store.once import Kept, Once, Taken

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LINES = "application/x-ndjson"
_AT_ONCE = 200
"""Items of a stream that are in memory together."""
_READ_WITHIN = 60.0
_LARGE = 100_000
"""Octets of a body that is read off the loop."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_HEADERS = {
    "Server": "candor",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Answering:
    """Makes the handler of each operation."""

    def __init__(self, guard: Guard, once: Once) -> None:
        self._guard = guard
        self._once = once

    def handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await self._handle(request, operation)
            except CandorError as error:
                if isinstance(error, StoreError) and not isinstance(error, NotFound):
                    log.request_failed(type(error).__name__)
                raise troubled(error, "body" if operation.takes else "query") from None

        return handle

    async def _handle(self, request: web.Request, operation: Operation) -> web.StreamResponse:
        key = await self._guard.admit(request, operation)
        body = await _body(request, operation)
        call = await _read(request, operation, key, body)
        if operation.names_people:
            await self._guard.note_reading(key, operation)
        if operation.lists is not None:
            return await _listed(request, operation, call)
        once = request.headers.get("Idempotency-Key")
        if once is None or not operation.is_repeatable:
            return await _done(request, operation, call)
        return await self._at_most_once(request, operation, call, once, body)

    async def _at_most_once(
        self, request: web.Request, operation: Operation, call: Call, once: str, body: bytes
    ) -> web.Response:
        """What was done is not done again: the same is answered."""
        if not _KEY.fullmatch(once):
            raise _wrong_header("Idempotency-Key", "has 1 to 255 printable ASCII characters without blanks")
        asked = b"\n".join((request.method.encode(), request.path_qs.encode(), body))
        begun = await self._once.begin(call.key.id, once, hashlib.sha256(asked).digest(), call.now)
        if begun is Taken.OTHER:
            raise _wrong_header("Idempotency-Key", "was used for another request in the last 24 hours")
        if isinstance(begun, Kept):
            return _response(begun.status, begun.body, begun.location, {"Idempotency-Replayed": "true"})
        if not isinstance(begun, bytes):
            raise Trouble(409, "the same request is being carried out; ask again in a moment")
        try:
            answer = await _done(request, operation, call)
        except BaseException:
            with suppress(StoreError):
                await self._once.give_up(begun)
            raise
        location, content = answer.headers.get("Location", ""), answer.body
        kept = Kept(
            status=answer.status, body=content if isinstance(content, bytes) else b"", location=location
        )
        with suppress(StoreError):  # it is done, whether or not that can be remembered
            await self._once.keep(begun, kept)
        return answer


# --- reading ---


async def _read(request: web.Request, operation: Operation, key: ApiKey, body: bytes) -> Call:
    return Call(
        domain=request.app[DOMAIN],
        its_desk=request.app[DESK],
        key=key,
        now=datetime.now(UTC),
        path=dict(request.match_info),
        query=_query(request, operation.query),
        body=await _shape(body, operation.takes) if operation.takes is not None else None,
        if_match=request.headers.get("If-Match") if operation.minds_match else None,
    )


def _query(request: web.Request, shape: type[Asked]) -> Asked:
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            errors = [Wrong(where="query", field=name[:100], reason="stands there twice")]
            raise Trouble(422, "the query says something twice", errors=errors)
        given[name] = value
    try:
        return shape.model_validate_strings(given)
    except ValidationError as error:
        raise invalid(error, "query") from None


async def _body(request: web.Request, operation: Operation) -> bytes:
    """Raises Trouble for what is too long, or no JSON by its own account."""
    if operation.takes is None:
        return b""
    if request.content_type != "application/json":
        raise Trouble(415, "send JSON: Content-Type: application/json")
    most = int(request.app[DOMAIN].config.api.largest_body)
    octets = bytearray()
    async for part in request.content.iter_any():
        octets += part
        if len(octets) > most:
            raise Trouble(413, f"a request has at most {most} octets")
    return bytes(octets)


async def _shape(body: bytes, shape: type[Shape]) -> Shape:
    try:
        if len(body) > _LARGE:
            return await asyncio.to_thread(shape.model_validate_json, body)
        return shape.model_validate_json(body)
    except ValidationError as error:
        is_json = all(one["type"] != "json_invalid" for one in error.errors(include_input=False))
        raise invalid(error, "body", status=422 if is_json else 400) from None


def _wrong_header(name: str, reason: str) -> Trouble:
    return Trouble(422, f"{name}: {reason}", errors=[Wrong(where="header", field=name, reason=reason)])


# --- answering ---


async def _done(request: web.Request, operation: Operation, call: Call) -> web.Response:
    assert operation.does is not None  # noqa: S101 - `Operation` sees to it
    answer: Answer = await operation.does(call)
    body = b"" if answer.body is None else answer.body.model_dump_json().encode()
    if request.method == "GET" or answer.is_tagged:
        return _tagged(request, body)
    return _response(answer.status, body, answer.location)


async def _listed(request: web.Request, operation: Operation, call: Call) -> web.StreamResponse:
    if LINES in request.headers.get("Accept", ""):
        return await _streamed(request, operation, call)
    query: Listing = call.query
    assert operation.lists is not None  # noqa: S101
    found = await operation.lists(call, query.cursor, query.limit or PAGE)
    items = ",".join(one.model_dump_json() for one in found.items)
    return _tagged(request, f'{{"items":[{items}],"next":{json.dumps(found.next)}}}'.encode())


async def _streamed(request: web.Request, operation: Operation, call: Call) -> web.StreamResponse:
    query: Listing = call.query
    lists, cursor, left = operation.lists, query.cursor, query.limit
    assert lists is not None  # noqa: S101
    found = await lists(
        call, cursor, _AT_ONCE if left is None else left
    )  # what fails here is still a problem
    response = web.StreamResponse(
        headers={"Content-Type": LINES, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        while True:
            await _send(response, found)
            left = None if left is None else left - len(found.items)
            if found.next is None or found.is_all or left == 0:
                break
            found = await lists(call, found.next, min(_AT_ONCE, left or _AT_ONCE))
        await response.write_eof()
    except (ClientConnectionResetError, TimeoutError):
        log.listener_gone()
        _break_off(request)
    except CandorError as error:  # what is cut short must not look whole
        log.request_failed(type(error).__name__)
        _break_off(request)
    return response


async def _send(response: web.StreamResponse, found: Items) -> None:
    if found.items:
        lines = "".join(f"{one.model_dump_json()}\n" for one in found.items)
        await asyncio.wait_for(response.write(lines.encode()), _READ_WITHIN)


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def etag(body: bytes) -> str:
    """Of what a resource is now."""
    return f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


def _tagged(request: web.Request, body: bytes) -> web.Response:
    tag = etag(body)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if request.method == "GET" and _is_among(tag, request.headers.get("If-None-Match", "")):
        return web.Response(status=304, headers=headers)
    return _response(200, body, "", headers)


def _is_among(tag: str, given: str) -> bool:
    """RFC 9110 13.1.2: compared weakly."""
    tags = {one.strip().removeprefix("W/") for one in given.split(",")}
    return tag in tags or "*" in tags


def _response(
    status: int, body: bytes, location: str = "", headers: dict[str, str] | None = None
) -> web.Response:
    made = web.Response(
        status=status, body=body or None, headers={"Cache-Control": "no-store", **(headers or {})}
    )
    if body:
        made.content_type = "application/json"
    if location:
        made.headers["Location"] = location
    return made


# --- around all of it ---


@web.middleware
async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is a problem that tells nothing of our insides."""
    request[HEADERS] = {}
    try:
        return await handler(request)
    except Trouble as trouble:
        return trouble.answer()
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}  # RFC 9110 15.5.6
        said = {404: "there is nothing at this address", 405: "this address is not asked like that"}
        return Trouble(error.status, said.get(error.status, error.reason), headers=allow).answer()
    except Exception as error:  # noqa: BLE001 - the border: programs see a problem, not our insides
        log.request_failed(type(error).__name__)
        return Trouble(500, "something went wrong here; it is in the log").answer()


async def headed(request: web.Request, response: web.StreamResponse) -> None:
    """Just before an answer leaves."""
    response.headers.update(_HEADERS)
    response.headers.update(request.get(HEADERS, {}))
