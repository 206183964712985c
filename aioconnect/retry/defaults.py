"""What the values of ``retry=`` mean, the two policies that were chosen for all, and why one stops.

The numbers are chosen by ``benchmarks/outage.py``: a thousand clients, an outage of a minute.  Of
the back-offs compared there the default is the one with the fewest attempts among those that
spread the clients, ride out a restart of three seconds in five rounds, and find a target that was
away for less than a second within a second of its return in nine of ten cases.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from ..causes import from_exception
from ..errors import Help
from .decision import Retry, Stop, hopeless, rehearse
from .delays import exponential
from .limits import attempts
from .policies import lift

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import ConnectError
    from .policies import Policy, PolicyLike

_HELPS = {
    Help.SAME: "the same address may answer later",
    Help.LOCAL: "something of this host may become free",
    Help.RESOLVE: "the name may resolve later",
}

_REASONS = {
    "attempts": "no round is left",
    "deadline": "no time is left",
    "permanent": "that is not among the errors it retries",
}

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


_normalise = policy  # `explain` has a parameter of that name


def explain(policy: PolicyLike | bool | int | None, error: OSError, *, failures: int = 1) -> str:
    """Say in a sentence why a policy would go on or stop after an error.

    Args:
        policy: any value of the option ``retry=``.
        error: what the rounds fail with.
        failures: after which failed round, if each before it failed likewise; default 1.

    Raises:
        ValueError: ``failures`` less than 1, or not a value of the option.
        TypeError: not a value of the option.
    """
    if failures < 1:
        raise ValueError(f"failures counts from 1, not {failures!r}")
    asked = _normalise(policy)
    cause = from_exception(error, stage="connect")
    if asked is None:
        return f"stops after round 1 ({cause.code}): without a policy one round is all"
    number, decision = _after(failures, asked, cause, lambda: 0.5)
    after = f"after round {number} ({cause.code})"
    if isinstance(decision, Retry):
        return f"goes on {after}: {_what_helps(cause)}; {_pause(failures, asked, cause, decision)}"
    if hopeless(cause) and not asked.names(cause):
        what = (
            "only another address could help, and all were tried"
            if cause.help
            else "nothing helps but a change by a person"
        )
        return f"stops {after}: {what} - {cause.hint}" if cause.hint else f"stops {after}: {what}"
    return f"stops {after}: {asked!r} says {_REASONS.get(decision.reason, decision.reason)}"


def _after(
    failures: int, policy: Policy, error: ConnectError, rng: Callable[[], float]
) -> tuple[int, Retry | Stop]:
    """Return the decision after that many failures, or the stop that came before."""
    rounds = list(islice(rehearse(policy, error=error, rng=rng), failures))
    return len(rounds), rounds[-1][1]


def _what_helps(error: ConnectError) -> str:
    helps = [text for flag, text in _HELPS.items() if error.help & flag]
    return ", ".join(helps) or "the policy names this error"


def _pause(failures: int, policy: Policy, error: ConnectError, decision: Retry) -> str:
    """Say how long it would sleep: with the least and the greatest that can be drawn."""
    draws: tuple[Callable[[], float], ...] = (lambda: 0.0, lambda: math.nextafter(1.0, 0.0))
    delays = [decision.delay]
    for rng in draws:
        _, drawn = _after(failures, policy, error, rng)
        if isinstance(drawn, Retry):
            delays.append(drawn.delay)
    least, most = f"{min(delays):.3g}", f"{max(delays):.3g}"
    if most == "0":
        return "the next round begins at once"
    span = most if least == most else f"{least} to {most}"
    again = " and a new look-up of the name" if decision.pick == "resolve" else ""
    return f"the next round begins after {span} s{again}"
