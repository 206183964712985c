"""The room of ``connect_many`` by itself, in virtual time: what happened, and what may start then.

Each table is exact: the instants are those at which something happens, or at which the room said
that it may.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import pytest

from aioconnect.many.room import (
    CATCH_UP,
    GROW_EVERY,
    LEAST_PAUSE,
    MAX_DELAYED,
    MOST_PAUSE,
    READ_NEXT,
    Pace,
    Room,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(eq=False)
class Entry:
    """A target as the room sees it."""

    index: int
    host: str
    hosts: tuple[str, ...] = ()
    waited: bool = False

    def __repr__(self) -> str:
        return f"{self.index}{self.host}"


class Desk:
    """A room, with the targets that are still to be read.

    Args:
        hosts: the host of each target.
        limit: as of ``Room``.
        per_host: as of ``Room``.
        pace: as of ``Room``.
    """

    def __init__(
        self,
        hosts: Iterable[str],
        limit: int = 100,
        per_host: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.room = Room(limit, per_host, pace)
        counted = per_host is not None
        self.unread = [
            Entry(index, host, (host,) if counted else ()) for index, host in enumerate(hosts)
        ]
        self.flying: dict[int, Entry] = {}
        self.room.begin(0.0)

    def starts(self, now: float, untaken: int = 0, held: int = 0, turn: int = -1) -> list[int]:
        """Start all that may, and return their places in the input."""
        started = []
        while (entry := self.room.next(now, untaken, held, turn)) is not None:
            if entry is READ_NEXT:
                if not self.unread:
                    break
                entry = self.unread.pop(0)
            else:
                self.room.pop()
            if self.room.admit(entry, now):
                self.flying[entry.index] = entry
                started.append(entry.index)
        return started

    def ended(self, *indices: int) -> None:
        """Record that these have a result."""
        for index in indices:
            self.room.ended(self.flying.pop(index))

    def lacks(self, index: int, now: float, host: str = "", sockets: int = 0) -> None:
        """Record that this one lacked something."""
        entry = self.flying.pop(index)
        self.room.ended(entry, lacked=True)
        self.room.lacks(entry, host, now, sockets)


# The limit ----------------------------------------------------------------------------------------


def test_no_more_than_the_limit_fly() -> None:
    """Each that ends makes room for one."""
    desk = Desk("aaaaa", limit=2)
    assert desk.starts(0.0) == [0, 1]
    assert desk.starts(1.0) == []
    desk.ended(1)
    assert desk.starts(1.0) == [2]
    desk.ended(0, 2)
    assert desk.starts(2.0) == [3, 4]


def test_a_result_that_nobody_has_taken_keeps_its_room() -> None:
    """So that whoever takes them slowly slows the run down."""
    desk = Desk("aaaa", limit=2)
    assert desk.starts(0.0) == [0, 1]
    desk.ended(0, 1)
    assert desk.starts(1.0, untaken=2) == []
    assert desk.starts(2.0, untaken=1) == [2]
    assert desk.starts(3.0, untaken=0) == [3]


def test_nothing_to_do_is_no_instant() -> None:
    """It is asked again when something has happened."""
    desk = Desk("aaa", limit=1)
    desk.starts(0.0)
    assert desk.room.wake() == inf
    assert not desk.room.waits


@pytest.mark.parametrize(
    ("limit", "flying", "untaken", "free"), [(8, 0, 0, 8), (8, 3, 2, 3), (8, 8, 0, 1), (1, 0, 0, 1)]
)
def test_how_many_may_be_read_at_once(limit: int, flying: int, untaken: int, free: int) -> None:
    """What there is room for, and one at least."""
    desk = Desk("a" * flying, limit=limit)
    desk.starts(0.0)
    assert desk.room.free(untaken) == free


def test_at_a_pace_they_are_read_one_by_one() -> None:
    """Or those that were read would wait for an instant."""
    assert Desk("", limit=8, pace=Pace(10, 1)).room.free(0) == 1


# Hosts --------------------------------------------------------------------------------------------


def test_a_host_has_so_many_and_others_go_by() -> None:
    """Who waits for a host starts before what is read later, in the order of the input."""
    desk = Desk("aaabab", limit=10, per_host=2)
    assert desk.starts(0.0) == [0, 1, 3, 5]
    assert desk.room.waits
    desk.ended(1)
    assert desk.starts(1.0) == [2]
    desk.ended(0)
    assert desk.starts(1.0) == [4]
    desk.ended(2, 3, 4, 5)
    assert not desk.room.waits


def test_no_more_than_the_limit_wait_for_hosts() -> None:
    """A list that begins with a million of one host is not read into memory."""
    desk = Desk("a" * 50, limit=4, per_host=1)
    assert desk.starts(0.0) == [0]
    assert len(desk.unread) == 50 - 1 - 4


def test_one_that_is_of_two_hosts_needs_a_place_at_both() -> None:
    """A place that it was let go for and can't use goes to the next, and it loses no turn."""
    room = Room(10, 1, None)
    one, both, other = Entry(0, "a", ("a",)), Entry(1, "a", ("a", "b")), Entry(2, "b", ("b",))
    after_one, after_other = Entry(3, "a", ("a",)), Entry(4, "b", ("b",))
    entries = [one, both, other, after_one, after_other]
    assert [entry for entry in entries if room.admit(entry, 0.0)] == [one, other]
    room.ended(one)
    assert room.next(1.0, 0) is both
    room.pop()
    assert not room.admit(both, 1.0)  # it waits for the other host now
    assert room.next(1.0, 0) is after_one
    room.pop()
    assert room.admit(after_one, 1.0)
    room.ended(after_one)
    room.ended(other)
    assert room.next(2.0, 0) is both  # before the one that waited there already
    room.pop()
    assert room.admit(both, 2.0)


