"""One round in virtual time: rows that say what happens, and what the race must make of it.

A row says which addresses there are, best first, and what becomes of an attempt at each (the
*world*), and then, instant by instant, what the race must do about it (the *log*).  ``4a`` is an
IPv4 address, ``6a`` an IPv6 one, ``ua`` a Unix socket.  An attempt at an address ``connects`` or
``fails`` so many seconds after its start, meets a ``full`` backlog, fails because a ``local``
resource ran out, or is ``never`` answered.  Names are answered as they are scripted: ``0.02 A 4a
4b`` is an answer with two addresses, ``0.02 AAAA none`` a negative one, ``never`` one that does not
come, and a ``literal`` needs no look-up.

The simulation asks the race as ``aioconnect/rounds.py`` does, and fails if the race ever asks to be
woken for nothing, or too late.
"""

from __future__ import annotations

import heapq
import itertools
import socket
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from aioconnect.race import Attempt, Race, interleaved
from aioconnect.spans import first_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from aioconnect.targets import Endpoint

AF = {"4": int(socket.AF_INET), "6": int(socket.AF_INET6), "u": int(socket.AF_UNIX)}
RECORD = {"A": AF["4"], "AAAA": AF["6"]}


# Rows ---------------------------------------------------------------------------------------------


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

    @property
    def at_hand(self) -> bool:
        """Whether a call knows all addresses from its start: one target's, or one of each."""
        return "first" not in self.options and all(
            len(answers) == 1
            and answers[0].at == -inf
            and (len(answers[0].addresses) == 1 or (answers[0].addresses and len(self.targets) < 2))
            for answers in self.targets
        )


def case(behaviour: str, world: str, log: str, *targets: str, **options: Any) -> Row:
    """Write one row: its name, the world, the log; the targets if they are not all in one."""
    read = _world(world)
    return Row(
        read,
        tuple(_target(target) for target in targets) or one_target(read),
        options,
        tuple(entry.strip() for entry in log.split(";")),
        behaviour,
    )


def one_target(addresses: Iterable[str]) -> tuple[tuple[Answer, ...], ...]:
    """Return a target of which all addresses are known."""
    return ((Answer(-inf, 0, tuple(addresses)),),)


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


def word(attempt: Attempt) -> str:
    """Return the address as the tables write it."""
    address = attempt.endpoint[4]
    return str(address if isinstance(address, str) else address[0])


def start(race: Race, now: float) -> Attempt | None:
    """Return the attempt that the race starts now, if it does."""
    said = race.next(now)
    return said if isinstance(said, Attempt) else None


def starts(race: Race, now: float) -> list[Attempt]:
    """Return all attempts that the race starts now."""
    return [*iter(lambda: start(race, now), None)]


def offer(race: Race, addresses: str, now: float = 0.0, awaited: Sequence[str] = ()) -> None:
    """Offer the only target's addresses."""
    families = tuple(RECORD[record] for record in awaited)
    race.offer(0, [endpoint(address) for address in addresses.split()], now, families)


# The simulation -----------------------------------------------------------------------------------


