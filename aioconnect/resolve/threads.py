"""``getaddrinfo`` in a few daemon threads of our own.

libc's resolver knows everything that this host is configured for (hosts file, search domains,
mDNS, VPNs, NSS modules), but it blocks, for ten seconds and more when a name server is silent,
and it cannot be interrupted.  So it runs in threads.  Not in the loop's default executor:

- a ``ThreadPoolExecutor`` is joined when the interpreter exits, so a hung look-up would hold the
  exit; daemon threads don't;
- hung look-ups would take the program's own workers, and busy workers would delay names;
- look-ups that nobody waits for any more would stay in its queue.

Here each family may hold only a part of the threads, so that AAAA queries that a name server
drops can't starve A; the same question asked by many is one look-up; and a look-up whose last
asker has left before its turn is never made.  Threads are made when needed and end when idle.

Nothing here needs a loop: the blocking driver uses it too.

Source: getaddrinfo(3); resolv.conf(5) for the time a silent server takes (timeout x attempts).
"""

from __future__ import annotations

import codecs
import errno
import logging
import os
import socket
import threading
from collections import OrderedDict
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from .base import EAI_NODATA, Answer, again, check_name, failure, not_resolved
from .fork import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from .base import Put, Resolver

    Done = Callable[[Answer | BaseException], None]

__all__ = ["SHARED", "Lookups", "Ticket", "getaddrinfo", "submit", "submit_name"]

logger = logging.getLogger("aioconnect.resolve")

codecs.lookup("idna")  # or getaddrinfo would import it later, when perhaps no descriptor is left

THREADS = 2 * min(16, (os.cpu_count() or 1) + 4)
"""Two families ask, each with about as many threads as a default executor has; at most 32."""

RESERVED = THREADS // 4
IDLE = 5.0


class Lookups:
    """Look-ups in a few daemon threads.

    Args:
        threads: how many there are at most.
        reserved: how many of them each family leaves to the others.
        idle: seconds without work after which a thread ends.
    """

    def __init__(
        self, threads: int = THREADS, *, reserved: int = RESERVED, idle: float = IDLE
    ) -> None:
        if not 0 <= reserved < threads:
            raise ValueError("reserved must leave at least one thread")
        self._most = threads
        self._most_of_family = threads - reserved
        self._patience = idle
        self._names = count(1)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew, without threads and without work: what a forked child does."""
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, _Job] = {}
        self._queued: dict[int, OrderedDict[Hashable, _Job]] = {}  # by family, the oldest first
        self._running: dict[int, int] = {}  # by family
        self._idle: list[_Worker] = []
        self._threads = 0

    def submit(self, name: str, family: int, done: Done, flags: int = 0) -> Ticket:
        """Look up ``name`` by getaddrinfo.

        Args:
            name: a host name in ASCII.
            family: ``socket.AF_INET`` or ``socket.AF_INET6``.
            done: called once with the :class:`Answer` or the exception, from a thread of ours;
                not after the ticket was cancelled, unless it was about to be called just then.
            flags: ``socket.AI_*``.

        Returns:
            What the asker can leave by.
        """
        ask = partial(getaddrinfo, name, family, flags)
        return self.call((name, family, flags), name, family, ask, done)

    def call(
        self, key: Hashable, name: str, family: int, ask: Callable[[], Answer], done: Done
    ) -> Ticket:
        """Call ``ask`` in a thread, once for all who ask with the same ``key`` meanwhile."""
        to_start = None
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                job = self._jobs[key] = _Job(key, name, family, ask)
                to_start = self._dispatch(job)
            ticket = Ticket(self, job, done)
            job.tickets.add(ticket)
        if to_start is not None:
            self._start(to_start)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Wait no longer; see :meth:`Ticket.cancel`."""
        with self._lock:
            job = ticket.job
            job.tickets.discard(ticket)
            queue = self._queued.get(job.family)
            if queue and not job.tickets and queue.pop(job.key, None) is not None:
                del self._jobs[job.key]

    # The following are called with the lock held -------------------------------------------------

    def _dispatch(self, job: _Job) -> _Job | None:
        """Give the job to an idle thread or queue it; return it if a thread must be started."""
        if self._running.get(job.family, 0) < self._most_of_family:
            if self._idle:
                self._hand_over(self._take(job))
                return None
            if self._threads < self._most:
                self._threads += 1
                return self._take(job)
        self._queued.setdefault(job.family, OrderedDict())[job.key] = job
        return None

    def _hand_over(self, job: _Job) -> None:
        worker = self._idle.pop()  # the last one that became idle, so that the others may end
        worker.job = job
        worker.wake.release()

    def _take(self, job: _Job) -> _Job:
        self._running[job.family] = self._running.get(job.family, 0) + 1
        return job

    def _next(self) -> _Job | None:
        """Take the oldest job whose family may have one more thread."""
        oldest: _Job | None = None
        for family, queue in self._queued.items():
            if queue and self._running.get(family, 0) < self._most_of_family:
                job = next(iter(queue.values()))
                if oldest is None or job.number < oldest.number:
                    oldest = job
        if oldest is not None:
            del self._queued[oldest.family][oldest.key]
            self._take(oldest)
        return oldest

    def _land(self, job: _Job) -> list[Ticket]:
        """Take the job off the list; return who waits for it."""
        del self._jobs[job.key]
        tickets = list(job.tickets)
        job.tickets.clear()
        return tickets

    # The threads ---------------------------------------------------------------------------------

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
                self._running[job.family] -= 1
                self._queued.setdefault(job.family, OrderedDict())[job.key] = job
                if self._idle and (waiting := self._next()) is not None:
                    self._hand_over(waiting)
                if self._threads:
                    return  # one of them will come to it
                stranded = [job for queue in self._queued.values() for job in queue.values()]
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
                self._running[job.family] -= 1
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


