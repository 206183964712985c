"""What can go wrong while connecting: one class for each cause that a program can tell apart.

Every class is a :class:`ConnectError`, and also the built-in that its cause has (PEP 3151).  What
an errno means, and which class it becomes, is in ``causes``.

An error has the failed attempts in its log, and a failed attempt has its error: they define each
other, so :class:`AttemptFailed` is here and not in ``events``, which offers it too.
"""

from __future__ import annotations

import socket
import ssl
from functools import cached_property
from typing import Any

from .sentence import Fact, sentence
from .terms import Cause, Event, Help, Stage
from .text import format_address

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
    "SocketBusy",
    "SocketUnusable",
    "TLSError",
    "TimedOut",
    "TooManyOpenFiles",
    "WrongSocketType",
]


KEPT_ATTEMPTS = 64
"""How many failed attempts an error keeps, the newest."""


class AttemptFailed(Event):
    """An attempt that failed, as an event and as one entry of ``ConnectError.attempts``.

    For a failed name look-up ``address`` is the name and ``stage`` is ``"resolve"``.

    Args:
        at: the instant of the failure (also ``ended``).
        target: what was dialled.
        error: the attempt's own :class:`ConnectError`.
        started: the instant at which the attempt began.
        number: which of the call's attempts it was, from 1; default 0: nothing was dialled.
        round: which pass over all addresses it was in, from 1; default 0.
        address, family, stage: where it went, and how far it came; default: what the error says.
        tries: the sockets it took: more than one when a Unix socket's backlog was full, or TCP
            connected to itself; default 1.
    """

    __slots__ = ("address", "error", "family", "number", "round", "stage", "started", "tries")

    def __init__(
        self,
        at: float,
        target: str,
        error: ConnectError,
        started: float,
        number: int = 0,
        round: int = 0,
        address: Any = None,
        family: int = 0,
        stage: Stage | None = None,
        tries: int = 1,
    ) -> None:
        if stage is None:
            address, family, stage = error.address, error.family, error.stage
        self.at = at
        self.target = target
        self.number = number
        self.round = round
        self.address = address
        self.family = family
        self.stage: Stage = stage
        self.started = started
        self.error = error
        self.tries = tries

    @property
    def ended(self) -> float:
        """Return the instant of the failure."""
        return self.at

    @property
    def errno(self) -> int | None:
        """Return the error number, None for our own time limits."""
        return self.error.errno


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
        attempts: each :class:`AttemptFailed`, in the order of their starts;
            empty on the error of a single attempt.  At most 64 are kept, the newest.
        count: how many addresses were dialled, also in attempts no longer kept.
        elapsed: seconds from the start of the call (of the attempt) to the failure.
        stopped: why no further round was begun (``"attempts"``, ``"deadline"``, ...), or None.
        retry_after: seconds after which a breaker lets the next attempt through, or None.

    If several attempts failed, class and errno are those of the dominant cause (all alike: that
    one; else refused, reset, timed out, permission, host, network, family or address, anything
    else), and ``__cause__`` is an ``ExceptionGroup`` of all of them.
    """

    address: Any = None
    family: int = 0
    stage: Stage = "connect"
    attempts: tuple[AttemptFailed, ...] = ()
    count: int = 0
    elapsed: float = 0.0
    stopped: str | None = None
    retry_after: float | None = None

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
        return sentence(
            self.target,
            self._facts(),
            count=self.count,
            elapsed=self.elapsed,
            stopped=self.stopped,
            hint=self.hint,
        )

    def _facts(self) -> list[Fact]:
        """Return what happened at each address, the dominant cause first."""
        entries = [(a.error, a.address) for a in self.attempts] or [(self, self.address)]
        entries.sort(key=lambda entry: rank(entry[0]))
        return [(*error._own_words(), address) for error, address in entries]

    def _own_words(self) -> tuple[str, str]:
        """Return what this error says itself, where that says more, and its cause's phrase."""
        cause = self._cause or OTHER
        if not cause.speaks:
            return "", cause.phrase
        # An error without a number has its text in `args` alone.
        words = self.strerror or "".join(map(str, self.args[:1])) or self.code
        return words, cause.phrase

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep everything through pickle and copy; the cause is rebuilt from the attempts."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))

    def group(self) -> ExceptionGroup[ConnectError] | None:
        """Return the errors of all kept attempts as a group, or None if there are none."""
        errors = [attempt.error for attempt in self.attempts]
        return ExceptionGroup(f"cannot connect to {self.target}", errors) if errors else None


OTHER = Cause(
    "_OTHER",
    ConnectError,
    Help.SAME | Help.OTHER,
    "failed at",
    "look the error number up",
    speaks=True,
)
"""What is said of a cause that nobody knows."""


def rank(error: ConnectError) -> int:
    """Return the error's place in the order of dominance."""
    return (error._cause or OTHER).rank


def _rebuild(cls: type[ConnectError], args: tuple[Any, ...], state: dict[str, Any]) -> ConnectError:
    error = cls(*args)
    error.__dict__.update(state)
    if len(error.attempts) > 1:
        error.__cause__ = error.group()
    return error


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
