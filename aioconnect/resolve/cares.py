"""One c-ares channel on one event loop.

c-ares sends the queries, repeats them, changes servers, falls back to TCP and reads the hosts
file; it is driven here by the loop's own readiness and timers.  Why not by ``aiodns``, which
wraps the same channel:

- There c-ares runs in a thread of its own, and each answer wakes the loop from it.  Here a
  thousand answers are read in a few turns of the loop, and no thread, inotify instance or
  descriptor exists while nothing is being asked.
- A channel costs 40 microseconds here against 230 there, so it can be thrown away: the only way
  to make c-ares forget what it has cached (see :mod:`.queries`).
- ``cancel`` there ends everybody's queries, and the loop must outlive them all; here a channel
  knows who waits for it.

Source: ares_init_options(3), ARES_OPT_SOCK_STATE_CB; ares_process_fd(3); ares_timeout(3).
"""

from __future__ import annotations

import socket
import weakref
from functools import partial
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

from ..about import DISTRIBUTION
from .fork import renew_in_child

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from collections.abc import Callable, Mapping

__all__ = ["Channel", "Outcome", "Unusable", "check"]

try:
    pycares: Any = import_module("pycares")
    errors: Any = import_module("pycares.errno")
except ImportError as exc:
    raise ImportError(f"c-ares is missing: install {DISTRIBUTION}[aiodns]") from exc

_NO_SORT = 1 << 7
"""ARES_AI_NOSORT of ares.h: the order is found in :mod:`.order`, with the same answers for all."""

_NO_SOCKET: int = pycares.ARES_SOCKET_BAD
_SOONEST, _LATEST = 0.01, 0.25
"""Seconds between two looks at c-ares' own timeouts, which change with the servers' answers."""


Outcome: TypeAlias = tuple[int, Any, int | None]
"""A query's number, c-ares' result and its status (None: it went well)."""


class Unusable(Exception):
    """There can be no channel: ``status`` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(errors.strerror(status))
        self.status = status


def check(options: Mapping[str, Any]) -> None:
    """Refuse options that no channel can be made of, as a ``ValueError``."""
    if options:
        try:
            _make(options, _ignore).close()
        except Unusable as exc:
            raise ValueError(f"c-ares does not take {dict(options)}: {exc}") from None


def _make(options: Mapping[str, Any], changed: Callable[..., None]) -> Any:
    try:
        return pycares.Channel(sock_state_cb=changed, **options)
    except pycares.AresError as exc:
        known = exc.args[0] if exc.args and isinstance(exc.args[0], int) else errors.ARES_ENOMEM
        raise Unusable(known) from None


def _ignore(*_: object) -> None:
    pass


class Channel:
    """A c-ares channel that reads and writes when the loop says so.

    Args:
        loop: where it lives; all of this is for its thread only.
        options: keywords of ``pycares.Channel``.
        tell: a method, called with outcomes, and whether they were there at once; outside of any
            callback of c-ares.

    Raises:
        Unusable: there can be none.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        options: Mapping[str, Any],
        tell: Callable[[list[Outcome], bool], None],
    ) -> None:
        self.born = monotonic()
        self.pending = 0
        self.closed = False
        self._loop = weakref.ref(loop)
        self._tell = _weakly(tell)
        self._watched: dict[int, tuple[bool, bool]] = {}  # descriptor: for reading, for writing
        self._timer: TimerHandle | None = None
        self._outcomes: list[Outcome] = []
        # c-ares keeps the two callbacks, and must not keep the channel through them.
        self._answered_weakly = _weakly(self._answered)
        self._cares = _make(options, _weakly(self._changed))

    def ask(self, number: int, name: bytes, family: int) -> None:
        """Begin a query; ``tell`` may be called before this returns (hosts file, cache)."""
        self.pending += 1
        self._cares.getaddrinfo(
            name,
            None,
            family=family,
            type=socket.SOCK_STREAM,
            flags=_NO_SORT,
            callback=partial(self._answered_weakly, number),
        )
        if self._outcomes:
            self._settle(at_once=True)
        if self.pending and self._timer is None:
            self._wake_later()

    def cancel(self) -> None:
        """End all queries; those who asked are told ``ARES_ECANCELLED``."""
        if not self.closed:
            self._cares.cancel()
            self._settle()

    def close(self) -> None:
        """End all queries without a word, and give everything back."""
        if self.closed:
            return
        self.closed = True
        self._stop_timer()
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            for descriptor, (reading, writing) in self._watched.items():
                if reading:
                    loop.remove_reader(descriptor)
                if writing:
                    loop.remove_writer(descriptor)
        self._watched.clear()
        self._outcomes.clear()
        self._cares.cancel()  # closes its sockets
        self._cares.close()

    def leave_alone(self) -> None:
        """Do nothing more with the loop: in a forked child it shares its epoll with the parent."""
        self.closed = True
        self._watched.clear()
        self._timer = None

    def __del__(self) -> None:
        if hasattr(self, "_cares"):
            self.close()

    # Called by c-ares, within one of the calls below or above -------------------------------------

    def _changed(self, descriptor: int, reading: bool, writing: bool) -> None:
        loop = self._loop()
        if self.closed or loop is None or loop.is_closed():
            return
        was_reading, was_writing = self._watched.pop(descriptor, (False, False))
        if reading or writing:
            self._watched[descriptor] = (reading, writing)
        if reading and not was_reading:
            loop.add_reader(descriptor, self._process, descriptor, _NO_SOCKET)
        elif was_reading and not reading:
            loop.remove_reader(descriptor)
        if writing and not was_writing:
            loop.add_writer(descriptor, self._process, _NO_SOCKET, descriptor)
        elif was_writing and not writing:
            loop.remove_writer(descriptor)

    def _answered(self, number: int, result: Any, status: int | None) -> None:
        # Only noted: neither may those who wait ask or cancel from within c-ares, nor an
        # exception of theirs get lost in C.
        if not self.closed:
            self._outcomes.append((number, result, status))

    # Called by the loop --------------------------------------------------------------------------

    def _process(self, to_read: int, to_write: int) -> None:
        if not self.closed:
            self._cares.process_fd(to_read, to_write)
            self._settle()

    def _settle(self, *, at_once: bool = False) -> None:
        outcomes, self._outcomes = self._outcomes, []
        self.pending -= len(outcomes)
        if not self.pending:
            self._stop_timer()
        if outcomes:
            self._tell(outcomes, at_once)

    def _wake_later(self) -> None:
        loop = self._loop()
        if loop is not None:
            delay = min(max(self._cares.timeout(), _SOONEST), _LATEST)
            self._timer = loop.call_later(delay, self._look_at_timeouts)

    def _look_at_timeouts(self) -> None:
        self._timer = None
        self._process(_NO_SOCKET, _NO_SOCKET)
        if self.pending and not self.closed and self._timer is None:
            self._wake_later()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _weakly(method: Callable[..., None]) -> Callable[..., None]:
    """Return what calls the method while its object lives, and does not keep it alive."""
    return partial(_call, weakref.WeakMethod(method))


def _call(method: weakref.WeakMethod[Callable[..., None]], *arguments: Any) -> None:
    function = method()
    if function is not None:
        function(*arguments)


class _ShutdownThread:
    """The thread by which pycares destroys channels: a forked child must start its own."""

    def renew(self) -> None:
        # It has no public name (pycares#239): without it, channels closed in a child are never
        # freed.
        former = getattr(pycares, "_shutdown_manager", None)
        if former is not None:
            pycares._shutdown_manager = type(former)()


_shutdown_thread = _ShutdownThread()
renew_in_child(_shutdown_thread)
