"""The queries of one loop: those with aiodns, those that queue, and who waits for them.

What is done about the ways of c-ares and aiodns:

- **Two ports.**  Each loop has one ``DNSResolver`` for each family.  Two queries that leave from
  one port lose one of them where the kernel tracks connections (Kubernetes, 2 s each time).
- **The servers are given**, from a resolv.conf that we read and watch: a channel made while no
  descriptor is free would ask 127.0.0.1 for ever.
- **No hidden cache.**  c-ares keeps answers, an empty one for an hour, and can't be told not to.
  It forgets them when its list of servers changes: so before each query one is added and taken
  away again.  What it knows of the other servers it keeps.
- **Patience.**  After three quick answers of a server c-ares asks again after a quarter of a
  second, drops what was answered to the first try, and gives up within two seconds.  So it is
  made to forget how quick its servers are where it has nothing else to remember: no query is on
  its way, and no server has failed.  It has tries for a minute; our own time limit, glibc's, is
  what ends a query.
- **What is taken.**  Only addresses of the name at the end of the aliases; and a time to live with
  its highest bit set is none (RFC 2181, section 8).
- **Bounds.**  Of each family at most ``IN_FLIGHT`` queries wait for a prompt answer at a time: more
  answers at once would overflow the socket's receive buffer and be repeated after seconds.  One
  that is not answered within ``PROMPT`` seconds no longer counts, so a dead zone holds up nobody.
- **Leaving.**  The same question asked by many is one query.  c-ares can end only all queries of
  a channel: it is told to when nobody waits for any.
- **Closing.**  A closed ``DNSResolver`` keeps four descriptors and a thread for a second: there
  is never one per name or call.

Sources: aiodns 4; c-ares 1.34: ares_query_dnsrec(3), ares_set_servers_csv(3), ares_cancel(3).
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections import OrderedDict
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from .answers import again, failure, not_resolved
from .cares import ares, close_resolver, make_resolver
from .per_loop import Mailbox, close_with_loop, mailbox_of, renew_in_child, settle
from .search import Status, read

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle
    from collections.abc import AsyncGenerator, Sequence

    from .answers import Answer
    from .cares import Settings

__all__ = ["Queries"]

IN_FLIGHT = 64
PROMPT = 0.5

UNUSED = "127.255.255.254:9"
"""A server that is added and taken away again, so that c-ares forgets answers."""

_AF_INET6 = int(socket.AF_INET6)


class _Query:
    """One question, and how many wait for its outcome."""

    __slots__ = ("askers", "family", "key", "name", "outcome", "settings", "waiters")

    def __init__(self, name: str, family: int, settings: Settings) -> None:
        self.name = name
        self.family = family
        self.key = (name.lower(), family)
        self.settings = settings
        self.askers = 0
        self.waiters: set[Future[None]] = set()
        self.outcome: Answer | Status | OSError | None = None

    def land(self, outcome: Answer | Status | OSError) -> None:
        self.outcome = outcome
        for waiter in self.waiters:
            settle(waiter, None)


class Queries:
    """The queries of one loop: those with c-ares, those that queue, and who waits for them."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.closed = False
        self._mailbox = mailbox_of(loop)
        self._loop = weakref.ref(loop)
        self._latest: dict[tuple[str, int], _Query] = {}  # that others may join
        self._channels: dict[int, _Channel] = {}
        close_with_loop(self)
        renew_in_child(self)

    async def outcomes(
        self, name: str, families: Sequence[int], settings: Settings
    ) -> AsyncGenerator[tuple[int, Answer | Status], None]:
        """Ask for one full name; yield what comes of each family.

        Raises:
            OSError: this host lacks something, or the queries were closed.
        """
        loop = asyncio.get_running_loop()
        queries = [self._join(name, family, settings) for family in families]
        pending = list(queries)
        try:
            self._give()
            deadline = loop.time() + settings.patience
            while pending:
                landed = [query for query in pending if query.outcome is not None]
                if not landed:
                    await _landing(loop, pending, deadline)
                    landed = [query for query in pending if query.outcome is not None]
                    if not landed:
                        for query in pending:
                            yield query.family, Status.SILENT
                        return
                for query in landed:
                    pending.remove(query)
                    if isinstance(query.outcome, OSError):
                        raise again(query.outcome)
                    assert query.outcome is not None
                    yield query.family, query.outcome
        finally:
            for query in queries:
                self._leave(query)

    def close(self) -> None:
        """End everything; those who wait get an error."""
        if self.closed:
            return
        self.closed = True
        for channel in self._channels.values():
            channel.close()
        for query in self._latest.values():
            said = "the resolver was closed"
            query.land(not_resolved(socket.EAI_AGAIN, said, query.name, query.family))
        self._latest.clear()

    __del__ = close

    def renew(self) -> None:
        """Touch nothing from here on: what a forked child does.

        The thread that answers stayed with the parent.  The lock of c-ares that it may have held
        is held here for ever, by nobody: even to end a query would wait for it.
        """
        self.closed = True
        for channel in self._channels.values():
            channel.queued.clear()

    def _join(self, name: str, family: int, settings: Settings) -> _Query:
        query = self._latest.get((name.lower(), family))
        if query is None or query.settings != settings:
            query = _Query(name, family, settings)
            self._latest[query.key] = query
            self._channel(family).queued[query] = None
        query.askers += 1
        return query

    def _leave(self, query: _Query) -> None:
        query.askers -= 1
        if query.askers or self.closed:
            return
        self._forget(query)
        self._channel(query.family).leave(query)
        self._give()

    def _forget(self, query: _Query) -> None:
        if self._latest.get(query.key) is query:
            del self._latest[query.key]

    def _channel(self, family: int) -> _Channel:
        channel = self._channels.get(family)
        if channel is None:
            channel = self._channels[family] = _Channel(self, self._mailbox)
        return channel

    def _give(self) -> None:
        for channel in self._channels.values():
            channel.give(self._loop())

    def landed(self, query: _Query, outcome: Answer | Status | OSError) -> None:
        """Take what came of a query, and give c-ares the next that queue."""
        self._forget(query)
        query.land(outcome)
        if not self.closed:
            self._give()


