"""``connect_many``: what is read when, what is in flight, what comes out, and what is left behind.

Most of these tests hold targets in flight with a resolver that answers when it is told to, so
that they can count exactly, without a clock.  The limits of the host are met for real: the
descriptors of this process, the local ports of a network namespace.  The instants of a rate are
decided in virtual time.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import itertools
import random
import resource
import socket
import struct
import sys
import time
import tracemalloc
import weakref
from collections import deque
from contextlib import ExitStack, aclosing, suppress
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pytest

import aioconnect
from aioconnect import ConnectError, events, retry
from aioconnect.many import default_limit
from aioconnect.many.room import CATCH_UP, LEAST_PAUSE, MAX_DELAYED, Pace
from aioconnect.poller import SLOTS
from aioconnect.resolve import Answer, StaticResolver

from .support import children
from .support.account import no_warnings, without_collector
from .support.limits import few_descriptors
from .support.loops import GRACE, KINDS, LOOPS, Steps
from .support.needs import needs
from .support.networks import namespace
from .support.servers import NAME, black_hole, drain, listen, refusing
from .support.sockets import Slow, slow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from aioconnect.many import ConnectMany, ConnectResult

pytestmark = pytest.mark.slow

MAX = 20.0
"""Seconds after which a run that should have ended hangs."""


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """Give the address of a server that the kernel accepts for."""
    with listen(backlog=4000) as listener:
        yield listener.getsockname()


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


async def collect(many: ConnectMany, *, close: bool = True) -> list[ConnectResult]:
    """Run to the end; return the results in the order in which they came."""
    results = []
    async with asyncio.timeout(MAX), many as found:
        async for result in found:
            if result.socket is not None and close:
                result.socket.close()
            results.append(result)
    return results


async def turns(number: int = 30) -> None:
    """Let the loop go on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(true: Callable[[], bool]) -> None:
    """Let the loop go on until something is true."""
    while not true():  # noqa: ASYNC110  # what is waited for sets no event
        await asyncio.sleep(0.001)


async def take(results: ConnectMany, came: list[ConnectResult]) -> None:
    """Take results for as long as they come."""
    async for result in results:
        came.append(result)  # noqa: PERF401  # those that came before an exception too


def asking(results: ConnectMany) -> asyncio.Task[ConnectResult]:
    """Ask for the next result, without waiting for it."""

    async def ask() -> ConnectResult:
        return await anext(results)

    return asyncio.get_running_loop().create_task(ask())


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and see them end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Gates:
    """A resolver that answers 127.0.0.1 when it is told to."""

    def __init__(self) -> None:
        self.waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self.opened: set[str] = set()
        self.flying: list[str] = []
        self.most = 0

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait until the gate of that name is opened."""
        self.flying.append(name)
        self.most = max(self.most, len(self.flying))
        try:
            if name not in self.opened:
                gate = asyncio.get_running_loop().create_future()
                self.waiting.setdefault(name, deque()).append(gate)
                await gate
        finally:
            self.flying.remove(name)
        return Answer(("127.0.0.1",))

    def let(self, name: str) -> None:
        """Let one through that waits."""
        self.waiting[name].popleft().set_result(None)

    def open(self, *names: str) -> None:
        """Let all through, also those that come later."""
        self.opened.update(names)
        for name in names:
            while self.waiting.get(name):
                self.let(name)


def gated(gates: Gates) -> dict[str, Any]:
    """Return the options that let the gates decide when a target connects."""
    return {"resolver": gates, "family": socket.AF_INET}


class Source:
    """Targets, and how many were read."""

    def __init__(self, targets: Iterable[Any]) -> None:
        self.targets = iter(targets)
        self.read = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        target = next(self.targets)
        self.read += 1
        return target


class AsyncSource:
    """The same, asynchronous, though it never waits."""

    def __init__(self, targets: Iterable[Any]) -> None:
        self.targets = iter(targets)
        self.read = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await self.wait()
        for target in self.targets:
            self.read += 1
            return target
        raise StopAsyncIteration

    async def wait(self) -> None:
        """Do nothing."""


class LateSource(AsyncSource):
    """One that waits before each."""

    async def wait(self) -> None:
        """Let the loop go on."""
        await asyncio.sleep(0)


SOURCES = [Source, AsyncSource, LateSource]
sources = pytest.mark.parametrize("make", SOURCES)


# Results ------------------------------------------------------------------------------------------


async def test_whatever_connect_takes_is_a_target(server: tuple[str, int]) -> None:
    """Text, a tuple, a list of several, a path, a name: each has one result, and says so."""
    port = server[1]
    with listen(f"\0{NAME}"):
        given: list[Any] = [
            f"127.0.0.1:{port}",
            server,
            [("127.0.0.1", 1), server],
            f"unix:@{NAME}",
            ("name.test", port),
            f"localhost:{port}",
        ]
        names = StaticResolver({"name.test": "127.0.0.1"})
        results = await collect(aioconnect.connect_many(given, resolver=names))
    assert sorted(result.index for result in results) == list(range(len(given)))
    for result in results:
        assert result.target == given[result.index]
        assert result.error is None
        assert result.socket is not None
        assert 0 < result.started <= result.ended <= time.monotonic()
        assert result.elapsed == result.ended - result.started
        assert repr(result).startswith(f"<ConnectResult {result.target!r}: <socket.socket")


async def test_a_socket_that_was_handed_out_is_the_callers(server: tuple[str, int]) -> None:
    """It is connected, does not block, is not inherited, and outlives the block."""
    async with aioconnect.connect_many([server, server]) as results:
        sockets = [result.socket async for result in results]
    for sock in sockets:
        assert sock is not None
        with sock:
            assert sock.getpeername() == server
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert not sock.getblocking()
            assert not sock.get_inheritable()


async def test_results_come_as_they_complete(server: tuple[str, int]) -> None:
    """Who is first to connect comes first, whatever its place in the input."""
    gates = Gates()
    targets = [("a.test", server[1]), ("b.test", server[1]), ("c.test", server[1])]
    came = []
    async with aioconnect.connect_many(targets, **gated(gates)) as results:
        for name in ("b.test", "c.test", "a.test"):
            task = asking(results)
            await turns()
            assert not task.done()
            gates.open(name)
            result = await task
            assert result.socket is not None
            result.socket.close()
            came.append(result.index)
    assert came == [1, 2, 0]


@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_what_is_no_target_is_a_result_with_an_error(ordered: bool) -> None:
    """It does not end the run, and is read like any other."""
    given: list[Any] = [
        "no port",
        ("127.0.0.1", 0),
        ("127.0.0.1", 65536),
        ("127.0.0.1", True),
        ("127.0.0.1", "80"),
        ("127.1", 80),
        ("127.0.0.1\0", 80),
        (b"127.0.0.1", 80),
        (),
        None,
        object(),
        b"127.0.0.1:80",
        [],
        "[::1]:80",
        "http://x",
    ]
    many = aioconnect.connect_many(given, family=socket.AF_INET, ordered=ordered)
    results = await collect(many)
    assert [result.target for result in results] == given
    for result in results:
        assert result.socket is None
        assert isinstance(result.error, ConnectError)
        assert result.error.code == "invalid_target"
        assert result.elapsed == 0


async def test_the_family_that_was_asked_for_is_the_only_one(server: tuple[str, int]) -> None:
    """A target of the other one is refused as ``connect`` refuses it."""
    (result,) = await collect(aioconnect.connect_many([server], family=socket.AF_INET6))
    assert result.error is not None
    assert result.error.code == "invalid_target"
    assert "AF_INET6" in str(result.error)


async def test_the_type_is_that_which_was_asked_for(server: tuple[str, int]) -> None:
    """Also of an address, which needs no more than a socket."""
    for type_ in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        (result,) = await collect(aioconnect.connect_many([server], type=type_), close=False)
        assert result.socket is not None
        with result.socket as sock:
            assert sock.type == type_


def forbid(endpoint: Any) -> None:
    raise PermissionError("not there")


def no_descriptors(endpoint: Any) -> socket.socket:
    raise OSError(errno.EPROTONOSUPPORT, "no such protocol")


class AtHand:
    """A resolver that keeps the one address of each name."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def peek_name(self, name: str, families: Any) -> tuple[Answer, ...]:
        """Return what is kept."""
        known = {socket.AF_INET: ("127.0.0.1",), socket.AF_INET6: ()}
        return tuple(Answer(known[family], family=family) for family in families)

    def forget(self, name: str) -> None:
        """Take note that what is kept may be old."""
        self.forgotten.append(name)

    async def lookup(self, name: str, family: int) -> Answer:
        """Make this a resolver; nobody gets here."""
        raise AssertionError("everything is at hand")


@pytest.mark.parametrize("options", [{}, {"on_event": len}, {"retry": 1}], ids=repr)
async def test_a_name_whose_address_fails_may_be_old(options: dict[str, Any]) -> None:
    """Its resolver is told, as by any other call."""
    resolver: Any = AtHand()
    with refusing() as nobody:
        options = {"resolver": resolver, **options}
        (result,) = await collect(aioconnect.connect_many([f"db.test:{nobody[1]}"], **options))
    assert isinstance(result.error, ConnectionRefusedError)
    assert resolver.forgotten == ["db.test"]


@pytest.mark.parametrize("options", [{}, {"retry": retry.attempts(2) & retry.constant(0)}])
@pytest.mark.parametrize("addresses", [1, 2])
async def test_a_round_that_lacks_something_counts_no_attempts(
    addresses: int, options: dict[str, Any]
) -> None:
    """The error says how many were dialled, and which: as if nothing had been lacking."""
    asked = itertools.count()

    def lacks(endpoint: Any) -> None:
        if next(asked) < 3:
            raise OSError(errno.EMFILE, "no descriptor")

    with refusing() as one, refusing() as other:
        target = [one, other][:addresses]
        many = aioconnect.connect_many([target], address_policy=lacks, **options)
        (result,) = await collect(many)
    assert result.error is not None
    number = addresses * (2 if options else 1)
    assert result.error.count == number
    assert [each.number for each in result.error.attempts] == [*range(1, number + 1)]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the coroutine that nobody ended
