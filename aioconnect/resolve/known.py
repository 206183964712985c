"""What is known of a name without asking anybody: no task, no thread, no turn of the loop.

``localhost`` and everything under it is loopback (RFC 6761, section 6.3: name resolution APIs
should always return the loopback address for ``localhost.`` and for names falling within it, and
should not send queries for them).  Neither ``/etc/hosts`` nor the host's addresses are looked at:
a host without IPv6 fails its attempt at ``::1`` in the same microsecond, and the race goes on
with ``127.0.0.1``.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from .base import Answer, peek_name

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["at_hand", "localhost"]

_AF_INET, _AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)


def at_hand(resolver: object, name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return the answers for a whole name if they are at hand.

    Args:
        resolver: its ``peek_name`` is used, if it has one.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each family, in the order of ``families``, at least one of them with
        addresses; None if a look-up has to tell (also where it is known that there is nothing:
        the look-up says why).
    """
    answers = localhost(name, families)
    return answers if answers is not None else peek_name(resolver, name, families)


def localhost(name: str, families: Sequence[int]) -> tuple[Answer, ...] | None:
    """Return the loopback addresses if ``name`` is ``localhost`` or ends in ``.localhost``.

    Args:
        name: a host name; case and a final dot do not matter.
        families: ``(AF_INET6, AF_INET)``, or one of them.

    Returns:
        An answer for each family; None if a resolver has to be asked.

    Source: RFC 6761, section 6.3.
    """
    if name != "localhost":
        # One look at the end first: nearly all names are others.
        if name[-1:] not in "tT.":
            return None
        bare = name.removesuffix(".").lower()
        if bare != "localhost" and not bare.endswith(".localhost"):
            return None
    if len(families) == 2:
        return _BOTH
    return (_LOOPBACK[families[0]],)


def _loopback(family: int, address: str) -> Answer:
    answer = Answer((address,), source="literal", family=family)
    answer.checked = True
    return answer


_BOTH = (_loopback(_AF_INET6, "::1"), _loopback(_AF_INET, "127.0.0.1"))
_LOOPBACK = {answer.family: answer for answer in _BOTH}
