"""The rounds of a call: what is tried again, when, and how the call ends.

First in virtual time: ``aioconnect.call.Call`` with a clock that jumps from event to event, a
seeded random source, and attempts and look-ups that end as they are scripted.  What drives it
here asks no more than the two real drivers do, so what is shown here holds for both.  Then on
real sockets: on asyncio, on uvloop and blocking.

A row of a table says what becomes of the attempts at each address, one after the other (the
*world*: ``refused 0.5, connects`` is refused half a second after its start, and connects at once
the next time; the last word holds for good), and what the call must tell (the *log*).
"""

from __future__ import annotations

import asyncio
import errno
import gc
import heapq
import itertools
import logging
import math
import random
import signal
import socket
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, Dialer, attempt, causes, events, retry
from aioconnect.call import ATTEMPT_NEEDS, Call, first
from aioconnect.resolve import Answer, Cache, StaticResolver
from aioconnect.targets import parse_all

from .net import APIS, Api, black_hole, few_descriptors, listen, refusing
from .retry.strategies import POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERYTHING = retry.on(ConnectError) & retry.constant(0.5)
"""A policy that goes on after whatever can be helped."""


# The virtual world --------------------------------------------------------------------------------

ENDS: dict[str, tuple[int, Any]] = {
    "refused": (errno.ECONNREFUSED, "connect"),
    "reset": (errno.ECONNRESET, "connect"),
    "unreachable": (errno.ENETUNREACH, "connect"),
    "no-port": (errno.EADDRNOTAVAIL, "connect"),
    "denied": (errno.EACCES, "connect"),  # another address may help, and nothing else
    "misused": (errno.EPROTOTYPE, "connect"),  # nothing helps
    "no-descriptor": (errno.EMFILE, "socket"),
}


def address(letter: str) -> str:
    """Return the address that the tables call by a letter."""
    return f"192.0.2.{ord(letter) - ord('a') + 1}"


def letter(text: str) -> str:
    """Return the letter of an address."""
    return chr(int(text.rpartition(".")[2]) + ord("a") - 1)


class End(NamedTuple):
    """What becomes of an attempt or of a look-up, and how long after its start."""

    words: tuple[str, ...]
    after: float


class Wire:
    """A socket of the virtual world."""

    def __init__(self, world: World, end: End) -> None:
        self.world = world
        self.end = end
        world.open.append(self)

    def close(self) -> None:
        """Give it back."""
        assert self not in self.world.watched, "closed while it is watched"
        self.world.open.remove(self)

    def getsockname(self) -> tuple[str, int]:
        """Return its own address."""
        return "192.0.2.100", 50000


class World:
    """Peers and name servers that do as they are told, and a clock that nobody waits for.

    It is also what a call takes for its I/O.
    """

    def __init__(self, script: str) -> None:
        self.now = 0.0
        self.ends: dict[str, list[End]] = {}
        for line in filter(None, map(str.strip, script.split(";"))):
            who, _, ends = line.partition(" ")
            self.ends[who] = [_end(end) for end in ends.split(",")]
        self.open: list[Wire] = []
        self.watched: set[Any] = set()
        self.forgotten: list[str] = []
        self.begun: list[tuple[float, str]] = []
        self._coming: list[tuple[float, int, Any, Wire | None]] = []
        self._count = itertools.count()

    def clock(self) -> float:
        """Return the instant."""
        return self.now

    # What a call does ---------------------------------------------------------------------------

    def begin(self, candidate: Any, options: Any) -> int:
        """Begin an attempt."""
        self.begun.append((self.now, candidate.endpoint[4][0]))
        end = self._next(letter(candidate.endpoint[4][0]))
        candidate.sock = wire = Wire(self, end)
        if "never" in end.words:
            return attempt.PENDING
        if end.after:
            self._schedule(end.after, candidate, wire)
            return attempt.PENDING
        return self.finish(candidate, options)

    def finish(self, candidate: Any, options: Any) -> int:
        """Say what became of an attempt."""
        wire = candidate.sock
        if "connects" in wire.end.words:
            return attempt.CONNECTED
        candidate.sock = None
        wire.close()
        family, _, _, _, to = candidate.endpoint
        number, stage = ENDS[wire.end.words[0]]
        candidate.error = causes.from_errno(number, stage=stage, address=to, family=family)
        return attempt.FAILED

    def look_up(self, target: int, name: str, family: int) -> None:
        """Begin a look-up."""
        which = name if family == socket.AF_INET else f"{name}/6"
        end = self._next(which)
        if end.words[0] == "never":
            return
        answer: Any
        if end.words[0].startswith("EAI_"):
            answer = socket.gaierror(getattr(socket, end.words[0]), "as scripted")
        else:
            answer = Answer(tuple(map(address, end.words)), source="dns", duration=end.after)
        self._schedule(end.after, (target, family, answer), None)

    def forget(self, name: str) -> None:
        """Take note that what is known of a name may be old."""
        self.forgotten.append(name)

    async def lookup(self, name: str, family: int) -> Answer:
        """Make this a resolver; a virtual call never gets here."""
        raise AssertionError

    def _next(self, who: str) -> End:
        ends = self.ends[who]
        return ends.pop(0) if len(ends) > 1 else ends[0]

    # Time ---------------------------------------------------------------------------------------

    def _schedule(self, after: float, item: Any, wire: Wire | None) -> None:
        heapq.heappush(self._coming, (self.now + after, next(self._count), item, wire))

    def drop_lookups(self) -> None:
        """Forget the look-ups that nobody waits for any more."""
        self._coming = [each for each in self._coming if each[3] is not None]
        heapq.heapify(self._coming)

    def pass_time(self, call: VirtualCall, until: float) -> None:
        """Jump to the next thing that happens and report it, or to ``until``."""
        assert not call.items, "what was reported was not taken in: a driver would spin"
        while self._coming and self._coming[0][0] <= until:
            when, _, item, wire = heapq.heappop(self._coming)
            if wire is not None and wire not in self.open:
                continue
            self.now = max(self.now, when)
            self.watched.discard(wire)
            call.items.append(item)
            return
        assert until < inf, "it waits for ever"
        self.now = max(self.now, until)


def _end(text: str) -> End:
    words = text.split()
    after = float(words.pop()) if words[-1][0].isdigit() else 0.0
    return End(tuple(words), after)


