"""Lists of machines: those that come with Candor, and the operator's own, checked when read and renewed while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tracking import configuration, opened, to_joe
from support.web import serving

from tracker.config import Config, load
from tracker.config.machines import VerdictTable, shipped
from tracker.errors import ConfigError
from tracker.events import VerdictKind

OURS = '[[network]]\nreason = "our-gateway"\nverdict = "scanner"\nnetworks = ["127.0.0.0/8"]\n'


def test_the_lists_that_come_with_candor_are_right_and_have_each_reason_once() -> None:
    lists = shipped()
    reasons = [one.reason for one in lists.agents] + [one.reason for one in lists.networks]
    assert len(reasons) == len(set(reasons)) > 8
    assert VerdictKind.PERSON not in lists.kinds.values()


async def test_a_list_of_ones_own_takes_the_place_of_ours_and_is_read_anew_while_it_runs(
    store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "networks.toml"
    file.write_text(OURS)
    config = configuration(store_url, tmp_path, verdict=VerdictTable(networks_file=str(file)))
    async with opened(config) as domain, serving(domain) as (client, _):
        copy = await to_joe(domain)
        await client.ask(copy.pixel)
        file.write_text(OURS.replace("127.0.0.0/8", "192.0.2.0/24"))
        domain.reconfigure(config)
        await client.ask(copy.pixel)
        first, second = await domain.events.list()
    assert (first["verdict"], first["verdict_reasons"]) == ("scanner", ["our-gateway"])
    assert second["verdict"] == "person"


WRONG = [
    ("agents_file", '[[agent]]\nreason = "x"\nopened = "scanner"\n', "[[agent]] 1: needs one of exact"),
    ("agents_file", "[[agent", "is not TOML"),
    ("networks_file", '[[network]]\nreason = "x"\nnetworks = ["10.0.0.1/8"]\n', "[[network]] 1"),
    ("networks_file", None, "cannot be read"),
]


@pytest.mark.parametrize(("key", "text", "said"), WRONG)
def test_a_wrong_list_is_refused_with_the_configuration(
    key: str, text: str | None, said: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "list.toml").write_text(text)
    (tmp_path / "candor.toml").write_text(f'[verdict]\n{key} = "{tmp_path / "list.toml"}"\n')
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "candor.toml", Config)
    assert f"[verdict] {key}: " in str(caught.value)
    assert said in str(caught.value)
