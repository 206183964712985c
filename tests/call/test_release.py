"""Closing what attempts have: nothing that fails on the way keeps another open."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aioconnect.polling import PollDriver
from aioconnect.race import Attempt
from aioconnect.release import close_all, close_attempt
from aioconnect.targets import endpoint


class Broken(socket.socket):
    """A socket of the caller's whose ``close`` closes it, and is interrupted."""

    def close(self) -> None:
        """Close it."""
        super().close()
        raise KeyboardInterrupt


def attempt_with(sock: socket.socket | None) -> Attempt:
    attempt = Attempt(endpoint(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 9)), 0, 1, 0.0)
    attempt.sock = sock
    return attempt


def test_it_closes_the_socket_and_says_whether_there_was_one() -> None:
    """Once: afterwards the attempt has nothing."""
    sock = socket.socket()
    attempt = attempt_with(sock)
    assert close_attempt(PollDriver(), attempt)
    assert sock.fileno() == -1
    assert not close_attempt(PollDriver(), attempt)


def test_one_close_that_raises_keeps_no_other_open() -> None:
    """Each is closed, what was raised comes out, and those that had a socket are listed."""
    broken: list[Any] = [Broken(), Broken()]
    sockets = [socket.socket(), broken[0], socket.socket(), broken[1], socket.socket()]
    attempts = [attempt_with(sock) for sock in sockets]
    cancelled: list[Attempt] = []
    with pytest.raises(KeyboardInterrupt):
        close_all(PollDriver(), [*attempts, attempt_with(None)], cancelled)
    assert [sock.fileno() for sock in sockets] == [-1] * 5
    assert cancelled == [attempts[0], attempts[2], attempts[4]]
