"""How much retrying is affordable: a token bucket per target, shared by all calls to it.

Back-off spreads retries, it does not make them fewer: five attempts per call are five times the
load when everything fails, just when the target can bear it least.  A retry therefore costs a
token, and only success earns new ones.  While little fails the bucket is full and nobody notices
it; when everything fails it is empty after ``tokens`` retries, and calls fail at their first
attempt until the target answers again.

A quota with a floor per second, as Finagle, Linkerd and tower have it, does not do that for a
client with one call per second: its floor is above all it could ever retry.

Source: gRPC proposal A6 ("Throttling Retry Attempts"), Google's SRE book, "Handling Overload".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .keyed import Keyed, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_ONE = 1 - 1e-9
"""A token; ten times 0.1 is a little less than 1."""


class Budget:
    """A token bucket per key.  One object serves a process: it may be shared by threads.

    A bucket begins full.  Whoever wants to retry reserves a token before the sleep, and releases
    it if the sleep is cancelled.  A failure that never left the host
    (:func:`~aioconnect.retry.left_host`) needs no token.

    Args:
        tokens: retries that a full bucket pays for; default 10.
        per_success: tokens that each successful call earns, so the share of retries that goes on
            for ever; default 0.1.
        trickle: seconds between the attempts of one that never gives up while there is no token
            (:meth:`wait`); default 30.
        keys: how many buckets are kept; the one not used for longest is forgotten, which is to
            say full again; default 1024.  A full bucket needs no place.
        rng: the random source for :meth:`wait`, a function to [0, 1); default
            ``random.random``.

    Raises:
        ValueError: fewer tokens than 1, or an argument that is negative or not finite.
    """

    def __init__(
        self,
        tokens: float = 10.0,
        per_success: float = 0.1,
        *,
        trickle: float = 30.0,
        keys: int = 1024,
        rng: Callable[[], float] | None = None,
    ) -> None:
        if not 1 <= tokens < math.inf:
            raise ValueError(f"tokens: at least 1 and finite, not {tokens!r}")
        if not 0 <= per_success < math.inf:
            raise ValueError(f"per_success: finite and not negative, not {per_success!r}")
        if not 0 <= trickle < math.inf:
            raise ValueError(f"trickle: finite and not negative, not {trickle!r}")
        self.capacity = float(tokens)
        self.per_success = per_success
        self.trickle = trickle
        self._rng = rng
        self._buckets: Keyed[float] = Keyed(keys)

    def reserve(self, key: Hashable, now: float) -> bool:
        """Take a token; False if there is none, and then the retry should not be made.

        Args:
            key: whose bucket: the target.
            now: the instant.  Time alone earns nothing, so it is not looked at yet.
        """
        with self._buckets as buckets:
            tokens = self._tokens(key)
            if tokens < _ONE:
                return False
            buckets.put(key, max(0.0, tokens - 1))
            return True

    def wait(self, key: Hashable, now: float) -> float:
        """Take a token for one that never gives up; return the seconds it has to wait.

        0 if there was a token.  Else it may go without one, after a time drawn from the upper
        half of ``trickle``, so that those who wait for the same target don't come as one.

        Args:
            key: whose bucket: the target.
            now: the instant.
        """
        if self.reserve(key, now):
            return 0.0
        if self._rng is None:
            from random import random

            self._rng = random
        return self.trickle * (0.5 + 0.5 * self._rng())

    def release(self, key: Hashable, now: float) -> None:
        """Give back a reserved token whose retry was not made (it was cancelled)."""
        self._add(key, 1.0)

    def success(self, key: Hashable, now: float) -> None:
        """Earn what a successful call earns, were there retries or not."""
        self._add(key, self.per_success)

    def tokens(self, key: Hashable) -> float:
        """Return what is in a bucket."""
        with self._buckets:
            return self._tokens(key)

    def _tokens(self, key: Hashable) -> float:
        tokens = self._buckets.get(key)
        return self.capacity if tokens is None else tokens

    def _add(self, key: Hashable, earned: float) -> None:
        with self._buckets as buckets:
            tokens = self._tokens(key) + earned
            if tokens >= self.capacity:
                buckets.forget(key)
            else:
                buckets.put(key, tokens)

    def __repr__(self) -> str:
        with self._buckets as buckets:
            left = [f"{tokens:.3g} left for {key!r}" for key, tokens in buckets.newest()]
            state = listed(left, len(buckets)) or "full"
        return f"<Budget tokens={self.capacity:g} per_success={self.per_success:g}: {state}>"
