"""The race in virtual time: who is dialled, at which instant, for how long, and who wins.

A row of a table says which addresses there are, best first, and what becomes of an attempt at
each (the *world*), and then, instant by instant, what the race must do about it (the *log*).
``4a`` is an IPv4 address, ``6a`` an IPv6 one, ``ua`` a Unix socket.  An attempt at an address
``connects`` or ``fails`` so many seconds after its start, meets a ``full`` backlog, or fails for
want of something ``local``, or is ``never`` answered.  Names are answered as they are scripted:
``0.02 A 4a 4b`` is an answer with two addresses, ``0.02 AAAA none`` a negative one, ``never`` one
that does not come, and a ``literal`` needs no look-up.

The sections are those of RFC 8305.  The simulation asks the race as ``aioconnect/call.py`` does,
and fails if the race ever asks to be woken for nothing, or too late.
"""

from __future__ import annotations

import heapq
import itertools
import math
import socket
import sys
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioconnect.race import LEAST_SHARE, Candidate, Lone, Race, interleaved, limit, pause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import FrameType

    from aioconnect.targets import Endpoint

AF = {"4": int(socket.AF_INET), "6": int(socket.AF_INET6), "u": int(socket.AF_UNIX)}
RECORD = {"A": AF["4"], "AAAA": AF["6"]}


# The simulation -----------------------------------------------------------------------------------


class End(NamedTuple):
    """What becomes of one try, and how long after its start."""

    how: str
    after: float = 0.0


