"""A scope that is written as a name: translated once, before any system call and any judgement."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError

from ..support.apis import APIS, Api
from ..support.needs import needs
from ..support.networks import Namespace, namespace
from ..support.servers import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("netns", "ipv6")

HOST = "fe80::a"


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Give the library on each loop, and blocking."""
    with Api(request.param) as api:
        yield api


@pytest.fixture
def network() -> Iterator[Namespace]:
    """Move into a network with an interface that has a link-local address, and a server."""
    with namespace() as network:
        network.ip(f"address add {HOST}/64 dev lo nodad")
        with listen(("::", 7000)) as server:
            settle(server)
            yield network


def settle(server: socket.socket) -> None:
    """Wait until the kernel has the routes of the new address."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        with socket.socket(socket.AF_INET6) as probe:
            probe.settimeout(0.05)
            if probe.connect_ex((HOST, 7000, 0, index())) == 0:
                server.accept()[0].close()
                return


def index() -> int:
    """Return the number of the interface."""
    return socket.if_nametoindex("lo")


TARGETS: dict[str, Any] = {
    "text, name": lambda: f"[{HOST}%lo]:7000",
    "text, number": lambda: f"[{HOST}%{index()}]:7000",
    "tuple, number": lambda: (HOST, 7000, 0, index()),
    "tuple, name": lambda: (HOST, 7000, 0, "lo"),
    "host and port": lambda: (f"{HOST}%lo", 7000),
}

SOURCES: dict[str, Any] = {
    "none": lambda: None,
    "name": lambda: (f"{HOST}%lo", 0),
    "number": lambda: (f"{HOST}%{index()}", 0),
    "four": lambda: (HOST, 0, 0, index()),
    "list": lambda: [(f"{HOST}%lo", 0), ("127.0.0.1", 0)],
    "fixed port": lambda: (f"{HOST}%lo", 45_000),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_scope_may_be_a_name(network: Namespace, api: Api, target: Any, source: Any) -> None:
    """Of the target and of the source, however they are written."""
    with api.connect(target(), local_addr=source(), timeout=10) as sock:
        assert sock.getpeername() == (HOST, 7000, 0, index())
        assert sock.getsockname()[0] == HOST
        assert sock.getsockname()[3] == index()


@pytest.mark.parametrize("address", ["name", "number"])
def test_a_callers_own_socket_may_have_one(network: Namespace, api: Api, address: str) -> None:
    """``sock_connect`` takes it as connect does."""
    host = f"{HOST}%lo" if address == "name" else HOST
    to = (host, 7000) if address == "name" else (host, 7000, 0, index())
    with socket.socket(socket.AF_INET6) as sock:
        sock.setblocking(False)
        api.sock_connect(sock, to, timeout=10)
        assert sock.getpeername() == (HOST, 7000, 0, index())


def test_a_policy_sees_the_number(network: Namespace, api: Api) -> None:
    """What it judges is what is dialled, in one spelling; so does a factory."""
    seen: list[Any] = []

    def policy(endpoint: Any) -> None:
        seen.append(endpoint[4])

    def factory(endpoint: Any) -> socket.socket:
        seen.append(endpoint[4])
        return socket.socket(*endpoint[:3])

    for target in TARGETS.values():
        seen.clear()
        options: dict[str, Any] = {"address_policy": policy, "socket_factory": factory}
        api.connect(target(), timeout=10, **options).close()
        assert seen == [(HOST, 7000, 0, index())] * 2


OPTIONS = ["plain", "observed", "retried"]


@pytest.mark.parametrize("options", [{}, {"on_event": print}, {"retry": 2}], ids=OPTIONS)
def test_an_interface_that_does_not_exist_is_a_failed_attempt(
    network: Namespace, api: Api, options: dict[str, Any]
) -> None:
    """Its error says what is missing; another address still wins."""
    error = api.fails("[fe80::1%nosuch0]:7000", timeout=2, **options)
    assert isinstance(error, aioconnect.NetworkDown)
    assert "interface" in str(error)
    targets = ["[fe80::1%nosuch0]:7000", f"[{HOST}%lo]:7000"]
    api.connect(targets, timeout=10, **options).close()


@pytest.mark.parametrize("options", [{}, {"on_event": print}, {"retry": 2}], ids=OPTIONS)
@pytest.mark.parametrize("where", ["a target", "several", "a source", "own socket"])
@needs("veth")
def test_an_interface_without_an_address_is_an_error_of_ours(
    api: Api, where: str, options: dict[str, Any]
) -> None:
    """While duplicate address detection runs, say, or IPv6 is off."""
    with namespace() as network, listen(("127.0.0.1", 7000)) as server:
        network.sysctl("ipv6/conf/all/disable_ipv6", 1)
        network.ip("link add near type veth peer name far", "link set near up", "link set far up")
        target = "[fe80::1%near]:7000"
        if where == "a target":
            error = api.fails(target, timeout=2, **options)
            assert isinstance(error, aioconnect.AddressNotAvailable)
        elif where == "several":
            sock = api.connect([target, server.getsockname()], timeout=10, **options)
            sock.close()
        elif where == "a source":
            local = ("fe80::9%near", 0)
            error = api.fails(target, local_addr=local, timeout=2, **options)
            assert error.stage == "bind"
        else:
            with socket.socket(socket.AF_INET6) as own:
                own.setblocking(False)
                with pytest.raises(ConnectError):
                    api.sock_connect(own, ("fe80::1%near", 7000), timeout=2)
