"""What a call keeps from one round to the next: its policy's state, and whom to dial last."""

from __future__ import annotations

from random import random
from typing import TYPE_CHECKING, Any

from . import causes, retry
from .errors import AttemptFailed, ConnectError, Help
from .text import format_targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .log import Log
    from .permits import Permits
    from .targets import Endpoint, Target

__all__ = ["Retrying"]

ROUND_NEEDS = 0.05
"""Seconds that must be left for a round: no pause begins that would leave less."""


class Retrying:
    """The retry policy of one call at work; made after the first failed round.

    Args:
        policy: the policy, or None.
        started: the instant at which the call began.
        rng: the random source, a function to [0, 1).
    """

    __slots__ = ("_backoff", "_delay", "_next", "_policy", "_rng", "_started", "_state", "_turns")

    def __init__(
        self, policy: retry.Policy | None, started: float, rng: Callable[[], float] = random
    ) -> None:
        self._policy = policy
        self._started = started
        self._rng = rng
        self._state: Any = None
        self._delay = 0.0
        self._next = False  # the policy wants another address first
        self._turns = 0  # how often it has wanted that
        self._backoff = retry.AddressBackoff()

    def pause(
        self,
        error: ConnectError,
        log: Log,
        permits: Permits | None,
        now: float,
        deadline: float,
        *,
        early: bool,
    ) -> float | retry.Stop:
        """Ask what follows a failed round: the policy, then the breaker, then the budget.

        Args:
            error: of the round.
            log: of the call.
            permits: the breaker's and the budget's, if there are any.
            now: the instant.
            deadline: the instant by which the call ends.
            early: the round is not over if nothing follows, and will be asked about again.

        Returns:
            The seconds before the next round; or why there is none.
        """
        left_host = early or permits is None or permits.failed(now, error)
        decision = self._decide(error, log, now, deadline, early=early)
        if isinstance(decision, retry.Stop):
            return decision
        if early:
            left_host = permits is None or permits.failed(now, error)
        if permits is not None:
            open_for = permits.admit(now)
            if open_for is not None and open_for > decision.delay:
                return retry.Stop("open", open_for)
            if left_host and not permits.reserve(now):
                return retry.Stop("budget")
        return decision.delay

    def _decide(
        self, error: ConnectError, log: Log, now: float, deadline: float, *, early: bool
    ) -> retry.Retry | retry.Stop:
        """Ask the policy; its own ``OSError`` is the call's end."""
        assert self._policy is not None
        attempts = log.attempts
        context = retry.Context(
            failures=log.round,
            last=attempts[-1],
            error=error,
            history=attempts,
            started=self._started,
            now=now,
            deadline=deadline,
            previous_delay=self._delay,
            state=self._state,
            rng=self._rng,
        )
        try:
            decision = retry.decide(self._policy, context, attempt_needs=ROUND_NEEDS)
        except OSError as exc:
            if not early:
                log.add(_own_failure(exc, log, now))
            return retry.Stop("custom")
        if isinstance(decision, retry.Retry):
            self._delay = decision.delay
            self._state = decision.state
            self._next = decision.pick == "next"
        return decision

    def begin(self) -> None:
        """Begin the next round."""
        if self._next:
            self._turns += 1

    def penalise(self, failed: AttemptFailed) -> None:
        """Let an address that failed wait, unless only a local resource ran out."""
        if not failed.error.help & Help.LOCAL:
            self._backoff.failed(failed.address, failed.ended)

    def arrange(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        """Put the addresses that failed lately behind the others."""
        first = self._turns % (len(endpoints) or 1)
        turned = [*endpoints[first:], *endpoints[:first]]
        return sorted(turned, key=lambda endpoint: self._until(endpoint[4], now))

    def arrange_targets(self, targets: Sequence[Target], now: float) -> Sequence[Target]:
        """Put the targets whose only address failed lately behind the others."""
        return sorted(
            targets, key=lambda each: 0.0 if each.name else self._until(each.address, now)
        )

    def _until(self, address: Any, now: float) -> float:
        """Return the end of an address's back-off, 0 if it has none."""
        until = self._backoff.until(address)
        return until if until > now else 0.0


def _own_failure(exc: OSError, log: Log, now: float) -> AttemptFailed:
    """Return the entry of the log for a policy that has failed itself."""
    text = format_targets([target.text for target in log.targets])
    error = causes.from_exception(exc, stage="wait", target=text, said_by="hook")
    return AttemptFailed(now, text, error, now, round=log.round)
