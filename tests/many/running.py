"""What most tests of ``connect_many`` share: to count exactly, without a clock.

A resolver that answers when it is told to holds targets in flight; sources say how many were
read, and socket factories how many are open, or fail as they were told.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Self

import pytest

import aioconnect
from aioconnect.resolve import Answer

from ..support.sockets import Slow

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from aioconnect.many import ConnectMany, ConnectResult

MAX = 20.0
"""Seconds after which a run that should have ended hangs."""


async def collect(many: ConnectMany, *, close: bool = True) -> list[ConnectResult]:
    """Run to the end; return the results in the order in which they came."""
    results = []
    async with asyncio.timeout(MAX), many as found:
        async for result in found:
            if result.socket is not None and close:
                result.socket.close()
            results.append(result)
    return results


async def turns(number: int = 30) -> None:
    """Let the loop go on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop go on until something is true."""
    while not true():  # noqa: ASYNC110  # what is waited for sets no event
        await asyncio.sleep(0.001)


async def take(results: ConnectMany, came: list[ConnectResult]) -> None:
    """Take results for as long as they come."""
    async for result in results:
        came.append(result)  # noqa: PERF401  # those that came before an exception too


def asking(results: ConnectMany) -> asyncio.Task[ConnectResult]:
    """Ask for the next result, without waiting for it."""

    async def ask() -> ConnectResult:
        return await anext(results)

    return asyncio.get_running_loop().create_task(ask())


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Gates:
    """A resolver that answers 127.0.0.1 when it is told to."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.opened: set[str] = set()
        self.flying: list[str] = []
        self.most = 0

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait until the gate of that name is opened."""
        self.flying.append(name)
        self.most = max(self.most, len(self.flying))
        try:
            if name not in self.opened:
                gate = asyncio.get_running_loop().create_future()
                self.waiting.setdefault(name, deque()).append(gate)
                await gate
        finally:
            self.flying.remove(name)
        return Answer(("127.0.0.1",))

    def let(self, name: str) -> None:
        """Let one through that waits."""
        self.waiting[name].popleft().set_result(None)

    def open(self, *names: str) -> None:
        """Let all through, also those that come later."""
        self.opened.update(names)
        for name in names:
            while self.waiting.get(name):
                self.let(name)


def gated(gates: Gates) -> dict[str, Any]:
    """Return the options that let the gates decide when a target connects."""
    return {"resolver": gates, "family": socket.AF_INET}


class Turns(Gates):
    """A resolver that takes a random number of turns of the loop."""

    def __init__(self, random: random.Random) -> None:
        super().__init__()
        self.random = random

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait for some turns."""
        for _ in range(self.random.choice((0, 1, 3, 10))):
            await asyncio.sleep(0)
        return Answer(("127.0.0.1",))


class Source:
    """Targets, and how many were read."""

    def __init__(self, targets: Iterable[Any]) -> None:
        self.targets = iter(targets)
        self.read = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        target = next(self.targets)
        self.read += 1
        return target


class AsyncSource:
    """The same, asynchronous, though it never waits."""

    def __init__(self, targets: Iterable[Any]) -> None:
        self.targets = iter(targets)
        self.read = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await self.wait()
        for target in self.targets:
            self.read += 1
            return target
        raise StopAsyncIteration

    async def wait(self) -> None:
        """Do nothing."""


class LateSource(AsyncSource):
    """One that waits before each."""

    async def wait(self) -> None:
        """Let the loop go on."""
        await asyncio.sleep(0)


SOURCES = [Source, AsyncSource, LateSource]


sources = pytest.mark.parametrize("make", SOURCES)


class OutOfPaperError(Exception):
    """What a source may raise."""


class HookError(Exception):
    """What a caller's hook may raise."""


LACKS = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]


class Refusing:
    """A ``socket_factory`` whose sockets fail as often as it is told, for each port dialled."""

    def __init__(self, numbers: dict[int, list[int]]) -> None:
        self.numbers = numbers
        self.made: dict[int, int] = {}

    def __call__(self, endpoint: Any) -> socket.socket:
        """Fail, or make one."""
        port = endpoint[4][1]
        self.made[port] = self.made.get(port, 0) + 1
        numbers = self.numbers.get(port)
        if numbers and (number := numbers.pop(0)):
            # Of a factory EADDRNOTAVAIL may mean anything: it says what it means.
            kind = aioconnect.PortsExhausted if number == errno.EADDRNOTAVAIL else OSError
            raise kind(number, "as it was told")
        return socket.socket(*endpoint[:3])


class Open:
    """A ``socket_factory`` that knows how many of its sockets are open."""

    def __init__(self, cls: type[socket.socket] = Slow) -> None:
        self.open = self.most = self.made = 0
        opened = self

        class Counted(cls):  # type: ignore[misc, valid-type]
            def close(self) -> None:
                if self.fileno() != -1:
                    opened.open -= 1
                super().close()

        self.cls = Counted

    def __call__(self, endpoint: Any) -> socket.socket:
        """Make one."""
        sock: socket.socket = self.cls(*endpoint[:3])
        self.made += 1
        self.open += 1
        self.most = max(self.most, self.open)
        return sock
