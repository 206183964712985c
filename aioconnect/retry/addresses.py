"""Each address has its own back-off, so that a bad one is not dialled first each time.

The back-off of a policy is between rounds.  Within a round the addresses are raced in order, and
one that lets every attempt run into its time limit would cost the others a connection attempt
delay in each round.  So an address that failed lately goes behind those that did not; it is not
left out, for it may be the only one that works now.

Source: gRPC proposal A61, where each address keeps its own back-off.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from .delays import Exponential

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

Address = TypeVar("Address", bound="Hashable")


class AddressBackoff:
    """The failures of each address, over the rounds of a call or of a supervised connection.

    Args:
        base: seconds for which an address is out of favour after its first failure; default 1.
        factor: how much longer it is after each further failure; default 2.
        cap: the longest such time in seconds; default 60.
        most: how many addresses are remembered, those that failed last; default 256.

    Raises:
        ValueError: no numbers with 0 < base <= cap and factor >= 1.
    """

    __slots__ = ("_curve", "_failed", "_most")

    def __init__(
        self, base: float = 1.0, factor: float = 2.0, cap: float = 60.0, *, most: int = 256
    ) -> None:
        self._curve = Exponential(base, factor, cap, jitter=None, first=None)
        self._most = most
        self._failed: dict[Hashable, tuple[int, float]] = {}

    def failed(self, address: Hashable, now: float) -> None:
        """Record a failure of an address at an instant."""
        failures = self._failed.pop(address, (0, 0.0))[0] + 1
        self._failed[address] = failures, now + self._curve.ceiling(failures)
        if len(self._failed) > self._most:
            del self._failed[next(iter(self._failed))]

    def succeeded(self, address: Hashable) -> None:
        """Forget the failures of an address that connected."""
        self._failed.pop(address, None)

    def until(self, address: Hashable) -> float:
        """Return the instant at which an address's back-off ends; ``-math.inf`` if it has none."""
        return self._failed.get(address, (0, -math.inf))[1]

    def order(self, addresses: Iterable[Address], now: float) -> list[Address]:
        """Return the addresses with those in their own back-off last, otherwise as they came."""
        return sorted(addresses, key=lambda address: self.until(address) > now)
