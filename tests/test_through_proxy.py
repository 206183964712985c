"""Calls through a proxy: its handshake is a stage of the attempt, with all that holds for one."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import ssl
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trustme

import aioconnect
from aioconnect import (
    AccessDenied,
    AttemptTimedOut,
    CertificateError,
    ConnectError,
    ConnectionRefused,
    DeadlineExceeded,
    Dialer,
    NameNotResolved,
    Options,
    PolicyDenied,
    Proxy,
    ProxyError,
    events,
    retry,
)
from aioconnect.handshake import WRITE, recv_exactly, send_all
from aioconnect.handshake.proxy_protocol import send_proxy_v2
from aioconnect.resolve import Answer, StaticResolver

from .support.account import descriptors
from .support.apis import APIS, Api
from .support.scripted import (
    BANNER,
    READ,
    Scripted,
    answer_of,
    echo,
    failing,
    good,
    read_socks,
    receive,
    relaying,
    scripted,
    silent,
)
from .support.servers import black_hole, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

SCHEMES = ("socks5h", "socks5", "http")
NAMING = ("socks5h", "http")
"""The schemes whose proxy resolves names."""

NO_NAMES = StaticResolver({})


@pytest.fixture(autouse=True, scope="module")
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors once: a loop for resolvers in a thread ends when it is idle."""
    before = descriptors()
    yield
    deadline = time.monotonic() + 20
    while descriptors() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors() == before


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking."""
    with Api(request.param) as api:
        yield api


def first_words(sock: socket.socket) -> bytes:
    """Read what the server says first, and hear an echo."""
    with sock:
        sock.setblocking(True)
        words = sock.recv(len(BANNER), socket.MSG_WAITALL)
        sock.sendall(b"ping")
        assert sock.recv(4, socket.MSG_WAITALL) == b"ping"
    return words


# Names and addresses --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", NAMING)
@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("db.internal", "db.internal"),
        ("localhost", "localhost"),
        ("DB.Internal.", "DB.Internal."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_name_goes_to_the_proxy_unresolved(api: Api, scheme: str, host: str, asked: str) -> None:
    """In ASCII; the resolver here is not asked, and localhost is the proxy's own."""
    with scripted(good(scheme)) as proxy:
        sock = api.connect(host, 5432, proxy=proxy.url(scheme), resolver=NO_NAMES)
        assert first_words(sock) == BANNER
        assert proxy.asked == [(asked, 5432)]


def test_with_socks5_each_address_of_the_target_is_an_attempt(api: Api) -> None:
    """Resolved here, in the order to dial; the proxy hears numbers, one after the other."""
    resolver = StaticResolver({"db.test": ["192.0.2.1", "192.0.2.2", "192.0.2.3"]})
    with scripted(failing("socks5", "refused", "refused", "")) as proxy:
        sock = api.connect("db.test", 5432, proxy=proxy.url("socks5"), resolver=resolver)
        assert first_words(sock) == BANNER
        assert proxy.asked == [(f"192.0.2.{n}", 5432) for n in (1, 2, 3)]


def test_with_socks5_the_name_of_the_target_and_that_of_the_proxy_are_looked_up(api: Api) -> None:
    """Both here; a proxy of two addresses is raced for each address of the target."""
    with scripted(failing("socks5", "refused", "")) as proxy, refusing() as nobody:
        port = proxy.address[1]
        resolver = StaticResolver(
            {"db.test": ["192.0.2.1", "192.0.2.2"], "proxy.test": ["127.0.0.1"]}
        )
        sock = api.connect("db.test", 1, proxy=f"socks5://proxy.test:{port}", resolver=resolver)
        assert first_words(sock) == BANNER
        assert proxy.asked == [("192.0.2.1", 1), ("192.0.2.2", 1)]
        del nobody


class SlowIPv6:
    """A resolver whose IPv6 answers take their time."""

    async def lookup(self, name: str, family: int) -> Answer:
        """Answer IPv4 at once."""
        if family == socket.AF_INET6:
            await asyncio.sleep(5)
        return Answer(("192.0.2.1",) if name == "db.test" else ("127.0.0.1",))


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:{}", "socks5://proxy.test:{}"])
async def test_with_socks5_an_address_does_not_wait_for_those_of_the_other_family(
    url: str,
) -> None:
    """Answers are used as they come, of both names, after the resolution delay."""
    with scripted(good("socks5")) as proxy:
        started = time.monotonic()
        sock = await aioconnect.connect(
            "db.test", 5432, proxy=url.format(proxy.address[1]), resolver=SlowIPv6()
        )
        assert time.monotonic() - started < 4
        assert await asyncio.to_thread(first_words, sock) == BANNER
        assert proxy.asked == [("192.0.2.1", 5432)]


