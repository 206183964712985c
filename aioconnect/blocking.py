"""The same without an event loop: the blocking twin, by poll(2).

The decisions, the attempts and the errors are those of the asynchronous side; only the waiting
differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .call import Call
from .dialer import check_family, with_options
from .own_socket import OwnSocket, check_address
from .polling import PollDriver
from .targets import parse_all
from .wait import check_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Unpack

    from .options import ConnectOptions
    from .targets import TargetLike

__all__ = ["connect", "connect_wait", "sock_connect"]


def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect as :func:`aioconnect.connect` does, and block until it is done.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.
        **options: as for :func:`aioconnect.connect`.

    Returns:
        A connected *blocking* socket without a time-out, close-on-exec; the caller owns it.

    Raises:
        ConnectError: no connection.
        ValueError, TypeError: bad input, before any I/O.
    """
    dialer = with_options(options)
    driver = PollDriver()
    call = Call(driver, check_family(parse_all(target, port), dialer), dialer)
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


def sock_connect(sock: socket.socket, address: Any, *, timeout: float | None = None) -> None:
    """Connect the caller's own socket to one numeric address, and block until it is done.

    As :func:`aioconnect.sock_connect`; the socket may be blocking, and is left as it was.

    Args:
        sock: the caller's socket; never closed here.
        address: a numeric socket address, or a path.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it could not be connected.
        ValueError, TypeError: bad input, before any I/O.

    Source: connect(2).
    """
    check_socket(sock)
    address = check_address(sock, address)
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
