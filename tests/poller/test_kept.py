"""What is kept for a loop, and for how long."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import threading
import weakref
from typing import Any

import pytest

import aioconnect
from aioconnect import poller

from ..support.account import descriptors, without_collector
from ..support.loops import LOOPS, Steps
from ..support.servers import drain, listen
from ..support.sockets import slow


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
