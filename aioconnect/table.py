"""The one table: what each cause is called, raises, and what can be done about it.

The codes are those of OpenTelemetry's ``error.type`` for sockets and names, so that one word
serves in exceptions, logs, JSON and metrics; causes that have no word there got one in the same
style.  ``causes`` finds the row for what has happened.

Sources: connect(2), socket(2), bind(2), unix(7), getaddrinfo(3).
"""

from __future__ import annotations

import errno
import socket

from .errors import (
    OTHER,
    AccessDenied,
    AddressFamilyNotSupported,
    AddressInUse,
    AddressNotAvailable,
    AttemptTimedOut,
    BacklogFull,
    Cause,
    CertificateError,
    CircuitOpen,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    DeadlineExceeded,
    Help,
    HostUnreachable,
    InvalidAddress,
    NameNotResolved,
    NetworkDown,
    NetworkUnreachable,
    NoBuffers,
    NotADirectory,
    NotConnected,
    PathNotFound,
    PathUnusable,
    PeerClosed,
    PortsExhausted,
    ProtocolError,
    SocketBusy,
    SocketUnusable,
    TimedOut,
    TLSError,
    TooManyOpenFiles,
    WrongSocketType,
    _FileExists,
    _Interrupted,
    _IsADirectory,
    _NoChild,
    _NoPortAssigned,
    _NoProcess,
)

_N, _S, _O, _L, _R = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE
_SO = _S | _O
_OL = _O | _L
_SOL = _S | _O | _L
_SL = _S | _L
_SR = _S | _R

REFUSED = Cause(
    "connection_refused",
    ConnectionRefused,
    _SO,
    "refused by",
    "is the server listening on that port?",
    0,
)
REFUSED_PATH = REFUSED.but(hint="is the server running? the socket file may be a left-over")
SELF = REFUSED.but(
    phrase="connected to itself at", hint="nobody listens on that port, which is an ephemeral one"
)
RESET = Cause(
    "connection_reset",
    ConnectionReset,
    _SO,
    "reset by",
    "did the peer, a proxy or a load balancer drop the connection?",
    1,
)
_TIMED_OUT = Cause(
    "timed_out",
    TimedOut,
    _SO,
    "no answer from",
    "is the host up, and does a firewall drop the packets?",
    2,
)
ATTEMPT_TIMED_OUT = _TIMED_OUT.but(type=AttemptTimedOut)
DEADLINE = Cause(
    "timed_out", DeadlineExceeded, _N, "out of time with", "raise the timeout, or check the path", 2
)
WAIT_TIMED_OUT = DEADLINE.but(
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
ACCESS_PATH = _ACCESS.but(hint="does this user have write permission on the socket file?")
FORBIDDEN = _ACCESS.but(phrase="forbidden to dial", hint="the address policy refuses it")
_HOST = Cause(
    "host_unreachable",
    HostUnreachable,
    _SO,
    "no route to host",
    "is the host on its link, or does a firewall prohibit it?",
    4,
)
_NETWORK = Cause(
    "network_unreachable",
    NetworkUnreachable,
    _SO,
    "no route to the network of",
    "is the interface or the VPN up? is IPv6 available?",
    5,
)
_NETWORK_DOWN = Cause(
    "network_down", NetworkDown, _OL, "network down for", "is the local interface up?", 5
)
_FAMILY = Cause(
    "address_family_not_supported",
    AddressFamilyNotSupported,
    _O,
    "address family not supported for",
    "is this protocol (IPv6, MPTCP, ...) enabled on this host?",
    6,
)
NO_SOURCE = Cause(
    "address_not_available",
    AddressNotAvailable,
    _O,
    "no local address to reach",
    "does this host have an address of that family?",
    6,
)
NOT_OURS = NO_SOURCE.but(
    help=_O,
    phrase="local address not available for",
    hint="is local_addr an address of this host?",
)
PORTS = Cause(
    "address_not_available",
    PortsExhausted,
    _SOL,
    "no local port left for",
    "too many connections or TIME_WAIT sockets to that destination? widen ip_local_port_range",
    6,
)
NO_PORT = PORTS.but(type=_NoPortAssigned)
_IN_USE = Cause(
    "address_already_in_use",
    AddressInUse,
    _SL,
    "local address in use for",
    "do not fix the source port, or free it first",
    6,
)
INVALID = Cause(
    "invalid_argument",
    InvalidAddress,
    _O,
    "invalid target or source for",
    "is there a blackhole route, or a loopback source to another host?",
    6,
)
NO_SCOPE = INVALID.but(hint="a link-local address needs its interface: fe80::1%eth0")
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
    "protocol_error",
    ProtocolError,
    _SO,
    "protocol error from",
    "is the path MTU right?",
    speaks=True,
)
_UNUSABLE = Cause(
    "not_socket", SocketUnusable, _N, "socket unusable for", "was the socket closed meanwhile?"
)
BAD_OPTION = Cause(
    "protocol_option", SocketUnusable, _O, "socket option refused for", "is that option supported?"
)
_PATH = Cause(
    "path_unusable", PathUnusable, _N, "path unusable", "check the path of the socket file"
)

