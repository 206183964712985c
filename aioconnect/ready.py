"""Wait for a server to come up: what every compose file and test suite needs."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import engine, signatures
from .call import Call
from .checks import take_proxy
from .chosen import reached
from .patience import as_given, checked
from .targets import parse_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from .options import Options, TargetOptions
    from .targets import Handshake, TargetLike

__all__ = ["wait_until_ready"]


@signatures.wait_until_ready
async def wait_until_ready(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    *,
    timeout: float | None = 60.0,
    check: Handshake | None = None,
    all: bool = False,
    **options: Unpack[TargetOptions],
) -> float:
    """Wait until a target accepts connections.

    It outlasts a server that is not up yet, a name that does not exist yet and a Unix path that
    is not there yet; it tries again after a tenth of a second at first, a second later, and a
    last time just before the end.

    Args:
        target: as for :func:`~aioconnect.connect`.
        port: 1 to 65535.
        timeout: seconds; None waits for ever.
        check: what the server must say, too: ``readiness.stays_open(0.1)``, ``tls()``,
            ``http("/health")``, ``banner(b"SSH-")``, ``sends(b"HELLO ", b"250")`` of
            :mod:`aioconnect.readiness`, or a handshake of one's own.  None: nothing.
        all: wait for each target of a list; else for any of them.

    Options:
        attempt_timeout: seconds for one attempt at one address (default 5).
        retry: what happens when every address has failed (default again until timeout).
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

    Returns:
        The seconds that it took, with ``all`` those of the last.  The connection that proved it was
        closed.

    Raises:
        ConnectError: the last error, when the time is up or waiting cannot help.
        InvalidTarget: a target that means nothing, before any I/O.
        ValueError, TypeError: other bad input, before any I/O.
    """
    if "proxy" in options:
        take_proxy(options)
    return await wait_with(as_given({**options, "timeout": timeout}), target, port, check, all)


async def wait_with(
    options: Options, target: Any, port: Any, check: Handshake | None, every: bool
) -> float:
    """Wait with a dialer's options."""
    stages = checked(check)
    targets = reached(parse_all(target, port), options)
    started = monotonic()
    if not every or len(targets) == 1:
        call = await engine.dial(targets, options, stages)
        call.result.close()
        return monotonic() - started
    dials = [asyncio.ensure_future(engine.dial([each], options, stages)) for each in targets]
    try:
        for done in asyncio.as_completed(dials):
            (await done).result.close()
    finally:
        for dial in dials:
            dial.cancel()
        for ended in await asyncio.gather(*dials, return_exceptions=True):
            if isinstance(ended, Call):
                ended.result.close()  # twice does no harm
    return monotonic() - started
