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
import socket
import struct
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import causes, wait
from .race import pause
from .targets import parse

if TYPE_CHECKING:
    from collections.abc import Generator

    from .errors import ConnectError
    from .events import Stage
    from .options import Options
    from .race import Candidate

__all__ = [
    "AGAIN",
    "CONNECTED",
    "FAILED",
    "PENDING",
    "begin",
    "check_address",
    "connecting",
    "error_of",
    "expired",
    "finish",
    "is_local",
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
_UNDERWAY = frozenset((errno.EINPROGRESS, errno.EALREADY, errno.EINTR))
_AF_UNIX = int(socket.AF_UNIX)
_AF_INET6 = int(socket.AF_INET6)
_INET = frozenset((int(socket.AF_INET), _AF_INET6))
_TCP = int(socket.IPPROTO_TCP)
_NONBLOCK = int(getattr(socket, "SOCK_NONBLOCK", 0))
_LINUX = sys.platform == "linux"
_IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); the socket module has no name for it before 3.14
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def begin(candidate: Candidate, options: Options) -> int:
    """Make a fresh socket and begin to connect it to the candidate's address.

    Leaves the socket in ``candidate.sock`` if it is CONNECTED or PENDING, and in
    ``candidate.error`` what went wrong if it FAILED or must be made AGAIN; then nothing is open.
    That is an error (built, not raised), or the errno of one in ``causes.PLAIN``.
    An exception that is no ``OSError``, from a caller's hook, comes out unchanged.
    """
    family, kind, proto, _, address = candidate.endpoint
    stage: Stage = "policy"
    sock: socket.socket | None = None
    try:
        if options.address_policy is not None:
            options.address_policy(candidate.endpoint)
        stage = "socket"
        if family == _AF_INET6 and isinstance(address[3], str):
            address = _with_scope(address)
        if options.socket_factory is None:
            sock = socket.socket(family, kind | _NONBLOCK, proto)
            if not _NONBLOCK:
                sock.setblocking(False)
        else:
            sock = _from_factory(candidate.endpoint, options)
        if options.socket_options:
            for option in options.socket_options:
                sock.setsockopt(*option)
        if options.local_addr is not None:
            stage = "bind"
            _bind(sock, family, options.local_addr)
        stage = "connect"
        number = sock.connect_ex(address)
        if number in _UNDERWAY and SECOND_LOOK:
            number = _look_again(sock, family, address, number)
        if not number:
            # A socket whose own port is the one it dialled may have met itself; the peer tells.
            if proto != _TCP or sock.getsockname()[1] != address[1] or not _is_self(sock):
                candidate.sock = sock
                return CONNECTED
        elif number in _UNDERWAY:
            candidate.sock = sock
            return PENDING
    except OSError as exc:
        if sock is not None:
            sock.close()
        _fail(candidate, options, stage, exc)
        return FAILED
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    if number:
        sock.close()
        _fail(candidate, options, "connect", number)
        # unix(7): a full backlog is EAGAIN, and nothing is in progress.
        return AGAIN if number == errno.EAGAIN and family == _AF_UNIX else FAILED
    return _met_itself(candidate, sock)


def finish(candidate: Candidate, options: Options) -> int:
    """Say what became of a PENDING candidate whose socket was reported ready.

    Returns and leaves as ``begin`` does; PENDING if the wake-up was spurious.
    """
    sock = candidate.sock
    assert sock is not None
    number = wait.outcome(sock)
    if number == 0:
        try:
            _, _, proto, _, address = candidate.endpoint
            if proto != _TCP or sock.getsockname()[1] != address[1] or not _is_self(sock):
                return CONNECTED
            candidate.sock = None
            return _met_itself(candidate, sock)
        except OSError as exc:  # reset since: the peer is gone
            number = exc.errno or errno.ENOTCONN
    if number == wait.SPURIOUS:
        return PENDING
    candidate.sock = None
    sock.close()
    _fail(candidate, options, "connect", number)
    return FAILED


