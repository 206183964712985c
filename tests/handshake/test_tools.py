"""The tools that handshakes are made of: they wait where the kernel says so, and read no more."""

from __future__ import annotations

import socket
import traceback
from typing import TYPE_CHECKING

import pytest

from aioconnect import PeerClosed
from aioconnect.handshake import READ, WRITE, Hidden, peek, recv_exactly, send_all

from ..support.handshaking import CLOSE, converse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


def receive(count: int) -> Callable[[socket.socket], Generator[int, None, bytes]]:
    def begin(sock: socket.socket) -> Generator[int, None, bytes]:
        return (yield from recv_exactly(sock, count))

    return begin


def test_recv_exactly_waits_for_each_piece_and_leaves_the_rest() -> None:
    """Ten bytes that come in three pieces, with words of the server behind them in the last."""
    outcome = converse(receive(10), [b"012", b"3456", b"789server"])
    assert outcome.error is None
    assert outcome.waits == 3
    assert outcome.unread == b"server"


@pytest.mark.parametrize("sent", range(4))
def test_a_peer_that_closes_too_early_is_a_failed_handshake(sent: int) -> None:
    """recv_exactly says that the peer closed, whatever had come before."""
    outcome = converse(receive(4), [b"abcd"[:sent], CLOSE] if sent else [CLOSE])
    assert isinstance(outcome.error, PeerClosed)
    assert isinstance(outcome.error, BrokenPipeError)
    assert "closed in the handshake" in str(outcome.error)


def test_what_was_peeked_is_still_there() -> None:
    """Peeking gives what is there, up to so much, and takes nothing off."""

    def begin(sock: socket.socket) -> Generator[int, None, None]:
        assert (yield from peek(sock, 3)) == b"abc"
        assert (yield from peek(sock, 100)) == b"abcdef"

    outcome = converse(begin, [b"abcdef"])
    assert (outcome.error, outcome.unread, outcome.waits) == (None, b"abcdef", 1)


def test_peek_is_empty_when_the_peer_has_closed() -> None:
    """As recv is."""

    def begin(sock: socket.socket) -> Generator[int, None, None]:
        assert (yield from peek(sock, 3)) == b""

    assert converse(begin, [CLOSE]).error is None


@pytest.mark.parametrize("wrap", [bytes, Hidden], ids=["bytes", "hidden"])
def test_send_all_waits_until_there_is_room(wrap: type[bytes | Hidden]) -> None:
    """More than the buffers hold goes out piece by piece, whole and in order."""
    data = bytes(range(256)) * 8192
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        came = b""
        waits = 0
        for wanted in send_all(ours, wrap(data)):
            assert wanted == WRITE
            waits += 1
            came += theirs.recv(65536)
        while len(came) < len(data):
            came += theirs.recv(65536)
        assert came == data
        assert waits > 1


def test_a_closed_generator_leaves_the_socket_alone() -> None:
    """A cancelled attempt closes the generator; the socket is the attempt's to close."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        steps = recv_exactly(ours, 1)
        assert next(steps) == READ
        steps.close()
        assert ours.fileno() >= 0


def test_what_is_hidden_is_shown_by_nothing() -> None:
    """Neither by a repr nor by a traceback that prints local variables."""
    hidden = Hidden(b"hunter2")
    assert "hunter2" not in repr(hidden) + str(hidden)
    assert (len(hidden), hidden[2:]) == (7, b"nter2")
    with (
        socket.socket() as sock,
        pytest.raises(BrokenPipeError) as caught,
    ):
        for _ in send_all(sock, hidden):
            pass
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "hunter2" not in "".join(shown.format()).replace('b"hunter2"', "")
