"""What others say than the kernel: a name server, OpenSSL, a function of the caller's, our limits.

This, ``table_kernel`` and ``table_proxies`` are the one table.

Sources: getaddrinfo(3), RFC 8446 (TLS).
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from . import errors
from . import table_kernel as kernel
from .terms import Cause, Help

if TYPE_CHECKING:
    from .terms import Stage

_N, _S, _O, _L, _R = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE
_SO = _S | _O
_SR = _S | _R

# Our own limits -----------------------------------------------------------------------------------

_NO_ANSWER = "is the host up, and does a firewall drop the packets?"
ATTEMPT_TIMED_OUT = Cause("timed_out", errors.AttemptTimedOut, _SO, "no answer from", _NO_ANSWER, 2)
DEADLINE = Cause(
    "timed_out",
    errors.DeadlineExceeded,
    _N,
    "out of time with",
    "raise the timeout, or check the path",
    2,
)
DEADLINES = {
    "connect": DEADLINE.but(phrase="no answer in time from", hint=_NO_ANSWER),
    "wait": DEADLINE.but(phrase="no answer in time from", hint=_NO_ANSWER),
    "resolve": DEADLINE.but(
        phrase="the look-up did not end in time for",
        hint="is the name server reachable? or raise the timeout",
    ),
    "tls": DEADLINE.but(
        phrase="connected to {at}, but the TLS handshake did not finish in {seconds}",
        hint="does it speak TLS on that port?",
        alone="the TLS handshake did not finish in {seconds}",
    ),
}
"""Of a whole call, by the stage in which it came."""
TLS_TIMED_OUT = DEADLINES["tls"].but(type=errors.AttemptTimedOut, help=_SO)
LOOKUP_TIMED_OUT = DEADLINES["resolve"]
CIRCUIT = Cause(
    "circuit_open",
    errors.CircuitOpen,
    _S,
    "the breaker stays open for {after}, for",
    "it failed repeatedly",
)
INVALID_TARGET = Cause(
    "invalid_target",
    errors.InvalidTarget,
    _N,
    "not a target",
    "write host:port, [IPv6 address]:port, unix:/path or unix:@name",
    6,
)

# Names --------------------------------------------------------------------------------------------

NAME_ERROR = Cause(
    "no_recovery",
    errors.NameNotResolved,
    _SR,
    "the name server failed for",
    "does the name server work?",
)
_NO_NAME = Cause(
    "host_not_found",
    errors.NameNotResolved,
    _N,
    "no such name",
    "is the name spelled right, and known to this host's resolver?",
)
_NO_DATA = _NO_NAME.but(
    code="no_data",
    help=_O,
    phrase="no address of that family for",
    hint="does the name have an address of the family that was asked for?",
)
_BAD_LOOKUP = _NO_NAME.but(code="invalid_argument", phrase="no look-up possible for")

EAI_TABLE: dict[str, Cause] = {
    "EAI_NONAME": _NO_NAME,
    "EAI_AGAIN": NAME_ERROR.but(
        code="try_again",
        phrase="no answer from the name server for",
        hint="is the name server reachable?",
    ),
    "EAI_NODATA": _NO_DATA,
    "EAI_ADDRFAMILY": _NO_DATA,
    "EAI_FAIL": NAME_ERROR,
    "EAI_FAMILY": _BAD_LOOKUP.but(code="address_family_not_supported"),
    "EAI_SERVICE": _BAD_LOOKUP.but(
        code="service_not_found",
        phrase="no such service",
        hint="is it in /etc/services?",
    ),
    "EAI_SOCKTYPE": _BAD_LOOKUP.but(code="socket_type_not_supported"),
    "EAI_BADFLAGS": _BAD_LOOKUP,
    "EAI_BADHINTS": _BAD_LOOKUP,
    "EAI_PROTOCOL": _BAD_LOOKUP.but(code="protocol_not_supported"),
    "EAI_MEMORY": NAME_ERROR.but(
        code="no_buffer_space_available",
        help=_L,
        phrase="no look-up could be made for",
        hint="is the machine out of memory, or do many look-ups hang?",
    ),
    "EAI_OVERFLOW": _BAD_LOOKUP.but(hint="is the name too long?"),
    "EAI_SYSTEM": NAME_ERROR.but(hint="is the resolver configured?"),
}
BY_EAI: dict[int, Cause] = {
    getattr(socket, name): row for name, row in EAI_TABLE.items() if hasattr(socket, name)
}
UNKNOWN_EAI = NAME_ERROR.but(help=_S)

# The TLS handshake --------------------------------------------------------------------------------

_SPEAKS_TLS = "does the server speak TLS on that port?"
TLS = Cause(
    "tls_handshake",
    errors.TLSError,
    _N,
    "TLS handshake failed with",
    "does the server speak TLS on that port, in a version and with ciphers both sides have?",
    -1,  # what came furthest says most
    speaks=True,
)
TLS_EOF = TLS.but(help=_SO, hint="the server closed during the handshake")
CERTIFICATE = Cause(
    "tls_certificate",
    errors.CertificateError,
    _N,
    "certificate not accepted: {words}, from",
    "is the host name right, the certificate valid, its authority trusted?",
    -2,
    speaks=True,
)
OF_TLS = {
    errno.ECONNRESET: kernel.RESET.but(phrase="reset in the TLS handshake by", hint=_SPEAKS_TLS),
    errno.EPIPE: kernel.RESET.but(
        type=errors.PeerClosed, phrase="closed in the TLS handshake by", hint=_SPEAKS_TLS
    ),
}

# A proxy ------------------------------------------------------------------------------------------

PROXY = Cause(
    "proxy_error",
    errors.ProxyError,
    _SO,
    "{words}, says the proxy",
    "does the name exist, and is the server listening on that port?",
    speaks=True,
)

# What a function of the caller's says -------------------------------------------------------------

FORBIDDEN = kernel.ACCESS.but(
    type=errors.PolicyDenied,
    phrase="forbidden to dial",
    hint="the program's own policy says so",
    alone="forbidden to dial it",
)
HOOK_DENIED = kernel.ACCESS.but(hint="the socket factory says so")
_RAISED = kernel.OTHER.but(hint="what it raised is kept as the error's cause")
HOOK_FAILED = {
    "policy": _RAISED.but(phrase="the address policy failed for"),
    "socket": _RAISED.but(phrase="the socket factory failed for"),
    "resolve": _RAISED.but(phrase="the resolver failed for"),
    "wait": _RAISED.but(phrase="the retry policy failed for"),
    "handshake": _RAISED.but(phrase="the handshake failed with"),
}
_HOOK_TYPES = {
    errno.ENOENT: errors._NoFile,
    errno.ENOTDIR: errors._NoDirectory,
    errno.EAGAIN: errors._WouldBlock,
    errno.EALREADY: errors._WouldBlock,
    errno.EINPROGRESS: errors._WouldBlock,
}
"""The built-in of a number that is about the path of a Unix socket where the kernel says it."""


_OF_OTHER_THINGS = frozenset(
    {
        errors.AccessDenied,
        errors.BacklogFull,
        errors.ConnectError,
        errors.InvalidAddress,
        errors.NotADirectory,
        errors.NotConnected,
        errors.PathNotFound,
        errors.PathUnusable,
        errors.SocketBusy,
        errors.SocketUnusable,
        errors.WrongSocketType,
    }
)
"""What the kernel says of a path, an address or a socket, and a function of something else."""


def of_hook(number: int, stage: Stage) -> Cause:
    """Find the row for what a function of the caller's raised."""
    row = kernel.BY_NUMBER.get(number, kernel.OTHER)
    failed = HOOK_FAILED.get(stage, kernel.OTHER)
    if number in kernel.DENIED:
        if stage == "policy":
            return FORBIDDEN
        if stage == "socket":
            return HOOK_DENIED
        return row.but(phrase=failed.phrase, hint=failed.hint)
    if stage == "socket":
        if number in kernel.UNKNOWN_OPTION:
            return kernel.BAD_OPTION
        if number in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
            return kernel.of_source(number, 0)
    if row.type in _OF_OTHER_THINGS:
        return failed.but(type=_HOOK_TYPES.get(number, errors.ConnectError))
    # Refused, unreachable, no descriptor left: the same, whoever says it.
    known = stage == "socket" and row.code != kernel.OTHER.code
    return row if known else row.but(phrase=failed.phrase, hint=failed.hint)


# All of it ----------------------------------------------------------------------------------------


def codes() -> set[str]:
    """Return every code that an error can have."""
    return {row.code for row in _rows()}


def _rows() -> list[Cause]:
    """Return a row for each code and class, those of the kernel first."""
    return [
        *(kernel.OTHER, *kernel.TABLE.values(), kernel.NO_SOURCE),
        *(kernel.BAD_OPTION, ATTEMPT_TIMED_OUT, DEADLINE, CIRCUIT),
        *(INVALID_TARGET, *EAI_TABLE.values(), NAME_ERROR),
        *(TLS, CERTIFICATE, PROXY),
    ]


def row_of(cls: type[errors.ConnectError], number: int | None) -> Cause:
    """Find the row for an error that somebody made of a class and a number."""
    if issubclass(cls, socket.gaierror) and number in BY_EAI:
        return BY_EAI[number]
    numbered = kernel.BY_NUMBER.get(number or 0, kernel.OTHER)
    if cls is errors.ConnectError or numbered.type is cls:
        return numbered
    for base in cls.__mro__:
        for row in _rows():
            if row.type is base:
                return row
    return kernel.OTHER
