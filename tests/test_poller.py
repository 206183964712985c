"""What the engine asks of a loop: readiness, instants, turns; and where that comes from.

``wait.outcome`` says what a readiness means, the poller brings it; here both are looked at by
themselves, on both loops, with and without epoll.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import select
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, poller, wait

from .support.account import descriptors, polled, without_collector
from .support.loops import LOOPS, Steps
from .support.servers import black_hole, drain, listen, refusing
from .support.sockets import Slow, slow

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


@pytest.fixture(params=["epoll", "add_writer"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Wait by epoll, and as on a system that has none."""
    if request.param == "add_writer":
        monkeypatch.delattr(select, "epoll")
    return str(request.param)


@pytest.fixture
def pending(dead: tuple[str, int]) -> Iterator[socket.socket]:
    """Give a socket whose connect is under way, and stays so."""
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(dead) == errno.EINPROGRESS
        yield sock


async def turns(number: int) -> None:
    """Let the loop turn."""
    for _ in range(number):
        await asyncio.sleep(0)


# What a readiness means ---------------------------------------------------------------------------


def test_a_wake_up_without_a_cause_is_no_outcome(pending: socket.socket) -> None:
    """SO_ERROR is 0 and there is no peer, but nothing is ready: the connect is still under way."""
    assert pending.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    for _ in range(3):
        assert wait.outcome(pending) == wait.SPURIOUS
        assert wait.pending(pending) == wait.SPURIOUS


def test_a_peer_is_an_outcome() -> None:
    """With SO_ERROR 0 and a peer the socket is connected, also when its buffers are full."""
    with listen() as server, socket.socket() as sock:
        sock.connect(server.getsockname())
        assert wait.outcome(sock) == 0
        assert wait.pending(sock) == 0
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(65536))
        assert not wait.ready(sock)
        assert wait.pending(sock) == 0


def test_a_socket_on_which_nothing_is_pending_is_ready_for_ever() -> None:
    """That is told from a spurious wake-up: ENOTCONN, and nobody waits on it."""
    with socket.socket() as sock:
        assert wait.ready(sock)
        assert wait.outcome(sock) == errno.ENOTCONN
        assert wait.pending(sock) == errno.ENOTCONN


def test_a_listening_socket_would_never_become_writable() -> None:
    """It is told that nothing is pending too."""
    with listen() as server:
        assert not wait.ready(server)
        assert wait.pending(server) == errno.ENOTCONN


def test_a_closed_socket_is_a_bad_descriptor() -> None:
    """Not a ``ValueError`` of poll(2)'s wrapper."""
    sock = socket.socket()
    sock.close()
    assert wait.outcome(sock) == errno.EBADF
    assert wait.pending(sock) == errno.EBADF


def test_an_error_is_read_once() -> None:
    """SO_ERROR is cleared by reading it: the second time nothing is pending."""
    with refusing() as address, socket.socket() as sock:
        sock.setblocking(False)
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS:
            assert wait.outcome(sock) == errno.ECONNREFUSED
        else:
            assert number == errno.ECONNREFUSED
        assert wait.outcome(sock) == errno.ENOTCONN


async def test_a_spurious_wake_up_is_waited_out(
    way: str, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wakes a call with nothing new only makes it look; then it waits again."""
    made: list[socket.socket] = []

    def factory(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    looks: list[int] = []
    outcome = wait.outcome

    def counted(sock: socket.socket) -> int:
        looks.append(outcome(sock))
        return looks[-1]

    monkeypatch.setattr(wait, "outcome", counted)
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    call = aioconnect.connect(*dead, socket_factory=factory)
    task = asyncio.create_task(call)
    await turns(3)
    # A second inbox for the same descriptor is refused; so the wake-up comes by its number.
    with pytest.raises(FileExistsError):
        watcher.watch(loop, made[0].fileno(), poller.Inbox(), object())
    for _ in range(5):
        spurious_wake_up(loop, made[0].fileno())
        await turns(3)
    assert looks == [wait.SPURIOUS] * 5
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def spurious_wake_up(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Report a descriptor that is not ready, as a poller sometimes does."""
    watcher: Any = poller.of(loop)._watcher()
    inbox, item = watcher._waiting[fd]
    watcher.remove(loop, fd, item)
    inbox.put(item)


# Readiness ----------------------------------------------------------------------------------------


async def test_calls_connect_whatever_readiness_comes_from(way: str, dead: tuple[str, int]) -> None:
    """One, many at once, a race, the caller's own: with epoll and with ``add_writer``."""
    with listen(backlog=1000) as server, refusing() as nobody:
        address = server.getsockname()
        (await aioconnect.connect(*address, socket_factory=slow)).close()
        targets = [nobody, dead, address]
        race = aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow)
        (await race).close()
        calls = [aioconnect.connect(*address, socket_factory=slow) for _ in range(100)]
        for sock in await asyncio.gather(*calls):
            assert sock.getpeername() == address
            sock.close()
        with Slow(socket.AF_INET, socket.SOCK_STREAM) as own:
            own.setblocking(False)
            await aioconnect.sock_connect(own, address)
            assert own.getpeername() == address
        with socket.socket() as own:
            own.setblocking(False)
            with pytest.raises(aioconnect.DeadlineExceeded):
                await aioconnect.sock_connect(own, dead, timeout=0.01)


