"""The part of a :class:`~aioconnect.Dialer` that stays connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .checks import count, one_of
from .chosen import Chosen, reached
from .options import Options, check_span
from .targets import parse_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

    from .supervise import Supervisor
    from .supervise_streams import StreamSupervisor
    from .targets import TargetLike

__all__ = ["Supervising"]


class Supervising(Chosen):
    """Options with which one connection follows the other."""

    def supervise(
        self,
        target: TargetLike | Sequence[TargetLike],
        port: int | None = None,
        *,
        healthy_after: float = 10.0,
        wake_interval: float = 1.0,
        first: Literal["fail", "wait"] = "fail",
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
            first: what an unknown name or a wrong certificate means before anything has
                connected: ``"fail"`` ends it, ``"wait"`` asks the policy, as afterwards.

        Returns:
            A :class:`~aioconnect.supervise.Supervisor`, which owns the sockets that it gives:
            asking for the next one closes the last, and so does leaving the block.  ``retry`` is
            the policy for the outages, and is asked about everything but what an address policy
            denies; None is ``aioconnect.retry.RECONNECT``, which never gives up.

        Raises:
            ConnectError: (from the iteration) the policy has stopped.
            InvalidTarget: a target that means nothing, before any I/O.
            ValueError, TypeError: other bad input, before any I/O.
        """
        from .supervise import Supervisor

        how = _supervision(self, healthy_after, wake_interval, first)
        return Supervisor(self, reached(parse_all(target, port), self), **how)

    def supervise_streams(
        self,
        host: TargetLike | Sequence[TargetLike],
        port: int | str | None = None,
        *,
        ssl: SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        limit: int = 2**16,
        close_timeout: float = 1.0,
        healthy_after: float = 10.0,
        wake_interval: float = 1.0,
        first: Literal["fail", "wait"] = "fail",
    ) -> StreamSupervisor:
        """Stay connected, in streams: with ``async with``, ask for one after the other.

        Example::

            async with dialer.supervise_streams("db.internal", 5432, ssl=True) as connections:
                async for reader, writer in connections:
                    ...  # use them until they break; then the loop asks for the next

        Args:
            host: as for :func:`open_connection`; a handshake that fails is a failed dial.
            port: as for :func:`open_connection`.
            ssl: as for :func:`open_connection`, as are the three that follow.
            server_hostname: the name that the certificate must have; None is the host's.
            ssl_handshake_timeout: seconds for the TLS handshake alone; None is no limit of its own.
            ssl_shutdown_timeout: seconds for the end of TLS; None is asyncio's 30.
            limit: bytes that a reader buffers before it stops reading.
            close_timeout: seconds that the last connection has to be closed in order, when the
                block is left without an exception.
            healthy_after: as for :meth:`supervise`.
            wake_interval: as for :meth:`supervise`.
            first: as for :meth:`supervise`.

        Returns:
            A :class:`~aioconnect.supervise_streams.StreamSupervisor`, which owns the writers that
            it gives: asking for the next aborts the last.

        Raises:
            ConnectError: (from the iteration) the policy has stopped.
            InvalidTarget: a target that means nothing, before any I/O.
            ValueError, TypeError: other bad input, before any I/O.
        """
        from . import streams
        from .supervise_streams import StreamSupervisor

        tls = {
            "ssl": ssl,
            "server_hostname": server_hostname,
            "ssl_handshake_timeout": ssl_handshake_timeout,
            "ssl_shutdown_timeout": ssl_shutdown_timeout,
        }
        return StreamSupervisor(
            self,
            *streams.planned(host, port, self, streams.about_tls(tls)),
            limit=count("limit", limit),
            close_timeout=check_span("close_timeout", close_timeout),
            **_supervision(self, healthy_after, wake_interval, first),
        )


def _supervision(
    options: Options, healthy_after: object, wake_interval: object, first: object
) -> dict[str, Any]:
    """Check what both kinds of supervision take."""
    from . import retry

    return {
        "policy": retry.RECONNECT if options.retry is None else options.retry,
        "healthy_after": check_span("healthy_after", healthy_after),
        "wake_interval": check_span("wake_interval", wake_interval),
        "first": one_of("first", first, "fail", "wait"),
    }
