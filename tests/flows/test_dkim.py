"""Mail through the real relay to a real upstream, and a receiver who checks what was signed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.commands import call
from support.dkim import ED25519, RSA, Signed, checked, rsa_key
from support.people import DENIED, GRANTED, UNKNOWN, Copy, newsletter, rows, send, tell, with_page
from support.sites import Site, running, site
from support.upstream import ScriptedUpstream

import relay.signers
from relay.mime import read_header
from relay.signing import (
    PrivateKey,
    body_hash,
    read_private_key,
    signature_field,
    signed_fields,
    signing_key,
)
from tracker.consent import Consent
from tracker.domain import Domain
from tracker.store.schema import deliveries

OURS = "sender.example"
VALID = [Signed(OURS, RSA, True), Signed(OURS, ED25519, True)]
PEOPLE = (GRANTED, DENIED, UNKNOWN)


class Post:
    """A running Candor, and the DNS of the domain whose keys it holds."""

    def __init__(self, where: Site, domain: Domain, upstream: ScriptedUpstream) -> None:
        self.site, self.domain, self._upstream = where, domain, upstream
        shown = call("dkim", "show", "--json", "--config", where.config_file)
        self._dns = {f"{one['name']}.": one["value"] for one in shown.json}

    async def send(self, data: bytes) -> dict[str, bytes]:
        """What each of them got."""
        self._upstream.received.clear()
        code, text = await send(self.site.smtp_port, data, *PEOPLE)
        assert code == 250, text
        return {address: one.data for one in self._upstream.received for address in one.addresses}

    def checked(self, copy: bytes) -> list[Signed]:
        return checked(copy, self._dns)

    def signed(self, data: bytes) -> bytes:
        """The mail as a mail system that has our RSA key would send it."""
        return signed_by(data, OURS, read_private_key((self.site.folder / "r.pem").read_bytes()))


def signed_by(data: bytes, domain: str, key: PrivateKey) -> bytes:
    fields, digest = signed_fields(read_header(data)), body_hash(data)
    return signature_field(signing_key(domain, "r", key), fields, digest, at=0) + data


@asynccontextmanager
async def signing(folder: Path, store_url: str, **options: Any) -> AsyncIterator[Post]:
    """Candor with two keys of the sender's, made by its own command; only one person agreed to be tracked."""
    keys = []
    for selector, *more in (("r",), ("e", "--ed25519")):
        file = folder / f"{selector}.pem"
        made = call("dkim", "generate", "--domain", OURS, "--selector", selector, "--file", file, *more)
        assert made.code == 0, made.err
        keys.append({"domain": OURS, "selector": selector, "private_key": str(file)})
    async with ScriptedUpstream() as upstream:
        where = site(
            folder, store_url, upstream.url, dkim={"key": keys} | options, consent={"unknown": "deny"}
        )
        async with running(where) as domain:
            await tell(domain, GRANTED, Consent.GRANTED)
            await tell(domain, DENIED, Consent.DENIED)
            yield Post(where, domain, upstream)


MAILS = {
    "8bit": newsletter(),
    "quoted-printable": newsletter("quoted-printable", header="X-Candor-Tag: a\r\n"),
    "base64": newsletter("base64"),
    "a page of one's own": with_page(),
    "dots and no line end": b"From: a@sender.example\r\n\r\n.dot\r\n..\r\n x \r\n \r\n.",
    "large": newsletter() + b"An epilogue  of\tblanks \r\n" * 20_000,
}


async def test_every_copy_is_signed_after_it_was_made(store_url: str, tmp_path: Path) -> None:
    async with signing(tmp_path, store_url) as post:
        for kind, data in MAILS.items():
            got = await post.send(data)
            assert {name: post.checked(copy) for name, copy in got.items()} == dict.fromkeys(PEOPLE, VALID), (
                kind
            )
            is_tracked = "/c/" in Copy(data=got[GRANTED]).html
            assert is_tracked == (kind != "dots and no line end"), kind
        got = await post.send(newsletter())
        assert got[DENIED] == got[UNKNOWN]
        assert got[DENIED].startswith(b"DKIM-Signature: ")
        assert got[DENIED].endswith(b"+0000\r\n" + newsletter())


async def test_a_signature_of_ours_is_replaced_where_the_change_breaks_it(
    store_url: str, tmp_path: Path
) -> None:
    async with signing(tmp_path, store_url) as post:
        data = post.signed(newsletter())
        got = await post.send(data)
        assert got[DENIED].endswith(b"+0000\r\n" + data)
        assert post.checked(got[DENIED]) == VALID[:1]
        assert post.checked(got[GRANTED]) == VALID
        assert b"/c/" in got[GRANTED]


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "DKIM": lambda data: signed_by(data, "esp.example", rsa_key()),
    "ARC": lambda data: b"ARC-Seal: i=1; d=esp.example\r\n" + data,
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_what_others_signed_is_not_touched(kind: str, store_url: str, tmp_path: Path) -> None:
    async with signing(tmp_path, store_url) as post:
        data = FOREIGN[kind](newsletter())
        for copy in (await post.send(data)).values():
            assert copy.endswith(b"+0000\r\n" + data)
            assert post.checked(copy)[:2] == VALID
        reasons = {row["recipient"]: row["reason"] for row in await rows(post.domain, deliveries)}
        assert reasons[GRANTED] == "signed-dkim"


@pytest.mark.parametrize("kind", FOREIGN)
async def test_what_others_signed_loses_its_dead_signatures_if_so_configured(
    kind: str, store_url: str, tmp_path: Path
) -> None:
    async with signing(tmp_path, store_url, foreign_signatures="remove") as post:
        data = FOREIGN[kind](newsletter())
        got = await post.send(data)
        assert got[DENIED].endswith(b"+0000\r\n" + data)
        assert (b"/c/" in got[GRANTED], b"esp.example" in got[GRANTED]) == (True, False)
        assert post.checked(got[GRANTED]) == VALID


async def test_mail_goes_as_it_came_and_on_record_where_signing_fails(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> bytes:
        raise ValueError("a secret")

    async with signing(tmp_path, store_url) as post:
        monkeypatch.setattr(relay.signers, "signature_field", broken)
        with capture_logs() as said:
            got = await post.send(newsletter())
        assert all(copy.endswith(b"+0000\r\n" + newsletter()) for copy in got.values())
        assert [post.checked(copy) for copy in got.values()] == [[]] * 3
        found = {
            row["recipient"]: (row["mode"], row["status"]) for row in await rows(post.domain, deliveries)
        }
        assert found == dict.fromkeys(PEOPLE, ("untracked", "accepted"))
        failed = [line for line in said if line["event"] == "sent-not-signed"]
        assert {(line["error"], line["log_level"]) for line in failed} == {("ValueError", "error")}
        assert "a secret" not in str(said)
