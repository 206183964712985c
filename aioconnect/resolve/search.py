"""The search of a name in DNS: which full name comes next, and when it ends.  Decides, asks nobody.

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
from typing import TYPE_CHECKING

from .config import full_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .config import ResolvConf

__all__ = ["ANSWERED", "Search", "Status", "has_answer"]

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

    __slots__ = ("_as_is", "_left")

    def __init__(self, name: str, conf: ResolvConf) -> None:
        self._left = full_names(name, conf)
        self._as_is = name.removesuffix(".")

    def next(self) -> str | None:
        """Return the full name to ask for; None if there is none left."""
        return self._left.pop(0) if self._left else None

    def failed(self, full: str, statuses: Mapping[int, Status]) -> None:
        """Take in that a step found no address, and why, for each family that was asked for."""
        # The name as it stands is no part of the list: if it comes first the list follows.
        if full != self._as_is and not _goes_on(statuses):
            self._left = [name for name in self._left if name == self._as_is]


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
