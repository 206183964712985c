"""What a policy may answer: retry after a delay, or stop for a reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from .values import Value, written

if TYPE_CHECKING:
    from .context import Context

Anchor: TypeAlias = Literal["end", "start"]
Pick: TypeAlias = Literal["same", "next", "resolve"]

_ANCHORS = ("end", "start")
_PICKS = ("same", "next", "resolve")


class Retry(Value):
    """Begin another round over the addresses.

    Args:
        delay: seconds to sleep first; default 0.
        anchor: what ``delay`` counts from: ``"end"``, the failure of the round (default), or
            ``"start"``, its beginning, so that rounds begin at least ``delay`` apart and a round
            that took longer is followed at once (gRPC paces its connection back-off so).
        pick: where the next round begins: ``"same"``, with the addresses in their order
            (default); ``"next"``, with the address after the one that was tried last;
            ``"resolve"``, with a new look-up of the name.
        state: what the policy wants to find in ``ctx.state`` at the next failure of this call.
        latest: the instant (``time.monotonic()``) after which the sleep may not end; together
            with a longer delay of another policy it makes a stop.  Default: never.

    Raises:
        ValueError: a delay that is negative, infinite or NaN; an unknown anchor or pick.
        TypeError: a delay that is no number.
    """

    __slots__ = ("anchor", "delay", "latest", "pick", "state")
    __match_args__ = ("delay", "anchor", "pick", "state")

    anchor: Anchor
    delay: float
    latest: float
    pick: Pick
    state: Any

    def __init__(
        self,
        delay: float = 0.0,
        anchor: Anchor = "end",
        pick: Pick = "same",
        state: Any = None,
        *,
        latest: float = math.inf,
    ) -> None:
        try:
            valid = 0 <= delay < math.inf
        except TypeError:
            raise TypeError(f"the delay of a Retry is seconds, not {delay!r}") from None
        if not valid:
            raise ValueError(f"the delay of a Retry is finite and not negative, not {delay!r}")
        if anchor not in _ANCHORS:
            raise ValueError(f"anchor is one of {_ANCHORS}, not {anchor!r}")
        if pick not in _PICKS:
            raise ValueError(f"pick is one of {_PICKS}, not {pick!r}")
        if math.isnan(latest):
            raise ValueError("latest is an instant, not NaN")
        # One by one: each failed round makes a few of these, and _set() takes twice as long.
        put = object.__setattr__
        put(self, "delay", float(delay))
        put(self, "anchor", anchor)
        put(self, "pick", pick)
        put(self, "state", state)
        put(self, "latest", latest)

    def wait(self, ctx: Context) -> float:
        """Return the seconds to sleep from ``ctx.now``, whatever the anchor."""
        if self.anchor == "end":
            return self.delay
        return max(0.0, ctx.round_started + self.delay - ctx.now)

    def __hash__(self) -> int:
        return hash((self.delay, self.anchor, self.pick, self.latest))  # a state may have none

    def __repr__(self) -> str:
        said = [written(self.delay)]
        if self.anchor != "end":
            said.append(f"anchor={self.anchor!r}")
        if self.pick != "same":
            said.append(f"pick={self.pick!r}")
        if self.state is not None:
            said.append(f"state={self.state!r}")
        if self.latest != math.inf:
            said.append(f"latest={written(self.latest)}")
        return f"Retry({', '.join(said)})"


class Stop(Value):
    """Begin no further round: the call ends with the error it has.

    Args:
        reason: one word, kept in ``ConnectError.stopped``: ``"attempts"`` (no round is left),
            ``"deadline"`` (no time is left), ``"permanent"`` (nothing helps), ``"budget"``,
            ``"open"`` (a breaker), ``"custom"``, or a text of one's own.
        retry_after: seconds after which it may be worth asking again; None if nobody knows.

    Raises:
        TypeError: a reason that is no text.
        ValueError: a ``retry_after`` that is negative or NaN.
    """

    __slots__ = ("reason", "retry_after")
    __match_args__ = ("reason", "retry_after")

    reason: str
    retry_after: float | None

    def __init__(self, reason: str = "custom", retry_after: float | None = None) -> None:
        if not isinstance(reason, str):
            raise TypeError(f"the reason of a Stop is a text, not {reason!r}")
        if retry_after is not None and not retry_after >= 0:
            raise ValueError(f"retry_after is seconds from now, not {retry_after!r}")
        self._set(reason=reason, retry_after=retry_after)

    def __repr__(self) -> str:
        after = "" if self.retry_after is None else f", retry_after={written(self.retry_after)}"
        return f"Stop({self.reason!r}{after})"


Decision: TypeAlias = Retry | Stop
"""What a policy answers."""
