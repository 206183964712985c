"""A program that dials in a tight loop still serves its other tasks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from typing import Any

import aioconnect
import aioconnect.blocking


async def test_a_tight_loop_of_connects_still_serves_another_task() -> None:
    """At most 64 connects begin within one turn of the loop."""
    turns = itertools.count()
    stop = False

    async def other() -> None:
        while not stop:
            next(turns)
            await asyncio.sleep(0)

    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = next(turns)
    for _ in range(64 * 8):
        with contextlib.suppress(PermissionError):
            await aioconnect.connect("127.0.0.1", 9, address_policy=nowhere)
    passed = next(turns) - before - 1
    stop = True
    await task
    assert 7 <= passed <= 16


async def test_connects_that_must_wait_do_not_wait_for_their_turn(dead: tuple[str, int]) -> None:
    """They hold the loop no longer than it takes to begin: all begin within one turn."""
    begun: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        begun.append(len(begun))
        return socket.socket(*endpoint[:3])

    tasks = [
        asyncio.create_task(aioconnect.connect(*dead, socket_factory=factory)) for _ in range(200)
    ]
    await asyncio.sleep(0)
    assert len(begun) == 200
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_calls_begin_in_the_order_in_which_they_came() -> None:
    """Those that wait for the next turn go first in it."""
    order: list[int] = []

    async def dial(number: int) -> None:
        def note(endpoint: Any) -> None:
            order.append(number)
            raise PermissionError("forbidden")

        with contextlib.suppress(PermissionError):
            await aioconnect.connect("127.0.0.1", 9, address_policy=note)

    await asyncio.gather(*[dial(number) for number in range(300)])
    assert order == list(range(300))


async def test_calls_that_are_cancelled_while_they_wait_for_their_turn_hold_nobody_up() -> None:
    """Their places go to those behind them."""

    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    async def dial() -> str:
        try:
            await aioconnect.connect("127.0.0.1", 9, address_policy=nowhere)
        except PermissionError:
            return "dialled"
        return "connected"

    tasks = [asyncio.create_task(dial()) for _ in range(400)]
    await asyncio.sleep(0)
    for task in tasks[64:300]:
        task.cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert outcomes.count("dialled") == 164
    assert all(task.cancelled() for task in tasks[64:300])
