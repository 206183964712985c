"""``connect`` and :class:`Dialer`: a name and a port in, a connected socket out."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import engine
from .options import Options, check_span
from .targets import parse_all

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self, TypeVar, Unpack

    from .options import ConnectOptions
    from .streams import ConnectionOptions, StreamOptions
    from .supervise import Supervisor
    from .targets import Target, TargetLike

    ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

__all__ = ["Dialer", "connect"]


class Dialer(Options):
    """Options to connect with, again and again: immutable, shareable between tasks and loops.

    Takes every option of :func:`connect`; each is explained, with its unit and default, where it
    is declared: see :class:`~aioconnect.options.Options`.

    Example:
        >>> dialer = Dialer(timeout=5, happy_eyeballs_delay=0.1)
        >>> dialer.replace(timeout=1).timeout
        1.0
    """

    def __init__(self, **options: Unpack[ConnectOptions]) -> None:
        policy = options.get("retry")
        if policy is not None:
            from . import retry  # loaded on first use

            options["retry"] = retry.policy(policy)
        super().__init__(**options)

    if TYPE_CHECKING:

        def replace(self, **changes: Unpack[ConnectOptions]) -> Self:  # type: ignore[override]
            """Return a copy with some options changed."""
            ...

    async def connect(
        self, target: TargetLike | Sequence[TargetLike], port: int | None = None
    ) -> socket.socket:
        """Connect as :func:`connect` does, with these options."""
        call = await engine.dial(check_family(parse_all(target, port), self), self)
        return call.result  # type: ignore[no-any-return]

    async def open_connection(
        self,
        host: TargetLike | Sequence[TargetLike] | None = None,
        port: int | str | None = None,
        **keywords: Unpack[StreamOptions],
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a stream connection as :func:`aioconnect.open_connection`, with these options."""
        from . import streams

        return await streams.open_with(self, host, port, dict(keywords))

    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: TargetLike | Sequence[TargetLike] | None = None,
        port: int | str | None = None,
        **keywords: Unpack[ConnectionOptions],
    ) -> tuple[asyncio.Transport, ProtocolT]:
        """Create a transport as :func:`aioconnect.create_connection`, with these options."""
        from . import streams

        return await streams.create_with(self, protocol_factory, host, port, dict(keywords))

    def supervise(
        self,
        target: TargetLike | Sequence[TargetLike],
        port: int | None = None,
        *,
        healthy_after: float = 10.0,
        wake_interval: float = 1.0,
    ) -> Supervisor:
        """Stay connected: with ``async with``, ask for one connection after the other.

        Example::

            async with dialer.supervise("db.internal", 5432) as connections:
                async for sock in connections:
                    ...  # use it until it breaks; then the loop asks for the next

        Args:
            target: as for :func:`connect`.
            port: 1 to 65535.
            healthy_after: seconds of life after which a connection resets the back-off;
                ``.healthy()`` says so earlier, and nothing else does.
            wake_interval: least seconds between two back-offs cut short by ``.wake()``.

        Returns:
            A :class:`~aioconnect.supervise.Supervisor`, which owns the sockets that it gives:
            asking for the next one closes the last, and so does leaving the block.  ``retry`` is
            the policy for the outages; None is ``aioconnect.retry.RECONNECT``, which never gives
            up.

        Raises:
            ConnectError: (from the iteration) the policy has stopped.
            ValueError, TypeError: bad input, before any I/O.
        """
        from . import retry
        from .supervise import Supervisor

        return Supervisor(
            self,
            check_family(parse_all(target, port), self),
            policy=retry.RECONNECT if self.retry is None else self.retry,
            healthy_after=check_span("healthy_after", healthy_after),
            wake_interval=check_span("wake_interval", wake_interval),
        )


DEFAULTS = Dialer()
"""What a call without options uses."""

_NUMBERS = frozenset(
    (
        "timeout",
        "attempt_timeout",
        "family",
        "type",
        "happy_eyeballs_delay",
        "resolution_delay",
        "max_concurrent",
        "interleave",
    )
)


@lru_cache(maxsize=64, typed=True)  # typed: True is no number of seconds
def _with_numbers(**options: Any) -> Dialer:
    return Dialer(**options)


def with_options(options: Mapping[str, Any]) -> Dialer:
    """Return a dialer with these options, for one call.

    A program gives the same ``timeout`` everywhere.  Numbers are nobody's, so that a dialer that
    has nothing else is shared; to check and to keep them for each call would cost a sixth of a
    connect on loopback, and a third of the memory of a pending one.
    """
    if not options:
        return DEFAULTS
    if _NUMBERS.issuperset(options):
        try:
            return _with_numbers(**options)
        except TypeError:  # of what cannot be hashed: the check below says what is wrong with it
            pass
    return Dialer(**options)


async def connect(
    target: TargetLike | Sequence[TargetLike],
    port: int | None = None,
    **options: Unpack[ConnectOptions],
) -> socket.socket:
    """Connect to a target: resolve it, race its addresses, return the first that connects.

    Args:
        target: with ``port`` a host: a name, an IPv4 or an IPv6 address (``fe80::1%eth0``).
            Without: ``"host:port"``, ``"[v6%scope]:port"``, ``"unix:/path"``,
            ``"unix:@abstract"``, or a ``(host, port)`` tuple.  A *list* of these is several
            targets, raced in the order given; the first that connects wins.
        port: 1 to 65535.
        **options: as :class:`~aioconnect.options.Options` explains them; ``timeout`` (30 seconds)
            bounds the whole call.

    Returns:
        A connected socket, non-blocking and close-on-exec.  The caller owns it and closes it:
        ``with await connect(...) as sock``.

    Raises:
        ConnectError: no connection; it is also the built-in of its cause
            (``ConnectionRefusedError``, ``TimeoutError``, ``socket.gaierror``, ...).
        ValueError, TypeError: bad input, before any I/O.

    Cancelled, it closes everything that it opened, and ``CancelledError`` comes out.

    Sources: connect(2), RFC 8305, RFC 6724.
    """
    dialer = with_options(options) if options else DEFAULTS
    targets = parse_all(target, port)
    if dialer.family:
        check_family(targets, dialer)
    call = await engine.dial(targets, dialer)
    return call.result  # type: ignore[no-any-return]


def check_family(targets: Sequence[Target], options: Options) -> Sequence[Target]:
    """Refuse a target whose family the options rule out."""
    if options.family:
        for target in targets:
            if target.family not in (0, options.family):
                family = socket.AddressFamily(options.family).name
                raise ValueError(f"{target.text} is not of the family asked for ({family})")
    return targets
