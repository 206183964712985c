"""Everything at once: in any weather each target has one result."""

from __future__ import annotations

import asyncio
import socket

import pytest

import aioconnect
from aioconnect import retry
from aioconnect.many.room import MAX_DELAYED

from ..support.servers import refusing
from .running import MAX, SOURCES, turns
from .weather import Weather

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(28))
async def test_each_target_has_exactly_one_result(seed: int, server: tuple[str, int]) -> None:
    """Whatever happens: nothing is lost, doubled, out of order, beyond a bound, or for ever."""
    with refusing() as nobody:
        weather = Weather(seed, server, nobody)
        choose = weather.random.choice
        ordered = choose((False, True))
        per_host = choose((None, 1, 2))
        limit = choose((1, 2, 5, 50))
        number = 60
        source = choose(SOURCES)(weather.targets(number))
        many = aioconnect.connect_many(
            source,
            limit=limit,
            per_host=per_host,
            ordered=ordered,
            rate=choose((None, 3000.0)),
            retry=choose((None, retry.attempts(2) & retry.constant(0.0))),
            on_event=choose((None, str)),
            resolver=weather,
            family=socket.AF_INET,
            socket_factory=weather.make,
            happy_eyeballs_delay=choose((None, 0.25, 0.01)),
        )
        came = []
        async with many as results, asyncio.timeout(MAX):
            async for result in results:
                came.append(result.index)
                assert (result.socket is None) != (result.error is None)
                assert result.started <= result.ended
                assert (
                    source.read
                    <= len(came) - 1 + limit + limit * (per_host is not None) + MAX_DELAYED
                )
                if ordered:
                    assert source.read <= len(came) - 1 + limit
                if result.socket is not None:
                    result.socket.close()
                if weather.random.random() < 0.2:
                    await turns(weather.random.randrange(3))
    assert sorted(came) == list(range(number))
    if ordered:
        assert came == sorted(came)
    if per_host is not None:
        assert weather.most <= per_host
