"""One round of a call: a race over all addresses, with the sockets of its attempts.

What happens is reported to the race, and what the race says is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import attempt as io
from . import causes, events, lookups, wait
from .errors import AttemptFailed
from .race import Attempt
from .release import close_all, close_attempt
from .stages import Stages
from .upper import UpperStages
from .wait import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .driver import Driven, Driver
    from .errors import ConnectError
    from .log import Log
    from .options import Options
    from .race import Race
    from .stages import StageSpec
    from .targets import Endpoint
    from .terms import Stage

__all__ = ["WATCHED", "Round"]

_CONNECTED, _PENDING, _AGAIN = io.CONNECTED, io.PENDING, io.AGAIN

WATCHED = -1
"""In the place of an outcome: the socket is pending, and the driver watches it."""

DIALS_PER_STEP = 64
"""How many attempts one step makes at most: a driver serves others before the next ones."""

LOOK_IF_LATER = 0.01
"""Seconds after its instant within which a time limit is judged without a look."""


class Round:
    """One pass over all addresses.

    Args:
        driver: who waits.
        driven: the call, which the driver reports to.
        options: how.
        stages: what an attempt does after its connect.
        log: of the call.
        race: which decides.
        deadline: the instant by which the call ends.
        penalise: told of each failed attempt, if there is a policy that goes by it.

    Attributes:
        lookups: the names that are asked for, or None.
        won: the attempt that has made ``result``, or None.
        result: what it has made.
        stages: the winner's, if it had any.
    """

    __slots__ = (
        "_deadline",
        "_driven",
        "_driver",
        "_log",
        "_options",
        "_penalise",
        "_stages",
        "_upper",
        "lookups",
        "race",
        "result",
        "stages",
        "won",
    )

    def __init__(
        self,
        driver: Driver,
        driven: Driven,
        options: Options,
        stages: Sequence[StageSpec],
        log: Log,
        race: Race,
        deadline: float,
        penalise: Callable[[AttemptFailed], None] | None,
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._options = options
        self._stages = stages
        self._upper: UpperStages | None = None
        if stages:
            self._upper = UpperStages(driver, driven, stages, log, race)
        self._log = log
        self.race = race
        self._deadline = deadline
        self._penalise = penalise
        self.lookups: lookups.NameLookups | None = None
        self.won: Attempt | None = None
        self.stages: Stages | None = None
        self.result: Any = None

    def enter(
        self, endpoints: Sequence[Endpoint], targets: int, now: float, outcome: int, what: Any
    ) -> float | None:
        """Begin with all addresses known, of which the first was dialled already.

        Args:
            endpoints: in the order to dial; of several targets one each.
            targets: how many targets there are.
            now: the instant at which the first attempt began.
            outcome: what became of it, or ``WATCHED``.
            what: its socket, or what failed.
        """
        race = self.race
        if targets == 1:
            race.offer(0, endpoints, now)
        else:
            race.offer_each(endpoints)
        attempt = race.next(now)  # which is what was done
        assert type(attempt) is Attempt
        if outcome == WATCHED:
            attempt.sock = what
        elif self._settle(race, attempt, outcome, what):
            return None
        return self._go_on(race)

    def step(self, items: Sequence[tuple[Any, Any]]) -> float | None:
        """Take in what happened, and do what the race says.

        Returns:
            The instant to wait for; None if it has ended: with ``won``, or it has failed.
        """
        race = self.race
        for key, what in items:
            if self._take_in(race, key, what):
                return None
        return self._go_on(race)

    def failures(self, now: float, text: str, started: float) -> list[AttemptFailed]:
        """Return what has failed: attempts, and look-ups that matter.

        Args:
            now: the instant.
            text: what is dialled, for a person.
            started: the instant at which the round began.
        """
        failures = self._log.of_round()
        if self.lookups is not None:
            failures += self.lookups.failures(now, self._deadline)
        if not failures:  # the deadline came before anything was dialled
            error = causes.timed_out(whole=True, stage="connect", target=text)
            error.elapsed = now - started
            failures.append(AttemptFailed(now, text, error, started, round=self._log.round))
        failures.sort(key=_start_of)
        return failures

    def close(self, *, finish: bool) -> list[Attempt]:
        """Close every socket but the winner's, and leave every look-up.

        Args:
            finish: look-ups may go on for a moment, for the resolver's cache.

        Returns:
            The attempts that were closed.
        """
        cancelled: list[Attempt] = []
        try:
            if self.race.running:
                left = [each for each in self.race.running if each is not self.won]
                close_all(self._driver, left, cancelled)
        finally:
            if self.lookups is not None:
                self.lookups.leave(finish=finish)
        return cancelled

    def undo(self) -> None:
        """Close what was made, if anything was: nobody has taken it."""
        result, self.result = self.result, None
        if result is not None:
            (self._stages[-1].undo if self._stages else io.close)(result)

    def _go_on(self, race: Race) -> float | None:
        """Do what the race says, until it says to wait (the instant) or that it is over (None)."""
        clock, options, log = self._driver.clock, self._options, self._log
        upper = self._upper
        now: float
        for _ in range(DIALS_PER_STEP):
            now = clock()
            if race.running:
                for late in race.expired(now):
                    if self._expire(race, late, now):
                        return None
                if upper is not None and any(self._advance(race, each) for each in upper.due(now)):
                    return None
            attempt = race.next(now)
            if type(attempt) is not Attempt:  # isinstance costs three times as much
                until: float | None = attempt  # type: ignore[assignment]
                return until if until is None or upper is None else upper.sooner(until)
            if log.observed and attempt.tries == 1:
                log.started(attempt)
            target = log.targets[attempt.target]
            outcome, what = io.begin(attempt.endpoint, options, attempt.tries, target)
            if self._settle(race, attempt, outcome, what):
                return None
        now = clock()
        return now

    def _take_in(self, race: Race, key: Any, what: Any) -> bool:
        """Take in one thing that happened; True if the call has its result."""
        if isinstance(key, lookups.Name):
            assert self.lookups is not None
            self.lookups.answered(key, what, race)
            return False
        for attempt in race.running:
            stages = attempt.stages
            if attempt.sock is not None and attempt.sock is key:
                outcome, what = io.finish(key, attempt.endpoint, self._options, what, attempt.tries)
                attempt.sock = None
                return self._settle(race, attempt, outcome, what)
            if stages is not None and key in (stages, stages.made):
                return self._advance(race, attempt)
        return False  # it ended meanwhile

    def _settle(self, race: Race, attempt: Attempt, outcome: int, what: Any) -> bool:
        """Go on with an attempt that was begun or has ended; True if the call has its result."""
        if outcome == _CONNECTED:
            if self._upper is not None:
                attempt.sock = what
                if self._upper.must_wait(attempt):
                    return self._postpone(race, attempt)
                return self._advance(race, attempt)
            self.result = what
            self.won = attempt
            return True
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
        close_attempt(self._driver, attempt)
        race.postpone(attempt)
        if self._log.observed:
            now = self._driver.clock()
            self._log.emit(events.AttemptCancelled(*self._log.facts(now, attempt)))
        return False

    def _advance(self, race: Race, attempt: Attempt) -> bool:
        """Let a connected attempt go on with its stages; True if the last one is done."""
        assert self._upper is not None
        done = self._upper.step(attempt)
        if isinstance(done, Stages):
            self.result, attempt.stages = done.made, None
            self.won, self.stages = attempt, done
            return True
        if done is not None:
            self._fail_stage(race, attempt, done, self._driver.clock())
        return False

    def _expire(self, race: Race, attempt: Attempt, now: float) -> bool:
        """Close an attempt whose time is up; True if a look shows that it has the result."""
        if now > attempt.limit + LOOK_IF_LATER:
            # Whoever kept the loop has not made the peer late: look before it is.
            sock = attempt.sock
            if sock is not None and wait.ready(sock):
                self._driver.unwatch(sock)
                if self._take_in(race, sock, 0):
                    return True
            elif (
                attempt.stages is not None
                and attempt.stages.ready()
                and self._advance(race, attempt)
            ):
                return True
            if attempt not in race.running:
                return False
        cause = attempt.error  # between two tries, its last error says why
        if attempt.sock is not None or attempt.stages is not None:
            stage: Stage = "connect" if attempt.stages is None else attempt.stages.name
            family, _, _, _, address = attempt.endpoint
            cause = causes.timed_out(
                whole=now >= self._deadline, stage=stage, address=address, family=family
            )
        if attempt.stages is not None:
            self._fail_stage(race, attempt, cause, now)
        else:
            close_attempt(self._driver, attempt)
            self._fail(race, attempt, cause, now)
        return False

    def _fail_stage(self, race: Race, attempt: Attempt, error: ConnectError, now: float) -> None:
        """Close an attempt of which a stage after the connect has failed."""
        if self._log.observed:
            self._log.handshake(attempt, now, error)
        close_attempt(self._driver, attempt)
        self._fail(race, attempt, error, now, causes.is_local(error))

    def _fail(
        self, race: Race, attempt: Attempt, cause: Any, now: float, local: bool = False
    ) -> None:
        """Record that an attempt has failed; ``local``: only because this host lacks something."""
        attempt.error = cause
        attempt.ended = now
        race.failed(attempt, now, local)
        self._log.failed(attempt)
        if self._penalise is not None:
            self._penalise(self._log.last())


def _start_of(failed: AttemptFailed) -> float:
    return failed.started
