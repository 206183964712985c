"""``per_host``: no more than so many in flight to one host, and who goes next."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import Any

import pytest

import aioconnect

from ..support.servers import black_hole
from .running import MAX, Gates, Open, asking, end, gated, sources, turns

pytestmark = pytest.mark.slow


async def test_no_more_than_per_host_are_in_flight_to_one_host(server: tuple[str, int]) -> None:
    """Others overtake those that wait for their host; those follow as places become free."""
    gates = Gates()
    targets = [(f"{name}.test", server[1]) for name in "aaaabcabb"]
    async with aioconnect.connect_many(targets, per_host=2, **gated(gates)) as results:

        async def through(name: str) -> int:
            task = asking(results)
            await turns()
            assert not task.done()
            gates.let(f"{name}.test")
            result = await task
            assert result.socket is not None
            result.socket.close()
            return result.index

        def flying() -> str:
            return "".join(sorted(name[0] for name in gates.flying))

        for name, index, left in [
            ("a", 0, "aabbc"),
            ("a", 1, "aabbc"),
            ("b", 4, "aabbc"),
            ("c", 5, "aabb"),
            ("a", 2, "aabb"),
            ("a", 3, "abb"),
            ("b", 7, "ab"),
            ("a", 6, "b"),
            ("b", 8, ""),
        ]:
            assert await through(name) == index
            assert flying() == left
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@sources
async def test_those_that_wait_for_their_host_are_bounded_too(
    make: Any, server: tuple[str, int]
) -> None:
    """``limit`` of them may wait beside those in flight; then nothing more is read."""
    gates = Gates()
    source = make(itertools.repeat(("a.test", server[1])))
    many = aioconnect.connect_many(source, limit=6, per_host=2, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert len(gates.flying) == 2
        assert source.read == 2 + 6
        await end(task)


async def test_a_host_is_one_however_it_is_written() -> None:
    """IPv6 addresses in any spelling, names in any case; another port is the same host."""
    opened = Open(socket.socket)
    with black_hole("::1") as (_, port, *_):
        given: list[Any] = [("::1", port), f"[0:0::0:1]:{port}", ("0::1", port, 0, 0), "[::1]:9"]
        async with aioconnect.connect_many(given, per_host=1, socket_factory=opened) as results:
            task = asking(results)
            await turns()
            assert opened.open == 1
            await end(task)
    names = Gates()
    given = ["A.test:1", "a.TEST:2", "a.test.:3", "b.test:1", "unix:@a.test"]
    async with aioconnect.connect_many(given, per_host=1, **gated(names)) as results:
        assert (await anext(results)).index == 4
        await turns()
        assert names.flying == ["A.test", "b.test"]


async def test_a_list_counts_for_each_of_its_hosts(server: tuple[str, int]) -> None:
    """It waits until each has room, and takes no place from others meanwhile."""
    gates = Gates()
    port = server[1]
    a, b = ("a.test", port), ("b.test", port)
    given: list[Any] = [a, [a, b], a, b, [b, a], b]
    many = aioconnect.connect_many(given, per_host=1, **gated(gates))
    async with many as results, asyncio.timeout(MAX):
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]  # 0 and 3
        gates.let("a.test")  # the first list could go to a now, but not to b: 2 goes instead
        came = [await task]
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]
        gates.open("a.test", "b.test")
        came.append(await task)
        came += [result async for result in results]
    assert came[0].index == 0
    assert {came[1].index, came[2].index} == {2, 3}
    assert sorted(result.index for result in came) == list(range(6))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_who_was_read_first_goes_first_wherever_it_waits(server: tuple[str, int]) -> None:
    """A list that had to wait for one of its hosts stands before those that came later there."""
    gates = Gates()
    port = server[1]
    a, b = ("a.test", port), ("b.test", port)
    given: list[Any] = [b, a, [a, b], b]
    async with aioconnect.connect_many(given, per_host=1, **gated(gates)) as results:
        for name, index in (("a.test", 1), ("b.test", 0)):
            task = asking(results)
            await turns()
            gates.let(name)
            result = await task
            assert result.index == index
            assert result.socket is not None
            result.socket.close()
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]  # the list
        await end(task)