async def test_what_is_watched_is_reported_once(way: str) -> None:
    """A descriptor that stays ready does not keep the loop busy."""
    loop = asyncio.get_running_loop()
    watcher, inbox = poller.of(loop), poller.Inbox()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        watcher.watch(loop, sock.fileno(), inbox, "ready")
        await inbox.wait(loop, watcher, time.monotonic() + 20)
        assert inbox.items == ["ready"]
        await turns(10)
        assert inbox.items == ["ready"]
        assert not [line for _, line in polled() if line.split()[1] == str(sock.fileno())]
        watcher.watch(loop, sock.fileno(), inbox, "again")
        await turns(10)
        assert inbox.items == ["ready", "again"]


async def test_what_is_no_longer_watched_is_not_reported(way: str) -> None:
    """Also when it was ready already; to forget twice, or what was never there, does no harm."""
    loop = asyncio.get_running_loop()
    watcher, inbox = poller.of(loop), poller.Inbox()
    with listen() as server, socket.create_connection(server.getsockname()) as sock:
        item = object()
        watcher.unwatch(loop, sock.fileno(), item)
        watcher.watch(loop, sock.fileno(), inbox, item)
        watcher.unwatch(loop, sock.fileno(), object())  # somebody else's: not this one
        assert polled_descriptors(sock)
        watcher.unwatch(loop, sock.fileno(), item)
        assert not polled_descriptors(sock)
        watcher.unwatch(loop, sock.fileno(), item)
        await turns(10)
        assert not inbox.items


def polled_descriptors(sock: socket.socket) -> list[str]:
    """List where a socket is watched; an epoll in user space (libuv's queue) needs a turn."""
    watcher: Any = poller.of(asyncio.get_running_loop())._watcher()
    return [fd for fd in watcher._waiting if fd == sock.fileno()]


async def test_two_waits_for_one_socket_cannot_be(way: str, pending: socket.socket) -> None:
    """The second is told so at once, and does not disturb the first."""
    first = asyncio.create_task(aioconnect.connect_wait(pending))
    await turns(2)
    for _ in range(2):
        with pytest.raises(aioconnect.SocketBusy) as raised:
            await aioconnect.connect_wait(pending, timeout=20)
        assert raised.value.errno == errno.EALREADY
        assert raised.value.code == "already_in_progress"
    assert not first.done()
    assert polled_descriptors(pending)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_socket_that_is_closed_under_a_wait_is_noticed_when_its_number_is_used_again(
    dead: tuple[str, int],
) -> None:
    """Epoll forgets a closed descriptor in silence; the next socket of that number tells."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(dead)
    first = asyncio.create_task(aioconnect.connect_wait(sock, timeout=20))
    await turns(3)
    number = sock.fileno()
    sock.close()
    with socket.socket() as other:
        assert other.fileno() == number
        other.setblocking(False)
        other.connect_ex(dead)
        second = asyncio.create_task(aioconnect.connect_wait(other))
        with pytest.raises(aioconnect.SocketUnusable) as raised:
            await first
        assert raised.value.errno == errno.EBADF
        assert not second.done()
        assert polled_descriptors(other)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_a_copy_of_a_closed_descriptor_does_not_keep_the_loop_busy() -> None:
    """Epoll goes on to report a descriptor that was closed while a copy of it is open."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: complaints.append(str(context["message"])))
    watcher, inbox = poller.of(loop), poller.Inbox()
    with listen() as server:
        sock = socket.create_connection(server.getsockname())
        with sock.dup():
            watcher.watch(loop, sock.fileno(), inbox, "closed")
            sock.close()
            await turns(20)
            assert len(complaints) <= 1
            before = time.process_time()
            await asyncio.sleep(0.2)
            assert time.process_time() - before < 0.1
    assert inbox.items == ["closed"]
    assert not complaints


