"""A limit that is noticed late is judged after a look: whoever kept the loop made nobody late.

Somebody's callback keeps the driver from an instant on, for so long (``held``); what happens in the
world meanwhile it hears of afterwards.  On uvloop it hears of its timers first.
"""

from __future__ import annotations

from typing import Any

import pytest

from aioconnect import AttemptTimedOut, DeadlineExceeded, retry

from .running import Row, cases, lines, run

pytestmark = pytest.mark.parametrize("timers_first", [False, True], ids=["asyncio", "uvloop"])


@cases(
    Row(
        "a connection that was there in time is no late one",
        "a connects 1.5",
        "a",
        "0 dial a; 4 connected a",
        {"timeout": 2, "held": (1, 3)},
    ),
    Row(
        "nor is one that came while the limit was being overslept",
        "a connects 3.5",
        "a",
        "0 dial a; 4 connected a",
        {"timeout": 2, "held": (1, 3)},
    ),
    Row(
        "but one that is not there yet when it is looked at is",
        "a connects 4.5",
        "a",
        "0 dial a; 4 a timed_out; 4 gave up: attempts",
        {"timeout": 2, "held": (1, 3)},
    ),
    Row(
        "the limit of an attempt is judged likewise",
        "a connects 1.5; b connects",
        "a b",
        "0 dial a; 4 connected a",
        {"attempt_timeout": 2, "held": (0.125, 3.875)},
    ),
    Row(
        "an attempt that was refused in time is refused",
        "a refused 1.5",
        "a",
        "0 dial a; 4 a connection_refused; 4 gave up: attempts",
        {"timeout": 2, "held": (1, 3)},
    ),
    Row(
        "two of a race that were there: the first that was dialled",
        "a connects 1.5; b connects 0.5",
        "a b",
        "0 dial a; 0.25 dial b; 4 connected a; 4 closed b",
        {"timeout": 2, "held": (0.5, 3.5)},
    ),
    Row(
        "one of a race that was there, and one that is late",
        "a never; b connects 1.5",
        "a b",
        "0 dial a; 0.25 dial b; {late}4 connected b{closed}",
        {"timeout": 2, "held": (0.5, 3.5)},
    ),
    Row(
        "one that is late does not keep the next from its turn",
        "a never; b connects 0.5",
        "a b",
        "0 dial a; 4 a timed_out; 4 dial b; 4.5 connected b",
        {"attempt_timeout": 2, "happy_eyeballs_delay": None, "timeout": 9, "held": (1, 3)},
    ),
    Row(
        "in a later round, too",
        "a refused, connects 1",
        "a",
        "0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 5 connected a",
        {"timeout": 3, "retry": retry.constant(1), "held": (1.5, 3.5)},
    ),
    Row(
        "a name that was answered in time is dialled once more, late as it is",
        "db.test a 1.5; a connects",
        "db.test",
        "0 ask db.test; 4 db.test is a; 4 dial a; 4 connected a",
        {"timeout": 2, "held": (1, 3)},
    ),
)
def test_a_late_limit_is_judged_after_a_look(row: Row, timers_first: bool) -> None:
    """What the look finds counts, whatever the time is."""
    told = run(row.world, *row.targets.split(), timers_first=timers_first, **row.options)
    late = "4 a timed_out; " if timers_first else ""
    closed = "" if timers_first else "; 4 closed a"
    assert told.log == lines(row.log.format(late=late, closed=closed))


@pytest.mark.parametrize("late", [0.0, 0.005])
def test_a_limit_that_is_noticed_at_once_needs_no_look(timers_first: bool, late: float) -> None:
    """A driver is always a little late: what has not come by the instant of the limit is late."""
    outcome = run("a never", "a", timeout=2, held=(2.0, late), timers_first=timers_first)
    assert isinstance(outcome.error, DeadlineExceeded)
    assert outcome.error.elapsed == 2 + late


def test_whose_limit_it_was_is_said(timers_first: bool) -> None:
    """Late or not: the attempt's, or the call's."""
    options: dict[str, Any] = {"held": (1.0, 3.0), "timers_first": timers_first}
    error = run("a never; b refused", *"ab", attempt_timeout=2, timeout=9, **options).error
    assert error is not None
    first = error.attempts[0].error
    assert isinstance(first, AttemptTimedOut)
    assert not isinstance(first, DeadlineExceeded)
    error = run("a never", "a", timeout=2, **options).error
    assert isinstance(error, DeadlineExceeded)
