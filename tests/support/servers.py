"""Servers, and peers that misbehave; each leaves nothing behind: no descriptor, no thread."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .children import started
from .needs import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = f"aioconnect-{os.getpid()}"
"""For abstract Unix sockets, which all processes of a host share."""


def family_of(address: Any) -> socket.AddressFamily:
    """Tell the family of a numeric address as Python writes it."""
    if isinstance(address, str | bytes):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


def need_family_of(address: Any) -> None:
    """Skip the test where the family of an address is not to be had."""
    if family_of(address) == socket.AF_INET6:
        need("ipv6")


@contextmanager
def listen(
    address: Any = ("127.0.0.1", 0), *, type: int = socket.SOCK_STREAM, backlog: int = 128
) -> Iterator[socket.socket]:
    """Give a listening socket (a bound one for datagrams); the kernel accepts on its behalf."""
    need_family_of(address)
    with socket.socket(family_of(address), type) as sock:
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if type != socket.SOCK_DGRAM:
            sock.listen(backlog)
        yield sock


@contextmanager
def refusing(address: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """Give an address that refuses: bound, so that nobody else takes it, and not listening."""
    need_family_of(address)
    with socket.socket(family_of(address)) as sock:
        sock.bind(address)
        yield sock.getsockname()


def closed_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago."""
    with refusing((host, 0)) as address:
        return int(address[1])


@contextmanager
def resetting(address: Any = ("127.0.0.1", 0)) -> Iterator[Any]:
    """Give the address of a server that accepts and resets each connection at once."""
    with listen(address) as server:

        def serve() -> None:
            with suppress(OSError):  # the listener was shut down: the test is over
                while True:
                    connection, _ = server.accept()
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def full_backlog(address: Any, *, type: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """Give a listening Unix socket whose backlog is full: ``accept`` on it makes room for one."""
    with listen(address, type=type, backlog=0) as server, ExitStack() as fillers:
        while True:
            filler = fillers.enter_context(socket.socket(server.family, type))
            filler.setblocking(False)
            try:
                filler.connect(address)
            except BlockingIOError:
                break
        yield server


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[Any]:
    """Give a TCP address that never answers a SYN, without any privilege.

    Linux drops the SYNs to a listener whose accept queue is full.  In a namespace,
    :meth:`Namespace.nft` with a ``drop`` does it more plainly.
    """
    with listen((host, 0), backlog=0) as server, ExitStack() as fillers:
        while True:
            filler = fillers.enter_context(socket.socket(server.family))
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                break
        yield server.getsockname()


def drain(*servers: socket.socket) -> None:
    """Close what the kernel accepted for these listeners."""
    for server in servers:
        server.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()


_PEERS = """
import asyncio, json, socket, ssl, struct, sys

async def serve(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.num_tickets = 0  # nothing comes after the handshake but what was asked for

    async def echo(reader, writer):
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    async def plain(reader, writer):
        await reader.read(1000)  # or the close would be a reset
        writer.write(b"HTTP/1.0 400 Bad Request\\r\\n\\r\\n")
        writer.close()

    async def reset(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    servers = {
        "tls": await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context),
        "plain": await asyncio.start_server(plain, "127.0.0.1", 0),
        "reset": await asyncio.start_server(reset, "127.0.0.1", 0),
    }
    print(json.dumps({n: s.sockets[0].getsockname() for n, s in servers.items()}), flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(serve(sys.argv[1]))
"""


@contextmanager
def peers(certificate: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Run TLS servers in another process, whose descriptors are not ours.

    Gives the addresses of one that echoes (``tls``, with the key and the certificate chain of a
    PEM file), one that speaks no TLS (``plain``), and one that resets when it has heard anything
    (``reset``).
    """
    with started(
        [sys.executable, "-c", _PEERS, str(certificate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield {n: tuple(a) for n, a in json.loads(process.stdout.readline()).items()}
        finally:
            process.stdin.close()
