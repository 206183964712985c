"""c-ares on the loop: its lifetime, its hidden cache, its bounds, and what goes to the system.

How it meets a name server that misbehaves is in ``test_behaviours.py``.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from aioconnect import errors
from aioconnect.about import DISTRIBUTION
from aioconnect.resolve import AiodnsResolver, Answer, StaticResolver, aiodns, cares, queries

from ..support import children
from ..support.account import descriptors
from ..support.loops import LOOPS
from .behaviours import OTHER4, V4, V6, script
from .dns import AAAA, A, Question, Send, Server, address, reply
from .lab import ROOT
from .test_threads import V4 as INET
from .test_threads import V6 as INET6
from .test_threads import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(script) as serving:
        yield serving


async def found(resolver: Any, name: str, family: int = INET) -> tuple[str, ...]:
    answer: Answer = await resolver.lookup(name, family)
    return answer.addresses


def sockets() -> int:
    """How many sockets this process has open."""
    return sum(
        1 for fd in descriptors() if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    )


# Its lifetime -------------------------------------------------------------------------------------


async def test_it_holds_no_descriptor_and_no_thread_while_nothing_is_asked(server: Server) -> None:
    """Not after an answer, and not after giving up."""
    resolver = AiodnsResolver([server.text])
    threads, before = threading.active_count(), sockets()
    assert await found(resolver, "both.fault.test") == (V4,)
    assert sockets() == before
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolver.lookup("lost.fault.test", INET)
    assert sockets() == before
    # pycares has one thread in the process, by which it destroys channels.
    assert threading.active_count() <= threads + 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("loop", LOOPS)
def test_it_closes_itself_before_its_loop(loop: str, server: Server) -> None:
    """With a question on its way, and without anybody calling aclose."""
    resolver = AiodnsResolver([server.text])
    channels: list[cares.Channel] = []

    async def main() -> None:
        asking = asyncio.create_task(resolver.lookup("lost.fault.test", INET))
        await asyncio.sleep(0.02)
        (ours,) = resolver._loops.values()
        channels.extend(line.channel for line in ours._lines)
        assert sockets() > before
        assert not asking.done()

    before = sockets()
    for _ in range(3):
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(main())
        assert sockets() == before
    assert len(channels) == 3
    assert all(channel.closed for channel in channels)


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
        assert "cancelled" in (info.value.strerror or ""), "and not timed out"
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
    gone = weakref.ref(running)
    del running
    gc.collect()
    assert gone() is None, "the resolver holds no loop"
    assert sockets() == before
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
    assert sockets() < before
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


async def test_a_channel_that_is_closed_with_a_query_on_its_way_keeps_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor, no timer, and nobody is told; and not only when pycares' thread has run."""
    monkeypatch.setattr(cares.pycares._shutdown_manager, "destroy_channel", lambda *_: None)
    told: list[Any] = []

    class Asker:
        def tell(self, outcomes: list[cares.Outcome], at_once: bool) -> None:
            told.extend(outcomes)

    asker, before = Asker(), sockets()
    options = {"servers": [server.text]}
    channel = cares.Channel(asyncio.get_running_loop(), options, asker.tell)
    channel.ask(1, b"lost.fault.test", INET)
    assert channel._timer is not None
    assert sockets() == before + 1
    timer = channel._timer
    channel.close()
    channel.close()
    assert timer.cancelled()
    assert sockets() == before
    assert told == []


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
    assert sockets() == before
    for ours in resolver._loops.values():
        assert not ours._with_cares
        assert not ours._latest
        assert all(line.channel._timer is None for line in ours._lines)


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


async def test_who_comes_back_joins_the_query_that_was_given_up(server: Server) -> None:
    """While it is kept alive by another query on the same channel."""
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
    (ours,) = resolver._loops.values()
    assert ours._timer is None


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


