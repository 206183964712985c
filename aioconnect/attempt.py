"""One attempt: a fresh socket, and one address.  The only file that calls ``connect``.

A failed socket is spent: POSIX leaves its state open, and Linux answers the next ``connect`` on it
with ECONNABORTED once its error was read.  It is closed here, before anything else happens, and a
new one is made for the next try.

After EINPROGRESS the socket is asked once more at once (the second look): on loopback, on Unix
sockets and between namespaces of one host the handshake is over when ``connect`` returns, and
the loop need not be troubled.  On Linux the question is one more ``connect``, which says 0 or
EISCONN for connected, EALREADY for pending, and else what went wrong.  Elsewhere it is
``getpeername``, and if there is no peer ``SO_ERROR``.  It is never asked a third time: that could
begin a new dial.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import causes, wait
from .fresh import close, custom_socket, with_scope
from .wait import WRITE

if TYPE_CHECKING:
    from .errors import ConnectError
    from .options import Options
    from .race import Attempt
    from .targets import Endpoint, Target
    from .terms import Stage

__all__ = [
    "AGAIN",
    "CONNECTED",
    "FAILED",
    "PENDING",
    "begin",
    "close",
    "connect_own",
    "error_of",
    "finish",
    "is_other_file",
    "with_scope",
]

CONNECTED, PENDING, FAILED, AGAIN = 0, 1, 2, 3
"""What became of a socket: connected; wait for POLLOUT; failed and closed; closed, make another."""

SECOND_LOOK = True
"""Ask once more right after EINPROGRESS.  The benchmark script switches it off to measure what
it buys; nothing else does."""

SELF_CONNECTS = 3
"""How many times a socket may meet itself before the attempt counts as refused."""

# Plain integers: an enum member as an argument costs more than the call it is passed to.
_EISCONN = errno.EISCONN
UNDERWAY = frozenset((errno.EINPROGRESS, errno.EALREADY, errno.EINTR))
_AF_UNIX = int(socket.AF_UNIX)
_AF_INET6 = int(socket.AF_INET6)
_INET = frozenset((int(socket.AF_INET), _AF_INET6))
_TCP = int(socket.IPPROTO_TCP)
_NONBLOCK = int(getattr(socket, "SOCK_NONBLOCK", 0))
_LINUX = sys.platform == "linux"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def begin(
    endpoint: Endpoint, options: Options, tries: int = 1, target: Target | None = None
) -> tuple[int, Any]:
    """Make a fresh socket and begin to connect it to an address.

    Args:
        endpoint: what to dial.
        options: the address policy, factory, socket options and local address are used.
        tries: how many sockets this attempt has had, this one included.
        target: what was looked up, for the address policy.

    Returns:
        ``(CONNECTED, socket)`` or ``(PENDING, socket)``, and the socket is the caller's;
        ``(FAILED, cause)`` or ``(AGAIN, cause)``, and nothing is open.  The cause is a
        ``ConnectError`` (built, not raised), or the errno of one in ``causes.PLAIN``.

    An exception that is no ``OSError``, from a caller's hook, comes out unchanged.
    """
    family, kind, proto, _, address = endpoint
    stage: Stage = "socket"
    sock: socket.socket | None = None
    try:
        if family == _AF_INET6 and type(address[3]) is str:
            address = with_scope(address)
        if not options.custom:
            sock = socket.socket(family, kind | _NONBLOCK, proto)
            if not _NONBLOCK:
                sock.setblocking(False)
        else:
            made = custom_socket(endpoint, (family, kind, proto, "", address), options, target)
            if not isinstance(made, socket.socket):
                return FAILED, made
            sock = made
        stage = "connect"
        number = sock.connect_ex(address)
        if number in UNDERWAY and SECOND_LOOK:
            number = look_again(sock, family, address, number)
        if not number and options.custom:
            number = _proved(sock)
        if not number:
            # A socket whose own port is the one it dialled may have met itself; the peer tells.
            if proto != _TCP or sock.getsockname()[1] != address[1] or not is_self(sock):
                return CONNECTED, sock
            return _met_itself(sock, endpoint, tries)
        if number in UNDERWAY:
            return PENDING, sock
    except OSError as exc:
        if sock is not None:
            close(sock)
        return FAILED, _cause((family, address, endpoint), options, stage, exc)
    except BaseException:
        if sock is not None:
            close(sock)
        raise
    close(sock)
    # unix(7): a full backlog is EAGAIN, and nothing is in progress.
    outcome = AGAIN if number == errno.EAGAIN and family == _AF_UNIX else FAILED
    return outcome, _cause((family, address, endpoint), options, "connect", number)


def finish(
    sock: socket.socket, endpoint: Endpoint, options: Options, mask: int = 0, tries: int = 1
) -> tuple[int, Any]:
    """Say what became of a PENDING socket that was reported ready.

    Args:
        sock: the socket; it stays the caller's if it is CONNECTED or (a spurious wake-up)
            PENDING, else it is closed.
        endpoint: what it dials.
        options: those that it was made with.
        mask: what epoll(7) said, 0 if it is not known.
        tries: how many sockets this attempt has had.

    Returns:
        As ``begin``.
    """
    family, _, proto, _, address = endpoint
    # Writable without an error or a hang-up: a TCP socket of ours is connected (tcp_poll in the
    # kernel reports nothing in SYN_SENT).  Options and factories can make it mean less.
    certain = mask == WRITE and proto == _TCP and not options.custom
    number = 0 if certain else wait.outcome(sock)
    if number == 0:
        try:
            if proto != _TCP or sock.getsockname()[1] != address[1] or not is_self(sock):
                return CONNECTED, sock
            return _met_itself(sock, endpoint, tries)
        except OSError as exc:  # reset since: the peer is gone
            number = exc.errno or errno.ENOTCONN
    if number == wait.SPURIOUS:
        return PENDING, sock
    close(sock)
    return FAILED, _cause((family, _numeric(address), endpoint), options, "connect", number)


def error_of(attempt: Attempt) -> ConnectError:
    """Return the error of an attempt that FAILED at ``attempt.ended``, built now if it was not.

    Most calls in which an attempt fails connect in the end, and then nobody asks.
    """
    error = attempt.error
    if type(error) is int:
        family, _, _, _, address = attempt.endpoint
        error = causes.from_errno(error, stage="connect", address=address, family=family)
    error.elapsed = attempt.ended - attempt.started
    return error  # type: ignore[no-any-return]


def connect_own(sock: socket.socket, address: Any) -> tuple[int, bool]:
    """Connect the caller's own socket, and look once more at once.

    Returns:
        As connect(2) says it, 0 for connected; and whether a connect was pending already, perhaps
        to somewhere else.
    """
    number = sock.connect_ex(address)
    already = number == errno.EALREADY
    if number in UNDERWAY and SECOND_LOOK and not already:
        number = look_again(sock, int(sock.family), address, number)
    return number, already


def look_again(sock: socket.socket, family: int, address: Any, number: int) -> int:
    """Ask once more, right after EINPROGRESS: 0 if connected, else as ``connect`` says.

    Source: connect(2).
    """
    if family not in _INET:
        return number
    if _LINUX:
        number = sock.connect_ex(address)
        return 0 if number == _EISCONN else number
    try:
        sock.getpeername()
    except OSError:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or number
    return 0


def is_self(sock: socket.socket) -> bool:
    """Whether a TCP socket is connected to itself."""
    return bool(sock.getsockname() == sock.getpeername())


def has_source(address: Any) -> bool:
    """Whether this host has a source address for an IPv6 one; nothing is sent."""
    try:
        with socket.socket(_AF_INET6, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex(address) != errno.EADDRNOTAVAIL
    except OSError:
        return True


def is_other_file(number: int, address: Any) -> bool:
    """Whether a Unix path was refused because something else than a socket is there (unix(7))."""
    if number != errno.ECONNREFUSED or address[:1] in ("\0", b"\0"):
        return False
    try:
        return not stat.S_ISSOCK(os.stat(address).st_mode)
    except OSError:  # it is gone
        return False


def _numeric(address: Any) -> Any:
    """Return an address with its scope as a number, if the interface is still there."""
    if type(address) is tuple and len(address) == 4 and type(address[3]) is str:
        with suppress(OSError):
            return with_scope(address)
    return address


def _proved(sock: socket.socket) -> int:
    """Say whether a socket with options of the caller's is connected, as its zero claims.

    With TCP_FASTOPEN_CONNECT nothing was sent: the SYN leaves with the first write.  An empty one
    lets it go, so that there is a peer before anybody is told so.

    Returns:
        0 if there is a peer; EINPROGRESS if the SYN is under way.

    Source: tcp(7), TCP_FASTOPEN_CONNECT.
    """
    try:
        sock.getpeername()
    except OSError as exc:
        if exc.errno != errno.ENOTCONN:
            raise
        with suppress(BlockingIOError):
            sock.send(b"")
        return errno.EINPROGRESS
    return 0


def _met_itself(sock: socket.socket, endpoint: Endpoint, tries: int) -> tuple[int, Any]:
    # A plain close would leave the port in TIME_WAIT, and the server could not bind it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    close(sock)
    error = causes.connected_to_itself(address=endpoint[4], family=endpoint[0])
    return (AGAIN if tries < SELF_CONNECTS else FAILED), error


def _cause(
    dialled: tuple[int, Any, Endpoint], options: Options, stage: Stage, cause: OSError | int
) -> Any:
    """Return the errno if it says all, else the error."""
    family, numeric, endpoint = dialled
    if type(cause) is int and cause in causes.PLAIN:
        if family == _AF_UNIX and is_other_file(cause, numeric):
            return causes.not_a_socket(address=endpoint[4], family=family)
        return cause
    number = cause if isinstance(cause, int) else cause.errno
    bound = options.local_addr is not None
    if number == errno.EADDRNOTAVAIL and stage == "connect" and family == _AF_INET6 and not bound:
        # For IPv6 it says either that there is no port or that there is no source address.
        bound = has_source(numeric)
    if isinstance(cause, int):
        return causes.from_errno(
            cause, stage=stage, address=endpoint[4], family=family, bound=bound
        )
    if family == _AF_UNIX and cause.errno is None and "too long" in str(cause):
        # Python refuses the path before the kernel can, without a number.
        cause = OSError(errno.ENAMETOOLONG, "File name too long")
    return causes.from_exception(
        cause, stage=stage, address=endpoint[4], family=family, bound=bound
    )
