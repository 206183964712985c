"""What a policy would do: delays for a look, a sentence for a person."""

from __future__ import annotations

import itertools
import random

import pytest

from aioconnect import retry

from .virtual import (
    DENIED,
    NAME_SERVER_AWAY,
    NO_DESCRIPTOR,
    NO_SUCH_NAME,
    REFUSED,
    TIMED_OUT,
    Call,
)


@pytest.mark.parametrize(
    "policy",
    [
        retry.DEFAULT,
        retry.exponential(jitter="decorrelated"),
        retry.attempts(4) & retry.linear(jitter="full") | retry.fibonacci(jitter="equal"),
        retry.schedule([1, 2]) >> retry.exponential(jitter="full") & retry.attempts(9),
    ],
    ids=repr,
)
def test_a_preview_shows_what_is_slept(policy: retry.Policy) -> None:
    """With the same seed, a call whose rounds take their time sleeps the same."""
    for seed in range(20):
        call, now, slept = Call(policy, seed), 100.0, []
        for took in itertools.repeat(1.5, 8):
            now += took
            decision = call.fail(now, takes=took)
            if isinstance(decision, retry.Stop):
                break
            slept.append(decision.delay)
            now += decision.delay
        assert policy.preview(8, seed) == slept


def test_a_preview_takes_at_most_n_and_ends_where_the_policy_does() -> None:
    """Ten by default."""
    assert len(retry.forever().preview()) == 10
    assert retry.constant(2).preview(0) == []
    assert retry.attempts(3).preview() == [0.0, 0.0]


def test_a_preview_of_other_errors_and_longer_rounds() -> None:
    """What on() refuses is not slept; a deadline and rounds that take time cut it short."""
    policy = retry.on("timed_out") & retry.constant(2)
    assert policy.preview(3) == []
    assert policy.preview(3, error=TIMED_OUT) == [2.0] * 3
    assert policy.preview(3, error=NO_SUCH_NAME) == []
    # Rounds of 1 s: [0, 1] sleep 2 [3, 4] sleep 2 [6, 7], and the next would be [9, 10].
    assert retry.constant(2).preview(9, takes=1.0, timeout=10.0) == [2.0] * 3
    assert retry.constant(2).preview(9, takes=1.0, timeout=9.999) == [2.0] * 2


@pytest.mark.parametrize(
    ("policy", "error", "failures", "sentence"),
    [
        (
            None,
            REFUSED,
            1,
            "stops after round 1 (connection_refused): without a policy one round is all",
        ),
        (
            True,
            REFUSED,
            1,
            (
                "goes on after round 1 (connection_refused): the same address may answer later; "
                "the next round begins after 0 to 1 s"
            ),
        ),
        (
            True,
            REFUSED,
            4,
            (
                "goes on after round 4 (connection_refused): the same address may answer later; "
                "the next round begins after 2 to 4 s"
            ),
        ),
        (
            True,
            REFUSED,
            5,
            (
                "stops after round 5 (connection_refused): attempts(5) & exponential(0.5, first=1) "
                "says no round is left"
            ),
        ),
        (
            3,
            TIMED_OUT,
            99,
            (
                "stops after round 3 (timed_out): attempts(3) & exponential(0.5, first=1) "
                "says no round is left"
            ),
        ),
        (
            retry.constant(2),
            NO_SUCH_NAME,
            1,
            (
                "stops after round 1 (host_not_found): nothing helps but a change by a person - "
                "is the name spelled right, and known to this host's resolver?"
            ),
        ),
        (
            retry.on("host_not_found") & retry.constant(2),
            NO_SUCH_NAME,
            1,
            (
                "goes on after round 1 (host_not_found): the policy names this error; "
                "the next round begins after 2 s"
            ),
        ),
        (
            retry.constant(2),
            DENIED,
            1,
            (
                "stops after round 1 (access_denied): only another address could help, and all "
                "were tried - does a firewall, a prohibit route or a security policy forbid it?"
            ),
        ),
        (
            retry.constant(2),
            NAME_SERVER_AWAY,
            1,
            (
                "goes on after round 1 (try_again): the same address may answer later, the name "
                "may resolve later; the next round begins after 2 s and a new look-up of the name"
            ),
        ),
        (
            retry.forever(),
            NO_DESCRIPTOR,
            1,
            (
                "goes on after round 1 (too_many_open_sockets): something of this host may become "
                "free; the next round begins at once"
            ),
        ),
        (
            retry.on("timed_out"),
            REFUSED,
            1,
            (
                "stops after round 1 (connection_refused): on('timed_out') says that is not among "
                "the errors it retries"
            ),
        ),
        (
            retry.within(3) & retry.constant(2),
            REFUSED,
            2,
            (
                "stops after round 2 (connection_refused): within(3) & constant(2) says no time is "
                "left"
            ),
        ),
        (
            lambda ctx: retry.Stop("it is Sunday"),
            ConnectionRefusedError("refused"),
            1,
            "stops after round 1 (connection_refused): <lambda> says it is Sunday",
        ),
    ],
)
def test_a_sentence_says_why(policy, error, failures: int, sentence: str) -> None:
    """Why it would go on or stop, after how much, and what a person may do."""
    said = retry.explain(policy, error, failures=failures)
    assert said.replace("test_explain.", "") == sentence


def test_an_explanation_can_be_asked_for_twice() -> None:
    """It leaves nothing behind, not even in a generator."""

    def delays():
        yield from (1.0, 2.0)

    for _ in range(2):
        assert "after 2 s" in retry.explain(delays, REFUSED, failures=2)
        assert "no round is left" in retry.explain(delays, REFUSED, failures=3)


@pytest.mark.parametrize(("policy", "failures"), [(True, 0), (0, 1)])
def test_impossible_questions_are_refused(policy, failures: int) -> None:
    """There is no round 0, and no policy of 0 rounds."""
    with pytest.raises(ValueError, match=r"failures|retry=0"):
        retry.explain(policy, REFUSED, failures=failures)


def test_the_random_source_of_a_preview_is_its_own() -> None:
    """The program's is not touched."""
    random.seed(5)
    before = random.getstate()
    retry.DEFAULT.preview(5)
    retry.explain(True, REFUSED)
    assert random.getstate() == before
