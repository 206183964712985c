"""The same on trio: only the waiting differs."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
import trio.testing

import aioconnect
from aioconnect import events, retry
from aioconnect.driver import Driven
from aioconnect.handshake import READ, recv_exactly, send_all
from aioconnect.resolve import StaticResolver
from aioconnect.trio import connect, open_tcp_stream, wait_until_ready
from aioconnect.trio_driver import TrioDriver

from .support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path


def run(main: Callable[[], Awaitable[Any]], **options: Any) -> Any:
    """Run it on trio, and raise what it raises."""
    return trio.run(main, **options)


# What comes out -----------------------------------------------------------------------------------


def test_a_literal_gives_a_trio_socket() -> None:
    """Connected, non-blocking, close-on-exec; the caller's."""

    async def main() -> None:
        with listen() as server, await connect(server.getsockname()) as sock:
            assert isinstance(sock, trio.socket.SocketType)
            assert sock.getpeername() == server.getsockname()
            assert not os.get_inheritable(sock.fileno())
            peer, _ = server.accept()
            with peer:
                await sock.send(b"x")
                assert peer.recv(1) == b"x"

    run(main)


def test_a_stream_carries_bytes() -> None:
    """It is trio's own, with TCP_NODELAY as trio sets it."""

    async def main() -> None:
        with listen() as server:
            async with await open_tcp_stream(*server.getsockname(), timeout=5) as stream:
                peer, _ = server.accept()
                with peer:
                    await stream.send_all(b"hello")
                    assert peer.recv(5) == b"hello"
                assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(main)


def test_a_unix_path(tmp_path: Path) -> None:
    """Also as a stream."""
    path = str(tmp_path / "s")

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            async with await open_tcp_stream(f"unix:{path}") as stream:
                assert stream.socket.family == socket.AF_UNIX

    run(main)


def test_a_stream_of_datagrams_is_refused_before_any_io() -> None:
    """With what to call instead."""

    async def main() -> None:
        with pytest.raises(ValueError, match="SOCK_STREAM: use connect"):
            await open_tcp_stream("127.0.0.1", 9, type=socket.SOCK_DGRAM)

    run(main)


def test_connected_datagrams() -> None:
    """A type that is no stream is for ``connect``."""

    async def main() -> None:
        with await connect("127.0.0.1", 9, type=socket.SOCK_DGRAM) as sock:
            assert sock.type == socket.SOCK_DGRAM

    run(main)


# Errors, races, rounds ----------------------------------------------------------------------------


def test_a_refusal_is_the_same_error_as_on_asyncio() -> None:
    """Class, errno, code, sentence."""

    async def main() -> None:
        with refusing() as nobody:
            with pytest.raises(ConnectionRefusedError) as raised:
                await connect(nobody)
            error = raised.value
            assert isinstance(error, aioconnect.ConnectError)
            assert (error.errno, error.code) == (errno.ECONNREFUSED, "connection_refused")
            assert "refused" in str(error)

    run(main)


def test_a_dead_first_address_costs_the_delay() -> None:
    """The next is begun when it is due, and the first is closed."""
    seen: list[Any] = []

    async def main() -> None:
        with black_hole() as hole, listen() as server:
            started = trio.current_time()
            with await connect([hole, server.getsockname()], on_event=seen.append) as sock:
                assert sock.getpeername() == server.getsockname()
            assert trio.current_time() - started >= 0.25

    run(main)
    begun = [event for event in seen if isinstance(event, events.AttemptStarted)]
    assert len(begun) == 2
    assert begun[1].at - begun[0].at >= 0.25


def test_one_that_never_answers_is_late() -> None:
    """The error is a ``TimeoutError`` too, and says at what."""

    async def main() -> None:
        with black_hole() as hole, pytest.raises(TimeoutError) as raised:
            await connect(hole, timeout=0.2)
        assert raised.value.stage == "connect"  # type: ignore[attr-defined]

    run(main)


