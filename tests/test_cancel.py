"""Whatever a call is doing when it is left, nothing of it stays behind.

Each scenario is cancelled at every step of the loop, from the one at which its task was made to
the one at which it ends by itself; once, twice at once, and again one step later; on asyncio, on
asyncio with eager tasks, and on uvloop.  After each the account is taken: descriptors by inode,
what the kernel's epolls still watch, tasks, timers, warnings.  The collector is off meanwhile.

A ``KeyboardInterrupt`` that a hook raises is the other way to be left; here too, at every place.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import ssl
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trustme

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, events, retry
from aioconnect.resolve import StaticResolver

from .conftest import LOOPS, descriptors
from .net import black_hole, full_backlog, listen, refusing
from .steps import (
    GRACE,
    KINDS,
    NAME,
    Account,
    Making,
    Slow,
    Steps,
    drain,
    no_warnings,
    peers,
    slow,
    without_collector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow


class World(NamedTuple):
    """What is made once for all scenarios."""

    dead: tuple[str, int]
    """An address that never answers."""
    peers: dict[str, tuple[str, int]]
    trusting: ssl.SSLContext
    distrusting: ssl.SSLContext


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with black_hole() as dead, peers(certificate) as servers:
        yield World(dead, servers, trusting, ssl.create_default_context())


# Scenarios ----------------------------------------------------------------------------------------


def nothing() -> None:
    """Do nothing."""


class Case(NamedTuple):
    """One scenario, set up."""

    call: Callable[[], Any]
    """A coroutine function; what it returns is open."""
    ends: type[BaseException] | None = None
    """What comes out when nobody cancels; None for a connection."""
    before: Callable[[], Any] = nothing
    """Makes what a single run needs, before the account is taken."""
    after: Callable[[], Any] = nothing
    """Clears away what a single run leaves at the other end."""
    grace: int = 0
    """Turns that are allowed until all is gone."""
    lingers: float = 0.0
    """Seconds that look-ups may go on after the connection is there."""


SCENARIOS: dict[str, Callable[[World], Any]] = {}


def scenario(function: Callable[[World], Iterator[Case]]) -> Callable[[World], Iterator[Case]]:
    SCENARIOS[function.__name__.replace("_", " ")] = contextmanager(function)
    return function


@scenario
def connected_at_once(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(lambda: aioconnect.connect(*address), after=lambda: drain(server))


@scenario
def waiting_for_one_address(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.connect(*address, socket_factory=slow), after=lambda: drain(server)
        )


@scenario
def a_dialer(world: World) -> Iterator[Case]:
    dialer = aioconnect.Dialer(socket_factory=slow, timeout=5)
    with listen(("::1", 0)) as server:
        address = server.getsockname()
        yield Case(lambda: dialer.connect(address), after=lambda: drain(server))


@scenario
def refused(world: World) -> Iterator[Case]:
    with refusing() as address:
        yield Case(lambda: aioconnect.connect(*address), ConnectionRefusedError)


@scenario
def dead(world: World) -> Iterator[Case]:
    yield Case(lambda: aioconnect.connect(*world.dead, timeout=0.03), TimeoutError)


@scenario
def dead_for_the_attempt_then_another(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, happy_eyeballs_delay=None, attempt_timeout=0.02, socket_factory=slow
            ),
            after=lambda: drain(server),
        )


@scenario
def race(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def race_in_which_all_lose(world: World) -> Iterator[Case]:
    with refusing() as address:
        targets = [world.dead, address, world.dead, address]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, timeout=0.04), ConnectError
        )


@scenario
def one_slot(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [world.dead, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, max_concurrent=1, attempt_timeout=0.015, happy_eyeballs_delay=0
            ),
            after=lambda: drain(server),
        )


@scenario
def two_winners_at_once(world: World) -> Iterator[Case]:
    def pausing(endpoint: Any) -> socket.socket:
        time.sleep(0.011)  # while it lasts the time of the second attempt comes
        return slow(endpoint)

    with listen() as one, listen() as other:
        targets = [one.getsockname(), other.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=pausing),
            after=lambda: drain(one, other),
        )


@scenario
def several_targets(world: World) -> Iterator[Case]:
    with refusing() as address, listen() as server:
        targets = ["unix:@nobody-listens-here", address, world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=0, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def strict_fail_over(world: World) -> Iterator[Case]:
    with refusing() as address, listen() as server:
        targets = [address, address, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, happy_eyeballs_delay=None, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_Unix_socket(world: World) -> Iterator[Case]:
    with listen(f"\0{NAME}") as server:
        yield Case(lambda: aioconnect.connect(f"unix:@{NAME}"), after=lambda: drain(server))


@scenario
def a_full_Unix_backlog(world: World) -> Iterator[Case]:
    with full_backlog(f"\0{NAME}"):
        yield Case(lambda: aioconnect.connect(f"unix:@{NAME}", timeout=0.02), BlockingIOError)


@scenario
def a_Unix_backlog_that_empties(world: World) -> Iterator[Case]:
    stack = ExitStack()
    state: list[Any] = []

    def before() -> None:
        state[:] = [stack.enter_context(full_backlog(f"\0{NAME}")), 0]

    def factory(endpoint: Any) -> socket.socket:
        state[1] += 1
        if state[1] == 3:  # in the pause before the third try somebody is served
            state[0].accept()[0].close()
        return socket.socket(*endpoint[:3])

    yield Case(
        lambda: aioconnect.connect(f"unix:@{NAME}", socket_factory=factory),
        before=before,
        after=stack.close,
    )


@scenario
def datagram(world: World) -> Iterator[Case]:
    with listen(type=socket.SOCK_DGRAM) as server:
        address = server.getsockname()
        yield Case(lambda: aioconnect.connect(*address, type=socket.SOCK_DGRAM))


@scenario
def local_addr(world: World) -> Iterator[Case]:
    with listen() as server:
        targets = [("::1", 9), server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, local_addr=("127.0.0.2", 0), socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_socket_factory_that_fails_first(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise PermissionError("not the first")
                return slow(endpoint)

            return aioconnect.connect([address, address], socket_factory=factory)

        yield Case(call, after=lambda: drain(server))


@scenario
def an_address_policy_that_forbids_the_first(world: World) -> Iterator[Case]:
    def policy(endpoint: Any) -> None:
        if endpoint[4] == world.dead:
            raise PermissionError("forbidden")

    with listen() as server:
        targets = [world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(targets, address_policy=policy, socket_factory=slow),
            after=lambda: drain(server),
        )


@scenario
def a_full_turn(world: World) -> Iterator[Case]:
    def nowhere(endpoint: Any) -> None:
        raise PermissionError("forbidden")

    with listen() as server:
        address = server.getsockname()

        async def call() -> socket.socket:
            for _ in range(64):
                with suppress(PermissionError):
                    await aioconnect.connect(*address, address_policy=nowhere)
            return await aioconnect.connect(*address, socket_factory=slow)

        yield Case(call, after=lambda: drain(server))


@scenario
def a_pause_between_rounds(world: World) -> Iterator[Case]:
    policy = retry.attempts(3) & retry.constant(0.01)
    with refusing() as address:
        yield Case(lambda: aioconnect.connect(*address, retry=policy), ConnectionRefusedError)


@scenario
def a_second_round_that_connects(world: World) -> Iterator[Case]:
    policy = retry.attempts(5) & retry.constant(0.005)
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise ConnectionRefusedError("not the first")
                return slow(endpoint)

            return aioconnect.connect(*address, retry=policy, socket_factory=factory)

        yield Case(call, after=lambda: drain(server))


@scenario
def inside_asyncio_timeout(world: World) -> Iterator[Case]:
    async def call() -> socket.socket:
        async with asyncio.timeout(0.02):
            return await aioconnect.connect(*world.dead)

    yield Case(call, TimeoutError)


# The caller's own socket.  It stays open while the account is taken: closed, it would leave the
# epoll by itself, and a forgotten one would not be seen.


@contextmanager
def own_socket(call: Any, family: int = socket.AF_INET, **fields: Any) -> Iterator[Case]:
    """Set up a call on a fresh socket of the caller's."""
    own: list[socket.socket] = []

    def before() -> None:
        own[:] = [Slow(family, socket.SOCK_STREAM)]
        own[0].setblocking(False)

    after = fields.pop("after", nothing)

    def close() -> None:
        own[0].close()
        after()

    yield Case(lambda: call(own[0]), before=before, after=close, **fields)