def test_those_that_wait_for_hosts_leave_fewer_to_be_read() -> None:
    """One flies and three wait of eight."""
    desk = Desk("aaaa", limit=8, per_host=1)
    assert desk.starts(0.0) == [0]
    assert desk.room.free(0) == 5


# The pace -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "burst", "instants"),
    [
        (10, 1, [0.0, 0.1, 0.2, 0.3]),
        (10, 3, [0.0, 0.0, 0.0, 0.1, 0.2]),
        (0.5, 1, [0.0, 2.0, 4.0]),
    ],
)
def test_starts_are_spaced_evenly(rate: float, burst: int, instants: list[float]) -> None:
    """So many at once, then one at each instant, which ``wake`` names."""
    desk = Desk("a" * len(instants), pace=Pace(rate, burst))
    now, began = 0.0, []
    while desk.unread:
        began += [now for _ in desk.starts(now)]
        now = desk.room.wake()
    assert began == pytest.approx(instants)


def test_a_late_timer_is_made_up_for() -> None:
    """Up to 20 ms: more would be a burst after a pause."""
    desk = Desk("aaaaa", pace=Pace(100, 1))
    assert desk.starts(0.0) == [0]
    assert desk.starts(0.03) == [1, 2, 3]
    assert desk.room.wake() == pytest.approx(0.04)
    late = Desk("a" * 9, pace=Pace(100, 1))
    late.starts(0.0)
    assert late.starts(10.0) == [1, 2, 3]
    assert late.room.wake() == pytest.approx(10.0 - CATCH_UP + 3 / 100)


# What this host lacks -----------------------------------------------------------------------------


def test_nothing_starts_while_descriptors_lack() -> None:
    """No more fly than were open when they ran out; the one that lacked is the next."""
    desk = Desk("aaaaaa", limit=4)
    assert desk.starts(0.0) == [0, 1, 2, 3]
    desk.lacks(3, now=1.0)
    assert desk.room.size == 3
    assert desk.starts(1.0) == []
    assert desk.room.wake() == pytest.approx(1.0 + LEAST_PAUSE)
    assert desk.starts(1.0 + LEAST_PAUSE) == []  # three fly: there is no room
    desk.ended(0)
    assert desk.starts(1.0 + LEAST_PAUSE) == [3]


def test_sockets_that_wait_to_be_taken_are_open_too() -> None:
    """They count for what there is."""
    desk = Desk("aaaa", limit=10)
    desk.starts(0.0)
    desk.lacks(3, now=0.0, sockets=2)
    assert desk.room.size == 5


def test_what_lacks_is_asked_for_ever_more_rarely() -> None:
    """The pause doubles from 10 ms to a second."""
    desk = Desk("a", limit=1)
    now, pauses = 0.0, []
    for _ in range(10):
        assert desk.starts(now) == [0]
        desk.lacks(0, now)
        pauses.append(desk.room.wake() - now)
        now += pauses[-1]
    wanted = [LEAST_PAUSE * 2**n for n in range(7)]
    assert pauses == pytest.approx([*wanted, MOST_PAUSE, MOST_PAUSE, MOST_PAUSE])


