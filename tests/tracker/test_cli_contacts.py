"""`candor contact` and `candor explain`: what people and programs read, and how the commands end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.commands import Installation, call
from support.tracking import IDENTIFIED, Mail, erase, say, send

from tracker.store.register import Source

JOE = "joe@people.example"


@pytest.fixture
def candor(store_url: str, tmp_path: Path) -> Installation:
    return Installation(tmp_path, store_url)


def held(candor: Installation, address: str = JOE) -> dict[str, object]:
    found: dict[str, object] = candor.call("contact", "show", address, "--json").json
    return found


# --- set and show ---


def test_what_is_set_is_shown(candor: Installation) -> None:
    values = ("tracking_consent=granted", "do_not_track=true", "country=fr", "group=sales", "note=a=b, ü")
    said = candor.call("contact", "set", " Joe@People.Example ", *values)
    assert (said.code, said.out, said.err) == (0, f"{JOE}: changed\n", "")
    shown = held(candor)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(shown.pop("created_at")))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(shown.pop("consent_as_of")))
    assert shown == {
        "address": JOE,
        "status": "active",
        "tracking_consent": "granted",
        "consent_source": "cli",
        "do_not_track": "true",
        "country": "FR",
        "group": "sales",
        "attributes": {"note": "a=b, ü"},
        "last_open_day": None,
    }
    table = candor.call("contact", "show", JOE.upper())
    assert table.code == 0
    for word in (JOE, "granted", "FR", "sales", "ü"):
        assert word in table.out
    assert "last_open_day" not in table.out


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_setting_answers_programs_too(candor: Installation) -> None:
    said = candor.call("contact", "set", JOE, "tracking_consent=granted", "--json")
    assert said.json == {"address": JOE, "effect": "changed", "reason": ""}
    again = candor.call("contact", "set", JOE, "tracking_consent=granted", "--json")
    assert (again.code, again.json["effect"]) == (0, "unchanged")


def test_what_does_not_take_effect_ends_with_1_and_says_why(candor: Installation) -> None:
    candor.call("contact", "set", JOE, "tracking_consent=denied", "--as-of", "2026-05-01T12:00:00Z")
    stale = ("contact", "set", JOE, "tracking_consent=granted", "--as-of", "2026-04-01T12:00:00+02:00")
    said = candor.call(*stale)
    assert said.code == 1
    assert said.out.startswith(
        f"{JOE}: not-effective (tracking_consent granted of 2026-04-01 10:00:00 UTC is older"
    )
    assert (candor.call(*stale, "--json").code, held(candor)["tracking_consent"]) == (1, "denied")


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_persons_own_refusal_is_lifted_only_with_evidence(candor: Installation) -> None:
    candor.prepare(lambda domain: say(domain, JOE, "denied", source=Source.PREFERENCE_PAGE))
    assert candor.call("contact", "set", JOE, "tracking_consent=granted").code == 1
    said = candor.call(
        "contact", "set", JOE, "tracking_consent=granted", "--evidence", "form=https://shop.example/f"
    )
    assert said.code == 0


WRONG_CALLS = [
    (("contact", "set", "joe", "group=x"), ["'joe'", "local-part@domain"]),
    (("contact", "set", JOE, "group"), ["'group'", "KEY=VALUE"]),
    (("contact", "set", JOE, "=x"), ["'=x'", "KEY=VALUE"]),
    (("contact", "set", JOE, "tracking_consent=yes"), ["'yes'", "granted, denied, withdrawn, unknown"]),
    (("contact", "set", JOE, "tracking_consent=Granted"), ["'Granted'", "granted, denied"]),
    (("contact", "set", JOE, "do_not_track=1"), ["'1'", "true, false, unset"]),
    (("contact", "set", JOE, "country=France"), ["'France'", "two letters"]),
    (("contact", "set", JOE, "group=x", "--as-of", "yesterday"), ["'yesterday'", "2026-05-01T12:00:00Z"]),
    (("contact", "set", JOE, "group=x", "--as-of", "2026-05-01T12:00:00"), ["time zone"]),
    (("contact", "set", JOE, "group=x", "--as-of", "0001-01-01T00:00:00+14:00"), ["'0001", "2026-05-01T12:00:00Z"]),
    (("contact", "set", JOE, "group=x", "--as-of", "2999-05-01T12:00:00Z"), ["future"]),
    (("contact", "set", JOE, "group=x", "--evidence", "x"), ["'x'", "KEY=VALUE"]),
    (("contact", "set", JOE, "group=\udcff"), ["UTF-8"]),
    (("contact", "set", "j\udcff@x.example", "group=x"), ["UTF-8"]),
    (("contact", "set", JOE), ["KEY=VALUE"]),
    (("contact", "set"), ["ADDRESS"]),
    (("contact", "show", "joe@"), ["'joe@'"]),
    (("contact", "erase", "joe@", "--yes"), ["'joe@'"]),
    (("explain", "@x.example"), ["'@x.example'"]),
    (("contact", "import", "no-such-file.csv"), ["no-such-file.csv"]),
    (("contact", "import", "."), ["directory"]),
    (("contact", "show", JOE, "--json", "--yaml"), ["--yaml"]),
    (("contact", "forget", JOE), ["forget"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"), WRONG_CALLS, ids=lambda row: " ".join(row).encode("ascii", "replace")
)
@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_wrong_call_ends_with_2_and_says_what_is_wrong_and_allowed(
    arguments: tuple[str, ...], said: list[str], candor: Installation
) -> None:
    result = candor.call(*arguments)
    assert (result.code, result.out) == (2, "")
    for part in said:
        assert part in result.err
    assert "Traceback" not in result.err


def test_who_is_not_known_cannot_be_shown(candor: Installation) -> None:
    result = candor.call("contact", "show", "nobody@people.example", "--json")
    assert (result.code, result.out) == (1, "")
    assert result.err == "candor: nothing is known of nobody@people.example\n"


# --- erase ---


def test_an_erased_person_is_gone_and_stays_untracked(candor: Installation) -> None:
    candor.prepare(lambda domain: send(domain, Mail(to={JOE: IDENTIFIED})))
    candor.call("contact", "set", JOE, "tracking_consent=granted", "group=sales")
    said = candor.call("contact", "erase", JOE, "--yes")
    assert (said.code, said.out) == (0, "erased, with 0 events\n")
    shown = held(candor)
    assert (shown["address"], shown["status"], shown["group"]) == (None, "erased", None)
    assert candor.call("explain", JOE, "--json").json["reason"] == "erased"
    assert candor.call("contact", "set", JOE, "tracking_consent=granted").code == 1


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("", 1), ("y\n", 0)])
def test_erasing_asks_first(answer: str, code: int, candor: Installation) -> None:
    candor.call("contact", "set", JOE, "group=sales")
    said = candor.call("contact", "erase", JOE, input=answer)
    assert said.code == code
    assert f"Erase {JOE}?" in said.out + said.err
    assert held(candor)["status"] == ("active" if code else "erased")


# --- explain ---


def test_explaining_walks_the_steps_to_the_decision(candor: Installation) -> None:
    candor.call("contact", "set", JOE, "tracking_consent=granted", "do_not_track=true")
    found = candor.call("explain", JOE, "--json").json
    assert {key: found[key] for key in ("mode", "reason", "opens", "clicks")} == {
        "mode": "anonymous",
        "reason": "granted+do-not-track",
        "opens": True,
        "clicks": True,
    }
    assert all(set(step) == {"asked", "found"} for step in found["steps"])
    text = candor.call("explain", JOE).out
    assert "\nanonymous (granted+do-not-track): " in text
    for step in found["steps"]:
        assert step["found"][:30] in text


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_explaining_follows_the_policy_for_strangers(candor: Installation) -> None:
    candor.config.write_text(candor.config.read_text() + '[consent]\nunknown = "hygiene"\n')
    found = candor.call("explain", "stranger@people.example", "--json").json
    assert (found["mode"], found["reason"]) == ("hygiene", "unknown-hygiene")
    assert candor.call("contact", "show", "stranger@people.example").code == 1


# --- the store and the configuration ---


@pytest.mark.parametrize(
    "arguments",
    [("contact", "show", JOE), ("contact", "set", JOE, "group=x"), ("explain", JOE), ("message", "list"),
     ("event", "list", "--json"), ("report", "message", "00" * 16)],
    ids=" ".join,
)  # fmt: skip
def test_a_store_that_is_away_ends_with_1_and_no_password(arguments: tuple[str, ...], tmp_path: Path) -> None:
    candor = Installation(tmp_path, "postgresql://candor:hunter2@127.0.0.1:1/candor")
    result = candor.call(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("candor: cannot open the store postgresql://candor:…@127.0.0.1:1/candor")
    assert result.err.count("\n") == 1
    assert "hunter2" not in result.err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    candor = Installation(tmp_path, f"sqlite:///{tmp_path / 'file' / 'candor.db'}")
    result = candor.call("contact", "set", JOE, "country=FR")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "cannot open the store" in result.err


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_a_key_ring_that_lost_a_key_is_refused(candor: Installation) -> None:
    candor.call("contact", "set", JOE, "group=x")
    (candor.folder / "keys.toml").unlink()
    result = candor.call("contact", "show", JOE)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert str(candor.folder / "keys.toml") in result.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[store]\nurl = 'mysql://joe:hunter2@x/y'", ["[store] url", "sqlite:///PATH"]),
        ("[sotre]\n", ["[sotre]", "no such table", "store"]),
        ("[store\n", ["not TOML"]),
    ],
)
def test_a_wrong_configuration_ends_with_2_and_names_the_place(
    text: str, said: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    for command in (("contact", "show", JOE), ("token", "show", "x"), ("keys", "rotate")):
        result = call(*command, "--config", file)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"candor: {file}: ")
        for part in said:
            assert part in result.err
        assert "hunter2" not in result.err


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = call("contact", "show", JOE, "--config", tmp_path / "none.toml")
    assert (result.code, result.err) == (
        2,
        f"candor: {tmp_path / 'none.toml'}: cannot be read: No such file or directory\n",
    )
    assert call("contact", "show", JOE, "--config", tmp_path).code == 2


@pytest.mark.parametrize("store_kind", ["sqlite"])
def test_erasing_reaches_what_was_sent(candor: Installation) -> None:
    copies = candor.prepare(lambda domain: send(domain, Mail(to={JOE: IDENTIFIED})))
    candor.prepare(lambda domain: erase(domain, JOE))
    shown = candor.call("message", "show", copies[JOE].message.hex(), "--json").json
    assert [one["recipient"] for one in shown["deliveries"]] == [None]
    assert "(erased)" in candor.call("message", "show", copies[JOE].message.hex()).out


def test_a_store_that_was_not_there_is_made_and_said(tmp_path: Path) -> None:
    config = tmp_path / "candor.toml"
    config.write_text(
        f'[store]\nurl = "sqlite:///{tmp_path}/new.db"\n[tokens]\nkeys_file = "{tmp_path}/keys.toml"\n'
    )
    first, second = (call("contact", "set", JOE, "country=FR", "--config", config) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert f"made a new store, {tmp_path}/new.db" in first.err
    assert second.err == ""


@pytest.mark.parametrize(
    "command",
    [
        "message list",
        f"contact export {JOE}",
        f"contact erase {JOE} --yes",
        "consent verify",
        "queue list",
        "suppression list",
        "purge --dry-run",
    ],
)
def test_where_there_is_no_store_none_is_made_by_asking(command: str, tmp_path: Path) -> None:
    said = Installation(tmp_path, f"sqlite:///{tmp_path}/none.db").call(*command.split())
    assert (said.code, said.out) == (1, "")
    assert (
        said.err
        == f"candor: there is no store yet: {tmp_path}/none.db is not there; --config names another\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["candor.toml"]


@pytest.mark.parametrize("store_kind", ["sqlite"])
@pytest.mark.parametrize("command", ["erase", "anonymize"])
def test_where_nobody_can_be_asked_the_way_without_is_named(command: str, candor: Installation) -> None:
    said = candor.call("contact", command, JOE)
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("candor: nobody answers: with --yes it is done without asking\n")
