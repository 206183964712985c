"""Which cause a failure has, and the error that is built for it.

An errno alone says too little: an ``SSLError`` with errno 1 is not EPERM, a ``gaierror``'s number
is no errno at all, our own time limit has none, and EADDRNOTAVAIL, EADDRINUSE and EINVAL have
several causes each.  So the type is looked at before the number, and the number together with
the stage, the address family and whether a local address was bound.

Errors are built here and never raised.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from . import table
from .errors import KEPT_ATTEMPTS, OTHER, CertificateError, ConnectError, Help, rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .errors import AttemptFailed, Cause
    from .terms import Stage

_DEPENDS = {
    errno.EACCES,
    errno.EPERM,
    errno.EADDRNOTAVAIL,
    errno.EADDRINUSE,
    errno.EINVAL,
    errno.EAGAIN,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
}
"""What has several causes, also on IP sockets."""

PLAIN = frozenset(
    number
    for number, cause in table.BY_NUMBER.items()
    if number not in _DEPENDS and not cause.help & Help.LOCAL
)
"""What has one cause for an address, whatever the stage, and that is not of this host: its error
can be built later from the number."""

_AF_INET6, _AF_UNIX = int(socket.AF_INET6), int(socket.AF_UNIX)


def classify(number: int | None, stage: Stage, family: int, bound: bool, address: Any) -> Cause:
    """Find the row of the table: the number, read with stage, family and what was bound."""
    if number is None:
        return OTHER
    if family == _AF_UNIX:
        if number == errno.ECONNREFUSED:
            return table.REFUSED_PATH
        if number in (errno.EACCES, errno.EPERM):
            return table.ACCESS_PATH
    elif number not in _DEPENDS:
        return table.BY_NUMBER.get(number, OTHER)
    elif number == errno.EADDRNOTAVAIL:
        # ip(7): bind() says it of a foreign address; connect() for want of a port (IPv4), or
        # of any source address at all (IPv6 on a host that has none).
        if stage == "bind":
            return table.NOT_OURS
        if family == _AF_INET6 and not bound:
            return table.NO_SOURCE
    elif number == errno.EADDRINUSE:
        # bind(addr, 0) finds no free port: the same lack as connect()'s EADDRNOTAVAIL.
        if stage != "bind":
            return table.PORTS
    elif number == errno.EINVAL:
        if family == _AF_INET6 and _lacks_scope(address):
            return table.NO_SCOPE
    elif number == errno.EAGAIN:
        return table.NO_PORT  # FreeBSD and macOS
    if stage in ("policy", "socket", "bind") and number in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
        return table.BAD_OPTION
    if stage == "policy" and number in (errno.EACCES, errno.EPERM):
        return table.FORBIDDEN
    return table.BY_NUMBER.get(number, OTHER)


def _lacks_scope(address: Any) -> bool:
    return (
        isinstance(address, tuple)
        and len(address) >= 2
        and str(address[0]).lower().startswith(("fe8", "fe9", "fea", "feb", "ff02"))
        and (len(address) < 4 or not address[3])
    )


def _make(
    cause: Cause,
    number: int | None,
    strerror: str,
    stage: Stage,
    address: Any = None,
    family: int = 0,
    elapsed: float = 0.0,
    target: str = "",
) -> ConnectError:
    error: ConnectError = (
        cause.type(number, strerror) if number is not None else cause.type(strerror)
    )
    error.__dict__ = fields = {
        "_cause": cause,
        "address": address,
        "family": family,
        "stage": stage,
        "elapsed": elapsed,
        "attempts": (),  # a dictionary of this size has room for what `combine` adds to its copy
        "count": 0,
    }
    if target:
        fields["target"] = target
    return error


def from_errno(
    number: int,
    *,
    stage: Stage,
    target: str = "",
    address: Any = None,
    family: int = 0,
    bound: bool = False,
    elapsed: float = 0.0,
) -> ConnectError:
    """Build (not raise) the error for a number that the kernel gave at ``stage``."""
    cause = classify(number, stage, family, bound, address)
    return _make(cause, number, _strerror(number), stage, address, family, elapsed, target)


def from_exception(
    exc: OSError,
    *,
    stage: Stage,
    target: str = "",
    address: Any = None,
    family: int = 0,
    bound: bool = False,
    elapsed: float = 0.0,
) -> ConnectError:
    """Build the error for an ``OSError``, by its type first and by its number second.

    Of a :class:`ConnectError`, which was classified already, it is a copy: its owner may use it
    again.  The original is not kept as ``__cause__``: it would bring its traceback and the frames
    of the call along; what it said is in ``strerror``.
    """
    if isinstance(exc, ConnectError) and exc._cause is not None:
        error = type(exc)(*exc.args)
        error.__dict__ = fields = exc.__dict__.copy()
        error.__cause__ = exc.__cause__
        if elapsed:
            fields["elapsed"] = elapsed
        if target:
            fields["target"] = target
        return error
    cause, number = _classify_exception(exc, stage, family, bound, address)
    text = exc.strerror or (str(exc.args[0]) if exc.args else "") or type(exc).__name__
    text = text if isinstance(text, str) else str(text)
    error = _make(cause, number, text, stage, address, family, elapsed, target)
    if isinstance(error, CertificateError):
        error.verify_code = getattr(exc, "verify_code", 0)
        error.verify_message = getattr(exc, "verify_message", "")
    return error


def _classify_exception(
    exc: OSError, stage: Stage, family: int, bound: bool, address: Any
) -> tuple[Cause, int | None]:
    number = exc.errno
    if isinstance(exc, ssl.SSLError):
        if isinstance(exc, ssl.SSLCertVerificationError):
            return table.CERTIFICATE, number
        eof = isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return (table.TLS_EOF if eof else table.TLS), number
    if isinstance(exc, socket.gaierror):
        return table.BY_EAI.get(number if number is not None else 0, table.NAME_ERROR), number
    if number is None:
        if isinstance(exc, TimeoutError):
            late = stage in ("tls", "resolve")
            return (table.DEADLINE if late else table.ATTEMPT_TIMED_OUT), None
        for builtin, name in _BUILTINS:
            if isinstance(exc, builtin):
                number = int(getattr(errno, name))
                break
        else:
            return OTHER, None
    windows = table.WINERROR.get(getattr(exc, "winerror", None) or 0)
    if windows is not None:
        return table.TABLE[windows], number
    return classify(number, stage, family, bound, address), number


_BUILTINS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "ECONNREFUSED"),
    (ConnectionResetError, "ECONNRESET"),
    (ConnectionAbortedError, "ECONNABORTED"),
    (BrokenPipeError, "EPIPE"),
    (PermissionError, "EACCES"),
    (FileNotFoundError, "ENOENT"),
    (NotADirectoryError, "ENOTDIR"),
)


def timed_out(
    *,
    whole: bool,
    stage: Stage,
    target: str = "",
    address: Any = None,
    family: int = 0,
    elapsed: float = 0.0,
) -> ConnectError:
    """Build the error for a limit of ours: the whole call's deadline, or one attempt's."""
    cause = table.ATTEMPT_TIMED_OUT
    if whole:
        cause = table.WAIT_TIMED_OUT if stage in ("connect", "wait") else table.DEADLINE
    return _make(cause, None, "timed out", stage, address, family, elapsed, target)


def connected_to_itself(*, address: Any, family: int, elapsed: float = 0.0) -> ConnectError:
    """Build the error for a TCP socket that met itself (simultaneous open, RFC 9293 3.5)."""
    number = errno.ECONNREFUSED
    return _make(table.SELF, number, _strerror(number), "verify", address, family, elapsed)


def not_a_target(said: str) -> ConnectError:
    """Build the error for one of many targets that could not be parsed: ``said`` is why."""
    cause = table.INVALID.but(help=Help.NOTHING, phrase="not a target", hint=said)
    return _make(cause, errno.EINVAL, "Invalid target", "resolve")


def lost(target: str, stopped: str, retry_after: float | None) -> ConnectError:
    """Build the error for a supervised connection that was lost and is not dialled again."""
    error = _make(table.RESET, errno.ECONNRESET, "Connection lost", "connect", target=target)
    error.stopped, error.retry_after = stopped, retry_after
    return error


def circuit_open(target: str, retry_after: float) -> ConnectError:
    """Build the error for a breaker that lets nothing through for ``retry_after`` seconds."""
    error = _make(table.CIRCUIT, None, "circuit open", "breaker", target=target)
    error.stopped = "open"
    error.retry_after = retry_after
    return error


def combine(
    attempts: Sequence[AttemptFailed],
    target: str,
    elapsed: float,
    count: int | None = None,
    stopped: str | None = None,
    retry_after: float | None = None,
) -> ConnectError:
    """Build the error of a call from its failed attempts (at least one).

    Class, errno, code and hint come from the dominant attempt; what can help is all that can
    help any of them.
    """
    dominant = attempts[-1].error
    if len(attempts) > 1:
        # The newest of those that rank first: it is what a person would see now.
        dominant = min((a.error for a in reversed(attempts)), key=rank)
    error = type(dominant)(*dominant.args)
    error.__dict__ = fields = dominant.__dict__.copy()
    fields["target"] = target
    fields["attempts"] = tuple(attempts[-KEPT_ATTEMPTS:])
    fields["count"] = len(attempts) if count is None else count
    fields["elapsed"] = elapsed
    if stopped is not None:
        fields["stopped"], fields["retry_after"] = stopped, retry_after
    if len(attempts) > 1:
        for attempt in attempts:
            error.help |= attempt.error.help
        error.__cause__ = error.group()
    return error


def is_local(error: ConnectError) -> bool:
    """Tell whether nothing can help but that something of this host becomes free."""
    return error._cause is not None and error._cause.help is Help.LOCAL


_strerror_cache: dict[int, str] = {}


def _strerror(number: int) -> str:
    text = _strerror_cache.get(number)
    if text is None:
        text = _strerror_cache[number] = os.strerror(number)
    return text
