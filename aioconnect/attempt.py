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
from weakref import ref

from . import causes, wait
from .via import Tunnelled
from .wait import WRITE

if TYPE_CHECKING:
    from .errors import ConnectError
    from .options import Options
    from .race import Attempt
    from .targets import Endpoint, Target
    from .terms import SaidBy, Stage

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
_IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); the socket module has no name for it before 3.14
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
            made = _custom_socket(endpoint, (family, kind, proto, "", address), options, target)
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


def close(sock: socket.socket) -> None:
    """Close a spent socket, and remove the file that it was bound to.

    An ``OSError`` of the close is dropped: the descriptor is closed all the same, and neither
    the winner nor another address is lost for it (close(2), "Dealing with error returns").
    """
    mine = _paths.pop(id(sock), None) if _paths else None
    try:  # noqa: SIM105  # contextlib.suppress costs three times the system call
        sock.close()
    except OSError:
        pass
    if mine is not None:
        _, path, device, inode = mine
        with suppress(OSError):
            found = os.lstat(path)
            if (found.st_dev, found.st_ino) == (device, inode):
                os.unlink(path)


def with_scope(address: Any) -> Any:
    """Return an IPv6 address with its interface as a number.

    Raises:
        OSError: there is no such interface.
    """
    try:
        return (*address[:3], socket.if_nametoindex(address[3]))
    except OSError:  # which comes without a number
        raise OSError(errno.ENODEV, "No such device") from None


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


_paths: dict[int, tuple[Any, str, int, int]] = {}
"""The file of each socket of ours that is bound to a path, by the socket's ``id``: a reference
that ends the entry with the socket, the file's name, device and inode."""


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


def _custom_socket(
    given: Endpoint, endpoint: Endpoint, options: Options, target: Target | None
) -> socket.socket | ConnectError:
    """Make a socket as the caller wants it: policy, factory, socket options, local address.

    Args:
        given: what is dialled.
        endpoint: the same with its scope as a number.
        options: the caller's.
        target: what the endpoint is an address of, for the policy.

    Returns:
        The socket, or what one of these refused, and who.
    """
    family, kind, proto, _, _ = endpoint
    address = given[4]
    stage: Stage = "policy"
    said_by: SaidBy = "hook"
    about: Any = None
    sock: socket.socket | None = None
    try:
        if options.address_policy is not None:
            denied = _denied(given, endpoint[4], options, target)
            if denied is not None:
                return denied
        stage = "socket"
        if options.socket_factory is None:
            said_by = "kernel"
            sock = socket.socket(family, kind | _NONBLOCK, proto)
            sock.setblocking(False)
        else:
            sock = _from_factory(endpoint, options)
        said_by = "option"
        for about in options.socket_options:
            if _applies(about, family, kind):
                sock.setsockopt(*about)
        if options.local_addr is not None:
            stage, said_by = "bind", "kernel"
            about = next((each for of, each in options.local_addr if of == family), None)
            _bind(sock, family, about)
    except OSError as exc:
        if sock is not None:
            close(sock)
        return causes.from_exception(
            exc, stage=stage, address=address, family=family, said_by=said_by, about=about
        )
    except BaseException:
        if sock is not None:
            close(sock)
        raise
    return sock


def _applies(option: Any, family: int, kind: int) -> bool:
    """Whether a socket of this family and type can have an option of that level.

    One list of options serves the addresses of both families, and Unix sockets.
    """
    level = option[0]
    if level == socket.IPPROTO_IPV6:
        return family == _AF_INET6
    if level == socket.IPPROTO_IP:
        return family == socket.AF_INET
    if level == _TCP:
        return family in _INET and kind == socket.SOCK_STREAM
    return True


def _denied(
    endpoint: Endpoint, address: Any, options: Options, target: Target | None
) -> ConnectError | None:
    """Ask the policy about an address, and about the one to which a tunnel leads."""
    policy, denial = options.address_policy, options.denial
    assert policy is not None
    if isinstance(endpoint, Tunnelled) and endpoint.destination is not None:
        error = denial(policy, endpoint.destination, None if target is None else target.meant.name)
        if error is not None:
            return error
    name = None if target is None else target.dialled.name
    return denial(policy, (*endpoint[:4], address), name)


def _from_factory(endpoint: Any, options: Options) -> socket.socket:
    assert options.socket_factory is not None
    sock = options.socket_factory(endpoint)
    if not isinstance(sock, socket.socket):
        raise TypeError(f"socket_factory must return a socket.socket, not {sock!r}")
    try:
        sock.setblocking(False)
        sock.set_inheritable(False)
    except BaseException:
        close(sock)
        raise
    return sock


def _bind(sock: socket.socket, family: int, address: Any) -> None:
    if address is None:
        raise OSError(errno.EAFNOSUPPORT, "local_addr has no address of this family")
    if family in _INET:
        sock.bind(_ready_to_bind(sock, family, address))
    else:
        _bind_path(sock, address)


def _ready_to_bind(sock: socket.socket, family: int, address: Any) -> Any:
    """Return the address as bind(2) takes it, and set what lets several sockets have it."""
    if address[1]:
        # The attempts of a race share the port: their destinations differ (socket(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    elif _LINUX:
        # Let connect() choose the port: bind() would need one that is free for every destination,
        # and runs out of them far earlier (ip(7)).  Nobody asked for it: a kernel without it
        # (gVisor) does as it can.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    if family == _AF_INET6 and "%" in address[0]:  # which Python's bind() would drop
        host, _, zone = address[0].partition("%")
        scope = int(zone) if zone.isdecimal() else with_scope((host, 0, 0, zone))[3]
        flowinfo = address[2] if len(address) > 2 else 0
        return host, address[1], flowinfo, scope
    return address


def _bind_path(sock: socket.socket, path: Any) -> None:
    sock.bind(path)
    if path[:1] not in ("\0", b"\0"):
        found = os.lstat(path)
        if stat.S_ISSOCK(found.st_mode):
            number = id(sock)
            gone = ref(sock, lambda _: _paths.pop(number, None))
            _paths[number] = gone, os.path.abspath(path), found.st_dev, found.st_ino


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
