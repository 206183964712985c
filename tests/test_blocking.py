"""The blocking twin: the same calls by poll(2), for programs without an event loop.

The decisions are those of the asynchronous side and are tested there; here is the waiting: what
signals, threads and time do to it, and what is left when it is interrupted.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, blocking, events, retry
from aioconnect.resolve import Answer, StaticResolver

from .support.account import descriptors, no_warnings, without_collector
from .support.limits import few_descriptors
from .support.servers import NAME, black_hole, listen, refusing
from .support.sockets import Slow, slow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDRESSES = {"IPv4": ("127.0.0.1", 0), "IPv6": ("::1", 0), "Unix": f"\0{NAME}"}


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


def target_of(server: socket.socket) -> Any:
    """Return what is dialled to reach a server."""
    address = server.getsockname()
    return f"unix:@{address[1:].decode()}" if isinstance(address, bytes) else address


# connect ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factory", [None, slow])
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_connect_gives_a_blocking_socket(address: Any, factory: Any) -> None:
    """Connected, without a time-out of its own, close-on-exec."""
    with (
        listen(address) as server,
        blocking.connect(target_of(server), socket_factory=factory) as sock,
    ):
        assert sock.getpeername() == server.getsockname()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.gettimeout() is None
        assert os.get_blocking(sock.fileno())
        assert not os.get_inheritable(sock.fileno())
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"pong")
            assert sock.recv(10) == b"pong"


def test_a_race_is_the_same_race(dead: tuple[str, int]) -> None:
    """The first that connects wins, the losers are closed, the events are those of the loop."""
    made: list[socket.socket] = []
    seen: list[events.Event] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(slow(endpoint))
        return made[-1]

    with refusing() as address, listen() as server:
        live = server.getsockname()
        with blocking.connect(
            [address, dead, live],
            happy_eyeballs_delay=0.02,
            socket_factory=factory,
            on_event=seen.append,
        ) as sock:
            assert sock.getpeername() == live
            assert [each.fileno() for each in made] == [-1, -1, sock.fileno()]
    assert [(type(event).__name__, event.number) for event in seen] == [
        ("AttemptStarted", 1),
        ("AttemptFailed", 1),
        ("AttemptStarted", 2),
        ("AttemptStarted", 3),
        ("Connected", 3),
        ("AttemptCancelled", 2),
    ]
    assert seen[3].at - seen[2].at >= 0.02


def test_a_failure_is_the_same_error(dead: tuple[str, int]) -> None:
    """Every attempt is in it, and it is the built-in of its cause."""
    with refusing() as address, pytest.raises(ConnectionRefusedError) as raised:
        blocking.connect([dead, address], happy_eyeballs_delay=0, timeout=0.05)
    error: Any = raised.value
    assert isinstance(error, ConnectError)
    assert [attempt.address for attempt in error.attempts] == [dead, address]
    assert isinstance(error.__cause__, ExceptionGroup)


def test_rounds_are_paused_between(dead: tuple[str, int]) -> None:
    """A retry policy holds here as well; the pauses are real."""
    policy = retry.attempts(3) & retry.constant(0.02)
    with refusing() as address:
        started = time.monotonic()
        with pytest.raises(ConnectionRefusedError) as raised:
            blocking.connect(address, retry=policy)
        assert time.monotonic() - started >= 0.04
    error: Any = raised.value
    assert error.count == 3


@pytest.mark.parametrize("timeout", [0.0, 0.0101, 0.0257, 0.05])
def test_a_call_ends_at_its_deadline_and_not_before(dead: tuple[str, int], timeout: float) -> None:
    """Although poll(2) counts whole milliseconds."""
    calls: list[Callable[[], Any]] = [
        lambda: blocking.connect(dead, timeout=timeout),
        lambda: blocking.connect([dead, dead], timeout=timeout),
        lambda: on_own_socket(blocking.sock_connect, dead, timeout=timeout),
    ]
    for call in calls:
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded):
            call()
        assert timeout <= time.monotonic() - started < timeout + 2


def on_own_socket(function: Any, *args: Any, **options: Any) -> None:
    """Call a function on a fresh socket, and close that."""
    with socket.socket() as sock:
        function(sock, *args, **options)


@pytest.mark.parametrize("timeout", [None, float("inf"), 3e6, 1e9, 1e300])
def test_a_limit_may_be_as_long_as_one_likes(timeout: float | None) -> None:
    """Also longer than the milliseconds of poll(2) reach, which is 24 days."""
    with listen() as server:
        address = server.getsockname()
        blocking.connect(
            address, timeout=timeout, attempt_timeout=timeout, socket_factory=slow
        ).close()
        with Slow(socket.AF_INET, socket.SOCK_STREAM) as sock:
            blocking.sock_connect(sock, address, timeout=timeout)


def test_what_is_set_before_the_connect_is_set_here_too() -> None:
    """Socket options, a local address, a datagram socket."""
    with listen() as server, listen(type=socket.SOCK_DGRAM) as datagrams:
        with blocking.connect(
            *server.getsockname(),
            local_addr=("127.0.0.9", 0),
            socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)],
        ) as sock:
            assert sock.getsockname()[0] == "127.0.0.9"
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * 8192
        with blocking.connect(*datagrams.getsockname(), type=socket.SOCK_DGRAM) as sock:
            sock.send(b"datagram")
            assert datagrams.recv(100) == b"datagram"


def test_misuse_is_refused_before_any_io() -> None:
    """With the exceptions of the asynchronous side."""
    made: list[Any] = []
    with pytest.raises(ValueError, match="port"):
        blocking.connect("127.0.0.1", 0, socket_factory=made.append)
    with pytest.raises(TypeError):
        blocking.connect("127.0.0.1", 9, no_such_option=1)  # type: ignore[call-arg]
    with socket.socket() as sock:
        with pytest.raises(ValueError, match="name"):
            blocking.sock_connect(sock, ("localhost", 9))
        with pytest.raises(ValueError, match="negative"):
            blocking.connect_wait(sock, timeout=-1)
        with pytest.raises(OSError, match=r"107|not connected"):
            sock.getpeername()
    with pytest.raises(TypeError):
        blocking.sock_connect(3, ("127.0.0.1", 9))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        blocking.connect_wait(3)  # type: ignore[arg-type]
    assert not made


def test_more_descriptors_than_select_knows_do_no_harm(dead: tuple[str, int]) -> None:
    """poll(2) has no FD_SETSIZE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    high = 1500
    if soft != resource.RLIM_INFINITY and soft <= high + 10:
        resource.setrlimit(resource.RLIMIT_NOFILE, (high + 10, hard))

    def factory(endpoint: Any) -> socket.socket:
        nonlocal high
        high += 1
        with slow(endpoint) as low:
            os.dup2(low.fileno(), high, inheritable=False)
        return Slow(*endpoint[:3], fileno=high)

    try:
        with listen() as server:
            live = server.getsockname()
            call = blocking.connect([dead, live], happy_eyeballs_delay=0, socket_factory=factory)
            with call as sock:
                assert sock.fileno() > 1500
                assert sock.getpeername() == live
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_threads_do_not_know_of_each_other(dead: tuple[str, int]) -> None:
    """Each call has what it waits with for itself."""
    failures: list[BaseException] = []

    def work(address: Any) -> None:
        try:
            for _ in range(20):
                with blocking.connect(
                    [dead, address], happy_eyeballs_delay=0, socket_factory=slow
                ) as sock:
                    assert sock.getpeername() == address
        except BaseException as exc:
            failures.append(exc)

    with listen(backlog=500) as server:
        address = server.getsockname()
        threads = [threading.Thread(target=work, args=(address,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures


def test_no_event_loop_is_made_or_needed() -> None:
    """Neither here nor in the look-up of a static name; under a running loop it works as well."""
    with listen() as server:
        address = server.getsockname()

        async def inside() -> None:
            blocking.connect(*address, socket_factory=slow).close()
            with pytest.raises(RuntimeError):
                asyncio.run(nothing())

        async def nothing() -> None:
            """Never run."""

        with pytest.warns(RuntimeWarning, match="never awaited"):
            asyncio.run(inside())


# Names --------------------------------------------------------------------------------------------


def test_localhost_and_static_names_are_dialled() -> None:
    """Both families are asked for, and the one that listens wins; nothing is left of it."""
    names = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
    with listen() as server:
        port = server.getsockname()[1]
        before = descriptors()
        for host in ("localhost", "name.test"):
            with blocking.connect(host, port, resolver=names) as sock:
                assert sock.getpeername() == ("127.0.0.1", port)
        assert descriptors() == before


def test_the_systems_resolver_works_without_a_loop() -> None:
    """It is the default; a name that nobody knows is a ``gaierror``."""
    before = descriptors()
    with pytest.raises(socket.gaierror) as raised:
        blocking.connect("no-such-name.invalid", 9, timeout=20)
    assert isinstance(raised.value, ConnectError)
    assert raised.value.stage == "resolve"
    assert descriptors() == before


class Late:
    """A resolver that answers from a thread, when it is let."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.threads: list[threading.Thread] = []
        self.cancelled = 0

    def submit_name(self, name: str, families: Any, put: Callable[[Any], None]) -> Any:
        """Answer IPv4 when it is let, IPv6 never."""

        def answer() -> None:
            self.go.wait(20)
            put(Answer(("127.0.0.1",), family=socket.AF_INET))

        self.threads.append(threading.Thread(target=answer))
        self.threads[-1].start()
        return self

    def cancel(self) -> None:
        """Count."""
        self.cancelled += 1

    async def lookup(self, name: str, family: int) -> Answer:
        """Is not called here."""
        raise AssertionError("there is no loop")

    def join(self) -> None:
        """Let it answer, and wait until it has."""
        self.go.set()
        for thread in self.threads:
            thread.join()


def test_an_answer_from_another_thread_wakes_the_call() -> None:
    """While it waits in poll(2) for it."""
    late: Any = Late()
    timer = threading.Timer(0.03, late.go.set)
    timer.start()
    with listen() as server:
        port = server.getsockname()[1]
        started = time.monotonic()
        with blocking.connect("name.test", port, resolver=late, timeout=20) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
        assert time.monotonic() - started >= 0.03
    late.join()
    timer.join()


def test_an_answer_that_comes_after_the_call_has_ended_reaches_nobody() -> None:
    """It is not written to a descriptor that is somebody else's by then."""
    late: Any = Late()
    before = descriptors()
    with pytest.raises(aioconnect.DeadlineExceeded) as raised:
        blocking.connect("name.test", 9, resolver=late, timeout=0.02)
    assert raised.value.stage == "resolve"
    assert descriptors() == before
    assert late.cancelled == 1
    reader, writer = os.pipe()  # the numbers that the call had
    os.set_blocking(reader, False)
    late.join()
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)


# The caller's own socket --------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, 7.5, 0.0])
@pytest.mark.parametrize("kind", [socket.socket, Slow])
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_sock_connect_leaves_the_socket_as_it_was(
    address: Any, kind: Any, timeout: float | None
) -> None:
    """Connected, and with the time-out that it had; a failed one too, and open."""
    with listen(address) as server:
        with kind(server.family, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            assert blocking.sock_connect(sock, server.getsockname()) is None
            assert sock.getpeername() == server.getsockname()
            assert sock.gettimeout() == timeout
        name = server.getsockname()
    with kind(server.family, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        with pytest.raises(ConnectionRefusedError):
            blocking.sock_connect(sock, name)
        assert sock.gettimeout() == timeout
        assert sock.fileno() != -1


def test_a_socket_that_runs_out_of_time_keeps_its_own_time_out(dead: tuple[str, int]) -> None:
    """The limit of the call is the call's, not the socket's."""
    with socket.socket() as sock:
        sock.settimeout(60)
        with pytest.raises(aioconnect.DeadlineExceeded):
            blocking.sock_connect(sock, dead, timeout=0.02)
        assert sock.gettimeout() == 60


def test_connect_wait_waits_for_what_is_pending(dead: tuple[str, int]) -> None:
    """Until it is through, or the time is up; what is not pending is told at once."""
    with listen() as server, socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(server.getsockname()) == errno.EINPROGRESS
        assert blocking.connect_wait(sock) is None
        assert sock.getpeername() == server.getsockname()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.connect_ex(dead)
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded):
            blocking.connect_wait(sock, timeout=0.0203)
        assert time.monotonic() - started >= 0.0203
    with socket.socket() as sock, pytest.raises(aioconnect.NotConnected):
        blocking.connect_wait(sock, timeout=30)


# Signals ------------------------------------------------------------------------------------------


@contextmanager
def signals(interval: float) -> Iterator[list[int]]:
    """Interrupt every system call of this thread each ``interval`` seconds."""
    came: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: came.append(number))
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    try:
        yield came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_storm_of_signals_neither_ends_nor_lengthens_a_wait(dead: tuple[str, int]) -> None:
    """A thousand a second: each wait goes on with what is left of its time."""
    with socket.socket() as pending:
        pending.setblocking(False)
        pending.connect_ex(dead)
        silent: Any = Late()
        calls: list[Callable[[], Any]] = [
            lambda: blocking.connect(dead, timeout=0.25),
            lambda: blocking.connect([dead, dead], timeout=0.25, happy_eyeballs_delay=0.1),
            lambda: on_own_socket(blocking.sock_connect, dead, timeout=0.25),
            lambda: blocking.connect_wait(pending, timeout=0.25),
            lambda: blocking.connect("name.test", 9, resolver=silent, timeout=0.25),
        ]
        for call in calls:
            started = time.monotonic()
            with signals(0.001) as came, pytest.raises(aioconnect.DeadlineExceeded):
                call()
            assert 0.25 <= time.monotonic() - started < 2
            assert len(came) > 5
        silent.join()


def test_calls_connect_under_a_storm_of_signals() -> None:
    """An EINTR is never taken for a failure, nor for a success."""
    with listen(backlog=1000) as server, signals(0.0005) as came:
        address = server.getsockname()
        limit = time.monotonic() + 20
        while len(came) < 100 and time.monotonic() < limit:
            with blocking.connect(*address, socket_factory=slow) as sock:
                assert sock.getpeername() == address
            server.accept()[0].close()
    assert len(came) >= 100


@pytest.mark.parametrize(
    "place", ["one", "race", "pause", "name", "sock_connect", "connect_wait", "slots"]
)
def test_a_KeyboardInterrupt_of_a_signal_handler_leaves_nothing(
    dead: tuple[str, int], place: str
) -> None:
    """Ctrl-C while it waits: it comes out at once, and the descriptors are as before."""
    raised = KeyboardInterrupt("Ctrl-C")

    def handler(number: int, frame: Any) -> None:
        raise raised

    late: Any = Late()
    with refusing() as address, socket.socket() as own:
        own.settimeout(60)
        if place == "connect_wait":
            own.setblocking(False)
            own.connect_ex(dead)
        keep = own.gettimeout()
        calls: dict[str, Callable[[], Any]] = {
            "one": lambda: blocking.connect(dead),
            "race": lambda: blocking.connect([dead, dead, dead], happy_eyeballs_delay=0),
            "pause": lambda: blocking.connect(address, retry=retry.constant(20)),
            "name": lambda: blocking.connect([dead, ("name.test", 9)], resolver=late),
            "sock_connect": lambda: blocking.sock_connect(own, dead),
            "connect_wait": lambda: blocking.connect_wait(own),
            "slots": lambda: blocking.connect([dead] * 9, max_concurrent=2),
        }
        before_handler = signal.signal(signal.SIGALRM, handler)
        before = descriptors()
        try:
            with without_collector(), no_warnings():
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(KeyboardInterrupt) as caught:
                    calls[place]()
                assert caught.value is raised
                assert descriptors() == before
                assert own.gettimeout() == keep
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before_handler)
            late.join()
    assert late.cancelled == (1 if place == "name" else 0)


def test_no_descriptor_for_a_look_up_is_an_error_of_ours() -> None:
    """The pipe by which the resolver's thread would wake us needs two."""
    with pytest.raises(aioconnect.TooManyOpenFiles) as caught, few_descriptors(1):
        aioconnect.blocking.connect("db.test", 1, resolver=Never())
    assert caught.value.stage == "resolve"
    assert caught.value.target == "db.test:1"


class Never:
    """A resolver that is not reached."""

    async def lookup(self, name: str, family: int) -> Answer:
        """Never."""
        raise AssertionError


class Denied(OSError):
    """What a hook may raise: it compares, and so it has no hash."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Denied)

    __hash__ = None  # type: ignore[assignment]


def test_an_OSError_of_a_hook_needs_no_hash() -> None:
    """It is a failed attempt, as any other."""

    def policy(endpoint: Any) -> None:
        raise Denied("not there")

    with pytest.raises(ConnectError, match="not there"):
        aioconnect.blocking.connect("127.0.0.1", 1, address_policy=policy)
