"""Which cause a failure has, and the error that is built for it.

An errno alone says too little: an ``SSLError`` with errno 1 is not EPERM, a ``gaierror``'s number
is no errno at all, our own time limit has none, and EADDRNOTAVAIL, EADDRINUSE and EINVAL have
several causes each.  So the type is looked at before the number, and the number together with who
said it, the stage, the address family and whether a local address was bound.

Errors are built here and never raised.
"""

from __future__ import annotations

import errno
import re
import socket
from typing import TYPE_CHECKING, Any

from . import ssl_errors as ssl
from . import table_kernel as kernel
from . import table_others as others
from . import table_proxies as proxies
from .errors import ConnectError, Help, TLSError
from .failure import KEPT_ATTEMPTS, know, rank, raw_args
from .text import format_address, format_host, format_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .failure import AttemptFailed
    from .terms import Cause, SaidBy, Stage

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
    for number, cause in kernel.BY_NUMBER.items()
    if number not in _DEPENDS and not cause.help & Help.LOCAL
)
"""What has one cause where ``connect`` says it of an address, and that is not of this host: its
error can be built later from the number."""

_AF_INET6, _AF_UNIX = int(socket.AF_INET6), int(socket.AF_UNIX)

# Which row ----------------------------------------------------------------------------------------


def classify(
    number: int | None,
    stage: Stage,
    family: int,
    bound: bool,
    address: Any,
    said_by: SaidBy = "kernel",
) -> Cause:
    """Find the row of the table for a number.

    Args:
        number: the errno, None if there is none.
        stage: how far the attempt came.
        family: of the address.
        bound: whether the socket has a local address, or the host has one for this address.
        address: what was dialled.
        said_by: whose number it is.
    """
    if number is None:
        return kernel.OTHER
    if stage != "connect" or said_by != "kernel":
        if stage in proxies.CALL_LATE and number in proxies.OF_HANDSHAKE:
            return proxies.OF_HANDSHAKE[number]
        if said_by == "hook" or stage == "policy":
            return others.of_hook(number, stage)
        if said_by == "option":
            return kernel.OF_OPTION.get(number, kernel.BAD_OPTION)
        if stage == "bind":
            return kernel.of_source(number, family)
        if stage == "tls" and number in others.OF_TLS:
            return others.OF_TLS[number]
    if family == _AF_UNIX:
        if number == errno.ECONNREFUSED:
            return kernel.REFUSED_NAME if _is_abstract(address) else kernel.REFUSED_PATH
        if number in kernel.DENIED:
            return kernel.ACCESS_PATH
    elif number not in _DEPENDS:
        return kernel.BY_NUMBER.get(number, kernel.OTHER)
    elif number == errno.EADDRNOTAVAIL:
        # ip(7): connect() says it for want of a port (IPv4), or of any source address at all
        # (IPv6 on a host that has none).
        if family == _AF_INET6 and not bound:
            return kernel.NO_SOURCE
    elif number == errno.EADDRINUSE:
        return kernel.PORTS  # connect() finds no free port: the same lack as its EADDRNOTAVAIL
    elif number == errno.EINVAL:
        if family == _AF_INET6 and _lacks_scope(address):
            return kernel.NO_SCOPE
    elif number == errno.EAGAIN:
        return kernel.NO_PORT  # FreeBSD and macOS
    if stage == "socket" and number in kernel.UNKNOWN_OPTION:
        return kernel.BAD_OPTION
    return kernel.BY_NUMBER.get(number, kernel.OTHER)


def _is_abstract(address: Any) -> bool:
    return isinstance(address, str | bytes) and address[:1] in ("\0", b"\0")


def _lacks_scope(address: Any) -> bool:
    return (
        isinstance(address, tuple)
        and len(address) >= 2
        and str(address[0]).lower().startswith(("fe8", "fe9", "fea", "feb", "ff02"))
        and (len(address) < 4 or not address[3])
    )


# The error ----------------------------------------------------------------------------------------