@pytest.mark.parametrize("kind", LOOPS)
def test_a_loop_that_is_closed_while_it_dials_is_no_error(
    kind: str, dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was pending is closed when it is collected, and nothing is said."""
    said: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    loop = LOOPS[kind]()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(collect(aioconnect.connect_many([dead], target_timeout=60)))
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    del task
    gc.collect()
    assert said == []


COLD = """
import asyncio, resource, socket, sys
import aioconnect, aioconnect.blocking

port, what = int(sys.argv[1]), sys.argv[2]
kept = []

def leave(number):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with socket.socket() as free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free.fileno() + number, hard))

async def many():
    targets = {"lists": [f"127.0.0.1:{port}", f"127.0.0.2:{port}"], "names": f"localhost:{port}"}
    found = aioconnect.connect_many([targets[what]] * 30, limit=100, timeout=20)
    leave(0 if what == "names" else 15)
    free = []
    def let_go():
        if not free:
            free.append(True)
            leave(15)
        while kept:
            kept.pop().close()
    asyncio.get_running_loop().call_later(0.3, let_go)
    async with found:
        number = 0
        async for result in found:
            assert result.error is None, result.error
            number += 1
            kept.append(result.socket)
            if free:
                let_go()
        print(number)

async def one():
    if what == "later":  # the names of another resolver come first
        from aioconnect.resolve import StaticResolver
        names = StaticResolver({"db.test": ["127.0.0.1"]})
        (await aioconnect.connect("db.test", port, resolver=names)).close()
    leave(0)
    await aioconnect.connect("localhost", port)

try:
    if what == "blocking":
        leave(0)
        aioconnect.blocking.connect("localhost", port)
    asyncio.run(one() if what in ("one", "later") else many())
except aioconnect.TooManyOpenFiles as exc:
    print(exc.target == f"localhost:{port}")
"""


@pytest.mark.parametrize(
    ("what", "prints"),
    [("lists", "30"), ("names", "30"), ("one", "True"), ("later", "True"), ("blocking", "True")],
)
def test_nothing_has_to_be_loaded_when_no_descriptor_is_left(what: str, prints: str) -> None:
    """In a program that has dialled nothing before: a module cannot be read then."""
    with listen(("127.0.0.1", 0), backlog=200) as server:
        done = children.run(
            [sys.executable, "-c", COLD, str(server.getsockname()[1]), what],
            timeout=MAX,
        )
    assert (done.stdout.strip(), done.stderr) == (prints, "")


@pytest.mark.parametrize(
    "options",
    [{}, {"address_policy": forbid}, {"socket_factory": no_descriptors}, {"attempt_timeout": 5}],
    ids=["plain", "forbidden", "factory", "attempt_timeout"],
)
@pytest.mark.parametrize("what", ["refused", "no path", "no IPv6 port"])
async def test_the_error_of_a_target_is_that_of_connect(what: str, options: dict[str, Any]) -> None:
    """With and without an observer, who makes a way through the library longer."""
    with refusing() as nobody, refusing(("::1", 0)) as nobody6:
        targets = {"refused": nobody, "no path": f"unix:@{NAME}-none", "no IPv6 port": nobody6}
        target = targets[what]
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect(target, **options)
        plain, observed = [
            (await collect(aioconnect.connect_many([target], **options, **more)))[0].error
            for more in ({}, {"on_event": events.Event.__repr__})
        ]
    for error in (plain, observed):
        assert error is not None
        assert facts(error) == facts(caught.value)
        (failed,) = error.attempts
        assert 0 < failed.started < failed.ended
        assert failed.error.elapsed == pytest.approx(failed.ended - failed.started)
        assert error.elapsed >= failed.error.elapsed
        assert error.__traceback__ is None


def facts(error: ConnectError) -> Any:
    """Return all that an error says, but for the times."""
    kept = ("elapsed", "code", "help", "hint")  # the last three from when they were asked for
    said = {name: value for name, value in vars(error).items() if name not in kept}
    said |= {name: getattr(error, name) for name in kept[1:]}
    (failed,) = error.attempts
    said["attempts"] = (
        failed.number,
        failed.round,
        failed.tries,
        failed.address,
        failed.family,
        failed.stage,
        failed.target,
        type(failed.error),
        failed.error.args,
    )
    return type(error), error.args, said


async def test_a_result_ended_when_it_did_not_when_it_was_asked_for(
    server: tuple[str, int],
) -> None:
    """A consumer that takes its time sees the times of the connects, not its own."""
    many = aioconnect.connect_many([server] * 3, socket_factory=slow, ordered=True)
    async with many as results:
        ended = []
        async for result in results:
            assert result.socket is not None
            result.socket.close()
            ended.append((result.ended, time.monotonic()))
            await asyncio.sleep(0.2)
    assert all(then < now for then, now in ended)
    assert ended[2][0] < ended[1][1]


@pytest.mark.parametrize("option", ["target_timeout", "timeout"])
async def test_a_consumer_that_blocks_the_loop_makes_nobody_late(
    option: str, server: tuple[str, int]
) -> None:
    """What connected while the loop could not look has connected, though its time is up now."""
    kinds = iter([Slow, Slow, socket.socket])
    many = aioconnect.connect_many(
        [server] * 3, socket_factory=lambda endpoint: next(kinds)(*endpoint[:3]), **{option: 0.1}
    )
    async with many as results:
        came = [await anext(results)]
        time.sleep(0.2)  # noqa: ASYNC251  # this is what it is about
        async for result in results:
            came.append(result)  # noqa: PERF401  # after what was awaited
    assert [result.index for result in came] == [2, 0, 1]
    for result in came:
        assert result.error is None
        assert result.socket is not None
        result.socket.close()


# What is read when --------------------------------------------------------------------------------


@sources
async def test_nothing_is_read_before_somebody_asks(make: Any, server: tuple[str, int]) -> None:
    """Entering the block reads nothing, and so does leaving it."""
    source = make([server])
    async with aioconnect.connect_many(source):
        await turns()
        assert source.read == 0
    await turns()
    assert source.read == 0


@sources
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
@pytest.mark.parametrize("limit", [1, 3, SLOTS + 10])
async def test_as_many_are_read_as_there_is_room_for(
    make: Any, limit: int, ordered: bool, server: tuple[str, int]
) -> None:
    """Exactly ``limit`` are in flight, and one more is read for each result that was handed out."""
    gates = Gates()
    source = make((f"{number}.test", server[1]) for number in itertools.count())
    many = aioconnect.connect_many(source, limit=limit, ordered=ordered, **gated(gates))
    async with many as results:
        for handed_out in range(4):
            task = asking(results)
            await turns(limit + 30)
            assert not task.done()
            assert source.read == handed_out + limit
            assert len(gates.flying) == limit
            gates.open(f"{handed_out}.test")
            result = await task
            assert result.socket is not None
            result.socket.close()
            await turns()
            assert source.read == handed_out + limit
    await turns()
    assert source.read == 3 + limit
    assert not gates.flying
    assert gates.most == limit


@sources
async def test_results_that_nobody_took_leave_less_room(make: Any, server: tuple[str, int]) -> None:
    """Results that wait to be handed out count: memory is bounded by ``limit``."""
    gates = Gates()
    source = make((f"{number}.test", server[1]) for number in itertools.count())
    async with aioconnect.connect_many(source, limit=5, **gated(gates)) as results:
        task = asking(results)
        await turns()
        gates.open("0.test", "1.test", "2.test")
        closing = [await task]
        await turns()
        assert source.read == 5
        closing.append(await anext(results))  # of the three that are done; one place became free
        await turns()
        assert source.read == 6
        closing.append(await anext(results))
        await turns()
        assert source.read == 7
        for result in closing:
            assert result.socket is not None
            result.socket.close()


@sources
async def test_a_run_of_bad_targets_is_not_read_ahead(make: Any, server: tuple[str, int]) -> None:
    """They are results like others; in order they wait for their turn within the window."""
    gates = Gates()
    source = make(itertools.chain([("a.test", server[1])], itertools.repeat("no target")))
    async with aioconnect.connect_many(source, limit=7, ordered=True, **gated(gates)) as results:
        task = asking(results)
        await turns()
        assert source.read == 7
        await end(task)
    source = make(itertools.repeat("no target"))
    async with aioconnect.connect_many(source, limit=7) as results:
        assert (await anext(results)).error is not None
        await turns()
        assert source.read <= 7


@pytest.mark.parametrize("what", ["connects", "refused", "list refused", "bad"])
async def test_targets_that_end_at_once_leave_the_loop_to_others(
    what: str, server: tuple[str, int]
) -> None:
    """No more than ``SLOTS`` of them in one turn of the loop."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    with refusing() as nobody:
        targets = {"connects": server, "refused": nobody, "bad": "no target"}
        target: Any = targets.get(what, [nobody, ("127.0.0.2", nobody[1])])
        await collect(aioconnect.connect_many([target] * (SLOTS * 10)))
    assert ticks >= 10
    await end(ticker)


async def test_what_does_not_complete_at_once_takes_no_turn(dead: tuple[str, int]) -> None:
    """Three times ``SLOTS`` are under way before the loop has gone on."""
    opened = Open(socket.socket)
    many = aioconnect.connect_many(itertools.repeat(dead), limit=3 * SLOTS, socket_factory=opened)
    async with many as results:
        task = asking(results)
        await asyncio.sleep(0)
        assert opened.open == 3 * SLOTS
        await end(task)


@pytest.mark.parametrize("factory", [None, slow], ids=["at once", "pending"])
async def test_memory_does_not_grow_with_the_number_of_targets(
    factory: Any, server: tuple[str, int]
) -> None:
    """What is kept at the end is what was kept early on: nothing for a target that is done."""
    with refusing() as nobody:
        targets = (server if number % 3 else nobody for number in range(5000))
        kept = []
        many = aioconnect.connect_many(targets, limit=50, socket_factory=factory)
        async with many as results:
            tracemalloc.start()
            try:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()
                    if result.index in (1500, 4999):
                        del result
                        gc.collect()
                        kept.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
    early, late = kept
    assert late - early < 50_000


async def test_one_frame_drives_all_sockets(dead: tuple[str, int]) -> None:
    """There is no task but that of the consumer, and one that reads an asynchronous source."""
    for source, more in (([dead] * 100, 0), (AsyncSource([dead] * 100), 1)):
        tasks = len(asyncio.all_tasks())
        async with aioconnect.connect_many(source, limit=100) as results:
            task = asking(results)
            await turns()
            assert len(asyncio.all_tasks()) == tasks + 1 + more
            await end(task)


