"""A client that must stay connected, in streams that it owns."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from . import streams
from .supervise import OneAfterTheOther

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .options import Options
    from .stages import StageSpec
    from .targets import Target

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

__all__ = ["StreamSupervisor"]


class StreamSupervisor(OneAfterTheOther["Streams"]):
    """What :meth:`~aioconnect.Dialer.supervise_streams` returns.

    An asynchronous context manager, and an asynchronous iterator of ``(reader, writer)``.  It owns
    the writers: asking for the next connection reports the last as dead and aborts it, at once;
    leaving the block closes the last in order, and aborts it after ``close_timeout`` seconds, or at
    once if it is left by an exception or a cancellation.

    An exception from the iteration ends it: to ask again is a ``StopAsyncIteration``, and so it is
    when the block was left.  A cancellation does not end it.
    """

    def __init__(
        self,
        dialer: Options,
        targets: Sequence[Target],
        stages: Sequence[StageSpec],
        *,
        limit: int,
        close_timeout: float,
        policy: Any,
        healthy_after: float,
        wake_interval: float,
        first: Literal["fail", "wait"],
    ) -> None:
        super().__init__(
            dialer,
            targets,
            policy=policy,
            healthy_after=healthy_after,
            wake_interval=wake_interval,
            first=first,
        )
        self._stages = stages
        self._limit = limit
        self._close_timeout = close_timeout

    async def dial(self) -> Streams:
        """Connect once; the handshake is a part of it."""
        return await streams.open_by(
            lambda factory: streams.create_over(
                factory, self._targets, self._dialer, self._stages, self._late
            ),
            self._limit,
        )

    def end(self, connection: Streams) -> None:
        """Abort a connection."""
        connection[1].transport.abort()

    async def leave(self, connection: Streams, *, in_order: bool) -> None:
        """Close the last connection, and abort it if that takes too long."""
        writer = connection[1]
        try:
            if in_order:
                writer.close()
                with suppress(OSError):  # the peer's end is nobody's trouble any more
                    async with asyncio.timeout(self._close_timeout):
                        await writer.wait_closed()
        finally:
            writer.transport.abort()
