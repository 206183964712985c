"""What always holds of a call, on real sockets and on both loops.

The numbers are those of "What always holds" in the design: the socket that is returned (1), what
is left (2), cancellation (3, in ``test_cancel``), the deadline (4), fresh sockets (5), errors and
hooks (6), loops, threads and forks (7), observation (8), how many attempts are open (9).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import itertools
import logging
import os
import socket
import struct
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, Dialer, Help, events, retry
from aioconnect.resolve import Answer, StaticResolver

from .conftest import LOOPS, descriptors
from .net import black_hole, few_descriptors, full_backlog, listen, refusing
from .steps import NAME, Slow, drain, no_warnings, polled, slow, without_collector
from .support import children
from .support.needs import need, needs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


# 1: the socket that is returned -------------------------------------------------------------------

ADDRESSES = {"IPv4": ("127.0.0.1", 0), "IPv6": ("::1", 0), "Unix": f"\0{NAME}"}


def target_of(server: socket.socket) -> Any:
    """Return what is dialled to reach a server."""
    address = server.getsockname()
    return f"unix:@{address[1:].decode()}" if isinstance(address, bytes) else address


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


# 2: what is left ----------------------------------------------------------------------------------


async def test_the_losers_are_closed_before_the_call_returns(dead: tuple[str, int]) -> None:
    """Exactly the winner's socket is more than before."""
    made: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(slow(endpoint))
        return made[-1]

    with listen() as server:
        targets = [dead, dead, dead, server.getsockname()]
        call = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=factory)
        with await call as sock:
            assert [each.fileno() for each in made] == [-1, -1, -1, sock.fileno()]
            assert made[-1] is sock


async def test_of_two_that_connect_in_the_same_step_one_is_returned() -> None:
    """The other is closed before the call returns; its server sees that."""
    made: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        time.sleep(0.011)  # while it lasts the time of the second attempt comes
        made.append(slow(endpoint))
        return made[-1]

    with listen() as one, listen() as other:
        targets = [one.getsockname(), other.getsockname()]
        call = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=factory)
        with await call as sock:
            assert sorted(each.fileno() != -1 for each in made) == [False, True]
            loser = other if sock.getpeername() == one.getsockname() else one
            peer, _ = loser.accept()
            with peer:
                peer.settimeout(5)
                assert peer.recv(1) == b""


@pytest.mark.slow
async def test_nothing_of_a_failed_call_waits_for_the_collector(dead: tuple[str, int]) -> None:
    """An error is freed when it is dropped: no frame that it knows refers to it."""
    names: Any = StaticResolver({})
    with refusing() as address, listen() as server, without_collector(), no_warnings():
        calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "refused": lambda: aioconnect.connect(*address),
            "several": lambda: aioconnect.connect([address] * 3),
            "out of time": lambda: aioconnect.connect(*dead, timeout=0.01),
            "attempt out of time": lambda: aioconnect.connect(
                [dead, address], attempt_timeout=0.01, happy_eyeballs_delay=None
            ),
            "rounds": lambda: aioconnect.connect(
                *address, retry=retry.attempts(2) & retry.constant(0.001)
            ),
            "no name": lambda: aioconnect.connect("name.test", 9, resolver=names),
            "Unix": lambda: aioconnect.connect("unix:/nowhere/at/all"),
            "bound": lambda: aioconnect.connect(*address, local_addr=("203.0.113.1", 0)),
            "streams": lambda: aioconnect.open_connection(*address),
            "observed": lambda: aioconnect.connect([address] * 2, on_event=lambda event: None),
            "own socket": lambda: on_own_socket(aioconnect.sock_connect, address),
            "own socket out of time": lambda: on_own_socket(
                aioconnect.sock_connect, dead, timeout=0.01
            ),
            "nothing pending": lambda: on_own_socket(aioconnect.connect_wait),
        }
        for name, call in calls.items():
            for _ in range(2):  # the first time something may be imported, or kept
                gc.collect()
                error = await caught(call())
                assert gc.collect() == 0, name
            assert error() is None, name
        assert server.fileno() != -1


