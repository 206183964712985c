"""The system's resolver: what every other program on this host uses.  The default.

A name is asked for whole: one ``getaddrinfo`` with ``AF_UNSPEC``.  So the addresses are those
that this host is configured for, of one source and one search domain, and libc has sorted them by
what only it can see (rules 3, 4 and 7 of RFC 6724).  It says no time to live, and an answer
cannot be hurried.

**A slow AAAA.**  ``AF_UNSPEC`` waits for both families, so a name server that drops AAAA queries
costs ten seconds.  When it has not answered after ``HEDGE_DELAY``, IPv4 alone is asked for beside
it, where that can't find another host: the hosts file lacks the name, DNS is the only other
source, and DNS is asked for the name as it stands first.  The question has a final dot, so no
search domain is tried.  What it finds may be dialled; if it finds nothing, that says nothing.

**The hosts file** is read here as well (see :mod:`.known`): a name that it has costs no thread.

Source: getaddrinfo(3).
"""

from __future__ import annotations

import asyncio
import codecs
import socket
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import config
from .answers import EAI_NODATA, FAMILIES, Answer, check_name, checked
from .background import ALARMS
from .base import only_answer
from .known import HOSTS_FILE, peek_hosts
from .per_loop import mailbox_of, settle
from .threads import SHARED, THREADS, Lookups, check_descriptors

if TYPE_CHECKING:
    from asyncio import Future, TimerHandle
    from collections.abc import Callable, Iterable, Sequence

    from ..errors import ConnectError
    from .base import Put
    from .threads import Ticket

    Outcome = tuple[Answer, ...] | BaseException
    Tell = Callable[[Iterable[Answer | BaseException | None]], None]

__all__ = ["SystemResolver", "default", "getaddrinfo"]

codecs.lookup("idna")  # or getaddrinfo would import it later, when perhaps no descriptor is left

HEDGE_DELAY = 0.05
"""Seconds, the resolution delay of RFC 8305, after which IPv4 is asked for alone."""

_AF_INET = int(socket.AF_INET)


