"""A ``KeyboardInterrupt`` that a hook raises, at every place: the other way to be left."""

from __future__ import annotations

import asyncio
import itertools
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, retry
from aioconnect.resolve import StaticResolver

from ..support.account import descriptors, no_warnings, without_collector
from ..support.loops import GRACE, LOOPS, Steps
from ..support.servers import NAME, full_backlog, listen, refusing
from ..support.sockets import slow
from .running import warm_up
from .scenarios.names import NO_NAME, Names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .scenarios import World

pytestmark = pytest.mark.slow


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
        for address, tls in ((server.getsockname(), None), (world.peers["tls"], world.trusting)):
            call = aioconnect.create_connection(factory, *address, ssl=tls)
            with no_warnings(), pytest.raises(KeyboardInterrupt) as caught:
                steps.loop.run_until_complete(call)
            assert caught.value is raised
            steps.settle(GRACE if tls else 0)  # a transport has it
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
