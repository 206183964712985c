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
import struct
from collections import deque
from collections.abc import AsyncIterable, Iterable
from contextlib import ExitStack, suppress
from copy import copy
from itertools import count
from logging import DEBUG
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

# Some of this is not used here, but loaded now: later there may be no descriptor to load it with.
from . import attempt, causes, errors, events, poller, retry, signatures  # noqa: F401
from .call import First, first, logger, tell
from .dialer import Dialer, check_family
from .engine import AsyncioCall
from .options import check_count, check_limit
from .resolve import at_hand, order, system  # noqa: F401
from .targets import endpoint, parse_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Sequence
    from typing import Self, TypeAlias, Unpack

    from .options import TargetOptions
    from .targets import Target, TargetLike

    AnyTarget: TypeAlias = TargetLike | Sequence[TargetLike]

__all__ = ["ConnectMany", "ConnectResult", "connect_many"]

CATCH_UP = 0.02
"""Seconds of late starts that a ``rate`` makes up for; timers come late, and that must not add
up."""

LEAST_PAUSE, MOST_PAUSE = 0.01, 1.0
"""Seconds before what was lacking is asked for again: doubled each time that it still lacks."""

GROW_EVERY = 0.5
"""Seconds after which half as many again may be in flight, when nothing is lacking any more."""

PROMPT = 0.01
"""Seconds after its instant within which a time limit is judged without a look."""

LOOK = 2
"""Turns of the loop after which it has reported what was ready before them: in the first it looks,
and who it tells comes behind us."""

AHEAD = 64
"""How many targets may wait for a port before no more are read to find another destination."""

