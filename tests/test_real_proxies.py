"""Calls through the proxies that Debian has: microsocks, dante, squid, tinyproxy."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import (
    AccessDenied,
    AttemptTimedOut,
    ConnectError,
    ConnectionRefused,
    Dialer,
    HostUnreachable,
    NetworkUnreachable,
    ProxyError,
)
from aioconnect.resolve import StaticResolver

from .support.account import descriptors
from .support.apis import APIS, Api
from .support.loops import LOOPS
from .support.needs import needs
from .support.proxies import BANNER, PROXIES, REAL, SERVER, ProxyHost, proxy_host

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs("veth", "mount namespace")

NO_NAMES = StaticResolver({})


@pytest.fixture(scope="module")
def host() -> Iterator[ProxyHost]:
    """Give the host that the proxies run on."""
    with proxy_host() as host:
        yield host


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest, host: ProxyHost) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking, on a host that reaches the proxies."""
    with host.near.inside(), Api(request.param) as api:
        yield api


def talk(sock: socket.socket) -> None:
    """Hear what the server says first, and an echo."""
    with sock:
        sock.setblocking(True)
        assert sock.recv(len(BANNER), socket.MSG_WAITALL) == BANNER
        sock.sendall(b"ping")
        assert sock.recv(4, socket.MSG_WAITALL) == b"ping"


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("target", ["server.test", SERVER])
def test_the_server_is_reached_and_its_first_words_arrive(
    host: ProxyHost, api: Api, name: str, target: str
) -> None:
    """Twenty times, by a name that only the proxy knows and by an address that only it reaches."""
    url = host.start(name).url
    for _ in range(20):
        talk(api.connect(target, host.port, proxy=url, resolver=NO_NAMES))


@pytest.mark.parametrize("name", ["microsocks", "danted"])
def test_with_socks5_the_name_is_looked_up_here(host: ProxyHost, api: Api, name: str) -> None:
    """Each address is an attempt; the first one refuses, says the proxy."""
    url = host.start(name).url.replace("socks5h", "socks5")
    resolver = StaticResolver({"known.here": ["10.66.0.2", SERVER]})
    talk(api.connect("known.here", host.port, proxy=url, resolver=resolver))


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
    api: Api,
    name: str,
    target: str,
    port: int,
    type: type[ConnectError],
    status: int | None,
) -> None:
    """Refused, unknown, forbidden, unreachable; squid and tinyproxy have one word for many."""
    proxy = host.start(name)
    error = api.fails(target, port, proxy=proxy.url)
    assert isinstance(error, type)
    assert (error.status, error.stage) == (status, "proxy")
    assert error.address == (PROXIES, proxy.port)
    assert f"{target}:{port}" in str(error)
    assert f"says the proxy {PROXIES}" in str(error)


@pytest.mark.parametrize("user", ["", "me:wrong@", "other:hunter2@"])
@pytest.mark.parametrize("name", ["microsocks", "tinyproxy"])
def test_who_has_no_password_is_denied_access(
    host: ProxyHost, api: Api, name: str, user: str
) -> None:
    """None at all, a wrong one, one of another user."""
    url = host.start(name).url.replace("me:hunter2@", user)
    error = api.fails("server.test", host.port, proxy=url, retry=5)
    assert isinstance(error, AccessDenied)
    assert error.count == 1
    assert "are the proxy's user name and password right?" in str(error)


@pytest.mark.parametrize("name", REAL)
def test_the_wrong_protocol_is_no_tunnel(host: ProxyHost, api: Api, name: str) -> None:
    """SOCKS to a web proxy, HTTP to a SOCKS server: an error of the proxy's stage, in any case."""
    proxy = host.start(name)
    other = "http" if proxy.scheme != "http" else "socks5h"
    url = f"{other}://{PROXIES}:{proxy.port}"
    error = api.fails("server.test", host.port, proxy=url, attempt_timeout=1)
    assert error.stage == "proxy"


@pytest.mark.parametrize("name", ["microsocks", "danted", "tinyproxy"])
def test_the_silence_of_a_target_ends_with_the_attempt(
    host: ProxyHost, api: Api, name: str
) -> None:
    """The proxy waits for a target that swallows everything; it is not blamed on the network."""
    url = host.start(name).url
    error = api.fails("dead.test", 80, proxy=url, attempt_timeout=0.5)
    assert isinstance(error, AttemptTimedOut)
    assert (error.stage, error.errno) == ("proxy", None)


@pytest.mark.parametrize("name", REAL)
def test_a_dead_first_address_of_the_proxy_costs_one_delay(
    host: ProxyHost, api: Api, name: str
) -> None:
    """The addresses of its name are raced, as any others."""
    proxy = host.start(name)
    host.lose("10.66.0.9")
    url = proxy.url.replace(PROXIES, "proxy.test")
    resolver = StaticResolver({"proxy.test": ["10.66.0.9", PROXIES]})
    started = time.monotonic()
    sock = api.connect("server.test", host.port, proxy=url, resolver=resolver, timeout=20)
    assert time.monotonic() - started >= 0.25
    talk(sock)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("target", ["server.test", "dead.test"])
def test_thirty_cancels_in_the_handshake_leave_nothing(
    host: ProxyHost, loop: str, name: str, target: str
) -> None:
    """After each number of turns of the loop: no socket, task or reader, and no word in a log."""
    url = host.start(name).url
    host.lose("10.66.0.9")
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context)
        )
        port = host.port if target == "server.test" else 80
        dialer = Dialer(proxy=url)
        with pytest.raises(TimeoutError):  # with the first wait comes the loop's own epoll
            await aioconnect.connect("10.66.0.9", 80, timeout=0.02)
        before, tasks = descriptors(), asyncio.all_tasks()
        for turns in range(30):
            task = asyncio.ensure_future(dialer.connect(target, port))
            for _ in range(turns):
                await asyncio.sleep(0.0003 if turns % 2 else 0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                (await task).close()  # it was faster
            assert descriptors() == before
            assert asyncio.all_tasks() == tasks

    with host.near.inside(), asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
    assert not complaints


@pytest.mark.parametrize("name", REAL)
async def test_fifty_tunnels_at_once(host: ProxyHost, name: str) -> None:
    """connect_many through one proxy: each target has its own socket, and none is mixed up."""
    url = host.start(name).url
    with host.near.inside():
        async with aioconnect.connect_many(
            [("server.test", host.port)] * 50, limit=20, proxy=url
        ) as results:
            async for result in results:
                assert result.error is None
                assert result.socket is not None
                await asyncio.to_thread(talk, result.socket)
