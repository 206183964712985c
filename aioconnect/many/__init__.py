"""``connect_many``: thousands of targets, a bounded number in flight, results as they come.

The rooms: ``run`` drives the calls; ``room`` decides what may start; ``source`` reads targets;
``order`` holds results until they are taken; ``entry`` is one target, ``result`` what became of
it.
"""

from __future__ import annotations

import os
import resource
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING

from .. import signatures
from ..checks import take_proxy
from ..dialer import Dialer
from ..options import check_count, check_limit
from ..targets import AnyTarget
from . import room
from .result import ConnectResult
from .run import ConnectMany

if TYPE_CHECKING:
    from typing import Unpack

    from ..options import TargetOptions

__all__ = ["AnyTarget", "ConnectMany", "ConnectResult", "connect_many"]


@signatures.connect_many
def connect_many(
    targets: Iterable[AnyTarget] | AsyncIterable[AnyTarget],
    *,
    limit: int | None = None,
    per_host: int | None = None,
    rate: float | None = None,
    burst: int = 1,
    ordered: bool = False,
    timeout: float | None = None,
    target_timeout: float | None = 30.0,
    **options: Unpack[TargetOptions],
) -> ConnectMany:
    """Connect to many targets; use it with ``async with`` and ``async for``.

    Example::

        async with aioconnect.connect_many(targets, limit=200) as results:
            async for result in results:
                if result.error is None:
                    with result.unwrap() as sock: ...

    Args:
        targets: an iterable or an asynchronous iterable, of any length, of what
            :func:`~aioconnect.connect` takes.  It is read only as fast as there is room, and
            stays the caller's: it is not closed.
        limit: how many may be in flight, results not yet handed out included; the default fits
            the process's limit of descriptors, and is 1000 at most.
        per_host: how many of them to one host or path, as it is written in the target; a list of
            targets counts for each of its hosts.  None is no limit of its own.
        rate: starts per second, evenly spaced; None is as fast as it goes.
        burst: how many may start at once, with ``rate``, at the beginning and after a lull.
        ordered: give the results in the order of the input, within a window of ``limit``.
        timeout: seconds for the whole; what is in flight then fails, and nothing more is read.
        target_timeout: seconds for one target (what ``timeout`` is to ``connect``), without those
            in which it waited for what this host lacked.

    Options:
        attempt_timeout: seconds for one attempt at one address (default None).
        retry: what happens when every address has failed (default None).
        budget: a ``retry.Budget``, shared by all calls that it is given to (default None).
        breaker: a ``retry.Breaker``, shared by all calls that it is given to (default None).
        resolver: the resolver that looks names up (default None).
        family: ``AF_INET`` or ``AF_INET6`` to use one family only; 0 is both (default 0).
        type: the type of the socket (default ``SOCK_STREAM``).
        local_addr: the local address to bind (default None).
        happy_eyeballs_delay: seconds between the starts of two attempts (default 0.25).
        resolution_delay: seconds that IPv4 addresses wait for IPv6 ones (default 0.05).
        max_concurrent: attempts that may be open at a time (default 6).
        interleave: addresses of the first family that come first (default 1).
        max_addresses: addresses of one name that may be dialled (default 32).
        socket_options: ``(level, name, value)`` for each ``setsockopt`` (default none).
        socket_factory: called with a ``getaddrinfo`` 5-tuple for each attempt (default None).
        address_policy: which addresses may be dialled (default None).
        allowed_names: the targets that may be looked up and dialled (default None).
        proxy: the proxy to connect through, as a URL or a ``Proxy`` (default None).
        handshake: called with each connected socket and its 5-tuple (default None).
        on_event: called with each event (``aioconnect.events``) (default None).

    A retry policy holds per target.

    Returns:
        An object that is an asynchronous context manager and an asynchronous iterator of
        :class:`ConnectResult`.  Each socket that was handed out is the caller's; leaving the
        block closes what was not, cancels what is pending, and reads no further target.

    Raises:
        ValueError, TypeError: bad options, before any I/O.  A target that cannot be parsed does
            not end the run: it is a result with an :class:`~aioconnect.InvalidTarget`.

    Want of descriptors, buffers or local ports never fails a target: fewer are kept in flight
    for a while (an event, :class:`~aioconnect.events.SlowedDown`), and it is tried again.
    """
    if "proxy" in options:
        take_proxy(options)
    dialer = Dialer(**options, timeout=target_timeout)
    if isinstance(targets, str | bytes) or not isinstance(targets, Iterable | AsyncIterable):
        raise TypeError(f"targets is an iterable of targets, not {type(targets).__name__}")
    check_count("burst", burst)
    return ConnectMany(
        dialer,
        targets,
        limit=check_count("limit", default_limit() if limit is None else limit),
        per_host=None if per_host is None else check_count("per_host", per_host),
        pace=None if rate is None else room.Pace(rate, burst),
        ordered=ordered,
        timeout=check_limit("timeout", timeout),
    )


def default_limit() -> int:
    """Return three quarters of the descriptors that the process may still open, at most 1000."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return 1000
    try:
        taken = len(os.listdir("/dev/fd"))
    except OSError:
        taken = 64
    return max(1, min(1000, (soft - taken) * 3 // 4))
