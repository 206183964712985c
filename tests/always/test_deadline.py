"""A call ends by its deadline, an attempt by its limit, and no pause outlasts them."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, Dialer, events, retry
from aioconnect.resolve import StaticResolver

from ..support.servers import listen, refusing
from ..support.sockets import Slow, slow
from .hooks import on_own_socket


@pytest.mark.parametrize("timeout", [0.0, 0.0101, 0.0257, 0.05])
async def test_a_call_ends_at_its_deadline_and_not_before(
    dead: tuple[str, int], timeout: float
) -> None:
    """Not a part of a millisecond early either, although a loop's timers may fire so."""
    for call in (
        lambda: aioconnect.connect(*dead, timeout=timeout),
        lambda: aioconnect.connect([dead, dead], timeout=timeout),
        lambda: on_own_socket(aioconnect.sock_connect, dead, timeout=timeout),
    ):
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded) as raised:
            await call()
        elapsed = time.monotonic() - started
        assert timeout <= elapsed < timeout + 2
        assert raised.value.errno is None
        assert isinstance(raised.value, TimeoutError)


async def test_the_deadline_holds_for_look_ups_too() -> None:
    """A name server that says nothing costs no more than a host that says nothing."""

    class Silent:
        async def lookup(self, name: str, family: int) -> Any:
            """Say nothing."""
            await asyncio.Event().wait()

    resolver: Any = Silent()
    started = time.monotonic()
    with pytest.raises(aioconnect.DeadlineExceeded) as raised:
        await aioconnect.connect("name.test", 9, resolver=resolver, timeout=0.03)
    assert 0.03 <= time.monotonic() - started < 2
    assert raised.value.stage == "resolve"


async def test_an_attempt_ends_by_its_own_limit_and_the_next_begins(dead: tuple[str, int]) -> None:
    """``attempt_timeout`` ends one attempt, not the call."""
    seen: list[events.Event] = []
    with listen() as server:
        targets = [dead, server.getsockname()]
        dialer = Dialer(attempt_timeout=0.03, happy_eyeballs_delay=None, on_event=seen.append)
        with await dialer.connect(targets) as sock:
            assert sock.getpeername() == server.getsockname()
    (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert isinstance(failed.error, aioconnect.AttemptTimedOut)
    assert 0.03 <= failed.ended - failed.started < 2


async def test_no_pause_begins_that_would_end_after_the_deadline() -> None:
    """A policy that wants to sleep past the deadline ends the call at once, with the last error."""
    with refusing() as address:
        started = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            await aioconnect.connect(*address, timeout=30, retry=retry.constant(60))
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e9, 1e300])
async def test_a_limit_may_be_as_long_as_one_likes(timeout: float | None) -> None:
    """No number of seconds is too many for a timer."""
    with listen() as server:
        address = server.getsockname()
        dialer = Dialer(timeout=timeout, attempt_timeout=timeout, socket_factory=slow)
        (await dialer.connect(*address)).close()
        with Slow(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            await aioconnect.sock_connect(sock, address, timeout=timeout)


async def test_a_call_without_time_still_takes_what_is_at_hand() -> None:
    """``timeout=0`` tries each call once: what connects at once is connected."""
    with listen() as server:
        (await aioconnect.connect(*server.getsockname(), timeout=0)).close()


@pytest.mark.parametrize("options", [{}, {"breaker": retry.Breaker()}], ids=["alone", "breaker"])
async def test_a_family_that_a_name_lacks_is_not_asked_for(options: dict[str, Any]) -> None:
    """Not even in a call that begins otherwise: what there is connects at once."""
    names: Any = StaticResolver({"db.test": ["127.0.0.1"]})
    with listen() as server:
        port = server.getsockname()[1]
        sock = await aioconnect.connect("db.test", port, resolver=names, timeout=0, **options)
        sock.close()


def slowly(endpoint: Any) -> None:
    """Allow it, after a while."""
    time.sleep(0.01)


async def test_the_time_of_a_call_begins_before_its_first_attempt(dead: tuple[str, int]) -> None:
    """What its hooks take is a part of it, although there is no call yet when they run."""
    with refusing() as nobody:
        for address in (nobody, dead):
            for connect in (aioconnect.connect, blocking):
                with pytest.raises(ConnectError) as raised:
                    await connect(*address, address_policy=slowly, timeout=0.05)
                (failed,) = raised.value.attempts
                assert raised.value.elapsed >= failed.error.elapsed >= 0.01
                assert failed.error.elapsed == failed.ended - failed.started


async def blocking(*args: Any, **options: Any) -> socket.socket:
    """Connect as without a loop."""
    return aioconnect.blocking.connect(*args, **options)
