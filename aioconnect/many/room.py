"""What room there is for another connect: decided without a clock and without I/O.

Room is ``limit``, less what is in flight and what nobody has taken yet.  A target waits for one
of three things: its host, of which ``per_host`` are in flight; an instant; or room.  Of those that
wait for room, the one that was read first goes first, and before what is read next.

A target that failed only because this host lacked a resource waits, and is tried again.
Descriptors and buffers are lacking for every target: nothing starts for a while, and no more are
in flight than were open when they ran out; the limit recovers gradually.  A port is lacking for
one destination: only targets of that host wait.

In order, everything waits for the one whose turn it is.  It may start although there is no room;
if it lacks something, the last result that is held gives up its socket (which the run decides to
ask for), and nothing else starts until the first is through.
"""

from __future__ import annotations

import heapq
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["READ_NEXT", "Pace", "Room", "Waiting"]

CATCH_UP = 0.02
"""Seconds of late starts that a ``rate`` makes up for; timers come late, and that must not add
up."""

LEAST_PAUSE, MOST_PAUSE = 0.01, 1.0
"""Seconds before what was lacking is asked for again: doubled each time that it still lacks."""

GROW_EVERY = 0.5
"""Seconds after which half as many again may be in flight, when nothing is lacking any more."""

MAX_DELAYED = 64
"""How many targets may wait for a port before no more are read to find another destination."""

READ_NEXT: Any = object()
"""The answer of :meth:`Room.next`: read the next target."""

_ENOUGH = (0.0, 0.0)


class Waiting(Protocol):
    """One target, from when it was read until there is its result."""

    hosts: tuple[str, ...]
    """What ``per_host`` counts it for."""
    waited: bool
    """It did not start when it was read."""

    @property
    def index(self) -> int:
        """Its place in the input."""
        ...

    @property
    def host(self) -> str:
        """The host for which it may lack a port."""
        ...


class Pace:
    """A token bucket: so many starts per second, evenly spaced, and so many at once.

    Raises:
        TypeError, ValueError: ``rate`` is no number above 0.
    """

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
        """Begin a run."""
        self.next = now - self._at_once

    def take(self, now: float) -> None:
        """Count a start."""
        self.next = max(self.next, now - self._credit) + self._interval


