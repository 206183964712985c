"""Jitter is drawn under the cap, and is what it says it is (research: seven libraries clamp)."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from aioconnect import retry

from .virtual import context

DRAWS = 100_000
CRITICAL = math.sqrt(-math.log(0.001 / 2) / 2) / math.sqrt(DRAWS)
"""The Kolmogorov-Smirnov distance that a uniform sample exceeds once in a thousand times."""


def distance_from_uniform(sample: list[float], low: float, high: float) -> float:
    """Return the Kolmogorov-Smirnov statistic of a sample against U(low, high)."""
    n = len(sample)
    return max(
        max((rank + 1) / n - position, position - rank / n)
        for rank, position in enumerate((value - low) / (high - low) for value in sorted(sample))
    )


def draws(policy: retry.Policy, failures: int, seed: int, **changes: object) -> list[float]:
    """Draw the delay after a number of failures, often."""
    ctx = context(failures=failures, rng=random.Random(seed).random, **changes)
    return [
        decision.delay for _ in range(DRAWS) if isinstance(decision := policy(ctx), retry.Retry)
    ]


def exponential(jitter: str) -> retry.Policy:
    return retry.exponential(0.1, cap=5, jitter=jitter, first=1)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "failures", "low", "high"),
    [
        (exponential("full"), 1, 0.0, 1.0),
        (exponential("equal"), 1, 0.0, 1.0),
        (exponential("full"), 3, 0.0, 0.4),
        (exponential("equal"), 3, 0.2, 0.4),
        (exponential("full"), 8, 0.0, 5.0),
        (exponential("equal"), 8, 2.5, 5.0),
        (exponential("full"), 10**6, 0.0, 5.0),
        (exponential("equal"), 10**6, 2.5, 5.0),
        (retry.constant(2, jitter="full"), 5, 0.0, 2.0),
        (retry.linear(2, cap=7, jitter="equal"), 99, 3.5, 7.0),
        (retry.fibonacci(1, cap=7, jitter="full"), 99, 0.0, 7.0),
    ],
    ids=repr,
)
def test_a_delay_is_uniform_below_its_ceiling(
    policy: retry.Policy, failures: int, low: float, high: float
) -> None:
    """A Kolmogorov-Smirnov test at p = 0.001; nothing at or above the cap, nothing twice."""
    sample = draws(policy, failures, seed=failures)
    assert distance_from_uniform(sample, low, high) < CRITICAL
    assert low <= min(sample)
    assert max(sample) < high
    assert Counter(sample).most_common(1)[0][1] <= DRAWS / 1000


@pytest.mark.parametrize(("before", "high"), [(None, 0.3), (0.2, 0.6), (1.0, 3.0), (4.0, 5.0)])
def test_decorrelated_jitter_is_uniform_up_to_three_times_the_delay_before(
    before: float | None, high: float
) -> None:
    """From the base on, and up to the cap where three times would be more."""
    policy = retry.exponential(0.1, cap=5, jitter="decorrelated")
    sample = draws(policy, 2, seed=7, state=before)
    assert distance_from_uniform(sample, 0.1, high) < CRITICAL
    assert max(sample) < high


def test_decorrelated_jitter_goes_on_from_its_own_delay() -> None:
    """Not from the one that was slept, which another policy made longer."""
    alone = retry.exponential(0.1, cap=5, jitter="decorrelated")
    delays = (alone & retry.constant(0.001)).preview(20, seed=3)
    assert delays == alone.preview(20, seed=3)
    assert max((alone & retry.constant(4)).preview(2, seed=3)) == 4.0


@pytest.mark.slow
@pytest.mark.parametrize("jitter", ["full", "equal", "decorrelated"])
def test_no_delay_at_the_cap_is_frequent(jitter: str) -> None:
    """A hundred thousand delays of clients that have long been failing: all are different."""
    policy = exponential(jitter)
    sample: list[float] = []
    for seed in range(1000):
        sample += policy.preview(110, seed)[10:]
    assert len(sample) == DRAWS
    assert max(sample) <= 5.0
    assert Counter(sample).most_common(1)[0][1] <= DRAWS / 1000
    assert sum(delay >= 4.995 for delay in sample) < DRAWS / 100


def test_the_statistic_sees_clamped_jitter() -> None:
    """What is drawn and then clamped, as others do it, fails the same test."""
    rng = random.Random(1).random
    clamped = [min(5.0, 4 + 2 * rng()) for _ in range(DRAWS)]
    assert distance_from_uniform(clamped, 4.0, 5.0) > CRITICAL
    assert Counter(clamped).most_common(1)[0][1] > DRAWS / 1000
    honest = [4 + rng() for _ in range(DRAWS)]
    assert distance_from_uniform(honest, 4.0, 5.0) < CRITICAL


def test_the_default_draws_its_first_delay_from_a_whole_second() -> None:
    """Clients that failed together at the start of an outage don't come back together."""
    sample = [retry.DEFAULT.preview(1, seed)[0] for seed in range(2000)]
    limit = math.sqrt(-math.log(0.001 / 2) / 2) / math.sqrt(len(sample))
    assert distance_from_uniform(sample, 0.0, 1.0) < limit