# How many -----------------------------------------------------------------------------------------


class Open:
    """A ``socket_factory`` that knows how many of its sockets are open."""

    def __init__(self, cls: type[socket.socket] = Slow) -> None:
        self.open = self.most = self.made = 0
        opened = self

        class Counted(cls):  # type: ignore[misc, valid-type]
            def close(self) -> None:
                if self.fileno() != -1:
                    opened.open -= 1
                super().close()

        self.cls = Counted

    def __call__(self, endpoint: Any) -> socket.socket:
        """Make one."""
        sock: socket.socket = self.cls(*endpoint[:3])
        self.made += 1
        self.open += 1
        self.most = max(self.most, self.open)
        return sock


@pytest.mark.parametrize("cls", [Slow, socket.socket], ids=["pending", "at once"])
@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_no_more_than_the_limit_are_open(
    limit: int, cls: type[socket.socket], server: tuple[str, int]
) -> None:
    """Connected or not; those that were handed out and closed do not count."""
    opened = Open(cls)
    results = await collect(
        aioconnect.connect_many([server] * 300, limit=limit, socket_factory=opened)
    )
    assert len(results) == 300
    assert opened.most <= limit
    assert opened.open == 0
    assert opened.made == 300


async def test_the_default_limit_fits_the_descriptors_of_the_process(
    server: tuple[str, int],
) -> None:
    """So that nothing is lacking, and no event says so."""
    seen: list[Any] = []
    with few_descriptors(40):
        assert 10 <= default_limit() <= 40
        opened = Open()
        many = aioconnect.connect_many([server] * 200, socket_factory=opened, on_event=seen.append)
        results = await collect(many)
    assert [result.error for result in results] == [None] * 200
    assert not [event for event in seen if isinstance(event, events.SlowedDown)]
    assert opened.most >= 10


def test_the_default_limit_is_a_thousand_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many descriptors there are; and one at least, however few."""
    for soft, least, most in ((resource.RLIM_INFINITY, 1000, 1000), (10**6, 1000, 1000), (3, 1, 1)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert least <= default_limit() <= most

    def not_there(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr("os.listdir", not_there)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (164, 164))
    assert default_limit() == 75


# In order -----------------------------------------------------------------------------------------


@sources
async def test_ordered_results_wait_for_those_before_them(
    make: Any, server: tuple[str, int]
) -> None:
    """Within a window of ``limit``, counted from the first that was not handed out."""
    gates = Gates()
    gates.open(*(f"{number}.test" for number in range(1, 50)))
    source = make((f"{number}.test", server[1]) for number in range(50))
    came = []
    many = aioconnect.connect_many(source, limit=8, ordered=True, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert not task.done()
        assert source.read == 8
        gates.open("0.test")
        came.append(await task)
        async with asyncio.timeout(MAX):
            async for result in results:
                came.append(result)
                assert source.read <= result.index + 8
    assert [result.index for result in came] == list(range(50))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_the_window_holds_what_waits_for_its_host(server: tuple[str, int]) -> None:
    """``per_host`` lets nobody overtake, reads nothing beyond the window, and does not lock up."""
    gates = Gates()
    names = ["a", "a", "a", "b", "a", "b", "c", "a", "b", "a", "c", "c"] * 3
    source = Source((f"{name}.test", server[1]) for name in names)
    many = aioconnect.connect_many(source, limit=5, per_host=1, ordered=True, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert source.read == 5
        assert sorted(gates.flying) == ["a.test", "b.test"]
        gates.open("a.test", "b.test", "c.test")
        came = [await task]
        async with asyncio.timeout(MAX):
            came += [result async for result in results]
    assert [result.index for result in came] == list(range(len(names)))
    for result in came:
        assert result.socket is not None
        result.socket.close()


@pytest.mark.parametrize("limit", [2, 6, 30, 1000])
async def test_order_is_kept_with_too_few_descriptors(limit: int, server: tuple[str, int]) -> None:
    """Nothing is lost and nobody waits for ever, though what waits for its turn is open."""
    random_ = random.Random(limit)
    names = Turns(random_)
    targets = [
        (f"{number}.test", server[1]) if random_.random() < 0.5 else server for number in range(120)
    ]
    seen: list[Any] = []
    many = aioconnect.connect_many(
        targets, limit=limit, ordered=True, on_event=seen.append, **gated(names)
    )
    async with many as results:
        with few_descriptors(12):
            came = []
            async with asyncio.timeout(MAX):
                async for result in results:
                    assert result.error is None
                    assert result.socket is not None
                    result.socket.close()
                    came.append(result.index)
    assert came == list(range(120))
    assert (limit > 12) == any(isinstance(event, events.SlowedDown) for event in seen)


class Turns(Gates):
    """A resolver that takes a random number of turns of the loop."""

    def __init__(self, random: random.Random) -> None:
        super().__init__()
        self.random = random

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait for some turns."""
        for _ in range(self.random.choice((0, 1, 3, 10))):
            await asyncio.sleep(0)
        return Answer(("127.0.0.1",))


async def test_what_waits_for_its_turn_gives_its_descriptor_to_the_first(
    server: tuple[str, int],
) -> None:
    """Those that wait have every descriptor, the one they wait for none: one is given up."""
    gates = Gates()
    seen: list[Any] = []
    targets = [("slow.test", server[1]), *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=50, ordered=True, on_event=seen.append, **gated(gates)
    )
    async with many as results, asyncio.timeout(MAX):
        with few_descriptors(6):
            task = asking(results)
            await until(lambda: any(isinstance(event, events.SlowedDown) for event in seen))
            gates.open("slow.test")  # it has not even a socket yet
            came = [await task]
            assert came[0].socket is not None
            came[0].socket.close()
            async for result in results:
                assert result.socket is not None
                assert result.socket.getpeername() == server
                result.socket.close()
                came.append(result)
    assert [result.index for result in came] == list(range(21))


