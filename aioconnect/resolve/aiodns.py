"""Names by DNS itself, with their time to live, without threads: c-ares on the loop.

Extra ``aiodns``.  Each family is asked for by itself: c-ares' own "both at once" waits for the
slower one and gives up on it early.  The hosts file, search domains and options of resolv.conf
hold, because c-ares reads them; what only the system knows is left to the system: ``.local``
(RFC 6762: never by unicast DNS unless this host says so), and names of one label that DNS does
not know, if nsswitch.conf names further sources.

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

Sources: RFC 1035; RFC 6762, section 22.1; nsswitch.conf(5); resolv.conf(5).
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import weakref
from collections import OrderedDict
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import cares, default
from .base import EAI_NODATA, Answer, check_name, failure, forget, not_resolved
from .fork import renew_in_child

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ..errors import ConnectError
    from .base import Resolver

__all__ = ["AiodnsResolver"]

MAX_AGE = 30.0
IN_FLIGHT = 64
PROMPT = 0.5
ABANDONED = 256
"""How many queries of a channel may go on without anybody waiting."""


class AiodnsResolver:
    """Looks names up in the DNS by c-ares.

    Args:
        nameservers: ``address``, ``address:port`` or ``[address]:port`` each; None takes those
            of resolv.conf.
        timeout: seconds for the first try of a query; later ones take longer.  None: 2, or what
            resolv.conf says.
        tries: how often each server is asked; None: 3, or what resolv.conf says.
        fallback: who is asked for what DNS does not know; None is the system's resolver.

    It may be shared by loops in several threads: what it keeps, it keeps for each loop, and gives
    back when the loop's asynchronous generators are shut down (``asyncio.run`` does that), or by
    :meth:`aclose`.  A forked child makes its own.

    Raises:
        ImportError: pycares is missing (extra ``aiodns``).
        ValueError: a name server is no address, or a number makes no sense.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        timeout: float | None = None,
        tries: int | None = None,
        fallback: Resolver | None = None,
    ) -> None:
        if (timeout is not None and not timeout > 0) or (tries is not None and tries < 1):
            raise ValueError("timeout must be positive, and tries at least 1")
        options = {"servers": nameservers, "timeout": timeout, "tries": tries}
        self._options = {key: value for key, value in options.items() if value is not None}
        cares.check(self._options)
        self._fallback = fallback
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew: what a forked child does.  The parent's channels are left alone."""
        for queries in tuple(getattr(self, "_loops", {}).values()):
            queries.leave_alone()
        self._forgotten: dict[str, float] = {}  # name: instant
        self._loops: weakref.WeakKeyDictionary[AbstractEventLoop, _Queries] = (
            weakref.WeakKeyDictionary()
        )

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        bare = name.lower().removesuffix(".")
        if not bare.endswith(".local"):
            try:
                check_name(name)
            except OSError as exc:
                raise failure(exc, name, family) from None
            queries = self._queries()
            outcome = await queries.ask(name, bare, family)
            if isinstance(outcome, Answer):
                return outcome
            if outcome.status not in _UNKNOWN or "." in bare or not _system_knows_more():
                raise outcome.error(name, family)
        resolver = self._fallback if self._fallback is not None else default()
        return await resolver.lookup(name, family)

    def forget(self, name: str) -> None:
        """Ask the name server the next time, whatever c-ares has cached."""
        now = monotonic()
        if len(self._forgotten) >= 1024:
            # What is older than every channel in use says nothing any more.
            for other, instant in tuple(self._forgotten.items()):
                if instant < now - MAX_AGE:
                    self._forgotten.pop(other, None)
        self._forgotten[name.lower().removesuffix(".")] = now
        forget(self._fallback, name)

    async def aclose(self) -> None:
        """Close the channel of the running loop; look-ups on their way fail.

        A later look-up makes a new one.  The fallback is the caller's, and stays open.
        """
        queries = self._loops.pop(asyncio.get_running_loop(), None)
        if queries is not None:
            queries.close()

    def _queries(self) -> _Queries:
        loop = asyncio.get_running_loop()
        queries = self._loops.get(loop)
        if queries is None or queries.closed:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]  # closed with look-ups on their way, which hold it
            queries = self._loops[loop] = _Queries(loop, self._options, self._forgotten)
        return queries


class _Queries:
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

    async def ask(self, name: str, bare: str, family: int) -> Answer | _Failure:
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
                query.land(_Failure(cares.errors.ARES_ECANCELLED))
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
            query.land(_Failure(exc.status))
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
                query.land(_Failure(status))
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
        self.outcome: Answer | _Failure | None = None
        self.waiters: set[Future[None]] = set()

    def land(self, outcome: Answer | _Failure) -> None:
        self.outcome = outcome
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)


class _Keeper:
    """Closes the queries when the running loop shuts its asynchronous generators down."""

    def __init__(self, queries: _Queries) -> None:
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
    async def _keep(queries: weakref.ref[_Queries]) -> AsyncGenerator[None, None]:
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


def _answer(query: _Query, result: Any, *, at_once: bool) -> Answer | _Failure:
    # c-ares takes every address that a server sends, asked for or not.
    nodes = [node for node in result.nodes if node.family == query.family]
    if not nodes:
        return _Failure(cares.errors.ARES_ENODATA)
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


class _Failure:
    """Why there is no answer: a status of c-ares."""

    __slots__ = ("status",)

    def __init__(self, status: int) -> None:
        self.status = status

    def error(self, name: str, family: int) -> ConnectError:
        number = _NUMBERS.get(self.status, socket.EAI_AGAIN)
        return not_resolved(number, cares.errors.strerror(self.status), name, family)


_NUMBERS = {
    getattr(cares.errors, f"ARES_{name}"): number
    for names, number in (
        ("ENODATA", EAI_NODATA),
        ("ENOTFOUND EBADNAME EBADQUERY EBADSTR ENONAME", socket.EAI_NONAME),
        ("EFORMERR", socket.EAI_FAIL),
        ("EBADFAMILY", socket.EAI_FAMILY),
        ("ENOMEM", socket.EAI_MEMORY),
        # All others are EAI_AGAIN: ESERVFAIL, EREFUSED, EBADRESP, ECONNREFUSED, ETIMEOUT, ...
    )
    for name in names.split()
}
_UNKNOWN = frozenset(
    getattr(cares.errors, f"ARES_{name}") for name in ("ENOTFOUND", "ESERVFAIL", "EREFUSED")
)
"""What DNS may say of a name of one label that the system knows (c-ares#852: systemd-resolved)."""


def _system_knows_more(path: str = "/etc/nsswitch.conf") -> bool:
    """Whether this host looks for hosts elsewhere than in files and DNS (nsswitch.conf(5))."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return sys.platform == "darwin"
    for line in text.splitlines():
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() == "hosts":
            return not {"files", "dns"}.issuperset(re.sub(r"\[.*?\]", " ", sources).split())
    return False
