"""Several targets: in the order given, one delay apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
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
)
def test_targets_are_raced_in_their_order(row: Row, way: Callable[[Row], None]) -> None:
    """A later one overtakes a name that is being looked up after the delay, or never."""
    way(row)
