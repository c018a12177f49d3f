"""Asking the user's own CRM what people said: one answer per person, kept for a while, and given up quickly while the
CRM is in trouble. How a question is put is `tracker.crm`'s; what an answer means is read here.

Who has no answer is in doubt, and doubt never tracks where the configuration says that the lookup is required.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from tracker import log
from tracker.config import LookupTable
from tracker.errors import CandorError, InvalidValue
from tracker.statements import Statement, checked, parse_statement

_READ = ("tracking_consent", "do_not_track", "country", "group", "as_of")
_TROUBLE = 5
"""Failures in a row after which nobody is asked for a while."""
_PAUSE, _LONGEST_PAUSE = 5.0, 120.0
"""Seconds of that while; twice as long each time the first question afterwards fails too."""


class Crm(Protocol):
    """What answers. `ask` gives an answer (a statement, or None for a person it does not know) for each of whom it
    could say something, and raises LookupFailed when it could for nobody."""

    most: int
    """People in one question."""

    async def ask(self, addresses: Sequence[str]) -> Mapping[str, Statement | None]: ...

    async def close(self) -> None: ...


class LookupFailed(CandorError):
    """The CRM gave no answer that could be read. Says nothing of whom was asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the CRM says of one person."""

    statement: Statement | None
    """None: it does not know them."""
    fresh: bool
    """Asked just now, not remembered: the register has not heard it from us yet."""


@dataclass(slots=True)
class _Remembered:
    statement: Statement | None
    until: float
    heard: bool = False


class Lookup:
    """`await Lookup(table, crm).ask(addresses)`."""

    def __init__(self, table: LookupTable, crm: Crm) -> None:
        self.required = table.required
        self._crm = crm
        self._within, self._keep, self._entries = table.within, table.keep, table.entries
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(table.at_once)
        self._failures = 0
        self._closed_until = 0.0

    async def ask(self, addresses: Collection[str]) -> dict[str, Found]:
        """What is found of these people (in normal form), within the time the configuration grants; who is missing
        is in doubt. Never raises for what the CRM does."""
        now = _clock()
        unknown = [one for one in addresses if not self._remembers(one, now)]
        new = [one for one in unknown if one not in self._asking]
        if new and now >= self._closed_until:
            for start in range(0, len(new), self._crm.most):
                some = new[start : start + self._crm.most]
                task = asyncio.create_task(self._question(some))
                self._asking.update(dict.fromkeys(some, task))
        waited = {self._asking[one] for one in unknown if one in self._asking}
        if waited:
            await asyncio.wait(waited, timeout=self._within)
        found = {}
        for address in addresses:
            one = self._remembered.get(address)
            if one is not None:
                found[address] = Found(statement=one.statement, fresh=not one.heard)
        return found

    def heard(self, addresses: Collection[str]) -> None:
        """The register has taken down what was found of these."""
        for address in addresses:
            if (one := self._remembered.get(address)) is not None:
                one.heard = True

    async def retire(self) -> None:
        """Closes it once the questions that were put have their answers, none of which takes longer than it may."""
        try:
            await asyncio.gather(*set(self._asking.values()), return_exceptions=True)
        finally:
            await self.close()

    async def close(self) -> None:
        tasks = set(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._crm.close()

    def _remembers(self, address: str, now: float) -> bool:
        one = self._remembered.get(address)
        if one is not None and one.until <= now:
            del self._remembered[address]
            return False
        return one is not None

    async def _question(self, addresses: list[str]) -> None:
        try:
            async with self._slots:
                if _clock() < self._closed_until:
                    return
                try:
                    async with asyncio.timeout(self._within):
                        answers = await self._crm.ask(addresses)
                except (LookupFailed, TimeoutError) as error:
                    self._failed(error)
                    return
            self._failures = 0
            for address, statement in answers.items():
                self._remembered[address] = _Remembered(statement, _clock() + self._keep)
            while len(self._remembered) > self._entries:
                self._remembered.popitem(last=False)
        finally:
            for address in addresses:
                self._asking.pop(address, None)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        reason = str(error) or "no answer in time"
        if self._failures < _TROUBLE:
            log.lookup_failed(reason)
            return
        pause = min(_PAUSE * 2 ** min(self._failures - _TROUBLE, 10), _LONGEST_PAUSE)
        self._closed_until = _clock() + pause
        log.lookup_paused(reason, seconds=pause)


def read_one(address: str, body: bytes) -> Statement | None:
    """The answer to a question about one person. Raises LookupFailed."""
    return statement_of(address, _document(body))


def read_many(addresses: Collection[str], body: bytes) -> dict[str, Statement | None]:
    """The answer to a question about several, `{"contacts": {ADDRESS: {…}}}`: who is not in it is not known there;
    whose entry cannot be read has no answer. Raises LookupFailed."""
    document = _document(body)
    people = document.get("contacts") if isinstance(document, dict) else None
    if not isinstance(people, dict):
        raise LookupFailed('the answer holds no object "contacts"')
    answers = {}
    for address in addresses:
        try:
            answers[address] = statement_of(address, people[address]) if address in people else None
        except LookupFailed as error:
            log.lookup_failed(str(error))
    return answers


def statement_of(address: str, said: Any) -> Statement | None:
    """What one person's entry says; null: they are not known. Keys that are not ours are passed over. Raises
    LookupFailed, which names the key and not the person."""
    if said is None:
        return None
    if not isinstance(said, dict):
        raise LookupFailed("a person's entry is no object")
    fields = {}
    for key in _READ:
        value = said.get(key)
        if isinstance(value, bool) and key == "do_not_track":
            value = "true" if value else "false"
        if value is None:
            continue
        if not isinstance(value, str):
            raise LookupFailed(f"{key} is no text")
        fields[key] = value
    evidence = {"reference": said["evidence"]} if isinstance(said.get("evidence"), str) else {}
    try:
        return checked(parse_statement(address, fields, evidence=evidence), datetime.now(UTC))
    except InvalidValue as error:
        key = next((key for key in _READ if str(error).startswith(key)), "a value")
        raise LookupFailed(
            f"{key} is not what it may be"
        ) from None  # the error shows it, and it may name somebody


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise LookupFailed("the answer is no JSON") from None


def _clock() -> float:
    return asyncio.get_running_loop().time()
