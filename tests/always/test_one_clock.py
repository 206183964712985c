"""One clock for each loop: on one whose time is its own, the library's time is that.

The loop here has a clock that begins at zero and jumps to its next timer, as those of looptime and
of simulators do.  What takes an hour of it takes no time at all.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer, events, poller, retry
from aioconnect.resolve import Answer

from ..support.loops import LOOPS, JumpingLoop
from ..support.servers import listen, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a program on a loop whose clock is its own."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(main())


@contextmanager
def takes(seconds: float) -> Iterator[None]:
    """Require a span of the loop's time, and next to none of anybody else's."""
    loop, clock = asyncio.get_running_loop(), time.monotonic()
    before = loop.time()
    yield
    assert loop.time() - before == pytest.approx(seconds, abs=0.01)
    assert time.monotonic() - clock < 20


async def fails(call: Coroutine[Any, Any, Any]) -> aioconnect.ConnectError:
    """Return the error of a call."""
    with pytest.raises(aioconnect.ConnectError) as raised:
        await call
    return raised.value


def test_a_time_limit_is_one_of_the_loops_time(dead: tuple[str, int]) -> None:
    """Of a call, an attempt, a race."""

    async def main() -> None:
        with takes(2):
            error = await fails(aioconnect.connect(dead, timeout=2))
        assert isinstance(error, aioconnect.DeadlineExceeded)
        assert error.elapsed == pytest.approx(2, abs=0.01)
        with takes(3600):
            await fails(aioconnect.connect([dead, dead], timeout=3600, attempt_timeout=None))
        with takes(20):
            options: Any = {"happy_eyeballs_delay": None, "attempt_timeout": 10}
            await fails(aioconnect.connect([dead, dead], timeout=None, **options))
        with listen() as server, takes(5):
            options = {"happy_eyeballs_delay": 5, "timeout": None}
            (await aioconnect.connect([dead, server.getsockname()], **options)).close()

    run(main)


def test_a_pause_is_one_of_the_loops_time() -> None:
    """Of a retry policy, and its deadline."""

    async def main() -> None:
        with refusing() as address:
            with takes(2000):
                policy = retry.attempts(3) & retry.constant(1000)
                await fails(aioconnect.connect(address, retry=policy, timeout=None))
            with takes(30):
                error = await fails(
                    aioconnect.connect(address, retry=retry.constant(10), timeout=39)
                )
                assert error.stopped == "deadline"
            breaker = retry.Breaker(1, open_for=40, rng=lambda: 0.5)
            await fails(aioconnect.connect(address, breaker=breaker))
            error = await fails(aioconnect.connect(address, breaker=breaker))
            assert error.retry_after == pytest.approx(30, abs=0.1)
            await asyncio.sleep(30)
            error = await fails(aioconnect.connect(address, breaker=breaker))
            assert isinstance(error, ConnectionRefusedError)

    run(main)


def test_a_wait_for_the_callers_own_socket_is_one_of_the_loops_time(dead: tuple[str, int]) -> None:
    """To connect it, and to wait for it."""

    async def main() -> None:
        for function in (aioconnect.sock_connect, None):
            with socket.socket() as sock, takes(77):
                sock.setblocking(False)
                if function is not None:
                    await fails(function(sock, dead, timeout=77))
                else:
                    sock.connect_ex(dead)
                    await fails(aioconnect.connect_wait(sock, timeout=77))

    run(main)


def test_a_name_is_waited_for_in_the_loops_time() -> None:
    """Its look-up, and IPv4 for IPv6."""

    class Slow:
        async def lookup(self, name: str, family: int) -> Answer:
            await asyncio.sleep(1000 if family == socket.AF_INET6 else 5)
            return Answer(("127.0.0.1",))

    async def main() -> None:
        dialer = Dialer(resolver=Slow(), timeout=None)
        with listen() as server, takes(55):
            port = server.getsockname()[1]
            (await dialer.replace(resolution_delay=50).connect("name.test", port)).close()
        with takes(3):
            error = await fails(dialer.replace(timeout=3).connect("name.test", 9))
        assert error.stage == "resolve"

    run(main)


def test_what_stands_on_calls_lives_in_the_loops_time(dead: tuple[str, int]) -> None:
    """Many, ready, a supervisor, streams."""

    async def main() -> None:
        with takes(60):
            async with aioconnect.connect_many([dead] * 3, target_timeout=60) as results:
                errors = [result.error async for result in results]
            assert all(isinstance(error, TimeoutError) for error in errors)
        begun = asyncio.get_running_loop().time()
        started = []
        with listen() as server:
            targets = [server.getsockname()] * 5
            async with aioconnect.connect_many(targets, rate=0.1, limit=1) as results:
                async for result in results:
                    assert result.socket is not None
                    result.socket.close()
                    started.append(result.started - begun)
        assert started == pytest.approx([0, 10, 20, 30, 40], abs=0.1)
        with refusing() as address, takes(599.9):  # its last look is a tenth before the end
            await fails(aioconnect.wait_until_ready(address, timeout=600))
        with takes(5):
            await fails(aioconnect.open_connection(*dead, timeout=5))
        with refusing() as address, takes(1100):
            policy = retry.schedule([100, 1000])
            async with Dialer(retry=policy).supervise(address) as sockets:
                await fails(anext(sockets))

    run(main)


def test_events_have_the_instants_of_the_loop() -> None:
    """Those of a call that waits among them."""
    seen: list[events.Event] = []

    async def main() -> None:
        await asyncio.sleep(5)
        with refusing() as address:
            policy = retry.attempts(2) & retry.constant(100)
            await fails(
                aioconnect.connect(address, retry=policy, timeout=None, on_event=seen.append)
            )

    run(main)
    assert [round(event.at) for event in seen] == [5, 5, 5, 105, 105, 105]


def test_a_loop_that_a_thread_has_meanwhile_keeps_real_time(dead: tuple[str, int]) -> None:
    """Each loop has its own clock."""

    async def main() -> None:
        def other() -> None:
            started = time.monotonic()
            with pytest.raises(TimeoutError):
                asyncio.run(aioconnect.connect(dead, timeout=0.2))
            assert time.monotonic() - started >= 0.2

        with takes(50):
            # No executor: its end has a time limit, which passes at once on such a loop.
            thread = threading.Thread(target=other)
            thread.start()
            await fails(aioconnect.connect(dead, timeout=50))
        thread.join()

    run(main)


@pytest.mark.parametrize("kind", LOOPS)
def test_where_the_loops_clock_is_the_systems_that_is_asked(kind: str) -> None:
    """It is finer: uvloop's has whole milliseconds."""

    async def main() -> None:
        assert poller.of(asyncio.get_running_loop()).clock is time.monotonic

    with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        runner.run(main())
