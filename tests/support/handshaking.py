"""The smallest drivers that a handshake runs under: in lock step with a script, and in poll(2)."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from aioconnect.handshake import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    Steps = Generator[int, None, object]


class Outcome(NamedTuple):
    """What came of a handshake."""

    error: OSError | None
    sent: bytes
    """What the handshake has sent."""
    unread: bytes
    """What it has left on the socket for the caller."""
    waits: int
    """How often it has waited."""


CLOSE = None
"""In a script: the peer closes."""


def converse(
    begin: Callable[[socket.socket], Steps], script: Iterable[bytes | None], *, after: bytes = b""
) -> Outcome:
    """Run a handshake against a peer that sends the next piece of its script at each wait.

    ``after`` is what the peer sends when the handshake is over.  A wait for something that is
    there already is an error of the handshake: under a poller it would be a busy loop.
    """
    pieces: Iterator[bytes | None] = iter(script)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        steps = begin(ours)
        waits, error = 0, None
        try:
            for wanted in steps:
                waits += 1
                assert wanted == READ, f"waits for {wanted}, although it can write"
                assert not _is_readable(ours), "waits for what is there already"
                piece = next(pieces)
                if piece is CLOSE:
                    theirs.shutdown(socket.SHUT_WR)
                else:
                    theirs.sendall(piece)
        except OSError as exc:
            error = exc
        finally:
            steps.close()
        for piece in pieces:
            theirs.sendall(piece or b"")
        theirs.sendall(after) if after else None
        ours.setblocking(True)
        theirs.shutdown(socket.SHUT_WR)
        unread = _receive_all(ours)
        ours.shutdown(socket.SHUT_WR)
        return Outcome(error, _receive_all(theirs), unread, waits)


def poll_through(steps: Steps, sock: socket.socket, timeout: float = 10.0) -> int:
    """Run a handshake in poll(2) to its end; return how often it was resumed."""
    deadline = time.monotonic() + timeout
    poll = select.poll()
    resumed = 0
    for wanted in steps:
        assert wanted in (READ, WRITE)
        poll.register(sock, wanted)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            steps.close()
            raise TimeoutError
        poll.unregister(sock)
        resumed += 1
    return resumed


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _receive_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data
