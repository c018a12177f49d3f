"""One look at a tracking host, as a mail program would meet it: its name, its certificate, and what it answers to a
link and a pixel of our own making, which are sealed as any other and recorded nowhere."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import SplitResult, urlsplit

from tracker.config import parse_listen
from tracker.consent import Mode
from tracker.store.hosts import Examined
from tracker.tokens import ID_OCTETS, KeyRing, Kind, Token, seal

DESTINATION = "https://probe.invalid/a%2Fb/../c?x=%20y+z&&=&q=%C3%A9#f/%41'"
"""Where the probe's link leads (RFC 2606 2): what a proxy that improves URLs would change."""
_MOST = 64 * 1024
_GIF = b"GIF89a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How the host is reached."""

    via: str = ""
    """`host:port` to connect to instead, where this network cannot reach itself by its public name."""
    ca_file: str = ""
    """PEM; trusted instead of the system's authorities."""
    within: float = 10.0
    """Seconds for each step."""


class _Trouble(Exception):
    """What is wrong, in words for the operator."""


def examine(public_url: str, ring: KeyRing, way: Way) -> Examined:
    """Asks for a link and a pixel. Blocks; never raises for what the network or the host does."""
    parts = urlsplit(public_url)
    until: datetime | None = None
    try:
        for kind in (Kind.CLICK, Kind.OPEN):
            connection, expires = _connect(parts, way)
            until = until or expires
            try:
                _ask(connection, parts.path, kind, ring)
            finally:
                connection.close()
    except _Trouble as trouble:
        return Examined(problem=str(trouble), certificate_until=until)
    return Examined(certificate_until=until)


def _connect(parts: SplitResult, way: Way) -> tuple[http.client.HTTPConnection, datetime | None]:
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    to = parse_listen(way.via) if way.via else (host, port)
    where = way.via or f"{host}:{port}"
    try:
        link = socket.create_connection(to, timeout=way.within)
    except socket.gaierror as error:
        raise _Trouble(f"DNS knows no address of {to[0]} ({error.strerror})") from None
    except TimeoutError:
        raise _Trouble(f"no connection to {where} within {way.within:g} s") from None
    except OSError as error:
        raise _Trouble(f"no connection to {where}: {(error.strerror or str(error)).lower()}") from None
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection, until = kind(host, port, timeout=way.within), None
    if secure:
        link, until = _secured(link, host, where, way)
    connection.sock = link
    return connection, until


def _secured(link: socket.socket, host: str, where: str, way: Way) -> tuple[ssl.SSLSocket, datetime | None]:
    try:
        context = ssl.create_default_context(cafile=way.ca_file or None)
        secured = context.wrap_socket(link, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        link.close()
        raise _Trouble(
            f"the certificate at {where} does not hold for {host}: {error.verify_message}"
        ) from None
    except (OSError, ValueError) as error:
        link.close()
        raise _Trouble(f"no TLS with {where}: {getattr(error, 'reason', None) or error}") from None
    ends = (secured.getpeercert() or {}).get("notAfter")
    return secured, datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if isinstance(
        ends, str
    ) else None


def _ask(connection: http.client.HTTPConnection, path: str, kind: Kind, ring: KeyRing) -> None:
    token = Token(
        kind=kind,
        mode=Mode.UNTRACKED,
        subject=secrets.token_bytes(ID_OCTETS),
        sent_at=datetime.now(UTC),
        destination=DESTINATION if kind is Kind.CLICK else "",
    )
    word = seal(token, ring)
    asked = f"{path}/c/{word}" if kind is Kind.CLICK else f"{path}/o/{word}.gif"
    what = "a link" if kind is Kind.CLICK else "a pixel"
    try:
        connection.request("GET", asked, headers={"User-Agent": "candor-probe", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(_MOST)
    except TimeoutError:
        raise _Trouble(f"no answer to {what} in time") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Trouble(f"no answer to {what}: {type(error).__name__}") from None
    expected = 302 if kind is Kind.CLICK else 200
    if answer.status != expected:
        hint = "; does it have this key ring?" if answer.status == 404 else ""
        raise _Trouble(f"the answer to {what} is {answer.status}, not {expected}{hint}")
    if kind is Kind.CLICK and answer.getheader("Location") != DESTINATION:
        raise _Trouble("a link leads elsewhere than it says: something in between changes redirects")
    if kind is Kind.OPEN and not body.startswith(_GIF):
        raise _Trouble("the answer to a pixel is no GIF: something else answers there")
