"""One call, from its targets to a connection, as a driver steps it (see ``driver.py``).

Here is the first attempt.  The first of the addresses that are known from the start is dialled
before anything else is made: most calls end there.  One that does not connect at once waits
without a race, too.  All else is the work of :class:`~aioconnect.rounds.Rounds`: it is made when
something fails, a second address is due, a name has to be looked up, or somebody observes.

Every socket belongs to the call until its driver takes ``result``.  ``close`` closes them all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from . import attempt as io
from . import causes, lookups
from .driver import Driven
from .handshake.tunnel import tunnel
from .log import logger
from .round import WATCHED
from .rounds import Rounds
from .spans import first_wait
from .stages import StageSpec
from .text import format_targets
from .wait import WRITE

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .driver import Driver
    from .errors import AttemptFailed, ConnectError
    from .late import Late
    from .options import Options
    from .targets import Endpoint, Target

__all__ = ["Call"]

_CONNECTED, _PENDING, _FAILED = io.CONNECTED, io.PENDING, io.FAILED
_DEBUG = logging.DEBUG

_NOTHING: Any = ()
"""No items: a list is made for the first one."""


class Call(Driven):
    """One call.

    Args:
        driver: who waits.
        targets: what to connect to, at least one.
        options: how.
        stages: what an attempt does after its connect, besides what the options say.

    Attributes:
        result: what was made, when the call has succeeded: a connected socket, or what the last
            stage made.  Whoever takes it owns it.
        error: why the call has failed, when it has.
        started: the instant at which it began.
        deadline: the instant by which it ends.
    """

    # What is not set here is set where it is first needed: to set all of it costs a connect that
    # succeeds at once a tenth more.
    __slots__ = (
        "_begun",
        "_driver",
        "_endpoints",
        "_first",
        "_late",
        "_options",
        "_rounds",
        "_stages",
        "_targets",
        "_won",
        "deadline",
        "error",
        "result",
        "started",
    )

    def __init__(
        self,
        driver: Driver,
        targets: Sequence[Target],
        options: Options,
        stages: Sequence[StageSpec] = (),
    ) -> None:
        self.result: Any = None
        self.error: ConnectError | None = None
        self._driver = driver
        self._targets = targets
        self._options = options
        self._stages = stages
        self._begun = False
        self._first: socket.socket | None = None  # of the first attempt, while it is pending
        self._rounds: Rounds | None = None
        self.started = driver.clock()
        self.deadline = self.started + options.timeout

    # What others ask -----------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What is dialled, for a person."""
        targets = self._targets
        if len(targets) == 1:
            return targets[0].text
        return format_targets([target.text for target in targets])

    @property
    def won(self) -> tuple[Target, Any]:
        """The target and the address that the result is connected to."""
        won: tuple[Target, Any] | None = getattr(self, "_won", None)
        # Without rounds it was the first attempt that has succeeded.
        return (self._targets[0], self._endpoints[0][4]) if won is None else won

    def round_failed(self, failures: Sequence[AttemptFailed]) -> bool:
        """Return True if a round does not count; the call then waits for ``resume``.

        To be overridden: it is asked before the retry policy is.
        """
        return False

    def resume(self, now: float, deadline: float) -> None:
        """Begin, or go on after a round that does not count; the time since then is no loss.

        Args:
            now: the instant.
            deadline: no later than this the call ends.
        """
        rounds = self._rounds
        lost = now - (self.started if rounds is None else rounds.round_started)
        self.started += lost
        self.deadline = min(self.deadline + lost, deadline)
        if rounds is not None:
            rounds.resume(now, self.started, self.deadline)
            self.items = _NOTHING

    # What a driver does --------------------------------------------------------------------------

    def step(self) -> float | None:
        """Go on as far as possible without waiting; see :class:`~aioconnect.driver.Driven`.

        Raises:
            Exception: what a hook of the caller's raised; the call must be closed then.
        """
        if self._begun:
            return self._go_on()
        self._begun = True
        driver, options, targets = self._driver, self._options, self._targets
        if driver.world is not None:
            options = self._options = driver.world.within(options)
        debug = logger.isEnabledFor(_DEBUG)
        if debug or options.hooked:
            if not self._admitted(options, debug):
                return self._follow(None)
            if options.allowed_names is not None and lookups.some_denied(targets, options):
                assert self._rounds is not None
                return self._follow(self._rounds.begin())
        target = targets[0]
        endpoints: Sequence[Endpoint] | None
        if not target.needs_lookup and len(targets) == 1:
            endpoints = target.endpoints(options.type)
        else:
            endpoints = lookups.known(targets, options)
        if endpoints is None:
            rounds = self._rounds or self._make_rounds(False)
            return self._follow(rounds.begin())
        self._endpoints = endpoints
        if self._rounds is not None:
            self._rounds.first_started(endpoints[0])
        outcome, what = io.begin(endpoints[0], options, 1, target)
        if outcome == _CONNECTED and not self._stages and self._rounds is None:
            self.result = what
            return None
        return self._settle(outcome, what)

    def _go_on(self) -> float | None:
        items, self.items = self.items, _NOTHING
        if self._first is None:
            assert self._rounds is not None
            return self._follow(self._rounds.step(items))
        sock = self._first
        if not items:  # a second address is due, or the time is up: that the race decides
            rounds = self._rounds or self._make_rounds(False)
            until = rounds.enter(self._endpoints, WATCHED, sock)
            self._first = None
            return self._follow(until)
        outcome, what = io.finish(sock, self._endpoints[0], self._options, items[0][1])
        if outcome != _PENDING:
            self._first = None
        return self._settle(outcome, what)

    def share(self, late: Late) -> None:
        """Share look-ups with the other calls of one who dials again and again; before a step."""
        self._late = late

    def late(self) -> ConnectError:
        """Return the error of a call whose deadline came before its turn to begin."""
        elapsed = self._driver.clock() - self.started
        return causes.timed_out(whole=True, stage="wait", target=self.text, elapsed=elapsed)

    def take_error(self) -> ConnectError:
        """Return the error to raise; the call refers to it no longer, or that were a cycle."""
        error, self.error = self.error, None
        assert error is not None
        return error

    def close(self) -> None:
        """Close every socket, leave every look-up, return what was borrowed."""
        first, self._first = self._first, None
        result, self.result = self.result, None
        rounds, self._rounds = self._rounds, None
        try:
            if first is not None:
                self._driver.unwatch(first)
        finally:
            try:
                if first is not None:
                    io.close(first)
                if result is not None:
                    (self._stages[-1].undo if self._stages else io.close)(result)
            finally:
                if rounds is not None:
                    rounds.close(first=first is not None)

    # The first attempt ---------------------------------------------------------------------------

    def _admitted(self, options: Options, debug: bool) -> bool:
        """Get ready for whoever observes or is asked; False if a breaker is open."""
        if options.handshake is not None:
            self._stages = (StageSpec("handshake", options.handshake), *self._stages)
        if options.proxy is not None:
            self._stages = (StageSpec("proxy", tunnel, sole=True), *self._stages)
        return self._make_rounds(debug).admitted()

    def _settle(self, outcome: int, what: Any) -> float | None:
        """Go on with the first attempt: it succeeds, waits, or enters a race."""
        if outcome == _CONNECTED and not self._stages:
            self.result = what
            if self._rounds is not None:
                self._rounds.first_succeeded(what)
            return None
        if outcome != _PENDING:
            rounds = self._rounds or self._make_rounds(False)
            return self._follow(rounds.enter(self._endpoints, outcome, what))
        self._first = what
        self.future = self.slot = None
        self.items = _NOTHING
        try:
            self._driver.watch(self, what, WRITE)
        except OSError as exc:  # no descriptor for the loop's epoll, say
            self._first = None
            io.close(what)
            family, _, _, _, address = self._endpoints[0]
            error = causes.from_exception(exc, stage="wait", address=address, family=family)
            rounds = self._rounds or self._make_rounds(False)
            return self._follow(rounds.enter(self._endpoints, _FAILED, error))
        options = self._options
        return first_wait(
            self.started,
            self.deadline,
            options.attempt_timeout,
            len(self._endpoints),
            options.max_concurrent,
            options.retry is not None,
            options.happy_eyeballs_delay,
        )

    def _make_rounds(self, debug: bool) -> Rounds:
        self.future = self.slot = None
        self.items = _NOTHING
        self._rounds = rounds = Rounds(
            self._driver,
            self,
            self._targets,
            self._options,
            self._stages,
            self.started,
            self.deadline,
            debug,
            getattr(self, "_late", None),
        )
        return rounds

    def _follow(self, until: float | None) -> float | None:
        """Take over how the rounds have ended, if they have."""
        if until is None:
            rounds = self._rounds
            assert rounds is not None
            self.error = rounds.error
            self.result = rounds.result
            self._won = rounds.won
            self._rounds = None
        return until
