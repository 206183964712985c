"""What an attempt says on its socket before the socket is the caller's: the door and its tools.

A handshake is a function from the connected, non-blocking socket of one attempt, and the address
that it is connected to, to a generator.  The generator sends and receives by itself.  Where the
kernel answers EAGAIN it yields ``READ`` or ``WRITE``, and is resumed when the socket is ready for
that, or has an error or a hang-up.  It returns when the socket is ready for what comes next, and
raises an ``OSError`` to fail the attempt; then the race goes on to the next address.

A handshake never closes the socket, never blocks, and has no clock: the time limits are those of
the attempt and of the call.  When the attempt is cancelled or out of time the generator is closed
(``GeneratorExit``).  It knows no event loop, so that it runs alike under each driver.
"""

from __future__ import annotations

from socket import MSG_PEEK, socket
from typing import TYPE_CHECKING

from .. import causes
from ..targets import Handshake
from ..wait import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["READ", "WRITE", "Handshake", "Hidden", "peek", "recv_exactly", "send_all"]


class Hidden:
    """Bytes that no ``repr`` shows, and no tool that prints the local variables of a traceback."""

    __slots__ = ("_bytes",)

    def __init__(self, data: bytes) -> None:
        self._bytes = data

    def __len__(self) -> int:
        return len(self._bytes)

    def __getitem__(self, part: slice) -> bytes:
        return self._bytes[part]

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Hidden) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bytes)


def send_all(sock: socket, data: bytes | Hidden) -> Generator[int, None, None]:
    """Send all of ``data``; used with ``yield from``."""
    sent = 0
    while sent < len(data):
        try:
            sent += sock.send(data[sent:])
        except BlockingIOError:
            yield WRITE


def recv_exactly(sock: socket, count: int) -> Generator[int, None, bytes]:
    """Receive ``count`` bytes, and none beyond; used with ``yield from``, which gives them.

    Raises:
        PeerClosed: the peer has closed before they were all there.
    """
    data = b""
    while len(data) < count:
        try:
            received = sock.recv(count - len(data))
        except BlockingIOError:
            yield READ
            continue
        if not received:
            raise causes.closed_early()
        data += received
    return data


def peek(sock: socket, most: int) -> Generator[int, None, bytes]:
    """Wait for data, and look at up to ``most`` bytes of it, which stay on the socket.

    Take something off before the next ``peek`` that should wait: what was left there is reported
    again at once.  Empty if the peer has closed.
    """
    while True:
        try:
            return sock.recv(most, MSG_PEEK)
        except BlockingIOError:
            yield READ
