"""One operation of each client, as its users write it: nothing of this library is named here."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import aiomcache
import aiomysql
import anyio
import asyncmy
import asyncmy.errors
import asyncpg
import asyncssh
import httpcore
import httpx
import nats
import nats.errors
import redis.asyncio
import redis.backoff
import redis.exceptions
import sqlalchemy
import valkey.asyncio
import valkey.exceptions
import websockets
from redis.asyncio.retry import Retry
from sqlalchemy.ext.asyncio import create_async_engine

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


async def with_valkey(place: Place) -> None:
    client = valkey.asyncio.Valkey(host=place.host, port=place.port)
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


async def with_a_pool_of_asyncpg(place: Place) -> None:
    pool = asyncpg.create_pool(
        host=place.host,
        port=place.port,
        user="me",
        database="postgres",
        password="any",
        ssl=False,
        min_size=1,
        max_size=2,
    )
    async with pool:
        assert await pool.fetchval("select 6 * 7") == 42


async def with_sqlalchemy(place: Place) -> None:
    url = f"postgresql+asyncpg://me:any@{place.host}:{place.port}/postgres"
    engine = create_async_engine(url, connect_args={"ssl": False})
    try:
        async with engine.connect() as connection:
            assert (await connection.execute(sqlalchemy.text("select 42"))).scalar() == 42
    finally:
        await engine.dispose()


async def with_asyncmy(place: Place) -> None:
    connection = await asyncmy.connect(
        host=place.host, port=place.port, user="me", connect_timeout=20
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("select 42")
            assert await cursor.fetchone() == (42,)
    finally:
        await connection.ensure_closed()


async def with_aiomysql(place: Place) -> None:
    connection = await aiomysql.connect(host=place.host, port=place.port, user="me")
    try:
        async with connection.cursor() as cursor:
            await cursor.execute("select 42")
            assert await cursor.fetchone() == (42,)
    finally:
        await connection.ensure_closed()


async def with_anyio(place: Place) -> None:
    async with await anyio.connect_tcp(place.host, place.port) as stream:
        await stream.send(b"GET / HTTP/1.0\r\n\r\n")
        assert b"200" in await stream.receive()


async def with_httpcore(place: Place) -> None:
    async with httpcore.AsyncConnectionPool() as pool:
        answer = await pool.request("GET", f"http://{place.host}:{place.port}/")
    assert answer.content == b"here"


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
    "valkey": Client(with_valkey, "redis", 6379, valkey.exceptions.ConnectionError),
    "pool of asyncpg": Client(with_a_pool_of_asyncpg, "postgres", 5432, ConnectionRefusedError),
    "SQLAlchemy": Client(with_sqlalchemy, "postgres", 5432, ConnectionRefusedError),
    "asyncmy": Client(with_asyncmy, "mariadb", 3306, asyncmy.errors.OperationalError),
    "aiomysql": Client(with_aiomysql, "mariadb", 3306, aiomysql.OperationalError),
    "anyio": Client(with_anyio, "nginx", 8080, OSError),
    "httpcore": Client(with_httpcore, "nginx", 8080, httpcore.ConnectError),
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
