"""What holds of every call, whatever the policy and the world do."""

from __future__ import annotations

import socket
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect import ConnectError, events, retry
from aioconnect.retrying import ROUND_NEEDS

from ..retry.strategies import POLICIES
from ..support.virtual import NUMBERS
from .running import run

AFTER = st.floats(0.1, 3.0).map(lambda seconds: round(seconds, 3))
TAKE_TIME = sorted(NUMBERS.keys() - {"no-descriptor"})  # that is known before anything waits
ENDINGS = st.one_of(
    st.just("never"),
    st.builds("{} {}".format, st.sampled_from(TAKE_TIME), AFTER),
    st.builds("connects {}".format, AFTER),
)
PEER = st.lists(ENDINGS, min_size=1, max_size=4).map(", ".join)
LOOKUPS = st.lists(
    st.one_of(
        st.just("never"),
        st.builds(
            "{} {}".format,
            st.sampled_from(["a", "a b", "b a c", "EAI_AGAIN", "EAI_NONAME"]),
            AFTER,
        ),
    ),
    min_size=1,
    max_size=3,
).map(", ".join)
NO_IPV6 = st.one_of(st.just("never"), st.builds("EAI_NONAME {}".format, AFTER))
REST = st.builds("c {}; db.test {}; db.test/6 {}".format, PEER, LOOKUPS, NO_IPV6)
WORLDS = st.builds("a {}; b {}; {}".format, PEER, PEER, REST)
FIRST = st.sampled_from(["connects", *sorted(NUMBERS)])  # at once, as it may be on loopback
PROMPT = st.builds("a {}, {}; b {}, {}; {}".format, FIRST, PEER, FIRST, PEER, REST)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "db.test"]), min_size=1, max_size=3, unique=True)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    world=WORLDS,
    targets=TARGETS,
    policy=POLICIES,
    timeout=st.floats(0.1, 15.0),
    attempt_timeout=st.none() | AFTER,
    family=st.sampled_from([0, int(socket.AF_INET)]),
    seed=st.integers(0, 2**32),
)
def test_no_call_sleeps_past_its_deadline(
    world: str,
    targets: list[str],
    policy: retry.Policy,
    timeout: float,
    attempt_timeout: float | None,
    family: int,
    seed: int,
) -> None:
    """Whatever the policy and the world: each pause leaves time for an attempt, and all ends."""
    options: dict[str, Any] = {"timeout": timeout, "attempt_timeout": attempt_timeout}
    outcome = run(world, *targets, seed=seed, retry=policy, family=family, **options)
    assert outcome.world.now <= timeout
    for event in outcome.told:
        assert 0 <= event.at <= timeout
        if isinstance(event, events.RetryScheduled):
            assert event.at + event.delay <= timeout - ROUND_NEEDS
    ends = [event for event in outcome.told if isinstance(event, events.GaveUp | events.Connected)]
    assert len(ends) == 1
    if outcome.error is not None:
        assert outcome.error.elapsed <= timeout
        assert outcome.error.stopped is not None


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(
    world=WORLDS | PROMPT,
    targets=TARGETS,
    policy=st.none() | POLICIES,
    attempt_timeout=st.none() | AFTER,
    delay=st.none() | AFTER,
    leave=st.just(inf) | st.floats(0.0, 15.0),
)
def test_an_observer_changes_nothing(
    world: str,
    targets: list[str],
    policy: retry.Policy | None,
    attempt_timeout: float | None,
    delay: float | None,
    leave: float,
) -> None:
    """Without one, the first address is begun before there is a call: all else is as it was."""
    options: dict[str, Any] = {"attempt_timeout": attempt_timeout, "happy_eyeballs_delay": delay}
    alone, watched = [
        run(world, *targets, retry=policy, timeout=15.0, leave=leave, observed=observed, **options)
        for observed in (False, True)
    ]
    assert alone.told == []
    assert alone.world.begun == watched.world.begun
    assert alone.world.now == watched.world.now
    assert (alone.result is None) == (watched.result is None)
    assert facts(alone.error) == facts(watched.error)


def facts(error: ConnectError | None) -> list[Any]:
    """Return what an error knows, and what its attempts do."""
    if error is None:
        return []
    return [
        str(error),
        *map(repr, error.attempts),
        [attempt_.error.help for attempt_ in error.attempts],
    ]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    world=WORLDS,
    targets=TARGETS,
    delay=st.floats(0.0, 2.0),
    leave=st.floats(0.0, 15.0),
    failures=st.integers(1, 4),
)
def test_a_call_that_is_left_keeps_nothing(
    world: str, targets: list[str], delay: float, leave: float, failures: int
) -> None:
    """At any instant: no socket, no token but those of rounds that were begun, no trial."""
    budget = retry.Budget(50, 0.0)
    breaker = retry.Breaker(failures, open_for=0.5)
    outcome = run(
        world,
        *targets,
        retry=retry.constant(delay),
        budget=budget,
        breaker=breaker,
        leave=leave,
    )
    paid = [
        event
        for event in outcome.told
        if isinstance(event, events.RetryScheduled) and retry.left_host(event.error)
    ]
    rounds = [getattr(event, "round", 0) for event in outcome.told]
    looked = [e.at for e in outcome.told if isinstance(e, events.LookupStarted)]
    begun = [
        event
        for event in paid
        if any(number > event.round for number in rounds)
        or any(at >= event.at + event.delay for at in looked)
    ]
    key = outcome.text
    assert budget.tokens(key) == 50 - len(begun)
    assert isinstance(breaker.admit(key, outcome.world.now + 0.5), retry.Permit)
