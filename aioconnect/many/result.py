"""What became of one target."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from ..targets import shown

if TYPE_CHECKING:
    from ..errors import ConnectError
    from ..targets import AnyTarget

__all__ = ["ConnectResult"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ConnectResult:
    """What became of one target.

    Attributes:
        target: as it was given.
        index: its place in the input, from 0.
        socket: the connected socket, which is the caller's now; None if it failed.
        error: the :class:`~aioconnect.ConnectError` if it failed, else None.
        started: the instant at which it was first dialled (the loop's clock, seconds).
        ended: the instant at which it was connected or had failed.
    """

    __slots__ = ("ended", "error", "index", "socket", "started", "target")

    def __init__(self, target: AnyTarget, index: int) -> None:
        self.target = target
        self.index = index
        self.socket: socket.socket | None = None
        self.error: ConnectError | None = None
        self.started = 0.0
        self.ended = 0.0

    @property
    def elapsed(self) -> float:
        """Return the seconds from the first dial to the result."""
        return self.ended - self.started

    def unwrap(self) -> socket.socket:
        """Return the socket, which is the caller's, or raise the error.

        Raises:
            ConnectError: the target could not be connected.
        """
        if self.socket is not None:
            return self.socket
        assert self.error is not None
        # A copy: the traceback of a raised one has the caller's frame, and so this result, in it.
        raise copy(self.error)

    def __repr__(self) -> str:
        what = self.socket if self.error is None else self.error
        return f"<ConnectResult {shown(self.target)}: {what!r}>"


def peer_of(result: ConnectResult) -> Any:
    """Return the address that a result is connected to; None if it is not any more."""
    assert result.socket is not None
    try:
        return result.socket.getpeername()
    except OSError:
        return None


def give_up(result: ConnectResult) -> None:
    """Close the socket of a result so that its port is free at once."""
    sock, result.socket = result.socket, None
    assert sock is not None
    with suppress(OSError):
        # A plain close would keep the port, until the peer closes and for a minute after it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    sock.close()