EVERYWHERE = (errors.TooManyOpenFiles, errors.NoBuffers)
LACKING = (*EVERYWHERE, errors.PortsExhausted)
"""What this host lacks for a moment: for all that is dialled, or for one destination."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_AF_INET = int(socket.AF_INET)

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

    def unwrap(self) -> socket.socket:
        """Return the socket, which is the caller's, or raise the error.

        Raises:
            ConnectError: the target could not be connected.
        """
        if self.socket is not None:
            return self.socket
        assert self.error is not None
        # A copy: the traceback of a raised one has the caller's frame, and so this result, in it.
        raise copy(self.error)

    def __repr__(self) -> str:
        what = self.socket if self.error is None else self.error
        return f"<ConnectResult {self.target!r}: {what!r}>"


@signatures.connect_many
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
                if result.error is None:
                    with result.unwrap() as sock: ...

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

    Options:
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: called with each 5-tuple before it is dialled (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    A retry policy holds per target.

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
        self._looked = 0.0  # until when the loop has reported what was ready

        # What is read.
        self._iterator: Iterator[AnyTarget] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._wanted = 0  # how many the reader may read
        self._read: deque[Any] = deque()  # what it has read
        self._count = 0
        self._exhausted = False

        # What waits for its host, for an instant, or for its turn; and what is in flight.
        self._parked: dict[str, deque[_Entry]] = {}
        self._n_parked = 0
        self._later: list[tuple[float, int, _Entry]] = []
        self._again: list[tuple[int, _Entry]] = []  # that which was read first comes first
        self._flying: set[_Entry] = set()
        self._hosts: dict[str, int] = {}  # how many of them fly to each, with `per_host`
        self._ready: deque[_Entry] = deque()
        self._timers: list[tuple[float, int, _Entry]] = []
        self._ties = count()

        # What is done.
        self._done: deque[ConnectResult] = deque()
        self._held: dict[int, ConnectResult | None] = {}  # not their turn yet (ordered)
        self._next = 0  # the index whose turn it is (ordered)
        self._urgent = -1  # the index for which others have given up what it lacked

        # Nobody is to be told or asked, and nothing is counted: a target can do without a call.
        hooks = (dialer.on_event, dialer.breaker, dialer.budget, dialer.retry, per_host)
        self._direct = all(each is None for each in hooks) and not logger.isEnabledFor(DEBUG)
        self._plain = self._direct and not ordered and dialer.family != socket.AF_INET6
        if isinstance(targets, AsyncIterable):
            self._plain = False

        # What is lacking: until when, and how long that was; "" is lacking for all hosts.
        self._short: dict[str, tuple[float, float]] = {}
        self._room = limit
        self._grow_at = 0.0
        self._resume = inf  # the instant at which something may start again

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise RuntimeError("connect_many is used once")
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
        self._state = "open"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._state = "closed"
        self._source = ()  # the caller's, and not to be kept alive
        self._iterator = None
        reader, self._reader = self._reader, None  # what ended it refers to us
        if reader is not None:
            reader.cancel()
        try:
            self._close()
        finally:
            if not self._loop.is_closed():
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
                if not self._advance():
                    now = monotonic()
                    for _ in range(LOOK):
                        await asyncio.sleep(0)
                    self._looked = now
                elif done:
                    return done.popleft()
                elif self._turn is not None:
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

    def _advance(self) -> bool:
        """Do what can be done without waiting; False if the loop must look what is ready first.

        Who iterates may have kept the loop from looking for long, and what connected meanwhile is
        not late: so when we are, no time is up before the loop was asked.
        """
        ready = self._ready
        while ready:
            entry = ready.popleft()
            entry.queued = False
            if entry in self._flying:  # else it is the answer to a look-up that nobody needs now
                self._step(entry, entry.woken)
        now = monotonic()
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, entry = timers[0]
            waits = entry.until == when and entry in self._flying
            if waits and now > when + PROMPT and when > self._looked:
                return False
            heapq.heappop(timers)
            if waits:
                entry.until = inf
                self._step(entry, now)
        if self._turn is not None and self._turn.done():
            self._turn = None
        if now >= self._deadline:
            self._end(now)
        elif self._turn is None:
            self._fill(now)
        return True

    def _fill(self, now: float) -> None:
        """Start what there is room for."""
        if self._room < self._limit and now >= self._grow_at:
            self._room = min(self._limit, self._room + max(1, self._room // 2))
            self._grow_at = now + GROW_EVERY
        pace, again, later = self._pace, self._again, self._later
        self._resume = inf
        if self._plain and not (pace or again or later or self._short) and not self._exhausted:
            self._rush(now)
            if self._turn is not None:
                return
        while True:
            while later and later[0][0] <= now:
                heapq.heappush(again, heapq.heappop(later)[1:])
            if self._is_full() or (not again and self._exhausted):
                return
            if self._urgent == self._next and not (again and again[0][0] == self._next):
                return  # or another would take what was given up for that one
            if pace is not None or self._short:
                now = monotonic()
                gate = self._gate()
                if now < gate:
                    self._resume = gate
                    return
            self._turn = self._poller.takes_turn(self._loop)
            if self._turn is not None:
                return
            if again:
                self._start(heapq.heappop(again)[1], now)
                continue
            given = self._read_one()
            if given is _NOTHING:
                return
            result = self._result(given)
            targets = self._parse(result)
            if targets is None:
                continue
            self._begin(targets, result, now)

    def _rush(self, now: float) -> None:
        """Do what ``_fill`` does for as long as nothing needs a decision.

        Nobody is told or asked, nothing waits, and no order is kept.  What is left is to read and
        to dial, and to make no more of an IPv4 address than that until it is needed: another
        tenth of a connect on loopback (``benchmarks/MANY.md``).
        """
        iterator, done, flying = self._iterator, self._done, self._flying
        poller, loop, room, dialer = self._poller, self._loop, self._room, self._dialer
        kind = endpoint(_AF_INET, dialer.type, None)[:4]
        assert iterator is not None
        while len(flying) + len(done) < room and not self._short:
            self._turn = poller.takes_turn(loop)
            if self._turn is not None:
                return
            given = next(iterator, _NOTHING)
            if given is _NOTHING:
                self._exhausted = True
                return
            result = ConnectResult(given, self._count)
            self._count += 1
            if _is_ipv4(given):
                result.started = started = monotonic()
                begun = First((*kind, given), 0, 1, started)
                outcome = attempt.begin(begun, dialer)
                if outcome == attempt.CONNECTED:
                    result.socket = begun.sock
                    result.ended = monotonic()
                    done.append(result)
                else:
                    begun.endpoints = (begun.endpoint,)
                    self._go_on(begun, outcome, f"{given[0]}:{given[1]}", result, now)
            elif (targets := self._parse(result)) is not None:
                self._begin(targets, result, now)

    def _is_full(self) -> bool:
        if len(self._flying) + len(self._done) + len(self._held) < self._room:
            return False
        # That for which the results that are held wait may always start.
        return not (self._held and self._again and self._again[0][0] == self._next)

    def _is_over(self) -> bool:
        waiting = self._again or self._later or self._n_parked
        return self._exhausted and not (self._flying or waiting)

    def _gate(self) -> float:
        """Return the instant before which nothing may start."""
        until = self._short.get("", (0.0, 0.0))[0]
        return until if self._pace is None else max(until, self._pace.next)

    def _wake_at(self) -> float:
        """Return the instant at which there is something to do, if nothing happens before."""
        when = min(self._deadline, self._resume)
        if self._timers:
            when = min(when, self._timers[0][0])
        if self._room < self._limit:
            when = min(when, self._grow_at)
        if self._later:
            when = min(when, self._later[0][0])
        return when

    # What is dialled next -----------------------------------------------------------------------

    def _read_one(self) -> Any:
        """Return the next target, ``_NOTHING`` if there is none (now)."""
        if self._exhausted or self._n_parked >= self._limit or len(self._later) >= AHEAD:
            return _NOTHING
        window = self._limit
        if self._ordered:
            window += self._next - len(self._done) - self._count
            if window <= 0:
                return _NOTHING
        if self._iterator is not None:
            given = next(self._iterator, _NOTHING)
            self._exhausted = given is _NOTHING
            return given
        if self._read:
            return self._read.popleft()
        reader = self._reader
        assert reader is not None
        if reader.done():
            self._exhausted = True
            try:
                reader.result()  # what the caller's iterable raised comes out unchanged
            finally:
                del reader  # it refers to what is raised, and that to this frame
        else:
            room = max(1, self._room - len(self._flying) - len(self._done) - len(self._held))
            room = min(room, window, self._limit - self._n_parked, AHEAD - len(self._later))
            self._wanted = room if self._pace is None else 1
            self._asked.set()
        return _NOTHING

    async def _read_on(self, source: AsyncIterator[AnyTarget]) -> None:
        """Read what is asked for."""
        await self._asked.wait()
        async for given in source:
            self._read.append(given)
            self._inbox.wake()
            self._wanted -= 1
            if self._wanted <= 0:
                self._asked.clear()
                await self._asked.wait()

    def _result(self, given: AnyTarget) -> ConnectResult:
        self._count += 1
        return ConnectResult(given, self._count - 1)

    def _parse(self, result: ConnectResult) -> tuple[Target, ...] | None:
        """Parse what was read; None if it is no target, which is a result already."""
        try:
            targets = parse_all(result.target)
            if self._dialer.family:
                check_family(targets, self._dialer)
        except (ValueError, TypeError) as exc:
            result.error = causes.not_a_target(str(exc))
            self._settle(result, monotonic())
            return None
        return targets

    def _entry(
        self, targets: tuple[Target, ...], result: ConnectResult, started: float | None = None
    ) -> _Entry:
        entry = _Entry(targets, self._dialer, started)
        entry.many = self
        entry.result = result
        if entry.deadline > self._deadline:
            entry.deadline = self._deadline
        return entry

    def _must_wait(self, entry: _Entry, now: float) -> bool:
        """Let an entry wait if there is no port for its host, or no room at one of its hosts."""
        if self._short:
            until = self._short.get(entry.host(), (0.0, 0.0))[0]
            if now < until:
                self._retry(entry, until)
                return True
        if self._per_host is None:
            return False
        if not entry.hosts:
            entry.hosts = tuple(dict.fromkeys([_host(target) for target in entry.given()]))
        full = [host for host in entry.hosts if self._hosts.get(host, 0) >= self._per_host]
        if full:
            self._park(entry, full)
        return bool(full)

    def _retry(self, entry: _Entry, when: float) -> None:
        """Start an entry when there is room, at that instant or later."""
        entry.waited = True
        heapq.heappush(self._later, (when, entry.result.index, entry))

    def _park(self, entry: _Entry, full: list[str]) -> None:
        """Let an entry wait until another one leaves the first of the hosts that are full."""
        queue = self._parked.setdefault(full[0], deque())
        if entry.waited:
            queue.appendleft(entry)
        else:
            queue.append(entry)
        entry.waited = True
        self._n_parked += 1
        for host in entry.hosts:
            if host not in full:
                self._unpark(host)  # this one may have been let go for the place there

    def _unpark(self, host: str) -> None:
        queue = self._parked.get(host)
        if queue:
            self._retry(queue.popleft(), 0.0)
            self._n_parked -= 1
            if not queue:
                del self._parked[host]

    # From targets to results ---------------------------------------------------------------------

    def _begin(self, targets: tuple[Target, ...], result: ConnectResult, now: float) -> None:
        """Dial what was read; there is no call for it if it connects at once."""
        begun = first(targets, self._dialer) if self._direct and not self._short else None
        if begun is None:
            self._start(self._entry(targets, result), now)
            return
        if self._pace is not None:
            self._pace.take(now)
        result.started = begun.started
        try:
            outcome = attempt.begin(begun, self._dialer)
        except BaseException:
            self._lose(result)
            raise
        if outcome == attempt.CONNECTED:
            result.socket = begun.sock
            self._settle(result, monotonic())
        else:
            literal = targets[0].name is None
            self._go_on(begun, outcome, targets[0].text if literal else None, result, now)

    def _go_on(
        self, begun: First, outcome: int, text: str | None, result: ConnectResult, now: float
    ) -> None:
        """Go on with a target that did not connect at once: it has failed, or needs a call.

        ``text`` is that of a literal; of a name its resolver must be told.
        """
        if outcome == attempt.FAILED and len(begun.endpoints) == 1 and text is not None:
            error = self._error_of(begun, text, result.started)
            if not isinstance(error, LACKING):
                result.error = error
                self._settle(result, monotonic())
                return
            entry = self._entry(parse_all(result.target), result, begun.started)
            entry.lack = error
            self._failed(entry, error, monotonic())
        else:
            entry = self._entry(parse_all(result.target), result, begun.started)
            self._launch(entry, now, begun, outcome)

    def _error_of(self, begun: First, text: str, started: float) -> errors.ConnectError:
        """Build the error of a target whose only attempt has failed, as its call would do."""
        begun.ended = now = monotonic()
        error = attempt.error_of(begun)
        family, _, _, _, address = begun.endpoint
        failed = events.AttemptFailed(now, text, error, started, 1, 1, address, family, error.stage)
        return causes.combine((failed,), text, error.elapsed)

    def _start(self, entry: _Entry, now: float) -> None:
        """Start an entry, unless there is no port for its host or no room there."""
        if self._must_wait(entry, now):
            self._poller.gives_turn_back()
            return
        if self._pace is not None:
            self._pace.take(now)
        self._launch(entry, now)

    def _launch(
        self, entry: _Entry, now: float, begun: First | None = None, outcome: int = attempt.FAILED
    ) -> None:
        if entry.waited:
            entry.begin_anew(now)
        if not entry.result.started:
            entry.result.started = entry.started
        for host in entry.hosts:
            self._hosts[host] = self._hosts.get(host, 0) + 1
        try:
            # One that has raced goes on in run(): its policy counts the rounds that failed.
            connected = not entry.repeats and entry.start(begun, outcome)
        except errors.ConnectError as exc:
            self._failed(entry, exc, monotonic())
            return
        except BaseException:
            self._leave(entry)
            self._lose(entry.result)
            raise
        if connected:
            self._connected(entry, monotonic())
            return
        entry.steps = entry.run()
        self._flying.add(entry)
        self._step(entry, monotonic())
        if entry in self._flying:
            self._poller.gives_turn_back()

    def _step(self, entry: _Entry, now: float) -> None:
        """Let a call go on until it must wait again, or ends."""
        assert entry.steps is not None
        try:
            until = next(entry.steps, None)
        except errors.ConnectError as exc:
            self._flying.discard(entry)
            self._failed(entry, exc, now)
            return
        except BaseException:
            self._flying.discard(entry)
            self._leave(entry)
            self._lose(entry.result)
            raise
        if until is None:
            self._flying.discard(entry)
            self._connected(entry, now)
        elif until != entry.until:
            entry.until = until
            timers = self._timers
            if until < inf:
                heapq.heappush(timers, (until, next(self._ties), entry))
            if len(timers) > 64 and len(timers) > 4 * len(self._flying):
                # Most calls end long before their instant: drop what nobody waits for.
                timers[:] = [t for t in timers if t[2].until == t[0] and t[2] in self._flying]
                heapq.heapify(timers)

    def _connected(self, entry: _Entry, now: float) -> None:
        if self._short or entry.hosts:
            self._leave(entry)
        entry.result.socket = entry.sock
        self._settle(entry.result, now)

    def _failed(self, entry: _Entry, exc: errors.ConnectError, now: float) -> None:
        self._leave(entry)
        exc.with_traceback(None)  # it would keep every frame of the call alive
        if exc is entry.lack:
            if monotonic() < self._deadline:
                self._slow_down(entry, exc)
                return
            exc.stopped = "deadline"
        entry.result.error = exc
        self._settle(entry.result, now)

    def _lose(self, result: ConnectResult) -> None:
        """Do without a result: a caller's hook has raised, and that comes out instead."""
        if self._ordered:
            self._held[result.index] = None
            self._release()

    def _leave(self, entry: _Entry) -> None:
        """Make room at the hosts of an entry that is no longer in flight."""
        if self._short and entry.lack is None:
            self._is_there("")
            self._is_there(entry.host())
        for host in entry.hosts:
            left = self._hosts[host] - 1
            if left:
                self._hosts[host] = left
            else:
                del self._hosts[host]
            self._unpark(host)

    def _settle(self, result: ConnectResult, now: float) -> None:
        """Put a result where it is handed out from."""
        result.ended = now
        if not result.started:
            result.started = now
        if self._ordered:
            self._held[result.index] = result
            self._release()
        else:
            self._done.append(result)

    def _release(self) -> None:
        """Hand out the results whose turn it is."""
        held = self._held
        while self._next in held:
            result = held.pop(self._next)
            self._next += 1
            if result is not None:
                self._done.append(result)

    # When something is lacking -------------------------------------------------------------------

    def _slow_down(self, entry: _Entry, lack: errors.ConnectError) -> None:
        """Try an entry again when something of this host may have become free."""
        now = monotonic()
        everywhere = any(isinstance(failed.error, EVERYWHERE) for failed in lack.attempts)
        host = "" if everywhere else entry.host()
        until, pause = self._short.get(host, (0.0, 0.0))
        if now >= until:
            pause = min(max(2 * pause, LEAST_PAUSE), MOST_PAUSE)
            until = now + pause
            self._short[host] = until, pause
        if not host:
            results = (*self._done, *self._held.values())
            sockets = sum(result is not None and result.socket is not None for result in results)
            self._room = max(1, min(self._room, len(self._flying) + sockets))
            self._grow_at = now + GROW_EVERY
        self._retry(entry, until)
        if entry.result.index == self._next and not self._done:
            self._take_back(host, lack, until)
        tell(self._dialer.on_event, events.SlowedDown(now, entry.text, self._room, lack))

    def _is_there(self, host: str) -> None:
        """Take note that what was lacking is not: who waits for it goes before who comes now."""
        if self._short.pop(host, None) is None:
            return
        waiting = self._later.copy()
        self._later.clear()
        for waits in waiting:
            if not host or waits[2].host() == host:
                heapq.heappush(self._again, waits[1:])
            else:
                heapq.heappush(self._later, waits)

    def _take_back(self, host: str, lack: errors.ConnectError, until: float) -> None:
        """Give up the last of the connections that wait for their turn, and make it again later.

        What they wait for cannot be had while they have it.
        """
        waiting = [
            result
            for _, result in sorted(self._held.items(), reverse=True)
            if result is not None and result.socket is not None
        ]
        if not waiting:
            return
        result = waiting[0]
        if host:  # a port is free for another connection to the same address
            wanted = [failed.address for failed in lack.attempts]
            result = next((each for each in waiting if _peer(each) in wanted), result)
        self._urgent = self._next
        del self._held[result.index]
        assert result.socket is not None
        with suppress(OSError):
            # A plain close would keep the port, until the peer closes and for a minute after it.
            result.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        result.socket.close()
        result.socket = None
        self._retry(self._entry(parse_all(result.target), result), until)

    # The end -------------------------------------------------------------------------------------

    def _end(self, now: float) -> None:
        """Fail what waits, and read nothing more: the deadline of the whole has come.

        What was in flight has failed by itself: no entry has a later deadline.
        """
        if not self._exhausted:
            self._exhausted = True
            if self._reader is not None:
                self._reader.cancel()
        waiting = [entry for _, entry in self._again]
        waiting += [entry for _, _, entry in self._later]
        for parked in self._parked.values():
            waiting += parked
        while self._read:
            result = self._result(self._read.popleft())
            if (targets := self._parse(result)) is not None:
                waiting.append(self._entry(targets, result))
        self._again.clear()
        self._later.clear()
        self._parked.clear()
        self._n_parked = 0
        for entry in sorted(waiting, key=lambda entry: entry.result.index):
            error = entry.lack
            if error is not None:
                error.stopped = "deadline"
            else:
                elapsed = now - entry.result.started if entry.result.started else 0.0
                error = causes.timed_out(
                    whole=True, stage="wait", target=entry.text, elapsed=elapsed
                )
            entry.result.error = error
            self._settle(entry.result, now)

    def _close(self) -> None:
        """Close everything that was not handed out, also if a hook raises meanwhile."""
        with ExitStack() as stack:
            for result in (*self._done, *self._held.values()):
                if result is not None and result.socket is not None:
                    stack.callback(result.socket.close)
            for entry in self._flying:
                if entry.steps is not None:
                    stack.callback(entry.steps.close)
            kept: tuple[Any, ...] = (self._read, self._parked, self._later, self._again)
            for each in (*kept, self._flying, self._ready, self._timers, self._done, self._held):
                each.clear()


