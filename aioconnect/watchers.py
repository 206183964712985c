"""Two ways to wait for sockets on an event loop: an epoll of our own, or the loop's own methods.

Each reports a socket once.  A descriptor that was closed while a copy of it is open cannot be taken
out of an epoll: so there it is asked for with ``EPOLLONESHOT``.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING

from .wait import WRITE

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from .driver import Driven

__all__ = ["Epoll", "LoopWatcher"]

_ONCE = getattr(select, "EPOLLONESHOT", 0)


class Epoll:
    """Sockets that are waited for, in an epoll of our own; each is reported once."""

    __slots__ = ("__weakref__", "_epoll", "_waiting")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._waiting: dict[int, tuple[Driven, socket.socket, int]] = {}

    def fileno(self) -> int:
        """Return the descriptor that the loop watches."""
        return self._epoll.fileno()

    def add(self, driven: Driven, sock: socket.socket, events: int) -> None:
        """Put ``(sock, mask)`` once when the socket is ready."""
        fd = sock.fileno()
        self._epoll.register(fd, events | _ONCE)
        stale = self._waiting.get(fd)
        self._waiting[fd] = (driven, sock, events)
        if stale is not None:
            # Its descriptor was closed under it, which epoll forgets in silence, and the number
            # was given to this socket: let it look at its own.
            stale[0].put((stale[1], 0))

    def remove(self, sock: socket.socket) -> None:
        """Wait for the socket no longer, if it is waited for."""
        fd = sock.fileno()
        entry = self._waiting.get(fd)
        if entry is not None and entry[1] is sock:
            del self._waiting[fd]
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        try:  # noqa: SIM105  # contextlib.suppress costs more than the system call
            self._epoll.unregister(fd)
        except OSError:  # closed by its owner, and so no longer in the set
            pass

    def dispatch(self) -> None:
        """Report what is ready: the loop's callback."""
        waiting = self._waiting
        complete = False
        try:
            for fd, mask in self._epoll.poll(0):
                entry = waiting.get(fd)
                if entry is not None:
                    entry[0].put((entry[1], mask))
                    waiting.pop(fd, None)
                self._forget(fd)
            complete = True
        finally:
            if not complete:
                self._report_again()

    def _report_again(self) -> None:
        """Whatever was raised, nobody else loses a readiness."""
        for fd, (_, _, events) in tuple(self._waiting.items()):
            with contextlib.suppress(OSError):
                self._epoll.modify(fd, events | _ONCE)


class LoopWatcher:
    """The same by the loop's own methods, for systems without epoll."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: Callable[[], AbstractEventLoop | None]) -> None:
        self._loop = loop
        self._waiting: dict[int, tuple[Driven, socket.socket]] = {}

    def itself(self) -> LoopWatcher:
        """Return itself, as a reference to an ``Epoll`` does."""
        return self

    def add(self, driven: Driven, sock: socket.socket, events: int) -> None:
        """Put ``(sock, mask)`` once when the socket is ready."""
        fd = sock.fileno()
        if fd in self._waiting:
            raise FileExistsError(f"descriptor {fd} is waited for already")
        loop = asyncio.get_running_loop()
        add = loop.add_writer if events == WRITE else loop.add_reader
        add(fd, self._ready, fd, sock)
        self._waiting[fd] = (driven, sock)

    def remove(self, sock: socket.socket) -> None:
        """Wait for the socket no longer, if it is waited for."""
        fd = sock.fileno()
        entry = self._waiting.get(fd)
        if entry is not None and entry[1] is sock:
            self._forget(fd)

    def _forget(self, fd: int) -> tuple[Driven, socket.socket] | None:
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            loop.remove_writer(fd)
            loop.remove_reader(fd)
        return self._waiting.pop(fd, None)

    def _ready(self, fd: int, sock: socket.socket) -> None:
        entry = self._forget(fd)
        if entry is not None:
            driven, sock = entry
            driven.put((sock, 0))
