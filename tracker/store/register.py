"""The register of consent: an append-only ledger, and the current values derived from it.

Each change of `tracking_consent` and `do_not_track` is a row that says who said what, when, through whom and on
what evidence; country, group and free attributes are facts about the person, kept only at their latest value.
The rows are chained by hashes over a salted commitment to their content: erasure removes salt and content, and
the chain still verifies. (GDPR art. 7(1): the controller must be able to demonstrate consent.)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from tracker.address import erased_key, normalize
from tracker.consent import Consent, Contact, DoNotTrack
from tracker.errors import InvalidValue
from tracker.statements import Statement, checked
from tracker.store.contacts import contact_of, find, knowing
from tracker.store.database import Database, execute
from tracker.store.ledger import Chain, end_of_chain, write_chain
from tracker.store.schema import consent_ledger, contacts
from tracker.tokens import KeyRing

MOST_CHANGES = 5000
"""People in one transaction: longer ones would keep mail waiting for the writer."""
_PERSONAL = "preference-page"


class Source(StrEnum):
    """Through which door a change came."""

    IMPORT = "import"
    API = "api"
    PREFERENCE_PAGE = _PERSONAL
    HEADER = "header"
    CLI = "cli"
    LOOKUP = "lookup"


class Effect(StrEnum):
    """What became of a statement."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOT_EFFECTIVE = "not-effective"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer to one statement; `reason` says why it had no effect."""

    address: str
    effect: Effect
    reason: str = ""