HEDGES = Lookups(max(2, THREADS // 4))
"""Threads of their own: what hangs in these takes none from whole names, nor they from these."""


class SystemResolver:
    """Looks names up by ``getaddrinfo``, in daemon threads.

    Args:
        flags: ``socket.AI_*``, as for getaddrinfo; ``AI_CANONNAME`` is always set.
        lookups: the threads; by default those that the whole process shares.

    It may be shared by loops in several threads, and needs no closing.

    Source: getaddrinfo(3).
    """

    def __init__(self, *, flags: int = 0, lookups: Lookups = SHARED) -> None:
        self.flags = flags
        self._lookups = lookups

    def __repr__(self) -> str:
        return f"SystemResolver(flags={self.flags})"

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`.

        When cancelled, a look-up that has not begun is dropped; one that runs in libc ends by
        itself, in its daemon thread.
        """
        return await only_answer(self.lookup_name(name, (family,)))

    def lookup_name(self, name: str, families: Sequence[int], /) -> _Arrivals:
        """Search for a name; see :func:`.base.lookup_name`."""
        return _Arrivals(partial(_Search, self._lookups, self.flags, name, families))

    def submit_name(self, name: str, families: Sequence[int], put: Put, /) -> _Search:
        """Search without a loop; see :func:`.threads.submit_name`."""

        def tell(items: Iterable[Answer | BaseException | None]) -> None:
            for item in items:
                put(item)

        search = _Search(self._lookups, self.flags, name, families, tell)
        if search.may_be_hedged:
            ALARMS.set(monotonic() + HEDGE_DELAY, search.hedge)
        return search

    def peek_name(self, name: str, families: Sequence[int], /) -> tuple[Answer, ...] | None:
        """Return what the hosts file has, if libc would ask it first; see :mod:`.known`."""
        return None if self.flags else peek_hosts(name, families)

    def lacking(self, name: str, /) -> ConnectError | None:
        """Return what this host lacks if the name waits for a thread."""
        return self._lookups.lacking(name)


def default() -> SystemResolver:
    """Return the process-wide default resolver."""
    return _DEFAULT


_DEFAULT = SystemResolver()


class _Search:
    """One search in the threads; hands out what comes, from any thread.

    Args:
        lookups: the threads.
        flags: ``socket.AI_*``.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.
        tell: called from any thread with one or more of what ``put`` is called with, see
            :func:`.threads.submit_name`.
    """

    def __init__(
        self, lookups: Lookups, flags: int, name: str, families: Sequence[int], tell: Tell
    ) -> None:
        self._name = name
        self._tell: Tell | None = tell  # None: ended or cancelled
        self._telling = threading.Lock()  # not held by ``cancel``, which ``tell`` may wait for
        self._found4 = False
        self._hedge: Ticket | None = None
        family = families[0] if len(families) == 1 else 0
        self.may_be_hedged = not family and not flags
        ask = partial(_ask, name, family, flags)
        self._ticket = lookups.call((name, family, flags), name, family, ask, self._answered)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""
        return self._tell is None

    def cancel(self) -> None:
        """Wait no longer."""
        self._tell = None
        self._ticket.cancel()
        self._leave_hedge()

    def hedge(self) -> None:
        """Ask for IPv4 alone as well, if there is no answer yet and that is safe."""
        if self._tell is None or not _is_safe_alone(self._name):
            return
        name = self._name.removesuffix(".") + "."
        ask = partial(getaddrinfo, name, _AF_INET)
        self._hedge = HEDGES.call(name, name, _AF_INET, ask, self._hedged)
        self._leave_hedge(unless=self._tell)  # it may have ended just then

    def _hedged(self, outcome: Outcome) -> None:
        if isinstance(outcome, BaseException):
            return
        with self._telling:
            tell = self._tell
            if tell is not None:
                self._found4 = True
                tell(outcome)

    def _answered(self, outcome: Outcome) -> None:
        with self._telling:
            tell, self._tell = self._tell, None
            if tell is None:
                return
            if isinstance(outcome, BaseException):
                tell((None if self._found4 else outcome,))
            elif not self._found4:
                tell((*outcome, None))
            else:  # the places of the others are not libc's any more
                others = [answer for answer in outcome if answer.family != _AF_INET]
                tell((*[checked(a.addresses, a.family, duration=a.duration) for a in others], None))
        self._leave_hedge()

    def _leave_hedge(self, *, unless: Tell | None = None) -> None:
        if self._hedge is not None and unless is None:
            self._hedge.cancel()


def _ask(name: str, family: int, flags: int) -> tuple[Answer, ...]:
    if HOSTS_FILE.wanted:  # it is large, and not read on the thread of a loop
        with suppress(OSError):
            HOSTS_FILE.value()
    return getaddrinfo(name, family, flags)


def _is_safe_alone(name: str) -> bool:
    """Whether IPv4 asked for by itself, with a final dot, can only find the same host."""
    bare = name.removesuffix(".")
    try:
        asked = {step.asks for step in config.steps(name)}
        file = HOSTS_FILE.at_hand()
        return (
            asked - {config.HOSTS} == {config.DNS}
            and (bare != name or name.count(".") >= config.resolv_conf().ndots)
            and file is not None
            and file.answers(bare, FAMILIES) is None
            and file.answers(bare + ".", FAMILIES) is None
        )
    except OSError:
        return False


def getaddrinfo(name: str, family: int, flags: int = 0) -> tuple[Answer, ...]:
    """Ask libc, in this thread.

    Args:
        name: a host name in ASCII.
        family: ``socket.AF_INET``, ``AF_INET6`` or ``AF_UNSPEC`` (0).
        flags: ``socket.AI_*``.

    Returns:
        An answer for each family asked for, at least one with addresses.  Of ``AF_UNSPEC`` they
        have their places in libc's order.

    Raises:
        OSError: no address: ``socket.gaierror``; or there was no descriptor to ask with.
    """
    started = monotonic()
    check_name(name)
    # For IPv4 alone without AI_CANONNAME glibc takes an old path of its own, on which a silent or
    # failing name server becomes "no such name" as soon as there is a search domain.
    flags |= socket.AI_CANONNAME
    try:
        infos = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM, 0, flags)
    except UnicodeError as exc:  # the idna codec: a label is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, str(exc)) from None
    except socket.gaierror:
        check_descriptors()
        raise
    # Each once, and where it stands.  A library that replaces socket.getaddrinfo may answer with
    # both families although it was asked for one.
    found: dict[int, dict[str, int]] = {each: {} for each in ((family,) if family else FAMILIES)}
    for place, info in enumerate(infos):
        of_family = found.get(info[0])
        if of_family is not None:
            of_family.setdefault(_text(info[4]), place)
    if not any(found.values()):
        raise socket.gaierror(EAI_NODATA, "No address associated with hostname")
    canonical = infos[0][3]
    if canonical.lower() == name.lower().removesuffix("."):
        canonical = ""
    duration = monotonic() - started
    return tuple(
        [
            checked(
                tuple(places),
                each,
                None,
                canonical or None,
                "system",
                duration,
                None if family else tuple(places.values()),
            )
            for each, places in found.items()
        ]
    )


def _text(address: tuple[Any, ...]) -> str:
    # The scope as a number: what a socket address takes, without asking for the interface's name.
    text = str(address[0])
    return f"{text}%{address[3]}" if len(address) > 3 and address[3] and "%" not in text else text


class _Arrivals:
    """A search, for the loop that asks: an asynchronous iterator of its answers."""

    __slots__ = ("_begin", "_items", "_loop", "_search", "_timer", "_waiter")

    checked = True
    """Nobody needs to look at its answers again."""

    def __init__(self, begin: Callable[[Tell], _Search]) -> None:
        self._begin = begin
        self._items: deque[Answer | BaseException | None] = deque()
        self._search: _Search | None = None
        self._timer: TimerHandle | None = None
        self._waiter: Future[None] | None = None

    def __aiter__(self) -> _Arrivals:
        return self

    async def __anext__(self) -> Answer:
        if self._search is None:
            self._loop = asyncio.get_running_loop()
            put = mailbox_of(self._loop).put
            self._search = search = self._begin(partial(put, self._arrived))
            if search.may_be_hedged:
                self._timer = self._loop.call_later(HEDGE_DELAY, search.hedge)
        while not self._items:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except BaseException:
                self._leave()
                raise
        item = self._items.popleft()
        if isinstance(item, Answer):
            return item
        self._leave()
        if item is None:
            raise StopAsyncIteration
        try:
            raise item
        finally:
            del item  # or it would refer to itself, through the frame of its traceback

    async def aclose(self) -> None:
        """Leave the search."""
        self._leave()

    def _arrived(self, items: Iterable[Answer | BaseException | None]) -> None:
        self._items.extend(items)
        if self._waiter is not None:
            settle(self._waiter, None)

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._search is not None and not self._search.has_ended:
            self._search.cancel()
