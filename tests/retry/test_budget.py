"""How much retrying is affordable."""

from __future__ import annotations

import heapq
import os
import random
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from aioconnect import retry

from .virtual import Call

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENTS = 1000
SECONDS = 60


def traffic(
    make_budget: Callable[[], retry.Budget], fails: Callable[[float, float], bool]
) -> tuple[float, float]:
    """Let clients call once a second for a minute with five attempts per call.

    Each has a budget of its own; ``fails`` says of an instant and a drawn number whether an
    attempt fails.  Returns attempts per call and the share of calls that succeed.
    """
    tried = succeeded = 0
    for client in range(CLIENTS):
        rng = random.Random(client).random
        budget = make_budget()
        calls = [
            (second + client / CLIENTS, second, Call(retry.DEFAULT, SECONDS * client + second))
            for second in range(SECONDS)
        ]
        while calls:
            now, second, call = heapq.heappop(calls)
            tried += 1
            if not fails(now, rng()):
                succeeded += 1
                budget.success("db", now)
                continue
            decision = call.fail(now)
            if isinstance(decision, retry.Retry) and budget.reserve("db", now):
                heapq.heappush(calls, (now + decision.delay, second, call))
    return tried / (CLIENTS * SECONDS), succeeded / (CLIENTS * SECONDS)


def test_a_total_outage_multiplies_load_by_at_most_a_fifth() -> None:
    """Of 60 calls, ten retries are paid for; without a budget five attempts are five times."""
    amplification, succeeded = traffic(retry.Budget, lambda now, drawn: True)
    assert amplification == pytest.approx(70 / 60)
    assert amplification <= 1.2
    assert succeeded == 0


def test_random_failures_are_retried_away() -> None:
    """At 5 % of failures more than 99 % of the calls succeed: the budget never runs out."""
    amplification, succeeded = traffic(retry.Budget, lambda now, drawn: drawn < 0.05)
    assert succeeded >= 0.99
    assert amplification < 1.1


def test_calls_recover_with_the_target() -> None:
    """From the first second after an outage on, every call succeeds."""
    calls_after = SECONDS - 31

    def away(now: float, drawn: float) -> bool:
        return now < 30

    _, succeeded = traffic(retry.Budget, away)
    assert succeeded >= calls_after / SECONDS


def test_a_full_bucket_pays_for_ten_retries() -> None:
    """The eleventh is not made."""
    budget = retry.Budget()
    assert [budget.reserve("db", 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert not budget.reserve("db", 1e6)


def test_ten_successes_earn_a_retry() -> None:
    """Although ten times 0.1 is a little less than 1 in floating point."""
    budget = retry.Budget()
    while budget.reserve("db", 0.0):
        pass
    for _ in range(9):
        budget.success("db", 1.0)
    assert not budget.reserve("db", 1.0)
    budget.success("db", 1.0)
    assert budget.reserve("db", 1.0)
    assert not budget.reserve("db", 1.0)


def test_a_reservation_can_be_given_back() -> None:
    """A retry that was cancelled in its sleep has cost nothing."""
    budget = retry.Budget(1)
    assert budget.reserve("db", 0.0)
    assert not budget.reserve("db", 0.0)
    budget.release("db", 0.0)
    assert budget.reserve("db", 0.0)


def test_a_bucket_never_holds_more_than_it_can() -> None:
    """Not by success, and not by giving back."""
    budget = retry.Budget(2, 0.5)
    for _ in range(100):
        budget.success("db", 0.0)
        budget.release("db", 0.0)
    assert budget.tokens("db") == 2
    assert [budget.reserve("db", 0.0) for _ in range(3)] == [True, True, False]


def test_each_key_has_a_bucket_of_its_own() -> None:
    """One target's outage does not stop the retries to another."""
    budget = retry.Budget(1)
    assert budget.reserve("db", 0.0)
    assert budget.reserve(("cache", 6379), 0.0)
    assert not budget.reserve("db", 0.0)


def test_the_number_of_buckets_is_bounded() -> None:
    """The one not used for longest is forgotten; full ones take no place."""
    budget = retry.Budget(1, keys=100)
    for key in range(150):
        budget.reserve(key, 0.0)
        budget.reserve(0, 0.0)  # used all the time
    assert len(budget._buckets) == 100
    assert not budget.reserve(0, 0.0)
    assert budget.reserve(1, 0.0)
    for key in range(1000, 2000):
        budget.success(key, 0.0)
        budget.tokens(key)
    assert not budget.reserve(0, 0.0)


def test_who_never_gives_up_goes_on_at_a_trickle() -> None:
    """A token if there is one; else a wait of half a minute at most, drawn, and never refused."""
    draws = iter([0.0, 0.5, 0.999])
    budget = retry.Budget(1, rng=lambda: next(draws))
    assert [budget.wait("db", 0.0) for _ in range(4)] == [0.0, 15.0, 22.5, pytest.approx(29.985)]
    assert 15 <= retry.Budget(1, rng=None).wait("db", 0.0) + 15 <= 45
    denied = retry.Budget(1)
    denied.reserve("db", 0.0)
    assert len({denied.wait("db", 0.0) for _ in range(50)}) == 50
    assert all(15 <= denied.wait("db", 0.0) <= 30 for _ in range(50))


def test_threads_share_a_bucket() -> None:
    """Eight threads that reserve and give back as fast as they can lose and find no token."""
    budget = retry.Budget(100, per_success=0)
    granted: list[int] = []
    start = threading.Barrier(8)

    def spend() -> None:
        start.wait()
        mine = 0
        for number in range(2000):
            if budget.reserve("db", 0.0):
                mine += 1
                if number % 2:
                    budget.release("db", 0.0)
                    mine -= 1
        granted.append(mine)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=spend) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert sum(granted) == 100
    assert budget.tokens("db") == 0


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads() -> None:
    """A lock that was held at the fork is not held in the child."""
    budget = retry.Budget()
    with budget._buckets:
        child = os.fork()
        if child == 0:
            os._exit(0 if budget.reserve("db", 0.0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert budget.tokens("db") == 10


@pytest.mark.parametrize(
    "make",
    [
        lambda: retry.Budget(0.5),
        lambda: retry.Budget(float("inf")),
        lambda: retry.Budget(per_success=-1),
        lambda: retry.Budget(trickle=float("nan")),
        lambda: retry.Budget(keys=0),
    ],
)
def test_a_bucket_that_makes_no_sense_is_refused(make) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=r"tokens|per_success|trickle|keys"):
        make()


def test_it_prints_its_settings_and_whose_bucket_is_not_full() -> None:
    """For a log: those that were used last."""
    budget = retry.Budget(20, per_success=0.5)
    assert repr(budget) == "<Budget tokens=20 per_success=0.5: full>"
    budget.reserve("db:5432", 0.0)
    assert repr(budget) == "<Budget tokens=20 per_success=0.5: 19 left for 'db:5432'>"
    budget.success("db:5432", 0.0)
    for key in "abcd":
        budget.reserve(key, 0.0)
    assert repr(budget) == (
        "<Budget tokens=20 per_success=0.5: "
        "19 left for 'd', 19 left for 'c', 19 left for 'b' and 2 more>"
    )
