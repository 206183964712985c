"""The error of a target: that of ``connect``, and no end of the run."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

import aioconnect
from aioconnect import ConnectError, events

from ..support.servers import NAME, refusing
from .running import collect

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_what_is_no_target_is_a_result_with_an_error(ordered: bool) -> None:
    """It does not end the run, and is read like any other."""
    given: list[Any] = [
        "no port",
        ("127.0.0.1", 0),
        ("127.0.0.1", 65536),
        ("127.0.0.1", True),
        ("127.0.0.1", "80"),
        ("127.1", 80),
        ("127.0.0.1\0", 80),
        (b"127.0.0.1", 80),
        (),
        None,
        object(),
        b"127.0.0.1:80",
        [],
        "[::1]:80",
        "http://x",
    ]
    many = aioconnect.connect_many(given, family=socket.AF_INET, ordered=ordered)
    results = await collect(many)
    assert [result.target for result in results] == given
    for result in results:
        assert result.socket is None
        assert isinstance(result.error, ConnectError)
        assert result.error.code == "invalid_target"
        assert result.elapsed == 0


def forbid(endpoint: Any) -> None:
    raise PermissionError("not there")


def no_descriptors(endpoint: Any) -> socket.socket:
    raise OSError(errno.EPROTONOSUPPORT, "no such protocol")


@pytest.mark.parametrize(
    "options",
    [{}, {"address_policy": forbid}, {"socket_factory": no_descriptors}, {"attempt_timeout": 5}],
    ids=["plain", "forbidden", "factory", "attempt_timeout"],
)
@pytest.mark.parametrize("what", ["refused", "no path", "no IPv6 port"])
async def test_the_error_of_a_target_is_that_of_connect(what: str, options: dict[str, Any]) -> None:
    """With and without an observer, who makes a way through the library longer."""
    with refusing() as nobody, refusing(("::1", 0)) as nobody6:
        targets = {"refused": nobody, "no path": f"unix:@{NAME}-none", "no IPv6 port": nobody6}
        target = targets[what]
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect(target, **options)
        plain, observed = [
            (await collect(aioconnect.connect_many([target], **options, **more)))[0].error
            for more in ({}, {"on_event": events.Event.__repr__})
        ]
    for error in (plain, observed):
        assert error is not None
        assert facts(error) == facts(caught.value)
        (failed,) = error.attempts
        assert 0 < failed.started < failed.ended
        assert failed.error.elapsed == pytest.approx(failed.ended - failed.started)
        assert error.elapsed >= failed.error.elapsed
        assert error.__traceback__ is None


def facts(error: ConnectError) -> Any:
    """Return all that an error says, but for the times."""
    kept = ("elapsed", "code", "help", "hint")  # the last three from when they were asked for
    said = {name: value for name, value in vars(error).items() if name not in kept}
    said |= {name: getattr(error, name) for name in kept[1:]}
    (failed,) = error.attempts
    said["attempts"] = (
        failed.number,
        failed.round,
        failed.tries,
        failed.address,
        failed.family,
        failed.stage,
        failed.target,
        type(failed.error),
        failed.error.args,
    )
    return type(error), error.args, said
