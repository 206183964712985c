"""The one question after a failed round: whether to go on, when, and where.

:class:`Context` is what it depends on, :class:`Retry` or :class:`Stop` what is answered, and
:func:`decide` how it is asked.  The driver's order is: record the failure, ask here, then the
breaker, then the budget, tell the observer, sleep, begin the next round.  Here the three things
are done that no policy has to do for itself: what nothing can help is not retried, a name that
may have moved is looked up again, and no sleep begins that would end too late.
"""

from __future__ import annotations

import errno
import math
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, TypeAlias

from ..causes import from_errno
from ..errors import (
    KEPT_ATTEMPTS,
    AccessDenied,
    AddressFamilyNotSupported,
    AddressNotAvailable,
    AttemptFailed,
    ConnectError,
    DeadlineExceeded,
    Help,
    InvalidAddress,
    NetworkUnreachable,
    NotADirectory,
    PathNotFound,
    PathUnusable,
    SocketBusy,
    SocketUnusable,
    WrongSocketType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Anchor: TypeAlias = Literal["end", "start"]
Pick: TypeAlias = Literal["same", "next", "resolve"]

_ANCHORS = ("end", "start")
_PICKS = ("same", "next", "resolve")

_OUTSIDE = ("resolve", "connect", "verify")
"""The stages in which something may leave this host."""

_ANSWERED = ("proxy", "handshake", "tls")
"""The stages in which a peer has been reached: whatever they fail with, it was asked."""

_INSIDE = (
    AccessDenied,
    AddressFamilyNotSupported,
    AddressNotAvailable,
    InvalidAddress,
    NetworkUnreachable,
    NotADirectory,
    PathNotFound,
    PathUnusable,
    SocketBusy,
    SocketUnusable,
    WrongSocketType,
)
"""The causes that this host's kernel finds without asking anybody."""


class Value:
    """Immutable; equal to another of the same class with equal fields; picklable by them."""

    __slots__ = ()

    def _set(self, **fields: Any) -> None:
        """Give the fields their values; only ``__init__`` may."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @classmethod
    def _fields(cls) -> list[str]:
        return [name for base in reversed(cls.__mro__) for name in getattr(base, "__slots__", ())]

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._fields())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: make a new one")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(zip(self._fields(), self._values(), strict=True)))


def _restore(cls: type[Value], fields: dict[str, Any]) -> Value:
    value = cls.__new__(cls)
    value._set(**fields)
    return value


def written(value: float) -> str:
    """Write a number as a person would: ``5`` for 5.0."""
    return repr(value).removesuffix(".0")


class Context:
    """The situation after a failed round, all that a decision may depend on.

    Instants are seconds on the clock of the driver (``time.monotonic()``).

    Args:
        failures: failed rounds so far, at least 1, exact however long the call lasts.
        last: the attempt that failed last.
        error: the combined error of the round; its ``help`` says what can help.
        history: the failed attempts, oldest first; bounded, the oldest are dropped.
        started: the instant at which the call began.
        now: the instant of the failure.
        deadline: the instant by which the call ends; default ``math.inf``, no limit.
        previous_delay: seconds slept before the failed round; default 0.
        state: what the policy returned in ``Retry.state`` last time, None at the first failure.
        rng: the random source, a function to [0, 1).
    """

    __slots__ = (
        "deadline",
        "error",
        "failures",
        "history",
        "last",
        "now",
        "previous_delay",
        "rng",
        "started",
        "state",
    )

    def __init__(
        self,
        *,
        failures: int,
        last: AttemptFailed,
        error: ConnectError,
        started: float,
        now: float,
        rng: Callable[[], float],
        history: tuple[AttemptFailed, ...] = (),
        deadline: float = math.inf,
        previous_delay: float = 0.0,
        state: Any = None,
    ) -> None:
        self.failures = failures
        self.last = last
        self.error = error
        self.history = history
        self.started = started
        self.now = now
        self.deadline = deadline
        self.previous_delay = previous_delay
        self.state = state
        self.rng = rng

    @property
    def round_started(self) -> float:
        """The instant at which the failed round began, as far as the history knows."""
        number = self.last.round
        started = self.last.started
        for attempt in reversed(self.history):
            if attempt.round != number:
                break
            started = min(started, attempt.started)
        return started

    def replace(self, **changes: Any) -> Context:
        """Return a copy with some fields changed; it is how policies ask other policies."""
        copy = Context.__new__(Context)
        for name in Context.__slots__:
            setattr(copy, name, changes[name] if name in changes else getattr(self, name))
        return copy

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"Context({fields})"


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


class Decider(Protocol):
    """What :func:`decide` asks: any policy is one."""

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Answer for one failed round."""
        ...

    def names(self, error: ConnectError) -> bool:
        """Whether it names this very error, so that it overrules ``help``."""
        ...


def decide(
    policy: Decider, ctx: Context, *, attempt_needs: float, insist: bool = False
) -> Retry | Stop:
    """Decide what follows a failed round.

    Args:
        policy: whom to ask; it is asked once, or not at all if nothing can help.
        ctx: the situation after the failure.
        attempt_needs: seconds that must be left before ``ctx.deadline`` when a round begins.
        insist: ask the policy also where nothing can help but a change.

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
    if isinstance(error, DeadlineExceeded) and not insist:
        return Stop("deadline")
    if not insist and hopeless(error) and not policy.names(error):
        return Stop("permanent")
    decision = answer(policy, ctx)
    if isinstance(decision, Stop):
        return decision
    wait = decision.wait(ctx)
    if ctx.now + wait > ctx.deadline - attempt_needs:
        return Stop("deadline")
    pick = "resolve" if error.help & Help.RESOLVE else decision.pick
    return Retry(wait, "end", pick, decision.state)


def answer(policy: Decider, ctx: Context) -> Retry | Stop:
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


def hopeless(error: ConnectError) -> bool:
    """Whether another round cannot help after a round that failed with ``error``.

    A round is all addresses once: where only another address could have helped, none is left.
    """
    return not error.help & ~Help.OTHER


def left_host(error: ConnectError) -> bool:
    """Whether the failure came from outside: a peer or a name server was asked.

    A failure that never left this host (no descriptor, no port, no route, no such path) is no
    load on anybody and says nothing about the peer.  It takes no token of a :class:`Budget`, and
    is no failure to a :class:`Breaker`.

    Args:
        error: of one attempt, or of a whole round or call: then one of its attempts is enough.
    """
    if error.attempts:
        return any(left_host(attempt.error) for attempt in error.attempts)
    if error.help & Help.LOCAL:
        return False
    return error.stage in _ANSWERED or (error.stage in _OUTSIDE and not isinstance(error, _INSIDE))


def rehearse(
    policy: Decider,
    *,
    rng: Callable[[], float],
    error: ConnectError | None = None,
    takes: float = 0.0,
    deadline: float = math.inf,
) -> Iterator[tuple[Context, Retry | Stop]]:
    """Yield each failure with its decision, the stop last; the call begins at the instant 0."""
    if error is None:
        error = from_errno(errno.ECONNREFUSED, stage="connect")
    now, failures, previous_delay = 0.0, 0, 0.0
    state: object = None
    history: tuple[AttemptFailed, ...] = ()
    while True:
        failures += 1
        began, now = now, now + takes
        attempt = AttemptFailed(now, error.target, error, began, failures, failures)
        history = (*history[1 - KEPT_ATTEMPTS :], attempt)
        ctx = Context(
            failures=failures,
            last=attempt,
            error=error,
            history=history,
            started=0.0,
            now=now,
            deadline=deadline,
            previous_delay=previous_delay,
            state=state,
            rng=rng,
        )
        decision = decide(policy, ctx, attempt_needs=takes)
        yield ctx, decision
        if isinstance(decision, Stop):
            return
        now += decision.delay
        previous_delay, state = decision.delay, decision.state
