"""What the values of ``retry=`` mean."""

from __future__ import annotations

import pytest

from aioconnect import retry


def test_none_is_one_round() -> None:
    """No policy is asked at all."""
    assert retry.policy(None) is None


def test_true_is_the_default() -> None:
    """Five rounds in all: a random first delay, then 1, 2 and 4 s, from their upper halves."""
    policy = retry.policy(True)
    assert policy is retry.DEFAULT
    assert repr(policy) == "attempts(5) & exponential(0.5, first=1)"
    for seed in range(200):
        first, *others = policy.preview(9, seed)
        assert 0 <= first < 1
        assert len(others) == 3
        for delay, ceiling in zip(others, (1, 2, 4), strict=True):
            assert ceiling / 2 <= delay < ceiling


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_a_number_is_so_many_rounds_with_the_same_back_off(n: int) -> None:
    """Five is the default itself."""
    policy = retry.policy(n)
    assert policy is not None
    assert len(policy.preview(1000)) == n - 1
    assert (policy == retry.DEFAULT) == (n == 5)
    assert policy.preview(4)[:4] == retry.DEFAULT.preview(4)[: n - 1]


def test_a_policy_is_itself() -> None:
    """Nothing is wrapped twice."""
    policy = retry.attempts(3)
    assert retry.policy(policy) is policy


@pytest.mark.parametrize("value", [False, 0.5, "5", b"", [1, 2], {}])
def test_what_is_no_value_of_the_option_is_a_type_error(value) -> None:
    """The message says what was expected; False in particular says neither yes nor one round."""
    with pytest.raises(TypeError, match=r"retry=.*(None)"):
        retry.policy(value)


@pytest.mark.parametrize("value", [0, -3])
def test_less_than_one_round_is_a_value_error(value: int) -> None:
    """The first round counts too."""
    with pytest.raises(ValueError, match=f"retry={value}"):
        retry.policy(value)


def test_the_pace_of_reconnecting_never_ends() -> None:
    """Its delays stay below half a minute and grow up to there."""
    assert len(retry.RECONNECT.preview(1000)) == 1000
    ceilings = [max(retry.RECONNECT.preview(8, seed)[n] for seed in range(300)) for n in range(8)]
    for measured, ceiling in zip(ceilings, (1, 2, 4, 8, 16, 30, 30, 30), strict=True):
        assert 0.9 * ceiling < measured < ceiling
