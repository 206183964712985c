"""Whatever a call is doing when it is cancelled, nothing of it stays behind.

Each scenario is cancelled at every step of the loop, from the one at which its task was made to
the one at which it ends by itself; once, twice at once, and again one step later; on asyncio, on
asyncio with eager tasks, and on uvloop.  After each the account is taken: descriptors by inode,
what the kernel's epolls still watch, tasks, timers, warnings.  The collector is off meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, events, retry

from ..support.account import descriptors, no_warnings, without_collector
from ..support.loops import GRACE, KINDS, LOOPS, Steps
from ..support.servers import listen, refusing
from ..support.sockets import Making
from .running import run, warm_up
from .scenarios import SCENARIOS, World

pytestmark = pytest.mark.slow

MANNERS = ("once", "twice", "once more a step later")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_is_cancelled_at_any_step_leaves_nothing(
    world: World, name: str, kind: str
) -> None:
    """At whatever step of the loop it is cancelled, it ends so, and nothing of it is left."""
    with Steps(kind) as steps, SCENARIOS[name](world) as case, without_collector():
        warm_up(steps, world)
        last = 0
        for manner in MANNERS:
            for most in range(last) if last else itertools.count():
                try:
                    by_itself = run(steps, case, most, manner)
                except BaseException as exc:
                    exc.add_note(f"cancelled {manner}, at step {most}")
                    raise
                if by_itself:
                    last = last or most
                    break


# What is around a call ----------------------------------------------------------------------------


async def test_asyncio_timeout_around_a_call_ends_as_TimeoutError(world: World) -> None:
    """``asyncio.timeout`` sees its own cancellation come back, and makes it a ``TimeoutError``."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.02):
            await aioconnect.connect(*world.dead)
    assert not isinstance(caught.value, ConnectError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_calls_own_timeout_is_not_taken_for_one_around_it(world: World) -> None:
    """A call that ends by its own time limit leaves an ``asyncio.timeout`` around it unexpired."""
    async with asyncio.timeout(60) as around:
        with pytest.raises(aioconnect.DeadlineExceeded):
            await aioconnect.connect(*world.dead, timeout=0.02)
    assert not around.expired()


async def test_a_TLS_timeout_is_not_taken_for_one_around_it(world: World) -> None:
    """Nor does the limit of a handshake expire one around it, or leave the task cancelling."""
    with listen() as server:
        address = server.getsockname()
        async with asyncio.timeout(60) as around:
            with pytest.raises(aioconnect.DeadlineExceeded) as caught:
                await aioconnect.open_connection(*address, ssl=world.trusting, timeout=0.05)
        assert caught.value.stage == "tls"
    assert not around.expired()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_wait_for_around_a_call_ends_as_TimeoutError(world: World) -> None:
    """``asyncio.wait_for`` does likewise."""
    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(aioconnect.connect(*world.dead), 0.02)
    assert not isinstance(caught.value, ConnectError)


async def test_a_task_group_that_fails_ends_its_calls(world: World) -> None:
    """In a task group whose other task failed, the group raises that failure and nothing else."""

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("the other task")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(aioconnect.connect(*world.dead))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(exc) for exc in caught.value.exceptions] == [ZeroDivisionError]


async def test_a_policy_that_goes_on_for_ever_does_not_keep_a_cancelled_call() -> None:
    """No retry policy ever sees a cancellation."""
    seen: list[Any] = []
    enough = asyncio.Event()

    def for_ever(context: Any) -> retry.Retry:
        seen.append(context.error)
        if len(seen) == 3:
            enough.set()
        return retry.Retry(0.001)

    with refusing() as address:
        task = asyncio.create_task(aioconnect.connect(*address, retry=for_ever))
        await enough.wait()
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    number = len(seen)
    await asyncio.sleep(0.01)
    assert len(seen) == number
    assert all(isinstance(error, ConnectionRefusedError) for error in seen)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_call_that_is_cancelled_by_its_own_observer_leaves_nothing(
    world: World, secure: bool
) -> None:
    """In the very step in which it has connected; it ends at its next wait."""
    making = Making()

    async def call() -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel(event: events.Event) -> None:
            if isinstance(event, events.Connected):
                task.cancel()

        dialer = aioconnect.Dialer(socket_factory=making, on_event=cancel)
        context = world.trusting if secure else None
        _, writer = await dialer.open_connection(*world.peers["tls"], ssl=context)
        try:
            await asyncio.sleep(0)  # with TLS it had all that it needs, and waited no more
        finally:
            writer.transport.abort()

    with no_warnings(), without_collector():
        task = asyncio.create_task(call())
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(GRACE):
            await asyncio.sleep(0)
        making.forget()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_program_that_ends_over_pending_calls_leaves_nothing(world: World, kind: str) -> None:
    """``asyncio.run`` cancels what is pending when its coroutine returns; no descriptor is left."""
    before = descriptors()

    async def main() -> None:
        targets = [world.dead, world.dead]
        for _ in range(20):
            call = aioconnect.connect(targets, happy_eyeballs_delay=0)
            tasks.append(asyncio.create_task(call))
        await asyncio.sleep(0.02)

    tasks: list[asyncio.Task[Any]] = []
    with no_warnings(), without_collector(), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        runner.run(main())
    assert all(task.cancelled() for task in tasks)
    assert descriptors() == before


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_Ctrl_C_ends_a_program_and_leaves_nothing(world: World, kind: str) -> None:
    """``asyncio.run`` cancels the call, which ends at once, and raises ``KeyboardInterrupt``."""
    before = descriptors()

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.02, os.kill, os.getpid(), signal.SIGINT)
        async with asyncio.timeout(60):
            await aioconnect.connect([world.dead] * 3, happy_eyeballs_delay=0)

    # A background job of a shell begins with SIGINT ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with no_warnings(), without_collector(), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            call = main()
            with pytest.raises(KeyboardInterrupt):
                runner.run(call)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert descriptors() == before