class VirtualCall(Call):
    """A call in the virtual world."""

    def __init__(self, world: World, targets: Any, options: Any, seed: int = 1) -> None:
        self.world: Any = world
        self._clock = world.clock  # type: ignore[assignment]
        self._io = world
        self._rng = random.Random(seed).random  # type: ignore[assignment]
        self.turns = 0
        super().__init__(targets, options)

    def begin(self) -> bool:
        """Dial what can be dialled at once, as a driver does."""
        begun = first(self.targets, self._options)
        if begun is None:
            return self.start()
        begun.started = self.world.now
        outcome = self.world.begin(begun, self._options)
        if outcome == attempt.CONNECTED:
            self.sock = begun.sock
            return True
        return self.start(begun, outcome)

    def watch(self, candidate: Any) -> None:
        """Take note."""
        self.world.watched.add(candidate.sock)

    def unwatch(self, candidate: Any) -> None:
        """Take note."""
        self.world.watched.discard(candidate.sock)

    def look_up(self, resolver: Any, target: Any, name: str, family: int) -> None:
        """Ask the world."""
        self.world.look_up(target, name, family)

    def end_lookups(self, *, finish: bool) -> None:
        """Leave the look-ups."""
        self.world.drop_lookups()

    def drive(self, leave: float = inf) -> None:
        """Run it to its end, or leave it at an instant, as a cancelled task does."""
        if self.begin():
            return
        steps = self.run()
        try:
            for wake in steps:
                self.turns += 1
                race = self._race
                assert race is not None
                if not race.running:
                    assert not self.world.open, "a socket is open while nothing is dialled"
                self.world.pass_time(self, min(wake, leave))
                if self.world.now >= leave:
                    return
        finally:
            steps.close()


class Outcome(NamedTuple):
    """What a virtual call told, and what it raised, if it did."""

    told: list[events.Event]
    error: ConnectError | None
    world: World
    call: VirtualCall

    @property
    def log(self) -> list[str]:
        """Return what it told in short words."""
        return [_short(event) for event in self.told]


def run(
    world: World | str,
    *targets: str,
    port: int | None = None,
    seed: int = 1,
    leave: float = inf,
    observed: bool = True,
    **options: Any,
) -> Outcome:
    """Run a call in the virtual world: letters are addresses, everything else names."""
    if isinstance(world, str):
        world = World(world)
    dialled = [address(each) if len(each) == 1 else each for each in targets]
    told: list[events.Event] = []
    observe = options.pop("on_event", None)

    def on_event(event: events.Event) -> None:
        told.append(event)
        if observe is not None:
            observe(event)

    options.setdefault("family", socket.AF_INET)
    dialer = Dialer(resolver=world, on_event=on_event if observed else None, **options)
    call = VirtualCall(world, parse_all(dialled, port or 80), dialer, seed)
    error = None
    try:
        call.drive(leave)
    except ConnectError as exc:
        error = exc
    left = [] if call.sock is None else [call.sock]
    assert world.open == left, "a socket was left open"
    assert world.watched <= set(left), "a socket is watched that nobody has"
    return Outcome(told, error, world, call)


def _short(event: events.Event) -> str:
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


# Tables of instants -------------------------------------------------------------------------------


class Row(NamedTuple):
    """A call, and what it must tell."""

    behaviour: str
    world: str
    targets: str
    log: str
    options: dict[str, Any] = {}  # noqa: RUF012  # nobody writes to it


def step_by_step(ctx: retry.Context) -> retry.Retry | retry.Stop:
    """Go on with what ``state`` says."""
    count = ctx.state or 1
    return retry.Retry(count, state=2 * count)


WHAT_HELPS = [
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
]

ROUNDS = [
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
]

DEADLINES = [
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
        {"retry": retry.constant(1), "timeout": 2 + ATTEMPT_NEEDS - 0.01},
    ),
    Row(
        "one that leaves just enough is",
        "a refused",
        "a",
        """0 dial a; 0 a connection_refused; 0 again in 1; 1 dial a; 1 a connection_refused;
        1 again in 1; 2 dial a; 2 a connection_refused; 2 gave up: deadline""",
        {"retry": retry.constant(1), "timeout": 2 + ATTEMPT_NEEDS + 0.01},
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
]


def _cases(rows: list[Row]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row.behaviour for row in rows])


def _lines(log: str) -> list[str]:
    return [" ".join(line.split()) for line in log.split(";")]


@_cases(WHAT_HELPS)
def test_what_helps_decides_what_follows(row: Row) -> None:
    """Whatever the policy: it would go on after everything."""
    assert run(row.world, *row.targets.split(), retry=EVERYTHING).log == _lines(row.log)


@_cases(ROUNDS)
def test_rounds(row: Row) -> None:
    """When what is dialled, to the instant."""
    options = {"retry": EVERYTHING, **row.options}
    assert run(row.world, *row.targets.split(), **options).log == _lines(row.log)


@_cases(DEADLINES)
def test_deadlines(row: Row) -> None:
    """A call stops when there is no time left for another round, and says so."""
    outcome = run(row.world, *row.targets.split(), **row.options)
    assert outcome.log == _lines(row.log)
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
    assert outcome.call.turns >= 9


def test_a_resolver_that_keeps_answers_is_told_to_forget() -> None:
    """After each round in which every address failed."""
    outcome = run("db.test a; a refused, refused, connects", "db.test", retry=EVERYTHING)
    assert outcome.world.forgotten == ["db.test", "db.test"]


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


# Budget and breaker -------------------------------------------------------------------------------


def test_a_retry_costs_a_token_before_the_pause_begins() -> None:
    """When there is none left the call stops then and there, without a pause."""
    budget = retry.Budget(2)
    tokens: list[float] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            tokens.append(budget.tokens("192.0.2.1:80"))

    outcome = run("a refused", "a", retry=retry.constant(1), budget=budget, on_event=on_event)
    assert outcome.log[-3:] == ["2 dial a", "2 a connection_refused", "2 gave up: budget"]
    assert tokens == [1.0, 0.0]
    assert outcome.error is not None
    assert outcome.error.stopped == "budget"
    assert "the retry budget is used up" in str(outcome.error)


def test_calls_to_the_same_target_share_its_budget() -> None:
    """Another target has its own."""
    budget = retry.Budget(3)
    ends = [
        run("a refused; b refused", who, retry=retry.constant(1), budget=budget).log[-1]
        for who in "aab"
    ]
    assert ends == ["3 gave up: budget", "0 gave up: budget", "3 gave up: budget"]


def test_what_never_left_the_host_costs_nothing() -> None:
    """No descriptor, no port, no route."""
    for end in ("no-descriptor", "no-port", "unreachable"):
        budget = retry.Budget(1)
        outcome = run(f"a {end}", "a", retry=retry.attempts(9) & retry.constant(1), budget=budget)
        assert outcome.log[-1] == "8 gave up: attempts"
        assert budget.tokens("192.0.2.1:80") == 1.0


