"""Where targets come from: what a source may raise, and how it is let go of."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect

from .running import (
    AsyncSource,
    Gates,
    OutOfPaperError,
    asking,
    collect,
    end,
    gated,
    sources,
    turns,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.slow


@sources
async def test_what_a_source_raises_comes_out_unchanged(
    make: Any, server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Where it is asked for; the results that there are can still be had, and then it is over."""
    raised = OutOfPaperError()

    def targets() -> Iterator[Any]:
        yield ("a.test", server[1])
        yield ("b.test", server[1])
        raise raised

    gates = Gates()
    source = make(targets())
    async with aioconnect.connect_many(source, **gated(gates)) as results:
        with pytest.raises(OutOfPaperError) as caught:
            await anext(results)
        assert caught.value is raised
        assert len(gates.flying) == 2 or await turns() is None
        gates.open("a.test", "b.test")
        left = [result async for result in results]
        assert sorted(result.index for result in left) == [0, 1]
        for result in left:
            assert result.socket is not None
            result.socket.close()


async def test_a_source_that_fails_after_the_block_was_left_says_so(
    server: tuple[str, int],
) -> None:
    """Nobody can be told any more but the loop's exception handler."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def targets() -> AsyncIterator[Any]:
        yield server
        try:
            await asyncio.sleep(60)
        finally:
            raise OutOfPaperError

    async with aioconnect.connect_many(targets()) as results:
        result = await anext(results)
        assert result.socket is not None
        result.socket.close()
        task = asking(results)
        await turns()
        await end(task)
    del results, task
    gc.collect()
    assert [type(context.get("exception")) for context in told] == [OutOfPaperError]


async def test_an_asynchronous_source_is_preferred(server: tuple[str, int]) -> None:
    """Of an object that is both, as an ORM's query may be, whose other face would block."""

    class Both(AsyncSource):
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("this would block")

    results = await collect(aioconnect.connect_many(Both([server])))
    assert [result.error for result in results] == [None]


async def test_leaving_lets_go_of_the_source(server: tuple[str, int]) -> None:
    """It is the caller's, who may go on with the rest."""
    rest = iter([server] * 10)
    async with aioconnect.connect_many(rest, limit=3) as results:
        async for result in results:
            assert result.socket is not None
            result.socket.close()
            break
    assert 7 <= len(list(rest)) <= 9

    async def targets() -> AsyncIterator[Any]:
        for _ in range(10):
            yield server

    async with aclosing(targets()) as source:
        async with aioconnect.connect_many(source, limit=3) as results:
            async for result in results:
                assert result.socket is not None
                result.socket.close()
                break
        left = [target async for target in source]
        assert len(left) <= 9


async def test_leaving_cancels_a_source_and_waits_until_it_has_cleaned_up() -> None:
    """Its task is gone when the block is left."""
    cleaned = False

    class Waiting(AsyncSource):
        async def wait(self) -> None:
            nonlocal cleaned
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                cleaned = True

    tasks = asyncio.all_tasks()
    async with aioconnect.connect_many(Waiting([])) as results:
        task = asking(results)
        await turns()
        await end(task)
        assert not cleaned
    assert cleaned
    assert asyncio.all_tasks() == tasks
