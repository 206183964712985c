"""A scenario that runs for so many steps of its loop, and the account afterwards."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking

from ..support.account import Account, no_warnings
from ..support.loops import GRACE, Steps

if TYPE_CHECKING:
    from .scenarios import Case, World


def close(result: Any, steps: Steps) -> None:
    """Close what a call returned."""
    if isinstance(result, socket.socket):
        result.close()
    elif isinstance(result, tuple):
        first, second = result
        transport = second.transport if isinstance(second, asyncio.StreamWriter) else first
        transport.abort()
        steps.settle(GRACE)


def run(steps: Steps, case: Case, most: int, manner: str) -> bool:
    """Run a case for at most ``most`` steps, then cancel it; tell whether it ended by itself."""
    case.before()
    account = steps.account()
    with no_warnings():
        task = steps.start(case.call)
        steps.advance(task, most)
        by_itself = task.done()
        if by_itself:
            if case.ends is None:
                close(task.result(), steps)
            else:
                assert isinstance(task.exception(), case.ends), task.exception()
            settle(steps, account, case.lingers)
        else:
            assert task.cancel()
            cancelled = 1
            if manner == "once more a step later":
                steps.step()
            if manner != "once":
                cancelled += task.cancel()
            steps.advance(task, 2 * GRACE)
            assert task.done(), "the call goes on although it was cancelled"
            assert task.cancelled(), f"cancellation was swallowed: {task!r}"
            assert task.cancelling() == cancelled
        steps.settle(case.grace)
        left = steps.account().difference(account)
        assert not left, left
        assert not steps.complaints, steps.complaints
        del task
    case.after()
    return by_itself


def warm_up(steps: Steps, world: World) -> None:
    """Let the loop make what it keeps: the engine's epoll, and what uvloop opens for streams."""
    with suppress(TimeoutError):
        steps.run(lambda: aioconnect.connect(*world.dead, timeout=0.001))
    streams = steps.loop.create_connection(asyncio.Protocol, *world.peers["plain"])
    close(steps.run(lambda: streams), steps)


def settle(steps: Steps, account: Account, seconds: float) -> None:
    """Wait for what may linger."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and steps.account() != account:
        steps.settle(1)
        time.sleep(0.01)
