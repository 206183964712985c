"""A call whose rounds all fail, in virtual time: what a policy would do, without doing it."""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING

from ..errors import KEPT_ATTEMPTS, ConnectError, from_errno
from ..events import Attempt
from .context import Context
from .deciding import decide
from .decisions import Retry, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .base import Policy


def rehearse(
    policy: Policy,
    *,
    rng: Callable[[], float],
    error: ConnectError | None = None,
    takes: float = 0.0,
    deadline: float = math.inf,
) -> Iterator[tuple[Context, Retry | Stop]]:
    """Yield each failure with its decision, the stop last; the call begins at the instant 0."""
    if error is None:
        error = from_errno(errno.ECONNREFUSED, stage="connect")
    now, failures, previous_delay = 0.0, 0, 0.0
    state: object = None
    history: tuple[Attempt, ...] = ()
    while True:
        failures += 1
        began, now = now, now + takes
        attempt = Attempt(
            now,
            error.target,
            failures,
            failures,
            error.address,
            error.family,
            stage=error.stage,
            started=began,
            error=error,
        )
        history = (*history[1 - KEPT_ATTEMPTS :], attempt)
        ctx = Context(
            failures=failures,
            last=attempt,
            error=error,
            history=history,
            started=0.0,
            now=now,
            deadline=deadline,
            previous_delay=previous_delay,
            state=state,
            rng=rng,
        )
        decision = decide(policy, ctx, attempt_needs=takes)
        yield ctx, decision
        if isinstance(decision, Stop):
            return
        now += decision.delay
        previous_delay, state = decision.delay, decision.state
