"""What an attempt says of itself, and what the race makes of what it is told of one."""

from __future__ import annotations

import pytest

from aioconnect.race import Attempt, Race
from aioconnect.spans import pause

from .simulation import endpoint, offer, start, starts, word


def test_attempts_are_numbered_in_the_order_of_their_starts_through_all_rounds() -> None:
    """The second round counts on from the first one."""
    race = Race(delay=0.0, first=4)
    offer(race, "6a 4a 6b")
    numbers = [(word(attempt), attempt.number) for attempt in starts(race, 0.0)]
    assert numbers == [("6a", 5), ("4a", 6), ("6b", 7)]
    assert race.number == 7


def test_an_attempt_knows_when_it_started_and_how_often() -> None:
    """A try that is made again keeps the start, the number and the limit of the first."""
    race = Race(deadline=60.0, attempt_timeout=5.0)
    offer(race, "ua")
    attempt = start(race, 1.0)
    assert attempt is not None
    assert (attempt.number, attempt.tries, attempt.started) == (1, 1, 1.0)
    race.again(attempt, 1.5)
    assert race.next(1.5) == 1.501
    assert race.next(1.501) is attempt
    assert (attempt.number, attempt.tries, attempt.started) == (1, 2, 1.0)
    assert attempt.limit == 6.0


def test_a_pause_that_outlasts_the_limit_is_not_followed_by_a_try() -> None:
    """Whoever asks what to start before asking what has expired."""
    race = Race(deadline=0.5)
    offer(race, "ua")
    attempt = start(race, 0.0)
    assert attempt is not None
    race.again(attempt, 0.4999)
    assert race.next(0.4999) == 0.5
    assert start(race, 0.501) is None
    assert [*race.expired(0.501)] == [attempt]


def test_an_attempt_knows_its_target() -> None:
    """TLS verifies the name of the target that won."""
    race = Race(targets=3, delay=0.0)
    for target, address in enumerate(["4a", "4b", "4a"]):
        race.offer(target, [endpoint(address)], 0.0)
    started = [(word(attempt), attempt.target) for attempt in starts(race, 0.0)]
    assert started == [("4a", 0), ("4b", 1), ("4a", 2)]


def test_a_round_is_over_when_all_is_tried_and_has_failed() -> None:
    """Not while an address is left, and not while an attempt runs."""
    race = Race()
    offer(race, "6a 4a")
    for now in (0.0, 0.1):
        assert isinstance(race.next(now), Attempt)
        assert isinstance(race.next(now), float)
        race.failed(race.running[0], now + 0.1)
    assert race.next(0.2) is None


@pytest.mark.parametrize(
    ("tries", "seconds"), [(1, 0.001), (2, 0.002), (5, 0.016), (7, 0.064), (8, 0.1), (10_000, 0.1)]
)
def test_the_pause_before_another_try_doubles_up_to_a_tenth_of_a_second(
    tries: int, seconds: float
) -> None:
    """Short enough for a server that catches up, long enough not to burn a core."""
    assert pause(tries) == seconds


# Attempts that go on with a handshake -------------------------------------------------------------


def started_at(race: Race, now: float, addresses: str) -> Attempt:
    """Offer addresses, and start the first one."""
    offer(race, addresses, now)
    attempt = start(race, now)
    assert attempt is not None
    return attempt


def test_an_attempt_that_has_connected_begins_the_delay_anew() -> None:
    """A healthy peer beyond half a delay does not see two of each connect."""
    race = Race(delay=0.25)
    attempt = started_at(race, 0.0, "6a 4a")
    assert race.next(0.0) == 0.25
    race.advanced(attempt, 0.2)
    assert race.next(0.2) == pytest.approx(0.45)
    assert start(race, 0.45) is not None


def test_it_does_so_once() -> None:
    """A handshake of many steps does not keep the others from being tried."""
    race = Race(delay=0.25)
    attempt = started_at(race, 0.0, "6a 4a")
    for now in (0.1, 0.2, 0.3):
        race.advanced(attempt, now)
    assert race.next(0.3) == 0.35


def test_each_attempt_that_has_connected_begins_it_anew() -> None:
    """The second one's connect, too, is a sign of life."""
    race = Race(delay=0.25)
    first = started_at(race, 0.0, "6a 4a 6b")
    second = start(race, 0.25)
    assert second is not None
    race.advanced(first, 0.3)
    race.advanced(second, 0.4)
    assert race.next(0.4) == 0.65


def test_it_never_makes_the_delay_shorter() -> None:
    """The next start is one delay after the last one at the earliest."""
    race = Race(delay=0.25)
    offer(race, "6a 4a 6b")
    first = start(race, 0.0)
    assert first is not None
    assert start(race, 0.4) is not None
    race.advanced(first, 0.4)
    assert race.next(0.4) == 0.65


def test_the_failure_of_its_handshake_starts_the_next_at_once() -> None:
    """It is a failed attempt, whatever it had connected to."""
    race = Race(delay=0.25)
    attempt = started_at(race, 0.0, "6a 4a")
    race.advanced(attempt, 0.2)
    race.failed(attempt, 0.3)
    assert start(race, 0.3) is not None


def test_a_handshake_has_the_limit_of_its_attempt() -> None:
    """It gets no time of its own."""
    race = Race(delay=0.25, attempt_timeout=1.0)
    attempt = started_at(race, 0.0, "6a")
    race.advanced(attempt, 0.9)
    assert [*race.expired(0.999)] == []
    assert [*race.expired(1.0)] == [attempt]


def test_one_after_the_other_a_handshake_keeps_the_others_waiting() -> None:
    """``delay=None`` has no delay to begin anew."""
    race = Race(delay=None, deadline=100.0, attempt_timeout=30.0)
    attempt = started_at(race, 0.0, "6a 4a")
    race.advanced(attempt, 0.2)
    assert race.next(0.2) == 30.0


def test_while_a_stage_is_sole_nothing_else_starts() -> None:
    """A proxy that has accepted is alive: its silence is that of what lies behind it."""
    race = Race(delay=0.25, deadline=60.0, attempt_timeout=10.0)
    attempt = started_at(race, 0.0, "6a 4a")
    race.advanced(attempt, 0.1, sole=True)
    assert race.next(0.1) == 10.0
    assert race.next(5.0) == 10.0
    assert [*race.expired(10.0)] == [attempt]
    race.failed(attempt, 10.0)
    assert start(race, 10.0) is not None


def test_when_the_sole_stage_is_over_the_others_have_their_turn_again() -> None:
    """After the delay that began when it connected."""
    race = Race(delay=0.25, deadline=60.0, attempt_timeout=10.0)
    attempt = started_at(race, 0.0, "6a 4a")
    race.advanced(attempt, 0.1, sole=True)
    race.advanced(attempt, 0.2)
    assert race.next(0.2) == 0.35
    race.advanced(attempt, 0.3, sole=True)
    race.advanced(attempt, 3.0)
    assert start(race, 3.0) is not None


def test_what_ran_beside_a_sole_stage_may_still_win_or_fail() -> None:
    """It had started before."""
    race = Race(delay=0.25, deadline=60.0, attempt_timeout=10.0)
    first = started_at(race, 0.0, "6a 4a 6b")
    second = start(race, 0.25)
    assert second is not None
    race.advanced(first, 0.3, sole=True)
    race.failed(second, 0.4)
    assert race.next(0.4) == 10.0
    race.failed(first, 0.5)
    assert start(race, 0.5) is not None
