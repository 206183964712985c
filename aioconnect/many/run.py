"""The run: one frame, that of whoever iterates, drives the calls of all targets.

There is no task per target and none behind the scenes (except one that reads an *asynchronous*
iterable of targets): asking for the next result starts what there is room for, waits, and returns
the first that is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import ExitStack
from math import inf
from typing import TYPE_CHECKING, Any

# Some of this is not used here, but loaded now: later there may be no descriptor to load it with.
from .. import causes, events, poller, retrying  # noqa: F401
from ..chosen import reached
from ..instants import Instants
from ..log import emit
from ..resolve import known, order, system  # noqa: F401
from ..targets import parse_all
from . import source
from .entry import EVERYWHERE, Entry, host_of
from .order import AsTheyCome, InOrder
from .result import ConnectResult, give_up
from .room import READ_NEXT, Room
from .source import NOTHING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Sequence
    from typing import Self

    from ..dialer import Dialer
    from ..errors import ConnectError
    from ..targets import AnyTarget, Target
    from .room import Pace

__all__ = ["ConnectMany"]

_MISUSE = "iterate over connect_many inside its `async with` block, and in one task at a time"


class ConnectMany:
    """What :func:`~aioconnect.connect_many` returns."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Iterable[AnyTarget] | AsyncIterable[AnyTarget],
        *,
        limit: int,
        per_host: int | None,
        pace: Pace | None,
        ordered: bool,
        timeout: float,
    ) -> None:
        self._dialer = dialer
        self._given: Any = targets
        self._per_host = per_host
        self._timeout = timeout
        self._deadline = inf
        self._state = "new"
        self._alarm = poller.Alarm()
        self._slot: asyncio.Future[None] | None = None  # of the loop, to be awaited
        self._room = Room(limit, per_host, pace)
        self._order: AsTheyCome = InOrder() if ordered else AsTheyCome()
        self._flying: set[Entry] = set()
        self._ready: deque[Entry] = deque()
        self._instants = Instants()

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("connect_many is used once")
        self._loop = asyncio.get_running_loop()
        self._poller = poller.of(self._loop)
        now = self._poller.clock()
        self._deadline = now + self._timeout
        self._room.begin(now)
        self._source = source.of(self._given, self._alarm)
        self._given = None
        self._state = "open"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._state = "closed"
        self._given = None  # the caller's, and not to be kept alive
        try:
            self._close()
        finally:
            if not self._loop.is_closed():
                self._alarm.wake()  # whoever iterates in another task must not wait for ever
            await self._source.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConnectResult:
        if self._state != "open":
            raise RuntimeError(_MISUSE)
        done = self._order.done
        if done and self._slot is not None and not (self._ready or self._slot.done()):
            return done.popleft()  # nothing more can be done in this turn of the loop
        self._state = "iterating"
        try:
            while True:
                self._advance()
                if done:
                    return done.popleft()
                if self._slot is not None:
                    await self._slot
                elif self._is_over():
                    raise StopAsyncIteration
                elif not self._ready:  # else something came while it was started
                    await self._alarm.sleep(self._poller, self._wake_at())
                if self._state != "iterating":
                    raise RuntimeError(_MISUSE)
        finally:
            if self._state == "iterating":
                self._state = "open"

    # The work ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do what can be done without waiting."""
        ready = self._ready
        while ready:
            entry = ready.popleft()
            entry.queued = False
            if entry in self._flying:  # else it is the answer to a look-up that nobody needs now
                self._step(entry)
        now = self._poller.clock()
        if self._instants.earliest <= now:
            for due in self._instants.due(now):
                self._step(due)  # type: ignore[arg-type]
        if self._slot is not None and self._slot.done():
            self._slot = None
        if now >= self._deadline:
            self._end(now)
        elif self._slot is None:
            self._fill(now)

    def _fill(self, now: float) -> None:
        """Start what there is room for."""
        room, results, source, poller = self._room, self._order, self._source, self._poller
        done = results.done
        while True:
            entry = room.next(now, len(done) + results.held, results.held, results.turn)
            if entry is None:
                return
            if entry is READ_NEXT and (
                source.exhausted
                or (results.turn >= 0 and results.window(source.count, room.limit) <= 0)
            ):
                return
            self._slot = poller.acquire_slot()
            if self._slot is not None:
                return
            if entry is READ_NEXT:
                given = source.read(self._wanted)
                if given is NOTHING:
                    poller.release_slot()
                    return
                entry = self._parsed(ConnectResult(given, source.count - 1))
            else:
                room.pop()
            if entry is not None:
                if room.admit(entry, now):
                    self._launch(entry, now)
                else:
                    poller.release_slot()
            now = poller.clock()

    def _wanted(self) -> int:
        """Return how many targets may be read ahead."""
        results, room = self._order, self._room
        free = room.free(len(results.done) + results.held)
        return min(free, results.window(self._source.count, room.limit))

    def _is_over(self) -> bool:
        return self._source.exhausted and not (self._flying or self._room.waits)

    def _wake_at(self) -> float:
        """Return the instant at which there is something to do, if nothing happens before."""
        return min(self._deadline, self._instants.first(), self._room.wake())

    # From targets to results ---------------------------------------------------------------------

    def _parsed(self, result: ConnectResult) -> Entry | None:
        """Return the entry for what was read; None if it is no target, which is its result."""
        try:
            targets = self._targets(result)
        except (ValueError, TypeError) as exc:
            result.error = causes.not_a_target(str(exc))
            self._settle(result, self._poller.clock())
            return None
        return self._entry(targets, result)

    def _targets(self, result: ConnectResult) -> Sequence[Target]:
        targets = parse_all(result.target)
        dialer = self._dialer
        return reached(targets, dialer) if dialer.family or dialer.proxy is not None else targets

    def _entry(self, targets: Sequence[Target], result: ConnectResult) -> Entry:
        entry = Entry(self._poller, targets, self._dialer, result, self._ready, self._alarm)
        if entry.deadline > self._deadline:
            entry.deadline = self._deadline
        if self._per_host is not None:
            entry.hosts = tuple(dict.fromkeys([host_of(target) for target in targets]))
        return entry

    def _launch(self, entry: Entry, now: float) -> None:
        if entry.waited:
            entry.resume(now, self._deadline)
            entry.lack = None
        if not entry.outcome.started:
            entry.outcome.started = entry.started
        self._flying.add(entry)
        self._step(entry)
        if entry in self._flying:
            self._poller.release_slot()

    def _step(self, entry: Entry) -> None:
        """Let a call go on until it must wait again, or ends."""
        if entry.slot is not None:
            self._instants.cancel(entry)
        try:
            until = entry.step()
        except BaseException:  # of a hook: that comes out instead of a result
            self._flying.discard(entry)
            entry.close()
            self._room.ended(entry)
            self._order.lose(entry.index)
            raise
        if until is not None and entry.lack is None:
            if until != inf:
                self._instants.add(until, entry)
            return
        self._flying.discard(entry)
        if entry.lack is not None:
            self._room.ended(entry, lacked=True)
            self._lacked(entry)
            return
        self._room.ended(entry)
        result = entry.outcome
        result.socket, result.error = entry.result, entry.error
        entry.result = entry.error = None
        result.ended = self._poller.clock()
        self._order.add(result)

    def _settle(self, result: ConnectResult, now: float) -> None:
        """Put a result where it is handed out from."""
        result.ended = now
        if not result.started:
            result.started = now
        self._order.add(result)

    # When something is lacking -------------------------------------------------------------------

    def _lacked(self, entry: Entry) -> None:
        """Try an entry again when something of this host may have become free."""
        now = self._poller.clock()
        lack = entry.lack
        assert lack is not None
        if now >= self._deadline:
            self._give_up(entry, now)
            return
        sockets = sum([result.socket is not None for result in self._order.results()])
        if self._deadline == inf and self._room.lasts(now, sockets, self._dialer.timeout):
            self._give_up(entry, now)
            return
        everywhere = any(isinstance(failed.error, EVERYWHERE) for failed in lack.attempts)
        host = "" if everywhere else entry.host
        self._room.lacks(entry, host, now, sockets)
        if entry.index == self._order.turn and not self._order.done:
            self._evict(host, lack)
        emit(self._dialer.on_event, events.SlowedDown(now, entry.text, self._room.size, lack))

    def _evict(self, host: str, lack: ConnectError) -> None:
        """Give up the last connection that waits for its turn, and make it again later.

        What those that are held wait for cannot be had while they have it.
        """
        # A port is free for another connection to the same address.
        wanted = [failed.address for failed in lack.attempts] if host else []
        result = self._order.evict_last(wanted)
        if result is not None:
            give_up(result)
            entry = self._entry(self._targets(result), result)
            self._room.evicted(entry, host, self._order.turn)

    # The end -------------------------------------------------------------------------------------

    def _end(self, now: float) -> None:
        """Fail everything that waits, and read nothing more: the deadline of the whole has come.

        What was in flight has failed by itself: no entry has a later deadline.
        """
        for entry in self._room.drain():
            self._give_up(entry, now)
        for given in self._source.rest():
            entry = self._parsed(ConnectResult(given, self._source.count))
            self._source.count += 1
            if entry is not None:
                self._give_up(entry, now)

    def _give_up(self, entry: Entry, now: float) -> None:
        """Fail an entry that has waited until the deadline."""
        error = entry.lack
        if error is not None:
            error.stopped = "deadline"
        else:
            started = entry.outcome.started
            error = causes.timed_out(
                whole=True,
                stage="wait",
                target=entry.text,
                elapsed=now - started if started else 0.0,
            )
        entry.outcome.error = error
        self._settle(entry.outcome, now)

    def _close(self) -> None:
        """Close everything that was not handed out, also if something raises meanwhile."""
        with ExitStack() as stack:
            for result in self._order.results():
                if result.socket is not None:
                    stack.callback(result.socket.close)
            for entry in self._flying:
                stack.callback(entry.close)
            self._room.close()
            self._order.close()
            self._flying.clear()
            self._ready.clear()
            self._instants = Instants()
