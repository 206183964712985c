"""Cancelled at every step: whatever a run is doing then, nothing of it stays behind."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import aioconnect
from aioconnect import retry
from aioconnect.poller import SLOTS

from ..support.account import no_warnings, without_collector
from ..support.loops import GRACE, KINDS, Steps
from ..support.servers import drain, listen
from ..support.sockets import slow
from .running import AsyncSource, Gates, LateSource, Refusing, gated
from .weather import Weather

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A run to be cancelled anywhere."""

    targets: Any
    options: dict[str, Any]
    slowly: bool = False


def cases(server: tuple[str, int], dead: tuple[str, int]) -> dict[str, Callable[[], Case]]:
    """Return what is cancelled; each run has fresh hooks."""
    port = server[1]

    def names() -> Case:
        gates = Gates()
        gates.open("a.test", "b.test")
        targets = [("a.test", port), ("b.test", port), ("a.test", port), ("a.test", port)]
        return Case(targets, {"per_host": 1, "socket_factory": slow, **gated(gates)})

    def lacking() -> Case:
        lack = errno.EMFILE
        factory = Refusing({port: [0, lack, lack, errno.EADDRNOTAVAIL]})
        return Case([server] * 4, {"limit": 2, "socket_factory": factory})

    def weather() -> Case:
        fine = Weather(5, server, ("127.0.0.1", 1), lacks=0.0)  # whose pauses would take long
        options = {"resolver": fine, "socket_factory": fine.make, "family": socket.AF_INET}
        again = retry.attempts(2) & retry.constant(0.0)
        more = {"ordered": True, "per_host": 1, "limit": 4, "retry": again, "on_event": str}
        return Case(fine.targets(12), {**options, **more}, slowly=True)

    return {
        "connected at once": lambda: Case([server] * 3, {}, slowly=True),
        "more than a turn": lambda: Case([server] * (SLOTS + 2), {"limit": SLOTS * 2}),
        "pending": lambda: Case([server, server, dead], {"socket_factory": slow, **SHORT}),
        "in order": lambda: Case(
            [dead, server, server], {"socket_factory": slow, "ordered": True, **SHORT}, slowly=True
        ),
        "at a rate": lambda: Case([server] * 3, {"rate": 200.0}),
        "asynchronous": lambda: Case(LateSource([server, dead, server]), {"limit": 2, **SHORT}),
        "names, one host": names,
        "lacking": lacking,
        "deadline": lambda: Case([dead, dead, dead], {"per_host": 2, "timeout": 0.01}),
        "all sorts": weather,
    }


SHORT = {"target_timeout": 0.01}


MANNERS = ("once", "twice", "once more a step later")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", cases(("", 0), ("", 0)))
def test_a_run_that_is_cancelled_at_any_step_leaves_nothing(
    name: str, kind: str, dead: tuple[str, int]
) -> None:
    """Descriptors by inode, epolls, tasks, timers, warnings: all as before; collector off."""
    with Steps(kind) as steps, listen(backlog=500) as server, without_collector():
        make = cases(server.getsockname(), dead)[name]
        with suppress(TimeoutError):  # the loop makes what it keeps
            steps.run(lambda: aioconnect.connect(*dead, timeout=0.001))
        last = 0
        for manner in MANNERS:
            for most in range(last) if last else itertools.count():
                by_itself = run_and_cancel(steps, make(), most, manner)
                drain(server)
                if by_itself:
                    last = last or most
                    break
        assert last > 1


def run_and_cancel(steps: Steps, case: Case, most: int, manner: str) -> bool:
    """Run for at most ``most`` steps, then cancel; tell whether it ended by itself."""

    async def call() -> None:
        async with aioconnect.connect_many(case.targets, **case.options) as results:
            async for result in results:
                if result.socket is not None:
                    result.socket.close()
                if case.slowly:
                    await asyncio.sleep(0)

    account = steps.account()
    with no_warnings():
        task = steps.start(call)
        steps.advance(task, most)
        by_itself = task.done()
        if by_itself:
            task.result()
        else:
            task.cancel()
            cancelled = 1
            if manner == "once more a step later":
                steps.step()
            if manner != "once":
                cancelled += task.cancel()
            reads = isinstance(case.targets, AsyncSource)  # by a task, whose end is waited for
            steps.advance(task, GRACE + reads)
            assert task.cancelled(), f"at step {most}, {manner}: {task!r}"
            assert task.cancelling() == cancelled
        steps.settle(GRACE)
        left = steps.account().difference(account)
        assert not left, f"at step {most}, {manner}: {left}"
        assert not steps.complaints, steps.complaints
        del task
    return by_itself