async def _landing(loop: AbstractEventLoop, pending: list[_Query], deadline: float) -> None:
    """Wait until one of the queries has an outcome, or until the deadline."""
    waiter: Future[None] = loop.create_future()
    for query in pending:
        query.waiters.add(waiter)
    timer = loop.call_at(deadline, settle, waiter, None)
    try:
        await waiter
    finally:
        timer.cancel()
        for query in pending:
            query.waiters.discard(waiter)


class _Channel:
    """The queries of one family, and the ``DNSResolver`` that makes them."""

    def __init__(self, queries: Queries, mailbox: Mailbox) -> None:
        self.queued: OrderedDict[_Query, None] = OrderedDict()
        self._queries = weakref.ref(queries)
        self._mailbox = mailbox
        self._given: OrderedDict[_Query, float] = OrderedDict()  # that may be answered promptly
        self._with_cares = 0
        self._waited: set[_Query] = set()  # of those
        self._timer: TimerHandle | None = None
        self._resolver: Any = None
        self._made_of: tuple[Any, ...] = ()
        self._giving = False

    def give(self, loop: AbstractEventLoop | None) -> None:
        """Give c-ares as many of the queued queries as it may have."""
        if self._giving or loop is None:
            return
        self._giving = True
        try:
            while self.queued and self._has_room():
                query, _ = self.queued.popitem(last=False)
                self._ask(loop, query)
        finally:
            self._giving = False
        if not self.queued:
            self._stop_timer()
        elif self._timer is None:  # in the meantime answers make room, if there are any
            self._timer = loop.call_later(PROMPT / 4, self._give_later, loop)

    def leave(self, query: _Query) -> None:
        """Take out a query that nobody waits for any more."""
        self.queued.pop(query, None)
        self._given.pop(query, None)
        self._no_longer_waited(query)

    def close(self) -> None:
        """End all queries, and close the resolver."""
        self._stop_timer()
        self.queued.clear()
        self._given.clear()
        self._waited.clear()
        if self._resolver is not None:
            close_resolver(self._resolver)
            self._resolver = None

    def _has_room(self) -> bool:
        late = monotonic() - PROMPT
        while self._given and self._given[next(iter(self._given))] <= late:
            self._given.popitem(last=False)
        return len(self._given) < IN_FLIGHT

    def _give_later(self, loop: AbstractEventLoop) -> None:
        self._timer = None
        self.give(loop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self, loop: AbstractEventLoop, query: _Query) -> None:
        queries = self._queries()
        assert queries is not None
        try:
            resolver = self._resolver_for(loop, query.settings)
        except OSError as exc:
            queries.landed(query, failure(exc, query.name, query.family))
            return
        self._given[query] = monotonic()
        self._waited.add(query)
        self._with_cares += 1
        kind = "AAAA" if query.family == _AF_INET6 else "A"
        answered = partial(_answered, self._queries, weakref.ref(self), query)
        resolver.query_dns(query.name, kind).add_done_callback(answered)

    def told(self, query: _Query) -> None:
        """Take out a query that c-ares has answered."""
        self._with_cares -= 1
        self._given.pop(query, None)
        self._no_longer_waited(query)

    def _no_longer_waited(self, query: _Query) -> None:
        if query in self._waited:
            self._waited.remove(query)
            if not self._waited and self._with_cares and self._resolver is not None:
                self._resolver.cancel()

    def _resolver_for(self, loop: AbstractEventLoop, settings: Settings) -> Any:
        """Return a resolver that asks as the settings say, and has forgotten every answer.

        Raises:
            OSError: there can be none for lack of a descriptor.
        """
        servers = settings.servers
        made_of = (settings.first_try, settings.rotate, settings.tcp)
        if self._resolver is not None and made_of != self._made_of:
            close_resolver(self._resolver)
            self._resolver = None
        if self._resolver is None:
            self._resolver = make_resolver(loop, self._mailbox, settings)
            self._made_of = made_of
        elif self._with_cares or not _in_order(self._resolver.nameservers, servers):
            # Not all at once: c-ares would forget which servers failed, and what it asks them.
            self._resolver.nameservers = [*servers, UNUSED]
            self._resolver.nameservers = servers
        else:
            self._resolver.nameservers = [UNUSED]
            self._resolver.nameservers = servers
        return self._resolver