def test_family_is_that_of_what_is_dialled(api: Api) -> None:
    """With socks5 a target of the other family is still looked up: the proxy dials it."""
    resolver = StaticResolver({"db.test": ["2001:db8::7"], "proxy.test": ["127.0.0.1", "::1"]})
    with scripted(good("socks5")) as proxy:
        sock = api.connect(
            "db.test",
            5432,
            proxy=f"socks5://proxy.test:{proxy.address[1]}",
            resolver=resolver,
            family=socket.AF_INET,
        )
        assert first_words(sock) == BANNER
        assert proxy.asked == [("2001:db8::7", 5432)]
        with pytest.raises(ValueError, match="family"):
            api.connect("db.test", 1, proxy="socks5://[::1]:1080", family=socket.AF_INET)


@pytest.mark.parametrize("missing", ["db.test", "proxy.test"])
def test_with_socks5_a_name_that_is_unknown_fails_the_call(api: Api, missing: str) -> None:
    """Nothing is dialled, and the name is in the sentence."""
    names = {"db.test": ["192.0.2.1"], "proxy.test": ["127.0.0.1"]}
    del names[missing]
    with scripted(good("socks5")) as proxy:
        url = f"socks5://proxy.test:{proxy.address[1]}"
        error = api.fails("db.test", 1, proxy=url, resolver=StaticResolver(names))
        assert isinstance(error, NameNotResolved)
        assert missing in str(error)
        assert proxy.accepted == []


async def test_with_socks5_a_name_that_is_unknown_is_not_held_up_by_the_other() -> None:
    """What the proxy's name would answer leads nowhere."""

    class Resolver:
        async def lookup(self, name: str, family: int) -> Answer:
            if name == "proxy.test":
                await asyncio.sleep(5)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")

    started = time.monotonic()
    with pytest.raises(NameNotResolved):
        await aioconnect.connect("db.test", 1, proxy="socks5://proxy.test", resolver=Resolver())
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("scheme", NAMING)
def test_the_name_of_the_proxy_is_looked_up_as_any_other(api: Api, scheme: str) -> None:
    """By the resolver of the call; an unknown one fails the call."""
    with scripted(good(scheme)) as proxy:
        url = f"{scheme}://proxy.test:{proxy.address[1]}"
        resolver = StaticResolver({"proxy.test": ["127.0.0.1"]})
        sock = api.connect("db.internal", 5432, proxy=url, resolver=resolver)
        assert first_words(sock) == BANNER
        error = api.fails("db.internal", 5432, proxy=url, resolver=NO_NAMES)
        assert isinstance(error, NameNotResolved)
        assert "db.internal:5432" in str(error)
        assert "proxy.test" in str(error)


