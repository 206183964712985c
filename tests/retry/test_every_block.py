"""What each block of ``aioconnect.retry`` must be; a new one is found by itself."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from aioconnect import causes, events, retry

from ..support.needs import need
from .strategies import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aioconnect import ConnectError

NO_BLOCKS = {"decide", "explain", "hopeless", "left_host", "policy"}
"""The functions that make no policy of their own."""

BLOCKS: dict[str, Callable[..., retry.Policy]] = {
    name: getattr(retry, name)
    for name in retry.__all__
    if inspect.isfunction(getattr(retry, name)) and name not in NO_BLOCKS
}

VALUES: dict[str, tuple[Any, Any]] = {
    "base": (1.0, 2.0),
    "cap": (8.0, 9.0),
    "delay": (1.0, 2.0),
    "delays": ([1.0, 2.0], [1.0, 3.0]),
    "factor": (2.0, 3.0),
    "first": (0.5, 0.25),
    "jitter": (None, "full"),
    "n": (3, 4),
    "seconds": (5.0, 6.0),
    "step": (1.0, 2.0),
    "what": (("timed_out",), ("timed_out", ConnectionRefusedError)),
}
"""Two values for each parameter of a block."""

PROPERTY = settings(max_examples=100, deadline=None, database=None)


def each() -> Any:
    return pytest.mark.parametrize("name", BLOCKS)


def made(name: str, **changes: Any) -> retry.Policy:
    """Make a block with every parameter given, some of them with another value."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for parameter in inspect.signature(BLOCKS[name]).parameters.values():
        assert parameter.name in VALUES, f"give two values for {parameter.name} of {name}"
        value = changes.get(parameter.name, VALUES[parameter.name][0])
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += value
        elif parameter.kind is parameter.KEYWORD_ONLY:
            keywords[parameter.name] = value
        else:
            positional.append(value)
    return BLOCKS[name](*positional, **keywords)


def variants(name: str) -> Iterator[retry.Policy]:
    """Make a block, and then with each of its parameters changed alone."""
    yield made(name)
    for parameter in inspect.signature(BLOCKS[name]).parameters:
        yield made(name, **{parameter: VALUES[parameter][1]})


def written(policy: retry.Policy) -> retry.Policy:
    """Read what a policy prints."""
    names = {**vars(retry), "ConnectionRefusedError": ConnectionRefusedError}
    return eval(repr(policy), names)


def context(failures: int, previous: float = 0.0, seed: int = 1) -> retry.Context:
    """Be the situation after that many failed rounds, with all the time there is."""
    error = causes.from_exception(ConnectionRefusedError(), stage="connect")
    attempt = causes.combine([_attempt(error)], target="a:1", elapsed=0.0).attempts[0]
    return retry.Context(
        failures=failures,
        last=attempt,
        error=error,
        started=0.0,
        now=1.0,
        rng=random.Random(seed).random,
        previous_delay=previous,
    )


def _attempt(error: ConnectError) -> events.AttemptFailed:
    return events.AttemptFailed(1.0, "a:1", error, 0.0, 1, 1)


def test_the_strategies_know_every_block_and_no_other() -> None:
    """The property tests of policies draw from all of them."""
    assert set(BY_NAME) == set(BLOCKS)
    assert set(retry.__all__) >= NO_BLOCKS


@each()
def test_a_block_is_a_policy_with_parameters_that_are_described(name: str) -> None:
    """Its docstring explains each by name."""
    assert isinstance(made(name), retry.Policy)
    text = inspect.getdoc(BLOCKS[name]) or ""
    for parameter in inspect.signature(BLOCKS[name]).parameters:
        assert f"    {parameter}: " in text or f"    *{parameter}: " in text, parameter


@each()
def test_a_block_prints_as_it_is_written(name: str) -> None:
    """With every parameter that differs; what it prints makes an equal one."""
    for policy in variants(name):
        assert repr(policy).startswith(f"{name}(")
        assert written(policy) == policy
        assert repr(written(policy)) == repr(policy)


