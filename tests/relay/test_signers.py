"""Who signs, and what becomes of the signatures a message came with: from the message to its copies."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dkim import ED25519, RSA, Signed, arrived, both, checked, rsa_key, signers
from support.mail import corpus, message, multipart, part
from support.submissions import NOW, TRACKED, addressed, submission

from relay.compiled import Compiled, Compiler
from relay.mime import read_header
from relay.personalize import Copy, Tracking, copies
from relay.rewrite import Rules
from relay.signers import NotSignedError, Signers, author_domain
from relay.signing import SigningKey, body_hash, signature_field, signed_fields, signing_key
from tracker.tokens import Key, KeyRing

RECEIVED = b"Received: from here\r\n"
OURS, OTHERS = "sender.example", "esp.example"
LINK = '<html><body><a href="https://x.example/">x</a>{{MORE}}</body></html>\r\n'
VALID = [(OURS, RSA, True), (OURS, ED25519, True)]
RING = KeyRing(newest=(KEY := Key(id=b"ids", secret=b"s" * 32)), keys={KEY.id: KEY}, permanent=b"p" * 32)


def mail(more: str = "", *, header: str = "", author: str = f"a@{OURS}") -> bytes:
    data = message(LINK.replace("{{MORE}}", more), header=header)
    return data.replace(b"From: a@sender.example\r\n", f"From: {author}\r\n".encode() if author else b"")


def signed_by(data: bytes, domain: str) -> bytes:
    """The mail with somebody's good signature on it, which covers any control header too."""
    fields = signed_fields(read_header(data))
    for name in re.findall(rb"(?m)^(X-Candor-[^:]*): ", data):
        value = data.partition(name + b": ")[2].partition(b"\r\n")[0]
        fields = fields._replace(
            names=fields.names + b":" + name.lower(),
            canonical=fields.canonical + name.lower() + b":" + value + b"\r\n",
        )
    key = signing_key(domain, "r", rsa_key())
    return signature_field(key, fields, body_hash(data), at=0) + data


def compiled(data: bytes, ring: KeyRing, who: Signers) -> Compiled:
    return Compiler(Rules(), ring, {}, who).compile(submission("x@reader.example", data=data))


def made(data: bytes, ring: KeyRing, who: Signers) -> tuple[Copy, Copy]:
    """An untracked person's copy and a tracked one's."""
    found = compiled(data, ring, who)
    tracking = Tracking(public_url="https://t.example.com", ring=ring, mailing=b"m" * 16, sent_at=NOW)
    decision = TRACKED if found.untouchable is None else None
    people = [addressed("u@reader.example"), addressed("t@reader.example", decision)]
    result = [
        copies(
            found.plan, [one], tracking, RECEIVED, recorded=True, signatures=found.signatures, signed_at=NOW
        )
        for one in people
    ]
    ((untracked,), (tracked,)) = result
    return untracked, tracked


def seen(copy: Copy) -> list[tuple[str, str, bool]]:
    return [tuple(one) for one in checked(arrived(copy.content()))]


def test_a_copy_is_signed_as_it_leaves(ring: KeyRing) -> None:
    untracked, tracked = made(mail(), ring, signers(OURS))
    assert seen(untracked) == seen(tracked) == VALID
    assert untracked.content()[-1] == mail()
    assert b"/c/" in arrived(tracked.content())
    assert tracked.content() == tracked.content()
    assert all(copy.content()[0].startswith(b"DKIM-Signature: ") for copy in (untracked, tracked))


AUTHORS = [
    ("a@sender.example", (OURS,), OURS),
    ("A <a@Sender.EXAMPLE>", (OURS,), OURS),
    ("a@news.sender.example", (OURS,), OURS),
    ("a@news.sender.example", (OURS, "news.sender.example"), "news.sender.example"),
    ("a@sender.example", ("news.sender.example",), None),
    ("a@notsender.example", (OURS,), None),
    ("a@sender.example.evil.example", (OURS,), None),
    ('"a@sender.example" <e@evil.example>', (OURS,), None),
    ("a@sender.example, b@sender.example", (OURS,), OURS),
    ("a@sender.example, e@evil.example", (OURS,), None),
    ("Us: a@sender.example, b@sender.example;", (OURS,), OURS),
    ("=?utf-8?q?a=40sender=2Eexample?= <e@evil.example>", (OURS,), None),
    ("=?utf-8?q?a=40sender=2Eexample?=", (OURS,), None),
    ("a@sender.example (really) ", (OURS,), OURS),
    ("a@bücher.example", ("xn--bcher-kva.example",), "xn--bcher-kva.example"),
    ("nobody", (OURS,), None),
    ("", (OURS,), None),
    ("a@sender.example\r\nFrom: e@evil.example", (OURS,), None),
    ("a@sender.example\r\nFrom: a@sender.example", (OURS,), None),
    ("(" * 1500 + "a@sender.example", (OURS,), None),
    ("a@sender.example" + ", a@sender.example" * 200, (OURS,), None),
]


