"""What a policy is, and how policies combine: both, either, one after the other.

Each operator is associative by construction: ``(p & q) & r`` and ``p & (q & r)`` are both the
three parts in a row, so they are equal, print alike and answer alike.  A combination keeps the
states of its parts in its own, which a context carries; so a part never sees more than its own.

A policy, its combinations, and what stands for a policy (somebody's function, object or generator
function) define each other, so they are in one file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from .decision import Context, Pick, Retry, Stop, Value, answer, rehearse

if TYPE_CHECKING:
    from ..errors import ConnectError

_HANDING_OVER = ("attempts", "deadline")
"""The reasons for which ``>>`` goes on with the next part: rounds or time are used up."""

_STRENGTH: dict[Pick, int] = {"same": 0, "next": 1, "resolve": 2}


class Policy(Value):
    """Says after each failed round of a call whether, when and where to go on.

    Calling it with a :class:`Context` gives :class:`Retry` or :class:`Stop`.  A policy is a value:
    immutable, compared and hashed by what it says, picklable, and the same object may serve any
    number of calls, tasks, loops and threads at once.  What a policy must remember of a call it
    returns in ``Retry.state`` and finds in ``ctx.state``.

    Policies combine, and take functions and generator functions on either side:

    - ``p & q`` goes on while both do, with the longer delay;
    - ``p | q`` goes on while either does, with the shorter delay;
    - ``p >> q`` is ``p`` until it has no round or no time left, then ``q``, counted anew.

    ``>>`` binds tighter than ``&``, and ``&`` tighter than ``|``, as always in Python.
    """

    __slots__ = ()

    binds = 4
    """How tight it binds where it is written: 1 for ``|`` ... 4 for a call or a name."""

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer for one failed round."""
        raise NotImplementedError

    def names(self, error: ConnectError) -> bool:
        """Whether an ``on(...)`` in it names this very error, so that it overrules ``help``."""
        return False

    def preview(
        self,
        n: int = 10,
        seed: int = 0,
        *,
        error: ConnectError | None = None,
        takes: float = 0.0,
        timeout: float | None = None,
    ) -> list[float]:
        """Return the delays it would sleep in a call whose rounds all fail.

        Args:
            n: how many delays at most.
            seed: of the random source; the same seed gives the same delays.
            error: what each round fails with; default: connection refused.
            takes: seconds each round lasts; default 0.
            timeout: seconds the whole call may last; default None, no limit.
        """
        from random import Random

        delays: list[float] = []
        rehearsal = rehearse(
            self,
            error=error,
            rng=Random(seed).random,
            takes=takes,
            deadline=math.inf if timeout is None else timeout,
        )
        while len(delays) < n:
            _, decision = next(rehearsal)
            if isinstance(decision, Stop):
                break
            delays.append(decision.delay)
        return delays

    def __and__(self, other: PolicyLike) -> Policy:
        return _combine(All, self, other)

    def __rand__(self, other: PolicyLike) -> Policy:
        return _combine(All, other, self)

    def __or__(self, other: PolicyLike) -> Policy:
        return _combine(Either, self, other)

    def __ror__(self, other: PolicyLike) -> Policy:
        return _combine(Either, other, self)

    def __rshift__(self, other: PolicyLike) -> Policy:
        return _combine(Then, self, other)

    def __rrshift__(self, other: PolicyLike) -> Policy:
        return _combine(Then, other, self)


PolicyLike: TypeAlias = (
    Policy
    | Callable[[Context], Retry | Stop]
    | Callable[[Context], Iterator[float]]
    | Callable[[], Iterator[float]]
)
"""What may stand for a policy: one of ours, a function or object that is called with the context,
or a generator function of delays (without parameters, or with the context)."""


def _combine(how: type[Combination], left: PolicyLike, right: PolicyLike) -> Policy:
    if not (callable(left) and callable(right)):
        return NotImplemented
    return how(lift(left), lift(right))


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


def lift(value: PolicyLike) -> Policy:
    """Return what stands for a policy as one.

    Raises:
        TypeError: it is not callable, or cannot be called as a policy is.
    """
    if isinstance(value, Policy):
        return value
    if not callable(value):
        raise TypeError(f"not a retry policy: {value!r}")
    import inspect  # asyncio has it already

    if isinstance(value, type):
        raise TypeError(f"{value.__qualname__} is a class: an object of it may be a retry policy")
    name = _name(value)
    if inspect.isfunction(value) and str(value.__module__).startswith(str(__package__)):
        raise TypeError(f"{name} makes a retry policy when it is called: {name}(...)")
    if _is(inspect.iscoroutinefunction, value) or _is(inspect.isasyncgenfunction, value):
        raise TypeError(f"{name} is asynchronous: a retry policy answers at once")
    takes_context = True
    if _is(inspect.isgeneratorfunction, value):
        try:
            inspect.signature(value).bind(None)
        except TypeError:
            takes_context = False
        try:
            inspect.signature(value).bind(*[None] * takes_context)
        except TypeError:
            raise TypeError(f"{name} takes no context, or only more than one") from None
        return Delays(cast("Callable[..., Iterator[float]]", value), takes_context=takes_context)
    return Function(cast("Callable[[Context], Retry | Stop]", value))


def _is(test: Callable[[object], bool], value: object) -> bool:
    """Test a function, or the ``__call__`` of an object."""
    return test(value) or test(getattr(value, "__call__", None))  # noqa: B004


def _name(value: object) -> str:
    return str(getattr(value, "__qualname__", None) or repr(value))


class Function(Policy):
    """A function, or an object that is called like one."""

    __slots__ = ("function",)
    function: Callable[[Context], Retry | Stop]

    def __init__(self, function: Callable[[Context], Retry | Stop]) -> None:
        self._set(function=function)

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer what the function answers."""
        return self.function(ctx)

    def __repr__(self) -> str:
        return _name(self.function)


class Delays(Policy):
    """A generator function of delays; each call of the library has an iterator of its own.

    The iterator is the state that the context carries.  If it takes the context it is given the
    first one, and each later one as the value of its ``yield``.
    """

    __slots__ = ("function", "takes_context")
    function: Callable[..., Iterator[float]]
    takes_context: bool

    def __init__(self, function: Callable[..., Iterator[float]], *, takes_context: bool) -> None:
        self._set(function=function, takes_context=takes_context)

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer the next delay; stop where the generator returns, for the reason it returns."""
        delays: Any = ctx.state
        try:
            if delays is None:
                delays = self.function(*[ctx] * self.takes_context)
                delay = next(delays)
            else:
                delay = delays.send(ctx) if self.takes_context else next(delays)
        except StopIteration as ended:
            return Stop("attempts" if ended.value is None else ended.value)
        return Retry(delay, state=delays)

    def __repr__(self) -> str:
        return _name(self.function)
