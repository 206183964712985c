"""Whatever the policy and whatever happens, nobody sleeps past the deadline."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect import retry

from ..support.sweep import examples
from .strategies import POLICIES, random_policy
from .virtual import (
    NAME_SERVER_AWAY,
    NO_DESCRIPTOR,
    NO_SUCH_NAME,
    REFUSED,
    TIMED_OUT,
    Call,
    round_of,
)

ERRORS = [REFUSED, TIMED_OUT, NO_DESCRIPTOR, NAME_SERVER_AWAY, NO_SUCH_NAME]
ERRORS.append(round_of(REFUSED, TIMED_OUT))

ROUNDS = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, len(ERRORS) - 1)), min_size=1, max_size=8
)


def check(policy, rounds, *, started: float, timeout: float, needs: float, seed: int) -> None:
    """Go through the rounds of a call; look at each sleep."""
    deadline = started + timeout
    call = Call(policy, seed, started=started, deadline=deadline, needs=needs)
    now = started
    for takes, which in rounds:
        now += takes
        decision = call.fail(now, ERRORS[which], takes=takes)
        if isinstance(decision, retry.Stop):
            assert decision.reason in ("attempts", "deadline", "permanent")
            return
        assert 0 <= decision.delay < math.inf
        assert decision.anchor == "end"
        now += decision.delay
        assert now <= deadline - needs


@pytest.mark.sweep
@settings(max_examples=examples(1000), deadline=None, database=None)
@given(st.integers(0, 2**64))
def test_no_sleep_ends_after_the_deadline(seed: int) -> None:
    """Thousands of policies and histories: each sleep ends with time left for an attempt."""
    rng = random.Random(seed)
    check(
        random_policy(rng),
        [(rng.uniform(0, 5), rng.randrange(len(ERRORS))) for _ in range(rng.randint(1, 8))],
        started=rng.choice([0.0, rng.uniform(0, 1e7)]),
        timeout=rng.uniform(0, 60),
        needs=rng.choice([0.0, rng.uniform(0, 5)]),
        seed=seed,
    )


@settings(max_examples=400, deadline=None, database=None)
@given(
    policy=POLICIES,
    rounds=ROUNDS,
    started=st.floats(0, 1e7),
    timeout=st.floats(0, 60),
    needs=st.floats(0, 5),
    seed=st.integers(0, 2**32),
)
def test_no_sleep_ends_after_the_deadline_at_the_edges(
    policy, rounds, started, timeout, needs, seed
) -> None:
    """The same with the numbers that are most likely to break it."""
    check(policy, rounds, started=started, timeout=timeout, needs=needs, seed=seed)


@settings(max_examples=300, deadline=None, database=None)
@given(policy=POLICIES, timeout=st.floats(0.001, 60), takes=st.floats(0, 3), seed=st.integers(0))
def test_a_preview_keeps_the_deadline_too(policy, timeout, takes, seed) -> None:
    """All that it shows fits in the time: its sleeps, its rounds and the one after the last."""
    delays = policy.preview(50, seed, takes=takes, timeout=timeout)
    now = 0.0
    for delay in delays:
        now += takes
        now += delay
        assert now <= timeout - takes
