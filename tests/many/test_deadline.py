"""For how long: the time of the whole, of each target, and of each attempt."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect

from ..support.servers import refusing
from ..support.sockets import Slow
from .running import SOURCES, collect, sources

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.slow


@sources
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_the_deadline_of_the_whole_fails_what_is_left(
    make: Any, ordered: bool, dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """In flight, or waiting for its host; what was not read is not read any more."""
    source = make(itertools.chain([server], itertools.repeat(dead)))
    many = aioconnect.connect_many(source, limit=6, per_host=2, ordered=ordered, timeout=0.2)
    with refusing():
        results = await collect(many)
    assert sorted(result.index for result in results) == list(range(source.read))
    if ordered:
        assert [result.index for result in results] == list(range(source.read))
    assert source.read >= 6
    results.sort(key=lambda result: result.index)
    assert results[0].error is None
    for result in results[1:]:
        assert isinstance(result.error, aioconnect.TimedOut)
        assert isinstance(result.error, TimeoutError)
        assert result.error.target == f"127.0.0.1:{dead[1]}"
    dialled = [result for result in results[1:] if result.error and result.error.attempts]
    assert len(dialled) == 2
    for result in dialled:
        assert result.elapsed >= 0.15


async def test_the_deadline_ends_a_source_that_never_comes(server: tuple[str, int]) -> None:
    """It is cancelled, and what it had given is not lost."""
    cancelled = False

    async def targets() -> AsyncIterator[Any]:
        nonlocal cancelled
        yield server
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled = True
            raise

    results = await collect(aioconnect.connect_many(targets(), timeout=0.1))
    assert [result.error for result in results] == [None]
    assert cancelled


async def test_no_time_at_all_is_enough_for_nothing(server: tuple[str, int]) -> None:
    """A timeout of zero reads no target."""
    for make in SOURCES:
        source = make([server])
        assert await collect(aioconnect.connect_many(source, timeout=0)) == []
        assert source.read == 0


async def test_each_target_has_its_own_time(dead: tuple[str, int], server: tuple[str, int]) -> None:
    """From when it is dialled: waiting for its host costs it nothing."""
    many = aioconnect.connect_many([dead, server, dead, dead], per_host=1, target_timeout=0.15)
    results = sorted(await collect(many), key=lambda result: result.index)
    late = [results[0], results[2], results[3]]
    assert results[1].error is None or isinstance(results[1].error, TimeoutError)
    for result in late:
        assert isinstance(result.error, TimeoutError)
        assert result.error.elapsed >= 0.15
        assert result.elapsed >= 0.15
    for before, after in itertools.pairwise(late):
        assert after.started >= before.started + 0.15


async def test_attempt_timeout_and_racing_hold_within_a_target(
    dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """A list is one target: its second address is dialled when the first says nothing."""
    targets: list[Any] = [[dead, server], [dead, server]]
    many = aioconnect.connect_many(targets, attempt_timeout=0.05, happy_eyeballs_delay=None)
    for result in await collect(many, close=False):
        assert result.socket is not None
        with result.socket as sock:
            assert sock.getpeername() == server
        assert result.elapsed >= 0.05


@pytest.mark.parametrize("option", ["target_timeout", "timeout"])
async def test_a_consumer_that_blocks_the_loop_makes_nobody_late(
    option: str, server: tuple[str, int]
) -> None:
    """What connected while the loop could not look has connected, though its time is up now."""
    kinds = iter([Slow, Slow, socket.socket])
    many = aioconnect.connect_many(
        [server] * 3, socket_factory=lambda endpoint: next(kinds)(*endpoint[:3]), **{option: 0.1}
    )
    async with many as results:
        came = [await anext(results)]
        time.sleep(0.2)  # noqa: ASYNC251  # this is what it is about
        async for result in results:
            came.append(result)  # noqa: PERF401  # after what was awaited
    assert [result.index for result in came] == [2, 0, 1]
    for result in came:
        assert result.error is None
        assert result.socket is not None
        result.socket.close()
