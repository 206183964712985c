"""Outages as the world has them: routes, interfaces, filters, names, certificates; real sockets.

Each is outlasted by what promises to: supervisors of sockets and of streams, and
``wait_until_ready``; before the first success and after it.
"""

from __future__ import annotations

import asyncio
import datetime
import errno
import json
import socket
import ssl
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from aioconnect import Dialer, events, poller, readiness, retry
from aioconnect.resolve import AiodnsResolver, Cache

from .resolve.conftest import pycares_thread  # noqa: F401  # a fixture
from .resolve.dns import AAAA, Send, Server, address, reply
from .resolve.lab import Lab
from .support.account import descriptors, no_warnings
from .support.loops import GRACE
from .support.networks import Namespace, namespace, run
from .support.servers import black_hole, closed_port, drain, listen, refusing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractContextManager

    from .resolve.dns import Question

HERE, THERE, ELSEWHERE = "10.66.0.1", "10.66.0.2", "10.66.0.3"
PORT = 5432


class Failures:
    """What came of each dial that failed: the numbers of its attempts, or its code."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, event: events.Event) -> None:
        """Take note."""
        if isinstance(event, events.AttemptFailed):
            by_number = event.error.errno and event.error.stage != "tls"  # else it is OpenSSL's
            self.seen.append(event.error.errno if by_number else event.error.code)
        elif isinstance(event, events.LookupFailed) and event.error.code != "no_data":
            self.seen.append(event.error.code)  # but that there is nothing in IPv6

    async def come(self, number: int, of: asyncio.Future[Any]) -> list[Any]:
        """Wait for so many more, in which what they are of has not ended."""
        wanted = len(self.seen) + number
        async with asyncio.timeout(30):
            while len(self.seen) < wanted:
                assert not of.done(), of
                await asyncio.sleep(0.01)
        return self.seen[wanted - number :]


# Networks -----------------------------------------------------------------------------------------


@contextmanager
def commands(net: Namespace, begin: str, *end: str) -> Iterator[None]:
    """Begin an outage by one ``ip`` command, end it by others."""
    net.ip(begin)
    yield
    net.ip(*end)


def route(kind: str) -> Callable[[Namespace, socket.socket], AbstractContextManager[None]]:
    """Return the outage of a route of this kind over the server's address."""
    return lambda net, _: commands(net, f"route add {kind} {THERE}", f"route del {kind} {THERE}")


@contextmanager
def filtered(net: Namespace, server: socket.socket) -> Iterator[None]:
    """Drop what leaves, until the rules of the firewall are loaded anew."""
    net.nft(f"ip daddr {THERE} drop")
    yield
    with net.inside():
        run("nft", "delete", "table", "inet", "t")


@contextmanager
def stopped(net: Namespace, server: socket.socket) -> Iterator[None]:
    """Stop the server for a time."""
    server.shutdown(socket.SHUT_RDWR)
    yield
    server.listen()


def interface(net: Namespace, server: socket.socket) -> AbstractContextManager[None]:
    """Take an interface down for a time."""
    return commands(net, "link set near down", "link set near up")


def source(net: Namespace, server: socket.socket) -> AbstractContextManager[None]:
    """Take the address away that dials are bound to, for a time."""
    return commands(
        net,
        f"address del {HERE}/24 dev near",
        f"address add {HERE}/24 dev near",
    )


OUTAGES: dict[str, tuple[Any, set[Any]]] = {
    "prohibited route": (route("prohibit"), {errno.EACCES}),
    "blackhole route": (route("blackhole"), {errno.EINVAL}),
    "unreachable route": (route("unreachable"), {errno.EHOSTUNREACH}),
    "throw route": (route("throw"), {errno.ENETUNREACH}),
    "interface down": (interface, {errno.ENETUNREACH}),
    "address away": (source, {errno.EADDRNOTAVAIL}),
    "filter": (filtered, {"timed_out", errno.EPERM}),
    "server stopped": (stopped, {errno.ECONNREFUSED}),
}


async def supervised(dialer: Dialer, streams: bool, first: bool) -> AsyncIterator[Any]:
    """Begin to dial, from before the first success or from after it; then give the connection."""
    options: Any = {} if first else {"wake_interval": 0.0}
    supervise = dialer.supervise_streams if streams else dialer.supervise
    async with supervise(THERE, PORT, **options) as connections:
        if not first:
            await anext(connections)
        yield
        yield await anext(connections)


