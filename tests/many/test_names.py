"""Targets that are names: raced as everywhere, whenever their answers come."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import pytest

import aioconnect
from aioconnect.resolve import Answer, StaticResolver

from ..support.servers import refusing
from .running import Gates, collect, turns

pytestmark = pytest.mark.slow


async def test_names_are_raced_as_everywhere(server: tuple[str, int]) -> None:
    """Several addresses, of both families; the first that connects wins."""
    names = StaticResolver({"a.test": ["::1", "127.0.0.1"], "b.test": "127.0.0.1"})
    targets = [("a.test", server[1]), ("b.test", server[1]), ("c.test", server[1])]
    results = await collect(aioconnect.connect_many(targets, resolver=names, ordered=True))
    assert [result.error is None for result in results] == [True, True, False]
    assert isinstance(results[2].error, socket.gaierror)


class AtHand:
    """A resolver that keeps the one address of each name."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def peek_name(self, name: str, families: Any) -> tuple[Answer, ...]:
        """Return what is kept."""
        known = {socket.AF_INET: ("127.0.0.1",), socket.AF_INET6: ()}
        return tuple(Answer(known[family], family=family) for family in families)

    def forget(self, name: str) -> None:
        """Take note that what is kept may be old."""
        self.forgotten.append(name)

    async def lookup(self, name: str, family: int) -> Answer:
        """Make this a resolver; nobody gets here."""
        raise AssertionError("everything is at hand")


@pytest.mark.parametrize("options", [{}, {"on_event": len}, {"retry": 1}], ids=repr)
async def test_a_name_whose_address_fails_may_be_old(options: dict[str, Any]) -> None:
    """Its resolver is told, as by any other call."""
    resolver: Any = AtHand()
    with refusing() as nobody:
        options = {"resolver": resolver, **options}
        (result,) = await collect(aioconnect.connect_many([f"db.test:{nobody[1]}"], **options))
    assert isinstance(result.error, ConnectionRefusedError)
    assert resolver.forgotten == ["db.test"]


class Keeping(Gates):
    """A resolver that keeps what it learns, and so is let finish after the connection is there."""

    async def lookup(self, name: str, family: int) -> Answer:
        """Answer IPv4 at once, and IPv6 when the gate is opened."""
        if family == socket.AF_INET6:
            await super().lookup(name, family)
            return Answer(("::1",))
        return Answer(("127.0.0.1",))

    def forget(self, name: str) -> None:
        """Forget nothing."""


async def test_an_answer_that_comes_after_the_connection_changes_nothing(
    server: tuple[str, int],
) -> None:
    """Each target has one result, and each socket is handed out once."""
    names = Keeping()
    targets = [(f"{number}.test", server[1]) for number in range(5)]
    many = aioconnect.connect_many(
        [*targets, ("127.0.0.9", server[1])],
        resolver=names,
        resolution_delay=0,
        limit=5,
        per_host=3,
    )
    came = []
    async with many as results:
        async for result in results:
            came.append(result)
            if len(came) == 3:
                names.open(*(name for name, _ in targets))
                await turns()
        await turns()
    assert sorted(result.index for result in came) == list(range(6))
    assert len({result.socket.fileno() for result in came if result.socket is not None}) == 5
    for result in came:
        if result.socket is not None:
            result.socket.close()


def eager(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, name: str | None = None, **_: Any
) -> asyncio.Task[Any]:
    """Make a task that runs at once, where there are such (from Python 3.12 on)."""
    at_once = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(coroutine, loop=loop, name=name, **at_once)  # type: ignore[arg-type]


async def test_an_answer_that_comes_before_anybody_waits_is_seen(server: tuple[str, int]) -> None:
    """An eager look-up is over when its task was made."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(eager)

    class AtOnce:
        async def lookup(self, name: str, family: int) -> Answer:
            return Answer(("127.0.0.1",))

    try:
        targets = [(f"{number}.test", server[1]) for number in range(3)]
        many = aioconnect.connect_many(targets, resolver=AtOnce(), family=socket.AF_INET)
        results = await collect(many)
    finally:
        loop.set_task_factory(None)
    assert [result.error for result in results] == [None] * 3