class Register:
    """Writes of what people said."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring

    async def record(
        self, statements: Sequence[Statement], *, source: Source, actor: str, now: datetime
    ) -> list[Recorded]:
        """Takes down what was said, in order, one transaction for at most `MOST_CHANGES` statements.

        Raises InvalidAddress and InvalidValue before anything is written, StoreUnavailable."""
        if len(statements) > MOST_CHANGES:
            raise InvalidValue(f"at most {MOST_CHANGES} statements at a time, not {len(statements)}")
        named = [(normalize(statement.address), checked(statement, now)) for statement in statements]
        return await self._database.change(
            lambda connection: _record(connection, named, source, actor, now, self._ring),
            within=max(self._database.write_within, 30.0),
        )

    async def held_at(self, address: str, at: datetime) -> Contact:
        """The contact as the register knew it at that time: consent and `do_not_track` from the ledger, country
        and group, of which it keeps no history, as they are today. `address` in normal form. Raises
        StoreUnavailable."""
        return await self._database.read(lambda connection: _held_at(connection, address, at, self._ring))


def _held_at(connection: Connection, address: str, at: datetime, ring: KeyRing) -> Contact:
    row = find(connection, address, ring)
    if row is None:
        return Contact()
    held = replace(contact_of(row), consent=Consent.UNKNOWN, do_not_track=DoNotTrack.UNSET)
    rows = connection.execute(
        select(consent_ledger.c.content)
        .where(consent_ledger.c.contact_id == row.id)
        .where(consent_ledger.c.recorded_at <= at)
        .where(consent_ledger.c.content.is_not(None))
        .order_by(consent_ledger.c.seq)
    )
    for one in rows:
        said = json.loads(one.content)
        if not said.get("effective"):
            continue
        if said["attribute"] == "tracking_consent":
            held = replace(held, consent=Consent(said["new"]))
        elif said["attribute"] == "do_not_track":
            held = replace(held, do_not_track=DoNotTrack(said["new"]))
    return held


def overriding(
    addresses: Sequence[str], content: Mapping[str, str], *, now: datetime, ring: KeyRing
) -> Callable[[Connection], None]:
    """Writes into the ledger that consent was passed over for these people, and on what ground: one row each."""

    def note(connection: Connection) -> None:
        link = end_of_chain(connection)
        for address, state in _current(connection, set(addresses), now, ring).items():
            if state["erased_key"] is None:  # erased meanwhile: then no override reaches them, nor any row
                link.add(now, state["id"], {**content, "attribute": "override", "address": address})
        write_chain(connection, link)

    return note


def _record(
    connection: Connection,
    named: list[tuple[str, Statement]],
    source: Source,
    actor: str,
    now: datetime,
    ring: KeyRing,
) -> list[Recorded]:
    link = end_of_chain(connection)
    current = _current(connection, {address for address, _ in named}, now, ring)
    results = []
    for address, statement in named:
        state = current[address]
        results.append(_apply(state, address, statement, source, actor, now, link))
    changed = [state for state in current.values() if state.pop("changed")]
    if changed:
        connection.execute(
            _UPDATE, [{f"b_{key}": value for key, value in state.items()} for state in changed]
        )
    write_chain(connection, link)
    return results


_KEPT = (
    "address",
    "erased_key",
    "tracking_consent",
    "consent_as_of",
    "consent_source",
    "do_not_track",
    "do_not_track_as_of",
    "do_not_track_source",
    "country",
    "grp",
    "attributes",
)
_UPDATE = (
    update(contacts)
    .where(contacts.c.id == bindparam("b_id"))
    .values({contacts.c[name]: bindparam(f"b_{name}") for name in _KEPT})
)


def _current(
    connection: Connection, addresses: Iterable[str], now: datetime, ring: KeyRing
) -> dict[str, dict[str, Any]]:
    """The rows of all these people; who is new gets one."""
    wanted = sorted(addresses)
    found = _rows(connection, contacts.c.address, wanted)
    missing = {erased_key(address, ring.permanent): address for address in wanted if address not in found}
    erased = _rows(connection, contacts.c.erased_key, list(missing))
    found |= {missing[bytes(key)]: state for key, state in erased.items()}
    new = [address for address in wanted if address not in found]
    if new:
        execute(connection, [knowing(new, now, ring)])
        found |= _rows(connection, contacts.c.address, new)
    return found


def _rows(connection: Connection, column: Any, keys: list[Any]) -> dict[Any, dict[str, Any]]:
    found = {}
    query = select(contacts.c.id, *(contacts.c[name] for name in _KEPT))
    for start in range(0, len(keys), 900):
        for row in connection.execute(query.where(column.in_(keys[start : start + 900]))).mappings():
            found[row[column.name]] = {**row, "changed": False}
    return found


def _apply(
    state: dict[str, Any],
    address: str,
    statement: Statement,
    source: Source,
    actor: str,
    now: datetime,
    link: Chain,
) -> Recorded:
    if state["erased_key"] is not None:
        refusal = _restore(state, address, statement, source, now)
        if refusal:
            return Recorded(address=address, effect=Effect.NOT_EFFECTIVE, reason=refusal)
    as_of = min(statement.as_of or now, now).astimezone(UTC)  # as the ledger says it
    refusals, changed = [], False
    for attribute, value in (
        ("tracking_consent", statement.consent),
        ("do_not_track", statement.do_not_track),
    ):
        if value is None or _repeats(state, attribute, value, statement, source):
            continue
        refusal = _weigh(state, attribute, value, as_of, source, bool(statement.evidence))
        content = {
            "address": address,
            "attribute": attribute,
            "old": str(state[attribute]),
            "new": str(value),
            "as_of": as_of.isoformat(),
            "source": str(source),
            "actor": actor,
            "evidence": dict(statement.evidence),
            "effective": not refusal,
        }
        link.add(now, state["id"], content)
        if refusal:
            refusals.append(refusal)
        else:
            _set(state, attribute, value, as_of, source)
            changed = True
    changed |= _set_facts(state, statement)
    state["changed"] |= changed
    if refusals:
        return Recorded(address=address, effect=Effect.NOT_EFFECTIVE, reason="; ".join(refusals))
    return Recorded(address=address, effect=Effect.CHANGED if changed else Effect.UNCHANGED)


_PREFIX = {"tracking_consent": "consent", "do_not_track": "do_not_track"}


def _repeats(
    state: dict[str, Any], attribute: str, value: StrEnum, statement: Statement, source: Source
) -> bool:
    """A bare repetition (yesterday's export sent again) says nothing new; the person's own word does, where so far
    it was a list's."""
    held_as_of, held_source = state[f"{_PREFIX[attribute]}_as_of"], state[f"{_PREFIX[attribute]}_source"]
    if held_as_of is None or state[attribute] != value or statement.evidence:
        return False
    personal = source is Source.PREFERENCE_PAGE and held_source != _PERSONAL
    return statement.as_of in (None, held_as_of) and not personal


def _protects(attribute: str, value: str) -> bool:
    return (
        value in (Consent.DENIED, Consent.WITHDRAWN)
        if attribute == "tracking_consent"
        else value == DoNotTrack.TRUE
    )


def _weigh(
    state: dict[str, Any], attribute: str, value: StrEnum, as_of: datetime, source: Source, evidence: bool
) -> str:
    """Why the statement may not take effect; `""` when it may."""
    prefix = _PREFIX[attribute]
    held_as_of, held_source = state[f"{prefix}_as_of"], state[f"{prefix}_source"]
    protects, protected = _protects(attribute, value), _protects(attribute, state[attribute])
    if source is Source.PREFERENCE_PAGE and protects:
        return ""  # the person is speaking now, whatever our clocks say
    if held_as_of is None:
        return ""
    if as_of < held_as_of or (as_of == held_as_of and protected and not protects):
        return f"{attribute} {value} of {as_of:%Y-%m-%d %H:%M:%S} UTC is older than what is known since then"
    lifts = protected and not protects and held_source == _PERSONAL
    if lifts and (as_of <= held_as_of or not evidence):
        return f"{attribute} {value} would undo the person's own choice without later evidence"
    return ""


def _set(state: dict[str, Any], attribute: str, value: StrEnum, as_of: datetime, source: Source) -> None:
    prefix = _PREFIX[attribute]
    held_as_of, held_source = state[f"{prefix}_as_of"], state[f"{prefix}_source"]
    personal = (
        held_source == _PERSONAL and _protects(attribute, state[attribute]) and _protects(attribute, value)
    )
    state[attribute] = str(value)
    state[f"{prefix}_as_of"] = max(as_of, held_as_of) if held_as_of else as_of
    # A list that repeats a person's refusal does not make it the list's: it stays theirs to lift.
    state[f"{prefix}_source"] = _PERSONAL if personal else str(source)


def _set_facts(state: dict[str, Any], statement: Statement) -> bool:
    before = (state["country"], state["grp"], state["attributes"])
    if statement.country is not None:
        state["country"] = statement.country.upper() or None
    if statement.group is not None:
        state["grp"] = statement.group or None
    if statement.attributes:
        merged = {**state["attributes"], **statement.attributes}
        state["attributes"] = {key: value for key, value in merged.items() if value != ""}
    return before != (state["country"], state["grp"], state["attributes"])


def _restore(state: dict[str, Any], address: str, statement: Statement, source: Source, now: datetime) -> str:
    """An erased person comes back only by a grant of their own with fresh evidence; `""` when they do."""
    as_of = min(statement.as_of or now, now)
    fresh = (
        statement.consent is Consent.GRANTED and bool(statement.evidence) and as_of > state["consent_as_of"]
    )
    if not fresh:
        return "the person was erased: only a grant with evidence later than the erasure restores them"
    state.update(address=address, erased_key=None, tracking_consent=str(Consent.UNKNOWN), consent_as_of=None)
    state.update(consent_source=None, do_not_track=str(DoNotTrack.UNSET), changed=True)
    return ""
