"""DKIM signatures, judged by dkimpy, and their body hash, judged by the standard's words spelt out line by line."""

from __future__ import annotations

import hashlib
import re

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from support.dkim import ED25519, RSA, Signed, arrived, both, checked, ed25519_key, pem, rsa_key
from support.mail import corpus, message, multipart, part

import relay.signing
from relay.mime import read_header
from relay.signing import body_hash, public_record, read_private_key, signature_field, signed_fields

AT = 1_577_836_800
VALID = [Signed("sender.example", RSA, True), Signed("sender.example", ED25519, True)]


def signed(data: bytes, *, valid_for: int = 0) -> bytes:
    """The message as it arrives, signed with both keys behind a line of ours."""
    fields, digest = signed_fields(read_header(data)), body_hash(data)
    return arrived(
        [
            *(
                signature_field(key, fields, digest, at=AT, valid_for=valid_for)
                for key in both("sender.example")
            ),
            b"Received: from here\r\n\tby there\r\n",
            data,
        ]
    )


HEAD = b"From: a@sender.example\r\nTo: b@reader.example\r\nSubject: x\r\n"
MESSAGES = {
    "8bit": message("<p>Grüße\t zu  zweit \r\n"),
    "quoted-printable": message("<p>Grüße " * 30, encoding="quoted-printable"),
    "base64": message("<p>Grüße " * 30, encoding="base64"),
    "multipart": multipart(part("<p>x"), part("y", kind="text/plain", encoding="base64")),
    "long headers": message("x", header=f"References: {' '.join(f'<{n}@x.example>' for n in range(80))}\r\n"),
    "folded": message("x", header="Reply-To: =?utf-8?q?a?=\r\n =?utf-8?q?b?=\r\n\t <c@x.example>\r\n"),
    "blank lines at the end": message("x \r\n \r\n\t\r\n\r\n"),
    "only blank lines": HEAD + b"\r\n\r\n \r\n\r\n",
    "no line end at the end": HEAD + b"\r\nx \t ",
    "no body": HEAD + b"\r\n",
    "no empty line": HEAD,
    "blank at the start": HEAD + b"\r\n  x\r\n",
    "non-ASCII header": "From: Jörg <a@sender.example>\r\nSubject: Grüße\r\n\r\nx\r\n".encode(),
    "odd spacing": b"FROM:a@sender.example\r\nsubject:\t  a \t b  \r\nTo: \r\n \r\n b@x.example\r\n\r\nx\r\n",
    "empty value": b"From: a@sender.example\r\nSubject:\r\nCc: \r\n\r\nx\r\n",
    "fields several times": HEAD + b"To: c@x.example\r\nSubject: y\r\nTo: d@x.example\r\n\r\nx\r\n",
    "dots": HEAD + b"\r\n.\r\n..\r\n",
    "an old signature": b"DKIM-Signature: v=1; a=rsa-sha256; d=old.example; s=r; h=from; bh=x; b=y\r\n" + HEAD + b"\r\nx",
    "many fields": b"".join(b"List-Id: <%d.example>\r\n" % n for n in range(60)) + HEAD + b"\r\nx\r\n",
}  # fmt: skip


@pytest.mark.parametrize("data", MESSAGES.values(), ids=MESSAGES.keys())
def test_what_is_signed_verifies(data: bytes) -> None:
    assert checked(signed(data))[:2] == VALID


