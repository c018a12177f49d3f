"""People: found, listed, taken down, shown whole, cut loose, erased. An address stands in bodies only, never in a URL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from tracker.address import normalize
from tracker.admin.api import paging
from tracker.admin.api.answering import etag
from tracker.admin.api.operations import Answer, Call, Items, Operation
from tracker.admin.api.people import (
    MOST,
    Contact,
    Export,
    Facts,
    Gone,
    History,
    Known,
    Loose,
    Many,
    Outcome,
    Outcomes,
    Row,
    Said,
    Taken,
    Which,
    Whom,
    shown,
)
from tracker.admin.api.problems import Trouble, Wrong
from tracker.errors import InvalidAddress, InvalidValue, NotFound
from tracker.reports.lists import People, people_after
from tracker.reports.people import address_of
from tracker.statements import Statement, checked, parse_statement
from tracker.store.audit import Action
from tracker.store.contacts import Person, person_of
from tracker.store.ledger import end_of_chain
from tracker.store.register import Recorded, Source
from tracker.store.schema import contacts
from tracker.weighing import Speaker


async def listed(call: Call, cursor: str | None, limit: int) -> Items:
    asked: Which = call.query
    which = People(
        consent=asked.tracking_consent,
        do_not_track=asked.do_not_track,
        country=asked.country,
        group=asked.group,
    )
    found = await people_after(call.domain, which, after=paging.number(cursor), limit=limit)
    following = str(found[-1].id) if len(found) == limit else None
    return Items(items=[shown(one) for one in found], next=following)


async def got(call: Call) -> Answer:
    address = await _living(call)
    return Answer(body=shown(await call.domain.contacts.show(address)))


async def looked_up(call: Call) -> Answer:
    return Answer(body=shown(await _find(call, call.body.address)), is_tagged=True)


async def upserted(call: Call) -> Answer:
    one: Known = call.body
    await call.note(Action.UPDATE, about="one, by address")
    (recorded,) = await _record(call, [_statement(one)])
    try:
        person: Person | None = await call.domain.contacts.show(recorded.address)
    except NotFound:
        person = None
    id_ = person.id if person is not None and not person.erased else None
    body = Taken(effect=recorded.effect, reason=recorded.reason, id=id_)
    return Answer(body=body, location="" if id_ is None else f"/api/v1/contacts/{id_}")


async def upserted_many(call: Call) -> Answer:
    many: Many = call.body
    statements = []
    for place, one in enumerate(many.contacts):
        try:
            statements.append(checked(_statement(one), call.now))
        except InvalidAddress as error:
            raise _of_one(place, "address", str(error)) from None
        except InvalidValue as error:
            raise _of_one(place, "", str(error)) from None
    await call.note(Action.UPDATE, about=f"{len(statements)}, by address")
    recorded = await _record(call, statements)
    return Answer(body=Outcomes(outcomes=[Outcome(effect=one.effect, reason=one.reason) for one in recorded]))


async def changed(call: Call) -> Answer:
    facts: Facts = call.body
    return await _said(call, facts.model_dump(exclude_none=True, mode="json"), {}, Action.UPDATE)


async def consented(call: Call) -> Answer:
    said: Said = call.body
    if said.tracking_consent is None and said.do_not_track is None:
        errors = [
            Wrong(where="body", field="tracking_consent", reason="this or do_not_track has to be there")
        ]
        raise Trouble(422, "nothing was said", errors=errors)
    fields = said.model_dump(exclude_none=True, exclude={"evidence"}, mode="json")
    return await _said(call, fields, said.evidence, Action.CONSENT)


async def history(call: Call) -> Answer:
    address = await _living(call)
    await call.note(Action.EXPORT, call.number(), about="proof of consent")
    found = await call.domain.proof.history(address)
    return Answer(
        body=History(
            rows=[
                Row(seq=one["seq"], recorded_at=one["recorded_at"], holds=one["holds"], said=one["said"])
                for one in found["rows"]
            ]
        )
    )


async def exported(call: Call) -> Answer:
    address = await _living(call)
    await call.note(Action.EXPORT, call.number())
    return Answer(body=Export(content=await call.domain.rights.export(address, call.now)))


async def exported_by_address(call: Call) -> Answer:
    address = normalize(call.body.address)
    await call.note(Action.EXPORT, await _number_of(call, address))
    try:
        found = await call.domain.rights.export(address, call.now)
    except NotFound:
        raise NotFound("nothing is kept of this address") from None
    return Answer(body=Export(content=found))


async def anonymized(call: Call) -> Answer:
    address = await _living(call)
    await call.note(Action.ANONYMIZE, call.number())
    found = await call.domain.rights.anonymize(address, source=Source.API, actor=call.actor, now=call.now)
    return Answer(body=Loose(events=found.events, deliveries=found.deliveries))


async def erased(call: Call) -> Answer:
    address = await _living(call)
    await call.note(Action.ERASE, call.number())
    events = await call.domain.erasure.erase(address, actor=call.actor, now=call.now)
    return Answer(body=Gone(events=events))


async def erased_by_address(call: Call) -> Answer:
    address = normalize(call.body.address)
    await call.note(Action.ERASE, await _number_of(call, address))
    events = await call.domain.erasure.erase(address, actor=call.actor, now=call.now)
    return Answer(body=Gone(events=events))


# --- what they share ---


async def _living(call: Call) -> str:
    """The address of the contact in the path. Raises NotFound for who was erased too."""
    address = await address_of(call.domain, call.number())
    if address is None:
        raise NotFound("there is no such contact: the person was erased")
    return address


async def _find(call: Call, address: str) -> Person:
    try:
        return await call.domain.contacts.show(address)
    except NotFound:
        raise NotFound("nothing is known of this address") from None


async def _number_of(call: Call, address: str) -> int | None:
    try:
        return (await call.domain.contacts.show(address)).id
    except NotFound:
        return None


def _statement(one: Known) -> Statement:
    fields = one.model_dump(exclude_none=True, exclude={"address", "evidence"}, mode="json")
    return parse_statement(one.address, _flat(fields), evidence=one.evidence)


def _flat(fields: dict[str, Any]) -> dict[str, str]:
    """As `parse_statement` takes it: attributes of one's own beside ours."""
    own = fields.pop("attributes", {})
    if twice := sorted(own.keys() & {*Known.model_fields}):
        raise InvalidValue(f"attributes: {twice[0]!r} is a field of ours, not an attribute of your own")
    return {**own, **fields}


