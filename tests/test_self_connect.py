"""A TCP socket can connect to itself, and the library never returns one that did.

RFC 9293 (3.5) lets two ends open at the same time, and one socket can be both: dial a port of this
host on which nobody listens, let the kernel choose that very port as the local one, and it
connects.  Health checks that dial a local service in the ephemeral range meet it, and the service
cannot start while its port is held by its own client.
"""

from __future__ import annotations

import errno
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import ConnectError, ConnectionRefused, Help

from .support.apis import APIS, Api
from .support.needs import needs
from .support.networks import Namespace, namespace
from .support.servers import family_of, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("netns")

DIALS = 3000
PORT = 40_050


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking."""
    with Api(request.param) as api:
        yield api


@contextmanager
def ephemeral_ports(first: int, last: int) -> Iterator[Namespace]:
    """Move into a namespace where these are the ports that the kernel chooses from."""
    with namespace() as network:
        network.sysctl("ipv4/ip_local_port_range", f"{first} {last}")
        # A socket that met itself and was closed plainly would keep the port for a minute, and
        # hide the next one.
        network.sysctl("ipv4/tcp_max_tw_buckets", 0)
        yield network


def meets_itself(address: tuple[Any, ...]) -> bool:
    """Dial as a program without the library does."""
    with socket.socket(family_of(address)) as sock:
        if sock.connect_ex(address):
            return False
        return bool(sock.getsockname() == sock.getpeername())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_plain_sockets_do_meet_themselves(host: str) -> None:
    """The tests below have something to find."""
    with ephemeral_ports(40_000, 40_100):
        met = sum(meets_itself((host, PORT)) for _ in range(DIALS))
    assert met >= 5


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_of_3000_dials_to_a_closed_port_none_connects(api: Api, host: str) -> None:
    """Each is refused, also those that met themselves, and the port is free at the end."""
    met = 0
    with ephemeral_ports(40_000, 40_100):
        for _ in range(DIALS // 100):
            for error in api.together([((host, PORT), {"timeout": 10})] * 100):
                assert isinstance(error, ConnectionRefused), error
                assert error.errno == errno.ECONNREFUSED
                met += sum(attempt.tries > 1 for attempt in error.attempts)
        assert met > 0, "no dial met itself: the test proves nothing"
        with listen((host, PORT)):
            api.connect(host, PORT, timeout=10).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_that_is_the_only_ephemeral_one_is_refused(api: Api, host: str) -> None:
    """Where every dial meets itself the library gives up after a few, and says what happened."""
    with ephemeral_ports(PORT, PORT):
        assert meets_itself((host, PORT))
        error = api.fails(host, PORT, timeout=10)
        with socket.socket(family_of((host, PORT))) as server:
            server.bind((host, PORT))  # at once: nothing holds the port
    assert type(error) is ConnectionRefused
    assert (error.errno, error.code) == (errno.ECONNREFUSED, "connection_refused")
    assert error.stage == "verify"
    assert error.help == Help.SAME | Help.OTHER
    assert "itself" in str(error)
    assert "ephemeral" in error.hint
    assert error.count == 1
    (attempt,) = error.attempts
    assert 2 <= attempt.tries <= 10
    assert attempt.stage == "verify"


def test_a_callers_socket_that_met_itself_is_refused(api: Api) -> None:
    """``sock_connect`` cannot make another socket: it says so at once, and leaves it open."""
    address = ("127.0.0.1", PORT)
    with ephemeral_ports(PORT, PORT), socket.socket(proto=socket.IPPROTO_TCP) as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, address, timeout=10)
        assert sock.fileno() != -1
    assert type(caught.value) is ConnectionRefused
    assert caught.value.stage == "verify"


def test_a_callers_socket_of_the_default_protocol_is_refused_too(api: Api) -> None:
    """``socket.socket()`` has protocol 0, and is TCP all the same."""
    address = ("127.0.0.1", PORT)
    with ephemeral_ports(PORT, PORT), socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(ConnectError) as caught:
            api.sock_connect(sock, address, timeout=10)
    assert type(caught.value) is ConnectionRefused


def test_a_socket_from_a_factory_that_met_itself_is_refused(api: Api) -> None:
    """Whoever made the socket, what is returned has a peer that is not itself."""
    with ephemeral_ports(PORT, PORT):
        error = api.fails("127.0.0.1", PORT, timeout=10, socket_factory=lambda _: socket.socket())
    assert error.stage == "verify"


def test_a_bound_socket_that_dials_its_own_address_is_refused(api: Api) -> None:
    """The same without luck: the local address is the one that is dialled."""
    address = ("127.0.0.1", 7000)
    with namespace():
        error = api.fails(*address, timeout=10, local_addr=address)
    assert type(error) is ConnectionRefused
    assert error.stage == "verify"


def test_another_address_still_wins(api: Api) -> None:
    """A target that meets itself is a failed one, and the next is dialled."""
    targets = [("127.0.0.1", PORT), ("127.0.0.1", 80)]
    with (
        ephemeral_ports(PORT, PORT + 1),
        listen(targets[1]),
        api.connect(targets, timeout=10) as sock,
    ):
        assert sock.getpeername() == targets[1]


def test_equal_ports_of_two_hosts_are_no_meeting(api: Api) -> None:
    """Only address *and* port make a socket its own peer."""
    with namespace(), listen(("127.0.0.2", 7000)) as server:
        local = ("127.0.0.1", 7000)
        with api.connect(*server.getsockname(), timeout=10, local_addr=local) as sock:
            assert (sock.getsockname(), sock.getpeername()) == (local, server.getsockname())


def test_a_datagram_socket_may_talk_to_itself(api: Api) -> None:
    """Who binds a datagram socket and connects it to itself meant it."""
    address = ("127.0.0.1", 7000)
    with namespace():
        options: dict[str, Any] = {"type": socket.SOCK_DGRAM, "local_addr": address}
        with api.connect(*address, timeout=10, **options) as sock:
            sock.send(b"hello")
            sock.setblocking(True)
            sock.settimeout(5)
            assert sock.recv(10) == b"hello"
