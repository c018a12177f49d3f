"""Who may earn a conversion, and what they are called: campaigns, messages, links, groups."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from tracker.store.messages import urls
from tracker.store.schema import mailings, messages

_AT_ONCE = 500


class By(StrEnum):
    """What a report goes by."""

    CAMPAIGN = "campaign"
    MESSAGE = "message"
    LINK = "link"
    GROUP = "group"


class Earner(NamedTuple):
    """As far as the report goes by it: the others are empty."""

    campaign: bytes = b""
    message: bytes = b""
    link: int = 0
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An earner as people read it."""

    title: str
    campaign: str = ""
    message: str = ""
    """Its id in hex; `""` where a message is not known."""
    link: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "campaign": self.campaign or None,
            "message": self.message or None,
            "link": self.link or None,
        }


class Names:
    """Finds out, in one question for many, what belongs to which campaign and what it is called."""

    def __init__(self, connection: Connection, by: By) -> None:
        self._connection = connection
        self._by = by
        self._mailings: dict[bytes, bytes | None] = {}
        """Of each message; None for what is no message on record."""

    def of(self, subject: bytes, *, link: int, group: str) -> Earner:
        """The earner of credit for a message or, in totals, a mailing."""
        if self._by is By.GROUP:
            return Earner(group=group)
        mailing = self._mailing_of(subject)
        if mailing is None:
            return Earner(campaign=subject)
        if self._by is By.CAMPAIGN:
            return Earner(campaign=mailing)
        return Earner(campaign=mailing, message=subject, link=link if self._by is By.LINK else 0)

    def named(self, earners: Collection[Earner]) -> dict[Earner, Named]:
        """What they are called."""
        campaigns = self._campaigns({one.campaign for one in earners if one.campaign})
        subjects = self._subjects({one.message for one in earners if one.message})
        by_link = self._by is By.LINK
        leads = urls(self._connection, {one.message for one in earners if one.message}) if by_link else {}
        found = {}
        for one in earners:
            campaign = campaigns.get(one.campaign, "")
            if one == Earner() and self._by is not By.GROUP:
                title = "(known by the month only)"
            elif self._by is By.GROUP:
                title = one.group or "(no group)"
            elif self._by is By.CAMPAIGN:
                title = campaign or "(no longer known)"
            elif not one.message:
                title = "(no message named)"
            elif by_link:
                title = (
                    (leads.get((one.message, one.link)) or f"(link {one.link})") if one.link else "(opened)"
                )
            else:
                title = subjects.get(one.message) or "(no subject)"
            found[one] = Named(title=title, campaign=campaign, message=one.message.hex(), link=one.link)
        return found

    def _mailing_of(self, subject: bytes) -> bytes | None:
        if subject not in self._mailings:
            query = select(messages.c.mailing_id).where(messages.c.id == subject)
            found = self._connection.execute(query).scalar_one_or_none()
            self._mailings[subject] = None if found is None else bytes(found)
        return self._mailings[subject]

    def _campaigns(self, ids: Collection[bytes]) -> dict[bytes, str]:
        return self._texts(mailings.c.id, mailings.c.name, ids)

    def _subjects(self, ids: Collection[bytes]) -> dict[bytes, str]:
        return self._texts(messages.c.id, messages.c.subject, ids)

    def _texts(self, key: Any, name: Any, ids: Collection[bytes]) -> dict[bytes, str]:
        asked, found = sorted(ids), {}
        for start in range(0, len(asked), _AT_ONCE):
            query = select(key, name).where(key.in_(asked[start : start + _AT_ONCE]))
            found.update({bytes(row[0]): row[1] for row in self._connection.execute(query)})
        return found
