"""When to leave a target alone, and when to try it again."""

from __future__ import annotations

import os
import random
import sys
import threading

import pytest

from aioconnect import retry


def opened(at: float = 0.0, *, drawn: float = 0.0, failures: int = 5, **options) -> retry.Breaker:
    """Return a breaker that has just opened for "db"; with 0 drawn, for half of 30 s."""
    breaker = retry.Breaker(failures, rng=lambda: drawn, **options)
    for _ in range(failures):
        assert isinstance(breaker.admit("db", at), retry.Permit)
        breaker.failure("db", at)
    return breaker


def admitted(breaker: retry.Breaker, now: float) -> retry.Permit:
    permit = breaker.admit("db", now)
    assert isinstance(permit, retry.Permit)
    return permit


def test_it_opens_after_failures_in_a_row() -> None:
    """The fifth opens it, the fourth does not; what is refused is told for how long."""
    breaker = retry.Breaker(rng=lambda: 0.0)
    for number in range(5):
        assert breaker.state("db", float(number)) == "closed"
        admitted(breaker, float(number))
        breaker.failure("db", float(number))
    assert breaker.state("db", 4.0) == "open"
    assert breaker.admit("db", 4.0) == 15.0


def test_a_success_in_between_begins_the_count_anew() -> None:
    """It is failures in a row that open it, not failures."""
    breaker = retry.Breaker(3)
    for _ in range(50):
        breaker.failure("db", 0.0)
        breaker.failure("db", 0.0)
        breaker.success("db", 0.0)
    assert breaker.state("db", 0.0) == "closed"


def test_what_never_left_the_host_is_no_failure() -> None:
    """A permit that is released changes nothing, however often."""
    breaker = retry.Breaker(2)
    for _ in range(10):
        breaker.release("db", 0.0, admitted(breaker, 0.0))
    breaker.failure("db", 0.0)
    breaker.release("db", 0.0, admitted(breaker, 0.0))
    assert breaker.state("db", 0.0) == "closed"
    breaker.failure("db", 0.0)
    assert breaker.state("db", 0.0) == "open"


def test_half_open_lets_exactly_one_of_a_thousand_through() -> None:
    """Who asks before the time is told the rest of it; after it one is on trial."""
    breaker = opened()
    assert all(isinstance(breaker.admit("db", 14.999), float) for _ in range(1000))
    answers = [breaker.admit("db", 15.0) for _ in range(1000)]
    permits = [answer for answer in answers if isinstance(answer, retry.Permit)]
    assert len(permits) == 1
    assert permits[0].trial
    assert answers[0] is permits[0]
    assert breaker.state("db", 15.0) == "half-open"


def test_a_trial_that_succeeds_closes_it() -> None:
    """And the count begins anew."""
    breaker = opened()
    breaker.success("db", 15.5, admitted(breaker, 15.0))
    assert breaker.state("db", 15.5) == "closed"
    for _ in range(4):
        breaker.failure("db", 16.0)
    assert not admitted(breaker, 16.0).trial


def test_a_trial_that_fails_leaves_it_open_and_then_there_is_another() -> None:
    """One per time, for ever."""
    breaker = opened()
    for number in range(1, 20):
        trial = admitted(breaker, 15.0 * number)
        assert trial.trial
        breaker.failure("db", 15.0 * number + 1, trial)
        assert breaker.state("db", 15.0 * number + 1) == "open"
        assert breaker.admit("db", 15.0 * number + 1) == 14.0


def test_retry_after_is_true() -> None:
    """Asked at any instant: a microsecond before it is over it is refused, and then admitted."""
    for seed in range(200):
        rng = random.Random(seed)
        start = rng.choice([0.0, rng.uniform(0, 1e3), rng.uniform(0, 1e9)])
        breaker = retry.Breaker(1, rng.uniform(0.1, 100), rng=rng.random)
        breaker.failure("db", start)
        now = start
        for _ in range(3):
            wait = breaker.admit("db", now)
            assert isinstance(wait, float)
            assert isinstance(breaker.admit("db", now + wait / 2), float)
            assert isinstance(breaker.admit("db", now + wait - 1e-5), float)
            trial = breaker.admit("db", now + wait)
            assert isinstance(trial, retry.Permit)
            assert trial.trial
            now += wait
            told = breaker.admit("db", now)
            breaker.failure("db", now, trial)
            assert breaker.admit("db", now) == told, "true also for who asked during the trial"


def test_a_timer_that_fires_a_little_early_is_in_time() -> None:
    """A loop's timer may, by the resolution of its clock."""
    breaker = opened()
    assert isinstance(breaker.admit("db", 15.0 - 1e-5), float)
    assert admitted(breaker, 15.0 - 1e-7).trial


def test_it_opens_each_time_for_another_time() -> None:
    """Drawn from the upper half, so that many processes do not try as one."""
    spans = []
    for seed in range(500):
        breaker = retry.Breaker(1, 30, rng=random.Random(seed).random)
        breaker.failure("db", 0.0)
        first = breaker.admit("db", 0.0)
        assert isinstance(first, float)
        breaker.failure("db", first, admitted(breaker, first))
        second = breaker.admit("db", first)
        assert isinstance(second, float)
        spans += [first, second]
    assert len(set(spans)) == 1000
    assert 15 <= min(spans) < 15.2
    assert 29.8 < max(spans) < 30
    default = retry.Breaker(1)
    default.failure("db", 0.0)
    assert 15 <= default.admit("db", 0.0) <= 30