async def ready(dialer: Dialer) -> AsyncIterator[Any]:
    """Do the same by a wait."""
    yield
    yield await dialer.wait_until_ready(THERE, PORT, timeout=25)


WHO: dict[str, Callable[[Dialer], AsyncIterator[Any]]] = {
    "supervise": lambda dialer: supervised(dialer, False, False),
    "supervise, first": lambda dialer: supervised(dialer, False, True),
    "supervise_streams": lambda dialer: supervised(dialer, True, False),
    "supervise_streams, first": lambda dialer: supervised(dialer, True, True),
    "wait_until_ready": ready,
}


@pytest.mark.needs("veth", "nft")
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_of_the_network_is_outlasted(outage: str, who: str) -> None:
    """Three dials fail for this reason, and the first after it succeeds."""
    begin, expected = OUTAGES[outage]
    failures = Failures()
    # The source is fixed: else an address that is away is another way to an unreachable network.
    dialer = Dialer(
        retry=None if who == "wait_until_ready" else retry.constant(0.05),
        attempt_timeout=0.2,
        local_addr=(HERE, 0) if outage == "address away" else None,
        on_event=failures,
    )
    with ExitStack() as stack:
        net = stack.enter_context(namespace())
        with net.remote().inside():
            server = stack.enter_context(listen((THERE, PORT)))
        # A link that was just made loses packets until the kernel has seen its carrier.
        socket.create_connection((THERE, PORT), 20).close()
        story = WHO[who](dialer)
        await anext(story)
        with begin(net, server):
            asking = asyncio.ensure_future(anext(story))
            seen = await failures.come(3, asking)
        assert set(seen) <= expected
        await asyncio.wait_for(asking, 20)
        with pytest.raises(StopAsyncIteration):
            await anext(story)
        drain(server)


# Names --------------------------------------------------------------------------------------------


class NameServer:
    """What a name server says: one IPv4 address; and of how many questions it loses one."""

    def __init__(self) -> None:
        self.address = THERE
        self.loses_every = 0

    def __call__(self, question: Question) -> Iterator[Send]:
        """Answer a question."""
        if self.loses_every and question.times % self.loses_every == 0:
            return
        found = [] if question.type == AAAA else [address(question.name, self.address)]
        yield Send(reply(question, found))


@pytest.mark.needs("veth")
@pytest.mark.parametrize("healthy", [False, True])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_server_that_restarts_elsewhere_is_found(streams: bool, healthy: bool) -> None:
    """Although the time to live of its name, five minutes, is not over."""
    script, failures = NameServer(), Failures()
    with ExitStack() as stack:
        net = stack.enter_context(namespace())
        far = net.remote()
        far.ip(f"address add {ELSEWHERE}/24 dev far")
        names = stack.enter_context(Server(script))
        resolver = Cache(AiodnsResolver([names.text]))
        dialer = Dialer(
            retry=retry.constant(0.05), resolver=resolver, attempt_timeout=0.5, on_event=failures
        )
        with ExitStack() as before:
            with far.inside():
                before.enter_context(listen((THERE, PORT)))
            supervise = dialer.supervise_streams if streams else dialer.supervise
            async with supervise("db.test", PORT) as connections:
                assert peer(await anext(connections)) == (THERE, PORT)
                if healthy:
                    connections.healthy()
                before.close()
                with far.inside():
                    server = stack.enter_context(listen((ELSEWHERE, PORT)))
                script.address = ELSEWHERE
                connection = await asyncio.wait_for(anext(connections), 20)
                assert peer(connection) == (ELSEWHERE, PORT)
        # What was healthy is tried where it was, once; what did not last is asked for anew.
        assert failures.seen == ([errno.ECONNREFUSED] if healthy else [])
        await resolver.aclose()
        drain(server)


def peer(connection: Any) -> Any:
    """Return the address of the other side of a socket, or of streams."""
    if isinstance(connection, socket.socket):
        return connection.getpeername()
    return connection[1].get_extra_info("peername")


