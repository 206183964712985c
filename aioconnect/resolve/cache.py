"""A cache around any resolver.

What it promises, and why:

- A name is kept whole: what one search found for both families, of one source and one search
  domain.  When the time of one family is up, both are asked for anew.
- An answer is served as long as its time to live says, within bounds; an answer that says none
  (``getaddrinfo`` never does) for ``default_ttl``.  TTL 0 is not kept.
- That a name does not exist, or has no address at all, is kept for a few seconds only: most such
  answers are wanted by somebody who is just starting the thing.  That a name server failed is not
  kept at all; if it failed for one family, what was found for the other is kept as short.
- Asked a thousand times at once, it asks once.  That shared search survives the cancellation of
  the one who began it, and ends when the last who waits for it has left.
- ``forget`` is called by the engine when every address of a name failed to connect.  What is kept
  then counts as old, and so does every answer that is still on its way.
- It is bounded: the least recently used name goes first.

Answers are plain data, shared by all loops and threads that use the cache, under a lock that is
held for a microsecond; searches on their way belong to the loop that began them.

Sources: RFC 2308 (negative answers), RFC 8767 (serving stale answers when the server fails).
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from collections import OrderedDict
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import ConnectError
from . import base
from .answers import ABSENT, FAMILIES, Answer, again, checked, failure, not_resolved
from .base import only_answer
from .per_loop import PerLoop, renew_in_child
from .threads import NO_TICKET, submit_name

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, Task
    from collections.abc import AsyncIterator, Sequence

    from .base import Put, Resolver

__all__ = ["Cache"]

_Key: TypeAlias = tuple[str, tuple[int, ...]]
"""A name in lower case, with its final dot if it has one, and the families asked for."""

_KINDS = (FAMILIES, *[(family,) for family in FAMILIES])


class Cache:
    """Keeps the answers of another resolver.

    Args:
        resolver: who is asked.
        size: how many names are kept at most.
        min_ttl: seconds for which an answer is kept at least, whatever its time to live.
        max_ttl: seconds for which it is kept at most.
        default_ttl: seconds for an answer that does not say its time to live; ``min_ttl`` and
            ``max_ttl`` do not matter then.
        negative_ttl: seconds for which it is kept that there is no such name or no address.
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
        self._clock = monotonic
        self._flights: PerLoop[dict[_Key, _Flight]] = PerLoop(_no_flights)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew and empty: what a forked child does."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()  # the least recently used first
        self._asking: dict[_Key, set[_Question]] = {}  # whose answers may be kept

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<Cache of {self._resolver!r}: {len(self._kept)} of {self._size} names>"

    def peek_name(self, name: str, families: Sequence[int], /) -> tuple[Answer, ...] | None:
        """Return what is known of the name if it still holds; costs about a microsecond."""
        key = (name.lower(), tuple(families))
        now = self._clock()
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and now < kept.until:
                if kept.answers is None:
                    return None  # the search says why
                self._kept.move_to_end(key)
                left = kept.until - now
                return tuple([_served(answer, left) for answer in kept.answers])
        return base.peek_name(self._resolver, name, families)

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        return await only_answer(self.lookup_name(name, (family,)))

    async def lookup_name(self, name: str, families: Sequence[int], /) -> AsyncIterator[Answer]:
        """Search for a name; see :func:`.base.lookup_name`."""
        known = self._known(name, families)
        if known is None:
            async for answer in self._flight(name, families).answers():
                yield answer
            return
        if isinstance(known, ConnectError):
            try:
                raise known
            finally:
                del known  # or it would refer to itself, through the frame of its traceback
        for answer in known:
            yield answer

    def submit_name(self, name: str, families: Sequence[int], put: Put, /) -> Any:
        """Search without a loop; see :func:`.threads.submit_name`."""
        known = self._known(name, families)
        if known is None:
            question = self._ask(name, families)

            def learn(item: Answer | BaseException | None) -> None:
                if isinstance(item, Answer):
                    question.found.append(item)
                    if len(question.found) == len(families):
                        self._learn(question, None)  # now: who asked may not wait for the end
                    put(item)
                    return
                for each in self._learn(question, item):
                    put(each)

            return submit_name(self._resolver, name, families, learn)
        if isinstance(known, ConnectError):
            put(known)
        else:
            for answer in known:
                put(answer)
            put(None)
        return NO_TICKET

    def forget(self, name: str, /) -> None:
        """Count what is kept of the name as old, and what is just being answered too."""
        now = self._clock()
        with self._lock:
            for families in _KINDS:
                key = (name.lower(), families)
                self._asking.pop(key, None)
                kept = self._kept.get(key)
                if kept is not None and kept.answers is not None and self._stale_if_error:
                    kept.stale_until = min(kept.until, now) + self._stale_if_error
                    kept.until = now
                elif kept is not None:
                    del self._kept[key]
        base.forget(self._resolver, name)

    def lacking(self, name: str, /) -> ConnectError | None:
        """Return what this host lacks if the search for the name has not begun."""
        return base.lacking(self._resolver, name)

    async def aclose(self) -> None:
        """Close the resolver inside, if it can be closed; what is kept stays."""
        await base.aclose(self._resolver)

    # One search for all --------------------------------------------------------------------------

    def _flight(self, name: str, families: Sequence[int]) -> _Flight:
        """Join the search that is on its way in this loop, or begin one."""
        loop = asyncio.get_running_loop()
        key = (name.lower(), tuple(families))
        flights = self._flights.of(loop)
        flight = flights.get(key)
        with self._lock:
            if flight is not None and flight.question in self._asking.get(key, ()):
                return flight
        flight = flights[key] = _Flight(self, self._ask(name, families), loop)
        flight.task = loop.create_task(
            self._fly(flights, flight), name=f"aioconnect: look up {name}"
        )
        return flight

    async def _fly(self, flights: dict[_Key, _Flight], flight: _Flight) -> None:
        question = flight.question
        ended: BaseException | None = not_resolved(
            socket.EAI_AGAIN, "the look-up was cancelled", question.name, question.families[0]
        )
        try:
            search = base.lookup_name(self._resolver, question.name, question.families)
            async with aclosing(search):
                async for answer in search:
                    question.found.append(answer)
                    flight.put(answer)
            ended = None
        except Exception as exc:
            ended = exc.with_traceback(None)
        finally:
            if flights.get(question.key) is flight:
                del flights[question.key]
            for item in self._learn(question, ended):
                flight.put(item)
            del ended

    # What is kept --------------------------------------------------------------------------------

    def _known(self, name: str, families: Sequence[int]) -> Sequence[Answer] | ConnectError | None:
        answers = self.peek_name(name, families)
        if answers is not None:
            return answers
        with self._lock:
            kept = self._kept.get((name.lower(), tuple(families)))
            if kept is None or kept.answers is not None or self._clock() >= kept.until:
                return None
        return not_resolved(kept.number, kept.text, name, families[0])

    def _ask(self, name: str, families: Sequence[int]) -> _Question:
        question = _Question(name, tuple(families))
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
        self, question: _Question, ended: BaseException | None
    ) -> list[Answer | BaseException | None]:
        """Keep what a search found; return what to tell those who asked, after its answers."""
        to_keep = self.withdraw(question)
        now = self._clock()
        if ended is None:
            if to_keep:
                until = now + self._holds(question)
                kept = _Kept(until, until + self._stale_if_error, question.whole())
                self._keep(question.key, kept)
            return [None]
        if not isinstance(ended, OSError):
            return [ended]
        error = failure(ended, question.name, question.families[0])
        if isinstance(error, socket.gaierror) and error.errno in ABSENT:
            if to_keep:
                until = now + self._negative_ttl
                self._keep(question.key, _Kept(until, until, None, error))
            return [error]
        with self._lock:
            old = self._kept.get(question.key)
            if old is None or old.answers is None or now >= old.stale_until:
                return [error]
            told = {answer.family for answer in question.found}
            stale = [answer for answer in old.answers if answer.family not in told]
            if not any(answer.addresses for answer in stale):
                return [error]
            # RFC 8767, section 5: not to be asked again at once, since the server has trouble.
            old.until = max(old.until, now + self._negative_ttl)
            return [*[_served(answer, old.until - now) for answer in stale], None]

    def _holds(self, question: _Question) -> float:
        """Return the seconds for which what a search found holds."""
        seconds = [math.inf]
        for answer in question.found:
            if answer.addresses:
                ttl = self._default_ttl
                if answer.ttl is not None:
                    ttl = min(max(answer.ttl, self._min_ttl), self._max_ttl)
                seconds.append(ttl)
        if len(question.found) < len(question.families):  # the search failed for one of them
            seconds.append(self._negative_ttl)
        return min(seconds)

    def _keep(self, key: _Key, kept: _Kept) -> None:
        with self._lock:
            self._kept.pop(key, None)
            if kept.until > self._clock():
                self._kept[key] = kept
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


