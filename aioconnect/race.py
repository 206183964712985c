"""The race between addresses: who is dialled next, when, and for how long (Happy Eyeballs).

The problem: a name has several addresses, some of them dead, and a dead address answers nothing
at all.  Dialled one after the other, one dead address costs a whole time-out before the next is
tried; dialled all at once, every connection costs the server several.  RFC 8305 goes between:
start the attempts one after the other, a quarter of a second apart, let them run side by side,
and take the first that connects.

This file decides and does nothing else: no socket, no clock, no timer.  It is told that
addresses came (``offer``), that an attempt failed (``failed``), must be made again (``again``) or
goes on with a handshake (``advanced``), and what time it is.  It answers one question (``next``):
the address to dial now, or the instant at which to ask again, or that the round is over; and it
names the attempts whose time is up (``expired``).  Same inputs, same outputs.

Being pure, it may be asked late.  The first of the addresses that are known from the start is
dialled before there is a race (``first_wait`` says until when that needs none); when something
fails, or a second address is due, the race is made and asked for the instant of that first start,
and answers with what was done.

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
- A round that another may follow (``hurried``) does not wait for a family that is missing when all
  addresses that are known have failed: it is over ``resolution_delay`` after the last failure.
- A local failure (no descriptor left) starts nothing new: another address cannot help.  What is
  running may still win.
- An attempt that has connected and goes on with a handshake begins the delay anew, once, so that
  a healthy peer beyond half a delay does not see two of each connect.

Deliberately not here: RTT-based delays (section 5 allows them; nobody can see the RTT before the
handshake), a history of addresses that won (state that outlives a call belongs to its owner), and
the literal "MUST NOT be within 10 ms of the previous start" after an instant *refusal*: no peer
waits there, and it would cost ten milliseconds where the host has already spoken.
"""

from __future__ import annotations

from collections import deque
from math import inf
from socket import AF_INET6
from typing import TYPE_CHECKING, Any

from .spans import limit, pause

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from socket import socket

    from .targets import Endpoint

__all__ = ["Attempt", "Race", "interleaved"]

_IPV6 = int(AF_INET6)  # a plain number: comparing enum members is slow


class Attempt:
    """One address that is being dialled."""

    __slots__ = (
        "advanced",
        "ended",
        "endpoint",
        "error",
        "limit",
        "number",
        "resume",
        "sock",
        "stages",
        "started",
        "target",
        "tries",
    )

    def __init__(self, endpoint: Endpoint, target: int, number: int, started: float) -> None:
        self.endpoint = endpoint
        self.target = target
        self.number = number  # its place in the order of starts, from 1
        self.tries = 1
        self.started = started
        self.limit = inf
        self.resume: float | None = None  # when to make it again, while it pauses
        self.advanced = False  # it is connected, and goes on with a handshake
        # For the call that carries the decisions out; the race does not look at these.
        self.sock: socket | None = None
        self.stages: Any = None
        self.error: Any = None
        self.ended = 0.0


class _Awaited:
    """What is known of a target of which more may come."""

    __slots__ = ("has_ipv6", "held", "tried", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Endpoint] = []  # the addresses not yet dialled, the next one last
        self.tried: set[Endpoint] = set()
        self.has_ipv6 = False
        self.held: float | None = None  # until when IPv4 waits for IPv6