class Answer(NamedTuple):
    """What one look-up of a name brings, and when; a literal is one that came before the start."""

    at: float
    family: int
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Addresses, what happens to them, and what the race must make of it."""

    world: dict[str, tuple[End, ...]]
    targets: tuple[tuple[Answer, ...], ...]
    options: dict[str, Any] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    behaviour: str = ""


def case(behaviour: str, world: str, log: str, *targets: str, **options: Any) -> Row:
    """Write one row: its name, the world, the log; the targets if they are not all in one."""
    read = _world(world)
    all_known = (Answer(-inf, 0, tuple(read)),)
    return Row(
        read,
        tuple(_target(target) for target in targets) or (all_known,),
        options,
        tuple(entry.strip() for entry in log.split(";")),
        behaviour,
    )


def _world(text: str) -> dict[str, tuple[End, ...]]:
    world = {}
    for each in filter(None, map(str.strip, text.split(";"))):
        address, _, tries = each.partition(" ")
        ends = []
        for one in tries.split(","):
            how, *after = one.split()
            ends.append(End(how, float(after[0]) if after else 0.0))
        world[address] = tuple(ends)
    return world


def _target(text: str) -> tuple[Answer, ...]:
    answers = []
    for each in text.split(";"):
        first, *words = each.split()
        if first == "literal":
            answers.append(Answer(-inf, 0, tuple(words)))
        else:
            record, *addresses = words
            at = inf if first == "never" else float(first)
            known = () if addresses == ["none"] else tuple(addresses)
            answers.append(Answer(at, RECORD[record], known))
    return tuple(answers)


def endpoint(address: str) -> Endpoint:
    """Return what ``getaddrinfo`` would give; the race compares addresses and reads none."""
    family = AF[address[0]]
    sockaddr = {"4": (address, 443), "6": (address, 443, 0, 0), "u": address}[address[0]]
    return family, int(socket.SOCK_STREAM), 0, "", sockaddr


def word(candidate: Candidate) -> str:
    """Return the address as the tables write it."""
    address = candidate.endpoint[4]
    return str(address if isinstance(address, str) else address[0])


class Simulation:
    """One round, driven as a call drives it, on a clock that jumps from event to event.

    ``ticks`` are instants at which the driver asks although nothing happened: that must never
    change anything.  With ``at_hand`` all addresses of the only target are known, and the first is
    begun before there is a race.
    """

    def __init__(
        self,
        row: Row,
        *,
        started: float = 0.0,
        ticks: Iterable[float] = (),
        at_hand: bool = False,
    ) -> None:
        options = dict(row.options)
        self.row = row
        self.started = self.now = started
        self.deadline = started + options.pop("timeout", 30.0)
        self.slots = 1 if options.get("delay", 0.25) is None else options.get("slots", 6)
        targets = 1 if at_hand else len(row.targets)
        self.names = Race(targets=targets, started=started, deadline=self.deadline, **options)
        self.race: Lone = self.names
        self.log: list[str] = []
        self.starts: list[tuple[float, Candidate]] = []
        self.failures: list[tuple[float, Candidate, Candidate]] = []  # and the newest by then
        self.open: set[Candidate] = set()
        self.most_open = 0
        self.winner: Candidate | None = None
        self.failed_first: Candidate | None = None
        self.waits: list[int] = []  # how long the log was at each wait
        self.end = ""
        self._events: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        for tick in ticks:
            self._at(tick, None)
        self._best_first = list(row.world)
        self._known: list[list[str]] = [[] for _ in row.targets]
        self._awaited = [
            [answer.family for answer in answers if answer.at != -inf] for answers in row.targets
        ]
        if at_hand:
            self._begin_with_first()
            return
        for target, answers in enumerate(row.targets):
            for answer in answers:
                if answer.at == -inf:
                    self._offer(target, answer)
                elif answer.at != inf:
                    self._at(started + answer.at, (target, answer))

    def run(self, *, cancel_at_wait: float = inf) -> Simulation:
        """Run until somebody won, the round is over, or it is cancelled at its n-th wait."""
        race = self.race
        timer_rang = False
        if self.winner is not None:
            return self._ended("won")
        for _ in range(100_000):
            said_something = self._start_all()
            if self.winner is not None:
                return self._ended("won")
            if race.over(self.now):
                self._note("over")
                return self._ended("over")
            assert said_something or not timer_rang, f"woken for nothing at {self.now}"
            until = race.wake(self.now)
            assert until == race.wake(self.now), "asking changed the answer"
            assert until > self.now or race.expired(self.now), f"spins at {self.now}"
            assert self.open == set(race.running)
            if len(self.waits) >= cancel_at_wait:
                return self._ended("cancelled")
            self.waits.append(len(self.log))
            if until == inf and not self._events:
                assert race.running or any(self._awaited), "waits for ever, and for nothing"
                return self._ended("waits for ever")
            timer_rang = not (self._events and self._events[0][0] <= until)
            self.now = max(self.now, until if timer_rang else self._events[0][0])
            self._happen()
            if self.winner is not None:
                return self._ended("won")
            for candidate in race.expired(self.now):
                self._note("expire", candidate)
                self._failed(candidate)
                timer_rang = False
        raise AssertionError("never ends")

    def _ended(self, how: str) -> Simulation:
        self.end = how
        assert self.open == set(self.race.running), "the driver would close too much or too little"
        return self

    def _at(self, instant: float, event: Any) -> None:
        heapq.heappush(self._events, (instant, next(self._order), event))

    def _note(self, what: str, candidate: Candidate | None = None) -> None:
        instant = f"{round(self.now - self.started, 9):.9g}"
        self.log.append(" ".join([instant, what, *([word(candidate)] if candidate else [])]))

    def _in_order(self, addresses: Iterable[str]) -> list[str]:
        return sorted(addresses, key=self._best_first.index)

    def _offer(self, target: int, answer: Answer) -> None:
        self._known[target] += answer.addresses
        endpoints = [endpoint(address) for address in self._in_order(self._known[target])]
        self.names.offer(target, endpoints, self.now, tuple(self._awaited[target]))

    def _begin_with_first(self) -> None:
        answers = [answer for (answer,) in self.row.targets]
        options = self.row.options
        if len(answers) > 1:
            endpoints = [endpoint(address) for answer in answers for address in answer.addresses]
        else:
            endpoints = [endpoint(address) for address in self._in_order(answers[0].addresses)]
            endpoints = interleaved(endpoints, options.get("interleave", 1))
        candidate = Candidate(endpoints[0], 0, 1, self.now)
        if len(endpoints) > 1:
            others = [
                Candidate(endpoints[number], number if len(answers) > 1 else 0)
                for number in range(1, len(endpoints))
            ]
            end = self.row.world[word(candidate)][0]
            if not end.after and end.how not in ("connects", "never", "full", "local"):
                self.failed_first = candidate
            failed = self.failed_first is not None
            self.names.adopt(candidate, others, self.now, failed=failed)
        else:
            more = options.get("more_rounds", False)
            most = options.get("attempt_timeout")
            candidate.limit = limit(self.now, self.deadline, most, 1, self.slots, more)
            self.race = Lone(candidate)
        self._begin(candidate)

    def _start_all(self) -> bool:
        started = False
        while self.winner is None and (candidate := self.race.start(self.now)) is not None:
            started = True
            self._begin(candidate)
        return started

    def _begin(self, candidate: Candidate) -> None:
        if candidate.tries == 1:
            self._note("start", candidate)
            self.starts.append((self.now, candidate))
            self.open.add(candidate)
            self.most_open = max(self.most_open, len(self.open))
        else:
            self._note("retry", candidate)
        assert candidate in self.open
        tries = self.row.world[word(candidate)]
        end = tries[min(candidate.tries, len(tries)) - 1]
        if end.after:
            self._at(self.now + end.after, (candidate, candidate.tries, end))
        elif end.how != "never":
            self._settle(candidate, end)

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.now and self.winner is None:
            event = heapq.heappop(self._events)[2]
            if event is None:
                continue
            if isinstance(event[1], Answer):
                target, answer = event
                self._awaited[target].remove(answer.family)
                self._offer(target, answer)
                continue
            candidate, number, end = event
            if candidate in self.open and candidate.tries == number:
                self._settle(candidate, end)

    def _settle(self, candidate: Candidate, end: End) -> None:
        if end.how == "connects":
            self._note("win", candidate)
            self.winner = candidate
        elif end.how == "full":
            self._note("full", candidate)
            self.race.again(candidate, self.now)
        else:
            self._note("fail", candidate)
            self._failed(candidate, local=end.how == "local")

    def _failed(self, candidate: Candidate, *, local: bool = False) -> None:
        self.failures.append((self.now, candidate, self.starts[-1][1]))
        self.open.remove(candidate)
        if candidate is not self.failed_first:  # which the race has been told already
            self.race.failed(candidate, self.now, local=local)


@pytest.fixture(autouse=True)
def no_descriptor_is_left() -> None:
    """Nothing is opened here, and so nothing is counted around each of many hundred races."""


# The tables ---------------------------------------------------------------------------------------

STAGGER = [
    case(
        "one address is dialled at once",
        "6a connects 0.1",
        "0 start 6a; 0.1 win 6a",
    ),
    case(
        "an address that connects within the call ends the race there",
        "6a connects; 4a connects",
        "0 start 6a; 0 win 6a",
    ),
    case(
        "a silent address costs the delay, not a time-out",
        "6a never; 4a connects 0.1",
        "0 start 6a; 0.25 start 4a; 0.35 win 4a",
    ),
    case(
        "each silent address costs one delay",
        "6a never; 4a never; 6b never; 4b connects 0.1",
        "0 start 6a; 0.25 start 4a; 0.5 start 6b; 0.75 start 4b; 0.85 win 4b",
    ),
    case(
        "starting an attempt never ends another: the slow first may still win",
        "6a connects 0.3; 4a connects 0.2",
        "0 start 6a; 0.25 start 4a; 0.3 win 6a",
    ),
    case(
        "the first to connect wins, whatever was preferred",
        "6a connects 9; 4a connects 0.2",
        "0 start 6a; 0.25 start 4a; 0.45 win 4a",
    ),
    case(
        "of two that connect at the same instant the one that is reported first wins",
        "6a connects 0.5; 4a connects 0.25",
        "0 start 6a; 0.25 start 4a; 0.5 win 6a",
    ),
    case(
        "when the newest attempt fails the next starts at once",
        "6a fails 0.1; 4a connects 0.1",
        "0 start 6a; 0.1 fail 6a; 0.1 start 4a; 0.2 win 4a",
    ),
    case(
        "a start after a failure arms the delay anew, from that start",
        "6a fails 0.1; 4a never; 6b connects 0.5",
        "0 start 6a; 0.1 fail 6a; 0.1 start 4a; 0.35 start 6b; 0.85 win 6b",
    ),
    case(
        "the failure of an older attempt leaves the timer alone",
        "6a fails 0.3; 4a never; 6b connects 0.1",
        "0 start 6a; 0.25 start 4a; 0.3 fail 6a; 0.5 start 6b; 0.6 win 6b",
    ),
    case(
        "the newest is the one started last, not the one that fails last",
        "6a fails 0.4; 4a fails 0.05; 6b never; 4b connects",
        "0 start 6a; 0.25 start 4a; 0.3 fail 4a; 0.3 start 6b; 0.4 fail 6a; 0.55 start 4b; "
        "0.55 win 4b",
    ),
    case(
        "addresses that refuse at once cost no time at all",
        "6a fails; 4a fails; 6b fails; 4b connects",
        "0 start 6a; 0 fail 6a; 0 start 4a; 0 fail 4a; 0 start 6b; 0 fail 6b; 0 start 4b; 0 win 4b",
    ),
    case(
        "a family that this host has no socket for is a failed attempt, and the race goes on",
        "6a fails; 4a never; 6b fails; 4b connects 0.1",
        "0 start 6a; 0 fail 6a; 0 start 4a; 0.25 start 6b; 0.25 fail 6b; 0.25 start 4b; "
        "0.35 win 4b",
    ),
    case(
        "the round is over when the last attempt has failed",
        "6a fails 0.4; 4a fails 0.3",
        "0 start 6a; 0.25 start 4a; 0.4 fail 6a; 0.55 fail 4a; 0.55 over",
    ),
    case(
        "no address at all is over at once",
        "",
        "0 over",
    ),
    case(
        "a failure at the very instant of the next start makes no second start",
        "6a fails 0.25; 4a never; 6b connects",
        "0 start 6a; 0.25 fail 6a; 0.25 start 4a; 0.5 start 6b; 0.5 win 6b",
    ),
    case(
        "the delay is the caller's",
        "6a never; 4a never; 6b connects",
        "0 start 6a; 0.01 start 4a; 0.02 start 6b; 0.02 win 6b",
        delay=0.01,
    ),
    case(
        "a long delay still gives way to a failure",
        "6a fails 0.5; 4a never; 6b connects",
        "0 start 6a; 0.5 fail 6a; 0.5 start 4a; 2.5 start 6b; 2.5 win 6b",
        delay=2.0,
    ),
]

ONE_AFTER_THE_OTHER = [
    case(
        "the next starts only when the one before has failed",
        "6a fails 1; 4a fails 2; 6b connects 0.5",
        "0 start 6a; 1 fail 6a; 1 start 4a; 3 fail 4a; 3 start 6b; 3.5 win 6b",
        delay=None,
    ),
    case(
        "a slow address is waited for",
        "6a connects 5; 4a connects",
        "0 start 6a; 5 win 6a",
        delay=None,
    ),
    case(
        "however many slots there are",
        "6a never; 4a connects",
        "0 start 6a; 3 expire 6a; 3 start 4a; 3 win 4a",
        delay=None,
        slots=9,
        attempt_timeout=3.0,
    ),
    case(
        "a silent address has its share of the time, and no more",
        "6a never; 4a never; 6b never; 4b connects",
        "0 start 6a; 2 expire 6a; 2 start 4a; 4 expire 4a; 4 start 6b; 6 expire 6b; 6 start 4b; "
        "6 win 4b",
        delay=None,
        timeout=8.0,
    ),
]

SLOTS = [
    case(
        "an address that finds no slot free waits for one",
        "6a fails 1; 4a never; 6b connects 0.1",
        "0 start 6a; 0.25 start 4a; 1 fail 6a; 1 start 6b; 1.1 win 6b",
        slots=2,
    ),
    case(
        "a slot that comes free too soon is not taken before the delay",
        "6a fails 0.3; 4a never; 6b connects 0.1",
        "0 start 6a; 0.25 start 4a; 0.3 fail 6a; 0.5 start 6b; 0.6 win 6b",
        slots=2,
    ),
    case(
        "the newest failing frees its slot and starts the next",
        "6a never; 4a fails 0.1; 6b connects 0.1",
        "0 start 6a; 0.25 start 4a; 0.35 fail 4a; 0.35 start 6b; 0.45 win 6b",
        slots=2,
    ),
    case(
        "two slots that come free at once are taken one delay apart",
        "6a fails 1; 4a fails 0.75; 6b never; 4b connects",
        "0 start 6a; 0.25 start 4a; 1 fail 6a; 1 fail 4a; 1 start 6b; 1.25 start 4b; 1.25 win 4b",
        slots=2,
    ),
    case(
        "one slot is one at a time",
        "6a fails 1; 4a fails; 6b connects",
        "0 start 6a; 1 fail 6a; 1 start 4a; 1 fail 4a; 1 start 6b; 1 win 6b",
        slots=1,
    ),
    case(
        "one slot does not make the delay shorter",
        "6a never; 4a connects",
        "0 start 6a; 0.1 expire 6a; 0.1 start 4a; 0.1 win 4a",
        slots=1,
        attempt_timeout=0.1,
        delay=1.0,
    ),
    case(
        "an attempt whose time is up gives its slot away",
        "6a never; 4a never; 6b connects",
        "0 start 6a; 0.25 start 4a; 3 expire 6a; 3 start 6b; 3 win 6b",
        slots=2,
        attempt_timeout=3.0,
    ),
    case(
        "what is left of the time is divided among the turns that the slots still need",
        "6a never; 4a never; 6b never; 4b never; 6c connects",
        "0 start 6a; 0.25 start 4a; 8 expire 6a; 8 start 6b; 12.125 expire 4a; 12.125 start 4b; "
        "16 expire 6b; 16 start 6c; 16 win 6c",
        slots=2,
        attempt_timeout=inf,
        timeout=24.0,
    ),
]

DEADLINE = [
    case(
        "what runs at the deadline has run out of time",
        "6a never; 4a never",
        "0 start 6a; 0.25 start 4a; 1 expire 6a; 1 expire 4a; 1 over",
        timeout=1.0,
    ),
    case(
        "nothing starts at the deadline or after it",
        "6a fails 1; 4a connects",
        "0 start 6a; 1 fail 6a; 1 over",
        timeout=1.0,
        delay=9.0,
    ),
    case(
        "a turn that would come at the deadline does not come",
        "6a never; 4a connects",
        "0 start 6a; 0.25 expire 6a; 0.25 over",
        timeout=0.25,
    ),
    case(
        "a connection that is there at the instant of the limit counts",
        "6a connects 1",
        "0 start 6a; 1 win 6a",
        timeout=1.0,
    ),
    case(
        "no time at all is still one try",
        "6a connects; 4a connects",
        "0 start 6a; 0 win 6a",
        timeout=0.0,
    ),
    case(
        "and no more than one",
        "6a fails; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
        timeout=0.0,
    ),
    case(
        "one try without time does not wait",
        "6a never; 4a connects",
        "0 start 6a; 0 expire 6a; 0 over",
        timeout=0.0,
    ),
    case(
        "a later round at the deadline tries nothing",
        "6a connects",
        "0 over",
        timeout=0.0,
        first=3,
    ),
    case(
        "without a deadline every address but the last has ten seconds",
        "6a never; 4a connects 60",
        "0 start 6a; 0.25 start 4a; 10 expire 6a; 10.25 expire 4a; 10.25 over",
        timeout=inf,
        more_rounds=True,
    ),
    case(
        "without a deadline the last address has all the time there is",
        "6a never; 4a connects 600",
        "0 start 6a; 0.25 start 4a; 10 expire 6a; 600.25 win 4a",
        timeout=inf,
    ),
    case(
        "a limit is not later than the deadline, not even by a rounding error",
        "6a fails 0.03; 4a never",
        "0 start 6a; 0.03 fail 6a; 0.03 start 4a; 0.3 expire 4a; 0.3 over",
        timeout=0.3,
        delay=1.0,
    ),
    case(
        "an address that is there twice is one address, which has all the time",
        "6a never",
        "0 start 6a; 30 expire 6a; 30 over",
        "literal 6a 6a",
    ),
    case(
        "an infinite time for one attempt is no limit of its own",
        "6a never; 4a connects 29",
        "0 start 6a; 0.25 start 4a; 29.25 win 4a",
        attempt_timeout=inf,
    ),
    case(
        "an attempt that expires is a failure: the next starts at once",
        "6a never; 4a connects",
        "0 start 6a; 0.5 expire 6a; 0.5 start 4a; 0.5 win 4a",
        attempt_timeout=0.5,
        delay=1.0,
    ),
    case(
        "no time for an attempt is one look at each address",
        "6a never; 4a connects",
        "0 start 6a; 0 expire 6a; 0 start 4a; 0 win 4a",
        attempt_timeout=0.0,
    ),
]

LOCAL = [
    case(
        "a local failure starts nothing new: another address cannot help",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
    ),
    case(
        "what runs already may still win",
        "6a connects 1; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 1 win 6a",
    ),
    case(
        "or fail, and then the round is over",
        "6a fails 1; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 1 fail 6a; 1 over",
    ),
    case(
        "or run out of its time",
        "6a never; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 10 expire 6a; 10 over",
    ),
    case(
        "nor are names waited for that are still being looked up",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
        "0 AAAA 6a; 1 A 4a",
    ),
    case(
        "nor is another target tried",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
        "literal 6a",
        "literal 4a",
    ),
    case(
        "nor, with one after the other, the next address",
        "6a fails; 4a local; 6b connects",
        "0 start 6a; 0 fail 6a; 0 start 4a; 0 fail 4a; 0 over",
        delay=None,
    ),
    case(
        "a full backlog is still tried again: its attempt runs",
        "ua full,connects; 4a local; 6a connects",
        "0 start ua; 0 full ua; 0.0005 start 4a; 0.0005 fail 4a; 0.001 retry ua; 0.001 win ua",
        "literal ua",
        "literal 4a",
        "literal 6a",
        delay=0.0005,
    ),
]

FULL = [
    case(
        "a full backlog is tried again after a pause that doubles, up to a tenth of a second",
        "ua full,full,full,full,full,full,full,full,full,connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 full ua; "
        "0.007 retry ua; 0.007 full ua; 0.015 retry ua; 0.015 full ua; 0.031 retry ua; "
        "0.031 full ua; 0.063 retry ua; 0.063 full ua; 0.127 retry ua; 0.127 full ua; "
        "0.227 retry ua; 0.227 full ua; 0.327 retry ua; 0.327 win ua",
    ),
    case(
        "until its time is up, also between two tries",
        "ua full",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 full ua; "
        "0.005 expire ua; 0.005 over",
        timeout=0.005,
    ),
    case(
        "a pause that ends with the limit is not followed by a try",
        "ua full",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 expire ua; 0.003 over",
        timeout=0.003,
    ),
    case(
        "a pause is no failure: the next address starts after the delay",
        "ua full,never; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.25 start 4a; 0.25 win 4a",
        "literal ua",
        "literal 4a",
    ),
    case(
        "nor does it give its slot away",
        "ua full,full,fails; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 fail ua; "
        "0.003 start 4a; 0.003 win 4a",
        "literal ua",
        "literal 4a",
        delay=0.0005,
        slots=1,
    ),
    case(
        "an older attempt that is made again stays an older attempt",
        "ua full,fails 0.3; 4a never; 6a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.25 start 4a; 0.301 fail ua; 0.5 start 6a; "
        "0.5 win 6a",
        "literal ua",
        "literal 4a",
        "literal 6a",
    ),
    case(
        "a socket that met itself is made again in the same way",
        "4a full 0.25,connects 0.25; 6a never",
        "0 start 4a; 0.25 full 4a; 0.25 start 6a; 0.251 retry 4a; 0.501 win 4a",
    ),
    case(
        "the limit counts from the first try",
        "ua full,never; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 2 expire ua; 2 start 4a; 2 win 4a",
        "literal ua",
        "literal 4a",
        delay=None,
        attempt_timeout=2.0,
    ),
]

NAMES = [
    case(
        "IPv6 first: it is dialled in the same step",
        "6a connects 0.2; 4a connects",
        "0.02 start 6a; 0.22 win 6a",
        "0.02 AAAA 6a; 0.1 A 4a",
    ),
    case(
        "IPv4 first: it waits, and IPv6 that comes within the delay goes before it",
        "6a never; 4a connects 0.1",
        "0.04 start 6a; 0.29 start 4a; 0.39 win 4a",
        "0.02 A 4a; 0.04 AAAA 6a",
    ),
    case(
        "IPv4 first: it waits for the resolution delay, from its own answer, and no longer",
        "6a connects; 4a connects 0.01",
        "0.07 start 4a; 0.08 win 4a",
        "0.02 A 4a; never AAAA",
    ),
    case(
        "IPv6 that comes at the very end of the wait is in time",
        "6a connects; 4a connects",
        "0.07 start 6a; 0.07 win 6a",
        "0.02 A 4a; 0.07 AAAA 6a",
    ),
    case(
        "a negative IPv6 answer ends the wait at once",
        "4a connects",
        "0.03 start 4a; 0.03 win 4a",
        "0.02 A 4a; 0.03 AAAA none",
    ),
    case(
        "a negative IPv6 answer before IPv4 leaves nothing to wait for",
        "4a connects",
        "0.02 start 4a; 0.02 win 4a",
        "0.01 AAAA none; 0.02 A 4a",
    ),
    case(
        "both answers at once need no wait",
        "6a connects; 4a connects",
        "0.02 start 6a; 0.02 win 6a",
        "0.02 A 4a; 0.02 AAAA 6a",
    ),
    case(
        "a negative IPv4 answer holds nothing back and ends nothing",
        "6a connects",
        "0.9 start 6a; 0.9 win 6a",
        "0.01 A none; 0.9 AAAA 6a",
    ),
    case(
        "without an address in either family the round is over at the second answer",
        "",
        "0.03 over",
        "0.01 A none; 0.03 AAAA none",
    ),
    case(
        "a slow IPv4 answer never delays IPv6",
        "6a never; 6b connects",
        "0 start 6a; 0.25 start 6b; 0.25 win 6b",
        "0 AAAA 6a 6b; never A",
    ),
    case(
        "nor does an IPv4 answer that never comes end the race",
        "6a fails 0.1",
        "0 start 6a; 0.1 fail 6a; 1 over",
        "0 AAAA 6a; never A",
        timeout=1.0,
    ),
    case(
        "one family only: there is nothing to wait for",
        "4a connects",
        "0.02 start 4a; 0.02 win 4a",
        "0.02 A 4a",
    ),
    case(
        "the preferred family may be IPv4 (RFC 6724): it goes first once IPv6 is known",
        "4a connects 0.1; 6a connects",
        "0.04 start 4a; 0.14 win 4a",
        "0.02 A 4a; 0.04 AAAA 6a",
    ),
    case(
        "no resolution delay is no wait",
        "6a connects; 4a connects 0.1",
        "0.02 start 4a; 0.12 win 4a",
        "0.02 A 4a; 0.04 AAAA 6a",
        resolution_delay=0.0,
        delay=9.0,
    ),
    case(
        "a long resolution delay is as long as it says",
        "4a connects",
        "1.02 start 4a; 1.02 win 4a",
        "0.02 A 4a; never AAAA",
        resolution_delay=1.0,
    ),
    case(
        "late IPv6 joins the race, one delay after the last start",
        "6a connects 0.1; 4a never",
        "0.07 start 4a; 0.32 start 6a; 0.42 win 6a",
        "0.02 A 4a; 0.2 AAAA 6a",
    ),
    case(
        "late IPv6 is dialled at once where IPv4 has failed by then",
        "6a connects 0.1; 4a fails 0.1",
        "0.07 start 4a; 0.17 fail 4a; 0.2 start 6a; 0.3 win 6a",
        "0.02 A 4a; 0.2 AAAA 6a",
    ),
    case(
        "late IPv6 is dialled at once where the delay is over by then",
        "6a connects 0.1; 4a never",
        "0.07 start 4a; 1 start 6a; 1.1 win 6a",
        "0.02 A 4a; 1 AAAA 6a",
    ),
    case(
        "late IPv4 joins the race and takes its place in the order (section 4)",
        "6a never; 6b never; 6c connects; 4a never; 4b never",
        "0 start 6a; 0.25 start 6b; 0.5 start 4a; 0.75 start 4b; 1 start 6c; 1 win 6c",
        "0 AAAA 6a 6b 6c; 0.3 A 4a 4b",
    ),
    case(
        "the order counts what was tried: IPv4 that went first has had its place",
        "6a never; 6b never; 4a never; 4b connects",
        "0.05 start 4a; 0.3 start 6a; 0.55 start 6b; 0.8 start 4b; 0.8 win 4b",
        "0 A 4a 4b; 0.2 AAAA 6a 6b",
    ),
    case(
        "an address that both answers bring is dialled once",
        "6a fails; 6b fails",
        "0 start 6a; 0 fail 6a; 0 start 6b; 0 fail 6b; 0.5 over",
        "0 AAAA 6a 6b; 0.5 A 6a 6b",
    ),
    case(
        "the round is not over while a family is awaited",
        "6a fails 0.1; 4a connects",
        "0 start 6a; 0.1 fail 6a; 7 start 4a; 7 win 4a",
        "0 AAAA 6a; 7 A 4a",
    ),
    case(
        "a name that is not answered by the deadline is over then",
        "6a connects",
        "0.5 over",
        "never AAAA; never A",
        timeout=0.5,
    ),
    case(
        "one after the other: late IPv6 goes before the IPv4 that still waits",
        "6a connects; 4a fails 1; 4b connects",
        "0.05 start 4a; 1.05 fail 4a; 1.05 start 6a; 1.05 win 6a",
        "0 A 4a 4b; 0.5 AAAA 6a",
        delay=None,
    ),
    case(
        "while another address can come, an attempt has no more than ten seconds",
        "6a never; 4a connects",
        "0 start 6a; 10 expire 6a; 20 start 4a; 20 win 4a",
        "0 AAAA 6a; 20 A 4a",
    ),
    case(
        "an address that is held back takes no slot and no turn",
        "6a never; 4a never; 4b connects",
        "0.02 start 6a; 0.27 start 4a; 0.52 start 4b; 0.52 win 4b",
        "0 A 4a 4b; 0.02 AAAA 6a",
    ),
]

TARGETS = [
    case(
        "targets are raced in the order given; families alternate only inside a name",
        "4x fails; 4y fails; 6z fails",
        "0 start 4x; 0 fail 4x; 0 start 4y; 0 fail 4y; 0 start 6z; 0 fail 6z; 0 over",
        "literal 4x",
        "literal 4y",
        "literal 6z",
    ),
    case(
        "a target comes after all addresses of the one before",
        "6a fails; 6b fails; 4a fails; 6y fails; 4y fails",
        "0 start 6a; 0 fail 6a; 0 start 4a; 0 fail 4a; 0 start 6b; 0 fail 6b; "
        "0 start 6y; 0 fail 6y; 0 start 4y; 0 fail 4y; 0 over",
        "literal 6a 6b 4a",
        "literal 6y 4y",
    ),
    case(
        "targets are one delay apart, as addresses are",
        "4x never; 4y never; 4z connects 0.1",
        "0 start 4x; 0.25 start 4y; 0.5 start 4z; 0.6 win 4z",
        "literal 4x",
        "literal 4y",
        "literal 4z",
    ),
    case(
        "None is strict fail-over: the second is not dialled while the first may answer",
        "4x connects 4; 4y connects",
        "0 start 4x; 4 win 4x",
        "literal 4x",
        "literal 4y",
        delay=None,
    ),
    case(
        "None is strict fail-over also while a name is being looked up",
        "6a fails 0.1; 4y connects",
        "1 start 6a; 1.1 fail 6a; 1.1 start 4y; 1.1 win 4y",
        "1 AAAA 6a; 1 A none",
        "literal 4y",
        delay=None,
    ),
    case(
        "None is strict fail-over also while one family of a name is awaited",
        "6a fails 0.1; 4a connects; 4y connects",
        "0 start 6a; 0.1 fail 6a; 5 start 4a; 5 win 4a",
        "0 AAAA 6a; 5 A 4a",
        "literal 4y",
        delay=None,
    ),
    case(
        "None is strict fail-over also while IPv4 waits for IPv6",
        "4a fails; 4y connects",
        "0.05 start 4a; 0.05 fail 4a; 0.2 start 4y; 0.2 win 4y",
        "0 A 4a; 0.2 AAAA none",
        "literal 4y",
        delay=None,
    ),
    case(
        "a name that never answers takes strict fail-over to its deadline",
        "4y connects",
        "3 over",
        "never AAAA; never A",
        "literal 4y",
        delay=None,
        timeout=3.0,
    ),
    case(
        "else a target overtakes one that is being looked up, one delay later",
        "6a connects; 4y never",
        "0.25 start 4y; 0.5 start 6a; 0.5 win 6a",
        "0.3 AAAA 6a; 0.3 A none",
        "literal 4y",
    ),
    case(
        "what was overtaken goes first again once it is known",
        "6a never; 4y never; 4z connects",
        "0.25 start 4y; 0.5 start 6a; 0.75 start 4z; 0.75 win 4z",
        "0.3 AAAA 6a; 0.3 A none",
        "literal 4y 4z",
    ),
    case(
        "a target overtakes one whose second family is awaited, one delay after its last start",
        "6a fails 0.1; 4y connects",
        "0 start 6a; 0.1 fail 6a; 0.25 start 4y; 0.25 win 4y",
        "0 AAAA 6a; 9 A none",
        "literal 4y",
    ),
    case(
        "a name that does not exist is passed over when both its answers are there",
        "4y connects",
        "0.1 start 4y; 0.1 win 4y",
        "0.05 AAAA none; 0.1 A none",
        "literal 4y",
    ),
    case(
        "IPv4 that is held back is not overtaken within the resolution delay",
        "4a never; 4y connects",
        "0.05 start 4a; 0.3 start 4y; 0.3 win 4y",
        "0 A 4a; never AAAA",
        "literal 4y",
    ),
    case(
        "IPv4 that is held back for longer than the delay is overtaken",
        "4a connects; 4y never",
        "0.25 start 4y; 1 start 4a; 1 win 4a",
        "0 A 4a; never AAAA",
        "literal 4y",
        resolution_delay=1.0,
    ),
    case(
        "held back in two names: each waits from its own answer",
        "4a never; 4y connects",
        "0.05 start 4a; 0.3 start 4y; 0.3 win 4y",
        "0 A 4a; never AAAA",
        "0.01 A 4y; never AAAA",
    ),
    case(
        "one address in two targets is dialled for each of them: their names differ",
        "4x fails",
        "0 start 4x; 0 fail 4x; 0 start 4x; 0 fail 4x; 0 over",
        "literal 4x",
        "literal 4x",
    ),
    case(
        "the round is not over while any target is awaited",
        "4x fails; 6z connects",
        "0 start 4x; 0 fail 4x; 8 start 6z; 8 win 6z",
        "literal 4x",
        "8 AAAA 6z; never A",
    ),
    case(
        "slots are shared by all targets",
        "4x never; 4y connects",
        "0 start 4x; 5 expire 4x; 5 start 4y; 5 win 4y",
        "literal 4x",
        "literal 4y",
        slots=1,
        timeout=10.0,
    ),
]

# Go's TestDialParallel.  Go dials its first family in sequence and starts the other one beside it;
# here the families alternate.  What connects, and after how long, is the same.
LONG = 3600.0  # where Go says "instant" no delay may have played a part
GO = [
    case("IPv4 works", "4l connects", "0 start 4l; 0 win 4l", delay=LONG),
    case("IPv6 works", "6l connects", "0 start 6l; 0 win 6l", delay=LONG),
    case(
        "IPv4 works, IPv6 is gone",
        "4l connects; 6l fails; 6slow fails",
        "0 start 4l; 0 win 4l",
        delay=LONG,
    ),
    case(
        "IPv6 works, IPv4 is gone",
        "6l connects; 4l fails; 4slow fails",
        "0 start 6l; 0 win 6l",
        delay=LONG,
    ),
    case(
        "the first is slow, the other is tried beside it",
        "4slow never; 6l connects",
        "0 start 4slow; 0.2 start 6l; 0.2 win 6l",
        delay=0.2,
    ),
    case(
        "IPv4 refuses, IPv6 follows at once",
        "4l fails; 6l connects",
        "0 start 4l; 0 fail 4l; 0 start 6l; 0 win 6l",
        delay=LONG,
    ),
    case(
        "IPv6 refuses, IPv4 follows at once",
        "6l fails; 4l connects",
        "0 start 6l; 0 fail 6l; 0 start 4l; 0 win 4l",
        delay=LONG,
    ),
    case(
        "a refusal beside a slow address is skipped",
        "4slow never; 6slow fails; 6l fails; 4l connects",
        "0 start 4slow; 0.2 start 6slow; 0.2 fail 6slow; 0.2 start 4l; 0.2 win 4l",
        delay=0.2,
    ),
    case(
        "the preferred family refuses: the other without delay",
        "4l fails; 6l connects",
        "0 start 4l; 0 fail 4l; 0 start 6l; 0 win 6l",
        "literal 4l 6l",
        delay=LONG,
    ),
    case(
        "the preferred family is gone: the other without delay",
        "6l fails; 4l connects",
        "0 start 6l; 0 fail 6l; 0 start 4l; 0 win 4l",
        "literal 6l 4l",
        delay=LONG,
    ),
    case(
        "everything refuses",
        "4l fails",
        "0 start 4l; 0 fail 4l; 0 over",
        delay=LONG,
    ),
    case("nothing to dial", "", "0 over", delay=LONG),
    case(
        "a thousand copies of one address are one address",
        "6l connects",
        "0 start 6l; 0 win 6l",
        "literal" + " 6l" * 1000,
        delay=LONG,
    ),
    case(
        "a thousand copies that refuse are one refusal",
        "6l fails",
        "0 start 6l; 0 fail 6l; 0 over",
        "literal" + " 6l" * 1000,
        delay=LONG,
    ),
]

# curl's unit2600: every attempt fails after the same time, and what counts is who is dialled when.
CURL = [
    case(
        "1 one IPv4",
        "4a fails 0.25",
        "0 start 4a; 0.25 fail 4a; 0.25 over",
        delay=0.15,
    ),
    case(
        "2 two IPv4",
        "4a fails 0.25; 4b fails 0.25",
        "0 start 4a; 0.15 start 4b; 0.25 fail 4a; 0.4 fail 4b; 0.4 over",
        delay=0.15,
    ),
    case(
        "3 one IPv6",
        "6a fails 0.25",
        "0 start 6a; 0.25 fail 6a; 0.25 over",
        delay=0.15,
    ),
    case(
        "4 two IPv6",
        "6a fails 0.25; 6b fails 0.25",
        "0 start 6a; 0.15 start 6b; 0.25 fail 6a; 0.4 fail 6b; 0.4 over",
        delay=0.15,
    ),
    case(
        "5 both families, IPv4 answered first",
        "6a fails 0.25; 4a fails 0.25",
        "0 start 6a; 0.15 start 4a; 0.25 fail 6a; 0.4 fail 4a; 0.4 over",
        "0 A 4a; 0 AAAA 6a",
        delay=0.15,
    ),
    case(
        "6 both families, IPv6 answered first",
        "6a fails 0.25; 4a fails 0.25",
        "0 start 6a; 0.15 start 4a; 0.25 fail 6a; 0.4 fail 4a; 0.4 over",
        "0 AAAA 6a; 0 A 4a",
        delay=0.15,
    ),
    case(
        "7 only IPv4 asked for",
        "6a fails 0.5; 4a fails 0.5",
        "0 start 4a; 0.5 fail 4a; 0.5 over",
        "0 A 4a",
        delay=0.15,
    ),
    case(
        "8 only IPv6 asked for",
        "6a fails 0.5; 4a fails 0.5",
        "0 start 6a; 0.5 fail 6a; 0.5 over",
        "0 AAAA 6a",
        delay=0.15,
    ),
    case(
        "9 one IPv4 between three IPv6",
        "6a fails 0.4; 4a fails 0.4; 6b fails 0.4; 6c fails 0.4",
        "0 start 6a; 0.05 start 4a; 0.1 start 6b; 0.15 start 6c; "
        "0.4 fail 6a; 0.45 fail 4a; 0.5 fail 6b; 0.55 fail 6c; 0.55 over",
        delay=0.05,
    ),
    case(
        "10 nine addresses, six at a time",
        "6a fails 0.5; 4a fails 0.5; 6b fails 0.5; 6c fails 0.5; 6d fails 0.5; 6e fails 0.5; "
        "6f fails 0.5; 6g fails 0.5; 6h fails 0.5",
        "0 start 6a; 0.02 start 4a; 0.04 start 6b; 0.06 start 6c; 0.08 start 6d; 0.1 start 6e; "
        "0.5 fail 6a; 0.5 start 6f; 0.52 fail 4a; 0.52 start 6g; 0.54 fail 6b; 0.54 start 6h; "
        "0.56 fail 6c; 0.58 fail 6d; 0.6 fail 6e; 1 fail 6f; 1.02 fail 6g; 1.04 fail 6h; 1.04 over",
        delay=0.02,
    ),
]

TABLES = {
    "stagger": STAGGER,
    "one after the other": ONE_AFTER_THE_OTHER,
    "slots": SLOTS,
    "deadline": DEADLINE,
    "local failures": LOCAL,
    "full backlogs": FULL,
    "names": NAMES,
    "targets": TARGETS,
    "Go": GO,
    "curl": CURL,
}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=f"{table}: {row.behaviour}")
        for table, rows in TABLES.items()
        for row in rows
    ],
)
def test_every_row_happens_at_its_instants(row: Row) -> None:
    """The race does exactly what the table says, exactly when it says."""
    assert tuple(Simulation(row).run().log) == row.log


@pytest.mark.parametrize("table", TABLES)
def test_every_row_can_be_cancelled_at_every_wait(table: str) -> None:
    """Left at any wait, ``running`` is exactly what is open, and nothing had begun too early."""
    for row in TABLES[table]:
        waits = Simulation(row).run().waits
        for number, length in enumerate(waits):
            cancelled = Simulation(row).run(cancel_at_wait=number)
            assert cancelled.end == "cancelled", row.behaviour
            assert cancelled.winner is None, row.behaviour
            assert cancelled.open == set(cancelled.race.running), row.behaviour
            assert tuple(cancelled.log) == row.log[:length], row.behaviour


@pytest.mark.parametrize("table", TABLES)
def test_every_row_happens_on_a_clock_that_did_not_start_at_zero(table: str) -> None:
    """Only spans count: a machine that has been up for a week sees the same race."""
    for row in TABLES[table]:
        done = Simulation(row, started=604_800.0).run()
        assert tuple(done.log) == row.log, row.behaviour


@pytest.mark.parametrize("table", TABLES)
def test_every_row_bears_a_driver_that_asks_too_often(table: str) -> None:
    """To be asked between two events, or twice at the same instant, changes nothing."""
    for row in TABLES[table]:
        instants = {0.0, *(float(entry.split()[0]) for entry in row.log)}
        ticks = sorted(instants | {instant + 0.0004 for instant in instants})
        assert tuple(Simulation(row, ticks=ticks).run().log) == row.log, row.behaviour


AT_HAND = [
    row
    for row in itertools.chain(*TABLES.values())
    if all(len(target) == 1 and target[0].at == -inf for target in row.targets)
    and all(len(answer.addresses) == 1 or len(row.targets) == 1 for (answer,) in row.targets)
    and all(answer.addresses for (answer,) in row.targets)
    and "first" not in row.options
]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.behaviour) for row in AT_HAND])
def test_the_first_address_may_begin_before_the_race(row: Row) -> None:
    """Where all addresses are at hand it is begun first and adopted, as the race would have."""
    assert tuple(Simulation(row, at_hand=True).run().log) == row.log


# The order (section 4) ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "interleave", "dialled"),
    [
        pytest.param("6a 6b 4a 4b", 1, "6a 4a 6b 4b", id="the families alternate"),
        pytest.param("4a 6a 6b", 1, "4a 6a 6b", id="the first family is the first address's"),
        pytest.param("6a 6b 6c 4a", 1, "6a 4a 6b 6c", id="what is left over comes last"),
        pytest.param("4a 4b 4c 6a 6b", 1, "4a 6a 4b 6b 4c", id="more of the first than the other"),
        pytest.param("6a 4a 4b 4c", 1, "6a 4a 4b 4c", id="more of the other than of the first"),
        pytest.param("6c 6a 6b", 1, "6c 6a 6b", id="one family keeps its order"),
        pytest.param("6b 4b 6a 4a", 1, "6b 4b 6a 4a", id="the order within a family stays"),
        pytest.param("6a 4a 6a 4a 6b 6b", 1, "6a 4a 6b", id="an address twice is dialled once"),
        pytest.param("6a 6a 6b 4a 4b", 1, "6a 4a 6b 4b", id="and takes no second place"),
        pytest.param("6a 6a 6b 4a", 2, "6a 6b 4a", id="nor counts twice among the first"),
        pytest.param("6a 6b 6c 6d 4a 4b", 2, "6a 6b 4a 6c 4b 6d", id="two of the first family"),
        pytest.param("6a 6b 4a 4b", 9, "6a 6b 4a 4b", id="more first ones than there are"),
        pytest.param("6a 4a 4b", 2, "6a 4a 4b", id="two of a first family of one"),
        pytest.param("", 1, "", id="nothing"),
        pytest.param("4a", 1, "4a", id="one"),
    ],
)
def test_families_alternate_and_keep_their_order(
    offered: str, interleave: int, dialled: str
) -> None:
    """Addresses are interleaved by family, stable within each, duplicates dropped."""
    race = Race(interleave=interleave, delay=0.0, slots=99)
    race.offer(0, [endpoint(address) for address in offered.split()], 0.0)
    starts = []
    while (candidate := race.start(0.0)) is not None:
        starts.append(word(candidate))
    assert " ".join(starts) == dialled


def test_addresses_that_differ_in_port_or_scope_are_different() -> None:
    """A duplicate is the same socket address, not the same host."""
    six, stream = AF["6"], int(socket.SOCK_STREAM)
    addresses = [("fe80::1", 80, 0, 1), ("fe80::1", 80, 0, 2), ("fe80::1", 81, 0, 1)]
    race = Race(delay=0.0)
    race.offer(0, [(six, stream, 0, "", address) for address in addresses + addresses], 0.0)
    starts = []
    while (candidate := race.start(0.0)) is not None:
        starts.append(candidate.endpoint[4])
    assert starts == addresses


# What is offered again ----------------------------------------------------------------------------


def offer(race: Race, addresses: str, now: float = 0.0, awaited: Sequence[str] = ()) -> None:
    """Offer the only target's addresses."""
    families = tuple(RECORD[record] for record in awaited)
    race.offer(0, [endpoint(address) for address in addresses.split()], now, families)