# The race -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_proxys_own_addresses_are_raced(api: Api, scheme: str) -> None:
    """A dead first address costs the delay between two attempts."""
    with black_hole() as (_, port), scripted(good(scheme), "127.0.0.2", port):
        resolver = StaticResolver({"proxy.test": ["127.0.0.1", "127.0.0.2"]})
        started = time.monotonic()
        sock = api.connect(
            "192.0.2.1",
            5432,
            proxy=f"{scheme}://proxy.test:{port}",
            resolver=resolver,
            happy_eyeballs_delay=0.1,
        )
        assert first_words(sock) == BANNER
        assert time.monotonic() - started >= 0.1


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.slow
def test_no_other_address_of_the_proxy_starts_while_its_handshake_runs(
    api: Api, scheme: str
) -> None:
    """The proxy is alive: its silence is the target's.  After the attempt's time the next comes."""

    def slow(proxy: Scripted, sock: socket.socket) -> None:
        READ[scheme](proxy, sock)
        time.sleep(0.4)
        sock.sendall(answer_of(scheme) + BANNER)
        echo(sock)

    with scripted(slow) as first:
        port = first.address[1]
        with scripted(good(scheme), "127.0.0.2", port) as second:
            seen: list[Any] = []
            options = {
                "proxy": f"{scheme}://proxy.test:{port}",
                "resolver": StaticResolver({"proxy.test": ["127.0.0.1", "127.0.0.2"]}),
                "happy_eyeballs_delay": 0.02,
                "on_event": seen.append,
            }
            assert first_words(api.connect("192.0.2.1", 5432, **options)) == BANNER
            assert (len(first.asked), len(second.accepted)) == (1, 0)
            assert len([e for e in seen if type(e) is events.AttemptStarted]) == 1

            options["attempt_timeout"] = 0.2
            assert first_words(api.connect("192.0.2.1", 5432, **options)) == BANNER
            assert (len(first.asked), len(second.asked)) == (2, 1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_when_a_handshake_fails_the_next_address_starts_at_once(api: Api, scheme: str) -> None:
    """Without the delay: nothing runs any more."""
    with scripted(failing(scheme, "failed")) as first:
        port = first.address[1]
        with scripted(good(scheme), "127.0.0.2", port) as second:
            sock = api.connect(
                "192.0.2.1",
                5432,
                proxy=f"{scheme}://proxy.test:{port}",
                resolver=StaticResolver({"proxy.test": ["127.0.0.1", "127.0.0.2"]}),
                happy_eyeballs_delay=20,
            )
            assert first_words(sock) == BANNER
            assert len(first.asked) == len(second.asked) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_several_targets_are_one_tunnel_after_the_other(api: Api, scheme: str) -> None:
    """In the order given; the second is asked for when the first has failed."""
    with scripted(failing(scheme, "refused", "")) as proxy:
        targets = [("192.0.2.1", 1), ("192.0.2.2", 2)]
        sock = api.connect(targets, proxy=proxy.url(scheme))
        assert first_words(sock) == BANNER
        assert proxy.asked == targets
        assert proxy.accepted == sorted(proxy.accepted)


@pytest.mark.slow
def test_two_proxies_that_answer_late_are_not_asked_at_the_same_time(api: Api) -> None:
    """Of two connects that are under way, the second waits while the first has its tunnel made."""

    def slow(proxy: Scripted, sock: socket.socket) -> None:
        read_socks(proxy, sock)
        time.sleep(0.5)
        sock.sendall(answer_of("socks5h") + BANNER)
        echo(sock)

    with scripted(slow, full=0.5) as first:
        port = first.address[1]
        with scripted(slow, "127.0.0.2", port, full=0.5) as second:
            seen: list[Any] = []
            sock = api.connect(
                "192.0.2.1",
                5432,
                proxy=f"socks5h://proxy.test:{port}",
                resolver=StaticResolver({"proxy.test": ["127.0.0.1", "127.0.0.2"]}),
                happy_eyeballs_delay=0,
                on_event=seen.append,
            )
            assert first_words(sock) == BANNER
            assert len(first.asked) + len(second.asked) == 1
            started = [type(e).__name__ for e in seen]
            assert started.count("AttemptStarted") == 2
            assert started.count("AttemptCancelled") == 1


# Limits, rounds -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_silent_proxy_uses_up_the_attempts_time(api: Api, scheme: str) -> None:
    """Its stage is in the error, and both names are in the sentence."""
    with scripted(silent) as proxy:
        error = api.fails("192.0.2.1", 5432, proxy=proxy.url(scheme), attempt_timeout=0.2)
        assert isinstance(error, AttemptTimedOut)
        assert error.stage == "proxy"
        assert error.errno is None
        assert error.address == proxy.address
        assert "192.0.2.1:5432 through" in str(error)
        assert "connected to the proxy 127.0.0.1:" in str(error)
        assert "but there was no tunnel in 0." in error.strerror
        assert "does the target answer" in error.hint


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_silent_proxy_does_not_outlast_the_deadline(api: Api, scheme: str) -> None:
    """The limit of the call is that of all stages."""
    with scripted(silent) as proxy:
        error = api.fails("192.0.2.1", 5432, proxy=proxy.url(scheme), timeout=0.2)
        assert isinstance(error, DeadlineExceeded)
        assert "but there was no tunnel in 0." in str(error)
        assert 0.2 <= error.elapsed < 2


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_policy_counts_a_failed_tunnel_as_a_failed_round(api: Api, scheme: str) -> None:
    """As a refused connect; the log has each attempt with its stage."""
    seen: list[Any] = []
    with scripted(failing(scheme, "refused", "failed", "")) as proxy:
        policy = retry.attempts(3) & retry.constant(0.01)
        sock = api.connect(
            "192.0.2.1", 5432, proxy=proxy.url(scheme), retry=policy, on_event=seen.append
        )
        assert first_words(sock) == BANNER
        assert len(proxy.asked) == 3
    failed = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert [(each.stage, each.round) for each in failed] == [("proxy", 1), ("proxy", 2)]
    assert all(each.address == proxy.address for each in failed)
    assert len([event for event in seen if isinstance(event, events.Connected)]) == 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_wrong_password_is_not_tried_again(api: Api, scheme: str) -> None:
    """Nothing helps but a person."""
    with scripted(good(scheme, locked=True)) as proxy:
        url = proxy.url(scheme, credentials=True).replace("hunter2", "wrong")
        policy = retry.attempts(5) & retry.constant(0.01)
        error = api.fails("192.0.2.1", 5432, proxy=url, retry=policy)
        assert isinstance(error, AccessDenied)
        assert isinstance(error, PermissionError)
        assert len(proxy.accepted) == 1
        assert (error.count, error.stopped) == (1, "permanent")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_proxy_that_refuses_is_told_from_a_target_that_refuses(api: Api, scheme: str) -> None:
    """Stage and sentence say who has refused."""
    with refusing() as address:
        error = api.fails("192.0.2.1", 5432, proxy=f"{scheme}://127.0.0.1:{address[1]}")
    assert isinstance(error, ConnectionRefused)
    assert error.stage == "connect"
    assert "refused by 127.0.0.1" in str(error)
    with scripted(failing(scheme, "refused")) as proxy:
        error = api.fails("192.0.2.1", 5432, proxy=proxy.url(scheme))
    assert isinstance(error, ProxyError if scheme == "http" else ConnectionRefused)
    assert (error.stage, error.address) == ("proxy", proxy.address)
    assert "says the proxy 127.0.0.1" in str(error)
    for text in (str(error), error.strerror, error.args[1]):
        assert "127.0.0.1" in text


# What is the proxy's, what is the target's ------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_options_of_the_socket_are_about_the_proxy(api: Api, scheme: str) -> None:
    """Family, local address, socket options and the factory's endpoint."""
    made: list[Any] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(endpoint)
        return socket.socket(*endpoint[:3])

    with scripted(good(scheme)) as proxy:
        sock = api.connect(
            "2001:db8::7",
            5432,
            proxy=proxy.url(scheme),
            family=socket.AF_INET,
            local_addr=("127.0.0.3", 0),
            socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
            socket_factory=factory,
        )
        assert sock.getsockname()[0] == "127.0.0.3"
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert made == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", proxy.address)]
        assert first_words(sock) == BANNER


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_policy_judges_the_proxy_and_with_socks5_each_target(api: Api, scheme: str) -> None:
    """What is not resolved here cannot be judged here: then the name has to be allowed."""
    asked: list[Any] = []

    def forbids(host: str) -> Callable[[Any], None]:
        def policy(endpoint: Any) -> None:
            asked.append(endpoint[4][:2])
            if endpoint[4][0] == host:
                raise PermissionError("not that one")

        return policy

    resolver = StaticResolver({"db.test": ["192.0.2.1", "192.0.2.2"]})
    with scripted(good(scheme)) as proxy:
        options = {"proxy": proxy.url(scheme), "resolver": resolver}
        if scheme != "socks5":
            with pytest.raises(ValueError, match="allowed_names"):
                api.connect("db.test", 5432, address_policy=forbids(""), **options)
            options["allowed_names"] = ["db.test"]
        error = api.fails("db.test", 5432, address_policy=forbids("127.0.0.1"), **options)
        assert isinstance(error, PolicyDenied)
        assert error.stage == "policy"
        assert proxy.accepted == []

        asked.clear()
        sock = api.connect("db.test", 5432, address_policy=forbids("192.0.2.1"), **options)
        assert first_words(sock) == BANNER
        if scheme == "socks5":
            assert ("192.0.2.1", 5432) in asked
            assert proxy.asked == [("192.0.2.2", 5432)]
        else:
            assert asked == [proxy.address]


def test_with_socks5_a_target_that_is_an_address_is_judged_too(api: Api) -> None:
    """Literal or looked up, it is the address that the connection goes to."""

    def policy(endpoint: Any) -> None:
        if endpoint[4][0] == "192.0.2.1":
            raise PermissionError("not that one")

    with scripted(good("socks5")) as proxy:
        error = api.fails("192.0.2.1", 5432, proxy=proxy.url("socks5"), address_policy=policy)
        assert isinstance(error, PolicyDenied)
        assert "192.0.2.1" in str(error)
        assert proxy.accepted == []


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        ("unix:/run/x", {}, "Unix"),
        ([("192.0.2.1", 1), "unix:/run/x"], {}, "Unix"),
        (("fe80::1%lo", 80), {}, "interface"),
        (("192.0.2.1", 1), {"type": socket.SOCK_DGRAM}, "datagram"),
        (("n." * 126 + "n", 80), {}, None),
    ],
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_no_proxy_can_reach_is_refused_before_any_io(
    api: Api, scheme: str, target: Any, options: dict[str, Any], said: str | None
) -> None:
    """Unix sockets, datagrams, addresses of a link of this host."""
    with scripted(good(scheme)) as proxy:
        if said is None:
            resolver = StaticResolver({target[0]: ["192.0.2.1"]})
            sock = api.connect(target, proxy=proxy.url(scheme), resolver=resolver)
            assert first_words(sock) == BANNER
            return
        with pytest.raises(ValueError, match=said):
            api.connect(target, proxy=proxy.url(scheme), **options)
        assert proxy.accepted == []


