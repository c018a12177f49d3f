"""Who may be measured by name today: asked whenever people are to be named by what they did, or did not do."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from tracker.consent import Contact, Mode, Question, decide
from tracker.domain import Domain
from tracker.policy import circumstances


def by_name(
    domain: Domain, connection: Connection, addresses: Iterable[str], *, or_else: Mode = Mode.IDENTIFIED
) -> dict[str, str | None]:
    """Those (addresses in normal form, some hundreds) whom a mail of today may measure by name, or at least so, with
    their group."""
    asked = list(addresses)
    known = domain.contacts.fetch(connection, asked) if asked else {}
    modes: dict[tuple[object, ...], Mode] = {}
    may: dict[str, str | None] = {}
    for address in asked:
        contact = known.get(address) or Contact()
        about = circumstances(contact, address=address, sender="", message_class=None)
        alike = (contact.consent, contact.do_not_track, contact.erased, about)  # all that is asked about
        mode = modes.get(alike)
        if mode is None:
            question = Question(contact=contact, reading=domain.policy.reading(about))
            mode = modes[alike] = decide(question).mode
        if mode in (Mode.IDENTIFIED, or_else):
            may[address] = contact.group
    return may
