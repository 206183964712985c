"""How long an attempt may take: what is left of the time, shared among the addresses left."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from aioconnect.race import Race

from .simulation import End, Row, Simulation, offer, one_target, start, starts


@pytest.mark.parametrize(
    ("now", "deadline", "addresses", "limit"),
    [
        pytest.param(0.0, 12.0, 1, 12.0, id="all of it for one"),
        pytest.param(0.0, 12.0, 2, 6.0, id="half of it for the first of two"),
        pytest.param(0.0, 12.0, 3, 4.0, id="a third of it for the first of three"),
        pytest.param(0.0, 12.0, 999, 2.0, id="two seconds at least"),
        pytest.param(0.0, 1.9, 999, 1.9, id="or what there is"),
        pytest.param(0.0, inf, 1, inf, id="no deadline, no limit"),
        pytest.param(-0.001, 0.0, 1, 0.0, id="just before the deadline"),
        pytest.param(0.0, 0.0, 1, None, id="at the deadline"),
        pytest.param(0.001, 0.0, 1, None, id="after the deadline"),
    ],
)
def test_the_limit_of_the_first_of_many_is_gos_partial_deadline(
    now: float, deadline: float, addresses: int, limit: float | None
) -> None:
    """Go's TestDialerPartialDeadline; one after the other, in a round that is not the first."""
    race = Race(delay=None, attempt_timeout=inf, deadline=deadline, started=now, first=1)
    offer(race, " ".join(f"4-{number}" for number in range(addresses)), now)
    attempt = start(race, now)
    assert (attempt and attempt.limit) == limit


@pytest.mark.parametrize(
    ("options", "addresses", "limits"),
    [
        pytest.param({"timeout": 30.0}, 1, [30.0], id="alone: all that is left"),
        pytest.param({"timeout": 30.0}, 2, [10.0, 30.0], id="the last one: all that is left"),
        pytest.param({"timeout": 30.0}, 6, [10.0] * 5 + [30.0], id="one turn for all"),
        pytest.param(
            {"timeout": 30.0}, 13, [10.0] * 6, id="ten seconds at most by default, not thirty / 3"
        ),
        pytest.param({"timeout": 28.0}, 21, [7.0], id="21 addresses need four turns of six slots"),
        pytest.param({"timeout": 28.0}, 24, [7.0], id="and so do 24"),
        pytest.param({"timeout": 28.0}, 25, [5.6], id="but not 25"),
        pytest.param({"timeout": 30.0}, 1000, [2.0] * 6, id="two seconds at least"),
        pytest.param({"timeout": 1.0}, 1000, [1.0] * 6, id="or what is left"),
        pytest.param({"timeout": 30.0, "slots": 2}, 4, [10.0, 10.0], id="two turns of fifteen"),
        pytest.param({"timeout": 16.0, "slots": 2}, 4, [8.0, 8.0], id="two turns of eight"),
        pytest.param({"timeout": 16.0, "slots": 1}, 4, [4.0], id="one slot"),
        pytest.param({"timeout": 16.0, "delay": None}, 4, [4.0], id="None is one slot"),
        pytest.param({"timeout": 30.0, "attempt_timeout": 1.0}, 1, [1.0], id="capped, alone"),
        pytest.param(
            {"timeout": 30.0, "attempt_timeout": 0.5}, 1000, [0.5], id="capped below two seconds"
        ),
        pytest.param(
            {"timeout": 30.0, "attempt_timeout": 20.0},
            2,
            [20.0, 20.0],
            id="the cap is the caller's",
        ),
        pytest.param({"timeout": 30.0, "attempt_timeout": inf}, 2, [30.0, 30.0], id="no cap"),
        pytest.param({"timeout": 30.0, "more_rounds": True}, 1, [10.0], id="another round follows"),
        pytest.param({"timeout": 5.0, "more_rounds": True}, 1, [5.0], id="there may not be ten"),
        pytest.param(
            {"timeout": inf, "more_rounds": True}, 2, [10.0, 10.0], id="rounds without a deadline"
        ),
    ],
)
def test_the_time_left_is_shared_among_the_addresses_left(
    options: dict[str, Any], addresses: int, limits: list[float]
) -> None:
    """What is left / the turns the slots still need, 2 s at least, ``attempt_timeout`` at most."""
    options = {"delay": 0.0, **options}
    race = Race(deadline=options.pop("timeout"), **options)
    offer(race, " ".join(f"4-{number}" for number in range(addresses)))
    assert [attempt.limit for attempt in starts(race, 0.0)[: len(limits)]] == pytest.approx(limits)


@pytest.mark.parametrize(
    ("options", "dead", "win"),
    [
        # The slots come free at 7.5, 10.5, 15, 20.25 and 22.5 s; the 19th starts then.
        pytest.param({}, 20, 23.0, id="twenty dead addresses and one live one"),
        pytest.param({}, 5, 1.25, id="five dead addresses"),
        pytest.param({}, 6, 10.0, id="six dead addresses take all the slots"),
        pytest.param({"delay": None}, 14, 28.0, id="fourteen, one after the other"),
        pytest.param({"slots": 1}, 2, 20.0, id="two, with one slot"),
        pytest.param({"delay": None, "timeout": inf}, 20, 200.0, id="without a deadline"),
        pytest.param({"timeout": 10.0}, 20, 7.5 + 1 / 6 + 2 * 0.25, id="within ten seconds"),
    ],
)
def test_dead_addresses_leave_time_for_a_live_one(
    options: dict[str, Any], dead: int, win: float
) -> None:
    """However many addresses are dead, a live one that comes after them connects in time."""
    world = {f"4-{number}": (End("never"),) for number in range(dead)}
    world["4live"] = (End("connects"),)
    for ahead in (False, True):
        done = Simulation(Row(world, one_target(world), options), ahead=ahead).run()
        assert done.winner is not None
        assert done.now == pytest.approx(win, abs=1e-6)
