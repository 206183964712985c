"""The same on trio: the race, the names, the retries, the limits and the errors of this library.

Only the waiting differs.  Cancelled by trio's scopes, a call closes everything that it opened.
All seconds and instants are those of trio's clock, a ``MockClock`` too.
"""

from __future__ import annotations

import socket as sockets
from typing import TYPE_CHECKING

from . import signatures
from .checks import take_proxy
from .chosen import reached, with_options
from .patience import as_given, checked
from .targets import parse_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    import trio

    from .options import ConnectOptions, Options, TargetOptions
    from .stages import StageSpec
    from .targets import Handshake, Target, TargetLike

__all__ = ["connect", "open_tcp_stream", "wait_until_ready"]


@signatures.trio_connect
async def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> trio.socket.SocketType:
    """Connect as :func:`aioconnect.connect` does.

    A handshake that is a coroutine needs asyncio, and is refused; one that is a generator runs
    here, and so does a proxy.  A resolver that needs asyncio runs on a loop in a thread.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.

    Options:
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
        A connected trio socket; the caller owns it and closes it.

    Raises:
        ConnectError: no connection.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    dialer = with_options(options)  # first: it takes a proxy's password out of this frame
    return await _dial(parse_all(target, port), dialer)


@signatures.trio_open_tcp_stream
async def open_tcp_stream(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> trio.SocketStream:
    """Connect, and return a stream: in place of ``trio.open_tcp_stream``.

    Args:
        target: as for :func:`aioconnect.connect`; a Unix path too.
        port: 1 to 65535.

    Options:
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
        A ``trio.SocketStream``, with ``TCP_NODELAY`` over TCP as trio sets it; the caller closes
        it.  ``trio.SSLStream`` takes it for TLS.

    Raises:
        ConnectError: no connection.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O; a type that is no stream.
    """
    import trio

    chosen = with_options(options)
    if chosen.type != sockets.SOCK_STREAM:
        raise ValueError("a stream needs type SOCK_STREAM: use connect() for other sockets")
    return trio.SocketStream(await _dial(parse_all(target, port), chosen))


@signatures.trio_wait_until_ready
async def wait_until_ready(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 60.0,
    check: Handshake | None = None,
    all: bool = False,
    **options: Unpack[TargetOptions],
) -> float:
    """Wait until a target accepts connections, as :func:`aioconnect.wait_until_ready` does.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.
        timeout: seconds; None waits for ever.
        check: what the server must say, too; as there.
        all: wait for each target of a list, one after the other; else for any of them.

    Options:
        attempt_timeout: seconds for one attempt at one address (default 5).
        retry: what happens when every address has failed (default again until timeout).
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
        The seconds that it took.  The connection that proved it was closed.

    Raises:
        ConnectError: the last error, when the time is up or waiting cannot help.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    import trio

    if "proxy" in options:
        take_proxy(options)
    patient = as_given({**options, "timeout": timeout})
    stages = checked(check)
    targets = parse_all(target, port)
    started = trio.current_time()
    for some in [[each] for each in targets] if all else [targets]:
        left = patient.timeout - (trio.current_time() - started)
        (await _dial(some, patient.replace(timeout=max(left, 0.001)), stages)).close()
    return trio.current_time() - started


async def _dial(
    targets: Sequence[Target], options: Options, stages: Sequence[StageSpec] = ()
) -> trio.socket.SocketType:
    from . import trio_driver  # on first use: it imports trio

    return await trio_driver.dial(reached(targets, options), options, stages)
