"""Functions, objects and generator functions as policies."""

from __future__ import annotations

import functools
import pickle
from typing import TYPE_CHECKING

import pytest

from aioconnect import retry

from .virtual import REFUSED, TIMED_OUT, Call, context

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def twice(ctx: retry.Context) -> retry.Decision:
    return retry.Retry(0.5) if ctx.failures < 3 else retry.Stop("custom")


def gentle() -> Iterator[float]:
    yield 0.5
    delay = 1
    while True:
        yield delay
        delay *= 2


def observant(ctx: retry.Context) -> Generator[float, retry.Context, str]:
    while ctx.error.code == "connection_refused":
        ctx = yield 0.25 * ctx.failures
    return f"no longer refused but {ctx.error.code}"


class Patient:
    """An object with ``__call__`` and settings of its own."""

    def __init__(self, delay: float) -> None:
        self.delay = delay

    def __call__(self, ctx: retry.Context) -> retry.Decision:
        """Go on."""
        return retry.Retry(self.delay)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patient) and other.delay == self.delay

    def __hash__(self) -> int:
        return hash(self.delay)

    def __repr__(self) -> str:
        return f"Patient({self.delay})"

    def method(self, ctx: retry.Context) -> retry.Decision:
        """Go on."""
        return retry.Retry(self.delay)

    def delays(self) -> Iterator[float]:
        """Give one delay."""
        yield self.delay


class Counting:
    """An object whose ``__call__`` is a generator function."""

    def __call__(self) -> Iterator[float]:
        """Give two delays."""
        yield from (1.0, 2.0)


def preview(value, n: int = 4) -> list[float]:
    policy = retry.policy(value)
    assert policy is not None
    return policy.preview(n)


@pytest.mark.parametrize(
    ("value", "delays"),
    [
        (twice, [0.5, 0.5]),
        (lambda ctx: retry.Retry(ctx.failures), [1.0, 2.0, 3.0, 4.0]),
        (Patient(2), [2.0, 2.0, 2.0, 2.0]),
        (Patient(3).method, [3.0, 3.0, 3.0, 3.0]),
        (functools.partial(lambda delay, ctx: retry.Retry(delay), 7), [7.0, 7.0, 7.0, 7.0]),
        (gentle, [0.5, 1.0, 2.0, 4.0]),
        (observant, [0.25, 0.5, 0.75, 1.0]),
        (Patient(3).delays, [3.0]),
        (Counting(), [1.0, 2.0]),
        (functools.partial(observant), [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_whatever_is_called_like_a_policy_is_one(value, delays: list[float]) -> None:
    """Functions, lambdas, objects, methods and partials; and generator functions of delays."""
    assert preview(value) == delays


def test_a_generator_that_takes_the_context_gets_each_one() -> None:
    """The first as its argument, the others from its ``yield``; what it returns is the reason."""
    call = Call(observant)
    assert call.fail(0.0, REFUSED).delay == 0.25
    assert call.fail(1.0, REFUSED).delay == 0.5
    assert call.fail(2.0, TIMED_OUT) == retry.Stop("no longer refused but timed_out")


def test_a_generator_that_ends_has_no_round_left() -> None:
    """As a schedule that is used up."""
    call = Call(Counting())
    assert [call.fail(0.0).delay for _ in range(2)] == [1.0, 2.0]
    assert call.fail(0.0) == retry.Stop("attempts")


def test_each_call_has_an_iterator_of_its_own() -> None:
    """The policy has no state: the iterator travels in the context."""
    policy = retry.policy(gentle)
    first, second = Call(policy), Call(policy)
    assert [first.fail(0.0).delay for _ in range(3)] == [0.5, 1.0, 2.0]
    assert [second.fail(0.0).delay for _ in range(3)] == [0.5, 1.0, 2.0]
    assert first.fail(0.0).delay == 4.0


@pytest.mark.parametrize("delay", [-1, float("nan")])
def test_a_bad_delay_of_a_generator_is_a_value_error(delay: float) -> None:
    """As of any other policy."""

    def careless() -> Iterator[float]:
        yield delay

    with pytest.raises(ValueError, match="delay"):
        Call(careless).fail(0.0)


def test_a_generator_that_yields_no_number_is_a_type_error() -> None:
    """A decision is not a delay."""

    def confused() -> Iterator[float]:
        yield retry.Retry(1)  # type: ignore[misc]

    with pytest.raises(TypeError, match="Retry"):
        Call(confused).fail(0.0)


def test_what_was_written_can_be_read() -> None:
    """A function prints as its name, an object as itself."""
    assert repr(retry.attempts(3) & twice) == "attempts(3) & twice"
    assert repr(retry.policy(gentle)) == "gentle"
    assert repr(retry.policy(Patient(2))) == "Patient(2)"
    assert repr(retry.on(twice)) == "on(twice)"


def test_policies_of_the_same_function_are_equal() -> None:
    """And hash alike, and survive a pickle."""
    assert retry.policy(twice) == retry.policy(twice)
    assert retry.policy(twice) != retry.policy(gentle)
    assert retry.policy(Patient(2)) == retry.policy(Patient(2))
    assert len({retry.policy(Patient(2)), retry.policy(Patient(2))}) == 1
    policy = retry.schedule([7]) >> twice & gentle
    again = pickle.loads(pickle.dumps(policy))
    assert again == policy
    assert again.preview(5) == policy.preview(5)


async def asynchronous(ctx: retry.Context) -> retry.Decision:
    return retry.Retry()


def nothing_fits(first: int, second: int) -> Iterator[float]:
    yield 1.0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Patient, "Patient is a class"),
        (retry.attempts, r"attempts\(\.\.\.\)"),
        (retry.forever, r"forever\(\.\.\.\)"),
        (asynchronous, "asynchronous"),
        (nothing_fits, "context"),
    ],
)
def test_what_is_callable_but_no_policy_is_refused(value, said: str) -> None:
    """When it is given, with what to do instead."""
    with pytest.raises(TypeError, match=said):
        retry.policy(value)
    with pytest.raises(TypeError, match=said):
        retry.forever() & value


def test_a_policy_can_be_a_class_of_ones_own() -> None:
    """Derived from Policy it has the operators, and is a value like the others."""

    class Exactly(retry.Policy):
        """Go on with one delay."""

        __slots__ = ("delay",)
        delay: float

        def __init__(self, delay: float) -> None:
            self._set(delay=delay)

        def __call__(self, ctx: retry.Context, /) -> retry.Decision:
            return retry.Retry(self.delay)

    assert Exactly(2) == Exactly(2)
    assert (Exactly(2) & retry.attempts(2)).preview(9) == [2.0]
    with pytest.raises(NotImplementedError):
        retry.Policy()(context())
