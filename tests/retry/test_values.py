"""Policies are values: equal, hashed, printed and pickled by what they say."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from aioconnect import retry

from .strategies import POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable

PROPERTY = settings(max_examples=300, deadline=None, database=None)


@PROPERTY
@given(POLICIES)
def test_a_policy_prints_as_it_is_written(policy) -> None:
    """What it prints, read again, is an equal policy: parentheses stand where they must."""
    again = eval(repr(policy), {**vars(retry), "ConnectionRefusedError": ConnectionRefusedError})
    assert again == policy
    assert hash(again) == hash(policy)
    assert repr(again) == repr(policy)


@PROPERTY
@given(POLICIES)
def test_a_policy_survives_pickle_and_copy(policy) -> None:
    """With every protocol of Python 3, and with what it decides."""
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(policy, protocol)) == policy
    assert copy.copy(policy) == copy.deepcopy(policy) == policy
    assert pickle.loads(pickle.dumps(policy)).preview(5, 3) == policy.preview(5, 3)


@PROPERTY
@given(POLICIES)
def test_using_a_policy_does_not_change_it(policy) -> None:
    """Not its equality, its hash, its print or its pickle."""
    before = pickle.dumps(policy), hash(policy), repr(policy)
    policy.preview(20, 1)
    assert (pickle.dumps(policy), hash(policy), repr(policy)) == before


@pytest.mark.parametrize(
    "written",
    [
        "attempts(5) & exponential(0.2, cap=10, jitter='full', first=1)",
        "exponential(0.5)",
        "exponential(0.1, factor=3, jitter=None)",
        "exponential(1, jitter='decorrelated')",
        "constant(1)",
        "constant(0.25, jitter='equal')",
        "linear(0.5)",
        "linear(0.5, cap=2, jitter='full')",
        "fibonacci(1, cap=20)",
        "schedule([0.1, 1, 5])",
        "within(30) & forever()",
        "on('timed_out', ConnectionRefusedError) & attempts(3) | never()",
        "(attempts(3) | within(10)) & constant(1)",
        "schedule([0, 0]) >> exponential(1)",
        "(attempts(3) & constant(1)) >> exponential(0.5)",
        "attempts(3) & constant(1) >> exponential(0.5)",
    ],
)
def test_the_print_is_what_a_person_would_write(written: str) -> None:
    """Arguments that have their defaults are left out, and so are needless parentheses."""
    assert repr(eval(written, dict(vars(retry)))) == written


DIFFERENT: list[Callable[[], retry.Policy]] = [
    lambda: retry.attempts(3),
    lambda: retry.attempts(4),
    lambda: retry.within(3),
    lambda: retry.constant(3),
    lambda: retry.constant(3, jitter="full"),
    lambda: retry.linear(3),
    lambda: retry.fibonacci(3),
    lambda: retry.exponential(3),
    lambda: retry.exponential(3, first=1),
    lambda: retry.exponential(3, jitter="full"),
    lambda: retry.exponential(3, 3),
    lambda: retry.schedule([3]),
    lambda: retry.on("timed_out"),
    lambda: retry.on(TimeoutError),
    lambda: retry.forever(),
    lambda: retry.never(),
    lambda: retry.attempts(3) & retry.constant(3),
    lambda: retry.attempts(3) | retry.constant(3),
    lambda: retry.attempts(3) >> retry.constant(3),
    lambda: retry.constant(3) & retry.attempts(3),
]


def test_policies_are_equal_exactly_if_written_alike() -> None:
    """And then they hash alike."""
    for i, make in enumerate(DIFFERENT):
        for j, other in enumerate(DIFFERENT):
            assert (make() == other()) == (i == j)
            assert (make() != other()) == (i != j)
    assert len({make() for make in DIFFERENT * 2}) == len(DIFFERENT)
    assert retry.attempts(3) != 3
    assert retry.constant(3) == retry.constant(3.0)


def test_a_policy_cannot_be_changed() -> None:
    """Not a field, and no field can be added or removed."""
    policy = retry.attempts(3)
    with pytest.raises(AttributeError, match="immutable"):
        policy.n = 4  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="immutable"):
        policy.extra = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="immutable"):
        del policy.n  # type: ignore[attr-defined]
    assert not hasattr(policy, "__dict__")


def test_all_public_names_are_there_and_sorted() -> None:
    """``__all__`` names what the package has, in ruff's order, and nothing else."""
    assert all(hasattr(retry, name) for name in retry.__all__)
    rank = [(not n.isupper(), n[0].islower(), n) for n in retry.__all__]
    assert rank == sorted(rank)
    public = {
        name
        for name, value in vars(retry).items()
        if not name.startswith("_") and getattr(value, "__name__", "").find("aioconnect.retry.") < 0
    }
    assert public - {"annotations"} == set(retry.__all__)
