"""Every event comes about, and is a value; a new one is found by itself."""

from __future__ import annotations

import asyncio
import copy
import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, Event, events, retry
from aioconnect.resolve import StaticResolver

from .support.limits import few_descriptors
from .support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EVENTS: dict[str, type[Event]] = {
    name: getattr(events, name)
    for name in events.__all__
    if isinstance(getattr(events, name), type) and getattr(events, name) is not Event
}


async def a_name_is_found(watch: Callable[[Event], object]) -> None:
    """Look a name up, and connect."""
    with listen() as server:
        host, port = server.getsockname()
        names = StaticResolver({"db.test": host})
        (await aioconnect.connect("db.test", port, resolver=Asked(names), on_event=watch)).close()


async def a_name_is_not_found(watch: Callable[[Event], object]) -> None:
    """Look up a name that does not exist."""
    with suppress(ConnectError):
        await aioconnect.connect("db.test", 1, resolver=Asked(StaticResolver({})), on_event=watch)


class Asked:
    """Hides what a resolver has at hand: it has to be asked."""

    def __init__(self, resolver: StaticResolver) -> None:
        self._resolver = resolver

    async def lookup(self, name: str, family: int, /) -> aioconnect.Answer:
        """Answer a turn later."""
        await asyncio.sleep(0)
        return await self._resolver.lookup(name, family)


async def rounds_fail(watch: Callable[[Event], object]) -> None:
    """Dial an address that refuses, twice."""
    with refusing() as nobody, suppress(ConnectError):
        await aioconnect.connect(*nobody, retry=retry.attempts(2), on_event=watch)


async def an_address_is_overtaken(watch: Callable[[Event], object]) -> None:
    """Dial an address that never answers, and one that does."""
    with black_hole() as hole, listen() as server:
        targets: list[Any] = [hole, server.getsockname()]
        (await aioconnect.connect(targets, happy_eyeballs_delay=0.01, on_event=watch)).close()


async def a_handshake_fails(watch: Callable[[Event], object]) -> None:
    """Speak TLS with a server that hangs up."""
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1") as server:
        address = server.sockets[0].getsockname()
        with suppress(ConnectError):
            await aioconnect.open_connection(*address, ssl=True, on_event=watch)


async def descriptors_run_out(watch: Callable[[Event], object]) -> None:
    """Dial more targets at a time than there are descriptors for."""
    with listen(backlog=100) as server:
        targets = [server.getsockname()] * 20
        async with aioconnect.connect_many(targets, limit=20, on_event=watch) as results:
            with few_descriptors(4):
                async for result in results:
                    result.unwrap().close()


COMES_ABOUT: dict[str, Callable[[Callable[[Event], object]], Awaitable[None]]] = {
    "AttemptCancelled": an_address_is_overtaken,
    "AttemptFailed": rounds_fail,
    "AttemptStarted": rounds_fail,
    "Connected": a_name_is_found,
    "GaveUp": rounds_fail,
    "HandshakeFailed": a_handshake_fails,
    "HandshakeStarted": a_handshake_fails,
    "LookupFailed": a_name_is_not_found,
    "LookupStarted": a_name_is_found,
    "LookupSucceeded": a_name_is_found,
    "RetryScheduled": rounds_fail,
    "SlowedDown": descriptors_run_out,
}
"""How each event comes about."""


@pytest.mark.parametrize("name", EVENTS)
async def test_an_event_comes_about_and_is_a_value(name: str) -> None:
    """It says its fields, equals its copies, and can be sent to another process."""
    assert name in COMES_ABOUT, f"say how {name} comes about"
    seen: list[Event] = []
    await COMES_ABOUT[name](seen.append)
    event = next(event for event in seen if type(event) is EVENTS[name])
    fields = {field: getattr(event, field) for field in event._fields()}
    assert {"at", "target"} < set(fields)
    said = ", ".join(f"{field}={value!r}" for field, value in fields.items())
    assert repr(event) == f"{name}({said})"
    assert copy.copy(event) == event
    assert str(pickle.loads(pickle.dumps(event))) == str(event)
    with pytest.raises(TypeError):
        hash(event)


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_explains_its_fields(name: str) -> None:
    """Each has a docstring, which names what its bases don't have."""
    event = EVENTS[name]
    for field in vars(event)["__slots__"]:
        explained = [base.__doc__ or "" for base in event.__mro__ if issubclass(base, Event)]
        assert any(field in text for text in explained), field


def test_no_event_is_also_another() -> None:
    """So that ``isinstance`` and ``match`` find the one that is meant."""
    for one in EVENTS.values():
        assert [each for each in EVENTS.values() if issubclass(one, each)] == [one]