def start(race: Race, now: float) -> str | None:
    """Start what there is to start."""
    candidate = race.start(now)
    return None if candidate is None else word(candidate)


def test_an_address_no_longer_offered_is_not_dialled() -> None:
    """A later offer replaces the earlier one; what was not started yet is dropped."""
    race = Race(delay=0.0)
    offer(race, "6a 6b 6c", awaited=["A"])
    assert start(race, 0.0) == "6a"
    offer(race, "6a 6c", 0.1)
    assert [start(race, 0.1), start(race, 0.1)] == ["6c", None]


def test_a_running_attempt_is_never_dropped() -> None:
    """It runs on when its address is no longer offered, and may still expire or fail."""
    race = Race(delay=0.0, attempt_timeout=3.0)
    offer(race, "6a 6b", awaited=["A"])
    assert start(race, 0.0) == "6a"
    offer(race, "6b", 0.1)
    assert [word(candidate) for candidate in race.running] == ["6a"]
    assert start(race, 0.1) == "6b"
    assert [word(candidate) for candidate in race.expired(3.0)] == ["6a"]
    assert not race.over(3.0)


def test_an_address_that_comes_back_is_not_dialled_twice() -> None:
    """What was tried is remembered, also while it was not offered."""
    race = Race(delay=0.0)
    offer(race, "6a 6b", awaited=["A"])
    assert start(race, 0.0) == "6a"
    race.failed(race.running[0], 0.0)
    offer(race, "6b", 0.1, awaited=["A"])
    offer(race, "6a 6b", 0.2)
    assert [start(race, 0.2), start(race, 0.2)] == ["6b", None]


