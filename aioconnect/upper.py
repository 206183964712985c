"""What the attempts of a round do after their connects, if there is anything to do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import causes
from .stages import Stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .driver import Driven, Driver
    from .errors import ConnectError
    from .log import Log
    from .race import Attempt, Race
    from .stages import StageSpec

__all__ = ["UpperStages"]


class UpperStages:
    """The stages after the connect, of all attempts of a round.

    Args:
        driver: who waits for them.
        driven: the call.
        specs: what each attempt does.
        log: of the call.
        race: which decides.
    """

    __slots__ = ("_driven", "_driver", "_log", "_race", "_specs")

    def __init__(
        self, driver: Driver, driven: Driven, specs: Sequence[StageSpec], log: Log, race: Race
    ) -> None:
        self._driver = driver
        self._driven = driven
        self._specs = specs
        self._log = log
        self._race = race

    def must_wait(self, attempt: Attempt) -> bool:
        """Whether another attempt is alone, as this one would have to be."""
        return self._specs[0].sole and self._race.must_wait(attempt)

    def due(self, now: float) -> list[Attempt]:
        """Return the attempts whose stages have waited long enough."""
        return [
            each
            for each in self._race.running
            if each.stages is not None and each.stages.until <= now
        ]

    def sooner(self, until: float) -> float:
        """Return the instant to wait for, if no stage has an earlier one."""
        instants = [each.stages.until for each in self._race.running if each.stages is not None]
        return min(until, *instants) if instants else until

    def step(self, attempt: Attempt) -> ConnectError | Stages | None:
        """Let a connected attempt go on.

        Returns:
            Its stages if all are done, why one has failed, or None: it waits.
        """
        race, clock = self._race, self._driver.clock
        stages: Stages | None = attempt.stages
        if stages is None:
            stages = self._begin(attempt)
        try:
            race.advanced(attempt, clock(), sole=stages.sole)
            if stages.step():
                return stages
            race.advanced(attempt, clock(), sole=stages.sole)
        except OSError as exc:
            family, _, _, _, address = attempt.endpoint
            error = causes.from_exception(
                exc,
                stage=stages.name,
                address=address,
                family=family,
                said_by="hook" if stages.name == "handshake" else "kernel",
            )
            exc.__traceback__ = None  # a task keeps the exception, and that would keep this frame
            return error
        return None

    def _begin(self, attempt: Attempt) -> Stages:
        sock, log = attempt.sock, self._log
        assert sock is not None
        stages = attempt.stages = Stages(
            self._driver,
            self._driven,
            self._specs,
            sock,
            attempt.endpoint,
            log.targets[attempt.target],
            partial(log.handshake, attempt) if log.observed else None,
        )
        attempt.sock = None
        return stages
