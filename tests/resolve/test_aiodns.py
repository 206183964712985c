"""aiodns on the loop: its lifetime, its bounds, and what goes to the system.

How it meets a name server that misbehaves is in ``test_behaviours.py``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pycares
import pytest

from aioconnect import errors
from aioconnect.about import DISTRIBUTION
from aioconnect.resolve import AiodnsResolver, Answer, StaticResolver, queries
from aioconnect.resolve.answers import FAMILIES

from ..support import children
from ..support.account import descriptors, name_of
from ..support.loops import LOOPS
from .behaviours import OTHER4, V4, V6, script
from .dns import A, Question, Send, Server, address, reply
from .lab import ROOT
from .test_threads import V4 as INET
from .test_threads import V6 as INET6
from .test_threads import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(script) as serving:
        yield serving


async def found(resolver: Any, name: str, family: int = INET) -> tuple[str, ...]:
    answer: Answer = await resolver.lookup(name, family)
    return answer.addresses


def sockets() -> int:
    """How many sockets this process has open."""
    return sum(name_of(fd).startswith("socket:") for fd in descriptors())


def gone(before: int) -> None:
    """Wait until what was closed is given back: a closed channel takes up to a second."""
    until(lambda: sockets() == before)


# Its lifetime -------------------------------------------------------------------------------------


async def test_it_has_two_ports_and_no_socket_while_nothing_is_asked(server: Server) -> None:
    """One resolver for each family and loop, however many names are asked for."""
    resolver = AiodnsResolver([server.text])
    before = sockets()
    for name in ("both.fault.test", "both.n1.fault.test", "only4.fault.test"):
        assert [a.addresses async for a in resolver.lookup_name(name, FAMILIES)]
    until(lambda: sockets() == before)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolver.lookup("lost.fault.test", INET)
    until(lambda: sockets() == before)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    channels = resolver._loops.of(asyncio.get_running_loop())._channels
    assert len(channels) == 2


@pytest.mark.parametrize("loop", LOOPS)
def test_it_closes_itself_before_its_loop(loop: str, server: Server) -> None:
    """With a question on its way, and without anybody calling aclose."""
    resolver = AiodnsResolver([server.text])

    async def main() -> None:
        asking = asyncio.create_task(resolver.lookup("lost.fault.test", INET))
        await asyncio.sleep(0.05)
        assert sockets() > before
        assert not asking.done()

    before, fds = sockets(), len(descriptors())
    for _ in range(3):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())
        gone(before)
        until(lambda: len(descriptors()) == fds)


@pytest.mark.parametrize("loop", LOOPS)
def test_shutting_down_asynchronous_generators_is_enough(loop: str, server: Server) -> None:
    """Who waits then gets an error, not silence."""
    resolver = AiodnsResolver([server.text])
    running = LOOPS[loop]()
    try:

        async def begin() -> asyncio.Task[Answer]:
            task = asyncio.create_task(resolver.lookup("lost.fault.test", INET))
            await asyncio.sleep(0.02)
            return task

        task = running.run_until_complete(begin())
        running.run_until_complete(running.shutdown_asyncgens())
        with pytest.raises(errors.NameNotResolved) as info:
            running.run_until_complete(task)
        assert info.value.code == "try_again"
        assert "closed" in (info.value.strerror or ""), "and not timed out"
    finally:
        running.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_closed_without_ceremony_leaves_nothing(
    loop: str, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither a descriptor nor a word on stderr, even with a query that was given up."""
    resolver = AiodnsResolver([server.text])

    async def give_up(name: str) -> None:
        other = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await resolver.lookup(name, INET)
        other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await other

    before = sockets()
    running = LOOPS[loop]()
    running.run_until_complete(give_up("lost.fault.test"))
    running.close()
    dead = weakref.ref(running)
    del running
    gc.collect()
    assert dead() is None, "the resolver holds no loop"
    gone(before)
    time.sleep(0.7)  # the answer to the other query comes now
    assert capfd.readouterr().err == ""


