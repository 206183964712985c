"""What an attempt does after its connect: handshakes over the connected socket, one by one.

A stage gets what the one before it made (the first one gets the socket), and makes what the next
one gets; the call's result is what the last one made.  There are two kinds:

- a generator, which every driver can run.  It reads and writes the non-blocking socket itself,
  yields ``READ`` or ``WRITE`` where it would have to wait (``READ, seconds`` for so long at most),
  and never closes the socket.  What it returns does not count: it makes what it was given ready
  for the next;
- a coroutine, for what needs an event loop (TLS).  It runs in a task, and has a function that ends
  it: called when it has failed or is left, with what it was given, which it gives back then.

Either fails by an ``OSError``, which is the failure of the attempt.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Generator
from inspect import iscoroutine
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from . import attempt, wait
from .named_endpoint import NamedEndpoint

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Coroutine, Sequence

    from .driver import Driven, Driver
    from .targets import Endpoint, Target
    from .terms import Stage

__all__ = ["StageSpec", "Stages"]


class StageSpec(NamedTuple):
    """One stage after the connect.

    Attributes:
        name: what it is called in errors and events.
        begin: called with what the last stage made and the endpoint; returns a generator.
        undo: closes what the stage made, when the call does not end with it.
        sole: no other address starts meanwhile.
        run: called with what the last stage made and the target, instead of ``begin``; returns a
            coroutine.
        end: ends that, when it has failed or is left: called with what it was given, and its task.
    """

    name: Stage
    begin: Callable[[Any, Endpoint], Generator[Any, None, Any]] | None = None
    undo: Callable[[Any], object] = attempt.close
    sole: bool = False
    run: Callable[[Any, Target], Coroutine[Any, Any, Any]] | None = None
    end: Callable[[Any, asyncio.Task[Any]], object] | None = None


class Stages:
    """The stages of one attempt.

    Args:
        driver: who waits for them.
        driven: the call.
        stages: what is to be done.
        sock: the connected socket, which is theirs from now on.
        endpoint: what it is connected to.
        target: what that is an address of.
        tell: called with the instant when a stage begins, if somebody observes.

    Attributes:
        made: what the last stage has made, or what the one that runs was given.
        ended: the names of the stages that are done, each with the instant.
        until: the instant at which the stage goes on though nothing has happened.
    """

    __slots__ = (
        "_awaits",
        "_driven",
        "_driver",
        "_endpoint",
        "_generator",
        "_left",
        "_local",
        "_target",
        "_task",
        "_tell",
        "_undo",
        "ended",
        "made",
        "until",
    )

    def __init__(
        self,
        driver: Driver,
        driven: Driven,
        stages: Sequence[StageSpec],
        sock: socket.socket,
        endpoint: Endpoint,
        target: Target,
        tell: Callable[[float], object] | None,
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._left = deque(stages)
        self._endpoint = endpoint
        self._target = target
        self._tell = tell
        self._generator: Generator[Any, None, Any] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._awaits = 0  # what the generator waits for: READ or WRITE
        self._undo: Callable[[Any], object] = attempt.close
        self._local = sock.getsockname()
        self.until = inf
        self.made: Any = sock
        self.ended: list[tuple[Stage, float]] = [("connect", driver.clock())]

    @property
    def name(self) -> Stage:
        """The stage that runs, or the one that comes next."""
        return self._left[0].name

    @property
    def sole(self) -> bool:
        """No other address starts while this stage runs."""
        return bool(self._left) and self._left[0].sole

    def getsockname(self) -> Any:
        """Return the local address of the socket."""
        return self._local

    def step(self) -> bool:
        """Go on as far as possible; True if all stages are done.

        Raises:
            OSError: the stage failed.
            Exception: a hook is broken.
        """
        while self._left:
            if self._task is not None:
                task = self._task
                if not task.done():
                    return False
                if task.cancelled():  # not by us: then it were awaited no longer
                    raise OSError(errno.ECANCELED, "the handshake was cancelled")
                try:
                    made = task.result()
                finally:
                    del task  # or what it raises would refer to itself, through this frame
                self._made(made)
            elif self._generator is not None:
                self._unwatch()
                try:
                    events = next(self._generator)
                except StopIteration as stop:
                    self._generator = None
                    # A ``handshake=`` of the caller's speaks, and makes nothing of the socket.
                    speaks = stop.value is None or self.name == "handshake"
                    self._made(self.made if speaks else stop.value)
                else:
                    if isinstance(events, tuple):
                        events, seconds = _within(events)
                        self.until = self._driver.clock() + seconds
                    if events not in (wait.READ, wait.WRITE):
                        raise TypeError(f"a handshake yields READ or WRITE, not {events!r}")
                    self._awaits = events
                    self._driver.watch(self._driven, self.made, events)
                    return False
            else:
                self._begin(self._left[0])
        return True

    def _begin(self, stage: StageSpec) -> None:
        if self._tell is not None:
            self._tell(self._driver.clock())
        if stage.run is not None:
            coroutine = stage.run(self.made, self._target)
            self._task = self._driver.run(self._driven, self, coroutine)
            return
        assert stage.begin is not None
        endpoint: Any = self._endpoint
        if stage.name == "handshake":  # a caller's may want to know whom it is to greet
            endpoint = NamedEndpoint(endpoint)
            endpoint.name = self._target.meant.name
        begun: Any = stage.begin(self.made, endpoint)  # of a caller's, perhaps none
        if not isinstance(begun, Generator):
            if iscoroutine(begun):
                begun.close()
            raise TypeError(f"handshake must return a generator, not {begun!r}")
        self._generator = begun

    def ready(self) -> bool:
        """Whether what the stage waits for is there."""
        if self._task is not None:
            return bool(self._task.done())
        return not self._awaits or wait.ready(self.made, self._awaits)

    def _unwatch(self) -> None:
        self.until = inf
        if self._awaits:
            self._awaits = 0
            self._driver.unwatch(self.made)

    def _made(self, made: Any) -> None:
        stage = self._left[0]
        # In one statement: what is raised meanwhile finds the one or the other.
        self.made, self._undo, self._task = made, stage.undo, None
        self._left.popleft()
        self.ended.append((stage.name, self._driver.clock()))

    def close(self) -> None:
        """Close what there is, and end what runs."""
        generator, self._generator = self._generator, None
        task, self._task = self._task, None
        made, self.made = self.made, None
        try:
            if self._awaits:
                self._awaits = 0
                self._driver.unwatch(made)
            if generator is not None:
                generator.close()
        finally:
            if task is not None:
                end = self._left[0].end
                assert end is not None
                end(made, task)
            elif made is not None:
                self._undo(made)


def _within(what: tuple[Any, ...]) -> tuple[int, float]:
    """Return what a generator waits for, and for how many seconds at most."""
    events, seconds = what
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise TypeError(f"a handshake waits for a number of seconds, not {seconds!r}")
    return events, seconds