MOST_ADDRESSES = 128
"""Addresses of one family that are kept of a name; far more than are dialled."""


class _Kept:
    """What is known of one name: an answer for each family, or why there is none."""

    __slots__ = ("answers", "number", "stale_until", "text", "until")

    def __init__(
        self,
        until: float,
        stale_until: float,
        answers: tuple[Answer, ...] | None,
        error: ConnectError | None = None,
    ) -> None:
        self.until = until
        self.stale_until = stale_until
        self.answers = answers
        self.number = 0 if error is None else error.errno or 0
        self.text = "" if error is None else error.words


def _served(answer: Answer, ttl: float) -> Answer:
    return checked(
        answer.addresses, answer.family, ttl, answer.canonical, "cache", places=answer.places
    )


class _Question:
    """One search on its way: what it finds is kept unless the name is forgotten meanwhile."""

    __slots__ = ("families", "found", "key", "name")

    def __init__(self, name: str, families: tuple[int, ...]) -> None:
        self.name = name
        self.families = families
        self.key = (name.lower(), families)
        self.found: list[Answer] = []

    def whole(self) -> tuple[Answer, ...]:
        """Return an answer for each family."""
        found = {answer.family: answer for answer in self.found}
        return tuple(
            [_cut(found[each]) if each in found else checked((), each) for each in self.families]
        )


