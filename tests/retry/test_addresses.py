"""Each address has its own back-off."""

from __future__ import annotations

import math

import pytest

from aioconnect import retry

A, B, C = ("192.0.2.1", 80), ("192.0.2.2", 80), ("2001:db8::1", 80, 0, 0)


def test_an_address_that_failed_goes_last() -> None:
    """One bad address among three is not dialled first each time."""
    backoff = retry.AddressBackoff()
    assert backoff.order([A, B, C], 0.0) == [A, B, C]
    backoff.failed(A, 0.0)
    assert backoff.order([A, B, C], 0.5) == [B, C, A]


def test_it_comes_back_to_its_place_when_its_time_is_over() -> None:
    """Exactly then."""
    backoff = retry.AddressBackoff(base=1)
    backoff.failed(A, 10.0)
    assert backoff.until(A) == 11.0
    assert backoff.order([A, B], math.nextafter(11.0, 0.0)) == [B, A]
    assert backoff.order([A, B], 11.0) == [A, B]


def test_the_time_grows_with_each_failure_up_to_the_cap() -> None:
    """1, 2, 4 ... 60 s."""
    backoff = retry.AddressBackoff()
    spans = []
    for number in range(9):
        backoff.failed(A, 1000.0 * number)
        spans.append(backoff.until(A) - 1000.0 * number)
    assert spans == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_a_success_is_forgiven_everything() -> None:
    """And the next failure counts as the first."""
    backoff = retry.AddressBackoff()
    for _ in range(5):
        backoff.failed(A, 0.0)
    backoff.succeeded(A)
    backoff.succeeded(B)
    assert backoff.order([A, B], 0.0) == [A, B]
    backoff.failed(A, 0.0)
    assert backoff.until(A) == 1.0


def test_the_order_is_otherwise_as_it_came() -> None:
    """Among those in favour and among the others; where all failed nothing changes."""
    backoff = retry.AddressBackoff()
    names = list("abcdefgh")
    for name in "gbd":
        backoff.failed(name, 0.0)
    assert backoff.order(names, 0.5) == list("acefh") + list("bdg")
    for name in names:
        backoff.failed(name, 0.5)
    assert backoff.order(names, 0.6) == names
    assert backoff.order([], 0.0) == []


def test_nobody_is_left_out() -> None:
    """The one with the most failures may be the only one that works now."""
    backoff = retry.AddressBackoff()
    for _ in range(100):
        backoff.failed(A, 0.0)
    assert backoff.order([A], 0.0) == [A]


def test_clocks_may_begin_anywhere() -> None:
    """An address without failures is in favour at any instant."""
    backoff = retry.AddressBackoff()
    backoff.failed(A, -100.0)
    assert backoff.order([A, B], -99.5) == [B, A]


def test_what_is_remembered_is_bounded() -> None:
    """Of names whose addresses change for ever, those that failed last."""
    backoff = retry.AddressBackoff(most=3)
    for number in range(10):
        backoff.failed(number, 0.0)
    backoff.failed(7, 0.0)
    backoff.failed("new", 0.0)
    assert [n for n in [*range(10), "new"] if backoff.until(n) > 0] == [7, 9, "new"]


@pytest.mark.parametrize(("base", "factor", "cap"), [(0, 2, 60), (2, 2, 1), (1, 0.5, 60)])
def test_a_curve_that_makes_no_sense_is_refused(base, factor, cap) -> None:
    """When it is made."""
    with pytest.raises(ValueError, match=r"base|factor"):
        retry.AddressBackoff(base, factor, cap)