async def test_a_name_server_that_loses_a_packet_of_each_search_is_outlasted() -> None:
    """Every second question is lost, and nothing of the answers may be kept."""
    script, failures = NameServer(), Failures()
    script.address, script.loses_every = "127.0.0.1", 2
    with Server(script) as names, listen() as server, no_warnings():
        resolver = AiodnsResolver([names.text], timeout=0.2, tries=1)
        dialer = Dialer(retry=retry.constant(0.01), resolver=resolver, on_event=failures)
        target = ("db.test", server.getsockname()[1])
        async with dialer.supervise(*target, first="wait", wake_interval=0.0) as connections:
            for _ in range(3):
                await asyncio.wait_for(anext(connections), 20)
                connections.healthy()
        for _ in range(3):
            assert await dialer.wait_until_ready(*target) < 20
        await resolver.aclose()
        drain(server)
    assert set(failures.seen) == {"try_again"}


GLIBC = """
import asyncio, json, socket
from aioconnect import Dialer, events, retry
from aioconnect.resolve import SystemResolver
from tests.resolve.dns import Server
from tests.support.loops import LOOPS
from tests.test_outages import NameServer

async def main():
    codes = []
    def note(event):
        if isinstance(event, events.LookupFailed):
            codes.append(event.error.code)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        dialer = Dialer(retry=retry.constant(0.01), resolver=SystemResolver(), on_event=note)
        async with dialer.supervise("db", port, first="wait", wake_interval=0) as connections:
            for _ in range(3):
                await asyncio.wait_for(anext(connections), 20)
                connections.healthy()
        for _ in range(3):
            await dialer.wait_until_ready("db", port, timeout=20)
    return sorted(set(codes))

script = NameServer()
script.address, script.loses_every = "127.0.0.1", 2
with Server(script, host="127.0.0.2", port=53):
    for make in LOOPS.values():
        with asyncio.Runner(loop_factory=make) as runner:
            print(json.dumps(runner.run(main())))
"""


@pytest.mark.slow
@pytest.mark.parametrize("search", ["", "search fault.test\n"])
def test_what_glibc_makes_of_a_lost_packet_is_outlasted(search: str) -> None:
    """It says that there is no such name, or that nobody answered: both are waited for."""
    conf = f"nameserver 127.0.0.2\n{search}options timeout:1 attempts:1\n"
    with Lab(resolv_conf=conf) as lab:
        said = lab.call("run", script=GLIBC)
    codes = [json.loads(line) for line in said.splitlines()]
    assert len(codes) == 2, said
    assert set(codes[0] + codes[1]) <= {"try_again", "not_found", "no_data"}


