"""What the engine asks of an event loop, once per loop: readiness, instants, and slots.

Readiness comes from an epoll of our own that the loop watches as one descriptor: to add and to
remove a socket costs a fraction of what ``add_writer`` costs, on asyncio and on uvloop (see
``benchmarks/RESULTS.md``).  Where there is no epoll, ``add_reader`` and ``add_writer`` do it.
All instants share one timer of the loop (see ``instants.py``).  Nearly all of them are cancelled
before they come: the timer is left as it is, and fires for nothing, which is far cheaper than one
timer for each.

One clock per loop: ``time.monotonic`` where the loop's own clock is that, since uvloop's has
whole milliseconds and its timers can fire a part of one too early; else the loop's, so that a
loop in virtual time is not waited for in real time.  What fired too early is armed again.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from .driver import Driven
from .instants import Instants
from .wait import WRITE
from .watchers import Epoll, LoopWatcher

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop, Future, Handle, TimerHandle
    from collections.abc import Callable, Coroutine, Sequence

    from .driver import Told, World
    from .resolve.base import Resolver

__all__ = ["ATTRIBUTE", "Alarm", "Poller", "of"]

SLOTS = 64
"""How many connects may complete at once within one turn of the loop; the next one waits for the
next turn, so that a program that dials in a tight loop still serves its other tasks."""

UNCOUNTED = SLOTS // 2
"""How many slots are taken before the loop is asked to say when its turn is over: a program that
dials now and then need not ask at all.  They may be of several turns, and count for the last."""

REARM_EVERY = 64
"""After how many new instants the timer is armed again.  uvloop sleeps for what is left by a clock
that stands still while callbacks run, and goes on when a timer is made: thousands of connects
begun in one turn would all time out late, by as long as that turn was."""

LONGEST_TIMER = 1.0
"""Seconds for the timer at most: what is later is armed again, and what is left when nobody waits
any more is soon gone."""

SPARE = 0.01
"""Seconds between the timer and the spare one, which fires if something was raised in the first."""

FINISH_LOOKUPS = 1.0
"""Seconds that look-ups may go on after the connection is there, for the resolver's cache."""

SAME_CLOCK = 1.0
"""Seconds by which the loop's clock may differ from ``time.monotonic`` and be the same."""