def test_a_trial_that_is_given_back_goes_to_the_next() -> None:
    """A cancelled attempt proved nothing; nobody waits for that."""
    breaker = opened()
    trial = admitted(breaker, 15.0)
    assert isinstance(breaker.admit("db", 15.1), float)
    breaker.release("db", 15.2, trial)
    assert admitted(breaker, 15.2).trial
    assert isinstance(breaker.admit("db", 15.2), float)


def test_older_attempts_do_not_answer_for_the_trial() -> None:
    """Attempts from before it opened end while the trial runs: their permits are not the trial's.

    Their failures do not keep it open longer, and their release lets no second one through.
    """
    breaker = retry.Breaker(2, rng=lambda: 0.0)
    old = [admitted(breaker, 0.0) for _ in range(6)]
    breaker.failure("db", 1.0, old[0])
    breaker.failure("db", 1.0, old[1])
    breaker.failure("db", 9.0, old[2])
    assert breaker.admit("db", 9.0) == 7.0
    trial = admitted(breaker, 16.0)
    breaker.release("db", 17.0, old[3])
    breaker.failure("db", 17.0, old[4])
    assert breaker.state("db", 17.0) == "half-open"
    assert isinstance(breaker.admit("db", 17.0), float)
    breaker.success("db", 18.0, trial)
    assert breaker.state("db", 18.0) == "closed"


def test_an_older_attempt_that_succeeds_closes_it() -> None:
    """The target works: that is what it waited to learn."""
    breaker = opened()
    breaker.success("db", 3.0)
    assert breaker.state("db", 3.0) == "closed"


def test_a_trial_longer_than_the_open_time_is_still_the_only_one() -> None:
    """Until it ends, or counts as lost; then the time runs anew."""
    breaker = opened(drawn=0.0, open_for=2.0)
    trial = admitted(breaker, 1.0)
    assert breaker.admit("db", 1.5) == 0.5
    assert breaker.admit("db", 10.0) == 51.0
    breaker.failure("db", 11.0, trial)
    assert breaker.admit("db", 11.0) == 1.0
    assert admitted(breaker, 12.0).trial


def test_a_lost_trial_does_not_shut_the_target_out_for_ever() -> None:
    """A permit that nobody answers for expires; what its owner says later is no trial's result."""
    breaker = opened(open_for=2.0, trial_timeout=20.0)
    lost = admitted(breaker, 1.0)
    assert breaker.admit("db", 20.5) == 0.5
    trial = admitted(breaker, 21.0)
    assert trial.trial
    breaker.release("db", 21.1, lost)
    assert isinstance(breaker.admit("db", 21.2), float)
    breaker.release("db", 21.3, trial)
    assert admitted(breaker, 21.3).trial


def test_without_a_permit_the_trial_is_meant() -> None:
    """For a driver that has one attempt per key at a time."""
    breaker = opened()
    admitted(breaker, 15.0)
    breaker.release("db", 16.0)
    assert admitted(breaker, 16.0).trial
    breaker.failure("db", 17.0)
    assert breaker.admit("db", 17.0) == 14.0


def test_each_key_has_a_circuit_of_its_own() -> None:
    """Addresses and targets, whatever can be hashed."""
    breaker = opened()
    assert isinstance(breaker.admit(("192.0.2.1", 80), 0.0), retry.Permit)
    assert breaker.state(("192.0.2.1", 80), 0.0) == "closed"


def test_the_number_of_circuits_is_bounded() -> None:
    """The one not used for longest is forgotten; without failures none is kept."""
    breaker = retry.Breaker(1, keys=50)
    for key in range(1000):
        breaker.admit(key, 0.0)
        breaker.success(key, 0.0)
        breaker.release(key, 0.0)
    assert len(breaker._circuits) == 0
    for key in range(60):
        breaker.failure(key, 0.0)
        breaker.state(0, 0.0)
    assert len(breaker._circuits) == 50
    assert breaker.state(0, 0.0) == "open"
    assert breaker.state(1, 0.0) == "closed"


def test_one_of_many_threads_is_let_through() -> None:
    """Each time the breaker is half open, whoever asks from wherever."""
    breaker = opened()
    granted: list[retry.Permit] = []
    rounds = 50
    together = threading.Barrier(8)

    def ask() -> None:
        for number in range(1, rounds + 1):
            together.wait()
            for _ in range(20):
                answer = breaker.admit("db", 15.0 * number)
                if isinstance(answer, retry.Permit):
                    granted.append(answer)
                    breaker.failure("db", 15.0 * number, answer)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(granted) == rounds


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads() -> None:
    """A lock that was held at the fork is not held in the child."""
    breaker = opened()
    with breaker._circuits:
        child = os.fork()
        if child == 0:
            os._exit(0 if breaker.admit("db", 0.0) == 15.0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: retry.Breaker(0),
        lambda: retry.Breaker(open_for=0),
        lambda: retry.Breaker(open_for=float("inf")),
        lambda: retry.Breaker(trial_timeout=0),
        lambda: retry.Breaker(keys=0),
    ],
)
def test_a_breaker_that_makes_no_sense_is_refused(make) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=r"failures|open_for|trial_timeout|keys"):
        make()


def test_it_prints_its_settings_and_what_failed() -> None:
    """For a log: the keys that were used last."""
    breaker = retry.Breaker(failures=2)
    assert repr(breaker) == "<Breaker failures=2 open_for=30: closed>"
    assert repr(admitted(breaker, 0.0)) == "Permit(trial=False)"
    breaker.failure("db:5432", 0.0)
    assert repr(breaker) == "<Breaker failures=2 open_for=30: 1 failure for 'db:5432'>"
    breaker.failure("db:5432", 0.0)
    breaker.failure("a:1", 0.0)
    assert repr(breaker) == (
        "<Breaker failures=2 open_for=30: 1 failure for 'a:1', open for 'db:5432'>"
    )
