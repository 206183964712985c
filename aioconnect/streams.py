"""``open_connection`` and ``create_connection``: asyncio's two, over our way of connecting.

They keep asyncio's keywords and positions, so that a program changes one import.  The socket is
connected here and handed over with ``sock=``; the transport, its buffers and its TLS are the
loop's own.  What differs from asyncio is one table in the README.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import TYPE_CHECKING, Any

from . import causes, engine, errors, signatures
from .checks import take_proxy
from .chosen import DEFAULTS, reached, with_options
from .keywords import KEYWORDS
from .poller import of
from .targets import Target, parse_all
from .text import safe
from .transports import end_connection, own_create_connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeVar, Unpack

    from .call import Call
    from .late import Late
    from .options import Options
    from .stages import StageSpec
    from .targets import TargetLike
    from .typed import ConnectionOptions, StreamOptions

    ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

__all__ = ["create_connection", "judge_peer", "open_connection"]


@signatures.open_connection
async def open_connection(
    host: TargetLike | Sequence[TargetLike] | None = None,
    port: int | str | None = None,
    **keywords: Unpack[StreamOptions],
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, and return a stream reader and a stream writer.

    Args:
        host: as asyncio has it: a name or an address with ``port`` beside it, None for the
            loopback addresses; or, without ``port``, any target that ``connect`` takes.
        port: 1 to 65535, the same as ASCII digits, or the name of a TCP service.

    Options:
        ssl: a context for TLS, True for the default one, None for no TLS.  Default None.
        server_hostname: the name that the certificate must have, also sent as SNI.  None is the
            host of the target that won; with ``sock`` or a Unix socket there is none.  Default
            None.
        ssl_handshake_timeout: seconds for the TLS handshake alone, within ``attempt_timeout`` and
            ``timeout``.  None is no limit of its own.  Default None.
        ssl_shutdown_timeout: seconds for the end of TLS when the transport is closed.  None is
            asyncio's 30.  Default None.
        sock: a connected stream socket, which is taken over; then without host and port.  Default
            None.
        proto: 0 or ``IPPROTO_TCP``, which are the same.  Default 0.
        flags: ``AI_*`` flags for ``getaddrinfo``; not used with a ``resolver`` or without a name.
            Default 0.
        all_errors: True gives the error a group as ``__cause__`` also when only one attempt failed.
            Default False.
        limit: bytes that the stream reader buffers before it stops reading; ``open_connection``
            only.  Default 65536.
        timeout: seconds for the whole call: names, attempts, back-off and TLS (default 30).
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    Returns:
        ``(reader, writer)``; the caller closes the writer.

    Raises:
        ConnectError, ValueError, TypeError: as :func:`create_connection`.

    Source: ``asyncio.open_connection``.
    """
    return await open_with(DEFAULTS, host, port, keywords)


@signatures.create_connection
async def create_connection(
    protocol_factory: Callable[[], ProtocolT],
    host: TargetLike | Sequence[TargetLike] | None = None,
    port: int | str | None = None,
    **keywords: Unpack[ConnectionOptions],
) -> tuple[asyncio.Transport, ProtocolT]:
    """Connect, and return a transport and a protocol.

    Args:
        protocol_factory: called without arguments; returns an asyncio protocol.
        host: as for :func:`open_connection`.
        port: as for :func:`open_connection`.

    Options:
        ssl: a context for TLS, True for the default one, None for no TLS.  Default None.
        server_hostname: the name that the certificate must have, also sent as SNI.  None is the
            host of the target that won; with ``sock`` or a Unix socket there is none.  Default
            None.
        ssl_handshake_timeout: seconds for the TLS handshake alone, within ``attempt_timeout`` and
            ``timeout``.  None is no limit of its own.  Default None.
        ssl_shutdown_timeout: seconds for the end of TLS when the transport is closed.  None is
            asyncio's 30.  Default None.
        sock: a connected stream socket, which is taken over; then without host and port.  Default
            None.
        proto: 0 or ``IPPROTO_TCP``, which are the same.  Default 0.
        flags: ``AI_*`` flags for ``getaddrinfo``; not used with a ``resolver`` or without a name.
            Default 0.
        all_errors: True gives the error a group as ``__cause__`` also when only one attempt failed.
            Default False.
        timeout: seconds for the whole call: names, attempts, back-off and TLS (default 30).
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    Returns:
        ``(transport, protocol)``; the caller closes the transport.

    Raises:
        ConnectError: no connection (``stage`` is ``"tls"`` if it was the handshake that failed).
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.

    Source: ``asyncio.loop.create_connection``.
    """
    return await create_with(DEFAULTS, protocol_factory, host, port, keywords)