# Instants -----------------------------------------------------------------------------------------


async def test_an_instant_is_never_early() -> None:
    """A timer that fires a part of a millisecond early (uvloop's may) is armed again."""
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    for number in range(40):
        until = time.monotonic() + 0.001 + number * 0.00013
        await poller.Inbox().wait(loop, watcher, until)
        assert time.monotonic() >= until


async def test_a_loop_whose_timers_fire_early_wakes_nobody_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is armed again for what is left."""
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    fired: list[float] = []

    class Early:
        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

        def call_later(self, delay: float, callback: Any, *args: Any) -> Any:
            fired.append(delay)
            return loop.call_later(delay / 20 if len(fired) == 1 else delay, callback, *args)

    early: Any = Early()
    until = time.monotonic() + 0.2
    await poller.Inbox().wait(early, watcher, until)
    assert time.monotonic() >= until
    assert 2 <= len(fired) <= 10  # armed again, and not in a circle


async def test_instants_come_in_their_order() -> None:
    """One heap, one timer: a new instant that is earlier comes first."""
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    came: list[float] = []
    start = time.monotonic() + 0.02

    async def sleep(delay: float) -> None:
        await poller.Inbox().wait(loop, watcher, start + delay)
        came.append(delay)

    delays = [0.04, 0.01, 0.03, 0.0, 0.02, 0.05]
    await asyncio.gather(*[sleep(delay) for delay in delays])
    assert came == sorted(delays)


async def test_many_instants_that_are_taken_back_do_not_pile_up(dead: tuple[str, int]) -> None:
    """Most calls end long before their deadline: what they asked for goes."""
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    inbox = poller.Inbox()
    far = time.monotonic() + 3600
    kept = [watcher.wake_at(loop, far + number, inbox) for number in range(10)]
    for number in range(2000):
        watcher.cancel(watcher.wake_at(loop, far - number, inbox))
    assert len(watcher._heap) < 200
    soon = poller.Inbox()
    entry = watcher.wake_at(loop, time.monotonic() + 0.01, soon)
    await soon.wait(loop, watcher, far)  # it still comes, whatever was thrown out of the heap
    watcher.cancel(entry)
    for each in kept:
        watcher.cancel(each)
        watcher.cancel(each)  # twice is once
    assert not watcher._heap


@pytest.mark.slow
async def test_no_timer_stays_when_nobody_waits(dead: tuple[str, int]) -> None:
    """Neither after a success nor after a failure: the one there was fires once for nothing."""
    loop = asyncio.get_running_loop()
    with listen() as server, refusing() as nobody:
        live = server.getsockname()
        calls = [
            aioconnect.connect(*live, socket_factory=slow),
            aioconnect.connect(*dead, timeout=0.02),
            aioconnect.connect([dead, live], happy_eyeballs_delay=0, socket_factory=slow),
            aioconnect.connect([dead, nobody], timeout=0.05),
        ]
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()
            else:
                assert isinstance(outcome, ConnectError)
    watcher = poller.of(loop)
    assert not watcher._heap
    await asyncio.sleep(poller.AHEAD + 0.1)
    assert watcher._timer is None
    watcher.cancel(watcher.wake_at(loop, time.monotonic() + 3600, poller.Inbox()))
    assert watcher._timer is not None
    await asyncio.sleep(poller.AHEAD + 0.1)
    assert watcher._timer is None


async def test_one_timer_serves_for_thousands(dead: tuple[str, int]) -> None:
    """Also when each waits alone, and goes before the next one comes."""
    loop = asyncio.get_running_loop()
    watcher, inbox = poller.of(loop), poller.Inbox()
    armed = []
    for _ in range(1000):
        watcher.cancel(watcher.wake_at(loop, time.monotonic() + 30, inbox))
        if not armed or watcher._timer is not armed[-1]:
            armed.append(watcher._timer)
    assert len(armed) <= 1 + 1000 / poller.AGAIN


@pytest.mark.slow
async def test_a_long_turn_makes_no_instant_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that thousands of connects take to begin is not added to their time-outs."""
    monkeypatch.setattr(poller, "AHEAD", 60.0)  # or the error would be small
    loop = asyncio.get_running_loop()
    watcher, inbox, others = poller.of(loop), poller.Inbox(), poller.Inbox()
    until = time.monotonic() + 2
    arrival = inbox.arrival(loop, watcher, until)
    for _ in range(2 * poller.AGAIN):
        time.sleep(0.014)  # noqa: ASYNC251  # the turn
        watcher.cancel(watcher.wake_at(loop, until + 60, others))
    await arrival
    inbox.arrived(watcher)
    assert until <= time.monotonic() < until + 1


