"""When to dial again a connection that should always be there.

A state machine without a clock: it is told what happened and when, and answers the instant of the
next dial.  Whoever drives it sleeps and dials.

That a server accepts proves nothing: one that crashes on the first byte, or a proxy in front of
nothing, accepts and resets.  So only two things end an outage: the program says that the
connection is :meth:`~Supervision.healthy`, or it lived for ten seconds.  Until then every loss is
one more failure of the same outage, with the back-off that follows from it (gRPC's back-off
likewise resets only at the server's first SETTINGS frame).
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Literal

from ..causes import from_exception
from ..errors import (
    KEPT_ATTEMPTS,
    AttemptFailed,
    CertificateError,
    ConnectError,
    InvalidTarget,
    PolicyDenied,
)
from .decision import Context, Retry, Stop, decide
from .defaults import RECONNECT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .policies import Policy

MOST_A_MINUTE = 20
"""Connections to a server that accepts and does not hold that are begun in any minute."""


class Supervision:
    """Tells when to dial, from what happened so far.  Belongs to one supervised connection.

    The driver dials at :attr:`next_dial` and reports :meth:`connected` or :meth:`failed`; after
    :meth:`connected` it reports :meth:`lost`.  The program may report :meth:`healthy` and
    :meth:`wake` at any time.

    Args:
        policy: asked after each failure of an outage; default
            :data:`~aioconnect.retry.RECONNECT`.
        now: the instant at which the supervision begins, and of the first dial.
        rng: the random source, a function to [0, 1).
        healthy_after: seconds of life after which a connection counts as healthy; default 10.
        wake_interval: least seconds between two dials that were brought forward by
            :meth:`wake`; default 1.
        target: what is dialled, for the error of a lost connection.
        first: what an unknown name or a wrong certificate means before anything has connected:
            ``"fail"`` ends it, ``"wait"`` asks the policy, as afterwards.

    Attributes:
        next_dial: the instant of the next dial; None while connected or stopped.
        failures: failures of this outage: failed dials, and connections lost before they were
            healthy; 0 when all is well.
        state: ``"waiting"`` (for the dial, or for its end), ``"connected"`` or ``"stopped"``.
    """

    def __init__(
        self,
        policy: Policy = RECONNECT,
        *,
        now: float,
        rng: Callable[[], float],
        healthy_after: float = 10.0,
        wake_interval: float = 1.0,
        target: str = "",
        first: Literal["fail", "wait"] = "fail",
    ) -> None:
        self.state: Literal["waiting", "connected", "stopped"] = "waiting"
        self.failures = 0
        self._policy = policy
        self._rng = rng
        self._healthy_after = healthy_after
        self._wake_interval = wake_interval
        self._target = target
        self._wished = now
        self._not_before = -math.inf
        self._woken = -math.inf
        self._connected_at = now
        self._hopeful = first == "wait"  # what is wrong may come right
        self._proved = False
        self._accepted: deque[float] = deque(maxlen=MOST_A_MINUTE)
        # Of this outage:
        self._began: float | None = None
        self._previous_delay = 0.0
        self._policy_state: object = None
        self._history: tuple[AttemptFailed, ...] = ()

    @property
    def next_dial(self) -> float | None:
        """The instant of the next dial; None while connected or stopped."""
        return max(self._wished, self._not_before) if self.state == "waiting" else None

    def connected(self, now: float) -> None:
        """Record that the dial has connected."""
        self.state = "connected"
        self._connected_at = now
        self._hopeful, self._proved = True, False
        self._accepted.append(now)

    def healthy(self, now: float) -> None:
        """Record that the connection has proved itself: the outage is over.

        Only a connection can; while there is none nothing happens.
        """
        if self.state == "connected":
            self._proved = True
            self.failures = 0
            self._began = None
            self._previous_delay = 0.0
            self._policy_state = None
            self._history = ()
            self._accepted.clear()

    def failed(self, now: float, error: ConnectError) -> float | Stop:
        """Record that the dial has failed; return the instant of the next one, or why not.

        The policy is asked about everything but what an address policy denies, and, before the
        first connection, what ``first`` says.
        """
        return self._fail(now, error, started=max(self._wished, self._not_before))

    def lost(self, now: float, error: OSError | None = None) -> float | Stop:
        """Record that the connection is gone; return the instant of the next dial, or why not.

        It may have been closed in good order, so there need not be an error.
        """
        if self.is_healthy(now):
            self.healthy(now)
        cause = ConnectionResetError("connection lost") if error is None else error
        if self._began is None:
            self._began = now
        if len(self._accepted) == MOST_A_MINUTE:
            # Whatever the policy says, and whatever wakes it: this server accepts but does not
            # hold.
            self.postpone(self._accepted[0] + 60.0)
        return self._fail(
            now,
            from_exception(cause, stage="connect", target=self._target),
            started=self._connected_at,
        )

    def is_healthy(self, now: float) -> bool:
        """Tell whether the connection that there is has proved itself."""
        return self._proved or now - self._connected_at >= self._healthy_after

    def wake(self, now: float) -> float | None:
        """Cut the back-off short, because something changed: the network is back, say.

        The next dial comes now, or ``wake_interval`` after the last one that was so brought
        forward.  The back-off is not reset: if that dial fails, the next delay is what it would
        have been.

        Returns:
            The instant of the next dial; None while connected or stopped.
        """
        if self.state == "waiting":
            earliest = max(now, self._woken + self._wake_interval)
            if earliest < self._wished:
                self._wished = self._woken = earliest
        return self.next_dial

    def postpone(self, until: float) -> float | None:
        """Dial not before an instant: a breaker is open, a budget empty.  No waking changes that.

        Returns:
            The instant of the next dial; None while connected or stopped.
        """
        self._not_before = max(self._not_before, until)
        return self.next_dial

    def follows(self, now: float, error: ConnectError) -> bool:
        """Tell whether a dial would follow if this one failed now; nothing is recorded."""
        attempts = error.attempts
        return isinstance(self._decide(now, error, attempts, self.failures + 1, now), Retry)

    def _fail(self, now: float, error: ConnectError, *, started: float) -> float | Stop:
        self.failures += 1
        if self._began is None:
            self._began = min(started, now)
        attempts = error.attempts or (self._attempt(now, error, started),)
        decision = self._decide(now, error, attempts, self.failures, self._began)
        self._history = (*self._history, *attempts)[-KEPT_ATTEMPTS:]
        if isinstance(decision, Stop):
            self.state = "stopped"
            return decision
        self.state = "waiting"
        self._previous_delay, self._policy_state = decision.delay, decision.state
        self._wished = now + decision.delay
        return max(self._wished, self._not_before)

    def _decide(
        self,
        now: float,
        error: ConnectError,
        attempts: Sequence[AttemptFailed],
        failures: int,
        began: float,
    ) -> Retry | Stop:
        """Ask the policy what follows a failure."""
        if all(self._is_final(attempt.error) for attempt in attempts):
            return Stop("permanent")
        return decide(
            self._policy,
            Context(
                failures=failures,
                last=attempts[-1],
                error=error,
                history=(*self._history, *attempts)[-KEPT_ATTEMPTS:],
                started=began if self._began is None else self._began,
                now=now,
                previous_delay=self._previous_delay,
                state=self._policy_state,
                rng=self._rng,
            ),
            attempt_needs=0.0,
            insist=True,
        )

    def _is_final(self, error: ConnectError) -> bool:
        """Whether nothing but a change of the program can help."""
        if isinstance(error, PolicyDenied | InvalidTarget):
            return True
        return not self._hopeful and (
            isinstance(error, CertificateError) or error.code in ("host_not_found", "no_data")
        )

    def _attempt(self, now: float, error: ConnectError, started: float) -> AttemptFailed:
        return AttemptFailed(now, self._target, error, started, self.failures, self.failures)