def _in_order(found: Sequence[str], servers: Sequence[str]) -> bool:
    """Whether c-ares has its servers in the order given: those that failed come last."""
    expected = [server.rpartition(":")[0] for server in servers]  # as aiodns gives them
    return list(found) == expected and len(set(expected)) == len(expected)


def _answered(
    queries: weakref.ref[Queries],
    channel: weakref.ref[_Channel],
    query: _Query,
    future: Future[Any],
) -> None:
    exc = None if future.cancelled() else future.exception()
    alive, of_family = queries(), channel()
    if alive is None or of_family is None:
        return
    of_family.told(query)
    outcome: Answer | Status | OSError
    if future.cancelled():
        outcome = Status.SILENT
    elif exc is not None:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else None
        outcome = _STATUS_OF.get(number, Status.SILENT)
        if number == ares.ARES_ENOMEM:
            outcome = not_resolved(socket.EAI_MEMORY, "no memory", query.name, query.family)
    else:
        outcome = read(query.name, query.family, future.result().answer)
    alive.landed(query, outcome)


_STATUS_OF = {
    getattr(ares, f"ARES_{name}"): status
    for names, status in (
        ("ENOTFOUND EBADNAME EBADQUERY EBADSTR ENONAME", Status.NO_NAME),
        ("ENODATA", Status.NO_DATA),
        ("ESERVFAIL", Status.SERVER_FAILED),
        ("EREFUSED ENOTIMP", Status.REFUSED),
        ("EFORMERR", Status.FORMAT_ERROR),
        ("EBADRESP", Status.MALFORMED),
        # All others are SILENT: ETIMEOUT, ECONNREFUSED, EOF, ...
    )
    for name in names.split()
}
