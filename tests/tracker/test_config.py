"""The configuration: strict, with errors that say where, what and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.config import RELAY_TABLES, Config, load, parse_listen
from tracker.consent import Mode
from tracker.errors import ConfigError
from tracker.policy import Circumstances


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "candor.toml"


def loaded(file: Path, text: str, **environ: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, Config, environ=environ, foreign=RELAY_TABLES)


def test_nothing_at_all_is_a_configuration() -> None:
    config = load(None, Config, environ={})
    assert config == Config()
    assert config.tracker.answer_within == 0.05
    assert config.store.ask_within == 1.0
    assert config.consent.policy().reading(Circumstances()).unknown is Mode.IDENTIFIED


def test_what_the_file_says_holds(file: Path) -> None:
    config = loaded(
        file,
        """
        [tracker]
        listen = "[::1]:8080"
        public_url = "https://t.example.com/"
        answer_within = "1.5s"
        [store]
        url = "postgresql://candor:secret@db.example.com:5433/candor?sslmode=require"
        write_within = "2m"
        [consent]
        unknown = "hygiene"
        do_not_track_unset = true
        [anonymity]
        min_group = 7
        [admin]
        listen = ""
        """,
    )
    assert config.tracker.public_url == "https://t.example.com"
    assert (config.tracker.answer_within, config.store.write_within) == (1.5, 120.0)
    assert config.consent.policy().reading(Circumstances()).unknown is Mode.HYGIENE
    assert config.consent.policy().reading(Circumstances()).do_not_track_unset
    assert config.anonymity.min_group == 7
    assert config.admin.listen == ""


WRONG = [
    (
        "[tracker]\nport = 1",
        "[tracker] port",
        "no such key",
        "answer_within, apple_app_site_association, asset_links",
    ),
    ('[trakcer]\nlisten = "a:1"', "[trakcer]", "no such table", "store, tokens, tracker"),
    ('colour = "red"', "[colour]", "no such table", "tracker"),
    ('store = "x"', "[store]", "expected a table", "'x'"),
    ('[tracker]\nlisten = "8080"', "[tracker] listen", "host:port", "'8080'"),
    ('[tracker]\nlisten = "::1:80"', "[tracker] listen", "brackets", "'::1:80'"),
    ('[tracker]\nlisten = "h:70000"', "[tracker] listen", "host:port", "'h:70000'"),
    ("[tracker]\nanswer_within = 50", "[tracker] answer_within", "in quotes", "50"),
    ('[tracker]\nanswer_within = "50"', "[tracker] answer_within", '"500ms"', "'50'"),
    ('[tracker]\nanswer_within = "-1s"', "[tracker] answer_within", "duration", "'-1s'"),
    ('[store]\nask_within = "0s"', "[store] ask_within", "greater than 0", "0"),
    (
        '[tracker]\npublic_url = "t.example.com"',
        "[tracker] public_url",
        "base URL",
        '"https://t.example.com"',
    ),
    ('[tracker]\npublic_url = "https://t.example.com/?a"', "[tracker] public_url", "base URL", "https"),
    ('[tracker]\npublic_url = "https://bücher.example"', "[tracker] public_url", "ASCII", "IDNA"),
    ('[tracker]\npublic_url = "https://t.example.com/a=b"', "[tracker] public_url", "ASCII", "letters"),
    ('[tracker]\npublic_url = "http://[::1]:8080"', "[tracker] public_url", "ASCII", "IPv6"),
    ('[tracker]\npublic_url = "https://t.example.com:99999"', "[tracker] public_url", "ort", "65535"),
    ('[tracker]\nreferrer_policy = "never"', "[tracker] referrer_policy", "no-referrer", "strict-origin"),
    ('[store]\nurl = "mysql://x"', "[store] url", "sqlite:///PATH", "postgresql://"),
    ('[store]\nurl = "sqlite:///:memory:"', "[store] url", "expected a file", "sqlite:///PATH"),
    ('[store]\nurl = "sqlite:///"', "[store] url", "expected a file", "sqlite:///PATH"),
    ('[store]\nurl = "postgresql://h:port/d"', "[store] url", "ort", "port"),
    ('[consent]\nunknown = "maybe"', "[consent] unknown", "'track'", "'deny'"),
    ("[anonymity]\nmin_group = 1", "[anonymity] min_group", "greater than or equal to 2", "1"),
    ('[tokens]\nkeys_file = ""', "[tokens] keys_file", "at least 1", "''"),
    ('[log]\nlevel = "loud"', "[log] level", "'debug'", "'error'"),
]


@pytest.mark.parametrize(("text", "where", "what", "allowed"), WRONG)
def test_an_error_names_file_table_key_and_what_is_allowed(
    file: Path, text: str, where: str, what: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, text)
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{file}: {where}")
    assert what in line
    assert allowed in line


def test_each_thing_that_is_wrong_has_its_line(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, '[tracker]\nlisten = "x"\n[consent]\nunknown = "x"\n[spam]\n')
    assert [line.split(":")[1].split()[0] for line in str(caught.value).splitlines()] == [
        "[tracker]",
        "[consent]",
        "[spam]",
    ]


def test_passwords_in_a_wrong_url_are_not_repeated(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(file, '[store]\nurl = "mysql://candor:hunter2@db/candor"')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["[tracker", "\xff", 'a = "\x00"', "[a]\n[a]"])
def test_what_is_not_toml_is_said_to_be_none(file: Path, text: str) -> None:
    file.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=r"candor\.toml: not TOML"):
        load(file, Config, environ={})


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"candor\.toml: cannot be read: No such file"):
        load(file, Config, environ={})


def test_the_relays_tables_are_passed_over_but_not_by_accident(file: Path) -> None:
    text = '[relay]\nanything = 1\n[upstream]\nurl_file = "/not/there"\n'
    assert loaded(file, text) == Config()
    with pytest.raises(ConfigError, match="no such table"):
        load(file, Config, environ={})


def test_the_environment_stands_over_the_file(file: Path) -> None:
    text = '[store]\nurl = "sqlite:///file.db"\n[anonymity]\nmin_group = 5\n'
    config = loaded(
        file,
        text,
        CANDOR_STORE_URL="sqlite:///environment.db",
        CANDOR_ANONYMITY_MIN_GROUP="9",
        CANDOR_CONSENT_DO_NOT_TRACK_UNSET="true",
    )
    assert config.store.url == "sqlite:///environment.db"
    assert config.anonymity.min_group == 9
    assert config.consent.do_not_track_unset is True


@pytest.mark.parametrize("variable", ["CANDOR_CONSENT_UNKNWN", "CANDOR_STOR_URL"])
def test_a_misspelt_variable_is_refused(file: Path, variable: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable}: no such variable; did you mean CANDOR_"):
        loaded(file, "", **{variable: "deny"})


def test_other_variables_are_nobodys_business(file: Path) -> None:
    assert loaded(file, "", CANDOR_CONFIG="x", CANDOR_CORPUS="y", CANDOR_CRASH_ROUNDS="1") == loaded(file, "")


def test_an_error_in_the_environment_names_its_variable(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^CANDOR_ANONYMITY_MIN_GROUP: \[anonymity\] min_group"):
        loaded(file, "", CANDOR_ANONYMITY_MIN_GROUP="few")


def test_the_environment_does_not_hide_a_table_that_is_none(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[store\]: expected a table"):
        loaded(file, "store = 1", CANDOR_STORE_URL="sqlite:///x.db")


def test_a_value_may_stand_in_a_file_of_its_own(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://candor:hunter2@db/candor\n", encoding="utf-8")
    assert loaded(file, f'[store]\nurl_file = "{secret}"').store.url.endswith("hunter2@db/candor")


def test_a_value_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"candor\.toml: \[store\] url_file: /not/there cannot be read"):
        loaded(file, '[store]\nurl_file = "/not/there"')


def test_a_value_and_its_file_exclude_each_other(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[store\] url_file: url is given too"):
        loaded(file, '[store]\nurl = "sqlite:///x.db"\nurl_file = "/run/secrets/url"')


def test_a_key_whose_name_ends_like_a_file_keeps_its_meaning(file: Path) -> None:
    assert loaded(file, '[tokens]\nkeys_file = "/etc/keys.toml"').tokens.keys_file == "/etc/keys.toml"


def test_a_file_for_a_key_there_is_not_is_an_unknown_key(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[store\] colour_file: no such key"):
        loaded(file, '[store]\ncolour_file = "/etc/passwd"')


def test_values_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().store.url = "sqlite:///other.db"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0ms", 0.0), ("250ms", 0.25), ("20s", 20.0), (" 1.5 m ", 90.0), ("4h", 14400.0), ("5d", 432000.0)],
)
def test_durations_are_written_as_people_write_them(file: Path, text: str, seconds: float) -> None:
    assert loaded(file, f'[tracker]\nanswer_within = "{text}"').tracker.answer_within == seconds


@given(st.text(max_size=20))
def test_any_text_is_a_place_to_listen_or_is_refused(text: str) -> None:
    try:
        host, port = parse_listen(text)
    except ValueError:
        return
    assert 0 <= port <= 65535
    assert not host.startswith("[")
