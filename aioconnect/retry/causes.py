"""What an error says about a retry: whether it can help, and whom the failure cost something."""

from __future__ import annotations

from ..errors import (
    AccessDenied,
    AddressFamilyNotSupported,
    AddressNotAvailable,
    ConnectError,
    Help,
    InvalidAddress,
    NetworkUnreachable,
    NotADirectory,
    PathNotFound,
    PathUnusable,
    SocketBusy,
    SocketUnusable,
    WrongSocketType,
)

_OUTSIDE = ("resolve", "connect", "verify", "tls")
"""The stages in which something may leave this host."""

_INSIDE = (
    AccessDenied,
    AddressFamilyNotSupported,
    AddressNotAvailable,
    InvalidAddress,
    NetworkUnreachable,
    NotADirectory,
    PathNotFound,
    PathUnusable,
    SocketBusy,
    SocketUnusable,
    WrongSocketType,
)
"""The causes that this host's kernel finds without asking anybody."""


def hopeless(error: ConnectError) -> bool:
    """Whether another round cannot help after a round that failed with ``error``.

    A round is all addresses once: where only another address could have helped, none is left.
    """
    return not error.help & ~Help.OTHER


def left_host(error: ConnectError) -> bool:
    """Whether the failure came from outside: a peer or a name server was asked.

    A failure that never left this host (no descriptor, no port, no route, no such path) is no
    load on anybody and says nothing about the peer.  It takes no token of a :class:`Budget`, and
    is no failure to a :class:`Breaker`.

    Args:
        error: of one attempt, or of a whole round or call: then one of its attempts is enough.
    """
    if error.attempts:
        return any(left_host(attempt.error) for attempt in error.attempts)
    return (
        error.stage in _OUTSIDE and not error.help & Help.LOCAL and not isinstance(error, _INSIDE)
    )
