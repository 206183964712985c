"""Readiness: what is watched is reported once, with and without epoll."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from typing import Any

import pytest

import aioconnect
from aioconnect import poller
from aioconnect.wait import READ, WRITE

from ..support.account import polled
from ..support.servers import listen, refusing
from ..support.sockets import Slow, slow
from .driven import turns


class Looked(socket.socket):
    """A socket that counts how often it was asked how its connect has ended."""

    looks = 0

    def getsockopt(self, level: int, option: int, *size: int) -> Any:
        """Return an option."""
        self.looks += (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR)
        return super().getsockopt(level, option, *size)


async def test_a_spurious_wake_up_is_waited_out(way: str, dead: tuple[str, int]) -> None:
    """Whoever wakes a call with nothing new only makes it look; then it waits again."""
    made: list[Looked] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(Looked(*endpoint[:3]))
        return made[-1]

    task = asyncio.create_task(aioconnect.connect(*dead, socket_factory=factory))
    await turns(3)
    (sock,) = made
    kept = poller.of(asyncio.get_running_loop())
    watcher: Any = kept._watcher()
    for number in range(5):
        assert sock.looks == number
        driven = watcher._waiting[sock.fileno()][0]
        kept.unwatch(sock)
        driven.put((sock, WRITE))
        await turns(3)
    assert sock.looks == 5
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_calls_connect_whatever_readiness_comes_from(way: str, dead: tuple[str, int]) -> None:
    """One, many at once, a race, the caller's own: with epoll and with ``add_writer``."""
    with listen(backlog=1000) as server, refusing() as nobody:
        address = server.getsockname()
        (await aioconnect.connect(*address, socket_factory=slow)).close()
        targets = [nobody, dead, address]
        race = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow)
        (await race).close()
        calls = [aioconnect.connect(*address, socket_factory=slow) for _ in range(100)]
        for sock in await asyncio.gather(*calls):
            assert sock.getpeername() == address
            sock.close()
        with Slow(socket.AF_INET, socket.SOCK_STREAM) as own:
            own.setblocking(False)
            await aioconnect.sock_connect(own, address)
            assert own.getpeername() == address
        with socket.socket() as own:
            own.setblocking(False)
            with pytest.raises(aioconnect.DeadlineExceeded):
                await aioconnect.sock_connect(own, dead, timeout=0.01)


@pytest.mark.parametrize("events", [READ, WRITE], ids=["reading", "writing"])
async def test_what_is_watched_is_reported_once(way: str, events: int) -> None:
    """A descriptor that stays ready does not keep the loop busy."""
    kept, alarm = poller.of(asyncio.get_running_loop()), poller.Alarm()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        peer, _ = server.accept()
        with peer:
            peer.send(b"!")
            for number in (1, 2):
                kept.watch(alarm, sock, events)
                await alarm.sleep(kept, kept.clock() + 20)
                await turns(10)
                assert [one for one, _ in alarm.items] == [sock] * number
                assert not [line for _, line in polled() if line.split()[1] == str(sock.fileno())]


async def test_what_is_watched_for_reading_is_not_reported_when_it_can_be_written(
    way: str,
) -> None:
    """Nor the other way round."""
    kept, alarm = poller.of(asyncio.get_running_loop()), poller.Alarm()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        peer, _ = server.accept()
        with peer:
            kept.watch(alarm, sock, READ)
            await turns(10)
            assert not alarm.items
            peer.send(b"!")
            await alarm.sleep(kept, kept.clock() + 20)
            assert [one for one, _ in alarm.items] == [sock]


async def test_a_socket_that_has_failed_is_reported_whatever_it_is_watched_for(way: str) -> None:
    """Its next call says what is wrong."""
    kept, alarm = poller.of(asyncio.get_running_loop()), poller.Alarm()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        kept.watch(alarm, sock, READ)
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await alarm.sleep(kept, kept.clock() + 20)
        assert [one for one, _ in alarm.items] == [sock]
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


async def test_what_is_no_longer_watched_is_not_reported(way: str) -> None:
    """Also when it was ready already; to forget twice, or what was never there, does no harm."""
    kept, alarm = poller.of(asyncio.get_running_loop()), poller.Alarm()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        kept.unwatch(sock)
        kept.watch(alarm, sock, WRITE)
        with sock.dup() as other:
            kept.unwatch(other)  # another one: not this one
        assert is_watched(sock)
        kept.unwatch(sock)
        assert not is_watched(sock)
        kept.unwatch(sock)
        await turns(10)
        assert not alarm.items


def is_watched(sock: socket.socket) -> bool:
    """Whether the poller watches a socket; libuv's own queue needs a turn to say so."""
    watcher: Any = poller.of(asyncio.get_running_loop())._watcher()
    return sock.fileno() in watcher._waiting


async def test_two_waits_for_one_socket_cannot_be(way: str, pending: socket.socket) -> None:
    """The second is told so at once, and does not disturb the first."""
    first = asyncio.create_task(aioconnect.connect_wait(pending))
    await turns(2)
    for _ in range(2):
        with pytest.raises(aioconnect.SocketBusy) as raised:
            await aioconnect.connect_wait(pending, timeout=20)
        assert raised.value.errno == errno.EALREADY
        assert raised.value.code == "already_in_progress"
    assert not first.done()
    assert is_watched(pending)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_socket_that_is_closed_under_a_wait_is_noticed_when_its_number_is_used_again(
    dead: tuple[str, int],
) -> None:
    """Epoll forgets a closed descriptor in silence; the next socket of that number tells."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(dead)
    first = asyncio.create_task(aioconnect.connect_wait(sock, timeout=20))
    await turns(3)
    number = sock.fileno()
    sock.close()
    with socket.socket() as other:
        assert other.fileno() == number
        other.setblocking(False)
        other.connect_ex(dead)
        second = asyncio.create_task(aioconnect.connect_wait(other))
        with pytest.raises(aioconnect.SocketUnusable) as raised:
            await first
        assert raised.value.errno == errno.EBADF
        assert not second.done()
        assert is_watched(other)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_a_copy_of_a_closed_descriptor_does_not_keep_the_loop_busy() -> None:
    """Epoll goes on to report a descriptor that was closed while a copy of it is open."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(str(context["message"])))
    kept, alarm = poller.of(loop), poller.Alarm()
    with listen() as server:
        sock = socket.create_connection(server.getsockname())
        with sock.dup():
            kept.watch(alarm, sock, WRITE)
            sock.close()
            await turns(20)
            assert len(complaints) <= 1
            before = time.process_time()
            await asyncio.sleep(0.2)
            assert time.process_time() - before < 0.1
    assert [one for one, _ in alarm.items] == [sock]
    assert not complaints