class Simulation:
    """One round, asked as a call asks it, on a clock that jumps from event to event.

    Args:
        row: what happens.
        started: the instant at which the round begins.
        ticks: instants at which the race is asked although nothing happened: that must never
            change anything.
        ahead: the first address is dialled before there is a race.
    """

    def __init__(
        self, row: Row, *, started: float = 0.0, ticks: Iterable[float] = (), ahead: bool = False
    ) -> None:
        options = dict(row.options)
        self.row = row
        self.started = self.now = started
        self.deadline = started + options.pop("timeout", 30.0)
        self.slots = 1 if options.get("delay", 0.25) is None else options.get("slots", 6)
        self.race = Race(len(row.targets), started=started, deadline=self.deadline, **options)
        self.log: list[str] = []
        self.starts: list[tuple[float, Attempt]] = []
        self.failures: list[tuple[float, Attempt]] = []
        self.open: set[Attempt] = set()
        self.most_open = 0
        self.winner: Attempt | None = None
        self.waits: list[int] = []  # how long the log was at each wait
        self.end = ""
        self._ahead = ahead
        self._events: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        for tick in ticks:
            self._at(tick, None)
        self._best_first = list(row.world)
        self._known: list[list[str]] = [[] for _ in row.targets]
        self._awaited = [
            [answer.family for answer in answers if answer.at != -inf] for answers in row.targets
        ]

    def run(self, *, cancel_at_wait: float = inf) -> Simulation:
        """Run until somebody won, the round is over, or it is cancelled at its n-th wait."""
        if self._ahead:
            self._dial_first()
        else:
            self._begin_names()
        timer_rang = False
        while not self.end:
            before = len(self.log)
            until = self._go_on()
            if self.end:
                break
            assert len(self.log) > before or not timer_rang, f"woken for nothing at {self.now}"
            assert until > self.now, f"spins at {self.now}"
            if len(self.waits) >= cancel_at_wait:
                self.end = "cancelled"
                break
            self.waits.append(len(self.log))
            if until == inf and not self._events:
                assert self.open or any(self._awaited), "waits for ever, and for nothing"
                self.end = "waits for ever"
                break
            timer_rang = self._wait(until)
        assert self.open == set(self.race.running), "a call would close too much or too little"
        return self

    def _go_on(self) -> float:
        """Do what the race says, as a call does, until it says to wait or that it is over."""
        while self.winner is None:
            for late in self.race.expired(self.now):
                self._note("expire", late)
                self._failed(late)
            said = self.race.next(self.now)
            if said is None:
                self._note("over")
                self.end = "over"
                return inf
            if not isinstance(said, Attempt):
                assert said == self.race.next(self.now), "asking changed the answer"
                return said
            self._begin(said)
        return inf

    def _wait(self, until: float) -> bool:
        """Let the next event happen, or the instant come; True if it is the instant."""
        if not self._events or self._events[0][0] > until:
            self.now = max(self.now, until)
            return True
        self.now = max(self.now, self._events[0][0])
        while self._events and self._events[0][0] <= self.now and self.winner is None:
            event = heapq.heappop(self._events)[2]
            if event is None:
                continue
            who, what, end = event
            if isinstance(what, Answer):
                self._awaited[who].remove(what.family)
                self._offer(who, what)
            elif who in self.open and who.tries == what:
                self._settle(who, end)
        return False

    def _at(self, instant: float, event: Any) -> None:
        heapq.heappush(self._events, (instant, next(self._order), event))

    def _note(self, what: str, attempt: Attempt | None = None) -> None:
        instant = f"{round(self.now - self.started, 9):.9g}"
        self.log.append(" ".join([instant, what, *([word(attempt)] if attempt else [])]))

    # Names

    def _begin_names(self) -> None:
        for target, answers in enumerate(self.row.targets):
            for answer in answers:
                if answer.at == -inf:
                    self._offer(target, answer)
                elif answer.at != inf:
                    self._at(self.started + answer.at, (target, answer, None))

    def _offer(self, target: int, answer: Answer) -> None:
        self._known[target] += answer.addresses
        ordered = sorted(self._known[target], key=self._best_first.index)
        endpoints = [endpoint(address) for address in ordered]
        self.race.offer(target, endpoints, self.now, tuple(self._awaited[target]))

    # Attempts

    def _dial_first(self) -> None:
        """Dial the first of all addresses; then ask the race, which must say what was done."""
        options = self.row.options
        everything = [
            endpoint(address)
            for ((_, _, addresses),) in self.row.targets
            for address in sorted(addresses, key=self._best_first.index)
        ]
        if len(self.row.targets) == 1:
            everything = interleaved(everything, options.get("interleave", 1))
        until = first_wait(
            self.now,
            self.deadline,
            options.get("attempt_timeout"),
            len(everything),
            options.get("slots", 6),
            options.get("more_rounds", False),
            options.get("delay", 0.25),
        )
        end = self.row.world[word(Attempt(everything[0], 0, 1, self.now))][0]
        ends = inf if end.how == "never" else self.started + end.after
        self._begin_names()
        attempt = self.race.next(self.started)
        assert isinstance(attempt, Attempt)
        assert attempt.endpoint == everything[0]
        assert attempt.target == 0
        assert self.race.next(self.started) == until
        self._record(attempt)
        if not end.after and ends < inf:
            self._settle(attempt, end)
        elif self.started < until and ends <= until:  # until then there is nothing to be asked
            if ends < inf:
                self.now = ends
                self._settle(attempt, end)
        else:
            self.now = max(self.now, until)
            if ends < inf:
                self._at(ends, (attempt, 1, end))

    def _begin(self, attempt: Attempt) -> None:
        if attempt.tries == 1:
            self._record(attempt)
        else:
            self._note("retry", attempt)
        assert attempt in self.open
        tries = self.row.world[word(attempt)]
        end = tries[min(attempt.tries, len(tries)) - 1]
        if end.after:
            self._at(self.now + end.after, (attempt, attempt.tries, end))
        elif end.how != "never":
            self._settle(attempt, end)

    def _record(self, attempt: Attempt) -> None:
        self._note("start", attempt)
        self.starts.append((self.now, attempt))
        self.open.add(attempt)
        self.most_open = max(self.most_open, len(self.open))

    def _settle(self, attempt: Attempt, end: End) -> None:
        if end.how == "connects":
            self._note("win", attempt)
            self.winner = attempt
            self.end = "won"
        elif end.how == "full":
            self._note("full", attempt)
            self.race.again(attempt, self.now)
        else:
            self._note("fail", attempt)
            self._failed(attempt, local=end.how == "local")

    def _failed(self, attempt: Attempt, *, local: bool = False) -> None:
        self.failures.append((self.now, attempt))
        self.open.remove(attempt)
        self.race.failed(attempt, self.now, local=local)