@scenario
def sock_connect(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call(sock: socket.socket) -> Any:
            return aioconnect.sock_connect(sock, address)

        with own_socket(call, after=lambda: drain(server)) as case:
            yield case


@scenario
def sock_connect_to_a_dead_address(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        return aioconnect.sock_connect(sock, world.dead, timeout=0.02)

    with own_socket(call, ends=TimeoutError) as case:
        yield case


@scenario
def sock_connect_to_a_full_Unix_backlog(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        return aioconnect.sock_connect(sock, f"\0{NAME}", timeout=0.02)

    with (
        full_backlog(f"\0{NAME}"),
        own_socket(call, socket.AF_UNIX, ends=BlockingIOError) as case,
    ):
        yield case


@scenario
def connect_wait(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call(sock: socket.socket) -> Any:
            sock.connect_ex(address)
            return aioconnect.connect_wait(sock)

        with own_socket(call, after=lambda: drain(server)) as case:
            yield case


@scenario
def connect_wait_for_a_dead_address(world: World) -> Iterator[Case]:
    def call(sock: socket.socket) -> Any:
        sock.connect_ex(world.dead)
        return aioconnect.connect_wait(sock, timeout=0.02)

    with own_socket(call, ends=TimeoutError) as case:
        yield case


# Names.


class Names:
    """A resolver with a table: for each family the seconds (or turns, if whole) and the answer."""

    def __init__(self, answers: dict[int, tuple[float | int, Any]]) -> None:
        self.answers = answers

    async def lookup(self, name: str, family: int) -> Any:
        """Look up one family of a name."""
        from aioconnect.resolve.base import Answer

        delay, addresses = self.answers[family]
        if isinstance(delay, int):
            for _ in range(delay):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(delay)
        if isinstance(addresses, OSError):
            raise type(addresses)(*addresses.args)
        return Answer(addresses)


class Keeping(Names):
    """One that keeps what it learns, and so is let finish."""

    def forget(self, name: str) -> None:
        """Forget a name."""


NO_NAME = socket.gaierror(socket.EAI_NONAME, "no such name")


@scenario
def a_name(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (2, NO_NAME), socket.AF_INET: (3, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect("name.test", port, resolver=names, socket_factory=slow),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_name_that_nobody_knows(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (1, NO_NAME), socket.AF_INET: (3, NO_NAME)})
    yield Case(
        lambda: aioconnect.connect("name.test", 9, resolver=names), socket.gaierror, grace=GRACE
    )


@scenario
def a_look_up_that_never_ends(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (60.0, ())})
    yield Case(
        lambda: aioconnect.connect("name.test", 9, resolver=names, timeout=0.03),
        TimeoutError,
        grace=GRACE,
    )


@scenario
def a_late_IPv6_answer_that_loses(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (1, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect(
                "name.test", port, resolver=names, resolution_delay=0.01, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_late_IPv6_answer_that_wins(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (0.02, ("::1",)), socket.AF_INET: (0, ("127.0.0.1",))})
    with listen(("::1", world.dead[1])) as server:
        yield Case(
            lambda: aioconnect.connect(
                "name.test",
                world.dead[1],
                resolver=names,
                resolution_delay=0,
                happy_eyeballs_delay=0,
                socket_factory=slow,
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def a_resolver_that_keeps_answers(world: World) -> Iterator[Case]:
    names = Keeping({socket.AF_INET6: (0.05, ("::1",)), socket.AF_INET: (1, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield Case(
            lambda: aioconnect.connect(
                "name.test", port, resolver=names, resolution_delay=0, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
            lingers=1.2,
        )


@scenario
def a_name_among_several_targets(world: World) -> Iterator[Case]:
    names = Names({socket.AF_INET6: (60.0, ()), socket.AF_INET: (60.0, ())})
    with listen() as server:
        targets = [("name.test", 9), world.dead, server.getsockname()]
        yield Case(
            lambda: aioconnect.connect(
                targets, resolver=names, happy_eyeballs_delay=0, socket_factory=slow
            ),
            after=lambda: drain(server),
            grace=GRACE,
        )


# What stands on calls.


@scenario
def connect_many(world: World) -> Iterator[Case]:
    with listen() as server, refusing() as nobody:
        targets = [server.getsockname(), nobody, world.dead, server.getsockname()]

        async def call() -> None:
            async with aioconnect.connect_many(
                targets, limit=3, target_timeout=0.02, socket_factory=slow
            ) as results:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()

        yield Case(call, after=lambda: drain(server))


@scenario
def connect_many_whose_targets_come_one_by_one(world: World) -> Iterator[Case]:
    class OneByOne:  # no generator: that would have to be closed, and by its owner
        def __init__(self) -> None:
            self.left = [server.getsockname(), world.dead, server.getsockname()]

        def __aiter__(self) -> OneByOne:
            return self

        async def __anext__(self) -> Any:
            await asyncio.sleep(0)
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    with listen() as server:

        async def call() -> None:
            async with aioconnect.connect_many(OneByOne(), target_timeout=0.02) as results:
                async for result in results:
                    if result.socket is not None:
                        result.socket.close()

        yield Case(call, after=lambda: drain(server), grace=GRACE)


@scenario
def wait_until_ready(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()

        def call() -> Any:
            made = itertools.count()

            def factory(endpoint: Any) -> socket.socket:
                if next(made) == 0:
                    raise ConnectionRefusedError("not yet")
                return slow(endpoint)

            policy = retry.constant(0.01)
            return aioconnect.wait_until_ready(*address, socket_factory=factory, retry=policy)

        yield Case(call, after=lambda: drain(server))


@scenario
def a_supervisor(world: World) -> Iterator[Case]:
    dialer = aioconnect.Dialer(socket_factory=slow, retry=retry.constant(0.005))
    with listen() as server:
        address = server.getsockname()

        async def call() -> None:
            got = 0
            async with dialer.supervise(address) as sockets:
                async for _ in sockets:
                    got += 1
                    if got == 3:
                        break

        yield Case(call, after=lambda: drain(server), grace=GRACE)


# Streams: asyncio closes a transport in the turns that follow.


@scenario
def open_connection(world: World) -> Iterator[Case]:
    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.open_connection(*address, socket_factory=slow),
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def create_connection(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making)
    with listen() as server:
        address = server.getsockname()

        def after() -> None:
            making.forget()
            drain(server)

        yield Case(
            lambda: dialer.create_connection(asyncio.Protocol, *address),
            after=after,
            grace=GRACE,
        )


@scenario
def create_connection_with_a_failing_protocol_factory(world: World) -> Iterator[Case]:
    def factory() -> Any:
        raise ZeroDivisionError("no protocol")

    with listen() as server:
        address = server.getsockname()
        yield Case(
            lambda: aioconnect.create_connection(factory, *address, socket_factory=slow),
            ZeroDivisionError,
            after=lambda: drain(server),
            grace=GRACE,
        )


@scenario
def TLS(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making)
    yield Case(
        lambda: dialer.open_connection(*world.peers["tls"], ssl=world.trusting),
        after=making.forget,
        grace=GRACE,
    )


@scenario
def TLS_that_stalls(world: World) -> Iterator[Case]:
    making = Making()
    dialer = aioconnect.Dialer(socket_factory=making, timeout=0.05)
    with listen() as server:
        address = server.getsockname()

        def after() -> None:
            making.forget()
            drain(server)

        yield Case(
            lambda: dialer.open_connection(*address, ssl=world.trusting),
            TimeoutError,
            after=after,
            grace=GRACE,
        )


def failing_TLS(peer: str, error: type[BaseException], *, trusting: bool = True) -> Any:
    """Set up a handshake with a peer at which it fails."""

    def set_up(world: World) -> Iterator[Case]:
        making = Making()
        dialer = aioconnect.Dialer(socket_factory=making)
        context = world.trusting if trusting else world.distrusting
        yield Case(
            lambda: dialer.create_connection(asyncio.Protocol, *world.peers[peer], ssl=context),
            error,
            after=making.forget,
            grace=GRACE,
        )

    return contextmanager(set_up)


SCENARIOS |= {
    "TLS with a certificate that is not trusted": failing_TLS(
        "tls", aioconnect.CertificateError, trusting=False
    ),
    "TLS with a peer that speaks none": failing_TLS("plain", aioconnect.TLSError),
    "TLS that is reset": failing_TLS("reset", ConnectError),
}


# Cancelled at every step --------------------------------------------------------------------------


def close(result: Any, steps: Steps) -> None:
    """Close what a call returned."""
    if isinstance(result, socket.socket):
        result.close()
    elif isinstance(result, tuple):
        first, second = result
        transport = second.transport if isinstance(second, asyncio.StreamWriter) else first
        transport.abort()
        steps.settle(GRACE)


def run(steps: Steps, case: Case, most: int, manner: str) -> bool:
    """Run a case for at most ``most`` steps, then cancel it; tell whether it ended by itself."""
    case.before()
    account = steps.account()
    with no_warnings():
        task = steps.start(case.call)
        steps.advance(task, most)
        by_itself = task.done()
        if by_itself:
            if case.ends is None:
                close(task.result(), steps)
            else:
                assert isinstance(task.exception(), case.ends), task.exception()
            settle(steps, account, case.lingers)
        else:
            assert task.cancel()
            cancelled = 1
            if manner == "once more a step later":
                steps.step()
            if manner != "once":
                cancelled += task.cancel()
            steps.advance(task, 2 * GRACE)
            assert task.done(), "the call goes on although it was cancelled"
            assert task.cancelled(), f"cancellation was swallowed: {task!r}"
            assert task.cancelling() == cancelled
        steps.settle(case.grace)
        left = steps.account().difference(account)
        assert not left, left
        assert not steps.complaints, steps.complaints
        del task
    case.after()
    return by_itself


def warm_up(steps: Steps, world: World) -> None:
    """Let the loop make what it keeps: the engine's epoll, and what uvloop opens for streams."""
    with suppress(TimeoutError):
        steps.run(lambda: aioconnect.connect(*world.dead, timeout=0.001))
    streams = steps.loop.create_connection(asyncio.Protocol, *world.peers["plain"])
    close(steps.run(lambda: streams), steps)


def settle(steps: Steps, account: Account, seconds: float) -> None:
    """Wait for what may linger."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and steps.account() != account:
        steps.settle(1)
        time.sleep(0.01)


MANNERS = ("once", "twice", "once more a step later")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_call_that_is_cancelled_at_any_step_leaves_nothing(
    world: World, name: str, kind: str
) -> None:
    """At whatever step of the loop it is cancelled, it ends so, and nothing of it is left."""
    with Steps(kind) as steps, SCENARIOS[name](world) as case, without_collector():
        warm_up(steps, world)
        last = 0
        for manner in MANNERS:
            for most in range(last) if last else itertools.count():
                try:
                    by_itself = run(steps, case, most, manner)
                except BaseException as exc:
                    exc.add_note(f"cancelled {manner}, at step {most}")
                    raise
                if by_itself:
                    last = last or most
                    break


# What is around a call ----------------------------------------------------------------------------


async def test_asyncio_timeout_around_a_call_ends_as_TimeoutError(world: World) -> None:
    """``asyncio.timeout`` sees its own cancellation come back, and makes it a ``TimeoutError``."""
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.02):
            await aioconnect.connect(*world.dead)
    assert not isinstance(caught.value, ConnectError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_calls_own_timeout_is_not_taken_for_one_around_it(world: World) -> None:
    """A call that ends by its own time limit leaves an ``asyncio.timeout`` around it unexpired."""
    async with asyncio.timeout(60) as around:
        with pytest.raises(aioconnect.DeadlineExceeded):
            await aioconnect.connect(*world.dead, timeout=0.02)
    assert not around.expired()


async def test_a_TLS_timeout_is_not_taken_for_one_around_it(world: World) -> None:
    """Nor does the limit of a handshake expire one around it, or leave the task cancelling."""
    with listen() as server:
        address = server.getsockname()
        async with asyncio.timeout(60) as around:
            with pytest.raises(aioconnect.DeadlineExceeded) as caught:
                await aioconnect.open_connection(*address, ssl=world.trusting, timeout=0.05)
        assert caught.value.stage == "tls"
    assert not around.expired()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_wait_for_around_a_call_ends_as_TimeoutError(world: World) -> None:
    """``asyncio.wait_for`` does likewise."""
    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(aioconnect.connect(*world.dead), 0.02)
    assert not isinstance(caught.value, ConnectError)


async def test_a_task_group_that_fails_ends_its_calls(world: World) -> None:
    """In a task group whose other task failed, the group raises that failure and nothing else."""

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("the other task")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(aioconnect.connect(*world.dead))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()
    assert [type(exc) for exc in caught.value.exceptions] == [ZeroDivisionError]


async def test_a_policy_that_goes_on_for_ever_does_not_keep_a_cancelled_call() -> None:
    """No retry policy ever sees a cancellation."""
    seen: list[Any] = []
    enough = asyncio.Event()

    def for_ever(context: Any) -> retry.Retry:
        seen.append(context.error)
        if len(seen) == 3:
            enough.set()
        return retry.Retry(0.001)

    with refusing() as address:
        task = asyncio.create_task(aioconnect.connect(*address, retry=for_ever))
        await enough.wait()
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    number = len(seen)
    await asyncio.sleep(0.01)
    assert len(seen) == number
    assert all(isinstance(error, ConnectionRefusedError) for error in seen)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_call_that_is_cancelled_by_its_own_observer_leaves_nothing(
    world: World, secure: bool
) -> None:
    """In the very step in which it has connected; it ends at its next wait."""
    making = Making()

    async def call() -> None:
        task = asyncio.current_task()
        assert task is not None

        def cancel(event: events.Event) -> None:
            if isinstance(event, events.Connected):
                task.cancel()

        dialer = aioconnect.Dialer(socket_factory=making, on_event=cancel)
        context = world.trusting if secure else None
        await dialer.open_connection(*world.peers["tls"], ssl=context)

    with no_warnings(), without_collector():
        task = asyncio.create_task(call())
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(GRACE):
            await asyncio.sleep(0)
        making.forget()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_program_that_ends_over_pending_calls_leaves_nothing(world: World, kind: str) -> None:
    """``asyncio.run`` cancels what is pending when its coroutine returns; no descriptor is left."""
    before = descriptors()

    async def main() -> None:
        targets = [world.dead, world.dead]
        for _ in range(20):
            call = aioconnect.connect(targets, happy_eyeballs_delay=0)
            tasks.append(asyncio.create_task(call))
        await asyncio.sleep(0.02)

    tasks: list[asyncio.Task[Any]] = []
    with no_warnings(), without_collector(), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        runner.run(main())
    assert all(task.cancelled() for task in tasks)
    assert descriptors() == before


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_Ctrl_C_ends_a_program_and_leaves_nothing(world: World, kind: str) -> None:
    """``asyncio.run`` cancels the call, which ends at once, and raises ``KeyboardInterrupt``."""
    before = descriptors()

    async def main() -> None:
        asyncio.get_running_loop().call_later(0.02, os.kill, os.getpid(), signal.SIGINT)
        async with asyncio.timeout(60):
            await aioconnect.connect([world.dead] * 3, happy_eyeballs_delay=0)

    # A background job of a shell begins with SIGINT ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with no_warnings(), without_collector(), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
            call = main()
            with pytest.raises(KeyboardInterrupt):
                runner.run(call)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert descriptors() == before


# KeyboardInterrupt --------------------------------------------------------------------------------


class Interrupting:
    """A hook that raises ``KeyboardInterrupt`` when it is called for the n-th time."""

    def __init__(self, hook: Callable[[Any], Any], nth: int) -> None:
        self.hook = hook
        self.left = nth
        self.raised = KeyboardInterrupt(f"at call {nth}")
        self.seen: list[Any] = []

    def __call__(self, argument: Any) -> Any:
        """Raise, or do what the hook does."""
        self.seen.append(type(argument).__name__)
        self.left -= 1
        if self.left == 0:
            raise self.raised
        return self.hook(argument)


PLACES: dict[str, Callable[[World], Any]] = {}
"""Calls whose hooks are called at every stage: ``(targets, options)``, each a context manager."""


def place(function: Callable[[World], Iterator[Any]]) -> None:
    PLACES[function.__name__.replace("_", " ")] = contextmanager(function)


@place
def one_that_connects_at_once(world: World) -> Iterator[Any]:
    with listen() as server:
        yield server.getsockname(), {}


@place
def the_first_of_two_connects_at_once(world: World) -> Iterator[Any]:
    with listen() as server:
        yield [server.getsockname()] * 2, {}


@place
def one_is_refused(world: World) -> Iterator[Any]:
    with refusing() as address:
        yield address, {}


@place
def one_is_refused_and_one_connects(world: World) -> Iterator[Any]:
    with refusing() as address, listen() as server:
        yield [address, server.getsockname()], {"happy_eyeballs_delay": 0}


@place
def two_lose_and_one_wins(world: World) -> Iterator[Any]:
    with listen() as server:
        targets = [world.dead, world.dead, server.getsockname()]
        yield targets, {"happy_eyeballs_delay": 0, "socket_factory": slow}


@place
def three_run_out_of_time(world: World) -> Iterator[Any]:
    yield [world.dead] * 3, {"happy_eyeballs_delay": 0, "timeout": 0.04}


@place
def a_backlog_is_full(world: World) -> Iterator[Any]:
    with full_backlog(f"\0{NAME}"):
        yield f"unix:@{NAME}", {"timeout": 0.01}


@place
def three_rounds(world: World) -> Iterator[Any]:
    with refusing() as address:
        yield [address, address], {"retry": retry.attempts(3) & retry.constant(0.001)}


@place
def a_name_with_two_families(world: World) -> Iterator[Any]:
    names = Names({socket.AF_INET6: (1, ("::1",)), socket.AF_INET: (0, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield ("name.test", port), {"resolver": names}


@place
def a_name_with_one_family(world: World) -> Iterator[Any]:
    names = Names({socket.AF_INET6: (1, NO_NAME), socket.AF_INET: (2, ("127.0.0.1",))})
    with listen() as server:
        port = server.getsockname()[1]
        yield ("name.test", port), {"resolver": names}


@place
def a_look_up_runs_out_of_time(world: World) -> Iterator[Any]:
    names = Names({socket.AF_INET6: (1, NO_NAME), socket.AF_INET: (60.0, ())})
    options = {"resolver": names, "timeout": 0.03, "happy_eyeballs_delay": 0}
    yield [("name.test", 9), world.dead], options


@pytest.mark.parametrize("hook", ["on_event", "address_policy", "socket_factory"])
@pytest.mark.parametrize("kind", ["asyncio", "uvloop", "blocking"])
@pytest.mark.parametrize("name", PLACES)
def test_a_KeyboardInterrupt_in_a_hook_comes_out_unchanged_and_leaves_nothing(
    world: World, name: str, kind: str, hook: str
) -> None:
    """Whenever a hook raises it, it comes out as it is, and nothing of the call is left."""
    with PLACES[name](world) as (target, options), ExitStack() as stack:
        if kind == "blocking":
            if "resolver" in options:
                options["resolver"] = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
            run = take_stock = None
        else:
            steps = stack.enter_context(Steps(kind))
            warm_up(steps, world)
            run, take_stock = steps.loop.run_until_complete, steps.account
        stack.enter_context(without_collector())
        own = options.pop(hook, slow if name == "two lose and one wins" else make_socket)
        for nth in itertools.count(1):
            interrupting = Interrupting(own if hook == "socket_factory" else ignore, nth)
            before = take_stock() if take_stock else descriptors()
            keywords: Any = {**options, hook: interrupting}
            outcome: BaseException | None = None
            with no_warnings():
                try:
                    if run:
                        run(aioconnect.connect(target, **keywords)).close()
                    else:
                        aioconnect.blocking.connect(target, **keywords).close()
                except (KeyboardInterrupt, ConnectError) as exc:
                    outcome = exc.with_traceback(None)
                if interrupting.left <= 0:
                    assert outcome is interrupting.raised
                if take_stock:
                    steps.settle(GRACE)
                    left = take_stock().difference(before)
                else:
                    left = set(descriptors().items()) ^ set(before.items())
                assert not left, f"after {interrupting.seen}: {left}"
            if interrupting.left > 0:
                break
        assert nth > 1, "the hook was never called"


def ignore(argument: Any) -> None:
    """Observe nothing, forbid nothing."""


def make_socket(endpoint: Any) -> socket.socket:
    """Do what the library does without a factory."""
    return socket.socket(*endpoint[:3])


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_KeyboardInterrupt_in_a_protocol_factory_comes_out_unchanged(
    world: World, kind: str
) -> None:
    """The socket that was connected for the transport is closed."""
    raised = KeyboardInterrupt("in the factory")

    def factory() -> asyncio.Protocol:
        raise raised

    with listen() as server, Steps(kind) as steps, without_collector():
        warm_up(steps, world)
        before = steps.account()
        for tls in (None, world.trusting):
            call = aioconnect.create_connection(factory, *server.getsockname(), ssl=tls)
            with no_warnings(), pytest.raises(KeyboardInterrupt) as caught:
                steps.loop.run_until_complete(call)
            assert caught.value is raised
            assert not steps.account().difference(before)


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_KeyboardInterrupt_in_a_resolver_stops_the_program_and_leaves_nothing(
    world: World, kind: str
) -> None:
    """It is raised in the look-up's task and stops the loop; the call ends with the program."""

    class Broken:
        async def lookup(self, name: str, family: int) -> Any:
            """Fail as nobody expects."""
            await asyncio.sleep(0)
            raise KeyboardInterrupt

    resolver: Any = Broken()
    targets: Any = [world.dead, ("name.test", 9)]
    before = descriptors()
    with without_collector(), no_warnings(), asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
        call = aioconnect.connect(targets, resolver=resolver)
        with pytest.raises(KeyboardInterrupt):
            runner.run(call)
    assert descriptors() == before