class Poller:
    """What is kept for one loop; get it with :func:`of`.  It is the driver of calls on that loop.

    It does not keep the loop alive.
    """

    __slots__ = (
        "__weakref__",
        "_added",
        "_armed",
        "_instants",
        "_loop",
        "_queue",
        "_scheduled",
        "_spare_timer",
        "_spare_turn",
        "_taken",
        "_timer",
        "_watcher",
        "clock",
        "world",
    )

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = ref(loop)
        same = abs(loop.time() - time.monotonic()) < SAME_CLOCK
        self.clock: Any = time.monotonic if same else _clock_of(loop)
        self.world: World | None = None
        self.renew()

    def renew(self) -> None:
        """Begin anew, with nothing watched and nobody waiting: what a forked child does."""
        self._watcher: Callable[[], Epoll | LoopWatcher | None] = _nothing
        self._instants = Instants()
        self._added = 0
        self._timer: TimerHandle | None = None
        self._spare_timer: TimerHandle | None = None
        self._armed = inf
        self._taken = 0
        self._scheduled = False
        self._spare_turn: Handle | None = None
        self._queue: deque[Future[None]] = deque()

    # Readiness -----------------------------------------------------------------------------------

    def watch(self, driven: Driven, sock: socket.socket, events: int = WRITE) -> None:
        """Put ``(sock, mask)`` once when the socket is ready for ``events``, failed or hung up.

        Raises:
            FileExistsError: somebody waits for this descriptor already.
        """
        watcher = self._watcher()
        if watcher is None:
            watcher = self._watch_from_now_on()
        watcher.add(driven, sock, events)

    def _watch_from_now_on(self) -> Epoll | LoopWatcher:
        loop = asyncio.get_running_loop()
        watcher: Epoll | LoopWatcher
        if hasattr(select, "epoll"):
            watcher = Epoll()
            # The loop owns it: it goes when the loop closes.
            loop.add_reader(watcher.fileno(), watcher.dispatch)
            self._watcher = ref(watcher)
        else:
            watcher = LoopWatcher(self._loop)
            self._watcher = watcher.itself
        return watcher

    def unwatch(self, sock: socket.socket) -> None:
        """Watch the socket no longer, if it is watched; call it before the close."""
        watcher = self._watcher()
        if watcher is not None:
            watcher.remove(sock)

    # Instants ------------------------------------------------------------------------------------

    def wake_at(self, when: float, driven: Driven) -> None:
        """Wake ``driven`` at ``when``; it waits for no other instant."""
        self._instants.add(when, driven)
        self._added += 1
        if when < self._armed:
            self._arm(when)
        elif not self._added % REARM_EVERY:
            self._arm(self._instants.first())

    def cancel(self, driven: Driven) -> None:
        """Take back the instant of ``driven``, if it waits for one."""
        self._instants.cancel(driven)

    def _arm(self, when: float) -> None:
        loop = self._loop()
        if loop is None:
            return
        timer, spare = self._timer, self._spare_timer
        now = self.clock()
        when = min(max(when, now), now + LONGEST_TIMER)
        # What is raised in a callback, in its first line too, takes nobody's time limit away: the
        # old timers go when the new ones are there, and the spare one when all is done.
        self._timer = loop.call_later(when - now, self._fire)
        self._spare_timer = loop.call_later(when - now + SPARE, self._fire)
        self._armed = when
        if timer is not None:
            timer.cancel()
        if spare is not None:
            spare.cancel()

    def _fire(self) -> None:
        spare = self._spare_timer
        self._timer = None
        self._armed = inf
        now = self.clock()
        for driven in self._instants.due(now):
            driven.wake()
        first = self._instants.first()
        if first < self._armed and first != inf:
            self._arm(max(first, now + 0.001))  # it fired too early, or will fire late
        elif spare is self._spare_timer:
            self._spare_timer = None
        if spare is not None:
            spare.cancel()

    # Slots ---------------------------------------------------------------------------------------

    def acquire_slot(self) -> Future[None] | None:
        """Reserve one of this iteration's slots; returns a future to await if none is left.

        Release the slot if the connect has to wait.
        """
        if self._taken < SLOTS and not self._queue:
            self._taken += 1
            if self._taken >= UNCOUNTED and not self._scheduled:
                self._schedule(asyncio.get_running_loop())
            return None
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._queue.append(future)
        if not self._scheduled:
            self._schedule(loop)
        return future

    def release_slot(self) -> None:
        """Count one less: the connect did not complete at once."""
        if self._taken > 0:
            self._taken -= 1

    def _schedule(self, loop: AbstractEventLoop) -> None:
        loop.call_soon(self._next_turn)
        # Whatever is raised in it, those that wait have their turn.
        self._spare_turn = loop.call_soon(self._next_turn)
        self._scheduled = True

    def _next_turn(self) -> None:
        spare = self._spare_turn
        self._taken = 0
        queue = self._queue
        while queue and self._taken < SLOTS:
            future = queue[0]
            if not future.done():
                self._taken += 1
                future.set_result(None)
            queue.popleft()
        loop = self._loop()
        if (queue or self._taken) and loop is not None:
            self._schedule(loop)
        else:
            self._scheduled = False
        if spare is not None:
            spare.cancel()

    # What needs tasks ----------------------------------------------------------------------------

    def look_up(
        self, told: Told, asked: Any, resolver: Resolver, name: str, families: Sequence[int]
    ) -> asyncio.Task[None]:
        """Look a name up in a task; see :class:`~aioconnect.driver.Driver`."""
        return asyncio.get_running_loop().create_task(
            _look_up(told, asked, resolver, name, families), name=f"aioconnect: look up {name}"
        )

    def let_finish(self, tickets: Sequence[asyncio.Task[None]]) -> None:
        """Let look-ups go on for a second."""
        pending = [task for task in tickets if not task.done()]
        loop = self._loop()
        if pending and loop is not None and not loop.is_closed():
            loop.call_later(FINISH_LOOKUPS, _cancel, pending)

    def run(self, driven: Driven, key: Any, stage: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a stage in a task; see :class:`~aioconnect.driver.Driver`."""
        # In a task, so that a cancellation is not the caller's to handle: uvloop's handshake goes
        # on after one, and complains.
        task = asyncio.get_running_loop().create_task(stage, name="aioconnect: handshake")

        def tell(ended: asyncio.Task[Any]) -> None:
            driven.put((key, ended))

        task.add_done_callback(tell)
        task.add_done_callback(tell)  # if something was raised in the first one, it is heard still
        return task


class Alarm(Driven):
    """A sleep of one coroutine that others can cut short, by ``wake`` or ``put``."""

    def __init__(self) -> None:
        self.future = self.slot = None
        self.items: list[Any] = []

    async def sleep(self, poller: Poller, until: float) -> None:
        """Return at ``until``, or when it is woken; the loop has its turn in any case."""
        if not self.items:
            self.future = future = asyncio.get_running_loop().create_future()
            try:
                if until != inf:
                    poller.wake_at(until, self)
                await future
            finally:
                poller.cancel(self)


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _look_up(
    told: Told,
    asked: Any,
    resolver: Resolver,
    name: str,
    families: Sequence[int],
    end: BaseException | None = None,  # set here, or it were not when the first line raises
) -> None:
    try:
        from .resolve.base import lookup_name

        answers = lookup_name(resolver, name, families)
        try:
            async for answer in answers:
                told.put((asked, answer))
        finally:
            await answers.aclose()
    except Exception as exc:
        end = exc.with_traceback(None) if isinstance(exc, OSError) else exc
    except asyncio.CancelledError:
        from .resolve.base import cancelled_by_others

        end = cancelled_by_others(name, families[0])
        raise
    except BaseException as exc:
        end = exc
        raise
    finally:  # whatever was raised, who waits for the name hears of it
        try:
            told.put((asked, end))
        except BaseException:  # in there too
            told.put((asked, end))
            raise


def _clock_of(loop: AbstractEventLoop) -> Callable[[], float]:
    """Return the loop's clock; it does not keep the loop alive."""
    whose = ref(loop)

    def clock() -> float:
        loop = whose()
        return inf if loop is None else loop.time()

    return clock


def _nothing() -> None:
    """Stand for what is not there yet."""


ATTRIBUTE = "_aioconnect_poller"
"""Where a loop keeps its poller; to look there before ``of`` saves 400 of 32 000 instructions."""

_pollers: WeakSet[Poller] = WeakSet()


def _renew_all() -> None:
    for poller in tuple(_pollers):
        poller.renew()


# A forked child shares the parent's epolls: it makes its own.
os.register_at_fork(after_in_child=_renew_all)


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
        poller = Poller(loop)
        setattr(loop, ATTRIBUTE, poller)
        _pollers.add(poller)
    return poller
