"""Names by DNS itself, with their time to live, without a thread per look-up: aiodns on the loop.

Extra ``aiodns``.  The hosts file, the search list and the options of resolv.conf hold, because
they are read here as glibc reads them (:mod:`.known`, :mod:`.config`, :mod:`.search`); what
another source of nsswitch.conf may own is left to the system, and so is ``.local`` (RFC 6762:
never by unicast DNS unless this host says so).  c-ares, below aiodns, is asked for one full name
and one type at a time, and does what it is best at: it repeats queries, changes servers, remembers
which are dead, and falls back to TCP.

How the queries are made, and what is done about the ways of c-ares, is in :mod:`.queries`.

Sources: RFC 1035; RFC 6762, section 22.1; resolv.conf(5); aiodns 4, c-ares 1.34.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING

from ..errors import ConnectError
from . import base
from .answers import EAI_NODATA, Answer, check_name, checked, failure, not_resolved
from .cares import FIRST_TRY, Settings
from .config import DNS, HOSTS, NOT_FOUND, SYSTEM, UNAVAILABLE, Step, patience, resolv_conf, steps
from .known import HOSTS_FILE, peek_hosts
from .per_loop import PerLoop, mailbox_of, settle
from .queries import Queries
from .search import ANSWERED, Search, Status, has_answer
from .system import default
from .threads import SHARED, check_descriptors

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from .base import Resolver
    from .config import ResolvConf
    from .known import Hosts

__all__ = ["AiodnsResolver"]

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
        self._loops = PerLoop(Queries)

    def __repr__(self) -> str:
        servers = "resolv.conf" if self._nameservers is None else ", ".join(self._nameservers)
        return f"<AiodnsResolver of {servers}>"

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
        """Return what the hosts file has, if it is asked first; see :mod:`.known`."""
        return peek_hosts(name, families)

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

    def queries(self) -> Queries:
        """Return what is kept for the running loop."""
        loop = asyncio.get_running_loop()
        queries = self._loops.of(loop)
        if queries.closed:
            self._loops.pop(loop)
            queries = self._loops.of(loop)
        return queries

    def settings(self, conf: ResolvConf) -> Settings:
        """Return how to ask: what was given, else what resolv.conf says."""
        timeout = self._timeout if self._timeout is not None else conf.timeout
        servers = self._nameservers or tuple([_server(address) for address in conf.servers])
        return Settings(
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
    file = HOSTS_FILE.at_hand()
    if file is not None:
        return file
    loop = asyncio.get_running_loop()
    read: Future[Hosts | BaseException] = loop.create_future()

    def done(outcome: Hosts | BaseException) -> None:
        mailbox_of(loop).put(settle, read, outcome)

    ticket = SHARED.call(("hosts",), "hosts", 0, HOSTS_FILE.value, done)
    try:
        outcome = await read
    finally:
        ticket.cancel()
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


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
            self._search.failed(statuses)

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
    Status.SERVER_FAILED: (socket.EAI_AGAIN, "it says SERVFAIL"),
    Status.REFUSED: (socket.EAI_AGAIN, "it says REFUSED"),
    Status.FORMAT_ERROR: (socket.EAI_FAIL, "it says FORMERR"),
    Status.MALFORMED: (socket.EAI_AGAIN, "what it says makes no sense"),
    Status.SILENT: (socket.EAI_AGAIN, "it is silent"),
}
