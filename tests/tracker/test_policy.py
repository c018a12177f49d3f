"""What the `[consent]` table, its rules and the presets come to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.consent import Contact, Mode
from tracker.policy import CLASSES, PRESETS, Circumstances, Policy, Rule, Unknown, circumstances

NOBODY = Circumstances()


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("track", Mode.IDENTIFIED),
        ("anonymous", Mode.ANONYMOUS),
        ("aggregate", Mode.AGGREGATE),
        ("hygiene", Mode.HYGIENE),
        ("deny", Mode.UNTRACKED),
    ],
)
def test_each_word_for_unknown_leads_to_its_mode(word: str, mode: Mode) -> None:
    reading = Policy(unknown=Unknown(word)).reading(NOBODY)
    assert reading.unknown is mode
    assert word in reading.source


def test_every_word_is_in_the_table_above() -> None:
    assert {word.value for word in Unknown} == {"track", "anonymous", "aggregate", "hygiene", "deny"}


@pytest.mark.parametrize("unset", [True, False])
def test_an_unset_do_not_track_is_read_as_the_policy_says(unset: bool) -> None:
    assert Policy(do_not_track_unset=unset).reading(NOBODY).do_not_track_unset is unset


def test_nothing_said_means_tracked_as_in_the_defaults() -> None:
    reading = Policy().reading(NOBODY)
    assert (reading.unknown, reading.do_not_track_unset) == (Mode.IDENTIFIED, False)
    assert (reading.withdrawal_link, reading.device, reading.place) == (False, True, True)


ABOUT = {
    "country": "FR",
    "group": "staff",
    "domain": "mail.example.fr",
    "sender": "news@shop.example",
    "message_class": "requested",
}


@pytest.mark.parametrize(
    ("criteria", "changed", "fits"),
    [
        ({}, {}, True),
        ({"countries": ("FR",)}, {}, True),
        ({"countries": ("DE", "FR")}, {}, True),
        ({"countries": ("fr",)}, {}, True),
        ({"countries": ("FR",)}, {"country": "DE"}, False),
        ({"countries": ("FR",)}, {"country": None}, False),
        ({"groups": ("staff",)}, {}, True),
        ({"groups": ("staff",)}, {"group": None}, False),
        ({"groups": ("staff",)}, {"group": "Staff"}, False),
        ({"domains": ("mail.example.fr",)}, {}, True),
        ({"domains": ("MAIL.example.fr",)}, {}, True),
        ({"domains": ("*.fr",)}, {}, True),
        ({"domains": ("*.example.fr",)}, {}, True),
        ({"domains": ("*.example.fr",)}, {"domain": "example.fr"}, False),
        ({"domains": ("example.fr",)}, {}, False),
        ({"domains": ("*.ample.fr",)}, {}, False),
        ({"domains": ("*.fr",)}, {"domain": ""}, False),
        ({"senders": ("news@shop.example",)}, {}, True),
        ({"senders": ("@shop.example",)}, {}, True),
        ({"senders": ("@*.example",)}, {}, True),
        ({"senders": ("@shop.example",)}, {"sender": "news@other.shop.example"}, False),
        ({"senders": ("shop@shop.example",)}, {}, False),
        ({"classes": ("requested",)}, {}, True),
        ({"classes": ("requested",)}, {"message_class": None}, False),
        ({"classes": ("marketing",)}, {"message_class": None}, True),
        ({"countries": ("FR",), "groups": ("clients",)}, {}, False),
        ({"countries": ("FR",), "groups": ("staff",), "domains": ("*.fr",)}, {}, True),
    ],
)
def test_a_rule_fits_where_all_it_names_fits(
    criteria: dict[str, tuple[str, ...]], changed: dict[str, str | None], fits: bool
) -> None:
    about = Circumstances(**{**ABOUT, **changed})  # type: ignore[arg-type]
    assert Rule(name="a rule", **criteria).fits(about) is fits  # type: ignore[arg-type]


FRANCE, ITALY, SPAIN = (Circumstances(country=code) for code in ("FR", "IT", "ES"))


def asked_for(country: str | None) -> Circumstances:
    return Circumstances(country=country, message_class="requested")


@pytest.mark.parametrize(
    ("presets", "about", "mode", "link"),
    [
        (("fr-2026",), FRANCE, Mode.UNTRACKED, True),
        (("fr-2026",), asked_for("FR"), Mode.HYGIENE, True),
        (("fr-2026",), Circumstances(country="FR", message_class="transactional"), Mode.HYGIENE, True),
        (("fr-2026",), Circumstances(country="FR", message_class="marketing"), Mode.UNTRACKED, True),
        (("fr-2026",), SPAIN, Mode.IDENTIFIED, False),
        (("fr-2026",), NOBODY, Mode.UNTRACKED, True),
        (("fr-2026",), asked_for(None), Mode.HYGIENE, True),
        (("it-2026",), ITALY, Mode.AGGREGATE, True),
        (("it-2026",), NOBODY, Mode.AGGREGATE, True),
        (("it-2026",), FRANCE, Mode.IDENTIFIED, False),
        (("fr-2026", "it-2026"), ITALY, Mode.AGGREGATE, True),
        (("fr-2026", "it-2026"), asked_for("FR"), Mode.HYGIENE, True),
        (("fr-2026", "it-2026"), asked_for(None), Mode.HYGIENE, True),
        (("it-2026", "fr-2026"), asked_for(None), Mode.HYGIENE, True),
        (("fr-2026", "it-2026"), NOBODY, Mode.UNTRACKED, True),
        (("strict",), SPAIN, Mode.UNTRACKED, False),
        (("strict",), NOBODY, Mode.UNTRACKED, False),
        (("strict", "it-2026"), ITALY, Mode.AGGREGATE, True),
        (("strict", "it-2026"), SPAIN, Mode.UNTRACKED, False),
        (("strict", "it-2026"), NOBODY, Mode.UNTRACKED, True),
    ],
)
def test_presets_go_by_country_and_class(
    presets: tuple[str, ...], about: Circumstances, mode: Mode, link: bool
) -> None:
    reading = Policy(presets=presets).reading(about)
    assert (reading.unknown, reading.withdrawal_link) == (mode, link), reading.source


@pytest.mark.parametrize(
    ("unknown", "about", "mode"),
    [
        (Unknown.DENY, asked_for(None), Mode.UNTRACKED),
        (Unknown.DENY, asked_for("FR"), Mode.HYGIENE),
        (Unknown.HYGIENE, ITALY, Mode.AGGREGATE),
        (Unknown.HYGIENE, NOBODY, Mode.HYGIENE),
        (Unknown.ANONYMOUS, NOBODY, Mode.AGGREGATE),
    ],
)
def test_whose_country_is_not_known_may_live_where_no_preset_holds(
    unknown: Unknown, about: Circumstances, mode: Mode
) -> None:
    presets = ("fr-2026",) if about.message_class else ("it-2026",)
    assert Policy(unknown=unknown, presets=presets).reading(about).unknown is mode


def test_in_italy_neither_device_nor_country_is_kept_of_those_who_agreed_either() -> None:
    reading = Policy(presets=("it-2026",)).reading(ITALY)
    assert (reading.device, reading.place) == (False, False)
    assert Policy(presets=("it-2026",)).reading(SPAIN).device


def test_a_rule_of_ones_own_comes_before_presets_and_leaves_to_them_what_it_does_not_say() -> None:
    own = Rule(name="staff", groups=("staff",), unknown=Unknown.ANONYMOUS)
    silent = Rule(name="silent", groups=("quiet",), do_not_track_unset=True)
    policy = Policy(rules=(own, silent), presets=("it-2026",))
    first = policy.reading(Circumstances(country="IT", group="staff"))
    assert (first.unknown, first.source, first.withdrawal_link) == (Mode.ANONYMOUS, "staff", True)
    second = policy.reading(Circumstances(country="IT", group="quiet"))
    assert (second.unknown, second.do_not_track_unset) == (Mode.AGGREGATE, True)


def test_of_two_rules_that_fit_the_first_holds() -> None:
    rules = (Rule(name="a", unknown=Unknown.HYGIENE), Rule(name="b", unknown=Unknown.TRACK))
    assert Policy(rules=rules).reading(NOBODY).source == "a"


ABOUTS = st.builds(
    Circumstances,
    country=st.sampled_from([None, "FR", "IT", "ES"]),
    group=st.sampled_from([None, "staff"]),
    message_class=st.sampled_from([None, *CLASSES]),
)
ORDER = list(Mode)


@given(about=ABOUTS, presets=st.lists(st.sampled_from(sorted(PRESETS)), min_size=1, unique=True))
def test_whose_country_is_not_known_gets_no_more_than_anybody_under_the_same_presets(
    about: Circumstances, presets: list[str]
) -> None:
    policy = Policy(presets=tuple(presets))
    nowhere = Circumstances(group=about.group, message_class=about.message_class)
    covered = [
        Circumstances(country=rule.countries[0], group=about.group, message_class=about.message_class)
        for name in presets
        for rule in PRESETS[name]
        if rule.countries
    ]
    least = min((ORDER.index(policy.reading(one).unknown) for one in covered), default=len(ORDER))
    assert ORDER.index(policy.reading(nowhere).unknown) <= least


@given(about=ABOUTS, first=st.permutations(sorted(PRESETS)))
def test_the_order_in_which_presets_are_named_means_nothing(about: Circumstances, first: list[str]) -> None:
    one, other = (Policy(presets=tuple(names)).reading(about) for names in (first, sorted(PRESETS)))
    assert replace(one, source="") == replace(other, source="")


def test_circumstances_come_from_what_is_at_hand() -> None:
    contact = Contact(country="FR", group="staff")
    about = circumstances(contact, address="a@b.example", sender="s@t.example", message_class=None)
    assert about == Circumstances(country="FR", group="staff", domain="b.example", sender="s@t.example")
    assert circumstances(None, address=None, sender="", message_class=None) == NOBODY
