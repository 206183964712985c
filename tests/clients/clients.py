"""One operation of each client, as its users write it: nothing of this library is named here."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import aiomcache
import asyncpg
import asyncssh
import httpx
import nats
import nats.errors
import redis.asyncio
import redis.backoff
import redis.exceptions
import websockets
from redis.asyncio.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Place(NamedTuple):
    """Where the operation goes; ``tls`` is a context that trusts the server's authority."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    directory: Path


async def with_redis(place: Place) -> None:
    secure: dict[str, Any] = {}
    if place.tls:
        secure = {"ssl": True, "ssl_ca_certs": str(place.directory / "ca.pem")}
    once = Retry(redis.backoff.NoBackoff(), 0)
    client = redis.asyncio.Redis(host=place.host, port=place.port, retry=once, **secure)
    try:
        assert await client.ping()
    finally:
        await client.aclose()


async def with_asyncpg(place: Place) -> None:
    connection = await asyncpg.connect(
        host=place.host,
        port=place.port,
        user="me",
        database="postgres",
        password="any",  # or it would look for a file of passwords
        ssl=place.tls or False,
    )
    try:
        assert await connection.fetchval("select 6 * 7") == 42
    finally:
        await connection.close()


async def with_httpx(place: Place) -> None:
    verify = place.tls or ssl.create_default_context()
    scheme = "https" if place.tls else "http"
    async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=20) as client:
        answer = await client.get(f"{scheme}://{place.host}:{place.port}/")
    assert answer.text == "here"


async def with_websockets(place: Place) -> None:
    scheme = "wss" if place.tls else "ws"
    url = f"{scheme}://{place.host}:{place.port}/"
    async with websockets.connect(url, ssl=place.tls, proxy=None) as websocket:
        await websocket.send("ping")
        assert await websocket.recv() == "ping"


async def with_asyncssh(place: Place) -> None:
    keys = [str(place.directory / "user_key")]
    async with asyncssh.connect(
        place.host,
        place.port,
        username="root",
        client_keys=keys,
        known_hosts=None,
        config=None,
        agent_path=None,
    ) as connection:
        assert (await connection.run("echo here")).stdout == "here\n"


async def with_nats(place: Place) -> None:
    async def silent(_: Exception) -> None:
        pass

    client = await nats.connect(
        f"nats://{place.host}:{place.port}",
        allow_reconnect=False,
        connect_timeout=20,
        max_reconnect_attempts=1,
        reconnect_time_wait=0.1,
        error_cb=silent,
    )
    try:
        await client.flush(5)
    finally:
        await client.close()


async def with_aiomcache(place: Place) -> None:
    client = aiomcache.Client(place.host, place.port, pool_size=1)
    try:
        assert await client.version()
    finally:
        await client.close()


class Client(NamedTuple):
    """A client: its operation, its server, the errors that its users catch.

    ``says`` is whether the sentence of our error, which names the address, is in what it raises.
    """

    operation: Callable[[Place], Awaitable[None]]
    server: str
    port: int
    refused: type[BaseException]
    tls_port: int = 0
    wrong_name: type[BaseException] | None = None
    says: bool = True


CLIENTS = {
    "redis": Client(
        with_redis,
        "redis",
        6379,
        redis.exceptions.ConnectionError,
        6380,
        redis.exceptions.ConnectionError,
    ),
    "asyncpg": Client(
        with_asyncpg, "postgres", 5432, ConnectionRefusedError, 5432, ssl.SSLCertVerificationError
    ),
    "httpx": Client(with_httpx, "nginx", 8080, httpx.ConnectError, 8443, httpx.ConnectError),
    "websockets": Client(
        with_websockets,
        "websockets",
        8081,
        ConnectionRefusedError,
        8444,
        ssl.SSLCertVerificationError,
    ),
    "asyncssh": Client(with_asyncssh, "sshd", 2222, ConnectionRefusedError),
    "nats": Client(with_nats, "nats", 4222, nats.errors.NoServersError, says=False),
    "aiomcache": Client(with_aiomcache, "memcached", 11211, ConnectionRefusedError),
}
WITH_TLS = [name for name, client in CLIENTS.items() if client.tls_port]