# Servers ------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(
    serve: Callable[..., Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[Any]:
    """Give the address of a server; at the end wait until it has let go of its connections."""
    busy: set[asyncio.Task[Any]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this = asyncio.current_task()
        assert this is not None
        busy.add(this)
        this.add_done_callback(busy.discard)
        try:
            with suppress(OSError):  # the other side was aborted
                await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()
    finally:
        await asyncio.sleep(0.02)  # what was accepted last begins: asyncio drops it else
        server.close()
        if busy:
            await asyncio.wait(busy, timeout=20)
        for _ in range(GRACE):
            await asyncio.sleep(0)


@asynccontextmanager
async def docker_proxy() -> AsyncIterator[tuple[Any, list[bool]]]:
    """Serve as docker-proxy: accept, and hang up as long as nothing is behind it."""
    up: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if up:
            writer.write(b"220 ready\r\n")
            await reader.read()

    async with serving(serve) as target:
        yield target, up


@pytest.mark.parametrize("check", [None, readiness.stays_open(0.1), readiness.banner(b"220")])
async def test_a_proxy_before_a_server_that_is_not_there_is_not_ready(check: Any) -> None:
    """It accepts: whoever asks for no more takes that for readiness."""
    async with docker_proxy() as (target, up):
        dialer = Dialer(retry=retry.constant(0.05))
        waiting = asyncio.ensure_future(dialer.wait_until_ready(target, check=check))
        if check is None:
            await asyncio.wait_for(waiting, 20)
            return
        await asyncio.sleep(0.3)
        assert not waiting.done()
        up.append(True)
        await asyncio.wait_for(waiting, 20)


async def test_a_proxy_before_a_server_that_restarts_is_dialled_with_care() -> None:
    """Each loss that comes too early is backed off from, until the server is there."""
    async with docker_proxy() as (target, up):
        dialer = Dialer(retry=retry.constant(0.05))
        async with dialer.supervise_streams(target, first="wait") as connections:
            lost = 0
            async for reader, _ in connections:
                if (said := await reader.read(100)).startswith(b"220"):
                    connections.healthy()
                    break
                assert said == b""
                lost += 1
                if lost == 3:
                    up.append(True)
        assert lost == 3


async def test_a_certificate_that_is_renewed_meanwhile_is_accepted() -> None:
    """Its expiry fails the dials after a healthy connection; the next good one ends that."""
    authority = trustme.CA()
    long_ago = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
    expired = authority.issue_cert("127.0.0.1", not_before=long_ago, not_after=long_ago)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    failures = Failures()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # the server's
    dialer = Dialer(retry=retry.constant(0.02), on_event=failures)
    async with (
        serving(serve, server_side) as target,
        dialer.supervise_streams(target, ssl=client) as connections,
    ):
        await anext(connections)
        connections.healthy()
        expired.configure_cert(server_side)
        asking = asyncio.ensure_future(anext(connections))
        assert set(await failures.come(3, asking)) == {"tls_certificate"}
        authority.issue_cert("127.0.0.1").configure_cert(server_side)
        _, writer = await asyncio.wait_for(asking, 20)
        assert writer.get_extra_info("peercert") is not None


# Nothing stays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("streams", [False, True])
async def test_five_hundred_outages_leave_nothing(streams: bool) -> None:
    """No descriptor, no task, no timer; whether the server refused, hung up or reset."""
    loop = asyncio.get_running_loop()
    dialer = Dialer(retry=retry.constant(0.0))
    supervise = dialer.supervise_streams if streams else dialer.supervise
    # Its port is its own: one that the kernel chose is another one after a shutdown.
    with listen(("127.0.0.1", closed_port())) as server, no_warnings():
        server.setblocking(False)

        async def one(connections: Any, number: int) -> None:
            await anext(connections)
            connections.healthy()
            accepted, _ = server.accept()
            if number % 3 == 1:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            accepted.close()
            if number % 3 == 2:  # the next dial is refused
                server.shutdown(socket.SHUT_RDWR)
                loop.call_later(0.002, server.listen)

        await wait_once()
        async with supervise(server.getsockname(), wake_interval=0.0) as connections:
            for number in range(11):  # the last is of the kind of the five hundredth
                await one(connections, number)
            before = await held()
            for number in range(500):
                await one(connections, number)
            assert await held() == before


async def wait_once() -> None:
    """Let a connect wait: from then on the loop has a descriptor for those that do."""
    with black_hole() as hole, suppress(TimeoutError):
        await Dialer(timeout=0.05).connect(hole)


async def held() -> tuple[int, int, int]:
    """Count what is held: descriptors, tasks, and what waits for an instant of the poller."""
    for _ in range(3 * GRACE):
        await asyncio.sleep(0)
    waiting = len(poller.of(asyncio.get_running_loop())._instants)
    return len(descriptors()), len(asyncio.all_tasks()), waiting


async def story(target: Any, streams: bool) -> None:
    """Be refused, connect, lose the connection, connect again, leave."""
    dialer = Dialer(retry=retry.constant(0.001))
    supervise = dialer.supervise_streams if streams else dialer.supervise
    async with supervise(target, wake_interval=0.0) as connections:
        for _ in range(2):
            await anext(connections)
            connections.healthy()


@pytest.mark.parametrize("streams", [False, True])
async def test_it_can_be_left_at_every_turn(streams: bool) -> None:
    """By cancellation, after each turn of the loop until it is over: nothing stays."""
    with refusing() as target, listen() as server, no_warnings():
        targets = [target, server.getsockname()]
        await wait_once()
        await story(targets, streams)  # what the loop keeps for itself is there
        drain(server)
        before = await held()
        for turns in range(400):
            task = asyncio.ensure_future(story(targets, streams))
            for turn in range(turns):
                await asyncio.sleep(0 if turn % 5 else 0.001)  # for the pauses
            ended = task.done()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert await held() == before, turns
            drain(server)
            if ended:
                break
        assert ended
