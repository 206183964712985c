"""Who refused decides what it means: real sockets, on both loops and blocking."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, events, retry
from aioconnect.resolve import Cache

from ..support.apis import APIS, Api
from ..support.limits import open_directory, other_user
from ..support.needs import needs
from ..support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aioconnect.resolve import Answer

TCP, IP, IPV6 = socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking."""
    with Api(request.param) as api:
        yield api


# Socket options -----------------------------------------------------------------------------------

REFUSED = {
    "TCP_CONGESTION": (TCP, socket.TCP_CONGESTION, b"nosuchalgo"),
    "TCP_KEEPIDLE": (TCP, socket.TCP_KEEPIDLE, 0),
    "IP_TTL": (IP, socket.IP_TTL, 999),
    "TCP_MAXSEG": (TCP, socket.TCP_MAXSEG, 1),
    "9999 of level 6": (TCP, 9999, 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_option_is_named_and_blames_nothing_else(api: Api, name: str) -> None:
    """Neither a path, nor a route, nor a firewall; and nothing is tried again for it."""
    seen: list[Any] = []
    with listen() as server:
        error = api.fails(
            *server.getsockname(),
            timeout=5,
            retry=retry.attempts(3),
            socket_options=[REFUSED[name]],
            on_event=seen.append,
        )
    assert type(error) is aioconnect.SocketUnusable
    assert not isinstance(error, FileNotFoundError)
    assert (error.code, error.stage) == ("protocol_option", "socket")
    assert f"socket option {name} refused" in str(error)
    assert len([event for event in seen if isinstance(event, events.AttemptStarted)]) == 1


def test_an_interface_that_an_option_names_is_said_to_be_missing(api: Api) -> None:
    """It may come: it is a network that is down, and the option is named."""
    option = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"gone0")
    with listen() as server:
        error = api.fails(*server.getsockname(), timeout=5, socket_options=[option])
    assert type(error) is aioconnect.NetworkDown
    assert "socket option SO_BINDTODEVICE: no such network interface" in str(error)


@needs("root")
def test_an_option_that_needs_a_privilege_blames_no_firewall(api: Api) -> None:
    """EPERM of SO_MARK."""
    with listen() as server, other_user():
        option = (socket.SOL_SOCKET, socket.SO_MARK, 1)
        error = api.fails(*server.getsockname(), timeout=5, socket_options=[option])
    assert type(error) is aioconnect.AccessDenied
    assert "socket option SO_MARK not permitted" in str(error)
    assert "firewall" not in str(error)
    assert "privilege" in error.hint


async def test_waiting_until_ready_does_not_wait_for_an_option() -> None:
    """What is wrong on this side ends it at once."""
    with listen() as server:
        for option in REFUSED.values():
            with pytest.raises(aioconnect.SocketUnusable):
                async with asyncio.timeout(30):
                    await aioconnect.wait_until_ready(
                        server.getsockname(), timeout=60, socket_options=[option]
                    )


@needs("root")
@pytest.mark.parametrize(
    "options",
    [
        {"socket_options": [(socket.SOL_SOCKET, socket.SO_MARK, 1)]},
        {"local_addr": ("127.0.0.1", 80)},
    ],
    ids=["option", "port"],
)
async def test_waiting_until_ready_does_not_wait_for_a_privilege(options: Any) -> None:
    """Nor for a local port that this user may not have."""
    with listen() as server, other_user(), pytest.raises(aioconnect.AccessDenied):
        async with asyncio.timeout(30):
            await aioconnect.wait_until_ready(server.getsockname(), timeout=60, **options)


APPLY = {
    "IPv4": [(IPV6, socket.IPV6_TCLASS, 0x20), (IP, socket.IP_TOS, 0x20)],
    "IPv6": [(IPV6, socket.IPV6_TCLASS, 0x20), (IP, socket.IP_TTL, 9)],
    "Unix": [(TCP, socket.TCP_NODELAY, 1), (IP, socket.IP_TOS, 0x20)],
}


@pytest.mark.parametrize("family", APPLY)
def test_one_list_of_options_serves_every_family(api: Api, family: str) -> None:
    """An option is set on the sockets that can have it, and on no other."""
    with open_directory() as directory:
        address: Any = {"IPv4": ("127.0.0.1", 0), "IPv6": ("::1", 0)}.get(family)
        with listen(address or str(directory / "socket")) as server:
            target = server.getsockname()
            target = f"unix:{target}" if isinstance(target, str) else target[:2]
            with api.connect(target, timeout=5, socket_options=APPLY[family]) as sock:
                if family == "IPv4":
                    assert sock.getsockopt(IP, socket.IP_TOS) == 0x20
                if family == "IPv6":
                    assert sock.getsockopt(IPV6, socket.IPV6_TCLASS) == 0x20


def test_a_datagram_socket_takes_no_option_of_tcp(api: Api) -> None:
    """The level says which protocol an option is of."""
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        options: Any = {"type": socket.SOCK_DGRAM, "timeout": 5}
        options["socket_options"] = [(TCP, socket.TCP_NODELAY, 1)]
        api.connect(*server.getsockname(), **options).close()


# Local addresses ----------------------------------------------------------------------------------


def test_a_local_address_in_use_is_named(api: Api) -> None:
    """With its port, in the sentence and for clients that print a part."""
    with listen() as server, listen() as taken:
        mine = taken.getsockname()
        error = api.fails(*server.getsockname(), timeout=5, local_addr=mine)
    assert type(error) is aioconnect.AddressInUse
    shown = f"local address 127.0.0.1:{mine[1]} in use"
    for said in (str(error), str(error.strerror), error.args[1]):
        assert shown in said


@needs("root")
def test_a_privileged_source_port_blames_no_firewall(api: Api) -> None:
    """EACCES of bind."""
    with listen() as server, other_user():
        error = api.fails(*server.getsockname(), timeout=5, local_addr=("127.0.0.1", 80))
    assert type(error) is aioconnect.AccessDenied
    assert "local address 127.0.0.1:80 not permitted" in str(error)
    assert "privilege" in error.hint


# Functions of the caller's ------------------------------------------------------------------------

HOOKS = [
    (
        "address_policy",
        PermissionError(errno.EACCES, "10.0.0.0/8 is internal: ask the platform team"),
        "forbidden to dial 127.0.0.1:9: 10.0.0.0/8 is internal: ask the platform team",
    ),
    (
        "socket_factory",
        OSError(errno.EIO, "tunnel device is down"),
        "the socket factory failed for 127.0.0.1:9: tunnel device is down",
    ),
    (
        "socket_factory",
        OSError("no proxy configured for this host"),
        "the socket factory failed for 127.0.0.1:9: no proxy configured for this host",
    ),
    (
        "socket_factory",
        ConnectionRefusedError(errno.ECONNREFUSED, "the proxy says no"),
        "refused by 127.0.0.1:9: the proxy says no",
    ),
]


@pytest.mark.parametrize(("option", "raised", "said"), HOOKS, ids=lambda value: str(value)[:20])
def test_a_hooks_words_are_said_and_its_exception_is_the_cause(
    api: Api, option: str, raised: OSError, said: str
) -> None:
    """Of the attempt and of the call."""

    def hook(endpoint: Any) -> Any:
        raise raised

    options: Any = {option: hook}
    error = api.fails("127.0.0.1", 9, timeout=5, **options)
    assert error.strerror == said
    assert said.rpartition(": ")[2] in str(error)
    assert error.__cause__ is raised
    assert error.attempts[0].error.__cause__ is raised
    assert raised.__traceback__ is None


class Registry:
    """A resolver of the caller's that fails."""

    def __init__(self, raised: OSError) -> None:
        self.raised = raised

    async def lookup(self, name: str, family: int) -> Answer:
        """Look up a name."""
        raise self.raised


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "not in the table"),
            "no such name db.test: not in the table",
        ),
        (
            OSError(errno.EIO, "the registry is down"),
            "the resolver failed for db.test: the registry is down",
        ),
    ],
    ids=["no such name", "an error of its own"],
)
async def test_a_resolvers_words_are_said_and_its_exception_is_kept(
    raised: OSError, said: str
) -> None:
    """A resolver of the caller's, whatever kind of error it has."""
    with pytest.raises(ConnectError) as caught:
        await aioconnect.connect("db.test", 80, timeout=5, resolver=Registry(raised))
    error = caught.value
    assert error.strerror == said
    assert raised in (error.__cause__, error.attempts[0].error.__cause__)


