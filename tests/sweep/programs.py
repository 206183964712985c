"""A program in which something is raised, with bystanders who must not be hurt by it."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from aioconnect import poller
from aioconnect.wait import READ

from ..support.account import descriptors
from ..support.loops import GRACE, LOOPS

if TYPE_CHECKING:
    from ..always.scenarios import Case
    from .lines import Lines

PATIENCE = 5.0
"""Seconds after which something hangs."""


class Left(NamedTuple):
    """What a program has left."""

    while_it_ran: dict[int, tuple[int, int]]
    """Descriptors, a few turns after the call had ended."""
    at_its_end: dict[int, tuple[int, int]]
    """Descriptors, after its loop was closed."""
    hurt: list[str]
    """Bystanders who waited in vain."""
    watched: int
    """Descriptors that the poller still waits for."""
    outcome: BaseException | None


class Bystanders:
    """Those who wait for something else on the same loop: for an instant, for readiness."""

    def __init__(self) -> None:
        self.pairs = [socket.socketpair() for _ in range(3)]

    async def begin(self) -> None:
        """Let each begin to wait."""
        loop = asyncio.get_running_loop()
        self.kept = kept = poller.of(loop)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        for delay in (0.002, 0.004, 0.015):
            task = poller.Alarm().sleep(kept, kept.clock() + delay)
            self.tasks[f"the instant after {delay} s"] = loop.create_task(task)
        for number, (near, _) in enumerate(self.pairs):
            self.tasks[f"readiness {number}"] = loop.create_task(self._readable(near))
        await asyncio.sleep(0)
        self.pairs[0][1].send(b"!")  # in the turn in which the call begins

    async def _readable(self, sock: socket.socket) -> None:
        alarm = poller.Alarm()
        self.kept.watch(alarm, sock, READ)
        await alarm.sleep(self.kept, self.kept.clock() + 3600)

    async def end(self) -> list[str]:
        """Let the last ones be ready; return who still waits."""
        for _, far in self.pairs[1:]:
            far.send(b"!")
        _, pending = await asyncio.wait(self.tasks.values(), timeout=PATIENCE)
        names = [name for name, task in self.tasks.items() if task in pending]
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)
        for task in self.tasks.values():
            if not task.cancelled():
                task.exception()  # what was raised in it: it is awake
        return names

    def close(self) -> None:
        """Close the sockets."""
        for pair in self.pairs:
            for sock in pair:
                sock.close()


class Program:
    """A loop that goes on after whatever is raised in its callbacks."""

    def __init__(self, kind: str) -> None:
        self.loop: Any = LOOPS[kind]()
        self.loop.set_exception_handler(lambda loop, context: None)

    def run(self, coroutine: Any) -> Any:
        """Run to its end, through every ``KeyboardInterrupt``; return it as a task."""
        task = self.loop.create_task(coroutine)
        limit = time.monotonic() + PATIENCE
        while not task.done():
            with suppress(KeyboardInterrupt):
                self.loop.run_until_complete(asyncio.wait([task], timeout=PATIENCE))
            assert task.done() or time.monotonic() < limit, f"{coroutine.__qualname__} hangs"
        return task

    def close(self) -> None:
        """Close the loop, as a program does at its end."""
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        if pending:
            with suppress(KeyboardInterrupt):
                self.loop.run_until_complete(asyncio.wait(pending, timeout=1))
        self.loop.close()


def run(kind: str, case: Case, lines: Lines, *, alone: bool = False) -> Left:
    """Run a case in a program of its own, with something raised in it."""
    case.before()
    outset = descriptors()
    program = Program(kind)
    warm_up(program)
    bystanders = None if alone else Bystanders()
    if bystanders is not None:
        program.run(bystanders.begin())
    before = descriptors()

    async def call() -> Any:
        with lines:
            return await case.call()

    task = program.run(call())
    outcome = None if task.cancelled() else task.exception()
    if outcome is None and not task.cancelled():
        close(task.result())
    forget(outcome)
    del task
    hurt: list[str] = []
    if bystanders is not None:
        hurt = program.run(bystanders.end()).result()
    program.run(turns(case.grace or 1))
    with suppress(AssertionError) if lines.happened else nullcontext():
        case.after()  # a factory that keeps its sockets has some that nobody else has
    found = left(before)
    watcher: Any = poller.of(program.loop)._watcher()
    watched = 0 if watcher is None else len(watcher._waiting)
    del watcher
    if bystanders is not None:
        bystanders.close()
    program.close()
    del program, bystanders
    return Left(found, left(outset), hurt, watched, outcome)


def warm_up(program: Program) -> None:
    """Let the loop make what it keeps for all transports."""

    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, sock=near
        )
        transport.abort()
        far.close()
        await turns(1)

    program.run(main())


def forget(error: BaseException | None) -> None:
    """Let go of the frames that an error shows, and of those before it."""
    while error is not None:
        error.__traceback__ = None
        error = error.__context__


def left(before: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Return the descriptors that there are now, and were not before."""
    found = {fd: inode for fd, inode in descriptors().items() if before.get(fd) != inode}
    if found:
        gc.collect()
        found = {fd: inode for fd, inode in descriptors().items() if before.get(fd) != inode}
    return found


async def turns(number: int) -> None:
    """Let the loop turn."""
    for _ in range(number + GRACE):
        await asyncio.sleep(0)


def close(result: Any) -> None:
    """Close what a call returned."""
    if isinstance(result, socket.socket):
        result.close()
    elif isinstance(result, tuple):
        first, second = result
        (second.transport if isinstance(second, asyncio.StreamWriter) else first).abort()
