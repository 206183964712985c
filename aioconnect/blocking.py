"""The same without an event loop: the blocking twin, by poll(2).

The decisions, the attempts and the errors are those of the asynchronous side; only the waiting
differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import signatures
from .call import Call
from .chosen import reached, with_options
from .own_socket import OwnSocket, check_address
from .polling import PollDriver
from .targets import parse_all
from .wait import check_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Unpack

    from .address_policy import AddressPolicyLike
    from .options import ConnectOptions
    from .targets import TargetLike

__all__ = ["connect", "connect_wait", "sock_connect"]


@signatures.blocking_connect
def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect as :func:`aioconnect.connect` does, and block until it is done.

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
        A connected *blocking* socket without a time-out, close-on-exec; the caller owns it.

    Raises:
        ConnectError: no connection.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    dialer = with_options(options)
    driver = PollDriver()
    call = Call(driver, reached(parse_all(target, port), dialer), dialer)
    driver.drive(call)
    if call.error is not None:
        raise call.take_error()
    sock: socket.socket = call.result
    sock.setblocking(True)
    return sock


def connect_wait(sock: socket.socket, *, timeout: float | None = None) -> None:
    """Wait until a pending non-blocking connect on ``sock`` has completed.

    As :func:`aioconnect.connect_wait`, with poll(2).  The socket stays the caller's.

    Args:
        sock: the caller's socket.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it failed, nothing was pending, or the time was up.

    Source: connect(2), EINPROGRESS.
    """
    _wait_for(sock, None, timeout)


def sock_connect(
    sock: socket.socket,
    address: Any,
    *,
    timeout: float | None = None,
    address_policy: AddressPolicyLike | None = None,
) -> None:
    """Connect the caller's own socket to one numeric address, and block until it is done.

    As :func:`aioconnect.sock_connect`; the socket may be blocking, and is left as it was.

    Args:
        sock: the caller's socket; never closed here.
        address: a numeric socket address, or a path.
        timeout: seconds; None waits as long as the kernel does.
        address_policy: as for :func:`aioconnect.connect`; what it denies is not dialled.

    Raises:
        ConnectError: it could not be connected.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.

    Source: connect(2).
    """
    check_socket(sock)
    address = check_address(sock, address, address_policy)
    before = sock.gettimeout()
    if before == 0 or sock.fileno() == -1:
        _wait_for(sock, address, timeout)
        return
    sock.setblocking(False)
    try:
        _wait_for(sock, address, timeout)
    finally:
        if sock.fileno() != -1:
            sock.settimeout(before)


def _wait_for(sock: socket.socket, address: Any, timeout: float | None) -> None:
    driver = PollDriver()
    own = OwnSocket(driver, sock, address, timeout)
    driver.drive(own)
    if own.error is not None:
        raise own.take_error()
