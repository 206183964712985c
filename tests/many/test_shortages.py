"""What this host lacks for a moment, as hooks say: who waits, for how long, and who does not."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
from typing import Any

import pytest

import aioconnect
from aioconnect import events
from aioconnect.many.room import LEAST_PAUSE, MAX_DELAYED
from aioconnect.resolve import Answer

from ..support.servers import black_hole, listen
from ..support.sockets import slow
from .running import LACKS, MAX, Gates, Refusing, Source, asking, collect, end, gated, turns, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("observed", [False, True], ids=["plain", "observed"])
@pytest.mark.parametrize("number", LACKS, ids=errno.errorcode.get)
async def test_what_is_lacking_for_a_moment_fails_no_target(
    number: int, observed: bool, server: tuple[str, int]
) -> None:
    """It is tried again after a pause, which doubles while it still lacks."""
    factory = Refusing({server[1]: [0, number, number, number, 0, number]})
    seen: list[Any] = []
    options = {"on_event": seen.append} if observed else {}
    results = await collect(
        aioconnect.connect_many([server] * 5, socket_factory=factory, limit=4, **options)
    )
    assert sorted(result.index for result in results) == list(range(5))
    assert [result.error for result in results] == [None] * 5
    assert factory.made == {server[1]: 9}
    if observed:
        slowed = [event for event in seen if isinstance(event, events.SlowedDown)]
        assert [event.error.errno for event in slowed] == [number] * 4
        assert all(1 <= event.limit <= 4 for event in slowed)
        assert all(event.target == f"127.0.0.1:{server[1]}" for event in slowed)
        first, second, third, _ = [event.at for event in slowed]
        assert second - first >= LEAST_PAUSE
        assert third - second >= 2 * LEAST_PAUSE


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.ENETDOWN, errno.EACCES])
async def test_other_failures_of_this_host_are_the_targets(
    number: int, server: tuple[str, int]
) -> None:
    """A local address that is taken, say: waiting would be for ever."""

    class Bound(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, "as it was told")

    many = aioconnect.connect_many(
        [server],
        socket_factory=lambda endpoint: Bound(*endpoint[:3]),
        local_addr=("127.0.0.1", 9999),
    )
    (result,) = await collect(many)
    assert result.error is not None
    assert result.error.errno == number


async def test_a_look_up_without_a_descriptor_is_made_again(server: tuple[str, int]) -> None:
    """A name needs one too."""
    asked = 0

    class Lacking:
        async def lookup(self, name: str, family: int) -> Answer:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise OSError(errno.EMFILE, "Too many open files")
            return Answer(("127.0.0.1",))

    many = aioconnect.connect_many(
        [("a.test", server[1])], resolver=Lacking(), family=socket.AF_INET
    )
    (result,) = await collect(many)
    assert result.error is None
    assert asked == 4


async def test_waiting_for_what_lacks_costs_a_target_nothing_of_its_time(
    server: tuple[str, int],
) -> None:
    """Not even the time of the look-ups that went before."""
    asked = 0

    class Slow:
        async def lookup(self, name: str, family: int) -> Answer:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.1)
            return Answer(("127.0.0.1",))

    factory = Refusing({server[1]: [errno.EMFILE] * 4})
    with black_hole() as hole:  # a connect in flight, whose end may free what is lacking
        many = aioconnect.connect_many(
            [("a.test", server[1]), hole],
            resolver=Slow(),
            family=socket.AF_INET,
            socket_factory=factory,
            target_timeout=0.3,
        )
        _, result = await collect(many)
    assert asked == 5
    assert result.error is None
    assert result.elapsed >= 0.5


async def test_the_deadline_says_what_was_lacking(server: tuple[str, int]) -> None:
    """Of a target that still waited for it when the time of the whole was up."""
    factory = Refusing({server[1]: [errno.EMFILE] * 1000})
    many = aioconnect.connect_many([server] * 3, socket_factory=factory, timeout=0.3, limit=2)
    results = await collect(many)
    assert [type(result.error) for result in results] == [aioconnect.TooManyOpenFiles]
    (result,) = results
    assert result.error is not None
    assert result.error.stopped == "deadline"
    assert "no time left" in str(result.error)
    assert factory.made[server[1]] < 10


async def test_per_host_holds_when_something_lacks(server: tuple[str, int]) -> None:
    """Who is tried again waits for its host like anybody else."""
    gates = Gates()
    factory = Refusing({server[1]: [errno.EMFILE, 0, errno.ENOBUFS, errno.EMFILE]})
    many = aioconnect.connect_many(
        [("a.test", server[1])] * 6, per_host=1, socket_factory=factory, **gated(gates)
    )
    gates.open("a.test")
    results = await collect(many)
    assert [result.error for result in results] == [None] * 6
    assert gates.most == 1


async def test_room_grows_again_when_there_are_descriptors(server: tuple[str, int]) -> None:
    """By and by, until as many are in flight as before."""
    gates = Gates()
    factory = Refusing({server[1]: [errno.EMFILE]})
    targets = itertools.chain([server], ((f"{n}.test", server[1]) for n in itertools.count()))
    many = aioconnect.connect_many(targets, limit=4, socket_factory=factory, **gated(gates))
    async with many as results, asyncio.timeout(MAX):
        result = await anext(results)
        assert result.socket is not None
        result.socket.close()
        task = asking(results)
        await turns()
        assert len(gates.flying) < 4
        await until(lambda: len(gates.flying) == 4)
        await end(task)
    assert gates.most == 4


async def test_who_waits_goes_on_when_what_was_lacking_is_there(
    server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the pause would be: another one has just connected to that host."""
    monkeypatch.setattr("aioconnect.many.room.LEAST_PAUSE", 2 * MAX)
    monkeypatch.setattr("aioconnect.many.room.MOST_PAUSE", 2 * MAX)
    others = Refusing({server[1]: [errno.EADDRNOTAVAIL]})
    dialled = itertools.count()

    def factory(endpoint: Any) -> socket.socket:
        return slow(endpoint) if next(dialled) == 0 else others(endpoint)

    results = await collect(aioconnect.connect_many([server] * 4, socket_factory=factory))
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [result.error for result in results] == [None] * 4


async def test_those_who_dial_elsewhere_do_not_wait_for_a_port(server: tuple[str, int]) -> None:
    """Ports are lacking for one destination; as many wait for one as ``MAX_DELAYED`` says."""

    class NoPort(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return errno.EADDRNOTAVAIL if lacking else super().connect_ex(address)

    def factory(endpoint: Any) -> socket.socket:
        host = endpoint[4][0]
        return (NoPort if host == "127.0.0.2" else socket.socket)(*endpoint[:3])

    lacking = True
    with listen(("127.0.0.2", server[1])) as other:
        source = Source(itertools.cycle([server, other.getsockname()]))
        many = aioconnect.connect_many(source, limit=1000, socket_factory=factory)
        async with many as results, asyncio.timeout(MAX):
            for _ in range(MAX_DELAYED):
                result = await anext(results)
                assert result.socket is not None
                assert result.socket.getpeername() == server
                result.socket.close()
            task = asking(results)
            await turns()
            assert not task.done()
            assert source.read == 2 * MAX_DELAYED
            lacking = False
            result = await task
            assert result.socket is not None
            assert result.index == 1  # who has waited longest
            result.socket.close()
