"""A cache around any resolver.

What it promises, and why:

- An answer is served as long as its time to live says, within bounds; an answer that says none
  (``getaddrinfo`` never does) for ``default_ttl``.  TTL 0 is not kept.
- That a name does not exist, or has no address of a family, is kept for a few seconds only: most
  such answers are wanted by somebody who is just starting the thing.  That a name server failed
  is not kept at all.
- Asked a thousand times at once, it asks once.  That shared look-up survives the cancellation of
  the one who began it, and ends when the last who waits for it has left.
- ``forget`` is called by the engine when every address of a name failed to connect.  What is kept
  then counts as old, and so does every answer that is still on its way.
- It is bounded: the least recently used answer goes first.

Answers are plain data, shared by all loops and threads that use the cache, under a lock that is
held for a microsecond; look-ups on their way belong to the loop that began them.

Sources: RFC 2308 (negative answers), RFC 8767 (serving stale answers when the server fails).
"""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from .base import EAI_NODATA, Answer, absent, aclose, again, failure, forget, not_resolved, peek
from .fork import renew_in_child

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task

    from .base import Resolver
    from .threads import Done

__all__ = ["Cache"]

_Key: TypeAlias = tuple[str, int]

_ABSENT = frozenset((socket.EAI_NONAME, EAI_NODATA))
"""What an authority said; all other errors are failures to reach one."""


