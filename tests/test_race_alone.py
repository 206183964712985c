"""An attempt that is alone: while it has a tunnel made, nothing else starts.  In virtual time."""

from __future__ import annotations

import socket
from typing import Any

from aioconnect.race import Attempt, Race

A, B, C = ((2, 1, 6, "", (f"192.0.2.{n}", 80)) for n in (1, 2, 3))
"""Three addresses of one family."""


def start(race: Race, now: float) -> Attempt:
    """Start what is due."""
    attempt = race.next(now)
    assert isinstance(attempt, Attempt), attempt
    return attempt


def racing(*offers: Any, **options: Any) -> Race:
    """Make a race over targets with these addresses."""
    race = Race(len(offers), deadline=30.0, **options)
    for target, endpoints in enumerate(offers):
        race.offer(target, endpoints, 0.0)
    return race


def test_nothing_starts_beside_it_until_it_has_failed() -> None:
    """Then the next address starts at once."""
    race = racing([A, B])
    first = start(race, 0.0)
    race.advanced(first, 0.1, sole=True)
    assert race.next(0.1) == race.next(9.9) == 10.0  # its own limit is all that comes
    race.failed(first, 5.0)
    assert start(race, 5.0).endpoint == B


def test_its_time_limit_is_that_of_an_attempt() -> None:
    """It uses it up, and the next address starts."""
    race = racing([A, B], attempt_timeout=2.0)
    first = start(race, 0.0)
    race.advanced(first, 0.1, sole=True)
    assert race.next(1.0) == 2.0
    assert race.expired(1.9) == ()
    assert list(race.expired(2.0)) == [first]
    race.failed(first, 2.0)
    assert start(race, 2.0).endpoint == B


def test_when_its_tunnel_is_there_the_delay_goes_on() -> None:
    """The stage after it (TLS) is not alone; what was put off for it comes when it is due."""
    race = racing([A, B])
    first = start(race, 0.0)
    race.advanced(first, 0.1, sole=True)
    race.advanced(first, 0.2)
    assert race.next(0.2) == 0.1 + 0.25
    assert start(race, 0.35).endpoint == B


def test_another_that_connects_meanwhile_is_put_off_and_comes_first() -> None:
    """It starts afresh when the first has failed, before the addresses that were not started."""
    race = racing([A, B, C])
    first, second = start(race, 0.0), start(race, 0.25)
    race.advanced(first, 0.3, sole=True)
    assert race.must_wait(second)
    assert not race.must_wait(first)
    race.postpone(second)
    assert race.running == [first]
    assert race.next(0.3) == 10.0
    race.failed(first, 1.0)
    again = start(race, 1.0)
    assert (again.endpoint, again.number, again.limit) == (B, 3, 11.0)
    race.failed(again, 2.0)
    assert start(race, 2.0).endpoint == C


def test_the_last_address_of_a_target_can_be_put_off() -> None:
    """In the place of its target: those of later targets come after it."""
    race = racing([A], [B], [C])
    first, second = start(race, 0.0), start(race, 0.25)
    race.advanced(first, 0.3, sole=True)
    race.postpone(second)
    race.failed(first, 0.4)
    order = []
    for now in (0.4, 0.5):
        attempt = start(race, now)
        order.append(attempt.endpoint)
        race.failed(attempt, now)
    assert order == [B, C]
    assert race.next(1.0) is None


def test_what_was_put_off_survives_a_later_answer_of_its_name() -> None:
    """An offer replaces earlier ones, but does not lose an address that is to be dialled again."""
    race = Race(1, deadline=30.0)
    race.offer(0, [A, B], 0.0, awaited=(int(socket.AF_INET6),))
    assert race.next(0.0) == 0.05  # IPv6 may still come
    first, second = start(race, 0.05), start(race, 0.3)
    race.advanced(first, 0.35, sole=True)
    race.postpone(second)
    race.offer(0, [A, B], 0.4)
    race.failed(first, 0.5)
    assert start(race, 0.5).endpoint == B
    assert race.number == 3


def test_another_that_needs_not_be_alone_does_not_end_that_it_is() -> None:
    """One that is dialled directly goes on with its own stages."""
    race = racing([A, B, C])
    first, second = start(race, 0.0), start(race, 0.25)
    race.advanced(first, 0.3, sole=True)
    race.advanced(second, 0.31)
    assert race.next(5.0) == 10.0


def test_the_end_of_another_does_not_end_that_it_is_alone() -> None:
    """An attempt that was under way fails; the one that is alone still is."""
    race = racing([A, B, C])
    first, second = start(race, 0.0), start(race, 0.25)
    race.advanced(first, 0.3, sole=True)
    race.failed(second, 0.4)
    assert race.next(0.4) == 10.0
    assert race.next(3.0) == 10.0
