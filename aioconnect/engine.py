"""The asyncio driver: it waits, in one coroutine frame, for what a call waits for.

No task per attempt, no ``wait_for``, no executor.  Readiness comes from the loop's
:mod:`~aioconnect.poller`; ``loop.sock_connect`` is never called.
"""

from __future__ import annotations

import asyncio
import errno
import math
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import attempt, causes, wait
from .call import Call, first
from .options import check_limit
from .poller import ATTRIBUTE, Inbox, of

if TYPE_CHECKING:
    import socket
    from asyncio import AbstractEventLoop
    from collections.abc import Generator, Sequence

    from .events import Stage
    from .options import Options
    from .poller import Poller
    from .race import Candidate
    from .resolve.base import Resolver
    from .targets import Target

__all__ = ["connect_wait", "dial", "sock_connect"]

FINISH_LOOKUPS = 1.0
"""Seconds that look-ups may go on after the connection is there, for the resolver's cache."""


class AsyncioCall(Call, Inbox):
    """A call that waits in an event loop."""

    # From the first time that it must wait, at the latest.
    loop: AbstractEventLoop | None = None
    poller: Poller
    _lookups: tuple[asyncio.Task[None], ...] = ()

    def watch(self, candidate: Candidate) -> None:
        assert candidate.sock is not None
        loop = self.loop
        if loop is None:
            loop = self.loop = asyncio.get_running_loop()
            self.poller = of(loop)
        self.poller.watch(loop, candidate.sock.fileno(), self, candidate)

    def unwatch(self, candidate: Candidate) -> None:
        assert candidate.sock is not None
        if self.loop is not None:  # the running loop may be another, or none, when it is closed
            self.poller.unwatch(self.loop, candidate.sock.fileno(), candidate)

    def look_up(self, resolver: Resolver, asked: tuple[int, int], name: str, family: int) -> None:
        loop = self.loop
        if loop is None:
            loop = self.loop = asyncio.get_running_loop()
            self.poller = of(loop)
        coroutine = self._ask(resolver, asked, name, family)
        task = loop.create_task(coroutine, name=f"aioconnect: look up {name}")
        self._lookups += (task,)

    async def _ask(
        self, resolver: Resolver, asked: tuple[int, int], name: str, family: int
    ) -> None:
        try:
            self.put((asked, family, await resolver.lookup(name, family)))
        except OSError as exc:
            self.put((asked, family, exc.with_traceback(None)))
        except Exception as exc:
            self.put((asked, family, exc))

    def end_lookups(self, *, finish: bool) -> None:
        pending = [task for task in self._lookups if not task.done()]
        self._lookups = ()
        if pending and finish and self.loop is not None:
            self.loop.call_later(FINISH_LOOKUPS, _cancel, pending)
        else:
            _cancel(pending)


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def dial(targets: Sequence[Target], options: Options) -> tuple[socket.socket, Target, Any]:
    """Connect to one of the targets.

    Returns:
        The socket, which the caller owns now, the target that it is connected to, and the
        address that was dialled.

    Raises:
        ConnectError: it could not.
    """
    loop = asyncio.get_running_loop()
    poller: Poller = getattr(loop, ATTRIBUTE, None) or of(loop)
    if (turn := poller.takes_turn(loop)) is not None:
        await turn
    begun, outcome, started = first(targets, options), attempt.FAILED, None
    if begun is not None:
        outcome, started = attempt.begin(begun, options), begun.started
        if outcome == attempt.CONNECTED:
            assert begun.sock is not None
            return begun.sock, targets[0], begun.endpoint[4]
    call = AsyncioCall(targets, options, started)
    call.loop, call.poller = loop, poller
    if not call.start(begun, outcome):
        poller.gives_turn_back()
        steps = call.run()
        try:
            for until in steps:
                if not call.items:
                    try:
                        await call.arrival(loop, poller, until)
                    finally:
                        call.arrived(poller)
        finally:
            steps.close()  # when cancelled: closes every socket of the call
    won = call.won
    assert won is not None
    assert won.sock is not None
    return won.sock, call.targets[won.target], won.endpoint[4]


async def connect_wait(sock: socket.socket, *, timeout: float | None = None) -> None:
    """Wait until a pending non-blocking connect on ``sock`` has completed.

    This is the second half of what connect(2) prescribes: wait for POLLOUT, read ``SO_ERROR``;
    and, since zero may be a spurious wake-up, ask for the peer.  A socket on which no connect is
    pending is told so at once (ENOTCONN); one that is connected already returns at once.

    Args:
        sock: the caller's socket; it stays the caller's, and is never closed here.
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: the connect failed (the mapped error), nothing was pending, or the time was
            up (also a ``TimeoutError``); the socket is spent then: close it.
        ValueError, TypeError: bad arguments, before any I/O.

    Source: connect(2), EINPROGRESS.
    """
    wait.check_socket(sock)
    limit = check_limit("timeout", timeout)
    await _drive(sock, wait.waiting(sock), limit, "wait", None)


async def sock_connect(sock: socket.socket, address: Any, *, timeout: float | None = None) -> None:
    """Connect the caller's own non-blocking socket to one numeric address.

    As ``loop.sock_connect``, but: no name is ever looked up, an IPv6 scope id is kept, a full
    backlog of a Unix socket is waited for and never taken for success, and a wake-up without a
    peer is not success either.  One difference from ``connect``: the second ``connect`` call
    right after EINPROGRESS is made on the caller's socket too (Linux).

    Args:
        sock: a stream or datagram socket with ``gettimeout() == 0``.  It stays the caller's and is
            never closed here; after an error it is spent: close it.
        address: a numeric socket address: ``(host, port)``, ``(host, port, flowinfo, scope_id)``,
            or a path (``str`` or ``bytes``, abstract with a leading NUL).
        timeout: seconds; None waits as long as the kernel does.

    Raises:
        ConnectError: it could not be connected.
        ValueError: the socket is blocking, or the address is not numeric or out of range.
        TypeError: bad arguments, before any I/O.

    Source: connect(2).
    """
    wait.check_socket(sock)
    if sock.fileno() != -1 and sock.gettimeout() != 0:
        raise ValueError("the socket is blocking: call setblocking(False) first")
    address = attempt.check_address(sock, address)
    limit = check_limit("timeout", timeout)
    await _drive(sock, attempt.connecting(sock, address), limit, "connect", address)


async def _drive(
    sock: socket.socket,
    steps: Generator[float | None, None, None],
    timeout: float,
    stage: Stage,
    address: Any,
) -> None:
    loop = asyncio.get_running_loop()
    poller = of(loop)
    inbox = Inbox()
    started = monotonic()
    for pause in steps:
        fd = sock.fileno()
        if pause is None:
            try:
                poller.watch(loop, fd, inbox, sock)
            except OSError as exc:
                busy = isinstance(exc, FileExistsError)
                number = errno.EALREADY if busy else exc.errno or errno.EBADF
                raise causes.from_errno(number, stage=stage, address=address) from None
        try:
            while not inbox.items:
                now = monotonic()
                if pause is not None and now >= pause:
                    break
                if now - started >= timeout:
                    raise attempt.expired(sock, pause, stage, address, now - started)
                await inbox.wait(
                    loop, poller, min(started + timeout, math.inf if pause is None else pause)
                )
        finally:
            poller.unwatch(loop, fd, sock)
        inbox.items.clear()
