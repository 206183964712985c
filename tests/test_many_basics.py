"""``connect_many``: what its one paragraph of documentation says, in small."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect

from .net import listen, refusing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


async def collect(many: Any) -> list[Any]:
    """Run to the end; close the sockets."""
    results = []
    async with many as found:
        async for result in found:
            if result.socket is not None:
                result.socket.close()
            results.append(result)
    return results


async def test_each_target_has_a_result() -> None:
    """A socket or an error, never both, never neither; also for what is no target."""
    with listen() as server, refusing() as refused:
        given = [server.getsockname(), refused, "no port", server.getsockname()]
        results = await collect(aioconnect.connect_many(given))
    assert sorted(result.index for result in results) == [0, 1, 2, 3]
    codes = {result.index: result.error and result.error.code for result in results}
    assert codes == {0: None, 1: "connection_refused", 2: "invalid_argument", 3: None}
    assert all(result.started <= result.ended for result in results)


async def test_ordered_results_come_as_the_targets_did() -> None:
    """Whoever was first to connect."""
    with listen() as server, refusing() as refused:
        given = [refused, server.getsockname()] * 20
        results = await collect(aioconnect.connect_many(given, ordered=True, limit=7))
    assert [result.index for result in results] == list(range(40))


async def test_no_more_is_read_than_there_is_room_for() -> None:
    """Leaving the block closes what was not handed out, and reads nothing further."""
    read = 0

    def targets() -> Iterator[Any]:
        nonlocal read
        while True:
            read += 1
            yield server.getsockname()

    with listen() as server:
        async with aioconnect.connect_many(targets(), limit=5) as results:
            async for result in results:
                result.socket.close()
                break
        assert read <= 6


async def test_targets_may_come_asynchronously() -> None:
    """One after the other, as they are known."""

    async def targets() -> AsyncIterator[Any]:
        for _ in range(10):
            await asyncio.sleep(0)
            yield server.getsockname()

    with listen() as server:
        results = await collect(aioconnect.connect_many(targets()))
    assert [result.error for result in results] == [None] * 10


async def test_it_is_used_inside_its_block() -> None:
    """Outside there would be nobody to close what is pending."""
    many = aioconnect.connect_many([])
    with pytest.raises(RuntimeError):
        await anext(many)
