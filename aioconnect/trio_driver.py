"""The trio driver: it waits, in the caller's own task, for what a call waits for.

One system task waits for each socket (``trio.lowlevel.wait_writable``).  Names are looked up in
the resolver's threads, as without a loop.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from .call import Call
from .wait import READ, WRITE

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Sequence

    from .driver import Driven, Told, World
    from .options import Options
    from .resolve.base import Answer, Resolver
    from .stages import StageSpec
    from .targets import Target

__all__ = ["TrioDriver", "dial"]


@trio.lowlevel.enable_ki_protection
async def dial(
    targets: Sequence[Target], options: Options, stages: Sequence[StageSpec] = ()
) -> trio.socket.SocketType:
    """Connect to one of the targets.

    An interrupt waits until the driver waits: between two lines of a step it would lose a socket.

    Args:
        targets: at least one.
        options: how.
        stages: what an attempt does after its connect.

    Returns:
        The socket, which the caller owns now.

    Raises:
        ConnectError: it could not.
    """
    driver = TrioDriver()
    call = Call(driver, targets, options, stages)
    await driver.drive(call)
    if call.error is not None:
        raise call.take_error()
    return trio.socket.from_stdlib_socket(call.result)


class TrioDriver:
    """The driver of one call in a trio program."""

    __slots__ = ("_broken", "_watched", "clock", "world")

    def __init__(self) -> None:
        self.clock: Any = trio.current_time
        self.world: World | None = None
        self._watched: dict[socket.socket, trio.CancelScope] = {}
        self._broken: BaseException | None = None  # of a task that waits for a socket

    async def drive(self, driven: Driven) -> None:
        """Step until it has ended; it is closed when an exception comes out.

        A checkpoint, as trio asks of each of its functions: it can be cancelled before the first
        step, and lets others run even if the first step is the last.
        """
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            until = driven.step()
            if until is None:
                await trio.lowlevel.cancel_shielded_checkpoint()
            while until is not None:
                await self._wait(driven, until)
                until = driven.step()
        except BaseException:
            driven.close()
            raise

    def watch(self, driven: Driven, sock: socket.socket, events: int = WRITE) -> None:
        """Put ``(sock, 0)`` once when the socket is ready for ``events``, failed or hung up."""
        scope = trio.CancelScope()
        self._watched[sock] = scope
        trio.lowlevel.spawn_system_task(
            self._report, driven, sock, events, scope, name=f"aioconnect waits for {sock.fileno()}"
        )

    def unwatch(self, sock: socket.socket) -> None:
        """Watch the socket no longer, if it is watched."""
        scope = self._watched.pop(sock, None)
        if scope is not None:
            scope.cancel()  # takes the descriptor out of trio's epoll at once

    def look_up(
        self, told: Told, asked: Any, resolver: Resolver, name: str, families: Sequence[int]
    ) -> Any:
        """Look a name up in the resolver's threads; see :class:`~aioconnect.driver.Driver`."""
        from .resolve.threads import submit_name

        token = trio.lowlevel.current_trio_token()

        def put(answer: Answer | BaseException | None) -> None:  # in the resolver's thread
            with suppress(trio.RunFinishedError):  # nobody is there to be told
                token.run_sync_soon(told.put, (asked, answer))

        return submit_name(resolver, name, families, put)

    def let_finish(self, tickets: Sequence[Any]) -> None:
        """Wait for look-ups no longer: those that run in threads run on."""
        for ticket in tickets:
            ticket.cancel()

    def run(self, driven: Driven, key: Any, stage: Coroutine[Any, Any, Any]) -> Any:
        """Refuse a stage that needs asyncio's loop."""
        stage.close()
        raise TypeError("this handshake needs asyncio: it is a coroutine")

    async def _report(
        self, driven: Driven, sock: socket.socket, events: int, scope: trio.CancelScope
    ) -> None:
        """Wait for one socket; a system task, so that nothing may come out of it."""
        if scope.cancel_called:  # before it began: the socket may be closed
            return
        try:
            with scope:
                if events == READ:
                    await trio.lowlevel.wait_readable(sock)
                else:
                    await trio.lowlevel.wait_writable(sock)
        except Exception as exc:
            self._broken = exc
            driven.wake()
        else:
            if not scope.cancel_called:
                del self._watched[sock]
                driven.put((sock, 0))

    async def _wait(self, driven: Driven, until: float) -> None:
        """Return when something happened, or at ``until``."""
        if not driven.items and self._broken is None:
            driven.future = wake = _Wake()
            try:
                with trio.move_on_at(until) if until != inf else trio.CancelScope():
                    await wake.wait()
            finally:
                driven.future = None
        if self._broken is not None:
            raise self._broken


class _Wake:
    """What a call wakes: a future, as far as it uses one."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = trio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, result: None) -> None:
        del result
        self._event.set()
