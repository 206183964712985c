"""What runs for programs without a loop: one loop for resolvers, and alarms at instants.

A resolver may keep much per loop (channels with their descriptors and threads, say), so there is
one loop for all of them, not one per name.  Its thread starts with the first search.  It ends with
the last, but some seconds later if one of the resolvers can be closed, which then keeps something.

Both are daemon threads, and exist while they are needed.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import socket
import threading
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from .answers import not_resolved
from .base import lookup_name
from .per_loop import renew_in_child

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task
    from collections.abc import Callable, Sequence

    from .answers import Answer
    from .base import Put, Resolver

__all__ = ["ALARMS", "LOOP", "Alarms", "LoopThread"]

logger = logging.getLogger("aioconnect.resolve")

LOOP_IDLE = 1.0
"""Seconds: what is kept for a loop is gone within two (a closed aiodns resolver takes one)."""


class LoopThread:
    """A loop in a daemon thread, made when it is needed.

    Args:
        idle: seconds without a search after which the loop is closed and the thread ends, if a
            resolver may keep something for the loop; otherwise it ends with the last search.
    """

    def __init__(self, idle: float = LOOP_IDLE) -> None:
        self._patience = idle
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew, without a thread: what a forked child does."""
        self._lock = threading.Lock()
        self._given: list[LoopSearch] = []  # not yet begun
        self._loop: AbstractEventLoop | None = None  # while it takes searches
        self._starting = False

    def submit(
        self, resolver: Resolver, name: str, families: Sequence[int], put: Put
    ) -> LoopSearch:
        """Begin a search; see :func:`aioconnect.resolve.threads.submit_name`."""
        search = LoopSearch(self, resolver, name, families, put)
        with self._lock:
            self._given.append(search)
            loop = self._loop
            if loop is not None:
                loop.call_soon_threadsafe(self._begin)
                return search
            starts, self._starting = not self._starting, True
        if starts:
            thread = threading.Thread(
                target=self._run, name="aioconnect-resolver-loop", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as exc:  # RLIMIT_NPROC, or no memory for its stack
                self._fail(not_resolved(socket.EAI_MEMORY, str(exc), name, families[0]))
        return search

    def cancel(self, search: LoopSearch) -> None:
        """Wait no longer; see :meth:`LoopSearch.cancel`."""
        with self._lock:
            search.put = _nobody
            if search in self._given:
                self._given.remove(search)
            elif self._loop is not None and search.task is not None:
                self._loop.call_soon_threadsafe(search.task.cancel)

    # In the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except OSError as exc:  # no descriptor for the loop
            self._fail(exc)

    async def _main(self) -> None:
        self._searches: set[Task[None]] = set()
        self._changed = asyncio.Event()
        self._lingers = False
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._starting = False
        self._begin()
        while True:
            self._changed.clear()
            try:
                patience = self._patience if self._lingers else 0.0
                async with asyncio.timeout(None if self._searches else patience):
                    await self._changed.wait()
            except TimeoutError:
                with self._lock:
                    if not self._given and not self._searches:
                        self._loop = None
                        return

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            given, self._given = self._given, []
            for search in given:
                self._lingers = self._lingers or search.keeps
                task = loop.create_task(search.run(), name=f"aioconnect: look up {search.name}")
                search.task = task
                self._searches.add(task)
                task.add_done_callback(self._ended)
        self._changed.set()

    def _ended(self, task: Task[None]) -> None:
        self._searches.discard(task)
        self._changed.set()

    def _fail(self, error: OSError) -> None:
        with self._lock:
            self._starting, self._loop = False, None
            given, self._given = self._given, []
        for search in given:
            search.tell(error)


class LoopSearch:
    """One search, and whoever waits for it."""

    __slots__ = ("_families", "_resolver", "_thread", "name", "put", "task")

    def __init__(
        self,
        thread: LoopThread,
        resolver: Resolver,
        name: str,
        families: Sequence[int],
        put: Put,
    ) -> None:
        self._thread = thread
        self._resolver = resolver
        self._families = families
        self.name = name
        self.put = put
        self.task: Task[None] | None = None

    def cancel(self) -> None:
        """Wait no longer; the search is cancelled."""
        self._thread.cancel(self)

    @property
    def keeps(self) -> bool:
        """Whether the resolver may keep something for the loop."""
        return hasattr(self._resolver, "aclose")

    async def run(self) -> None:
        """LoopSearch, and hand out what comes."""
        try:
            async for answer in lookup_name(self._resolver, self.name, self._families):
                self.tell(answer)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.tell(exc.with_traceback(None) if isinstance(exc, OSError) else exc)
        else:
            self.tell(None)

    def tell(self, item: Answer | BaseException | None) -> None:
        """Hand out one answer, or the end."""
        try:
            self.put(item)
        except Exception:
            logger.exception("what waited for %r failed", self.name)


def _nobody(_: Answer | BaseException | None) -> None:
    pass


LOOP = LoopThread()
"""The loop of the whole process; it does not exist before the first search."""


# Instants -----------------------------------------------------------------------------------------


ALARMS_IDLE = 5.0


class Alarms:
    """Calls something at an instant, in a daemon thread that exists while something is due."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew, without a thread: what a forked child does."""
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._runs = False

    def set(self, instant: float, call: Callable[[], None]) -> None:
        """Call something at an instant of ``time.monotonic``; at once if no thread can start."""
        with self._changed:
            heapq.heappush(self._due, (instant, next(self._numbers), call))
            if self._runs:
                if self._due[0][2] is call:
                    self._changed.notify()
                return
            self._runs = True
        thread = threading.Thread(target=self._run, name="aioconnect-resolver-alarms", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            with self._changed:
                self._runs = False
                due, self._due = self._due, []
            for _, _, each in due:
                each()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    self._changed.wait(ALARMS_IDLE)
                if not self._due:
                    self._runs = False
                    return
                instant, _, call = self._due[0]
                left = instant - monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                heapq.heappop(self._due)
            try:
                call()
            except Exception:
                logger.exception("an alarm failed")
            del call


ALARMS = Alarms()
