"""Why a policy would go on or stop, in a sentence for a person."""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

from .. import errors
from ..errors import Help
from .causes import hopeless
from .decisions import Retry, Stop
from .defaults import policy as normalise
from .rehearsal import rehearse

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import ConnectError
    from .base import Policy, PolicyLike

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
    asked = normalise(policy)
    cause = errors.from_exception(error, stage="connect")
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
