"""A thousand clients lose a server for a minute: they must not come back as one."""

from __future__ import annotations

import pytest

from aioconnect import retry

from .virtual import Call

CLIENTS = 1000
OUTAGE = 60.0


def attempts_per_slot(policy: retry.PolicyLike, seed: int) -> list[int]:
    """Count the attempts in each 100 ms of the outage; all fail at its start."""
    slots = [0] * round(OUTAGE * 10)
    for client in range(CLIENTS):
        call, now = Call(policy, seed * CLIENTS + client), 0.0
        while now < OUTAGE:
            slots[int(now * 10)] += 1
            decision = call.fail(now)
            assert isinstance(decision, retry.Retry)
            now += decision.delay
    return slots


def peak_over_mean(slots: list[int]) -> float:
    """Compare the fullest slot of the second half with their mean."""
    late = slots[len(slots) // 2 :]
    return max(late) * len(late) / sum(late)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_back_off_spreads_them(seed: int) -> None:
    """At most twice the mean in any 100 ms, and never 30 % of them after the first 100 ms."""
    policy = retry.policy(10**6)
    assert policy is not None
    slots = attempts_per_slot(policy, seed)
    assert slots[0] >= CLIENTS
    assert peak_over_mean(slots) <= 2.0
    assert max(slots[1:]) <= 0.3 * CLIENTS
    assert sum(slots) / CLIENTS < 20


def test_the_pace_of_reconnecting_loads_less() -> None:
    """Half the attempts of the default, and nowhere more than a twentieth of the clients later."""
    slots = attempts_per_slot(retry.RECONNECT, 0)
    assert sum(slots) / CLIENTS < 10
    assert max(slots[1:]) <= 0.3 * CLIENTS
    assert max(slots[100:]) <= 0.05 * CLIENTS


def test_the_measure_sees_a_herd() -> None:
    """Without jitter, and with jitter that is clamped to the cap, they come as one."""
    in_step = retry.exponential(0.5, cap=5, jitter=None)
    assert peak_over_mean(attempts_per_slot(in_step, 0)) > 10

    def clamped(ctx: retry.Context) -> retry.Retry:
        return retry.Retry(min(5.0, 0.1 * 2 ** min(ctx.failures, 60) + ctx.rng()))

    assert peak_over_mean(attempts_per_slot(clamped, 0)) > 2.5
