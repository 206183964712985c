"""``ordered``: results in the order of their targets, within a window of ``limit``."""

from __future__ import annotations

import asyncio
import errno
import random
from contextlib import ExitStack
from typing import Any

import pytest

import aioconnect
from aioconnect import events
from aioconnect.many.room import LEAST_PAUSE

from ..support.limits import few_descriptors
from ..support.servers import listen
from .running import (
    MAX,
    Gates,
    Refusing,
    Source,
    Turns,
    asking,
    end,
    gated,
    sources,
    take,
    turns,
    until,
)

pytestmark = pytest.mark.slow


@sources
async def test_ordered_results_wait_for_those_before_them(
    make: Any, server: tuple[str, int]
) -> None:
    """Within a window of ``limit``, counted from the first that was not handed out."""
    gates = Gates()
    gates.open(*(f"{number}.test" for number in range(1, 50)))
    source = make((f"{number}.test", server[1]) for number in range(50))
    came = []
    many = aioconnect.connect_many(source, limit=8, ordered=True, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert not task.done()
        assert source.read == 8
        gates.open("0.test")
        came.append(await task)
        async with asyncio.timeout(MAX):
            async for result in results:
                came.append(result)
                assert source.read <= result.index + 8
    assert [result.index for result in came] == list(range(50))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_the_window_holds_what_waits_for_its_host(server: tuple[str, int]) -> None:
    """``per_host`` lets nobody overtake, reads nothing beyond the window, and does not lock up."""
    gates = Gates()
    names = ["a", "a", "a", "b", "a", "b", "c", "a", "b", "a", "c", "c"] * 3
    source = Source((f"{name}.test", server[1]) for name in names)
    many = aioconnect.connect_many(source, limit=5, per_host=1, ordered=True, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert source.read == 5
        assert sorted(gates.flying) == ["a.test", "b.test"]
        gates.open("a.test", "b.test", "c.test")
        came = [await task]
        async with asyncio.timeout(MAX):
            came += [result async for result in results]
    assert [result.index for result in came] == list(range(len(names)))
    for result in came:
        assert result.socket is not None
        result.socket.close()


# Who waits for its turn, and what it holds meanwhile ----------------------------------------------


@pytest.mark.parametrize("limit", [2, 6, 30, 1000])
async def test_order_is_kept_with_too_few_descriptors(limit: int, server: tuple[str, int]) -> None:
    """Nothing is lost and nobody waits for ever, though what waits for its turn is open."""
    random_ = random.Random(limit)
    names = Turns(random_)
    targets = [
        (f"{number}.test", server[1]) if random_.random() < 0.5 else server for number in range(120)
    ]
    seen: list[Any] = []
    many = aioconnect.connect_many(
        targets, limit=limit, ordered=True, on_event=seen.append, **gated(names)
    )
    async with many as results:
        with few_descriptors(12):
            came = []
            async with asyncio.timeout(MAX):
                async for result in results:
                    assert result.error is None
                    assert result.socket is not None
                    result.socket.close()
                    came.append(result.index)
    assert came == list(range(120))
    assert (limit > 12) == any(isinstance(event, events.SlowedDown) for event in seen)


async def test_what_waits_for_its_turn_gives_its_descriptor_to_the_first(
    server: tuple[str, int],
) -> None:
    """Those that wait have every descriptor, the one they wait for none: one is given up."""
    gates = Gates()
    seen: list[Any] = []
    targets = [("slow.test", server[1]), *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=50, ordered=True, on_event=seen.append, **gated(gates)
    )
    async with many as results, asyncio.timeout(MAX):
        with few_descriptors(6):
            task = asking(results)
            await until(lambda: any(isinstance(event, events.SlowedDown) for event in seen))
            gates.open("slow.test")  # it has not even a socket yet
            came = [await task]
            assert came[0].socket is not None
            came[0].socket.close()
            async for result in results:
                assert result.socket is not None
                assert result.socket.getpeername() == server
                result.socket.close()
                came.append(result)
    assert [result.index for result in came] == list(range(21))


async def test_the_first_gets_its_descriptor_while_others_are_in_flight(
    server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Those that wait for their turn have all descriptors but that of one which never ends."""
    gates = Gates()
    seen: list[Any] = []
    targets = [("slow.test", server[1]), dead, *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=50, ordered=True, on_event=seen.append, **gated(gates)
    )
    async with many as results, asyncio.timeout(MAX):
        with few_descriptors(6):
            task = asking(results)
            await until(lambda: any(isinstance(event, events.SlowedDown) for event in seen))
            gates.open("slow.test")
            result = await task
        assert result.index == 0
        assert result.socket is not None
        result.socket.close()


async def test_it_is_the_last_that_gives_way_to_the_first() -> None:
    """Which will wait longest anyhow; and no more than what was lacking is given up."""
    gates = Gates()
    with ExitStack() as stack:
        servers = [stack.enter_context(listen()).getsockname() for _ in range(5)]
        ports = [port for _, port in servers]
        factory = Refusing({ports[0]: [errno.EMFILE]})
        targets = [("slow.test", ports[0]), *servers[1:]]
        many = aioconnect.connect_many(
            targets, ordered=True, socket_factory=factory, **gated(gates)
        )
        async with many as results, asyncio.timeout(MAX):
            task = asking(results)
            await until(lambda: len(factory.made) == 4)
            gates.open("slow.test")
            came = [await task]
            await take(results, came)
    assert factory.made == dict(zip(ports, [2, 1, 1, 1, 2], strict=True))
    assert [result.index for result in came] == list(range(5))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_what_waits_for_its_turn_leaves_less_room(
    server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a descriptor was lacking, no more are open than were then, in flight or not."""
    monkeypatch.setattr("aioconnect.many.room.GROW_EVERY", 2 * MAX)
    gates = Gates()
    factory = Refusing({server[1]: [0, 0, 0, 0, errno.EMFILE]})
    targets = [("slow.test", server[1]), *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=20, ordered=True, socket_factory=factory, **gated(gates)
    )
    async with many as results:
        task = asking(results)
        await asyncio.sleep(5 * LEAST_PAUSE)
        assert factory.made == {server[1]: 5}
        await end(task)


async def test_the_first_starts_though_there_is_no_room(
    server: tuple[str, int], dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for a port, and when it may go on others have all the descriptors there are."""
    monkeypatch.setattr("aioconnect.many.room.GROW_EVERY", 2 * MAX)
    with listen(("127.0.0.2", 0)) as other:
        factory = Refusing(
            {
                other.getsockname()[1]: [errno.EADDRNOTAVAIL],
                server[1]: [0, 0, errno.EMFILE, 0],
            }
        )
        targets = [other.getsockname(), dead, *[server] * 4]
        many = aioconnect.connect_many(targets, ordered=True, socket_factory=factory)
        async with many as results, asyncio.timeout(MAX):
            result = await anext(results)
            assert result.index == 0
            assert result.socket is not None
            result.socket.close()
