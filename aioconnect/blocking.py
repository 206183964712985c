"""The same without an event loop: the blocking twin, by poll(2).

The decisions, the attempts and the errors are those of the asynchronous side; only the waiting
differs.  A signal does not cut a wait short, and costs nothing of its time limit: Python's
``poll`` goes on with what is left (PEP 475).
"""

from __future__ import annotations

import math
import os
import select
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import attempt, wait
from .call import Call
from .dialer import Dialer, check_family
from .engine import check_address, check_socket, check_timeout, expired
from .targets import parse_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence
    from typing import Unpack

    from .events import Stage
    from .options import ConnectOptions, Options
    from .race import Candidate
    from .resolve.base import Answer, Resolver
    from .targets import Target, TargetLike

__all__ = ["connect", "connect_wait", "sock_connect"]


def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect as :func:`aioconnect.connect` does, and block until it is done.

    Args:
        target: as for :func:`aioconnect.connect`.
        port: 1 to 65535.
        **options: as for :func:`aioconnect.connect`.

    Returns:
        A connected *blocking* socket without a time-out, close-on-exec; the caller owns it.

    Raises:
        ConnectError: no connection.
        ValueError, TypeError: bad input, before any I/O.
    """
    dialer = Dialer(**options)
    call = PollCall(check_family(parse_all(target, port), dialer), dialer)
    try:
        if not call.start():
            steps = call.run()
            try:
                for until in steps:
                    call.wait(until)
            finally:
                steps.close()
    finally:
        call.close()
    assert call.sock is not None
    call.sock.setblocking(True)
    return call.sock


def connect_wait(sock: socket.socket, *, timeout: float | None = None) -> None:
    """Wait until a pending non-blocking connect on ``sock`` has completed.

    As :func:`aioconnect.connect_wait`, with poll(2).  The socket stays the caller's.

    Args:
        sock: the caller's socket.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it failed, nothing was pending, or the time was up.

    Source: connect(2), EINPROGRESS.
    """
    check_socket(sock)
    _drive(sock, wait.waiting(sock), check_timeout(timeout), "wait", None)


def sock_connect(sock: socket.socket, address: Any, *, timeout: float | None = None) -> None:
    """Connect the caller's own socket to one numeric address, and block until it is done.

    As :func:`aioconnect.sock_connect`; the socket may be blocking, and is left as it was.

    Args:
        sock: the caller's socket; never closed here.
        address: a numeric socket address, or a path.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it could not be connected.
        ValueError, TypeError: bad input, before any I/O.

    Source: connect(2).
    """
    check_socket(sock)
    address = check_address(sock, address)
    limit = check_timeout(timeout)
    before = sock.gettimeout()
    if before == 0 or sock.fileno() == -1:
        _drive(sock, attempt.connecting(sock, address), limit, "connect", address)
        return
    sock.setblocking(False)
    try:
        _drive(sock, attempt.connecting(sock, address), limit, "connect", address)
    finally:
        if sock.fileno() != -1:
            sock.settimeout(before)


def _drive(
    sock: socket.socket,
    steps: Generator[float | None, None, None],
    timeout: float,
    stage: Stage,
    address: Any,
) -> None:
    started = monotonic()
    poll = select.poll()
    for pause in steps:
        if pause is None:
            poll.register(sock, select.POLLOUT)
        until = started + timeout if pause is None else min(started + timeout, pause)
        ready = _poll(poll, until)
        if pause is None:
            poll.unregister(sock)
        now = monotonic()
        if not ready and now - started >= timeout:
            raise expired(sock, pause, stage, address, now - started)


def _poll(poll: select.poll, until: float) -> list[tuple[int, int]]:
    """Poll until the instant ``until``; poll(2) counts in milliseconds, rounded up by Python."""
    while True:
        left = until - monotonic()
        ready = poll.poll(None if left == math.inf else max(left, 0.0) * 1000)
        if ready or monotonic() >= until:
            return ready


class PollCall(Call):
    """A call that waits in poll(2)."""

    _pipe: tuple[int, int] | None = None  # by which the resolver's threads wake us

    def __init__(self, targets: Sequence[Target], options: Options) -> None:
        super().__init__(targets, options)
        self._watched: dict[int, Candidate] = {}
        self._poll = select.poll()
        self._tickets: list[Any] = []
        self._lock = threading.Lock()

    def watch(self, candidate: Candidate) -> None:
        assert candidate.sock is not None
        fd = candidate.sock.fileno()
        self._watched[fd] = candidate
        self._poll.register(fd, select.POLLOUT)

    def unwatch(self, candidate: Candidate) -> None:
        assert candidate.sock is not None
        fd = candidate.sock.fileno()
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, until: float) -> None:
        if self.items:
            return
        for fd, _ in _poll(self._poll, until):
            candidate = self._watched.pop(fd, None)
            if candidate is None:
                os.read(fd, 512)  # the pipe: items are there already
            else:
                self._poll.unregister(fd)
                self.items.append(candidate)

    def look_up(self, resolver: Resolver, target: int, name: str, family: int) -> None:
        from .resolve.threads import submit

        if self._pipe is None:
            self._pipe = os.pipe()
            os.set_blocking(self._pipe[1], False)
            self._poll.register(self._pipe[0], select.POLLIN)

        def done(answer: Answer | BaseException) -> None:  # in the resolver's thread
            with self._lock:
                if self._pipe is not None:
                    self.items.append((target, family, answer))
                    os.write(self._pipe[1], b"!")

        self._tickets.append(submit(resolver, name, family, done))

    def end_lookups(self, *, finish: bool) -> None:
        for ticket in self._tickets:
            ticket.cancel()

    def close(self) -> None:
        with self._lock:
            if self._pipe is not None:
                os.close(self._pipe[0])
                os.close(self._pipe[1])
                self._pipe = None
