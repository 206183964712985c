"""What can go wrong while connecting, and what a person can do about it.

One table maps every cause to a code, an exception class, what can help, and a hint.  The codes
are those of OpenTelemetry's ``error.type`` for sockets and names, so that one word serves in
exceptions, logs, JSON and metrics; causes that have no word there got one in the same style.

An errno alone says too little: an ``SSLError`` with errno 1 is not EPERM, a ``gaierror``'s number
is no errno at all, our own time limit has none, and EADDRNOTAVAIL, EADDRINUSE and EINVAL have
several causes each.  So the type is looked at before the number, and the number together with
the stage, the address family and whether a local address was bound.

Sources: connect(2), socket(2), bind(2), unix(7), getaddrinfo(3), PEP 3151.
"""

from __future__ import annotations

import enum
import errno as _errno
import socket
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Attempt, Stage

__all__ = [
    "AccessDenied",
    "AddressFamilyNotSupported",
    "AddressInUse",
    "AddressNotAvailable",
    "AttemptTimedOut",
    "BacklogFull",
    "Cause",
    "CertificateError",
    "CircuitOpen",
    "ConnectError",
    "ConnectionAborted",
    "ConnectionRefused",
    "ConnectionReset",
    "DeadlineExceeded",
    "Help",
    "HostUnreachable",
    "InvalidAddress",
    "NameNotResolved",
    "NetworkDown",
    "NetworkUnreachable",
    "NoBuffers",
    "NotADirectory",
    "NotConnected",
    "PathNotFound",
    "PathUnusable",
    "PeerClosed",
    "PortsExhausted",
    "ProtocolError",
    "ProxyError",
    "SocketBusy",
    "SocketUnusable",
    "TLSError",
    "TimedOut",
    "TooManyOpenFiles",
    "WrongSocketType",
]


class Help(enum.Flag):
    """What can help after a failure; what the race and the retry policies go by.

    Not "is it temporary?", which nobody can answer for EHOSTUNREACH, but "what would help?".
    """

    NOTHING = 0
    """Nothing without a change by a person: stop."""
    SAME = 1
    """The same address, later."""
    OTHER = 2
    """Another address, now."""
    LOCAL = 4
    """Something of this host must become free (descriptors, ports, buffers): do not blame the
    peer."""
    RESOLVE = 8
    """Asking for the name again, later."""


