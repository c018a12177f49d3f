"""The operator's time zone: the one that is named, else the machine's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from tracker.config import AdminTable
from tracker.zones import system_zone


@pytest.fixture
def anew() -> Iterator[None]:
    """The machine is asked again."""
    system_zone.cache_clear()
    yield
    system_zone.cache_clear()


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "America/Argentina/Ushuaia"])
def test_a_zone_is_named(name: str) -> None:
    assert str(AdminTable(time_zone=name).zone) == name


@pytest.mark.parametrize(
    "name", ["Europe", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "CEST", "\x00"]
)
def test_what_is_no_zone_is_refused_with_what_is_expected(name: str) -> None:
    with pytest.raises(ValidationError, match="Europe/Berlin"):
        AdminTable(time_zone=name)


@pytest.mark.parametrize(
    ("variable", "zone"), [("Asia/Tokyo", "Asia/Tokyo"), (":Asia/Tokyo", "Asia/Tokyo"), ("nonsense", None)]
)
@pytest.mark.usefixtures("anew")
def test_without_a_name_it_is_the_machines(
    variable: str, zone: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    machines = str(system_zone())
    system_zone.cache_clear()
    monkeypatch.setenv("TZ", variable)
    assert str(AdminTable().zone) == (zone or machines)
