"""The rounds of a call: what is tried again, when, and how the call ends."""

from __future__ import annotations

from typing import Any

import pytest

from aioconnect import events, retry
from aioconnect.retrying import ROUND_NEEDS

from ..support.virtual import World
from .running import EVERYTHING, Row, cases, lines, run


def step_by_step(ctx: retry.Context) -> retry.Retry | retry.Stop:
    """Go on with what ``state`` says."""
    count = ctx.state or 1
    return retry.Retry(count, state=2 * count)


@cases(
    Row(
        "nothing: the call stops after one round",
        "a misused",
        "a",
        "0 dial a; 0 a protocol_type; 0 gave up: permanent",
    ),
    Row(
        "only another address: it is tried at once, without a pause",
        "a denied; b connects",
        "a b",
        "0 dial a; 0 a access_denied; 0 dial b; 0 connected b",
    ),
    Row(
        "only another address, and there is none left: the call stops after one round",
        "a denied; b denied",
        "a b",
        "0 dial a; 0 a access_denied; 0 dial b; 0 b access_denied; 0 gave up: permanent",
    ),
    Row(
        "the same address later: there is a pause",
        "a refused, reset, connects",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 0.5;
        0.5 dial a; 0.5 a connection_reset; 0.5 again in 0.5;
        1 dial a; 1 connected a""",
    ),
    Row(
        "something of this host: no other address is tried before the pause",
        "a no-descriptor, connects; b connects",
        "a b",
        "0 dial a; 0 a too_many_open_sockets; 0 again in 0.5; 0.5 dial a; 0.5 connected a",
    ),
    Row(
        "something of this host for that destination: another may have it",
        "a no-port; b no-port, connects",
        "a b",
        """0 dial a; 0 a address_not_available; 0 dial b; 0 b address_not_available;
        0 again in 0.5; 0.5 dial a; 0.5 a address_not_available; 0.5 dial b; 0.5 connected b""",
    ),
    Row(
        "the name again later: it is looked up again",
        "db.test EAI_AGAIN 0.25, a 0.25; a connects",
        "db.test",
        """0 ask db.test; 0.25 db.test try_again; 0.25 again in 0.5;
        0.75 ask db.test; 1 db.test is a; 1 dial a; 1 connected a""",
    ),
    Row(
        "a name that does not exist: the call stops after one round",
        "db.test EAI_NONAME 0.25",
        "db.test",
        "0 ask db.test; 0.25 db.test host_not_found; 0.25 gave up: permanent",
    ),
    Row(
        "one target's name does not exist, another target may answer later",
        "db.test EAI_NONAME; b refused, connects",
        "db.test b",
        """0 ask db.test; 0 db.test host_not_found; 0 dial b; 0 b connection_refused;
        0 again in 0.5; 0.5 ask db.test; 0.5 db.test host_not_found; 0.5 dial b;
        0.5 connected b""",
    ),
)
def test_what_helps_decides_what_follows(row: Row) -> None:
    """Whatever the policy: it would go on after everything."""
    assert run(row.world, *row.targets.split(), retry=EVERYTHING).log == lines(row.log)


@cases(
    Row(
        "a round is all addresses once, and the pause is between rounds",
        "a refused; b refused; c refused, connects",
        "a b c",
        """0 dial a; 0 a connection_refused; 0 dial b; 0 b connection_refused;
        0 dial c; 0 c connection_refused; 0 again in 2;
        2 dial a; 2 a connection_refused; 2 dial b; 2 b connection_refused;
        2 dial c; 2 connected c""",
        {"retry": retry.constant(2)},
    ),
    Row(
        "a pause begins when the last attempt of the round has ended",
        "a refused 1; b refused 0.125, connects",
        "a b",
        """0 dial a; 0.25 dial b; 0.375 b connection_refused; 1 a connection_refused;
        1 again in 2; 3 dial a; 3.25 dial b; 3.25 connected b; 3.25 closed a""",
        {"retry": retry.constant(2)},
    ),
    Row(
        "without a policy one round is all",
        "a refused",
        "a",
        "0 dial a; 0 a connection_refused; 0 gave up: attempts",
        {"retry": None},
    ),
    Row(
        "the rounds of a policy are counted",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1;
        1 dial a; 1 a connection_refused; 1 gave up: attempts""",
        {"retry": retry.attempts(2) & retry.constant(1)},
    ),
    Row(
        "a bad address among three is not dialled first each time",
        "a never; b refused 0.125; c refused 0.125, refused 0.125, connects 0.125",
        "a b c",
        """0 dial a; 0.25 dial b; 0.375 b connection_refused; 0.375 dial c;
        0.5 c connection_refused; 1 a timed_out; 1 again in 0.5;
        1.5 dial b; 1.625 b connection_refused; 1.625 dial c; 1.75 c connection_refused;
        1.75 dial a; 2.75 a timed_out; 2.75 again in 0.5;
        3.25 dial b; 3.375 b connection_refused; 3.375 dial c; 3.5 connected c""",
        {"attempt_timeout": 1},
    ),
    Row(
        "nor is a bad address of a name",
        "db.test a b c; a never; b refused 0.125; c refused 0.125, refused 0.125, connects 0.125",
        "db.test",
        """0 ask db.test; 0 db.test is a b c; 0 dial a; 0.25 dial b;
        0.375 b connection_refused; 0.375 dial c; 0.5 c connection_refused;
        1 a timed_out; 1 again in 0.5; 1.5 ask db.test; 1.5 db.test is a b c;
        1.5 dial b; 1.625 b connection_refused; 1.625 dial c; 1.75 c connection_refused;
        1.75 dial a; 2.75 a timed_out; 2.75 again in 0.5; 3.25 ask db.test;
        3.25 db.test is a b c; 3.25 dial b; 3.375 b connection_refused; 3.375 dial c;
        3.5 connected c""",
        {"attempt_timeout": 1},
    ),
    Row(
        "each address's own back-off ends, and then it has its place again",
        "a never, never, connects; b refused 0.125",
        "a b",
        """0 dial a; 0.25 dial b; 0.375 b connection_refused; 1 a timed_out; 1 again in 0.5;
        1.5 dial b; 1.625 b connection_refused; 1.625 dial a; 2.625 a timed_out;
        2.625 again in 10; 12.625 dial a; 12.625 connected a""",
        {"attempt_timeout": 1, "retry": retry.schedule([0.5, 10])},
    ),
    Row(
        "each round asks for the name again, and may find that it has moved",
        "db.test a, b; a refused; b connects",
        "db.test",
        """0 ask db.test; 0 db.test is a; 0 dial a; 0 a connection_refused; 0 again in 0.5;
        0.5 ask db.test; 0.5 db.test is b; 0.5 dial b; 0.5 connected b""",
    ),
    Row(
        "the pace may be from start to start",
        "a refused 0.75, refused 3, connects",
        "a",
        """0 dial a; 0.75 a connection_refused; 0.75 again in 1.25;
        2 dial a; 5 a connection_refused; 5 again in 0; 5 dial a; 5 connected a""",
        {"retry": lambda ctx: retry.Retry(2, anchor="start")},
    ),
    Row(
        "the next round may begin with the next address",
        "db.test a b; a refused; b refused, connects",
        "db.test",
        """0 ask db.test; 0 db.test is a b; 0 dial a; 0 a connection_refused;
        0 dial b; 0 b connection_refused; 0 again in 2; 2 ask db.test; 2 db.test is a b;
        2 dial b; 2 connected b""",
        {"retry": lambda ctx: retry.Retry(2, pick="next")},
    ),
    Row(
        "a policy finds what it said last time",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 again in 2; 3 dial a; 3 a connection_refused; 3 again in 4; 7 dial a;
        7 a connection_refused; 7 gave up: deadline""",
        {"retry": step_by_step, "timeout": 10},
    ),
    Row(
        "a generator function is asked for one delay after the other",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 3; 3 dial a; 3 a connection_refused;
        3 again in 1; 4 dial a; 4 a connection_refused; 4 gave up: attempts""",
        {"retry": lambda: (yield from (3, 1))},
    ),
    Row(
        "a reason of one's own is told",
        "a refused",
        "a",
        "0 dial a; 0 a connection_refused; 0 gave up: it is Sunday",
        {"retry": lambda ctx: retry.Stop("it is Sunday")},
    ),
)
def test_rounds(row: Row) -> None:
    """When what is dialled, to the instant."""
    options = {"retry": EVERYTHING, **row.options}
    assert run(row.world, *row.targets.split(), **options).log == lines(row.log)


