"""The queries of one event loop: those with c-ares, those that queue, and who waits for them.

**The hidden cache.**  c-ares keeps answers in each channel and offers no way to ask past them:
an answer without addresses for an hour even if the name server was only starting, and an address
that just refused us until its time is up.  A channel is therefore used for ``MAX_AGE`` seconds
only, and replaced at once when a name is asked for that was forgotten since the channel began.
That also picks up a changed resolv.conf.

**Bounds.**  Of each family at most ``IN_FLIGHT`` queries wait for a prompt answer at a time: more
answers at once would overflow the socket's receive buffer and be repeated after seconds.  One
that is not answered within ``PROMPT`` seconds no longer counts, so a dead zone holds up nobody.
The rest queues, and leaves the queue when nobody waits any more.  The same question asked by many
is one query.  c-ares can end only all queries of a channel, so one that nobody waits for goes on,
until nobody waits for any on its channel; where too many pile up the channel is replaced.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections import OrderedDict
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import cares
from .base import Answer

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["Failure", "Queries"]

MAX_AGE = 30.0
IN_FLIGHT = 64
PROMPT = 0.5
ABANDONED = 256
"""How many queries of a channel may go on without anybody waiting."""


class Queries:
    """The queries of one loop: those with c-ares, those that queue, and who waits for them."""

    def __init__(
        self, loop: AbstractEventLoop, options: Mapping[str, Any], forgotten: Mapping[str, float]
    ) -> None:
        self.closed = False
        self._keeper = _Keeper(self)
        self._loop = weakref.ref(loop)  # which finds this by a dictionary with weak keys
        self._options = options
        self._forgotten = forgotten
        self._numbers = count()
        self._latest: dict[tuple[str, int], _Query] = {}  # that others may join
        self._families: dict[int, _Family] = {}
        self._beginning = False
        self._timer: TimerHandle | None = None
        self._with_cares: dict[int, _Query] = {}
        self._line: _Line | None = None
        self._lines: set[_Line] = set()

    async def ask(self, name: str, bare: str, family: int) -> Answer | Failure:
        """Ask, or join who asked already; return what came."""
        query = self._latest.get((bare, family))
        if query is None or query.asked <= self._forgotten.get(bare, 0.0):
            query = self._latest[bare, family] = _Query(name, bare, family)
            self._of(family).queued[query] = None
        waiter = asyncio.get_running_loop().create_future()
        self._join(query, waiter)
        if query.line is None:
            self._begin()
        try:
            if query.outcome is None:
                await waiter
        finally:
            self._leave(query, waiter)
        assert query.outcome is not None
        return query.outcome

    def close(self) -> None:
        """End everything; those who wait get an error."""
        if self.closed:
            return
        self.closed = True
        self._stop_timer()
        for family in self._families.values():
            for query in tuple(family.queued):
                query.land(Failure(cares.errors.ARES_ECANCELLED))
            family.queued.clear()
        for line in tuple(self._lines):
            self._retire(line)
            self._end(line)
        self._keeper.close()

    def leave_alone(self) -> None:
        """Touch nothing any more: in a forked child all this is the parent's."""
        self.closed = True
        for line in self._lines:
            line.channel.leave_alone()

    def __del__(self) -> None:
        self.close()

    # Who waits -----------------------------------------------------------------------------------

    def _join(self, query: _Query, waiter: Future[None]) -> None:
        line = query.line
        if line is not None and not query.waiters:
            line.abandoned -= 1
            line.waited += 1
        query.waiters.add(waiter)

    def _leave(self, query: _Query, waiter: Future[None]) -> None:
        query.waiters.discard(waiter)
        if query.waiters or query.outcome is not None:
            return
        line = query.line
        self._of(query.family).pop(query)
        if line is None:
            self._drop(query)
        else:
            line.waited -= 1
            line.abandoned += 1
            if not line.waited:
                self._end(line)
            elif line.abandoned > ABANDONED:
                self._retire(line)
        self._begin()

    def _drop(self, query: _Query) -> None:
        if self._latest.get((query.bare, query.family)) is query:
            del self._latest[query.bare, query.family]

    # With c-ares ---------------------------------------------------------------------------------

    def _of(self, family: int) -> _Family:
        found = self._families.get(family)
        if found is None:
            found = self._families[family] = _Family()
        return found

    def _begin(self) -> None:
        """Give c-ares as many of the queued queries as it may have."""
        if self._beginning:
            return  # an answer was there at once: the loop below goes on
        self._beginning = True
        queue = False
        try:
            for family in tuple(self._families.values()):
                while family.queued and family.has_room():
                    query, _ = family.queued.popitem(last=False)
                    self._give(query, family)
                queue = queue or bool(family.queued)
        finally:
            self._beginning = False
        if not queue:
            self._stop_timer()
        elif self._timer is None:
            loop = self._loop()
            if loop is not None:
                # In the meantime answers make room, if there are any.
                self._timer = loop.call_later(PROMPT / 4, self._begin_later)

    def _begin_later(self) -> None:
        self._timer = None
        self._begin()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give(self, query: _Query, family: _Family) -> None:
        try:
            line = query.line = self._line_for(query)
        except cares.Unusable as exc:
            self._drop(query)
            query.land(Failure(exc.status))
            return
        line.waited += 1
        family.given[query] = monotonic()
        number = next(self._numbers)
        self._with_cares[number] = query
        line.channel.ask(number, query.name.encode(), query.family)

    def _told(self, outcomes: list[cares.Outcome], at_once: bool) -> None:
        """Take what c-ares says of queries of one channel."""
        for number, result, status in outcomes:
            query = self._with_cares.pop(number)
            line = query.line
            assert line is not None
            if query.waiters:
                line.waited -= 1
            else:
                line.abandoned -= 1
            self._of(query.family).pop(query)
            self._drop(query)
            if status is None:
                query.land(_answer(query, result, at_once=at_once))
            else:
                query.land(Failure(status))
            if not line.waited and (line.abandoned or line.retired):
                self._end(line)
        self._begin()

    # Channels ------------------------------------------------------------------------------------

    def _line_for(self, query: _Query) -> _Line:
        line = self._line
        if line is not None:
            born = line.channel.born
            if born + MAX_AGE <= monotonic() or born <= self._forgotten.get(query.bare, 0.0):
                self._retire(line)
                line = None
        if line is None:
            loop = asyncio.get_running_loop()
            line = self._line = _Line(cares.Channel(loop, self._options, self._told))
            self._lines.add(line)
        return line

    def _retire(self, line: _Line) -> None:
        """Give it no more queries, and close it when nobody waits for those that it has."""
        line.retired = True
        if self._line is line:
            self._line = None
        if not line.waited:
            self._end(line)

    def _end(self, line: _Line) -> None:
        """End the queries of a channel; nobody waits for them, or all is closed."""
        if line.ending:
            return
        line.ending = True
        line.channel.cancel()
        line.ending = False
        if line.retired:
            line.channel.close()
            self._lines.discard(line)