class Race:
    """The state of one round over all addresses of a call.

    Args:
        targets: how many targets there are; each is awaited until it was offered in full.
        delay: seconds between two starts; None is strictly one after the other.
        resolution_delay: seconds that IPv4 waits for IPv6 after its answer.
        slots: how many attempts may be open at a time.
        interleave: how many addresses of the first family come before the other's first.
            0: they are dialled in the order given.
        attempt_timeout: seconds for one attempt at most; None is ``DEFAULT_ATTEMPT_TIMEOUT``
            where another address or round can follow, else all that is left.
        started: the instant at which the round begins.
        deadline: the instant by which the whole call ends.
        more_rounds: another round can follow this one.
        first: the number before the first attempt's (attempts count through all rounds).

    Attributes:
        hurried: another round may follow, and takes in the answers that are missing.
        early: the round is over, though answers are missing.
    """

    __slots__ = (
        "_active",
        "_attempt_timeout",
        "_awaited",
        "_deadline",
        "_delay",
        "_failed_at",
        "_finished",
        "_interleave",
        "_last_start",
        "_local",
        "_more_rounds",
        "_newest",
        "_next_start",
        "_resolution_delay",
        "_slots",
        "_sole",
        "_unstarted",
        "early",
        "hurried",
        "number",
        "running",
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
        # Targets that are awaited, or have addresses not yet dialled, in their order: None where
        # nothing is known yet; a list, the next address last, where all is.
        self._active: dict[int, _Awaited | list[Endpoint] | None]
        self._active = {0: None} if targets == 1 else dict.fromkeys(range(targets))
        self._finished = 0
        self._awaited = targets
        self._unstarted = 0
        self._newest: Attempt | None = None
        self._sole: Attempt | None = None
        self._last_start = started
        self._next_start = started
        self._local = False
        self._failed_at = inf
        self.hurried = self.early = False
        self.number = first
        self.running: list[Attempt] = []

    # What the race is told -----------------------------------------------------------------------

    def offer(
        self, target: int, endpoints: Sequence[Endpoint], now: float, awaited: Collection[int] = ()
    ) -> None:
        """Take all addresses of ``target`` known by now, best first; replaces earlier offers.

        ``awaited`` are the address families that may still be answered.  An attempt that runs is
        never dropped; an address not yet started that is no longer offered is.
        """
        if self._interleave and len(endpoints) > 1:
            endpoints = interleaved(endpoints, self._interleave)
        waiting = [*endpoints]
        waiting.reverse()
        place = self._active[target]
        if type(place) is _Awaited:
            self._unstarted -= len(place.waiting)
            waiting = [each for each in waiting if each not in place.tried]
        self._unstarted += len(waiting)
        if not awaited:
            self._awaited -= 1
            self._active[target] = waiting
            if not waiting:
                self._finish(target)
            return
        if type(place) is not _Awaited:
            place = self._active[target] = _Awaited()
        place.waiting = waiting
        if not place.has_ipv6:
            place.has_ipv6 = any(each[0] == _IPV6 for each in endpoints)
        if _IPV6 not in awaited or place.has_ipv6:
            place.held = None  # RFC 8305, section 3: IPv6 has answered, or will not
        elif place.held is None and (waiting or place.tried):
            place.held = now + self._resolution_delay

    def offer_each(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the only address of each target, in their order."""
        self._active = {index: [endpoint] for index, endpoint in enumerate(endpoints)}
        self._awaited = 0
        self._unstarted = len(endpoints)

    def failed(self, attempt: Attempt, now: float, local: bool = False) -> None:
        """Record that an attempt failed; ``local``: only because this host lacked a resource."""
        self.running.remove(attempt)
        attempt.resume = None
        self._failed_at = now
        if local:
            self._local = True
        if attempt is self._sole:
            self._sole = None
        if attempt is self._newest:
            # RFC 8305, section 5: a failure of the newest attempt starts the next at once.
            self._newest = None
            self._next_start = now

    def again(self, attempt: Attempt, now: float) -> None:
        """Record that an attempt must be made again with a fresh socket, after ``pause``."""
        attempt.resume = now + pause(attempt.tries)

    def advanced(self, attempt: Attempt, now: float, *, sole: bool = False) -> None:
        """Record that an attempt is connected, and goes on with a handshake.

        At the first time the delay of the next start begins anew.  While it is ``sole`` nothing
        else starts until this attempt has failed: its peer is alive, and its silence is that of
        what lies behind the peer.
        """
        if sole:
            self._sole = attempt
        elif self._sole is attempt:
            self._sole = None
        if not attempt.advanced:
            attempt.advanced = True
            if self._delay is not None:
                self._next_start = max(self._next_start, now + self._delay)

    def postpone(self, attempt: Attempt) -> None:
        """Put an attempt off that has to be alone while another one is; it was closed.

        It starts afresh, before the other addresses of its target, when the other has failed.
        """
        self.running.remove(attempt)
        if attempt is self._newest:
            self._newest = self._sole
        endpoint, target = attempt.endpoint, attempt.target
        if target not in self._active:  # it was the last address of its target
            self._active = dict(sorted([*self._active.items(), (target, [])]))
        place = self._active[target]
        if isinstance(place, _Awaited):
            place.tried.discard(endpoint)
            place.waiting.append(endpoint)
        else:
            assert place is not None
            place.append(endpoint)
        self._unstarted += 1

    # What the race answers -----------------------------------------------------------------------

    def next(self, now: float) -> Attempt | float | None:
        """Say what to do next.

        Returns:
            An attempt to make now: a new one, or one whose pause is over; else the instant at
            which to ask again if nothing happens before; else None: the round has failed.
        """
        until = self._deadline
        running = self.running
        for attempt in running:
            resume = attempt.resume
            if resume is not None:
                if resume <= now < attempt.limit:
                    attempt.resume = None
                    attempt.tries += 1
                    return attempt
                if resume < until:
                    until = resume
            if attempt.limit < until:
                until = attempt.limit
        if self._local or not (self._unstarted or self._awaited):
            return until if running else None
        if self._unstarted and len(running) < self._slots and self._sole is None:
            when: float = inf
            target: int | None = None
            for target, place in self._active.items():
                if type(place) is not list:
                    when, target = self._due(now)
                else:  # most races have one target, of which all is known
                    when = self._next_start
                break
            if target is None or when > now:
                until = min(until, when)
            elif now < self._deadline or not self.number:
                # Out of time, a call that has tried nothing yet still tries once.
                return self._start(target, now)
        if self.hurried and not running and self._all_failed():
            until = min(until, self._failed_at + self._resolution_delay)
            self.early = until <= now < self._deadline
            return until if now < until else None
        return until if running or now < self._deadline else None

    def _all_failed(self) -> bool:
        """Whether each target of which more may come has addresses, and all of them have failed."""
        return not self._unstarted and all(
            type(place) is _Awaited and place.tried for place in self._active.values()
        )

    def must_wait(self, attempt: Attempt) -> bool:
        """Whether another attempt is alone now."""
        return self._sole is not None and self._sole is not attempt

    def expired(self, now: float) -> Sequence[Attempt]:
        """Return the running attempts whose time is up; report ``failed`` for each."""
        late: tuple[Attempt, ...] = ()
        for attempt in self.running:  # no comprehension: that is a call on 3.11
            if attempt.limit <= now:
                late = (*late, attempt)
        return late

    def _due(self, now: float) -> tuple[float, int | None]:
        """Find the target whose address starts next, and the earliest instant for it."""
        earliest = self._next_start
        held_until = inf
        overtaking = False
        for target, place in self._active.items():
            held = None
            if type(place) is _Awaited:
                held = place.held
            if type(place) is list or (type(place) is _Awaited and place.waiting):
                when = earliest
                if overtaking and self._delay is not None:
                    when = max(when, self._last_start + self._delay)
                if held is None or held <= now:
                    return (when, target) if when <= held_until else (held_until, None)
                held_until = min(held_until, max(when, held))
            if self._delay is None:
                break
            overtaking = True
        return held_until, None

    def _start(self, target: int, now: float) -> Attempt:
        place = self._active[target]
        number = self.number = self.number + 1
        if type(place) is list:
            endpoint = place.pop()
            if not place:
                self._finish(target)
        else:
            assert type(place) is _Awaited
            endpoint = place.waiting.pop()
            place.tried.add(endpoint)
        attempt = Attempt(endpoint, target, number, now)
        attempt.limit = limit(
            now,
            self._deadline,
            self._attempt_timeout,
            self._unstarted,
            self._slots,
            self._more_rounds or self._awaited > 0,
        )
        self._unstarted -= 1
        self._newest = attempt
        self._last_start = now
        if self._delay is not None:
            self._next_start = now + self._delay
        self.running.append(attempt)
        return attempt

    def _finish(self, target: int) -> None:
        """Forget a target of which nothing can start any more."""
        del self._active[target]
        self._finished += 1
        if self._finished > 64 and self._finished > len(self._active):
            # A dict is walked over its deleted entries too, which must not add up.
            self._active = dict(self._active)
            self._finished = 0


def interleaved(endpoints: Sequence[Endpoint], first: int) -> list[Endpoint]:
    """Alternate the families, ``first`` of the first one at the start; each address once.

    RFC 8305, section 4.
    """
    families: dict[int, deque[Endpoint]] = {}
    once = dict.fromkeys(endpoints)
    for endpoint in once:
        families.setdefault(endpoint[0], deque()).append(endpoint)
    if len(families) < 2:
        return list(once)
    queues = list(families.values())
    ordered = [queues[0].popleft() for _ in range(min(first, len(queues[0])))]
    queues.append(queues.pop(0))  # the other family's turn
    while queues:
        ordered += [queue.popleft() for queue in queues if queue]
        queues = [queue for queue in queues if queue]
    return ordered
