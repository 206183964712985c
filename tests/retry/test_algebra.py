"""The laws of ``&``, ``|`` and ``>>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect import retry

from .strategies import POLICIES
from .virtual import REFUSED, TIMED_OUT, Call, context

if TYPE_CHECKING:
    from collections.abc import Iterator

LAW = settings(max_examples=150, deadline=None, database=None)


def behaviour(policy: retry.Policy, seed: int = 1) -> list[object]:
    """Return what a policy decides in a call whose rounds take longer and longer."""
    call, now, decisions = Call(policy, seed), 0.0, []
    for number in range(12):
        now += 0.125 * number
        decision = call.fail(now, TIMED_OUT if number % 3 else REFUSED, takes=0.125 * number)
        if isinstance(decision, retry.Stop):
            decisions.append(decision)
            break
        decisions.append((decision.delay, decision.pick))
        now += decision.delay
    return decisions


def goes_on(decisions: list[object]) -> list[object]:
    """Return the delays only: which reason a stop gives is not part of a commutative law."""
    return [decision for decision in decisions if not isinstance(decision, retry.Stop)]


@LAW
@given(POLICIES, POLICIES, POLICIES)
def test_each_operator_is_associative(p, q, r) -> None:
    """However they are grouped: equal, alike in print and in what they decide."""
    for left, right in (
        ((p & q) & r, p & (q & r)),
        ((p | q) | r, p | (q | r)),
        ((p >> q) >> r, p >> (q >> r)),
    ):
        assert left == right
        assert hash(left) == hash(right)
        assert repr(left) == repr(right)
        assert behaviour(left) == behaviour(right)


@LAW
@given(POLICIES)
def test_forever_is_neutral_for_and(p) -> None:
    """On either side."""
    assert behaviour(p & retry.forever()) == behaviour(retry.forever() & p) == behaviour(p)


@LAW
@given(POLICIES)
def test_never_is_neutral_for_or_and_for_then(p) -> None:
    """On the left; on the right the last reason is that of never()."""
    assert behaviour(retry.never() | p) == behaviour(p)
    assert goes_on(behaviour(p | retry.never())) == goes_on(behaviour(p))
    assert behaviour(retry.never() >> p) == behaviour(p)
    assert goes_on(behaviour(p >> retry.never())) == goes_on(behaviour(p))


@LAW
@given(POLICIES)
def test_never_ends_and_forever_ends_nothing(p) -> None:
    """``&`` with never stops at once; ``|`` with forever does not sleep."""
    assert goes_on(behaviour(p & retry.never())) == []
    assert [delay for delay, _ in behaviour(p | retry.forever())] == [0.0] * 12


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 5), (5, 2), (4, 4)])
def test_attempts_combine_to_the_fewer_and_the_more(m: int, n: int) -> None:
    """``&`` is the minimum, ``|`` the maximum, ``>>`` the sum of the retries."""
    fewer, more = retry.attempts(min(m, n)), retry.attempts(max(m, n))
    assert behaviour(retry.attempts(m) & retry.attempts(n)) == behaviour(fewer)
    assert behaviour(retry.attempts(m) | retry.attempts(n)) == behaviour(more)
    assert behaviour(retry.attempts(m) >> retry.attempts(n)) == behaviour(retry.attempts(m + n - 1))


def test_and_takes_the_longer_delay_and_or_the_shorter() -> None:
    """Delay by delay, on either side."""
    p, q = retry.schedule([1, 5, 2]), retry.schedule([3, 4, 2, 9])
    assert (p & q).preview(9) == (q & p).preview(9) == [3.0, 5.0, 2.0]
    assert (p | q).preview(9) == (q | p).preview(9) == [1.0, 4.0, 2.0, 9.0]


def test_longer_means_the_sleep_not_the_number() -> None:
    """A delay from the start of a round of 5 s is shorter than one from its end."""
    paced = retry.policy(lambda ctx: retry.Retry(6, "start"))
    assert paced is not None
    call = Call(paced & retry.constant(2))
    assert call.fail(5.0, takes=5.0) == retry.Retry(2)
    call = Call(paced | retry.constant(2))
    assert call.fail(5.0, takes=5.0) == retry.Retry(1)


def test_what_one_part_picks_the_whole_picks() -> None:
    """A part that does not care says "same"; the strongest wish is met, with either operator."""
    choosy = retry.policy(lambda ctx: retry.Retry(0.5, pick="next"))
    assert choosy is not None
    for policy in (choosy & retry.constant(1), retry.constant(1) & choosy):
        assert Call(policy).fail(0.0) == retry.Retry(1, pick="next")
    for policy in (choosy | retry.constant(0.1), retry.constant(0.1) | choosy):
        assert Call(policy).fail(0.0) == retry.Retry(0.1, pick="next")
    resolving = retry.policy(lambda ctx: retry.Retry(pick="resolve"))
    assert resolving is not None
    assert Call(choosy & resolving).fail(0.0) == retry.Retry(0.5, pick="resolve")


def test_the_first_stop_of_and_and_the_last_of_or_say_why() -> None:
    """So the reason is the one that a reader of the policy meets first, or last."""
    attempts, permanent = retry.attempts(1), retry.on("timed_out")
    assert (attempts & permanent)(context()) == retry.Stop("attempts")
    assert (permanent & attempts)(context()) == retry.Stop("permanent")
    assert (attempts | permanent)(context()) == retry.Stop("permanent")
    assert (permanent | attempts)(context()) == retry.Stop("attempts")


def test_a_part_of_or_that_stopped_may_go_on_later() -> None:
    """It is asked each time: after another error it may think otherwise."""
    call = Call(retry.on("timed_out") & retry.constant(1) | retry.constant(7))
    assert call.fail(0.0, REFUSED) == retry.Retry(7)
    assert call.fail(0.0, TIMED_OUT) == retry.Retry(1)


def test_a_part_of_or_that_stopped_remembers_where_it_was() -> None:
    """Its state waits for it."""

    def delays() -> Iterator[float]:
        yield from (1.0, 2.0, 3.0)

    call = Call(retry.on("timed_out") & delays | retry.constant(50))
    answers = [call.fail(0.0, error) for error in (TIMED_OUT, REFUSED, REFUSED, TIMED_OUT)]
    assert [answer.delay for answer in answers] == [1.0, 50.0, 50.0, 2.0]


def test_and_distributes_over_or_also_in_time() -> None:
    """The limit of one part of ``|`` does not bind a longer sleep that the other allows."""
    limited = (retry.within(3) | retry.forever()) & retry.constant(9)
    assert limited.preview(2) == (retry.constant(9) | retry.forever() & retry.constant(9)).preview(
        2
    )
    both = (retry.within(3) | retry.within(20)) & retry.constant(9)
    assert both.preview(9) == (retry.within(20) & retry.constant(9)).preview(9) == [9.0, 9.0]


@LAW
@given(
    st.lists(st.floats(0, 9), max_size=4),
    st.lists(st.floats(0, 9), max_size=4),
)
def test_then_is_one_list_of_delays_after_the_other(first, second) -> None:
    """``schedule(a) >> schedule(b)`` behaves as ``schedule(a + b)``."""
    combined = retry.schedule(first) >> retry.schedule(second)
    assert behaviour(combined) == behaviour(retry.schedule(first + second))


def test_then_counts_failures_time_and_delays_anew() -> None:
    """The part after it begins as if the call had begun."""
    seen = []

    def watch(ctx: retry.Context) -> retry.Retry:
        seen.append((ctx.failures, ctx.started, ctx.previous_delay))
        return retry.Retry(0.5, state=ctx.failures)

    call = Call(retry.schedule([1, 2]) >> watch, started=100.0)
    for now in (100.0, 101.0, 103.0, 104.0):
        call.fail(now)
    assert seen == [(1, 103.0, 0.0), (2, 103.0, 0.5)]


def test_then_hands_over_when_the_time_of_a_part_is_up() -> None:
    """The time of the next part runs from there."""
    policy = (retry.within(3) & retry.constant(2)) >> (retry.within(5) & retry.constant(4))
    call = Call(policy)
    assert [call.fail(now) for now in (0.0, 2.0, 6.0, 7.0)][:2] == [
        retry.Retry(2, state=call.policy and (0, 0, 0.0, None)),
        retry.Retry(4, state=(1, 1, 2.0, None)),
    ]
    assert Call(policy).fail(0.0).state == (0, 0, 0.0, None)
    assert policy.preview(9) == [2.0, 4.0]


def test_then_does_not_hand_over_what_is_permanent() -> None:
    """An error that a part refuses ends the call."""
    policy = retry.on("timed_out") >> retry.forever()
    assert Call(policy).fail(0.0, REFUSED) == retry.Stop("permanent")


def test_the_state_of_each_part_is_its_own() -> None:
    """Two generators and a back-off with a memory, nested, as if each were alone."""

    def counting() -> Iterator[float]:
        yield from (10.0, 20.0, 30.0)

    def slower() -> Iterator[float]:
        yield from (1.0, 2.0, 3.0, 4.0)

    remembers = retry.exponential(0.1, cap=5, jitter="decorrelated")
    quick = retry.policy(slower)
    assert quick is not None
    assert (remembers & quick & (retry.attempts(9) | counting)).preview(9) == [1.0, 2.0, 3.0, 4.0]
    assert (retry.schedule([7]) >> (quick & counting)).preview(9) == [7.0, 10.0, 20.0, 30.0]
    assert (remembers & retry.forever()).preview(9, 5) == remembers.preview(9, 5)


def test_functions_stand_on_either_side_of_an_operator() -> None:
    """One policy of the library is enough to combine with plain functions."""

    def slowly(ctx: retry.Context) -> retry.Retry:
        return retry.Retry(3.0)

    for policy in (slowly & retry.attempts(3), retry.attempts(3) & slowly):
        assert policy.preview(9) == [3.0, 3.0]
    for policy in (slowly | retry.schedule([1, 5]), retry.schedule([1, 5]) | slowly):
        assert policy.preview(3) == [1.0, 3.0, 3.0]
    assert (retry.schedule([1]) >> slowly).preview(3) == [1.0, 3.0, 3.0]
    assert (slowly >> retry.schedule([1])).preview(3) == [3.0, 3.0, 3.0]
    for policy, operator in (
        (slowly & retry.never(), "&"),
        (slowly | retry.never(), "|"),
        (slowly >> retry.never(), ">>"),
    ):
        assert repr(policy).endswith(f"slowly {operator} never()")


@pytest.mark.parametrize("other", [5, None, "attempts"])
def test_what_is_no_policy_does_not_combine(other) -> None:
    """It is Python's own TypeError."""
    for combine in (
        lambda: retry.forever() & other,
        lambda: other | retry.forever(),
        lambda: retry.forever() >> other,
    ):
        with pytest.raises(TypeError, match="unsupported operand"):
            combine()