def _tell(job: _Job, tickets: list[Ticket], outcome: Answer | BaseException) -> None:
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

    def __init__(self, lookups: Lookups, job: _Job, done: Done) -> None:
        self._lookups = lookups
        self.job = job
        self.done = done

    def cancel(self) -> None:
        """Wait no longer.  A look-up that nobody waits for leaves the queue; one that runs runs."""
        self._lookups.leave(self)


class _NoTicket:
    """The ticket of an answer that was there at once."""

    def cancel(self) -> None:
        """Do nothing."""


NO_TICKET = _NoTicket()


class _Job:
    """One look-up, and who waits for it."""

    __slots__ = ("ask", "asked", "family", "key", "name", "number", "tickets")

    _numbers = count()

    def __init__(self, key: Hashable, name: str, family: int, ask: Callable[[], Answer]) -> None:
        self.key = key
        self.name = name
        self.family = family
        self.ask = ask
        self.asked = monotonic()
        self.number = next(self._numbers)
        self.tickets: set[Ticket] = set()

    def run(self) -> Answer | BaseException:
        try:
            answer = self.ask()
        except OSError as exc:
            error = failure(exc, self.name, self.family, monotonic() - self.asked)
            error.__traceback__ = None
            return error
        except BaseException as exc:  # a caller's own resolver: it comes out unchanged
            return exc
        return answer


class _Worker:
    """A thread that waits for its next job."""

    __slots__ = ("job", "wake")

    def __init__(self) -> None:
        self.job: _Job | None = None
        self.wake = threading.Lock()
        self.wake.acquire()


def getaddrinfo(name: str, family: int, flags: int = 0) -> Answer:
    """Ask libc, in this thread.

    Raises:
        OSError: no address: ``socket.gaierror``; or there was no descriptor to ask with.
    """
    started = monotonic()
    check_name(name)
    # For IPv4 alone without AI_CANONNAME glibc takes an old path of its own, on which a silent or
    # failing name server becomes "no such name" as soon as there is a search domain.
    flags |= socket.AI_CANONNAME
    try:
        infos = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM, 0, flags)
    except UnicodeError as exc:  # the idna codec: a label is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, str(exc)) from None
    except socket.gaierror:
        _check_descriptors()
        raise
    # A library that replaces socket.getaddrinfo may answer with both families.
    addresses = tuple(dict.fromkeys(_text(info[4]) for info in infos if info[0] == family))
    if not addresses:
        raise socket.gaierror(EAI_NODATA, "No address associated with hostname")
    canonical = infos[0][3]
    if canonical.lower() == name.lower().removesuffix("."):
        canonical = ""
    return Answer(addresses, None, canonical or None, "system", monotonic() - started)


def _text(address: tuple[Any, ...]) -> str:
    # The scope as a number: what a socket address takes, without asking for the interface's name.
    text = str(address[0])
    return f"{text}%{address[3]}" if len(address) > 3 and address[3] and "%" not in text else text


def _check_descriptors() -> None:
    """Raise EMFILE or ENFILE if that may be why: libc then blames the name or its server."""
    try:
        os.close(os.open("/", os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE):
            raise


SHARED = Lookups()
"""The threads of the whole process; there are none before the first look-up."""


def submit(resolver: Resolver, name: str, family: int, done: Done) -> Any:
    """Look a name up for a program without a loop.

    Args:
        resolver: its own ``submit`` is used if it has one; else its coroutine runs on a loop of
            its own, in one of the shared threads.
        name: a host name in ASCII.
        family: ``socket.AF_INET`` or ``socket.AF_INET6``.
        done: called once with the :class:`Answer` or the exception, from any thread.

    Returns:
        A ticket whose ``cancel()`` says that nobody waits any more.
    """
    own: Callable[[str, int, Done], Any] | None = getattr(resolver, "submit", None)
    if own is not None:
        return own(name, family, done)
    ask = partial(_run, resolver, name, family)
    return SHARED.call((id(resolver), name, family), name, family, ask, done)


def _run(resolver: Resolver, name: str, family: int) -> Answer:
    import asyncio

    return asyncio.run(resolver.lookup(name, family))


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
    from .loop_thread import SHARED as LOOP

    return LOOP.submit(resolver, name, families, put)