def test_two_that_lack_it_at_once_are_one_shortage() -> None:
    """The second does not double the pause."""
    desk = Desk("aaa", limit=3)
    desk.starts(0.0)
    desk.lacks(1, now=0.0, host="a")
    desk.lacks(2, now=0.005, host="a")
    assert desk.starts(LEAST_PAUSE) == [1, 2]


def test_the_later_of_pace_and_shortage_counts() -> None:
    """A fast pace does not ask for what lacks."""
    desk = Desk("aa", pace=Pace(1000, 1))
    assert desk.starts(0.0) == [0]
    desk.lacks(0, now=0.0)
    assert desk.starts(0.005) == []
    assert desk.room.wake() == pytest.approx(LEAST_PAUSE)


def test_the_first_that_does_not_lack_it_ends_the_shortage() -> None:
    """Those that waited go before what is read, and the next pause is short again."""
    desk = Desk("aaaaa", limit=3)
    assert desk.starts(0.0) == [0, 1, 2]
    desk.lacks(2, now=0.0)
    desk.lacks(1, now=0.0)
    desk.ended(0)
    assert desk.starts(0.0) == [1]
    assert desk.room.size == 1
    desk.ended(1)
    assert desk.starts(0.001) == [2]
    desk.lacks(2, now=0.001)
    assert desk.room.wake() == pytest.approx(0.001 + LEAST_PAUSE)


def test_the_limit_recovers_by_half_each_half_second() -> None:
    """One at least, and never above the limit."""
    desk = Desk("a" * 100, limit=10)
    assert desk.starts(0.0) == list(range(10))
    desk.ended(*range(1, 9))
    desk.lacks(9, now=0.0)
    sizes = [desk.room.size]
    for step in range(1, 7):
        assert desk.room.wake() <= step * GROW_EVERY
        desk.starts(step * GROW_EVERY - 0.001)
        assert desk.room.size == sizes[-1]
        desk.starts(step * GROW_EVERY)
        sizes.append(desk.room.size)
    assert sizes == [1, 2, 3, 4, 6, 9, 10]


def test_a_port_lacks_for_one_host_alone() -> None:
    """Others start; those of the host wait for its instant."""
    desk = Desk("aabab", limit=10)
    desk.unread, later = desk.unread[:1], desk.unread[1:]
    assert desk.starts(0.0) == [0]
    desk.lacks(0, now=0.0, host="a")
    desk.unread = later
    assert desk.starts(0.0) == [2, 4]
    assert desk.room.size == 10
    assert desk.room.wake() == pytest.approx(LEAST_PAUSE)
    assert desk.starts(LEAST_PAUSE) == [0, 1, 3]


def test_another_host_does_not_end_its_shortage() -> None:
    """One of its own does."""
    desk = Desk("abca", limit=10)
    assert desk.starts(0.0) == [0, 1, 2, 3]
    desk.lacks(0, now=0.0, host="a")
    desk.ended(1, 2)
    assert desk.starts(0.0) == []
    desk.ended(3)
    assert desk.starts(0.0) == [0]


def test_no_more_than_64_wait_for_ports() -> None:
    """Then nothing more is read to find another host."""
    desk = Desk("a" * 200, limit=1000)
    desk.unread, later = desk.unread[:1], desk.unread[1:]
    desk.starts(0.0)
    desk.lacks(0, now=0.0, host="a")
    desk.unread = later
    assert desk.starts(0.0) == []
    assert len(desk.unread) == 200 - MAX_DELAYED


def test_those_that_wait_for_ports_leave_fewer_to_be_read() -> None:
    """Of 64 that may wait, ten do."""
    desk = Desk("a" * 10, limit=1000)
    assert desk.starts(0.0) == list(range(10))
    for index in range(10):
        desk.lacks(index, now=0.0, host="a")
    assert desk.room.free(0) == MAX_DELAYED - 10


def test_whoever_waits_for_an_instant_waits() -> None:
    """The run has not ended when nothing else is left."""
    desk = Desk("a")
    assert desk.starts(0.0) == [0]
    assert not desk.room.waits
    desk.lacks(0, now=0.0, host="a")
    assert desk.room.waits
    assert desk.starts(LEAST_PAUSE) == [0]
    assert not desk.room.waits