@pytest.mark.parametrize(
    ("author", "keys", "domain"), AUTHORS, ids=[f"{n}-{row[0][:30]}" for n, row in enumerate(AUTHORS)]
)
def test_the_authors_domain_signs_or_the_closest_above_it(
    author: str, keys: tuple[str, ...], domain: str | None, ring: KeyRing
) -> None:
    wanted = [] if domain is None else [(domain, RSA, True), (domain, ED25519, True)]
    for copy in made(mail(author=author), ring, signers(*keys)):
        assert seen(copy) == wanted


def test_what_programs_may_read_differently_is_not_signed(ring: KeyRing) -> None:
    for data in (mail(header="nonsense\r\n"), b"From a@sender.example Mon Jan 1\r\n" + mail(), b"", b"\r\n"):
        for copy in made(data, ring, signers(OURS)):
            assert not any(piece.startswith(b"DKIM") for piece in copy.content())


def test_without_a_key_nothing_is_put_in_front(ring: KeyRing) -> None:
    data = mail()
    untracked, _ = made(data, ring, Signers())
    assert untracked.content() == (RECEIVED, data)
    assert untracked.content()[1] is data


# --- what came signed ---


def test_our_signature_stays_where_nothing_breaks_it_and_is_made_anew_where_something_does(
    ring: KeyRing,
) -> None:
    data = signed_by(mail(), OURS)
    untracked, tracked = made(data, ring, signers(OURS))
    assert untracked.content() == (RECEIVED, data)
    assert seen(untracked) == [(OURS, RSA, True)]
    assert seen(tracked) == VALID
    assert b"/c/" in arrived(tracked.content())
    assert tracked.plain() == (RECEIVED, data)


@pytest.mark.parametrize("header", ["X-Candor-Tag: a\r\n", "X-Candor-Campaign: a\r\nX-Candor-Tag: b\r\n"])
def test_our_signature_over_a_control_header_is_made_anew_for_everybody(header: str, ring: KeyRing) -> None:
    data = signed_by(mail(header=header), OURS)
    for copy in made(data, ring, signers(OURS)):
        assert seen(copy) == VALID
        assert b"X-Candor" not in arrived(copy.content())


def test_our_signature_under_a_control_header_that_it_does_not_cover_stays(ring: KeyRing) -> None:
    data = b"X-Candor-Tag: a\r\n" + signed_by(mail(), OURS)
    untracked, tracked = made(data, ring, signers(OURS))
    assert seen(untracked) == [(OURS, RSA, True)]
    assert seen(tracked) == VALID


@pytest.mark.parametrize("more", ["{{open_pixel}}", "<a data-candor-no-track href='https://y.example/'>y</a>",
                                  "{{tracking_preferences_url}}"])  # fmt: skip
def test_our_signature_over_a_placeholder_is_made_anew_for_everybody(more: str, ring: KeyRing) -> None:
    for copy in made(signed_by(mail(more), OURS), ring, signers(OURS)):
        assert seen(copy) == VALID


def test_every_domain_of_ours_whose_signature_goes_signs_anew(ring: KeyRing) -> None:
    below = f"news.{OURS}"
    data = signed_by(mail(author=f"a@{below}"), OURS)
    untracked, tracked = made(data, ring, signers(OURS, below))
    assert [one[0] for one in seen(untracked)] == [below, below, OURS]
    assert [one[0] for one in seen(tracked)] == [below, below, OURS, OURS]
    assert all(one[2] for one in seen(untracked) + seen(tracked))


