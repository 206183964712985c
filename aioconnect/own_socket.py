"""The caller's own socket: connected here, or waited for, and never closed.

The same waiting as for our own attempts, without a race: a driver steps it as it steps a call.
The socket is never connected again after a failure, since it is spent (see ``attempt.py``).
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from . import attempt, causes, wait
from .checks import policy as check_policy
from .driver import Ending
from .options import check_limit
from .spans import pause
from .targets import parse
from .wait import WRITE

if TYPE_CHECKING:
    from .driver import Driver
    from .errors import ConnectError
    from .terms import Stage

__all__ = ["OwnSocket", "check_address"]

_IP = (socket.AF_INET, socket.AF_INET6)
_TCP = int(socket.IPPROTO_TCP)


class OwnSocket(Ending):
    """A connect on the caller's own socket.

    Args:
        driver: who waits for it.
        sock: the caller's socket; it stays the caller's.
        address: what to connect it to, checked; None to wait for a connect that is pending.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        TypeError, ValueError: what is given is no socket, or no time.
    """

    __slots__ = (
        "_address",
        "_already",
        "_deadline",
        "_driver",
        "_pending",
        "_sock",
        "_started",
        "_tries",
        "_watched",
    )

    def __init__(
        self, driver: Driver, sock: socket.socket, address: Any, timeout: float | None
    ) -> None:
        wait.check_socket(sock)
        self.future = self.slot = None
        self.items = []
        self._driver = driver
        self._sock = sock
        self._address = address
        self._tries = 0
        self._already = False  # a connect was pending, perhaps to somewhere else
        self._pending = False
        self._watched = False  # by us, and not by somebody else who waits for it
        self._started: float = driver.clock()
        self._deadline: float = self._started + check_limit("timeout", timeout)
        self.error: ConnectError | None = None

    def step(self) -> float | None:
        """Go on; see :meth:`~aioconnect.driver.Driven.step`."""
        ready, self.items = bool(self.items), []
        if ready:
            self._watched = False
        now = self._driver.clock()
        try:
            if self._pending:
                if not ready and now < self._deadline:
                    return self._deadline
                # Whoever kept the loop has not made the peer late: look before it is.
                if not ready and not wait.ready(self._sock):
                    return self._end(self._late())
                number = wait.outcome(self._sock)
            elif self._tries and now >= self._deadline:
                return self._end(self._error(errno.EAGAIN))  # it says more than the time
            else:
                number = self._begin()
            if number == errno.EAGAIN and self._sock.family == socket.AF_UNIX:
                # A full backlog: nothing has begun, so the same socket can be connected again.
                resume: float = self._driver.clock() + pause(self._tries)
                return min(resume, self._deadline)
            if number in attempt.UNDERWAY or number == wait.SPURIOUS:
                self._pending = self._watched = True
                self._driver.watch(self, self._sock, WRITE)
                return self._deadline
            error = self._error(number) if number else self._checked()
        except OSError as exc:
            error = self._from(exc)
        return self._end(error)

    def close(self) -> None:
        """Wait for the socket no longer; it stays open."""
        if self._watched:
            self._driver.unwatch(self._sock)

    def _begin(self) -> int:
        """Return 0 if connected, EINPROGRESS or ``SPURIOUS`` if pending, else an errno."""
        sock, address = self._sock, self._address
        self._tries += 1
        if address is None:
            return wait.pending(sock)
        number, self._already = attempt.connect_own(sock, address)
        return number

    def _checked(self) -> ConnectError | None:
        """Return what is wrong with a socket that is connected, if anything is."""
        sock, address = self._sock, self._address
        if self._already and not _is_peer(sock, address):
            return self._error(errno.EALREADY)  # what was pending went to somewhere else
        if address is not None and _may_be_tcp(sock) and attempt.is_self(sock):
            return causes.connected_to_itself(address=address, family=int(sock.family))
        return None

    def _error(self, number: int) -> ConnectError:
        family = int(self._sock.family)
        bound = (
            number == errno.EADDRNOTAVAIL
            and family == socket.AF_INET6
            and self._address is not None
            and attempt.has_source(self._address)
        )
        unix = family == socket.AF_UNIX and self._address is not None
        if unix and attempt.is_other_file(number, self._address):
            return causes.not_a_socket(address=self._address, family=family)
        return causes.from_errno(
            number, stage=self._stage, address=self._address, family=family, bound=bound
        )

    def _late(self) -> ConnectError:
        self.close()
        return causes.timed_out(
            whole=True, stage=self._stage, address=self._address, family=int(self._sock.family)
        )

    def _from(self, exc: OSError) -> ConnectError:
        if isinstance(exc, FileExistsError):  # of the driver: somebody waits for it already
            self._watched = False
            exc = OSError(errno.EALREADY, "Operation already in progress")
        if exc.errno is None and "too long" in str(exc):
            exc = OSError(errno.ENAMETOOLONG, "File name too long")
        return causes.from_exception(
            exc, stage=self._stage, address=self._address, family=int(self._sock.family)
        )

    def _end(self, error: ConnectError | None) -> float | None:
        if error is not None:
            error.elapsed = self._driver.clock() - self._started
            self.error = error
        return None

    @property
    def _stage(self) -> Stage:
        return "wait" if self._address is None else "connect"


def check_address(sock: socket.socket, address: Any, policy: Any = None) -> Any:
    """Return a socket's address as connect(2) takes it; refuse what is not numeric.

    Raises:
        TypeError, ValueError: it is not of the socket's kind.
        InvalidTarget: it is of its kind, and means nothing.
        ConnectError: its interface does not exist, or the policy denies it.
    """
    policy = check_policy("address_policy", policy)
    address = _plain_address(sock, address)
    if policy is not None:
        check_peer(sock, address, policy)
    return address


def check_peer(sock: socket.socket, address: Any, policy: Any) -> None:
    """Ask a policy about the address that a socket is connected to, or will be.

    Raises:
        ConnectError: the policy denies it.
    """
    from .address_policy import denial

    endpoint = int(sock.family), int(sock.type), sock.proto, "", address
    error = denial(policy, endpoint, None)
    if error is not None:
        try:
            raise error
        finally:
            del error  # a local that refers to it would close a cycle through the traceback


def _plain_address(sock: socket.socket, address: Any) -> Any:
    if sock.family in _IP:
        if not isinstance(address, tuple):
            raise TypeError(f"an address of this socket is a tuple, not {type(address).__name__}")
        target = parse(address)
        if target.name is not None:
            raise causes.not_a_target(
                f"sock_connect takes a numeric address, not the name {target!r}"
            )
        if target.family == socket.AF_INET6 and isinstance(target.address[3], str):
            try:
                return attempt.with_scope(target.address)
            except OSError as exc:
                raise causes.from_exception(
                    exc, stage="socket", address=target.address, family=target.family
                ) from None
        return target.address
    if sock.family == socket.AF_UNIX:
        if not isinstance(address, str | bytes):
            raise TypeError(f"the address of a Unix socket is a path, not {type(address).__name__}")
        if not address or (0 in address[1:] if isinstance(address, bytes) else "\0" in address[1:]):
            raise causes.not_a_target(
                "the path of a Unix socket is not empty and has no NUL inside"
            )
    return address


def _may_be_tcp(sock: socket.socket) -> bool:
    # A caller's socket mostly has protocol 0, which is TCP for a stream.
    return sock.family in _IP and sock.type == socket.SOCK_STREAM and sock.proto in (0, _TCP)


def _is_peer(sock: socket.socket, address: Any) -> bool:
    """Whether the address is the socket's peer; no address at all stands for loopback."""
    peer = sock.getpeername()
    if sock.family not in _IP or address[0] in ("0.0.0.0", "::"):  # noqa: S104
        return bool(sock.family not in _IP or peer[1] == address[1])
    wanted, found = (socket.inet_pton(sock.family, a[0].partition("%")[0]) for a in (address, peer))
    return bool(wanted == found and peer[1] == address[1])
