"""What follows a failed round: help, the policy, the deadline, in that order."""

from __future__ import annotations

import errno
import math
import ssl

import pytest

from aioconnect import causes, retry

from .virtual import (
    DENIED,
    NAME_SERVER_AWAY,
    NO_DESCRIPTOR,
    NO_PORT,
    NO_ROUTE,
    NO_SUCH_NAME,
    REFUSED,
    TIMED_OUT,
    attempt,
    context,
    failure,
    no_name,
    round_of,
)

PERMANENT = retry.Stop("permanent")
CERTIFICATE = causes.from_exception(ssl.SSLCertVerificationError(1, "expired"), stage="tls")
BACKOFF = retry.constant(2)


def decide(policy: retry.PolicyLike = BACKOFF, needs: float = 0.0, **fields):
    """Ask for a decision in a situation."""
    lifted = retry.policy(policy)
    assert lifted is not None
    return retry.decide(lifted, context(**fields), attempt_needs=needs)


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        # Nothing helps: one round, whatever the policy says.
        (NO_SUCH_NAME, PERMANENT),
        (CERTIFICATE, PERMANENT),
        (failure(errno.ENOTSOCK), PERMANENT),
        # Only another address, and a round has tried them all.
        (DENIED, PERMANENT),
        (failure(errno.EAFNOSUPPORT), PERMANENT),
        (round_of(DENIED, failure(errno.EAFNOSUPPORT)), PERMANENT),
        # The same address later, or something local: back off.
        (REFUSED, retry.Retry(2)),
        (TIMED_OUT, retry.Retry(2)),
        (NO_ROUTE, retry.Retry(2)),
        (NO_DESCRIPTOR, retry.Retry(2)),
        (NO_PORT, retry.Retry(2)),
        # One of the addresses may come back.
        (round_of(DENIED, REFUSED), retry.Retry(2)),
        # The name may resolve to something else.
        (NAME_SERVER_AWAY, retry.Retry(2, pick="resolve")),
        (round_of(NAME_SERVER_AWAY, REFUSED), retry.Retry(2, pick="resolve")),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_help_decides_what_is_worth_a_retry(error, decision) -> None:
    """The table of the causes, as a policy that always goes on sees it."""
    assert decide(error=error) == decision


def test_a_policy_is_not_asked_where_nothing_helps() -> None:
    """It cannot get it wrong."""
    assert decide(lambda ctx: pytest.fail("was asked"), error=CERTIFICATE) == PERMANENT


def test_a_policy_is_asked_once_per_failed_round() -> None:
    """What it remembers depends on that."""
    asked = []
    policy = retry.forever() & (lambda ctx: asked.append(ctx.failures) or retry.Retry(1))
    assert decide(policy) == retry.Retry(1)
    assert asked == [1]


def test_a_call_that_is_out_of_time_says_so() -> None:
    """Not that nothing helps: more time would."""
    error = causes.timed_out(whole=True, stage="resolve", target="db:5432")
    assert decide(error=error) == retry.Stop("deadline")


@pytest.mark.parametrize(
    ("delay", "needs", "decision"),
    [
        (2.0, 0.0, retry.Retry(2)),
        (3.0, 0.0, retry.Retry(3)),
        (3.000001, 0.0, retry.Stop("deadline")),
        (2.0, 1.0, retry.Retry(2)),
        (2.0, 1.001, retry.Stop("deadline")),
        (0.0, 3.0, retry.Retry(0)),
        (0.0, 3.001, retry.Stop("deadline")),
    ],
)
def test_no_sleep_begins_that_ends_too_late(delay, needs, decision) -> None:
    """With three seconds left, less what an attempt needs: exactly so much may be slept."""
    assert decide(retry.constant(delay), needs, now=7.0, deadline=10.0) == decision


def test_the_sleep_counts_not_the_delay() -> None:
    """A delay from the start of a round that took 6 s has 6 s less to sleep."""
    fields = {"now": 8.0, "last": attempt(started=2.0, at=8.0), "deadline": 10.0}
    assert decide(lambda ctx: retry.Retry(7.5, "start"), **fields) == retry.Retry(1.5)
    assert decide(lambda ctx: retry.Retry(8.5, "start"), **fields) == retry.Stop("deadline")
    assert decide(lambda ctx: retry.Retry(5, "start"), **fields) == retry.Retry(0)


