"""What the engine asks of an event loop, once per loop: readiness, instants, and its turn.

Readiness comes from an epoll of our own that the loop watches as one descriptor: to add and to
remove a socket costs a fraction of what ``add_writer`` costs, on asyncio and on uvloop (see
``benchmarks/RESULTS.md``).  Where there is no epoll, ``add_writer`` does it.  All instants share
one heap and one timer of the loop.  Nearly all of them are cancelled before they come: then the
timer is left as it is, to fire for nothing, which is far cheaper than one timer for each.

Instants are on ``time.monotonic()``, not on the loop's clock: uvloop's has whole milliseconds,
and its timers can fire a part of one too early.  What fired too early is armed again.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import select
from collections import deque
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle
    from collections.abc import Callable

__all__ = ["ATTRIBUTE", "Inbox", "Poller", "of"]

AT_ONCE = 64
"""How many connects may complete at once within one turn of the loop; the next one waits for the
next turn, so that a program that dials in a tight loop still serves its other tasks."""

COUNTED = AT_ONCE // 2
"""How many are counted before the loop is asked to say when its turn is over: a program that
dials now and then need not ask at all.  They may be of several turns, and count for the last."""

AGAIN = 64
"""After how many new instants the timer is armed again.  uvloop sleeps for what is left by a clock
that stands still while callbacks run, and goes on when a timer is made: thousands of connects
begun in one turn would all time out late, by as long as that turn was."""

_ONCE = select.EPOLLOUT | select.EPOLLONESHOT if hasattr(select, "epoll") else 0
# A descriptor that was closed while a copy of it is open cannot be taken out of an epoll: so each
# is reported once only.

AHEAD = 1.0
"""Seconds for the timer at most: what is later is armed again, and what is left when nobody waits
any more is soon gone."""


class Inbox:
    """Where a coroutine finds what happened while it waited."""

    _future: Future[None] | None = None
    _timer: list[Any] | None = None

    def __init__(self) -> None:
        self.items: list[Any] = []

    def put(self, item: Any) -> None:
        """Add an item, and wake who waits."""
        self.items.append(item)
        self.wake()

    def wake(self) -> None:
        """Wake who waits, with nothing new."""
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def arrival(self, loop: AbstractEventLoop, poller: Poller, until: float) -> Future[None]:
        """Return what to await if there are no items: done when one comes, or at ``until``.

        Call ``arrived`` after it, however it ended.  (Not a coroutine: in a pending connect its
        frame would be a tenth of all memory.)
        """
        future = self._future = loop.create_future()
        if until != inf:
            self._timer = poller.wake_at(loop, until, self)
        return future

    def arrived(self, poller: Poller) -> None:
        """End a wait, however it ended."""
        if self._timer is not None:
            poller.cancel(self._timer)
            self._timer = None

    async def wait(self, loop: AbstractEventLoop, poller: Poller, until: float) -> None:
        """Return when something was put, or at ``until``."""
        if not self.items:
            try:
                await self.arrival(loop, poller, until)
            finally:
                self.arrived(poller)


class Poller:
    """What is kept for one loop; get it with :func:`of`.

    It does not refer to the loop, which would keep it alive: methods take the loop.
    """

    __slots__ = (
        "__weakref__",
        "_armed",
        "_cancelled",
        "_count",
        "_heap",
        "_queue",
        "_scheduled",
        "_timer",
        "_turns",
        "_watcher",
    )

    def __init__(self) -> None:
        self._watcher: Callable[[], _Epoll | _Writers | None] = _nothing
        self._heap: list[list[Any]] = []  # [instant, tie-breaker, inbox or None if cancelled]
        self._count = itertools.count()
        self._cancelled = 0
        self._timer: TimerHandle | None = None
        self._armed = 0.0
        self._turns = 0
        self._scheduled = False
        self._queue: deque[Future[None]] = deque()

    # Readiness -----------------------------------------------------------------------------------

    def watch(self, loop: AbstractEventLoop, fd: int, inbox: Inbox, item: Any) -> None:
        """Put ``item`` into ``inbox`` once when ``fd`` is writable (or failed, or hung up).

        Raises:
            FileExistsError: somebody waits for this descriptor already.
        """
        watcher = self._watcher()
        if watcher is None:
            if hasattr(select, "epoll"):
                watcher = _Epoll()
                # The loop owns it: it goes when the loop closes.
                loop.add_reader(watcher.fileno(), watcher.dispatch)
                self._watcher = ref(watcher)
            else:
                watcher = _Writers()
                self._watcher = partial(_itself, watcher)
        watcher.add(loop, fd, inbox, item)

    def unwatch(self, loop: AbstractEventLoop, fd: int, item: Any) -> None:
        """Forget the descriptor if it is watched for ``item``; call it before the close."""
        watcher = self._watcher()
        if watcher is not None:
            watcher.remove(loop, fd, item)

    # Instants ------------------------------------------------------------------------------------

    def wake_at(self, loop: AbstractEventLoop, when: float, inbox: Inbox) -> list[Any]:
        """Wake ``inbox`` at ``when``; returns what ``cancel`` takes."""
        number = next(self._count)
        entry = [when, number, inbox]
        heapq.heappush(self._heap, entry)
        if self._timer is None or when < self._armed:
            self._arm(loop, when)
        elif not number % AGAIN:
            self._arm(loop, self._heap[0][0])
        return entry

    def cancel(self, entry: list[Any]) -> None:
        """Take back an instant; also one that has come."""
        if entry[2] is None:
            return
        entry[2] = None
        self._cancelled += 1
        heap = self._heap
        if self._cancelled == len(heap):
            heap.clear()
            self._cancelled = 0
        elif self._cancelled > 64 and self._cancelled * 2 > len(heap):
            heap[:] = [each for each in heap if each[2] is not None]
            heapq.heapify(heap)
            self._cancelled = 0

    def _arm(self, loop: AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = monotonic()
        self._armed = when = min(max(when, now), now + AHEAD)
        self._timer = loop.call_later(when - now, self._fire, loop)

    def _fire(self, loop: AbstractEventLoop) -> None:
        self._timer = None
        heap = self._heap
        now = monotonic()
        while heap:
            entry = heap[0]
            if entry[2] is None:
                self._cancelled -= 1
            elif entry[0] <= now:
                entry[2].wake()
                entry[2] = None
            else:
                self._arm(loop, max(entry[0], now + 0.001))
                return
            heapq.heappop(heap)

    # Turns ---------------------------------------------------------------------------------------

    def takes_turn(self, loop: AbstractEventLoop) -> Future[None] | None:
        """Count a connect that is about to begin; a future to await first if the turn is full.

        Who does not complete at once gives the turn back.
        """
        if self._turns < AT_ONCE and not self._queue:
            self._turns += 1
            if self._turns >= COUNTED and not self._scheduled:
                self._schedule(loop)
            return None
        future = loop.create_future()
        self._queue.append(future)
        return future

    def gives_turn_back(self) -> None:
        """Count one less: the connect did not complete at once."""
        if self._turns > 0:
            self._turns -= 1

    def _schedule(self, loop: AbstractEventLoop) -> None:
        self._scheduled = True
        loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turns = 0
        self._scheduled = False
        queue = self._queue
        while queue and self._turns < AT_ONCE:
            future = queue.popleft()
            if not future.done():
                if not self._scheduled:
                    self._schedule(future.get_loop())
                self._turns += 1
                future.set_result(None)


def _nothing() -> None:
    """Stand for what is not there yet."""


def _itself(watcher: _Writers) -> _Writers:
    return watcher


class _Epoll:
    """Sockets that are waited for, in an epoll of our own; each is reported once."""

    __slots__ = ("__weakref__", "_epoll", "_waiting")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, tuple[Inbox, Any]] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def add(self, loop: AbstractEventLoop, fd: int, inbox: Inbox, item: Any) -> None:
        self._epoll.register(fd, _ONCE)
        stale = self._waiting.get(fd)
        self._waiting[fd] = (inbox, item)
        if stale is not None:
            # Its descriptor was closed under it, which epoll forgets in silence, and the number
            # was given to this socket: let it look at its own.
            stale[0].put(stale[1])

    def remove(self, loop: AbstractEventLoop, fd: int, item: Any) -> None:
        entry = self._waiting.get(fd)
        if entry is not None and entry[1] is item:
            del self._waiting[fd]
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        try:  # noqa: SIM105  # contextlib.suppress costs more than the system call
            self._epoll.unregister(fd)
        except OSError:  # closed by its owner, and so no longer in the set
            pass

    def dispatch(self) -> None:
        for fd, _ in self._epoll.poll(0):
            entry = self._waiting.pop(fd, None)
            self._forget(fd)
            if entry is not None:
                inbox, item = entry
                inbox.put(item)


class _Writers:
    """The same by ``add_writer``, for systems without epoll."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Inbox, Any]] = {}

    def add(self, loop: AbstractEventLoop, fd: int, inbox: Inbox, item: Any) -> None:
        if fd in self._waiting:
            raise FileExistsError(f"descriptor {fd} is waited for already")
        loop.add_writer(fd, self._ready, loop, fd)
        self._waiting[fd] = (inbox, item)

    def remove(self, loop: AbstractEventLoop, fd: int, item: Any) -> None:
        entry = self._waiting.get(fd)
        if entry is not None and entry[1] is item:
            del self._waiting[fd]
            loop.remove_writer(fd)

    def _ready(self, loop: AbstractEventLoop, fd: int) -> None:
        inbox, item = self._waiting.pop(fd)
        loop.remove_writer(fd)
        inbox.put(item)


ATTRIBUTE = "_aioconnect_poller"
"""Where a loop keeps its poller; to look there before ``of`` saves 400 of 32 000 instructions."""

_pollers: WeakSet[Poller] = WeakSet()


def _forget_all() -> None:
    for poller in tuple(_pollers):
        poller.__init__()  # type: ignore[misc]


# A forked child shares the parent's epolls: it makes its own.
os.register_at_fork(after_in_child=_forget_all)


def of(loop: AbstractEventLoop) -> Poller:
    """Return the poller of a loop, made at its first call.

    It is an attribute of the loop: what waits in it refers to the loop, and a table of ours that
    holds both would keep a loop alive that was closed while something waited.

    Raises:
        TypeError: the loop cannot watch sockets (Windows' Proactor).
    """
    poller: Poller | None = getattr(loop, ATTRIBUTE, None)
    if poller is None:
        if getattr(type(loop), "add_writer", None) in (None, asyncio.AbstractEventLoop.add_writer):
            raise TypeError(
                f"{type(loop).__name__} cannot wait for sockets (no add_writer): aioconnect needs "
                "a selector loop or uvloop"
            )
        poller = Poller()
        setattr(loop, ATTRIBUTE, poller)
        _pollers.add(poller)
    return poller
