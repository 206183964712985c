"""Policies that say how long to sleep: constant, linear, exponential, Fibonacci, by schedule.

Every one of them is bounded by a cap, and its jitter is drawn *under* what the cap allows.  Drawn
first and clamped afterwards, as many libraries do it, there is no jitter left at the cap: after a
few failures all clients sleep the same time again and come back as one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from .decision import Retry, Stop, written
from .policies import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .decision import Context

Jitter: TypeAlias = Literal["full", "equal"]
"""How a delay d is drawn: ``"full"`` from [0, d), ``"equal"`` from [d/2, d)."""


def constant(delay: float = 1.0, *, jitter: Jitter | None = None) -> Policy:
    """Go on with the same delay each time.

    Args:
        delay: seconds; default 1.
        jitter: ``"full"`` draws from [0, delay), ``"equal"`` from [delay/2, delay); default
            None: exactly ``delay``.

    Raises:
        ValueError: a delay that is negative or not finite, or an unknown jitter.
    """
    return Constant(delay, jitter=jitter)


def linear(step: float = 1.0, *, cap: float = 60.0, jitter: Jitter | None = None) -> Policy:
    """Go on with ``step``, then twice, three times ... ``step``, at most ``cap``.

    Args:
        step: seconds; default 1.
        cap: the longest delay in seconds; default 60.
        jitter: as in :func:`constant`.

    Raises:
        ValueError: no numbers with 0 < step <= cap, or an unknown jitter.
    """
    return Linear(step, cap=cap, jitter=jitter)


def exponential(
    base: float = 0.5,
    factor: float = 2.0,
    cap: float = 5.0,
    *,
    jitter: Jitter | Literal["decorrelated"] | None = "equal",
    first: float | None = None,
) -> Policy:
    """Go on with ``base``, then ``factor`` times more each time, at most ``cap``.

    Args:
        base: seconds; default 0.5.
        factor: at least 1; default 2.
        cap: the longest delay in seconds; default 5.
        jitter: ``"equal"`` (default) draws from the upper half of the delay, ``"full"`` from all
            of it; ``"decorrelated"`` draws from base to three times the delay drawn before;
            None sleeps exactly the delay.
        first: seconds for the first delay instead of ``base``, drawn from all of [0, first) (with
            ``jitter=None``: exactly).  Clients that failed together at the start of an outage
            are spread by it; default None.

    Raises:
        ValueError: no numbers with 0 < base <= cap, factor >= 1 and 0 <= first <= cap, an unknown
            jitter, or ``"decorrelated"`` with base = cap, which leaves nothing to draw.

    Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), whose
    decorrelated jitter is clamped to the cap; RFC 6455 section 7.2.3 for the first delay.
    """
    return Exponential(base, factor, cap, jitter=jitter, first=first)


def fibonacci(base: float = 1.0, *, cap: float = 60.0, jitter: Jitter | None = None) -> Policy:
    """Go on with ``base`` times 1, 1, 2, 3, 5, 8 ..., at most ``cap``.

    Args:
        base: seconds; default 1.
        cap: the longest delay in seconds; default 60.
        jitter: as in :func:`constant`.

    Raises:
        ValueError: no numbers with 0 < base <= cap, or an unknown jitter.
    """
    return Fibonacci(base, cap=cap, jitter=jitter)


def schedule(delays: Iterable[float]) -> Policy:
    """Go on with each of these delays in turn, and stop when they are used up.

    Args:
        delays: seconds each; *n* of them make *n* + 1 rounds.

    Raises:
        ValueError: a delay that is negative or not finite.
    """
    return Schedule(delays)


class Growing(Policy):
    """A delay that depends on the number of failures, and is drawn under its value."""

    __slots__ = ("jitter",)
    jitter: str | None

    jitters: tuple[str | None, ...] = (None, "full", "equal")

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on with a delay drawn under this failure's ceiling."""
        return Retry(draw(self.jitter, self.ceiling(ctx.failures), ctx.rng))

    def ceiling(self, failures: int) -> float:
        """Return the delay before jitter; in constant time, and finite, for any number."""
        raise NotImplementedError

    def _jitter(self, jitter: str | None) -> str | None:
        if jitter not in self.jitters:
            raise ValueError(f"jitter is one of {self.jitters}, not {jitter!r}")
        return jitter

    def _said(self, *arguments: str) -> str:
        said = [argument for argument in arguments if argument]
        if self.jitter is not None:
            said.append(f"jitter={self.jitter!r}")
        return f"{type(self).__name__.lower()}({', '.join(said)})"


def draw(jitter: str | None, ceiling: float, rng: Callable[[], float]) -> float:
    """Draw a delay under its ceiling."""
    if jitter == "full":
        return ceiling * rng()
    if jitter == "equal":
        return ceiling * (0.5 + 0.5 * rng())
    return ceiling