class _Entry(AsyncioCall):
    """One target, from when it was read until there is its result."""

    many: ConnectMany
    result: ConnectResult
    hosts: tuple[str, ...] = ()
    """What ``per_host`` counts it for; empty without ``per_host``."""
    lack: errors.ConnectError | None = None
    """What this host lacked in the last round."""
    waited = False
    """It did not start when it was made."""

    steps: Generator[float, None, None] | None = None
    until = inf
    """The instant at which the steps want to go on if nothing happens."""
    queued = False
    woken = 0.0
    """The instant at which something happened."""
    repeats = False
    """It has raced before, and goes on with another round."""

    def put(self, item: Any) -> None:
        self.items.append(item)
        if not self.queued:
            self.queued = True
            self.woken = monotonic()
            self.many._ready.append(self)
            self.many._inbox.wake()

    def given(self) -> tuple[Target, ...]:
        return tuple(self._given)

    def host(self) -> str:
        return _host(self._given[0])

    def begin_anew(self, now: float) -> None:
        """Get ready to start; the time that has gone by since the last round began is no loss."""
        lost = now - self._round_started
        self.started += lost
        self.deadline = min(self.deadline + lost, self.many._deadline)
        self._round_started = now
        self.repeats = self._race is not None
        self.lack = None
        self.items.clear()

    def _after_failure(self) -> float:
        if self.repeats:
            self.repeats = False
            return self._clock()
        failed = self.attempts
        for known in self._names.values():
            failed += (*known.failures,)
        lacking = [each for each in failed if isinstance(each.error, LACKING)]
        lacking = [each for each in lacking if each.round == self._round]
        if not lacking:
            return super()._after_failure()
        # This round does not count, nor do its attempts.
        self._log = tuple([each for each in self.attempts if each.round != self._round])
        if self._race is not None:
            self._race.number = max([each.number for each in self._log], default=0)
        self._round -= 1
        self.lack = causes.combine(lacking, target=self.text, elapsed=self._clock() - self.started)
        raise self.lack


