"""What the kernel's numbers mean: what each cause is called, raises, and what can be done about it.

This and ``table_others`` are the one table; ``causes`` finds the row for what has happened.  The
codes are those of OpenTelemetry's ``error.type`` for sockets and names, so that one word
serves in exceptions, logs, JSON and metrics; causes that have no word there got one in the same
style.

Sources: connect(2), socket(2), bind(2), setsockopt(2), unix(7), getaddrinfo(3).
"""

from __future__ import annotations

import errno
import socket

from . import errors
from .terms import Cause, Help

_N, _S, _O, _L, _R = Help.NOTHING, Help.SAME, Help.OTHER, Help.LOCAL, Help.RESOLVE
_SO = _S | _O
_OL = _O | _L
_SOL = _S | _O | _L
_SL = _S | _L
_SR = _S | _R

OTHER = Cause(
    "other", errors.ConnectError, _SO, "failed at", "look the error number up", speaks=True
)

# What the kernel says of an address ---------------------------------------------------------------

REFUSED = Cause(
    "connection_refused",
    errors.ConnectionRefused,
    _SO,
    "refused by",
    "is the server listening on that port?",
    0,
)
REFUSED_PATH = REFUSED.but(hint="is the server running? the socket file may be a left-over")
REFUSED_NAME = REFUSED.but(hint="is the server running, and listening under that name?")
NO_SOCKET = REFUSED.but(
    phrase="no socket at", hint="what stands at that path is no socket: is the path right?"
)
SELF = REFUSED.but(
    phrase="connected to itself at", hint="nobody listens on that port, which is an ephemeral one"
)
RESET = Cause(
    "connection_reset",
    errors.ConnectionReset,
    _SO,
    "reset by",
    "did the peer, a proxy or a load balancer drop the connection?",
    1,
)
_ABORTED = Cause(
    "connection_aborted",
    errors.ConnectionAborted,
    _SO,
    "aborted on the way to",
    "did the network change? a new socket is needed",
    1,
)
_CLOSED = Cause(
    "connection_reset", errors.PeerClosed, _SO, "closed by", "the peer closed at once", 1
)
_TIMED_OUT = Cause(
    "timed_out",
    errors.TimedOut,
    _SO,
    "no answer from",
    "is the host up, and does a firewall drop the packets?",
    2,
)
_BACKLOG = Cause(
    "backlog_full",
    errors.BacklogFull,
    _S,
    "backlog full at",
    "is the server accepting fast enough?",
    2,
)
ACCESS = Cause(
    "access_denied",
    errors.AccessDenied,
    _O,
    "access denied to",
    "does a firewall, a prohibit route or a security policy forbid it?",
    3,
)
ACCESS_PATH = ACCESS.but(hint="does this user have write permission on the socket file?")
_HOST = Cause(
    "host_unreachable",
    errors.HostUnreachable,
    _SO,
    "no route to host",
    "is the host on its link, or does a firewall prohibit it?",
    4,
)
_NETWORK = Cause(
    "network_unreachable",
    errors.NetworkUnreachable,
    _SO,
    "no route to the network of",
    "is the interface or the VPN up? is IPv6 available?",
    5,
)
_NETWORK_DOWN = Cause(
    "network_down", errors.NetworkDown, _OL, "network down for", "is the local interface up?", 5
)
_NO_INTERFACE = _NETWORK_DOWN.but(
    phrase="no such network interface, for", hint="does that network interface exist?"
)
_FAMILY = Cause(
    "address_family_not_supported",
    errors.AddressFamilyNotSupported,
    _O,
    "address family not supported for",
    "is this protocol (IPv6, MPTCP, ...) enabled on this host?",
    6,
)
NO_SOURCE = Cause(
    "address_not_available",
    errors.AddressNotAvailable,
    _O,
    "no local address to reach",
    "does this host have an address of that family?",
    6,
    alone="no local address to reach it",
)
PORTS = Cause(
    "address_not_available",
    errors.PortsExhausted,
    _SOL,
    "no local port left for",
    "too many connections or TIME_WAIT sockets to that destination? widen ip_local_port_range",
    6,
)
NO_PORT = PORTS.but(type=errors._NoPortAssigned)
IN_USE = Cause(
    "address_already_in_use",
    errors.AddressInUse,
    _SL,
    "local address {about} in use, for",
    "do not fix the source port, or free it first",
    6,
)
INVALID = Cause(
    "invalid_argument",
    errors.InvalidAddress,
    _O,
    "invalid target or source for",
    "is there a blackhole route, or a loopback source to another host?",
    6,
)
NO_SCOPE = INVALID.but(hint="a link-local address needs its interface: fe80::1%eth0")
_TOO_MANY_FILES = Cause(
    "too_many_open_sockets",
    errors.TooManyOpenFiles,
    _L,
    "no descriptor left for",
    "raise RLIMIT_NOFILE, or close what is not needed",
)
_BUFFERS = Cause(
    "no_buffer_space_available",
    errors.NoBuffers,
    _L,
    "no kernel buffers for",
    "is the machine out of memory?",
)
_PROTOCOL = Cause(
    "protocol_error",
    errors.ProtocolError,
    _SO,
    "protocol error from",
    "is the path MTU right?",
    speaks=True,
)
_UNUSABLE = Cause(
    "not_socket",
    errors.SocketUnusable,
    _N,
    "socket unusable for",
    "was the socket closed meanwhile?",
)
_PATH = Cause(
    "path_unusable",
    errors.PathUnusable,
    _N,
    "unusable path",
    "check the path of the socket file",
)
_NO_FILE = Cause(
    "path_not_found",
    errors.PathNotFound,
    _S,
    "no such socket file",
    "is the server started, and is the path right?",
)
_NO_FOLDER = Cause(
    "not_a_directory",
    errors.NotADirectory,
    _N,
    "no directory on the way to",
    "a part of the socket's path is not a directory",
    alone="a part of the path is not a directory",
)