class Constant(Growing):
    """See :func:`constant`."""

    __slots__ = ("delay",)
    delay: float

    def __init__(self, delay: float, *, jitter: str | None) -> None:
        if not 0 <= delay < math.inf:
            raise ValueError(f"constant(delay): finite and not negative, not {delay!r}")
        self._set(delay=float(delay), jitter=self._jitter(jitter))

    def ceiling(self, failures: int) -> float:
        """Return the delay."""
        return self.delay

    def __repr__(self) -> str:
        return self._said(written(self.delay))


class Linear(Growing):
    """See :func:`linear`."""

    __slots__ = ("cap", "step")
    cap: float
    step: float

    def __init__(self, step: float, *, cap: float, jitter: str | None) -> None:
        _check_cap("linear", "step", step, cap)
        self._set(step=float(step), cap=float(cap), jitter=self._jitter(jitter))

    def ceiling(self, failures: int) -> float:
        """Return ``failures`` steps, at most the cap."""
        # Divided, not multiplied: the product may overflow.
        return self.cap if failures >= self.cap / self.step else self.step * failures

    def __repr__(self) -> str:
        return self._said(written(self.step), _unless(60.0, cap=self.cap))


class Exponential(Growing):
    """See :func:`exponential`."""

    __slots__ = ("base", "cap", "factor", "first")
    base: float
    cap: float
    factor: float
    first: float | None

    jitters = (None, "full", "equal", "decorrelated")

    def __init__(
        self, base: float, factor: float, cap: float, *, jitter: str | None, first: float | None
    ) -> None:
        _check_cap("exponential", "base", base, cap)
        if not 1 <= factor < math.inf:
            raise ValueError(f"exponential(...): factor is finite and at least 1, not {factor!r}")
        if first is not None and not 0 <= first <= cap:
            raise ValueError(f"exponential(...): first is between 0 and cap={cap!r}, not {first!r}")
        if jitter == "decorrelated" and base == cap:
            raise ValueError("exponential(...): decorrelated jitter needs a cap above the base")
        self._set(
            base=float(base),
            factor=float(factor),  # a float: the power of an int would be computed in full
            cap=float(cap),
            jitter=self._jitter(jitter),
            first=None if first is None else float(first),
        )

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on with a delay drawn under this failure's ceiling."""
        if self.first is not None and ctx.failures == 1:
            return Retry(self.first if self.jitter is None else self.first * ctx.rng())
        if self.jitter == "decorrelated":
            # Its own delay before, not the one that was slept: another policy may have been
            # longer.
            drawn: float = ctx.state or self.base
            drawn = self.base + (min(self.cap, 3 * drawn) - self.base) * ctx.rng()
            return Retry(drawn, state=drawn)
        return super().__call__(ctx)

    def ceiling(self, failures: int) -> float:
        """Return the base times a power of the factor, at most the cap."""
        try:
            return min(self.cap, self.base * self.factor ** (failures - 1))
        except OverflowError:  # a float's power raises where its product would be inf
            return self.cap

    def __repr__(self) -> str:
        said = [
            written(self.base),
            _unless(2.0, factor=self.factor),
            _unless(5.0, cap=self.cap),
            "" if self.jitter == "equal" else f"jitter={self.jitter!r}",
            _unless(None, first=self.first),
        ]
        return f"exponential({', '.join(filter(None, said))})"


class Fibonacci(Growing):
    """See :func:`fibonacci`."""

    __slots__ = ("base", "cap")
    base: float
    cap: float

    def __init__(self, base: float, *, cap: float, jitter: str | None) -> None:
        _check_cap("fibonacci", "base", base, cap)
        self._set(base=float(base), cap=float(cap), jitter=self._jitter(jitter))

    def ceiling(self, failures: int) -> float:
        """Return the base times a Fibonacci number, at most the cap."""
        before, delay = 0.0, self.base
        for _ in range(failures - 1):
            if delay >= self.cap:  # soon: the numbers grow exponentially
                return self.cap
            before, delay = delay, before + delay
        return min(self.cap, delay)

    def __repr__(self) -> str:
        return self._said(written(self.base), _unless(60.0, cap=self.cap))


class Schedule(Policy):
    """See :func:`schedule`."""

    __slots__ = ("delays",)
    delays: tuple[float, ...]

    def __init__(self, delays: Iterable[float]) -> None:
        listed = tuple(map(float, delays))
        for delay in listed:
            if not 0 <= delay < math.inf:
                raise ValueError(f"schedule(delays): finite and not negative, not {delay!r}")
        self._set(delays=listed)

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on with this failure's delay, if there is one."""
        number = ctx.failures - 1
        return Retry(self.delays[number]) if number < len(self.delays) else Stop("attempts")

    def __repr__(self) -> str:
        return f"schedule([{', '.join(map(written, self.delays))}])"


def _check_cap(block: str, name: str, value: float, cap: float) -> None:
    if not 0 < value <= cap < math.inf:
        raise ValueError(f"{block}(...): 0 < {name} <= cap, not {name}={value!r}, cap={cap!r}")


def _unless(default: float | None, **argument: float | None) -> str:
    """Write an argument, unless it has its default."""
    ((name, value),) = argument.items()
    return "" if value is None or value == default else f"{name}={written(value)}"
