"""Each attempt is a fresh socket, and no more are open than allowed."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer, retry

from ..support.servers import NAME, full_backlog, refusing


async def test_each_attempt_is_a_fresh_socket_and_the_failed_one_is_closed_first() -> None:
    """Through rounds and their pauses no failed socket is open, and none is used again."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def count() -> None:
        open_.append(sum(sock.fileno() != -1 for sock in made))

    def factory(endpoint: Any) -> socket.socket:
        count()
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    policy = retry.attempts(3) & retry.constant(0.001)
    with refusing() as address:
        dialer = Dialer(socket_factory=factory, retry=policy, on_event=lambda event: count())
        with pytest.raises(ConnectionRefusedError):
            await dialer.connect([address, address])
    assert len({id(sock) for sock in made}) == 6
    assert max(open_) == 0


async def test_each_try_at_a_full_backlog_is_a_fresh_socket() -> None:
    """While a call waits for a place in a Unix socket's backlog it holds no socket."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        open_.append(sum(sock.fileno() != -1 for sock in made))
        made.append(socket.socket(*endpoint[:3]))
        if len(made) == 4:
            server.accept()[0].close()
        return made[-1]

    with full_backlog(f"\0{NAME}") as server:
        (await aioconnect.connect(f"unix:@{NAME}", socket_factory=factory)).close()
    assert len({id(sock) for sock in made}) == 4
    assert max(open_) == 0


@pytest.mark.parametrize("most", [1, 3, 6])
async def test_no_more_attempts_are_open_than_allowed(dead: tuple[str, int], most: int) -> None:
    """However many addresses there are; as one ends the next begins."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        open_.append(sum(sock.fileno() != -1 for sock in made))
        return made[-1]

    dialer = Dialer(
        happy_eyeballs_delay=0,
        attempt_timeout=0.05 * most,
        socket_factory=factory,
        **({} if most == 6 else {"max_concurrent": most}),
    )
    with pytest.raises(TimeoutError):
        await dialer.connect([dead] * (most + 2))
    assert len(made) == most + 2
    assert max(open_) == most