async def test_an_instant_that_is_earlier_than_all_others_comes_first() -> None:
    """The timer is armed again for it: it does not wait for the one that was armed before."""
    loop = asyncio.get_running_loop()
    watcher = poller.of(loop)
    later = watcher.wake_at(loop, time.monotonic() + 3600, poller.Inbox())
    soon = time.monotonic() + 0.01
    await poller.Inbox().wait(loop, watcher, soon)
    assert time.monotonic() < soon + poller.AHEAD * 0.9
    watcher.cancel(later)


@pytest.mark.slow
async def test_an_instant_far_away_is_kept() -> None:
    """The timer is armed for a second at most, and again until the instant has come."""
    loop = asyncio.get_running_loop()
    until = time.monotonic() + 2.2
    await poller.Inbox().wait(loop, poller.of(loop), until)
    assert until <= time.monotonic() < until + 1


# What is kept for a loop, and for how long --------------------------------------------------------


@pytest.mark.parametrize("kind", LOOPS)
def test_one_epoll_is_kept_per_loop_and_goes_with_it(kind: str, dead: tuple[str, int]) -> None:
    """It is made at the first wait, not before, and closed by the loop, without the collector."""

    def epolls() -> int:
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in descriptors()]
        return links.count("anon_inode:[eventpoll]")

    async def dial(address: Any, **options: Any) -> None:
        (await aioconnect.connect(*address, **options)).close()

    before = descriptors()
    with without_collector(), listen() as server:
        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            runner.get_loop()
            of_the_loop = epolls()
            runner.run(dial(server.getsockname()))
            assert epolls() == of_the_loop  # it connected at once: nothing was waited for
            for _ in range(3):
                runner.run(dial(server.getsockname(), socket_factory=slow))
                with pytest.raises(TimeoutError):
                    runner.run(dial(dead, timeout=0.001))
                assert epolls() == of_the_loop + 1
        server.close()
        assert descriptors() == before


@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_that_was_used_is_not_kept_alive(kind: str, dead: tuple[str, int]) -> None:
    """What is kept for it goes when the program lets go of it."""
    loop = LOOPS[kind]()
    with listen() as server:
        address = server.getsockname()
        loop.run_until_complete(aioconnect.connect(*address, socket_factory=slow)).close()
        with pytest.raises(TimeoutError):
            loop.run_until_complete(aioconnect.connect(*dead, timeout=0.001))
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_that_is_closed_over_a_pending_call_is_not_kept_alive(
    kind: str, dead: tuple[str, int]
) -> None:
    """A program that closes its loop without cancelling what runs gets its sockets back too."""
    loop = LOOPS[kind]()
    loop.set_exception_handler(lambda loop, context: None)
    before = descriptors()
    task = loop.create_task(aioconnect.connect(*dead, timeout=600))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    gone = weakref.ref(loop)
    del loop, task
    gc.collect()
    assert gone() is None
    assert set(descriptors()) <= set(before)


def test_loops_in_threads_have_pollers_of_their_own() -> None:
    """``of`` answers each thread with what belongs to its loop."""
    found: list[Any] = []
    barrier = threading.Barrier(4)

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(200):
            mine = poller.of(loop)
            barrier.wait(20)
            assert poller.of(loop) is mine
        found.append(mine)

    def work(kind: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            runner.run(ask())

    threads = [threading.Thread(target=work, args=(kind,)) for kind in [*LOOPS] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 4


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_without_epoll_a_cancelled_call_leaves_no_writer(
    kind: str, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left in the selector: the number can be given to another socket."""
    with Steps(kind) as steps, listen() as server:
        with pytest.raises(TimeoutError):
            steps.run(lambda: aioconnect.connect(*dead, timeout=0.001))
        monkeypatch.delattr(select, "epoll")
        targets = [dead, dead, server.getsockname()]
        dialer = aioconnect.Dialer(happy_eyeballs_delay=0, socket_factory=slow)
        for most in range(4):
            account = steps.account()
            task = steps.start(lambda: dialer.connect(targets))
            steps.advance(task, most)
            if not task.done():
                assert task.cancel()
                steps.advance(task, 3)
                assert task.cancelled()
            else:
                task.result().close()
            assert not steps.account().difference(account)
            assert not steps.complaints
        drain(server)
