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
        mark = f"{self.enhanced} " if self.detail and self.enhanced else ""
        if self.text.isprintable():  # so that no line ends in it
            return f"{self.code} {mark}{self.text}"
        lines = self.text.splitlines() or [""]
        last = len(lines) - 1
        return "\r\n".join(
            f"{self.code}{' ' if n == last else '-'}{mark}{line}" for n, line in enumerate(lines)
        )


# --- the session ---


def greeting(hostname: str) -> Reply:
    """No enhanced code: RFC 2034 4 leaves the greeting and the answer to EHLO without."""
    return Reply(code=220, detail="", text=f"{hostname} ESMTP Candor")


def hello(hostname: str, extensions: tuple[str, ...] = ()) -> Reply:
    """The answer to HELO (no extensions) and EHLO (RFC 5321 4.1.1.1)."""
    return Reply(code=250, detail="", text="\n".join((hostname, *extensions)))


OK = Reply(code=250, detail="0.0", text="Ok")
GOODBYE = Reply(code=221, detail="0.0", text="Bye")
HELP = Reply(
    code=214,
    detail="0.0",
    text="Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP QUIT VRFY HELP STARTTLS AUTH",
)
CANNOT_VERIFY = Reply(code=252, detail="0.0", text="Cannot verify, but will take mail and try to deliver it")

UNKNOWN_COMMAND = Reply(code=500, detail="5.1", text="Command not recognized")
NOT_IMPLEMENTED = Reply(code=502, detail="5.1", text="Command not implemented")
LINE_TOO_LONG = Reply(code=500, detail="5.2", text="Command line too long")
BARE_NEWLINE_IN_COMMAND = Reply(code=500, detail="5.2", text="Commands end with <CR><LF>")
BAD_CHARACTERS = Reply(code=501, detail="5.2", text="Control characters, or bytes that are not UTF-8")
NO_ARGUMENT_ALLOWED = Reply(code=501, detail="5.4", text="This command takes no argument")
HELLO_SYNTAX = Reply(code=501, detail="5.4", text="Syntax: EHLO or HELO, then a host name or address literal")
HELLO_FIRST = Reply(code=503, detail="5.1", text="Send EHLO or HELO first")

SHUTTING_DOWN = Reply(code=421, detail="3.2", text="Shutting down, try again later")
TIMED_OUT = Reply(code=421, detail="4.2", text="Too slow, closing the connection")
TOO_MANY_ERRORS = Reply(code=421, detail="7.0", text="Too many errors, closing the connection")
TOO_MANY_JUNK_COMMANDS = Reply(
    code=421, detail="7.0", text="Too many commands without a message, closing the connection"
)
TOO_MANY_CONNECTIONS = Reply(code=421, detail="7.0", text="Too many connections, try again later")
TOO_MANY_CONNECTIONS_FROM_CLIENT = Reply(
    code=421, detail="7.0", text="Too many connections from your address, try again later"
)
NOT_HTTP = Reply(code=421, detail="7.0", text="This is a mail server, closing the connection")
NOT_PROXY = Reply(code=421, detail="7.0", text="No PROXY header is expected from your address")

# --- TLS and AUTH (RFC 3207, RFC 4954) ---

READY_FOR_TLS = Reply(code=220, detail="0.0", text="Ready to start TLS")
TLS_UNAVAILABLE = Reply(code=502, detail="5.1", text="STARTTLS is not offered here")
TLS_ACTIVE = Reply(code=503, detail="5.1", text="TLS is already active")

AUTHENTICATED = Reply(code=235, detail="7.0", text="Authentication successful")
BAD_CREDENTIALS = Reply(code=535, detail="7.8", text="Authentication credentials invalid")
TOO_MANY_FAILED_LOGINS = Reply(code=421, detail="7.0", text="Too many failed logins, closing the connection")
AUTH_NEEDS_TLS = Reply(code=538, detail="7.11", text="Encryption required for authentication")
AUTH_UNAVAILABLE = Reply(code=502, detail="5.1", text="AUTH is not offered here")
AUTH_OUT_OF_ORDER = Reply(code=503, detail="5.1", text="Already authenticated, or a mail transaction is open")
AUTH_SYNTAX = Reply(code=501, detail="5.4", text="Syntax: AUTH mechanism, and perhaps an initial response")
AUTH_MECHANISM_UNKNOWN = Reply(code=504, detail="5.4", text="Authentication mechanism not supported")
AUTH_CANCELLED = Reply(code=501, detail="7.0", text="Authentication cancelled")
AUTH_MALFORMED = Reply(code=501, detail="5.2", text="Malformed authentication data")
AUTH_LINE_TOO_LONG = Reply(code=500, detail="5.6", text="Authentication exchange line is too long")
AUTH_TEMPORARY = Reply(code=454, detail="7.0", text="Temporary authentication failure")

