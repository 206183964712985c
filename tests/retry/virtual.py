"""Calls in virtual time: what a driver does between two failures, without a clock or a socket."""

from __future__ import annotations

import errno
import math
import random
import socket
from typing import TYPE_CHECKING, Any

from aioconnect import retry
from aioconnect.causes import combine, from_errno, from_exception
from aioconnect.events import AttemptFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from aioconnect.errors import ConnectError

ADDRESS = ("192.0.2.1", 5432)


def failure(number: int, *, stage: Any = "connect", family: int = socket.AF_INET) -> ConnectError:
    """Return the error for a number of the kernel."""
    return from_errno(number, stage=stage, target="db:5432", address=ADDRESS, family=family)


def no_name(number: int) -> ConnectError:
    """Return the error for a number of getaddrinfo."""
    return from_exception(socket.gaierror(number, "resolver"), stage="resolve", target="db:5432")


REFUSED = failure(errno.ECONNREFUSED)
TIMED_OUT = failure(errno.ETIMEDOUT)
NO_DESCRIPTOR = failure(errno.EMFILE, stage="socket")
NO_PORT = failure(errno.EADDRNOTAVAIL)
NO_ROUTE = failure(errno.ENETUNREACH)
DENIED = failure(errno.EACCES)
NO_SUCH_NAME = no_name(socket.EAI_NONAME)
NAME_SERVER_AWAY = no_name(socket.EAI_AGAIN)


def attempt(
    error: ConnectError = REFUSED, *, started: float = 0.0, at: float = 0.0, round: int = 1
) -> AttemptFailed:
    """Return a failed attempt."""
    return AttemptFailed(
        at,
        "db:5432",
        error,
        started,
        round,
        round,
        ADDRESS,
        socket.AF_INET,
        error.stage,
    )


def context(
    *,
    failures: int = 1,
    error: ConnectError = REFUSED,
    now: float = 0.0,
    rng: Callable[[], float] = lambda: 0.5,
    **changes: Any,
) -> retry.Context:
    """Return the situation after a failed round, by default the first, at the instant 0."""
    fields: dict[str, Any] = {
        "failures": failures,
        "error": error,
        "last": attempt(error, started=now, at=now, round=failures),
        "started": 0.0,
        "now": now,
        "rng": rng,
    }
    return retry.Context(**(fields | changes))


def round_of(*errors: ConnectError) -> ConnectError:
    """Return the combined error of a round in which several addresses failed."""
    return combine([attempt(error) for error in errors], target="db:5432", elapsed=0.0)


class Call:
    """One call: it remembers what a driver remembers between two failed rounds."""

    def __init__(
        self,
        policy: retry.PolicyLike,
        seed: int = 0,
        *,
        started: float = 0.0,
        deadline: float = math.inf,
        needs: float = 0.0,
    ) -> None:
        lifted = retry.policy(policy)
        assert lifted is not None
        self.policy = lifted
        self.rng = random.Random(seed).random
        self.started = started
        self.deadline = deadline
        self.needs = needs
        self.failures = 0
        self.delay = 0.0
        self.state: Any = None
        self.history: tuple[AttemptFailed, ...] = ()

    def fail(
        self, now: float, error: ConnectError = REFUSED, *, takes: float = 0.0
    ) -> retry.Retry | retry.Stop:
        """Fail a round that began ``takes`` seconds before ``now``."""
        self.failures += 1
        last = attempt(error, started=now - takes, at=now, round=self.failures)
        self.history = (*self.history[-63:], last)
        decision = retry.decide(
            self.policy,
            retry.Context(
                failures=self.failures,
                last=last,
                error=error,
                history=self.history,
                started=self.started,
                now=now,
                deadline=self.deadline,
                previous_delay=self.delay,
                state=self.state,
                rng=self.rng,
            ),
            attempt_needs=self.needs,
        )
        if isinstance(decision, retry.Retry):
            self.delay, self.state = decision.delay, decision.state
        return decision
