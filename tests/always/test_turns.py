"""A program that dials in a tight loop still serves its other tasks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from typing import Any

import pytest

import aioconnect
from aioconnect import poller

from ..support.account import without_collector


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


# One call with thousands of addresses -------------------------------------------------------------


def nowhere(endpoint: Any) -> None:
    """Forbid it."""
    raise PermissionError("forbidden")


async def test_a_call_that_is_refused_again_and_again_lets_the_loop_have_its_turn() -> None:
    """After 64 failures at once."""
    dialled = 0
    seen: list[int] = []

    def count(endpoint: Any) -> None:
        nonlocal dialled
        dialled += 1
        nowhere(endpoint)

    async def other() -> None:
        while True:
            seen.append(dialled)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    targets = [f"127.0.{n >> 8}.{n & 255}:9" for n in range(2000)]
    with pytest.raises(aioconnect.AccessDenied):
        await aioconnect.connect(targets, address_policy=count)
    task.cancel()
    assert dialled == 2000
    assert max(after - before for before, after in itertools.pairwise(seen)) <= 65


async def test_a_call_that_is_refused_again_and_again_can_be_cancelled() -> None:
    """Between two of its turns."""
    dialled: list[Any] = []

    def count(endpoint: Any) -> None:
        dialled.append(endpoint)
        nowhere(endpoint)

    targets = [f"127.0.{n >> 8}.{n & 255}:9" for n in range(20_000)]
    task = asyncio.create_task(aioconnect.connect(targets, address_policy=count))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 0 < len(dialled) <= 4 * 64


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"on_event": lambda event: None}, {"retry": 2}], ids=["plain", "seen", "retry"]
)
def test_the_cost_grows_no_faster_than_the_targets(options: dict[str, Any]) -> None:
    """Four times as many refusals take four times as long, also when somebody observes."""

    def cost(count: int) -> float:
        targets = [f"127.{n >> 16}.{n >> 8 & 255}.{n & 255}:9" for n in range(count)]
        spent = []
        for _ in range(2):
            before = time.process_time()
            with pytest.raises(aioconnect.AccessDenied):
                asyncio.run(dial(targets))
            spent.append(time.process_time() - before)
        return min(spent)

    async def dial(targets: Any) -> None:
        await aioconnect.connect(targets, address_policy=nowhere, timeout=None, **options)

    with without_collector():
        assert cost(40_000) < 10 * cost(10_000)  # 16, if it were quadratic


# The wait for a turn ------------------------------------------------------------------------------


async def test_the_wait_for_a_turn_is_inside_the_deadline() -> None:
    """A call whose time is up when its turn comes dials nothing, and is late."""
    dialled = 0

    def slowly(endpoint: Any) -> None:
        nonlocal dialled
        dialled += 1
        time.sleep(0.002)
        nowhere(endpoint)

    dialer = aioconnect.Dialer(address_policy=slowly, timeout=0.05)
    calls = [dialer.connect("127.0.0.1", 9) for _ in range(300)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    late = [error for error in ends if isinstance(error, aioconnect.DeadlineExceeded)]
    assert len(late) >= 100
    assert dialled == 300 - len(late)
    assert all(error.elapsed >= 0.05 and error.count == 0 for error in late)
    assert {error.stage for error in late} == {"wait"}
    assert all("127.0.0.1:9" in str(error) for error in late)


@pytest.mark.slow
async def test_a_call_that_waits_for_its_turn_ends_when_its_time_is_up() -> None:
    """Not when its turn would come: many may be before it."""
    dialled = 0

    def slowly(endpoint: Any) -> None:
        nonlocal dialled
        dialled += 1
        time.sleep(0.001)
        nowhere(endpoint)

    async def last() -> int:
        with pytest.raises(aioconnect.DeadlineExceeded):
            await aioconnect.connect("127.0.0.1", 9, timeout=0.1)
        return dialled

    dialer = aioconnect.Dialer(address_policy=slowly)
    crowd = 64 * 20
    calls = [dialer.connect("127.0.0.1", 9) for _ in range(crowd)]
    *_, then = await asyncio.gather(*calls, last(), return_exceptions=True)
    assert dialled == crowd
    assert then <= crowd / 2
    assert not poller.of(asyncio.get_running_loop())._queue