async def on_own_socket(function: Any, *args: Any, **options: Any) -> None:
    """Call a function on a fresh socket, and close that."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await function(sock, *args, **options)


async def caught(call: Coroutine[Any, Any, Any]) -> weakref.ref[ConnectError]:
    """Return a weak reference to the error that a call ends with."""
    try:
        await call
    except ConnectError as exc:
        return weakref.ref(exc)
    raise AssertionError("it should have failed")


async def test_a_call_that_connects_makes_no_garbage() -> None:
    """Nothing of it waits for the collector, whether it connected at once or had to wait."""
    with listen() as server, without_collector():
        for factory in (None, slow):
            for _ in range(2):
                gc.collect()
                (await aioconnect.connect(*server.getsockname(), socket_factory=factory)).close()
                assert gc.collect() == 0


# 4: the deadline ----------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.0, 0.0101, 0.0257, 0.05])
async def test_a_call_ends_at_its_deadline_and_not_before(
    dead: tuple[str, int], timeout: float
) -> None:
    """Not a part of a millisecond early either, although a loop's timers may fire so."""
    for call in (
        lambda: aioconnect.connect(*dead, timeout=timeout),
        lambda: aioconnect.connect([dead, dead], timeout=timeout),
        lambda: on_own_socket(aioconnect.sock_connect, dead, timeout=timeout),
    ):
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded) as raised:
            await call()
        elapsed = time.monotonic() - started
        assert timeout <= elapsed < timeout + 2
        assert raised.value.errno is None
        assert isinstance(raised.value, TimeoutError)


async def test_the_deadline_holds_for_look_ups_too() -> None:
    """A name server that says nothing costs no more than a host that says nothing."""

    class Silent:
        async def lookup(self, name: str, family: int) -> Any:
            """Say nothing."""
            await asyncio.Event().wait()

    resolver: Any = Silent()
    started = time.monotonic()
    with pytest.raises(aioconnect.DeadlineExceeded) as raised:
        await aioconnect.connect("name.test", 9, resolver=resolver, timeout=0.03)
    assert 0.03 <= time.monotonic() - started < 2
    assert raised.value.stage == "resolve"


