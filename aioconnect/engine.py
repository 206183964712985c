"""The asyncio driver: it waits, in one coroutine frame, for what a call waits for.

No task per attempt, no ``wait_for``, no executor.  Readiness and instants come from the loop's
:mod:`~aioconnect.poller`; ``loop.sock_connect`` is never called.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Any

from .call import Call
from .own_socket import OwnSocket, check_address
from .poller import ATTRIBUTE, of
from .wait import check_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .address_policy import AddressPolicyLike
    from .driver import Ending
    from .late import Late
    from .options import Options
    from .poller import Poller
    from .stages import StageSpec
    from .targets import Target

__all__ = ["connect_wait", "dial", "sock_connect"]


async def dial(
    targets: Sequence[Target],
    options: Options,
    stages: Sequence[StageSpec] = (),
    late: Late | None = None,
) -> Call:
    """Connect to one of the targets.

    Args:
        targets: at least one.
        options: how.
        stages: what an attempt does after its connect.
        late: the look-ups of one who dials again and again, each time with a call.

    Returns:
        The call, with its ``result``, which the caller owns now, and what it ``won``.

    Raises:
        ConnectError: it could not.
    """
    loop = asyncio.get_running_loop()
    poller: Poller = getattr(loop, ATTRIBUTE, None) or of(loop)
    call = Call(poller, targets, options, stages)
    if late is not None:
        call.share(late)
    try:
        try:
            if (slot := poller.acquire_slot()) is not None:
                await _wait_for_slot(call, poller, slot)
            until = call.step()
            if until is not None:
                poller.release_slot()
            while until is not None:
                if not call.items:
                    call.future = future = loop.create_future()
                    try:
                        if until != inf:
                            poller.wake_at(until, call)
                        await future
                    finally:
                        poller.cancel(call)
                until = call.step()
        except BaseException:
            call.close()
            raise
        if call.error is None:
            return call
    except BaseException:  # also if one came in the first line of the handler above
        call.close()
        raise
    raise call.take_error()


async def _wait_for_slot(call: Call, poller: Poller, slot: asyncio.Future[None]) -> None:
    """Wait for a turn of the loop in which few enough connect; the deadline holds."""
    call.future, call.slot = slot, None
    try:
        if call.deadline != inf:
            poller.wake_at(call.deadline, call)
        await slot
    finally:
        poller.cancel(call)
    if poller.clock() >= call.deadline:
        raise call.late()


async def drive(own: Ending, poller: Poller) -> None:
    """Wait for the caller's own socket, or for addresses.

    Raises:
        ConnectError: it has failed.
    """
    loop = asyncio.get_running_loop()
    try:
        until = own.step()
        while until is not None:
            if not own.items:
                own.future = future = loop.create_future()
                try:
                    if until != inf:
                        poller.wake_at(until, own)
                    await future
                finally:
                    poller.cancel(own)
            until = own.step()
        if own.error is not None:
            raise own.take_error()
    finally:
        own.close()


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
    poller = of(asyncio.get_running_loop())
    await drive(OwnSocket(poller, sock, None, timeout), poller)


async def sock_connect(
    sock: socket.socket,
    address: Any,
    *,
    timeout: float | None = None,
    address_policy: AddressPolicyLike | None = None,
) -> None:
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
        address_policy: as for :func:`aioconnect.connect`; what it denies is not dialled.

    Raises:
        ConnectError: it could not be connected.
        ValueError: the socket is blocking, or the address is not numeric or out of range.
        TypeError: bad arguments, before any I/O.

    Source: connect(2).
    """
    check_socket(sock)
    if sock.fileno() != -1 and sock.gettimeout() != 0:
        raise ValueError("the socket is blocking: call setblocking(False) first")
    address = check_address(sock, address, address_policy)
    poller = of(asyncio.get_running_loop())
    await drive(OwnSocket(poller, sock, address, timeout), poller)
