"""What holds of every race, whatever the world does and whatever the options are."""

from __future__ import annotations

import itertools
import math
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect.spans import LEAST_SHARE

from .simulation import AF, Answer, End, Row, Simulation, one_target, word

SPANS = st.one_of(
    st.sampled_from([0.0, 0.001, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 10.0]),
    st.floats(0.0, 12.0),
)
LAST_TRY = st.one_of(
    st.builds(End, st.sampled_from(["connects", "fails", "fails"]), SPANS),
    st.sampled_from([End("never"), End("fails"), End("local")]),
)
TRIES = st.one_of(
    LAST_TRY.map(lambda last: (last,)),
    st.builds(lambda span, last: (End("full", span), End("full"), last), SPANS, LAST_TRY),
)
ORDERS = ["6a 6b 6c 4a 4b 4c", "4a 4b 4c 6a 6b 6c", "6c 4c 4a 6a 6b 4b", "4b 6c 6b 4a 6a 4c"]
OPTIONS = st.fixed_dictionaries(
    {
        "delay": st.one_of(st.sampled_from([None, 0.25, 0.25]), st.floats(0.01, 3.0)),
        "resolution_delay": st.one_of(st.just(0.05), st.floats(0.0, 3.0)),
        "slots": st.integers(1, 6),
        "interleave": st.integers(1, 3),
        "attempt_timeout": st.one_of(st.sampled_from([None, None, inf]), st.floats(0.0, 12.0)),
        "timeout": st.one_of(st.sampled_from([30.0, inf]), st.floats(0.0, 30.0)),
        "more_rounds": st.booleans(),
        "first": st.sampled_from([0, 3]),
    }
)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Draw a world, targets in it and options."""
    best_first = draw(st.sampled_from(ORDERS)).split()
    world = dict(zip(best_first, draw(st.tuples(*[TRIES] * len(best_first))), strict=True))
    targets: list[tuple[Answer, ...]] = []
    for kind in draw(
        st.lists(st.sampled_from(["literal", "64", "46", "6", "4"]), min_size=1, max_size=3)
    ):
        if kind == "literal":
            addresses = draw(st.lists(st.sampled_from(best_first), max_size=6))
            targets.append((Answer(-inf, 0, tuple(addresses)),))
            continue
        answers = []
        for family in kind:
            own = [name for name in best_first if name[0] == family]
            at = draw(st.one_of(SPANS, st.just(inf)))
            addresses = draw(st.lists(st.sampled_from(own), max_size=3))
            answers.append(Answer(at, AF[family], tuple(addresses)))
        targets.append(tuple(answers))
    return Row(world, tuple(targets), draw(OPTIONS))


STARTED = st.sampled_from([0.0, 0.7, 1234.567, 604_800.1])
whatever_happens = settings(max_examples=100, deadline=None)


@whatever_happens
@given(row=rows(), started=STARTED)
def test_no_more_attempts_are_open_than_there_are_slots(row: Row, started: float) -> None:
    """Whatever the name server answers, and whatever fails when."""
    done = Simulation(row, started=started).run()
    assert done.most_open <= done.slots


@whatever_happens
@given(row=rows(), started=STARTED)
def test_two_starts_are_a_delay_apart_unless_the_newest_attempt_failed(
    row: Row, started: float
) -> None:
    """RFC 8305, section 5."""
    done = Simulation(row, started=started).run()
    delay = row.options["delay"]
    for (first, attempt), (second, _) in itertools.pairwise(done.starts):
        if not any(failed is attempt and at <= second for at, failed in done.failures):
            assert delay is not None
            assert second >= first + delay


@whatever_happens
@given(row=rows(), started=STARTED)
def test_no_limit_is_later_than_the_deadline(row: Row, started: float) -> None:
    """And none is earlier than the start, none longer than the caller allows."""
    done = Simulation(row, started=started).run()
    cap = row.options["attempt_timeout"]
    for at, attempt in done.starts:
        assert attempt.limit <= max(done.deadline, at)
        assert attempt.limit >= at
        if cap is not None:
            assert attempt.limit <= at + cap
    assert done.now <= max(done.deadline, done.started) or done.end == "waits for ever"


@whatever_happens
@given(row=rows(), started=STARTED)
def test_each_address_of_a_target_is_dialled_once(row: Row, started: float) -> None:
    """Never twice, whatever answers bring it, and never one that nobody offered."""
    done = Simulation(row, started=started).run()
    dialled = [(attempt.target, word(attempt)) for _, attempt in done.starts]
    assert len(dialled) == len(set(dialled))
    for target, address in dialled:
        assert any(address in answer.addresses for answer in row.targets[target])
    assert [attempt.number for _, attempt in done.starts] == [
        row.options["first"] + place for place in range(1, len(dialled) + 1)
    ]


@whatever_happens
@given(row=rows(), started=STARTED)
def test_a_round_that_fails_before_its_deadline_has_tried_everything(
    row: Row, started: float
) -> None:
    """Nobody wins only if every address failed, this host did, or the time was up."""
    done = Simulation(row, started=started).run()
    if done.end != "over" or done.now >= done.deadline:
        return
    if any(end.how == "local" for _, attempt in done.starts for end in row.world[word(attempt)]):
        return
    offered = {
        (target, address)
        for target, answers in enumerate(row.targets)
        for answer in answers
        for address in answer.addresses
    }
    assert all(started + answer.at <= done.now for each in row.targets for answer in each)
    assert {(attempt.target, word(attempt)) for _, attempt in done.starts} == offered


@whatever_happens
@given(row=rows(), started=STARTED)
def test_an_attempt_that_connects_within_its_limit_wins(row: Row, started: float) -> None:
    """Nothing that the race does ends an attempt that is in time, but a faster one."""
    done = Simulation(row, started=started).run()
    for at, attempt in done.starts:
        tries = row.world[word(attempt)]
        if len(tries) == 1 and tries[0].how == "connects":
            connected = at + tries[0].after
            if connected < attempt.limit:
                assert done.winner is not None
                assert done.now <= connected


@whatever_happens
@given(row=rows(), started=STARTED)
def test_the_same_inputs_give_the_same_outputs(row: Row, started: float) -> None:
    """Nothing is left to chance, to the clock or to the order of a set."""
    first = Simulation(row, started=started).run()
    second = Simulation(row, started=started).run()
    assert first.log == second.log
    assert [at for at, _ in first.starts] == [at for at, _ in second.starts]
    assert [attempt.limit for _, attempt in first.starts] == [
        attempt.limit for _, attempt in second.starts
    ]


FACTS = ("number", "tries", "started", "limit", "target", "endpoint")


@whatever_happens
@given(
    world=st.dictionaries(st.sampled_from(ORDERS[0].split()), TRIES, min_size=1),
    targets=st.booleans(),
    options=OPTIONS,
    started=STARTED,
)
def test_the_first_address_has_one_fate(
    world: dict[str, tuple[End, ...]], targets: bool, options: dict[str, Any], started: float
) -> None:
    """Dialled before the race or by it, everything starts, pauses, expires and ends alike."""
    known = one_target(world)
    if targets:
        known = tuple((Answer(-inf, 0, (address,)),) for address in world)
    del options["first"]
    row = Row(world, known, options)
    ahead = Simulation(row, started=started, ahead=True).run()
    plain = Simulation(row, started=started).run()
    assert ahead.log == plain.log
    for (_, one), (_, other) in zip(ahead.starts, plain.starts, strict=True):
        assert all(getattr(one, fact) == getattr(other, fact) for fact in FACTS)
    assert ahead.race.number == plain.race.number


@whatever_happens
@given(row=rows(), ticks=st.lists(SPANS, max_size=12))
def test_a_needless_question_changes_nothing(row: Row, ticks: list[float]) -> None:
    """The race is never asked too late: between two instants it has nothing to say."""
    assert Simulation(row, ticks=ticks).run().log == Simulation(row).run().log


@whatever_happens
@given(row=rows(), started=STARTED, data=st.data())
def test_cancelled_at_any_wait_it_leaves_exactly_what_is_open(
    row: Row, started: float, data: st.DataObject
) -> None:
    """Whoever leaves the race closes what is in ``running``, and then nothing is open."""
    full = Simulation(row, started=started).run()
    number = data.draw(st.integers(0, max(len(full.waits) - 1, 0)))
    cancelled = Simulation(row, started=started).run(cancel_at_wait=number)
    assert cancelled.open == set(cancelled.race.running)
    assert cancelled.log == full.log[: len(cancelled.log)]


@whatever_happens
@given(
    addresses=st.integers(1, 40),
    slots=st.integers(1, 8),
    delay=st.one_of(st.none(), st.floats(0.01, 0.5)),
    spare=st.floats(0.0, 30.0),
)
def test_every_address_gets_its_turn_where_there_are_two_seconds_for_each(
    addresses: int, slots: int, delay: float | None, spare: float
) -> None:
    """All but the last are silent; with time for every turn the last one connects."""
    world = {f"4-{number}": (End("never"),) for number in range(addresses - 1)}
    world["4live"] = (End("connects"),)
    turns = math.ceil(addresses / (1 if delay is None else slots))
    timeout = turns * LEAST_SHARE + addresses * (delay or 0.0) + spare
    options = {"slots": slots, "delay": delay, "timeout": timeout}
    done = Simulation(Row(world, one_target(world), options)).run()
    assert done.winner is not None
