"""Where consent comes from while a message is on its way: its own header, and the lookup in the user's CRM.

Whatever is learnt here goes into the register first, and the decision is made from the register: there is one answer
to what a person said. Nothing here delays a message for longer than the configuration says, or stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from relay import log
from relay.compiled import Compiled, normal_form
from relay.config import Config
from relay.config.networks import within
from relay.store.recipients import NOBODY, Known
from relay.submission import Client
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.errors import StoreError
from tracker.lookup import Lookup
from tracker.statements import Statement
from tracker.weighing import Effect, Source

_ACTOR = "network"
"""Who said it, where the client was let in by its network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What came of asking around."""

    changed: bool = False
    """The register changed: it is to be asked again."""
    doubtful: frozenset[str] = frozenset()
    """Of whom an answer was needed and none came (in normal form): they are not tracked."""


class Sources:
    """`await Sources(config, domain).learn(message, known)`."""

    def __init__(
        self, config: Config, domain: Domain, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._consent = config.consent
        self._patience = config.store.write_within
        self._domain = domain

    async def learn(self, message: Compiled, known: Mapping[str, Known] | None) -> Learnt:
        """Takes down what the message itself says of its recipient, and what the CRM says of all of them. Never
        raises for a store or a CRM that is away."""
        if known is None:
            return Learnt()  # nobody is tracked, and the store would not take it either
        declared = await self._declared(message, known)
        if self._domain.lookup is None:
            return Learnt(changed=declared)
        looked_up = await self._looked_up(self._domain.lookup, message, known)
        return Learnt(changed=declared or looked_up.changed, doubtful=looked_up.doubtful)

    async def _looked_up(self, lookup: Lookup, message: Compiled, known: Mapping[str, Known]) -> Learnt:
        """The CRM's word on everybody who is not erased, one question for all."""
        addresses = {
            address
            for one in message.submission.recipients
            if (address := normal_form(one)) is not None and not known.get(address, NOBODY).contact.erased
        }
        found = await lookup.ask(addresses)
        doubtful = addresses - found.keys() if lookup.required else set()
        fresh = {address: one.statement for address, one in found.items() if one.fresh}
        said = [one for one in fresh.values() if one is not None]
        if not said:
            return Learnt(doubtful=frozenset(doubtful))
        try:
            async with asyncio.timeout(self._patience):
                recorded = await self._domain.register.record(
                    said, source=Source.LOOKUP, actor="lookup", now=self._clock()
                )
        except (StoreError, TimeoutError) as error:
            log.consent_not_recorded(message.id, error=error)
            return Learnt(doubtful=frozenset({*doubtful, *(one.address for one in said)}))
        lookup.heard(fresh)
        return Learnt(
            changed=any(one.effect is Effect.CHANGED for one in recorded), doubtful=frozenset(doubtful)
        )

    async def _declared(self, message: Compiled, known: Mapping[str, Known]) -> bool:
        """`X-Tracking-Consent`, from whoever is trusted with it. A header speaks of one person: of several it would
        not say which."""
        said, people = message.controls.options.declared, message.submission.recipients
        if said is None or len(people) != 1 or not self._trusts(message.submission.client):
            return False
        address = normal_form(people[0])
        if address is None or known.get(address, NOBODY).contact.consent == said:
            return False
        evidence = {"message": message.id, "message_id": message.controls.message_id}
        statement = Statement(address=address, consent=Consent(said), evidence=evidence)
        actor = message.submission.client.user or _ACTOR
        try:
            async with asyncio.timeout(self._patience):
                (recorded,) = await self._domain.register.record(
                    [statement], source=Source.HEADER, actor=actor, now=self._clock()
                )
        except (StoreError, TimeoutError) as error:
            log.consent_not_recorded(message.id, error=error)
            return False
        return recorded.effect is Effect.CHANGED

    def _trusts(self, client: Client) -> bool:
        """Never on the strength of an address in the mail: who logged in, or from where it came."""
        if client.user is not None:
            return client.user in self._consent.trust_header_users
        return within(client.address, self._consent.trust_header_networks)