FOREIGN = {
    "another's": lambda data: signed_by(data, OTHERS),
    "ours and another's": lambda data: signed_by(signed_by(data, OTHERS), OURS),
    "not to be read": lambda data: b"DKIM-Signature: v=1\r\n" + data,
    "DomainKeys": lambda data: b"DomainKey-Signature: a=rsa-sha1; d=esp.example; b=x\r\n" + data,
    "ARC": lambda data: b"ARC-Seal: i=1\r\n" + data,
    "ours and ARC": lambda data: b"ARC-Seal: i=1\r\nARC-Message-Signature: i=1\r\n" + signed_by(data, OURS),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("more", ["", "{{open_pixel}}"])
def test_what_others_signed_is_left_as_it_came(kind: str, more: str, ring: KeyRing) -> None:
    data = FOREIGN[kind](mail(more))
    assert compiled(data, ring, signers(OURS)).untouchable == "signed-dkim"
    for copy in made(data, ring, signers(OURS)):
        assert copy.content()[-1] is data
        came, left = _of(OTHERS, data), _of(OTHERS, arrived(copy.content()))
        assert came == left
        assert all(valid for *_, valid in left)
        assert all(one in seen(copy) for one in (VALID if "ours" not in kind else VALID[:1]))


def _of(domain: str, data: bytes) -> list[Signed]:
    return (
        [one for one in checked(data) if one.domain == domain]
        if domain.encode() in data and b"bh=" in data
        else []
    )


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_others_signed_is_tracked_without_their_signatures_if_so_configured(
    kind: str, ring: KeyRing
) -> None:
    data = FOREIGN[kind](mail())
    untracked, tracked = made(data, ring, signers(OURS, remove_foreign=True))
    assert untracked.content()[-1] is data
    assert seen(tracked) == VALID
    left = arrived(tracked.content())
    assert b"/c/" in left
    assert OTHERS.encode() not in left
    assert b"ARC-" not in left


def test_dead_signatures_go_even_where_nobody_can_sign_anew(ring: KeyRing) -> None:
    untracked, tracked = made(signed_by(mail(), OTHERS), ring, Signers(remove_foreign=True))
    assert seen(untracked) == [(OTHERS, RSA, True)]
    assert seen(tracked) == []
    assert b"DKIM-Signature" not in arrived(tracked.content())


def test_a_signature_of_a_domain_we_hold_is_anothers_where_the_author_is_not_of_it(ring: KeyRing) -> None:
    data = signed_by(mail(author="e@evil.example"), OURS)
    assert compiled(data, ring, signers(OURS)).untouchable == "signed-dkim"


def test_copies_that_leave_as_they_came_may_go_unsigned(ring: KeyRing) -> None:
    who = signers(OURS, sign_unchanged=False)
    untracked, tracked = made(mail(), ring, who)
    assert (seen(untracked), seen(tracked)) == ([], VALID)
    untracked, tracked = made(signed_by(mail("{{open_pixel}}"), OURS), ring, who)
    assert seen(untracked) == seen(tracked) == VALID


@pytest.mark.parametrize("subtype", ["signed", "encrypted"])
def test_what_is_never_tracked_is_signed_all_the_same(subtype: str, ring: KeyRing) -> None:
    data = multipart(part("<p>x"), subtype=subtype)
    for copy in made(data, ring, signers(OURS)):
        assert seen(copy) == VALID
        assert copy.content()[-1] is data


# --- trouble ---


def broken(_: bytes) -> bytes:
    raise ValueError("no")


def test_a_key_that_fails_says_so_and_the_plain_copy_is_there(ring: KeyRing) -> None:
    data = signed_by(mail(), OURS)
    rsa, ed25519 = both(OURS)
    untracked, tracked = made(data, ring, Signers(keys={OURS: (rsa, replace(ed25519, sign=broken))}))
    assert untracked.content() == (RECEIVED, data)
    with pytest.raises(NotSignedError):
        tracked.content()
    assert tracked.plain() == (RECEIVED, data)


@pytest.mark.parametrize(
    ("keys", "size", "slow"),
    [
        (both(OURS), 0, True),
        (both(OURS)[1:], 0, False),
        (both(OURS)[1:], 300_000, True),
        ((), 300_000, True),
        ((), 0, False),
    ],
)
def test_what_takes_long_is_made_beside_the_loop(
    keys: tuple[SigningKey, ...], size: int, slow: bool, ring: KeyRing
) -> None:
    who = Signers(keys={OURS: keys} if keys else {})
    assert [copy.is_slow for copy in made(mail("x" * size), ring, who)] == [slow, slow]


# --- any message ---

BODIES = st.lists(
    st.sampled_from(["<p>", " ", "\t", "\r\n", ".", "Grüße", "</body>", "<!--", "{{open_pixel}}",
                     '<a href="https://x.example/?a=b&amp;c">x</a>', "{{tracking_preferences_url}}"]),
    max_size=20,
).map("".join)  # fmt: skip


@given(
    body=BODIES,
    encoding=st.sampled_from(["8bit", "quoted-printable", "quoted-printable-binary", "base64"]),
    header=st.sampled_from(["", "X-Candor-Tag: a\r\n", "Reply-To:\t a \r\n  b\r\n"]),
    came=st.sampled_from([None, OURS, OTHERS]),
)
def test_any_copy_that_leaves_verifies(body: str, encoding: str, header: str, came: str | None) -> None:
    data = message(body, encoding=encoding, header=header)
    if came is not None:
        data = signed_by(data, came)
    for copy in made(data, RING, signers(OURS, remove_foreign=True)):
        found = seen(copy)
        assert all(valid for domain, _, valid in found if domain == OURS)
        assert OURS in [domain for domain, *_ in found]
        assert all(valid for *_, valid in found)


@pytest.mark.corpus
def test_real_mail_that_is_tracked_and_signed_verifies(ring: KeyRing) -> None:
    files = corpus("eml")
    if not files:
        pytest.skip("there is no corpus")
    tracked_ones = 0
    for file in files[:: max(1, len(files) // 200)]:
        data = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
        header = read_header(data)
        domain = next((author_domain(header.raw(one)) for one in header.fields if one.name == "from"), "")
        if not domain or header.fields[0].start:  # no author, or an mbox file's line on top
            continue
        _, copy = made(data, ring, signers(domain, remove_foreign=True))
        if b"https://t.example.com/" in (left := arrived(copy.content())):
            tracked_ones += 1
            assert checked(left) == [Signed(domain, RSA, True), Signed(domain, ED25519, True)], file.name
    assert tracked_ones > 30
