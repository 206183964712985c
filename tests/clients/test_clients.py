"""Unmodified clients against real servers, on a loop that dials through a dialer."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

import aioconnect
from aioconnect import Dialer, events
from aioconnect.resolve import StaticResolver
from aioconnect.retry import constant, within
from tests.support.account import descriptors, name_of
from tests.support.needs import needs

from .clients import CLIENTS, WITH_TLS, Client, Place
from .servers import NAMES, SILENT, Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [needs("netns", "nftables"), pytest.mark.timeout(30)]

SOON = 5.0
"""Seconds that a dead first address may cost; most of these clients wait beyond 9 by themselves."""

BASES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.Loop,
}
WAYS = ["asyncio", "uvloop", "asyncio by install", "uvloop by install"]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Client]:
    """Give a client whose server runs, in the network of the servers."""
    found = CLIENTS[request.param]
    servers.start(found.server)
    with servers.network.inside():
        yield found


def run(main: Callable[[], Any], dialer: Dialer, way: str = "asyncio") -> Any:
    """Run a coroutine function on a loop that dials through the dialer."""
    base, _, installed = way.partition(" by ")

    async def with_install() -> Any:
        undo = aioconnect.install(dialer)
        try:
            return await main()
        finally:
            undo()

    if installed:
        with asyncio.Runner(loop_factory=BASES[base]) as runner:
            return runner.run(with_install())
    with asyncio.Runner(loop_factory=aioconnect.loop_factory(dialer, base=BASES[base])) as runner:
        return runner.run(main())


def dialer(seen: list[events.Event] | None = None, **options: Any) -> Dialer:
    append = (lambda _: None) if seen is None else seen.append
    return Dialer(resolver=StaticResolver(NAMES), on_event=append, **options)


def place(servers: Servers, host: str, port: int, *, tls: bool = False) -> Place:
    context = None
    if tls:
        context = ssl.create_default_context(cafile=str(servers.directory / "ca.pem"))
    return Place(host, port, context, servers.directory)


def texts(error: BaseException | None) -> Iterator[str]:
    """Give the text of an error, and of what lies behind it."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__


def sockets() -> set[int]:
    return {fd for fd in descriptors() if name_of(fd).startswith("socket:")}


@pytest.mark.parametrize("way", WAYS)
def test_it_goes_through_us_past_a_dead_first_address(
    client: Client, servers: Servers, way: str
) -> None:
    seen: list[events.Event] = []
    there = place(servers, "dead.test", client.port)
    began = time.monotonic()
    run(lambda: client.operation(there), dialer(seen), way)
    assert time.monotonic() - began < SOON
    tried = [event.address[0] for event in seen if isinstance(event, events.AttemptStarted)]
    connected = [event.address for event in seen if isinstance(event, events.Connected)]
    assert ("127.0.0.1", client.port) in connected
    if client.server != "nginx":  # httpx looks the name up, and races the literals by itself
        assert tried[:2] == [SILENT, "127.0.0.1"]


@pytest.mark.parametrize("way", WAYS[:2])
@pytest.mark.parametrize("name", WITH_TLS)
def test_tls_goes_through_us(servers: Servers, name: str, way: str) -> None:
    client = CLIENTS[name]
    servers.start(client.server)
    seen: list[events.Event] = []
    there = place(servers, "dead.test", client.tls_port, tls=True)
    with servers.network.inside():
        run(lambda: client.operation(there), dialer(seen), way)
    assert any(isinstance(event, events.Connected) for event in seen)


def test_a_server_that_starts_late_is_waited_for(client: Client, servers: Servers) -> None:
    seen: list[events.Event] = []
    servers.stop(client.server)
    there = place(servers, "db.test", client.port)
    starter = threading.Timer(1, servers.start, [client.server])
    starter.start()
    try:
        run(
            lambda: client.operation(there),
            dialer(seen, retry=within(15) & constant(0.1)),
        )
    finally:
        starter.join()
    assert any(isinstance(event, events.RetryScheduled) for event in seen)
    assert any(isinstance(event, events.Connected) for event in seen)


def test_a_refusal_is_the_clients_own_error_with_our_words(
    client: Client, servers: Servers
) -> None:
    there = place(servers, "db.test", 9)
    with pytest.raises(client.refused) as caught:
        run(lambda: client.operation(there), dialer())
    if client.says:
        said = list(texts(caught.value))
        assert any("refused" in text and "127.0.0.1" in text for text in said), said


@pytest.mark.parametrize("name", WITH_TLS)
def test_a_certificate_for_another_name_is_the_clients_own_error(
    servers: Servers, name: str
) -> None:
    client = CLIENTS[name]
    servers.start(client.server)
    there = place(servers, "wrong.test", client.tls_port, tls=True)
    assert client.wrong_name is not None
    with servers.network.inside(), pytest.raises(client.wrong_name) as caught:
        run(lambda: client.operation(there), dialer())
    assert any("wrong.test" in text for text in texts(caught.value))


@pytest.mark.parametrize("way", WAYS)
def test_three_cancelled_connects_leave_no_socket(
    client: Client, servers: Servers, way: str
) -> None:
    there = place(servers, "silent.test", client.port)
    dialled = asyncio.Event()

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.AttemptStarted):
            dialled.set()

    async def cancelled() -> None:
        before = sockets()
        for _ in range(3 if way == "asyncio" else 1):
            dialled.clear()
            task = asyncio.ensure_future(client.operation(there))
            await dialled.wait()
            await asyncio.sleep(0.01)
            assert sockets() - before
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.05)
        assert not sockets() - before

    run(cancelled, Dialer(resolver=StaticResolver(NAMES), on_event=on_event), way)


def test_nothing_denied_is_dialled(client: Client, servers: Servers) -> None:
    asked = []

    def deny(endpoint: Any) -> None:
        asked.append(endpoint[4])
        raise PermissionError(f"{endpoint[4][0]} is denied")

    there = place(servers, "denied.test", 7000)
    with socket.create_server(("127.0.0.3", 7000)) as server:
        with pytest.raises((OSError, client.refused)):
            run(lambda: client.operation(there), dialer(address_policy=deny))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert set(asked) == {("127.0.0.3", 7000)}
