"""The system's resolver, as a coroutine."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from typing import Any

import pytest

from aioconnect import errors
from aioconnect.resolve import SystemResolver, default
from aioconnect.resolve.answers import FAMILIES
from aioconnect.resolve.per_loop import Mailbox
from aioconnect.resolve.threads import Lookups

from ..support.loops import LOOPS
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


async def test_a_name_is_asked_for_whole(libc: Libc) -> None:
    """One question for both families, as every other program asks it."""
    resolver = SystemResolver(lookups=Lookups())
    search = resolver.lookup_name("a.test", FAMILIES)
    assert [(a.family, a.addresses) async for a in search] == [(V6, ("::1",)), (V4, ("10.0.0.1",))]
    assert libc.asked == [("a.test", 0)]


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
    """It takes all that has come: none is lost, and far fewer wake-ups are made than answers."""
    woken = 0
    empty = Mailbox._empty

    def counted(mailbox: Mailbox) -> None:
        nonlocal woken
        woken += 1
        empty(mailbox)

    monkeypatch.setattr(Mailbox, "_empty", counted)
    resolver = SystemResolver(lookups=Lookups())
    for _ in range(3):
        woken = 0
        answers = await asyncio.gather(*(resolver.lookup(f"n{n}.test", V4) for n in range(1000)))
        assert len(answers) == 1000
        assert woken < 1000
    for number in range(20):  # and one by one they come as ever
        assert (await resolver.lookup(f"m{number}.test", V4)).addresses


@pytest.mark.parametrize("crowd", [1, 2, 3, 4, 5, 50])
async def test_no_answer_is_left_lying(crowd: int, libc: Libc) -> None:
    """However many come together, the last of them too, again and again."""
    resolver = SystemResolver(lookups=Lookups())
    for start in range(0, 60 * crowd, crowd):
        async with asyncio.timeout(20):
            await asyncio.gather(*(resolver.lookup(f"n{start + n}.test", V4) for n in range(crowd)))


async def test_an_answer_that_comes_while_others_are_handed_out_is_not_left_lying() -> None:
    """A thread that sees the loop awake does not wake it: the loop looks once more."""
    loop = asyncio.get_running_loop()
    mailbox = Mailbox(loop)
    last: asyncio.Future[str] = loop.create_future()
    mailbox.put(mailbox.put, last.set_result, "it came")
    async with asyncio.timeout(5):
        assert await last == "it came"


async def test_a_callback_that_fails_does_not_cost_the_others_their_answer() -> None:
    """The loop is told of it, as of any callback."""
    loop = asyncio.get_running_loop()
    said: list[Any] = []
    loop.set_exception_handler(lambda _, context: said.append(context["exception"]))
    mailbox = Mailbox(loop)
    last: asyncio.Future[str] = loop.create_future()
    mailbox.put(int, "no number")
    mailbox.put(last.set_result, "it came")
    async with asyncio.timeout(5):
        assert await last == "it came"
    assert isinstance(said[0], ValueError)


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_for_a_closed_loop_is_dropped(loop: str) -> None:
    """The thread that brings it goes on."""
    closed = LOOPS[loop]()
    mailbox = Mailbox(closed)
    waiter = closed.create_future()
    closed.close()
    mailbox.put(waiter.set_result, "too late")
    assert not waiter.done()


@pytest.mark.parametrize("turns", range(4))
async def test_cancelling_comes_out_as_cancelling(turns: int, libc: Libc) -> None:
    """While it queues, while libc has it, when the answer is about to come."""
    lookups = Lookups(1)
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
