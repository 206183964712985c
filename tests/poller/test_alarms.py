"""Instants: one timer of the loop for all of them, never early, never lost."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

import aioconnect
from aioconnect import ConnectError, poller

from ..support.servers import listen, refusing
from ..support.sockets import slow


async def test_an_instant_is_never_early() -> None:
    """A timer that fires a part of a millisecond early (uvloop's may) is armed again."""
    loop = asyncio.get_running_loop()
    for number in range(40):
        until = time.monotonic() + 0.001 + number * 0.00013
        await poller.Alarm().sleep(poller.of(loop), until)
        assert time.monotonic() >= until


async def test_a_loop_whose_timers_fire_early_wakes_nobody_early() -> None:
    """It is armed again for what is left."""
    loop = asyncio.get_running_loop()
    fired: list[float] = []

    class Early:
        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        def call_later(self, delay: float, callback: Any, *args: Any) -> Any:
            fired.append(delay)
            return loop.call_later(delay / 20 if len(fired) == 1 else delay, callback, *args)

    early: Any = Early()
    kept = poller.Poller(early)
    until = time.monotonic() + 0.2
    await poller.Alarm().sleep(kept, until)
    assert time.monotonic() >= until
    assert 2 <= len(fired) <= 10  # armed again, and not in a circle


async def test_instants_come_in_their_order() -> None:
    """One heap, one timer: a new instant that is earlier comes first."""
    loop = asyncio.get_running_loop()
    kept = poller.of(loop)
    came: list[float] = []
    start = time.monotonic() + 0.5  # all sleep before the first is due, also beside load

    async def sleep(delay: float) -> None:
        await poller.Alarm().sleep(kept, start + delay)
        came.append(delay)

    delays = [0.04, 0.01, 0.03, 0.0, 0.02, 0.05]
    await asyncio.gather(*[sleep(delay) for delay in delays])
    assert came == sorted(delays)


async def test_many_instants_that_are_taken_back_do_not_pile_up() -> None:
    """Most calls end long before their deadline: what they asked for goes."""
    kept = poller.of(asyncio.get_running_loop())
    far = kept.clock() + 3600
    waiting = [poller.Alarm() for _ in range(10)]
    for number, alarm in enumerate(waiting):
        kept.wake_at(far + number, alarm)
    for number in range(2000):
        alarm = poller.Alarm()
        kept.wake_at(far - number, alarm)
        kept.cancel(alarm)
    assert len(kept._instants) == 10
    assert len(kept._instants._heap) < 200
    await poller.Alarm().sleep(kept, kept.clock() + 0.01)  # it comes, whatever was thrown out
    for alarm in waiting:
        kept.cancel(alarm)
        kept.cancel(alarm)  # twice is once
    assert not len(kept._instants)


@pytest.mark.slow
async def test_no_timer_stays_when_nobody_waits(dead: tuple[str, int]) -> None:
    """Neither after a success nor after a failure: the one there was fires once for nothing."""
    loop = asyncio.get_running_loop()
    with listen() as server, refusing() as nobody:
        live = server.getsockname()
        calls = [
            aioconnect.connect(*live, socket_factory=slow),
            aioconnect.connect(*dead, timeout=0.02),
            aioconnect.connect([dead, live], happy_eyeballs_delay=0, socket_factory=slow),
            aioconnect.connect([dead, nobody], timeout=0.05),
        ]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()
            else:
                assert isinstance(outcome, ConnectError)
    kept, alarm = poller.of(loop), poller.Alarm()
    assert not len(kept._instants)
    await asyncio.sleep(poller.LONGEST_TIMER + 0.1)
    assert kept._timer is None
    kept.wake_at(kept.clock() + 3600, alarm)
    kept.cancel(alarm)
    assert kept._timer is not None
    await asyncio.sleep(poller.LONGEST_TIMER + 0.1)
    assert kept._timer is None


async def test_one_timer_serves_for_thousands() -> None:
    """Also when each waits alone, and goes before the next one comes."""
    kept, alarm = poller.of(asyncio.get_running_loop()), poller.Alarm()
    armed: list[Any] = []
    for _ in range(1000):
        kept.wake_at(kept.clock() + 30, alarm)
        kept.cancel(alarm)
        if not armed or kept._timer is not armed[-1]:
            armed.append(kept._timer)
    assert len(armed) <= 1 + 1000 / poller.REARM_EVERY


@pytest.mark.slow
async def test_a_long_turn_makes_no_instant_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that thousands of connects take to begin is not added to their time-outs."""
    monkeypatch.setattr(poller, "LONGEST_TIMER", 60.0)  # or the error would be small
    kept, others = poller.of(asyncio.get_running_loop()), poller.Alarm()
    until = kept.clock() + 2
    first = asyncio.create_task(poller.Alarm().sleep(kept, until))
    await asyncio.sleep(0)
    for _ in range(2 * poller.REARM_EVERY):
        time.sleep(0.014)  # noqa: ASYNC251  # the turn
        kept.wake_at(until + 60, others)
        kept.cancel(others)
    await first
    assert until <= kept.clock() < until + 1


async def test_an_instant_that_is_earlier_than_all_others_comes_first() -> None:
    """The timer is armed again for it: it does not wait for the one that was armed before."""
    kept, later = poller.of(asyncio.get_running_loop()), poller.Alarm()
    kept.wake_at(kept.clock() + 3600, later)
    soon = kept.clock() + 0.01
    await poller.Alarm().sleep(kept, soon)
    assert kept.clock() < soon + poller.LONGEST_TIMER * 0.9
    kept.cancel(later)


@pytest.mark.slow
async def test_an_instant_far_away_is_kept() -> None:
    """The timer is armed for a second at most, and again until the instant has come."""
    kept = poller.of(asyncio.get_running_loop())
    until = kept.clock() + 2.2
    await poller.Alarm().sleep(kept, until)
    assert until <= kept.clock() < until + 1


async def test_an_alarm_that_is_woken_before_sleeps_no_longer() -> None:
    """By ``wake``, or by something that is put."""
    loop = asyncio.get_running_loop()
    kept = poller.of(loop)
    for wake in (lambda alarm: alarm.wake(), lambda alarm: alarm.put("news")):
        alarm = poller.Alarm()
        loop.call_later(0.01, wake, alarm)
        await asyncio.wait_for(alarm.sleep(kept, kept.clock() + 3600), 20)
        assert not len(kept._instants)
