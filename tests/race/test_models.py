"""The tables of others who race addresses: Go and curl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


LONG = 3600.0
"""A delay where Go says "instant": it may not have played a part."""


@in_every_way(
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
)
def test_what_go_connects_to_is_connected_to(row: Row, way: Callable[[Row], None]) -> None:
    """Go's TestDialParallel, which dials one family in sequence and the other beside it.

    Here the families alternate.  What connects, and after how long, is the same.
    """
    way(row)


@in_every_way(
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
)
def test_what_curl_dials_is_dialled_when_curl_does(row: Row, way: Callable[[Row], None]) -> None:
    """As in curl's unit2600: all attempts fail after the same time, the instants of dials count."""
    way(row)
