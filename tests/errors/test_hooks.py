"""What a function of the caller's raised: its words are said, its exception is the cause."""

from __future__ import annotations

import errno
import gc
import socket
import weakref
from typing import Any

import pytest

from aioconnect.causes import combine, from_exception
from aioconnect.errors import ConnectError

from ..support.error_table import V4
from .made import failed, refused_by_a_policy

SAID = [
    (
        PermissionError(errno.EACCES, "10.0.0.0/8 is internal: ask the platform team"),
        "policy",
        "forbidden to dial 10.0.0.1:5432: 10.0.0.0/8 is internal: ask the platform team",
    ),
    (
        PermissionError("10.0.0.0/8 is internal"),
        "policy",
        "forbidden to dial 10.0.0.1:5432: 10.0.0.0/8 is internal",
    ),
    (PermissionError(), "policy", "forbidden to dial 10.0.0.1:5432"),
    (
        OSError(errno.EIO, "tunnel device is down"),
        "socket",
        "the socket factory failed for 10.0.0.1:5432: tunnel device is down",
    ),
    (
        OSError("no proxy configured for this host"),
        "socket",
        "the socket factory failed for 10.0.0.1:5432: no proxy configured for this host",
    ),
    (
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        "socket",
        "refused by 10.0.0.1:5432",
    ),
    (
        TimeoutError("the proxy did not answer"),
        "socket",
        "no answer from 10.0.0.1:5432: the proxy did not answer",
    ),
    (
        OSError(errno.EIO, "the ledger is closed"),
        "wait",
        "the retry policy failed for 10.0.0.1:5432: the ledger is closed",
    ),
]


@pytest.mark.parametrize(("original", "stage", "said"), SAID, ids=lambda value: str(value)[:30])
def test_its_words_are_in_the_message(original: OSError, stage: Any, said: str) -> None:
    """Behind what they mean here; the kernel's own words are not said twice."""
    error = from_exception(original, stage=stage, address=V4, family=socket.AF_INET, said_by="hook")
    assert error.strerror == said
    assert isinstance(error, type(original))


def test_its_exception_is_the_cause_of_the_attempt_and_of_the_call() -> None:
    """Where one attempt failed; several are a group, as ever."""
    error = refused_by_a_policy()
    (failure,) = error.attempts
    assert isinstance(failure.error.__cause__, PermissionError)
    assert not isinstance(failure.error.__cause__, ConnectError)
    assert error.__cause__ is failure.error.__cause__
    both = combine([failure, *failed("ECONNREFUSED").attempts], target="db", elapsed=1)
    assert isinstance(both.__cause__, ExceptionGroup)


def test_its_exception_brings_no_frame_along() -> None:
    """Nor do those that it came from: the frames would hold the call, and the call the error."""

    class Held:
        """Something in a frame."""

    def hook(held: Held) -> None:
        try:
            raise KeyError("the region")
        except KeyError as exc:
            raise PermissionError(errno.EACCES, "not in this region") from exc

    def call() -> tuple[ConnectError, weakref.ref[Held]]:
        held = Held()
        try:
            hook(held)
        except OSError as exc:
            return from_exception(exc, stage="policy", address=V4), weakref.ref(held)
        raise AssertionError

    gc.disable()
    try:
        error, held = call()
        assert held() is None
        assert isinstance(error.__cause__, PermissionError)
        assert isinstance(error.__cause__.__cause__, KeyError)
        assert error.__cause__.__traceback__ is None
    finally:
        gc.enable()


def test_what_it_does_not_say_is_left_out() -> None:
    """An exception without words has none, and no class name in their place."""
    error = from_exception(
        ConnectionRefusedError(), stage="socket", address=V4, family=2, said_by="hook"
    )
    assert error.strerror == "refused by 10.0.0.1:5432"
