"""What is said of a TLS handshake that did not come to its end."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect.causes import combine, from_errno, from_exception, timed_out
from aioconnect.errors import AttemptTimedOut, ConnectionReset, DeadlineExceeded, TimedOut

from .made import attempt

if TYPE_CHECKING:
    from aioconnect.errors import ConnectError

ADDRESS = ("127.0.0.1", 443)
WHERE: dict[str, Any] = {"stage": "tls", "address": ADDRESS, "family": int(socket.AF_INET)}
LATE = (
    "connected to 127.0.0.1:443, but the TLS handshake did not finish in 0.5 s:"
    " does it speak TLS on that port?"
)
LIMITS: dict[str, ConnectError] = {
    "of the call": timed_out(whole=True, elapsed=0.5, **WHERE),
    "of the attempt": timed_out(whole=False, elapsed=0.5, **WHERE),
    "asyncio's, as a timeout": from_exception(TimeoutError(), elapsed=0.5, **WHERE),
    "asyncio's, as it says it": from_exception(
        ConnectionAbortedError("SSL handshake is taking longer than 0.5 seconds: aborting"),
        elapsed=0.5,
        **WHERE,
    ),
}


@pytest.mark.parametrize("whose", LIMITS)
def test_a_limit_in_the_handshake_is_a_timeout_that_speaks_of_tls(whose: str) -> None:
    """The network did not change, and no call returned an errno."""
    error = LIMITS[whose]
    assert isinstance(error, TimedOut)
    assert (error.errno, error.code, error.stage) == (None, "timed_out", "tls")
    assert error.args == (None, LATE.partition(" does")[0].rstrip(":"))
    assert str(error) == LATE
    call = combine([attempt(error)], target="db.internal:443", elapsed=0.6)
    assert str(call) == f"cannot connect to db.internal:443: {LATE}"


def test_the_limit_says_whose_it_is() -> None:
    """The call's leaves no hope; an attempt's does."""
    assert type(LIMITS["of the call"]) is DeadlineExceeded
    assert type(LIMITS["asyncio's, as it says it"]) is AttemptTimedOut


def test_several_attempts_say_how_many_there_were() -> None:
    """And each says its address and time."""
    attempts = [attempt(LIMITS["of the attempt"]), attempt(LIMITS["of the attempt"], 2)]
    call = combine(attempts, target="db.internal:443", elapsed=1.1)
    assert "(2 attempts, 1.1 s)" in str(call)


def test_a_reset_in_the_handshake_speaks_of_tls() -> None:
    """It came after the connection was there."""
    error = from_errno(errno.ECONNRESET, **WHERE)
    assert type(error) is ConnectionReset
    assert error.strerror == "reset in the TLS handshake by 127.0.0.1:443"


def test_what_openssl_says_is_said_without_what_it_is_wrapped_in() -> None:
    """Neither the name of the reason in brackets nor a line of CPython's source."""
    original = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)")
    error = from_exception(original, **WHERE)
    assert error.strerror == "TLS handshake failed with 127.0.0.1:443: wrong version number"