def test_a_second_answer_does_not_make_ipv4_wait_longer() -> None:
    """The resolution delay counts from the first answer."""
    race = Race(resolution_delay=0.05)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    offer(race, "4a 4b", 0.04, awaited=["AAAA"])
    assert race.start(0.04) is None
    assert race.wake(0.04) == 0.05
    assert start(race, 0.05) == "4a"


def test_a_second_answer_after_the_wait_does_not_begin_another() -> None:
    """IPv4 whose wait is over stays free to go."""
    race = Race(resolution_delay=0.05, delay=0.0)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    assert start(race, 0.05) == "4a"
    offer(race, "4a 4b", 0.06, awaited=["AAAA"])
    assert start(race, 0.06) == "4b"


def test_ipv4_does_not_wait_for_more_of_itself() -> None:
    """It is IPv6 that it waits for, and that is known not to come."""
    race = Race()
    offer(race, "4a", 0.0, awaited=["A"])
    assert start(race, 0.0) == "4a"


def test_the_first_ipv6_address_ends_the_wait_though_more_may_come() -> None:
    """Whoever has one need not wait for all of them."""
    race = Race(delay=0.0)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    offer(race, "6a 4a", 0.01, awaited=["AAAA"])
    assert [start(race, 0.01), start(race, 0.01)] == ["6a", "4a"]


