"""A tracking domain and its public face, for whoever asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.tracking import configuration, opened
from support.web import Client, serving

from tracker.domain import Domain
from tracker.web.app import PublicFace


@pytest.fixture
async def domain(store_url: str, tmp_path: Path) -> AsyncIterator[Domain]:
    async with opened(configuration(store_url, tmp_path)) as domain:
        yield domain


@pytest.fixture
async def served(domain: Domain) -> AsyncIterator[tuple[Client, PublicFace]]:
    async with serving(domain) as served:
        yield served


@pytest.fixture
def client(served: tuple[Client, PublicFace]) -> Client:
    return served[0]
