"""What a policy is told about the call that has just failed a round."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import ConnectError
    from ..events import Attempt


class Context:
    """The situation after a failed round, all that a decision may depend on.

    Instants are seconds on the clock of the driver (``time.monotonic()``).

    Args:
        failures: failed rounds so far, at least 1, exact however long the call lasts.
        last: the attempt that failed last.
        error: the combined error of the round; its ``help`` says what can help.
        history: the failed attempts, oldest first; bounded, the oldest are dropped.
        started: the instant at which the call began.
        now: the instant of the failure.
        deadline: the instant by which the call ends; default ``math.inf``, no limit.
        previous_delay: seconds slept before the failed round; default 0.
        state: what the policy returned in ``Retry.state`` last time, None at the first failure.
        rng: the random source, a function to [0, 1).
    """

    __slots__ = (
        "deadline",
        "error",
        "failures",
        "history",
        "last",
        "now",
        "previous_delay",
        "rng",
        "started",
        "state",
    )

    def __init__(
        self,
        *,
        failures: int,
        last: Attempt,
        error: ConnectError,
        started: float,
        now: float,
        rng: Callable[[], float],
        history: tuple[Attempt, ...] = (),
        deadline: float = math.inf,
        previous_delay: float = 0.0,
        state: Any = None,
    ) -> None:
        self.failures = failures
        self.last = last
        self.error = error
        self.history = history
        self.started = started
        self.now = now
        self.deadline = deadline
        self.previous_delay = previous_delay
        self.state = state
        self.rng = rng

    @property
    def round_started(self) -> float:
        """The instant at which the failed round began, as far as the history knows."""
        number = self.last.round
        started = self.last.started
        for attempt in reversed(self.history):
            if attempt.round != number:
                break
            started = min(started, attempt.started)
        return started

    def replace(self, **changes: Any) -> Context:
        """Return a copy with some fields changed; it is how policies ask other policies."""
        copy = Context.__new__(Context)
        for name in Context.__slots__:
            setattr(copy, name, changes[name] if name in changes else getattr(self, name))
        return copy

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Context({fields})"