async def open_with(
    dialer: Options, host: Any, port: Any, keywords: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream with a dialer's options."""
    limit = keywords.pop("limit", 2**16)
    return await open_by(lambda factory: create_with(dialer, factory, host, port, keywords), limit)


async def open_by(
    create: Callable[
        [Callable[[], asyncio.StreamReaderProtocol]], Awaitable[tuple[asyncio.Transport, Any]]
    ],
    limit: int,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Make the two ends of a stream over the transport that ``create`` makes."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create(lambda: protocol)
    try:
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
    except BaseException:
        transport.abort()
        raise


async def create_with(
    dialer: Options,
    protocol_factory: Callable[[], ProtocolT],
    host: Any,
    port: Any,
    keywords: Any,
) -> tuple[asyncio.Transport, ProtocolT]:
    """Create a transport with a dialer's options."""
    sock, options, all_errors = None, dialer, False
    tls: dict[str, Any] = {}
    if keywords:
        sock = keywords.pop("sock", None)
        all_errors = keywords.pop("all_errors", False)
        options, tls = _chosen(dialer, keywords)
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host and port, or sock: not both")
        return await _take_over(protocol_factory, sock, options, tls)
    targets, stages = planned(host, port, options, tls)
    try:
        return await create_over(protocol_factory, targets, options, stages)
    except errors.ConnectError as exc:
        if all_errors and exc.__cause__ is None:
            exc.__cause__ = exc.group()
        raise


def planned(
    host: Any, port: Any, options: Options, tls: dict[str, Any]
) -> tuple[Sequence[Target], Sequence[StageSpec]]:
    """Return what to dial for a stream, and the stages after the connect.

    Raises:
        InvalidTarget, ValueError: what was asked for cannot be, or contradicts itself.
    """
    if options.type != socket.SOCK_STREAM:
        raise ValueError("streams need type=SOCK_STREAM")
    targets = reached(_targets(host, port), options)
    return targets, (_tls_stage(targets, tls),) if tls else ()


async def create_over(
    protocol_factory: Callable[[], ProtocolT],
    targets: Sequence[Target],
    options: Options,
    stages: Sequence[StageSpec],
    late: Late | None = None,
) -> tuple[asyncio.Transport, ProtocolT]:
    """Dial, and create a transport over what has connected."""
    call: Call | None = None
    try:
        call = await engine.dial(targets, options, stages, late)
        if stages:
            from .tls import hand_over

            return hand_over(call.result, protocol_factory)
    except BaseException:
        if call is not None:
            call.close()
        raise
    return await _hand_over(protocol_factory, call.result, call.text)


async def _hand_over(
    protocol_factory: Callable[[], ProtocolT], sock: socket.socket, text: str
) -> tuple[asyncio.Transport, ProtocolT]:
    """Make a transport over a connected socket, and the protocol."""
    loop = asyncio.get_running_loop()
    made: list[ProtocolT] = []

    def factory() -> ProtocolT:
        made.append(protocol_factory())
        return made[0]

    try:
        return await own_create_connection(loop)(factory, sock=sock)  # type: ignore[no-any-return]
    except BaseException as exc:
        if not made:  # what the factory raises is not the peer's, and comes out unchanged
            sock.close()
            raise
        end_connection(loop, sock)
        if isinstance(exc, OSError):
            error = causes.from_exception(exc, stage="socket", target=text)
            now = of(loop).clock()
            attempt = errors.AttemptFailed(now, text, error, now, 1, 1)
            raise causes.combine([attempt], target=text, elapsed=0.0) from None
        raise


async def _take_over(
    protocol_factory: Callable[[], ProtocolT],
    sock: socket.socket,
    dialer: Options,
    tls: dict[str, Any],
) -> tuple[asyncio.Transport, ProtocolT]:
    """Make a transport over the caller's own socket, within the dialer's time limit."""
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"a stream socket is needed, not {sock!r}")
    if tls and "server_hostname" not in tls:
        raise ValueError("ssl with sock needs server_hostname")
    judge_peer(sock, dialer)
    if not tls:
        return await _hand_over(protocol_factory, sock, "sock")
    from .tls import hand_over, over_own_socket

    return hand_over(await over_own_socket(sock, tls, dialer.timeout), protocol_factory)


def _tls_stage(targets: Sequence[Target], tls: dict[str, Any]) -> StageSpec:
    from .tls import stage

    if "server_hostname" not in tls and any(each.family == socket.AF_UNIX for each in targets):
        raise ValueError("ssl over a Unix socket needs server_hostname")
    return stage(tls)


def judge_peer(sock: socket.socket, dialer: Options) -> None:
    """Judge a socket that the caller brings by what it is connected to; denied, it is closed.

    Raises:
        ConnectError: the policy denies it, or it has no peer.
    """
    if dialer.address_policy is None and dialer.allowed_names is None:
        return
    from .address_policy import denied
    from .own_socket import check_peer

    try:
        if dialer.allowed_names is not None:
            raise denied("a socket that has no name", target="sock")
        check_peer(sock, sock.getpeername(), dialer.address_policy)
    except OSError as exc:
        sock.close()
        if isinstance(exc, errors.ConnectError):
            raise
        raise causes.from_exception(exc, stage="verify", target="sock") from None
    except BaseException:
        sock.close()
        raise


_ASYNCIO = frozenset(keyword.name for keyword in KEYWORDS)


def _chosen(dialer: Options, keywords: dict[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Return the dialer with the options among the keywords, and what is said about TLS."""
    if "proxy" in keywords:
        take_proxy(keywords)
    asyncios = {name: keywords.pop(name) for name in tuple(keywords) if name in _ASYNCIO}
    if keywords.get("interleave", 0) is None:  # asyncio's word for the default
        del keywords["interleave"]
    if keywords:
        dialer = with_options(keywords) if dialer is DEFAULTS else dialer.replace(**keywords)
    if "limit" in asyncios:
        raise TypeError("limit is of open_connection only")
    dialer = _with_proto_and_flags(dialer, asyncios)
    return dialer, about_tls(asyncios)


def about_tls(keywords: dict[str, Any]) -> dict[str, Any]:
    """Check what is said about TLS; what is None is not said."""
    tls = {name: value for name, value in keywords.items() if value is not None}
    if not tls:
        return tls
    from .tls_options import check

    return check(tls)


def _with_proto_and_flags(dialer: Options, tls: dict[str, Any]) -> Options:
    proto = tls.pop("proto", 0)
    if proto not in (0, socket.IPPROTO_TCP):
        raise ValueError(f"proto={proto!r}: only TCP; for others use connect with socket_factory")
    flags = tls.pop("flags", 0)
    if not isinstance(flags, int):
        raise TypeError(f"flags are AI_* flags of getaddrinfo as an int, not {flags!r}")
    if flags and dialer.resolver is None:
        from .resolve import SystemResolver

        changed: Options = dialer.replace(resolver=SystemResolver(flags=flags))
        return changed
    return dialer


def _targets(host: Any, port: Any) -> tuple[Target, ...]:
    if host is None:
        if port is None:
            raise ValueError("neither host and port nor sock")
        host = "localhost"
    if isinstance(port, str):
        port = _port(port)
    return parse_all(host, port)


_SERVICE = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._+-]*", re.ASCII)
"""RFC 6335, section 5.1, and what older entries of /etc/services have beside it."""


def _port(text: str) -> int:
    """Read a port as asyncio takes it: ASCII digits, or the name of a service."""
    if text.isascii() and text.isdecimal():
        return int(text)
    if not _SERVICE.fullmatch(text):
        raise causes.not_a_target(f"'{safe(text)}' is neither a port nor the name of a service")
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        exc = socket.gaierror(socket.EAI_SERVICE, "no such service")
        raise causes.from_exception(exc, stage="resolve", target=safe(text)) from None
