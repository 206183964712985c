"""Names whose addresses come late, and family by family (RFC 8305, sections 3 and 4)."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from aioconnect.race import Race

from .simulation import case, in_every_way, offer, start, word

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
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
)
def test_answers_join_the_race_as_they_come(row: Row, way: Callable[[Row], None]) -> None:
    """IPv4 waits for IPv6, for the resolution delay; IPv6 waits for nothing."""
    way(row)


# What is offered again ----------------------------------------------------------------------------


def test_an_address_no_longer_offered_is_not_dialled() -> None:
    """A later offer replaces the earlier one; what was not started yet is dropped."""
    race = Race(delay=0.0)
    offer(race, "6a 6b 6c", awaited=["A"])
    assert dialled(race, 0.0) == "6a"
    offer(race, "6a 6c", 0.1)
    assert [dialled(race, 0.1), dialled(race, 0.1)] == ["6c", None]


def test_a_running_attempt_is_never_dropped() -> None:
    """It runs on when its address is no longer offered, and may still expire or fail."""
    race = Race(delay=0.0, attempt_timeout=3.0)
    offer(race, "6a 6b", awaited=["A"])
    assert dialled(race, 0.0) == "6a"
    offer(race, "6b", 0.1)
    assert [word(attempt) for attempt in race.running] == ["6a"]
    assert dialled(race, 0.1) == "6b"
    assert [word(attempt) for attempt in race.expired(3.0)] == ["6a"]
    assert race.next(3.0) is not None


def test_an_address_that_comes_back_is_not_dialled_twice() -> None:
    """What was tried is remembered, also while it was not offered."""
    race = Race(delay=0.0)
    offer(race, "6a 6b", awaited=["A"])
    assert dialled(race, 0.0) == "6a"
    race.failed(race.running[0], 0.0)
    offer(race, "6b", 0.1, awaited=["A"])
    offer(race, "6a 6b", 0.2)
    assert [dialled(race, 0.2), dialled(race, 0.2)] == ["6b", None]


def test_a_second_answer_does_not_make_ipv4_wait_longer() -> None:
    """The resolution delay counts from the first answer."""
    race = Race(resolution_delay=0.05)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    offer(race, "4a 4b", 0.04, awaited=["AAAA"])
    assert race.next(0.04) == 0.05
    assert dialled(race, 0.05) == "4a"


def test_a_second_answer_after_the_wait_does_not_begin_another() -> None:
    """IPv4 whose wait is over stays free to go."""
    race = Race(resolution_delay=0.05, delay=0.0)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    assert dialled(race, 0.05) == "4a"
    offer(race, "4a 4b", 0.06, awaited=["AAAA"])
    assert dialled(race, 0.06) == "4b"


def test_ipv4_does_not_wait_for_more_of_itself() -> None:
    """It is IPv6 that it waits for, and that is known not to come."""
    race = Race()
    offer(race, "4a", 0.0, awaited=["A"])
    assert dialled(race, 0.0) == "4a"


def test_the_first_ipv6_address_ends_the_wait_though_more_may_come() -> None:
    """Whoever has one need not wait for all of them."""
    race = Race(delay=0.0)
    offer(race, "4a", 0.0, awaited=["AAAA"])
    offer(race, "6a 4a", 0.01, awaited=["AAAA"])
    assert [dialled(race, 0.01), dialled(race, 0.01)] == ["6a", "4a"]


def test_an_answer_without_addresses_begins_no_wait() -> None:
    """The wait is that of an address: it begins when there is one."""
    race = Race(resolution_delay=0.05)
    offer(race, "", 0.0, awaited=["AAAA"])
    offer(race, "4a", 1.0, awaited=["AAAA"])
    assert race.next(1.0) == 1.05


def test_a_new_address_after_a_failure_with_nothing_left_starts_at_once() -> None:
    """The newest attempt failed when there was nothing to start: what comes then need not wait."""
    race = Race(delay=0.25)
    offer(race, "6a", 0.0, awaited=["A"])
    assert dialled(race, 0.0) == "6a"
    race.failed(race.running[0], 0.05)
    assert race.next(0.05) == inf
    offer(race, "6a 4a", 0.06)
    assert dialled(race, 0.06) == "4a"


def dialled(race: Race, now: float) -> str | None:
    """Start what there is to start."""
    attempt = start(race, now)
    return None if attempt is None else word(attempt)