def _cut(answer: Answer) -> Answer:
    if len(answer.addresses) <= MOST_ADDRESSES:
        return answer
    places = None if answer.places is None else answer.places[:MOST_ADDRESSES]
    addresses = answer.addresses[:MOST_ADDRESSES]
    return checked(addresses, answer.family, answer.ttl, answer.canonical, places=places)


def _no_flights(_: AbstractEventLoop) -> dict[_Key, _Flight]:
    return {}


class _Flight:
    """A search on its way in one loop, and those who wait for it."""

    __slots__ = ("_cache", "_ended", "_items", "_loop", "_waiters", "question", "task")

    def __init__(self, cache: Cache, question: _Question, loop: AbstractEventLoop) -> None:
        self._cache = cache
        self._loop = loop
        self._items: list[Answer] = []
        self._ended: list[BaseException | None] = []  # how, when it has
        self._waiters: dict[object, Future[None] | None] = {}
        self.question = question
        self.task: Task[None] | None = None

    async def answers(self) -> AsyncIterator[Answer]:
        """Yield what comes; the last one who leaves ends the search."""
        me, place = object(), 0
        self._waiters[me] = None
        try:
            while True:
                while place < len(self._items):
                    place += 1
                    yield self._items[place - 1]
                if self._ended:
                    break
                waiter = self._waiters[me] = self._loop.create_future()
                await waiter
        finally:
            del self._waiters[me]
            if not self._ended and not self._waiters and self.task is not None:
                self._cache.withdraw(self.question)  # so that nobody joins what is ending
                self.task.cancel()
        error = self._ended[0]
        if error is not None:
            self._ended[0] = again(error)  # for the next: it would collect all their tracebacks
            try:
                raise error
            finally:
                del error

    def put(self, item: Answer | BaseException | None) -> None:
        """Tell everybody: an answer, or the end."""
        if isinstance(item, Answer):
            self._items.append(item)
        else:
            self._ended.append(item)
        for waiter in self._waiters.values():
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