@cases(
    Row(
        "a pause that would end after the deadline is not begun",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 1.75},
    ),
    Row(
        "nor one that would leave no time for an attempt",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 2 + ROUND_NEEDS - 0.01},
    ),
    Row(
        "one that leaves just enough is",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 again in 1; 2 dial a; 2 a connection_refused; 2 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 2 + ROUND_NEEDS + 0.01},
    ),
    Row(
        "an attempt that is never answered ends with the call",
        "a refused, never",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 2.5 a timed_out;
        2.5 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 2.5},
    ),
    Row(
        "so does a look-up that is never answered",
        "db.test EAI_AGAIN, never",
        "db.test",
        """0 ask db.test; 0 db.test try_again; 0 again in 1; 1 ask db.test;
        2.5 db.test timed_out; 2.5 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 2.5},
    ),
    Row(
        "attempt_timeout bounds one attempt of each round",
        "a never",
        "a",
        """0 dial a; 2 a timed_out; 2 again in 1; 3 dial a; 5 a timed_out; 5 again in 1;
        6 dial a; 7.5 a timed_out; 7.5 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 7.5, "attempt_timeout": 2},
    ),
    Row(
        "without a limit it goes on",
        "a refused, refused, refused, connects",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 5000;
        5000 dial a; 5000 a connection_refused; 5000 again in 5000;
        10000 dial a; 10000 a connection_refused; 10000 again in 5000;
        15000 dial a; 15000 connected a""",
        {"retry": retry.constant(5000), "timeout": None},
    ),
    Row(
        "a policy may have a limit of its own",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 gave up: deadline""",
        {"retry": retry.within(1.5) & retry.constant(1)},
    ),
)
def test_deadlines(row: Row) -> None:
    """A call stops when there is no time left for another round, and says so."""
    outcome = run(row.world, *row.targets.split(), **row.options)
    assert outcome.log == lines(row.log)
    if outcome.error is not None:
        assert outcome.error.stopped == "deadline"
        assert outcome.error.elapsed == outcome.told[-1].at
        assert "no time left" in str(outcome.error)