class Room:
    """How many are in flight, and who waits for what.

    Args:
        limit: how many may be in flight, results that nobody has taken yet included.
        per_host: how many of them to one host; None is no limit of its own.
        pace: starts per second; None is no limit.

    Attributes:
        size: how many may be in flight now: ``limit``, or less after a shortage.
        urgent: the index for which others have given up what it lacked; -1 if none has.
    """

    def __init__(self, limit: int, per_host: int | None, pace: Pace | None) -> None:
        self.limit = self.size = limit
        self.urgent = -1
        self._per_host = per_host
        self._pace = pace
        self._flying = 0
        self._hosts: dict[str, int] = {}  # how many fly to each, with ``per_host``
        self._parked: dict[str, deque[Any]] = {}  # who waits for its host
        self._n_parked = 0
        self._delayed: list[tuple[float, int, Any]] = []  # who waits for an instant
        self._runnable: list[tuple[int, Any]] = []  # who waits for room
        # What is lacking: until when, and how long that was; "" is lacking for all hosts.
        self._shortages: dict[str, tuple[float, float]] = {}
        self._lacks_since = inf
        self._grow_at = 0.0
        self._resume = inf

    def begin(self, now: float) -> None:
        """Begin a run."""
        if self._pace is not None:
            self._pace.begin(now)

    # What may start ------------------------------------------------------------------------------

    def next(self, now: float, untaken: int, held: int = 0, turn: int = -1) -> Any:
        """Say what may start now.

        Args:
            now: the instant.
            untaken: how many results nobody has taken yet, those included that are held.
            held: how many of them wait for their turn.
            turn: the index whose turn it is, in order.

        Returns:
            An entry that has waited, to be taken by ``pop``; ``READ_NEXT``: the next one that
            is read; or None: nothing.
        """
        self._resume = inf
        if self.size < self.limit and now >= self._grow_at:
            self.size = min(self.limit, self.size + max(1, self.size // 2))
            self._grow_at = now + GROW_EVERY
        runnable = self._runnable
        while self._delayed and self._delayed[0][0] <= now:
            heapq.heappush(runnable, heapq.heappop(self._delayed)[1:])
        first = runnable[0][0] if runnable else -1
        if self._flying + untaken >= self.size and not (held and runnable and first == turn):
            return None  # but that for which the results wait may always start
        if self.urgent >= 0 and self.urgent == turn and first != turn:
            return None  # or another would take what was given up for that one
        if self._pace is not None or self._shortages:
            until = self._shortages.get("", _ENOUGH)[0]
            if self._pace is not None:
                until = max(until, self._pace.next)
            if now < until:
                self._resume = until
                return None
        if runnable:
            return runnable[0][1]
        if self._n_parked >= self.limit or len(self._delayed) >= MAX_DELAYED:
            return None  # else too many would wait for one host
        return READ_NEXT

    def pop(self) -> None:
        """Take the entry that ``next`` has named."""
        heapq.heappop(self._runnable)

    def free(self, untaken: int) -> int:
        """Return how many may be read at once, at least 1."""
        if self._pace is not None:
            return 1
        room = max(1, self.size - self._flying - untaken)
        return min(room, self.limit - self._n_parked, MAX_DELAYED - len(self._delayed))

    def admit(self, entry: Waiting, now: float) -> bool:
        """Let an entry start; False if it waits, for a port or for its host."""
        if self._shortages:
            until = self._shortages.get(entry.host, _ENOUGH)[0]
            if now < until:
                self._delay(entry, until)
                return False
        if self._per_host is not None:
            full = [host for host in entry.hosts if self._hosts.get(host, 0) >= self._per_host]
            if full:
                self._park(entry, full)
                return False
            for host in entry.hosts:
                self._hosts[host] = self._hosts.get(host, 0) + 1
        if self._pace is not None:
            self._pace.take(now)
        self._flying += 1
        return True

    def ended(self, entry: Waiting, *, lacked: bool = False) -> None:
        """Record that an entry is in flight no longer."""
        self._flying -= 1
        if not lacked:
            self._lacks_since = inf
        if self._shortages and not lacked:
            self._shortage_over("")
            self._shortage_over(entry.host)
        for host in entry.hosts:
            left = self._hosts[host] - 1
            if left:
                self._hosts[host] = left
            else:
                del self._hosts[host]
            self._unpark(host)

    def wake(self) -> float:
        """Return the instant at which there may be something to start, if nothing happens."""
        when = self._resume
        if self.size < self.limit:
            when = min(when, self._grow_at)
        if self._delayed:
            when = min(when, self._delayed[0][0])
        return when

    @property
    def waits(self) -> bool:
        """Somebody waits for a host, an instant, or room."""
        return bool(self._runnable or self._delayed or self._n_parked)

    def drain(self) -> Iterator[Any]:
        """Take out everybody who waits, in the order of the input."""
        waiting = [entry for _, entry in self._runnable]
        waiting += [entry for _, _, entry in self._delayed]
        for parked in self._parked.values():
            waiting += parked
        self.close()
        waiting.sort(key=_index_of)
        return iter(waiting)

    def close(self) -> None:
        """Keep nobody alive."""
        self._runnable.clear()
        self._delayed.clear()
        self._parked.clear()
        self._n_parked = 0

    # Shortages -----------------------------------------------------------------------------------

    def lacks(self, entry: Waiting, host: str, now: float, sockets: int) -> None:
        """Let an entry wait that failed only because this host lacked something.

        Args:
            entry: which is in flight no longer.
            host: for which it is lacking: "" for all.
            now: the instant.
            sockets: how many sockets wait to be taken.
        """
        until, pause = self._shortages.get(host, _ENOUGH)
        if now >= until:
            pause = min(max(2 * pause, LEAST_PAUSE), MOST_PAUSE)
            until = now + pause
            self._shortages[host] = until, pause
        if not host:
            self.size = max(1, min(self.size, self._flying + sockets))
            self._grow_at = now + GROW_EVERY
        self._delay(entry, until)

    def lasts(self, now: float, sockets: int, patience: float) -> bool:
        """Tell whether something lacks for longer than a target has, and nothing of ours has it.

        Then it is the result of the target that asks, and those that wait try again at once: they
        would only wait to learn the same.

        Args:
            now: the instant.
            sockets: how many sockets wait to be taken.
            patience: seconds that a target has.
        """
        if self._flying or sockets:
            self._lacks_since = inf
            return False
        self._lacks_since = min(self._lacks_since, now)
        if now - self._lacks_since < patience:
            return False
        for host in [*self._shortages]:
            self._shortage_over(host)
        return True

    def evicted(self, entry: Waiting, host: str, turn: int) -> None:
        """Let an entry wait whose socket was given up for the one whose turn it is."""
        self.urgent = turn
        self._delay(entry, self._shortages[host][0])

    def _shortage_over(self, host: str) -> None:
        """End a shortage: entries that waited go before new ones."""
        if self._shortages.pop(host, None) is None:
            return
        waiting = self._delayed.copy()
        self._delayed.clear()
        for waits in waiting:
            if not host or waits[2].host == host:
                heapq.heappush(self._runnable, waits[1:])
            else:
                heapq.heappush(self._delayed, waits)

    def _delay(self, entry: Waiting, until: float) -> None:
        entry.waited = True
        heapq.heappush(self._delayed, (until, entry.index, entry))

    # Hosts ---------------------------------------------------------------------------------------

    def _park(self, entry: Waiting, full: list[str]) -> None:
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
            self._delay(queue.popleft(), 0.0)
            self._n_parked -= 1
            if not queue:
                del self._parked[host]


def _index_of(entry: Any) -> int:
    return entry.index  # type: ignore[no-any-return]
