"""The search of a name in DNS: what an answer says, which full name comes next, when it ends.

It decides, and asks nobody.

A step asks one full name for both families.  An address in either family ends the search for
both: what another search domain has for the other family is another host.

If a step has no address, the next follows where a server that knows says so: the name does not
exist, it has no such records, or (``SERVFAIL``) that zone is broken.  Silence, a refusal or an
answer that makes no sense say nothing, so no further domain of the list is tried; only the name
as it stands still is, because it is what was asked for.  Where the families differ one answer
counts as in glibc, which goes by that for IPv4; and of a family that is silent while the other
one was answered, it is taken that it has nothing.

Measured against glibc 2.36.  Source: resolv.conf(5), ``search`` and ``ndots``.
"""

from __future__ import annotations

import enum
import socket
from typing import TYPE_CHECKING, Any

from .answers import checked
from .config import full_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .answers import Answer
    from .config import ResolvConf

__all__ = ["ANSWERED", "Search", "Status", "has_answer", "read"]

_AF_INET = int(socket.AF_INET)


class Status(enum.Enum):
    """Why a step has no address of a family."""

    NO_NAME = enum.auto()
    NO_DATA = enum.auto()
    SERVER_FAILED = enum.auto()
    REFUSED = enum.auto()
    FORMAT_ERROR = enum.auto()
    MALFORMED = enum.auto()
    SILENT = enum.auto()


ANSWERED = frozenset((Status.NO_NAME, Status.NO_DATA))
"""An authority says that there is no address; all others are failures to reach one."""

_SENSELESS = frozenset((Status.FORMAT_ERROR, Status.MALFORMED))


class Search:
    """The full names of one name, one after the other.

    Args:
        name: a host name; a final dot says that it is complete.
        conf: what resolv.conf says.
    """

    __slots__ = ("_asked", "_left", "_of_list")

    def __init__(self, name: str, conf: ResolvConf) -> None:
        self._left = full_names(name, conf)
        self._asked: set[str] = set()
        self._of_list = False

    def next(self) -> str | None:
        """Return the full name to ask for; None if there is none left."""
        while self._left:
            full, self._of_list = self._left.pop(0)
            if self._of_list or full not in self._asked:
                self._asked.add(full)
                return full
        return None

    def failed(self, statuses: Mapping[int, Status]) -> None:
        """Take in that the step found no address, and why, for each family that was asked for."""
        # If the name as it stands comes first, the list follows whatever became of it.
        if self._of_list and not _goes_on(statuses):
            self._left = [each for each in self._left if not each[1]]


def has_answer(statuses: Mapping[int, Status]) -> bool:
    """Whether a server answered for one of the families, if only that it did not understand."""
    return not (ANSWERED | _SENSELESS).isdisjoint(statuses.values())


def _goes_on(statuses: Mapping[int, Status]) -> bool:
    found = set(statuses.values())
    first = statuses.get(_AF_INET, next(iter(found)))
    if found & _SENSELESS:
        return first is Status.NO_NAME
    if found & ANSWERED:
        return True
    return Status.SERVER_FAILED in found and first is not Status.REFUSED


_A, _CNAME, _AAAA = 1, 5, 28


def read(name: str, family: int, records: Iterable[Any]) -> Answer | Status:
    """Return what the records of an answer say: addresses of the name at the end of the aliases.

    A record of another owner is not taken.  A time to live with its highest bit set is 0
    (RFC 2181, section 8).
    """
    records = list(records)
    aliases = {record.name.lower(): record for record in records if record.type == _CNAME}
    owner = name.lower()
    canonical = None
    ttls = []
    while (alias := aliases.pop(owner, None)) is not None:  # each once: a loop ends
        canonical = alias.data.cname.removesuffix(".")
        owner = canonical.lower()
        ttls.append(alias.ttl)
    wanted = _A if family == _AF_INET else _AAAA
    found = [each for each in records if each.type == wanted and each.name.lower() == owner]
    if not found:
        return Status.NO_DATA
    ttls += [record.ttl for record in found]
    ttl = min([0 if each >= 2**31 else each for each in ttls])
    addresses = tuple(dict.fromkeys([record.data.addr for record in found]))
    return checked(addresses, family, float(ttl), canonical, "dns")
