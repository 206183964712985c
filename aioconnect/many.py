"""``connect_many``: thousands of targets, a bounded number in flight, results as they come.

One frame drives all sockets: that of whoever iterates.  There is no task per target and none
behind the scenes (but one that reads an *asynchronous* iterable of targets): asking for the next
result starts what there is room for, waits, and returns the first that is done.  So back-pressure
needs no mechanism: who does not ask does not get, and nothing is read ahead.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import resource
from collections import deque
from collections.abc import AsyncIterable, Iterable
from itertools import count
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import errors, events, poller
from .call import tell
from .dialer import Dialer, check_family
from .engine import AsyncioCall
from .options import check_count, check_limit, check_span
from .targets import parse_all

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Generator, Iterator, Sequence
    from typing import Self, TypeAlias, Unpack

    from .options import TargetOptions
    from .targets import Target, TargetLike

    AnyTarget: TypeAlias = TargetLike | Sequence[TargetLike]

__all__ = ["ConnectMany", "ConnectResult", "connect_many"]

CATCH_UP = 0.02
"""Seconds of late starts that a ``rate`` makes up for; timers come late, and that must not add
up."""

LOCAL = (
    errors.TooManyOpenFiles,
    errors.NoBuffers,
    errors.PortsExhausted,
    errors.AddressInUse,
)
"""What this host lacks for a moment: a reason to slow down, not to give a target up."""


class ConnectResult:
    """What became of one target.

    Attributes:
        target: as it was given.
        index: its place in the input, from 0.
        socket: the connected socket, which is the caller's now; None if it failed.
        error: the :class:`~aioconnect.ConnectError` if it failed, else None.
        started: the instant at which it was first dialled (``time.monotonic()``, seconds).
        ended: the instant of the result.
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
            :func:`~aioconnect.connect` takes.  It is read only as fast as there is room.
        limit: how many may be in flight, results not yet handed out included; the default fits
            the process's limit of descriptors, and is 1000 at most.
        per_host: how many of them to one host or path; None is no limit of its own.
        rate: starts per second, evenly spaced; None is as fast as it goes.
        burst: how many may start at once at the beginning, with ``rate``.
        ordered: give the results in the order of the input, within a window of ``limit``.
        timeout: seconds for the whole; what is in flight then fails, and nothing more is read.
        target_timeout: seconds for one target (what ``timeout`` is to ``connect``).
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
    return ConnectMany(
        dialer,
        targets,
        limit=check_count("limit", default_limit() if limit is None else limit),
        per_host=None if per_host is None else check_count("per_host", per_host),
        rate=None if rate is None else check_span("rate", rate),
        burst=check_count("burst", burst),
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


class _Entry(AsyncioCall):
    """One target in flight."""

    many: ConnectMany
    result: ConnectResult
    host: str
    steps: Generator[float, None, None] | None = None
    until = inf
    queued = False

    def put(self, item: Any) -> None:
        self.items.append(item)
        if not self.queued:
            self.queued = True
            self.many._ready.append(self)
        self.many._inbox.wake()


class ConnectMany:
    """What :func:`connect_many` returns."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Iterable[AnyTarget] | AsyncIterable[AnyTarget],
        *,
        limit: int,
        per_host: int | None,
        rate: float | None,
        burst: int,
        ordered: bool,
        timeout: float,
    ) -> None:
        if rate is not None and not 0 < rate < inf:
            raise ValueError(f"rate={rate!r}: starts per second, more than 0")
        if not isinstance(targets, Iterable | AsyncIterable) or isinstance(targets, str):
            raise TypeError(f"targets is an iterable of targets, not {targets!r}")
        self._dialer = dialer
        self._source = targets
        self._limit = self._room = limit
        self._per_host = per_host
        self._interval = 0.0 if rate is None else 1.0 / rate
        self._burst = burst
        self._ordered = ordered
        self._timeout = timeout
        self._inbox = poller.Inbox()
        self._iterator: Iterator[AnyTarget] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._read: deque[AnyTarget] = deque()  # what the reader has read
        self._exhausted = False
        self._count = count()
        self._ties = count()
        self._flying: set[_Entry] = set()
        self._hosts: dict[str, int] = {}
        self._parked: dict[str, deque[tuple[tuple[Target, ...], ConnectResult]]] = {}
        self._n_parked = 0
        self._again: deque[tuple[tuple[Target, ...], ConnectResult]] = deque()
        self._ready: deque[_Entry] = deque()
        self._timers: list[tuple[float, int, _Entry]] = []
        self._done: deque[ConnectResult] = deque()
        self._held: dict[int, ConnectResult] = {}  # done, but not their turn (ordered)
        self._turn = 0
        self._pause = 0.0
        self._paused_until = 0.0
        self._next_start = 0.0
        self._deadline = inf
        self._state = "new"

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("connect_many is used once")
        self._loop = asyncio.get_running_loop()
        self._poller = poller.of(self._loop)
        self._state = "open"
        now = monotonic()
        self._deadline = now + self._timeout
        self._next_start = now - (self._burst - 1) * self._interval
        if isinstance(self._source, Iterable):
            self._iterator = iter(self._source)
        else:
            self._wanted = asyncio.Event()
            self._reader = self._loop.create_task(
                self._read_on(aiter(self._source)), name="aioconnect: read targets"
            )
            self._reader.add_done_callback(lambda _: self._inbox.wake())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._state = "closed"
        self._close()
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.cancel()
            await asyncio.wait((reader,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConnectResult:
        if self._state != "open":
            raise RuntimeError("iterate over connect_many inside its `async with` block, alone")
        if self._done:
            return self._hand_out()
        self._state = "iterating"
        try:
            while True:
                turn = self._advance()
                if self._done:
                    return self._hand_out()
                if turn is not None:
                    await turn
                elif self._is_over():
                    raise StopAsyncIteration
                else:
                    await self._inbox.wait(self._loop, self._poller, self._wake_at())
        finally:
            if self._state == "iterating":
                self._state = "open"

    # The work ------------------------------------------------------------------------------------

    def _hand_out(self) -> ConnectResult:
        self._turn += 1
        return self._done.popleft()

    def _advance(self) -> asyncio.Future[None] | None:
        """Do what can be done without waiting; a future to await first if the turn is full."""
        self._inbox.items.clear()
        ready = self._ready
        while ready:
            entry = ready.popleft()
            entry.queued = False
            self._step(entry)
        now = monotonic()
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, entry = heapq.heappop(timers)
            if entry in self._flying and entry.until == when:
                entry.until = inf
                self._step(entry)
        if now >= self._deadline:
            self._end(now)
            return None
        while not self._is_full():
            now = monotonic()
            if now < self._paused_until or (self._interval and now < self._next_start):
                return None
            found = self._next_target()
            if found is None:
                return None
            turn = self._poller.takes_turn(self._loop)
            if turn is not None:
                self._again.appendleft(found)
                return turn
            if self._interval:
                late = max(CATCH_UP, self._burst * self._interval)
                self._next_start = max(self._next_start, now - late) + self._interval
            self._start(*found)
        return None

    def _next_target(self) -> tuple[tuple[Target, ...], ConnectResult] | None:
        """Find the next target that may start: one to try again, or one that is read."""
        if self._again:
            return self._again.popleft()
        while True:
            if self._n_parked >= self._limit or self._exhausted:
                return None
            try:
                given = self._read_one()
            except StopIteration:
                self._exhausted = True
                return None
            if given is None:
                return None
            result = ConnectResult(given, next(self._count))
            try:
                targets = tuple(check_family(parse_all(given), self._dialer))
            except (ValueError, TypeError) as exc:
                result.error = errors.not_a_target(str(exc))
                self._settle(result)
                if self._done:
                    return None
                continue
            host = targets[0].host
            if self._per_host is not None and self._hosts.get(host, 0) >= self._per_host:
                self._parked.setdefault(host, deque()).append((targets, result))
                self._n_parked += 1
                continue
            return targets, result

    def _read_one(self) -> AnyTarget | None:
        """Return the next target, None if it has not come yet; StopIteration at the end."""
        if self._iterator is not None:
            return next(self._iterator)
        reader = self._reader
        assert reader is not None
        if self._read:
            return self._read.popleft()
        if reader.done():
            reader.result()  # what the caller's iterable raised comes out unchanged
            raise StopIteration
        self._wanted.set()
        return None

    async def _read_on(self, source: AsyncIterator[AnyTarget]) -> None:
        async for given in source:
            self._read.append(given)
            self._inbox.wake()
            self._wanted.clear()
            await self._wanted.wait()

    def _start(self, targets: tuple[Target, ...], result: ConnectResult) -> None:
        entry = _Entry(targets, self._dialer)
        entry.many = self
        entry.result = result
        entry.host = targets[0].host
        if not result.started:
            result.started = entry.started
        if entry.deadline > self._deadline:
            entry.deadline = self._deadline
        if self._per_host is not None:
            self._hosts[entry.host] = self._hosts.get(entry.host, 0) + 1
        try:
            if entry.start():
                self._connected(entry)
                return
        except errors.ConnectError as exc:
            self._failed(entry, exc)
            return
        self._flying.add(entry)
        entry.steps = entry.run()
        self._step(entry)

    def _step(self, entry: _Entry) -> None:
        """Let one call go on until it must wait again, or ends."""
        assert entry.steps is not None
        try:
            until = next(entry.steps, None)
        except errors.ConnectError as exc:
            self._flying.discard(entry)
            self._failed(entry, exc)
            return
        except BaseException:
            self._flying.discard(entry)
            raise
        if until is None:
            self._flying.discard(entry)
            self._connected(entry)
            return
        if until != entry.until:
            entry.until = until
            timers = self._timers
            heapq.heappush(timers, (until, next(self._ties), entry))
            if len(timers) > 64 and len(timers) > 4 * len(self._flying):
                # Most calls end long before their instant: drop what nobody waits for.
                timers[:] = [t for t in timers if t[2] in self._flying and t[2].until == t[0]]
                heapq.heapify(timers)

    def _connected(self, entry: _Entry) -> None:
        if self._room < self._limit:
            self._room += 1  # what was lacking is there again
        self._pause = 0.0
        entry.result.socket = entry.sock
        self._leave_host(entry.host)
        self._settle(entry.result)

    def _failed(self, entry: _Entry, exc: errors.ConnectError) -> None:
        self._leave_host(entry.host)
        exc.with_traceback(None)  # it would keep every frame of the call alive
        now = monotonic()
        if now < self._deadline and any(
            isinstance(attempt.error, LOCAL) for attempt in exc.attempts
        ):
            self._slow_down(now, exc)
            self._again.append((tuple(entry._targets), entry.result))
            return
        entry.result.error = exc
        self._settle(entry.result)

    def _slow_down(self, now: float, exc: errors.ConnectError) -> None:
        """Keep fewer in flight, and wait a little: something of this host must become free."""
        self._room = max(1, min(self._room, len(self._flying)))
        self._pause = min(max(self._pause * 2, 0.01), 1.0)
        self._paused_until = now + self._pause
        tell(self._dialer.on_event, events.SlowedDown(now, exc.target, self._room, exc))

    def _leave_host(self, host: str) -> None:
        if self._per_host is None:
            return
        left = self._hosts[host] - 1
        if left:
            self._hosts[host] = left
        else:
            del self._hosts[host]
        parked = self._parked.get(host)
        if parked:
            self._again.append(parked.popleft())
            self._n_parked -= 1
            if not parked:
                del self._parked[host]

    def _settle(self, result: ConnectResult) -> None:
        """Put a result where it is handed out from."""
        result.ended = monotonic()
        result.started = result.started or result.ended
        if not self._ordered:
            self._done.append(result)
            return
        self._held[result.index] = result
        while (found := self._held.pop(self._turn + len(self._done), None)) is not None:
            self._done.append(found)

    def _end(self, now: float) -> None:
        """Fail what is left, and read nothing more: the deadline of the whole has come."""
        self._exhausted = True
        for entry in list(self._flying):
            self._flying.discard(entry)
            assert entry.steps is not None
            entry.steps.close()
            self._fail_late(entry.result, entry.text, now)
        waiting = list(self._again)
        for parked in self._parked.values():
            waiting += parked
        self._again.clear()
        self._parked.clear()
        self._n_parked = 0
        for targets, result in waiting:
            self._fail_late(result, targets[0].text, now)

    def _fail_late(self, result: ConnectResult, text: str, now: float) -> None:
        result.error = errors.timed_out(
            whole=True,
            stage="connect",
            target=text,
            elapsed=now - result.started if result.started else 0.0,
        )
        self._settle(result)

    def _is_over(self) -> bool:
        return self._exhausted and not (self._flying or self._again or self._n_parked)

    def _is_full(self) -> bool:
        taken = len(self._flying) + len(self._done)
        # One may always fly: the results that are held wait for one that comes before them.
        return taken > 0 and taken + len(self._held) >= self._room

    def _wake_at(self) -> float:
        when = self._deadline
        if self._timers:
            when = min(when, self._timers[0][0])
        if not self._is_full() and (self._again or not self._exhausted):
            now = monotonic()
            for start in (self._paused_until, self._next_start if self._interval else 0.0):
                if start > now:
                    when = min(when, start)
        return when

    def _close(self) -> None:
        """Close everything that was not handed out."""
        for entry in self._flying:
            if entry.steps is not None:
                entry.steps.close()
        self._flying.clear()
        for result in (*self._done, *self._held.values()):
            if result.socket is not None:
                result.socket.close()
        self._done.clear()
        self._held.clear()
        self._again.clear()
        self._parked.clear()
        self._ready.clear()
        self._timers.clear()
