"""When to leave a target alone: after failures in a row, a breaker per target or address.

Closed, it lets everything through and counts failures in a row.  After ``failures`` of them it
opens, and whoever asks is told how long it stays so.  Then it is half open: exactly one goes
through, on trial.  Its success closes the breaker; otherwise it stays open, for another time that
was drawn and begun when the trial was let through.  That is why ``retry_after`` is true also for
those who ask while the trial is running.

Failures in a row, not a share of a window: connects are too rare for shares to mean anything.

Source: M. Nygard, "Release It!"; Envoy's and Finagle's consecutive-failure detectors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from .keyed import Keyed, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_TICK = 1e-6
"""A microsecond: asyncio lets timers fire early by the resolution of its clock, and who slept as
long as it was told must not be sent back to sleep."""


class Permit:
    """A leave to make one attempt, to be told of again with how the attempt ended.

    ``trial`` says whether it is the one attempt through a half-open breaker.
    """

    __slots__ = ("trial",)

    def __init__(self, *, trial: bool) -> None:
        self.trial = trial

    def __repr__(self) -> str:
        return f"Permit(trial={self.trial})"


_FREE = Permit(trial=False)


class Breaker:
    """A circuit breaker per key.  One object serves a process: it may be shared by threads.

    Ask :meth:`admit` before each attempt, and answer for each permit once: :meth:`success`,
    :meth:`failure`, or :meth:`release` if the attempt says nothing of the peer, because it was
    cancelled or never left the host (:func:`~aioconnect.retry.left_host`).

    Args:
        failures: in a row, after which it opens; default 5.
        open_for: the longest time it stays open, in seconds; each time is drawn from the upper
            half, so that many processes don't try as one.  At least as long as an attempt may
            take.  Default 30.
        trial_timeout: seconds after which a trial that nobody answered for counts as lost, so
            that a forgotten permit does not shut the target out for ever; default 60.
        keys: how many targets or addresses are known at a time; the one not used for longest is
            forgotten, which is to say closed; default 1024.  A key without failures needs no
            place.
        rng: the random source, a function to [0, 1); default ``random.random``.

    Raises:
        ValueError: ``failures`` less than 1, or a time that is not positive and finite.
    """

    def __init__(
        self,
        failures: int = 5,
        open_for: float = 30.0,
        *,
        trial_timeout: float = 60.0,
        keys: int = 1024,
        rng: Callable[[], float] | None = None,
    ) -> None:
        if failures < 1:
            raise ValueError(f"failures: at least 1, not {failures!r}")
        if not 0 < open_for < math.inf:
            raise ValueError(f"open_for: positive and finite, not {open_for!r}")
        if not 0 < trial_timeout < math.inf:
            raise ValueError(f"trial_timeout: positive and finite, not {trial_timeout!r}")
        self.failures = failures
        self.open_for = open_for
        self.trial_timeout = trial_timeout
        self._rng = rng
        self._circuits: Keyed[_Circuit] = Keyed(keys)

    def admit(self, key: Hashable, now: float) -> Permit | float:
        """Ask for leave to make one attempt.

        Args:
            key: the target or the address.
            now: the instant.

        Returns:
            A :class:`Permit`, to be answered for; or the seconds after which to ask again.
        """
        with self._circuits as circuits:
            circuit = circuits.get(key)
            if circuit is None or circuit.until is None:
                return _FREE
            wait = circuit.until - now
            if wait <= _TICK and circuit.trial is not None:
                wait = circuit.trial_ends - now
            if wait > _TICK:
                return wait
            circuit.trial = Permit(trial=True)
            circuit.trial_ends = now + self.trial_timeout
            circuit.until = now + self._span()
            return circuit.trial

    def success(self, key: Hashable, now: float, permit: Permit | None = None) -> None:
        """Close: the target works."""
        with self._circuits as circuits:
            circuits.forget(key)

    def failure(self, key: Hashable, now: float, permit: Permit | None = None) -> None:
        """Count a failure of the target, and open after enough of them in a row.

        Failures of attempts that were let through before it opened do not keep it open longer.

        Args:
            key: the target or the address.
            now: the instant.
            permit: what :meth:`admit` gave; without it the failure is that of the trial, if there
                is one.
        """
        with self._circuits as circuits:
            circuit = circuits.get(key)
            if circuit is None:
                circuit = _Circuit()
                circuits.put(key, circuit)
            if circuit.until is None:
                circuit.failures += 1
                if circuit.failures >= self.failures:
                    circuit.until = now + self._span()
            elif circuit.holds(permit):
                circuit.trial = None
                if circuit.until - now <= _TICK:  # the trial outlasted the time begun with it
                    circuit.until = now + self._span()

    def note(self, key: Hashable, said: str) -> None:
        """Keep what the last failure said, for the error of whoever is let through no more."""
        with self._circuits as circuits:
            circuit = circuits.get(key)
            if circuit is not None:
                circuit.said = said[:200]

    def last_failure(self, key: Hashable) -> str:
        """Return what was noted last; empty if nothing was."""
        with self._circuits as circuits:
            circuit = circuits.get(key)
            return "" if circuit is None else circuit.said

    def release(self, key: Hashable, now: float, permit: Permit | None = None) -> None:
        """Give a permit back unused; if it was the trial's, the next to ask gets one.

        Args:
            key: the target or the address.
            now: the instant.
            permit: what :meth:`admit` gave; without it, the trial's, if there is one.
        """
        with self._circuits as circuits:
            circuit = circuits.get(key)
            if circuit is not None and circuit.holds(permit):
                circuit.trial = None
                circuit.until = now

    def state(self, key: Hashable, now: float) -> Literal["closed", "open", "half-open"]:
        """Say how the breaker stands for a key; half open is also while a trial is running."""
        with self._circuits as circuits:
            circuit = circuits.get(key)
            if circuit is None or circuit.until is None:
                return "closed"
            if circuit.trial is not None or circuit.until - now <= _TICK:
                return "half-open"
            return "open"

    def _span(self) -> float:
        if self._rng is None:
            from random import random

            self._rng = random
        return self.open_for * (0.5 + 0.5 * self._rng())

    def __repr__(self) -> str:
        with self._circuits as circuits:
            states = [f"{circuit!r} for {key!r}" for key, circuit in circuits.newest()]
            state = listed(states, len(circuits)) or "closed"
        return f"<Breaker failures={self.failures} open_for={self.open_for:g}: {state}>"


class _Circuit:
    """What is known of one key: closed while ``until`` is None."""

    __slots__ = ("failures", "said", "trial", "trial_ends", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.said = ""
        self.until: float | None = None
        self.trial: Permit | None = None
        self.trial_ends = 0.0

    def __repr__(self) -> str:
        if self.until is not None:
            return "open"
        return "1 failure" if self.failures == 1 else f"{self.failures} failures"

    def holds(self, permit: Permit | None) -> bool:
        """Whether the permit is that of the running trial."""
        return self.trial is not None and (permit is None or permit is self.trial)
