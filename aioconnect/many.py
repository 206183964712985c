"""``connect_many``: thousands of targets, a bounded number in flight, results as they come.

One frame drives all sockets: that of whoever iterates.  There is no task per target and none
behind the scenes (but one that reads an *asynchronous* iterable of targets): asking for the next
result starts what there is room for, waits, and returns the first that is done.  So back-pressure
needs no mechanism: who does not ask does not get, and nothing is read ahead.

A target that fails for want of something of this host (a descriptor, a buffer, a local port) has
not failed.  It waits and is tried again.  Descriptors and buffers are lacking for every target:
nothing starts for a while, and no more are in flight than were open when they ran out; that grows
again by and by.  A port is lacking for one destination: only targets of that host wait.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import resource
import socket
from collections import deque
from collections.abc import AsyncIterable, Iterable
from itertools import count
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import errors, poller
from .dialer import Dialer
from .options import check_count, check_limit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self, TypeAlias, Unpack

    from .options import TargetOptions
    from .targets import TargetLike

    AnyTarget: TypeAlias = TargetLike | Sequence[TargetLike]

__all__ = ["ConnectMany", "ConnectResult", "connect_many"]

CATCH_UP = 0.02
"""Seconds of late starts that a ``rate`` makes up for; timers come late, and that must not add
up."""

LEAST_PAUSE, MOST_PAUSE = 0.01, 1.0
"""Seconds before what was lacking is asked for again: doubled each time that it still lacks."""

GROW_EVERY = 0.5
"""Seconds after which half as many again may be in flight, when nothing is lacking any more."""

AHEAD = 64
"""How many targets may wait for a port before no more are read to find another destination."""

_NOTHING: Any = object()
"""Stands for a target that is not there: not yet, or not any more."""

_MISUSE = "iterate over connect_many inside its `async with` block, and in one task at a time"


class ConnectResult:
    """What became of one target.

    Attributes:
        target: as it was given.
        index: its place in the input, from 0.
        socket: the connected socket, which is the caller's now; None if it failed.
        error: the :class:`~aioconnect.ConnectError` if it failed, else None.
        started: the instant at which it was first dialled (``time.monotonic()``, seconds).
        ended: the instant at which it was connected or had failed.
    """

    __slots__ = ("ended", "error", "index", "socket", "started", "target")

    def __init__(self, target: AnyTarget, index: int) -> None:
        self.target = target
        self.index = index
        self.socket: socket.socket | None = None
        self.error: errors.ConnectError | None = None
        self.started = 0.0
        self.ended = 0.0

    @property
    def elapsed(self) -> float:
        """Return the seconds from the first dial to the result."""
        return self.ended - self.started

    def __repr__(self) -> str:
        what = self.socket if self.error is None else self.error
        return f"<ConnectResult {self.target!r}: {what!r}>"


def connect_many(
    targets: Iterable[AnyTarget] | AsyncIterable[AnyTarget],
    *,
    limit: int | None = None,
    per_host: int | None = None,
    rate: float | None = None,
    burst: int = 1,
    ordered: bool = False,
    timeout: float | None = None,
    target_timeout: float | None = 30.0,
    **options: Unpack[TargetOptions],
) -> ConnectMany:
    """Connect to many targets; use it with ``async with`` and ``async for``.

    Example::

        async with aioconnect.connect_many(targets, limit=200) as results:
            async for result in results:
                if result.socket is not None:
                    with result.socket as sock: ...

    Args:
        targets: an iterable or an asynchronous iterable, of any length, of what
            :func:`~aioconnect.connect` takes.  It is read only as fast as there is room, and
            stays the caller's: it is not closed.
        limit: how many may be in flight, results not yet handed out included; the default fits
            the process's limit of descriptors, and is 1000 at most.
        per_host: how many of them to one host or path, as it is written in the target; a list of
            targets counts for each of its hosts.  None is no limit of its own.
        rate: starts per second, evenly spaced; None is as fast as it goes.
        burst: how many may start at once, with ``rate``, at the beginning and after a lull.
        ordered: give the results in the order of the input, within a window of ``limit``.
        timeout: seconds for the whole; what is in flight then fails, and nothing more is read.
        target_timeout: seconds for one target (what ``timeout`` is to ``connect``), without those
            in which it waited for what this host lacked.
        **options: as for :func:`~aioconnect.connect`.  A retry policy holds per target.

    Returns:
        An object that is an asynchronous context manager and an asynchronous iterator of
        :class:`ConnectResult`.  Each socket that was handed out is the caller's; leaving the
        block closes what was not, cancels what is pending, and reads no further target.

    Raises:
        ValueError, TypeError: bad options, before any I/O.  A target that cannot be parsed does
            not end the run: it is a result with an ``invalid_argument`` error.

    Want of descriptors, buffers or local ports never fails a target: fewer are kept in flight
    for a while (an event, :class:`~aioconnect.events.SlowedDown`), and it is tried again.
    """
    dialer = Dialer(**options, timeout=target_timeout)
    if isinstance(targets, str | bytes) or not isinstance(targets, Iterable | AsyncIterable):
        raise TypeError(f"targets is an iterable of targets, not {targets!r}")
    check_count("burst", burst)
    return ConnectMany(
        dialer,
        targets,
        limit=check_count("limit", default_limit() if limit is None else limit),
        per_host=None if per_host is None else check_count("per_host", per_host),
        pace=None if rate is None else _Pace(rate, burst),
        ordered=ordered,
        timeout=check_limit("timeout", timeout),
    )


def default_limit() -> int:
    """Return three quarters of the descriptors that the process may still open, at most 1000."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1000
    try:
        taken = len(os.listdir("/dev/fd"))
    except OSError:
        taken = 64
    return max(1, min(1000, (soft - taken) * 3 // 4))


class ConnectMany:
    """What :func:`connect_many` returns."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Iterable[AnyTarget] | AsyncIterable[AnyTarget],
        *,
        limit: int,
        per_host: int | None,
        pace: _Pace | None,
        ordered: bool,
        timeout: float,
    ) -> None:
        self._dialer = dialer
        self._source = targets
        self._limit = limit
        self._per_host = per_host
        self._pace = pace
        self._ordered = ordered
        self._timeout = timeout
        self._deadline = inf
        self._state = "new"
        self._inbox = poller.Inbox()
        self._turn: asyncio.Future[None] | None = None  # of the loop, to be awaited

        # What is read.
        self._iterator: Iterator[AnyTarget] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._wanted = 0  # how many the reader may read
        self._read: deque[AnyTarget] = deque()  # what it has read
        self._count = 0
        self._exhausted = False

        # What waits, for its host or its instant, and what is in flight.
        self._parked: dict[str, deque[_Entry]] = {}
        self._n_parked = 0
        self._again: list[tuple[float, int, _Entry]] = []  # instant, index
        self._flying: set[_Entry] = set()
        self._hosts: dict[str, int] = {}  # how many of them fly to each, with `per_host`
        self._ready: deque[_Entry] = deque()
        self._timers: list[tuple[float, int, _Entry]] = []
        self._ties = count()

        # What is done.
        self._done: deque[ConnectResult] = deque()
        self._held: dict[int, ConnectResult | None] = {}  # not their turn yet (ordered)
        self._next = 0  # the index whose turn it is (ordered)

        # What is lacking: until when, and how long that was; "" is lacking for all hosts.
        self._short: dict[str, tuple[float, float]] = {}
        self._room = limit
        self._grow_at = 0.0

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("connect_many is used once")
        self._state = "open"
        self._loop = asyncio.get_running_loop()
        self._poller = poller.of(self._loop)
        now = monotonic()
        self._deadline = now + self._timeout
        if self._pace is not None:
            self._pace.begin(now)
        if isinstance(self._source, AsyncIterable):
            self._asked = asyncio.Event()
            self._reader = self._loop.create_task(
                self._read_on(aiter(self._source)), name="aioconnect: read targets"
            )
            self._reader.add_done_callback(lambda _: self._inbox.wake())
        else:
            self._iterator = iter(self._source)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._state = "closed"
        reader = self._reader
        if reader is not None:
            reader.cancel()
        try:
            self._close()
        finally:
            self._inbox.wake()  # who iterates in another task must not wait for ever
            if reader is not None and not reader.done():
                await asyncio.wait((reader,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConnectResult:
        if self._state != "open":
            raise RuntimeError(_MISUSE)
        done = self._done
        if done and self._turn is not None and not (self._ready or self._turn.done()):
            return done.popleft()  # nothing more can be done in this turn of the loop
        self._state = "iterating"
        try:
            while True:
                self._advance()
                if done:
                    return done.popleft()
                if self._turn is not None:
                    await self._turn
                elif self._is_over():
                    raise StopAsyncIteration
                elif not self._ready:  # else something came while it was started
                    await self._inbox.wait(self._loop, self._poller, self._wake_at())
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
                self._step(entry, entry.woken)
        now = monotonic()
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, entry = heapq.heappop(timers)
            if entry.until == when and entry in self._flying:
                entry.until = inf
                self._step(entry, now)
        if now >= self._deadline:
            self._end(now)
        else:
            self._fill(now)

    def _fill(self, now: float) -> None:
        """Start what there is room for."""
        if self._turn is not None:
            if not self._turn.done():
                return
            self._turn = None
        if self._room < self._limit and now >= self._grow_at:
            self._room = min(self._limit, self._room + max(1, self._room // 2))
            self._grow_at = now + GROW_EVERY
        pace, again = self._pace, self._again
        while not self._is_full() and (again or not self._exhausted):
            if pace is not None or self._short:
                now = monotonic()
                if (pace is not None and now < pace.next) or now < self._short_until(""):
                    return
            self._turn = self._poller.takes_turn(self._loop)
            if self._turn is not None:
                return
            if again and again[0][0] <= now:
                entry: _Entry | None = heapq.heappop(again)[2]
            else:
                given = self._read_one()
                if given is _NOTHING:
                    return
                entry = self._parse(given)
            if entry is not None and not self._must_wait(entry, now):
                if pace is not None:
                    pace.take(now)
                self._start(entry)

    def _is_full(self) -> bool:
        taken = len(self._flying) + len(self._done)
        # One may always fly: the results that are held wait for one that comes before them.
        return taken > 0 and taken + len(self._held) >= self._room

    def _is_over(self) -> bool:
        return self._exhausted and not (self._flying or self._again or self._n_parked)

    def _wake_at(self) -> float:
        """Return the instant at which there is something to do if nothing happens before."""
        when = self._deadline
        if self._timers:
            when = min(when, self._timers[0][0])
        if self._room < self._limit:
            when = min(when, self._grow_at)
        if self._is_full():
            return when
        start = self._short_until("")
        if self._pace is not None:
            start = max(start, self._pace.next)
        if self._exhausted or len(self._again) >= AHEAD:
            start = max(start, self._again[0][0]) if self._again else inf
        elif self._again and ...:
            ...
        return when