# Other stages ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_callers_own_handshake_comes_behind_the_proxys(api: Api, scheme: str) -> None:
    """It speaks with the target; it fails the attempt as the proxy's does."""
    heard: list[bytes] = []

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        READ[scheme](proxy, sock)
        sock.sendall(answer_of(scheme))
        heard.append(receive(sock, 28))
        sock.sendall(BANNER)
        echo(sock)

    header = send_proxy_v2(("203.0.113.7", 40000), ("192.0.2.1", 443))
    with scripted(serve) as proxy:
        sock = api.connect("192.0.2.1", 443, proxy=proxy.url(scheme), handshake=header)
        assert first_words(sock) == BANNER
        assert heard[0].startswith(b"\r\n\r\n\0\r\nQUIT\n")


def test_a_handshake_of_the_callers_needs_no_proxy(api: Api) -> None:
    """The open door: wait for the banner, and say something."""

    def handshake(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        assert endpoint[4] == proxy.address
        assert (yield from recv_exactly(sock, 4)) == b"220 "
        yield from send_all(sock, b"EHLO")

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        sock.sendall(b"220 ")
        assert receive(sock, 4) == b"EHLO"
        sock.sendall(BANNER)
        echo(sock)

    with scripted(serve) as proxy:
        assert first_words(api.connect(*proxy.address, handshake=handshake)) == BANNER


def test_a_handshake_that_fails_is_a_failed_attempt_of_its_stage(api: Api) -> None:
    """The race goes on; what it raised is in the log, whole."""

    def handshake(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        if (yield from recv_exactly(sock, 3)) != b"220":
            raise ConnectionAbortedError(103, "not ready")

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        sock.sendall(b"421")
        receive(sock, 1)

    seen: list[Any] = []
    with scripted(serve) as busy, scripted(good("socks5h")) as other:

        def ready(proxy: Scripted, sock: socket.socket) -> None:
            sock.sendall(b"220")
            sock.sendall(BANNER)
            echo(sock)

        del other
        with scripted(ready) as second:
            targets = [busy.address, second.address]
            sock = api.connect(targets, handshake=handshake, on_event=seen.append)
            assert first_words(sock) == BANNER
        (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
        assert (failed.stage, failed.address) == ("handshake", busy.address)
        error = api.fails(*busy.address, handshake=handshake)
        assert error.stage == "handshake"
        assert "the handshake failed: not ready" in str(error)
        assert isinstance(error, ConnectionAbortedError)
        assert isinstance(error.__cause__, ConnectionAbortedError)


# The contract of a handshake ------------------------------------------------------------------


def wait_for_banner(sock: socket.socket, endpoint: Any) -> Generator[int, None, bytes]:
    """Give what the server says, which nobody wants."""
    return (yield from recv_exactly(sock, 3))


async def test_a_loop_that_was_kept_makes_no_silent_handshake_anything_but_late() -> None:
    """The look at a limit that is noticed late is no failure of its own."""
    with scripted(silent) as server:
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.5)
        with pytest.raises(AttemptTimedOut) as caught:
            await aioconnect.connect(
                *server.address, handshake=wait_for_banner, attempt_timeout=0.2
            )
        assert caught.value.stage == "handshake"


async def test_a_loop_that_was_kept_does_not_make_an_answer_late() -> None:
    """It came in time: whoever kept the loop has not made the peer late."""

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        time.sleep(0.15)
        sock.sendall(b"220" + BANNER)
        echo(sock)

    with scripted(serve) as server:
        asyncio.get_running_loop().call_later(0.1, time.sleep, 0.5)
        sock = await aioconnect.connect(
            *server.address, handshake=wait_for_banner, attempt_timeout=0.2
        )
        assert await asyncio.to_thread(first_words, sock) == BANNER


def test_what_a_handshake_returns_does_not_count(api: Api) -> None:
    """The call gives the socket."""

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        sock.sendall(b"220" + BANNER)
        echo(sock)

    with scripted(serve) as server:
        assert first_words(api.connect(*server.address, handshake=wait_for_banner)) == BANNER


async def _a_coroutine(sock: socket.socket, endpoint: Any) -> None:
    await asyncio.sleep(0)


def _yields_nothing(sock: socket.socket, endpoint: Any) -> Generator[Any, None, None]:
    yield None


@pytest.mark.parametrize(
    "handshake",
    [lambda sock, endpoint: None, lambda sock, endpoint: [1], _a_coroutine, _yields_nothing],
    ids=["None", "a list", "a coroutine", "a generator of None"],
)
def test_what_is_no_handshake_is_a_type_error(api: Api, handshake: Any) -> None:
    """At the first connection, which is closed; and never an endless loop."""
    with scripted(silent) as server, pytest.raises(TypeError, match="handshake"):
        api.connect(*server.address, handshake=handshake)


def test_an_exception_of_a_handshake_that_is_no_failure_comes_out_unchanged(api: Api) -> None:
    """It is broken: no other address is tried."""

    def broken(sock: socket.socket, endpoint: Any) -> Generator[int, None, None]:
        yield WRITE
        raise ZeroDivisionError

    with scripted(silent) as server, scripted(silent) as second:
        with pytest.raises(ZeroDivisionError):
            api.connect([server.address, second.address], handshake=broken)
        assert second.accepted == []


# Other ways of connecting ---------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_streams_hear_the_server_that_speaks_first(scheme: str) -> None:
    """open_connection through the proxy: not a byte of the banner is lost."""
    with scripted(good(scheme)) as proxy:
        reader, writer = await aioconnect.open_connection(
            "192.0.2.1", 5432, proxy=proxy.url(scheme)
        )
        assert await reader.readline() == BANNER
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_tls_is_with_the_target_and_verifies_its_name(scheme: str) -> None:
    """End to end: the proxy sees a name and ciphertext, and a wrong name is not accepted."""
    authority = trustme.CA()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("db.test").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    resolver = StaticResolver({"db.test": ["192.0.2.1"], "other.test": ["192.0.2.1"]})

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BANNER)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_side) as server:
        address = server.sockets[0].getsockname()
        with scripted(relaying(scheme, address)) as proxy:
            options: Any = {"proxy": proxy.url(scheme), "resolver": resolver, "ssl": client_side}
            reader, writer = await aioconnect.open_connection("db.test", 443, **options)
            assert await reader.readline() == BANNER
            writer.close()
            await writer.wait_closed()
            with pytest.raises(CertificateError):
                await aioconnect.open_connection("other.test", 443, **options)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_many_connect_through_one_proxy(scheme: str) -> None:
    """connect_many: each target is a tunnel, each result has its own."""
    with scripted(good(scheme)) as proxy:
        targets = [("192.0.2.1", port) for port in range(1, 31)]
        connected = []
        async with aioconnect.connect_many(targets, proxy=proxy.url(scheme), limit=5) as results:
            async for result in results:
                assert result.error is None
                sock = result.socket
                connected.append(result.target)
                assert await asyncio.to_thread(first_words, sock) == BANNER
        assert len(connected) == 30
        assert sorted(proxy.asked) == targets


