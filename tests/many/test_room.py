"""How many targets are read, and how many sockets are open: memory is bounded by ``limit``."""

from __future__ import annotations

import asyncio
import gc
import itertools
import resource
import socket
import tracemalloc
from typing import Any

import pytest

import aioconnect
from aioconnect import events
from aioconnect.many import default_limit
from aioconnect.poller import SLOTS

from ..support.limits import few_descriptors
from ..support.servers import refusing
from ..support.sockets import Slow, slow
from .running import AsyncSource, Gates, Open, asking, collect, end, gated, sources, turns

pytestmark = pytest.mark.slow


# What is read when --------------------------------------------------------------------------------


@sources
async def test_nothing_is_read_before_somebody_asks(make: Any, server: tuple[str, int]) -> None:
    """Entering the block reads nothing, and so does leaving it."""
    source = make([server])
    async with aioconnect.connect_many(source):
        await turns()
        assert source.read == 0
    await turns()
    assert source.read == 0


@sources
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
@pytest.mark.parametrize("limit", [1, 3, SLOTS + 10])
async def test_as_many_are_read_as_there_is_room_for(
    make: Any, limit: int, ordered: bool, server: tuple[str, int]
) -> None:
    """Exactly ``limit`` are in flight, and one more is read for each result that was handed out."""
    gates = Gates()
    source = make((f"{number}.test", server[1]) for number in itertools.count())
    many = aioconnect.connect_many(source, limit=limit, ordered=ordered, **gated(gates))
    async with many as results:
        for handed_out in range(4):
            task = asking(results)
            await turns(limit + 30)
            assert not task.done()
            assert source.read == handed_out + limit
            assert len(gates.flying) == limit
            gates.open(f"{handed_out}.test")
            result = await task
            assert result.socket is not None
            result.socket.close()
            await turns()
            assert source.read == handed_out + limit
    await turns()
    assert source.read == 3 + limit
    assert not gates.flying
    assert gates.most == limit


@sources
async def test_results_that_nobody_took_leave_less_room(make: Any, server: tuple[str, int]) -> None:
    """Results that wait to be handed out count: memory is bounded by ``limit``."""
    gates = Gates()
    source = make((f"{number}.test", server[1]) for number in itertools.count())
    async with aioconnect.connect_many(source, limit=5, **gated(gates)) as results:
        task = asking(results)
        await turns()
        gates.open("0.test", "1.test", "2.test")
        closing = [await task]
        await turns()
        assert source.read == 5
        closing.append(await anext(results))  # of the three that are done; one place became free
        await turns()
        assert source.read == 6
        closing.append(await anext(results))
        await turns()
        assert source.read == 7
        for result in closing:
            assert result.socket is not None
            result.socket.close()


@sources
async def test_a_run_of_bad_targets_is_not_read_ahead(make: Any, server: tuple[str, int]) -> None:
    """They are results like others; in order they wait for their turn within the window."""
    gates = Gates()
    source = make(itertools.chain([("a.test", server[1])], itertools.repeat("no target")))
    async with aioconnect.connect_many(source, limit=7, ordered=True, **gated(gates)) as results:
        task = asking(results)
        await turns()
        assert source.read == 7
        await end(task)
    source = make(itertools.repeat("no target"))
    async with aioconnect.connect_many(source, limit=7) as results:
        assert (await anext(results)).error is not None
        await turns()
        assert source.read <= 7


@pytest.mark.parametrize("what", ["connects", "refused", "list refused", "bad"])
async def test_targets_that_end_at_once_leave_the_loop_to_others(
    what: str, server: tuple[str, int]
) -> None:
    """No more than ``SLOTS`` of them in one turn of the loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    with refusing() as nobody:
        targets = {"connects": server, "refused": nobody, "bad": "no target"}
        target: Any = targets.get(what, [nobody, ("127.0.0.2", nobody[1])])
        await collect(aioconnect.connect_many([target] * (SLOTS * 10)))
    assert ticks >= 10
    await end(ticker)


async def test_what_does_not_complete_at_once_takes_no_turn(dead: tuple[str, int]) -> None:
    """Three times ``SLOTS`` are under way before the loop has gone on."""
    opened = Open(socket.socket)
    many = aioconnect.connect_many(itertools.repeat(dead), limit=3 * SLOTS, socket_factory=opened)
    async with many as results:
        task = asking(results)
        await asyncio.sleep(0)
        assert opened.open == 3 * SLOTS
        await end(task)


@pytest.mark.parametrize("factory", [None, slow], ids=["at once", "pending"])
async def test_memory_does_not_grow_with_the_number_of_targets(
    factory: Any, server: tuple[str, int]
) -> None:
    """What is kept at the end is what was kept early on: nothing for a target that is done."""
    with refusing() as nobody:
        targets = (server if number % 3 else nobody for number in range(5000))
        kept = []
        many = aioconnect.connect_many(targets, limit=50, socket_factory=factory)
        async with many as results:
            tracemalloc.start()
            try:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()
                    if result.index in (1500, 4999):
                        del result
                        gc.collect()
                        kept.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
    early, late = kept
    assert late - early < 50_000


async def test_one_frame_drives_all_sockets(dead: tuple[str, int]) -> None:
    """There is no task but that of the consumer, and one that reads an asynchronous source."""
    for source, more in (([dead] * 100, 0), (AsyncSource([dead] * 100), 1)):
        tasks = len(asyncio.all_tasks())
        async with aioconnect.connect_many(source, limit=100) as results:
            task = asking(results)
            await turns()
            assert len(asyncio.all_tasks()) == tasks + 1 + more
            await end(task)


# How many -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Slow, socket.socket], ids=["pending", "at once"])
@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_no_more_than_the_limit_are_open(
    limit: int, cls: type[socket.socket], server: tuple[str, int]
) -> None:
    """Connected or not; those that were handed out and closed do not count."""
    opened = Open(cls)
    results = await collect(
        aioconnect.connect_many([server] * 300, limit=limit, socket_factory=opened)
    )
    assert len(results) == 300
    assert opened.most <= limit
    assert opened.open == 0
    assert opened.made == 300


async def test_the_default_limit_fits_the_descriptors_of_the_process(
    server: tuple[str, int],
) -> None:
    """So that nothing is lacking, and no event says so."""
    seen: list[Any] = []
    with few_descriptors(40):
        assert 10 <= default_limit() <= 40
        opened = Open()
        many = aioconnect.connect_many([server] * 200, socket_factory=opened, on_event=seen.append)
        results = await collect(many)
    assert [result.error for result in results] == [None] * 200
    assert not [event for event in seen if isinstance(event, events.SlowedDown)]
    assert opened.most >= 10


def test_the_default_limit_is_a_thousand_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many descriptors there are; and one at least, however few."""
    for soft, least, most in ((resource.RLIM_INFINITY, 1000, 1000), (10**6, 1000, 1000), (3, 1, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert least <= default_limit() <= most

    def not_there(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr("os.listdir", not_there)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (164, 164))
    assert default_limit() == 75
