"""Calls to names, whose answers come in time, late, or never."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking

from ...support.loops import GRACE
from ...support.servers import drain, listen
from ...support.sockets import slow
from .case import Case, World, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator


class Names:
    """A resolver with a table: for each family the seconds (or turns, if whole) and the answer."""

    def __init__(self, answers: dict[int, tuple[float | int, Any]]) -> None:
        self.answers = answers

    async def lookup(self, name: str, family: int) -> Any:
        """Look up one family of a name."""
        from aioconnect.resolve.base import Answer

        delay, addresses = self.answers[family]
        if isinstance(delay, int):
            for _ in range(delay):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(delay)
        if isinstance(addresses, OSError):
            raise type(addresses)(*addresses.args)
        return Answer(addresses)


class Keeping(Names):
    """One that keeps what it learns, and so is let finish."""

    def forget(self, name: str) -> None:
        """Forget a name."""


NO_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")


@scenario
def a_name(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (2, NO_NAME), socket.AF_INET: (3, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect("name.test", port, resolver=names, socket_factory=slow),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_name_that_nobody_knows(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (1, NO_NAME), socket.AF_INET: (3, NO_NAME)})
    yield Case(
        lambda: aioconnect.connect("name.test", 9, resolver=names), socket.gaierror, grace=GRACE
    )


@scenario
def a_look_up_that_never_ends(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (60.0, ())})
    yield Case(
        lambda: aioconnect.connect("name.test", 9, resolver=names, timeout=0.03),
        TimeoutError,
        grace=GRACE,
    )


@scenario
def a_late_IPv6_answer_that_loses(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (1, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect(
                "name.test", port, resolver=names, resolution_delay=0.01, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_late_IPv6_answer_that_wins(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (0.02, ("::1",)), socket.AF_INET: (0, ("127.0.0.1",))})
    with listen(("::1", world.dead[1])) as server:
        yield Case(
            lambda: aioconnect.connect(
                "name.test",
                world.dead[1],
                resolver=names,
                resolution_delay=0,
                happy_eyeballs_delay=0,
                socket_factory=slow,
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_resolver_that_keeps_answers(world: World) -> Iterator[Case]:
    names = Keeping({socket.AF_INET6: (0.05, ("::1",)), socket.AF_INET: (1, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect(
                "name.test", port, resolver=names, resolution_delay=0, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
            lingers=1.2,
        )


@scenario
def a_name_among_several_targets(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (60.0, ())})
    with listen() as server:
        targets = [("name.test", 9), world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, resolver=names, happy_eyeballs_delay=0, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )
