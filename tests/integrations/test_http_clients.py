"""aiohttp, httpcore, httpx and their heirs, with a dialer behind their hooks, on this host."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import httpcore
import httpcore2
import httpx
import httpx2
import pytest

from aioconnect import AddressPolicy, Dialer, events, retry
from aioconnect.integrations.aiohttp import DialerConnector, DialerResolver
from aioconnect.integrations.httpcore import DialerBackend
from aioconnect.resolve import StaticResolver

from ..support.certificates import TLS
from ..support.loops import GRACE
from ..support.servers import black_hole, refusing

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

NAMES = StaticResolver({"name.test": "127.0.0.1", "other.test": "127.0.0.1"})


@pytest.fixture(scope="module")
def tls() -> TLS:
    return TLS()


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[int]:
    """Answer each request with its own length, and count."""
    serves: set[Any] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serves.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        if serves:
            await asyncio.wait(serves, timeout=20)
        for _ in range(3 * GRACE):
            await asyncio.sleep(0)


def by_core(core: Any) -> Any:
    """Return how to get a page with httpcore, or with its heir."""

    async def get(dialer: Dialer, url: str, context: Any = None) -> bytes:
        backend = DialerBackend(dialer, package=core.__name__)
        async with core.AsyncConnectionPool(network_backend=backend, ssl_context=context) as pool:
            response = await pool.request("GET", url, extensions={"timeout": {"connect": 20}})
            return bytes(response.content)

    return get


def by_httpx(client: Any, core: Any) -> Any:
    """Return how to get a page with httpx, or with its heir: the recipe of docs/clients.md."""

    async def get(dialer: Dialer, url: str, context: Any = None) -> bytes:
        backend = DialerBackend(dialer, package=core.__name__)
        transport = client.AsyncHTTPTransport()
        transport._pool = core.AsyncConnectionPool(network_backend=backend, ssl_context=context)
        async with client.AsyncClient(transport=transport, timeout=20) as session:
            return bytes((await session.get(url)).content)

    return get


async def by_aiohttp(dialer: Dialer, url: str, context: Any = None) -> bytes:
    """Get a page with aiohttp."""
    connector = DialerConnector(dialer, ssl=context or True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url) as response,
    ):
        return bytes(await response.read())


CLIENTS = {
    "aiohttp": by_aiohttp,
    "httpcore": by_core(httpcore),
    "httpcore2": by_core(httpcore2),
    "httpx": by_httpx(httpx, httpcore),
    "httpx2": by_httpx(httpx2, httpcore2),
}


@pytest.fixture(params=CLIENTS)
def get(request: pytest.FixtureRequest) -> Any:
    return CLIENTS[request.param]


OTHERS = (httpcore, httpcore2, httpx, httpx2)
REFUSED = (aiohttp.ClientConnectorError, *(client.ConnectError for client in OTHERS))
TIMED_OUT = (aiohttp.ConnectionTimeoutError, *(client.ConnectTimeout for client in OTHERS))
NO_NAME = (aiohttp.ClientConnectorDNSError, *(client.ConnectError for client in OTHERS))
WRONG_NAME = (
    aiohttp.ClientConnectorCertificateError,
    *(client.ConnectError for client in OTHERS),
)


async def test_it_goes_through_the_dialer(get: Any) -> None:
    """Its resolver, and its observer."""
    seen: list[Any] = []
    async with serving() as port:
        dialer = Dialer(resolver=NAMES, on_event=seen.append)
        assert await get(dialer, f"http://name.test:{port}/") == b"ok"
    assert [event.address for event in seen if type(event) is events.Connected] == [
        ("127.0.0.1", port)
    ]


async def test_tls_verifies_the_name_of_the_url(get: Any, tls: TLS) -> None:
    """A wrong one is refused with the client's own class."""
    async with serving(tls.server) as port:
        dialer = Dialer(resolver=NAMES)
        assert await get(dialer, f"https://name.test:{port}/", tls.client) == b"ok"
        with pytest.raises(WRONG_NAME) as raised:
            await get(dialer, f"https://other.test:{port}/", tls.client)
    assert "other.test" in str(raised.value)