def test_an_answer_without_addresses_begins_no_wait() -> None:
    """The wait is that of an address: it begins when there is one."""
    race = Race(resolution_delay=0.05)
    offer(race, "", 0.0, awaited=["AAAA"])
    offer(race, "4a", 1.0, awaited=["AAAA"])
    assert race.start(1.0) is None
    assert race.wake(1.0) == 1.05


def test_a_new_address_after_a_failure_with_nothing_left_starts_at_once() -> None:
    """The newest attempt failed when there was nothing to start: what comes then need not wait."""
    race = Race(delay=0.25)
    offer(race, "6a", 0.0, awaited=["A"])
    start(race, 0.0)
    race.failed(race.running[0], 0.05)
    assert race.wake(0.05) == inf
    offer(race, "6a 4a", 0.06)
    assert start(race, 0.06) == "4a"


def test_a_round_with_an_address_to_dial_is_not_over() -> None:
    """Whoever asks that before it starts the address."""
    race = Race()
    offer(race, "6a 4a")
    assert not race.over(0.0)
    start(race, 0.0)
    race.failed(race.running[0], 0.1)
    assert not race.over(0.1)
    start(race, 0.1)
    race.failed(race.running[0], 0.2)
    assert race.over(0.2)


# What a candidate says ----------------------------------------------------------------------------


