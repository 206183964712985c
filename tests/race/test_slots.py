"""How many attempts are open at a time, and how their time is shared."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
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
)
def test_no_address_starts_without_a_slot(row: Row, way: Callable[[Row], None]) -> None:
    """It waits for one that comes free, and for its delay."""
    way(row)
