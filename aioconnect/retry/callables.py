"""Policies that are somebody's function, object or generator function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .base import Policy, PolicyLike
from .decisions import Retry, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .context import Context


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
