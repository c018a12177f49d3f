"""Where consent comes from while a message is on its way: its own header, and the lookup in the user's CRM.

Whatever is learnt here goes into the register first, and the decision is made from the register: there is one answer
to what a person said. Nothing here delays a message for longer than the configuration says, or stops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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
from tracker.statements import Statement
from tracker.weighing import Effect, Source

_ACTOR = "network"
"""Who said it, where the client was let in by its network."""


class Sources:
    """`await Sources(config, domain).learn(message, known)`."""

    def __init__(self, config: Config, domain: Domain) -> None:
        self._consent = config.consent
        self._patience = config.store.write_within
        self._domain = domain

    async def learn(self, message: Compiled, known: Mapping[str, Known] | None) -> bool:
        """Takes down what the message itself says of its recipient. True when the register changed, so that it is
        to be asked again. Never raises for a store that is away."""
        if known is None:
            return False  # nobody is tracked, and the store would not take it either
        return await self._declared(message, known)

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
                    [statement], source=Source.HEADER, actor=actor, now=datetime.now(UTC)
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
