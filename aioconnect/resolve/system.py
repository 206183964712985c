"""The system's resolver: what every other program on this host uses.  The default.

One ``getaddrinfo`` per family, so that a slow AAAA does not hold up A.  It says no time to live,
and an answer cannot be hurried; in exchange everything that the host is configured for holds.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from . import threads

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

    from .base import Answer

__all__ = ["SystemResolver"]

CROWD = 4
SOON = 0.001


class SystemResolver:
    """Looks names up by ``getaddrinfo``, in daemon threads.

    Args:
        flags: ``socket.AI_*``, as for getaddrinfo; ``AI_CANONNAME`` is always set.
        lookups: the threads; by default those that the whole process shares.

    It keeps nothing, may be shared by loops in several threads, and needs no closing.

    Source: getaddrinfo(3).
    """

    def __init__(self, *, flags: int = 0, lookups: threads.Lookups = threads.SHARED) -> None:
        self.flags = flags
        self._lookups = lookups

    def __repr__(self) -> str:
        return f"SystemResolver(flags={self.flags})"

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up one name for one family; see :meth:`.base.Resolver.lookup`.

        When cancelled, a look-up that has not begun is dropped; one that runs in libc ends by
        itself, in its daemon thread.
        """
        outcome = await self._outcome(name, family)
        if isinstance(outcome, BaseException):
            try:
                raise outcome
            finally:
                del outcome  # or it would refer to itself, through the frame of its traceback
        return outcome

    async def _outcome(self, name: str, family: int) -> Answer | BaseException:
        loop = asyncio.get_running_loop()
        mailbox = _mailboxes.get(loop)
        if mailbox is None:
            mailbox = _mailboxes[loop] = _Mailbox(loop)
        waiter: Future[Answer | BaseException] = loop.create_future()
        ticket = self.submit(name, family, partial(mailbox.put, waiter))
        try:
            return await waiter
        except BaseException:
            ticket.cancel()
            raise

    def submit(self, name: str, family: int, done: threads.Done) -> threads.Ticket:
        """Look up without a loop; see :meth:`.threads.Lookups.submit`."""
        return self._lookups.submit(name, family, done, self.flags)


class _Mailbox:
    """What the threads have for one loop: it is woken once for all that lies in it.

    Waking a loop is a system call, and a thread that makes one gives up the interpreter.  When
    answers come in crowds the loop is not woken at all but looks again soon: a thousand names at
    once take a fifth less CPU time so, and one or two no longer than ever.
    """

    __slots__ = ("_items", "_loop", "_woken")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._items: deque[tuple[Future[Answer | BaseException], Answer | BaseException]] = deque()
        self._woken = False

    def put(self, waiter: Future[Answer | BaseException], outcome: Answer | BaseException) -> None:
        """Put an outcome in, from a thread."""
        self._items.append((waiter, outcome))
        if not self._woken:
            self._woken = True
            loop = self._loop()
            if loop is not None:
                with suppress(RuntimeError):  # it was closed meanwhile
                    loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        number = len(self._items)
        for _ in range(number):
            waiter, outcome = self._items.popleft()
            if not waiter.done():
                waiter.set_result(outcome)
        loop = self._loop()
        if loop is None:
            return
        if number >= CROWD:
            loop.call_later(SOON, self._empty)
            return
        self._woken = False  # what is put from here on wakes the loop
        if self._items:  # and this was put just before
            self._woken = True
            loop.call_soon(self._empty)


_mailboxes: weakref.WeakKeyDictionary[AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()