@pytest.mark.parametrize("observed", [False, True])
def test_a_success_earns_a_part_of_a_token(observed: bool) -> None:
    """With or without retries, whether anybody observes or not."""
    budget = retry.Budget(2, 0.25)
    run("a refused, refused, connects", "a", retry=EVERYTHING, budget=budget, observed=observed)
    assert budget.tokens("192.0.2.1:80") == 0.25
    run("a connects", "a", budget=budget, observed=observed)
    assert budget.tokens("192.0.2.1:80") == 0.5


def test_a_call_that_is_left_gives_its_token_back() -> None:
    """In the pause that it was for; with the round that follows it is spent."""
    for leave, left in ((0.125, 3.0), (0.75, 3.0), (1.375, 2.0), (2.0, 2.0), (2.625, 1.0)):
        budget = retry.Budget(3)
        run("a refused 0.25", "a", retry=retry.constant(1), budget=budget, leave=leave)
        assert budget.tokens("192.0.2.1:80") == left, leave


def middle() -> float:
    """Draw what is neither early nor late."""
    return 0.5


def test_failures_in_a_row_open_the_breaker_within_a_call() -> None:
    """The call ends with the error that it has, and says when to come again."""
    breaker = retry.Breaker(3, open_for=40, rng=middle)
    outcome = run("a refused", "a", retry=retry.constant(1), breaker=breaker)
    assert outcome.log[-3:] == ["2 dial a", "2 a connection_refused", "2 gave up: open"]
    error = outcome.error
    assert isinstance(error, ConnectionRefusedError)
    assert (error.stopped, error.retry_after) == ("open", 30.0)


def test_a_pause_that_outlasts_the_open_breaker_is_made() -> None:
    """Then the round is its trial."""
    breaker = retry.Breaker(1, open_for=4, rng=middle)
    outcome = run("a refused, connects", "a", retry=retry.constant(5), breaker=breaker)
    assert outcome.log[-2:] == ["5 dial a", "5 connected a"]
    assert breaker.state("192.0.2.1:80", 5.0) == "closed"


