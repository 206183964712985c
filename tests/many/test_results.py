"""What comes out of ``connect_many``: one result for each target, whatever kind of target it is."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

import aioconnect
from aioconnect.resolve import StaticResolver

from ..support.servers import NAME, listen
from ..support.sockets import slow
from .running import Gates, asking, collect, gated, turns

pytestmark = pytest.mark.slow


async def test_whatever_connect_takes_is_a_target(server: tuple[str, int]) -> None:
    """Text, a tuple, a list of several, a path, a name: each has one result, and says so."""
    port = server[1]
    with listen(f"\0{NAME}"):
        given: list[Any] = [
            f"127.0.0.1:{port}",
            server,
            [("127.0.0.1", 1), server],
            f"unix:@{NAME}",
            ("name.test", port),
            f"localhost:{port}",
        ]
        names = StaticResolver({"name.test": "127.0.0.1"})
        results = await collect(aioconnect.connect_many(given, resolver=names))
    assert sorted(result.index for result in results) == list(range(len(given)))
    for result in results:
        assert result.target == given[result.index]
        assert result.error is None
        assert result.socket is not None
        assert 0 < result.started <= result.ended <= time.monotonic()
        assert result.elapsed == result.ended - result.started
        assert repr(result).startswith(f"<ConnectResult {result.target!r}: <socket.socket")


async def test_a_socket_that_was_handed_out_is_the_callers(server: tuple[str, int]) -> None:
    """It is connected, does not block, is not inherited, and outlives the block."""
    async with aioconnect.connect_many([server, server]) as results:
        sockets = [result.socket async for result in results]
    for sock in sockets:
        assert sock is not None
        with sock:
            assert sock.getpeername() == server
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert not sock.getblocking()
            assert not sock.get_inheritable()


async def test_results_come_as_they_complete(server: tuple[str, int]) -> None:
    """Who is first to connect comes first, whatever its place in the input."""
    gates = Gates()
    targets = [("a.test", server[1]), ("b.test", server[1]), ("c.test", server[1])]
    came = []
    async with aioconnect.connect_many(targets, **gated(gates)) as results:
        for name in ("b.test", "c.test", "a.test"):
            task = asking(results)
            await turns()
            assert not task.done()
            gates.open(name)
            result = await task
            assert result.socket is not None
            result.socket.close()
            came.append(result.index)
    assert came == [1, 2, 0]


async def test_the_family_that_was_asked_for_is_the_only_one(server: tuple[str, int]) -> None:
    """A target of the other one is refused as ``connect`` refuses it."""
    (result,) = await collect(aioconnect.connect_many([server], family=socket.AF_INET6))
    assert result.error is not None
    assert result.error.code == "invalid_target"
    assert "AF_INET6" in str(result.error)


async def test_the_type_is_that_which_was_asked_for(server: tuple[str, int]) -> None:
    """Also of an address, which needs no more than a socket."""
    for type_ in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        (result,) = await collect(aioconnect.connect_many([server], type=type_), close=False)
        assert result.socket is not None
        with result.socket as sock:
            assert sock.type == type_


async def test_a_result_ended_when_it_did_not_when_it_was_asked_for(
    server: tuple[str, int],
) -> None:
    """A consumer that takes its time sees the times of the connects, not its own."""
    many = aioconnect.connect_many([server] * 3, socket_factory=slow, ordered=True)
    async with many as results:
        ended = []
        async for result in results:
            assert result.socket is not None
            result.socket.close()
            ended.append((result.ended, time.monotonic()))
            await asyncio.sleep(0.2)
    assert all(then < now for then, now in ended)
    assert ended[2][0] < ended[1][1]
