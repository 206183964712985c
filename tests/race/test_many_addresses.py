"""Thousands of addresses, or of targets: no address costs more than another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from .simulation import Answer, End, Row, Simulation, one_target, word

if TYPE_CHECKING:
    from types import FrameType


def refused(count: int) -> Row:
    """Return a name with so many addresses of both families, all of which refuse at once."""
    world = {f"{'46'[n % 2]}-{n}": (End("fails"),) for n in range(count)}
    return Row(world, one_target(world))


def refused_targets(count: int) -> Row:
    """Return so many targets, each an address that refuses at once."""
    world = {f"4-{n}": (End("fails"),) for n in range(count)}
    return Row(world, tuple((Answer(-float("inf"), 0, (address,)),) for address in world))


def test_a_thousand_refusals_are_a_thousand_starts() -> None:
    """No address is left out, none is dialled twice, and no time is lost."""
    done = Simulation(refused(1000)).run()
    assert len(done.starts) == 1000
    assert len({word(attempt) for _, attempt in done.starts}) == 1000
    assert done.log[-1] == "0 over"


def test_a_thousand_refusals_do_not_recurse() -> None:
    """The depth of the stack does not grow with the number of addresses."""
    row = refused(1000)
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 60)
    try:
        assert len(Simulation(row).run().starts) == 1000
    finally:
        sys.setrecursionlimit(before)


def lines_executed(row: Row) -> int:
    """Count the lines of ``race.py`` that a race executes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        if frame.f_globals.get("__name__") != "aioconnect.race":
            return None
        count += event == "line"
        return trace

    simulation = Simulation(row)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        simulation.run()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("many", [refused, refused_targets], ids=["one name", "targets"])
def test_the_work_grows_no_faster_than_the_addresses(many: Any) -> None:
    """Four times as many refusals are four times as much work."""
    assert lines_executed(many(1000)) < 4.4 * lines_executed(many(250))
