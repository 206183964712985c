"""The blocks that say how long to sleep, without their jitter."""

from __future__ import annotations

import math

import pytest

from aioconnect import retry

from .virtual import context


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (retry.constant(0.25), [0.25, 0.25, 0.25]),
        (retry.constant(0), [0.0, 0.0]),
        (retry.linear(0.5, cap=2), [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]),
        (retry.exponential(0.1, cap=5, jitter=None), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]),
        (retry.exponential(1, 3, 20, jitter=None), [1.0, 3.0, 9.0, 20.0, 20.0]),
        (retry.exponential(1, 1, 20, jitter=None), [1.0, 1.0, 1.0]),
        (retry.exponential(1, cap=8, jitter=None, first=0), [0.0, 2.0, 4.0, 8.0, 8.0]),
        (retry.exponential(1, cap=8, jitter=None, first=0.25), [0.25, 2.0, 4.0]),
        (retry.fibonacci(0.5, cap=4), [0.5, 0.5, 1.0, 1.5, 2.5, 4.0, 4.0]),
        (retry.schedule([0.5, 0, 3]), [0.5, 0.0, 3.0]),
        (retry.schedule([]), []),
    ],
)
def test_each_block_has_its_curve(policy: retry.Policy, delays: list[float]) -> None:
    """The delays, one by one."""
    assert policy.preview(len(delays)) == pytest.approx(delays, rel=1e-12, abs=0)


def test_a_schedule_stops_when_it_is_used_up() -> None:
    """Two delays make three rounds."""
    policy = retry.schedule([1, 2])
    assert policy.preview(9) == [1.0, 2.0]
    assert policy(context(failures=3)) == retry.Stop("attempts")


def test_the_default_back_off_of_each_block() -> None:
    """The defaults that the documentation states."""
    assert retry.constant().preview(2) == [1.0, 1.0]
    assert retry.linear().preview(61)[-2:] == [60.0, 60.0]
    assert retry.fibonacci().preview(12)[-3:] == [55.0, 60.0, 60.0]
    assert retry.exponential(jitter=None).preview(6) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert retry.exponential() == retry.exponential(0.5, 2, 5, jitter="equal", first=None)


GROWING = [
    retry.linear(1e-9),
    retry.linear(1e-300, cap=1e300),
    retry.exponential(jitter=None),
    retry.exponential(jitter="full"),
    retry.exponential(jitter="decorrelated"),
    retry.exponential(1e-9, 1.0001, 60, jitter=None),
    retry.exponential(5e-324, 2, 1e308, jitter=None),
    retry.exponential(1, 10**9, 60, jitter=None),
    retry.fibonacci(1e-9),
    retry.fibonacci(5e-324, cap=1e308),
    retry.DEFAULT | retry.RECONNECT,
    retry.constant(1) >> retry.exponential(),
]


def test_a_million_failures_give_a_finite_delay() -> None:
    """No overflow, no matter how long the outage, and no longer to compute."""
    for policy in GROWING:
        for failures in (1, 62, 63, 64, 1023, 1024, 1025, 10**6, 10**18):
            decision = policy(context(failures=failures))
            assert isinstance(decision, retry.Retry), (policy, failures)
            assert 0 <= decision.delay < math.inf, (policy, failures)


def test_a_curve_never_falls() -> None:
    """With the same draw, a later delay is at least as long."""
    for policy in GROWING:
        delays = [
            decision.delay
            for failures in range(1, 300)
            if isinstance(decision := policy(context(failures=failures)), retry.Retry)
        ]
        assert len(delays) == 299, policy
        assert delays == sorted(delays), policy


@pytest.mark.parametrize(
    "make",
    [
        lambda: retry.constant(-1),
        lambda: retry.constant(math.inf),
        lambda: retry.linear(0),
        lambda: retry.linear(2, cap=1),
        lambda: retry.linear(1, cap=math.inf),
        lambda: retry.exponential(0),
        lambda: retry.exponential(10),
        lambda: retry.exponential(1, 0.5),
        lambda: retry.exponential(1, math.inf),
        lambda: retry.exponential(1, cap=math.nan),
        lambda: retry.exponential(1, first=-1),
        lambda: retry.exponential(1, cap=5, first=6),
        lambda: retry.exponential(5, cap=5, jitter="decorrelated"),
        lambda: retry.exponential(jitter="some"),  # type: ignore[arg-type]
        lambda: retry.constant(jitter="decorrelated"),  # type: ignore[arg-type]
        lambda: retry.fibonacci(0),
        lambda: retry.schedule([1, -1]),
        lambda: retry.schedule([math.nan]),
    ],
)
def test_a_curve_that_makes_no_sense_is_refused(make) -> None:
    """When it is written, not at the third failure in production."""
    with pytest.raises(ValueError, match=r"constant|linear|exponential|jitter|fibonacci|schedule"):
        make()
