"""The race between addresses: who is dialled next, when, and for how long (Happy Eyeballs).

The problem: a name has several addresses, some of them dead, and a dead address answers nothing
at all.  Dialled one after the other, one dead address costs a whole time-out before the next is
tried; dialled all at once, every connection costs the server several.  RFC 8305 goes between:
start the attempts one after the other, a quarter of a second apart, let them run side by side,
and take the first that connects.

This file decides and does nothing else: no socket, no clock, no timer.  It is told that
addresses came (``offer``), that an attempt failed (``failed``) or must be made again
(``again``), and what time it is.  It answers with the address to dial now (``start``), with the
attempts whose time is up (``expired``), and with the instant at which it wants to be asked again
(``wake``).  Same inputs, same outputs.

The rules, with their sections of RFC 8305:

- Addresses of one name are interleaved by family, ``interleave`` of the first family first
  (section 4, "First Address Family Count").  What order they have within a family is not decided
  here: they are offered in the order of RFC 6724.
- The next attempt starts ``delay`` after the last *start*, or at once when the newest attempt
  fails (section 5).  The failure of an older attempt leaves that timer alone.  Starting an
  attempt never ends another.
- If IPv4 answers before IPv6, its addresses are held back for ``resolution_delay`` from that
  answer (section 3); an IPv6 answer, also an empty one, ends the wait.  A name whose IPv6 is
  known never waits for IPv4.
- Addresses that come later join: the whole list is ordered again, and those that were tried keep
  the places that they had in it (section 4, last paragraph).

Beyond the RFC:

- No more than ``slots`` attempts are open at a time; an address that finds none free waits for
  one.  Time is shared so that each address gets its turn: an attempt's limit is what is left of
  the deadline, divided by the number of turns that the slots still need for the addresses not
  yet started; two seconds at least (or what is left), ``attempt_timeout`` at most.
- Several targets are raced in the order given; interleaving happens only inside a name.  A later
  target overtakes an earlier one whose name is still being looked up only after ``delay``, and
  never when ``delay`` is None.
- A local failure (no descriptor left) starts nothing new: another address cannot help.  What is
  running may still win.

Deliberately not here: RTT-based delays (section 5 allows them; nobody can see the RTT before the
handshake), a history of addresses that won (state that outlives a call belongs to its owner), and
the literal "MUST NOT be within 10 ms of the previous start" after an instant *refusal*: no peer
waits there, and it would cost ten milliseconds where the host has already spoken.
"""

from __future__ import annotations

from collections import deque
from math import ceil, inf
from socket import AF_INET6
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from socket import socket

    from .targets import Endpoint

_IPV6 = int(AF_INET6)  # a plain number: comparing enum members is slow

__all__ = [
    "ATTEMPT_TIMEOUT",
    "LEAST_SHARE",
    "Candidate",
    "Lone",
    "Race",
    "interleaved",
    "limit",
    "pause",
]

ATTEMPT_TIMEOUT = 10.0
"""Seconds for one attempt where something else can follow and the caller said nothing."""
LEAST_SHARE = 2.0
"""Seconds that a fair share of the time left is not cut below (as Go's partial deadline)."""


class Candidate:
    """One address in the race, waiting or running."""

    __slots__ = (
        "ended",
        "endpoint",
        "error",
        "limit",
        "number",
        "resume",
        "sock",
        "started",
        "target",
        "tries",
    )

    def __init__(
        self, endpoint: Endpoint, target: int, number: int = 0, started: float = 0.0
    ) -> None:
        self.endpoint = endpoint
        self.target = target
        self.number = self.tries = number  # its place in the order of starts, 0 while it waits
        self.started = started
        self.limit = inf
        self.resume: float | None = None  # when to make it again, while it pauses
        # For the one who carries the decisions out; the race does not look at these.
        self.sock: socket | None = None
        self.error: Any = None
        self.ended = 0.0


class Lone:
    """The rest of a race whose only address was begun: it connects, fails, or its time is up.

    What :class:`Race` says of attempts that run, and all there is to say for most calls.
    """

    __slots__ = ("number", "running")

    def __init__(self, candidate: Candidate) -> None:
        self.number = candidate.number
        self.running = [candidate]

    def failed(self, candidate: Candidate, now: float, *, local: bool = False) -> None:
        """Take note that an attempt failed; ``local``: for want of something of this host."""
        self.running.remove(candidate)
        candidate.resume = None

    def again(self, candidate: Candidate, now: float) -> None:
        """Take note that an attempt must be made again with a fresh socket, after ``pause``."""
        candidate.resume = now + pause(candidate.tries)

    def start(self, now: float) -> Candidate | None:
        """Return the candidate to dial now, or None if there is nothing to start at ``now``."""
        for paused in self.running:
            if paused.resume is not None and paused.resume <= now < paused.limit:
                paused.resume = None
                paused.tries += 1
                return paused
        return self._begin_next(now)

    def _begin_next(self, now: float) -> Candidate | None:
        return None

    def expired(self, now: float) -> list[Candidate]:
        """Return the running candidates whose time is up; tell ``failed`` of each."""
        late = []
        for candidate in self.running:
            if candidate.limit <= now:
                late.append(candidate)  # noqa: PERF401  # a comprehension is a call on 3.11
        return late

    def wake(self, now: float) -> float:
        """Return the instant at which ``start`` or ``expired`` may have something to say."""
        when = inf
        for candidate in self.running:
            if candidate.limit < when:
                when = candidate.limit
            if candidate.resume is not None and candidate.resume < when:
                when = candidate.resume
        return when

    def over(self, now: float) -> bool:
        """Tell whether nothing runs and nothing can start any more: the round has failed."""
        return not self.running


