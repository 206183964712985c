"""The deadline of the call, and the limit of each attempt."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
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
)
def test_nothing_outlasts_the_deadline(row: Row, way: Callable[[Row], None]) -> None:
    """What runs then has run out of time, and nothing starts."""
    way(row)