async def _record(
    call: Call, statements: Sequence[Statement], before: Callable[[Connection], None] | None = None
) -> list[Recorded]:
    named = [(normalize(one.address), checked(one, call.now)) for one in statements]
    speaker = Speaker(source=Source.API, actor=call.actor, now=call.now)
    return (await call.domain.register.take_down(named, speaker, before=before)).recorded


async def _said(call: Call, fields: dict[str, Any], evidence: dict[str, str], action: Action) -> Answer:
    """What is said of the contact in the path; where `If-Match` names another state of them, nothing is done."""
    address, id_ = await _living(call), call.number()
    statement = parse_statement(address, _flat(fields), evidence=evidence)
    wanted = call.if_match

    def unchanged(connection: Connection) -> None:
        if wanted is None:
            return
        end_of_chain(connection)  # its lock: from here on nobody else changes them
        row = connection.execute(select(contacts).where(contacts.c.id == id_)).one_or_none()
        if row is None or row.address is None:
            raise NotFound("there is no such contact: the person was erased")
        tags = {one.strip() for one in wanted.split(",")}
        if "*" not in tags and etag(shown(person_of(row)).model_dump_json().encode()) not in tags:
            raise Trouble(412, "the contact was changed since: get it again")

    await call.note(action, id_)
    (recorded,) = await _record(call, [statement], unchanged)
    return Answer(body=Outcome(effect=recorded.effect, reason=recorded.reason))