def test_a_second_shortage_leaves_no_more_than_the_first() -> None:
    """Sockets that were opened elsewhere meanwhile do not count as room that there was."""
    desk = Desk("aaaa", limit=4)
    assert desk.starts(0.0) == [0, 1, 2, 3]
    desk.lacks(3, now=0.0)
    assert desk.room.size == 3
    desk.lacks(2, now=0.001, sockets=4)
    assert desk.room.size == 3


def test_the_wait_begins_when_the_last_of_ours_has_ended() -> None:
    """While another flies it may end, and give back what lacks."""
    desk = Desk("ab", limit=2)
    desk.starts(0.0)
    desk.lacks(0, now=0.0)
    assert not desk.room.lasts(0.0, sockets=0, patience=5.0)
    desk.lacks(1, now=4.0)
    assert not desk.room.lasts(4.0, sockets=0, patience=5.0)
    assert not desk.room.lasts(8.9, sockets=0, patience=5.0)
    assert desk.room.lasts(9.0, sockets=0, patience=5.0)


def test_when_it_is_a_result_the_others_try_at_once() -> None:
    """Before their instant: they learn the same."""
    desk = Desk("ab", limit=2)
    desk.starts(0.0)
    desk.lacks(0, now=0.0)
    desk.lacks(1, now=0.0, host="b")
    assert desk.room.lasts(0.0, sockets=0, patience=0.0)
    assert desk.starts(0.0) == [0]


def test_a_socket_that_waits_to_be_taken_begins_the_wait_anew() -> None:
    """It may be closed: what lacks may come back."""
    desk = Desk("a", limit=1)
    desk.starts(0.0)
    desk.lacks(0, now=0.0)
    assert not desk.room.lasts(0.0, sockets=0, patience=5.0)
    assert not desk.room.lasts(4.0, sockets=1, patience=5.0)
    assert not desk.room.lasts(6.0, sockets=0, patience=5.0)
    assert not desk.room.lasts(10.9, sockets=0, patience=5.0)
    assert desk.room.lasts(11.0, sockets=0, patience=5.0)


def test_a_shortage_that_nothing_of_ours_can_end_is_a_result_in_the_end() -> None:
    """When it has lasted for as long as a target has; those that wait try again at once."""
    desk = Desk("aab", limit=3)
    assert desk.starts(0.0) == [0, 1, 2]
    desk.lacks(0, now=0.0)
    assert not desk.room.lasts(0.0, sockets=0, patience=5.0)  # two fly: they may end
    desk.lacks(1, now=1.0)
    desk.lacks(2, now=1.0)
    assert not desk.room.lasts(1.0, sockets=1, patience=5.0)  # a socket waits to be taken
    assert not desk.room.lasts(2.0, sockets=0, patience=5.0)
    assert not desk.room.lasts(6.9, sockets=0, patience=5.0)
    assert desk.room.lasts(7.0, sockets=0, patience=5.0)
    assert desk.starts(7.0) == [0, 1]
    assert desk.room.waits


def test_one_that_had_what_it_needed_begins_the_wait_anew() -> None:
    """It did not lack all the time."""
    desk = Desk("ab", limit=2)
    desk.starts(0.0)
    desk.lacks(0, now=0.0)
    desk.ended(1)
    assert not desk.room.lasts(0.0, 0, 5.0)
    assert desk.starts(1.0) == [0]
    desk.ended(0)
    assert not desk.room.lasts(9.0, 0, 5.0)


# In order -----------------------------------------------------------------------------------------


def test_that_for_which_the_results_wait_may_always_start() -> None:
    """Or a full room of held results would wait for it for ever."""
    desk = Desk("aaa", limit=2)
    assert desk.starts(0.0) == [0, 1]
    desk.lacks(0, now=0.0, host="b")
    desk.ended(1)
    later = 1.0
    assert desk.starts(later, untaken=2, held=0, turn=0) == []
    assert desk.starts(later, untaken=2, held=2, turn=0) == [0]


def test_the_results_that_wait_let_nobody_else_start() -> None:
    """Another that waits for room goes on waiting, if it is not the one whose turn it is."""
    desk = Desk("aaa", limit=2)
    assert desk.starts(0.0) == [0, 1]
    desk.lacks(1, now=0.0, host="b")
    assert desk.starts(1.0, untaken=1, held=1, turn=0) == []
    assert desk.starts(2.0, untaken=2, held=1, turn=1) == [1]


