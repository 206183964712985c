"""What a call asks its circuit breaker and its retry budget, and returns to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .retry import left_host

if TYPE_CHECKING:
    from .errors import ConnectError
    from .retry import Breaker, Budget

__all__ = ["Permits"]


class Permits:
    """The breaker's permit and the budget's token of one call; made only if it has either.

    Args:
        breaker: the breaker, or None.
        budget: the budget, or None.
        key: the target, by which both count.
    """

    __slots__ = ("_breaker", "_budget", "_key", "_permit", "_reserved")

    def __init__(self, breaker: Breaker | None, budget: Budget | None, key: str) -> None:
        self._breaker = breaker
        self._budget = budget
        self._key = key
        self._permit: Any = None  # for the round that runs or comes
        self._reserved = False  # a token, for the round to come

    def admit(self, now: float) -> float | None:
        """Ask the breaker for a permit for the next round, unless it is there already.

        Returns:
            None, or the seconds for which the breaker stays open.
        """
        if self._breaker is None or self._permit is not None:
            return None
        permit = self._breaker.admit(self._key, now)
        if isinstance(permit, int | float):
            return permit
        self._permit = permit
        return None

    def reserve(self, now: float) -> bool:
        """Take a token for the next round; False if there is none."""
        if self._budget is None:
            return True
        self._reserved = self._budget.reserve(self._key, now)
        return self._reserved

    def spend(self) -> None:
        """Spend the token: the next round begins."""
        self._reserved = False

    def succeeded(self, now: float) -> None:
        """Report that the call has connected."""
        if self._budget is not None:
            self._budget.success(self._key, now)
        if self._breaker is not None:
            permit, self._permit = self._permit, None
            self._breaker.success(self._key, now, permit)

    def failed(self, now: float, error: ConnectError) -> bool:
        """Report that a round has failed; False if it never left the host.

        Such a failure says nothing of the peer, and costs no token.
        """
        left = left_host(error)
        if self._breaker is not None:
            permit, self._permit = self._permit, None
            answer = self._breaker.failure if left else self._breaker.release
            answer(self._key, now, permit)
            if left and hasattr(self._breaker, "note"):
                self._breaker.note(self._key, str(error.strerror))
        return left

    @property
    def last_failure(self) -> str:
        """What the breaker knows of the last failure of the target."""
        last = getattr(self._breaker, "last_failure", None)
        return "" if last is None else str(last(self._key))

    def give_back(self, now: float, *, silent: bool = False) -> None:
        """Return what was not used: the call is left early.

        Args:
            now: the instant.
            silent: an address was dialled for as long as an attempt may take, and said nothing:
                that is a failure to the breaker.
        """
        permit, self._permit = self._permit, None
        if permit is not None and self._breaker is not None:
            answer = self._breaker.failure if silent else self._breaker.release
            answer(self._key, now, permit)
        reserved, self._reserved = self._reserved, False
        if reserved and self._budget is not None:
            self._budget.release(self._key, now)
