"""The caller's own socket: connected or waited for, and never closed."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError

from ..support.account import polled
from ..support.servers import listen, refusing
from ..support.sockets import Slow
from .hooks import ADDRESSES


@pytest.mark.parametrize("kind", [socket.socket, Slow])
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
async def test_sock_connect_connects_the_callers_socket(address: Any, kind: Any) -> None:
    """To one numeric address of any family, at once or after a wait."""
    with listen(address) as server, kind(server.family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        assert await aioconnect.sock_connect(sock, server.getsockname()) is None
        assert sock.getpeername() == server.getsockname()


async def test_a_socket_that_could_not_be_connected_stays_its_callers(
    dead: tuple[str, int],
) -> None:
    """It is not closed, and no longer watched."""
    with refusing() as address:
        for to in (dead, address):
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(ConnectError) as raised:
                    await aioconnect.sock_connect(sock, to, timeout=0.01)
                assert sock.fileno() != -1
                assert raised.value.address == to
                assert not [line for _, line in polled() if line.split()[1] == str(sock.fileno())]


async def test_what_cannot_be_meant_is_refused_before_any_io() -> None:
    """A blocking socket, a name, no socket at all."""
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="blocking"):
            await aioconnect.sock_connect(sock, ("127.0.0.1", 9))
        sock.setblocking(False)
        with pytest.raises(ValueError, match="name"):
            await aioconnect.sock_connect(sock, ("localhost", 9))
        with pytest.raises(TypeError):
            await aioconnect.sock_connect(sock, "127.0.0.1:9")
        with pytest.raises(ValueError, match="negative"):
            await aioconnect.sock_connect(sock, ("127.0.0.1", 9), timeout=-1)
        with pytest.raises(OSError, match=r"107|not connected"):
            sock.getpeername()
    with pytest.raises(TypeError):
        await aioconnect.sock_connect(3, ("127.0.0.1", 9))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        await aioconnect.connect_wait(3)  # type: ignore[arg-type]


async def test_connect_wait_returns_when_a_pending_connect_is_through() -> None:
    """As connect(2) prescribes: wait for POLLOUT, read SO_ERROR, ask for the peer."""
    with listen() as server, socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(server.getsockname()) == errno.EINPROGRESS
        assert await aioconnect.connect_wait(sock) is None
        assert sock.getpeername() == server.getsockname()
        assert await aioconnect.connect_wait(sock) is None  # connected already: at once


async def test_connect_wait_waits_for_what_is_pending(dead: tuple[str, int]) -> None:
    """It ends at its time limit, not before."""
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(dead)
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded) as raised:
            await aioconnect.connect_wait(sock, timeout=0.0203)
        assert 0.0203 <= time.monotonic() - started < 2
        assert raised.value.stage == "wait"


@pytest.mark.parametrize("kind", ["fresh", "listening", "fresh Unix", "datagram"])
async def test_connect_wait_says_at_once_that_nothing_is_pending(kind: str) -> None:
    """Such a socket would be writable for ever, or never."""
    family = socket.AF_UNIX if kind == "fresh Unix" else socket.AF_INET
    kind_of = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
    with socket.socket(family, kind_of) as sock:
        if kind == "listening":
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        sock.setblocking(False)
        with pytest.raises(aioconnect.NotConnected) as raised:
            await aioconnect.connect_wait(sock, timeout=30)
        assert raised.value.errno == errno.ENOTCONN
