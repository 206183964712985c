"""The breaker and the budget of a call: what they are asked, and what they get back."""

from __future__ import annotations

import random

import pytest

import aioconnect
from aioconnect import events, retry

from ..support.virtual import World, address
from .running import EVERYTHING, run


def test_a_retry_costs_a_token_before_the_pause_begins() -> None:
    """When there is none left the call stops then and there, without a pause."""
    budget = retry.Budget(2)
    tokens: list[float] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            tokens.append(budget.tokens("192.0.2.1:80"))

    outcome = run("a refused", "a", retry=retry.constant(1), budget=budget, on_event=on_event)
    assert outcome.log[-3:] == ["2 dial a", "2 a connection_refused", "2 gave up: budget"]
    assert tokens == [1.0, 0.0]
    assert outcome.error is not None
    assert outcome.error.stopped == "budget"
    assert "the retry budget is used up" in str(outcome.error)


def test_calls_to_the_same_target_share_its_budget() -> None:
    """Another target has its own."""
    budget = retry.Budget(3)
    ends = [
        run("a refused; b refused", who, retry=retry.constant(1), budget=budget).log[-1]
        for who in "aab"
    ]
    assert ends == ["3 gave up: budget", "0 gave up: budget", "3 gave up: budget"]


def test_what_never_left_the_host_costs_nothing() -> None:
    """No descriptor, no port, no route."""
    for end in ("no-descriptor", "no-port", "unreachable"):
        budget = retry.Budget(1)
        outcome = run(f"a {end}", "a", retry=retry.attempts(9) & retry.constant(1), budget=budget)
        assert outcome.log[-1] == "8 gave up: attempts"
        assert budget.tokens("192.0.2.1:80") == 1.0


@pytest.mark.parametrize("observed", [False, True])
def test_a_success_earns_a_part_of_a_token(observed: bool) -> None:
    """With or without retries, whether anybody observes or not."""
    budget = retry.Budget(2, 0.25)
    run("a refused, refused, connects", "a", retry=EVERYTHING, budget=budget, observed=observed)
    assert budget.tokens("192.0.2.1:80") == 0.25
    run("a connects", "a", budget=budget, observed=observed)
    assert budget.tokens("192.0.2.1:80") == 0.5


def test_a_call_that_is_left_gives_its_token_back() -> None:
    """In the pause that it was for; with the round that follows it is spent."""
    for leave, left in ((0.125, 3.0), (0.75, 3.0), (1.375, 2.0), (2.0, 2.0), (2.625, 1.0)):
        budget = retry.Budget(3)
        run("a refused 0.25", "a", retry=retry.constant(1), budget=budget, leave=leave)
        assert budget.tokens("192.0.2.1:80") == left, leave


def middle() -> float:
    """Draw what is neither early nor late."""
    return 0.5


def test_failures_in_a_row_open_the_breaker_within_a_call() -> None:
    """The call ends with the error that it has, and says when to come again."""
    breaker = retry.Breaker(3, open_for=40, rng=middle)
    outcome = run("a refused", "a", retry=retry.constant(1), breaker=breaker)
    assert outcome.log[-3:] == ["2 dial a", "2 a connection_refused", "2 gave up: open"]
    error = outcome.error
    assert isinstance(error, ConnectionRefusedError)
    assert (error.stopped, error.retry_after) == ("open", 30.0)


def test_a_pause_that_outlasts_the_open_breaker_is_made() -> None:
    """Then the round is its trial."""
    breaker = retry.Breaker(1, open_for=4, rng=middle)
    outcome = run("a refused, connects", "a", retry=retry.constant(5), breaker=breaker)
    assert outcome.log[-2:] == ["5 dial a", "5 connected a"]
    assert breaker.state("192.0.2.1:80", 5.0) == "closed"


def test_an_open_breaker_lets_nothing_through() -> None:
    """Not even a socket; what comes out says when it will, truly, and an event says so too."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, 0.0)
    world = World("a connects")
    world.now = 10.0
    outcome = run(world, "a", retry=retry.constant(1), breaker=breaker)
    assert isinstance(outcome.error, aioconnect.CircuitOpen)
    assert outcome.error.retry_after == 20.0
    assert outcome.error.stopped == "open"
    assert outcome.log == ["10 gave up: open"]

    world.now = 30.0  # when it said
    assert run(world, "a", breaker=breaker).log == ["30 dial a", "30 connected a"]


def test_the_error_of_an_open_breaker_says_for_how_long_and_what_failed_last() -> None:
    """A person who reads it at night asks just that."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    world = World("a refused")
    run(world, "a", breaker=breaker)
    error = run(world, "a", breaker=breaker).error
    assert isinstance(error, aioconnect.CircuitOpen)
    assert str(error).endswith(
        "the breaker stays open for 30.0 s: it failed repeatedly, at last: refused by 192.0.2.1:80"
    )


def test_what_is_noted_of_a_failure_is_bounded() -> None:
    """And is gone with the failures."""
    breaker = retry.Breaker(1)
    breaker.note("db", "never failed")
    assert breaker.last_failure("db") == ""
    breaker.failure("db", 0.0)
    breaker.note("db", "x" * 10_000)
    assert breaker.last_failure("db") == "x" * 200
    breaker.success("db", 1.0)
    assert breaker.last_failure("db") == ""