def test_what_stopped_it_stands_in_the_error() -> None:
    """As a word, in the sentence, and with what the policy knew of the future."""
    for policy, stopped, said in (
        (retry.attempts(2), "attempts", "no attempts left"),
        (retry.constant(40), "deadline", "no time left for another round"),
        (retry.on("timed_out"), "permanent", "trying again would not help"),
        (lambda ctx: retry.Stop("the lease is over", 7.0), "the lease is over", "the lease is"),
    ):
        error = run("a refused", "a", retry=policy).error
        assert error is not None
        assert error.stopped == stopped
        assert said in str(error)
        assert error.retry_after == (7.0 if stopped == "the lease is over" else None)
        assert isinstance(error, ConnectionRefusedError)


def test_the_policy_is_told_the_situation() -> None:
    """Rounds, attempts, instants, the delay before; and it is asked once for each round."""
    seen: list[retry.Context] = []

    def policy(ctx: retry.Context) -> retry.Retry | retry.Stop:
        seen.append(ctx)
        return retry.Retry(float(len(seen))) if len(seen) < 3 else retry.Stop()

    world = World("a refused 0.25; b reset 0.25")
    outcome = run(world, "a", "b", retry=policy, timeout=20)
    assert [ctx.failures for ctx in seen] == [1, 2, 3]
    assert [ctx.now for ctx in seen] == [0.5, 2.0, 4.5]
    assert [ctx.previous_delay for ctx in seen] == [0.0, 1.0, 2.0]
    assert [ctx.round_started for ctx in seen] == [0.0, 1.5, 4.0]
    assert {(ctx.started, ctx.deadline) for ctx in seen} == {(0.0, 20.0)}
    assert [[a.error.code for a in ctx.history[-2:]] for ctx in seen] == [
        ["connection_refused", "connection_reset"]
    ] * 3
    assert [len(ctx.history) for ctx in seen] == [2, 4, 6]
    assert [len(ctx.error.attempts) for ctx in seen] == [2, 2, 2], "of this round alone"
    error = outcome.error
    assert error is not None
    assert (error.count, len(error.attempts)) == (6, 6)
    assert [a.round for a in error.attempts] == [1, 1, 2, 2, 3, 3]
    assert [a.number for a in error.attempts] == [1, 2, 3, 4, 5, 6]


