"""The rounds of one call: again and again over all addresses, as the policy says.

What a round does is in ``round.py``.  Here is what follows one: the breaker, the budget and the
policy are asked, the observer is told, the next round begins or the call ends.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from . import attempt as io
from . import causes, events, lookups
from .log import Log, logger
from .race import Attempt, Race
from .round import Round
from .spans import DEFAULT_ATTEMPT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .driver import Driver
    from .errors import AttemptFailed, ConnectError
    from .late import Late
    from .options import Options
    from .permits import Permits
    from .retry import Stop
    from .retrying import Retrying
    from .stages import Stages, StageSpec
    from .targets import Endpoint, Target

__all__ = ["Rounds"]


class Rounds:
    """All rounds of one call.

    Args:
        driver: who waits.
        driven: the call, which the driver reports to: its ``text`` and ``round_failed`` are asked.
        targets: what to connect to.
        options: how.
        stages: what an attempt does after its connect.
        started: the instant at which the call began.
        deadline: the instant by which it ends.
        debug: events are logged as debug messages.
        late: the look-ups of whoever dials again with another call; None if nobody does.

    Attributes:
        result: what was made, when ``step`` says that all has ended.
        won: the target and the address that it is connected to.
        error: why the call has failed.
    """

    __slots__ = (
        "_dialled",
        "_driven",
        "_driver",
        "_first",
        "_late",
        "_log",
        "_options",
        "_ordered",
        "_permits",
        "_resume",
        "_retrying",
        "_round",
        "_stages",
        "_started",
        "_stopped",
        "_targets",
        "deadline",
        "error",
        "result",
        "round_started",
        "won",
    )

    def __init__(
        self,
        driver: Driver,
        driven: Any,
        targets: Sequence[Target],
        options: Options,
        stages: Sequence[StageSpec],
        started: float,
        deadline: float,
        debug: bool,
        late: Late | None,
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._targets = self._ordered = targets  # as given, and as dialled in this round
        self._options = options
        self._stages = stages
        self._started = self.round_started = started
        self.deadline = deadline
        self._log = Log(targets, options.on_event, debug)
        self._round: Round | None = None
        self._permits: Permits | None = None
        self._retrying: Retrying | None = None
        self._late = late
        self._stopped: Stop | None = None  # no round follows this one, which goes on
        self._resume: float | None = None  # the instant of the next round, between two
        self._dialled = 0  # how many attempts there were before this round
        self._first: Attempt | None = None  # of the first round, which needs no race
        self.result: Any = None
        self.won: tuple[Target, Any] | None = None
        self.error: ConnectError | None = None

    # What the call does --------------------------------------------------------------------------

    def admitted(self) -> bool:
        """Ask the breaker, if there is one; False if the call has ended, since it is open."""
        options = self._options
        if options.breaker is None and options.budget is None:
            return True
        if self._permits is None:
            from .permits import Permits

            key = ", ".join([target.key for target in self._log.targets])
            self._permits = Permits(options.breaker, options.budget, key)
        now = self._driver.clock()
        open_for = self._permits.admit(now)
        if open_for is None:
            return True
        if self._log.attempts:
            self._give_up(now, "open", open_for)
        else:
            last = self._permits.last_failure
            self._end_with(causes.circuit_open(self._driven.text, open_for, last), now, "open")
        return False

    def first_started(self, endpoint: Endpoint) -> None:
        """Tell the observer that the first attempt is about to begin."""
        self._first = first = Attempt(endpoint, 0, 1, self._started)
        if self._log.observed:
            self._log.started(first)

    def first_succeeded(self, result: Any) -> None:
        """Tell the observer, the breaker and the budget that the first attempt has succeeded."""
        assert self._first is not None
        self.result = result
        self._succeed(self._first)

    def enter(self, endpoints: Sequence[Endpoint], outcome: int, what: Any) -> float | None:
        """Begin the first round, in which the first attempt was begun.

        Args:
            endpoints: all addresses, in the order to dial.
            outcome: what became of the first one, or ``WATCHED``.
            what: its socket, or what failed.
        """
        now = self._started
        if outcome == io.FAILED and len(endpoints) == 1:  # which is all that there was to try
            attempt = Attempt(endpoints[0], 0, 1, now)
            attempt.error, attempt.ended = what, now = what, self._driver.clock()
            self._dialled = 1
            self._log.failed(attempt)
            return self._round_failed(now)
        this = self._round = self._new_round()
        return self._after(this.enter(endpoints, len(self._targets), now, outcome, what))

    def begin(self) -> float | None:
        """Begin the first round, for which something has to be looked up."""
        return self._after(self._open_round(self._started).step(()))

    def step(self, items: Sequence[tuple[Any, Any]]) -> float | None:
        """Take in what happened, and go on as far as possible without waiting."""
        if self._resume is not None:
            now = self._driver.clock()
            if self._late is not None:
                for key, what in items:
                    self._late.take(key, what)
            if now < self._resume:
                return self._resume
            self._resume = None
            if not self.admitted():
                return None
            return self._after(self._next_round(now).step(()))
        assert self._round is not None
        return self._after(self._round.step(items))

    def resume(self, now: float, started: float, deadline: float) -> None:
        """Go on with another round, after one that does not count."""
        self._started = started
        self.deadline = deadline
        self._resume = now

    def close(self, *, first: bool) -> None:
        """Close every socket, leave every look-up, return what was borrowed.

        ``first`` says that the first attempt was pending, and was closed.
        """
        try:
            self._leave(finish=False, first=self._first if first else None)
        finally:
            if self._round is not None:
                self._round.undo()

    # A round -------------------------------------------------------------------------------------

    def _after(self, until: float | None) -> float | None:
        """Go on after a step of the round: it waits, has succeeded, or has failed."""
        if until is not None:
            return until
        this = self._round
        assert this is not None
        if this.won is None:
            return self._round_failed(self._driver.clock())
        self.result = this.result
        self._succeed(this.won, this.stages)
        return None

    def _next_round(self, now: float) -> Round:
        self._log.round += 1
        if self._permits is not None:
            self._permits.spend()
        if self._retrying is not None:
            self._retrying.begin()
            if len(self._targets) > 1:
                self._ordered = self._retrying.arrange_targets(self._targets, now)
        if self._round is not None:
            self._dialled = self._round.race.number
            self._round.close(finish=False)
        return self._open_round(now)

    def _open_round(self, now: float) -> Round:
        """Begin a round; look up what has to be."""
        self.round_started = now
        self._log.targets = self._ordered
        this = self._round = self._new_round()
        arrange = None if self._retrying is None else self._retrying.arrange
        late = self._late
        if late is None and self._options.retry is not None:
            from .late import Late

            late = self._late = Late()
        if late is not None:
            late.driven = self._driven
            this.race.hurried = True
        this.lookups = lookups.NameLookups(
            self._driver, self._driven, self._ordered, self._options, now, self._log, arrange, late
        )
        this.lookups.begin(this.race)
        return this

    def _new_round(self) -> Round:
        options = self._options
        # By position: ten names would cost as much again as all that the race does with them.
        race = Race(
            len(self._targets),
            options.happy_eyeballs_delay,
            options.resolution_delay,
            options.max_concurrent,
            # Or addresses that failed lately would come before others of the other family.
            options.interleave if self._retrying is None else 0,
            options.attempt_timeout,
            self.round_started,
            self.deadline,
            options.retry is not None,
            self._dialled,
        )
        return Round(
            self._driver,
            self._driven,
            options,
            self._stages,
            self._log,
            race,
            self.deadline,
            None if self._retrying is None else self._retrying.penalise,
        )

    # Between rounds ------------------------------------------------------------------------------

    def _round_failed(self, now: float) -> float | None:
        """Return the instant of the next round, or None: the call has failed."""
        options, log = self._options, self._log
        this = self._round
        of_round: Sequence[AttemptFailed] = ()
        if this is None:
            failures: Sequence[AttemptFailed] = log.attempts
        else:
            of_round = log.of_round()
            failures = this.failures(now, self._driven.text, self.round_started)
        if self._driven.round_failed(failures):
            self._forget_round()
            return inf
        if this is not None:
            log.rewrite(failures)
        if options.retry is None and self._permits is None and self._late is None:
            self._forget_names()
            self._give_up(now, None)
            return None
        elapsed = now - self.round_started
        error = causes.combine(
            failures, target=self._driven.text, elapsed=elapsed, count=len(failures)
        )
        early = this is not None and this.race.early
        pause = self._pause(now, error, early)
        if early:
            assert this is not None
            assert this.lookups is not None
            if pause is not None and not isinstance(pause, float | int):
                # The last round waits for the answers that are missing.
                log.rewrite(of_round)
                this.race.hurried = this.race.early = False
                return self._after(this.step(()))
            this.lookups.hand_over()
        self._forget_names()
        if pause is None:
            self._give_up(now, None)
            return None
        if not isinstance(pause, float | int):
            self._give_up(now, pause.reason, pause.retry_after)
            return None
        logger.warning("%s; round %d in %.2f s", error, log.round + 1, pause)
        if log.observed:
            log.emit(events.RetryScheduled(now, self._driven.text, log.round, pause, error))
        self._resume = now + pause
        return self._resume

    def _forget_names(self) -> None:
        """Let caches forget the names: what they know may be old, if every address failed."""
        for target in self._targets:
            if target.needs_lookup:
                for name in target.names:
                    lookups.forget(name.host, self._options)

    def _pause(self, now: float, error: ConnectError, early: bool) -> float | Stop | None:
        """Return the seconds before the next round, or why there is none.

        None: the call ends, and whoever made it dials again or does not.
        """
        if self._stopped is not None:
            return self._stopped
        if self._options.retry is None:
            if early:
                assert self._late is not None
                assert self._late.follows is not None
                if not self._late.follows(now, error):
                    from .retry import Stop

                    return Stop("attempts")
            if self._permits is not None:
                self._permits.failed(now, error)
            return None
        policy = self._policy()
        pause = policy.pause(error, self._log, self._permits, now, self.deadline, early=early)
        if early and not isinstance(pause, float | int) and pause.reason in ("open", "budget"):
            self._stopped = pause  # the breaker and the budget are asked once a round
        return pause

    def _policy(self) -> Retrying:
        if self._retrying is None:
            from .retrying import Retrying

            self._retrying = retrying = Retrying(self._options.retry, self._started)
            for failed in self._log.attempts:
                retrying.penalise(failed)
        return self._retrying

    def _forget_round(self) -> None:
        """Undo a round that does not count, and wait for ``resume``."""
        self._log.rewrite(())
        self._log.round -= 1
        self._leave(finish=False)
        self._round = None
        self._dialled = max([each.number for each in self._log.attempts], default=0)
        self._resume = inf

    # The end -------------------------------------------------------------------------------------

    def _succeed(self, won: Attempt, stages: Stages | None = None) -> None:
        """Tell whoever observes, and close every other socket."""
        log, options = self._log, self._options
        self.won = self._ordered[won.target], won.endpoint[4]
        if log.observed:
            now = self._driver.clock()
            ended = [("connect", now)] if stages is None else stages.ended
            log.connected(won, now, self._started, (stages or self.result).getsockname(), ended)
        if options.breaker is not None or options.budget is not None:
            assert self._permits is not None
            self._permits.succeeded(self._driver.clock())
        this = self._round
        if this is not None and (len(this.race.running) > 1 or this.lookups is not None):
            self._leave(finish=True)

    def _give_up(self, now: float, stopped: str | None, retry_after: float | None = None) -> None:
        """End the call with the error of all its attempts."""
        count = self._dialled if self._round is None else self._round.race.number
        elapsed = now - self._started
        error = causes.combine(
            self._log.attempts, self._driven.text, elapsed, count, stopped, retry_after
        )
        self._end_with(error, now, stopped or "attempts")

    def _end_with(self, error: ConnectError, now: float, stopped: str) -> None:
        if self._log.observed:
            self._log.emit(events.GaveUp(now, self._driven.text, stopped, error))
        if self._round is not None or self._permits is not None:
            self._leave(finish=False)
        self.error = error

    def _leave(self, *, finish: bool, first: Attempt | None = None) -> None:
        """Close every other socket; return the breaker permit and the budget token."""
        cancelled = [] if first is None else [first]
        try:
            if self._round is not None:
                cancelled += self._round.close(finish=finish)
        finally:
            if self._late is not None:
                self._leave_late(self._late, finish=finish)
            if self._permits is not None:
                now = self._driver.clock()
                self._permits.give_back(now, silent=self._some_silent(cancelled, now))
        if cancelled and self._log.observed:  # last, since a hook may raise
            for attempt in cancelled:
                facts = self._log.facts(self._driver.clock(), attempt)
                self._log.emit(events.AttemptCancelled(*facts))

    def _leave_late(self, late: Late, *, finish: bool) -> None:
        """Leave the look-ups of earlier rounds, unless another call of the same goes on."""
        late.driven = None
        if finish or late.follows is None:
            lookups.end(late.leave(), self._driver, self._options, finish=finish)

    def _some_silent(self, left: Sequence[Attempt], now: float) -> bool:
        """Whether an attempt that is left was given as long as an attempt may take."""
        limit = self._options.attempt_timeout
        longest = DEFAULT_ATTEMPT_TIMEOUT if limit in (None, inf) else limit
        return any(now - attempt.started > longest for attempt in left)