def test_a_signature_has_the_fields_people_expect() -> None:
    field = signed(MESSAGES["8bit"]).partition(b"DKIM-Signature: ")[2].partition(b"\r\nDKIM-Signature")[0]
    tags = dkim.util.parse_tag_value(field)
    fixed = {tag: tags[tag] for tag in (b"v", b"a", b"c", b"d", b"s", b"t")}
    assert fixed == {
        b"v": b"1",
        b"a": b"rsa-sha256",
        b"c": b"relaxed/relaxed",
        b"d": b"sender.example",
        b"s": b"r",
        b"t": str(AT).encode(),
    }
    assert not tags.keys() & {b"l", b"x", b"i"}
    assert max(map(len, field.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(("valid_for", "valid"), [(3600, False), (100 * 365 * 86400, True)])
def test_a_signature_ends_when_it_says(valid_for: int, valid: bool) -> None:
    data = signed(MESSAGES["8bit"], valid_for=valid_for)
    assert f"x={AT + valid_for};".encode() in data
    assert [one.is_valid for one in checked(data)] == [valid, valid]


@pytest.mark.parametrize(
    "added", ["From: e@evil.example", "Subject: y", "To: z@x.example", "Cc: z@x.example", "Reply-To: z@x.example",
              "Content-Type: text/plain", "Date: now", "Sender: z@x.example"],
)  # fmt: skip
@pytest.mark.parametrize("on_top", [True, False])
def test_nothing_can_be_added_that_readers_would_see(added: str, on_top: bool) -> None:
    data = signed(message("x", header="Date: then\r\nSender: a@sender.example\r\n"))
    head, _, rest = data.partition(b"\r\n\r\n")
    line = added.encode() + b"\r\n"
    changed = line + data if on_top else head + b"\r\n" + line + b"\r\n" + rest
    assert [one.is_valid for one in checked(changed)] == [False, False]


@pytest.mark.parametrize("added", [b"Received: x", b"X-Spam: no", b"Message-ID: <1@x>", b"Date: now"])
def test_what_mail_systems_add_breaks_nothing(added: bytes) -> None:
    assert checked(added + b"\r\n" + signed(MESSAGES["no body"])) == VALID


def test_changed_content_is_noticed() -> None:
    data = signed(MESSAGES["multipart"])
    for old, new in ((b"<p>x", b"<p>y"), (b"epilogue", b"Epilogue"), (b"a@sender", b"b@sender")):
        assert old in data
        assert [one.is_valid for one in checked(data.replace(old, new))] == [False, False]


# --- the body's canonical form ---


def relaxed(body: bytes) -> bytes:
    """RFC 6376 3.4.4, line by line."""
    lines = body.split(b"\r\n")
    if lines[-1] == b"":
        lines.pop()
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


PIECES = st.sampled_from(
    [b" ", b"\t", b"\r\n", b"\r\n\r\n", b"a", b".", b"\xe4", b"\x0b", b"\r", b"\n", b"a" * 9]
)


@given(body=st.lists(PIECES, max_size=40).map(b"".join), chunk=st.integers(min_value=1, max_value=20))
@example(body=b"\r\n\r\na", chunk=1)
@example(body=b"a\r\r\n\r\n", chunk=3)
def test_the_body_hash_is_that_of_the_relaxed_form(body: bytes, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay.signing, "_CHUNK", chunk)
        assert body_hash(b"A: b\r\n\r\n" + body) == hashlib.sha256(relaxed(body)).digest()


@pytest.mark.parametrize("unit", [b"\r\n", b" ", b" \r\n", b"a  ", b"\t\t", b"a" * 76 + b"\r\n"])
def test_a_large_body_is_hashed_in_one_go_like_a_small_one(unit: bytes) -> None:
    body = b"x\r\n" + unit * (3 * 1024 * 1024 // len(unit))
    assert body_hash(HEAD + b"\r\n" + body) == hashlib.sha256(relaxed(body)).digest()


# --- any message ---

NAMES = st.sampled_from(
    ["Subject", "To", "cc", "REPLY-TO", "Date", "List-Id", "X-Other", "Message-ID", "Received"]
)
VALUES = st.lists(
    st.sampled_from([" ", "\t", "\r\n ", "\r\n\t", "a", ":", ";", "=", "Grüße", "\xa0", '"', "<b@x>", "=?utf-8?q?a?="]),
    max_size=12,
).map("".join)  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
BODIES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"\xe4", b"=20", b"<p>"]), max_size=30)


@given(above=FIELDS, below=FIELDS, body=BODIES.map(b"".join))
def test_any_message_that_is_signed_verifies(
    above: list[tuple[str, str]], below: list[tuple[str, str]], body: bytes
) -> None:
    fields = [*above, ("From", " a@sender.example"), *below]
    head = "".join(f"{name}:{value}\r\n" for name, value in fields).encode()
    assert checked(signed(head + b"\r\n" + body)) == VALID


@pytest.mark.corpus
def test_real_mail_that_is_signed_verifies() -> None:
    files = corpus("eml")
    if not files:
        pytest.skip("there is no corpus")
    for file in files[:: max(1, len(files) // 60)]:
        data = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
        if not read_header(data).malformed:
            assert checked(signed(data))[:2] == VALID, file.name


# --- keys ---


def test_keys_are_read_as_they_are_written() -> None:
    for key in (rsa_key(), ed25519_key()):
        assert public_record(read_private_key(pem(key))) == public_record(key)
    old_form = rsa_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    assert public_record(read_private_key(old_form)) == public_record(rsa_key())


def _encrypted() -> bytes:
    return ed25519_key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )


def _short() -> bytes:
    """One that cannot be made any more, but may still lie somewhere."""
    p, q, e = 2**255 - 19, 2**256 - 189, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    return pem(numbers.private_key())


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (lambda: b"", "no private key in it"),
        (lambda: b"\xff\x00", "no private key in it"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in it"),
        (_encrypted, "encrypted"),
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "neither RSA nor Ed25519"),
        (_short, "511 bits; expected at least 1024"),
    ],
)
def test_what_is_no_key_to_sign_with_is_refused_in_words(octets: object, said: str) -> None:
    assert callable(octets)
    with pytest.raises(ValueError, match=said):
        read_private_key(octets())


def test_the_public_record_is_what_the_standards_say() -> None:
    assert re.fullmatch(r"v=DKIM1; k=rsa; p=MII[A-Za-z0-9+/]+=*", public_record(rsa_key()))
    assert re.fullmatch(r"v=DKIM1; k=ed25519; p=[A-Za-z0-9+/]{43}=", public_record(ed25519_key()))