def test_the_history_is_bounded_and_the_counts_are_exact() -> None:
    """Of a thousand rounds the last 64 attempts are kept."""
    policy = retry.attempts(1000) & retry.constant(1)
    error = run("a refused", "a", retry=policy, timeout=None).error
    assert error is not None
    assert error.count == 1000
    assert [a.number for a in error.attempts] == list(range(937, 1001))


def test_a_round_that_fails_at_once_does_not_keep_the_turn() -> None:
    """Rounds without a pause, too, let the event loop go on between them."""
    outcome = run("a refused", "a", retry=retry.attempts(10))
    assert outcome.driver.turns >= 9


def test_a_resolver_that_keeps_answers_is_told_to_forget() -> None:
    """After each round in which every address failed."""
    outcome = run("db.test a; a refused, refused, connects", "db.test", retry=EVERYTHING)
    assert outcome.world.forgotten == ["db.test", "db.test"]


FAMILIES = {"family": 0, "resolution_delay": 0.0625}
REFUSED_ONCE = "0 ask db.test; 0 ask db.test; 0.125 db.test is a; 0.1875 dial a; 0.1875 a {}"
REFUSED_ONCE = REFUSED_ONCE.format("connection_refused")


@cases(
    Row(
        "it does not hold up a round that another may follow",
        "db.test a 0.125; db.test/6 never; a refused, connects",
        "db.test",
        f"""{REFUSED_ONCE}; 0.25 again in 1;
        1.25 ask db.test; 1.25 ask db.test; 1.375 db.test is a; 1.4375 dial a;
        1.4375 connected a""",
        {**FAMILIES, "retry": retry.constant(1)},
    ),
    Row(
        "the only round waits for it",
        "db.test a 0.125; db.test/6 b 2; a refused; b connects",
        "db.test",
        f"{REFUSED_ONCE}; 2 db.test is b; 2 dial b; 2 connected b",
        FAMILIES,
    ),
    Row(
        "so does the last one: of two, the answer to the first joins the second",
        "db.test a 0.125; db.test/6 b 2, never; a refused; b connects",
        "db.test",
        f"""{REFUSED_ONCE}; 0.25 again in 1;
        1.25 ask db.test; 1.25 ask db.test; 1.375 db.test is a; 1.4375 dial a;
        1.4375 a connection_refused; 2 db.test is b; 2 dial b; 2 connected b""",
        {**FAMILIES, "retry": retry.attempts(2) & retry.constant(1)},
    ),
    Row(
        "and one after which the policy stops",
        "db.test a 0.125; db.test/6 b 2; a refused; b connects",
        "db.test",
        f"{REFUSED_ONCE}; 2 db.test is b; 2 dial b; 2 connected b",
        {**FAMILIES, "retry": retry.attempts(1) & retry.constant(1)},
    ),
    Row(
        "and one after which no time is left for another",
        "db.test a 0.125; db.test/6 b 0.5; a refused; b connects",
        "db.test",
        f"{REFUSED_ONCE}; 0.5 db.test is b; 0.5 dial b; 0.5 connected b",
        {**FAMILIES, "retry": retry.constant(1), "timeout": 1},
    ),
    Row(
        "what is answered between two rounds joins the next one at once",
        "db.test a 0.125; db.test/6 b 0.5, never; a refused; b connects",
        "db.test",
        f"""{REFUSED_ONCE}; 0.25 again in 1;
        1.25 ask db.test; 1.25 ask db.test; 1.25 db.test is b; 1.25 dial b; 1.25 connected b""",
        {**FAMILIES, "retry": retry.constant(1)},
    ),
    Row(
        "an address that failed comes after all others, whatever their family",
        "db.test a 0.125; db.test/6 b c 0.5, never; a refused; b never; c connects",
        "db.test",
        f"""{REFUSED_ONCE}; 0.25 again in 0.5;
        0.75 ask db.test; 0.75 ask db.test; 0.75 db.test is b c; 0.75 dial b;
        0.875 db.test is a; 1 dial c; 1 connected c; 1 closed b""",
        {**FAMILIES, "retry": retry.constant(0.5)},
    ),
    Row(
        "a slow answer is waited for over several rounds",
        "db.test a 0.125; db.test/6 b 3, never; a refused; b connects",
        "db.test",
        f"""{REFUSED_ONCE}; 0.25 again in 1;
        1.25 ask db.test; 1.25 ask db.test; 1.375 db.test is a; 1.4375 dial a;
        1.4375 a connection_refused; 1.5 again in 1;
        2.5 ask db.test; 2.5 ask db.test; 2.625 db.test is a; 2.6875 dial a;
        2.6875 a connection_refused; 2.75 again in 1;
        3.75 ask db.test; 3.75 ask db.test; 3.75 db.test is b; 3.75 dial b; 3.75 connected b""",
        {**FAMILIES, "retry": retry.constant(1)},
    ),
    Row(
        "a name of which nothing is known holds the round up",
        "db.test EAI_NONAME 0.125; db.test/6 b 3; b connects",
        "db.test",
        "0 ask db.test; 0 ask db.test; 3 db.test is b; 3 dial b; 3 connected b",
        {**FAMILIES, "retry": retry.constant(1)},
    ),
)
def test_a_family_that_is_not_answered(row: Row) -> None:
    """A name server that swallows AAAA makes no round ten seconds long."""
    assert run(row.world, *row.targets.split(), **row.options).log == lines(row.log)


