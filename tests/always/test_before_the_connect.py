"""What is set on a socket before it is connected."""

from __future__ import annotations

import socket
import struct

import pytest

import aioconnect
import aioconnect.blocking

from ..support.needs import need
from ..support.servers import NAME, listen


async def test_socket_options_are_set_before_the_connect() -> None:
    """The peer has read of them in the SYN: a segment size, and what the kernel keeps of others."""
    options = [
        (socket.SOL_SOCKET, socket.SO_RCVBUF, 8192),
        (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536),
        (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3)),
    ]
    with (
        listen() as server,
        await aioconnect.connect(*server.getsockname(), socket_options=options) as sock,
    ):
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == options[2][2]
        peer, _ = server.accept()
        with peer:
            assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 536
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_local_addr_may_name_one_address_per_family(host: str) -> None:
    """Each socket is bound to the one of its family."""
    local = [("127.0.0.5", 0), ("::1", 0)]
    with (
        listen((host, 0)) as server,
        await aioconnect.connect(server.getsockname()[:2], local_addr=local) as sock,
    ):
        assert sock.getsockname()[0] == {"127.0.0.1": "127.0.0.5", "::1": "::1"}[host]
        assert sock.getsockname()[1] != 0


async def test_a_local_port_that_the_kernel_may_choose_is_chosen_by_connect() -> None:
    """``IP_BIND_ADDRESS_NO_PORT`` is set, so many connections may share one local port."""
    need("linux")
    ip_bind_address_no_port = 24
    with listen() as server:
        address = server.getsockname()
        for port in (0, 0):
            dial = aioconnect.connect(*address, local_addr=("127.0.0.6", port))
            with await dial as sock:
                assert sock.getsockopt(socket.IPPROTO_IP, ip_bind_address_no_port) == 1
                fixed = sock.getsockname()[1]
        dial = aioconnect.connect(
            *address,
            local_addr=("127.0.0.7", fixed),
            socket_options=[(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)],
        )
        with await dial as sock:
            assert sock.getsockname() == ("127.0.0.7", fixed)
            assert sock.getsockopt(socket.IPPROTO_IP, ip_bind_address_no_port) == 0


async def test_a_Unix_socket_may_be_bound_too() -> None:
    """The server sees who calls."""
    with listen(f"\0{NAME}") as server:
        local = f"\0{NAME}-client"
        dial = aioconnect.connect(f"unix:@{NAME}", local_addr=local)
        with await dial:
            peer, name = server.accept()
            peer.close()
            assert name == local.encode()
