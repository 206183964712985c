"""Policies of somebody else: what they raise, and what they answer."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from aioconnect import retry

from .running import run

if TYPE_CHECKING:
    from collections.abc import Callable


def failing(error: BaseException) -> Callable[[retry.Context], retry.Retry]:
    """Make a policy that raises."""

    def policy(ctx: retry.Context) -> retry.Retry:
        raise error

    return policy


def test_an_os_error_of_a_policy_ends_the_call() -> None:
    """It is one of the failures; the peer's own has precedence."""
    outcome = run("a refused", "a", retry=failing(OSError(errno.EIO, "no policy file")))
    error = outcome.error
    assert isinstance(error, ConnectionRefusedError)
    assert [(a.stage, a.errno) for a in error.attempts] == [
        ("connect", errno.ECONNREFUSED),
        ("wait", errno.EIO),
    ]
    assert error.stopped == "custom"
    assert outcome.log[-1] == "0 gave up: custom"

    error = run("a no-port", "a", retry=failing(TimeoutError("of the policy's server"))).error
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize(
    "error", [ValueError("what?"), ExceptionGroup("two", [KeyError(1)]), KeyboardInterrupt()]
)
def test_whatever_else_a_policy_raises_comes_out_as_it_is(error: BaseException) -> None:
    """The very object; nothing is left open, nothing is kept."""
    budget, breaker = retry.Budget(3), retry.Breaker(9)
    with pytest.raises(type(error)) as caught:
        run("a refused; b never", *"ab", retry=failing(error), budget=budget, breaker=breaker)
    assert caught.value is error
    assert budget.tokens("192.0.2.1:80, 192.0.2.2:80") == 3.0


def test_an_answer_that_is_none_is_a_type_error() -> None:
    """The message names the policy and what it answered."""
    with pytest.raises(TypeError, match=r"lambda.*answered 2, not a Retry or a Stop"):
        run("a refused", "a", retry=lambda ctx: 2)