def test_an_open_breaker_lets_nothing_through() -> None:
    """Not even a socket; what comes out says when it will, truly, and an event says so too."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, 0.0)
    world = World("a connects")
    world.now = 10.0
    outcome = run(world, "a", retry=retry.constant(1), breaker=breaker)
    assert isinstance(outcome.error, aioconnect.CircuitOpen)
    assert outcome.error.retry_after == 20.0
    assert outcome.error.stopped == "open"
    assert outcome.log == ["10 gave up: open"]

    world.now = 30.0  # when it said
    assert run(world, "a", breaker=breaker).log == ["30 dial a", "30 connected a"]


def test_a_failed_trial_opens_it_again_for_another_drawn_time() -> None:
    """Between half of ``open_for`` and all of it."""
    waits = []
    for seed in range(20):
        breaker = retry.Breaker(1, open_for=40, rng=random.Random(seed).random)
        world = World("a refused")
        first = run(world, "a", breaker=breaker)
        assert first.error is not None
        again = run(world, "a", breaker=breaker).error
        assert isinstance(again, aioconnect.CircuitOpen)
        assert again.retry_after is not None
        world.now = again.retry_after
        trial = run(world, "a", breaker=breaker)
        assert trial.log[-2].endswith("a connection_refused")
        after = run(world, "a", breaker=breaker).error
        assert isinstance(after, aioconnect.CircuitOpen)
        waits += [again.retry_after, after.retry_after]
    assert all(20 <= wait <= 40 for wait in waits)
    assert len(set(waits)) == 40


def test_what_never_left_the_host_opens_no_breaker() -> None:
    """However often."""
    for end in ("no-descriptor", "no-port", "unreachable"):
        breaker = retry.Breaker(2)
        outcome = run(f"a {end}", "a", retry=retry.attempts(9) & retry.constant(1), breaker=breaker)
        assert outcome.log[-1] == "8 gave up: attempts"
        assert breaker.state("192.0.2.1:80", 8.0) == "closed"


def test_a_trial_that_never_left_the_host_leaves_it_to_the_next_round() -> None:
    """It says nothing of the peer, so the breaker is still half open."""
    breaker = retry.Breaker(1, open_for=4, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, 0.0)
    world = World("a no-descriptor, no-descriptor, connects")
    world.now = 3.0
    outcome = run(world, "a", retry=EVERYTHING, breaker=breaker)
    assert outcome.log[-2:] == ["4 dial a", "4 connected a"]
    assert breaker.state(key, 4.0) == "closed"


@pytest.mark.parametrize(
    "world", ["a never", "a no-descriptor, never", "a refused 0.25, never", "db.test never"]
)
def test_a_trial_that_is_left_is_given_back(world: str) -> None:
    """At any instant: the next one who asks gets the trial, unless this one had failed."""
    target = world.partition(" ")[0]
    key = f"{address(target) if len(target) == 1 else target}:80"
    for leave in (3.0, 3.125, 3.375, 3.625, 3.875, 5.0):
        breaker = retry.Breaker(1, open_for=4, rng=middle)
        breaker.failure(key, 0.0)
        place = World(world)
        place.now = 3.0
        run(place, target, retry=retry.constant(0.5), breaker=breaker, leave=leave)
        failed = "refused" in world and leave > 3.25
        assert breaker.state(key, leave) == ("open" if failed else "half-open")
        assert isinstance(breaker.admit(key, leave), float if failed else retry.Permit)


def test_while_a_trial_runs_everybody_else_is_refused() -> None:
    """They are told when it will be over at the latest, if it fails."""
    breaker = retry.Breaker(1, open_for=40, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, -100.0)
    world = World("a refused 5")
    others = []

    def on_event(event: events.Event) -> None:
        if type(event) is events.AttemptStarted:
            others.extend(run(World("a connects"), "a", breaker=breaker) for _ in range(100))

    run(world, "a", breaker=breaker, on_event=on_event)
    assert {type(other.error) for other in others} == {aioconnect.CircuitOpen}
    assert {other.error.retry_after for other in others if other.error} == {30.0}
    assert isinstance(run(world, "a", breaker=breaker).error, aioconnect.CircuitOpen)


def test_budget_and_breaker_are_asked_in_order() -> None:
    """A round that the breaker does not let through takes no token."""
    budget, breaker = retry.Budget(5), retry.Breaker(1)
    outcome = run("a refused", "a", retry=retry.constant(1), budget=budget, breaker=breaker)
    assert outcome.log[-1] == "0 gave up: open"
    assert budget.tokens("192.0.2.1:80") == 5.0


def test_a_permit_that_no_token_pays_for_is_given_back() -> None:
    """The budget is asked after the breaker."""
    budget, breaker = retry.Budget(1, 0.0), retry.Breaker(1, open_for=4, rng=middle)
    key = "192.0.2.1:80"
    breaker.failure(key, -10.0)
    world = World("a refused")
    budget.reserve(key, 0.0)
    assert run(world, "a", retry=retry.constant(9), budget=budget, breaker=breaker).log[-1] == (
        "0 gave up: budget"
    )
    assert isinstance(breaker.admit(key, 4.0), retry.Permit)


# What is told -------------------------------------------------------------------------------------

CONNECTED = """
LookupStarted(at=0.0, target='db.test:80', family=2, name='db.test')
LookupFailed(at=0.25, target='db.test:80', family=2, name='db.test', error=NameNotResolved(-3, 'no
    answer from the name server for db.test: as scripted'))
RetryScheduled(at=0.25, target='db.test:80', delay=0.32383276483316237, error=NameNotResolved(-3,
    'no answer from the name server for db.test: as scripted'), round=1)
LookupStarted(at=0.5738327648331624, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=0.6988327648331624, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.1', '192.0.2.2'), duration=0.125, source='dns')
AttemptStarted(at=0.6988327648331624, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=1, round=2)
AttemptFailed(at=0.7613327648331624, target='db.test:80', address=('192.0.2.1', 80),
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), family=2, number=1, round=2,
    stage='connect', started=0.6988327648331624, tries=1)
AttemptStarted(at=0.7613327648331624, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=2, round=2)
AttemptFailed(at=2.2613327648331625, target='db.test:80', address=('192.0.2.2', 80),
    error=AttemptTimedOut(None, 'no answer from 192.0.2.2:80'), family=2, number=2, round=2,
    stage='connect', started=0.7613327648331624, tries=1)
RetryScheduled(at=2.2613327648331625, target='db.test:80', delay=0.575424586962251,
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80; no answer from 192.0.2.2:80'), round=2)
LookupStarted(at=2.8367573517954137, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=2.9617573517954137, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.1', '192.0.2.2'), duration=0.125, source='dns')
AttemptStarted(at=2.9617573517954137, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=3, round=3)
AttemptFailed(at=2.9617573517954137, target='db.test:80', address=('192.0.2.1', 80),
    error=TooManyOpenFiles(24, 'no descriptor left for 192.0.2.1:80'), family=2, number=3, round=3,
    stage='socket', started=2.9617573517954137, tries=1)
RetryScheduled(at=2.9617573517954137, target='db.test:80', delay=1.6509344730398539,
    error=TooManyOpenFiles(24, 'no descriptor left for 192.0.2.1:80'), round=3)
LookupStarted(at=4.6126918248352675, target='db.test:80', family=2, name='db.test')
LookupSucceeded(at=4.7376918248352675, target='db.test:80', family=2, name='db.test',
    addresses=('192.0.2.2', '192.0.2.1'), duration=0.125, source='dns')
AttemptStarted(at=4.7376918248352675, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=4, round=4)
AttemptStarted(at=5.2376918248352675, target='db.test:80', address=('192.0.2.1', 80), family=2,
    number=5, round=4)
Connected(at=5.3626918248352675, target='db.test:80', address=('192.0.2.1', 80), family=2, number=5,
    round=4, elapsed=5.3626918248352675, local=('192.0.2.100', 50000))
AttemptCancelled(at=5.3626918248352675, target='db.test:80', address=('192.0.2.2', 80), family=2,
    number=4, round=4)
"""

GAVE_UP = """
AttemptStarted(at=0.0, target='192.0.2.1:80', address=('192.0.2.1', 80), family=2, number=1,
    round=1)
AttemptFailed(at=0.0625, target='192.0.2.1:80', address=('192.0.2.1', 80),
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), family=2, number=1, round=1,
    stage='connect', started=0.0, tries=1)
RetryScheduled(at=0.0625, target='192.0.2.1:80', delay=0.23796462709189137,
    error=ConnectionRefused(111, 'refused by 192.0.2.1:80'), round=1)
AttemptStarted(at=0.30046462709189137, target='192.0.2.1:80', address=('192.0.2.1', 80), family=2,
    number=2, round=2)
AttemptFailed(at=2.0, target='192.0.2.1:80', address=('192.0.2.1', 80), error=DeadlineExceeded(None,
    'no answer in time from 192.0.2.1:80'), family=2, number=2, round=2, stage='connect',
    started=0.30046462709189137, tries=1)
GaveUp(at=2.0, target='192.0.2.1:80', error=ConnectionRefused(111, 'refused by 192.0.2.1:80; no
    answer in time from 192.0.2.1:80'), reason='deadline')
"""


def test_the_log_of_a_seed_is_the_same_everywhere() -> None:
    """On every Python, to the last digit of every delay that was drawn."""
    names = "db.test EAI_AGAIN 0.25, a b 0.125, a b 0.125, b a 0.125"
    peers = "a refused 0.0625, no-descriptor, connects 0.125; b never"
    outcome = run(
        f"{names}; {peers}",
        "db.test",
        seed=7,
        retry=True,
        timeout=10,
        attempt_timeout=1.5,
        happy_eyeballs_delay=0.5,
    )
    assert list(map(repr, outcome.told)) == _events(CONNECTED)
    policy = retry.exponential(1, jitter="full")
    outcome = run("a refused 0.0625, never", "a", seed=3, retry=policy, timeout=2)
    assert list(map(repr, outcome.told)) == _events(GAVE_UP)


def _events(log: str) -> list[str]:
    """Join the lines that were broken to fit the page."""
    return log.strip().replace("\n    ", " ").splitlines()


def test_the_delays_are_those_of_a_preview() -> None:
    """What a policy would do is what it does."""
    told = run("a refused", "a", seed=5, retry=retry.DEFAULT).told
    delays = [event.delay for event in told if isinstance(event, events.RetryScheduled)]
    assert delays == retry.DEFAULT.preview(9, seed=5)


def test_every_decision_goes_to_the_logger_too(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, whether anybody else observes or not; and one WARNING for each pause."""
    world = "a refused 0.25, reset, connects"
    with caplog.at_level(logging.DEBUG, "aioconnect"):
        told = run(world, "a", retry=retry.constant(2)).told
        records = [record for record in caplog.records if record.levelno == logging.DEBUG]
        assert [record.getMessage() for record in records] == list(map(repr, told))
        caplog.clear()
        VirtualCall(World(world), parse_all((address("a"), 80)), Dialer(retry=3)).drive()
        assert sum(record.levelno == logging.DEBUG for record in caplog.records) == len(told)
    caplog.clear()
    with caplog.at_level(logging.INFO, "aioconnect"):
        run(world, "a", retry=retry.constant(2))
    assert {(record.name, record.levelname) for record in caplog.records} == {
        ("aioconnect", "WARNING")
    }
    refused, reset = [record.getMessage() for record in caplog.records]
    assert refused.startswith("cannot connect to 192.0.2.1:80: refused (1 attempt, 0.2 s)")
    assert refused.endswith("; round 2 in 2.00 s")
    assert reset.startswith("cannot connect to 192.0.2.1:80: reset (1 attempt)")
    assert reset.endswith("; round 3 in 2.00 s")


def test_an_observer_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever event it fails on: the call goes on, and the logger has the traceback."""
    row = "db.test EAI_AGAIN, a; a refused 0.25, connects 0.25"

    def on_event(event: events.Event) -> None:
        raise RuntimeError("the disk is full")

    undisturbed = run(row, "db.test", retry=EVERYTHING)
    caplog.clear()
    outcome = run(row, "db.test", retry=EVERYTHING, on_event=on_event)
    assert outcome.log == undisturbed.log
    broken = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(broken) == len(outcome.told)
    assert all(record.exc_info for record in broken)


def test_one_event_for_each_attempt_and_one_at_the_end() -> None:
    """Whoever counts them gets it right."""
    outcome = run(
        "a never; b refused 0.125, refused, refused 0.5; c reset",
        *"abc",
        retry=retry.attempts(3) & retry.constant(0.5),
        attempt_timeout=1,
    )
    begun = [e.number for e in outcome.told if type(e) is events.AttemptStarted]
    ended = [e.number for e in outcome.told if type(e) is events.AttemptFailed]
    assert begun == list(range(1, 10))
    assert sorted(ended) == begun
    assert [type(event) for event in outcome.told].count(events.GaveUp) == 1
    last = outcome.told[-1]
    assert isinstance(last, events.GaveUp)
    assert outcome.error is not None
    assert str(last.error) == str(outcome.error)
    assert list(last.error.attempts) == list(outcome.error.attempts)


# Policies of somebody else ------------------------------------------------------------------------


def failing(error: BaseException) -> Callable[[retry.Context], retry.Retry]:
    """Make a policy that raises."""

    def policy(ctx: retry.Context) -> retry.Retry:
        raise error

    return policy


def test_an_os_error_of_a_policy_ends_the_call() -> None:
    """It is one of the failures; the peer's own has precedence."""
    outcome = run("a refused", "a", retry=failing(OSError(errno.EIO, "no policy file")))
    error = outcome.error
    assert isinstance(error, ConnectionRefusedError)
    assert [(a.stage, a.errno) for a in error.attempts] == [
        ("connect", errno.ECONNREFUSED),
        ("wait", errno.EIO),
    ]
    assert error.stopped == "custom"
    assert outcome.log[-1] == "0 gave up: custom"

    error = run("a no-port", "a", retry=failing(TimeoutError("of the policy's server"))).error
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize(
    "error", [ValueError("what?"), ExceptionGroup("two", [KeyError(1)]), KeyboardInterrupt()]
)
def test_whatever_else_a_policy_raises_comes_out_as_it_is(error: BaseException) -> None:
    """The very object; nothing is left open, nothing is kept."""
    budget, breaker = retry.Budget(3), retry.Breaker(9)
    with pytest.raises(type(error)) as caught:
        run("a refused; b never", *"ab", retry=failing(error), budget=budget, breaker=breaker)
    assert caught.value is error
    assert budget.tokens("192.0.2.1:80, 192.0.2.2:80") == 3.0


def test_an_answer_that_is_none_is_a_type_error() -> None:
    """The message names the policy and what it answered."""
    with pytest.raises(TypeError, match=r"lambda.*answered 2, not a Retry or a Stop"):
        run("a refused", "a", retry=lambda ctx: 2)


# Whatever happens ---------------------------------------------------------------------------------

AFTER = st.floats(0.1, 3.0).map(lambda seconds: round(seconds, 3))
ENDINGS = st.one_of(
    st.just("never"),
    st.builds("{} {}".format, st.sampled_from(sorted(ENDS)), AFTER),
    st.builds("connects {}".format, AFTER),
)
PEER = st.lists(ENDINGS, min_size=1, max_size=4).map(", ".join)
LOOKUPS = st.lists(
    st.one_of(
        st.just("never"),
        st.builds(
            "{} {}".format,
            st.sampled_from(["a", "a b", "b a c", "EAI_AGAIN", "EAI_NONAME"]),
            AFTER,
        ),
    ),
    min_size=1,
    max_size=3,
).map(", ".join)
NO_IPV6 = st.one_of(st.just("never"), st.builds("EAI_NONAME {}".format, AFTER))
REST = st.builds("c {}; db.test {}; db.test/6 {}".format, PEER, LOOKUPS, NO_IPV6)
WORLDS = st.builds("a {}; b {}; {}".format, PEER, PEER, REST)
FIRST = st.sampled_from(["connects", *sorted(ENDS)])  # at once, as it may be on loopback
PROMPT = st.builds("a {}, {}; b {}, {}; {}".format, FIRST, PEER, FIRST, PEER, REST)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "db.test"]), min_size=1, max_size=3, unique=True)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    world=WORLDS,
    targets=TARGETS,
    policy=POLICIES,
    timeout=st.floats(0.1, 15.0),
    attempt_timeout=st.none() | AFTER,
    family=st.sampled_from([0, int(socket.AF_INET)]),
    seed=st.integers(0, 2**32),
)
def test_no_call_sleeps_past_its_deadline(
    world: str,
    targets: list[str],
    policy: retry.Policy,
    timeout: float,
    attempt_timeout: float | None,
    family: int,
    seed: int,
) -> None:
    """Whatever the policy and the world: each pause leaves time for an attempt, and all ends."""
    options: dict[str, Any] = {"timeout": timeout, "attempt_timeout": attempt_timeout}
    outcome = run(world, *targets, seed=seed, retry=policy, family=family, **options)
    assert outcome.world.now <= timeout
    for event in outcome.told:
        assert 0 <= event.at <= timeout
        if isinstance(event, events.RetryScheduled):
            assert event.at + event.delay <= timeout - ATTEMPT_NEEDS
    ends = [event for event in outcome.told if isinstance(event, events.GaveUp | events.Connected)]
    assert len(ends) == 1
    if outcome.error is not None:
        assert outcome.error.elapsed <= timeout
        assert outcome.error.stopped is not None


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(
    world=WORLDS | PROMPT,
    targets=TARGETS,
    policy=st.none() | POLICIES,
    attempt_timeout=st.none() | AFTER,
    delay=st.none() | AFTER,
    leave=st.just(inf) | st.floats(0.0, 15.0),
)
def test_an_observer_changes_nothing(
    world: str,
    targets: list[str],
    policy: retry.Policy | None,
    attempt_timeout: float | None,
    delay: float | None,
    leave: float,
) -> None:
    """Without one, the first address is begun before there is a call: all else is as it was."""
    options: dict[str, Any] = {"attempt_timeout": attempt_timeout, "happy_eyeballs_delay": delay}
    alone, watched = [
        run(world, *targets, retry=policy, timeout=15.0, leave=leave, observed=observed, **options)
        for observed in (False, True)
    ]
    assert alone.told == []
    assert alone.world.begun == watched.world.begun
    assert alone.world.now == watched.world.now
    assert (alone.call.sock is None) == (watched.call.sock is None)
    assert facts(alone.error) == facts(watched.error)


def facts(error: ConnectError | None) -> list[Any]:
    """Return what an error knows, and what its attempts do."""
    if error is None:
        return []
    return [
        str(error),
        *map(repr, error.attempts),
        [attempt_.error.help for attempt_ in error.attempts],
    ]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    world=WORLDS,
    targets=TARGETS,
    delay=st.floats(0.0, 2.0),
    leave=st.floats(0.0, 15.0),
    failures=st.integers(1, 4),
)
def test_a_call_that_is_left_keeps_nothing(
    world: str, targets: list[str], delay: float, leave: float, failures: int
) -> None:
    """At any instant: no socket, no token but those of rounds that were begun, no trial."""
    budget = retry.Budget(50, 0.0)
    breaker = retry.Breaker(failures, open_for=0.5)
    outcome = run(
        world,
        *targets,
        retry=retry.constant(delay),
        budget=budget,
        breaker=breaker,
        leave=leave,
    )
    paid = [
        event
        for event in outcome.told
        if isinstance(event, events.RetryScheduled) and retry.left_host(event.error)
    ]
    rounds = [getattr(event, "round", 0) for event in outcome.told]
    looked = [e.at for e in outcome.told if isinstance(e, events.LookupStarted)]
    begun = [
        event
        for event in paid
        if any(number > event.round for number in rounds)
        or any(at >= event.at + event.delay for at in looked)
    ]
    key = outcome.call.text
    assert budget.tokens(key) == 50 - len(begun)
    assert isinstance(breaker.admit(key, outcome.world.now + 0.5), retry.Permit)


