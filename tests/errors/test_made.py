"""Errors that a program's own tests make: whole, without anything dialled."""

from __future__ import annotations

import copy
import errno
import pickle
import re
import socket
from typing import Any

import pytest

import aioconnect
from aioconnect import ConnectError, Help, errors

from ..support.error_table import V4

CLASSES = [
    getattr(errors, name)
    for name in errors.__all__
    if isinstance(getattr(errors, name), type) and issubclass(getattr(errors, name), ConnectError)
]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("args", [(), ("x",), (5, "x"), (None, "x")], ids=str)
def test_an_error_made_of_any_class_is_whole(cls: Any, args: Any) -> None:
    """A code, a hint, a sentence, what helps: whatever it was made with."""
    error = cls(*args)
    assert re.fullmatch("[a-z][a-z0-9_]*", error.code)
    assert error.hint
    assert isinstance(error.help, Help)
    assert str(error)
    assert str(error).isprintable()
    assert len(error.args) == 2
    if "x" in args:
        assert "x" in str(error)
    assert isinstance(repr(error), str)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert (type(again), again.args, str(again)) == (cls, error.args, str(error))


MADE = [
    (
        aioconnect.ConnectionRefused(errno.ECONNREFUSED, "x"),
        "connection_refused",
        "cannot connect: refused: x: is the server listening on that port?",
    ),
    (
        aioconnect.TimedOut(),
        "timed_out",
        "cannot connect: no answer: is the host up, and does a firewall drop the packets?",
    ),
    (
        aioconnect.DeadlineExceeded(),
        "timed_out",
        "cannot connect: out of time: raise the timeout, or check the path",
    ),
    (
        aioconnect.HostUnreachable(errno.EHOSTDOWN, "x"),
        "host_down",
        "cannot connect: no route to host: x: is the host up and on this network?",
    ),
    (
        aioconnect.NameNotResolved(socket.EAI_AGAIN, "x"),
        "try_again",
        "cannot connect: no answer from the name server: x: is the name server reachable?",
    ),
    (
        ConnectError(errno.ECONNRESET, "x"),
        "connection_reset",
        "cannot connect: reset: x: did the peer, a proxy or a load balancer drop the connection?",
    ),
    (aioconnect.AddressNotAvailable(errno.EADDRNOTAVAIL, "x"), "address_not_available", None),
    (aioconnect.CircuitOpen(), "circuit_open", None),
    (
        aioconnect.InvalidTarget("'db' has no port"),
        "invalid_target",
        "not a target: 'db' has no port",
    ),
    (ConnectError(), "other", "cannot connect: failed: ConnectError: look the error number up"),
]


@pytest.mark.parametrize(("error", "code", "said"), MADE, ids=lambda value: str(value)[:30])
def test_a_made_error_says_what_the_kernels_would(
    error: ConnectError, code: str, said: str | None
) -> None:
    """So that a test's branches on ``code`` are those of the program."""
    assert error.code == code
    if said is not None:
        assert str(error) == said


def test_a_class_of_ones_own_is_what_it_is_made_from() -> None:
    """A library may have its own, below ours."""

    class ServerAway(aioconnect.ConnectionRefused):
        """Somebody's own."""

    error = ServerAway(errno.ECONNREFUSED, "x")
    assert error.code == "connection_refused"
    assert "refused: x" in str(error)


def test_an_error_can_be_built_as_an_attempt_does() -> None:
    """``errors.from_errno`` and ``errors.from_exception``, with the stage ``"connect"``."""
    refused = errors.from_errno(errno.ECONNREFUSED, address=V4, family=socket.AF_INET)
    assert type(refused) is aioconnect.ConnectionRefused
    assert (refused.stage, refused.target) == ("connect", "10.0.0.1:5432")
    unknown = errors.from_exception(
        socket.gaierror(socket.EAI_NONAME, "x"), stage="resolve", address="db", target="db:80"
    )
    assert unknown.strerror == "no such name db: x"


def test_no_code_and_no_public_class_begins_with_an_underscore() -> None:
    """What a program meets has a name that it may write."""
    assert not any(name.startswith("_") for name in errors.__all__)
    assert errors.from_errno(99999).code == "other"
