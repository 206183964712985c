"""Sockets that are slow to connect, and factories that know what they have made."""

from __future__ import annotations

import errno
import socket
from typing import Any


class Slow(socket.socket):
    """A socket whose connect is under way, as it is to a host that is not this one.

    On loopback the handshake is over when ``connect`` returns; this one does not tell.
    """

    def connect_ex(self, address: Any) -> int:
        """Connect, and say EINPROGRESS."""
        number = super().connect_ex(address)
        return errno.EINPROGRESS if number in (0, errno.EISCONN) else number


def slow(endpoint: Any) -> Slow:
    """Make sockets that connect, but not at once: a ``socket_factory``."""
    return Slow(*endpoint[:3])


class Making:
    """A ``socket_factory`` that knows what it has made."""

    def __init__(self) -> None:
        self.made: list[socket.socket] = []

    def __call__(self, endpoint: Any) -> socket.socket:
        """Make a socket."""
        self.made.append(socket.socket(*endpoint[:3]))
        return self.made[-1]

    def forget(self) -> None:
        """Let go of the sockets; each must have been closed, and know it.

        One that does not would close its number once more when it is collected, and that may be
        somebody else's by then.
        """
        made, self.made = self.made, []
        assert [sock.fileno() for sock in made] == [-1] * len(made)
