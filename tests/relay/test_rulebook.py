"""Rules as they are searched: quicker expressions than the configured ones, and the same answers."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from relay import rulebook
from relay.patterns import by_first_letter, sieve
from relay.reasons import Reason
from relay.rulebook import SKIP_PATTERNS, UNSUBSCRIBE_PATTERNS, WRAPPED_HOSTS, Rules

ALTERNATIVES = [
    *(
        "ab",
        "a",
        "abc",
        "b",
        "ba(?!c)",
        "a(?<!ba)",
        "(?<=b)a",
        "^a",
        "a$",
        r"\?a",
        r"\&b",
        "a?b",
        "b*",
        "a{2}b",
        ".",
    ),
    *(
        "[ab]c",
        "[a|b]",
        r"[|(\]]",
        "(?:a|b)c",
        "a(?:b|c)?",
        r"\|a",
        r"\(b",
        "(a)c",
        "",
        "ca|cb",
        "[^a|]b",
        "c+a",
    ),
    *(r"(a|b)\1", "(?P<x>a)b", "(?:(?i:A)b|c)", "[]a]b", "[^]a]"),
]


@given(st.lists(st.sampled_from(ALTERNATIVES), min_size=1, max_size=6), st.text("abc|(?&] ", max_size=8))
@settings(max_examples=examples(200), deadline=None)
def test_patterns_by_first_letter_find_what_the_patterns_find(patterns: list[str], text: str) -> None:
    try:
        plain = re.compile("|".join(patterns))
    except re.error:  # one name given twice
        return
    assert bool(re.search(by_first_letter(patterns), text)) == bool(plain.search(text))
    assert sieve(patterns)(text) or not plain.search(text)


@pytest.mark.parametrize("patterns", [SKIP_PATTERNS, UNSUBSCRIBE_PATTERNS])
@given(data=st.data(), before=st.text("apo/-. ", max_size=3), behind=st.text("a/?-", max_size=3))
@settings(max_examples=examples(200), deadline=None)
def test_the_tables_find_what_each_of_their_patterns_finds(
    patterns: tuple[str, ...], data: st.DataObject, before: str, behind: str
) -> None:
    pattern = data.draw(st.sampled_from(patterns))
    text = before + data.draw(st.from_regex(pattern)) + behind
    found = re.search(by_first_letter(patterns), text) is not None
    assert found == any(re.search(one, text) for one in patterns)
    assert sieve(patterns)(text) or not found


@pytest.mark.parametrize(
    ("pattern", "sifted"),
    [
        ("un-?subscri", "subscri"),
        ("opt-?out|e-?mail", "mail opt"),
        (r"log[-_]?in(?![a-z])", "log"),
        ("set(?:ting)?s+x", "set"),
        (r"\?(?:token|a(?:uth|bc))=", "token uth bc"),
        ("(?:a|b)?cd", "cd"),
        ("abc(?:d|e)*f", "abc"),
        ("abc|abcd", "abc"),
        ("(?<!a)bcd", "bcd"),
    ],
)
def test_a_sieve_looks_for_what_stands_in_every_match(pattern: str, sifted: str) -> None:
    for word in sifted.split():
        assert sieve([pattern])(f"..{word}..")
        assert not sieve([pattern])(f"..{word[:-1]}.{word[-1]}")


@pytest.mark.parametrize("pattern", ["[ab]", "a?", r"\d+", "ab{2}", "(?i:ab)", "Ab", "(a)|", "ab|c*"])
def test_a_sieve_lets_through_what_it_cannot_read(pattern: str) -> None:
    assert sieve([pattern])("zzz")


def test_a_sieve_lets_other_scripts_through_where_a_pattern_has_them() -> None:
    assert sieve(["退订", "abmeld"])("é")
    assert not sieve(["退订", "abmeld"])("e")
    assert not sieve([])("abc")


def test_alternatives_that_begin_alike_are_tried_together() -> None:
    assert by_first_letter(["log|sign", "lag"]) == "l(?:og|ag)|s(?:ign)"
    assert by_first_letter(["a?b|c", "(a)\\1"]) == "a?b|c|(a)\\1"


HOSTS = [
    "x.example",
    "*.x.example",
    "*x.example",
    "a.*",
    "*.x*.example",
    "?.example",
    "[ab].example",
    "**.example",
    "*",
]


@given(
    st.lists(st.sampled_from([*HOSTS, "X.Example", *WRAPPED_HOSTS]), max_size=4),
    st.sampled_from(
        [*(host.replace("*", "ab").replace("?", "b") for host in (*HOSTS, *WRAPPED_HOSTS)), "", ".x.example"]
    ),
)
@settings(max_examples=examples(150), deadline=None)
def test_hosts_are_matched_as_shell_patterns(patterns: list[str], host: str) -> None:
    book = rulebook.rulebook(Rules(own_hosts=tuple(patterns)))
    assert bool(book.is_own_host(host)) == any(fnmatchcase(host, pattern.lower()) for pattern in patterns)


@given(st.from_regex(r"\A(?i:https?://)[a-zA-Z0-9_.:@%-]{0,12}[/?#]?[ -~é\t{}%|\[\]*#$]{0,20}\Z"))
@settings(max_examples=examples(200), deadline=None)
def test_a_url_that_needs_no_second_look_would_pass_it(url: str) -> None:
    plain = rulebook._PLAIN_URL.fullmatch(url)
    if plain is None:
        return
    book = rulebook.rulebook(Rules())
    assert book._form(url, rulebook._AUTHORITY.match(url)[1]) is None  # type: ignore[index]
    assert rulebook._AUTHORITY.match(url)[1] == plain[1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://x.example/%7Buser%7D/100%25#top", None),
        ("http://x.example/%zz%", None),
        ("http://x.example/{{a}}", Reason.TEMPLATE),
        ("http://x.example:8080/", None),
        ("http://x.example./login", Reason.SKIPPED_PATTERN),
        ("http://wa.me:443/", Reason.SKIPPED_HOST),
        ("http://x.example", None),
    ],
)
def test_plain_and_other_urls_are_judged_alike(url: str, reason: Reason | None) -> None:
    assert rulebook.rulebook(Rules()).judge(url, "text", ()) == (url, reason)


def test_every_mark_that_keeps_a_link_from_being_tracked_holds_the_word_looked_for() -> None:
    words = {name for name, _ in rulebook.OPT_OUT_MARKS} | rulebook.OPT_OUT_CLASSES
    assert [word for word in words if rulebook.OPT_OUT_WORD not in word] == []
