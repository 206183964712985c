"""Names by DNS itself, with their time to live, without threads: c-ares on the loop.

Extra ``aiodns``.  Each family is asked for by itself: c-ares' own "both at once" waits for the
slower one and gives up on it early.  The hosts file, search domains and options of resolv.conf
hold, because c-ares reads them; what only the system knows is left to the system: ``.local``
(RFC 6762: never by unicast DNS unless this host says so), and names of one label that DNS does
not know, if nsswitch.conf names further sources.

How many queries are on their way, and how c-ares' hidden cache is kept from serving what is
stale, is in :mod:`.queries`; how c-ares is driven, in :mod:`.cares`.

Sources: RFC 1035; RFC 6762, section 22.1; nsswitch.conf(5); resolv.conf(5).
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import weakref
from time import monotonic
from typing import TYPE_CHECKING

from . import cares, default
from .base import EAI_NODATA, Answer, check_name, failure, forget, not_resolved
from .fork import renew_in_child
from .queries import MAX_AGE, Queries

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Sequence

    from ..errors import ConnectError
    from .base import Resolver

__all__ = ["AiodnsResolver"]


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
        self._loops: weakref.WeakKeyDictionary[AbstractEventLoop, Queries] = (
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
                raise _error(outcome.status, name, family)
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

    def _queries(self) -> Queries:
        loop = asyncio.get_running_loop()
        queries = self._loops.get(loop)
        if queries is None or queries.closed:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]  # closed with look-ups on their way, which hold it
            queries = self._loops[loop] = Queries(loop, self._options, self._forgotten)
        return queries


def _error(status: int, name: str, family: int) -> ConnectError:
    number = _NUMBERS.get(status, socket.EAI_AGAIN)
    return not_resolved(number, cares.errors.strerror(status), name, family)


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