def test_attempts_are_numbered_in_the_order_of_their_starts_through_all_rounds() -> None:
    """The second round counts on from the first one."""
    race = Race(delay=0.0, first=4)
    offer(race, "6a 4a 6b")
    numbers = [(word(c), c.number) for c in iter(lambda: race.start(0.0), None)]
    assert numbers == [("6a", 5), ("4a", 6), ("6b", 7)]
    assert race.number == 7


def test_a_candidate_knows_when_it_started_and_how_often() -> None:
    """A try that is made again keeps the start, the number and the limit of the first."""
    race = Race(deadline=60.0, attempt_timeout=5.0)
    offer(race, "ua")
    candidate = race.start(1.0)
    assert candidate is not None
    assert (candidate.number, candidate.tries, candidate.started) == (1, 1, 1.0)
    race.again(candidate, 1.5)
    assert race.start(1.5) is None
    assert race.wake(1.5) == 1.501
    assert race.start(1.501) is candidate
    assert (candidate.number, candidate.tries, candidate.started) == (1, 2, 1.0)
    assert candidate.limit == 6.0


def test_a_pause_that_outlasts_the_limit_is_not_followed_by_a_try() -> None:
    """Whoever asks what to start before asking what has expired."""
    race = Race(deadline=0.5)
    offer(race, "ua")
    candidate = race.start(0.0)
    assert candidate is not None
    race.again(candidate, 0.4999)
    assert race.wake(0.4999) == 0.5
    assert race.start(0.501) is None
    assert race.expired(0.501) == [candidate]