# Real sockets -------------------------------------------------------------------------------------


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


@contextmanager
def later(seconds: float, action: Callable[[], Any]) -> Iterator[None]:
    """Do something after a while, in another thread."""
    timer = threading.Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


QUICK = retry.constant(0.05)


def test_a_server_that_comes_up_late(api: Api) -> None:
    """The call outlasts its absence."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        started = time.monotonic()
        with later(0.2, server.listen):
            sock = api.connect(server.getsockname(), retry=QUICK, timeout=20)
        with sock:
            assert time.monotonic() - started >= 0.2
            assert sock.getpeername() == server.getsockname()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class Moving:
    """A name server whose one name moves."""

    def __init__(self, home: str) -> None:
        self.home = StaticResolver({"db.test": home})
        self.asked = 0

    def move(self, home: str) -> None:
        """Move the name."""
        self.home = StaticResolver({"db.test": home})

    async def lookup(self, name: str, family: int) -> Answer:
        """Say where it is."""
        self.asked += 1
        return await self.home.lookup(name, family)


def test_a_server_that_goes_away_and_moves(api: Api) -> None:
    """The answer that a cache keeps is forgotten after a round, and the new home is found."""
    names = Moving("127.0.0.1")
    options: dict[str, Any] = {
        "resolver": Cache(names),
        "family": socket.AF_INET,
        "retry": QUICK,
        "timeout": 20,
    }
    with listen() as old, socket.socket() as new:
        port = old.getsockname()[1]
        new.bind(("127.0.0.2", port))
        for _ in range(2):
            with api.connect("db.test", port, **options) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)
        assert names.asked == 1, "kept"
        old.close()
        new.listen()
        names.move("127.0.0.2")
        with api.connect("db.test", port, **options) as sock:
            assert sock.getpeername() == ("127.0.0.2", port)
        assert names.asked == 2


def test_a_path_that_appears_later(api: Api, tmp_path: Any) -> None:
    """First there is nothing, then a file that nobody listens on, then a server."""
    path = str(tmp_path / "socket")
    codes: list[str] = []

    def policy(ctx: retry.Context) -> retry.Retry:
        codes.append(ctx.error.code)
        if ctx.failures == 2:
            server.bind(path)
        elif ctx.failures == 4:
            server.listen()
        return retry.Retry(0.02)

    with (
        socket.socket(socket.AF_UNIX) as server,
        api.connect(f"unix:{path}", retry=policy, timeout=20) as sock,
    ):
        assert sock.getpeername() == path
    assert codes == ["path_not_found"] * 2 + ["connection_refused"] * 2


def test_descriptors_that_run_out_and_come_back(api: Api) -> None:
    """They are waited for; that costs no token, and opens no breaker."""
    budget, breaker = retry.Budget(1, 0.0), retry.Breaker(1)
    lift: list[Callable[[], None]] = []
    codes: list[str] = []

    @contextmanager
    def no_descriptors() -> Iterator[None]:
        with ExitStack() as limit:
            limit.enter_context(few_descriptors())
            lift.append(limit.close)
            yield

    def policy(ctx: retry.Context) -> retry.Retry:
        codes.append(ctx.error.code)
        if ctx.failures == 3:
            lift.pop()()
        return retry.Retry(0.02)

    with listen() as server, api.during(no_descriptors):
        host, port = server.getsockname()
        api.connect(host, port, retry=policy, budget=budget, breaker=breaker, timeout=20).close()
    assert codes == ["too_many_open_sockets"] * 3
    assert budget.tokens(f"{host}:{port}") == 1.0
    assert breaker.state(f"{host}:{port}", time.monotonic()) == "closed"


def test_each_attempt_has_a_new_socket_and_the_old_one_is_closed_before_the_pause(
    api: Api,
) -> None:
    """Each with the options and the local address that were asked for."""
    made: list[socket.socket] = []
    open_then: list[bool] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    def policy(ctx: retry.Context) -> retry.Retry:
        open_then.append(any(sock.fileno() != -1 for sock in made))
        if ctx.failures == 3:
            server.listen()
        return retry.Retry(0.02)

    with socket.socket() as server, refusing() as other:
        server.bind(("127.0.0.1", 0))
        sock = api.connect(
            [other, server.getsockname()],
            retry=policy,
            socket_factory=factory,
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
            local_addr=("127.0.0.3", 0),
            timeout=20,
        )
        with sock:
            assert len(made) == len(set(map(id, made))) >= 7
            assert open_then == [False, False, False]
            assert [each.fileno() == -1 for each in made] == [each is not sock for each in made]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert sock.getsockname()[0] == "127.0.0.3"


def test_a_call_stops_before_its_deadline_rather_than_sleep_past_it(api: Api) -> None:
    """Not after a pause that was bound to be for nothing."""
    started = time.monotonic()
    with refusing() as address:
        error = api.fails(address, retry=retry.constant(20), timeout=20)
    assert time.monotonic() - started < 10
    assert error.stopped == "deadline"
    assert isinstance(error, ConnectionRefusedError)


def test_the_timeout_holds_for_all_rounds_together(api: Api) -> None:
    """Attempts that are never answered, each with its own limit, and pauses between them."""
    with black_hole() as dead:
        error = api.fails(dead, retry=QUICK, attempt_timeout=0.1, timeout=0.5)
    assert 0.4 <= error.elapsed < 1.5
    assert isinstance(error, TimeoutError)
    assert error.stopped == "deadline"
    assert error.count >= 2


def test_changing_the_wall_clock_changes_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaps by a century, back and forth, whenever somebody looks at it."""
    leaps = itertools.cycle([0.0, 3.2e9])
    monkeypatch.setattr(time, "time", lambda: next(leaps))
    told: list[events.Event] = []
    started = time.monotonic()
    with refusing() as address:
        budget = retry.Budget()
        policy = retry.attempts(4) & retry.constant(0.1)
        error = api.fails(address, retry=policy, budget=budget, timeout=30, on_event=told.append)
    assert 0.3 <= error.elapsed <= time.monotonic() - started < 10
    begun = [event.at for event in told if type(event) is events.AttemptStarted]
    assert all(0.1 <= b - a < 5 for a, b in itertools.pairwise(begun))
    assert error.count == 4


