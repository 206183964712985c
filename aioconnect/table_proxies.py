"""What a proxy says of a target, or of itself, and how a handshake over a connection ends early.

A part of the one table, beside ``table_kernel`` and ``table_others``.

Sources: RFC 1928, section 6 (replies of SOCKS 5); RFC 9110, section 15 (statuses of HTTP).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from . import errors
from . import table_kernel as kernel
from . import table_others as others
from .terms import Help

if TYPE_CHECKING:
    from .terms import Cause

_TABLE = kernel.TABLE


def _said(row: Cause, hint: str, **changes: Any) -> Cause:
    """Return a row of the kernel's as a proxy says it."""
    return row.but(phrase=others.PROXY.phrase, hint=hint, alone="", speaks=True, **changes)


BY_PROXY: dict[str, tuple[Cause, int | None]] = {
    # What it found out about the target, with the number that the kernel has for it.
    "refused": (
        _said(_TABLE["ECONNREFUSED"], "is the server listening on that port?"),
        errno.ECONNREFUSED,
    ),
    "timed_out": (
        _said(_TABLE["ETIMEDOUT"], "is the target up, and can the proxy reach it?"),
        errno.ETIMEDOUT,
    ),
    "host": (
        _said(_TABLE["EHOSTUNREACH"], "can the proxy reach that host?"),
        errno.EHOSTUNREACH,
    ),
    "network": (
        _said(_TABLE["ENETUNREACH"], "can the proxy reach that network?"),
        errno.ENETUNREACH,
    ),
    "failed": (others.PROXY, None),
    # What it does not want.
    "credentials": (
        _said(_TABLE["EACCES"], "are the proxy's user name and password right?", help=Help.NOTHING),
        errno.EACCES,
    ),
    "forbidden": (_said(_TABLE["EACCES"], "do the proxy's rules allow it?"), errno.EACCES),
    "rejected": (
        others.PROXY.but(
            help=Help.OTHER,
            hint="is it a proxy, and do its rules allow that host and that port?",
        ),
        None,
    ),
    # What is no answer of its protocol.
    "protocol": (
        others.PROXY.but(
            help=Help.NOTHING,
            phrase="{words}, from the proxy",
            hint="does a proxy of that kind listen on that port?",
        ),
        None,
    ),
}
"""The row and the number by the word that a handshake has for it."""

_SPEAKS = "does it speak that protocol on that port?"
CLOSED_EARLY = _TABLE["EPIPE"].but(phrase="closed in the handshake by", hint=_SPEAKS)
OF_HANDSHAKE = {
    errno.ECONNRESET: _TABLE["ECONNRESET"].but(phrase="reset in the handshake by", hint=_SPEAKS),
    errno.EPIPE: CLOSED_EARLY,
}
"""What the kernel says of a connection over which a handshake runs, whoever runs it."""

CALL_LATE = {
    "proxy": others.DEADLINE.but(
        phrase="connected to the proxy {at}, but there was no tunnel in {seconds}",
        hint="does the target answer, and is it a proxy of that kind?",
    ),
    "handshake": others.DEADLINE.but(
        phrase="connected to {at}, but the handshake did not finish in {seconds}", hint=_SPEAKS
    ),
}
"""The deadline of a whole call, by the stage in which it came."""
ATTEMPT_LATE = {
    stage: row.but(type=errors.AttemptTimedOut, help=Help.SAME | Help.OTHER)
    for stage, row in CALL_LATE.items()
}
"""The time limit of one attempt."""
