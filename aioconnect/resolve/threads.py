"""``getaddrinfo`` in a few daemon threads of our own.

libc's resolver knows everything that this host is configured for (hosts file, search domains,
mDNS, VPNs, NSS modules), but it blocks, for ten seconds and more when a name server is silent,
and it cannot be interrupted.  So it runs in threads.  Not in the loop's default executor:

- a ``ThreadPoolExecutor`` is joined when the interpreter exits, so a hung look-up would hold the
  exit; daemon threads don't;
- hung look-ups would take the program's own workers, and busy workers would delay names;
- look-ups that nobody waits for any more would stay in its queue.

Here the same question asked by many is one look-up, and a look-up whose last asker has left
before its turn is never made.  Threads are made when needed and end when idle.

**Names that hang don't keep good ones out.**  A look-up that has run for ``HANGS_AFTER`` seconds
hangs, and no longer counts against the number of threads; up to ``MOST_HUNG`` may.

Nothing here needs a loop: the blocking driver uses it too.

Source: getaddrinfo(3); resolv.conf(5) for the time a silent server takes (timeout x attempts).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections import OrderedDict
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from .answers import again, failure, not_resolved
from .background import ALARMS, LOOP
from .per_loop import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from ..errors import ConnectError
    from .base import Put, Resolver


__all__ = [
    "SHARED",
    "Lookups",
    "Ticket",
    "check_descriptors",
    "submit_name",
]

logger = logging.getLogger("aioconnect.resolve")

THREADS = 2 * min(16, (os.cpu_count() or 1) + 4)
"""Threads that don't hang: twice as many as a default executor has; at most 32."""

HANGS_AFTER = 1.0
MOST_HUNG = 256
IDLE = 5.0


# The threads --------------------------------------------------------------------------------------