async def test_a_failure_that_a_cache_keeps_says_the_same_each_time() -> None:
    """Its words are kept, and not the sentence that was made of them."""
    cache = Cache(Registry(socket.gaierror(socket.EAI_NONAME, "not in the table")))
    said = set()
    for _ in range(3):
        with pytest.raises(aioconnect.NameNotResolved) as caught:
            await cache.lookup("db.test", socket.AF_INET)
        said.add((caught.value.strerror, caught.value.words))
    assert said == {("no such name db.test: not in the table", "not in the table")}


def test_a_retry_policys_words_are_said(api: Api) -> None:
    """An ``OSError`` of a policy is a failed stage of the call."""

    def policy(ctx: retry.Context) -> retry.Decision:
        raise OSError(errno.EIO, "the ledger is closed")

    with refusing() as address:
        error = api.fails(*address, timeout=5, retry=policy)
    assert "the retry policy failed" in str(error)
    assert "the ledger is closed" in str(error)


# Paths, and TLS -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["directory", "file", "abstract"])
def test_what_is_no_socket_file_is_no_left_over(api: Api, kind: str) -> None:
    """A directory and a file are no sockets; an abstract name has no file."""
    with open_directory() as directory:
        (directory / "file").touch()
        os.chmod(directory / "file", 0o666)
        path = {"directory": str(directory), "file": str(directory / "file")}.get(kind, "@nobody")
        error = api.fails(f"unix:{path}", timeout=5)
    assert isinstance(error, ConnectionRefusedError)
    assert error.code == "connection_refused"
    assert "left-over" not in str(error)
    assert ("no socket" in str(error)) == (kind != "abstract")


