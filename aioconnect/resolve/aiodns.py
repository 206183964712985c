"""Names by DNS itself, with their time to live, without a thread per look-up: aiodns on the loop.

Extra ``aiodns``.  The hosts file, the search list and the options of resolv.conf hold, because
they are read here as glibc reads them (:mod:`.hosts`, :mod:`.config`, :mod:`.search`); what
another source of nsswitch.conf may own is left to the system, and so is ``.local`` (RFC 6762:
never by unicast DNS unless this host says so).  c-ares, below aiodns, is asked for one full name
and one type at a time, and does what it is best at: it repeats queries, changes servers, remembers
which are dead, and falls back to TCP.

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
- **Closing.**  A closed ``DNSResolver`` keeps four descriptors and a thread for up to a second, so
  there is never one per name or call.

Sources: RFC 1035; RFC 6762, section 22.1; resolv.conf(5); aiodns 4, c-ares 1.34.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import sys
import threading
import weakref
from collections import OrderedDict
from contextlib import aclosing, suppress
from functools import partial
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConnectError
from . import base, hosts
from .base import EAI_NODATA, Answer, check_name, checked, failure, not_resolved
from .config import DNS, HOSTS, NOT_FOUND, SYSTEM, UNAVAILABLE, Step, patience, resolv_conf, steps
from .per_loop import Mailbox, PerLoop, mailbox_of, renew_in_child
from .search import ANSWERED, Search, Status, has_answer
from .system import default
from .threads import SHARED, check_descriptors

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future, TimerHandle
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from .base import Resolver
    from .config import ResolvConf
    from .hosts import Hosts

__all__ = ["AiodnsResolver"]

try:
    aiodns: Any = import_module("aiodns")
    pycares: Any = import_module("pycares")
    ares: Any = import_module("pycares.errno")
except ImportError as exc:
    raise ImportError("aiodns is missing: install aioconnect[aiodns]") from exc

TRIES = 8
FIRST_TRY = 1.25
"""Seconds after which c-ares asks again.  What is answered later is lost with it."""

IN_FLIGHT = 64
PROMPT = 0.5

UNUSED = "127.255.255.254:9"
"""A server that is added and taken away again, so that c-ares forgets answers."""

_AF_INET6 = int(socket.AF_INET6)


class AiodnsResolver:
    """Looks names up in the DNS by aiodns.

    Args:
        nameservers: ``address``, ``address:port`` or ``[address]:port`` each; None takes those
            of resolv.conf.
        timeout: seconds for a try; None: what resolv.conf says, else 5.
        tries: how often the servers are asked; None: what resolv.conf says, else 2.  A query is
            given up after ``timeout`` times ``tries``, later if there are several servers.
        fallback: who is asked for names that DNS is not the source of; None is the system's
            resolver.

    It may be shared by loops in several threads: what it keeps, it keeps for each loop, and gives
    back when the loop's asynchronous generators are shut down (``asyncio.run`` does that), or by
    :meth:`aclose`.  A forked child makes its own.

    Raises:
        ImportError: aiodns is missing (extra ``aiodns``).
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
        self._nameservers = None
        if nameservers is not None:
            self._nameservers = tuple([_server(text) for text in nameservers])
            if not self._nameservers:
                raise ValueError("no name server")
        self._timeout = timeout
        self._tries = tries
        self._fallback = fallback
        self._generation = 0
        self._loops = PerLoop(_Queries)

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`."""
        return await base.only_answer(self.lookup_name(name, (family,)))

    async def lookup_name(
        self, name: str, families: Sequence[int], /
    ) -> AsyncGenerator[Answer, None]:
        """Search for a name; see :func:`.base.lookup_name`."""
        error: ConnectError | None = None
        try:
            check_name(name)
            for step in self._steps(name):
                status = NOT_FOUND
                if step.asks is HOSTS:
                    answers = (await _hosts()).answers(name, families)
                    if answers is not None:
                        for answer in answers:
                            yield answer
                        return
                elif step.asks is DNS:
                    search = _DnsSearch(self, name, families)
                    async with aclosing(search.answers()) as found:
                        async for answer in found:
                            yield answer
                    if search.found:
                        return
                    error, status = search.error(), search.status
                else:
                    other = self._fallback if self._fallback is not None else default()
                    async with aclosing(base.lookup_name(other, name, families)) as found:
                        async for answer in found:
                            yield answer
                    return
                if status in step.ends:
                    break
        except ConnectError:
            raise
        except OSError as exc:
            raise failure(exc, name, families[0]) from None
        if error is None:
            error = not_resolved(socket.EAI_NONAME, "no source has it", name, families[0])
        try:
            raise error
        finally:
            del error  # or it would refer to itself, through the frame of its traceback

    def peek_name(self, name: str, families: Sequence[int], /) -> tuple[Answer, ...] | None:
        """Return what the hosts file has, if it is asked first; see :mod:`.hosts`."""
        return hosts.peek(name, families)

    def forget(self, name: str, /) -> None:
        """Ask again the next time: what is on its way now is not shared with who asks then."""
        self._generation += 1
        base.forget(self._fallback, name)

    def lacking(self, name: str, /) -> ConnectError | None:
        """Return what this host lacks if the fallback's search has not begun."""
        return base.lacking(self._fallback if self._fallback is not None else default(), name)

    async def aclose(self) -> None:
        """Close the channels of the running loop; look-ups on their way fail.

        A later look-up makes new ones.  The fallback is the caller's, and stays open.
        """
        queries = self._loops.pop(asyncio.get_running_loop())
        if queries is not None:
            queries.close()

    def _steps(self, name: str) -> Iterable[Step]:
        if sys.platform != "linux" and self._nameservers is not None:
            return _WITHOUT_NSSWITCH
        found = steps(name)
        if name.removesuffix(".").lower().endswith(".local"):
            return [_ASK_SYSTEM if step.asks is DNS else step for step in found]
        return found

    # For a search --------------------------------------------------------------------------------

    def queries(self) -> _Queries:
        """Return what is kept for the running loop."""
        loop = asyncio.get_running_loop()
        queries = self._loops.of(loop)
        if queries.closed:
            self._loops.pop(loop)
            queries = self._loops.of(loop)
        return queries

    def settings(self, conf: ResolvConf) -> _Settings:
        """Return how to ask: what was given, else what resolv.conf says."""
        timeout = self._timeout if self._timeout is not None else conf.timeout
        servers = self._nameservers or tuple([_server(address) for address in conf.servers])
        return _Settings(
            servers,
            min(timeout, FIRST_TRY),
            conf.rotate,
            conf.tcp,
            patience(len(servers), timeout, self._tries or conf.attempts),
            self._generation,
        )


_ASK_SYSTEM = Step(SYSTEM, frozenset())
_WITHOUT_NSSWITCH = (Step(HOSTS, frozenset()), Step(DNS, frozenset()))


async def _hosts() -> Hosts:
    """Return the hosts file; a large one that is new is read in a thread."""
    file = hosts.FILE.at_hand()
    if file is not None:
        return file
    loop = asyncio.get_running_loop()
    read: Future[Hosts | BaseException] = loop.create_future()

    def done(outcome: Hosts | BaseException) -> None:
        mailbox_of(loop).put(_set, read, outcome)

    ticket = SHARED.call(("hosts",), "hosts", 0, hosts.FILE.value, done)
    try:
        outcome = await read
    finally:
        ticket.cancel()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _set(future: Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


_SERVER = re.compile(r"\[([^\[\]]+)\]:(\d{1,5})|([^\[\]:]+):(\d{1,5})|\[([^\[\]]+)\]|([^\[\]]+)")


def _server(text: str) -> str:
    """Return a name server as c-ares writes it: ``address:port``, ``[address]:port%interface``.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise TypeError(f"a name server is a str, not {type(text).__name__}")
    given = _SERVER.fullmatch(text)
    try:
        if given is None:
            raise ValueError
        six, port6, four, port4, bracketed, bare = given.groups()
        address, percent, zone = (six or four or bracketed or bare).partition("%")
        port = int(port6 or port4 or 53)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        address = socket.inet_ntop(family, socket.inet_pton(family, address))
        if not 0 < port < 65536 or (percent and (family == socket.AF_INET or not zone)):
            raise ValueError
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is no address of a name server") from None
    if family == socket.AF_INET:
        return f"{address}:{port}"
    return f"[{address}]:{port}{percent}{zone}"


# One name -----------------------------------------------------------------------------------------


class _DnsSearch:
    """The search of one name in DNS.

    Args:
        resolver: whose settings and queries are used.
        name: a host name in ASCII.
        families: those asked for.
    """

    def __init__(self, resolver: AiodnsResolver, name: str, families: Sequence[int]) -> None:
        conf = resolv_conf()
        self._queries = resolver.queries()
        self._settings = resolver.settings(conf)
        self._name = name
        self._families = families
        self._asked_for = [each for each in families if each != _AF_INET6 or not conf.no_aaaa]
        self._search = Search(name, conf)
        self._began = monotonic()
        self._reasons: list[Status] = []
        self.found = False
        self.status = NOT_FOUND
        """What nss-dns would say: after several steps it goes by the last."""

    async def answers(self) -> AsyncGenerator[Answer, None]:
        """Ask for one full name after the other; yield the answers of the first that has any.

        Raises:
            OSError: this host lacks something, or the resolver was closed.
        """
        while self._asked_for and (full := self._search.next()) is not None:
            statuses: dict[int, Status] = {}
            outcomes = self._queries.outcomes(full, self._asked_for, self._settings)
            async with aclosing(outcomes):
                async for family, outcome in outcomes:
                    if isinstance(outcome, Answer):
                        if not self.found:
                            self.found = True
                            for other in self._families:
                                if other not in self._asked_for or statuses.get(other) in ANSWERED:
                                    yield checked((), other)
                        outcome.duration = monotonic() - self._began
                        yield outcome
                    else:
                        statuses[family] = outcome
                        if self.found and outcome in ANSWERED:
                            yield checked((), family)
            if self.found:
                return
            if not ANSWERED.issuperset(statuses.values()):
                check_descriptors()
            self.status = NOT_FOUND if has_answer(statuses) else UNAVAILABLE
            self._reasons += statuses.values()
            self._search.failed(full, statuses)

    def error(self) -> ConnectError:
        """Return why nothing was found."""
        took = monotonic() - self._began
        for reason in self._reasons:
            if reason not in ANSWERED:
                number, said = _SAID[reason]
                return not_resolved(number, said, self._name, self._families[0], took)
        number, said = socket.EAI_NONAME, "no such name"
        if Status.NO_DATA in self._reasons or not self._asked_for:
            number, said = EAI_NODATA, "no address of that family"
        return not_resolved(number, said, self._name, self._families[0], took)


_SAID = {
    Status.SERVER_FAILED: (socket.EAI_AGAIN, "the name server failed (SERVFAIL)"),
    Status.REFUSED: (socket.EAI_AGAIN, "the name server refuses to answer"),
    Status.FORMAT_ERROR: (socket.EAI_FAIL, "the name server did not understand the question"),
    Status.MALFORMED: (socket.EAI_AGAIN, "the name server's answer makes no sense"),
    Status.SILENT: (socket.EAI_AGAIN, "the name servers did not answer"),
}


# The queries of a loop ----------------------------------------------------------------------------


class _Settings(NamedTuple):
    """How to ask."""

    servers: tuple[str, ...]
    first_try: float
    rotate: bool
    tcp: bool
    patience: float
    generation: int
    """Of what was forgotten: an older query is not joined."""


class _Query:
    """One question, and how many wait for its outcome."""

    __slots__ = ("askers", "family", "name", "outcome", "settings", "waiters")

    def __init__(self, name: str, family: int, settings: _Settings) -> None:
        self.name = name
        self.family = family
        self.settings = settings
        self.askers = 0
        self.waiters: set[Future[None]] = set()
        self.outcome: Answer | Status | OSError | None = None

    def land(self, outcome: Answer | Status | OSError) -> None:
        self.outcome = outcome
        for waiter in self.waiters:
            _set(waiter, None)


class _Queries:
    """The queries of one loop: those with c-ares, those that queue, and who waits for them."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.closed = False
        self._keeper = _Keeper(self)
        self._mailbox = mailbox_of(loop)
        self._loop = weakref.ref(loop)
        self._latest: dict[tuple[str, int], _Query] = {}  # that others may join
        self._channels: dict[int, _Channel] = {}

    async def outcomes(
        self, name: str, families: Sequence[int], settings: _Settings
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
                        raise base.again(query.outcome)
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
            query.land(_closed(query))
        self._latest.clear()
        self._keeper.close()

    def __del__(self) -> None:
        self.close()

    def _join(self, name: str, family: int, settings: _Settings) -> _Query:
        key = (name.lower(), family)
        query = self._latest.get(key)
        if query is None or query.settings != settings:
            query = self._latest[key] = _Query(name, family, settings)
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
        key = (query.name.lower(), query.family)
        if self._latest.get(key) is query:
            del self._latest[key]

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


def _closed(query: _Query) -> ConnectError:
    said = "the resolver was closed"
    return not_resolved(socket.EAI_AGAIN, said, query.name, query.family)


async def _landing(loop: AbstractEventLoop, pending: list[_Query], deadline: float) -> None:
    """Wait until one of the queries has an outcome, or until the deadline."""
    waiter: Future[None] = loop.create_future()
    for query in pending:
        query.waiters.add(waiter)
    timer = loop.call_at(deadline, _set, waiter, None)
    try:
        await waiter
    finally:
        timer.cancel()
        for query in pending:
            query.waiters.discard(waiter)


class _Channel:
    """The queries of one family, and the ``DNSResolver`` that makes them."""

    def __init__(self, queries: _Queries, mailbox: Mailbox) -> None:
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
        if query in self._waited:
            self._waited.remove(query)
            if not self._waited and self._resolver is not None:
                self._resolver.cancel()

    def close(self) -> None:
        """End all queries, and close the resolver."""
        self._stop_timer()
        self.queued.clear()
        self._given.clear()
        self._waited.clear()
        if self._resolver is not None:
            _close(self._resolver)
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
        self._waited.discard(query)

    def _resolver_for(self, loop: AbstractEventLoop, settings: _Settings) -> Any:
        """Return a resolver that asks as the settings say, and has forgotten every answer.

        Raises:
            OSError: there can be none for lack of a descriptor.
        """
        servers = settings.servers
        made_of = (settings.first_try, settings.rotate, settings.tcp)
        if self._resolver is not None and made_of != self._made_of:
            _close(self._resolver)
            self._resolver = None
        if self._resolver is None:
            self._resolver = _make(_QuietLoop(loop, self._mailbox), settings)
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
    return list(found) == [server.rpartition(":")[0] for server in servers]


def _answered(
    queries: weakref.ref[_Queries],
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
        outcome = _STATUSES.get(number, Status.SILENT)
        if number == ares.ARES_ENOMEM:
            outcome = not_resolved(socket.EAI_MEMORY, "no memory", query.name, query.family)
    else:
        outcome = _read(query, future.result())
    alive.landed(query, outcome)


_STATUSES = {
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


def _read(query: _Query, result: Any) -> Answer | Status:
    """Return the addresses of the name at the end of the aliases."""
    aliases = {
        record.name.lower(): record
        for record in result.answer
        if record.type == pycares.QUERY_TYPE_CNAME
    }
    owner = query.name.lower()
    ttls = []
    canonical = None
    while (record := aliases.pop(owner, None)) is not None:  # each once: a loop ends
        canonical = record.data.cname.removesuffix(".")
        owner = canonical.lower()
        ttls.append(record.ttl)
    wanted = pycares.QUERY_TYPE_AAAA if query.family == _AF_INET6 else pycares.QUERY_TYPE_A
    found = [
        record for record in result.answer if record.type == wanted and record.name.lower() == owner
    ]
    if not found:
        return Status.NO_DATA
    ttl = min([0 if each >= 2**31 else each for each in (*ttls, *[r.ttl for r in found])])
    addresses = tuple(dict.fromkeys([record.data.addr for record in found]))
    return checked(addresses, query.family, float(ttl), canonical, "dns")


# aiodns -------------------------------------------------------------------------------------------


class _QuietLoop:
    """The loop as a ``DNSResolver`` sees it.

    c-ares calls from a thread of its own.  Its answers go through the mailbox, which wakes the
    loop once for many, and says nothing if it was closed.
    """

    def __init__(self, loop: AbstractEventLoop, mailbox: Mailbox) -> None:
        self._loop = weakref.ref(loop)
        self.call_soon_threadsafe = mailbox.put

    def __getattr__(self, name: str) -> Any:
        loop = self._loop()
        if loop is None or (loop.is_closed() and name.startswith("remove_")):
            return _nothing  # the loop's descriptors and timers are gone with it
        return getattr(loop, name)


def _nothing(*_: object) -> None:
    pass


def _make(loop: _QuietLoop, settings: _Settings) -> Any:
    check_descriptors()
    _making.quiet = True
    try:
        return aiodns.DNSResolver(
            list(settings.servers),
            loop,
            timeout=settings.first_try,
            tries=TRIES,
            rotate=settings.rotate,
            flags=pycares.ARES_FLAG_USEVC | pycares.ARES_FLAG_EDNS if settings.tcp else None,
        )
    except pycares.AresError as exc:
        check_descriptors()
        raise socket.gaierror(socket.EAI_MEMORY, str(exc)) from None
    finally:
        _making.quiet = False


def _close(resolver: Any) -> None:
    with suppress(StopIteration):  # it awaits nothing
        resolver.close().send(None)


class _Making(threading.local):
    quiet = False


_making = _Making()


def _is_loud(_: logging.LogRecord) -> bool:
    # Without a free inotify instance aiodns warns, and works all the same.
    return not _making.quiet


logging.getLogger("aiodns").addFilter(_is_loud)


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


class _ShutdownThread:
    """The thread by which pycares destroys channels: a forked child must start its own."""

    def renew(self) -> None:
        # It has no public name (pycares#239): without it, channels closed in a child are never
        # freed.
        former = getattr(pycares, "_shutdown_manager", None)
        if former is not None:
            pycares._shutdown_manager = type(former)()


_shutdown_thread = _ShutdownThread()
renew_in_child(_shutdown_thread)