async def test_wait_until_ready_waits_for_the_tunnel() -> None:
    """A proxy that cannot reach the target yet is no ready server."""
    with scripted(failing("socks5h", "refused", "refused", "")) as proxy:
        await aioconnect.wait_until_ready(
            ("192.0.2.1", 5432), timeout=20, proxy=proxy.url("socks5h")
        )
        assert len(proxy.asked) == 3


@pytest.mark.slow
async def test_a_supervisor_makes_a_new_tunnel_when_one_breaks() -> None:
    """Each connection goes through the proxy."""
    with scripted(good("http")) as proxy:
        dialer = Dialer(proxy=proxy.url("http"))
        count = 0
        async with dialer.supervise("192.0.2.1", 5432) as connections:
            async for sock in connections:
                count += 1
                if count == 3:
                    break
                sock.shutdown(socket.SHUT_RDWR)
        assert len(proxy.asked) == 3


# The environment ------------------------------------------------------------------------------


def test_the_environment_is_read_only_where_it_is_asked_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """proxy="env"; NO_PROXY is honoured for each target."""
    with scripted(good("socks5h")) as proxy, scripted(_greets) as direct:
        monkeypatch.setenv("ALL_PROXY", proxy.url("socks5h"))
        monkeypatch.delenv("all_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", "127.0.0.0/8")
        assert first_words(api.connect(*direct.address)) == BANNER
        assert first_words(api.connect(*direct.address, proxy="env")) == BANNER
        assert proxy.asked == []
        assert first_words(api.connect("db.internal", 5432, proxy="env")) == BANNER
        assert proxy.asked == [("db.internal", 5432)]
        monkeypatch.delenv("ALL_PROXY")
        assert first_words(api.connect(*direct.address, proxy="env")) == BANNER


