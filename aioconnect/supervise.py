"""A client that must stay connected: one connection after the other, with proper back-off.

Not an asynchronous generator: ``break`` would skip its clean-up.
"""

from __future__ import annotations

import asyncio
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from . import engine, errors, poller, retry
from .call import logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import Self

    from .dialer import Dialer
    from .targets import Target

__all__ = ["Supervisor"]


class Supervisor:
    """What :meth:`~aioconnect.Dialer.supervise` returns.

    An asynchronous context manager, and an asynchronous iterator of connected sockets.  Asking
    for the next one reports the last as dead and closes it; leaving the block closes the last.
    """

    def __init__(
        self,
        dialer: Dialer,
        targets: Sequence[Target],
        *,
        policy: Any,
        healthy_after: float,
        wake_interval: float,
    ) -> None:
        self._budget = dialer.budget
        self._dialer = dialer.replace(retry=None)
        self._targets = targets
        self._policy = policy
        self._healthy_after = healthy_after
        self._wake_interval = wake_interval
        self._key = ", ".join(target.text for target in targets)
        self._sock: socket.socket | None = None
        self._inbox = poller.Inbox()
        self._machine: retry.Supervision | None = None
        self._asking = False

    async def __aenter__(self) -> Self:
        if self._machine is not None:
            raise RuntimeError("a supervisor is used once")
        self._machine = retry.Supervision(
            self._policy,
            now=monotonic(),
            rng=random,
            healthy_after=self._healthy_after,
            wake_interval=self._wake_interval,
            target=self._key,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> socket.socket:
        machine = self._entered()
        if self._asking:
            raise RuntimeError("only one task at a time may ask a supervisor for a connection")
        self._asking = True
        try:
            if self._sock is not None:
                self._close()
                self._go_on(machine.lost(monotonic()), None)
            return await self._dial(machine)
        finally:
            self._asking = False

    def healthy(self) -> None:
        """Report that the connection works: the back-off begins anew at the next loss.

        Ten seconds of life (``healthy_after``) say the same; that it connected does not.
        """
        self._entered().healthy(monotonic())

    def wake(self) -> None:
        """Cut a back-off short: the network is back, say.  At most once per ``wake_interval``."""
        self._entered().wake(monotonic())
        self._inbox.wake()

    def _entered(self) -> retry.Supervision:
        if self._machine is None:
            raise RuntimeError("use a supervisor with `async with`")
        return self._machine

    async def _dial(self, machine: retry.Supervision) -> socket.socket:
        loop = asyncio.get_running_loop()
        while True:
            when = machine.next_dial
            while when is not None and monotonic() < when:
                await self._inbox.wait(loop, poller.of(loop), when)
                when = machine.next_dial
            try:
                call = await engine.dial(self._targets, self._dialer)
            except errors.CircuitOpen as exc:
                machine.postpone(monotonic() + (exc.retry_after or 0.0))
            except errors.ConnectError as exc:
                now = monotonic()
                if self._budget is not None and retry.left_host(exc):
                    machine.postpone(now + self._budget.wait(self._key, now))
                self._go_on(machine.failed(now, exc), exc)
            else:
                self._sock = call.sock
                machine.connected(monotonic())
                assert self._sock is not None
                return self._sock

    def _go_on(self, answer: float | retry.Stop, exc: errors.ConnectError | None) -> None:
        """Log what follows a failure; raise if nothing does."""
        if isinstance(answer, retry.Stop):
            if exc is None:
                raise errors.lost(self._key, answer.reason, answer.retry_after)
            exc.stopped, exc.retry_after = answer.reason, answer.retry_after
            raise exc
        said = exc if exc is not None else f"connection to {self._key} lost"
        logger.warning("%s; dialling again in %.2f s", said, max(answer - monotonic(), 0.0))

    def _close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None
