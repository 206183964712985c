"""The blocking driver: it waits, by poll(2), for what a call waits for.

A signal does not cut a wait short, and costs nothing of its time limit: Python's ``poll`` goes on
with what is left (PEP 475).
"""

from __future__ import annotations

import os
import select
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from .wait import WRITE, new_poll

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Sequence

    from .driver import Driven, Told, World
    from .resolve.base import Answer, Resolver

__all__ = ["PollDriver"]

A_DAY = 86400.0
"""Seconds for one poll(2) at most: it counts milliseconds in an int."""


class PollDriver:
    """The driver of one call or wait in a program without a loop."""

    __slots__ = ("_lock", "_pipe", "_poll", "_watched", "clock", "world")

    def __init__(self) -> None:
        self.clock: Any = monotonic
        self.world: World | None = None
        self._poll: select.poll | None = None  # from the first time that something must be waited
        self._watched: dict[int, tuple[Driven, socket.socket]] = {}
        self._pipe: tuple[int, int] | None = None  # by which the resolver's threads wake us
        self._lock: Any = None

    def drive(self, driven: Driven) -> None:
        """Step until it has ended; it is closed when an exception comes out."""
        try:
            until = driven.step()
            while until is not None:
                self._wait(driven, until)
                until = driven.step()
        except BaseException:
            driven.close()
            raise
        finally:
            if self._pipe is not None:
                self._close_pipe()

    def watch(self, driven: Driven, sock: socket.socket, events: int = WRITE) -> None:
        """Put ``(sock, mask)`` once when the socket is ready for ``events``, failed or hung up."""
        fd = sock.fileno()
        self._poller().register(fd, events)
        self._watched[fd] = (driven, sock)

    def unwatch(self, sock: socket.socket) -> None:
        """Watch the socket no longer, if it is watched."""
        fd = sock.fileno()
        entry = self._watched.get(fd)
        if entry is not None and entry[1] is sock:
            del self._watched[fd]
            self._poller().unregister(fd)

    def look_up(
        self, told: Told, asked: Any, resolver: Resolver, name: str, families: Sequence[int]
    ) -> Any:
        """Look a name up in the resolver's threads; see :class:`~aioconnect.driver.Driver`."""
        from .resolve.threads import submit_name

        if self._pipe is None:
            self._open_pipe()

        def put(answer: Answer | BaseException | None) -> None:  # in the resolver's thread
            with self._lock:
                if self._pipe is not None:
                    told.put((asked, answer))
                    os.write(self._pipe[1], b"!")

        return submit_name(resolver, name, families, put)

    def let_finish(self, tickets: Sequence[Any]) -> None:
        """Wait for look-ups no longer: those that run in threads run on."""
        for ticket in tickets:
            ticket.cancel()

    def run(self, driven: Driven, key: Any, stage: Coroutine[Any, Any, Any]) -> Any:
        """Refuse a stage that needs an event loop."""
        stage.close()
        raise TypeError("this handshake needs an event loop: it is a coroutine")

    def _wait(self, driven: Driven, until: float) -> None:
        """Return when something happened, or at ``until``."""
        while not driven.items:
            left = until - monotonic()
            # poll(2) counts in milliseconds, rounded up by Python.
            span = None if left == inf else min(max(left, 0.0), A_DAY) * 1000
            for fd, mask in self._poller().poll(span):
                entry = self._watched.pop(fd, None)
                if entry is None:
                    os.read(fd, 512)  # the pipe: items are there already
                else:
                    self._poller().unregister(fd)
                    entry[0].put((entry[1], mask))
            if monotonic() >= until:
                return

    def _poller(self) -> select.poll:
        if self._poll is None:
            self._poll = new_poll()
        return self._poll

    def _open_pipe(self) -> None:
        self._lock = threading.Lock()
        self._pipe = os.pipe()
        os.set_blocking(self._pipe[1], False)
        self._poller().register(self._pipe[0], select.POLLIN)

    def _close_pipe(self) -> None:
        with self._lock:
            if self._pipe is not None:
                pipe, self._pipe = self._pipe, None
                os.close(pipe[0])
                os.close(pipe[1])
