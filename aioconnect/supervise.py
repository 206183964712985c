"""A client that must stay connected: one connection after the other, with proper back-off.

When to dial is decided by :class:`~aioconnect.retry.Supervision`, which has no clock.  Here are
the clock, the sleep, the dial, and the socket that was handed out last.

Not an asynchronous generator: ``break`` would skip its clean-up.
"""

from __future__ import annotations

import asyncio
from random import random
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from . import causes, engine, errors, events, lookups, poller, retry
from .late import Late
from .log import emit, logger
from .text import format_targets
from .transports import end_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from .options import Options
    from .targets import Target

__all__ = ["OneAfterTheOther", "Supervisor"]


ConnectionT = TypeVar("ConnectionT")


class OneAfterTheOther(Generic[ConnectionT]):
    """One connection after the other, of whatever kind: :meth:`dial` makes it, :meth:`end` ends it.

    Raises:
        TypeError: the dialer's ``budget`` has no ``wait()``, which one that never gives up needs.
    """

    def __init__(
        self,
        dialer: Options,
        targets: Sequence[Target],
        *,
        policy: Any,
        healthy_after: float,
        wake_interval: float,
        first: Literal["fail", "wait"],
    ) -> None:
        self._budget: Any = dialer.budget
        if self._budget is not None and not callable(getattr(self._budget, "wait", None)):
            raise TypeError(f"budget needs wait() to be used by supervise(): {self._budget!r}")
        self._hook = dialer.on_event
        self._dialer = dialer.replace(
            retry=None, on_event=None if self._hook is None else _without_ends(self._hook)
        )
        self._targets = targets
        self._policy = policy
        self._healthy_after = healthy_after
        self._wake_interval = wake_interval
        self._first: Literal["fail", "wait"] = first
        self._key = ", ".join([target.key for target in targets])  # of the budget
        self._text = format_targets([target.text for target in targets])
        self._connection: ConnectionT | None = None
        self._dialling: asyncio.Task[ConnectionT] | None = None
        self._alarm = poller.Alarm()
        self._late = Late(self._follows)
        self._machine: retry.Supervision | None = None
        self._asking = False
        self._over = False
        self._owes = False  # the next dial costs a token of the budget
        self._reserved = False  # the token was taken

    async def __aenter__(self) -> Self:
        if self._machine is not None:
            raise RuntimeError("a supervisor is used once")
        self._clock = poller.of(asyncio.get_running_loop()).clock
        self._machine = retry.Supervision(
            self._policy,
            now=self._clock(),
            rng=random,
            healthy_after=self._healthy_after,
            wake_interval=self._wake_interval,
            target=self._text,
            first=self._first,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._over = True
        self._alarm.wake()  # another task may be asking
        try:
            if self._dialling is not None:
                self._dialling.cancel()
            for ticket in self._late.leave():
                ticket.cancel()
        finally:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self.leave(connection, in_order=exc is None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConnectionT:
        machine = self._entered()
        if self._asking:
            raise RuntimeError("only one task at a time may ask a supervisor for a connection")
        if self._over:
            raise StopAsyncIteration
        self._asking = True
        try:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                self.end(connection)
                if not machine.is_healthy(self._clock()):
                    self._forget()
                self._lost(machine)
            return await self._dial(machine)
        except Exception:
            self._over = True
            raise
        finally:
            self._asking = False

    def healthy(self) -> None:
        """Report that the connection works: the back-off begins anew at the next loss.

        Ten seconds of life (``healthy_after``) say the same; that it connected does not.
        """
        self._entered().healthy(self._clock())

    def wake(self) -> None:
        """Cut a back-off short: the network is back, say.  At most once per ``wake_interval``.

        Call it in the thread of the loop.
        """
        self._entered().wake(self._clock())
        self._alarm.wake()

    def _entered(self) -> retry.Supervision:
        if self._machine is None:
            raise RuntimeError("use a supervisor with `async with`")
        return self._machine

    # What a kind of connection is -----------------------------------------------------------------

    def dial(self) -> Coroutine[Any, Any, ConnectionT]:
        """Connect once; cancelled, it leaves nothing."""
        raise NotImplementedError

    def end(self, connection: ConnectionT) -> None:
        """End a connection at once."""
        raise NotImplementedError

    async def leave(self, connection: ConnectionT, *, in_order: bool) -> None:
        """End the last connection when the block is left, ``in_order`` or by an exception."""
        raise NotImplementedError

    # One outage -----------------------------------------------------------------------------------

    async def _dial(self, machine: retry.Supervision) -> ConnectionT:
        pausing = machine.failures > 0
        while True:
            await self._pause(machine, at_least_a_turn=pausing)
            try:
                connection = await self._connect()
            except errors.CircuitOpen as exc:
                machine.postpone(self._clock() + (exc.retry_after or 0.0))
                self._announce(machine, exc, str(exc))
            except errors.ConnectError as exc:
                self._failed(machine, exc)
            else:
                if self._over:
                    self.end(connection)
                    raise StopAsyncIteration
                self._connection = connection
                machine.connected(self._clock())
                return connection
            pausing = True

    async def _connect(self) -> ConnectionT:
        """Dial in a task of its own, which leaving the block can end."""
        loop = asyncio.get_running_loop()
        self._dialling = task = loop.create_task(self.dial(), name="aioconnect: dial")
        try:
            return await task
        except asyncio.CancelledError:
            if task.done() and not task.cancelled() and task.exception() is None:
                self.end(task.result())  # both came in the same turn
            asking = asyncio.current_task()
            if self._over and asking is not None and not asking.cancelling():
                raise StopAsyncIteration from None
            raise
        finally:
            self._dialling = None

    def _follows(self, now: float, error: errors.ConnectError) -> bool:
        """Whether another dial follows one that failed so; a policy that raises is asked again."""
        try:
            return self._entered().follows(now, error)
        except OSError:
            return True

    async def _pause(self, machine: retry.Supervision, *, at_least_a_turn: bool) -> None:
        """Sleep until the next dial is due; the loop has its turn even if that is at once."""
        if self._owes:
            self._reserve(machine)
        try:
            when = machine.next_dial
            while when is not None and (at_least_a_turn or self._clock() < when):
                at_least_a_turn = False
                await self._alarm.sleep(poller.of(asyncio.get_running_loop()), when)
                if self._over:
                    raise StopAsyncIteration
                when = machine.next_dial
        except BaseException:
            if self._reserved:
                self._budget.release(self._key, self._clock())
                self._reserved, self._owes = False, True
            raise
        self._reserved = False  # it is spent now

    def _failed(self, machine: retry.Supervision, error: errors.ConnectError) -> None:
        """Go on after a failed dial, or raise."""
        try:
            answer = self._ask(error.attempts, machine.failed, self._clock(), error)
            if isinstance(answer, retry.Stop):
                self._give_up(answer, error)
                raise error
            if self._budget is not None and retry.left_host(error):
                self._reserve(machine)
            self._announce(machine, error, str(error))
        finally:
            del error  # or it would refer to itself, through the frame of its traceback

    def _lost(self, machine: retry.Supervision) -> None:
        """Go on after the loss of the connection, or raise."""
        error = causes.lost(self._text, "", None)
        error.stopped = None
        try:
            answer = self._ask((), machine.lost, self._clock())
            if isinstance(answer, retry.Stop):
                self._give_up(answer, error)
                raise error
            self._announce(machine, error, f"connection to {self._text} lost")
        finally:
            del error

    def _ask(
        self,
        attempts: tuple[events.AttemptFailed, ...],
        report: Callable[..., float | retry.Stop],
        *what: Any,
    ) -> float | retry.Stop:
        """Report a failure, which asks the policy; an ``OSError`` that this raises ends it all."""
        try:
            return report(*what)
        except OSError as exc:
            now = self._clock()
            failure = causes.from_exception(exc, stage="wait", target=self._text, said_by="hook")
            failure.__traceback__ = None  # it would refer to this frame, and that to it
        entry = events.AttemptFailed(now, self._text, failure, now)
        raise causes.combine(
            (*attempts, entry),
            target=self._text,
            elapsed=0.0,
            count=len(attempts),
            stopped="custom",
        )

    def _reserve(self, machine: retry.Supervision) -> None:
        """Take a token for the next dial; while there is none it is dialled seldom."""
        now = self._clock()
        self._owes = False
        self._reserved = self._budget.reserve(self._key, now)
        if not self._reserved:
            machine.postpone(now + self._budget.wait(self._key, now))

    def _announce(self, machine: retry.Supervision, error: errors.ConnectError, said: str) -> None:
        now = self._clock()
        delay = max((machine.next_dial or now) - now, 0.0)
        logger.warning("%s; dialling again in %.2f s", said, delay)
        emit(self._hook, events.RetryScheduled(now, self._text, machine.failures, delay, error))

    def _give_up(self, answer: retry.Stop, error: errors.ConnectError) -> None:
        error.stopped, error.retry_after = answer.reason, answer.retry_after
        emit(self._hook, events.GaveUp(self._clock(), self._text, answer.reason, error))

    def _forget(self) -> None:
        """Let caches forget the names: who accepted and did not hold may be somebody else now."""
        for target in self._targets:
            if target.needs_lookup:
                for name in target.names:
                    lookups.forget(name.host, self._dialer)


class Supervisor(OneAfterTheOther["socket.socket"]):
    """What :meth:`~aioconnect.Dialer.supervise` returns.

    An asynchronous context manager, and an asynchronous iterator of connected sockets.  Asking
    for the next one reports the last as dead and closes it; leaving the block closes the last.

    An exception from the iteration ends it: to ask again is a ``StopAsyncIteration``, and so it is
    when the block was left.  A cancellation does not end it.

    Raises:
        TypeError: the dialer's ``budget`` has no ``wait()``, which one that never gives up needs.
    """

    async def dial(self) -> socket.socket:
        """Connect once."""
        call = await engine.dial(self._targets, self._dialer, late=self._late)
        return call.result  # type: ignore[no-any-return]

    def end(self, connection: socket.socket) -> None:
        """End a connection; a transport that has its socket closes it."""
        end_connection(asyncio.get_running_loop(), connection)

    async def leave(self, connection: socket.socket, *, in_order: bool) -> None:
        """End the last connection."""
        self.end(connection)


def _without_ends(
    hook: Callable[[events.Event], object],
) -> Callable[[events.Event], object]:
    """Keep from the observer that a dial gave up: the supervision goes on."""

    def observe(event: events.Event) -> None:
        if not isinstance(event, events.GaveUp):
            hook(event)

    return observe