def test_a_candidate_knows_its_target() -> None:
    """TLS verifies the name of the target that won."""
    race = Race(targets=3, delay=0.0)
    for target, address in enumerate(["4a", "4b", "4a"]):
        race.offer(target, [endpoint(address)], 0.0)
    started = [(word(c), c.target) for c in iter(lambda: race.start(0.0), None)]
    assert started == [("4a", 0), ("4b", 1), ("4a", 2)]


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 0.001), (2, 0.002), (5, 0.016), (7, 0.064), (8, 0.1), (10_000, 0.1)]
)
def test_the_pause_before_another_try_doubles_up_to_a_tenth_of_a_second(
    tries: int, seconds: float
) -> None:
    """Short enough for a server that catches up, long enough not to burn a core."""
    assert pause(tries) == seconds


# How long an attempt may take ---------------------------------------------------------------------


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
    candidate = race.start(now)
    assert (candidate and candidate.limit) == limit


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
    started = itertools.islice(iter(lambda: race.start(0.0), None), len(limits))
    assert [candidate.limit for candidate in started] == pytest.approx(limits)


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
    row = Row(world, ((Answer(-inf, 0, tuple(world)),),), options)
    done = Simulation(row).run()
    assert done.winner is not None
    assert done.now == pytest.approx(win, abs=1e-6)


