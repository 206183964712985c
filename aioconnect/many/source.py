"""Where the targets come from: read one at a time, and only when there is room.

Back-pressure is free: nothing is read until the next result is requested.  An asynchronous
iterable needs a task, which reads as many as it is told to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from ..poller import Alarm

__all__ = ["NOTHING", "AsyncSource", "Source", "of"]

NOTHING: Any = object()
"""The answer of ``read`` when there is no target: not yet, or not any more."""


class Source:
    """Targets of an iterable.

    Attributes:
        exhausted: there are no more.
        read: how many have been read.
    """

    def __init__(self, targets: Iterable[Any]) -> None:
        self._iterator = iter(targets)
        self.exhausted = False
        self.count = 0

    def read(self, wanted: Callable[[], int]) -> Any:
        """Return the next target, or ``NOTHING``; ``wanted`` says how many more may be read."""
        given = next(self._iterator, NOTHING)
        if given is NOTHING:
            self.exhausted = True
        else:
            self.count += 1
        return given

    def rest(self) -> list[Any]:
        """End, and return what was read and not given out."""
        self.exhausted = True
        return []

    async def close(self) -> None:
        """Keep nothing of the caller's alive."""
        self._iterator = iter(())


class AsyncSource:
    """Targets of an asynchronous iterable, read by a task.

    Args:
        targets: the iterable.
        alarm: woken when something was read.
    """

    def __init__(self, targets: AsyncIterable[Any], alarm: Alarm) -> None:
        self._alarm = alarm
        self._wanted = 0  # how many the reader may read
        self._ahead: deque[Any] = deque()  # what it has read
        self._asked = asyncio.Event()
        self.exhausted = False
        self.count = 0
        self._reader: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(
            self._read_on(aiter(targets)), name="aioconnect: read targets"
        )
        self._reader.add_done_callback(lambda _: alarm.wake())

    def read(self, wanted: Callable[[], int]) -> Any:
        """Return the next target, or ``NOTHING``; ``wanted`` says how many more may be read."""
        if self._ahead:
            self.count += 1
            return self._ahead.popleft()
        reader = self._reader
        if self.exhausted or reader is None:
            return NOTHING
        if reader.done():
            self.exhausted = True
            try:
                reader.result()  # what the caller's iterable raised comes out unchanged
            finally:
                del reader  # it refers to what is raised, and that to this frame
        else:
            self._wanted = wanted()
            self._asked.set()
        return NOTHING

    def rest(self) -> list[Any]:
        """End, and return what was read and not given out."""
        if not self.exhausted:
            self.exhausted = True
            if self._reader is not None:
                self._reader.cancel()
        ahead = list(self._ahead)
        self._ahead.clear()
        return ahead

    async def close(self) -> None:
        """End the task; keep nothing of the caller's alive."""
        reader, self._reader = self._reader, None  # what ended it refers to us
        self._ahead.clear()
        if reader is not None:
            reader.cancel()
            if not reader.done():
                await asyncio.wait((reader,))

    async def _read_on(self, source: AsyncIterator[Any]) -> None:
        """Read what is asked for."""
        await self._asked.wait()
        async for given in source:
            self._ahead.append(given)
            self._alarm.wake()
            self._wanted -= 1
            if self._wanted <= 0:
                self._asked.clear()
                await self._asked.wait()


def of(targets: Iterable[Any] | AsyncIterable[Any], alarm: Alarm) -> Source | AsyncSource:
    """Return the source for an iterable of either kind."""
    if isinstance(targets, AsyncIterable):
        return AsyncSource(targets, alarm)
    return Source(targets)