AUTH_REQUIRED = Reply(code=530, detail="7.0", text="Authentication required")
TLS_REQUIRED = Reply(code=530, detail="7.0", text="Must issue a STARTTLS command first")
SENDER_NOT_YOURS = Reply(code=550, detail="7.1", text="You may not send in the name of this sender address")
CLIENT_NOT_PERMITTED = Reply(code=550, detail="7.1", text="This server takes no mail from your address")


def rate_exceeded(amount: int, counted: str, seconds: int) -> Reply:
    """`counted` is what the rate counts, in the plural."""
    return Reply(
        code=450, detail="7.1", text=f"Limit of {amount} {counted} in {seconds} s reached, try again later"
    )


def challenge(text: str) -> Reply:
    """`text` is base64 or empty; the space after 334 stays even then (RFC 4954 4)."""
    return Reply(code=334, detail="", text=text)


# --- the envelope ---

SENDER_OK = Reply(code=250, detail="1.0", text="Ok")
RECIPIENT_OK = Reply(code=250, detail="1.5", text="Ok")
MAIL_SYNTAX = Reply(code=501, detail="5.4", text="Syntax: MAIL FROM:<address> and parameters")
RCPT_SYNTAX = Reply(code=501, detail="5.4", text="Syntax: RCPT TO:<address> and parameters")
BAD_SENDER = Reply(code=501, detail="1.7", text="Malformed sender address")
BAD_RECIPIENT = Reply(code=501, detail="1.3", text="Malformed recipient address")
SMTPUTF8_NOT_DECLARED = Reply(code=553, detail="6.7", text="A non-ASCII address needs MAIL with SMTPUTF8")
PARAMETER_SYNTAX = Reply(code=501, detail="5.4", text="Malformed parameter")
UNKNOWN_PARAMETER = Reply(code=555, detail="5.4", text="Parameter not recognized or not implemented")
NESTED_MAIL = Reply(code=503, detail="5.1", text="A mail transaction is already open")
MAIL_FIRST = Reply(code=503, detail="5.1", text="Send MAIL first")
NO_RECIPIENTS = Reply(code=554, detail="5.1", text="No valid recipients")
TOO_MANY_RECIPIENTS = Reply(code=452, detail="5.3", text="Too many recipients, send the rest separately")
NO_ROOM = Reply(code=452, detail="3.1", text="No room for this message at the moment, try again later")
DISK_NEARLY_FULL = Reply(code=452, detail="3.1", text="Not enough disk space, try again later")


def bad_parameter(name: str) -> Reply:
    """`name` is one of the parameters we know, never what the client wrote."""
    return Reply(code=501, detail="5.4", text=f"Malformed or repeated parameter {name}")


NO_SUCH_MAILBOX = Reply(code=550, detail="1.1", text="No such mailbox here")

# --- the message ---

CHUNK_SYNTAX = Reply(code=421, detail="5.4", text="Syntax: BDAT size [LAST]; closing the connection")
CHUNKS_BEGUN = Reply(code=503, detail="5.1", text="The message is being sent in chunks")
SEND_DATA = Reply(code=354, detail="", text="End data with <CR><LF>.<CR><LF>")
MESSAGE_TOO_BIG = Reply(code=552, detail="3.4", text="Message size exceeds the maximum")
HEADER_TOO_BIG = Reply(code=552, detail="3.4", text="Message header size exceeds the maximum")
DISGUISED_END = Reply(code=550, detail="5.2", text="Message with NUL octets around a lone dot")
BARE_NEWLINE = Reply(
    code=550, detail="5.2", text="Message contains a bare <CR> or <LF>; lines end with <CR><LF>"
)


def chunk_received(size: int) -> Reply:
    return Reply(code=250, detail="0.0", text=f"{size} octets received")


def accepted(submission_id: str) -> Reply:
    return Reply(code=250, detail="0.0", text=f"Ok: queued as {submission_id}")


def suppressed(why: str) -> Reply:
    """`why` names a reason and a day, no address."""
    return Reply(code=250, detail="0.0", text=f"Ok: not sent, suppressed: {why}")


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
    text="X-Candor-Override is not permitted here: it needs a listed user or network and a confirmed "
    "lawful basis",
)

MAIL_LOOP = Reply(code=554, detail="4.6", text="Too many Received: lines, the message is going in circles")


# --- upstream ---
# Where it said nothing, or something that no client must take for its final word.

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
EXPIRED = Reply(code=554, detail="4.7", text="Not delivered in time, and the last try came to no end")
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