def _greets(proxy: Scripted, sock: socket.socket) -> None:
    sock.sendall(BANNER)
    echo(sock)


# Nothing shows a password ---------------------------------------------------------------------


def everything_of(error: BaseException) -> str:
    """Return all that our frames, the error and what it carries show."""
    shown = [repr(error), str(error), repr(error.args), repr(vars(error))]
    shown += traceback.format_exception_only(error)
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "/aioconnect/" in frame.f_code.co_filename:
            shown.append(repr(frame.f_locals))
    for other in (error.__cause__, error.__context__):
        if other is not None:
            shown.append(everything_of(other))
    for attempt in getattr(error, "attempts", ()):
        shown += [repr(attempt), everything_of(attempt.error)]
    return "\n".join(shown)


def _on_asyncio(function: Any) -> Any:
    return lambda *args, **options: asyncio.run(function(*args, **options))


def _on_trio(function: Any) -> Any:
    return lambda *args, **options: trio.run(lambda: function(*args, **options))


ENTRIES = {
    "connect": _on_asyncio(aioconnect.connect),
    "open_connection": _on_asyncio(aioconnect.open_connection),
    "wait_until_ready": _on_asyncio(aioconnect.wait_until_ready),
    "blocking.connect": aioconnect.blocking.connect,
    "blocking.wait_until_ready": aioconnect.blocking.wait_until_ready,
    "trio.connect": _on_trio(aioconnect.trio.connect),
    "trio.open_tcp_stream": _on_trio(aioconnect.trio.open_tcp_stream),
    "trio.wait_until_ready": _on_trio(aioconnect.trio.wait_until_ready),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_target_that_means_nothing_shows_no_credentials(entry: str) -> None:
    """They are out of the frame before the target is read."""
    with pytest.raises(aioconnect.InvalidTarget) as raised:
        ENTRIES[entry]("a b", 1, proxy="socks5h://me:hunter2@127.0.0.1:9")
    assert "hunter2" not in everything_of(raised.value)


@pytest.mark.parametrize("given", ["url", "value"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.slow
def test_a_failed_call_shows_no_credentials(
    api: Api, scheme: str, given: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In no text, repr, event, log line, pickle, or local variable of our frames."""
    caplog.set_level(logging.DEBUG, "aioconnect")
    seen: list[Any] = []
    with scripted(failing(scheme, "failed")) as proxy:
        for serves in (proxy.url(scheme, credentials=True), f"{scheme}://me:hunter2@127.0.0.1:9"):
            via: Any = serves if given == "url" else Proxy(serves)
            for options in ({}, {"retry": 2}, {"breaker": retry.Breaker()}):
                error = api.fails("192.0.2.1", 5432, proxy=via, on_event=seen.append, **options)
                assert "hunter2" not in everything_of(error)
                assert "me:" not in str(error)
                assert b"hunter2" not in pickle.dumps(error)
    assert "hunter2" not in repr(seen)
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"proxy": "socks5h://me:hunter2@192.0.2.1:99999"},
        {"proxy": "socks6://me:hunter2@192.0.2.1:1"},
        {"proxy": "socks5h://me:hunter2@192.0.2.1:1", "timeout": -1},
        {"timeout": -1, "proxy": "socks5h://me:hunter2@192.0.2.1:1"},
        {"proxy": "http://me:hunter2@192.0.2.1:1", "nonsense": 1},
        {"proxy": "http://me:hunter2@192.0.2.1:1", "type": socket.SOCK_DGRAM},
    ],
)
def test_misuse_shows_no_credentials(api: Api, options: dict[str, Any]) -> None:
    """Neither what is wrong with the proxy, nor what is wrong beside it."""
    with pytest.raises((ValueError, TypeError)) as caught:
        api.connect("192.0.2.1", 1, **options)
    assert "hunter2" not in everything_of(caught.value)
    makers: list[Any] = [Dialer, Dialer().replace, Options, Options().replace]
    for make in makers:
        with pytest.raises((ValueError, TypeError)) as caught:
            make(**options)
        assert "hunter2" not in everything_of(caught.value)


async def _many(*target: Any, **options: Any) -> None:
    async with aioconnect.connect_many([target], **options) as results:
        async for result in results:
            if result.error is not None:
                raise result.error


async def _supervise(*target: Any, **options: Any) -> None:
    async with Dialer(retry=1, **options).supervise(*target) as connections:
        async for _ in connections:
            pass


async def _on_a_dialer(*target: Any, **options: Any) -> None:
    await Dialer(timeout=5).open_connection(*target, **options)


async def _create_on_a_dialer(*target: Any, **options: Any) -> None:
    await Dialer(timeout=5).create_connection(asyncio.Protocol, *target, **options)


async def _create(*target: Any, **options: Any) -> None:
    await aioconnect.create_connection(asyncio.Protocol, *target, **options)


async def _ready(*target: Any, **options: Any) -> None:
    await aioconnect.wait_until_ready(*target, **{"timeout": 0.2, **options})


WAYS = {
    "connect": aioconnect.connect,
    "open_connection": aioconnect.open_connection,
    "create_connection": _create,
    "dialer.open_connection": _on_a_dialer,
    "dialer.create_connection": _create_on_a_dialer,
    "connect_many": _many,
    "wait_until_ready": _ready,
    "supervise": _supervise,
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_of_connecting_shows_credentials(way: str) -> None:
    """Its own frames are in the traceback: with a failed call, with an option that is wrong."""
    with scripted(failing("http", "forbidden")) as proxy:
        url = proxy.url("http", credentials=True)
        wrong: list[dict[str, Any]] = [
            {},
            {"happy_eyeballs_delay": -1},
            {"nonsense": 1},
            {"type": socket.SOCK_DGRAM},
        ]
        for options in wrong:
            with pytest.raises((ValueError, TypeError, ConnectError)) as caught:
                await WAYS[way]("192.0.2.1", 1, proxy=url, **options)
            assert isinstance(caught.value, ConnectError) == (not options)
            assert "hunter2" not in everything_of(caught.value)
            del caught


def test_a_dialer_is_shown_and_compared_with_its_proxy() -> None:
    """The text that was given is the value that it means."""
    one = Dialer(proxy="socks5h://me:hunter2@proxy.test:1080")
    assert one == Dialer(proxy=Proxy("socks5h://me:hunter2@proxy.test:1080"))
    assert one != Dialer(proxy="socks5h://me:other@proxy.test:1080")
    assert one != Dialer()
    assert "hunter2" not in repr(one)
    assert "socks5h://proxy.test:1080" in repr(one)
    assert one.replace(timeout=1).proxy == one.proxy


@pytest.mark.parametrize("value", [1, b"socks5h://p:1", ("p", 1), object(), True])
def test_what_is_no_proxy_is_a_type_error(value: Any) -> None:
    """A text, a Proxy, "env", or None."""
    with pytest.raises(TypeError, match="proxy"):
        Dialer(proxy=value)
