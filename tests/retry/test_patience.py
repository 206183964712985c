"""What a wait for a server outlasts: each errno of the table, and what nobody need wait for."""

from __future__ import annotations

import errno
import math
import socket
import ssl
from itertools import pairwise
from typing import Any

import pytest

import aioconnect
from aioconnect import ConnectError, retry
from aioconnect.causes import from_exception
from aioconnect.patience import Patience

from .virtual import REFUSED, Call, context, round_of

MISUSE = {
    "EALREADY": "the socket is somebody's already",
    "EBADF": "no socket",
    "EINPROGRESS": "the socket is somebody's already",
    "EISCONN": "the socket is connected",
    "ENOTSOCK": "no socket",
    "ENOTSUP": "the socket can't connect",
    "ESHUTDOWN": "the socket was shut down",
    # What no server that starts can change:
    "EAFNOSUPPORT": "this kernel lacks the family",
    "EPFNOSUPPORT": "this kernel lacks the family",
    "EPROTONOSUPPORT": "this kernel lacks the protocol",
    "ESOCKTNOSUPPORT": "this kernel lacks the type",
    "EPROTOTYPE": "a socket of another type is there",
    "ELOOP": "a path that no file can have",
    "ENAMETOOLONG": "a path that no file can have",
    "ENOTDIR": "a path that no file can have",
    "EROFS": "a path that no file can have",
}
POLICIES: dict[str, tuple[retry.Policy | None, Any]] = {
    "none": (None, retry.Retry(0.075)),
    "never ends": (retry.constant(7), retry.Retry(7.0)),
    "ends later": (retry.attempts(2) & retry.constant(7), retry.Retry(7.0)),
    "ends now": (retry.attempts(1), retry.Stop("attempts")),
}
"""A policy of one's own, and what follows the first failure, if waiting may help."""


def failed_with(error: OSError, stage: Any = "connect") -> ConnectError:
    return round_of(from_exception(error, stage=stage, target="db:5432"))


def after(error: ConnectError, policy: retry.Policy | None) -> Any:
    """Return what follows the first failure, without what the next round is to look up."""
    decision = retry.decide(Patience(policy), context(error=error), attempt_needs=0.0)
    return retry.Retry(round(decision.delay, 6)) if isinstance(decision, retry.Retry) else decision


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_kernel_says_is_waited_for(policy: str) -> None:
    """A route, an address or a permission may come: each errno, with each kind of policy."""
    given, follows = POLICIES[policy]
    for number, name in sorted(errno.errorcode.items()):
        expected = retry.Stop("permanent") if name in MISUSE else follows
        assert after(failed_with(OSError(number, "?")), given) == expected, name


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_AGAIN])
def test_a_name_is_waited_for(number: int, policy: str) -> None:
    """Compose and Kubernetes give it when the service is there."""
    given, follows = POLICIES[policy]
    error = failed_with(socket.gaierror(number, "?"), stage="resolve")
    assert after(error, given) == follows


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "error",
    [
        failed_with(ssl.SSLCertVerificationError(1, "certificate verify failed"), stage="tls"),
        round_of(aioconnect.PolicyDenied(13, "forbidden")),
        failed_with(PermissionError(errno.EACCES, "?"), stage="bind"),
        failed_with(PermissionError(errno.EPERM, "?"), stage="socket"),
    ],
    ids=["certificate", "address policy", "local port", "socket option"],
)
def test_what_is_wrong_on_this_side_is_not_waited_for(error: ConnectError, policy: str) -> None:
    """Whatever the policy: time does not change it."""
    assert after(error, POLICIES[policy][0]) == retry.Stop("permanent")


def test_one_address_that_may_come_is_enough() -> None:
    """What is wrong with the others is not waited for."""
    denied = aioconnect.PolicyDenied(13, "forbidden")
    assert after(round_of(denied, REFUSED), None) == retry.Retry(0.075)


def test_what_a_policy_names_is_its_business() -> None:
    """``on(...)`` overrules what we think of an error, here too."""
    error = failed_with(OSError(errno.ELOOP, "?"))
    named = retry.on(aioconnect.PathUnusable) & retry.constant(7)
    assert after(error, named) == retry.Retry(7.0)


def test_the_last_look_is_just_before_the_end() -> None:
    """A pause that would not fit is cut; there is one more, and no other."""
    call = Call(Patience(), deadline=10.0)
    now, looks = 0.0, []
    while isinstance(decision := call.fail(now), retry.Retry):
        now += decision.delay
        looks.append(now)
    assert looks[-1] == pytest.approx(9.9)
    assert decision == retry.Stop("deadline")
    assert max(b - a for a, b in pairwise(looks)) <= 1.0


def test_without_an_end_it_goes_on_for_ever() -> None:
    """About once a second."""
    call = Call(Patience(), deadline=math.inf)
    for number in range(10_000):
        decision = call.fail(float(number))
        assert isinstance(decision, retry.Retry)
        assert decision.delay <= 1.0