def test_all_drivers_tell_the_same_story(api: Api) -> None:
    """Instants apart: a name that is not there yet, a server that is not up yet."""
    told: list[str] = []

    class Names:
        asked = 0

        async def lookup(self, name: str, family: int) -> Answer:
            self.asked += 1
            if self.asked == 1:
                raise socket.gaierror(socket.EAI_AGAIN, "not yet")
            return Answer(("127.0.0.1",), source="dns")

    def on_event(event: events.Event) -> None:
        where = getattr(event, "address", "")
        code = getattr(getattr(event, "error", None), "code", "")
        told.append(" ".join(filter(None, [type(event).__name__, *where[:1], code])))

    def policy(ctx: retry.Context) -> retry.Retry:
        if ctx.failures == 2:
            server.listen()
        return retry.Retry(0.01)

    with refusing() as first, socket.socket() as server:
        server.bind(("127.0.0.2", 0))
        api.connect(
            [("db.test", first[1]), server.getsockname()],
            retry=policy,
            resolver=Names(),
            family=socket.AF_INET,
            happy_eyeballs_delay=None,
            on_event=on_event,
            timeout=20,
        ).close()
    assert told == [
        "LookupStarted",
        "LookupFailed try_again",
        "AttemptStarted 127.0.0.2",
        "AttemptFailed 127.0.0.2 connection_refused",
        "RetryScheduled connection_refused",
        "LookupStarted",
        "LookupSucceeded",
        "AttemptStarted 127.0.0.1",
        "AttemptFailed 127.0.0.1 connection_refused",
        "AttemptStarted 127.0.0.2",
        "AttemptFailed 127.0.0.2 connection_refused",
        "RetryScheduled connection_refused",
        "LookupStarted",
        "LookupSucceeded",
        "AttemptStarted 127.0.0.1",
        "AttemptFailed 127.0.0.1 connection_refused",
        "AttemptStarted 127.0.0.2",
        "Connected 127.0.0.2",
    ]