def test_rounds_wait_on_trios_clock() -> None:
    """A minute of pauses passes at once on a mock clock, and each is as long as the policy said."""
    seen: list[Any] = []

    async def main() -> float:
        started = trio.current_time()
        with refusing() as nobody, pytest.raises(ConnectionRefusedError) as raised:
            await connect(
                nobody,
                retry=retry.attempts(4) & retry.constant(20),
                timeout=None,
                on_event=seen.append,
            )
        assert raised.value.count == 4  # type: ignore[attr-defined]
        return trio.current_time() - started

    clock = trio.testing.MockClock(autojump_threshold=0.01)
    assert 60 <= run(main, clock=clock) < 60.5
    begun = [event.at for event in seen if isinstance(event, events.AttemptStarted)]
    assert [round(instant - begun[0]) for instant in begun] == [0, 20, 40, 60]


def test_the_deadline_holds_on_a_mock_clock() -> None:
    """A black hole for an hour of it."""

    async def main() -> float:
        started = trio.current_time()
        with black_hole() as hole, pytest.raises(TimeoutError):
            await connect(hole, timeout=3600, attempt_timeout=float("inf"))
        return trio.current_time() - started

    clock = trio.testing.MockClock(autojump_threshold=0.01)
    assert 3600 <= run(main, clock=clock) < 3601


# Names --------------------------------------------------------------------------------------------


class Asynchronous:
    """A resolver that needs asyncio's loop."""

    async def lookup(self, name: str, family: int) -> aioconnect.Answer:
        """Answer after a turn of it."""
        await asyncio.sleep(0.01)
        assert name == "db.test"
        return aioconnect.Answer(("127.0.0.1",) if family == socket.AF_INET else (), ttl=None)


@pytest.mark.parametrize(
    ("name", "resolver"),
    [
        ("localhost", None),
        ("db.test", StaticResolver({"db.test": "127.0.0.1"})),
        ("db.test", Asynchronous()),
    ],
    ids=["system", "static", "asyncio"],
)
def test_names_are_looked_up(name: str, resolver: Any) -> None:
    """By the system's resolver, by one's own, and by one that needs asyncio's loop."""

    async def main() -> None:
        with listen() as server:
            port = server.getsockname()[1]
            with await connect(name, port, resolver=resolver, timeout=20) as sock:
                assert sock.getpeername() == server.getsockname()

    run(main)


def test_a_name_that_does_not_exist() -> None:
    """As everywhere, also a ``gaierror``."""

    async def main() -> None:
        with pytest.raises(socket.gaierror, match=r"nowhere\.test"):
            await connect("nowhere.test", 80, resolver=StaticResolver({}))

    run(main)


def test_an_answer_that_comes_after_the_end_is_nobodys() -> None:
    """Neither after the call nor after the run."""
    asked, answer = threading.Event(), threading.Event()

    class Slow:
        async def lookup(self, name: str, family: int) -> aioconnect.Answer:
            asked.set()
            while not answer.is_set():  # noqa: ASYNC110  (an event of threads)
                await asyncio.sleep(0.01)
            return aioconnect.Answer(("127.0.0.1",), ttl=None)

    async def main() -> None:
        with trio.move_on_after(0.1) as scope:
            await connect("db.test", 1, resolver=Slow())
        assert scope.cancelled_caught

    try:
        run(main)
        assert asked.is_set()
    finally:
        answer.set()


def test_a_thread_may_answer_when_trio_has_ended() -> None:
    """Nobody is told, and the thread goes on."""
    puts: list[Callable[[Any], None]] = []

    class Late(Asynchronous):
        """Gives its answer later than ``cancel`` was called."""

        def submit_name(self, name: str, families: Any, put: Callable[[Any], None]) -> Any:
            """Keep what is to be called."""
            puts.append(put)
            return self

        def cancel(self) -> None:
            """Do nothing: the answer is under way."""

    async def main() -> None:
        with trio.move_on_after(0.01):
            await connect("db.test", 1, resolver=Late())
        puts[0](None)
        await trio.testing.wait_all_tasks_blocked()

    run(main)
    puts[0](None)


# Cancelled ----------------------------------------------------------------------------------------


