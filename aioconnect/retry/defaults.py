"""What the one-word values of ``retry=`` mean, and the two policies that were chosen for all.

The numbers are chosen by ``benchmarks/outage.py``: a thousand clients, an outage of a minute.  Of
the back-offs compared there the default is the one with the fewest attempts among those that
spread the clients, ride out a restart of three seconds in five rounds, and find a target that was
away for less than a second within a second of its return in nine of ten cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .blocks import attempts
from .callables import lift
from .delays import exponential

if TYPE_CHECKING:
    from .base import Policy, PolicyLike

_BACKOFF = exponential(0.5, factor=2, cap=5, jitter="equal", first=1)

DEFAULT: Policy = attempts(5) & _BACKOFF
"""``retry=True``: five rounds in all; the first delay anywhere in a second, so that clients that
failed together don't come back together, then 1 s, 2 s, 4 s, each drawn from its upper half."""

RECONNECT: Policy = exponential(1, factor=2, cap=30, jitter="full")
"""For who never gives up (:class:`Supervision`): slower, without end, and with full jitter, which
after a long outage brings half of the clients back sooner than equal jitter with as many
attempts."""


def policy(value: PolicyLike | bool | int | None) -> Policy | None:
    """Return the policy that a value of the option ``retry=`` means.

    Args:
        value: None for one round over all addresses; True for :data:`DEFAULT`; a number for that
            many rounds in all, with the same back-off; a policy; a function, or an object with
            ``__call__``, from a context to a decision; a generator function of delays.

    Raises:
        TypeError: anything else; False too, which says neither.
        ValueError: a number less than 1.
    """
    if value is None:
        return None
    if value is True:
        return DEFAULT
    if value is False:
        raise TypeError("retry=False: say retry=None for one round, without repeats")
    if isinstance(value, int):
        if value < 1:
            raise ValueError(f"retry={value}: the first round counts too, so it is at least 1")
        return attempts(value) & _BACKOFF
    if not callable(value):
        raise TypeError(
            f"retry={value!r}: expected None, True, a number of rounds, a policy, a function from "
            "a context to Retry or Stop, or a generator function of delays"
        )
    return lift(value)