def test_rounds_paced_from_their_start_begin_that_far_apart() -> None:
    """With rounds of 1, 3 and 5 s and a pace of 4 s: at 0, 4, 8 and 13."""
    starts, now = [0.0], 0.0
    for took in (1.0, 3.0, 5.0):
        last = attempt(started=now, at=now + took)
        decision = decide(lambda ctx: retry.Retry(4, "start"), now=now + took, last=last)
        now += took + decision.delay
        starts.append(now)
    assert starts == [0.0, 4.0, 8.0, 13.0]


def test_state_and_pick_come_through() -> None:
    """The driver keeps the one and follows the other."""
    decision = decide(lambda ctx: retry.Retry(1, pick="next", state=[1]))
    assert decision == retry.Retry(1, pick="next", state=[1])


def test_a_stop_comes_out_as_it_is() -> None:
    """With its reason and its retry_after."""
    stop = retry.Stop("maintenance until six", 3600.0)
    assert decide(lambda ctx: stop) is stop


def test_a_policy_may_limit_its_own_sleep() -> None:
    """``latest`` stops a sleep that would end later, alone and in company."""

    def until_ten(ctx: retry.Context) -> retry.Retry:
        return retry.Retry(2, latest=10.0)

    assert decide(until_ten, now=8.0) == retry.Retry(2)
    assert decide(until_ten, now=8.5) == retry.Stop("deadline")
    assert decide(retry.constant(3) & until_ten, now=7.5) == retry.Stop("deadline")
    assert decide(retry.constant(9) | until_ten, now=8.5) == retry.Retry(9)


@pytest.mark.parametrize("answer", [None, 1.5, True, "later", (retry.Retry(),)])
def test_an_answer_that_is_none_is_a_type_error(answer) -> None:
    """It names the policy and what it answered, alone and in company."""

    def careless(ctx: retry.Context):
        return answer

    for policy in (careless, retry.forever() & careless, retry.never() | careless):
        with pytest.raises(TypeError, match=r"careless.* answered"):
            decide(policy)


@pytest.mark.parametrize("delay", [-0.5, math.nan, math.inf])
def test_a_bad_delay_of_a_function_is_a_value_error(delay: float) -> None:
    """It comes out of the decision, not out of the sleep."""
    with pytest.raises(ValueError, match="delay"):
        decide(lambda ctx: retry.Retry(delay))


@pytest.mark.parametrize("raised", [OSError(5, "no"), KeyError("x"), ZeroDivisionError()])
def test_what_a_policy_raises_comes_out_unchanged(raised: Exception) -> None:
    """The very object; what an OSError means is for the driver to say."""

    def broken(ctx: retry.Context) -> retry.Retry:
        raise raised

    with pytest.raises(type(raised)) as caught:
        decide(broken & retry.forever())
    assert caught.value is raised


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (REFUSED, True),
        (TIMED_OUT, True),
        (failure(errno.EHOSTUNREACH), True),
        (NAME_SERVER_AWAY, True),
        (CERTIFICATE, True),
        (causes.from_proxy("network", "no route"), True),
        (causes.from_proxy("credentials", "no"), True),
        (failure(errno.ENETUNREACH, stage="handshake"), True),
        (failure(errno.EMFILE, stage="handshake"), False),
        (NO_DESCRIPTOR, False),
        (NO_PORT, False),
        (NO_ROUTE, False),
        (DENIED, False),
        (failure(errno.ENETDOWN), False),
        (failure(errno.EAFNOSUPPORT, stage="socket"), False),
        (failure(errno.EADDRNOTAVAIL, stage="bind"), False),
        (causes.circuit_open("db:5432", 3.0), False),
        (round_of(NO_DESCRIPTOR, NO_ROUTE), False),
        (round_of(NO_DESCRIPTOR, REFUSED), True),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_some_failures_never_left_this_host(error, left: bool) -> None:
    """They cost no budget and open no breaker."""
    assert retry.left_host(error) is left


def test_other_codes_of_the_resolver() -> None:
    """Whatever helps against them is in the table; a retry looks the name up again."""
    import socket

    assert decide(error=no_name(socket.EAI_FAIL)) == retry.Retry(2, pick="resolve")
    assert decide(error=no_name(socket.EAI_SERVICE)) == PERMANENT
    assert decide(error=no_name(socket.EAI_MEMORY)) == retry.Retry(2)