def test_cancelled_while_it_connects() -> None:
    """Nothing is left open (the suite compares descriptors), and the loop goes on."""

    async def main() -> None:
        with black_hole() as hole, black_hole() as other:
            with trio.move_on_after(0.4) as scope:
                await connect([hole, other], timeout=None)
            assert scope.cancelled_caught
            await trio.lowlevel.checkpoint()

    run(main)


def test_cancelled_before_it_begins() -> None:
    """A cancelled scope lets nothing leave."""
    seen: list[Any] = []

    async def main() -> None:
        with listen() as server, trio.CancelScope() as scope:
            scope.cancel()
            await connect(server.getsockname(), on_event=seen.append)
        assert scope.cancelled_caught

    run(main)
    assert not seen


def test_it_is_a_checkpoint_also_if_it_ends_at_once() -> None:
    """As trio asks of each function: others run meanwhile."""

    async def main() -> None:
        with listen() as server, trio.testing.assert_checkpoints():
            (await connect(server.getsockname())).close()
        with (
            refusing() as nobody,
            pytest.raises(ConnectionRefusedError),
            trio.testing.assert_checkpoints(),
        ):
            await connect(nobody)

    run(main)


def test_no_task_outlives_a_call() -> None:
    """Nor does a socket stay in trio's epoll: of the loser of a race, and of a call cancelled."""

    def waiting() -> tuple[int, int]:
        statistics: Any = trio.lowlevel.current_statistics()
        return statistics.tasks_living, statistics.io_statistics.tasks_waiting_write

    async def main() -> None:
        before = waiting()
        with black_hole() as hole, listen() as server:
            (await connect([hole, server.getsockname()])).close()
            assert waiting()[1] == before[1]
            with trio.move_on_after(0.1):
                await connect(hole)
            assert waiting()[1] == before[1]
        await trio.testing.wait_all_tasks_blocked()
        assert waiting() == before

    run(main)


def test_what_is_unwatched_at_once_is_never_waited_for() -> None:
    """Its descriptor may be closed, and be another's, before the task that waits has begun."""

    class Unwoken(Driven):
        """Fails if anything happens."""

        def put(self, item: Any) -> None:
            raise AssertionError(item)

        def wake(self) -> None:
            raise AssertionError("woken")

    async def main() -> None:
        driver = TrioDriver()
        sock = socket.socket()
        driver.watch(Unwoken(), sock)
        driver.unwatch(sock)
        sock.close()
        await trio.testing.wait_all_tasks_blocked()

    run(main)


def test_an_interrupt_waits_for_the_end_of_a_step() -> None:
    """Between two lines of the engine it would lose a socket."""
    protected: list[bool] = []

    async def main() -> None:
        with listen() as server:
            sock = await connect(
                server.getsockname(),
                on_event=lambda _: protected.append(trio.lowlevel.currently_ki_protected()),
            )
            sock.close()
            assert not trio.lowlevel.currently_ki_protected()

    run(main)
    assert protected
    assert all(protected)


def test_many_at_a_time_one_of_them_cancelled() -> None:
    """The others are connected."""

    async def one(address: Any, done: trio.MemorySendChannel[int]) -> None:
        (await connect(address)).close()
        await done.send(1)

    async def main() -> None:
        with listen() as server, black_hole() as hole:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connect, hole)
                done, connected = trio.open_memory_channel[int](0)
                for _ in range(20):
                    nursery.start_soon(one, server.getsockname(), done)
                with trio.fail_after(20):
                    for _ in range(20):
                        await connected.receive()
                nursery.cancel_scope.cancel()

    run(main)


def test_an_interrupt_comes_out_once_and_leaves_nothing() -> None:
    """Ctrl-C while it waits."""

    async def main() -> None:
        with black_hole() as hole:
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            try:
                await connect(hole, timeout=30)
            finally:
                timer.join()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            run(main)
    finally:
        signal.signal(signal.SIGINT, before)


# Stages -------------------------------------------------------------------------------------------


