"""What is raised in one callback takes nobody else's instant, readiness or turn away."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import poller
from aioconnect.wait import WRITE

from ..support.account import descriptors
from ..support.loops import LOOPS
from ..support.servers import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

RAISED = [MemoryError, KeyboardInterrupt]


class Breaking(poller.Alarm):
    """One to whom something happens when it is woken: once, before it knows."""

    def __init__(self, raised: type[BaseException]) -> None:
        super().__init__()
        self.raised: type[BaseException] | None = raised

    def wake(self) -> None:
        """Wake it."""
        if self.raised is not None:
            raised, self.raised = self.raised, None
            raise raised
        super().wake()


class Program:
    """A loop that goes on after whatever is raised in its callbacks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.loop: Any = make()
        self.raised: list[type[BaseException]] = []  # no tracebacks: they would keep what they show
        self.loop.set_exception_handler(lambda _, said: self.raised.append(type(said["exception"])))

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a call to its end."""
        task = self.loop.create_task(call())
        while not task.done():
            try:
                self.loop.run_until_complete(asyncio.wait([task], timeout=20))
            except KeyboardInterrupt as exc:
                self.raised.append(type(exc))
            else:
                assert task.done(), "it hangs"
        return task.result()


@pytest.fixture(params=LOOPS)
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    """Give a loop of each kind."""
    made = Program(LOOPS[request.param])
    yield made
    made.loop.close()
    del made.loop  # uvloop keeps what it has raised last


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
@pytest.mark.parametrize("raised", RAISED)
def test_everybody_else_is_woken_in_time(program: Program, raised: type[BaseException]) -> None:
    """Those who were due at the same instant, and those who come later."""

    async def main() -> None:
        kept = poller.of(asyncio.get_running_loop())
        breaking = Breaking(raised)
        soon = kept.clock() + 0.02
        kept.wake_at(soon, breaking)
        sleeps = [poller.Alarm().sleep(kept, soon + more) for more in (0, 0, 0.001, 0.05)]
        await asyncio.gather(*sleeps)
        assert kept.clock() >= soon + 0.05
        assert breaking.raised is None
        kept.cancel(breaking)

    program.run(main)
    assert program.raised == [raised]


@pytest.mark.parametrize("raised", RAISED)
def test_a_clock_that_raises_loses_nobody(program: Program, raised: type[BaseException]) -> None:
    """Time limits still come."""

    async def main() -> None:
        kept = poller.of(asyncio.get_running_loop())
        clock = kept.clock

        def poor() -> float:
            if sys._getframe(1).f_code.co_name == "_fire" and not times:
                times.append(clock())
                raise raised
            return clock()

        until = clock() + 0.05
        kept.clock = poor
        await asyncio.gather(*[poller.Alarm().sleep(kept, until + more) for more in (0, 0.05)])
        kept.clock = clock

    times: list[float] = []
    program.run(main)
    assert program.raised == [raised]


@pytest.mark.parametrize("raised", RAISED)
def test_everybody_else_hears_of_its_readiness(
    program: Program, raised: type[BaseException]
) -> None:
    """Of many sockets that are ready in one turn, whichever one it happens to."""

    async def main() -> None:
        kept = poller.of(asyncio.get_running_loop())
        with listen() as server:
            for place in range(5):
                socks = [socket.create_connection(server.getsockname()) for _ in range(5)]
                alarms = [poller.Alarm() for _ in socks]
                alarms[place] = Breaking(raised)
                for sock, alarm in zip(socks, alarms, strict=True):
                    kept.watch(alarm, sock, WRITE)
                for sock, alarm in zip(socks, alarms, strict=True):
                    await alarm.sleep(kept, kept.clock() + 20)
                    assert alarm.items[0][0] is sock
                for sock in socks:
                    kept.unwatch(sock)
                    sock.close()

    program.run(main)
    assert program.raised == [raised] * 5


class Stumbling(asyncio.Future[None]):
    """A future to which something happens when its turn comes."""

    raised: type[BaseException] | None = None

    def set_result(self, result: None) -> None:
        """Set it."""
        if self.raised is not None:
            raised, self.raised = self.raised, None
            raise raised
        super().set_result(result)


@pytest.mark.parametrize("raised", RAISED)
def test_everybody_else_has_their_turn(raised: type[BaseException]) -> None:
    """Those who wait for a turn of the loop in which few enough connect."""

    class Loop(asyncio.SelectorEventLoop):
        def create_future(self) -> Any:
            made = Stumbling(loop=self)
            if sys._getframe(1).f_code.co_name == "acquire_slot":
                waiting.append(made)
                if len(waiting) == 3:
                    made.raised = raised
            return made

    waiting: list[Stumbling] = []
    came: list[int] = []

    async def dial(number: int) -> None:
        def forbid(endpoint: Any) -> None:
            came.append(number)
            raise PermissionError("forbidden")

        with suppress(PermissionError):
            await aioconnect.connect("127.0.0.1", 9, address_policy=forbid)

    async def main() -> None:
        tasks = [asyncio.create_task(dial(number)) for number in range(200)]
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert came == list(range(200))

    program = Program(Loop)
    program.run(main)
    program.loop.close()
    assert program.raised == [raised]


def test_no_memory_for_the_wait_leaves_no_socket(dead: tuple[str, int]) -> None:
    """What the first step has begun is closed, and no longer watched."""
    poor: list[bool] = []

    class Loop(asyncio.SelectorEventLoop):
        def create_future(self) -> Any:
            if poor:
                raise MemoryError
            return super().create_future()

    async def main() -> None:
        with suppress(TimeoutError):
            await aioconnect.connect(*dead, timeout=0.01)
        before = descriptors()
        poor.append(True)
        for _ in range(5):
            with pytest.raises(MemoryError):
                await aioconnect.connect(*dead)
        poor.clear()
        watcher: Any = poller.of(asyncio.get_running_loop())._watcher()
        assert not watcher._waiting
        assert descriptors() == before

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
