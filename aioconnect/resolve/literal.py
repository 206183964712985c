"""``localhost`` and everything under it: loopback, without asking anybody.

RFC 6761, section 6.3: name resolution APIs should always return the loopback address for
``localhost.`` and for names falling within it, and should not send queries for them.  Neither
``/etc/hosts`` nor the host's addresses are looked at: a host without IPv6 fails its attempt at
``::1`` in the same microsecond, and the race goes on with ``127.0.0.1``.

IP literals never come here: :mod:`aioconnect.targets` knows them.
"""

from __future__ import annotations

import socket

from .base import Answer

__all__ = ["localhost"]

_LOOPBACK = {
    int(socket.AF_INET6): Answer(("::1",), source="literal"),
    int(socket.AF_INET): Answer(("127.0.0.1",), source="literal"),
}


def localhost(name: str, family: int) -> Answer | None:
    """Return the loopback address if ``name`` is ``localhost`` or ends in ``.localhost``.

    Args:
        name: a host name; case and a final dot do not matter.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.

    Returns:
        The answer, the same object each time; None if a resolver has to be asked.

    Source: RFC 6761, section 6.3.
    """
    if name != "localhost":
        # One look at the end first: nearly all names are others.
        if name[-1:] not in "tT.":
            return None
        bare = name.removesuffix(".").lower()
        if bare != "localhost" and not bare.endswith(".localhost"):
            return None
    return _LOOPBACK.get(family)
