"""How policies combine: both, either, one after the other.

Each operator is associative by construction: ``(p & q) & r`` and ``p & (q & r)`` are both the
three parts in a row, so they are equal, print alike and answer alike.

A combination keeps the states of its parts in its own, which a context carries; so a part never
sees more than its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .base import Policy, answer
from .decisions import Pick, Retry, Stop

if TYPE_CHECKING:
    from ..errors import ConnectError
    from .context import Context

_HANDING_OVER = ("attempts", "deadline")
"""The reasons for which ``>>`` goes on with the next part: rounds or time are used up."""

_STRENGTH: dict[Pick, int] = {"same": 0, "next": 1, "resolve": 2}


class Combination(Policy):
    """Several policies as one."""

    __slots__ = ("parts",)
    parts: tuple[Policy, ...]

    symbol: ClassVar[str]

    def __init__(self, *parts: Policy) -> None:
        flat: list[Policy] = []
        for part in parts:
            flat.extend(part.parts if type(part) is type(self) else [part])
        self._set(parts=tuple(flat))

    def names(self, error: ConnectError) -> bool:
        """Whether any part names the error."""
        return any(part.names(error) for part in self.parts)

    def __repr__(self) -> str:
        return f" {self.symbol} ".join(
            repr(part) if part.binds > self.binds else f"({part!r})" for part in self.parts
        )


class All(Combination):
    """``p & q``: go on while every part does, with the longest delay."""

    __slots__ = ()
    symbol = "&"
    binds = 2

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer the first part's stop, or the longest delay with everybody's wishes."""
        states: tuple[Any, ...] = ctx.state or (None,) * len(self.parts)
        retries: list[Retry] = []
        for part, state in zip(self.parts, states, strict=True):
            decision = answer(part, _own(ctx, state))
            if isinstance(decision, Stop):
                return decision
            retries.append(decision)
        longest = max(retries, key=lambda retry: retry.wait(ctx))
        return Retry(
            longest.delay,
            longest.anchor,
            _strongest_pick(retries),
            _states(tuple(retry.state for retry in retries)),
            latest=min(retry.latest for retry in retries),
        )


class Either(Combination):
    """``p | q``: go on while any part does, with the shortest delay."""

    __slots__ = ()
    symbol = "|"
    binds = 1

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer the shortest delay of those that go on, or the last part's stop."""
        states: tuple[Any, ...] = ctx.state or (None,) * len(self.parts)
        # Everybody is asked each time, so that what one part draws or remembers does not depend
        # on which part happened to be the shorter.
        decisions = [
            answer(part, _own(ctx, state)) for part, state in zip(self.parts, states, strict=True)
        ]
        retries = [decision for decision in decisions if isinstance(decision, Retry)]
        if not retries:
            return decisions[-1]
        shortest = min(retries, key=lambda retry: retry.wait(ctx))
        kept = tuple(
            decision.state if isinstance(decision, Retry) else state
            for decision, state in zip(decisions, states, strict=True)
        )
        return Retry(
            shortest.delay,
            shortest.anchor,
            _strongest_pick(retries),
            _states(kept),
            # Whatever makes the sleep longer from outside: as long as anyone would go on.
            latest=max(retry.latest for retry in retries),
        )


class Then(Combination):
    """``p >> q``: the delays of ``p``, and when it has no round or no time left, those of ``q``.

    At the hand-over the next part is asked about the same failure as its first: its failures
    count from 1, its time from now, and it has slept nothing yet.
    """

    __slots__ = ()
    symbol = ">>"
    binds = 3

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer what the part whose turn it is answers."""
        index, failed_before, started, state = ctx.state or (0, 0, ctx.started, None)
        while True:
            failures = ctx.failures - failed_before
            decision = answer(
                self.parts[index],
                ctx.replace(
                    failures=failures,
                    started=started,
                    previous_delay=ctx.previous_delay if failures > 1 else 0.0,
                    state=state,
                ),
            )
            if isinstance(decision, Retry):
                return Retry(
                    decision.delay,
                    decision.anchor,
                    decision.pick,
                    (index, failed_before, started, decision.state),
                    latest=decision.latest,
                )
            if decision.reason not in _HANDING_OVER or index + 1 == len(self.parts):
                return decision
            index, failed_before, started, state = index + 1, ctx.failures - 1, ctx.now, None


def _own(ctx: Context, state: object) -> Context:
    """Return the context of one part; the same where nobody remembers anything."""
    return ctx if state is ctx.state else ctx.replace(state=state)


def _strongest_pick(retries: list[Retry]) -> Pick:
    """Return what was asked for: a part that does not care says "same"."""
    return max((retry.pick for retry in retries), key=_STRENGTH.__getitem__)


def _states(states: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return None where nobody remembers anything, so that such a call carries nothing."""
    return states if any(state is not None for state in states) else None