class _Family:
    """The queries of one family that queue, and those that may still be answered promptly."""

    __slots__ = ("given", "queued")

    def __init__(self) -> None:
        self.queued: OrderedDict[_Query, None] = OrderedDict()
        self.given: OrderedDict[_Query, float] = OrderedDict()  # to c-ares, and when

    def has_room(self) -> bool:
        """Whether one more query may be given to c-ares now."""
        late = monotonic() - PROMPT
        while self.given and self.given[next(iter(self.given))] <= late:
            self.given.popitem(last=False)
        return len(self.given) < IN_FLIGHT

    def pop(self, query: _Query) -> None:
        """Take a query out: it was answered, or nobody waits any more."""
        self.queued.pop(query, None)
        self.given.pop(query, None)


class _Line:
    """A channel, and how many of its queries somebody waits for."""

    __slots__ = ("abandoned", "channel", "ending", "retired", "waited")

    def __init__(self, channel: cares.Channel) -> None:
        self.channel = channel
        self.waited = 0
        self.abandoned = 0
        self.retired = False
        self.ending = False


class _Query:
    """One question, and who waits for its outcome."""

    __slots__ = ("asked", "bare", "family", "line", "name", "outcome", "waiters")

    def __init__(self, name: str, bare: str, family: int) -> None:
        self.name = name
        self.bare = bare
        self.family = family
        self.asked = monotonic()
        self.line: _Line | None = None
        self.outcome: Answer | Failure | None = None
        self.waiters: set[Future[None]] = set()

    def land(self, outcome: Answer | Failure) -> None:
        self.outcome = outcome
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Keeper:
    """Closes the queries when the running loop shuts its asynchronous generators down."""

    def __init__(self, queries: Queries) -> None:
        self._generator = self._keep(weakref.ref(queries))
        # A generator keeps the hook that finalizes it, and by that the loop: this one needs none.
        finalizer = sys.get_asyncgen_hooks().finalizer
        sys.set_asyncgen_hooks(finalizer=None)
        try:
            with suppress(StopIteration):  # it has yielded, and the loop knows of it
                self._generator.__anext__().__await__().send(None)
        finally:
            sys.set_asyncgen_hooks(finalizer=finalizer)

    @staticmethod
    async def _keep(queries: weakref.ref[Queries]) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            alive = queries()
            if alive is not None:
                alive.close()

    def close(self) -> None:
        """End the generator, which awaits nothing; unless it is what calls this."""
        with suppress(StopIteration, RuntimeError):
            self._generator.aclose().__await__().send(None)


def _answer(query: _Query, result: Any, *, at_once: bool) -> Answer | Failure:
    # c-ares takes every address that a server sends, asked for or not.
    nodes = [node for node in result.nodes if node.family == query.family]
    if not nodes:
        return Failure(cares.errors.ARES_ENODATA)
    addresses = dict.fromkeys([_text(node.addr) for node in nodes])
    ttl = max(0, min([entry.ttl for entry in (*nodes, *result.cnames)]))
    source = "dns"
    if at_once:  # without a packet; c-ares does not cache what has no time to live
        source = "cache" if ttl else "hosts"
    return Answer(
        tuple(addresses),
        None if source == "hosts" else float(ttl),
        str(result.cnames[-1].name) if result.cnames else None,
        source,
        monotonic() - query.asked,
    )


def _text(address: tuple[Any, ...]) -> str:
    text: str = address[0].decode("ascii")
    return f"{text}%{address[3]}" if len(address) > 3 and address[3] else text


class Failure:
    """Why there is no answer: a status of c-ares."""

    __slots__ = ("status",)

    def __init__(self, status: int) -> None:
        self.status = status
