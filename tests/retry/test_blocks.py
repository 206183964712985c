"""The blocks that say whether to go on."""

from __future__ import annotations

import pytest

from aioconnect import errors, retry

from .virtual import (
    DENIED,
    NO_SUCH_NAME,
    REFUSED,
    TIMED_OUT,
    Call,
    context,
)


def test_attempts_counts_rounds_with_the_first_one() -> None:
    """Three attempts are three rounds: two retries, then a stop that says so."""
    call = Call(retry.attempts(3))
    assert [call.fail(0.0) for _ in range(3)] == [
        retry.Retry(),
        retry.Retry(),
        retry.Stop("attempts"),
    ]


def test_one_attempt_is_never() -> None:
    """No block retries less than ``attempts(1)``."""
    assert retry.attempts(1)(context()) == retry.never()(context()) == retry.Stop("attempts")


def test_forever_goes_on_after_a_million_failures() -> None:
    """And does not sleep."""
    assert retry.forever()(context(failures=10**6)) == retry.Retry()


@pytest.mark.parametrize(
    ("now", "goes_on"), [(100.0, True), (102.999, True), (103.0, True), (103.001, False)]
)
def test_within_counts_from_the_start_of_the_call(now: float, goes_on: bool) -> None:
    """The instant is the call's own, not the machine's."""
    decision = retry.decide(retry.within(3), context(started=100.0, now=now), attempt_needs=0.0)
    assert decision == (retry.Retry() if goes_on else retry.Stop("deadline"))


def test_within_holds_for_the_sleep_of_what_it_is_combined_with() -> None:
    """A sleep that would end after the time is not begun, on either side of ``&``."""
    for policy in (
        retry.within(3) & retry.constant(2),
        retry.constant(2) & retry.within(3),
        retry.within(3) & (retry.attempts(9) | retry.never()) & retry.constant(2),
    ):
        call = Call(policy)
        assert call.fail(0.0) == retry.Retry(2)
        assert call.fail(1.0) == retry.Retry(2)
        assert call.fail(1.001) == retry.Stop("deadline")


@pytest.mark.parametrize(
    ("what", "error", "goes_on"),
    [
        (("connection_refused",), REFUSED, True),
        (("connection_refused",), TIMED_OUT, False),
        ((ConnectionRefusedError,), REFUSED, True),
        ((errors.ConnectionRefused,), REFUSED, True),
        ((TimeoutError,), REFUSED, False),
        ((TimeoutError, "connection_refused"), REFUSED, True),
        ((OSError,), TIMED_OUT, True),
        ((lambda error: error.errno == REFUSED.errno,), REFUSED, True),
        ((lambda error: error.errno == REFUSED.errno,), TIMED_OUT, False),
    ],
)
def test_on_goes_by_code_class_or_predicate(what, error, goes_on: bool) -> None:
    """Whatever else fails is permanent."""
    decision = retry.on(*what)(context(error=error))
    assert decision == (retry.Retry() if goes_on else retry.Stop("permanent"))


@pytest.mark.parametrize(
    ("policy", "goes_on"),
    [
        (retry.on("host_not_found"), True),
        (retry.on(errors.NameNotResolved), True),
        (retry.attempts(3) & (retry.on("host_not_found") | retry.never()), True),
        (retry.forever(), False),
        (retry.on(OSError), False),
        (retry.on(errors.ConnectError), False),
        (retry.on(lambda error: True), False),
        (retry.on("timed_out"), False),
    ],
)
def test_only_naming_an_error_overrules_that_nothing_helps(policy, goes_on: bool) -> None:
    """By its code or its own class; a class that all errors have, or a predicate, is no name."""
    decision = retry.decide(policy, context(error=NO_SUCH_NAME), attempt_needs=0.0)
    assert decision == (retry.Retry() if goes_on else retry.Stop("permanent"))


def test_naming_overrules_where_only_another_address_could_have_helped() -> None:
    """Permission may come later, if a person knows so."""
    ctx = context(error=DENIED)
    assert retry.decide(retry.forever(), ctx, attempt_needs=0.0) == retry.Stop("permanent")
    assert retry.decide(retry.on(PermissionError), ctx, attempt_needs=0.0) == retry.Retry()


@pytest.mark.parametrize("n", [0, -1])
def test_no_round_at_all_is_no_policy(n: int) -> None:
    """``attempts(0)`` is refused: the first round counts too."""
    with pytest.raises(ValueError, match="first round"):
        retry.attempts(n)


@pytest.mark.parametrize("n", [True, 2.0, "3", None])
def test_a_number_of_rounds_is_a_whole_number(n) -> None:
    """True is not 1 here."""
    with pytest.raises(TypeError, match="whole number"):
        retry.attempts(n)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_within_takes_a_positive_time(seconds: float) -> None:
    """Forever is a block of its own."""
    with pytest.raises(ValueError, match="within"):
        retry.within(seconds)


def test_a_misspelt_code_is_found_at_once() -> None:
    """It would never match, which nobody would notice before the night it is needed."""
    with pytest.raises(ValueError, match="did you mean 'connection_refused'"):
        retry.on("connection_refusd")


@pytest.mark.parametrize("what", [ValueError, KeyboardInterrupt, 111, None])
def test_what_can_never_match_is_refused(what) -> None:
    """A class that no connection error has, a number, nothing."""
    with pytest.raises(TypeError, match="on"):
        retry.on(what)


def test_on_nothing_is_refused() -> None:
    """An empty list is a mistake, not "anything"."""
    with pytest.raises(ValueError, match="at least one"):
        retry.on()


def test_every_code_of_the_table_can_be_named() -> None:
    """Those of errnos, of names, of TLS and of the library's own."""
    for code in ("connection_refused", "host_not_found", "try_again", "tls_certificate"):
        assert repr(retry.on(code)) == f"on({code!r})"
    retry.on("timed_out", "circuit_open", "is_connected", "service_not_found", "other")
