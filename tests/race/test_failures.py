"""Failures that are not the peer's: a local resource ran out, or a backlog is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .simulation import case, in_every_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from .simulation import Row


@in_every_way(
    case(
        "a local failure starts nothing new: another address cannot help",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
    ),
    case(
        "what runs already may still win",
        "6a connects 1; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 1 win 6a",
    ),
    case(
        "or fail, and then the round is over",
        "6a fails 1; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 1 fail 6a; 1 over",
    ),
    case(
        "or run out of its time",
        "6a never; 4a local; 6b connects",
        "0 start 6a; 0.25 start 4a; 0.25 fail 4a; 10 expire 6a; 10 over",
    ),
    case(
        "nor are names waited for that are still being looked up",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
        "0 AAAA 6a; 1 A 4a",
    ),
    case(
        "nor is another target tried",
        "6a local; 4a connects",
        "0 start 6a; 0 fail 6a; 0 over",
        "literal 6a",
        "literal 4a",
    ),
    case(
        "nor, with one after the other, the next address",
        "6a fails; 4a local; 6b connects",
        "0 start 6a; 0 fail 6a; 0 start 4a; 0 fail 4a; 0 over",
        delay=None,
    ),
    case(
        "a full backlog is still tried again: its attempt runs",
        "ua full,connects; 4a local; 6a connects",
        "0 start ua; 0 full ua; 0.0005 start 4a; 0.0005 fail 4a; 0.001 retry ua; 0.001 win ua",
        "literal ua",
        "literal 4a",
        "literal 6a",
        delay=0.0005,
    ),
)
def test_a_local_failure_starts_nothing_new(row: Row, way: Callable[[Row], None]) -> None:
    """Another address cannot help; what runs already may still win."""
    way(row)


@in_every_way(
    case(
        "a full backlog is tried again after a pause that doubles, up to a tenth of a second",
        "ua full,full,full,full,full,full,full,full,full,connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 full ua; "
        "0.007 retry ua; 0.007 full ua; 0.015 retry ua; 0.015 full ua; 0.031 retry ua; "
        "0.031 full ua; 0.063 retry ua; 0.063 full ua; 0.127 retry ua; 0.127 full ua; "
        "0.227 retry ua; 0.227 full ua; 0.327 retry ua; 0.327 win ua",
    ),
    case(
        "until its time is up, also between two tries",
        "ua full",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 full ua; "
        "0.005 expire ua; 0.005 over",
        timeout=0.005,
    ),
    case(
        "a pause that ends with the limit is not followed by a try",
        "ua full",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 expire ua; 0.003 over",
        timeout=0.003,
    ),
    case(
        "a pause is no failure: the next address starts after the delay",
        "ua full,never; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.25 start 4a; 0.25 win 4a",
        "literal ua",
        "literal 4a",
    ),
    case(
        "nor does it give its slot away",
        "ua full,full,fails; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.001 full ua; 0.003 retry ua; 0.003 fail ua; "
        "0.003 start 4a; 0.003 win 4a",
        "literal ua",
        "literal 4a",
        delay=0.0005,
        slots=1,
    ),
    case(
        "an older attempt that is made again stays an older attempt",
        "ua full,fails 0.3; 4a never; 6a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 0.25 start 4a; 0.301 fail ua; 0.5 start 6a; "
        "0.5 win 6a",
        "literal ua",
        "literal 4a",
        "literal 6a",
    ),
    case(
        "a socket that met itself is made again in the same way",
        "4a full 0.25,connects 0.25; 6a never",
        "0 start 4a; 0.25 full 4a; 0.25 start 6a; 0.251 retry 4a; 0.501 win 4a",
    ),
    case(
        "the limit counts from the first try",
        "ua full,never; 4a connects",
        "0 start ua; 0 full ua; 0.001 retry ua; 2 expire ua; 2 start 4a; 2 win 4a",
        "literal ua",
        "literal 4a",
        delay=None,
        attempt_timeout=2.0,
    ),
)
def test_a_full_backlog_is_tried_again(row: Row, way: Callable[[Row], None]) -> None:
    """As the same attempt, with a fresh socket, after a pause."""
    way(row)