def test_a_half_open_breaker_lets_exactly_one_through(api: Api) -> None:
    """Of many at the same time; the others are told when to come again."""
    breaker = retry.Breaker(1, open_for=30)
    with black_hole() as dead:
        key = "{}:{}".format(*dead)
        breaker.failure(key, time.monotonic() - 100)
        assert breaker.state(key, time.monotonic()) == "half-open"
        ends = api.together([((dead,), {"breaker": breaker, "timeout": 0.4})] * 20)
        refused = [error for error in ends if isinstance(error, aioconnect.CircuitOpen)]
        assert len(refused) == 19
        assert sum(isinstance(error, aioconnect.DeadlineExceeded) for error in ends) == 1
        assert all(error.retry_after and 10 < error.retry_after <= 30 for error in refused)
        assert breaker.state(key, time.monotonic()) == "open"


def test_a_breaker_says_truly_when_to_come_again(api: Api) -> None:
    """Before, it is open; then, the call goes through."""
    breaker = retry.Breaker(1, open_for=1.0, rng=lambda: 0.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()
        assert isinstance(api.fails(address, breaker=breaker), ConnectionRefusedError)
        server.listen()
        error = api.fails(address, breaker=breaker)
        assert isinstance(error, aioconnect.CircuitOpen)
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 0.5
        time.sleep(error.retry_after)
        api.connect(address, breaker=breaker).close()
        api.connect(address, breaker=breaker).close()


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_no_policy_sees_an_interruption(api: Api, interruption: type[BaseException]) -> None:
    """Not even one that retries everything."""
    asked: list[retry.Context] = []

    def everything(ctx: retry.Context) -> retry.Retry:
        asked.append(ctx)
        return retry.Retry()

    def factory(endpoint: Any) -> socket.socket:
        raise interruption

    with refusing() as address, pytest.raises(interruption):
        api.connect(
            address,
            retry=retry.forever() & everything & retry.on(lambda error: True),
            socket_factory=factory,
        )
    assert not asked


@pytest.mark.parametrize(
    ("option", "value", "error", "said"),
    [
        ("retry", False, TypeError, "retry=False: say retry=None"),
        ("retry", 0, ValueError, "retry=0: the first round counts too"),
        ("retry", 1.5, TypeError, "retry=1.5: expected None, True, a number"),
        ("retry", "always", TypeError, "retry='always': expected None, True, a number"),
        ("retry", retry.exponential, TypeError, r"when it is called: exponential\(...\)"),
        ("retry", retry.Retry, TypeError, "is a class"),
        ("budget", 10, TypeError, r"budget needs reserve\(\)"),
        ("budget", retry.Budget, TypeError, "budget.*not a class"),
        ("breaker", True, TypeError, r"breaker needs admit\(\)"),
        ("breaker", retry.Breaker, TypeError, "breaker.*not a class"),
        ("timeout", -1, ValueError, "timeout=-1"),
        ("attempt_timeout", math.nan, ValueError, "attempt_timeout=nan"),
        ("on_event", "log", TypeError, "on_event is not callable"),
    ],
)
def test_what_is_given_wrongly_is_said_before_anything_is_dialled(
    option: str, value: Any, error: type[Exception], said: str
) -> None:
    """By every way in, in a sentence that names the option."""
    options: dict[str, Any] = {option: value}

    def factory(endpoint: Any) -> socket.socket:
        raise AssertionError(endpoint)

    with pytest.raises(error, match=said):
        Dialer(**options)
    with pytest.raises(error, match=said):
        aioconnect.blocking.connect("127.0.0.1:9", socket_factory=factory, **options)
    with pytest.raises(error, match=said):
        asyncio.run(aioconnect.connect("127.0.0.1:9", socket_factory=factory, **options))


# Left in the middle -------------------------------------------------------------------------------


async def test_a_cancelled_pause_gives_everything_back() -> None:
    """The token, the permit; and the cancellation comes out."""
    budget, breaker = retry.Budget(1), retry.Breaker(2, open_for=30)
    asleep = asyncio.Event()

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.RetryScheduled):
            asleep.set()

    with refusing() as address:
        key = "{}:{}".format(*address)
        call = aioconnect.connect(
            address,
            retry=retry.constant(20),
            budget=budget,
            breaker=breaker,
            timeout=60,
            on_event=on_event,
        )
        task = asyncio.create_task(call)
        await asyncio.wait_for(asleep.wait(), 10)
        assert budget.tokens(key) == 0.0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.tokens(key) == 1.0
        assert breaker.state(key, time.monotonic()) == "closed"


