"""The normal form of addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.address import domain_of, erased_key, normalize
from tracker.errors import InvalidAddress

SECRET = b"s" * 32


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("bob@example.com", "bob@example.com"),
        ("  Bob.Miller@EXAMPLE.com\n", "bob.miller@example.com"),
        ("bob+news@example.com", "bob+news@example.com"),
        ("bob@example.com.", "bob@example.com"),
        ("bob@Bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@xn--bcher-kva.example", "bob@xn--bcher-kva.example"),
        ("bob@bücher。example", "bob@xn--bcher-kva.example"),
        ("JOSÉ@example.com", "josé@example.com"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
        ('"a@b"@example.com', '"a@b"@example.com'),
        ('"bob"@example.com', "bob@example.com"),
        ('"b\\ob"@example.com', "bob@example.com"),
        ('"\\B\\o\\b.miller+news"@Example.com', "bob.miller+news@example.com"),
        ('"jose\u0301"@example.com', "jos\u00e9@example.com"),
        ('"bob miller"@example.com', '"bob miller"@example.com'),
        ('"bob\\ miller"@example.com', '"bob miller"@example.com'),
        ('"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com'),
        ('"a..b"@example.com', "a..b@example.com"),
        ("a..b@example.com", "a..b@example.com"),
        ('""@example.com', '""@example.com'),
        ('"\u037e"@example.com', '";"@example.com'),
        ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ("bob@[IPv6:2001:DB8::1]", "bob@[ipv6:2001:db8::1]"),
        ("bob@under_score.example", "bob@under_score.example"),
        ("bob@localhost", "bob@localhost"),
    ],
)
def test_spellings_of_one_address_have_one_form(written: str, normal: str) -> None:
    assert normalize(written) == normal


@pytest.mark.parametrize(
    "written",
    [
        "",
        "bob",
        "@example.com",
        "bob@",
        "bob@ex ample.com",
        "bob@a..b",
        "bob@-a.example",
        "bob@xn--a.example",
        "bob\x00@example.com",
        "bob\n@example.com",
        "bob\udcff@example.com",
        "bob@\udcff.example",
        "b" * 310 + "@example.com",
        " ".join("b" * 154) + "@example.com",
        '"@b.c',
        '"bob@example.com',
        'bob"@example.com',
        'b"o"b@example.com',
        '"b"ob"@example.com',
        '"bob\\"@example.com',
        "b\\ob@example.com",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    with pytest.raises(InvalidAddress):
        normalize(written)


_LOCAL_PARTS = st.text(alphabet=st.sampled_from('ab .;@"\\\u0301\u037e\u0085\u00e9'), max_size=10)


@given(
    st.text(max_size=40)
    | st.builds('"{}"@example.com'.format, _LOCAL_PARTS)
    | st.builds("{}@{}".format, st.text(max_size=20), st.text(max_size=20))
)
def test_any_text_has_a_settled_form_or_is_refused(written: str) -> None:
    try:
        normal = normalize(written)
    except InvalidAddress:
        return
    assert normalize(normal) == normal
    assert "@" in normal
    normal.encode()
    assert erased_key(normal, SECRET) == erased_key(written, SECRET)


@given(st.from_regex(r"[a-z0-9.+_-]{1,20}@[a-z0-9]{1,20}\.example", fullmatch=True))
def test_case_makes_no_difference(address: str) -> None:
    assert normalize(address.upper()) == normalize(address) == address


def test_the_domain_is_what_follows_the_last_at() -> None:
    assert domain_of('"a@b"@example.com') == "example.com"


def test_an_erased_key_depends_on_address_and_secret_and_holds_neither() -> None:
    key = erased_key("Bob@Example.com", SECRET)
    assert key == erased_key("bob@example.com", SECRET)
    assert key != erased_key("bob@example.com", b"t" * 32)
    assert key != erased_key("bab@example.com", SECRET)
    assert len(key) == 16