def error_of(candidate: Candidate) -> ConnectError:
    """Return the error of a candidate that FAILED at ``candidate.ended``, built now if it was not.

    Most calls in which an attempt fails connect in the end, and then nobody asks.
    """
    error = candidate.error
    if isinstance(error, int):
        family, _, _, _, address = candidate.endpoint
        error = causes.from_errno(error, stage="connect", address=address, family=family)
    error.elapsed = candidate.ended - candidate.started
    return error  # type: ignore[no-any-return]


def is_local(candidate: Candidate) -> bool:
    """Tell whether it FAILED for want of something of this host, and of that alone."""
    error = candidate.error
    return not isinstance(error, int) and causes.is_local(error)


def connecting(sock: socket.socket, address: Any) -> Generator[float | None, None, None]:
    """Connect the caller's own socket: yields None to wait for POLLOUT, an instant to pause.

    The socket is never closed here, and never connected again after a failure.

    Raises:
        ConnectError: it failed.
    """
    started = monotonic()
    family = int(sock.family)
    tries = 0
    try:
        number = sock.connect_ex(address)
        already = number == errno.EALREADY
        if number in _UNDERWAY and SECOND_LOOK and not already:
            number = _look_again(sock, family, address, number)
        while number == errno.EAGAIN and family == _AF_UNIX:
            # A full backlog: nothing has begun, so the same socket can be connected again.
            tries += 1
            yield monotonic() + pause(tries)
            number = sock.connect_ex(address)
        if number in _UNDERWAY:
            number = wait.SPURIOUS
            while number == wait.SPURIOUS:
                yield None
                number = wait.outcome(sock)
        if not number and already and not _is_peer(sock, address):
            number = errno.EALREADY  # what was running was a connect to somewhere else
        if not number:
            if not _may_be_tcp(sock, family) or not _is_self(sock):
                return
            failed = causes.connected_to_itself(address=address, family=family)
        else:
            lacks = number == errno.EADDRNOTAVAIL and family == _AF_INET6
            failed = causes.from_errno(
                number,
                stage="connect",
                address=address,
                family=family,
                bound=lacks and _has_source(address),
            )
    except OSError as exc:
        failed = causes.from_exception(
            _with_number(exc, family), stage="connect", address=address, family=family
        )
    failed.elapsed = monotonic() - started
    try:
        raise failed
    finally:
        del failed  # a local that refers to the error would close a cycle through the traceback


