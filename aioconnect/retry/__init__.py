"""When to try again: retry policies, budgets, breakers, and the pace of reconnecting.

A *round* is one race over all addresses of a target.  Back-off is between rounds; within a round
another address is tried at once.  After each failed round the driver asks :func:`decide`, and
:func:`decide` asks the policy: a pure function from a :class:`Context` to :class:`Retry` or
:class:`Stop`.

Nothing here sleeps, looks at a clock or touches a socket.
"""

from __future__ import annotations

from .addresses import AddressBackoff
from .breaker import Breaker, Permit
from .budget import Budget
from .decision import Context, Decision, Retry, Stop, decide, hopeless, left_host
from .defaults import DEFAULT, RECONNECT, explain, policy
from .delays import constant, exponential, fibonacci, linear, schedule
from .limits import attempts, forever, never, on, within
from .policies import Policy, PolicyLike
from .supervision import Supervision

__all__ = [
    "DEFAULT",
    "RECONNECT",
    "AddressBackoff",
    "Breaker",
    "Budget",
    "Context",
    "Decision",
    "Permit",
    "Policy",
    "PolicyLike",
    "Retry",
    "Stop",
    "Supervision",
    "attempts",
    "constant",
    "decide",
    "explain",
    "exponential",
    "fibonacci",
    "forever",
    "hopeless",
    "left_host",
    "linear",
    "never",
    "on",
    "policy",
    "schedule",
    "within",
]