class ConnectError(OSError):
    """A connection could not be established.

    Every error that leaves the library is one, and also the built-in that its cause has
    (PEP 3151): ``except ConnectionRefusedError`` and ``except TimeoutError`` work.

    Attributes:
        code: the cause as one lower-snake-case word, e.g. ``"connection_refused"``.
        errno: the kernel's number; the ``EAI_*`` number for a name; None for our own time limit.
        target: what was dialled, as text that is safe to print.
        address: the address the deciding attempt went to; None if it did not get that far.
        family: that address's family (``socket.AF_*``), 0 if there is none.
        stage: how far it came: ``"resolve"``, ``"socket"``, ``"bind"``, ``"connect"``, ...
        help: what can help (:class:`Help`).
        hint: a question or an advice for the person who reads this at night.
        attempts: each failed :class:`~aioconnect.events.Attempt`, in the order of their starts;
            empty on the error of a single attempt.  At most 64 are kept, the newest.
        count: how many addresses were dialled, also in attempts no longer kept.
        elapsed: seconds from the start of the call (of the attempt) to the failure.
        stopped: why no further round was begun (``"attempts"``, ``"deadline"``, ...), or None.
        retry_after: seconds after which a breaker lets the next attempt through, or None.
        status: what a proxy answered (the status of HTTP, the reply of SOCKS), or None.

    If several attempts failed, class and errno are those of the dominant cause (all alike: that
    one; else refused, reset, timed out, permission, host, network, family or address, anything
    else), and ``__cause__`` is an ``ExceptionGroup`` of all of them.
    """

    address: Any = None
    family: int = 0
    stage: Stage = "connect"
    attempts: tuple[Attempt, ...] = ()
    count: int = 0
    elapsed: float = 0.0
    stopped: str | None = None
    retry_after: float | None = None
    status: int | None = None

    _cause: Cause | None = None

    # An error is built on the path of every refused connect, and most are never looked at: what
    # follows from the others is found out when it is asked for.

    @cached_property
    def code(self) -> str:
        """The cause as one word."""
        return "_OTHER" if self._cause is None else self._cause.code

    @cached_property
    def hint(self) -> str:
        """A question or an advice."""
        return "" if self._cause is None else self._cause.hint

    @cached_property
    def help(self) -> Help:
        """What can help."""
        return Help.SAME | Help.OTHER if self._cause is None else self._cause.help

    @cached_property
    def target(self) -> str:
        """What was dialled."""
        return "" if self.address is None else format_address(self.address)

    def __str__(self) -> str:
        """Say in one line: target, cause, addresses, count, seconds, hint."""
        if self._cause is None:  # somebody else made it
            return super().__str__()
        return _sentence(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep everything through pickle and copy; the cause is rebuilt from the attempts."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def group(self) -> ExceptionGroup[ConnectError] | None:
        """Return the errors of all kept attempts as a group, or None if there are none."""
        errors = [attempt.error for attempt in self.attempts]
        return ExceptionGroup(f"cannot connect to {self.target}", errors) if errors else None


class ConnectionRefused(ConnectError, ConnectionRefusedError):
    """Nobody listens there, or a firewall rejects with a reset."""


class ConnectionReset(ConnectError, ConnectionResetError):
    """The peer, or something between, reset the connection during the handshake."""


class ConnectionAborted(ConnectError, ConnectionAbortedError):
    """The connection was aborted on this side."""


class PeerClosed(ConnectError, BrokenPipeError):
    """The peer closed while the connection was being made (EPIPE, ESHUTDOWN)."""


class TimedOut(ConnectError, TimeoutError):
    """No answer in time; errno ETIMEDOUT if the kernel gave up, None if a limit of ours ended."""


class AttemptTimedOut(TimedOut):
    """One attempt used up its ``attempt_timeout`` or its share of ``timeout``."""


class DeadlineExceeded(TimedOut):
    """The whole call used up its ``timeout``."""


class AccessDenied(ConnectError, PermissionError):
    """File mode, firewall or security policy forbids it (EACCES, EPERM)."""


class HostUnreachable(ConnectError):
    """No such host on its link, or an ICMP message says so."""


class NetworkUnreachable(ConnectError):
    """No route to that network."""


class NetworkDown(ConnectError):
    """The local network interface is down or gone."""


class AddressNotAvailable(ConnectError):
    """The local address is not of this host, or there is no source address for the target."""


class PortsExhausted(AddressNotAvailable):
    """No local port is left for that destination."""


class _NoPortAssigned(PortsExhausted, BlockingIOError):
    """No local port could be assigned (EAGAIN on FreeBSD and macOS)."""


class AddressInUse(ConnectError):
    """The local address and port are taken."""


class AddressFamilyNotSupported(ConnectError):
    """This host does not speak that address family or protocol."""


class InvalidAddress(ConnectError):
    """The kernel takes this target or source for invalid (EINVAL, EDESTADDRREQ)."""


class ProtocolError(ConnectError):
    """A protocol error on the way (EPROTO, EMSGSIZE)."""


class BacklogFull(ConnectError, BlockingIOError):
    """The listening Unix socket's backlog stayed full."""


class PathNotFound(ConnectError, FileNotFoundError):
    """The socket's path does not exist."""


class NotADirectory(ConnectError, NotADirectoryError):
    """A part of the socket's path is not a directory."""


class PathUnusable(ConnectError):
    """The socket's path cannot be used (too long, a loop, read-only, an I/O error)."""


class WrongSocketType(ConnectError):
    """The server's socket is of another type (EPROTOTYPE)."""


class TooManyOpenFiles(ConnectError):
    """The process or the system has no descriptor left (EMFILE, ENFILE)."""


class NoBuffers(ConnectError):
    """The kernel has no memory or buffers left (ENOBUFS, ENOMEM)."""


class SocketUnusable(ConnectError):
    """The caller's socket cannot be connected: closed, connected already, or no socket."""


class SocketBusy(ConnectError, BlockingIOError):
    """Another connect is running on that socket (EALREADY)."""


class NotConnected(ConnectError):
    """No connect is pending on the socket, or it ended without a peer (ENOTCONN)."""


class NameNotResolved(ConnectError, socket.gaierror):
    """A name could not be resolved; ``errno`` is the ``EAI_*`` number."""


class TLSError(ConnectError, ssl.SSLError):
    """The TLS handshake failed."""


class CertificateError(TLSError, ssl.SSLCertVerificationError):
    """The peer's certificate was not accepted."""


class ProxyError(ConnectError):
    """A proxy did not make the connection, for a reason that has no class of its own.

    ``status`` is what it answered: the status of HTTP, the reply of SOCKS; None if no answer.
    """


class CircuitOpen(ConnectError):
    """A breaker is open: nothing was dialled.  ``retry_after`` says when it lets one through."""


class _Interrupted(ConnectError, InterruptedError):
    """A signal came before anything had begun (EINTR)."""


# What no connect says, but a caller's hook may.


class _FileExists(ConnectError, FileExistsError):
    pass


class _IsADirectory(ConnectError, IsADirectoryError):
    pass


class _NoProcess(ConnectError, ProcessLookupError):
    pass


class _NoChild(ConnectError, ChildProcessError):
    pass


class Cause(NamedTuple):
    """A row of the table: what one cause is called, raises, and what can be done about it."""

    code: str
    type: type[ConnectError]
    help: Help
    phrase: str
    """What happened, so that ``phrase`` or ``phrase`` + an address list reads well."""
    hint: str
    rank: int = 8
    """Place in the order of dominance: the lowest decides what a failed call raises."""


_N, _S, _O, _L, _R = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE

_REFUSED = Cause(
    "connection_refused",
    ConnectionRefused,
    _S | _O,
    "refused by",
    "is the server listening on that port?",
    0,
)
_REFUSED_PATH = _REFUSED._replace(hint="is the server running? the socket file may be a left-over")
_SELF = _REFUSED._replace(
    phrase="connected to itself at", hint="nobody listens on that port, which is an ephemeral one"
)
_RESET = Cause(
    "connection_reset",
    ConnectionReset,
    _S | _O,
    "reset by",
    "did the peer, a proxy or a load balancer drop the connection?",
    1,
)
_TIMED_OUT = Cause(
    "timed_out",
    TimedOut,
    _S | _O,
    "no answer from",
    "is the host up, and does a firewall drop the packets?",
    2,
)
_ATTEMPT_TIMED_OUT = _TIMED_OUT._replace(type=AttemptTimedOut)
_DEADLINE = Cause(
    "timed_out", DeadlineExceeded, _N, "out of time with", "raise the timeout, or check the path", 2
)
_WAIT_TIMED_OUT = _DEADLINE._replace(
    phrase="no answer in time from", hint="is the host up, and does a firewall drop the packets?"
)
_ACCESS = Cause(
    "access_denied",
    AccessDenied,
    _O,
    "access denied to",
    "does a firewall, a prohibit route or a security policy forbid it?",
    3,
)
_ACCESS_PATH = _ACCESS._replace(hint="does this user have write permission on the socket file?")
_FORBIDDEN = _ACCESS._replace(phrase="forbidden to dial", hint="the address policy refuses it")
_HOST = Cause(
    "host_unreachable",
    HostUnreachable,
    _O | _S,
    "no route to host",
    "is the host on its link, or does a firewall prohibit it?",
    4,
)
_NETWORK = Cause(
    "network_unreachable",
    NetworkUnreachable,
    _O | _S,
    "no route to the network of",
    "is the interface or the VPN up? is IPv6 available?",
    5,
)
_NETWORK_DOWN = Cause(
    "network_down", NetworkDown, _O | _L, "network down for", "is the local interface up?", 5
)
_FAMILY = Cause(
    "address_family_not_supported",
    AddressFamilyNotSupported,
    _O,
    "address family not supported for",
    "is this protocol (IPv6, MPTCP, ...) enabled on this host?",
    6,
)
_NO_SOURCE = Cause(
    "address_not_available",
    AddressNotAvailable,
    _O,
    "no local address to reach",
    "does this host have an address of that family?",
    6,
)
_NOT_OURS = _NO_SOURCE._replace(
    help=_O,
    phrase="local address not available for",
    hint="is local_addr an address of this host?",
)
_PORTS = Cause(
    "address_not_available",
    PortsExhausted,
    _L | _S | _O,
    "no local port left for",
    "too many connections or TIME_WAIT sockets to that destination? widen ip_local_port_range",
    6,
)
_NO_PORT = _PORTS._replace(type=_NoPortAssigned)
_IN_USE = Cause(
    "address_already_in_use",
    AddressInUse,
    _L | _S,
    "local address in use for",
    "do not fix the source port, or free it first",
    6,
)
_INVALID = Cause(
    "invalid_argument",
    InvalidAddress,
    _O,
    "invalid target or source for",
    "is there a blackhole route, or a loopback source to another host?",
    6,
)
_NO_SCOPE = _INVALID._replace(hint="a link-local address needs its interface: fe80::1%eth0")
_TOO_MANY_FILES = Cause(
    "too_many_open_sockets",
    TooManyOpenFiles,
    _L,
    "no descriptor left for",
    "raise RLIMIT_NOFILE, or close what is not needed",
)
_BUFFERS = Cause(
    "no_buffer_space_available",
    NoBuffers,
    _L,
    "no kernel buffers for",
    "is the machine out of memory?",
)
_PROTOCOL = Cause(
    "protocol_error", ProtocolError, _S | _O, "protocol error from", "is the path MTU right?"
)
_UNUSABLE = Cause(
    "not_socket", SocketUnusable, _N, "socket unusable for", "was the socket closed meanwhile?"
)
_BAD_OPTION = Cause(
    "protocol_option", SocketUnusable, _O, "socket option refused for", "is that option supported?"
)
_PATH = Cause(
    "path_unusable", PathUnusable, _N, "path unusable", "check the path of the socket file"
)

_TABLE: dict[str, Cause] = {
    "ECONNREFUSED": _REFUSED,
    "ECONNRESET": _RESET,
    "ENETRESET": _RESET,
    "ETIMEDOUT": _TIMED_OUT,
    "ECONNABORTED": Cause(
        "connection_aborted",
        ConnectionAborted,
        _S | _O,
        "aborted on the way to",
        "did the network change? a new socket is needed",
        1,
    ),
    "EPIPE": Cause(
        "connection_reset", PeerClosed, _S | _O, "closed by", "the peer closed at once", 1
    ),
    "ESHUTDOWN": Cause("shutdown", PeerClosed, _N, "shut down already", "use a new socket", 1),
    "EACCES": _ACCESS,
    "EPERM": _ACCESS,
    "EHOSTUNREACH": _HOST,
    "EHOSTDOWN": _HOST._replace(code="host_down", hint="is the host up and on this network?"),
    "ENONET": _HOST._replace(hint="the remote host is isolated"),
    "ENETUNREACH": _NETWORK,
    "ENETDOWN": _NETWORK_DOWN,
    "ENODEV": _NETWORK_DOWN._replace(hint="does that network interface exist?"),
    "ENXIO": _NETWORK_DOWN._replace(hint="does that network interface exist?"),
    "EADDRNOTAVAIL": _PORTS,
    "EADDRINUSE": _IN_USE,
    "EAFNOSUPPORT": _FAMILY,
    "EPFNOSUPPORT": _FAMILY,
    "EPROTONOSUPPORT": _FAMILY._replace(code="protocol_not_supported"),
    "ESOCKTNOSUPPORT": _FAMILY._replace(code="socket_type_not_supported", help=_N),
    "EINVAL": _INVALID,
    "EDESTADDRREQ": _INVALID._replace(
        code="destination_address_required", help=_N, hint="a destination address is needed"
    ),
    "EFAULT": _INVALID._replace(code="fault", help=_N, hint="an internal error"),
    "ENOPROTOOPT": _HOST._replace(
        code="protocol_option", phrase="protocol refused by", hint="does the peer speak it?"
    ),
    "EPROTO": _PROTOCOL,
    "EMSGSIZE": _PROTOCOL._replace(code="message_size"),
    "EAGAIN": Cause(
        "backlog_full",
        BacklogFull,
        _S,
        "backlog full at",
        "is the server accepting fast enough?",
        2,
    ),
    "EWOULDBLOCK": Cause(  # the same number as EAGAIN but for a few old systems
        "backlog_full",
        BacklogFull,
        _S,
        "backlog full at",
        "is the server accepting fast enough?",
        2,
    ),
    "ENOENT": Cause(
        "path_not_found",
        PathNotFound,
        _S,
        "no such socket file",
        "is the server started, and is the path right?",
    ),
    "ENOTDIR": Cause(
        "not_a_directory",
        NotADirectory,
        _N,
        "a part of the path is not a directory",
        "check the path of the socket file",
    ),
    "ENAMETOOLONG": _PATH._replace(hint="use a shorter path (107 bytes on Linux), or chdir"),
    "ELOOP": _PATH._replace(hint="the path is a loop of symbolic links"),
    "EROFS": _PATH._replace(hint="the socket lies on a read-only file system"),
    "EIO": _PATH._replace(help=_S, hint="an I/O error while reading the path"),
    "EPROTOTYPE": Cause(
        "protocol_type",
        WrongSocketType,
        _N,
        "wrong socket type for",
        "does the server use another type (stream, datagram)?",
    ),
    "EMFILE": _TOO_MANY_FILES,
    "ENFILE": _TOO_MANY_FILES._replace(hint="the system-wide table of open files is full"),
    "ENOBUFS": _BUFFERS,
    "ENOMEM": _BUFFERS,
    "EISCONN": Cause(
        "is_connected", SocketUnusable, _N, "connected already", "one socket, one connect"
    ),
    "EALREADY": Cause(
        "already_in_progress",
        SocketBusy,
        _N,
        "another connect is running on the socket for",
        "only one connect at a time per socket",
    ),
    "EINPROGRESS": Cause(
        "in_progress", SocketBusy, _N, "still in progress to", "wait with connect_wait"
    ),
    "EINTR": Cause(
        "interrupted",
        _Interrupted,
        _S | _O,
        "interrupted on the way to",
        "the connect goes on in the kernel",
    ),
    "EBADF": _UNUSABLE,
    "ENOTSOCK": _UNUSABLE._replace(hint="the descriptor is not a socket"),
    "EOPNOTSUPP": _UNUSABLE._replace(
        code="operation_not_supported", hint="is the socket listening?"
    ),
    "ENOTCONN": Cause(
        "not_connected",
        NotConnected,
        _S | _O,
        "not connected to",
        "no connect is pending on the socket",
    ),
    # Windows only; the numbers that it shares with POSIX are in errno under their POSIX names.
    "WSAEPROCLIM": _BUFFERS._replace(code="process_limit"),
    "WSASYSNOTREADY": _BUFFERS._replace(code="system_not_ready", help=_L),
    "WSANOTINITIALISED": _BUFFERS._replace(code="not_initialized", help=_N),
}

_WINERROR = {121: "ETIMEDOUT", 1225: "ECONNREFUSED", 1231: "ENETUNREACH", 1232: "EHOSTUNREACH"} | {
    64: "ECONNRESET",
    1236: "ECONNABORTED",
}
"""The proactor's own numbers, which reach Python with a misleading errno (22)."""

_BY_NUMBER: dict[int, Cause] = {
    getattr(_errno, name): cause for name, cause in _TABLE.items() if hasattr(_errno, name)
}

_OTHER = Cause("_OTHER", ConnectError, _S | _O, "failed at", "look the error number up")
_BY_NUMBER |= {
    _errno.EEXIST: _OTHER._replace(type=_FileExists),
    _errno.EISDIR: _OTHER._replace(type=_IsADirectory),
    _errno.ESRCH: _OTHER._replace(type=_NoProcess),
    _errno.ECHILD: _OTHER._replace(type=_NoChild),
}

_NAME_ERROR = Cause(
    "no_recovery", NameNotResolved, _S, "the name server failed for", "does the name server work?"
)
_NOT_FOUND = Cause(
    "host_not_found",
    NameNotResolved,
    _N | _R,
    "no such name",
    "is the name spelled right, and known to this host's resolver?",
)
_TRY_AGAIN = Cause(
    "try_again",
    NameNotResolved,
    _S | _R,
    "no answer from the name server",
    "is the name server reachable?",
)
_NO_DATA = _NOT_FOUND._replace(
    code="no_data",
    help=_O,
    phrase="no address of that family",
    hint="does the name have an address of the family that was asked for?",
)
_BAD_LOOKUP = _NOT_FOUND._replace(code="invalid_argument", help=_N, phrase="the name is not valid")

_EAI_TABLE: dict[str, Cause] = {
    "EAI_NONAME": _NOT_FOUND._replace(help=_N),
    "EAI_AGAIN": _TRY_AGAIN,
    "EAI_NODATA": _NO_DATA,
    "EAI_ADDRFAMILY": _NO_DATA,
    "EAI_FAIL": _NAME_ERROR._replace(help=_S | _R),
    "EAI_FAMILY": _BAD_LOOKUP._replace(code="address_family_not_supported"),
    "EAI_SERVICE": _BAD_LOOKUP._replace(
        code="service_not_found", phrase="no such service", hint="is it in /etc/services?"
    ),
    "EAI_SOCKTYPE": _BAD_LOOKUP._replace(code="socket_type_not_supported"),
    "EAI_BADFLAGS": _BAD_LOOKUP,
    "EAI_BADHINTS": _BAD_LOOKUP,
    "EAI_PROTOCOL": _BAD_LOOKUP._replace(code="protocol_not_supported"),
    "EAI_MEMORY": _NAME_ERROR._replace(
        code="no_buffer_space_available", help=_L, hint="is the machine out of memory?"
    ),
    "EAI_OVERFLOW": _BAD_LOOKUP._replace(hint="is the name too long?"),
    "EAI_SYSTEM": _NAME_ERROR._replace(help=_S | _R, hint="is the resolver configured?"),
}
_BY_EAI: dict[int, Cause] = {
    getattr(socket, name): cause for name, cause in _EAI_TABLE.items() if hasattr(socket, name)
}

_TLS = Cause(
    "tls_handshake",
    TLSError,
    _N,
    "TLS handshake failed with",
    "does the server speak TLS on that port, in a version and with ciphers both sides have?",
)
_TLS_EOF = _TLS._replace(help=_S | _O, hint="the server closed during the handshake")
_CERTIFICATE = Cause(
    "tls_certificate",
    CertificateError,
    _N,
    "certificate not accepted from",
    "is the host name right, the certificate valid, its authority trusted?",
)
_PROXY = Cause(
    "proxy_error",
    ProxyError,
    _S | _O,
    "says the proxy",
    "does the name exist, and is the server listening on that port?",
)
_BY_PROXY: dict[str, tuple[Cause, int | None]] = {
    # What a proxy found out about the target.
    "refused": (_REFUSED._replace(phrase="says the proxy"), _errno.ECONNREFUSED),
    "timed_out": (_TIMED_OUT._replace(phrase="says the proxy"), _errno.ETIMEDOUT),
    "host": (
        _HOST._replace(phrase="says the proxy", hint="can the proxy reach that host?"),
        _errno.EHOSTUNREACH,
    ),
    "network": (
        _NETWORK._replace(phrase="says the proxy", hint="can the proxy reach that network?"),
        _errno.ENETUNREACH,
    ),
    "failed": (_PROXY, None),
    # What it does not want.
    "credentials": (
        _ACCESS._replace(
            help=_N, phrase="says the proxy", hint="are the proxy's user name and password right?"
        ),
        _errno.EACCES,
    ),
    "forbidden": (
        _ACCESS._replace(phrase="says the proxy", hint="do the proxy's rules allow it?"),
        _errno.EACCES,
    ),
    "rejected": (
        _PROXY._replace(
            help=_O, hint="is it a proxy, and do its rules allow that host and that port?"
        ),
        None,
    ),
    # What is no answer of its protocol.
    "protocol": (
        _PROXY._replace(
            help=_N,
            phrase="from the proxy",
            hint="does a proxy of that kind listen on that port?",
        ),
        None,
    ),
}
_CLOSED_EARLY = _TABLE["EPIPE"]._replace(
    phrase="closed during the handshake by", hint="does it speak that protocol on that port?"
)
_CIRCUIT = Cause("circuit_open", CircuitOpen, _S, "breaker open for", "it failed repeatedly")

KEPT_ATTEMPTS = 64


_DEPENDS = {
    _errno.EACCES,
    _errno.EPERM,
    _errno.EADDRNOTAVAIL,
    _errno.EADDRINUSE,
    _errno.EINVAL,
    _errno.EAGAIN,
    _errno.ENOPROTOOPT,
    _errno.EOPNOTSUPP,
}
"""What has several causes, also on IP sockets."""

PLAIN = frozenset(
    number
    for number, cause in _BY_NUMBER.items()
    if number not in _DEPENDS and not cause.help & Help.LOCAL
)
"""What has one cause for an address, whatever the stage, and that is not of this host: its error
can be built later from the number."""

_AF_INET6, _AF_UNIX = int(socket.AF_INET6), int(socket.AF_UNIX)


def classify(number: int | None, stage: Stage, family: int, bound: bool, address: Any) -> Cause:
    """Find the row of the table: the number, read with stage, family and what was bound."""
    if number is None:
        return _OTHER
    if family == _AF_UNIX:
        if number == _errno.ECONNREFUSED:
            return _REFUSED_PATH
        if number in (_errno.EACCES, _errno.EPERM):
            return _ACCESS_PATH
    elif number not in _DEPENDS:
        return _BY_NUMBER.get(number, _OTHER)
    elif number == _errno.EADDRNOTAVAIL:
        # ip(7): bind() says it of a foreign address; connect() for want of a port (IPv4), or
        # of any source address at all (IPv6 on a host that has none).
        if stage == "bind":
            return _NOT_OURS
        if family == _AF_INET6 and not bound:
            return _NO_SOURCE
    elif number == _errno.EADDRINUSE:
        # bind(addr, 0) finds no free port: the same lack as connect()'s EADDRNOTAVAIL.
        if stage != "bind":
            return _PORTS
    elif number == _errno.EINVAL:
        if family == _AF_INET6 and _lacks_scope(address):
            return _NO_SCOPE
    elif number == _errno.EAGAIN:
        return _NO_PORT  # FreeBSD and macOS
    if stage in ("policy", "socket", "bind") and number in (_errno.ENOPROTOOPT, _errno.EOPNOTSUPP):
        return _BAD_OPTION
    if stage == "policy" and number in (_errno.EACCES, _errno.EPERM):
        return _FORBIDDEN
    return _BY_NUMBER.get(number, _OTHER)


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
    error = cause.type(number, strerror) if number is not None else cause.type(strerror)
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
            return _CERTIFICATE, number
        eof = isinstance(exc, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        return (_TLS_EOF if eof else _TLS), number
    if isinstance(exc, socket.gaierror):
        return _BY_EAI.get(number if number is not None else 0, _NAME_ERROR), number
    if number is None:
        if isinstance(exc, TimeoutError):
            return (_DEADLINE if stage in ("tls", "resolve") else _ATTEMPT_TIMED_OUT), None
        for builtin, name in _BUILTINS:
            if isinstance(exc, builtin):
                number = int(getattr(_errno, name))
                break
        else:
            return _OTHER, None
    windows = _WINERROR.get(getattr(exc, "winerror", None) or 0)
    if windows is not None:
        return _TABLE[windows], number
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
    cause = _ATTEMPT_TIMED_OUT
    if whole:
        cause = _WAIT_TIMED_OUT if stage in ("connect", "wait") else _DEADLINE
    return _make(cause, None, "timed out", stage, address, family, elapsed, target)


def connected_to_itself(*, address: Any, family: int, elapsed: float = 0.0) -> ConnectError:
    """Build the error for a TCP socket that met itself (simultaneous open, RFC 9293 3.5)."""
    number = _errno.ECONNREFUSED
    return _make(_SELF, number, _strerror(number), "verify", address, family, elapsed)


def not_a_target(said: str) -> ConnectError:
    """Build the error for one of many targets that could not be parsed: ``said`` is why."""
    cause = _INVALID._replace(help=Help.NOTHING, phrase="not a target", hint=said)
    return _make(cause, _errno.EINVAL, "Invalid target", "resolve")


def lost(target: str, stopped: str, retry_after: float | None) -> ConnectError:
    """Build the error for a supervised connection that was lost and is not dialled again."""
    error = _make(_RESET, _errno.ECONNRESET, "Connection lost", "connect", target=target)
    error.stopped, error.retry_after = stopped, retry_after
    return error


def from_proxy(name: str, said: str, *, status: int | None = None) -> ConnectError:
    """Build the error for what a proxy said, or did, in its handshake; its attempt adds where."""
    cause, number = _BY_PROXY[name]
    error = _make(cause, number, said, "proxy")
    error.status = status
    return error


def closed_in_handshake() -> ConnectError:
    """Build the error for a peer that closed before the handshake was over."""
    return _make(_CLOSED_EARLY, _errno.EPIPE, _strerror(_errno.EPIPE), "handshake")


def circuit_open(target: str, retry_after: float) -> ConnectError:
    """Build the error for a breaker that lets nothing through for ``retry_after`` seconds."""
    error = _make(_CIRCUIT, None, "circuit open", "breaker", target=target)
    error.stopped = "open"
    error.retry_after = retry_after
    return error


def combine(
    attempts: Sequence[Attempt],
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
        dominant = min((a.error for a in reversed(attempts)), key=_rank)
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


def _rank(error: ConnectError) -> int:
    return error._cause.rank if error._cause is not None else _OTHER.rank


def _rebuild(cls: type[ConnectError], args: tuple[Any, ...], state: dict[str, Any]) -> ConnectError:
    error = cls(*args)
    error.__dict__.update(state)
    if len(error.attempts) > 1:
        error.__cause__ = error.group()
    return error


_strerror_cache: dict[int, str] = {}


def _strerror(number: int) -> str:
    text = _strerror_cache.get(number)
    if text is None:
        import os

        text = _strerror_cache[number] = os.strerror(number)
    return text


# The sentence ------------------------------------------------------------------------------------


def _sentence(error: ConnectError) -> str:
    parts = [f"cannot connect to {error.target}" if error.target else "cannot connect", ": "]
    parts.append(_causes(error))
    seconds = f"{error.elapsed:.1f} s"
    if error.count:
        plural = "" if error.count == 1 else "s"
        parts.append(f" ({error.count} attempt{plural}, {seconds}")
    else:
        parts.append(f" ({seconds}")
    if error.stopped:
        parts.append(f"; {STOPPED.get(error.stopped, error.stopped)}")
    parts.append(")")
    if error.hint:
        parts.append(f": {error.hint}")
    return "".join(parts)


STOPPED = {
    "attempts": "no attempts left",
    "deadline": "no time left for another round",
    "permanent": "trying again would not help",
    "budget": "the retry budget is used up",
    "open": "the breaker is open",
}
"""Why no further round was begun, in words; other reasons stand for themselves."""


def _causes(error: ConnectError) -> str:
    """Say what happened at which address; alike causes are said once."""
    by_phrase: dict[str, list[str]] = {}
    entries = [(a.error, a.address) for a in error.attempts] or [(error, error.address)]
    entries.sort(key=lambda entry: _rank(entry[0]))
    for single, address in entries:
        cause = single._cause or _OTHER
        phrase = cause.phrase
        if cause.code == _OTHER.code or cause.type in _IN_OWN_WORDS or "the proxy" in phrase:
            # An error without a number has its text in `args` alone.
            reason = single.strerror or "".join(map(str, single.args[:1])) or single.code
            phrase = f"{safe(reason)}, {phrase}"
        shown = by_phrase.setdefault(phrase, [])
        text = format_host(address)
        if text and text not in shown:
            shown.append(text)
    said = []
    for phrase, addresses in by_phrase.items():
        if (len(by_phrase) == 1 and _is_said(error.target, addresses)) or not addresses:
            said.append(_without_preposition(phrase))
        else:
            said.append(f"{phrase} {_enumerate(addresses)}")
    return "; ".join(said)


_IN_OWN_WORDS = (TLSError, CertificateError, ProtocolError)


def _is_said(target: str, addresses: list[str]) -> bool:
    return len(addresses) == 1 and addresses[0] in target


def _without_preposition(phrase: str) -> str:
    words = phrase.rsplit(" ", 1)
    return words[0] if len(words) == 2 and words[1] in _PREPOSITIONS else phrase


_PREPOSITIONS = frozenset({"at", "by", "for", "from", "to", "with", "of", "dial", "reach"})


def _enumerate(texts: list[str], most: int = 4) -> str:
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def safe(text: str, most: int = 100) -> str:
    """Make host text fit for a log or a terminal: ASCII, no control characters, capped."""
    if not text.isascii() or not text.isprintable():
        text = ascii(text)[1:-1]
    return text if len(text) <= most else text[: most - 3] + "..."


def format_host(address: Any) -> str:
    """Format an address without its port, for a sentence."""
    if isinstance(address, tuple):
        if not address:
            return ""
        host = safe(str(address[0]))
        if len(address) >= 4 and address[3] and "%" not in host:
            host = f"{host}%{address[3]}"
        return host
    if isinstance(address, bytes):
        address = address.decode("utf-8", "backslashreplace")
    if isinstance(address, str):
        return safe("@" + address[1:] if address.startswith("\0") else address)
    return "" if address is None else safe(str(address))


def format_address(address: Any) -> str:
    """Format an address with its port: ``10.0.0.1:80``, ``[::1]:80``, ``unix:/path``."""
    host = format_host(address)
    if isinstance(address, tuple) and len(address) >= 2:
        return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    return f"unix:{host}" if isinstance(address, str | bytes) and host else host