# Every row in every way ---------------------------------------------------------------------------


def as_it_says(row: Row) -> None:
    """Compare what happens, and when, with what the row says."""
    assert tuple(Simulation(row).run().log) == row.log


def cancelled_at_every_wait(row: Row) -> None:
    """Leave it at each wait: ``running`` is exactly what is open, nothing had begun too early."""
    for number, length in enumerate(Simulation(row).run().waits):
        cancelled = Simulation(row).run(cancel_at_wait=number)
        assert cancelled.end == "cancelled"
        assert cancelled.winner is None
        assert tuple(cancelled.log) == row.log[:length]


def on_a_clock_that_did_not_start_at_zero(row: Row) -> None:
    """Begin after a week: only spans count."""
    assert tuple(Simulation(row, started=604_800.0).run().log) == row.log


def asked_too_often(row: Row) -> None:
    """Ask between two events, and twice at the same instant: that changes nothing."""
    instants = {0.0, *(float(entry.split()[0]) for entry in row.log)}
    ticks = sorted(instants | {instant + 0.0004 for instant in instants})
    assert tuple(Simulation(row, ticks=ticks).run().log) == row.log


def first_dialled_before_the_race(row: Row) -> None:
    """Dial the first address before a race is asked: it answers what was done."""
    assert tuple(Simulation(row, ahead=True).run().log) == row.log


WAYS = (
    as_it_says,
    cancelled_at_every_wait,
    on_a_clock_that_did_not_start_at_zero,
    asked_too_often,
    first_dialled_before_the_race,
)


def in_every_way(*rows: Row) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give each row to the test in each way that it can happen, as ``(row, way)``."""
    return pytest.mark.parametrize(
        ("row", "way"),
        [
            pytest.param(row, way, id=f"{row.behaviour}: {way.__name__.replace('_', ' ')}")
            for row in rows
            for way in WAYS
            if row.at_hand or way is not first_dialled_before_the_race
        ],
    )