async def test_the_first_gets_its_descriptor_while_others_are_in_flight(
    server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Those that wait for their turn have all descriptors but that of one which never ends."""
    gates = Gates()
    seen: list[Any] = []
    targets = [("slow.test", server[1]), dead, *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=50, ordered=True, on_event=seen.append, **gated(gates)
    )
    async with many as results, asyncio.timeout(MAX):
        with few_descriptors(6):
            task = asking(results)
            await until(lambda: any(isinstance(event, events.SlowedDown) for event in seen))
            gates.open("slow.test")
            result = await task
        assert result.index == 0
        assert result.socket is not None
        result.socket.close()


async def test_it_is_the_last_that_gives_way_to_the_first() -> None:
    """Which will wait longest anyhow; and no more than what was lacking is given up."""
    gates = Gates()
    with ExitStack() as stack:
        servers = [stack.enter_context(listen()).getsockname() for _ in range(5)]
        ports = [port for _, port in servers]
        factory = Refusing({ports[0]: [errno.EMFILE]})
        targets = [("slow.test", ports[0]), *servers[1:]]
        many = aioconnect.connect_many(
            targets, ordered=True, socket_factory=factory, **gated(gates)
        )
        async with many as results, asyncio.timeout(MAX):
            task = asking(results)
            await until(lambda: len(factory.made) == 4)
            gates.open("slow.test")
            came = [await task]
            await take(results, came)
    assert factory.made == dict(zip(ports, [2, 1, 1, 1, 2], strict=True))
    assert [result.index for result in came] == list(range(5))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_what_waits_for_its_turn_leaves_less_room(
    server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a descriptor was lacking, no more are open than were then, in flight or not."""
    monkeypatch.setattr("aioconnect.many.room.GROW_EVERY", 2 * MAX)
    gates = Gates()
    factory = Refusing({server[1]: [0, 0, 0, 0, errno.EMFILE]})
    targets = [("slow.test", server[1]), *[server] * 20]
    many = aioconnect.connect_many(
        targets, limit=20, ordered=True, socket_factory=factory, **gated(gates)
    )
    async with many as results:
        task = asking(results)
        await asyncio.sleep(5 * LEAST_PAUSE)
        assert factory.made == {server[1]: 5}
        await end(task)


async def test_the_first_starts_though_there_is_no_room(
    server: tuple[str, int], dead: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for a port, and when it may go on others have all the descriptors there are."""
    monkeypatch.setattr("aioconnect.many.room.GROW_EVERY", 2 * MAX)
    with listen(("127.0.0.2", 0)) as other:
        factory = Refusing(
            {
                other.getsockname()[1]: [errno.EADDRNOTAVAIL],
                server[1]: [0, 0, errno.EMFILE, 0],
            }
        )
        targets = [other.getsockname(), dead, *[server] * 4]
        many = aioconnect.connect_many(targets, ordered=True, socket_factory=factory)
        async with many as results, asyncio.timeout(MAX):
            result = await anext(results)
            assert result.index == 0
            assert result.socket is not None
            result.socket.close()


# One host -----------------------------------------------------------------------------------------


async def test_no_more_than_per_host_are_in_flight_to_one_host(server: tuple[str, int]) -> None:
    """Others overtake those that wait for their host; those follow as places become free."""
    gates = Gates()
    targets = [(f"{name}.test", server[1]) for name in "aaaabcabb"]
    async with aioconnect.connect_many(targets, per_host=2, **gated(gates)) as results:

        async def through(name: str) -> int:
            task = asking(results)
            await turns()
            assert not task.done()
            gates.let(f"{name}.test")
            result = await task
            assert result.socket is not None
            result.socket.close()
            return result.index

        def flying() -> str:
            return "".join(sorted(name[0] for name in gates.flying))

        for name, index, left in [
            ("a", 0, "aabbc"),
            ("a", 1, "aabbc"),
            ("b", 4, "aabbc"),
            ("c", 5, "aabb"),
            ("a", 2, "aabb"),
            ("a", 3, "abb"),
            ("b", 7, "ab"),
            ("a", 6, "b"),
            ("b", 8, ""),
        ]:
            assert await through(name) == index
            assert flying() == left
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@sources
async def test_those_that_wait_for_their_host_are_bounded_too(
    make: Any, server: tuple[str, int]
) -> None:
    """``limit`` of them may wait beside those in flight; then nothing more is read."""
    gates = Gates()
    source = make(itertools.repeat(("a.test", server[1])))
    many = aioconnect.connect_many(source, limit=6, per_host=2, **gated(gates))
    async with many as results:
        task = asking(results)
        await turns()
        assert len(gates.flying) == 2
        assert source.read == 2 + 6
        await end(task)


async def test_a_host_is_one_however_it_is_written() -> None:
    """IPv6 addresses in any spelling, names in any case; another port is the same host."""
    opened = Open(socket.socket)
    with black_hole("::1") as (_, port, *_):
        given: list[Any] = [("::1", port), f"[0:0::0:1]:{port}", ("0::1", port, 0, 0), "[::1]:9"]
        async with aioconnect.connect_many(given, per_host=1, socket_factory=opened) as results:
            task = asking(results)
            await turns()
            assert opened.open == 1
            await end(task)
    names = Gates()
    given = ["A.test:1", "a.TEST:2", "a.test.:3", "b.test:1", "unix:@a.test"]
    async with aioconnect.connect_many(given, per_host=1, **gated(names)) as results:
        assert (await anext(results)).index == 4
        await turns()
        assert names.flying == ["A.test", "b.test"]


async def test_a_list_counts_for_each_of_its_hosts(server: tuple[str, int]) -> None:
    """It waits until each has room, and takes no place from others meanwhile."""
    gates = Gates()
    port = server[1]
    a, b = ("a.test", port), ("b.test", port)
    given: list[Any] = [a, [a, b], a, b, [b, a], b]
    many = aioconnect.connect_many(given, per_host=1, **gated(gates))
    async with many as results, asyncio.timeout(MAX):
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]  # 0 and 3
        gates.let("a.test")  # the first list could go to a now, but not to b: 2 goes instead
        came = [await task]
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]
        gates.open("a.test", "b.test")
        came.append(await task)
        came += [result async for result in results]
    assert came[0].index == 0
    assert {came[1].index, came[2].index} == {2, 3}
    assert sorted(result.index for result in came) == list(range(6))
    for result in came:
        assert result.socket is not None
        result.socket.close()


async def test_who_was_read_first_goes_first_wherever_it_waits(server: tuple[str, int]) -> None:
    """A list that had to wait for one of its hosts stands before those that came later there."""
    gates = Gates()
    port = server[1]
    a, b = ("a.test", port), ("b.test", port)
    given: list[Any] = [b, a, [a, b], b]
    async with aioconnect.connect_many(given, per_host=1, **gated(gates)) as results:
        for name, index in (("a.test", 1), ("b.test", 0)):
            task = asking(results)
            await turns()
            gates.let(name)
            result = await task
            assert result.index == index
            assert result.socket is not None
            result.socket.close()
        task = asking(results)
        await turns()
        assert sorted(gates.flying) == ["a.test", "b.test"]  # the list
        await end(task)


# So many a second ---------------------------------------------------------------------------------


def starts(pace: Pace, clock: Iterable[float]) -> list[float]:
    """Return the instants of the starts, for somebody who looks at those of the clock."""
    found = []
    pace.begin(0.0)
    for now in clock:
        while now >= pace.next - 1e-9:
            pace.take(now)
            found.append(now)
    return found


def every(seconds: float, *, until: float, since: float = 0.0) -> list[float]:
    return [since + number * seconds for number in range(round((until - since) / seconds) + 1)]


def test_starts_are_evenly_spaced() -> None:
    """One each interval, from the first instant on."""
    found = starts(Pace(10, 1), every(0.01, until=1.0))
    assert found == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])


@pytest.mark.parametrize("rate", [0.5, 7, 100, 3333, 50_000])
@pytest.mark.parametrize("tick", [0.0001, 0.001, 0.004, CATCH_UP])
def test_late_timers_do_not_slow_the_rate_down(rate: float, tick: float) -> None:
    """Whoever looks only each millisecond or each twenty starts as many all the same."""
    found = starts(Pace(rate, 1), every(tick, until=10.0))
    assert len(found) == pytest.approx(10 * rate + 1, abs=rate * tick + 1)


@pytest.mark.parametrize("burst", [1, 2, 5, 100])
def test_a_burst_starts_at_once(burst: int) -> None:
    """At the beginning, and again after a lull that is long enough; then at the rate."""
    pace = Pace(10, burst)
    found = starts(pace, [0.0, 0.0, 0.05, *every(0.1, since=0.1, until=0.5)])
    assert [found.count(now) for now in (0.0, 0.05)] == [burst, 0]
    assert len(found) == burst + 5
    later = []
    for now in (100.0, 100.01, 100.1):
        while now >= pace.next - 1e-9:
            pace.take(now)
            later.append(now)
    assert [later.count(now) for now in (100.0, 100.01, 100.1)] == [burst, 0, 1]


def test_after_a_lull_nothing_is_made_up_for_but_what_a_timer_may_be_late() -> None:
    """A minute without a start does not give a minute's worth at once."""
    pace = Pace(1000, 1)
    starts(pace, [0.0])
    found = []
    while pace.next <= 60.0:
        pace.take(60.0)
        found.append(60.0)
    assert len(found) == round(1000 * CATCH_UP) + 1


@sources
@pytest.mark.parametrize("burst", [1, 20])
async def test_the_rate_holds_in_an_event_loop(
    make: Any, burst: int, server: tuple[str, int]
) -> None:
    """Over a second, measured at the starts; targets are read when they may start."""
    rate, number = 150.0, 70
    source = make([server] * number)
    observe = None if burst == 1 else events.Event.__repr__  # which makes a call of each target
    many = aioconnect.connect_many(source, rate=rate, burst=burst, on_event=observe)
    began = time.monotonic()
    results = await collect(many)
    times = sorted(result.started for result in results)
    assert times[-1] - began >= (number - burst) / rate - CATCH_UP
    assert times[-1] - began <= (number - burst) / rate + 1.0
    for first, last in itertools.pairwise([times[0], *times[burst :: round(rate / 10)]]):
        assert last - first <= 1.0
    for index in range(number):  # nowhere more than the bucket holds
        window = [at for at in times if times[index] <= at < times[index] + 0.2]
        assert len(window) <= 0.2 * rate + max(burst, CATCH_UP * rate) + 2


async def test_a_target_is_read_when_it_may_start(server: tuple[str, int]) -> None:
    """A source is not read ahead of the rate."""
    for make in SOURCES:
        source = make(itertools.repeat(server))
        async with aioconnect.connect_many(source, rate=0.01, burst=3) as results:
            for _ in range(3):
                result = await anext(results)
                assert result.socket is not None
                result.socket.close()
            task = asking(results)
            await turns()
            assert source.read == 3
            await end(task)


# For so long --------------------------------------------------------------------------------------


@sources
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_the_deadline_of_the_whole_fails_what_is_left(
    make: Any, ordered: bool, dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """In flight, or waiting for its host; what was not read is not read any more."""
    source = make(itertools.chain([server], itertools.repeat(dead)))
    many = aioconnect.connect_many(source, limit=6, per_host=2, ordered=ordered, timeout=0.2)
    with refusing():
        results = await collect(many)
    assert sorted(result.index for result in results) == list(range(source.read))
    if ordered:
        assert [result.index for result in results] == list(range(source.read))
    assert source.read >= 6
    results.sort(key=lambda result: result.index)
    assert results[0].error is None
    for result in results[1:]:
        assert isinstance(result.error, aioconnect.TimedOut)
        assert isinstance(result.error, TimeoutError)
        assert result.error.target == f"127.0.0.1:{dead[1]}"
    dialled = [result for result in results[1:] if result.error and result.error.attempts]
    assert len(dialled) == 2
    for result in dialled:
        assert result.elapsed >= 0.15


async def test_the_deadline_ends_a_source_that_never_comes(server: tuple[str, int]) -> None:
    """It is cancelled, and what it had given is not lost."""
    cancelled = False

    async def targets() -> AsyncIterator[Any]:
        nonlocal cancelled
        yield server
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled = True
            raise

    results = await collect(aioconnect.connect_many(targets(), timeout=0.1))
    assert [result.error for result in results] == [None]
    assert cancelled


async def test_no_time_at_all_is_enough_for_nothing(server: tuple[str, int]) -> None:
    """A timeout of zero reads no target."""
    for make in SOURCES:
        source = make([server])
        assert await collect(aioconnect.connect_many(source, timeout=0)) == []
        assert source.read == 0


async def test_each_target_has_its_own_time(dead: tuple[str, int], server: tuple[str, int]) -> None:
    """From when it is dialled: waiting for its host costs it nothing."""
    many = aioconnect.connect_many([dead, server, dead, dead], per_host=1, target_timeout=0.15)
    results = sorted(await collect(many), key=lambda result: result.index)
    late = [results[0], results[2], results[3]]
    assert results[1].error is None or isinstance(results[1].error, TimeoutError)
    for result in late:
        assert isinstance(result.error, TimeoutError)
        assert result.error.elapsed >= 0.15
        assert result.elapsed >= 0.15
    for before, after in itertools.pairwise(late):
        assert after.started >= before.started + 0.15


async def test_attempt_timeout_and_racing_hold_within_a_target(
    dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """A list is one target: its second address is dialled when the first says nothing."""
    targets: list[Any] = [[dead, server], [dead, server]]
    many = aioconnect.connect_many(targets, attempt_timeout=0.05, happy_eyeballs_delay=None)
    for result in await collect(many, close=False):
        assert result.socket is not None
        with result.socket as sock:
            assert sock.getpeername() == server
        assert result.elapsed >= 0.05


# Where targets come from --------------------------------------------------------------------------


class OutOfPaperError(Exception):
    """What a source may raise."""


@sources
async def test_what_a_source_raises_comes_out_unchanged(
    make: Any, server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Where it is asked for; the results that there are can still be had, and then it is over."""
    raised = OutOfPaperError()

    def targets() -> Iterator[Any]:
        yield ("a.test", server[1])
        yield ("b.test", server[1])
        raise raised

    gates = Gates()
    source = make(targets())
    async with aioconnect.connect_many(source, **gated(gates)) as results:
        with pytest.raises(OutOfPaperError) as caught:
            await anext(results)
        assert caught.value is raised
        assert len(gates.flying) == 2 or await turns() is None
        gates.open("a.test", "b.test")
        left = [result async for result in results]
        assert sorted(result.index for result in left) == [0, 1]
        for result in left:
            assert result.socket is not None
            result.socket.close()


async def test_a_source_that_fails_after_the_block_was_left_says_so(
    server: tuple[str, int],
) -> None:
    """Nobody can be told any more but the loop's exception handler."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def targets() -> AsyncIterator[Any]:
        yield server
        try:
            await asyncio.sleep(60)
        finally:
            raise OutOfPaperError

    async with aioconnect.connect_many(targets()) as results:
        result = await anext(results)
        assert result.socket is not None
        result.socket.close()
        task = asking(results)
        await turns()
        await end(task)
    del results, task
    gc.collect()
    assert [type(context.get("exception")) for context in told] == [OutOfPaperError]


async def test_an_asynchronous_source_is_preferred(server: tuple[str, int]) -> None:
    """Of an object that is both, as an ORM's query may be, whose other face would block."""

    class Both(AsyncSource):
        def __iter__(self) -> Iterator[Any]:
            raise AssertionError("this would block")

    results = await collect(aioconnect.connect_many(Both([server])))
    assert [result.error for result in results] == [None]


async def test_leaving_lets_go_of_the_source(server: tuple[str, int]) -> None:
    """It is the caller's, who may go on with the rest."""
    rest = iter([server] * 10)
    async with aioconnect.connect_many(rest, limit=3) as results:
        async for result in results:
            assert result.socket is not None
            result.socket.close()
            break
    assert 7 <= len(list(rest)) <= 9

    async def targets() -> AsyncIterator[Any]:
        for _ in range(10):
            yield server

    async with aclosing(targets()) as source:
        async with aioconnect.connect_many(source, limit=3) as results:
            async for result in results:
                assert result.socket is not None
                result.socket.close()
                break
        left = [target async for target in source]
        assert len(left) <= 9


async def test_leaving_cancels_a_source_and_waits_until_it_has_cleaned_up() -> None:
    """Its task is gone when the block is left."""
    cleaned = False

    class Waiting(AsyncSource):
        async def wait(self) -> None:
            nonlocal cleaned
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                cleaned = True

    tasks = asyncio.all_tasks()
    async with aioconnect.connect_many(Waiting([])) as results:
        task = asking(results)
        await turns()
        await end(task)
        assert not cleaned
    assert cleaned
    assert asyncio.all_tasks() == tasks


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"targets": "127.0.0.1:80"}, TypeError),
        ({"targets": b"127.0.0.1:80"}, TypeError),
        ({"targets": 80}, TypeError),
        ({"targets": None}, TypeError),
        ({"limit": 0}, ValueError),
        ({"limit": 1.5}, TypeError),
        ({"limit": True}, TypeError),
        ({"per_host": 0}, ValueError),
        ({"per_host": "1"}, TypeError),
        ({"rate": 0}, ValueError),
        ({"rate": -1.0}, ValueError),
        ({"rate": inf}, ValueError),
        ({"rate": float("nan")}, ValueError),
        ({"rate": "fast"}, TypeError),
        ({"rate": True}, TypeError),
        ({"burst": 0}, ValueError),
        ({"burst": 2.0}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"target_timeout": "1"}, TypeError),
        ({"max_concurrent": 0}, ValueError),
        ({"colour": "blue"}, TypeError),
    ],
)
def test_misuse_is_refused_at_once(arguments: dict[str, Any], error: type[Exception]) -> None:
    """Before any I/O, and before a loop is there."""
    with pytest.raises(error):
        aioconnect.connect_many(**{"targets": [], **arguments})


