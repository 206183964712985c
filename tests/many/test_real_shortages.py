"""The limits of the host, met for real: the descriptors of a process, the ports of a namespace."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections import deque
from contextlib import ExitStack
from typing import Any

import pytest

import aioconnect
from aioconnect import events
from aioconnect.resolve import Answer, StaticResolver

from ..support import children
from ..support.limits import few_descriptors
from ..support.loops import LOOPS
from ..support.needs import needs
from ..support.networks import namespace
from ..support.servers import drain, listen
from ..support.sockets import Slow, slow
from .running import MAX, AsyncSource, Gates, asking, collect, until

pytestmark = pytest.mark.slow


# Descriptors --------------------------------------------------------------------------------------


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


# Ports --------------------------------------------------------------------------------------------


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
