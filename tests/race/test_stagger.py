"""When the next address is dialled beside those that run (RFC 8305, section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
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
)
def test_attempts_start_one_delay_apart(row: Row, way: Callable[[Row], None]) -> None:
    """The next one starts after the delay, or at once when the newest has failed."""
    way(row)


@in_every_way(
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
)
def test_without_a_delay_attempts_are_made_one_after_the_other(
    row: Row, way: Callable[[Row], None]
) -> None:
    """``delay=None``: the next address is dialled when the one before has failed."""
    way(row)
