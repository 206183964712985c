"""TCP Fast Open as a socket option: a peer or an error, and never a success on trust.

With TCP_FASTOPEN_CONNECT ``connect`` says 0 before anything was sent (tcp(7)).
"""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import ConnectionRefused, DeadlineExceeded

from ..support.apis import APIS, Api
from ..support.needs import needs
from ..support.networks import Namespace, namespace
from ..support.servers import family_of, listen

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("netns", "nftables")

FAST_OPEN, FAST_OPEN_CONNECT = 23, 30
OPTION = [(socket.IPPROTO_TCP, FAST_OPEN_CONNECT, 1)]
PORT = 7000


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


@pytest.fixture(params=[5, 3], ids=["without a cookie", "with a cookie"])
def network(request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """Move into a network whose clients, and servers, open fast."""
    with namespace() as network:
        network.sysctl("ipv4/tcp_fastopen", request.param)
        yield network


def fast(host: str) -> Any:
    """Listen, and let clients open fast."""
    server = socket.socket(family_of((host, PORT)))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_TCP, FAST_OPEN, 16)
    server.bind((host, PORT))
    server.listen()
    return server


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_returned_has_a_peer(network: Namespace, api: Api, host: str) -> None:
    """Each time: also when the client has a cookie; and the server sees a connection."""
    with fast(host) as server:
        for _ in range(3):
            with api.connect(host, PORT, socket_options=OPTION, timeout=10) as sock:
                assert sock.getpeername()[:2] == (host, PORT)
                assert select.select([server], [], [], 10)[0]
                peer, _ = server.accept()
                with peer:
                    sock.setblocking(True)
                    sock.sendall(b"ping")
                    assert peer.recv(10) == b"ping"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_closed_port_refuses(network: Namespace, api: Api, host: str) -> None:
    """Whether a cookie is there from before, or none is needed."""
    with fast(host):
        api.connect(host, PORT, socket_options=OPTION, timeout=10).close()
    for _ in range(2):
        error = api.fails(host, PORT, socket_options=OPTION, timeout=10)
        assert type(error) is ConnectionRefused


def test_a_closed_port_wins_no_race(network: Namespace, api: Api) -> None:
    """The address that listens does."""
    targets = [("127.0.0.1", PORT), ("127.0.0.2", PORT)]
    with listen(targets[1]), api.connect(targets, socket_options=OPTION, timeout=10) as sock:
        assert sock.getpeername() == targets[1]


def test_a_silent_peer_is_no_success(network: Namespace, api: Api) -> None:
    """It is waited for, until the time is up."""
    network.nft("ip daddr 127.0.0.9 drop")
    error = api.fails("127.0.0.9", PORT, socket_options=OPTION, timeout=0.2)
    assert isinstance(error, DeadlineExceeded)


def test_a_factory_may_set_it_too(network: Namespace, api: Api) -> None:
    """Then nobody knows of it but the kernel."""

    def factory(endpoint: Any) -> socket.socket:
        sock = socket.socket(*endpoint[:3])
        sock.setsockopt(*OPTION[0])
        return sock

    error = api.fails("127.0.0.1", PORT, socket_factory=factory, timeout=10)
    assert type(error) is ConnectionRefused
    with fast("127.0.0.1"), api.connect("127.0.0.1", PORT, socket_factory=factory) as sock:
        assert sock.getpeername() == ("127.0.0.1", PORT)
