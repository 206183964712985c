"""What ``connect_many`` gives for one target: a socket, or an error."""

from __future__ import annotations

import gc
import weakref

import pytest

import aioconnect

from .support.servers import listen, refusing


async def only(target: tuple[str, int]) -> aioconnect.ConnectResult:
    """Connect to one target."""
    async with aioconnect.connect_many([target]) as results:
        async for result in results:
            return result
    raise AssertionError("no result")


async def test_a_connected_result_unwraps_to_its_socket() -> None:
    """The same object each time: it is the caller's."""
    with listen() as server:
        result = await only(server.getsockname())
        with result.unwrap() as sock:
            assert sock is result.socket is result.unwrap()
            assert sock.getpeername() == server.getsockname()


async def test_a_failed_result_raises_its_error() -> None:
    """As a plain call would have, each time a fresh one."""
    with refusing() as nobody:
        result = await only(nobody)
    with pytest.raises(aioconnect.ConnectionRefused) as raised:
        result.unwrap()
    assert result.error is not None
    assert str(raised.value) == str(result.error)
    assert raised.value.attempts == result.error.attempts
    assert raised.value is not result.error
    assert result.error.__traceback__ is None


async def test_an_error_that_was_raised_keeps_no_result_alive() -> None:
    """Its traceback does not lead back to itself: nothing waits for the garbage collector."""

    async def fail() -> weakref.ref[BaseException]:
        result = await only(nobody)
        try:
            result.unwrap()
        except aioconnect.ConnectError as exc:
            return weakref.ref(exc)
        raise AssertionError("it was connected")

    gc.disable()
    try:
        with refusing() as nobody:
            assert (await fail())() is None
    finally:
        gc.enable()
