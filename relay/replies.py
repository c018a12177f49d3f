"""Every SMTP reply we speak, in one place.

A `Reply` holds the enhanced code without its class digit (RFC 3463): the digit is the code's first, so the
two can never disagree. Texts are shown to clients: no internals, no addresses.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply. `detail` is `"1.3"` for x.1.3, or `""` for replies that carry none (RFC 2034 4)."""

    code: int
    detail: str
    text: str

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"an SMTP reply code lies between 200 and 599, not {self.code}")

    @property
    def enhanced(self) -> str:
        """`"5.1.3"`; `""` where the reply has none or its class has none (3xx)."""
        digit = self.code // 100
        return f"{digit}.{self.detail}" if self.detail and digit in (2, 4, 5) else ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_temporary(self) -> bool:
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500

    def __str__(self) -> str:
        """As it goes on the wire, without CRLF; every line of a multi-line text carries code and enhanced
        code (RFC 5321 4.2.1, RFC 2034 4)."""
        lines = self.text.splitlines() or [""]
        mark = f"{self.enhanced} " if self.enhanced else ""
        last = len(lines) - 1
        return "\r\n".join(
            f"{self.code}{' ' if n == last else '-'}{mark}{line}" for n, line in enumerate(lines)
        )


def accepted(submission_id: str) -> Reply:
    return Reply(code=250, detail="0.0", text=f"Ok: queued as {submission_id}")


def unexpected(submission_id: str) -> Reply:
    """An error of ours (DELIVERY: never a 500, which the client would take for final)."""
    return Reply(code=451, detail="3.0", text=f"Local error, try again later ({submission_id})")


def store_unavailable(submission_id: str) -> Reply:
    return Reply(
        code=451, detail="3.0", text=f"Cannot keep mail at the moment, try again later ({submission_id})"
    )


def put_off(submission_id: str) -> Reply:
    return Reply(code=451, detail="4.0", text=f"Not delivered yet, try again later ({submission_id})")


OVERRIDE_REFUSED = Reply(
    code=550,
    detail="7.1",
    text="X-Candor-Override is not permitted here: it needs a listed user or network and a confirmed lawful basis",
)


# Of upstream: where it said nothing, or something that no client must take for its final word.

UPSTREAM_UNREACHABLE = Reply(code=451, detail="4.1", text="Cannot connect to upstream")
UPSTREAM_SILENT = Reply(code=451, detail="4.2", text="Upstream did not answer in time")
UPSTREAM_DROPPED = Reply(code=451, detail="4.2", text="Upstream dropped the connection")
UPSTREAM_GARBLED = Reply(code=451, detail="5.0", text="Upstream's answer was not SMTP")
UPSTREAM_WITHOUT_TLS = Reply(
    code=451, detail="7.4", text="Upstream does not offer the TLS that is required of it"
)
UPSTREAM_UNVERIFIED = Reply(code=451, detail="7.5", text="Upstream's certificate could not be verified")
UPSTREAM_TLS_FAILED = Reply(code=451, detail="7.5", text="TLS with upstream failed")
UPSTREAM_NO_LOGIN = Reply(code=451, detail="7.0", text="Upstream offers no way to log in that we would use")
UPSTREAM_CLOSING = Reply(code=451, detail="3.2", text="Shutting down before upstream had answered")
UPSTREAM_ERROR = Reply(code=451, detail="3.0", text="Local error while speaking to upstream")
NOT_UNANIMOUS = Reply(code=451, detail="5.0", text="Not sent: upstream would not take all recipients alike")
NOT_KEPT = Reply(code=451, detail="3.0", text="Cannot write to the capture directory")
CAPTURED = Reply(code=250, detail="0.0", text="Captured, not sent")
NEEDS_SMTPUTF8 = Reply(code=553, detail="6.7", text="Upstream takes no internationalized addresses")
UNSPEAKABLE = Reply(code=553, detail="1.3", text="The address holds characters that no command may carry")


def too_big_for_upstream(limit: int) -> Reply:
    return Reply(code=552, detail="3.4", text=f"Upstream takes messages of up to {limit} octets")


def softened(reply: Reply, because: str = "Upstream said") -> Reply:
    """`reply` as the words of a temporary failure, for a refusal that says nothing about the mail itself."""
    words = " ".join(f"{reply.code} {reply.enhanced} {reply.text}".split())
    return Reply(code=451, detail="4.0", text=f"{because}: {words}")