def test_look_ups_that_go_on_from_round_to_round_do_not_add_up() -> None:
    """Of each name the oldest goes on; when the call has ended none does."""
    world = World("db.test a 0.125; db.test/6 never; a refused")
    going_on: list[int] = []

    def count(event: events.Event) -> None:
        if type(event) is events.RetryScheduled:
            going_on.append(pending(world))

    error = run(
        world,
        "db.test",
        retry=retry.attempts(9) & retry.constant(1),
        on_event=count,
        **FAMILIES,
    ).error
    assert error is not None
    assert (error.count, error.elapsed) == (9, 30), "the last round waits"
    assert going_on == [1] * 8
    assert not pending(world)


def pending(world: World) -> int:
    """Count the look-ups that were not ended."""
    return sum(look_up.action is not None for look_up in world.look_ups)


@pytest.mark.parametrize("others", [(), ("a",)], ids=["alone", "with another target"])
@pytest.mark.parametrize("late", [0.25, 0.5, 0.6875, 0.75, 0.875, 2.0])
def test_a_look_up_that_outlives_its_round_is_none_of_the_next(late: float, others: Any) -> None:
    """A name's other family answers after the round has ended for want of a descriptor."""
    outcome = run(
        f"""a refused; c no-descriptor, no-descriptor, connects;
        db.test c 0.125; db.test/6 EAI_NONAME {late}, EAI_NONAME 0.25""",
        *others,
        "db.test",
        family=0,
        retry=EVERYTHING,
        resolution_delay=0.0625,
    )
    assert outcome.error is None
    assert outcome.log[-1] == "1.5625 connected c"
    asked = [event.at for event in outcome.told if type(event) is events.LookupStarted]
    assert asked == [0.0, 0.0, 0.6875, 0.6875, 1.375, 1.375], "each round asks for both families"