async def test_queries_given_up_do_not_hold_up_others(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c-ares goes on asking a dead server for them; living ones are asked all the same."""
    monkeypatch.setattr(queries, "IN_FLIGHT", 4)
    monkeypatch.setattr(queries, "ABANDONED", 16)
    resolver = AiodnsResolver([server.text])
    alive = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    for number in range(60):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await resolver.lookup(f"lost.n{number}.fault.test", INET)
    (ours,) = resolver._loops.values()
    assert len(ours._with_cares) <= 16 * 2 + 2
    assert await found(resolver, "both.fault.test") == (V4,)
    assert (await alive).addresses == (V4,)
    assert not ours._with_cares
    assert len(ours._lines) <= 1


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
    (ours,) = resolver._loops.values()
    assert not ours._with_cares
    assert not ours._latest
    assert ours._timer is None
    for family in ours._families.values():
        assert not family.queued
        assert not family.given
    assert sockets() == before


async def test_a_thousand_names_at_once_all_come(server: Server) -> None:
    """Each is asked once: nothing was lost to an overflowing socket and repeated."""
    resolver = AiodnsResolver([server.text])
    names = [f"both.n{number}.fault.test" for number in range(1000)]
    answers = await asyncio.gather(*(found(resolver, name) for name in names))
    assert answers == [(V4,)] * 1000
    assert sum(server.asked.values()) <= 1010


# The hidden cache ---------------------------------------------------------------------------------


async def test_what_is_forgotten_is_asked_for_although_c_ares_has_it(server: Server) -> None:
    """The time to live is 300 s, the address moved: the next round meets the new one."""
    resolver = AiodnsResolver([server.text])
    assert await found(resolver, "moves.fault.test") == (V4,)
    again = await resolver.lookup("moves.fault.test", INET)
    assert (again.addresses, again.source) == ((V4,), "cache")
    resolver.forget("Moves.fault.test.")
    assert await found(resolver, "moves.fault.test") == (OTHER4,)
    assert (await resolver.lookup("moves.fault.test", INET)).source == "cache"


async def test_a_query_on_its_way_counts_as_old_when_forgotten(server: Server) -> None:
    """Who asks after that gets an answer of their own."""
    resolver = AiodnsResolver([server.text])
    early = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    resolver.forget("slow4.fault.test")
    late = asyncio.create_task(resolver.lookup("slow4.fault.test", INET))
    await asyncio.sleep(0.02)
    (ours,) = resolver._loops.values()
    assert len(ours._with_cares) == 2
    assert {(await early).addresses, (await late).addresses} == {(V4,)}


async def test_an_empty_answer_is_not_believed_for_an_hour(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """c-ares would (c-ares#1293); here a channel lives for seconds."""
    resolver = AiodnsResolver([server.text])
    with pytest.raises(errors.NameNotResolved):
        await resolver.lookup("appears.fault.test", INET)
    with pytest.raises(errors.NameNotResolved):
        await resolver.lookup("appears.fault.test", INET)
    assert server.times("appears.fault.test") == 1, "the hidden cache is there"
    now = queries.monotonic()
    monkeypatch.setattr(queries, "monotonic", lambda: now + queries.MAX_AGE + 1)
    assert await found(resolver, "appears.fault.test") == (V4,)


async def test_forgetting_is_bounded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was forgotten before any channel began needs no remembering."""
    resolver = AiodnsResolver([server.text])
    for number in range(2000):
        resolver.forget(f"n{number}.test")
    now = aiodns.monotonic()
    monkeypatch.setattr(aiodns, "monotonic", lambda: now + queries.MAX_AGE + 1)
    resolver.forget("last.test")
    assert len(resolver._forgotten) == 1


async def test_a_channel_is_replaced_once_for_many_names(server: Server) -> None:
    """A network that goes away makes the engine forget everything at once."""
    resolver = AiodnsResolver([server.text])
    names = [f"both.n{number}.fault.test" for number in range(200)]
    await asyncio.gather(*(found(resolver, name) for name in names))
    made: list[cares.Channel] = []
    (ours,) = resolver._loops.values()
    for name in names:
        resolver.forget(name)
    for name in names:
        await found(resolver, name)
        assert ours._line is not None
        if ours._line.channel not in made:
            made.append(ours._line.channel)
    assert len(made) == 1
    assert len(ours._lines) == 1


# Answers ------------------------------------------------------------------------------------------


async def test_an_answer_says_where_it_is_from(server: Server) -> None:
    """From DNS with its time to live; /etc/hosts says none."""
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


async def test_a_server_that_is_not_there_is_a_failure_for_now() -> None:
    """Its port answers with "unreachable": that is no word on the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(errors.NameNotResolved) as info:
        await AiodnsResolver([f"127.0.0.1:{port}"], tries=1).lookup("a.test", INET)
    assert info.value.code == "try_again"


async def test_the_next_server_is_asked_when_the_first_is_silent() -> None:
    """And the time for each try is the caller's."""

    def silent(question: Question) -> Iterator[Send]:
        yield from ()

    with Server(silent) as dead, Server(script) as alive:
        resolver = AiodnsResolver([dead.text, alive.text], timeout=0.3, tries=2)
        assert await found(resolver, "both.fault.test") == (V4,)
        assert dead.times("both.fault.test") >= 1


@pytest.mark.parametrize(
    "options",
    [{"nameservers": ["nonsense"]}, {"timeout": 0}, {"timeout": float("nan")}, {"tries": 0}],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, Any]) -> None:
    """Not at the first look-up."""
    with pytest.raises(ValueError, match=r"c-ares does not take|timeout"):
        AiodnsResolver(**options)


async def test_a_channel_that_cannot_be_made_is_a_failed_look_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of memory, say: nobody waits for ever, and the next look-up tries again."""
    resolver = AiodnsResolver([server.text])

    def refuse(*_: object, **__: object) -> None:
        raise cares.pycares.AresError("Failed to initialize c-ares channel")

    with monkeypatch.context() as context:
        context.setattr(cares.pycares, "Channel", refuse)
        with pytest.raises(errors.NameNotResolved) as info:
            await resolver.lookup("both.fault.test", INET)
        assert info.value.errno == socket.EAI_MEMORY
    assert await found(resolver, "both.fault.test") == (V4,)


async def test_a_family_that_dns_does_not_have_is_refused(server: Server) -> None:
    """Only IPv4 and IPv6 are names' business."""
    with pytest.raises(errors.NameNotResolved):
        await AiodnsResolver([server.text]).lookup("both.fault.test", int(socket.AF_UNIX))


# What is left to the system -----------------------------------------------------------------------

SYSTEM = StaticResolver({"printer.local": "192.0.2.9", "intranet": "192.0.2.8"})


@pytest.mark.parametrize("name", ["printer.local", "Printer.LOCAL."])
async def test_dot_local_is_not_asked_by_dns(name: str, server: Server) -> None:
    """RFC 6762: it is multicast DNS's, if this host has it."""
    resolver = AiodnsResolver([server.text], fallback=SYSTEM)
    assert await found(resolver, name) == ("192.0.2.9",)
    assert not server.asked


@pytest.mark.parametrize(
    ("name", "knows_more", "expected"),
    [
        ("intranet", True, "192.0.2.8"),
        ("intranet", False, "host_not_found"),
        ("unknown", True, "host_not_found"),
        ("intranet.example", True, "host_not_found"),
    ],
)
async def test_a_single_label_that_dns_does_not_know(
    name: str, knows_more: bool, expected: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system is asked where it is configured to know more than files and DNS."""
    monkeypatch.setattr(aiodns, "_system_knows_more", lambda: knows_more)
    resolver = AiodnsResolver([server.text], fallback=SYSTEM)
    try:
        assert await found(resolver, name) == (expected,)
    except errors.NameNotResolved as exc:
        assert exc.code == expected  # noqa: PT017
    assert any(asked.startswith(name) for asked, _ in server.asked), "DNS was asked first"


async def test_an_answer_that_there_is_none_of_the_family_is_final(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS knows the name: the system has nothing to add."""

    def only4(question: Question) -> Iterator[Send]:
        answers = [address(question.name, V4)] if question.type == A else []
        yield Send(reply(question, answers))

    monkeypatch.setattr(aiodns, "_system_knows_more", lambda: True)
    with Server(only4) as server:
        resolver = AiodnsResolver([server.text], fallback=SYSTEM)
        with pytest.raises(errors.NameNotResolved) as info:
            await resolver.lookup("intranet", INET6)
        assert info.value.code == "no_data"
        assert server.times("intranet", AAAA) >= 1


@pytest.mark.parametrize(
    ("text", "knows_more"),
    [
        ("hosts: files dns\n", False),
        ("# hosts: files mdns4\nhosts:\tdns [!UNAVAIL=return] files # mdns4\n", False),
        ("passwd: files systemd\nhosts: files mdns4_minimal [NOTFOUND=return] dns\n", True),
        ("hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns", True),
        ("passwd: files systemd\n", False),
        ("", False),
    ],
)
def test_nsswitch_says_whether_the_system_knows_more(
    text: str, knows_more: bool, tmp_path: Path
) -> None:
    """nsswitch.conf(5): services beyond files and dns."""
    path = tmp_path / "nsswitch.conf"
    path.write_text(text)
    assert aiodns._system_knows_more(str(path)) is knows_more


def test_no_nsswitch_no_more(tmp_path: Path) -> None:
    """Only macOS has none, and knows more."""
    missing = str(tmp_path / "missing")
    assert aiodns._system_knows_more(missing) is (sys.platform == "darwin")


def test_without_pycares_the_error_says_what_to_install() -> None:
    """The extra is named."""
    code = (
        "import sys; sys.modules['pycares'] = None; from aioconnect.resolve import AiodnsResolver"
    )
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