def _make(
    cause: Cause,
    number: int | None,
    stage: Stage,
    address: Any = None,
    family: int = 0,
    elapsed: float = 0.0,
    target: str = "",
) -> ConnectError:
    error: ConnectError = cause.type(number, "")
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
    said_by: SaidBy = "kernel",
    about: Any = None,
) -> ConnectError:
    """Build (not raise) the error for a number that the kernel gave.

    Args:
        number: the errno.
        stage: how far the attempt came.
        target: what was dialled, as text; default: the address.
        address: the address that was dialled.
        family: of the address.
        bound: whether the socket has a local address, or the host has one for this address.
        elapsed: seconds that the attempt took.
        said_by: ``"option"`` if ``setsockopt`` said it; default: ``socket``, ``connect`` or, at
            the stage ``"bind"``, ``bind``.
        about: the option (as ``setsockopt`` takes it) or the local address that it is about.
    """
    if stage == "connect" and number in PLAIN and family != _AF_UNIX and said_by == "kernel":
        cause = kernel.BY_NUMBER[number]  # as `classify` would say: 1 % of a refused connect
    else:
        cause = classify(number, stage, family, bound, address, said_by)
    error = _make(cause, number, stage, address, family, elapsed, target)
    if about is not None:
        error._about = _named(about, said_by)
    return error


def from_exception(
    exc: OSError,
    *,
    stage: Stage,
    target: str = "",
    address: Any = None,
    family: int = 0,
    bound: bool = False,
    elapsed: float = 0.0,
    said_by: SaidBy = "kernel",
    about: Any = None,
) -> ConnectError:
    """Build the error for an ``OSError``, by its type first and by its number second.

    Of a :class:`ConnectError` it is a copy: its owner may use it again; what it does not say
    itself is filled in.  What a caller's function raised becomes the ``__cause__``, without its
    traceback, which would bring the frames of the call along.

    Args:
        exc: what was raised.
        said_by: ``"hook"`` if a function of the caller's raised it (at the stage ``"policy"`` it
            always did); else, and the rest, as in :func:`from_errno`.
    """
    if stage == "policy":
        said_by = "hook"
    if isinstance(exc, ConnectError):
        error = _copy(exc)
        fields = error.__dict__
        if "stage" not in fields:  # somebody else made it
            fields |= {"stage": stage, "address": address, "family": family, "_speaks": True}
            fields["_words"] = exc.words
        if elapsed:
            fields["elapsed"] = elapsed
        if target:
            fields["target"] = target
        if error.address is None:  # a handshake's: it knows neither its address nor its place
            fields |= {"stage": stage, "address": address, "family": family}
        return error
    cause, number = _classify_exception(exc, stage, family, bound, address, said_by)
    words = _words_of(exc)
    error = _make(cause, number, stage, address, family, elapsed, target)
    error._words = words
    if about is not None:
        error._about = _named(about, said_by)
    if isinstance(exc, socket.gaierror):
        error._speaks = words not in _OF_LIBC
    elif cause is not others.TLS_TIMED_OUT:
        # The kernel always has a number, and its words say no more than that.
        error._speaks = said_by != "kernel" or exc.errno is None
    if isinstance(error, TLSError):
        for name in ("reason", "library", "verify_code", "verify_message"):
            if hasattr(exc, name):
                setattr(error, name, getattr(exc, name))
    if said_by == "hook":
        error.__cause__ = _without_tracebacks(exc)
    return error


def _words_of(exc: OSError) -> str:
    """Return what an exception says itself, without what OpenSSL wraps it in."""
    words = str(exc.strerror or (exc.args[0] if exc.args else ""))
    if isinstance(exc, ssl.SSLError):
        words = (getattr(exc, "verify_message", "") or _OPENSSL.sub("", words)).rstrip(".")
    return words


def _named(about: Any, said_by: SaidBy) -> str:
    """Name the socket option, or the local address or path, that an error is about."""
    if said_by == "option":
        return format_option(about)
    return format_address(about) if isinstance(about, tuple) else format_host(about)


_OPENSSL = re.compile(r"^\[[^\]]*\] ?| \(_ssl\.c:\d+\)$")
"""What OpenSSL and the ssl module put around the words that matter."""

_OF_LIBC = frozenset(
    {
        *("", "Name or service not known", "No address associated with hostname"),
        *("Temporary failure in name resolution", "Non-recoverable failure in name resolution"),
        *("Address family for hostname not supported", "ai_family not supported"),
        *("Servname not supported for ai_socktype", "ai_socktype not supported"),
        *("Bad value for ai_flags", "Memory allocation failure", "System error"),
    }
)
"""The words of getaddrinfo(3), which say no more than the row does."""