class _Pace:
    """A token bucket: so many starts per second, evenly spaced, and so many at once."""

    def __init__(self, rate: float, burst: int) -> None:
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise TypeError(f"rate is starts per second as a number, not {rate!r}")
        if not 0 < rate < inf:
            raise ValueError(f"rate={rate!r}: starts per second, more than 0")
        self._interval = 1.0 / rate
        self._at_once = (burst - 1) * self._interval
        self._credit = max(self._at_once, CATCH_UP)
        self.next = 0.0
        """The instant of the next start."""

    def begin(self, now: float) -> None:
        self.next = now - self._at_once

    def take(self, now: float) -> None:
        """Count a start."""
        self.next = max(self.next, now - self._credit) + self._interval


def _is_ipv4(given: Any) -> bool:
    """Tell whether a target is an IPv4 address with its port, as ``parse`` takes it."""
    if type(given) is not tuple or len(given) != 2:
        return False
    host, port = given
    if type(host) is not str or type(port) is not int or not 0 < port < 65536:
        return False
    try:
        socket.inet_pton(_AF_INET, host)
    except (OSError, ValueError):
        return False
    return True


def _host(target: Target) -> str:
    """Name the host of a target, in one spelling."""
    if target.name is not None:
        return target.name.lower().rstrip(".")
    if target.family == socket.AF_INET6:
        bare, _, _, scope = target.address
        return f"{socket.inet_ntop(target.family, socket.inet_pton(target.family, bare))}%{scope}"
    return target.host


def _peer(result: ConnectResult) -> Any:
    """Return the address that a result is connected to; None if it is not any more."""
    assert result.socket is not None
    try:
        return result.socket.getpeername()
    except OSError:
        return None
