"""A handshake over the connected socket, on asyncio, on uvloop and by poll(2).

The one here says a byte and waits for one; its peers do what the tests need.  When what happens is
in ``test_door.py``, in virtual time.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, events, retry
from aioconnect.stages import StageSpec
from aioconnect.wait import READ, WRITE

from ..support.account import no_warnings
from ..support.apis import APIS, Api
from ..support.servers import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


def greet(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
    """Say a byte, and wait for one."""
    yield WRITE
    sock.send(b"?")
    yield READ
    if not sock.recv(1):
        raise ConnectionResetError(errno.ECONNRESET, "the peer has hung up")


@contextmanager
def peer(*conduct: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """Give the address of a server that treats each connection in its way; the last one stays."""
    ways = list(conduct)
    open_: list[socket.socket] = []
    with listen() as server:

        def serve() -> None:
            with suppress(OSError):  # the listener was shut down
                while True:
                    connection, _ = server.accept()
                    open_.append(connection)
                    connection.settimeout(20)
                    with suppress(OSError):
                        (ways.pop(0) if len(ways) > 1 else ways[0])(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            for connection in open_:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in open_:
                connection.close()


def says(connection: socket.socket) -> None:
    """Answer."""
    connection.recv(1)
    connection.send(b"!")


def speaks(connection: socket.socket) -> None:
    """Say a byte at once."""
    connection.send(b"!")


def silent(connection: socket.socket) -> None:
    """Listen, and say nothing."""
    connection.recv(1)


def resets(connection: socket.socket) -> None:
    """Listen, and reset the connection."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drips(connection: socket.socket) -> None:
    """Say one byte after the other, until the peer has enough."""
    while True:
        connection.send(b".")
        time.sleep(0.01)


def thorough(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
    """Read until there is something else than a dot."""
    while True:
        yield READ
        if sock.recv(1) != b".":
            return


def test_a_byte_each_way(api: Api) -> None:
    """Then the socket is the caller's, as any other."""
    with peer(says) as address, api.connect(address, handshake=greet) as sock:
        assert sock.getpeername() == address
        sock.setblocking(True)
        sock.settimeout(20)
        sock.send(b"?")


def test_another_address_wins_over_one_that_stalls(api: Api) -> None:
    """At the pace of the race; the one that stalls is closed."""
    told: list[str] = []

    def on_event(event: events.Event) -> None:
        told.append(f"{type(event).__name__} {getattr(event, 'address', ('', ''))[1]}")

    with peer(silent) as dead, peer(says) as live:
        targets = [dead, live]
        options: Any = {"happy_eyeballs_delay": 0.05, "on_event": on_event}
        with api.connect(targets, handshake=greet, **options) as sock:
            assert sock.getpeername() == live
    assert told == [
        f"AttemptStarted {dead[1]}",
        f"HandshakeStarted {dead[1]}",
        f"AttemptStarted {live[1]}",
        f"HandshakeStarted {live[1]}",
        f"Connected {live[1]}",
        f"AttemptCancelled {dead[1]}",
    ]


def test_a_reset_is_retried(api: Api) -> None:
    """With a fresh connection and a fresh handshake."""
    policy = retry.attempts(5) & retry.constant(0.01)
    with peer(resets, resets, says) as address:
        api.connect(address, handshake=greet, retry=policy, timeout=20).close()


def test_a_reset_says_where_it_was(api: Api) -> None:
    """In the handshake, at that address."""
    with peer(resets) as address:
        error = api.fails(address, handshake=greet, timeout=20)
    assert isinstance(error, ConnectionResetError)
    assert error.stage == "handshake"
    assert error.attempts[0].address == address


@pytest.mark.parametrize(("conduct", "handshake"), [(silent, greet), (drips, thorough)])
def test_one_that_stalls_or_drips_ends_by_the_deadline(
    api: Api, conduct: Any, handshake: Any
) -> None:
    """Also where something comes again and again."""
    with peer(conduct) as address:
        error = api.fails(address, handshake=handshake, timeout=0.3)
    assert isinstance(error, aioconnect.DeadlineExceeded)
    assert error.stage == "handshake"
    assert 0.3 <= error.elapsed < 3


def test_an_attempt_ends_by_its_limit_and_the_next_begins(api: Api) -> None:
    """The limit is the attempt's, all its stages included."""
    with peer(drips) as slow, peer(speaks) as live:
        options: Any = {"attempt_timeout": 0.2, "happy_eyeballs_delay": None}
        with api.connect([slow, live], handshake=thorough, **options) as sock:
            assert sock.getpeername() == live


def test_many_at_once(api: Api) -> None:
    """Each waits for its own."""
    with peer(says) as address:
        for sock in api.together([((address,), {"handshake": greet, "timeout": 20})] * 30):
            assert isinstance(sock, socket.socket), sock
            sock.close()


async def test_cancelled_in_the_middle_it_leaves_nothing() -> None:
    """The peer sees the end of the connection."""
    heard = threading.Event()
    ended = threading.Event()

    def watch(connection: socket.socket) -> None:
        connection.recv(1)
        heard.set()
        with suppress(ConnectionResetError):
            connection.recv(1)
        ended.set()

    with peer(watch) as address, no_warnings():
        task = asyncio.create_task(aioconnect.connect(address, handshake=greet))
        await asyncio.to_thread(heard.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(ended.wait, 20)


# Stages that need the loop ------------------------------------------------------------------------


async def dial(address: Any, handshake: Any, **options: Any) -> Any:
    """Dial with a coroutine as the last stage."""
    from aioconnect import engine
    from aioconnect.targets import parse_all

    dialer = aioconnect.Dialer(**options)

    def end(sock: socket.socket, task: asyncio.Task[Any]) -> None:
        task.cancel()
        sock.close()

    stage = StageSpec("tls", undo=lambda made: made.close(), run=handshake, end=end)
    return await engine.dial(parse_all(address), dialer, (stage,))


async def test_a_stage_may_be_a_coroutine() -> None:
    """What it returns is the call's."""

    async def handshake(sock: socket.socket, target: Any) -> socket.socket:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, b"?")
        assert await loop.sock_recv(sock, 1) == b"!"
        return sock

    with peer(says) as address:
        call = await dial(address, handshake)
        call.result.close()


async def test_a_coroutine_that_loses_is_cancelled_and_closes_what_it_took() -> None:
    """As one that is left, and one whose time is up."""
    took: list[socket.socket] = []

    async def handshake(sock: socket.socket, target: Any) -> socket.socket:
        took.append(sock)
        try:
            await asyncio.get_running_loop().sock_recv(sock, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    with peer(silent) as dead, peer(speaks) as live:
        call = await dial([dead, live], handshake, happy_eyeballs_delay=0.02)
        call.result.close()
        with pytest.raises(TimeoutError):
            await dial(dead, handshake, timeout=0.05)
        task = asyncio.create_task(dial(dead, handshake))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(3):
            await asyncio.sleep(0)
    assert len(took) == 4
    assert [sock.fileno() for sock in took] == [-1] * 4


async def test_a_coroutine_that_somebody_else_cancels_is_a_failed_attempt() -> None:
    """The call was not cancelled, and so it does not end so."""

    async def handshake(sock: socket.socket, target: Any) -> socket.socket:
        sock.close()
        raise asyncio.CancelledError

    with peer(silent) as address, pytest.raises(ConnectError, match="cancelled") as caught:
        await dial(address, handshake)
    assert caught.value.stage == "tls"