@pytest.mark.parametrize(
    ("options", "leave", "counts"),
    [
        ({}, 9.5, False),
        ({}, 10.5, True),
        ({"attempt_timeout": 2.0}, 1.5, False),
        ({"attempt_timeout": float("inf")}, 9.5, False),
        ({"attempt_timeout": float("inf")}, 10.5, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("trial", [False, True], ids=["closed", "half open"])
def test_a_call_that_is_cancelled_counts_if_its_address_had_its_time(
    options: dict[str, float], leave: float, counts: bool, trial: bool
) -> None:
    """Also the only address; a shorter one counts for nothing, and gives the trial back."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    world = World("a never")
    key = "192.0.2.1:80"
    if trial:
        breaker.failure(key, -100.0)
        assert breaker.state(key, 0.0) == "half-open"
    run(world, "a", breaker=breaker, leave=leave, timeout=None, **options)
    after = breaker.state(key, world.now)
    if counts:
        assert after == "open"
    else:
        assert after == ("half-open" if trial else "closed")


def test_a_failed_trial_opens_it_again_for_another_drawn_time() -> None:
    """Between half of ``open_for`` and all of it."""
    waits = []
    for seed in range(20):
        breaker = retry.Breaker(1, open_for=40, rng=random.Random(seed).random)
        world = World("a refused")
        first = run(world, "a", breaker=breaker)
        assert first.error is not None
        again = run(world, "a", breaker=breaker).error
        assert isinstance(again, aioconnect.CircuitOpen)
        assert again.retry_after is not None
        world.now = again.retry_after
        trial = run(world, "a", breaker=breaker)
        assert trial.log[-2].endswith("a connection_refused")
        after = run(world, "a", breaker=breaker).error
        assert isinstance(after, aioconnect.CircuitOpen)
        waits += [again.retry_after, after.retry_after]
    assert all(20 <= wait <= 40 for wait in waits)
    assert len(set(waits)) == 40


def test_what_never_left_the_host_opens_no_breaker() -> None:
    """However often."""
    for end in ("no-descriptor", "no-port", "unreachable"):
        breaker = retry.Breaker(2)
        outcome = run(f"a {end}", "a", retry=retry.attempts(9) & retry.constant(1), breaker=breaker)
        assert outcome.log[-1] == "8 gave up: attempts"
        assert breaker.state("192.0.2.1:80", 8.0) == "closed"


def test_a_trial_that_never_left_the_host_leaves_it_to_the_next_round() -> None:
    """It says nothing of the peer, so the breaker is still half open."""
    breaker = retry.Breaker(1, open_for=4, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, 0.0)
    world = World("a no-descriptor, no-descriptor, connects")
    world.now = 3.0
    outcome = run(world, "a", retry=EVERYTHING, breaker=breaker)
    assert outcome.log[-2:] == ["4 dial a", "4 connected a"]
    assert breaker.state(key, 4.0) == "closed"


@pytest.mark.parametrize(
    "world", ["a never", "a no-descriptor, never", "a refused 0.25, never", "db.test never"]
)
def test_a_trial_that_is_left_is_given_back(world: str) -> None:
    """At any instant: the next one who asks gets the trial, unless this one had failed."""
    target = world.partition(" ")[0]
    key = f"{address(target) if len(target) == 1 else target}:80"
    for leave in (3.0, 3.125, 3.375, 3.625, 3.875, 5.0):
        breaker = retry.Breaker(1, open_for=4, rng=middle)
        breaker.failure(key, 0.0)
        place = World(world)
        place.now = 3.0
        run(place, target, retry=retry.constant(0.5), breaker=breaker, leave=leave)
        failed = "refused" in world and leave > 3.25
        assert breaker.state(key, leave) == ("open" if failed else "half-open")
        assert isinstance(breaker.admit(key, leave), float if failed else retry.Permit)


def test_while_a_trial_runs_everybody_else_is_refused() -> None:
    """They are told when it will be over at the latest, if it fails."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, -100.0)
    world = World("a refused 5")
    others = []

    def on_event(event: events.Event) -> None:
        if type(event) is events.AttemptStarted:
            others.extend(run(World("a connects"), "a", breaker=breaker) for _ in range(100))

    run(world, "a", breaker=breaker, on_event=on_event)
    assert {type(other.error) for other in others} == {aioconnect.CircuitOpen}
    assert {other.error.retry_after for other in others if other.error} == {30.0}
    assert isinstance(run(world, "a", breaker=breaker).error, aioconnect.CircuitOpen)


def test_budget_and_breaker_are_asked_in_order() -> None:
    """A round that the breaker does not let through takes no token."""
    budget, breaker = retry.Budget(5), retry.Breaker(1)
    outcome = run("a refused", "a", retry=retry.constant(1), budget=budget, breaker=breaker)
    assert outcome.log[-1] == "0 gave up: open"
    assert budget.tokens("192.0.2.1:80") == 5.0


def test_a_permit_that_no_token_pays_for_is_given_back() -> None:
    """The budget is asked after the breaker."""
    budget, breaker = retry.Budget(1, 0.0), retry.Breaker(1, open_for=4, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, -10.0)
    world = World("a refused")
    budget.reserve(key, 0.0)
    assert run(world, "a", retry=retry.constant(9), budget=budget, breaker=breaker).log[-1] == (
        "0 gave up: budget"
    )
    assert isinstance(breaker.admit(key, 4.0), retry.Permit)


@pytest.mark.parametrize("spelling", ["db.test", "DB.Test", "db.test.", "DB.TEST."])
def test_one_target_has_one_key(spelling: str) -> None:
    """However it is written."""
    breaker = retry.Breaker(failures=2, open_for=30)
    for _ in range(2):
        breaker.failure("db.test:80", 0.0)
    outcome = run("a connects", spelling, breaker=breaker)
    assert isinstance(outcome.error, aioconnect.CircuitOpen)