async def test_aclose_ends_what_is_on_its_way_and_the_resolver_can_go_on(server: Server) -> None:
    """Those who wait, with c-ares or in the queue, get an error; a later look-up works."""
    resolver = AiodnsResolver([server.text])
    await resolver.aclose()
    tasks = [
        asyncio.create_task(resolver.lookup(f"lost.n{number}.fault.test", INET))
        for number in range(queries.IN_FLIGHT + 10)
    ]
    await asyncio.sleep(0.02)
    before = sockets()
    await resolver.aclose()
    until(lambda: sockets() < before)
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(outcome, errors.NameNotResolved)
        assert outcome.code == "try_again"
    assert await found(resolver, "both.fault.test") == (V4,)
    await resolver.aclose()


def test_loops_in_several_threads_share_a_resolver(server: Server) -> None:
    """Each has its own channel."""
    resolver = AiodnsResolver([server.text])
    seen: list[tuple[str, ...]] = []

    def run(loop: str) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            names = [f"both.n{number}.fault.test" for number in range(20)]
            seen.extend(runner.run(found(resolver, name, INET6)) for name in names)

    users = [threading.Thread(target=run, args=(loop,)) for loop in (*LOOPS, *LOOPS)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert seen == [(V6,)] * 80


FORK = """
import asyncio, gc, os, sys, threading, time
import pycares
from aioconnect.resolve import AiodnsResolver, Cache
resolver = AiodnsResolver([sys.argv[1]])

async def ask(name):
    return (await resolver.lookup(name, 2)).addresses

def in_the_child():
    gc.collect()
    for number in range(50):
        resolver.forget("both.fault.test")
        assert asyncio.run(ask("both.fault.test")) == ("10.0.0.1",)
    gc.collect()
    # All its channels are destroyed in the end: pycares' thread for that is alive here too.
    deadline = time.monotonic() + 10
    while pycares._shutdown_manager._queue.qsize():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os._exit(0)

async def parent():
    # The child is made while a query of the parent is on its way.
    slow = asyncio.create_task(ask("slow4.fault.test"))
    await ask("both.fault.test")
    child = os.fork()
    if child == 0:
        slow.cancel()  # its socket is also the parent's, and so is the epoll that it is in
        await asyncio.sleep(0)
        thread = threading.Thread(target=in_the_child)  # in which no loop is running
        thread.start()
        thread.join()
        os._exit(1)
    addresses = await slow
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return addresses

print(asyncio.run(parent()), flush=True)
"""


def test_a_forked_child_makes_its_own(server: Server) -> None:
    """The parent's query, on its way while it forked, still comes."""
    done = children.run(
        [sys.executable, "-W", "ignore", "-c", FORK, server.text],
        cwd=ROOT,
        timeout=30,
    )
    assert (done.stdout.strip(), done.stderr) == ("('10.0.0.1',)", "")
    assert server.times("slow4.fault.test") == 1, "the child did not take it from the parent"


FORK_AMID_ANSWERS = """
import asyncio, os, signal, sys, time
from aioconnect.resolve import AiodnsResolver
resolver = AiodnsResolver([sys.argv[1]])

async def main():
    for number in range(40):
        names = [f"both.n{number}x{one}.fault.test" for one in range(30)]
        tasks = [asyncio.create_task(resolver.lookup(name, 2)) for name in names]
        await tasks[0]  # the thread of c-ares is in the middle of the others, and holds its lock
        child = os.fork()
        if child == 0:
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            os._exit(0)
        deadline = time.monotonic() + 5
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                sys.exit("the child waits for a lock that nobody holds")
            time.sleep(0.001)
        await asyncio.gather(*tasks)

asyncio.run(main())
"""


def test_a_child_forked_amid_answers_leaves_the_parents_queries_alone(server: Server) -> None:
    """To end one of them would wait for a lock of a thread that the child doesn't have."""
    done = children.run(
        [sys.executable, "-W", "ignore", "-c", FORK_AMID_ANSWERS, server.text],
        cwd=ROOT,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


# Cancellation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(7))
async def test_cancelling_at_every_turn_comes_out_as_cancelling(turns: int, server: Server) -> None:
    """However far it has come; no descriptor, timer or reader of it is left."""
    resolver = AiodnsResolver([server.text])
    before = sockets()
    task = asyncio.create_task(resolver.lookup("both.fault.test", INET))
    for turn in range(turns):
        await asyncio.sleep(0.01 if turn == 4 else 0)
    done_before = task.done()
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, Answer if done_before else asyncio.CancelledError)
    gone(before)
    ours = resolver._loops.of(asyncio.get_running_loop())
    assert not ours._latest
    assert all(channel._timer is None for channel in ours._channels.values())


async def test_one_waiters_cancellation_is_its_own(server: Server) -> None:
    """The same question asked by many is one query; it survives the one who began it."""
    resolver = AiodnsResolver([server.text])
    tasks = [asyncio.create_task(resolver.lookup("slow4.fault.test", INET)) for _ in range(50)]
    await asyncio.sleep(0.02)
    for task in tasks[:-1]:
        task.cancel()
    await asyncio.gather(*tasks[:-1], return_exceptions=True)
    assert (await tasks[-1]).addresses == (V4,)
    assert server.times("slow4.fault.test", A) <= 2, "at most once repeated by c-ares"


async def test_who_comes_back_is_answered(server: Server) -> None:
    """Or makes another one; who else asks on the same channel does not notice."""
    resolver = AiodnsResolver([server.text])
    other = asyncio.create_task(resolver.lookup("slow4.other.fault.test", INET))
    first = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert await found(resolver, "slow4.fault.test") == (V4,)
    assert server.times("slow4.fault.test", A) <= 2
    await other


# Bounds -------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_only_so_many_queries_are_on_their_way(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest queues, and those who give up while queueing are never asked for."""
    monkeypatch.setattr(queries, "IN_FLIGHT", 8)
    resolver = AiodnsResolver([server.text])
    tasks = [
        asyncio.create_task(resolver.lookup(f"slow4.n{number}.fault.test", INET))
        for number in range(30)
    ]
    await asyncio.sleep(0.1)
    assert len({name for name, _ in server.asked}) == 8
    for task in tasks[10:]:
        task.cancel()
    assert [(await task).addresses for task in tasks[:10]] == [(V4,)] * 10
    assert len({name for name, _ in server.asked}) == 10
    channel = resolver._loops.of(asyncio.get_running_loop())._channels[INET]
    assert channel._timer is None


async def test_a_dead_zone_holds_up_nobody_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not answered promptly stops counting, though its caller goes on waiting."""
    monkeypatch.setattr(queries, "IN_FLIGHT", 4)
    monkeypatch.setattr(queries, "PROMPT", 0.2)
    resolver = AiodnsResolver([server.text])
    dead = [
        asyncio.create_task(resolver.lookup(f"lost.n{number}.fault.test", INET))
        for number in range(12)
    ]
    await asyncio.sleep(0.05)
    assert sum(server.asked.values()) == 4
    assert await found(resolver, "both.fault.test") == (V4,)
    assert not any(task.done() for task in dead)
    for task in dead:
        task.cancel()


async def test_a_dead_family_does_not_hold_up_the_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that drops AAAA, and a program that asks for many names."""
    monkeypatch.setattr(queries, "IN_FLIGHT", 4)
    monkeypatch.setattr(queries, "PROMPT", 60)
    resolver = AiodnsResolver([server.text])
    names = [f"lost6.n{number}.fault.test" for number in range(30)]
    dead = [asyncio.create_task(resolver.lookup(name, INET6)) for name in names]
    await asyncio.sleep(0.05)
    assert sum(server.asked.values()) == 4
    assert [await found(resolver, name) for name in names] == [(V4,)] * 30
    assert not any(task.done() for task in dead)
    for task in dead:
        task.cancel()


@pytest.mark.slow
async def test_queries_given_up_do_not_hold_up_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c-ares goes on asking a dead server for them; living ones are asked all the same."""
    monkeypatch.setattr(queries, "IN_FLIGHT", 4)
    resolver = AiodnsResolver([server.text])
    alive = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    for number in range(60):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await resolver.lookup(f"lost.n{number}.fault.test", INET)
    assert await found(resolver, "both.fault.test") == (V4,)
    assert (await alive).addresses == (V4,)
    channel = resolver._loops.of(asyncio.get_running_loop())._channels[INET]
    await asyncio.sleep(0.5)
    assert not channel._with_cares


@pytest.mark.slow
async def test_ten_thousand_who_give_up_leave_nothing(server: Server) -> None:
    """A name server that never answers, and callers who don't wait for ever."""
    resolver = AiodnsResolver([server.text])
    before = sockets()
    for _ in range(10):
        tasks = [
            asyncio.create_task(resolver.lookup(f"lost.n{number}.fault.test", INET))
            for number in range(1000)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ours = resolver._loops.of(asyncio.get_running_loop())
    assert not ours._latest
    channel = ours._channels[INET]
    assert channel._timer is None
    assert not channel.queued
    assert not channel._given
    gone(before)


async def test_a_thousand_names_at_once_all_come(server: Server) -> None:
    """Each is asked once: nothing was lost to an overflowing socket and repeated."""
    resolver = AiodnsResolver([server.text])
    names = [f"both.n{number}.fault.test" for number in range(1000)]
    answers = await asyncio.gather(*(found(resolver, name) for name in names))
    assert answers == [(V4,)] * 1000
    assert sum(server.asked.values()) <= 1010


# Nothing is kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["moves.fault.test", "appears.fault.test"])
async def test_each_look_up_asks(name: str, server: Server) -> None:
    """c-ares has a cache that can't be switched off: an empty answer stays in it for an hour."""
    resolver = AiodnsResolver([server.text])
    for expected in (1, 2, 3):
        with suppress(errors.NameNotResolved):
            await resolver.lookup(name, INET)
        assert server.times(name) == expected
    assert await found(resolver, name) == (OTHER4 if name.startswith("moves") else V4,)


async def test_also_while_another_query_is_on_its_way(server: Server) -> None:
    """Which is neither lost nor repeated for that."""
    resolver = AiodnsResolver([server.text])
    slow = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    assert await found(resolver, "moves.fault.test") == (V4,)
    assert await found(resolver, "moves.fault.test") == (OTHER4,)
    assert (await slow).addresses == (V4,)
    assert server.times("slow4.fault.test") == 1


async def test_a_query_on_its_way_counts_as_old_when_forgotten(server: Server) -> None:
    """Who asks after that gets an answer of their own."""
    resolver = AiodnsResolver([server.text])
    early = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    joined = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    assert server.times("slow4.fault.test") == 1
    resolver.forget("slow4.fault.test")
    late = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    assert server.times("slow4.fault.test") == 2
    for task in (early, joined, late):
        assert (await task).addresses == (V4,)


async def test_a_dead_server_is_remembered(server: Server) -> None:
    """Only the first name waits for it: what c-ares learns of its servers stays."""

    def silent(question: Question) -> Iterator[Send]:
        yield from ()

    with Server(silent) as dead:
        resolver = AiodnsResolver([dead.text, server.text], timeout=0.2)
        for number in range(5):
            assert await found(resolver, f"both.n{number}.fault.test") == (V4,)
        assert len(dead.asked) <= 2


# Answers ------------------------------------------------------------------------------------------


async def test_an_answer_says_where_it_is_from(server: Server) -> None:
    """From DNS with its time to live, which is that of the whole chain of aliases."""
    resolver = AiodnsResolver([server.text])
    answer = await resolver.lookup("chain.fault.test", INET6)
    assert answer.addresses == (V6,)
    assert (answer.source, answer.ttl, answer.canonical) == ("dns", 20.0, "end.fault.test")
    assert answer.duration > 0


@pytest.mark.parametrize("name", ["", "a\0b", "ä.test", "x" * 64 + ".test", "a..test"])
async def test_what_no_host_is_called_is_no_name(name: str, server: Server) -> None:
    """Nothing of it reaches the server."""
    with pytest.raises(errors.NameNotResolved) as info:
        await AiodnsResolver([server.text]).lookup(name, INET)
    assert info.value.code == "host_not_found"
    assert not server.asked


@pytest.mark.parametrize(
    ("name", "ttl"), [("ttl-of-ages.fault.test", 0.0), ("both.fault.test", 300.0)]
)
async def test_a_time_to_live_with_its_highest_bit_set_is_none(
    name: str, ttl: float, server: Server
) -> None:
    """RFC 2181, section 8."""
    assert (await AiodnsResolver([server.text]).lookup(name, INET)).ttl == ttl


async def test_a_record_of_another_name_is_not_taken(server: Server) -> None:
    """Whoever it belongs to: it was not asked for."""
    with pytest.raises(errors.NameNotResolved) as info:
        await AiodnsResolver([server.text]).lookup("of-another-name.fault.test", INET)
    assert info.value.code == "no_data"


async def test_a_server_that_is_not_there_is_a_failure_for_now() -> None:
    """Its port answers with "unreachable": that is no word on the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    resolver = AiodnsResolver([f"127.0.0.1:{port}"], timeout=0.3, tries=1)
    with pytest.raises(errors.NameNotResolved) as info:
        await resolver.lookup("a.test", INET)
    assert info.value.code == "try_again"


async def test_the_next_server_is_asked_when_the_first_is_silent() -> None:
    """And the time for each try is the caller's."""

    def silent(question: Question) -> Iterator[Send]:
        yield from ()

    with Server(silent) as dead, Server(script) as alive:
        resolver = AiodnsResolver([dead.text, alive.text], timeout=0.3, tries=2)
        assert await found(resolver, "both.fault.test") == (V4,)
        assert dead.times("both.fault.test") >= 1


@pytest.mark.slow
async def test_a_slow_name_is_waited_for_after_quick_ones() -> None:
    """Quick answers must not make it give up on one that takes a second."""

    def slow(question: Question) -> Iterator[Send]:
        yield Send(reply(question, [address(question.name, V4)]), 1.0 * ("slow" in question.name))

    with Server(slow) as server:
        resolver = AiodnsResolver([server.text], timeout=5.0, tries=3)
        for number in range(4):
            await found(resolver, f"quick{number}.test")
        assert await found(resolver, "slow.test") == (V4,)
        assert server.times("slow.test") == 1


@pytest.mark.slow
async def test_a_silent_server_is_given_up_when_its_time_is_over() -> None:
    """``timeout`` times ``tries``, whatever c-ares thinks of the server."""

    def silent(question: Question) -> Iterator[Send]:
        if "lost" not in question.name:
            yield Send(reply(question, [address(question.name, V4)]))

    with Server(silent) as server:
        resolver = AiodnsResolver([server.text], timeout=0.5, tries=3)
        for number in range(4):
            await found(resolver, f"quick{number}.test")
        began = time.monotonic()
        with pytest.raises(errors.NameNotResolved) as info:
            await resolver.lookup("lost.test.", INET)
        assert time.monotonic() - began > 1.4
        assert info.value.code == "try_again"


@pytest.mark.parametrize(
    "options",
    [
        {"nameservers": ["nonsense"]},
        {"nameservers": []},
        {"nameservers": ["10.0.0.1:0"]},
        {"nameservers": ["10.0.0.1:65536"]},
        {"nameservers": ["10.0.0.1%eth0"]},
        {"nameservers": ["[10.0.0.1:53"]},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"tries": 0},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    """Not at the first look-up."""
    with pytest.raises(ValueError, match=r"name server|timeout"):
        AiodnsResolver(**options)


@pytest.mark.parametrize(
    ("written", "server"),
    [
        ("10.0.0.1", "10.0.0.1:53"),
        ("10.0.0.1:5353", "10.0.0.1:5353"),
        ("2001:DB8::1", "[2001:db8::1]:53"),
        ("[2001:db8::1]", "[2001:db8::1]:53"),
        ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ("fe80::1%lo", "[fe80::1]:53%lo"),
        ("[fe80::1%lo]:5353", "[fe80::1]:5353%lo"),
    ],
)
async def test_a_name_server_may_be_written_in_any_way(written: str, server: str) -> None:
    """With a port or without, IPv6 with its interface; c-ares takes each."""
    resolver = AiodnsResolver([written], timeout=0.05, tries=1)
    with pytest.raises(errors.ConnectError):
        await resolver.lookup("a.test.", INET)
    channel = resolver._loops.of(asyncio.get_running_loop())._channels[INET]
    assert channel._resolver._channel.servers == [server]


async def test_a_channel_that_cannot_be_made_is_a_failed_look_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of memory, say: nobody waits for ever, and the next look-up tries again."""
    resolver = AiodnsResolver([server.text])

    def refuse(*_: object, **__: object) -> None:
        raise pycares.AresError("Failed to initialize c-ares channel")

    with monkeypatch.context() as context:
        context.setattr(pycares, "Channel", refuse)
        with pytest.raises(errors.NameNotResolved) as info:
            await resolver.lookup("both.fault.test", INET)
        assert info.value.errno == socket.EAI_MEMORY
    assert await found(resolver, "both.fault.test") == (V4,)


async def test_without_an_inotify_instance_it_works_and_is_silent(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Aiodns then goes without its own thread, and warns: that is nobody's business."""
    make = pycares.Channel

    def without_a_thread(*args: Any, **options: Any) -> Any:
        if options.get("sock_state_cb") is None:
            raise pycares.AresError("Failed to initialize c-ares channel")
        return make(*args, **options)

    monkeypatch.setattr(pycares, "Channel", without_a_thread)
    with caplog.at_level(logging.DEBUG, "aiodns"):
        resolver = AiodnsResolver([server.text])
        assert await found(resolver, "both.fault.test") == (V4,)
        await resolver.aclose()
    assert not caplog.records
    logging.getLogger("aiodns").warning("what others do with aiodns is still said")
    assert len(caplog.records) == 1


# What is left to the system -----------------------------------------------------------------------

SYSTEM = StaticResolver({"printer.local": "192.0.2.9", "intranet": "192.0.2.8"})


@pytest.mark.parametrize("name", ["printer.local", "Printer.LOCAL."])
async def test_dot_local_is_not_asked_by_dns(name: str, server: Server) -> None:
    """RFC 6762: it is multicast DNS's, if this host has it."""
    resolver = AiodnsResolver([server.text], fallback=SYSTEM)
    assert await found(resolver, name) == ("192.0.2.9",)
    assert not server.asked


def test_without_aiodns_the_error_says_what_to_install() -> None:
    """The extra is named."""
    code = "import sys; sys.modules['aiodns'] = None; from aioconnect.resolve import AiodnsResolver"
    done = children.run([sys.executable, "-c", code], cwd=ROOT)
    assert f"install {DISTRIBUTION}[aiodns]" in done.stderr


ROUNDS = """
import asyncio, faulthandler, random, sys
faulthandler.enable()
from aioconnect.resolve import AiodnsResolver

async def main(seed):
    asyncio.get_running_loop().slow_callback_duration = 60  # -X dev would speak of a busy machine
    chance = random.Random(seed)
    resolver = AiodnsResolver([sys.argv[1]], timeout=0.2, tries=1)
    tasks = []
    kinds = ["both", "lost", "chain", "empty", "truncated", "cut-short"]
    for number in range(1000):
        name = f"{chance.choice(kinds)}.n{chance.randrange(40)}.fault.test"
        tasks.append(asyncio.create_task(resolver.lookup(name, chance.choice((2, 10)))))
        if chance.random() < 0.3:
            tasks.pop(chance.randrange(len(tasks))).cancel()
        if chance.random() < 0.1:
            resolver.forget(name)
        if chance.random() < 0.01:
            await resolver.aclose()
        if chance.random() < 0.2:
            await asyncio.sleep(0)
        if len(tasks) > 200:
            await asyncio.gather(*tasks, return_exceptions=True)
            tasks.clear()
    await asyncio.gather(*tasks, return_exceptions=True)

for seed in range(3):
    asyncio.run(main(seed))
print("fine")
"""


@pytest.mark.slow
def test_thousands_of_queries_cancelled_forgotten_and_closed_crash_nothing(
    server: Server,
) -> None:
    """c-ares' bindings had crashes in just these places: freed memory is poisoned here."""
    done = children.run(
        [sys.executable, "-X", "dev", "-c", ROUNDS, server.text],
        cwd=ROOT,
        timeout=100,
        env={**os.environ, "MALLOC_PERTURB_": "165"},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("fine\n", "", 0)


def test_the_servers_own_count_is_right(server: Server) -> None:
    """The scripted server counts questions by name and type, or these tests prove nothing."""
    asyncio.run(found(AiodnsResolver([server.text]), "both.fault.test"))
    assert server.asked == Counter({("both.fault.test", A): 1})
    until(lambda: server.times("both.fault.test") == 1)
