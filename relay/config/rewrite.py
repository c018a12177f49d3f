"""`[rewrite]` and `[override]`: what is wrapped, and who may pass over consent."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from relay.config.networks import NetworkText, within
from relay.rulebook import Rules
from tracker.config import Table
from tracker.tokens import longest_destination


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return value


Patterns = Annotated[tuple[str, ...], AfterValidator(_patterns)]
_RULES = Rules()


class RewriteTable(Table):
    skip_hosts: tuple[str, ...] = _RULES.skip_hosts
    skip_patterns: Patterns = _RULES.skip_patterns
    unsubscribe_patterns: Patterns = _RULES.unsubscribe_patterns
    wrapped_hosts: tuple[str, ...] = _RULES.wrapped_hosts
    wrap_visible_urls: bool = _RULES.wrap_visible_urls
    wrap_outlook: bool = _RULES.wrap_outlook
    wrap_plain_text: bool = _RULES.wrap_plain_text
    protocol_relative: bool = _RULES.protocol_relative
    max_links: int = Field(default=_RULES.max_links, ge=0, le=10_000)

    def rules(self, *public_urls: str) -> Rules:
        """The rules of rewriting for links that will point at one of `public_urls`."""
        return Rules(
            **{name: getattr(self, name) for name in type(self).model_fields},
            own_hosts=tuple(dict.fromkeys(urlsplit(url).hostname or "" for url in public_urls)),
            max_url_length=min(map(longest_destination, public_urls)),
        )


class OverrideTable(Table):
    users: tuple[str, ...] = ()
    networks: tuple[NetworkText, ...] = ()
    lawful_basis: str = ""
    lawful_basis_confirmed_by: str = ""

    @property
    def is_confirmed(self) -> bool:
        """The lawful basis is named, and who confirmed it."""
        return bool(self.lawful_basis.strip() and self.lawful_basis_confirmed_by.strip())

    def permits(self, user: str | None, address: str) -> bool:
        """May this client pass over consent? Only if the ground is named and confirmed, and the client listed."""
        return self.is_confirmed and (
            (user is not None and user in self.users) or within(address, self.networks)
        )
