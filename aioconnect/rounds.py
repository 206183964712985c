"""The rounds of one call: a race over all addresses, again and again as the policy says.

Here decisions are put to work: what happens is reported to the race, and what the race says is
done.  The names of a round, the log, the permits and the policy's state are objects of their own.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from . import attempt as io
from . import causes, events, lookups, wait
from .driver import WRITE
from .errors import AttemptFailed
from .log import Log, logger
from .race import Attempt, Race
from .stages import Stages

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .call import Call
    from .driver import Driver
    from .errors import ConnectError
    from .options import Options
    from .permits import Permits
    from .retrying import Retrying
    from .stages import Stage
    from .targets import Endpoint, Target

__all__ = ["Rounds"]

_CONNECTED, _PENDING, _AGAIN = io.CONNECTED, io.PENDING, io.AGAIN

DIALS_PER_STEP = 64
"""How many attempts one step makes at most: a driver serves others before the next ones."""

PROMPT = 0.01
"""Seconds after its instant within which a time limit is judged without a look."""


class Rounds:
    """All rounds of one call.

    Args:
        driver: who waits.
        driven: the call, which the driver reports to.
        targets: what to connect to.
        options: how.
        stages: what an attempt does after its connect.
        started: the instant at which the call began.
        deadline: the instant by which it ends.
        debug: events are logged as debug messages.

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
        "_log",
        "_lookups",
        "_options",
        "_ordered",
        "_permits",
        "_race",
        "_resume",
        "_retrying",
        "_stages",
        "_started",
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
        driven: Call,
        targets: Sequence[Target],
        options: Options,
        stages: Sequence[Stage],
        started: float,
        deadline: float,
        debug: bool,
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._targets = self._ordered = targets  # as given, and as dialled in this round
        self._options = options
        self._stages = stages
        self._started = self.round_started = started
        self.deadline = deadline
        self._log = Log(targets, options.on_event, debug)
        self._race: Race | None = None
        self._lookups: lookups.Lookups | None = None
        self._permits: Permits | None = None
        self._retrying: Retrying | None = None
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

            self._permits = Permits(options.breaker, options.budget, self._driven.text)
        now = self._driver.clock()
        open_for = self._permits.admit(now)
        if open_for is None:
            return True
        if self._log.attempts:
            self._give_up(now, "open", open_for)
        else:
            self._end_with(causes.circuit_open(self._driven.text, open_for), now, "open")
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

    def enter(
        self, endpoints: Sequence[Endpoint], outcome: int, what: Any, watched: bool
    ) -> float | None:
        """Begin the first round, in which the first attempt was begun.

        Args:
            endpoints: all addresses, in the order to dial.
            outcome: what became of the first one.
            what: its socket, or what failed.
            watched: the driver watches the socket.
        """
        if outcome == io.FAILED and len(endpoints) == 1:  # which is all that there was to try
            attempt = Attempt(endpoints[0], 0, 1, self._started)
            attempt.error, attempt.ended = what, now = what, self._driver.clock()
            self._dialled = 1
            self._log.failed(attempt)
            return self._round_failed(now)
        race = self._race = self._new_race()
        if len(self._targets) == 1:
            race.offer(0, endpoints, self._started)
        else:
            race.offer_each(endpoints)
        attempt = race.next(self._started)  # type: ignore[assignment]  # which is what was done
        if watched:
            attempt.sock = what
        elif self._settle(race, attempt, outcome, what):
            return None
        return self._go_on(race)

    def begin(self) -> float | None:
        """Begin the first round, for which something has to be looked up."""
        return self._go_on(self._open_round(self._started))

    def step(self, items: Sequence[tuple[Any, Any]]) -> float | None:
        """Take in what happened, and go on as far as possible without waiting."""
        if self._resume is not None:
            now = self._driver.clock()
            if now < self._resume:
                return self._resume  # what is answered now was asked for the last round
            self._resume = None
            if not self.admitted():
                return None
            return self._go_on(self._next_round(now))
        race = self._race
        assert race is not None
        for key, what in items:
            if self._take_in(race, key, what):
                return None
        return self._go_on(race)

    def resume(self, now: float, started: float, deadline: float) -> None:
        """Go on with another round, after one that does not count."""
        self._started = started
        self.deadline = deadline
        self._resume = now

    def close(self, *, first: bool) -> None:
        """Close every socket, leave every look-up, return what was borrowed.

        ``first`` says that the first attempt was pending, and was closed.
        """
        self._leave(None, self._first if first else None)

    # A round -------------------------------------------------------------------------------------

    def _next_round(self, now: float) -> Race:
        self._log.round += 1
        if self._permits is not None:
            self._permits.spend()
        if self._retrying is not None:
            self._retrying.begin()
            if len(self._targets) > 1:
                self._ordered = self._retrying.arrange_targets(self._targets, now)
        if self._race is not None:
            self._dialled = self._race.number
        if self._lookups is not None:
            self._lookups.leave(finish=False)
        return self._open_round(now)

    def _open_round(self, now: float) -> Race:
        """Begin to race over all addresses once; look up what has to be."""
        self.round_started = now
        self._log.targets = self._ordered
        race = self._race = self._new_race()
        arrange = None if self._retrying is None else self._retrying.arrange
        self._lookups = lookups.Lookups(
            self._driver, self._driven, self._ordered, self._options, now, self._log, arrange
        )
        self._lookups.begin(race)
        return race

    def _new_race(self) -> Race:
        options = self._options
        # By position: ten names would cost as much again as all that the race does with them.
        return Race(
            len(self._targets),
            options.happy_eyeballs_delay,
            options.resolution_delay,
            options.max_concurrent,
            options.interleave,
            options.attempt_timeout,
            self.round_started,
            self.deadline,
            options.retry is not None,
            self._dialled,
        )

    def _go_on(self, race: Race) -> float | None:
        """Do what the race says, until it says to wait or that the round has failed."""
        clock, options, log = self._driver.clock, self._options, self._log
        for _ in range(DIALS_PER_STEP):
            now = clock()
            if race.running:
                for late in race.expired(now):
                    if self._expire(race, late, now):
                        return None
            attempt = race.next(now)
            if type(attempt) is not Attempt:  # isinstance costs three times as much
                return self._round_failed(now) if attempt is None else attempt
            if log.observed and attempt.tries == 1:
                log.started(attempt)
            outcome, what = io.begin(attempt.endpoint, options, attempt.tries)
            if self._settle(race, attempt, outcome, what):
                return None
        return clock()

    def _take_in(self, race: Race, key: Any, what: Any) -> bool:
        """Take in one thing that happened; True if the call has its result."""
        if isinstance(key, lookups.Name):
            assert self._lookups is not None
            self._lookups.answered(key, what, race)
            return False
        for attempt in race.running:
            stages = attempt.stages
            if attempt.sock is key:
                outcome, what = io.finish(
                    key, attempt.endpoint, self._options, what, attempt.tries
                )
                attempt.sock = None
                return self._settle(race, attempt, outcome, what)
            if stages is not None and key in (stages, stages.made):
                return self._advance(race, attempt)
        return False  # it ended meanwhile

    def _settle(self, race: Race, attempt: Attempt, outcome: int, what: Any) -> bool:
        """Go on with an attempt that was begun or has ended; True if the call has its result."""
        if outcome == _CONNECTED:
            if self._stages:
                attempt.sock = what
                if self._stages[0].sole and race.must_wait(attempt):
                    return self._postpone(race, attempt)
                return self._advance(race, attempt)
            self.result = what
            return self._succeed(attempt)
        if outcome == _PENDING:
            attempt.sock = what
            try:
                self._driver.watch(self._driven, what, WRITE)
            except OSError as exc:  # no descriptor for the loop's epoll, say
                attempt.sock = None
                io.close(what)
                family, _, _, _, address = attempt.endpoint
                what = causes.from_exception(exc, stage="wait", address=address, family=family)
            else:
                return False
        if outcome == _AGAIN:
            attempt.error = what
            race.again(attempt, self._driver.clock())
        else:
            local = type(what) is not int and causes.is_local(what)
            self._fail(race, attempt, what, self._driver.clock(), local)
        return False

    def _postpone(self, race: Race, attempt: Attempt) -> bool:
        """Close a connected attempt until the one that is alone has failed."""
        self._close_attempt(attempt)
        race.postpone(attempt)
        if self._log.observed:
            now = self._driver.clock()
            self._log.emit(events.AttemptCancelled(*self._log.facts(now, attempt)))
        return False

    def _advance(self, race: Race, attempt: Attempt) -> bool:
        """Let a connected attempt go on with its stages; True if the last one is done."""
        stages: Stages | None = attempt.stages
        if stages is None:
            sock = attempt.sock
            assert sock is not None
            stages = attempt.stages = Stages(
                self._driver, self._driven, self._stages, sock, attempt.endpoint
            )
            attempt.sock = None
        try:
            race.advanced(attempt, self._driver.clock(), sole=stages.sole)
            if not stages.step():
                race.advanced(attempt, self._driver.clock(), sole=stages.sole)
                return False
        except OSError as exc:
            family, _, _, _, address = attempt.endpoint
            error = causes.from_exception(
                exc,
                stage=stages.name,
                address=address,
                family=family,
                said_by="hook" if stages.name == "handshake" else "kernel",
            )
            self._close_attempt(attempt)
            self._fail(race, attempt, error, self._driver.clock(), causes.is_local(error))
            return False
        self.result, attempt.stages = stages.made, None
        return self._succeed(attempt, stages)

    def _expire(self, race: Race, attempt: Attempt, now: float) -> bool:
        """Close an attempt whose time is up; True if a look shows that it has the result."""
        if now > attempt.limit + PROMPT:
            # Whoever kept the loop has not made the peer late: look before it is.
            sock = attempt.sock
            if sock is not None and wait.ready(sock):
                self._driver.unwatch(sock)
                if self._take_in(race, sock, 0):
                    return True
            elif attempt.stages is not None and self._advance(race, attempt):
                return True
            if attempt not in race.running:
                return False
        cause = attempt.error  # between two tries, its last error says why
        if attempt.sock is not None or attempt.stages is not None:
            stage = "connect" if attempt.stages is None else attempt.stages.name
            self._close_attempt(attempt)
            family, _, _, _, address = attempt.endpoint
            cause = causes.timed_out(
                whole=now >= self.deadline, stage=stage, address=address, family=family
            )
        self._fail(race, attempt, cause, now)
        return False

    def _fail(
        self, race: Race, attempt: Attempt, cause: Any, now: float, local: bool = False
    ) -> None:
        """Record that an attempt has failed; ``local``: only because this host lacks something."""
        attempt.error = cause
        attempt.ended = now
        race.failed(attempt, now, local)
        self._log.failed(attempt)
        if self._retrying is not None:
            self._retrying.penalise(self._log.attempts[-1])

    # Between rounds ------------------------------------------------------------------------------

    def _round_failed(self, now: float) -> float | None:
        """Return the instant of the next round, or None: the call has failed."""
        options, log = self._options, self._log
        failures: Sequence[AttemptFailed] = log.attempts
        rewrite = len(failures) != 1 or log.round > 1 or self._lookups is not None
        if rewrite:
            failures = self._failures(now)
        if self._driven.round_failed(failures):
            self._forget_round()
            return inf
        if rewrite:
            log.rewrite(failures)
        for target in self._targets:
            if target.needs_lookup:  # what is known of it may be old: every address failed
                for name in target.names:
                    lookups.forget(name.host, options)
        if options.retry is None and self._permits is None:
            return self._give_up(now, None)
        elapsed = now - self.round_started
        error = causes.combine(failures, target=self._driven.text, elapsed=elapsed, count=len(failures))
        delay = self._pause(now, error)
        if delay is None:
            return None
        logger.warning("%s; round %d in %.2f s", error, log.round + 1, delay)
        if log.observed:
            log.emit(events.RetryScheduled(now, self._driven.text, log.round, delay, error))
        self._resume = now + delay
        return self._resume

    def _failures(self, now: float) -> list[AttemptFailed]:
        """Return the failures of this round: attempts, and look-ups that matter."""
        failures = self._log.of_round()
        if self._lookups is not None:
            failures += self._lookups.failures(now, self.deadline)
        if not failures:
            failures.append(self._out_of_time(now))
        failures.sort(key=_start_of)
        return failures

    def _pause(self, now: float, error: ConnectError) -> float | None:
        """Ask the policy, then the breaker, then the budget; None if the call has ended."""
        from .retry import Stop, left_host

        permits = self._permits
        left = left_host(error)
        if permits is not None:
            permits.failed(now, left_host=left)
        if self._options.retry is None:
            return self._give_up(now, None)
        decision = self._policy().decide(error, self._log, now, self.deadline)
        if isinstance(decision, Stop):
            return self._give_up(now, decision.reason, decision.retry_after)
        if permits is not None:
            open_for = permits.admit(now)
            if open_for is not None and open_for > decision.delay:
                return self._give_up(now, "open", open_for)
            if left and not permits.reserve(now):
                return self._give_up(now, "budget")
        return decision.delay

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
        self._leave(None)
        self._race = None
        self._dialled = max([each.number for each in self._log.attempts], default=0)
        self._resume = inf

    def _out_of_time(self, now: float) -> AttemptFailed:
        """Return the failure of a round in which the deadline came before anything was dialled."""
        error = causes.timed_out(whole=True, stage="connect", target=self._driven.text)
        error.elapsed = now - self.round_started
        return AttemptFailed(
            now, self._driven.text, error, self.round_started, round=self._log.round
        )

    # The end -------------------------------------------------------------------------------------

    def _succeed(self, attempt: Attempt, stages: Stages | None = None) -> bool:
        """Tell whoever observes, and close every other socket."""
        log, options = self._log, self._options
        self.won = self._ordered[attempt.target], attempt.endpoint[4]
        self._first = None
        if log.observed:
            now = self._driver.clock()
            local = (stages or self.result).getsockname()
            log.emit(
                events.Connected(
                    *log.facts(now, attempt), local=local, elapsed=now - self._started
                )
            )
        if options.breaker is not None or options.budget is not None:
            assert self._permits is not None
            self._permits.succeeded(self._driver.clock())
        race = self._race
        if (race is not None and len(race.running) > 1) or self._lookups is not None:
            self._leave(attempt)
        return True

    def _give_up(self, now: float, stopped: str | None, retry_after: float | None = None) -> None:
        """End the call with the error of all its attempts."""
        count = self._dialled if self._race is None else self._race.number
        elapsed = now - self._started
        error = causes.combine(
            self._log.attempts, self._driven.text, elapsed, count, stopped, retry_after
        )
        self._end_with(error, now, stopped or "attempts")

    def _end_with(self, error: ConnectError, now: float, stopped: str) -> None:
        if self._log.observed:
            self._log.emit(events.GaveUp(now, self._driven.text, stopped, error))
        if self._race is not None or self._permits is not None or self._lookups is not None:
            self._leave(None)
        self.error = error

    def _leave(self, won: Attempt | None, first: Attempt | None = None) -> None:
        """Close every other socket; return the breaker permit and the budget token."""
        cancelled = [] if first is None else [first]
        try:
            if self._race is not None and self._race.running:
                self._close_all([each for each in self._race.running if each is not won], cancelled)
        finally:
            try:
                if self._lookups is not None:
                    self._lookups.leave(finish=won is not None)
            finally:
                if self._permits is not None:
                    self._permits.give_back(self._driver.clock())
        if cancelled and self._log.observed:  # last, since a hook may raise
            for attempt in cancelled:
                facts = self._log.facts(self._driver.clock(), attempt)
                self._log.emit(events.AttemptCancelled(*facts))

    def _close_all(self, running: list[Attempt], cancelled: list[Attempt]) -> None:
        while running:
            try:
                if self._close_attempt(running[0]):
                    cancelled.append(running[0])
                del running[0]
            except BaseException:  # of one close: the others follow all the same
                del running[0]
                self._close_all(running, cancelled)
                raise

    def _close_attempt(self, attempt: Attempt) -> bool:
        """Close what an attempt has; False if it has nothing."""
        sock: socket.socket | None = attempt.sock
        stages: Stages | None = attempt.stages
        attempt.sock = attempt.stages = None
        try:
            if sock is not None:
                self._driver.unwatch(sock)
        finally:
            if sock is not None:
                io.close(sock)
            if stages is not None:
                stages.close()
        return sock is not None or stages is not None


def _start_of(failed: AttemptFailed) -> float:
    return failed.started
