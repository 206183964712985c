"""The system's resolver, as a coroutine."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref

import pytest

from aioconnect import errors
from aioconnect.resolve import SystemResolver, default, system
from aioconnect.resolve.threads import Lookups

from ..conftest import LOOPS
from .test_threads import V4, V6, Libc, libc, until

__all__ = ["libc"]


async def test_it_asks_libc(libc: Libc) -> None:
    """One question for one family."""
    resolver = SystemResolver(lookups=Lookups())
    answer = await resolver.lookup("a.test", V6)
    assert answer.addresses == ("::1",)
    assert answer.source == "system"
    assert answer.ttl is None
    assert libc.asked == [("a.test", V6)]


async def test_flags_reach_libc(libc: Libc) -> None:
    """As with asyncio's ``flags=``."""
    await SystemResolver(flags=socket.AI_ADDRCONFIG, lookups=Lookups()).lookup("a.test", V4)
    assert libc.flags == {socket.AI_ADDRCONFIG | socket.AI_CANONNAME}


async def test_errors_are_connect_errors_without_a_cycle(libc: Libc) -> None:
    """Nothing is left for the garbage collector: the error goes when who caught it lets go."""
    resolver = SystemResolver(lookups=Lookups())
    gc.disable()
    try:
        try:
            await resolver.lookup("absent.test", V4)
        except errors.NameNotResolved as exc:
            gone = weakref.ref(exc)
        for _ in range(100):  # the loop and the thread may hold it until their turn ends
            await asyncio.sleep(0.01)
            if gone() is None:
                break
        assert gone() is None
    finally:
        gc.enable()


async def test_a_thousand_names_wake_the_loop_now_and_then(
    libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wake-up takes all that has come: none is lost, and far fewer are made than answers."""
    woken = 0
    put = system._Mailbox._empty

    def counted(mailbox: system._Mailbox) -> None:
        nonlocal woken
        woken += 1
        put(mailbox)

    monkeypatch.setattr(system._Mailbox, "_empty", counted)
    system._mailboxes.pop(asyncio.get_running_loop(), None)
    resolver = SystemResolver(lookups=Lookups())
    answers = await asyncio.gather(*(resolver.lookup(f"n{n}.test", V4) for n in range(1000)))
    assert len(answers) == 1000
    assert 1 <= woken <= 1000


@pytest.mark.parametrize("turns", range(4))
async def test_cancelling_comes_out_as_cancelling(turns: int, libc: Libc) -> None:
    """While it queues, while libc has it, when the answer is about to come."""
    lookups = Lookups(1, reserved=0)
    resolver = SystemResolver(lookups=lookups)
    running = asyncio.create_task(resolver.lookup("hung.test", V4))
    queued = asyncio.create_task(resolver.lookup("queued.test", V4))
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns:
        until(lambda: libc.at_once == 1)
    if turns == 3:
        libc.release.set()
        until(lambda: bool(lookups._idle))
    for task in (queued, running):
        task.cancel()
    outcomes = await asyncio.gather(running, queued, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert all(task.cancelling() for task in (running, queued))
    libc.release.set()
    until(lambda: not lookups._jobs)
    assert len(libc.asked) == {0: 0, 3: 2}.get(turns, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("loop", LOOPS)
def test_a_look_up_that_outlives_its_loop_is_dropped(loop: str, libc: Libc) -> None:
    """The answer comes after the loop was closed: nobody is told, nothing is printed."""
    lookups = Lookups()
    resolver = SystemResolver(lookups=lookups)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await resolver.lookup("hung.test", V4)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(give_up())
    libc.release.set()
    until(lambda: not lookups._jobs)


def test_loops_in_several_threads_share_a_resolver(libc: Libc) -> None:
    """And a question that both ask at once."""
    lookups = Lookups()
    resolver = SystemResolver(lookups=lookups)
    found: list[tuple[str, ...]] = []

    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            found.append(runner.run(resolver.lookup("hung.test", V4)).addresses)

    users = [threading.Thread(target=run, args=(loop,)) for loop in LOOPS]
    for user in users:
        user.start()
    until(lambda: sum(len(job.tickets) for job in lookups._jobs.values()) == len(users))
    libc.release.set()
    for user in users:
        user.join()
    assert found == [("10.0.0.1",)] * 2
    assert libc.asked == [("hung.test", V4)]


def test_the_default_is_one_for_the_process() -> None:
    """It is the system's."""
    assert default() is default()
    assert isinstance(default(), SystemResolver)