async def test_an_attempt_ends_by_its_own_limit_and_the_next_begins(dead: tuple[str, int]) -> None:
    """``attempt_timeout`` ends one attempt, not the call."""
    seen: list[events.Event] = []
    with listen() as server:
        targets = [dead, server.getsockname()]
        dialer = Dialer(attempt_timeout=0.03, happy_eyeballs_delay=None, on_event=seen.append)
        with await dialer.connect(targets) as sock:
            assert sock.getpeername() == server.getsockname()
    (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert isinstance(failed.error, aioconnect.AttemptTimedOut)
    assert 0.03 <= failed.ended - failed.started < 2


async def test_no_pause_begins_that_would_end_after_the_deadline() -> None:
    """A policy that wants to sleep past the deadline ends the call at once, with the last error."""
    with refusing() as address:
        started = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            await aioconnect.connect(*address, timeout=30, retry=retry.constant(60))
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e9, 1e300])
async def test_a_limit_may_be_as_long_as_one_likes(timeout: float | None) -> None:
    """No number of seconds is too many for a timer."""
    with listen() as server:
        address = server.getsockname()
        dialer = Dialer(timeout=timeout, attempt_timeout=timeout, socket_factory=slow)
        (await dialer.connect(*address)).close()
        with Slow(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setblocking(False)
            await aioconnect.sock_connect(sock, address, timeout=timeout)


async def test_a_call_without_time_still_takes_what_is_at_hand() -> None:
    """``timeout=0`` tries each call once: what connects at once is connected."""
    with listen() as server:
        (await aioconnect.connect(*server.getsockname(), timeout=0)).close()


@pytest.mark.parametrize("options", [{}, {"breaker": retry.Breaker()}], ids=["alone", "breaker"])
async def test_a_family_that_a_name_lacks_is_not_asked_for(options: dict[str, Any]) -> None:
    """Not even in a call that begins otherwise: what there is connects at once."""
    names: Any = StaticResolver({"db.test": ["127.0.0.1"]})
    with listen() as server:
        port = server.getsockname()[1]
        sock = await aioconnect.connect("db.test", port, resolver=names, timeout=0, **options)
        sock.close()


def slowly(endpoint: Any) -> None:
    """Allow it, after a while."""
    time.sleep(0.01)


async def test_the_time_of_a_call_begins_before_its_first_attempt(dead: tuple[str, int]) -> None:
    """What its hooks take is a part of it, although there is no call yet when they run."""
    with refusing() as nobody:
        for address in (nobody, dead):
            for connect in (aioconnect.connect, blocking):
                with pytest.raises(ConnectError) as raised:
                    await connect(*address, address_policy=slowly, timeout=0.05)
                (failed,) = raised.value.attempts
                assert raised.value.elapsed >= failed.error.elapsed >= 0.01
                assert failed.error.elapsed == failed.ended - failed.started


async def blocking(*args: Any, **options: Any) -> socket.socket:
    """Connect as without a loop."""
    return aioconnect.blocking.connect(*args, **options)


# 5: fresh sockets ---------------------------------------------------------------------------------


async def test_each_attempt_is_a_fresh_socket_and_the_failed_one_is_closed_first() -> None:
    """Through rounds and their pauses no failed socket is open, and none is used again."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def count() -> None:
        open_.append(sum(sock.fileno() != -1 for sock in made))

    def factory(endpoint: Any) -> socket.socket:
        count()
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    policy = retry.attempts(3) & retry.constant(0.001)
    with refusing() as address:
        dialer = Dialer(socket_factory=factory, retry=policy, on_event=lambda event: count())
        with pytest.raises(ConnectionRefusedError):
            await dialer.connect([address, address])
    assert len({id(sock) for sock in made}) == 6
    assert max(open_) == 0


async def test_each_try_at_a_full_backlog_is_a_fresh_socket() -> None:
    """While a call waits for a place in a Unix socket's backlog it holds no socket."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        open_.append(sum(sock.fileno() != -1 for sock in made))
        made.append(socket.socket(*endpoint[:3]))
        if len(made) == 4:
            server.accept()[0].close()
        return made[-1]

    with full_backlog(f"\0{NAME}") as server:
        (await aioconnect.connect(f"unix:@{NAME}", socket_factory=factory)).close()
    assert len({id(sock) for sock in made}) == 4
    assert max(open_) == 0


# 6: hooks and errors ------------------------------------------------------------------------------


class Surprise(Exception):
    """What nobody expects."""


def raising(exception: BaseException) -> Callable[..., Any]:
    def hook(*args: Any) -> Any:
        raise exception

    return hook


class BrokenResolver:
    """A resolver with a bug."""

    def __init__(self, exception: Exception) -> None:
        self.exception = exception

    async def lookup(self, name: str, family: int) -> Any:
        """Fail."""
        raise self.exception


@pytest.mark.parametrize(
    "option", ["socket_factory", "address_policy", "retry", "resolver", "peek", "protocol_factory"]
)
async def test_what_a_callers_hook_raises_comes_out_unchanged(
    dead: tuple[str, int], option: str
) -> None:
    """Any exception but an ``OSError`` is the very object that was raised; nothing is left."""
    surprise = Surprise(option)
    hook: Any = raising(surprise)
    broken: Any = BrokenResolver(surprise)
    if option == "peek":
        broken.peek = hook
    with refusing() as address, listen() as server:
        targets: Any = [dead, address]
        call: Any
        if option == "protocol_factory":
            call = aioconnect.create_connection(hook, *server.getsockname())
        elif option in ("resolver", "peek"):
            call = aioconnect.connect([dead, ("name.test", 9)], resolver=broken)
        elif option == "retry":
            call = aioconnect.connect(*address, retry=hook)
        else:
            call = aioconnect.connect(targets, **{option: hook})
        with pytest.raises(Surprise) as raised:
            await call
    assert raised.value is surprise


async def test_a_factory_that_returns_no_socket_is_misuse() -> None:
    """It is told so, with what it returned."""
    factory: Any = lambda endpoint: "no socket"  # noqa: E731
    with listen() as server, pytest.raises(TypeError, match="no socket"):
        await aioconnect.connect(*server.getsockname(), socket_factory=factory)


@pytest.mark.parametrize("option", ["socket_factory", "address_policy"])
async def test_an_OSError_of_a_hook_is_a_failed_attempt_and_the_race_goes_on(option: str) -> None:
    """It stands in the log with its stage and number; another address still wins."""
    seen: list[events.Event] = []

    def hook(endpoint: Any) -> Any:
        if endpoint[4] == address:
            raise OSError(errno.ENOPROTOOPT, "not this one")
        return socket.socket(*endpoint[:3]) if option == "socket_factory" else None

    with refusing() as address, listen() as server:
        options: Any = {option: hook, "on_event": seen.append}
        with await aioconnect.connect([address, server.getsockname()], **options) as sock:
            assert sock.getpeername() == server.getsockname()
    (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert failed.stage == {"socket_factory": "socket", "address_policy": "policy"}[option]
    assert failed.errno == errno.ENOPROTOOPT
    assert failed.address == address


@needs("ipv6")
async def test_an_address_policy_sees_every_address_before_anything_is_opened() -> None:
    """Also what a resolver answered; what it forbids is a ``PermissionError``, and not dialled."""
    asked: list[Any] = []

    def policy(endpoint: Any) -> None:
        asked.append(endpoint)
        assert not made
        raise PermissionError("nothing is allowed")

    made: list[Any] = []
    names = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
    dialer = Dialer(resolver=names, address_policy=policy, socket_factory=made.append)
    with pytest.raises(aioconnect.AccessDenied) as raised:
        await dialer.connect([("name.test", 9), "unix:/run/none", ("127.0.0.9", 9)])
    assert isinstance(raised.value, PermissionError)
    tcp, stream = socket.IPPROTO_TCP, socket.SOCK_STREAM
    assert asked == [
        (socket.AF_INET6, stream, tcp, "", ("::1", 9, 0, 0)),
        (socket.AF_INET, stream, tcp, "", ("127.0.0.1", 9)),
        (socket.AF_UNIX, stream, 0, "", "/run/none"),
        (socket.AF_INET, stream, tcp, "", ("127.0.0.9", 9)),
    ]
    assert [attempt.stage for attempt in raised.value.attempts] == ["policy"] * 4


async def test_an_error_carries_every_attempt_in_the_order_of_the_starts(
    dead: tuple[str, int],
) -> None:
    """Address, stage, number and both instants of each; the strongest cause is what is raised."""
    before = time.monotonic()
    with refusing() as address:
        targets = [dead, address, "unix:/nowhere/at/all"]
        with pytest.raises(ConnectionRefusedError) as raised:
            await aioconnect.connect(targets, timeout=0.5, happy_eyeballs_delay=0.05)
    error: Any = raised.value
    assert isinstance(error, ConnectError)
    assert [(a.address, a.stage, a.errno) for a in error.attempts] == [
        (dead, "connect", None),
        (address, "connect", errno.ECONNREFUSED),
        ("/nowhere/at/all", "connect", errno.ENOENT),
    ]
    assert error.count == 3
    starts = [attempt.started for attempt in error.attempts]
    assert starts == sorted(starts)
    assert before <= starts[0]
    assert starts[1] - starts[0] >= 0.05
    assert all(a.started <= a.ended <= time.monotonic() for a in error.attempts)
    assert error.attempts[0].ended - before >= 0.5


async def test_a_lack_of_descriptors_ends_the_race_and_passes() -> None:
    """No other address can help, so none is dialled; with descriptors the next call connects."""
    seen: list[events.Event] = []
    with listen() as server:
        address = server.getsockname()
        with few_descriptors(), pytest.raises(aioconnect.TooManyOpenFiles) as raised:
            await aioconnect.connect([address] * 3, on_event=seen.append)
        assert raised.value.errno == errno.EMFILE
        assert len([event for event in seen if isinstance(event, events.AttemptStarted)]) == 1
        (await aioconnect.connect(address)).close()


# What is set before the connect -------------------------------------------------------------------


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


# The caller's own socket --------------------------------------------------------------------------


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


# 7: loops, threads, forks -------------------------------------------------------------------------


class Unable(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as Windows' proactor cannot."""

    add_reader = asyncio.AbstractEventLoop.add_reader
    add_writer = asyncio.AbstractEventLoop.add_writer

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        """Let asyncio itself work."""
        return super()._add_reader(fd, callback, *args)


def test_a_loop_that_cannot_wait_for_sockets_is_refused_before_any_io() -> None:
    """The error names the loop and what would do."""
    made: list[Any] = []

    async def main(sock: socket.socket, address: Any) -> None:
        for call in (
            aioconnect.connect(*address, socket_factory=made.append),
            aioconnect.open_connection(*address, socket_factory=made.append),
            aioconnect.create_connection(asyncio.Protocol, *address, socket_factory=made.append),
            aioconnect.sock_connect(sock, address),
            aioconnect.connect_wait(sock),
        ):
            with pytest.raises(TypeError, match=r"Unable.*add_writer"):
                await call

    with listen() as server, socket.socket() as sock, asyncio.Runner(loop_factory=Unable) as run:
        sock.setblocking(False)
        run.run(main(sock, server.getsockname()))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not made


def test_a_dialer_is_shared_by_loops_in_several_threads(dead: tuple[str, int]) -> None:
    """Each loop has what is kept for it, whichever kind it is; it goes with the loop."""
    before = descriptors()
    failures: list[BaseException] = []

    async def main(address: Any) -> None:
        for _ in range(3):
            socks = await asyncio.gather(
                *[dialer.connect([dead, address]) for _ in range(10)],
                *[dialer.connect(address) for _ in range(10)],
            )
            for sock in socks:
                assert sock.getpeername() == address
                sock.close()

    def work(kind: str, address: Any) -> None:
        try:
            for _ in range(2):
                with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
                    runner.run(main(address))
        except BaseException as exc:
            failures.append(exc)

    dialer = Dialer(socket_factory=slow, happy_eyeballs_delay=0, timeout=20)
    with listen(backlog=1000) as server:
        address = server.getsockname()
        threads = [threading.Thread(target=work, args=(kind, address)) for kind in [*LOOPS] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    assert descriptors() == before


_FORKING = """
import asyncio, os, socket, sys
import uvloop
import aioconnect
from aioconnect import poller
sys.path.insert(0, sys.argv[3])
from tests.steps import slow

loop_factory = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
address = ("127.0.0.1", int(sys.argv[2]))

async def dial():
    sock = await aioconnect.connect(*address, socket_factory=slow, timeout=20)
    peer = sock.getpeername()
    sock.close()
    assert peer == address

async def parent():
    await dial()
    loop = asyncio.get_running_loop()
    assert poller.of(loop)._watcher() is not None
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert poller.of(loop)._watcher() is None  # that one is the parent's
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                for _ in range(3):
                    runner.run(dial())
            code = 0
        finally:
            os._exit(code)
    await dial()
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
        await dial()
    await dial()
    assert status == (child, 0), status

with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(parent())
print("both")
"""


@pytest.mark.parametrize("kind", LOOPS)
def test_a_forked_child_makes_its_own_and_leaves_the_parents_alone(kind: str) -> None:
    """Both go on to connect, the child in a loop of its own while the parent's runs."""
    with listen(backlog=4096) as server:
        port = str(server.getsockname()[1])
        root = os.path.dirname(os.path.dirname(__file__))
        done = children.run(
            [sys.executable, "-c", _FORKING, kind, port, root],
            timeout=60,
        )
    assert done.stdout == "both\n", done.stderr


# Turns: a program that dials in a tight loop ------------------------------------------------------


async def test_a_tight_loop_of_connects_still_serves_another_task() -> None:
    """At most 64 connects begin within one turn of the loop."""
    turns = itertools.count()
    stop = False

    async def other() -> None:
        while not stop:
            next(turns)
            await asyncio.sleep(0)

    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = next(turns)
    for _ in range(64 * 8):
        with contextlib.suppress(PermissionError):
            await aioconnect.connect("127.0.0.1", 9, address_policy=nowhere)
    passed = next(turns) - before - 1
    stop = True
    await task
    assert 7 <= passed <= 16


async def test_connects_that_must_wait_do_not_wait_for_their_turn(dead: tuple[str, int]) -> None:
    """They hold the loop no longer than it takes to begin: all begin within one turn."""
    begun: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        begun.append(len(begun))
        return socket.socket(*endpoint[:3])

    tasks = [
        asyncio.create_task(aioconnect.connect(*dead, socket_factory=factory)) for _ in range(200)
    ]
    await asyncio.sleep(0)
    assert len(begun) == 200
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_calls_begin_in_the_order_in_which_they_came() -> None:
    """Those that wait for the next turn go first in it."""
    order: list[int] = []

    async def dial(number: int) -> None:
        def note(endpoint: Any) -> None:
            order.append(number)
            raise PermissionError("forbidden")

        with contextlib.suppress(PermissionError):
            await aioconnect.connect("127.0.0.1", 9, address_policy=note)

    await asyncio.gather(*[dial(number) for number in range(300)])
    assert order == list(range(300))


async def test_calls_that_are_cancelled_while_they_wait_for_their_turn_hold_nobody_up() -> None:
    """Their places go to those behind them."""

    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    async def dial() -> str:
        try:
            await aioconnect.connect("127.0.0.1", 9, address_policy=nowhere)
        except PermissionError:
            return "dialled"
        return "connected"

    tasks = [asyncio.create_task(dial()) for _ in range(400)]
    await asyncio.sleep(0)
    for task in tasks[64:300]:
        task.cancel()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert outcomes.count("dialled") == 164
    assert all(task.cancelled() for task in tasks[64:300])


# 8: observation -----------------------------------------------------------------------------------


async def test_events_tell_what_happened_in_its_order(dead: tuple[str, int]) -> None:
    """Each with its instant, its attempt's number and address."""
    seen: list[events.Event] = []
    with refusing() as address, listen() as server:
        live = server.getsockname()
        dialer = Dialer(on_event=seen.append, happy_eyeballs_delay=0.02)
        with await dialer.connect([address, dead, live]) as sock:
            local = sock.getsockname()
    assert [(type(e).__name__, e.number, e.address) for e in seen] == [
        ("AttemptStarted", 1, address),
        ("AttemptFailed", 1, address),
        ("AttemptStarted", 2, dead),
        ("AttemptStarted", 3, live),
        ("Connected", 3, live),
        ("AttemptCancelled", 2, dead),
    ]
    assert [e.at for e in seen] == sorted(e.at for e in seen)
    assert all(e.round == 1 and e.family == socket.AF_INET for e in seen)
    assert seen[3].at - seen[2].at >= 0.02
    connected = seen[4]
    assert connected.local == local
    assert connected.elapsed >= 0.02


async def test_events_tell_of_names_rounds_and_the_end() -> None:
    """Look-ups, pauses and why it was given up are told too."""
    seen: list[events.Event] = []
    names = StaticResolver({"name.test": ["127.0.0.1"]})
    with refusing() as address:
        dialer = Dialer(
            on_event=seen.append,
            resolver=names,
            retry=retry.attempts(2) & retry.constant(0.01),
        )
        with pytest.raises(ConnectionRefusedError) as raised:
            await dialer.connect("name.test", address[1])
    told = [type(event).__name__ for event in seen if not isinstance(event, events.LookupStarted)]
    assert told == [
        *("AttemptStarted", "AttemptFailed", "RetryScheduled"),
        *("AttemptStarted", "AttemptFailed", "GaveUp"),
    ]
    pause = next(event for event in seen if isinstance(event, events.RetryScheduled))
    second = [event for event in seen if isinstance(event, events.AttemptStarted)][1]
    assert pause.delay == 0.01
    assert second.at >= pause.at + 0.01
    assert second.round == 2
    gave_up = seen[-1]
    assert isinstance(gave_up, events.GaveUp)
    assert str(gave_up.error) == str(raised.value)


async def test_events_tell_of_look_ups() -> None:
    """One begins for each family; each ends with its addresses, or with what was wrong."""
    seen: list[events.Event] = []

    class Half:
        async def lookup(self, name: str, family: int) -> Any:
            """Know IPv4 only."""
            from aioconnect.resolve import Answer

            await asyncio.sleep(0)
            if family == socket.AF_INET6:
                raise socket.gaierror(socket.EAI_NONAME, "no IPv6")
            return Answer(("127.0.0.1",), source="dns", duration=0.25)

    resolver: Any = Half()
    with listen() as server:
        port = server.getsockname()[1]
        call = aioconnect.connect("name.test", port, resolver=resolver, on_event=seen.append)
        (await call).close()
    assert [type(event).__name__ for event in seen] == [
        "LookupStarted",
        "LookupStarted",
        "LookupFailed",
        "LookupSucceeded",
        "AttemptStarted",
        "Connected",
    ]
    assert [event.family for event in seen[:4]] == [socket.AF_INET6, socket.AF_INET] * 2
    failed, succeeded = seen[2:4]
    assert isinstance(failed.error, socket.gaierror)
    assert (succeeded.addresses, succeeded.source, succeeded.duration) == (
        ("127.0.0.1",),
        "dns",
        0.25,
    )


async def test_an_exception_of_an_observer_is_logged_and_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It changes nothing of the call."""
    with refusing() as address, listen() as server, caplog.at_level(logging.ERROR, "aioconnect"):
        targets = [address, server.getsockname()]
        call = aioconnect.connect(targets, on_event=raising(Surprise("seen")))
        (await call).close()
    assert len(caplog.records) == 4
    assert all(record.exc_info and record.exc_info[0] is Surprise for record in caplog.records)
    assert all(record.name == "aioconnect" for record in caplog.records)


async def test_the_debug_log_is_made_of_the_same_events(caplog: pytest.LogCaptureFixture) -> None:
    """Without an observer too; and above DEBUG nothing is said of a call that connects."""
    with listen() as server:
        address = server.getsockname()
        with caplog.at_level(logging.DEBUG, "aioconnect"):
            (await aioconnect.connect(*address)).close()
        assert [record.getMessage().partition("(")[0] for record in caplog.records] == [
            "AttemptStarted",
            "Connected",
        ]
        caplog.clear()
        with caplog.at_level(logging.INFO, "aioconnect"):
            (await aioconnect.connect(*address)).close()
        assert not caplog.records


async def test_nothing_is_told_when_nobody_observes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No event is even made."""
    monkeypatch.setattr(events.Event, "__init__", raising(Surprise("an event was made")))
    with listen() as server:
        (await aioconnect.connect(*server.getsockname(), socket_factory=slow)).close()


# 9: how many attempts are open --------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3, 6])
async def test_no_more_attempts_are_open_than_allowed(dead: tuple[str, int], most: int) -> None:
    """However many addresses there are; as one ends the next begins."""
    made: list[socket.socket] = []
    open_: list[int] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        open_.append(sum(sock.fileno() != -1 for sock in made))
        return made[-1]

    dialer = Dialer(
        happy_eyeballs_delay=0,
        attempt_timeout=0.05 * most,
        socket_factory=factory,
        **({} if most == 6 else {"max_concurrent": most}),
    )
    with pytest.raises(TimeoutError):
        await dialer.connect([dead] * (most + 2))
    assert len(made) == most + 2
    assert max(open_) == most


# Names --------------------------------------------------------------------------------------------


async def test_a_name_is_dialled_at_the_addresses_that_the_resolver_answers() -> None:
    """Both families are asked for, and the one that listens wins."""
    names = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
    with listen() as server:
        port = server.getsockname()[1]
        with await aioconnect.connect("name.test", port, resolver=names) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_only_the_family_that_is_wanted_is_looked_up(family: int) -> None:
    """With ``family`` nobody is asked for addresses that would not be dialled."""
    asked: list[int] = []

    class Counting:
        async def lookup(self, name: str, family: int) -> Any:
            """Know nothing."""
            asked.append(family)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")

    resolver: Any = Counting()
    with pytest.raises(socket.gaierror) as raised:
        await aioconnect.connect("name.test", 9, resolver=resolver, family=family)
    assert asked == [family]
    assert isinstance(raised.value, aioconnect.NameNotResolved)
    assert raised.value.errno == socket.EAI_NONAME


async def test_both_families_are_asked_for_at_the_same_time() -> None:
    """Neither look-up waits for the other."""
    asked: list[int] = []
    both = asyncio.Event()

    class Meeting:
        async def lookup(self, name: str, family: int) -> Any:
            """Wait for the other family's question."""
            from aioconnect.resolve import Answer

            asked.append(family)
            if len(asked) == 2:
                both.set()
            await both.wait()
            return Answer(("::1",) if family == socket.AF_INET6 else ("127.0.0.1",))

    resolver: Any = Meeting()
    with listen() as server:
        port = server.getsockname()[1]
        (await aioconnect.connect("name.test", port, resolver=resolver, timeout=20)).close()
    assert asked == [socket.AF_INET6, socket.AF_INET]


async def test_look_ups_end_with_the_call_unless_the_resolver_keeps_answers() -> None:
    """What nobody needs any more is cancelled; what a cache wants has another second."""
    ended: asyncio.Queue[str] = asyncio.Queue()

    class Slowly:
        async def lookup(self, name: str, family: int) -> Any:
            """Answer IPv4 at once, IPv6 late."""
            from aioconnect.resolve import Answer

            if family == socket.AF_INET:
                return Answer(("127.0.0.1",))
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                ended.put_nowait("cancelled")
                raise
            ended.put_nowait("kept")
            return Answer(("::1",))

    class Keeping(Slowly):
        def forget(self, name: str) -> None:
            """Forget a name."""

    with listen() as server:
        port = server.getsockname()[1]
        for kind, end in ((Slowly, "cancelled"), (Keeping, "kept")):
            resolver: Any = kind()
            dialer = Dialer(resolver=resolver, resolution_delay=0)
            (await dialer.connect("name.test", port)).close()
            assert await asyncio.wait_for(ended.get(), 20) == end


async def test_a_failed_name_is_forgotten_by_who_keeps_it() -> None:
    """Every address of it failed: what is known of it may be old."""
    forgotten: list[str] = []
    names: Any = StaticResolver({"name.test": "127.0.0.1"})

    class Keeping:
        lookup = names.lookup

        def forget(self, name: str) -> None:
            """Forget a name."""
            forgotten.append(name)

    resolver: Any = Keeping()
    with refusing() as address, pytest.raises(ConnectionRefusedError):
        await aioconnect.connect("name.test", address[1], resolver=resolver)
    assert forgotten == ["name.test"]


async def test_localhost_needs_no_resolver() -> None:
    """RFC 6761, section 6.3."""
    broken: Any = BrokenResolver(Surprise("asked"))
    with listen() as server:
        port = server.getsockname()[1]
        with await aioconnect.connect("localhost", port, resolver=broken) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


async def test_each_attempt_says_of_which_target_it_was() -> None:
    """Also when all targets are addresses, which begin without a race."""
    with refusing() as one, refusing() as other:
        targets = [one, other]
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect(targets)
    assert [attempt.target for attempt in caught.value.attempts] == [
        f"{host}:{port}" for host, port in targets
    ]
    assert [attempt.address for attempt in caught.value.attempts] == targets


async def test_a_look_up_that_could_succeed_later_is_one_of_the_failures() -> None:
    """One family is refused at its only address, the other one's server did not answer."""

    class Half:
        async def lookup(self, name: str, family: int, /) -> Answer:
            if family == socket.AF_INET6:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return Answer((host,))

    with refusing() as (host, port), pytest.raises(ConnectionRefusedError) as caught:
        await aioconnect.connect("half.test", port, resolver=Half())
    error = caught.value
    assert isinstance(error, ConnectError)
    assert sorted(attempt.stage for attempt in error.attempts) == ["connect", "resolve"]
    assert error.help & Help.RESOLVE