async def test_a_dead_first_address_costs_a_quarter_of_a_second(get: Any) -> None:
    """As a connect of ours."""
    with black_hole("127.0.0.9") as (dead, port):
        async with serving(port=port):
            names = StaticResolver({"name.test": [dead, "127.0.0.1"]})
            before = asyncio.get_running_loop().time()
            assert await get(Dialer(resolver=names), f"http://name.test:{port}/") == b"ok"
            assert 0.2 <= asyncio.get_running_loop().time() - before < 5


async def test_a_policy_of_the_dialer_waits_for_a_server_that_starts_late(get: Any) -> None:
    """The client knows nothing of it."""
    with refusing() as nobody:
        port = nobody[1]
    dialer = Dialer(resolver=NAMES, retry=retry.constant(0.05), timeout=20)
    asking = asyncio.ensure_future(get(dialer, f"http://name.test:{port}/"))
    await asyncio.sleep(0.2)
    assert not asking.done()
    async with serving(port=port):
        assert await asking == b"ok"


async def test_errors_are_the_clients_with_our_words(get: Any) -> None:
    """As their user sees them."""
    with refusing() as nobody:
        with pytest.raises(REFUSED, match="refused") as raised:
            await get(Dialer(resolver=NAMES), f"http://name.test:{nobody[1]}/")
        assert "refused by 127.0.0.1" in str(raised.value)
    with pytest.raises(NO_NAME, match=r"missing\.test"):
        await get(Dialer(resolver=NAMES), "http://missing.test/")
    with black_hole() as hole, pytest.raises(TIMED_OUT):
        await get(Dialer(resolver=NAMES, timeout=0.1), f"http://name.test:{hole[1]}/")


async def test_an_address_policy_holds(get: Any) -> None:
    """Nothing that it denies is dialled: the server counts."""
    dialer = Dialer(resolver=NAMES, address_policy=AddressPolicy.public())
    async with serving() as port:
        for host in ("name.test", "127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(REFUSED, match="forbidden"):
                await get(dialer, f"http://{host}:{port}/")


async def test_cancelled_it_leaves_nothing(get: Any) -> None:
    """No socket, no task."""
    with black_hole() as hole:
        for _ in range(3):
            asking = asyncio.ensure_future(
                get(Dialer(resolver=NAMES), f"http://name.test:{hole[1]}/")
            )
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking


async def test_the_resolver_alone_gives_names_and_policy() -> None:
    """By aiohttp's public hook; aiohttp dials."""
    policy = AddressPolicy.only("127.0.0.1/32")
    names = StaticResolver({"name.test": ["127.0.0.9", "127.0.0.1"]})
    resolver = DialerResolver(Dialer(resolver=names, address_policy=policy))
    (found,) = await resolver.resolve("name.test", 80)
    assert (found["hostname"], found["host"], found["port"]) == ("name.test", "127.0.0.1", 80)
    (found,) = await resolver.resolve("name.test", 80, socket.AF_INET)
    assert found["family"] == socket.AF_INET
    async with serving() as port:
        connector = aiohttp.TCPConnector(resolver=resolver)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://name.test:{port}/") as response,
        ):
            assert await response.read() == b"ok"
    await resolver.close()


async def test_a_hook_that_is_gone_is_noticed_when_the_connector_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by connects that nobody judges."""
    monkeypatch.delattr(aiohttp.TCPConnector, "_wrap_create_connection")
    with pytest.raises(RuntimeError, match="has no _wrap_create_connection"):
        DialerConnector(Dialer())


@pytest.mark.parametrize("core", [httpcore, httpcore2])
async def test_a_unix_socket_by_httpcore(core: Any, tmp_path: Any) -> None:
    """Its ``uds``."""
    path = str(tmp_path / "web.sock")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        backend = DialerBackend(Dialer(), package=core.__name__)
        async with core.AsyncConnectionPool(network_backend=backend, uds=path) as pool:
            assert (await pool.request("GET", "http://localhost/")).content == b"ok"
        for _ in range(3 * GRACE):
            await asyncio.sleep(0)
    finally:
        server.close()
        for _ in range(GRACE):
            await asyncio.sleep(0)
