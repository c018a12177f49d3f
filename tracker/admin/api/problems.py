"""What went wrong, as programs read it (RFC 9457): status, title, and of what was said wrongly the field and the reason.

Values are not told again, but for the words of our own errors, which go only to who said them; of our insides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import Field, ValidationError

from tracker.admin.api.shapes import Shape
from tracker.errors import CandorError, InvalidAddress, InvalidValue, NotFound, StoreUnavailable, TokenError

TYPE = "application/problem+json"


class Wrong(Shape):
    """One thing that was said wrongly."""

    where: str = Field(description="`body`, `query`, `path` or `header`.")
    field: str = Field(
        description="Its name; below others with dots, as in `contacts.3.country`. Empty for the whole."
    )
    reason: str


class Problem(Shape):
    """What went wrong."""

    type: str = Field(description="`about:blank`: the status says it all (RFC 9457 4.2.1).")
    title: str
    status: int
    detail: str
    errors: list[Wrong] = Field(description="What exactly was said wrongly, where that can be told.")


class Trouble(Exception):
    """Ends a request."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Wrong] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers or {}

    def answer(self) -> web.Response:
        problem = Problem(
            type="about:blank",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=list(self.errors),
        )
        body = problem.model_dump_json().encode()
        headers = {"Content-Type": TYPE, "Cache-Control": "no-store", **self.headers}
        return web.Response(status=self.status, body=body, headers=headers)


_REASONS = {
    "extra_forbidden": "there is no such field",
    "missing": "has to be there",
    "json_invalid": "is not JSON",
}
_PLAIN = ("value_error", "assertion_error")


def invalid(error: ValidationError, where: str, *, status: int = 422) -> Trouble:
    """What pydantic found, without the values."""
    errors = [
        Wrong(where=where, field=".".join(map(str, one["loc"])), reason=_reason(one))
        for one in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]
    if len(errors) == 1 and not errors[0].field:
        return Trouble(status, f"the {where} {errors[0].reason}", errors=errors)
    fields = ", ".join(one.field for one in errors[:3]) + (" …" if len(errors) > 3 else "")
    return Trouble(status, f"the {where} says something wrong: {fields}", errors=errors)


def _reason(found: Any) -> str:
    if found["type"] in _REASONS:
        return _REASONS[found["type"]]
    message: str = found["msg"]
    return (
        message.removeprefix("Value error, ")
        if found["type"] in _PLAIN
        else message[:1].lower() + message[1:]
    )


def troubled(error: CandorError, where: str = "body") -> Trouble:
    """What the domain said, as a status."""
    if isinstance(error, NotFound):
        return Trouble(404, str(error))
    if isinstance(error, InvalidAddress):
        return Trouble(
            422, "that is no mail address", errors=[Wrong(where=where, field="address", reason=str(error))]
        )
    if isinstance(error, TokenError):
        return Trouble(
            422,
            "that is no click id of ours",
            errors=[Wrong(where=where, field="click_id", reason=str(error))],
        )
    if isinstance(error, InvalidValue):
        # Ours begin with the key, where there is one: `as_of: …`.
        key, colon, rest = str(error).partition(": ")
        is_named = bool(colon) and key.isidentifier()
        field, reason = (key, rest) if is_named else ("", str(error))
        return Trouble(422, str(error), errors=[Wrong(where=where, field=field, reason=reason)])
    if isinstance(error, StoreUnavailable):
        return Trouble(503, "the store does not answer; try again in a moment", headers={"Retry-After": "5"})
    return Trouble(503, "this could not be done now", headers={"Retry-After": "30"})
