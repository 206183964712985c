"""A call in the virtual world: run it, and say in short words what it told.

What is shown here holds for every driver: the virtual one only waits, as they do.
"""

from __future__ import annotations

import random
import socket
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aioconnect import ConnectError, Dialer, events, retry
from aioconnect.call import Call
from aioconnect.targets import parse_all

from ..support.virtual import VirtualDriver, World, address, letter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioconnect.stages import StageSpec

EVERYTHING = retry.on(ConnectError) & retry.constant(0.5)
"""A policy that goes on after whatever can be helped."""


class Row(NamedTuple):
    """A call, and what it must tell."""

    behaviour: str
    world: str
    targets: str
    log: str
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody writes to it


def cases(*rows: Row) -> Any:
    """Give each row to a test."""
    return pytest.mark.parametrize("row", rows, ids=[row.behaviour for row in rows])


def lines(log: str) -> list[str]:
    """Return the entries of a row's log."""
    return [" ".join(line.split()) for line in log.split(";")]


class Outcome(NamedTuple):
    """What a call told, and what came of it."""

    told: list[events.Event]
    error: ConnectError | None
    won: Any
    """The target and the address of the connection, if there is one."""
    result: Any
    """What the last stage made, if there is one."""
    world: World
    driver: VirtualDriver
    text: str

    @property
    def log(self) -> list[str]:
        """Return what it told in short words, without the beginnings and ends of stages."""
        return [
            short(event)
            for event in self.told
            if not isinstance(event, events.HandshakeStarted | events.HandshakeFailed)
        ]


def run(
    world: World | str,
    *targets: str,
    port: int = 80,
    seed: int = 1,
    leave: float = inf,
    observed: bool = True,
    stages: Sequence[StageSpec] = (),
    held: tuple[float, float] | None = None,
    timers_first: bool = False,
    **options: Any,
) -> Outcome:
    """Run a call in the virtual world: letters are addresses, everything else names.

    Args:
        world: where, or its script.
        targets: what is dialled.
        port: the port of each.
        seed: of the random source.
        leave: the instant at which it is left, as a cancelled task leaves it.
        observed: somebody observes.
        stages: what an attempt does after its connect.
        held: as for ``VirtualDriver``.
        timers_first: likewise.
        options: of the call; ``family`` is IPv4 unless it is given.
    """
    if isinstance(world, str):
        world = World(world)
    told: list[events.Event] = []
    observe = options.pop("on_event", None)

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            assert not world.open, "a socket is open in the pause between two rounds"
        told.append(event)
        if observe is not None:
            observe(event)

    options.setdefault("family", socket.AF_INET)
    dialer = Dialer(on_event=on_event if observed else None, **options)
    dialled = [address(each) if len(each) == 1 else each for each in targets]
    driver = VirtualDriver(world, held=held, timers_first=timers_first)
    state = random.getstate()
    random.seed(seed)
    try:
        call = Call(driver, parse_all(dialled, port), dialer, stages)
        driver.drive(call, leave)
    finally:
        random.setstate(state)
        assert not world.watched, "a socket is watched that nobody waits for"
    result = call.result
    left = [] if result is None or stages else [result]
    assert (result is not None and stages) or world.open == left, "a socket was left open"
    won = None if result is None else call.won
    error = None if call.error is None else call.take_error()
    for sock in left:
        sock.close()
    return Outcome(told, error, won, result, world, driver, call.text)


def short(event: events.Event) -> str:
    """Say in short words what an event tells."""
    match event:
        case events.Connected():
            what = f"connected {letter(event.address[0])}"
        case events.AttemptCancelled():
            what = f"closed {letter(event.address[0])}"
        case events.AttemptStarted():
            what = f"dial {letter(event.address[0])}"
        case events.AttemptFailed():
            what = f"{letter(event.address[0])} {event.error.code}"
        case events.LookupSucceeded():
            what = f"{event.name} is {' '.join(map(letter, event.addresses))}"
        case events.LookupFailed():
            what = f"{event.name} {event.error.code}"
        case events.LookupStarted():
            what = f"ask {event.name}"
        case events.RetryScheduled():
            what = f"again in {event.delay:g}"
        case events.GaveUp():
            what = f"gave up: {event.reason}"
        case _:
            raise AssertionError(event)
    return f"{event.at:g} {what}"
