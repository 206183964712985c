"""Tunnels through the proxies that Debian has: microsocks, dante, squid, tinyproxy."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from aioconnect import (
    AccessDenied,
    ConnectError,
    ConnectionRefused,
    HostUnreachable,
    NetworkUnreachable,
    PeerClosed,
    Proxy,
    ProxyError,
)
from aioconnect.handshake import http, socks5

from ..support.handshaking import poll_through
from ..support.needs import needs
from ..support.proxies import BANNER, REAL, SERVER, ProxyHost, proxy_host

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = needs("veth", "mount namespace")


@pytest.fixture(scope="module")
def host() -> Iterator[ProxyHost]:
    """Give the host that the proxies run on."""
    with proxy_host() as host:
        yield host


def dial(host: ProxyHost, url: str, name: str, port: int, timeout: float = 20) -> socket.socket:
    """Connect to the proxy and run its handshake in poll(2)."""
    proxy = Proxy(url)
    with host.near.inside():
        sock = socket.create_connection((proxy.host, proxy.port))
    try:
        sock.setblocking(False)
        tunnel = http.tunnel if proxy.scheme == "http" else socks5.tunnel
        poll_through(tunnel(sock, proxy, name, port), sock, timeout)
        sock.setblocking(True)
    except BaseException:
        sock.close()
        raise
    return sock


def fails(host: ProxyHost, url: str, name: str, port: int) -> ConnectError:
    """Dial in vain."""
    with pytest.raises(ConnectError) as caught:
        dial(host, url, name, port).close()
    return caught.value


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("target", ["server.test", SERVER])
def test_the_server_is_reached_and_its_first_words_arrive(
    host: ProxyHost, name: str, target: str
) -> None:
    """Twenty times, by a name that only the proxy knows and by an address that only it reaches."""
    url = host.start(name).url
    for _ in range(20):
        with dial(host, url, target, host.port) as sock:
            assert sock.recv(100) == BANNER
            sock.sendall(b"ping")
            assert sock.recv(100) == b"ping"


WORDS: list[tuple[str, str, int, type[ConnectError], int | None]] = [
    ("microsocks", "server.test", 9, ConnectionRefused, 5),
    ("danted", "server.test", 9, ConnectionRefused, 5),
    ("squid", "server.test", 9, ProxyError, 503),
    ("tinyproxy", "server.test", 9, ProxyError, 500),
    ("microsocks", "nowhere.test", 80, ProxyError, 1),
    ("danted", "nowhere.test", 80, HostUnreachable, 4),
    ("squid", "nowhere.test", 80, ProxyError, 500),
    ("tinyproxy", "nowhere.test", 80, ProxyError, 500),
    ("danted", "10.67.0.5", 80, AccessDenied, 2),
    ("squid", "forbidden.test", 80, ProxyError, 403),
    ("tinyproxy", "forbidden.test", 80, ProxyError, 403),
    ("microsocks", "far.test", 80, HostUnreachable, 4),
    ("danted", "far.test", 80, HostUnreachable, 4),
    ("squid", "far.test", 80, ProxyError, 503),
    ("microsocks", "10.99.0.1", 80, NetworkUnreachable, 3),
    ("squid", "dead.test", 80, ProxyError, 503),
]


@pytest.mark.parametrize(("name", "target", "port", "type", "status"), WORDS)
def test_what_a_proxy_says_of_a_target_has_its_class(
    host: ProxyHost,
    name: str,
    target: str,
    port: int,
    type: type[ConnectError],
    status: int | None,
) -> None:
    """Refused, unknown, forbidden, unreachable; squid and tinyproxy have one word for many."""
    error = fails(host, host.start(name).url, target, port)
    assert isinstance(error, type)
    assert error.status == status
    assert "says the proxy" in str(error)


@pytest.mark.parametrize("user", ["", "me:wrong@", "other:hunter2@"])
@pytest.mark.parametrize("name", ["microsocks", "tinyproxy"])
def test_who_has_no_password_is_denied_access(host: ProxyHost, name: str, user: str) -> None:
    """None at all, a wrong one, one of another user."""
    proxy = host.start(name)
    url = proxy.url.replace("me:hunter2@", user)
    error = fails(host, url, "server.test", host.port)
    assert isinstance(error, AccessDenied)
    assert "are the proxy's user name and password right?" in str(error)


@pytest.mark.parametrize("name", REAL)
def test_the_wrong_protocol_is_no_tunnel(host: ProxyHost, name: str) -> None:
    """SOCKS to a web proxy, HTTP to a SOCKS server: it ends, or is at least never taken for one."""
    proxy = host.start(name)
    other = "http" if proxy.scheme != "http" else "socks5h"
    url = f"{other}://10.66.0.2:{proxy.port}"
    with pytest.raises((ProxyError, PeerClosed, ConnectionResetError, TimeoutError)):
        dial(host, url, "server.test", host.port, timeout=1).close()


@pytest.mark.parametrize("name", ["microsocks", "danted", "tinyproxy"])
def test_the_silence_of_a_target_is_the_proxys_silence(host: ProxyHost, name: str) -> None:
    """The proxy waits for a target that swallows everything; here nothing but a limit ends it."""
    url = host.start(name).url
    with pytest.raises(TimeoutError) as caught:
        dial(host, url, "dead.test", 80, timeout=1).close()
    assert not isinstance(caught.value, ConnectError)
