"""Calls to addresses: one, several, dead ones, full ones; rounds of them."""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, retry

from ...support.servers import NAME, drain, full_backlog, listen, refusing
from ...support.sockets import slow
from .case import Case, World, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator


@scenario
def connected_at_once(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(lambda: aioconnect.connect(*address), after=lambda: drain(server))


@scenario
def waiting_for_one_address(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.connect(*address, socket_factory=slow), after=lambda: drain(server)
        )


@scenario
def a_dialer(world: World) -> Iterator[Case]:
    dialer = aioconnect.Dialer(socket_factory=slow, timeout=5)
    with listen(("::1", 0)) as server:
        address = server.getsockname()
        yield Case(lambda: dialer.connect(address), after=lambda: drain(server))


@scenario
def refused(world: World) -> Iterator[Case]:
    with refusing() as address:
        yield Case(lambda: aioconnect.connect(*address), ConnectionRefusedError)


@scenario
def dead(world: World) -> Iterator[Case]:
    yield Case(lambda: aioconnect.connect(*world.dead, timeout=0.03), TimeoutError)


@scenario
def dead_for_the_attempt_then_another(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, happy_eyeballs_delay=None, attempt_timeout=0.02, socket_factory=slow
            ),
            after=lambda: drain(server),
        )


@scenario
def race(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def race_in_which_all_lose(world: World) -> Iterator[Case]:
    with refusing() as address:
        targets = [world.dead, address, world.dead, address]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, timeout=0.04), ConnectError
        )


@scenario
def one_slot(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, max_concurrent=1, attempt_timeout=0.015, happy_eyeballs_delay=0
            ),
            after=lambda: drain(server),
        )


@scenario
def two_winners_at_once(world: World) -> Iterator[Case]:
    def pausing(endpoint: Any) -> socket.socket:
        time.sleep(0.011)  # while it lasts the time of the next attempt comes
        return slow(endpoint)

    with listen() as one, listen() as other:
        targets = [world.dead, one.getsockname(), other.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=pausing),
            after=lambda: drain(one, other),
        )


@scenario
def several_targets(world: World) -> Iterator[Case]:
    with refusing() as address, listen() as server:
        targets = ["unix:@nobody-listens-here", address, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def strict_fail_over(world: World) -> Iterator[Case]:
    with refusing() as address, listen() as server:
        targets = [address, address, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=None, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_Unix_socket(world: World) -> Iterator[Case]:
    with listen(f"\0{NAME}") as server:
        yield Case(lambda: aioconnect.connect(f"unix:@{NAME}"), after=lambda: drain(server))


@scenario
def a_full_Unix_backlog(world: World) -> Iterator[Case]:
    with full_backlog(f"\0{NAME}"):
        yield Case(lambda: aioconnect.connect(f"unix:@{NAME}", timeout=0.02), BlockingIOError)


@scenario
def a_Unix_backlog_that_empties(world: World) -> Iterator[Case]:
    stack = ExitStack()
    state: list[Any] = []

    def before() -> None:
        state[:] = [stack.enter_context(full_backlog(f"\0{NAME}")), 0]

    def factory(endpoint: Any) -> socket.socket:
        state[1] += 1
        if state[1] == 3:  # in the pause before the third try somebody is served
            state[0].accept()[0].close()
        return socket.socket(*endpoint[:3])

    yield Case(
        lambda: aioconnect.connect(f"unix:@{NAME}", socket_factory=factory),
        before=before,
        after=stack.close,
    )


@scenario
def datagram(world: World) -> Iterator[Case]:
    with listen(type=socket.SOCK_DGRAM) as server:
        address = server.getsockname()
        yield Case(lambda: aioconnect.connect(*address, type=socket.SOCK_DGRAM))


@scenario
def local_addr(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [("::1", 9), server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, local_addr=("127.0.0.2", 0), socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_socket_factory_that_fails_first(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise PermissionError("not the first")
                return slow(endpoint)

            return aioconnect.connect([address, address], socket_factory=factory)

        yield Case(call, after=lambda: drain(server))


@scenario
def an_address_policy_that_forbids_the_first(world: World) -> Iterator[Case]:
    def policy(endpoint: Any) -> None:
        if endpoint[4] == world.dead:
            raise PermissionError("forbidden")

    with listen() as server:
        targets = [world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, address_policy=policy, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_full_turn(world: World) -> Iterator[Case]:
    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    with listen() as server:
        address = server.getsockname()

        async def call() -> socket.socket:
            for _ in range(64):
                with suppress(PermissionError):
                    await aioconnect.connect(*address, address_policy=nowhere)
            return await aioconnect.connect(*address, socket_factory=slow)

        yield Case(call, after=lambda: drain(server))


@scenario
def a_pause_between_rounds(world: World) -> Iterator[Case]:
    policy = retry.attempts(3) & retry.constant(0.01)
    with refusing() as address:
        yield Case(lambda: aioconnect.connect(*address, retry=policy), ConnectionRefusedError)


@scenario
def a_second_round_that_connects(world: World) -> Iterator[Case]:
    policy = retry.attempts(5) & retry.constant(0.005)
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise ConnectionRefusedError("not the first")
                return slow(endpoint)

            return aioconnect.connect(*address, retry=policy, socket_factory=factory)

        yield Case(call, after=lambda: drain(server))


@scenario
def inside_asyncio_timeout(world: World) -> Iterator[Case]:
    async def call() -> socket.socket:
        async with asyncio.timeout(0.02):
            return await aioconnect.connect(*world.dead)

    yield Case(call, TimeoutError)