TABLE: dict[str, Cause] = {
    "ECONNREFUSED": REFUSED,
    "ECONNRESET": RESET,
    "ENETRESET": RESET,
    "ETIMEDOUT": _TIMED_OUT,
    "ECONNABORTED": Cause(
        "connection_aborted",
        ConnectionAborted,
        _SO,
        "aborted on the way to",
        "did the network change? a new socket is needed",
        1,
    ),
    "EPIPE": Cause("connection_reset", PeerClosed, _SO, "closed by", "the peer closed at once", 1),
    "ESHUTDOWN": Cause("shutdown", PeerClosed, _N, "shut down already", "use a new socket", 1),
    "EACCES": _ACCESS,
    "EPERM": _ACCESS,
    "EHOSTUNREACH": _HOST,
    "EHOSTDOWN": _HOST.but(code="host_down", hint="is the host up and on this network?"),
    "ENONET": _HOST.but(hint="the remote host is isolated"),
    "ENETUNREACH": _NETWORK,
    "ENETDOWN": _NETWORK_DOWN,
    "ENODEV": _NETWORK_DOWN.but(hint="does that network interface exist?"),
    "ENXIO": _NETWORK_DOWN.but(hint="does that network interface exist?"),
    "EADDRNOTAVAIL": PORTS,
    "EADDRINUSE": _IN_USE,
    "EAFNOSUPPORT": _FAMILY,
    "EPFNOSUPPORT": _FAMILY,
    "EPROTONOSUPPORT": _FAMILY.but(code="protocol_not_supported"),
    "ESOCKTNOSUPPORT": _FAMILY.but(code="socket_type_not_supported", help=_N),
    "EINVAL": INVALID,
    "EDESTADDRREQ": INVALID.but(
        code="destination_address_required", help=_N, hint="a destination address is needed"
    ),
    "EFAULT": INVALID.but(code="fault", help=_N, hint="an internal error"),
    "ENOPROTOOPT": _HOST.but(
        code="protocol_option", phrase="protocol refused by", hint="does the peer speak it?"
    ),
    "EPROTO": _PROTOCOL,
    "EMSGSIZE": _PROTOCOL.but(code="message_size"),
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
    "ENAMETOOLONG": _PATH.but(hint="use a shorter path (107 bytes on Linux), or chdir"),
    "ELOOP": _PATH.but(hint="the path is a loop of symbolic links"),
    "EROFS": _PATH.but(hint="the socket lies on a read-only file system"),
    "EIO": _PATH.but(help=_S, hint="an I/O error while reading the path"),
    "EPROTOTYPE": Cause(
        "protocol_type",
        WrongSocketType,
        _N,
        "wrong socket type for",
        "does the server use another type (stream, datagram)?",
    ),
    "EMFILE": _TOO_MANY_FILES,
    "ENFILE": _TOO_MANY_FILES.but(hint="the system-wide table of open files is full"),
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
        _SO,
        "interrupted on the way to",
        "the connect goes on in the kernel",
    ),
    "EBADF": _UNUSABLE,
    "ENOTSOCK": _UNUSABLE.but(hint="the descriptor is not a socket"),
    "EOPNOTSUPP": _UNUSABLE.but(code="operation_not_supported", hint="is the socket listening?"),
    "ENOTCONN": Cause(
        "not_connected",
        NotConnected,
        _SO,
        "not connected to",
        "no connect is pending on the socket",
    ),
    # Windows only; the numbers that it shares with POSIX are in errno under their POSIX names.
    "WSAEPROCLIM": _BUFFERS.but(code="process_limit"),
    "WSASYSNOTREADY": _BUFFERS.but(code="system_not_ready", help=_L),
    "WSANOTINITIALISED": _BUFFERS.but(code="not_initialized", help=_N),
}

WINERROR = {
    64: "ECONNRESET",
    121: "ETIMEDOUT",
    1225: "ECONNREFUSED",
    1231: "ENETUNREACH",
    1232: "EHOSTUNREACH",
    1236: "ECONNABORTED",
}
"""The proactor's own numbers, which reach Python with a misleading errno (22)."""

BY_NUMBER: dict[int, Cause] = {
    getattr(errno, name): cause for name, cause in TABLE.items() if hasattr(errno, name)
}

BY_NUMBER |= {
    errno.EEXIST: OTHER.but(type=_FileExists),
    errno.EISDIR: OTHER.but(type=_IsADirectory),
    errno.ESRCH: OTHER.but(type=_NoProcess),
    errno.ECHILD: OTHER.but(type=_NoChild),
}

NAME_ERROR = Cause(
    "no_recovery", NameNotResolved, _S, "the name server failed for", "does the name server work?"
)
_NOT_FOUND = Cause(
    "host_not_found",
    NameNotResolved,
    _R,
    "no such name",
    "is the name spelled right, and known to this host's resolver?",
)
_TRY_AGAIN = Cause(
    "try_again",
    NameNotResolved,
    _SR,
    "no answer from the name server",
    "is the name server reachable?",
)
_NO_DATA = _NOT_FOUND.but(
    code="no_data",
    help=_O,
    phrase="no address of that family",
    hint="does the name have an address of the family that was asked for?",
)
_BAD_LOOKUP = _NOT_FOUND.but(code="invalid_argument", help=_N, phrase="the name is not valid")

_EAI_TABLE: dict[str, Cause] = {
    "EAI_NONAME": _NOT_FOUND.but(help=_N),
    "EAI_AGAIN": _TRY_AGAIN,
    "EAI_NODATA": _NO_DATA,
    "EAI_ADDRFAMILY": _NO_DATA,
    "EAI_FAIL": NAME_ERROR.but(help=_SR),
    "EAI_FAMILY": _BAD_LOOKUP.but(code="address_family_not_supported"),
    "EAI_SERVICE": _BAD_LOOKUP.but(
        code="service_not_found", phrase="no such service", hint="is it in /etc/services?"
    ),
    "EAI_SOCKTYPE": _BAD_LOOKUP.but(code="socket_type_not_supported"),
    "EAI_BADFLAGS": _BAD_LOOKUP,
    "EAI_BADHINTS": _BAD_LOOKUP,
    "EAI_PROTOCOL": _BAD_LOOKUP.but(code="protocol_not_supported"),
    "EAI_MEMORY": NAME_ERROR.but(
        code="no_buffer_space_available", help=_L, hint="is the machine out of memory?"
    ),
    "EAI_OVERFLOW": _BAD_LOOKUP.but(hint="is the name too long?"),
    "EAI_SYSTEM": NAME_ERROR.but(help=_SR, hint="is the resolver configured?"),
}
BY_EAI: dict[int, Cause] = {
    getattr(socket, name): cause for name, cause in _EAI_TABLE.items() if hasattr(socket, name)
}

TLS = Cause(
    "tls_handshake",
    TLSError,
    _N,
    "TLS handshake failed with",
    "does the server speak TLS on that port, in a version and with ciphers both sides have?",
    speaks=True,
)
TLS_EOF = TLS.but(help=_SO, hint="the server closed during the handshake")
CERTIFICATE = Cause(
    "tls_certificate",
    CertificateError,
    _N,
    "certificate not accepted from",
    "is the host name right, the certificate valid, its authority trusted?",
    speaks=True,
)
CIRCUIT = Cause("circuit_open", CircuitOpen, _S, "breaker open for", "it failed repeatedly")


def codes() -> set[str]:
    """Return every code that an error can have."""
    others = (BAD_OPTION, TLS, CERTIFICATE, CIRCUIT, NAME_ERROR, OTHER)
    return {row.code for row in (*TABLE.values(), *_EAI_TABLE.values(), *others)}
