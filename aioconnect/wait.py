"""What a readiness means: has the pending connect succeeded, failed, or not happened yet?

connect(2) says: after EINPROGRESS wait for POLLOUT, then read ``SO_ERROR``.  Zero is not the end
of it.  A poller can wake without cause, and a socket on which no connect is pending is writable
for ever; so zero counts only together with a peer (``getpeername``), and if there is none, one
poll that does not wait tells the two apart.
"""

from __future__ import annotations

import errno
import select
import socket

__all__ = ["READ", "SPURIOUS", "WRITE", "check_socket", "new_poll", "outcome", "pending", "ready"]

READ, WRITE = 1, 4
"""What a socket is watched for: POLLIN and POLLOUT, which epoll(7) calls by the same numbers."""

SPURIOUS = -1

_SOL_SOCKET = int(socket.SOL_SOCKET)
_SO_ERROR = int(socket.SO_ERROR)


def outcome(sock: socket.socket) -> int:
    """Say how the connect on a socket that was reported writable ended.

    Returns:
        0 if it is connected, ``SPURIOUS`` if it is still pending, else the errno; ENOTCONN if
        no connect is pending on it.  Reading ``SO_ERROR`` clears it: call this once.

    Source: connect(2), ``EINPROGRESS``; socket(7), ``SO_ERROR``.
    """
    try:
        number = sock.getsockopt(_SOL_SOCKET, _SO_ERROR)
        if number:
            # These say that the handshake goes on (golang/go#14548).
            return SPURIOUS if number in (errno.EINPROGRESS, errno.EALREADY) else number
        sock.getpeername()
    except OSError as exc:
        if exc.errno != errno.ENOTCONN:
            return exc.errno or errno.EBADF
        # A pending connect is not ready for anything; a socket without one is, and stays so.
        return errno.ENOTCONN if ready(sock) else SPURIOUS
    return 0


def pending(sock: socket.socket) -> int:
    """Say how things stand on a socket that was not reported ready yet.

    Returns:
        As ``outcome``: 0 if it is connected, ``SPURIOUS`` if a connect is pending.
    """
    try:
        if ready(sock):
            return outcome(sock)
        try:
            sock.getpeername()  # connected, but its send buffer is full
        except OSError as exc:
            if exc.errno != errno.ENOTCONN:
                raise
        else:
            return 0
        if sock.getsockopt(_SOL_SOCKET, socket.SO_ACCEPTCONN):
            return errno.ENOTCONN  # a listening socket would never become writable
    except OSError as exc:
        return exc.errno or errno.EBADF
    return SPURIOUS


def ready(sock: socket.socket, events: int = WRITE) -> bool:
    """Whether the socket is ready for ``events``, failed, hung up or closed, now."""
    poll = new_poll()
    try:
        poll.register(sock, events)
    except ValueError:  # closed: its descriptor is -1
        return True
    return bool(poll.poll(0))


def new_poll() -> select.poll:
    """Return a new poll object.

    Raises:
        RuntimeError: this Python has none; eventlet takes it out of ``select``.
    """
    try:
        return select.poll()
    except AttributeError:
        raise RuntimeError(
            "select.poll is missing, without which nothing can be waited for here: "
            "does eventlet or gevent patch this process?"
        ) from None


def check_socket(sock: object) -> None:
    """Refuse what is no socket."""
    if not isinstance(sock, socket.socket):
        raise TypeError(f"a socket.socket is needed, not {type(sock).__name__}")
