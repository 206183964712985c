"""Of a call nothing is left but the socket that it returns."""

from __future__ import annotations

import gc
import time
import weakref
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, retry
from aioconnect.resolve import StaticResolver

from ..support.account import no_warnings, without_collector
from ..support.servers import listen, refusing
from ..support.sockets import slow
from .hooks import on_own_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine


async def test_the_losers_are_closed_before_the_call_returns(dead: tuple[str, int]) -> None:
    """Exactly the winner's socket is more than before."""
    made: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(slow(endpoint))
        return made[-1]

    with listen() as server:
        targets = [dead, dead, dead, server.getsockname()]
        call = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=factory)
        with await call as sock:
            assert [each.fileno() for each in made] == [-1, -1, -1, sock.fileno()]
            assert made[-1] is sock


async def test_of_two_that_connect_in_the_same_step_one_is_returned(
    dead: tuple[str, int],
) -> None:
    """The other is closed before the call returns; its server sees that."""
    made: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        time.sleep(0.011)  # while it lasts the time of the next attempt comes
        made.append(slow(endpoint))
        return made[-1]

    with listen() as one, listen() as other:
        targets = [dead, one.getsockname(), other.getsockname()]
        call = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=factory)
        with await call as sock:
            assert sorted(each.fileno() != -1 for each in made) == [False, False, True]
            loser = other if sock.getpeername() == one.getsockname() else one
            peer, _ = loser.accept()
            with peer:
                peer.settimeout(5)
                assert peer.recv(1) == b""


async def test_nothing_of_a_failed_call_waits_for_the_collector(dead: tuple[str, int]) -> None:
    """An error is freed when it is dropped: no frame that it knows refers to it."""
    names: Any = StaticResolver({})
    with refusing() as address, listen() as server, without_collector(), no_warnings():
        calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "refused": lambda: aioconnect.connect(*address),
            "several": lambda: aioconnect.connect([address] * 3),
            "out of time": lambda: aioconnect.connect(*dead, timeout=0.01),
            "attempt out of time": lambda: aioconnect.connect(
                [dead, address], attempt_timeout=0.01, happy_eyeballs_delay=None
            ),
            "rounds": lambda: aioconnect.connect(
                *address, retry=retry.attempts(2) & retry.constant(0.001)
            ),
            "no name": lambda: aioconnect.connect("name.test", 9, resolver=names),
            "Unix": lambda: aioconnect.connect("unix:/nowhere/at/all"),
            "bound": lambda: aioconnect.connect(*address, local_addr=("203.0.113.1", 0)),
            "streams": lambda: aioconnect.open_connection(*address),
            "observed": lambda: aioconnect.connect([address] * 2, on_event=lambda event: None),
            "own socket": lambda: on_own_socket(aioconnect.sock_connect, address),
            "own socket out of time": lambda: on_own_socket(
                aioconnect.sock_connect, dead, timeout=0.01
            ),
            "nothing pending": lambda: on_own_socket(aioconnect.connect_wait),
        }
        for name, call in calls.items():
            for _ in range(2):  # the first time something may be imported, or kept
                gc.collect()
                error = await caught(call())
                assert gc.collect() == 0, name
            assert error() is None, name
        assert server.fileno() != -1


async def caught(call: Coroutine[Any, Any, Any]) -> weakref.ref[ConnectError]:
    """Return a weak reference to the error that a call ends with."""
    try:
        await call
    except ConnectError as exc:
        return weakref.ref(exc)
    raise AssertionError("it should have failed")


async def test_a_call_that_connects_makes_no_garbage() -> None:
    """Nothing of it waits for the collector, whether it connected at once or had to wait."""
    with listen() as server, without_collector():
        for factory in (None, slow):
            for _ in range(2):
                gc.collect()
                (await aioconnect.connect(*server.getsockname(), socket_factory=factory)).close()
                assert gc.collect() == 0