# Hooks --------------------------------------------------------------------------------------------


class HookError(Exception):
    """What a caller's hook may raise."""


async def test_an_observer_that_raises_is_logged(
    server: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """It only observes: the run goes on."""

    def observe(event: Any) -> None:
        raise HookError

    results = await collect(aioconnect.connect_many([server] * 3, on_event=observe))
    assert [result.error for result in results] == [None] * 3
    assert "on_event failed" in caplog.text


class At:
    """A hook that raises when it is called for the n-th time."""

    def __init__(self, number: int, raised: BaseException) -> None:
        self.number = number
        self.raised = raised
        self.calls = 0

    def __call__(self, *args: Any) -> Any:
        """Count, or raise."""
        self.calls += 1
        if self.calls == self.number:
            raise self.raised

    def make(self, endpoint: Any) -> socket.socket:
        """Make a socket."""
        self()
        return Slow(*endpoint[:3])

    async def lookup(self, name: str, family: int) -> Answer:
        """Answer."""
        self()
        return Answer(("127.0.0.1",))

    def decide(self, ctx: retry.Context) -> retry.Retry:
        """Try again."""
        self()
        return retry.Retry(0.0)


@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
@pytest.mark.parametrize("per_host", [None, 1])
@pytest.mark.parametrize("what", ["policy", "factory", "resolver", "retry"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_a_hook_raises_comes_out_unchanged(
    number: int, what: str, per_host: int | None, ordered: bool, server: tuple[str, int]
) -> None:
    """In place of the result of its target; all the others can still be had."""
    hook = At(number, HookError())
    with refusing() as nobody:
        target: Any = nobody if what == "retry" else server
        options: dict[str, Any] = {
            "policy": {"address_policy": hook},
            "factory": {"socket_factory": hook.make},
            "resolver": {"resolver": hook, "family": socket.AF_INET},
            "retry": {"retry": retry.attempts(2) & hook.decide},
        }[what]
        if what == "resolver":
            target = ("a.test", server[1])
        many = aioconnect.connect_many(
            [target] * 5, limit=3, per_host=per_host, ordered=ordered, **options
        )
        came: list[ConnectResult] = []
        async with many as results, asyncio.timeout(MAX):
            with pytest.raises(HookError) as caught:
                await take(results, came)
            assert caught.value is hook.raised
            came += [result async for result in results]
    assert len({result.index for result in came}) == len(came) == 4
    if ordered:
        assert [result.index for result in came] == sorted(result.index for result in came)
    for result in came:
        assert (result.socket is None) == (what == "retry")
        if result.socket is not None:
            result.socket.close()


async def test_an_os_error_of_a_hook_is_the_targets(server: tuple[str, int]) -> None:
    """As everywhere: a failed stage of that attempt."""
    hook = At(2, PermissionError("not that one"))
    results = await collect(aioconnect.connect_many([server] * 3, address_policy=hook))
    failed = [result for result in results if result.error is not None]
    assert [result.index for result in failed] == [1]
    assert isinstance(failed[0].error, PermissionError)


# Names --------------------------------------------------------------------------------------------


async def test_names_are_raced_as_everywhere(server: tuple[str, int]) -> None:
    """Several addresses, of both families; the first that connects wins."""
    names = StaticResolver({"a.test": ["::1", "127.0.0.1"], "b.test": "127.0.0.1"})
    targets = [("a.test", server[1]), ("b.test", server[1]), ("c.test", server[1])]
    results = await collect(aioconnect.connect_many(targets, resolver=names, ordered=True))
    assert [result.error is None for result in results] == [True, True, False]
    assert isinstance(results[2].error, socket.gaierror)


class Keeping(Gates):
    """A resolver that keeps what it learns, and so is let finish after the connection is there."""

    async def lookup(self, name: str, family: int) -> Answer:
        """Answer IPv4 at once, and IPv6 when the gate is opened."""
        if family == socket.AF_INET6:
            await super().lookup(name, family)
            return Answer(("::1",))
        return Answer(("127.0.0.1",))

    def forget(self, name: str) -> None:
        """Forget nothing."""


async def test_an_answer_that_comes_after_the_connection_changes_nothing(
    server: tuple[str, int],
) -> None:
    """Each target has one result, and each socket is handed out once."""
    names = Keeping()
    targets = [(f"{number}.test", server[1]) for number in range(5)]
    many = aioconnect.connect_many(
        [*targets, ("127.0.0.9", server[1])],
        resolver=names,
        resolution_delay=0,
        limit=5,
        per_host=3,
    )
    came = []
    async with many as results:
        async for result in results:
            came.append(result)
            if len(came) == 3:
                names.open(*(name for name, _ in targets))
                await turns()
        await turns()
    assert sorted(result.index for result in came) == list(range(6))
    assert len({result.socket.fileno() for result in came if result.socket is not None}) == 5
    for result in came:
        if result.socket is not None:
            result.socket.close()


def eager(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, name: str | None = None, **_: Any
) -> asyncio.Task[Any]:
    """Make a task that runs at once, where there are such (from Python 3.12 on)."""
    at_once = {"eager_start": True} if sys.version_info >= (3, 12) else {}
    return asyncio.Task(coroutine, loop=loop, name=name, **at_once)  # type: ignore[arg-type]


async def test_an_answer_that_comes_before_anybody_waits_is_seen(server: tuple[str, int]) -> None:
    """An eager look-up is over when its task was made."""
    loop = asyncio.get_running_loop()
    loop.set_task_factory(eager)

    class AtOnce:
        async def lookup(self, name: str, family: int) -> Answer:
            return Answer(("127.0.0.1",))

    try:
        targets = [(f"{number}.test", server[1]) for number in range(3)]
        many = aioconnect.connect_many(targets, resolver=AtOnce(), family=socket.AF_INET)
        results = await collect(many)
    finally:
        loop.set_task_factory(None)
    assert [result.error for result in results] == [None] * 3


# Once more ----------------------------------------------------------------------------------------


class Refusing:
    """A ``socket_factory`` whose sockets fail as often as it is told, for each port dialled."""

    def __init__(self, numbers: dict[int, list[int]]) -> None:
        self.numbers = numbers
        self.made: dict[int, int] = {}

    def __call__(self, endpoint: Any) -> socket.socket:
        """Fail, or make one."""
        port = endpoint[4][1]
        self.made[port] = self.made.get(port, 0) + 1
        numbers = self.numbers.get(port)
        if numbers and (number := numbers.pop(0)):
            # Of a factory EADDRNOTAVAIL may mean anything: it says what it means.
            kind = aioconnect.PortsExhausted if number == errno.EADDRNOTAVAIL else OSError
            raise kind(number, "as it was told")
        return socket.socket(*endpoint[:3])


async def test_a_retry_policy_holds_for_each_target(server: tuple[str, int]) -> None:
    """As many rounds as it allows, for each of them; and the pauses are no time lost for others."""
    fail = errno.ECONNREFUSED
    with listen() as other, refusing() as nobody:
        factory = Refusing({server[1]: [fail, fail], other.getsockname()[1]: [fail] * 9})
        many = aioconnect.connect_many(
            [nobody, other.getsockname(), server],
            retry=retry.attempts(3) & retry.constant(0.01),
            socket_factory=factory,
            ordered=True,
        )
        results = await collect(many)
        assert factory.made == {nobody[1]: 3, other.getsockname()[1]: 3, server[1]: 3}
    assert [result.error is None for result in results] == [False, False, True]
    for result in results[:2]:
        assert result.error is not None
        assert result.error.stopped == "attempts"
        assert [failed.round for failed in result.error.attempts] == [1, 2, 3]
        assert result.elapsed >= 0.02


@pytest.mark.parametrize("lack", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
async def test_what_this_host_lacks_is_no_round_of_the_policy(
    lack: int, server: tuple[str, int]
) -> None:
    """It goes on with the round that it was in, with the rounds that failed behind it."""
    fail = errno.ECONNREFUSED
    factory = Refusing({server[1]: [lack, fail, lack, lack, fail, lack, fail, lack, 0]})
    seen: list[Any] = []
    delays: list[int] = []

    def policy(ctx: retry.Context) -> retry.Retry | retry.Stop:
        delays.append(ctx.failures)
        assert all(failed.errno == fail for failed in ctx.history)
        return retry.Stop("enough") if ctx.failures == 3 else retry.Retry(0.0)

    many = aioconnect.connect_many(
        [server], retry=policy, socket_factory=factory, on_event=seen.append
    )
    (result,) = await collect(many)
    assert delays == [1, 2, 3]
    assert factory.made == {server[1]: 7}
    assert isinstance(result.error, ConnectionRefusedError)
    assert result.error.stopped == "enough"
    assert [(each.round, each.errno) for each in result.error.attempts] == [
        (1, fail),
        (2, fail),
        (3, fail),
    ]
    assert len([event for event in seen if isinstance(event, events.SlowedDown)]) == 4


# What this host lacks -----------------------------------------------------------------------------

LACKS = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]


@pytest.mark.parametrize("observed", [False, True], ids=["plain", "observed"])
@pytest.mark.parametrize("number", LACKS, ids=errno.errorcode.get)
async def test_what_is_lacking_for_a_moment_fails_no_target(
    number: int, observed: bool, server: tuple[str, int]
) -> None:
    """It is tried again after a pause, which doubles while it still lacks."""
    factory = Refusing({server[1]: [0, number, number, number, 0, number]})
    seen: list[Any] = []
    options = {"on_event": seen.append} if observed else {}
    results = await collect(
        aioconnect.connect_many([server] * 5, socket_factory=factory, limit=4, **options)
    )
    assert sorted(result.index for result in results) == list(range(5))
    assert [result.error for result in results] == [None] * 5
    assert factory.made == {server[1]: 9}
    if observed:
        slowed = [event for event in seen if isinstance(event, events.SlowedDown)]
        assert [event.error.errno for event in slowed] == [number] * 4
        assert all(1 <= event.limit <= 4 for event in slowed)
        assert all(event.target == f"127.0.0.1:{server[1]}" for event in slowed)
        first, second, third, _ = [event.at for event in slowed]
        assert second - first >= LEAST_PAUSE
        assert third - second >= 2 * LEAST_PAUSE


@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.ENETDOWN, errno.EACCES])
async def test_other_failures_of_this_host_are_the_targets(
    number: int, server: tuple[str, int]
) -> None:
    """A local address that is taken, say: waiting would be for ever."""

    class Bound(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, "as it was told")

    many = aioconnect.connect_many(
        [server],
        socket_factory=lambda endpoint: Bound(*endpoint[:3]),
        local_addr=("127.0.0.1", 9999),
    )
    (result,) = await collect(many)
    assert result.error is not None
    assert result.error.errno == number


async def test_a_look_up_without_a_descriptor_is_made_again(server: tuple[str, int]) -> None:
    """A name needs one too."""
    asked = 0

    class Lacking:
        async def lookup(self, name: str, family: int) -> Answer:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise OSError(errno.EMFILE, "Too many open files")
            return Answer(("127.0.0.1",))

    many = aioconnect.connect_many(
        [("a.test", server[1])], resolver=Lacking(), family=socket.AF_INET
    )
    (result,) = await collect(many)
    assert result.error is None
    assert asked == 4


async def test_waiting_for_what_lacks_costs_a_target_nothing_of_its_time(
    server: tuple[str, int],
) -> None:
    """Not even the time of the look-ups that went before."""
    asked = 0

    class Slow:
        async def lookup(self, name: str, family: int) -> Answer:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.1)
            return Answer(("127.0.0.1",))

    factory = Refusing({server[1]: [errno.EMFILE] * 4})
    with black_hole() as hole:  # a connect in flight, whose end may free what is lacking
        many = aioconnect.connect_many(
            [("a.test", server[1]), hole],
            resolver=Slow(),
            family=socket.AF_INET,
            socket_factory=factory,
            target_timeout=0.3,
        )
        _, result = await collect(many)
    assert asked == 5
    assert result.error is None
    assert result.elapsed >= 0.5


