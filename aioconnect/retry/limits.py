"""Policies that say whether to go on: how often, how long, after which errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..errors import ConnectError
from ..table_others import codes
from .decision import Retry, Stop, written
from .policies import Policy

if TYPE_CHECKING:
    from .decision import Context

Matcher: TypeAlias = str | type[BaseException] | Callable[[ConnectError], bool]
"""What :func:`on` takes: a code, an exception class, or a predicate."""


def attempts(n: int) -> Policy:
    """Go on until ``n`` rounds have failed, without delay.

    Args:
        n: rounds in all, the first one included; at least 1.

    Raises:
        TypeError: ``n`` is no whole number.
        ValueError: ``n`` is less than 1.
    """
    return Attempts(n)


def within(seconds: float) -> Policy:
    """Go on as long as the next round begins within ``seconds`` of the start, without delay.

    It holds for the sleep of whatever it is combined with by ``&``: no sleep begins that would
    end later.  After ``>>`` the time counts from the hand-over.

    Args:
        seconds: positive.

    Raises:
        ValueError: ``seconds`` is not a positive finite number.
    """
    return Within(seconds)


def on(*what: Matcher) -> Policy:
    """Go on after errors of these kinds, without delay; stop after any other, as permanent.

    What is asked is the combined error of the round: its class and code are those of its dominant
    cause.  Of the errors that nothing can help (``error.help``), which otherwise stop every
    policy, it lets those through that it names: by their code, or by a class narrower than
    :class:`~aioconnect.errors.ConnectError`.  A predicate, or a class as wide as ``OSError``,
    names nothing: it chooses among the errors that something can help.

    Args:
        what: any of: a code (``"connection_refused"``), an exception class
            (``ConnectionRefusedError``), a predicate on the error.

    Raises:
        TypeError: something else, or a class that no connection error has.
        ValueError: nothing at all, or a code that no error has.
    """
    return On(*what)


def forever() -> Policy:
    """Go on always, without delay: the policy that ``&`` leaves as it is."""
    return Forever()


def never() -> Policy:
    """Stop after one round: the policy that ``|`` leaves as it is."""
    return Never()


class Attempts(Policy):
    """See :func:`attempts`."""

    __slots__ = ("n",)
    n: int

    def __init__(self, n: int) -> None:
        if not isinstance(n, int) or isinstance(n, bool):
            raise TypeError(f"attempts(n): n is a whole number of rounds, not {n!r}")
        if n < 1:
            raise ValueError(f"attempts(n): the first round counts too, so n is at least 1: {n!r}")
        self._set(n=n)

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Stop when the rounds are used up."""
        return Stop("attempts") if ctx.failures >= self.n else Retry()

    def __repr__(self) -> str:
        return f"attempts({self.n})"


class Within(Policy):
    """See :func:`within`."""

    __slots__ = ("seconds",)
    seconds: float

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < math.inf:
            raise ValueError(f"within(seconds): positive and finite, not {seconds!r}")
        self._set(seconds=float(seconds))

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on, but no sleep may end later."""
        return Retry(latest=ctx.started + self.seconds)

    def __repr__(self) -> str:
        return f"within({written(self.seconds)})"


class On(Policy):
    """See :func:`on`."""

    __slots__ = ("what",)
    what: tuple[Matcher, ...]

    def __init__(self, *what: Matcher) -> None:
        if not what:
            raise ValueError("on(...): name at least one code, class or predicate")
        for one in what:
            _check(one)
        self._set(what=what)

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on if anything matches the error of the round."""
        return Retry() if any(_matches(one, ctx.error) for one in self.what) else Stop("permanent")

    def names(self, error: ConnectError) -> bool:
        """Whether a code or a narrow class, not just a predicate, matches the error."""
        return any(_is_name(one) and _matches(one, error) for one in self.what)

    def __repr__(self) -> str:
        said = [
            repr(one) if isinstance(one, str) else getattr(one, "__qualname__", None) or repr(one)
            for one in self.what
        ]
        return f"on({', '.join(said)})"


def _check(one: object) -> None:
    if isinstance(one, str):
        known = codes()
        if one not in known:
            from difflib import get_close_matches

            near = " or ".join(map(repr, get_close_matches(one, known))) or "another one"
            raise ValueError(f"on(...): no error has the code {one!r}; did you mean {near}?")
    elif isinstance(one, type):
        if not (issubclass(one, OSError) or issubclass(ConnectError, one)):
            raise TypeError(f"on(...): no connection error is a {one.__qualname__}")
    elif not callable(one):
        raise TypeError(f"on(...): {one!r} is not a code, an exception class or a predicate")


def _is_name(one: Matcher) -> bool:
    return isinstance(one, str) or (isinstance(one, type) and not issubclass(ConnectError, one))


def _matches(one: Matcher, error: ConnectError) -> bool:
    if isinstance(one, str):
        return error.code == one
    if isinstance(one, type):
        return isinstance(error, one)
    return bool(one(error))


class Forever(Policy):
    """See :func:`forever`."""

    __slots__ = ()

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Go on."""
        return Retry()

    def __repr__(self) -> str:
        return "forever()"


class Never(Policy):
    """See :func:`never`."""

    __slots__ = ()

    def __call__(self, ctx: Context, /) -> Retry | Stop:
        """Stop."""
        return Stop("attempts")

    def __repr__(self) -> str:
        return "never()"