class Lookups:
    """Look-ups in a few daemon threads.

    Args:
        threads: how many there are at most, besides those that hang.
        prompt: seconds after which a look-up hangs.
        most_hung: how many may hang, in threads beyond ``threads``.
        idle: seconds without work after which a thread ends.
    """

    def __init__(
        self,
        threads: int = THREADS,
        *,
        prompt: float = HANGS_AFTER,
        most_hung: int = MOST_HUNG,
        idle: float = IDLE,
    ) -> None:
        if threads < 1:
            raise ValueError("there must be at least one thread")
        self._most = threads
        self._prompt = prompt
        self._most_hung = most_hung
        self._patience = idle
        self._names = count(1)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew, without threads and without work: what a forked child does."""
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, _Job] = {}
        self._queued: OrderedDict[Hashable, _Job] = OrderedDict()  # the oldest first
        self._running: OrderedDict[_Job, None] = OrderedDict()  # that don't hang, the oldest first
        self._hung: set[_Job] = set()
        self._idle: list[_Worker] = []
        self._threads = 0
        self._alarmed = False

    def call(
        self,
        key: Hashable,
        name: str,
        family: int,
        ask: Callable[[], Any],
        done: Callable[[Any], None],
    ) -> Ticket:
        """Call something in a thread, once for all who ask with the same key meanwhile.

        Args:
            key: of the question.
            name: what is looked up, for errors.
            family: what it is looked up for, for errors.
            ask: blocks; what it returns, or raises, is the outcome.
            done: called once with the outcome, from a thread of ours; not after the ticket was
                cancelled, unless it was about to be called just then.

        Returns:
            What the asker can leave by.
        """
        with self._lock:
            job = self._jobs.get(key)
            to_start: list[_Job] = []
            if job is None:
                job = self._jobs[key] = self._queued[key] = _Job(key, name, family, ask)
                to_start = self._dispatch()
            ticket = Ticket(self, job, done)
            job.tickets.add(ticket)
        for each in to_start:
            self._start(each)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Wait no longer; see :meth:`Ticket.cancel`."""
        with self._lock:
            job = ticket.job
            job.tickets.discard(ticket)
            if not job.tickets and self._queued.pop(job.key, None) is not None:
                del self._jobs[job.key]

    def lacking(self, name: str) -> ConnectError | None:
        """Return what this host lacks if a look-up of the name waits for a thread."""
        with self._lock:
            for job in self._queued.values():
                if job.name == name:
                    return self._no_thread(job)
        return None

    def _no_thread(self, job: _Job) -> ConnectError:
        said = f"{len(self._hung)} look-ups hang, and no thread is left"
        return not_resolved(socket.EAI_MEMORY, said, job.name, job.family, monotonic() - job.asked)

    # The following are called with the lock held -------------------------------------------------

    def _dispatch(self) -> list[_Job]:
        """Give queued jobs to idle threads; return those for which a thread must be started."""
        to_start = []
        while (job := self._next()) is not None:
            if self._idle:
                self._hand_over(job)
            else:
                self._threads += 1
                to_start.append(job)
        if not self._alarmed and self._queued and self._running:
            oldest = next(iter(self._running))
            self._alarmed = True
            # Not at once: if as many hang as may, the oldest of these has hung for long.
            soonest = monotonic() + self._prompt / 4
            ALARMS.set(max(oldest.began + self._prompt, soonest), self._look_again)
        return to_start

    def _hand_over(self, job: _Job) -> None:
        worker = self._idle.pop()  # the last to become idle, so that the others may end
        worker.job = job
        worker.wake.release()

    def _next(self) -> _Job | None:
        """Take the oldest job, if one more may run."""
        if not self._queued:
            return None
        self._count_hung()
        if len(self._running) >= self._most:
            return None
        _, job = self._queued.popitem(last=False)
        self._running[job] = None
        job.began = monotonic()
        return job

    def _count_hung(self) -> None:
        late = monotonic() - self._prompt
        while self._running and len(self._hung) < self._most_hung:
            job = next(iter(self._running))
            if job.began > late:
                break
            del self._running[job]
            self._hung.add(job)

    def _ended(self, job: _Job) -> None:
        self._hung.discard(job)
        self._running.pop(job, None)

    def _land(self, job: _Job) -> list[Ticket]:
        """Take the job off the list; return who waits for it."""
        del self._jobs[job.key]
        tickets = list(job.tickets)
        job.tickets.clear()
        return tickets

    # The threads ---------------------------------------------------------------------------------

    def _look_again(self) -> None:
        """Start what may start since look-ups hang that did not before."""
        failed: list[tuple[_Job, list[Ticket]]] = []
        with self._lock:
            self._alarmed = False
            to_start = self._dispatch()
            if len(self._hung) >= self._most_hung:
                late = monotonic() - self._prompt
                for job in [job for job in self._queued.values() if job.asked <= late]:
                    del self._queued[job.key]
                    failed.append((job, self._land(job)))
        for job, tickets in failed:
            _tell(job, tickets, self._no_thread(job))
        for job in to_start:
            self._start(job)

    def _start(self, job: _Job) -> None:
        # Outside the lock: start() waits until the thread runs.
        thread = threading.Thread(
            target=self._work,
            args=(job,),
            name=f"aioconnect-resolver-{next(self._names)}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as exc:  # RLIMIT_NPROC, or no memory for its stack
            with self._lock:
                self._threads -= 1
                self._ended(job)
                self._queued[job.key] = job
                if self._idle and (waiting := self._next()) is not None:
                    self._hand_over(waiting)
                if self._threads:
                    return  # one of them will come to it
                stranded = list(self._queued.values())
                self._queued.clear()
                told = [(job, self._land(job)) for job in stranded]
            for job, tickets in told:
                error = not_resolved(socket.EAI_MEMORY, str(exc), job.name, job.family)
                _tell(job, tickets, error)

    def _work(self, job: _Job | None) -> None:
        worker = _Worker()
        while job is not None:
            outcome = job.run()
            with self._lock:
                tickets = self._land(job)
                self._ended(job)
                following = self._next()
                if following is None:
                    self._idle.append(worker)
            _tell(job, tickets, outcome)
            del outcome, tickets
            job = following if following is not None else self._wait(worker)

    def _wait(self, worker: _Worker) -> _Job | None:
        """Return what an idle thread is given; None after some seconds without anything."""
        if not worker.wake.acquire(timeout=self._patience):
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    self._threads -= 1
                    return None
            worker.wake.acquire()  # a job was given in the very last moment
        job, worker.job = worker.job, None
        return job


def _tell(job: _Job, tickets: list[Ticket], outcome: Any) -> None:
    for number, ticket in enumerate(tickets):
        if number and isinstance(outcome, BaseException):
            outcome = again(outcome)
        try:
            ticket.done(outcome)
        except Exception:
            logger.exception("what waited for %r failed", job.name)


class Ticket:
    """The place of one asker in a look-up."""

    __slots__ = ("_lookups", "done", "job")

    def __init__(self, lookups: Lookups, job: _Job, done: Callable[[Any], None]) -> None:
        self._lookups = lookups
        self.job = job
        self.done = done

    def cancel(self) -> None:
        """Wait no longer.  A look-up that nobody waits for leaves the queue; one that runs runs."""
        self._lookups.leave(self)


class _NoTicket:
    """The ticket of a search that has ended."""

    def cancel(self) -> None:
        """Do nothing."""


NO_TICKET = _NoTicket()


class _Job:
    """One look-up, and who waits for it."""

    __slots__ = ("ask", "asked", "began", "family", "key", "name", "tickets")

    def __init__(self, key: Hashable, name: str, family: int, ask: Callable[[], Any]) -> None:
        self.key = key
        self.name = name
        self.family = family
        self.ask = ask
        self.asked = self.began = monotonic()
        self.tickets: set[Ticket] = set()

    def run(self) -> Any:
        try:
            return self.ask()
        except OSError as exc:
            error = failure(exc, self.name, self.family, monotonic() - self.asked)
            error.__traceback__ = None
            return error
        except BaseException as exc:
            return exc


class _Worker:
    """A thread that waits for its next job."""

    __slots__ = ("job", "wake")

    def __init__(self) -> None:
        self.job: _Job | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


def check_descriptors() -> None:
    """Raise EMFILE or ENFILE if that may be why: resolvers then blame the name or its server."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise


SHARED = Lookups()
"""The threads of the whole process; there are none before the first look-up."""


def submit_name(resolver: Resolver, name: str, families: Sequence[int], put: Put) -> Any:
    """Search for a name, for a program without a loop.

    Args:
        resolver: its own ``submit_name`` is used if it has one; otherwise its coroutines run on
            one loop, in a daemon thread that all such resolvers share.
        name: a host name in ASCII.
        families: ``(AF_INET6, AF_INET)``, or one of them.
        put: called from any thread with each :class:`Answer`, then exactly once with None (the
            search has ended) or with the exception.  Not after ``cancel()``, except for a call
            that was about to be made.

    Returns:
        A ticket; ``cancel()`` says that nobody waits any more.
    """
    own: Callable[[str, Sequence[int], Put], Any] | None = getattr(resolver, "submit_name", None)
    if own is not None:
        return own(name, families, put)
    return LOOP.submit(resolver, name, families, put)
