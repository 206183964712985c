"""A fresh socket as the caller wants it: policy, factory, socket options, local address.

And its end: a socket that was bound to a path takes its file along when it is closed.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

from . import causes
from .via import Tunnelled

if TYPE_CHECKING:
    from .errors import ConnectError
    from .options import Options
    from .targets import Endpoint, Target
    from .terms import SaidBy, Stage

__all__ = ["close", "custom_socket", "with_scope"]

_AF_INET6 = int(socket.AF_INET6)
_INET = frozenset((int(socket.AF_INET), _AF_INET6))
_TCP = int(socket.IPPROTO_TCP)
_NONBLOCK = int(getattr(socket, "SOCK_NONBLOCK", 0))
_LINUX = sys.platform == "linux"
_IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); the socket module has no name for it before 3.14


def custom_socket(
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
        return sock
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
    sock: Any = None
    try:
        sock = options.socket_factory(endpoint)
        if not isinstance(sock, socket.socket):
            raise TypeError(f"socket_factory must return a socket.socket, not {sock!r}")
        sock.setblocking(False)
        sock.set_inheritable(False)
        return sock
    except BaseException:
        if isinstance(sock, socket.socket):
            close(sock)
        raise


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


def with_scope(address: Any) -> Any:
    """Return an IPv6 address with its interface as a number.

    Raises:
        OSError: there is no such interface.
    """
    try:
        return (*address[:3], socket.if_nametoindex(address[3]))
    except OSError:  # which comes without a number
        raise OSError(errno.ENODEV, "No such device") from None


# The end ------------------------------------------------------------------------------------------

_paths: dict[int, tuple[Any, str, int, int]] = {}
"""The file of each socket of ours that is bound to a path, by the socket's ``id``: a reference
that ends the entry with the socket, the file's name, device and inode."""


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