def test_what_was_given_up_for_one_is_taken_by_no_other() -> None:
    """Until it has started: also not by one that lacks nothing."""
    desk = Desk("aab", limit=10)
    desk.unread, later = desk.unread[:2], desk.unread[2:]
    assert desk.starts(0.0) == [0, 1]
    desk.lacks(0, now=0.0, host="a")
    given_up = desk.flying.pop(1)
    desk.room.ended(given_up, lacked=True)
    desk.room.evicted(given_up, "a", turn=0)
    desk.unread = later
    assert desk.starts(0.0, turn=0) == []
    assert desk.starts(LEAST_PAUSE, turn=0) == [0]
    assert desk.starts(LEAST_PAUSE, turn=1) == [1, 2]


def test_whoever_has_to_wait_is_marked() -> None:
    """For its host, or for an instant; not who starts when it is read."""
    room = Room(10, 1, None)
    first, second = Entry(0, "a", ("a",)), Entry(1, "a", ("a",))
    assert room.admit(first, 0.0)
    assert not room.admit(second, 0.0)
    assert (first.waited, second.waited) == (False, True)
    room.ended(first, lacked=True)
    room.lacks(first, "a", 0.0, 0)
    assert first.waited


def test_whoever_gave_up_its_socket_waits_for_the_end_of_the_pause() -> None:
    """It lacks now what it gave."""
    desk = Desk("aa")
    assert desk.starts(0.0) == [0, 1]
    desk.lacks(0, now=0.0, host="a")
    desk.starts(LEAST_PAUSE, turn=0)
    desk.lacks(0, now=LEAST_PAUSE, host="a")
    desk.starts(3 * LEAST_PAUSE, turn=0)
    given_up = desk.flying.pop(1)
    desk.room.ended(given_up, lacked=True)
    desk.lacks(0, now=3 * LEAST_PAUSE, host="a")
    desk.flying.clear()
    desk.room.drain()
    desk.room.evicted(given_up, "a", turn=0)
    assert desk.room.wake() == pytest.approx(7 * LEAST_PAUSE)


def test_whoever_waits_is_given_back_in_the_order_of_the_input() -> None:
    """When the run is left; nobody waits then."""
    desk = Desk("aabca", limit=5, per_host=1)
    assert desk.starts(0.0) == [0, 2, 3]
    desk.lacks(3, now=0.0, host="c")
    assert [entry.index for entry in desk.room.drain()] == [1, 3, 4]
    assert not desk.room.waits
    assert list(desk.room.drain()) == []


# All together -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_limits_hold_and_everyone_starts(seed: int) -> None:
    """A seeded weather of ends and shortages."""
    chance = random.Random(seed)
    hosts = chance.choices("abcd", k=60)
    limit, per_host = chance.randint(1, 8), chance.choice([None, 1, 2, 3])
    rate, burst = chance.choice([(0, 0), (50, 1), (20, 4)])
    desk = Desk(hosts, limit, per_host, Pace(rate, burst) if rate else None)
    now, starts = 0.0, list[float]()
    done = set[int]()
    while len(done) < len(hosts):
        before = set(desk.flying)
        started = desk.starts(now)
        starts += [now] * len(started)
        assert len(desk.flying) <= max(desk.room.size, len(before))
        assert len(desk.flying) <= limit
        if per_host is not None:
            flying = [entry.host for entry in desk.flying.values()]
            assert all(flying.count(host) <= per_host for host in "abcd")
        if desk.flying and chance.random() < 0.7:
            index = chance.choice([*desk.flying])
            if now < 20 and chance.random() < 0.4:
                lacking = chance.choice(["", desk.flying[index].host])
                desk.lacks(index, now, lacking)
            else:
                desk.ended(index)
                done.add(index)
        else:
            wake = desk.room.wake()
            assert desk.flying or wake < inf, "somebody waits for nothing"
            now = max(now, wake) if wake < inf and chance.random() < 0.5 else now + 0.004
        assert now < 1000
    assert not desk.room.waits
    if rate:
        at_once = max(burst - 1, CATCH_UP * rate) + 1
        for place, begin in enumerate(starts):
            within = [instant for instant in starts[place:] if instant < begin + 1.0]
            assert len(within) <= rate + at_once