def answering(server: socket.socket, *replies: bytes) -> threading.Thread:
    """Accept one connection, and send each reply after something was read."""
    server.settimeout(20)

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            for reply in replies:
                peer.recv(100)
                peer.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_handshake_runs() -> None:
    """A generator that waits to read."""

    def greet(sock: socket.socket, endpoint: Any) -> Generator[Any, None, None]:
        yield from send_all(sock, b"hi")
        assert (yield from recv_exactly(sock, 5)) == b"hello"

    async def main() -> None:
        with listen() as server:
            thread = answering(server, b"hello")
            try:
                (await connect(server.getsockname(), handshake=greet, timeout=20)).close()
            finally:
                thread.join()

    run(main)


def test_a_handshake_is_resumed_when_there_is_something_to_read() -> None:
    """A connected socket can be written to all the time: that is not what it waits for."""

    def greet(sock: socket.socket, endpoint: Any) -> Generator[Any, None, None]:
        yield READ
        assert sock.recv(5) == b"hello"

    async def main() -> None:
        with listen() as server:

            def serve() -> None:
                peer, _ = server.accept()
                with peer:
                    time.sleep(0.2)
                    peer.sendall(b"hello")

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                (await connect(server.getsockname(), handshake=greet, timeout=20)).close()
            finally:
                thread.join()

    run(main)


def test_a_handshake_that_stalls_is_ended_by_the_attempts_limit() -> None:
    """And its socket is closed."""

    def greet(sock: socket.socket, endpoint: Any) -> Generator[Any, None, None]:
        yield from recv_exactly(sock, 1)

    async def main() -> None:
        with listen() as server, pytest.raises(TimeoutError) as raised:
            await connect(server.getsockname(), handshake=greet, attempt_timeout=0.2)
        assert raised.value.stage == "handshake"  # type: ignore[attr-defined]

    run(main)


def test_a_handshake_that_needs_asyncio_is_refused() -> None:
    """By a sentence; its socket is closed."""

    async def greet(sock: socket.socket, endpoint: Any) -> None:
        raise AssertionError("it runs")

    async def main() -> None:
        with listen() as server, pytest.raises(TypeError, match="handshake"):
            await connect(server.getsockname(), handshake=greet)  # type: ignore[arg-type]

    run(main)


def test_through_a_proxy() -> None:
    """SOCKS 5: the proxy is dialled, and looks the name up."""

    async def main() -> None:
        with listen() as server:
            host, port = server.getsockname()
            thread = answering(server, b"\x05\x00", b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            try:
                proxy = f"socks5h://{host}:{port}"
                (await connect("db.test", 80, proxy=proxy, timeout=20)).close()
            finally:
                thread.join()

    run(main)


# Waiting for a server -----------------------------------------------------------------------------


def test_it_waits_until_a_server_is_there(tmp_path: Path) -> None:
    """And says how long that took, on trio's clock."""
    path = str(tmp_path / "s")

    async def main() -> None:
        async def come_up() -> None:
            await trio.sleep(5)
            server.bind(path)
            server.listen()

        with socket.socket(socket.AF_UNIX) as server:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(come_up)
                assert 5 <= await wait_until_ready(f"unix:{path}") < 7

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))


def test_a_check_is_part_of_it() -> None:
    """What the server must say; each target of a list with ``all``."""

    async def main() -> None:
        with listen() as server, listen() as other:
            threads = [answering(server, b"yes"), answering(other, b"yes")]

            def check(sock: socket.socket, endpoint: Any) -> Generator[Any, None, None]:
                yield from send_all(sock, b"ready?")
                assert (yield from recv_exactly(sock, 3)) == b"yes"

            both = [server.getsockname(), other.getsockname()]
            try:
                await wait_until_ready(both, check=check, all=True, timeout=20)
            finally:
                for thread in threads:
                    thread.join()

    run(main)


def test_a_wait_ends_with_the_last_error() -> None:
    """When its time is up."""

    async def main() -> None:
        with refusing() as nobody, pytest.raises(ConnectionRefusedError) as raised:
            await wait_until_ready(nobody, timeout=9)
        assert raised.value.count >= 9  # type: ignore[attr-defined]

    run(main, clock=trio.testing.MockClock(autojump_threshold=0.01))
