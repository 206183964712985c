"""Both kinds of event loops, also driven step by step.

A *step* is one iteration of the loop.  Between two steps no code of the loop runs, so everything
that can happen to a call from outside (here: that it is cancelled) can happen at any of them, and
nowhere else.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import uvloop

from aioconnect import poller

from .account import Account, descriptors, polled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}

for _make in LOOPS.values():
    _make().close()  # with the first loop libuv opens a pipe, which it keeps for the process

GRACE = 3
"""Turns of the loop in which a closing transport and a cancelled look-up must be gone."""


class _Jumping(selectors.DefaultSelector):
    """A selector that lets no time pass: where it would wait it puts its clock on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready."""
        found = super().select(0)
        if found or timeout == 0:
            return found
        if timeout is None:
            return super().select(20)
        self.now += timeout
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, which jumps to the next timer when nothing else is to do."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the instant."""
        return self._jumping.now


class _Recording:
    """A loop that counts what happens on it, and keeps the timers that it was asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scheduled = 0
        self.timers: list[tuple[asyncio.TimerHandle, list[bool]]] = []

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self._record(super().call_later, delay, callback, args, context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self._record(super().call_at, when, callback, args, context)

    def _record(self, method: Any, when: float, callback: Any, args: Any, context: Any) -> Any:
        fired: list[bool] = []

        def fire(*args: Any) -> None:
            fired.append(True)
            callback(*args)

        self.scheduled += 1
        handle = method(when, fire, *args, context=context)
        self.timers.append((handle, fired))
        return handle


class _Asyncio(_Recording, asyncio.SelectorEventLoop):
    """asyncio's loop."""

    def _process_events(self, event_list: Any) -> None:
        self.scheduled += len(event_list)
        super()._process_events(event_list)


class _Uvloop(_Recording, uvloop.Loop):
    """uvloop's loop."""


KINDS = ("asyncio", "uvloop", *(("eager",) if sys.version_info >= (3, 12) else ()))
"""asyncio, uvloop, and asyncio whose tasks begin to run when they are made."""


class Steps:
    """An event loop that goes when it is told to."""

    def __init__(self, kind: str) -> None:
        self.loop: Any = _Uvloop() if kind == "uvloop" else _Asyncio()
        if kind == "eager":
            self.loop.set_task_factory(asyncio.eager_task_factory)
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.loop.close()

    def step(self) -> bool:
        """Run one iteration of the loop; tell whether anything happened in it."""
        before = self.loop.scheduled
        self.loop.stop()  # before it runs: it ends after one iteration
        self.loop.run_forever()
        return bool(self.loop.scheduled != before)

    def start(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Make a task, from inside the loop (an eager one runs at once)."""
        made: list[asyncio.Task[Any]] = []
        self.loop.call_soon(lambda: made.append(self.loop.create_task(call())))
        self.step()
        return made[0]

    def advance(self, task: asyncio.Task[Any], most: int) -> int:
        """Run steps until the task is done, at most ``most``; return how many were run.

        An iteration in which nothing happens is not counted: the call waits for the world
        outside, which is given time.
        """
        done = 0
        limit = time.monotonic() + 20
        while done < most and not task.done():
            if self.step():
                done += 1
            else:
                assert time.monotonic() < limit, "the call hangs"
                time.sleep(0.0003)
        return done

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a call to its end."""
        task = self.start(call)
        self.advance(task, sys.maxsize)
        return task.result()

    def settle(self, turns: int) -> None:
        """Run some more iterations."""
        for _ in range(turns):
            self.step()

    def account(self) -> Account:
        """Take stock of everything that a call could leave behind."""
        pending = [(h, fired) for h, fired in self.loop.timers if not fired and not h.cancelled()]
        self.loop.timers[:] = pending
        left = {handle for handle, _ in pending}
        left.update(h for h in getattr(self.loop, "_scheduled", ()) if not h.cancelled())
        kept = poller.of(self.loop)
        left -= {kept._timer, kept._spare_timer}  # they fire once for nothing, and are gone
        watcher: Any = kept._watcher()
        return Account(
            frozenset(descriptors().items()),
            frozenset(polled()),
            frozenset(() if watcher is None else watcher._waiting),
            frozenset(asyncio.all_tasks(self.loop)),
            frozenset(left),
            len(kept._instants),
            len(kept._queue),
        )