class Cache:
    """Keeps the answers of another resolver.

    Args:
        resolver: who is asked.
        size: how many answers are kept at most.
        min_ttl: seconds for which an answer is kept at least, whatever its time to live.
        max_ttl: seconds for which it is kept at most.
        default_ttl: seconds for an answer that does not say its time to live; ``min_ttl`` and
            ``max_ttl`` do not matter then.
        negative_ttl: seconds for which it is kept that there is no such name or address.
        stale_if_error: seconds for which an answer that became too old, or was forgotten, is
            still served when asking again fails without an authority's word (server silent,
            SERVFAIL, ...); 0 never does.

    ``ttl`` of an answer from the cache is what is left of it, and its ``source`` is ``"cache"``.
    It may be shared by loops in several threads.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        size: int = 1024,
        min_ttl: float = 0.0,
        max_ttl: float = 300.0,
        default_ttl: float = 30.0,
        negative_ttl: float = 3.0,
        stale_if_error: float = 0.0,
    ) -> None:
        if size < 1:
            raise ValueError("size must be at least 1")
        times = (min_ttl, max_ttl, default_ttl, negative_ttl, stale_if_error)
        if not all(seconds >= 0 for seconds in times) or min_ttl > max_ttl:
            raise ValueError("times must not be negative, nor min_ttl greater than max_ttl")
        self._resolver = resolver
        self._size = size
        self._min_ttl = min_ttl
        self._max_ttl = max_ttl
        self._default_ttl = default_ttl
        self._negative_ttl = negative_ttl
        self._stale_if_error = stale_if_error
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew and empty: what a forked child does."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # the least recently used first
        self._asking: dict[_Key, set[_Question]] = {}  # whose answers may be kept
        self._flights: weakref.WeakKeyDictionary[AbstractEventLoop, dict[_Key, _Flight]] = (
            weakref.WeakKeyDictionary()
        )

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, name: str, family: int) -> Answer | None:
        """Return the answer if it is at hand and still holds; costs about a microsecond."""
        key = (name.lower(), family)
        now = monotonic()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and now < kept.until:
                if kept.answer is None:
                    return None  # lookup says why
                self._kept.move_to_end(key)
                return _served(kept.answer, kept.until - now)
        return peek(self._resolver, name, family)

    def absent(self, name: str, family: int) -> bool:
        """Tell whether it is known, without asking, that there is no such address."""
        with self._lock:
            kept = self._kept.get((name.lower(), family))
            if kept is not None and monotonic() < kept.until:
                return kept.answer is None
        return absent(self._resolver, name, family)

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        outcome: Answer | BaseException | None = self._at_hand(name, family)
        if outcome is None:
            outcome = await self._flight(name, family).wait()
        if isinstance(outcome, BaseException):
            try:
                raise outcome
            finally:
                del outcome  # or it would refer to itself, through the frame of its traceback
        return outcome

    def submit(self, name: str, family: int, done: Done) -> Any:
        """Look up without a loop; see :func:`.threads.submit`."""
        from . import threads

        at_hand = self._at_hand(name, family)
        if at_hand is not None:
            done(at_hand)
            return threads.NO_TICKET
        question = self._ask(name, family)
        return threads.submit(
            self._resolver, name, family, lambda outcome: done(self._learn(question, outcome))
        )

    def forget(self, name: str) -> None:
        """Count what is kept of the name as old, and what is just being answered too."""
        now = monotonic()
        with self._lock:
            for family in _FAMILIES:
                key = (name.lower(), family)
                self._asking.pop(key, None)
                kept = self._kept.get(key)
                if kept is not None and kept.answer is not None and self._stale_if_error:
                    kept.stale_until = min(kept.until, now) + self._stale_if_error
                    kept.until = now
                elif kept is not None:
                    del self._kept[key]
        forget(self._resolver, name)

    async def aclose(self) -> None:
        """Close the resolver inside, if it can be closed; what is kept stays."""
        await aclose(self._resolver)

    # One look-up for all -------------------------------------------------------------------------

    def _flight(self, name: str, family: int) -> _Flight:
        """Join the look-up that is on its way in this loop, or begin one."""
        loop = asyncio.get_running_loop()
        key = (name.lower(), family)
        with self._lock:
            flights = self._flights.get(loop)
            if flights is None:
                for other in [other for other in self._flights if other.is_closed()]:
                    del self._flights[other]  # a look-up of theirs would hold them for ever
                flights = self._flights[loop] = {}
            flight = flights.get(key)
            if flight is not None and flight.question in self._asking.get(key, ()):
                return flight
        flight = flights[key] = _Flight(self, self._ask(name, family), loop)
        flight.task = loop.create_task(
            self._fly(flights, flight), name=f"aioconnect: look up {name}"
        )
        return flight

    async def _fly(self, flights: dict[_Key, _Flight], flight: _Flight) -> None:
        question = flight.question
        outcome: Answer | BaseException = not_resolved(
            socket.EAI_AGAIN, "the look-up was cancelled", question.name, question.family
        )
        try:
            outcome = await self._resolver.lookup(question.name, question.family)
        except Exception as exc:
            outcome = exc.with_traceback(None)
        finally:
            if flights.get(question.key) is flight:
                del flights[question.key]
            flight.land(self._learn(question, outcome))

    # What is kept --------------------------------------------------------------------------------

    def _at_hand(self, name: str, family: int) -> Answer | BaseException | None:
        answer = self.peek(name, family)
        if answer is not None:
            return answer
        with self._lock:
            kept = self._kept.get((name.lower(), family))
            if kept is None or kept.answer is not None or monotonic() >= kept.until:
                return None
        return not_resolved(kept.number, kept.text, name, family)

    def _ask(self, name: str, family: int) -> _Question:
        question = _Question(name, family)
        with self._lock:
            self._asking.setdefault(question.key, set()).add(question)
        return question

    def withdraw(self, question: _Question) -> bool:
        """Take the question back; False if it was already, or if the name was forgotten since."""
        with self._lock:
            asking = self._asking.get(question.key)
            if asking is None or question not in asking:
                return False
            asking.remove(question)
            if not asking:
                del self._asking[question.key]
            return True

    def _learn(
        self, question: _Question, outcome: Answer | BaseException
    ) -> Answer | BaseException:
        """Keep an outcome; return what to tell those who asked."""
        to_keep = self.withdraw(question)
        now = monotonic()
        if isinstance(outcome, Answer):
            if to_keep:
                ttl = self._default_ttl
                if outcome.ttl is not None:
                    ttl = min(max(outcome.ttl, self._min_ttl), self._max_ttl)
                self._keep(question.key, _Kept(now + ttl, self._stale_if_error, outcome))
            return outcome
        if not isinstance(outcome, OSError):
            return outcome
        outcome = failure(outcome, question.name, question.family)
        if isinstance(outcome, socket.gaierror) and outcome.errno in _ABSENT:
            if to_keep:
                kept = _Kept(now + self._negative_ttl, 0.0, None)
                kept.number, kept.text = outcome.errno, outcome.words
                self._keep(question.key, kept)
            return outcome
        with self._lock:
            old = self._kept.get(question.key)
            if old is None or old.answer is None or now >= old.stale_until:
                return outcome
            # RFC 8767, section 5: not to be asked again at once, since the server has trouble.
            old.until = max(old.until, now + self._negative_ttl)
            return _served(old.answer, old.until - now)

    def _keep(self, key: _Key, kept: _Kept) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if kept.until > monotonic():
                self._kept[key] = kept
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


_FAMILIES = (int(socket.AF_INET6), int(socket.AF_INET), int(socket.AF_UNSPEC))


class _Kept:
    """What is known of one name and one family: an answer, or why there is none."""

    __slots__ = ("answer", "number", "stale_until", "text", "until")

    def __init__(self, until: float, stale_if_error: float, answer: Answer | None) -> None:
        self.until = until
        self.stale_until = until + stale_if_error
        self.answer = answer
        self.number = 0
        self.text = ""


def _served(answer: Answer, ttl: float) -> Answer:
    return Answer(answer.addresses, ttl, answer.canonical, "cache")


class _Question:
    """One look-up on its way: what it learns is kept unless the name is forgotten meanwhile."""

    __slots__ = ("family", "key", "name")

    def __init__(self, name: str, family: int) -> None:
        self.name = name
        self.family = family
        self.key = (name.lower(), family)


class _Flight:
    """A look-up on its way in one loop, and those who wait for it."""

    __slots__ = ("_cache", "_loop", "_outcome", "_waiters", "question", "task")

    def __init__(self, cache: Cache, question: _Question, loop: AbstractEventLoop) -> None:
        self._cache = cache
        self._loop = loop
        self._outcome: Answer | BaseException | None = None
        self._waiters: set[Future[Answer | BaseException]] = set()
        self.question = question
        self.task: Task[None] | None = None

    async def wait(self) -> Answer | BaseException:
        """Wait for the outcome; the last one who leaves ends the look-up."""
        if self._outcome is not None:
            return self._outcome  # an eager task was done before it returned
        waiter: Future[Answer | BaseException] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if self._outcome is None and not self._waiters and self.task is not None:
                self._cache.withdraw(self.question)  # so that nobody joins what is ending
                self.task.cancel()

    def land(self, outcome: Answer | BaseException) -> None:
        """Tell everybody."""
        self._outcome = outcome
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(outcome)
                if isinstance(outcome, BaseException):
                    outcome = again(outcome)
