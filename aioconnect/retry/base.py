"""What a policy is: a pure function from a context to a decision, which others combine with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from .context import Context
from .decisions import Retry, Stop
from .values import Value

if TYPE_CHECKING:
    from ..errors import ConnectError


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

        from .rehearsal import rehearse

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
        return _combine("All", self, other)

    def __rand__(self, other: PolicyLike) -> Policy:
        return _combine("All", other, self)

    def __or__(self, other: PolicyLike) -> Policy:
        return _combine("Either", self, other)

    def __ror__(self, other: PolicyLike) -> Policy:
        return _combine("Either", other, self)

    def __rshift__(self, other: PolicyLike) -> Policy:
        return _combine("Then", self, other)

    def __rrshift__(self, other: PolicyLike) -> Policy:
        return _combine("Then", other, self)


PolicyLike: TypeAlias = (
    Policy
    | Callable[[Context], Retry | Stop]
    | Callable[[Context], Iterator[float]]
    | Callable[[], Iterator[float]]
)
"""What may stand for a policy: one of ours, a function or object that is called with the context,
or a generator function of delays (without parameters, or with the context)."""


def answer(policy: Policy, ctx: Context) -> Retry | Stop:
    """Ask a policy, and hold it to its own word: a type that is one, a sleep that ends in time.

    Raises:
        TypeError: it answered neither :class:`Retry` nor :class:`Stop`.
    """
    decision = policy(ctx)
    if isinstance(decision, Retry):
        # Here and not in the part that limits the time: it does not know how long others sleep.
        late = ctx.now + decision.wait(ctx) > decision.latest
        return Stop("deadline") if late else decision
    if isinstance(decision, Stop):
        return decision
    raise TypeError(f"the retry policy {policy!r} answered {decision!r}, not a Retry or a Stop")


def _combine(how: str, left: PolicyLike, right: PolicyLike) -> Policy:
    from . import algebra
    from .callables import lift

    if not (callable(left) and callable(right)):
        return NotImplemented
    combination: type[algebra.Combination] = getattr(algebra, how)
    return combination(lift(left), lift(right))
