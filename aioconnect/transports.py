"""What a loop's transport does with a socket, and how its connection is ended."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["OWN_METHOD", "end_connection", "has_transport", "own_create_connection"]

OWN_METHOD = "_aioconnect_own_create_connection"
"""Where a loop that dials through a dialer (``loops.py``) keeps its own ``create_connection``."""

TURNS = 2
"""Turns of the loop in which a transport that has a socket closes it after a shutdown."""

_UNKNOWN = -1
"""An inode that could not be asked for."""

_RESET = struct.pack("ii", 1, 0)


def own_create_connection(loop: asyncio.AbstractEventLoop) -> Any:
    """Return the loop's own ``create_connection``, which makes the transport of a socket."""
    return getattr(loop, OWN_METHOD, None) or loop.create_connection


def end_connection(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, *, reset: bool = False
) -> None:
    """End a connection whose socket a transport may have, or may have had.

    The transport must not lose its descriptor to somebody else: so the connection is shut down,
    the transport has its turns, and the socket is closed only if no transport has it then.

    Args:
        loop: the running loop.
        sock: the socket.
        reset: whatever the peer still sends is answered by a reset.
    """
    inode = _UNKNOWN
    try:
        inode = _inode_unless_closed(sock)
        if inode:
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RDWR)
    finally:  # whatever is raised in there, somebody closes it
        loop.call_soon(_close, loop, sock, inode, TURNS)


def has_transport(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> bool:
    """Tell whether a transport of the loop has the socket."""
    try:
        loop.remove_reader(sock)
    except RuntimeError:
        return True
    return False


def _close(loop: asyncio.AbstractEventLoop, sock: socket.socket, inode: int, turns: int) -> None:
    if turns:
        loop.call_soon(_close, loop, sock, inode, turns - 1)
        return
    now = _inode_unless_closed(sock)
    if now and inode not in (now, _UNKNOWN):
        sock.detach()  # the number was closed, and is another's
    elif now and not has_transport(loop, sock):
        sock.close()


def _inode_unless_closed(sock: socket.socket) -> int:
    """Return the inode of a socket; 0 if it is closed.

    libuv closes the number, and (uvloop 0.23, a handshake that fails at once) forgets to tell the
    object, which would close it once more when it may be another's.
    """
    number = sock.fileno()
    if number < 0:
        return 0
    try:
        return os.fstat(number).st_ino
    except OSError:
        sock.detach()
        return 0