TABLE: dict[str, Cause] = {
    "ECONNREFUSED": REFUSED,
    "ECONNRESET": RESET,
    "ENETRESET": RESET,
    "ETIMEDOUT": _TIMED_OUT,
    "ECONNABORTED": _ABORTED,
    "EPIPE": _CLOSED,
    "ESHUTDOWN": Cause(
        "shutdown", errors.PeerClosed, _N, "socket shut down already, for", "use a new socket", 1
    ),
    "EACCES": ACCESS,
    "EPERM": ACCESS,
    "EHOSTUNREACH": _HOST,
    "EHOSTDOWN": _HOST.but(code="host_down", hint="is the host up and on this network?"),
    "ENONET": _HOST.but(hint="the remote host is isolated"),
    "ENETUNREACH": _NETWORK,
    "ENETDOWN": _NETWORK_DOWN,
    "ENODEV": _NO_INTERFACE,
    "ENXIO": _NO_INTERFACE,
    "EADDRNOTAVAIL": PORTS,
    "EADDRINUSE": IN_USE,
    "EAFNOSUPPORT": _FAMILY,
    "EPFNOSUPPORT": _FAMILY,
    "EPROTONOSUPPORT": _FAMILY.but(
        code="protocol_not_supported", phrase="protocol not supported for"
    ),
    "ESOCKTNOSUPPORT": _FAMILY.but(
        code="socket_type_not_supported", help=_N, phrase="socket type not supported for"
    ),
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
    "EAGAIN": _BACKLOG,
    "EWOULDBLOCK": _BACKLOG,  # the same number as EAGAIN but for a few old systems
    "ENOENT": _NO_FILE,
    "ENOTDIR": _NO_FOLDER,
    "ENAMETOOLONG": _PATH.but(hint="use a shorter path (107 bytes on Linux), or chdir"),
    "ELOOP": _PATH.but(hint="the path is a loop of symbolic links"),
    "EROFS": _PATH.but(hint="the socket lies on a read-only file system"),
    "EIO": _PATH.but(help=_S, hint="an I/O error while reading the path"),
    "EPROTOTYPE": Cause(
        "protocol_type",
        errors.WrongSocketType,
        _N,
        "wrong socket type for",
        "does the server use another type (stream, datagram)?",
    ),
    "EMFILE": _TOO_MANY_FILES,
    "ENFILE": _TOO_MANY_FILES.but(hint="the system-wide table of open files is full"),
    "ENOBUFS": _BUFFERS,
    "ENOMEM": _BUFFERS,
    "EISCONN": Cause(
        "is_connected",
        errors.SocketUnusable,
        _N,
        "socket connected already, for",
        "one socket, one connect",
    ),
    "EALREADY": Cause(
        "already_in_progress",
        errors.SocketBusy,
        _N,
        "another connect is running on the socket for",
        "only one connect at a time per socket",
    ),
    "EINPROGRESS": Cause(
        "in_progress", errors.SocketBusy, _N, "still in progress to", "wait with connect_wait"
    ),
    "EINTR": Cause(
        "interrupted",
        errors._Interrupted,
        _SO,
        "interrupted on the way to",
        "the connect goes on in the kernel",
    ),
    "EBADF": _UNUSABLE,
    "ENOTSOCK": _UNUSABLE.but(hint="the descriptor is not a socket"),
    "EOPNOTSUPP": _UNUSABLE.but(code="operation_not_supported", hint="is the socket listening?"),
    "ENOTCONN": Cause(
        "not_connected",
        errors.NotConnected,
        _SO,
        "not connected to",
        "no connect is pending on the socket",
        alone="not connected",
    ),
    # What no connect says, but a caller's function may.
    "EEXIST": OTHER.but(type=errors._FileExists),
    "EISDIR": OTHER.but(type=errors._IsADirectory),
    "ESRCH": OTHER.but(type=errors._NoProcess),
    "ECHILD": OTHER.but(type=errors._NoChild),
}


def _by_number(rows: dict[str, Cause]) -> dict[int, Cause]:
    return {getattr(errno, name): row for name, row in rows.items() if hasattr(errno, name)}


BY_NUMBER = _by_number(TABLE)

DENIED = (errno.EACCES, errno.EPERM)
UNKNOWN_OPTION = (errno.ENOPROTOOPT, errno.EOPNOTSUPP)
_AF_UNIX = int(socket.AF_UNIX)

# What the kernel says of a local address ----------------------------------------------------------

_SOURCE_DENIED = ACCESS.but(
    phrase="local address {about} not permitted for",
    hint="a source port below 1024 needs a privilege (CAP_NET_BIND_SERVICE)",
)
_SOURCE_PATH = _PATH.but(
    phrase="local path {about} unusable for", hint="check the path in local_addr"
)
_SOURCE_PATH_DENIED = _SOURCE_DENIED.but(
    phrase="local path {about} not permitted for",
    hint="may this user make a file in that directory?",
)
_SOURCE_FAILED = OTHER.but(phrase="local address {about} failed, for")
_OF_SOURCE = {
    number: row
    for number, row in BY_NUMBER.items()
    if row in (_TOO_MANY_FILES, _BUFFERS, _NO_INTERFACE, _UNUSABLE, IN_USE)
} | _by_number(
    {
        "EADDRNOTAVAIL": NO_SOURCE.but(
            phrase="local address {about} not available for",
            hint="is local_addr an address of this host?",
            alone="",
        ),
        "EACCES": _SOURCE_DENIED,
        "EPERM": _SOURCE_DENIED,
        "EINVAL": INVALID.but(
            phrase="local address {about} not valid for",
            hint="does local_addr need its interface: fe80::1%eth0?",
        ),
        "EAFNOSUPPORT": _FAMILY.but(
            phrase="local_addr has no address of the family of",
            hint="give local_addr an address of each family (IPv4, IPv6), or set family=",
            alone="local_addr has no address of that family",
        ),
    }
)
_OF_SOURCE_PATH = _by_number(
    {
        "EADDRINUSE": IN_USE.but(
            phrase="local path {about} in use, for",
            hint="a file is there: remove it, or use another path",
        ),
        "EACCES": _SOURCE_PATH_DENIED,
        "EPERM": _SOURCE_PATH_DENIED,
        "ENOENT": _NO_FILE.but(
            help=_N,
            phrase="no directory for the local path {about}, for",
            hint="is the path in local_addr right?",
        ),
        "ENOTDIR": _NO_FOLDER.but(
            phrase="no directory for the local path {about}, for",
            hint="a part of the path in local_addr is not a directory",
            alone="",
        ),
        **dict.fromkeys(("EINVAL", "ENAMETOOLONG", "ELOOP", "EROFS", "EIO"), _SOURCE_PATH),
    }
)


def of_source(number: int, family: int) -> Cause:
    """Find the row for what ``bind`` says of the local address."""
    row = _OF_SOURCE_PATH.get(number) if family == _AF_UNIX else None
    return row or _OF_SOURCE.get(number, _SOURCE_FAILED)


# What the kernel says of a socket option ----------------------------------------------------------

BAD_OPTION = Cause(
    "protocol_option",
    errors.SocketUnusable,
    _O,
    "socket option {about} refused for",
    "is that option, with that value, supported here?",
)
_OPTION_DENIED = ACCESS.but(
    phrase="socket option {about} not permitted for",
    hint="does the option need a privilege (CAP_NET_ADMIN, CAP_NET_RAW)?",
)
_NO_DEVICE = _NO_INTERFACE.but(phrase="socket option {about}: no such network interface, for")
OF_OPTION = {
    number: BY_NUMBER[number]
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EBADF)
} | _by_number(
    {
        "EACCES": _OPTION_DENIED,
        "EPERM": _OPTION_DENIED,
        "ENODEV": _NO_DEVICE,
        "ENXIO": _NO_DEVICE,
    }
)
