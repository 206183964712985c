"""Instants against a model that is a plain table: whatever is added, taken back and asked."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect.instants import QUEUES, Instants

from .support.sweep import chance, examples


class Waits:
    """Who waits for an instant."""

    def __init__(self) -> None:
        self.slot: Any = None


class Model:
    """Instants beside a table of what they must hold."""

    def __init__(self) -> None:
        self.instants = Instants()
        self.table: dict[Waits, float] = {}
        self.now = 0.0

    def add(self, when: float) -> None:
        """Somebody begins to wait."""
        waits = Waits()
        self.instants.add(when, waits)
        self.table[waits] = when

    def cancel(self, place: int) -> None:
        """Somebody waits no longer; twice is once."""
        if self.table:
            waits = [*self.table][place % len(self.table)]
            self.instants.cancel(waits)
            self.instants.cancel(waits)
            del self.table[waits]

    def pass_time(self, seconds: float, most: float = inf) -> None:
        """Take out who is due; or the first ``most`` of them: then something is raised.

        The last one, while which was served it was raised, is due again.
        """
        self.now += seconds
        due = {waits for waits, when in self.table.items() if when <= self.now}
        taken = set()
        for waits in self.instants.due(self.now):
            assert waits in due - taken
            assert waits.slot is None
            if len(taken) + 1 >= most:
                break
            taken.add(waits)
            del self.table[waits]  # type: ignore[arg-type]
        else:
            assert taken == due

    def check(self) -> None:
        """Compare."""
        first = min(self.table.values(), default=inf)
        assert len(self.instants) == len(self.table)
        assert self.instants.earliest <= first
        assert self.instants.first() == first


LIMITS = st.sampled_from([0.0, 0.25, 2.0, 10.0, 30.0])
SPANS = st.floats(0.0, 40.0)
OPERATIONS = st.one_of(
    st.tuples(st.just("wait"), LIMITS),
    st.tuples(st.just("wait"), SPANS),
    st.tuples(st.just("crowd"), SPANS),
    st.tuples(st.just("cancel"), st.integers(0, 100)),
    st.tuples(st.just("leave"), st.integers(0, 100)),
    st.tuples(st.just("pass"), SPANS),
    st.tuples(st.just("raise"), SPANS),
)


def do(model: Model, operation: str, argument: Any) -> None:
    """Do one thing to both."""
    match operation:
        case "wait":
            model.add(model.now + argument)
        case "crowd":  # more limits than there are queues, the later ones first
            for number in range(3 * QUEUES, 0, -1):
                model.add(model.now + argument + number)
        case "cancel":
            model.cancel(argument)
        case "leave":
            for number in range(argument):
                model.cancel(argument * number)
        case "pass":
            model.pass_time(argument)
        case "raise":
            model.pass_time(argument, most=3)


@pytest.mark.sweep
@settings(max_examples=examples(200), deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=40))
def test_whatever_is_asked_of_them_they_are_a_table(operations: list[tuple[str, Any]]) -> None:
    """Nobody is lost, nobody comes twice or too early, and the first is the first."""
    model = Model()
    for operation, argument in operations:
        do(model, operation, argument)
        model.check()
    model.pass_time(1000.0)
    assert not model.table
    model.check()


@pytest.mark.parametrize("limits", [1, QUEUES, 10 * QUEUES])
def test_a_program_with_many_limits_loses_none(limits: int) -> None:
    """Thousands wait, each for one of its limits, and most leave before it is over."""
    model, random = Model(), chance(f"{limits} limits")
    for number in range(5000):
        model.add(model.now + 1.0 + number % limits)
        if random.random() < 0.9:
            model.cancel(len(model.table) - 1)
        if number % 100 == 0:
            model.pass_time(0.1)
            model.check()
    model.pass_time(1000.0)
    assert not model.table


def test_what_was_taken_back_is_not_kept() -> None:
    """Neither in a queue nor in the heap, however many came and went."""
    instants = Instants()
    for number in range(20_000):
        waits = Waits()
        instants.add(float(-number), waits)  # each earlier than all before: no queue has room
        instants.cancel(waits)
    assert len(instants._queues) == 1
    kept = [Waits() for _ in range(2 * QUEUES)]
    for number, waits in enumerate(kept):
        instants.add(float(-number), waits)
    for _ in range(20_000):
        waits = Waits()
        instants.add(-1000.0, waits)
        instants.cancel(waits)
    assert len(instants) == len(kept)
    assert len(instants._queues) <= QUEUES
    assert len(instants._heap) < 200


def test_one_who_is_taken_out_may_wait_again_at_once() -> None:
    """For an instant that has come, too: it is not taken out twice in one go."""
    instants, waits, taken = Instants(), Waits(), 0
    instants.add(1.0, waits)
    for each in instants.due(1.0):
        taken += 1
        instants.add(1.0, each)
    assert taken == 1
    assert instants.first() == 1.0
    assert [*instants.due(1.0)] == [waits]


def test_one_who_is_due_may_leave_while_another_is_served() -> None:
    """Then it is not served."""
    instants = Instants()
    two = [Waits(), Waits()]
    for waits in two:
        instants.add(1.0, waits)
    served = []
    for waits in instants.due(1.0):
        served.append(waits)
        for other in two:
            instants.cancel(other)
    assert len(served) == 1
    assert len(instants) == 0