async def test_the_deadline_says_what_was_lacking(server: tuple[str, int]) -> None:
    """Of a target that still waited for it when the time of the whole was up."""
    factory = Refusing({server[1]: [errno.EMFILE] * 1000})
    many = aioconnect.connect_many([server] * 3, socket_factory=factory, timeout=0.3, limit=2)
    results = await collect(many)
    assert [type(result.error) for result in results] == [aioconnect.TooManyOpenFiles]
    (result,) = results
    assert result.error is not None
    assert result.error.stopped == "deadline"
    assert "no time left" in str(result.error)
    assert factory.made[server[1]] < 10


async def test_per_host_holds_when_something_lacks(server: tuple[str, int]) -> None:
    """Who is tried again waits for its host like anybody else."""
    gates = Gates()
    factory = Refusing({server[1]: [errno.EMFILE, 0, errno.ENOBUFS, errno.EMFILE]})
    many = aioconnect.connect_many(
        [("a.test", server[1])] * 6, per_host=1, socket_factory=factory, **gated(gates)
    )
    gates.open("a.test")
    results = await collect(many)
    assert [result.error for result in results] == [None] * 6
    assert gates.most == 1


@pytest.mark.parametrize("kind", ["at once", "pending", "names", "lists", "asynchronous"])
async def test_few_descriptors_slow_it_down_and_lose_nothing(
    kind: str, server: tuple[str, int]
) -> None:
    """The process's limit is met for real; by a consumer that keeps sockets for a while too."""
    number = 150
    targets: Any = [server] * number
    options: dict[str, Any] = {}
    if kind in ("pending", "asynchronous"):
        options["socket_factory"] = slow
    if kind == "asynchronous":
        targets = AsyncSource(targets)
    if kind == "names":
        targets = [(f"{each}.test", server[1]) for each in range(number)]
        options["resolver"] = StaticResolver({name: "127.0.0.1" for name, _ in targets})
    if kind == "lists":
        targets = [[server, server]] * number
    seen: list[Any] = []
    kept: deque[socket.socket] = deque()
    indices = []
    many = aioconnect.connect_many(targets, limit=number, on_event=seen.append, **options)
    with few_descriptors(20):
        async with many as results, asyncio.timeout(MAX):
            async for result in results:
                assert result.error is None
                assert result.socket is not None
                indices.append(result.index)
                kept.append(result.socket)
                while len(kept) > 5:
                    kept.popleft().close()
        for sock in kept:
            sock.close()
    assert sorted(indices) == list(range(number))
    slowed = [event for event in seen if isinstance(event, events.SlowedDown)]
    assert slowed
    assert all(isinstance(event.error, aioconnect.TooManyOpenFiles) for event in slowed)
    assert all(event.limit <= 20 for event in slowed)
    assert len(slowed) < number


async def test_room_grows_again_when_there_are_descriptors(server: tuple[str, int]) -> None:
    """By and by, until as many are in flight as before."""
    gates = Gates()
    factory = Refusing({server[1]: [errno.EMFILE]})
    targets = itertools.chain([server], ((f"{n}.test", server[1]) for n in itertools.count()))
    many = aioconnect.connect_many(targets, limit=4, socket_factory=factory, **gated(gates))
    async with many as results, asyncio.timeout(MAX):
        result = await anext(results)
        assert result.socket is not None
        result.socket.close()
        task = asking(results)
        await turns()
        assert len(gates.flying) < 4
        await until(lambda: len(gates.flying) == 4)
        await end(task)
    assert gates.most == 4


async def test_a_loop_that_cannot_wait_for_want_of_a_descriptor_waits_later(
    server: tuple[str, int],
) -> None:
    """The first wait of a loop needs an epoll, which is a descriptor like others."""
    made = []

    def only_one(endpoint: Any) -> socket.socket:
        made.append(Slow(*endpoint[:3]))
        return made[-1]

    seen: list[Any] = []

    def observe(event: Any) -> None:
        seen.append(event)
        if isinstance(event, events.SlowedDown):
            limit.close()

    with ExitStack() as limit:
        limit.enter_context(few_descriptors(1))
        many = aioconnect.connect_many([server], socket_factory=only_one, on_event=observe)
        (result,) = await collect(many)
    assert result.error is None
    assert len([event for event in seen if isinstance(event, events.SlowedDown)]) == 1


