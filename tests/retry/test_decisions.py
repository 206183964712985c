"""What a policy answers, and what it is told."""

from __future__ import annotations

import copy
import math
import pickle

import pytest

from aioconnect import retry

from .virtual import attempt, context


@pytest.mark.parametrize("delay", [-1, -1e-9, math.nan, math.inf])
def test_a_delay_that_nobody_can_sleep_is_refused_where_it_is_made(delay: float) -> None:
    """A negative, infinite or NaN delay is a ValueError that names it."""
    with pytest.raises(ValueError, match=str(delay)):
        retry.Retry(delay)


def test_a_delay_that_is_no_number_is_refused() -> None:
    """A text is a TypeError."""
    with pytest.raises(TypeError, match="'soon'"):
        retry.Retry("soon")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: retry.Retry(1, "middle"), "anchor"),
        (lambda: retry.Retry(1, "end", "random"), "pick"),
        (lambda: retry.Retry(1, latest=math.nan), "latest"),
        (lambda: retry.Stop("open", -1), "retry_after"),
        (lambda: retry.Stop("open", math.nan), "retry_after"),
    ],
)
def test_unknown_words_and_impossible_instants_are_refused(make, said) -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match=said):
        make()


def test_a_reason_is_a_text() -> None:
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match="reason"):
        retry.Stop(3)  # type: ignore[arg-type]


def test_a_delay_counts_from_the_end_of_the_round_by_default() -> None:
    """However long the round took, the sleep is the delay."""
    ctx = context(now=10.0, last=attempt(started=4.0, at=10.0))
    assert retry.Retry(2.5).wait(ctx) == 2.5


@pytest.mark.parametrize(("delay", "wait"), [(2.0, 0.0), (6.0, 0.0), (6.5, 0.5), (9.0, 3.0)])
def test_a_delay_from_the_start_is_what_is_left_of_it(delay: float, wait: float) -> None:
    """Of a round that took 6 s, a shorter delay leaves nothing to sleep."""
    ctx = context(now=10.0, last=attempt(started=4.0, at=10.0))
    assert retry.Retry(delay, "start").wait(ctx) == wait


def test_a_round_starts_with_its_first_attempt() -> None:
    """Earlier rounds and the order of the attempts in the history do not matter."""
    history = (
        attempt(started=0.0, at=1.0, round=1),
        attempt(started=5.25, at=6.0, round=2),
        attempt(started=5.0, at=7.0, round=2),
        attempt(started=5.5, at=8.0, round=2),
    )
    ctx = context(failures=2, now=8.0, last=history[-1], history=history)
    assert ctx.round_started == 5.0
    assert retry.Retry(4, "start").wait(ctx) == 1.0


def test_decisions_are_frozen_values() -> None:
    """They compare by their fields and cannot be changed."""
    decision = retry.Retry(1.0, "start", "next", {"seen": 1})
    assert decision == retry.Retry(1, "start", "next", {"seen": 1})
    assert decision != retry.Retry(1, "start", "next", {"seen": 2})
    assert decision != retry.Stop()
    assert len({retry.Retry(1), retry.Retry(1.0), retry.Stop("open"), retry.Stop("open")}) == 2
    with pytest.raises(AttributeError, match="immutable"):
        decision.delay = 2.0
    with pytest.raises(AttributeError, match="immutable"):
        del decision.delay


@pytest.mark.parametrize(
    ("decision", "written"),
    [
        (retry.Retry(), "Retry(0)"),
        (
            retry.Retry(0.5, "start", "resolve", 7),
            "Retry(0.5, anchor='start', pick='resolve', state=7)",
        ),
        (retry.Retry(1, latest=3), "Retry(1, latest=3)"),
        (retry.Stop("budget"), "Stop('budget')"),
        (retry.Stop("open", 1.5), "Stop('open', retry_after=1.5)"),
    ],
)
def test_a_decision_prints_as_it_is_written(decision, written: str) -> None:
    """Pickling and copying keep it, too."""
    assert repr(decision) == written
    assert eval(written, vars(retry)) == decision
    assert pickle.loads(pickle.dumps(decision)) == decision
    assert copy.deepcopy(decision) == decision


def test_decisions_can_be_matched() -> None:
    """Structural pattern matching goes by delay and by reason."""
    match retry.Stop("open", 4.0):
        case retry.Stop("open", after):
            assert after == 4.0
        case _:
            pytest.fail("did not match")
    match retry.Retry(3):
        case retry.Retry(delay, "end"):
            assert delay == 3
        case _:
            pytest.fail("did not match")


def test_a_context_can_be_copied_with_changes() -> None:
    """The original stays as it is."""
    ctx = context(failures=3, state="mine")
    other = ctx.replace(failures=4, state=None)
    assert (ctx.failures, ctx.state) == (3, "mine")
    assert (other.failures, other.state) == (4, None)
    assert other.error is ctx.error
    assert "failures=4" in repr(other)
