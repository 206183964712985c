"""The caller's own socket.

It stays open while the account is taken: closed, it would leave the epoll by itself, and a
forgotten one would not be seen.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aioconnect
import aioconnect.blocking

from ...support.servers import NAME, drain, full_backlog, listen
from ...support.sockets import Slow
from .case import Case, World, nothing, scenario

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def own_socket(call: Any, family: int = socket.AF_INET, **fields: Any) -> Iterator[Case]:
    """Set up a call on a fresh socket of the caller's."""
    own: list[socket.socket] = []

    def before() -> None:
        own[:] = [Slow(family, socket.SOCK_STREAM)]
        own[0].setblocking(False)

    after = fields.pop("after", nothing)

    def close() -> None:
        own[0].close()
        after()

    yield Case(lambda: call(own[0]), before=before, after=close, **fields)


@scenario
def sock_connect(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call(sock: socket.socket) -> Any:
            return aioconnect.sock_connect(sock, address)

        with own_socket(call, after=lambda: drain(server)) as case:
            yield case


@scenario
def sock_connect_to_a_dead_address(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        return aioconnect.sock_connect(sock, world.dead, timeout=0.02)

    with own_socket(call, ends=TimeoutError) as case:
        yield case


@scenario
def sock_connect_to_a_full_Unix_backlog(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        return aioconnect.sock_connect(sock, f"\0{NAME}", timeout=0.02)

    with (
        full_backlog(f"\0{NAME}"),
        own_socket(call, socket.AF_UNIX, ends=BlockingIOError) as case,
    ):
        yield case


@scenario
def connect_wait(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call(sock: socket.socket) -> Any:
            sock.connect_ex(address)
            return aioconnect.connect_wait(sock)

        with own_socket(call, after=lambda: drain(server)) as case:
            yield case


@scenario
def connect_wait_for_a_dead_address(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        sock.connect_ex(world.dead)
        return aioconnect.connect_wait(sock, timeout=0.02)

    with own_socket(call, ends=TimeoutError) as case:
        yield case