def check_address(sock: socket.socket, address: Any) -> Any:
    """Refuse an address that is not numeric, or not of the socket's kind."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        if not isinstance(address, tuple):
            raise TypeError(f"an address of this socket is a tuple, not {type(address).__name__}")
        target = parse(address)
        if target.name is not None:
            raise ValueError(f"sock_connect takes a numeric address, not the name {target!r}")
        if target.family == socket.AF_INET6 and isinstance(target.address[3], str):
            try:
                return _with_scope(target.address)
            except OSError as exc:
                raise causes.from_exception(
                    exc, stage="socket", address=target.address, family=target.family
                ) from None
        return target.address
    if sock.family == socket.AF_UNIX:
        if not isinstance(address, str | bytes):
            raise TypeError(f"the address of a Unix socket is a path, not {type(address).__name__}")
        if not address or (0 in address[1:] if isinstance(address, bytes) else "\0" in address[1:]):
            raise ValueError("the path of a Unix socket is not empty and has no NUL inside")
    return address


def expired(
    sock: socket.socket, pause: float | None, stage: Stage, address: Any, elapsed: float
) -> ConnectError:
    """Build the error for a wait whose time is up."""
    family = int(sock.family)
    if pause is not None:  # between two tries at a full backlog, which says more than the time
        return causes.from_errno(
            errno.EAGAIN, stage=stage, address=address, family=family, elapsed=elapsed
        )
    return causes.timed_out(
        whole=True, stage=stage, address=address, family=family, elapsed=elapsed
    )


def _look_again(sock: socket.socket, family: int, address: Any, number: int) -> int:
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


def _with_scope(address: Any) -> Any:
    """Return an IPv6 address with its interface as a number."""
    try:
        return (*address[:3], socket.if_nametoindex(address[3]))
    except OSError:  # which comes without a number
        raise OSError(errno.ENODEV, "No such device") from None


def _from_factory(endpoint: Any, options: Options) -> socket.socket:
    assert options.socket_factory is not None
    sock = options.socket_factory(endpoint)
    if not isinstance(sock, socket.socket):
        raise TypeError(f"socket_factory must return a socket.socket, not {sock!r}")
    try:
        sock.setblocking(False)
        sock.set_inheritable(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, family: int, local_addr: Any) -> None:
    for local_family, address in local_addr:
        if local_family == family:
            if _LINUX and family in _INET and address[1] == 0:
                # Let connect() choose the port: bind() would need one that is free for every
                # destination, and runs out of them far earlier (ip(7)).
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind(address)
            return
    raise OSError(errno.EAFNOSUPPORT, "local_addr has no address of this family")


def _may_be_tcp(sock: socket.socket, family: int) -> bool:
    # A caller's socket mostly has protocol 0, which is TCP for a stream.
    return family in _INET and sock.type == socket.SOCK_STREAM and sock.proto in (0, _TCP)


def _is_peer(sock: socket.socket, address: Any) -> bool:
    """Tell whether the address is the socket's peer; no address at all stands for loopback."""
    peer = sock.getpeername()
    if sock.family not in _INET or address[0] in ("0.0.0.0", "::"):  # noqa: S104
        return bool(sock.family not in _INET or peer[1] == address[1])
    wanted, found = (socket.inet_pton(sock.family, a[0].partition("%")[0]) for a in (address, peer))
    return bool(wanted == found and peer[1] == address[1])


def _is_self(sock: socket.socket) -> bool:
    """Tell whether a TCP socket is connected to itself."""
    return bool(sock.getsockname() == sock.getpeername())


def _met_itself(candidate: Candidate, sock: socket.socket) -> int:
    # A plain close would leave the port in TIME_WAIT, and the server could not bind it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()
    candidate.error = causes.connected_to_itself(
        address=candidate.endpoint[4], family=candidate.endpoint[0]
    )
    return AGAIN if candidate.tries < SELF_CONNECTS else FAILED


def _fail(candidate: Candidate, options: Options, stage: Stage, cause: OSError | int) -> None:
    if isinstance(cause, int) and cause in causes.PLAIN:
        candidate.error = cause
        return
    family, _, _, _, address = candidate.endpoint
    number = cause if isinstance(cause, int) else cause.errno
    bound = options.local_addr is not None
    if number == errno.EADDRNOTAVAIL and stage == "connect" and family == _AF_INET6 and not bound:
        # For IPv6 it says either that there is no port or that there is no source address.
        bound = _has_source(address)
    if isinstance(cause, int):
        candidate.error = causes.from_errno(
            cause, stage=stage, address=address, family=family, bound=bound
        )
    else:
        candidate.error = causes.from_exception(
            _with_number(cause, family), stage=stage, address=address, family=family, bound=bound
        )


def _has_source(address: Any) -> bool:
    """Tell whether this host has a source address for an IPv6 one; nothing is sent."""
    try:
        with socket.socket(_AF_INET6, socket.SOCK_DGRAM) as probe:
            return probe.connect_ex(address) != errno.EADDRNOTAVAIL
    except OSError:
        return True


def _with_number(exc: OSError, family: int) -> OSError:
    if family == _AF_UNIX and exc.errno is None and "too long" in str(exc):
        # Python refuses the path before the kernel can, without a number.
        return OSError(errno.ENAMETOOLONG, "File name too long")
    return exc