class _Target:
    """What is known of one target: its addresses in order, and what is still awaited."""

    order: Sequence[Candidate] = ()
    waiting: list[Candidate] = []  # noqa: RUF012  # those of ``order`` not yet started; replaced
    awaited = True
    held: float | None = None  # until when IPv4 waits for IPv6


class Race(Lone):
    """The state of one round over all addresses of a call.

    Args:
        targets: how many targets there are; each is awaited until it was offered in full.
        delay: seconds between two starts; None is strictly one after the other.
        resolution_delay: seconds that IPv4 waits for IPv6 after its answer.
        slots: how many attempts may be open at a time.
        interleave: how many addresses of the first family come before the other's first.
        attempt_timeout: seconds for one attempt at most; None is ``ATTEMPT_TIMEOUT`` where
            another address or round can follow, else all that is left.
        started: the instant at which the round begins.
        deadline: the instant by which the whole call ends.
        more_rounds: another round can follow this one.
        first: the number before the first attempt's (attempts count through all rounds).
    """

    __slots__ = (
        "_attempt_timeout",
        "_deadline",
        "_delay",
        "_interleave",
        "_last_start",
        "_local",
        "_more_rounds",
        "_newest",
        "_next_start",
        "_resolution_delay",
        "_slots",
        "_targets",
    )

    def __init__(
        self,
        targets: int = 1,
        delay: float | None = 0.25,
        resolution_delay: float = 0.05,
        slots: int = 6,
        interleave: int = 1,
        attempt_timeout: float | None = None,
        started: float = 0.0,
        deadline: float = inf,
        more_rounds: bool = False,
        first: int = 0,
    ) -> None:
        self._delay = delay
        self._resolution_delay = resolution_delay
        self._slots = slots if delay is not None else 1
        self._interleave = interleave
        self._attempt_timeout = attempt_timeout
        self._deadline = deadline
        self._more_rounds = more_rounds
        self._targets = [_Target()] if targets == 1 else [_Target() for _ in range(targets)]
        self._newest: Candidate | None = None
        self._last_start = started
        self._next_start = started
        self._local = False
        self.number = first
        self.running: list[Candidate] = []

    # What the race is told -----------------------------------------------------------------------

    def offer(
        self, target: int, endpoints: Sequence[Endpoint], now: float, awaited: Collection[int] = ()
    ) -> None:
        """Take all addresses of ``target`` known by now, best first; replaces earlier offers.

        ``awaited`` are the address families that may still be answered.  An attempt that runs is
        never dropped; an address not yet started that is no longer offered is.
        """
        place = self._targets[target]
        if not place.order and len(endpoints) == 1:
            place.waiting = [Candidate(endpoints[0], target)]
            place.order = tuple(place.waiting)
        else:
            self._merge(place, target, endpoints)
        if not awaited:
            place.awaited = False
            place.held = None
            return
        families = tuple(awaited)
        if _IPV6 not in families or any(c.endpoint[0] == _IPV6 for c in place.order):
            place.held = None  # RFC 8305, section 3: IPv6 has answered, or will not
        elif place.held is None and place.order:
            place.held = now + self._resolution_delay

    def _merge(self, place: _Target, target: int, endpoints: Sequence[Endpoint]) -> None:
        """Order the whole list again; candidates that were tried keep their identity."""
        known = {(c.endpoint[0], c.endpoint[4]): c for c in place.order}
        seen: dict[tuple[int, Any], Candidate] = {}
        for endpoint in interleaved(endpoints, self._interleave):
            key = (endpoint[0], endpoint[4])
            if key not in seen:
                seen[key] = known.get(key) or Candidate(endpoint, target)
        gone = [c for key, c in known.items() if c.number and key not in seen]
        place.order = order = gone + list(seen.values())
        place.waiting = [c for c in order if not c.number]

    def failed(self, candidate: Candidate, now: float, *, local: bool = False) -> None:
        """Take note that an attempt failed; ``local``: for want of something of this host."""
        self.running.remove(candidate)
        candidate.resume = None
        if local:
            self._local = True
        if candidate is self._newest:
            # RFC 8305, section 5: a failure of the newest attempt starts the next at once.
            self._newest = None
            self._next_start = now

    def adopt(
        self, candidate: Candidate, others: list[Candidate], now: float, *, failed: bool
    ) -> None:
        """Take all addresses there are, in the order to dial; ``candidate`` was begun.

        It runs, or it has ``failed`` at once, and not for want of something of this host.

        For a race that was made for one target; the candidates may be of several all the same,
        if no name is among them.  Most calls need no race at all, since the first address connects
        at once: so it can be begun before there is one.  Nothing was to be decided until then.
        """
        place = self._targets[0]
        place.awaited = False
        place.order = (candidate, *others)
        place.waiting = others
        if failed:
            self.number = candidate.number
            self._next_start = now
        else:
            self._begin(candidate, now, 1 + len(others))

    # What the race answers -----------------------------------------------------------------------

    def _begin_next(self, now: float) -> Candidate | None:
        when, candidate = self._next(now)
        if candidate is None or when > now:
            return None
        if now >= self._deadline and self.number:
            return None  # out of time; only a call that has tried nothing yet tries once
        candidate.number = self.number + 1
        candidate.tries = 1
        candidate.started = now
        unstarted = 0
        for place in self._targets:
            unstarted += len(place.waiting)
            if place.waiting and place.waiting[0] is candidate:
                del place.waiting[0]
        self._begin(candidate, now, unstarted)
        return candidate

    def _begin(self, candidate: Candidate, now: float, unstarted: int) -> None:
        """Take note that a candidate starts, one of so many that had not."""
        follows = self._more_rounds
        for place in self._targets:
            if place.awaited:
                follows = True
        candidate.limit = limit(
            now, self._deadline, self._attempt_timeout, unstarted, self._slots, follows
        )
        self.number = candidate.number
        self._newest = candidate
        self._last_start = now
        if self._delay is not None:
            self._next_start = now + self._delay
        self.running.append(candidate)

    def wake(self, now: float) -> float:
        """Return the instant at which ``start`` or ``expired`` may have something to say."""
        return min(self._next(now)[0], self._deadline, super().wake(now))

    def over(self, now: float) -> bool:
        """Tell whether nothing runs and nothing can start any more: the round has failed."""
        if self.running:
            return False
        if self._local or now >= self._deadline:
            return True
        return not any(place.awaited or place.waiting for place in self._targets)

    def _next(self, now: float) -> tuple[float, Candidate | None]:
        """Find the next address to start and the earliest instant for it, inf for not known."""
        if self._local or len(self.running) >= self._slots:
            return inf, None
        earliest = self._next_start
        waiting = inf
        overtaking = False
        for place in self._targets:
            candidate = place.waiting[0] if place.waiting else None
            if candidate is not None:
                when = earliest
                if overtaking and self._delay is not None:
                    when = max(when, self._last_start + self._delay)
                if place.held is not None and place.held > now:
                    waiting = min(waiting, max(when, place.held))
                else:
                    return (when, candidate) if when <= waiting else (waiting, None)
            if place.awaited or candidate is not None:
                if self._delay is None:
                    break
                overtaking = True
        return waiting, None


