"""What a DKIM signature costs, by size of the message and by key. Run by `make bench`; judges nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from newsletter import newsletter

from relay.mime import read_header
from relay.signers import Signers
from relay.signing import body_hash, signed_fields, signing_key

DOMAIN = "shop.example"


def each(work: Callable[[], object], seconds: float = 0.5) -> float:
    """Microseconds of one call: the best of several rounds, since others use the machine too."""
    best, ends_at = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


def main() -> None:
    letter = newsletter("a reader")
    large = letter + (b"QUJD" * 19 + b"\r\n") * ((25_000_000 - len(letter)) // 78)
    for name, data in ((f"{len(letter) // 1000} KB", letter), ("25 MB", large)):
        header = read_header(data)
        print(f"{name}: header {each(lambda h=header: signed_fields(h)):.0f} µs", end="")
        print(f", canonical body and its hash {each(lambda d=data: body_hash(d)):,.0f} µs", end="")
        print(f" (SHA-256 alone {each(lambda d=data: hashlib.sha256(d).digest()):,.0f} µs)")
    keys = {
        "RSA-2048": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "RSA-1024": rsa.generate_private_key(public_exponent=65537, key_size=1024),
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, key in keys.items():
        signers = Signers(keys={DOMAIN: (signing_key(DOMAIN, "s", key),)})
        found = signers.examine(read_header(letter), is_signed=False)
        assert found.changed.keys
        cost = each(lambda found=found: found.of(found.changed, letter, at=0))
        print(
            f"{name}: signing a copy of the newsletter {cost:.0f} µs, {1e6 / cost:,.0f} a second on one core"
        )


if __name__ == "__main__":
    main()
