"""A limit that is noticed late is judged after a look: whoever held the loop made nobody late.

A peer in user space answers each SYN after a while; meanwhile somebody's synchronous code keeps
the loop (or, without one, a signal handler keeps the thread) past the time limit.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError

from ..support.loops import LOOPS
from ..support.needs import needs
from ..support.networks import ACK, SYN, Syn, TunPeer, namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

pytestmark = [needs("netns", "tun"), pytest.mark.slow]

HOST = ("10.77.1.1", 80)
LIMIT = 0.2
"""Seconds that each call may take."""
ANSWERED = 0.1
"""When its peer answers."""
HELD = 0.5
"""When whoever holds the loop lets go of it."""


@contextmanager
def peer(after: float) -> Iterator[None]:
    """Be in a network with a host that answers each SYN after so many seconds."""

    def answer(syn: Syn) -> list[bytes]:
        time.sleep(after)
        return [syn.tcp(SYN | ACK)]

    with namespace() as network, TunPeer(network) as there:
        there.answer(HOST[0], answer)
        yield


async def connect(**options: Any) -> None:
    """Connect."""
    (await aioconnect.connect(HOST, **options)).close()


async def sock_connect() -> None:
    """Connect a socket of one's own."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await aioconnect.sock_connect(sock, HOST, timeout=LIMIT)


async def connect_wait() -> None:
    """Wait for a socket of one's own."""
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(HOST)
        await aioconnect.connect_wait(sock, timeout=LIMIT)


CALLS: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "connect": lambda: connect(timeout=LIMIT),
    "attempt": lambda: connect(attempt_timeout=LIMIT, timeout=20),
    "observed": lambda: connect(timeout=LIMIT, on_event=lambda event: None),
    "sock_connect": sock_connect,
    "connect_wait": connect_wait,
}


async def hold(where: str, begun: float) -> None:
    """Keep the loop, in a task or where data comes in, until it is too late."""
    if where == "task":
        time.sleep(begun + HELD - time.monotonic())  # noqa: ASYNC251
        return
    near, far = socket.socketpair()
    came = asyncio.Event()

    class Slow(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            time.sleep(begun + HELD - time.monotonic())
            came.set()

    near.setblocking(False)
    with far:
        transport, _ = await asyncio.get_running_loop().create_connection(Slow, sock=near)
        far.send(b"!")
        await came.wait()
        transport.close()


@pytest.mark.parametrize("where", ["task", "protocol"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("kind", LOOPS)
def test_a_connection_that_was_there_in_time_is_no_late_one(
    kind: str, call: Callable[[], Coroutine[Any, Any, None]], where: str
) -> None:
    """Whichever the loop hears of first, the timer or the socket."""

    async def main() -> None:
        begun = time.monotonic()
        task = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        assert not task.done()
        await hold(where, begun)
        await task

    with peer(ANSWERED), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        runner.run(main())


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("kind", LOOPS)
def test_one_that_is_not_there_when_it_is_looked_at_is_late(
    kind: str, call: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """The loop was held, and the peer is slow all the same."""

    async def main() -> None:
        begun = time.monotonic()
        task = asyncio.create_task(call())
        await asyncio.sleep(0.01)
        await hold("task", begun)
        with pytest.raises(TimeoutError):
            await task

    with peer(2 * HELD), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        runner.run(main())


def on_own_socket(function: Any, *args: Any) -> None:
    """Call a blocking function on a socket of one's own."""
    with socket.socket() as sock:
        if not args:
            sock.setblocking(False)
            sock.connect_ex(HOST)
        function(sock, *args, timeout=LIMIT)


BLOCKING: dict[str, Callable[[], Any]] = {
    "connect": lambda: aioconnect.blocking.connect(HOST, timeout=LIMIT).close(),
    "attempt": lambda: aioconnect.blocking.connect(HOST, attempt_timeout=LIMIT).close(),
    "sock_connect": lambda: on_own_socket(aioconnect.blocking.sock_connect, HOST),
    "connect_wait": lambda: on_own_socket(aioconnect.blocking.connect_wait),
}


@pytest.mark.parametrize("call", BLOCKING.values(), ids=BLOCKING)
@pytest.mark.parametrize("answered", [ANSWERED, 2 * HELD], ids=["in time", "late"])
def test_without_a_loop_it_is_the_same(call: Callable[[], Any], answered: float) -> None:
    """A signal handler takes its time."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: time.sleep(HELD))
    try:
        with peer(answered):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            if answered < LIMIT:
                call()
            else:
                with pytest.raises(ConnectError) as raised:
                    call()
                assert isinstance(raised.value, TimeoutError)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
