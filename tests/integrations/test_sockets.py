"""Clients that take a connected socket, or whoever dials for them, unmodified."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from websockets.asyncio.client import connect as connect_websocket
from websockets.asyncio.server import serve as serve_websockets

from aioconnect import Dialer, events
from aioconnect.resolve import StaticResolver

from ..support.loops import GRACE
from ..support.servers import black_hole, refusing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = {"name.test": "127.0.0.1"}


class Server(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        """Ask for nothing."""
        del username
        return False


def echo(process: asyncssh.SSHServerProcess[str]) -> None:
    """Print the command."""
    process.stdout.write(process.command or "")
    process.exit(0)


@contextlib.asynccontextmanager
async def ssh_server() -> AsyncIterator[tuple[int, Any]]:
    """Give a port, and the key that its host has."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Server, process_factory=echo, server_host_keys=[key]
    )
    try:
        yield server.get_port(), ([key.convert_to_public()], [], [])
    finally:
        server.close()
        await server.wait_closed()
        for _ in range(3 * GRACE):
            await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["sock", "tunnel"])
async def test_asyncssh(how: str) -> None:
    """``sock=`` takes the socket, ``tunnel=`` the dialer itself; the host's key is checked."""
    seen: list[Any] = []
    dialer = Dialer(resolver=StaticResolver(NAMES), on_event=seen.append, timeout=20)
    async with ssh_server() as (port, known):
        options: dict[str, Any] = (
            {"sock": await dialer.connect("name.test", port)}
            if how == "sock"
            else {"tunnel": dialer}
        )
        async with asyncssh.connect(
            "name.test", port, known_hosts=known, username="u", config=None, **options
        ) as connection:
            assert (await connection.run("hello", check=True)).stdout == "hello"
        await connection.wait_closed()
    assert [event.address[1] for event in seen if type(event) is events.Connected] == [port]


async def test_what_an_ssh_tunnel_fails_with_has_our_words() -> None:
    """Asyncssh lets the error through."""
    with (
        refusing() as nobody,
        pytest.raises(ConnectionRefusedError, match="is the server"),
    ):
        await asyncssh.connect("127.0.0.1", nobody[1], tunnel=Dialer(), config=None)


@contextlib.asynccontextmanager
async def websocket_server(port: int = 0) -> AsyncIterator[int]:
    """Give the port of a server that says everything again."""

    async def again(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve_websockets(again, "127.0.0.1", port) as server:
        yield next(iter(server.sockets)).getsockname()[1]
    for _ in range(3 * GRACE):
        await asyncio.sleep(0)


async def test_websockets() -> None:
    """``sock=``: a dead first address costs a quarter of a second."""
    with black_hole("127.0.0.9") as (dead, port):
        names = StaticResolver({"name.test": [dead, "127.0.0.1"]})
        async with websocket_server(port):
            sock = await Dialer(resolver=names, timeout=20).connect("name.test", port)
            async with connect_websocket(f"ws://name.test:{port}/", sock=sock) as connection:
                await connection.send("hello")
                assert await connection.recv() == "hello"
