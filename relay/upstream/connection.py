"""One open connection upstream: reached, greeted, encrypted and logged in as the settings demand.

All of that is aiosmtplib's work; what follows is the wire's. A password goes out only over TLS (or where the
settings permit otherwise), and what was demanded and is missing never turns into a bounce: every failure here
is a UpstreamError, a temporary one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiosmtplib
import structlog
from aiosmtplib import SMTP

from relay import log, replies
from relay.replies import Reply
from relay.upstream.answers import put_off, reply_from
from relay.upstream.negotiation import Offer, read_offer
from relay.upstream.settings import Scheme, Tls, UpstreamSettings
from relay.upstream.wire import UpstreamError, Wire, take_over

LOG: Final[log.Log] = structlog.get_logger("relay.upstream")

UNKNOWN_MECHANISM: Final = frozenset({500, 501, 502, 504, 534})
"""Announced and yet refused as such: another mechanism may do (RFC 4954 6)."""


@dataclass(slots=True, eq=False)
class Connection:
    """What the pool keeps. `messages` have gone over it so far; `since` is the loop's time."""

    host: str
    """`host:port`, as it is kept with each attempt."""
    wire: Wire
    offer: Offer
    tls: str | None
    since: float
    messages: int = 0


def tls_context(settings: UpstreamSettings) -> ssl.SSLContext:
    """Reads certificates from disk. ValueError when one cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.mode is not Tls.VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if settings.ca_file:
            context.load_verify_locations(cafile=settings.ca_file)
        elif context.verify_mode is ssl.CERT_REQUIRED:
            context.load_default_certs()
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate, settings.client_key)
    except OSError as error:  # SSLError is one
        raise ValueError(f"cannot read a certificate for {settings.name}: {error}") from error
    return context


async def open_connection(settings: UpstreamSettings, context: ssl.SSLContext) -> Connection:
    """A connection ready for MAIL. Raises UpstreamError."""
    try:
        return await _open(settings, context)
    except _HandshakeError as failure:
        # Opportunistic TLS is no promise: whoever can break the handshake could have hidden STARTTLS too, and
        # a broken one must not hold the mail forever (RFC 7435 3). Never with a password.
        log.upstream_spoken_to_in_clear(LOG, host=settings.name, problem=str(failure))
        return await _open(settings, None)


async def _open(settings: UpstreamSettings, context: ssl.SSLContext | None) -> Connection:
    implicit = settings.scheme is Scheme.SMTPS
    client = SMTP(
        hostname=settings.host,
        port=settings.port,
        local_hostname="localhost",  # said nowhere: EHLO is given its name below
        timeout=settings.command_timeout,
        use_tls=implicit,
        start_tls=False,
        tls_context=context if implicit else None,
    )
    try:
        await client.connect(timeout=settings.connect_timeout)
        await _greet(client, settings)
        if not implicit and context is not None and settings.mode is not Tls.NONE:
            await _start_tls(client, settings, context)
        if settings.user is not None:
            await _log_in(client, settings)
        return _hand_over(client, settings)
    except BaseException as error:
        client.close()
        if isinstance(error, (aiosmtplib.SMTPException, OSError, ValueError)):
            raise _trouble(error, settings) from error
        raise


def _hand_over(client: SMTP, settings: UpstreamSettings) -> Connection:
    if not client.is_connected or client.transport is None:
        raise UpstreamError(replies.UPSTREAM_DROPPED, gone=True)
    ssl_object = client.get_transport_info("ssl_object")
    return Connection(
        host=settings.name,
        wire=take_over(client.transport),
        offer=read_offer(client.esmtp_extensions),
        tls=None if ssl_object is None else ssl_object.version(),
        since=asyncio.get_running_loop().time(),
    )


async def _greet(client: SMTP, settings: UpstreamSettings) -> None:
    name = settings.hostname or _own_name(client)
    try:
        await client.ehlo(hostname=name)
    except aiosmtplib.SMTPHeloError as error:
        if error.code < 500 or not client.is_connected:
            raise
        await client.helo(hostname=name)  # RFC 5321 3.2: a server of before 1995


async def _start_tls(client: SMTP, settings: UpstreamSettings, context: ssl.SSLContext) -> None:
    demanded = settings.mode.is_demanded
    if not client.supports_extension("starttls"):
        if demanded:
            log.upstream_without_tls(LOG, host=settings.name)
            raise UpstreamError(replies.UPSTREAM_WITHOUT_TLS)
        return
    try:
        await client.starttls(tls_context=context, server_hostname=settings.host)
    except aiosmtplib.SMTPResponseException:
        if demanded or not client.is_connected:
            raise
        return  # offered and then refused (RFC 3207 4: 454): still in clear, still in step
    except (OSError, ValueError, aiosmtplib.SMTPException) as error:
        if demanded or settings.user is not None:
            raise
        raise _HandshakeError(str(error)) from error
    await _greet(client, settings)


async def _log_in(client: SMTP, settings: UpstreamSettings) -> None:
    encrypted = client.get_transport_info("sslcontext") is not None
    offered = set(client.server_auth_methods) if settings.may_send_password(tls=encrypted) else set()
    user, password = settings.user or "", settings.password or ""
    # One mechanism, one try: each refused login brings us nearer to being locked out.
    for name, mechanism in (
        ("plain", client.auth_plain),
        ("login", client.auth_login),
        ("cram-md5", client.auth_crammd5),
    ):
        if name not in offered:
            continue
        try:
            await mechanism(user, password)
        except aiosmtplib.SMTPAuthenticationError as error:
            if error.code not in UNKNOWN_MECHANISM or not client.is_connected:
                raise
        else:
            return
    log.upstream_offers_no_login(LOG, host=settings.name, tls=encrypted)
    raise UpstreamError(replies.UPSTREAM_NO_LOGIN)


def _own_name(client: SMTP) -> str:
    """A name with a dot, or the address we speak from (RFC 5321 4.1.4). Asks no name server."""
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    address = ipaddress.ip_address(str(client.get_transport_info("sockname")[0]).partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


class _HandshakeError(Exception):
    """The handshake failed where TLS was not demanded."""


def _trouble(error: Exception, settings: UpstreamSettings) -> UpstreamError:
    """What went wrong on the way, told apart once and for all."""
    reason = error.__cause__ if isinstance(error, aiosmtplib.SMTPConnectError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        log.upstream_not_verified(LOG, host=settings.name, problem=reason.verify_message)
        return UpstreamError(replies.UPSTREAM_UNVERIFIED)
    if isinstance(reason, ssl.SSLError):
        log.upstream_tls_failed(LOG, host=settings.name, problem=reason.reason or "")
        return UpstreamError(replies.UPSTREAM_TLS_FAILED)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        reply = _spoken(error)
        if isinstance(error, aiosmtplib.SMTPAuthenticationError):
            log.upstream_refused_login(LOG, host=settings.name, reply=reply)
            return UpstreamError(put_off(reply).reply)
        return UpstreamError(
            put_off(reply).reply, busy=reply.is_temporary and reply != replies.UPSTREAM_GARBLED
        )
    if isinstance(error, aiosmtplib.SMTPConnectError):
        return UpstreamError(replies.UPSTREAM_UNREACHABLE)
    if isinstance(error, TimeoutError):
        return UpstreamError(replies.UPSTREAM_SILENT)
    if isinstance(error, ConnectionError):
        return UpstreamError(replies.UPSTREAM_DROPPED)
    log.upstream_failed(LOG, host=settings.name, error=error)
    return UpstreamError(replies.UPSTREAM_ERROR)


def _spoken(error: aiosmtplib.SMTPResponseException) -> Reply:
    try:
        return reply_from(error.code, error.message.split("\n"))
    except ValueError:  # aiosmtplib's -1 for what it could not parse, or a number that is no code
        return replies.UPSTREAM_GARBLED
