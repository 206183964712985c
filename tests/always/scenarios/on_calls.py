"""What stands on calls: many, ready, supervise, streams, TLS."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, retry

from ...support.loops import GRACE
from ...support.servers import drain, listen, refusing
from ...support.sockets import Making, slow
from .case import SCENARIOS, Case, World, scenario

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator


@scenario
def connect_many(world: World) -> Iterator[Case]:
    with listen() as server, refusing() as nobody:
        targets = [server.getsockname(), nobody, world.dead, server.getsockname()]

        async def call() -> None:
            async with aioconnect.connect_many(
                targets, limit=3, target_timeout=0.02, socket_factory=slow
            ) as results:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()

        yield Case(call, after=lambda: drain(server))


@scenario
def connect_many_whose_targets_come_one_by_one(world: World) -> Iterator[Case]:
    class OneByOne:  # no generator: that would have to be closed, and by its owner
        def __init__(self) -> None:
            self.left = [server.getsockname(), world.dead, server.getsockname()]

        def __aiter__(self) -> OneByOne:
            return self

        async def __anext__(self) -> Any:
            await asyncio.sleep(0)
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    with listen() as server:

        async def call() -> None:
            async with aioconnect.connect_many(OneByOne(), target_timeout=0.02) as results:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()

        yield Case(call, after=lambda: drain(server), grace=GRACE)


@scenario
def wait_until_ready(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise ConnectionRefusedError("not yet")
                return slow(endpoint)

            policy = retry.constant(0.01)
            return aioconnect.wait_until_ready(*address, socket_factory=factory, retry=policy)

        yield Case(call, after=lambda: drain(server))


@scenario
def a_supervisor(world: World) -> Iterator[Case]:
    dialer = aioconnect.Dialer(socket_factory=slow, retry=retry.constant(0.005))
    with listen() as server:
        address = server.getsockname()

        async def call() -> None:
            got = 0
            async with dialer.supervise(address) as sockets:
                async for _ in sockets:
                    got += 1
                    if got == 3:
                        break

        yield Case(call, after=lambda: drain(server), grace=GRACE)


# Streams: asyncio closes a transport in the turns that follow.


@scenario
def open_connection(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.open_connection(*address, socket_factory=slow),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def create_connection(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making)
    with listen() as server:
        address = server.getsockname()

        def after() -> None:
            making.forget()
            drain(server)

        yield Case(
            lambda: dialer.create_connection(asyncio.Protocol, *address),
            after=after,
            grace=GRACE,
        )


@scenario
def create_connection_with_a_failing_protocol_factory(world: World) -> Iterator[Case]:
    def factory() -> Any:
        raise ZeroDivisionError("no protocol")

    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.create_connection(factory, *address, socket_factory=slow),
            ZeroDivisionError,
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def TLS(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making)
    yield Case(
        lambda: dialer.open_connection(*world.peers["tls"], ssl=world.trusting),
        after=making.forget,
        grace=GRACE,
    )


@scenario
def TLS_that_stalls(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making, timeout=0.05)
    with listen() as server:
        address = server.getsockname()

        def after() -> None:
            making.forget()
            drain(server)

        yield Case(
            lambda: dialer.open_connection(*address, ssl=world.trusting),
            TimeoutError,
            after=after,
            grace=GRACE,
        )


def failing_TLS(peer: str, error: type[BaseException], *, trusting: bool = True) -> Any:
    """Set up a handshake with a peer at which it fails."""

    def set_up(world: World) -> Iterator[Case]:
        making = Making()
        dialer = aioconnect.Dialer(socket_factory=making)
        context = world.trusting if trusting else world.distrusting
        yield Case(
            lambda: dialer.create_connection(asyncio.Protocol, *world.peers[peer], ssl=context),
            error,
            after=making.forget,
            grace=GRACE,
        )

    return contextmanager(set_up)


SCENARIOS |= {
    "TLS with a certificate that is not trusted": failing_TLS(
        "tls", aioconnect.CertificateError, trusting=False
    ),
    "TLS with a peer that speaks none": failing_TLS("plain", aioconnect.TLSError),
    "TLS that is reset": failing_TLS("reset", ConnectError),
}
