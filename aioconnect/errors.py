"""What can go wrong while connecting: one class for each cause that a program can tell apart.

Every class is a :class:`ConnectError`, and also the built-in that its cause has (PEP 3151).  What
an errno means, and which class it becomes, is in ``causes``.
"""

from __future__ import annotations

import socket
from typing import Any

from . import ssl_errors as ssl
from .failure import KEPT_ATTEMPTS as KEPT_ATTEMPTS
from .failure import AttemptFailed, ConnectError, from_errno, from_exception
from .sentence import MOST_WORDS
from .terms import Cause, Help
from .text import safe

__all__ = [
    "AccessDenied",
    "AddressFamilyNotSupported",
    "AddressInUse",
    "AddressNotAvailable",
    "AttemptFailed",
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
    "InvalidTarget",
    "NameNotResolved",
    "NetworkDown",
    "NetworkUnreachable",
    "NoBuffers",
    "NotADirectory",
    "NotConnected",
    "PathNotFound",
    "PathUnusable",
    "PeerClosed",
    "PolicyDenied",
    "PortsExhausted",
    "ProtocolError",
    "ProxyError",
    "SocketBusy",
    "SocketUnusable",
    "TLSError",
    "TimedOut",
    "TooManyOpenFiles",
    "WrongSocketType",
    "from_errno",
    "from_exception",
]


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


class PolicyDenied(AccessDenied):
    """The program itself forbids it: its ``address_policy``, or its ``allowed_names``."""

    @property
    def rule(self) -> str:
        """What denied it, in the words of the policy: ``"10.0.0.0/8 (private use)"``."""
        return safe(self.words, MOST_WORDS)


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


class InvalidTarget(ConnectError, ValueError):
    """A target that cannot mean anything, or could mean two things: nothing was dialled."""

    def __str__(self) -> str:
        return str(self.strerror)


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
    """The TLS handshake failed; ``reason`` and ``library`` are OpenSSL's."""

    reason: Any = None
    library: Any = None


class CertificateError(TLSError, ssl.SSLCertVerificationError):
    """The peer's certificate was not accepted; ``verify_message`` says why."""

    verify_code: int = 0
    verify_message: str = ""


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


class _NoFile(ConnectError, FileNotFoundError):
    pass


class _NoDirectory(ConnectError, NotADirectoryError):
    pass


class _WouldBlock(ConnectError, BlockingIOError):
    pass


class _IsADirectory(ConnectError, IsADirectoryError):
    pass


class _NoProcess(ConnectError, ProcessLookupError):
    pass


class _NoChild(ConnectError, ChildProcessError):
    pass