def limit(
    now: float,
    deadline: float,
    attempt_timeout: float | None,
    unstarted: int,
    slots: int,
    follows: bool,
) -> float:
    """Compute the instant until which an attempt that starts ``now`` may take.

    ``unstarted`` addresses, this one included, share what is left among ``slots``; ``follows``:
    other addresses or another round may come as well.
    """
    until = deadline
    if unstarted > slots:
        left = max(deadline - now, 0.0)
        share = max(left / ceil(unstarted / slots), LEAST_SHARE)
        if share < left:
            until = now + share
    if attempt_timeout is None:
        if not follows and unstarted < 2:
            return until
        attempt_timeout = ATTEMPT_TIMEOUT
    return min(until, now + attempt_timeout)


def interleaved(endpoints: Sequence[Endpoint], first: int) -> list[Endpoint]:
    """Alternate the families, ``first`` of the first one at the start; each address once.

    RFC 8305, section 4.
    """
    families: dict[int, deque[Endpoint]] = {}
    once: dict[tuple[int, Any], Endpoint] = {}
    for endpoint in endpoints:
        once.setdefault((endpoint[0], endpoint[4]), endpoint)
    for endpoint in once.values():
        families.setdefault(endpoint[0], deque()).append(endpoint)
    if len(families) < 2:
        return list(once.values())
    queues = list(families.values())
    ordered = [queues[0].popleft() for _ in range(min(first, len(queues[0])))]
    queues.append(queues.pop(0))  # the other family's turn
    while queues:
        ordered += [queue.popleft() for queue in queues if queue]
        queues = [queue for queue in queues if queue]
    return ordered


def pause(tries: int) -> float:
    """Return the seconds before the next try at a full backlog: 1 ms, growing to 0.1 s."""
    return min(0.001 * 2.0 ** min(tries - 1, 10), 0.1)