async def test_who_waits_goes_on_when_what_was_lacking_is_there(
    server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the pause would be: another one has just connected to that host."""
    monkeypatch.setattr("aioconnect.many.room.LEAST_PAUSE", 2 * MAX)
    monkeypatch.setattr("aioconnect.many.room.MOST_PAUSE", 2 * MAX)
    others = Refusing({server[1]: [errno.EADDRNOTAVAIL]})
    dialled = itertools.count()

    def factory(endpoint: Any) -> socket.socket:
        return slow(endpoint) if next(dialled) == 0 else others(endpoint)

    results = await collect(aioconnect.connect_many([server] * 4, socket_factory=factory))
    assert [result.index for result in results] == [0, 1, 2, 3]
    assert [result.error for result in results] == [None] * 4


PORTS = 11


@needs("netns")
@pytest.mark.parametrize(("host", "ordered"), [("10.66.0.2", True), ("fd66::2", False)])
@pytest.mark.parametrize("loop", LOOPS)
def test_few_ports_slow_it_down_and_lose_nothing(loop: str, host: str, ordered: bool) -> None:
    """Eleven of them, and a consumer that keeps some; who dials elsewhere does not wait."""
    with namespace() as here, ExitStack() as stack:
        there = here.remote()
        here.sysctl("ipv4/ip_local_port_range", f"40000 {40000 + PORTS - 1}")
        with there.inside():
            server = stack.enter_context(listen((host, 7000), backlog=500))
            other = stack.enter_context(listen((host, 7001), backlog=500))
        stack.callback(drain, server, other)
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(few_ports(host, ordered))


async def few_ports(host: str, ordered: bool) -> None:
    seen: list[Any] = []
    kept: deque[socket.socket] = deque()
    number = 60
    targets: list[Any] = [(host, 7000)] * number
    targets[30:30] = ["unix:@nobody-listens-here"] * 5
    indices = []
    many = aioconnect.connect_many(targets, limit=40, ordered=ordered, on_event=seen.append)
    async with many as results, asyncio.timeout(MAX):
        async for result in results:
            indices.append(result.index)
            if result.index in range(30, 35):
                assert isinstance(result.error, FileNotFoundError | ConnectionRefusedError)
                continue
            assert result.error is None, result.error
            assert result.socket is not None
            reset_when_closed(result.socket)
            kept.append(result.socket)
            while len(kept) > 3:
                kept.popleft().close()
    for sock in kept:
        sock.close()
    assert sorted(indices) == list(range(number + 5))
    if ordered:
        assert indices == sorted(indices)
    slowed = [event for event in seen if isinstance(event, events.SlowedDown)]
    assert slowed
    assert all(isinstance(event.error, aioconnect.PortsExhausted) for event in slowed)
    assert all(event.limit == 40 for event in slowed)


@needs("netns")
@pytest.mark.parametrize("loop", LOOPS)
def test_what_waits_for_its_turn_gives_its_port_to_the_first(loop: str) -> None:
    """They have every port to an address, of which the one they wait for knew only a name."""
    with namespace() as here, ExitStack() as stack:
        there = here.remote()
        here.sysctl("ipv4/ip_local_port_range", f"40000 {40000 + PORTS - 1}")
        with there.inside():
            server = stack.enter_context(listen(("10.66.0.2", 7000), backlog=500))
        stack.callback(drain, server)
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(last_port("10.66.0.2"))


async def last_port(host: str) -> None:
    gates = Gates()
    seen: list[Any] = []
    options = {"resolver": Named(gates, host), "family": socket.AF_INET, "on_event": seen.append}
    targets = [("slow.test", 7000), *[(host, 7000)] * (2 * PORTS)]
    many = aioconnect.connect_many(targets, limit=40, ordered=True, **options)
    async with many as results, asyncio.timeout(MAX):
        task = asking(results)
        await until(lambda: any(isinstance(event, events.SlowedDown) for event in seen))
        gates.open("slow.test")
        came = [await task]
        while True:
            sock = came[-1].socket
            assert sock is not None, came[-1].error
            reset_when_closed(sock)
            sock.close()
            try:
                came.append(await anext(results))
            except StopAsyncIteration:
                break
    assert [result.index for result in came] == list(range(1 + 2 * PORTS))


class Named:
    """A resolver that waits as ``Gates`` do, and answers another address."""

    def __init__(self, gates: Gates, host: str) -> None:
        self.gates = gates
        self.host = host

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait until the gate of that name is opened."""
        await self.gates.lookup(name, family)
        return Answer((self.host,))


def reset_when_closed(sock: socket.socket) -> None:
    """Leave nothing in TIME_WAIT, so that the port can be had again."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_those_who_dial_elsewhere_do_not_wait_for_a_port(server: tuple[str, int]) -> None:
    """Ports are lacking for one destination; as many wait for one as ``MAX_DELAYED`` says."""

    class NoPort(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return errno.EADDRNOTAVAIL if lacking else super().connect_ex(address)

    def factory(endpoint: Any) -> socket.socket:
        host = endpoint[4][0]
        return (NoPort if host == "127.0.0.2" else socket.socket)(*endpoint[:3])

    lacking = True
    with listen(("127.0.0.2", server[1])) as other:
        source = Source(itertools.cycle([server, other.getsockname()]))
        many = aioconnect.connect_many(source, limit=1000, socket_factory=factory)
        async with many as results, asyncio.timeout(MAX):
            for _ in range(MAX_DELAYED):
                result = await anext(results)
                assert result.socket is not None
                assert result.socket.getpeername() == server
                result.socket.close()
            task = asking(results)
            await turns()
            assert not task.done()
            assert source.read == 2 * MAX_DELAYED
            lacking = False
            result = await task
            assert result.socket is not None
            assert result.index == 1  # who has waited longest
            result.socket.close()


# Everything at once -------------------------------------------------------------------------------


class Weather:
    """A resolver and a socket factory that do this and that, at random but always the same."""

    def __init__(
        self, seed: int, server: tuple[str, int], nobody: tuple[str, int], *, lacks: float = 0.1
    ) -> None:
        self.random = random.Random(seed)
        self.lacks = lacks
        self.server = server
        self.nobody = nobody
        self.dialling: dict[str, int] = {}
        self.most = 0

    def targets(self, number: int) -> list[Any]:
        """Choose so many."""
        port = self.server[1]
        kinds = [
            lambda: self.server,
            lambda: self.nobody,
            lambda: (f"{self.random.choice('abc')}.test", port),
            lambda: [self.nobody, self.server],
            lambda: [("a.test", port), ("b.test", port)],
            lambda: "no target",
        ]
        return [self.random.choice(kinds)() for _ in range(number)]

    async def lookup(self, name: str, family: int) -> Answer:
        """Wait for some turns, then answer or not."""
        self.dialling[name] = self.dialling.get(name, 0) + 1
        self.most = max(self.most, self.dialling[name])
        try:
            for _ in range(self.random.choice((0, 0, 1, 2, 5))):
                await asyncio.sleep(0)
            if self.random.random() < self.lacks:
                raise OSError(errno.EMFILE, "no descriptor")
            if self.random.random() < 0.1:
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return Answer(("127.0.0.1",))
        finally:
            self.dialling[name] -= 1

    def make(self, endpoint: Any) -> socket.socket:
        """Make a socket, fast or slow, or none."""
        chance = self.random.random()
        if chance < self.lacks:
            raise OSError(self.random.choice(LACKS), "lacking")
        if chance < self.lacks + 0.05:
            raise ConnectionRefusedError("not today")
        return (Slow if chance < 0.6 else socket.socket)(*endpoint[:3])


@pytest.mark.parametrize("seed", range(28))
async def test_each_target_has_exactly_one_result(seed: int, server: tuple[str, int]) -> None:
    """Whatever happens: nothing is lost, doubled, out of order, beyond a bound, or for ever."""
    with refusing() as nobody:
        weather = Weather(seed, server, nobody)
        choose = weather.random.choice
        ordered = choose((False, True))
        per_host = choose((None, 1, 2))
        limit = choose((1, 2, 5, 50))
        number = 60
        source = choose(SOURCES)(weather.targets(number))
        many = aioconnect.connect_many(
            source,
            limit=limit,
            per_host=per_host,
            ordered=ordered,
            rate=choose((None, 3000.0)),
            retry=choose((None, retry.attempts(2) & retry.constant(0.0))),
            on_event=choose((None, str)),
            resolver=weather,
            family=socket.AF_INET,
            socket_factory=weather.make,
            happy_eyeballs_delay=choose((None, 0.25, 0.01)),
        )
        came = []
        async with many as results, asyncio.timeout(MAX):
            async for result in results:
                came.append(result.index)
                assert (result.socket is None) != (result.error is None)
                assert result.started <= result.ended
                assert (
                    source.read
                    <= len(came) - 1 + limit + limit * (per_host is not None) + MAX_DELAYED
                )
                if ordered:
                    assert source.read <= len(came) - 1 + limit
                if result.socket is not None:
                    result.socket.close()
                if weather.random.random() < 0.2:
                    await turns(weather.random.randrange(3))
    assert sorted(came) == list(range(number))
    if ordered:
        assert came == sorted(came)
    if per_host is not None:
        assert weather.most <= per_host


# Leaving ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["break", "raise", "cancel", "return at once"])
@pytest.mark.parametrize("ordered", [False, True], ids=["as they come", "ordered"])
async def test_leaving_closes_what_was_not_handed_out(
    how: str, ordered: bool, dead: tuple[str, int], server: tuple[str, int]
) -> None:
    """Connected, pending, waiting for its turn: all but what was handed out."""
    opened = Open(socket.socket)
    targets = [server, dead, server, server, dead, *[server] * 10]
    many = aioconnect.connect_many(
        targets, limit=12, ordered=ordered, socket_factory=opened, retry=True
    )
    kept: list[socket.socket] = []

    async def run() -> None:
        async with many as results:
            if how == "return at once":
                return
            async for result in results:
                assert result.socket is not None
                kept.append(result.socket)
                if how == "break":
                    break
                if how == "raise":
                    raise HookError
                await turns(3)
                if len(kept) == (1 if ordered else 3):
                    await asyncio.sleep(60)

    task = asyncio.create_task(run())
    if how == "cancel":
        await turns(100)
        task.cancel()
    done, _ = await asyncio.wait([task], timeout=MAX)
    assert done
    assert task.cancelled() == (how == "cancel")
    if not task.cancelled():
        assert isinstance(task.exception(), HookError) == (how == "raise")
    assert opened.open == len(kept)
    for sock in kept:
        assert sock.getpeername() == server
        sock.close()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
async def test_leaving_closes_everything_whatever_a_hook_raises(
    interrupt: type[BaseException], dead: tuple[str, int]
) -> None:
    """An observer that is told of a cancelled attempt, and is interrupted, hinders no other."""
    opened = Open(socket.socket)

    def observe(event: Any) -> None:
        if isinstance(event, events.AttemptCancelled):
            raise interrupt

    many = aioconnect.connect_many([dead] * 5, socket_factory=opened, on_event=observe)
    await many.__aenter__()
    task = asking(many)
    await turns()
    assert opened.open == 5
    await end(task)
    with pytest.raises(interrupt):
        await many.__aexit__(None, None, None)
    assert opened.open == 0


async def test_an_observer_that_is_interrupted_loses_no_target(server: tuple[str, int]) -> None:
    """It was told that something lacks; the target waits all the same."""
    factory = Refusing({server[1]: [errno.EMFILE]})
    hook = At(1, KeyboardInterrupt())

    def observe(event: Any) -> None:
        if isinstance(event, events.SlowedDown):
            hook()

    many = aioconnect.connect_many([server] * 2, socket_factory=factory, on_event=observe)
    interrupted = 0
    came = []
    async with many as results:
        while True:
            try:
                async for result in results:
                    came.append(result.index)
                    assert result.socket is not None
                    result.socket.close()
                break
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted == 1
    assert sorted(came) == [0, 1]


async def test_who_iterates_is_told_when_another_task_leaves_the_block(
    dead: tuple[str, int],
) -> None:
    """It does not wait for ever for what is closed."""
    many = aioconnect.connect_many([dead])
    await many.__aenter__()
    task = asking(many)
    await turns()
    await many.__aexit__(None, None, None)
    async with asyncio.timeout(MAX):
        with pytest.raises(RuntimeError, match="inside its `async with` block"):
            await task


async def test_one_task_iterates_at_a_time(dead: tuple[str, int]) -> None:
    """The second is told so, and the first is not disturbed."""
    async with aioconnect.connect_many([dead]) as results:
        task = asking(results)
        await turns()
        with pytest.raises(RuntimeError, match="one task at a time"):
            await anext(results)
        assert not task.done()
        await end(task)
        task = asking(results)  # the place is free again
        await turns()
        assert not task.done()
        await end(task)


async def test_it_is_used_once_and_inside_its_block(server: tuple[str, int]) -> None:
    """Before, after, and a second time are told apart from an end."""
    many = aioconnect.connect_many([server])
    with pytest.raises(RuntimeError, match="inside its `async with` block"):
        await anext(many)
    assert len(await collect(many)) == 1
    with pytest.raises(RuntimeError, match="inside its `async with` block"):
        await anext(many)
    with pytest.raises(RuntimeError, match="once"):
        await many.__aenter__()


async def test_the_end_is_said_as_often_as_it_is_asked_for(server: tuple[str, int]) -> None:
    """Like any iterator."""
    for make in SOURCES:
        async with aioconnect.connect_many(make([])) as results:
            for _ in range(3):
                with pytest.raises(StopAsyncIteration):
                    await anext(results)


def alive(server: tuple[str, int], dead: tuple[str, int]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return runs of all sorts, each with a source and the options."""

    def raises() -> Iterator[Any]:
        yield server
        raise OutOfPaperError

    def names() -> tuple[Any, dict[str, Any]]:
        targets = [("a.test", server[1])] * 5
        return Source(targets), {"family": socket.AF_INET, "resolver": Turns(random.Random(1))}

    short = {"target_timeout": 0.01}
    lack = errno.EMFILE
    return {
        "connected": (Source([server] * 3), {}),
        "asynchronous": (LateSource([server] * 3), {"limit": 1}),
        "pending": (Source([server] * 3), {"socket_factory": slow}),
        "timed out": (Source([dead] * 3), short),
        "in order": (Source([dead, server, server]), {"ordered": True, **short}),
        "deadline": (AsyncSource([dead] * 30), {"timeout": 0.01, "per_host": 2}),
        "names": names(),
        "lists": (Source([[dead, server]] * 3), {"happy_eyeballs_delay": 0.001}),
        "raises": (Source(raises()), {}),
        "raises, asynchronous": (AsyncSource(raises()), {}),
        "lacking": (Source([server]), {"socket_factory": Refusing({server[1]: [lack]})}),
        "tried again": (
            Source([server]),
            {
                "socket_factory": Refusing({server[1]: [errno.ECONNREFUSED]}),
                "retry": retry.attempts(2) & retry.constant(0.0),
            },
        ),
    }


@pytest.mark.parametrize("how", ["end", "break", "cancel"])
async def test_nothing_keeps_it_or_its_source_alive(
    how: str, server: tuple[str, int], dead: tuple[str, int]
) -> None:
    """Without the garbage collector: so a source ends when its caller lets go of it."""
    with without_collector():
        for name in alive(server, dead):
            source, options = alive(server, dead)[name]
            many = aioconnect.connect_many(source, **options)
            task = asyncio.create_task(run_until(how, many))
            if how == "cancel":
                await turns(3)
                task.cancel()
            done, _ = await asyncio.wait([task], timeout=MAX)
            assert done
            assert task.cancelled() or task.exception() is None
            del task, done
            await turns(5)
            left = weakref.ref(source), weakref.ref(many)
            del source
            assert left[0]() is None, name
            del many, options
            assert left[1]() is None, name


async def run_until(how: str, many: ConnectMany) -> None:
    """Run to the end, or to the first result."""
    with suppress(OutOfPaperError):
        async with many as results:
            async for result in results:
                if result.socket is not None:
                    result.socket.close()
                if how == "break":
                    break


# Cancelled at every step --------------------------------------------------------------------------


class Case(NamedTuple):
    """A run to be cancelled anywhere."""

    targets: Any
    options: dict[str, Any]
    slowly: bool = False


def cases(server: tuple[str, int], dead: tuple[str, int]) -> dict[str, Callable[[], Case]]:
    """Return what is cancelled; each run has fresh hooks."""
    port = server[1]

    def names() -> Case:
        gates = Gates()
        gates.open("a.test", "b.test")
        targets = [("a.test", port), ("b.test", port), ("a.test", port), ("a.test", port)]
        return Case(targets, {"per_host": 1, "socket_factory": slow, **gated(gates)})

    def lacking() -> Case:
        lack = errno.EMFILE
        factory = Refusing({port: [0, lack, lack, errno.EADDRNOTAVAIL]})
        return Case([server] * 4, {"limit": 2, "socket_factory": factory})

    def weather() -> Case:
        fine = Weather(5, server, ("127.0.0.1", 1), lacks=0.0)  # whose pauses would take long
        options = {"resolver": fine, "socket_factory": fine.make, "family": socket.AF_INET}
        again = retry.attempts(2) & retry.constant(0.0)
        more = {"ordered": True, "per_host": 1, "limit": 4, "retry": again, "on_event": str}
        return Case(fine.targets(12), {**options, **more}, slowly=True)

    return {
        "connected at once": lambda: Case([server] * 3, {}, slowly=True),
        "more than a turn": lambda: Case([server] * (SLOTS + 2), {"limit": SLOTS * 2}),
        "pending": lambda: Case([server, server, dead], {"socket_factory": slow, **SHORT}),
        "in order": lambda: Case(
            [dead, server, server], {"socket_factory": slow, "ordered": True, **SHORT}, slowly=True
        ),
        "at a rate": lambda: Case([server] * 3, {"rate": 200.0}),
        "asynchronous": lambda: Case(LateSource([server, dead, server]), {"limit": 2, **SHORT}),
        "names, one host": names,
        "lacking": lacking,
        "deadline": lambda: Case([dead, dead, dead], {"per_host": 2, "timeout": 0.01}),
        "all sorts": weather,
    }


SHORT = {"target_timeout": 0.01}
MANNERS = ("once", "twice", "once more a step later")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", cases(("", 0), ("", 0)))
def test_a_run_that_is_cancelled_at_any_step_leaves_nothing(
    name: str, kind: str, dead: tuple[str, int]
) -> None:
    """Descriptors by inode, epolls, tasks, timers, warnings: all as before; collector off."""
    with Steps(kind) as steps, listen(backlog=500) as server, without_collector():
        make = cases(server.getsockname(), dead)[name]
        with suppress(TimeoutError):  # the loop makes what it keeps
            steps.run(lambda: aioconnect.connect(*dead, timeout=0.001))
        last = 0
        for manner in MANNERS:
            for most in range(last) if last else itertools.count():
                by_itself = run_and_cancel(steps, make(), most, manner)
                drain(server)
                if by_itself:
                    last = last or most
                    break
        assert last > 1


def run_and_cancel(steps: Steps, case: Case, most: int, manner: str) -> bool:
    """Run for at most ``most`` steps, then cancel; tell whether it ended by itself."""

    async def call() -> None:
        async with aioconnect.connect_many(case.targets, **case.options) as results:
            async for result in results:
                if result.socket is not None:
                    result.socket.close()
                if case.slowly:
                    await asyncio.sleep(0)

    account = steps.account()
    with no_warnings():
        task = steps.start(call)
        steps.advance(task, most)
        by_itself = task.done()
        if by_itself:
            task.result()
        else:
            task.cancel()
            cancelled = 1
            if manner == "once more a step later":
                steps.step()
            if manner != "once":
                cancelled += task.cancel()
            reads = isinstance(case.targets, AsyncSource)  # by a task, whose end is waited for
            steps.advance(task, GRACE + reads)
            assert task.cancelled(), f"at step {most}, {manner}: {task!r}"
            assert task.cancelling() == cancelled
        steps.settle(GRACE)
        left = steps.account().difference(account)
        assert not left, f"at step {most}, {manner}: {left}"
        assert not steps.complaints, steps.complaints
        del task
    return by_itself


async def test_what_this_host_lacks_is_the_result_when_a_targets_time_is_up(
    server: tuple[str, int],
) -> None:
    """If nothing of the run can free it; the targets after it need not wait as long again."""
    loop = asyncio.get_running_loop()
    await anext(aiter_of_one(server))  # what is made at the first wait is there
    began = loop.time()
    with few_descriptors():
        async with aioconnect.connect_many([server] * 50, target_timeout=0.3) as results:
            ended = [result async for result in results]
    assert 0.3 <= loop.time() - began < 10
    assert [type(result.error) for result in ended] == [aioconnect.TooManyOpenFiles] * 50
    assert {result.error.stopped for result in ended if result.error} == {"deadline"}


async def test_what_the_run_itself_can_free_is_no_loss_of_time(server: tuple[str, int]) -> None:
    """Results that nobody has taken yet hold it: the rest goes on when they are."""
    with few_descriptors(4):
        async with aioconnect.connect_many([server] * 20, target_timeout=0.05) as results:
            (await anext(results)).unwrap().close()
            await asyncio.sleep(0.2)
            errors = [result.error for result in [each async for each in closing_each(results)]]
    assert errors == [None] * 19


async def aiter_of_one(server: tuple[str, int]) -> Any:
    """Connect once."""
    async with aioconnect.connect_many([server]) as results:
        async for result in results:
            result.unwrap().close()
            yield result


async def closing_each(results: Any) -> Any:
    """Close each connection as it comes."""
    async for result in results:
        if result.socket is not None:
            result.socket.close()
        yield result