def _classify_exception(
    exc: OSError, stage: Stage, family: int, bound: bool, address: Any, said_by: SaidBy
) -> tuple[Cause, int | None]:
    number = exc.errno
    if isinstance(exc, ssl.SSLError):
        if isinstance(exc, ssl.SSLCertVerificationError):
            return others.CERTIFICATE, number
        eof = isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return (others.TLS_EOF if eof else others.TLS), number
    if isinstance(exc, socket.gaierror):
        return others.BY_EAI.get(number or 0, others.UNKNOWN_EAI), number
    if number is None:
        if stage == "tls" and isinstance(exc, TimeoutError | ConnectionAbortedError):
            return others.TLS_TIMED_OUT, None  # the second is how the loops say it
        if isinstance(exc, TimeoutError):
            lookup = stage == "resolve"
            return (others.LOOKUP_TIMED_OUT if lookup else others.ATTEMPT_TIMED_OUT), None
        for builtin, name in _BUILTINS:
            if isinstance(exc, builtin):
                number = int(getattr(errno, name))
                break
        else:
            if said_by == "hook":
                return others.HOOK_FAILED.get(stage, kernel.OTHER), None
            return kernel.OTHER, None
    return classify(number, stage, family, bound, address, said_by), number


_BUILTINS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "ECONNREFUSED"),
    (ConnectionResetError, "ECONNRESET"),
    (ConnectionAbortedError, "ECONNABORTED"),
    (BrokenPipeError, "EPIPE"),
    (PermissionError, "EACCES"),
    (FileNotFoundError, "ENOENT"),
    (NotADirectoryError, "ENOTDIR"),
)


def _without_tracebacks(exc: BaseException) -> BaseException:
    """Let go of the frames that an exception refers to, and so of the call that it is kept in."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [exc]
    while chain:
        each = chain.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            each.__traceback__ = None
            chain += (each.__cause__, each.__context__)
    return exc


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
    if stage in proxies.CALL_LATE:
        cause = (proxies.CALL_LATE if whole else proxies.ATTEMPT_LATE)[stage]
    elif whole:
        cause = others.DEADLINES.get(stage, others.DEADLINE)
    else:
        cause = others.TLS_TIMED_OUT if stage == "tls" else others.ATTEMPT_TIMED_OUT
    return _make(cause, None, stage, address, family, elapsed, target)


def connected_to_itself(*, address: Any, family: int, elapsed: float = 0.0) -> ConnectError:
    """Build the error for a TCP socket that met itself (simultaneous open, RFC 9293 3.5)."""
    return _make(kernel.SELF, errno.ECONNREFUSED, "verify", address, family, elapsed)


def not_a_socket(*, address: Any, family: int, elapsed: float = 0.0) -> ConnectError:
    """Build the error for a path that refuses because something else than a socket is there."""
    return _make(kernel.NO_SOCKET, errno.ECONNREFUSED, "connect", address, family, elapsed)


def not_a_target(words: str) -> ConnectError:
    """Build the error for a target that cannot be parsed: ``words`` say why."""
    error = _make(others.INVALID_TARGET, None, "resolve")
    error.strerror = error._words = words
    return error


def lost(target: str, stopped: str, retry_after: float | None) -> ConnectError:
    """Build the error for a supervised connection that was lost and is not dialled again."""
    error = _make(kernel.RESET, errno.ECONNRESET, "connect", target=target)
    error.stopped, error.retry_after = stopped, retry_after
    return error


def from_proxy(name: str, said: str, *, status: int | None = None) -> ConnectError:
    """Build the error for what a proxy said, or did, in its handshake: a row of ``BY_PROXY``."""
    cause, number = proxies.BY_PROXY[name]
    error = _make(cause, number, "proxy")
    error._words, error.status = said, status
    return error


def closed_early() -> ConnectError:
    """Build the error for a peer that closed before a handshake over the connection was done."""
    return _make(proxies.CLOSED_EARLY, errno.EPIPE, "handshake")


def circuit_open(target: str, retry_after: float, last: str = "") -> ConnectError:
    """Build the error for a breaker that lets nothing through for ``retry_after`` seconds.

    Args:
        target: what was to be dialled.
        retry_after: for how long the breaker stays open.
        last: what failed last, if that is known.
    """
    error = _make(others.CIRCUIT, None, "breaker", target=target)
    error.stopped = "open"
    error.retry_after = retry_after
    if last:
        error.hint = f"it failed repeatedly, at last: {last}"
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
    if "_words" in dominant.__dict__:
        error = _copy(dominant)
        fields = error.__dict__
    else:  # the kernel's, or a limit's: this is on the path of every refused connect
        error = type(dominant)(dominant.errno, "")
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


def _copy(error: ConnectError) -> ConnectError:
    again = type(error)(*raw_args(error))
    again.__dict__ = error.__dict__.copy()
    if error.__cause__ is not None:
        again.__cause__ = error.__cause__
    return again


def is_local(error: ConnectError) -> bool:
    """Tell whether nothing can help but that something of this host becomes free."""
    return error.cause().help is Help.LOCAL


know(others.row_of, from_errno, from_exception)
