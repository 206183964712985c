"""What a resolver keeps for each loop, how threads reach a loop, and what a forked child does.

A resolver may be shared by loops in several threads.  After a fork only the forking thread goes
on in the child: a lock that another thread held stays locked for ever, worker threads are gone,
and what belonged to the parent's loops belongs to nobody.  So the child begins anew.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import AsyncGenerator, Callable

__all__ = ["Mailbox", "PerLoop", "close_with_loop", "mailbox_of", "renew_in_child", "settle"]

Thing = TypeVar("Thing")


class Renewable(Protocol):
    """Something that must begin anew in a forked child."""

    def renew(self) -> None:
        """Drop locks, threads and what was kept for the parent's loops."""


def renew_in_child(thing: Renewable) -> None:
    """Call ``thing.renew()`` in each child forked from now on, while it lives."""
    _renewables.add(thing)


_renewables: weakref.WeakSet[Renewable] = weakref.WeakSet()


def _renew_all() -> None:
    for thing in tuple(_renewables):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


class Closable(Protocol):
    """Something that is closed when its loop ends."""

    closed: bool

    def close(self) -> None:
        """Give everything back."""


class PerLoop(Generic[Thing]):
    """One thing for each loop, made when it is first asked for.

    Args:
        make: makes it, given the loop; it must not keep the loop alive.
    """

    def __init__(self, make: Callable[[AbstractEventLoop], Thing]) -> None:
        self._make = make
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew: what a forked child does."""
        if hasattr(self, "_kept"):
            _of_the_parent.extend(self._kept.values())
        self._lock = threading.Lock()
        self._kept: weakref.WeakKeyDictionary[AbstractEventLoop, Thing] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, loop: AbstractEventLoop) -> Thing:
        """Return what is kept for a loop; call it from that loop's thread."""
        kept = self._kept.get(loop)
        if kept is None:
            with self._lock:
                for other in [other for other in self._kept if other.is_closed()]:
                    self._kept.pop(other, None)
                kept = self._kept[loop] = self._make(loop)
        return kept

    def pop(self, loop: AbstractEventLoop) -> Thing | None:
        """Forget what is kept for a loop, and return it."""
        with self._lock:
            return self._kept.pop(loop, None)


def close_with_loop(thing: Closable) -> None:
    """Close a thing when the running loop shuts its asynchronous generators down."""
    keeper = _keep(weakref.ref(thing))
    # A generator keeps the hook that finalizes it, and by that the loop: this one needs none.
    finalizer = sys.get_asyncgen_hooks().finalizer
    sys.set_asyncgen_hooks(finalizer=None)
    try:
        with suppress(StopIteration):  # it has yielded, and the loop knows of it
            keeper.__anext__().__await__().send(None)
    finally:
        sys.set_asyncgen_hooks(finalizer=finalizer)
    weakref.finalize(thing, _end, keeper).atexit = False


async def _keep(thing: weakref.ref[Closable]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        alive = thing()
        if alive is not None:
            alive.close()


def _end(keeper: AsyncGenerator[None, None]) -> None:
    with suppress(StopIteration, RuntimeError):  # it awaits nothing; it may be what runs
        keeper.aclose().__await__().send(None)


_of_the_parent: list[Any] = []
"""What a child must never finalize: it would do so with the parent's loops and descriptors."""

CROWD = 4
SOON = 0.001


class Mailbox:
    """What threads have for one loop: it is woken once for all that lies in it.

    Waking a loop is a system call, and a thread that makes one gives up the interpreter.  When
    answers come in crowds the loop is not woken at all but looks again soon: a thousand names at
    once take a fifth less CPU time so, and one or two no longer than ever.
    """

    __slots__ = ("_items", "_loop", "_woken")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._items: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._woken = False

    def put(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Have the loop call something soon; from any thread, silent if the loop was closed."""
        self._items.append((callback, arguments))
        if not self._woken:
            self._woken = True
            loop = self._loop()
            if loop is not None:
                with suppress(RuntimeError):  # it was closed meanwhile
                    loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        number = len(self._items)
        loop = self._loop()
        if loop is None:
            return
        for _ in range(number):
            callback, arguments = self._items.popleft()
            try:
                callback(*arguments)
            except Exception as exc:
                loop.call_exception_handler({"message": "an answer was lost", "exception": exc})
        if number >= CROWD:
            loop.call_later(SOON, self._empty)
            return
        self._woken = False  # what is put from here on wakes the loop
        if self._items:  # and this was put just before
            self._woken = True
            loop.call_soon(self._empty)


def mailbox_of(loop: AbstractEventLoop) -> Mailbox:
    """Return the mailbox of a loop; call it from that loop's thread."""
    return _mailboxes.of(loop)


_mailboxes = PerLoop(Mailbox)


def settle(future: Future[Any], result: object) -> None:
    """Give a future its result, unless it has one or was cancelled."""
    if not future.done():
        future.set_result(result)
