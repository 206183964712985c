"""``rate`` and ``burst``: so many a second; decided in virtual time, then seen in a loop."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import events
from aioconnect.many.room import CATCH_UP, Pace

from .running import SOURCES, asking, collect, end, sources, turns

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.slow


def starts(pace: Pace, clock: Iterable[float]) -> list[float]:
    """Return the instants of the starts, for somebody who looks at those of the clock."""
    found = []
    pace.begin(0.0)
    for now in clock:
        while now >= pace.next - 1e-9:
            pace.take(now)
            found.append(now)
    return found


def every(seconds: float, *, until: float, since: float = 0.0) -> list[float]:
    return [since + number * seconds for number in range(round((until - since) / seconds) + 1)]


def test_starts_are_evenly_spaced() -> None:
    """One each interval, from the first instant on."""
    found = starts(Pace(10, 1), every(0.01, until=1.0))
    assert found == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("rate", [0.5, 7, 100, 3333, 50_000])
@pytest.mark.parametrize("tick", [0.0001, 0.001, 0.004, CATCH_UP])
def test_late_timers_do_not_slow_the_rate_down(rate: float, tick: float) -> None:
    """Whoever looks only each millisecond or each twenty starts as many all the same."""
    found = starts(Pace(rate, 1), every(tick, until=10.0))
    assert len(found) == pytest.approx(10 * rate + 1, abs=rate * tick + 1)


@pytest.mark.parametrize("burst", [1, 2, 5, 100])
def test_a_burst_starts_at_once(burst: int) -> None:
    """At the beginning, and again after a lull that is long enough; then at the rate."""
    pace = Pace(10, burst)
    found = starts(pace, [0.0, 0.0, 0.05, *every(0.1, since=0.1, until=0.5)])
    assert [found.count(now) for now in (0.0, 0.05)] == [burst, 0]
    assert len(found) == burst + 5
    later = []
    for now in (100.0, 100.01, 100.1):
        while now >= pace.next - 1e-9:
            pace.take(now)
            later.append(now)
    assert [later.count(now) for now in (100.0, 100.01, 100.1)] == [burst, 0, 1]


def test_after_a_lull_nothing_is_made_up_for_but_what_a_timer_may_be_late() -> None:
    """A minute without a start does not give a minute's worth at once."""
    pace = Pace(1000, 1)
    starts(pace, [0.0])
    found = []
    while pace.next <= 60.0:
        pace.take(60.0)
        found.append(60.0)
    assert len(found) == round(1000 * CATCH_UP) + 1


@sources
@pytest.mark.parametrize("burst", [1, 20])
async def test_the_rate_holds_in_an_event_loop(
    make: Any, burst: int, server: tuple[str, int]
) -> None:
    """Over a second, measured at the starts; targets are read when they may start."""
    rate, number = 150.0, 70
    source = make([server] * number)
    observe = None if burst == 1 else events.Event.__repr__  # which makes a call of each target
    many = aioconnect.connect_many(source, rate=rate, burst=burst, on_event=observe)
    began = time.monotonic()
    results = await collect(many)
    times = sorted(result.started for result in results)
    assert times[-1] - began >= (number - burst) / rate - CATCH_UP
    assert times[-1] - began <= (number - burst) / rate + 1.0
    for first, last in itertools.pairwise([times[0], *times[burst :: round(rate / 10)]]):
        assert last - first <= 1.0
    for index in range(number):  # nowhere more than the bucket holds
        window = [at for at in times if times[index] <= at < times[index] + 0.2]
        assert len(window) <= 0.2 * rate + max(burst, CATCH_UP * rate) + 2


async def test_a_target_is_read_when_it_may_start(server: tuple[str, int]) -> None:
    """A source is not read ahead of the rate."""
    for make in SOURCES:
        source = make(itertools.repeat(server))
        async with aioconnect.connect_many(source, rate=0.01, burst=3) as results:
            for _ in range(3):
                result = await anext(results)
                assert result.socket is not None
                result.socket.close()
            task = asking(results)
            await turns()
            assert source.read == 3
            await end(task)