@pytest.mark.parametrize("limit", ["timeout", "ssl_handshake_timeout"])
async def test_a_silent_peer_in_the_handshake_is_a_limit_of_tls(limit: str) -> None:
    """Whosever limit it is."""
    import ssl

    with listen() as server:
        host, port = server.getsockname()
        options: Any = {"ssl": ssl.create_default_context(), limit: 0.3}
        with pytest.raises(ConnectError) as caught:
            await aioconnect.open_connection(host, port, **options)
    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.errno, error.stage, error.code) == (None, "tls", "timed_out")
    assert str(error).startswith(f"connected to {host}:{port}, but the TLS handshake did not")
    assert str(error).endswith("does it speak TLS on that port?")


async def test_a_call_names_at_most_eight_of_its_targets() -> None:
    """And the budget and the breaker still tell two long lists apart."""
    with black_hole() as hole:
        targets = [hole] * 20
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect(targets, timeout=0.05)
    assert str(caught.value).count(f":{hole[1]}") <= 9
    assert "and 12 more" in str(caught.value)
    breaker = retry.Breaker(failures=1, open_for=30)
    with refusing() as dead, listen() as server:
        first = [dead] * 9
        with pytest.raises(aioconnect.ConnectionRefused):
            await aioconnect.connect(first, breaker=breaker)
        with pytest.raises(aioconnect.CircuitOpen):
            await aioconnect.connect(first, breaker=breaker)
        second = [dead] * 8 + [server.getsockname()]
        (await aioconnect.connect(second, breaker=breaker)).close()