def _of_one(place: int, field: str, reason: str) -> Trouble:
    name = f"contacts.{place}.{field}".removesuffix(".")
    errors = [Wrong(where="body", field=name, reason=reason)]
    return Trouble(422, "nothing was taken down: one of them says something wrong", errors=errors)


_READ, _WRITE, _ERASE = ("contacts:read",), ("contacts:write",), ("contacts:erase",)
OPERATIONS = (
    Operation(
        name="list_contacts",
        method="GET",
        path="/contacts",
        about="Everybody who is known, in the order in which they became so; nobody who was erased.",
        scopes=_READ,
        query=Which,
        gives=Contact,
        lists=listed,
        names_people=True,
    ),
    Operation(
        name="upsert_contact",
        method="POST",
        path="/contacts",
        about="Takes down what is said of a person, known or not.",
        scopes=_WRITE,
        takes=Known,
        gives=Taken,
        does=upserted,
        is_repeatable=True,
    ),
    Operation(
        name="upsert_contacts",
        method="POST",
        path="/contacts/bulk",
        about=f"The same of up to {MOST} people, of all or of none.",
        scopes=_WRITE,
        takes=Many,
        gives=Outcomes,
        does=upserted_many,
        is_repeatable=True,
    ),
    Operation(
        name="lookup_contact",
        method="POST",
        path="/contacts/lookup",
        about="The person of this address.",
        scopes=_READ,
        takes=Whom,
        gives=Contact,
        does=looked_up,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="export_by_address",
        method="POST",
        path="/contacts/export",
        about="Everything kept of whoever has this address, known or not.",
        scopes=_READ,
        takes=Whom,
        gives=Export,
        does=exported_by_address,
        also=(404,),
    ),
    Operation(
        name="erase_by_address",
        method="POST",
        path="/contacts/erase",
        about="Erases whoever has this address, known or not; a keyed hash stays so that nobody tracks them again.",
        scopes=_ERASE,
        takes=Whom,
        gives=Gone,
        does=erased_by_address,
        is_repeatable=True,
    ),
    Operation(
        name="get_contact",
        method="GET",
        path="/contacts/{id}",
        about="One person.",
        scopes=_READ,
        gives=Contact,
        does=got,
        also=(404,),
        names_people=True,
    ),
    Operation(
        name="update_contact",
        method="PATCH",
        path="/contacts/{id}",
        about="Changes country, group and attributes.",
        scopes=_WRITE,
        takes=Facts,
        gives=Outcome,
        does=changed,
        also=(404, 412),
        minds_match=True,
    ),
    Operation(
        name="erase_contact",
        method="DELETE",
        path="/contacts/{id}",
        about="Erases a person; a keyed hash stays so that nobody tracks them again.",
        scopes=_ERASE,
        gives=Gone,
        does=erased,
        also=(404,),
    ),
    Operation(
        name="record_consent",
        method="POST",
        path="/contacts/{id}/consent",
        about="Takes down what a person said about being tracked, with its evidence.",
        scopes=_WRITE,
        takes=Said,
        gives=Outcome,
        does=consented,
        also=(404, 412),
        is_repeatable=True,
        minds_match=True,
    ),
    Operation(
        name="get_consent_history",
        method="GET",
        path="/contacts/{id}/consent",
        about="All a person ever said, row by row as the register has it.",
        scopes=_READ,
        gives=History,
        does=history,
        also=(404,),
    ),
    Operation(
        name="export_contact",
        method="GET",
        path="/contacts/{id}/export",
        about="Everything kept of one person (GDPR art. 15 and 20).",
        scopes=_READ,
        gives=Export,
        does=exported,
        also=(404,),
    ),
    Operation(
        name="anonymize_contact",
        method="POST",
        path="/contacts/{id}/anonymize",
        about="Turns what a person did into counts that name nobody, and sets do_not_track.",
        scopes=_ERASE,
        gives=Loose,
        does=anonymized,
        also=(404,),
        is_repeatable=True,
    ),
)
