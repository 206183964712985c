"""One policy object does what a thousand do, and the same seed does the same again."""

from __future__ import annotations

import pickle
import random
import time
from typing import TYPE_CHECKING

import pytest

from aioconnect import retry

from .virtual import NO_DESCRIPTOR, REFUSED, TIMED_OUT, Call

if TYPE_CHECKING:
    from collections.abc import Iterator


def delays() -> Iterator[float]:
    yield from (0.25, 0.5, 1.0, 2.0)


POLICIES = [
    retry.DEFAULT,
    retry.RECONNECT,
    retry.exponential(jitter="decorrelated"),
    retry.attempts(6) & delays,
    retry.schedule([0, 1]) >> retry.exponential(jitter="decorrelated") & retry.attempts(4),
    retry.within(8) & (delays | retry.linear(jitter="full")) >> retry.constant(1, jitter="equal"),
]


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_a_thousand_interleaved_calls_share_one_object(policy: retry.Policy) -> None:
    """They decide as a thousand objects, each used alone: nothing is kept in the policy."""
    before = pickle.dumps(policy)
    shared = [(Call(policy, seed), []) for seed in range(1000)]
    turns = [number for number in range(1000) for _ in range(6)]
    random.Random(1).shuffle(turns)
    for number in turns:
        call, decisions = shared[number]
        decisions.append(describe(call.fail(float(call.failures), REFUSED)))
    for seed, (_, decisions) in enumerate(shared):
        alone = Call(pickle.loads(before), seed)
        assert decisions == [describe(alone.fail(float(n), REFUSED)) for n in range(6)]
    assert pickle.dumps(policy) == before


def describe(decision: retry.Decision) -> object:
    """Leave the state out: an iterator equals only itself."""
    return (decision.delay, decision.pick) if isinstance(decision, retry.Retry) else decision


def log_of(policy: retry.Policy) -> str:
    """Return a long script's decisions as text."""
    lines = []
    for seed in range(50):
        call, now = Call(policy, seed, deadline=40.0, needs=0.5), 0.0
        for number in range(12):
            error = (REFUSED, TIMED_OUT, NO_DESCRIPTOR)[(seed + number) % 3]
            now += 0.1 * number
            decision = call.fail(now, error, takes=0.1 * number)
            lines.append(f"{seed} {number} {now!r} {describe(decision)!r}")
            if isinstance(decision, retry.Stop):
                break
            now += decision.delay
    return "\n".join(lines)


def test_the_same_seed_gives_the_same_log() -> None:
    """To the byte; and another policy gives another."""
    logs = [log_of(policy) for policy in POLICIES]
    assert logs == [log_of(policy) for policy in POLICIES]
    assert len(set(logs)) == len(POLICIES)


def test_no_clock_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the time, or having none, changes nothing: the driver says what time it is."""
    logs = [log_of(policy) for policy in POLICIES]

    def no_clock() -> float:
        pytest.fail("looked at a clock")

    wall = iter(range(10**9, 0, -3600))
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: float(next(wall)))
        assert [log_of(policy) for policy in POLICIES] == logs
    with monkeypatch.context() as patch:
        for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
            patch.setattr(time, name, no_clock)
        changed = [log_of(policy) for policy in POLICIES]
        breaker = retry.Breaker(1, rng=lambda: 0.5)
        breaker.failure("db", 5.0)
        wait = breaker.admit("db", 6.0)
        budget = retry.Budget()
        reserved = budget.reserve("db", 5.0)
    assert changed == logs
    assert wait == 21.5
    assert reserved
