"""A supervisor on real sockets: what it owns, how it is left, what it makes caches forget."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer, events, retry
from aioconnect.resolve import Answer, Cache

from .support.account import no_warnings
from .support.loops import GRACE
from .support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = retry.constant(0.01)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with listen() as sock:
        yield sock


async def turns(number: int = GRACE) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_leaving_the_block_ends_a_dial_in_another_task() -> None:
    """At once, as a pause; nothing of it stays."""
    with black_hole() as hole, no_warnings():
        async with Dialer().supervise(hole) as connections:
            asking = asyncio.create_task(anext(connections))
            await turns()
            assert not asking.done()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(asking, 5)


async def test_a_task_that_is_cancelled_while_it_dials_is_cancelled() -> None:
    """The supervisor goes on: it may be asked again."""
    with black_hole() as hole, no_warnings():
        async with Dialer().supervise(hole) as connections:
            for _ in range(2):
                asking = asyncio.create_task(anext(connections))
                await turns()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking


async def test_a_dial_that_was_out_of_time_is_followed_by_another() -> None:
    """What never gives up does not give up for the time limit of one dial."""
    seen: list[aioconnect.Event] = []
    with black_hole() as hole:
        dialer = Dialer(timeout=0.05, retry=QUICK, on_event=seen.append)
        async with dialer.supervise(hole) as connections:
            asking = asyncio.create_task(anext(connections))
            while sum(type(each).__name__ == "AttemptStarted" for each in seen) < 3:
                assert not asking.done()
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking


async def test_a_transport_may_have_the_socket(server: socket.socket) -> None:
    """Asking for the next ends the connection, and its transport closes it in its own time."""
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    writers = []
    with no_warnings():
        async with Dialer(retry=QUICK).supervise(server.getsockname()) as connections:
            async for sock in connections:
                reader, writer = await asyncio.open_connection(sock=sock)
                writers.append(writer)
                peer, _ = server.accept()
                peer.sendall(b"a line\n")
                assert await reader.readline() == b"a line\n"
                peer.close()
                if len(writers) == 3:
                    break
                del reader, writer
        for writer in writers:
            writer.close()
        await turns()
        assert all(writer.is_closing() for writer in writers)
    assert complaints == []


async def test_a_socket_that_nobody_took_is_closed(server: socket.socket) -> None:
    """Within three turns; the peer hears of it at once."""
    async with Dialer(retry=QUICK).supervise(server.getsockname()) as connections:
        sock = await anext(connections)
        peer, _ = server.accept()
        peer.settimeout(20)
        second = await anext(connections)
        assert peer.recv(1) == b""
        await turns()
        assert sock.fileno() == -1
        peer.close()
    await turns()
    assert second.fileno() == -1


class Moving:
    """A name server whose one name moves after so many questions."""

    def __init__(self, *homes: str) -> None:
        self.homes = list(homes)
        self.asked = 0

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Say where it is now, for an hour."""
        if family == socket.AF_INET6:
            return Answer(())
        self.asked += 1
        return Answer((self.homes.pop(0) if len(self.homes) > 1 else self.homes[0],), ttl=3600)


async def test_a_name_is_forgotten_when_its_connection_was_lost_early() -> None:
    """Somebody else may have the address now; after a healthy one it is kept."""
    with listen(("127.0.0.1", 0)) as old, socket.socket() as new:
        port = old.getsockname()[1]
        new.bind(("127.0.0.2", port))
        new.listen()
        names = Moving("127.0.0.1", "127.0.0.2")
        dialer = Dialer(retry=QUICK, resolver=Cache(names), family=socket.AF_INET)
        async with dialer.supervise("db.test", port) as connections:
            first = await anext(connections)
            assert first.getpeername()[0] == "127.0.0.1"
            second = await anext(connections)
            assert second.getpeername()[0] == "127.0.0.2"
            connections.healthy()
            await anext(connections)
            assert names.asked == 2


async def test_an_unknown_name_is_waited_for_if_that_is_wanted(server: socket.socket) -> None:
    """``first="wait"``: a service that is not there yet."""
    host, port = server.getsockname()

    class Late:
        asked = 0

        async def lookup(self, name: str, family: int, /) -> Answer:
            self.asked += 1
            if self.asked < 6:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return Answer((host,) if family == socket.AF_INET else ())

    dialer = Dialer(retry=QUICK, resolver=Late())
    async with dialer.supervise("db.test", port) as connections:
        with pytest.raises(aioconnect.NameNotResolved):
            await anext(connections)
    async with dialer.supervise("db.test", port, first="wait") as connections:
        sock = await anext(connections)
        assert sock.getpeername() == (host, port)


def test_what_first_means_is_one_of_two_words() -> None:
    """Before any I/O."""
    first: Any = "ask"
    with pytest.raises(ValueError, match="'fail', 'wait'"):
        Dialer().supervise("db:1", first=first)


async def test_a_refusal_asks_the_policy_also_before_the_first(server: socket.socket) -> None:
    """It is the policy's to end it."""
    with refusing() as nobody:
        dialer = Dialer(retry=retry.attempts(3) & QUICK)
        async with dialer.supervise(nobody) as connections:
            with pytest.raises(aioconnect.ConnectionRefused) as raised:
                await anext(connections)
    assert raised.value.stopped == "attempts"


class SlowInOneFamily:
    """Knows 127.0.0.1 at once, and the IPv6 address (or nothing) only when it is told."""

    def __init__(self) -> None:
        self.answering = asyncio.Event()
        self.waiting = 0

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer for one family."""
        if family == socket.AF_INET:
            return Answer(("127.0.0.1",), source="slow", duration=0.0, family=family)
        self.waiting += 1
        try:
            await self.answering.wait()
        finally:
            self.waiting -= 1
        return Answer(("::1",), source="slow", duration=0.0, family=family)


@pytest.mark.needs("ipv6")
async def test_a_family_that_is_answered_late_joins_a_later_dial() -> None:
    """Dials follow one another meanwhile; the look-up goes on, and no others add up beside it."""
    resolver, failed = SlowInOneFamily(), 0

    def watch(event: aioconnect.Event) -> None:
        nonlocal failed
        if type(event) is events.RetryScheduled:
            failed += 1
            if failed == 5:
                resolver.answering.set()

    with listen(("::1", 0)) as server, no_warnings():
        dialer = Dialer(resolver=resolver, retry=QUICK, on_event=watch)
        async with dialer.supervise("db.test", server.getsockname()[1]) as connections:
            sock = await asyncio.wait_for(anext(connections), 20)
            assert sock.family == socket.AF_INET6
            assert failed >= 5
        await turns()
        assert not resolver.waiting


@pytest.mark.slow
async def test_the_last_dial_of_a_policy_waits_for_a_family_that_is_answered_late() -> None:
    """What would be the end of the supervision is not, before all is known."""
    resolver = SlowInOneFamily()
    with refusing() as nobody, no_warnings():
        dialer = Dialer(resolver=resolver, retry=retry.attempts(2) & QUICK, timeout=1)
        async with dialer.supervise("db.test", nobody[1]) as connections:
            with pytest.raises(aioconnect.ConnectError) as raised:
                await anext(connections)
        assert raised.value.stopped == "attempts"
        assert raised.value.elapsed >= 0.9
        await turns()
        assert not resolver.waiting