async def test_a_cancelled_trial_is_given_back() -> None:
    """The next one who asks is let through."""
    breaker = retry.Breaker(1, open_for=30)
    with black_hole() as dead:
        key = "{}:{}".format(*dead)
        breaker.failure(key, time.monotonic() - 100)
        task = asyncio.create_task(aioconnect.connect(dead, breaker=breaker, timeout=60))
        await asyncio.sleep(0.02)
        assert isinstance(breaker.admit(key, time.monotonic()), float)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert breaker.state(key, time.monotonic()) == "half-open"
        permit = breaker.admit(key, time.monotonic())
        assert isinstance(permit, retry.Permit)
        assert permit.trial


@pytest.mark.parametrize(
    "policy",
    [
        retry.forever(),
        retry.on(BaseException),
        retry.on(lambda error: True) | retry.forever(),
        retry.constant(0.01),
        retry.constant(5),
    ],
    ids=repr,
)
async def test_no_policy_delays_a_cancellation(policy: retry.Policy) -> None:
    """A time limit around the call ends it on time, whatever the policy retries, and how fast."""
    started = time.monotonic()
    with refusing() as address, pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await aioconnect.connect(address, retry=policy, timeout=6)
    assert time.monotonic() - started < 3
    assert not isinstance(caught.value, ConnectError)


@pytest.mark.parametrize("what", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
def test_a_policy_cannot_ask_for_what_is_no_error(what: type[BaseException]) -> None:
    """It is said when the policy is made."""
    with pytest.raises(TypeError, match="no connection error is a"):
        retry.on(what)  # type: ignore[arg-type]


async def test_a_look_up_that_comes_late_does_not_hold_up_the_loop() -> None:
    """Its answer comes in the pause after its round, and is for nobody."""

    class Names:
        async def lookup(self, name: str, family: int) -> Answer:
            if family == socket.AF_INET:
                return Answer(("127.0.0.1",))
            await asyncio.sleep(0.05)
            raise socket.gaierror(socket.EAI_NONAME, "at last")

    attempts = 0

    def factory(endpoint: Any) -> socket.socket:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise OSError(errno.EMFILE, "too many open files")
        return socket.socket(*endpoint[:3])

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.01)

    turns = 0
    counter = asyncio.create_task(count_turns())
    with listen() as server:
        sock = await aioconnect.connect(
            "db.test",
            server.getsockname()[1],
            resolver=Names(),
            socket_factory=factory,
            retry=retry.constant(0.5),
            resolution_delay=0.0,
            timeout=20,
        )
        sock.close()
    counter.cancel()
    assert turns >= 40, "in a second"


def test_an_interrupted_pause_gives_everything_back_when_blocking() -> None:
    """The exception of a signal handler comes out of poll(2) and out of the call."""
    budget = retry.Budget(1)
    main = threading.get_ident()

    class Interrupted(BaseException):
        pass

    def handler(number: int, frame: Any) -> None:
        raise Interrupted

    def policy(ctx: retry.Context) -> retry.Retry:
        timers.enter_context(later(0.1, lambda: signal.pthread_kill(main, signal.SIGUSR1)))
        return retry.Retry(20)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with ExitStack() as timers, refusing() as address:
            with pytest.raises(Interrupted):
                aioconnect.blocking.connect(address, retry=policy, budget=budget, timeout=60)
            assert budget.tokens("{}:{}".format(*address)) == 1.0
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_rounds_leave_no_garbage() -> None:
    """An error of several rounds is gone with its last reference, and the call with it."""
    with refusing() as address, refusing() as other:
        policy = retry.attempts(3) & retry.constant(0)
        gc.collect()
        gc.disable()
        try:
            try:
                aioconnect.blocking.connect([address, other], retry=policy)
            except ConnectError as exc:
                gone, count = weakref.ref(exc), exc.count
            assert count == 6
            assert gone() is None
        finally:
            gc.enable()
