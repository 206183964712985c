"""The one question after a failed round: whether to go on, when, and where.

The driver's order is: record the failure, ask here, then the breaker, then the budget, tell
the observer, sleep, begin the next round.  Here the three things are done that no policy has to
do for itself: what nothing can help is not retried, a name that may have moved is looked up
again, and no sleep begins that would end too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import DeadlineExceeded, Help
from .base import answer
from .causes import hopeless
from .decisions import Retry, Stop

if TYPE_CHECKING:
    from .base import Policy
    from .context import Context


def decide(policy: Policy, ctx: Context, *, attempt_needs: float) -> Retry | Stop:
    """Decide what follows a failed round.

    Args:
        policy: whom to ask; it is asked once, or not at all if nothing can help.
        ctx: the situation after the failure.
        attempt_needs: seconds that must be left before ``ctx.deadline`` when a round begins.

    Returns:
        A :class:`Retry` whose ``delay`` counts from ``ctx.now`` (its ``anchor`` is ``"end"``) and
        ends by ``ctx.deadline - attempt_needs``; its ``pick`` is ``"resolve"`` if a new look-up
        can help.  Or a :class:`Stop`: ``"permanent"`` if nothing can help, or only another
        address, of which a failed round has none left, unless an :func:`~aioconnect.retry.on` of
        the policy names the error; ``"deadline"`` if the sleep would end too late; else what the
        policy said.

    Raises:
        TypeError: the policy answered neither :class:`Retry` nor :class:`Stop`.
        Exception: whatever the policy raised, unchanged.
    """
    error = ctx.error
    if isinstance(error, DeadlineExceeded):
        return Stop("deadline")
    if hopeless(error) and not policy.names(error):
        return Stop("permanent")
    decision = answer(policy, ctx)
    if isinstance(decision, Stop):
        return decision
    wait = decision.wait(ctx)
    if ctx.now + wait > ctx.deadline - attempt_needs:
        return Stop("deadline")
    pick = "resolve" if error.help & Help.RESOLVE else decision.pick
    return Retry(wait, "end", pick, decision.state)
