"""The blocking driver: it waits, by poll(2), for what a call waits for.

A signal does not cut a wait short, and costs nothing of its time limit: Python's ``poll`` goes on
with what is left (PEP 475).
"""

from __future__ import annotations

import math
import os
import select
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from .attempt import expired
from .call import Call

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator, Sequence

    from .events import Stage
    from .options import Options
    from .race import Candidate
    from .resolve.base import Answer, Resolver
    from .targets import Target

__all__ = ["PollCall", "drive"]

A_DAY = 86400.0
"""Seconds for one poll(2) at most: it counts milliseconds in an int."""


def drive(
    sock: socket.socket,
    steps: Generator[float | None, None, None],
    timeout: float,
    stage: Stage,
    address: Any,
) -> None:
    """Wait for the caller's own socket as its steps say."""
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
        ready = poll.poll(None if left == math.inf else min(max(left, 0.0), A_DAY) * 1000)
        if ready or monotonic() >= until:
            return ready


class PollCall(Call):
    """A call that waits in poll(2)."""

    _pipe: tuple[int, int] | None = None  # by which the resolver's threads wake us

    def __init__(
        self, targets: Sequence[Target], options: Options, started: float | None = None
    ) -> None:
        super().__init__(targets, options, started)
        self._watched: dict[int, Candidate] = {}
        self._poll = select.poll()
        self._tickets: list[Any] = []
        self._lock = threading.Lock()

    def watch(self, candidate: Candidate) -> None:
        """Report the candidate once when its socket is writable."""
        assert candidate.sock is not None
        fd = candidate.sock.fileno()
        self._watched[fd] = candidate
        self._poll.register(fd, select.POLLOUT)

    def unwatch(self, candidate: Candidate) -> None:
        """Forget the candidate."""
        assert candidate.sock is not None
        fd = candidate.sock.fileno()
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def wait(self, until: float) -> None:
        """Return when something happened, or at ``until``."""
        if self.items:
            return
        for fd, _ in _poll(self._poll, until):
            candidate = self._watched.pop(fd, None)
            if candidate is None:
                os.read(fd, 512)  # the pipe: items are there already
            else:
                self._poll.unregister(fd)
                self.items.append(candidate)

    def look_up(self, resolver: Resolver, asked: tuple[int, int], name: str, family: int) -> None:
        """Begin to look up one family of a name in the resolver's threads."""
        from .resolve.threads import submit

        if self._pipe is None:
            try:
                self._pipe = os.pipe()
            except OSError as exc:  # no descriptor left: the look-up has failed
                self.items.append((asked, family, exc))
                return
            os.set_blocking(self._pipe[1], False)
            self._poll.register(self._pipe[0], select.POLLIN)

        def done(answer: Answer | BaseException) -> None:  # in the resolver's thread
            with self._lock:
                if self._pipe is not None:
                    self.items.append((asked, family, answer))
                    os.write(self._pipe[1], b"!")

        self._tickets.append(submit(resolver, name, family, done))

    def end_lookups(self, *, finish: bool) -> None:
        """Wait for look-ups no longer."""
        for ticket in self._tickets:
            ticket.cancel()

    def close(self) -> None:
        """Close the pipe by which the threads wake the call."""
        with self._lock:
            if self._pipe is not None:
                os.close(self._pipe[0])
                os.close(self._pipe[1])
                self._pipe = None
