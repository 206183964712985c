"""A socket that is returned has a peer, and is fit for a loop."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking

from ..support.account import polled
from ..support.servers import drain, listen
from ..support.sockets import slow
from .hooks import ADDRESSES, target_of


@pytest.mark.parametrize("factory", [None, slow, lambda endpoint: socket.socket(*endpoint[:3])])
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
async def test_a_returned_socket_is_connected_and_fit_for_a_loop(
    address: Any, factory: Any
) -> None:
    """It has a peer, not itself, and no error; it is non-blocking and close-on-exec."""
    with listen(address) as server:
        with await aioconnect.connect(target_of(server), socket_factory=factory) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert sock.getpeername() == server.getsockname()
            assert sock.getpeername() != sock.getsockname()
            assert sock.type == socket.SOCK_STREAM
            assert sock.gettimeout() == 0
            assert not os.get_blocking(sock.fileno())
            assert not os.get_inheritable(sock.fileno())
            if sock.family != socket.AF_UNIX:
                assert sock.proto == socket.IPPROTO_TCP
        drain(server)


async def test_a_factorys_socket_is_made_non_blocking_and_close_on_exec() -> None:
    """Whatever a socket factory returns, the socket that comes out is fit for a loop."""

    def factory(endpoint: Any) -> socket.socket:
        sock = socket.socket(*endpoint[:3])
        sock.settimeout(7)
        sock.set_inheritable(True)
        return sock

    with (
        listen() as server,
        await aioconnect.connect(*server.getsockname(), socket_factory=factory) as sock,
    ):
        assert sock.gettimeout() == 0
        assert not os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())


async def test_the_library_has_let_go_of_a_returned_socket() -> None:
    """Nobody else watches it: the loop can wait for it, and its data goes through."""
    loop = asyncio.get_running_loop()
    with listen() as server:
        address = server.getsockname()
        with await aioconnect.connect(*address, socket_factory=slow) as sock:
            assert not [line for _, line in polled() if line.split()[1] == str(sock.fileno())]
            peer, _ = server.accept()
            with peer:
                await loop.sock_sendall(sock, b"ping")
                assert peer.recv(10) == b"ping"
                peer.sendall(b"pong")
                assert await loop.sock_recv(sock, 10) == b"pong"


async def test_a_datagram_socket_is_connected_to_its_peer() -> None:
    """With ``type=SOCK_DGRAM`` the kernel knows where datagrams go, and the protocol is UDP."""
    with listen(type=socket.SOCK_DGRAM) as server:
        address = server.getsockname()
        with await aioconnect.connect(*address, type=socket.SOCK_DGRAM) as sock:
            assert sock.type == socket.SOCK_DGRAM
            assert sock.proto == socket.IPPROTO_UDP
            assert sock.getpeername() == address
            sock.send(b"datagram")
            assert server.recvfrom(100) == (b"datagram", sock.getsockname())


async def test_a_datagram_socket_may_be_bound() -> None:
    """``local_addr`` holds for datagrams too."""
    with listen(type=socket.SOCK_DGRAM) as server:
        address, local = server.getsockname(), ("127.0.0.3", 0)
        dial = aioconnect.connect(*address, type=socket.SOCK_DGRAM, local_addr=local)
        with await dial as sock:
            assert sock.getsockname()[0] == "127.0.0.3"