@each()
def test_blocks_are_equal_exactly_if_their_parameters_are(name: str) -> None:
    """And hash alike then."""
    for first, policy in enumerate(variants(name)):
        for second, other in enumerate(variants(name)):
            assert (policy == other) is (first == second), (policy, other)
            assert (repr(policy) == repr(other)) is (first == second)
            if first == second:
                assert hash(policy) == hash(other)
    assert all(made(name) != made(another) for another in BLOCKS if another != name)


@each()
def test_a_block_survives_pickle_and_copy(name: str) -> None:
    """Programs send their options to workers."""
    for policy in variants(name):
        assert pickle.loads(pickle.dumps(policy)) == policy
        assert copy.copy(policy) == copy.deepcopy(policy) == policy


@each()
def test_a_block_cannot_be_changed(name: str) -> None:
    """Nothing can be set on it, nor added to it."""
    policy = made(name)
    assert not hasattr(policy, "__dict__")
    with pytest.raises(AttributeError):
        policy.anything = 1  # type: ignore[attr-defined]


@each()
def test_a_delay_is_never_longer_than_a_parameter_says(name: str) -> None:
    """After millions of rounds as after the first: what grows has a cap that holds."""
    for policy in variants(name):
        numbers = [
            number
            for parameter in inspect.signature(BLOCKS[name]).parameters
            for value in (getattr(policy, parameter, None),)
            for number in (value if isinstance(value, list | tuple) else [value])
            if isinstance(number, int | float)
        ]
        longest = getattr(policy, "cap", max(numbers, default=0.0))
        for failures in (1, 2, 3, 10, 50, 1000, 10**6, 10**9):
            for seed in range(5):
                answer = policy(context(failures, previous=longest, seed=seed))
                if isinstance(answer, retry.Retry):
                    assert 0 <= answer.delay <= longest, (policy, failures)
                    assert math.isfinite(answer.delay)


@each()
def test_the_same_situation_has_the_same_answer(name: str) -> None:
    """A policy has no state, no clock and no random source of its own."""
    policy = made(name)
    for failures in (1, 2, 7):
        first = policy(context(failures, previous=1.0))
        assert policy(context(failures, previous=1.0)) == first
        assert made(name)(context(failures, previous=1.0)) == first


@each()
def test_a_parameter_changes_a_decision(name: str) -> None:
    """One that does nothing is a mistake."""
    for parameter, policy in zip(
        inspect.signature(BLOCKS[name]).parameters, list(variants(name))[1:], strict=True
    ):
        assert decisions(policy) != decisions(made(name)), parameter


def decisions(policy: retry.Policy) -> list[Any]:
    """Return what a policy answers in many situations."""
    answers = []
    for failures in (1, 2, 3, 4, 10, 100):
        ctx = context(failures, previous=1.0)
        late = retry.Context(**{**_fields(ctx), "started": -5.5})
        other = causes.timed_out(whole=False, stage="connect")
        timed_out = retry.Context(**{**_fields(ctx), "error": other, "last": _attempt(other)})
        answers += [repr(policy(each)) for each in (ctx, late, timed_out)]
    return answers


def _fields(ctx: retry.Context) -> dict[str, Any]:
    return {name: getattr(ctx, name) for name in inspect.signature(retry.Context).parameters}


@each()
def test_a_block_combines_with_the_others(name: str) -> None:
    """With each operator, and what comes of it prints as it is written."""
    for policy in (
        made(name) & retry.attempts(2),
        made(name) | retry.never(),
        made(name) >> retry.constant(1),
    ):
        assert written(policy) == policy


@each()
def test_a_block_is_explained(name: str) -> None:
    """``explain`` says why it would go on or stop."""
    assert retry.explain(made(name), ConnectionRefusedError())


@each()
def test_the_page_about_retry_shows_each_block(name: str) -> None:
    """As it is called."""
    page = Path(__file__).parents[2] / "docs" / "retry.md"
    need(str(page))
    assert f"{name}(" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", BY_NAME)
def test_any_block_prints_as_it_is_written(name: str) -> None:
    """Whatever its arguments."""

    @PROPERTY
    @given(BY_NAME[name])
    def holds(policy: retry.Policy) -> None:
        assert written(policy) == policy
        assert hash(written(policy)) == hash(policy)
        assert pickle.loads(pickle.dumps(policy)) == policy

    holds()
