"""How it is used: with arguments that make sense, once, inside its block, by one task."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import pytest

import aioconnect

from .running import MAX, SOURCES, asking, collect, end, turns

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"targets": "127.0.0.1:80"}, TypeError),
        ({"targets": b"127.0.0.1:80"}, TypeError),
        ({"targets": 80}, TypeError),
        ({"targets": None}, TypeError),
        ({"limit": 0}, ValueError),
        ({"limit": 1.5}, TypeError),
        ({"limit": True}, TypeError),
        ({"per_host": 0}, ValueError),
        ({"per_host": "1"}, TypeError),
        ({"rate": 0}, ValueError),
        ({"rate": -1.0}, ValueError),
        ({"rate": inf}, ValueError),
        ({"rate": float("nan")}, ValueError),
        ({"rate": "fast"}, TypeError),
        ({"rate": True}, TypeError),
        ({"burst": 0}, ValueError),
        ({"burst": 2.0}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"target_timeout": "1"}, TypeError),
        ({"max_concurrent": 0}, ValueError),
        ({"colour": "blue"}, TypeError),
    ],
)
def test_misuse_is_refused_at_once(arguments: dict[str, Any], error: type[Exception]) -> None:
    """Before any I/O, and before a loop is there."""
    with pytest.raises(error):
        aioconnect.connect_many(**{"targets": [], **arguments})


async def test_who_iterates_is_told_when_another_task_leaves_the_block(
    dead: tuple[str, int],
) -> None:
    """It does not wait for ever for what is closed."""
    many = aioconnect.connect_many([dead])
    await many.__aenter__()
    task = asking(many)
    await turns()
    await many.__aexit__(None, None, None)
    async with asyncio.timeout(MAX):
        with pytest.raises(RuntimeError, match="inside its `async with` block"):
            await task


async def test_one_task_iterates_at_a_time(dead: tuple[str, int]) -> None:
    """The second is told so, and the first is not disturbed."""
    async with aioconnect.connect_many([dead]) as results:
        task = asking(results)
        await turns()
        with pytest.raises(RuntimeError, match="one task at a time"):
            await anext(results)
        assert not task.done()
        await end(task)
        task = asking(results)  # the place is free again
        await turns()
        assert not task.done()
        await end(task)


async def test_it_is_used_once_and_inside_its_block(server: tuple[str, int]) -> None:
    """Before, after, and a second time are told apart from an end."""
    many = aioconnect.connect_many([server])
    with pytest.raises(RuntimeError, match="inside its `async with` block"):
        await anext(many)
    assert len(await collect(many)) == 1
    with pytest.raises(RuntimeError, match="inside its `async with` block"):
        await anext(many)
    with pytest.raises(RuntimeError, match="once"):
        await many.__aenter__()


async def test_the_end_is_said_as_often_as_it_is_asked_for(server: tuple[str, int]) -> None:
    """Like any iterator."""
    for make in SOURCES:
        async with aioconnect.connect_many(make([])) as results:
            for _ in range(3):
                with pytest.raises(StopAsyncIteration):
                    await anext(results)