# Many addresses -----------------------------------------------------------------------------------


def refused(count: int) -> Row:
    """Return a name with so many addresses of both families, all of which refuse at once."""
    world = {f"{'46'[n % 2]}-{n}": (End("fails"),) for n in range(count)}
    return Row(world, ((Answer(-inf, 0, tuple(world)),),))


def test_a_thousand_refusals_are_a_thousand_starts() -> None:
    """No address is left out, none is dialled twice, and no time is lost."""
    done = Simulation(refused(1000)).run()
    assert len(done.starts) == 1000
    assert len({word(candidate) for _, candidate in done.starts}) == 1000
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


def test_the_work_grows_no_faster_than_the_addresses() -> None:
    """Four times as many refusals are four times as much work."""
    assert lines_executed(refused(1000)) < 4.4 * lines_executed(refused(250))


# Whatever happens ---------------------------------------------------------------------------------

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
        if not any(failed is attempt and at <= second for at, failed, _ in done.failures):
            assert delay is not None
            assert second >= first + delay


@whatever_happens
@given(row=rows(), started=STARTED)
def test_no_limit_is_later_than_the_deadline(row: Row, started: float) -> None:
    """And none is earlier than the start, none longer than the caller allows."""
    done = Simulation(row, started=started).run()
    cap = row.options["attempt_timeout"]
    for at, candidate in done.starts:
        assert candidate.limit <= max(done.deadline, at)
        assert candidate.limit >= at
        if cap is not None:
            assert candidate.limit <= at + cap
    assert done.now <= max(done.deadline, done.started) or done.end == "waits for ever"


@whatever_happens
@given(row=rows(), started=STARTED)
def test_each_address_of_a_target_is_dialled_once(row: Row, started: float) -> None:
    """Never twice, whatever answers bring it, and never one that nobody offered."""
    done = Simulation(row, started=started).run()
    dialled = [(candidate.target, word(candidate)) for _, candidate in done.starts]
    assert len(dialled) == len(set(dialled))
    for target, address in dialled:
        assert any(address in answer.addresses for answer in row.targets[target])
    assert [candidate.number for _, candidate in done.starts] == [
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
    if any(entry.how == "local" for _, c in done.starts for entry in row.world[word(c)]):
        return
    offered = {
        (target, address)
        for target, answers in enumerate(row.targets)
        for answer in answers
        for address in answer.addresses
    }
    assert all(started + answer.at <= done.now for each in row.targets for answer in each)
    assert {(c.target, word(c)) for _, c in done.starts} == offered


@whatever_happens
@given(row=rows(), started=STARTED)
def test_an_attempt_that_connects_within_its_limit_wins(row: Row, started: float) -> None:
    """Nothing that the race does ends an attempt that is in time, but a faster one."""
    done = Simulation(row, started=started).run()
    for at, candidate in done.starts:
        tries = row.world[word(candidate)]
        if len(tries) == 1 and tries[0].how == "connects":
            connected = at + tries[0].after
            if connected <= candidate.limit:
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
    assert [c.limit for _, c in first.starts] == [c.limit for _, c in second.starts]


@whatever_happens
@given(
    world=st.dictionaries(st.sampled_from(ORDERS[0].split()), TRIES, min_size=1),
    options=OPTIONS,
    started=STARTED,
)
def test_the_first_address_has_one_fate(
    world: dict[str, tuple[End, ...]], options: dict[str, Any], started: float
) -> None:
    """Begun before the race or by it, everything starts, pauses, expires and ends alike."""
    row = Row(world, ((Answer(-inf, 0, tuple(world)),),), {**options, "first": 0})
    adopted = Simulation(row, started=started, at_hand=True).run()
    plain = Simulation(row, started=started).run()
    assert adopted.log == plain.log
    for (_, one), (_, other) in zip(adopted.starts, plain.starts, strict=True):
        if one is adopted.failed_first:
            one.limit = other.limit  # it needed none
        assert all(getattr(one, fact) == getattr(other, fact) for fact in FACTS)
    assert adopted.race.number == plain.race.number


FACTS = ("number", "tries", "started", "limit", "target", "endpoint")


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
    done = Simulation(Row(world, ((Answer(-inf, 0, tuple(world)),),), options)).run()
    assert done.winner is not None
