"""Every option has an effect, whatever way a connection is made."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, Dialer, retry
from aioconnect.events import AttemptStarted
from aioconnect.handshake import send_all
from aioconnect.keywords import OPTIONS
from aioconnect.resolve import Answer, StaticResolver

from .support.account import descriptors
from .support.scripted import good, scripted
from .support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

    from aioconnect import Event

    Dial = Callable[..., Awaitable[socket.socket]]

V4, V6 = socket.AF_INET, socket.AF_INET6

HOLE: list[Any] = []
"""The address of a black hole."""


@pytest.fixture(autouse=True, scope="module")
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors once: a loop for resolvers in a thread ends when it is idle."""
    before = descriptors()
    with black_hole() as hole:
        HOLE[:] = [hole]
        yield
    deadline = time.monotonic() + 20
    while descriptors() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors() == before


# The ways -----------------------------------------------------------------------------------------


async def connect(target: Any, **options: Any) -> socket.socket:
    return await aioconnect.connect(target, **options)


async def open_connection(target: Any, **options: Any) -> socket.socket:
    """Take a descriptor of one's own for the connection, and close the transport."""
    _, writer = await aioconnect.open_connection(target, **options)
    sock = socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))
    writer.close()
    await writer.wait_closed()
    return sock


async def connect_many(target: Any, **options: Any) -> socket.socket:
    """Give ``timeout`` by its name there, which is ``target_timeout``."""
    if "timeout" in options:
        options["target_timeout"] = options.pop("timeout")
    async with aioconnect.connect_many([target], **options) as results:
        async for result in results:
            return result.unwrap()
    raise AssertionError("no result")


async def blocking(target: Any, **options: Any) -> socket.socket:
    return await asyncio.to_thread(aioconnect.blocking.connect, target, **options)


async def supervise(target: Any, **options: Any) -> socket.socket:
    """Dial once, unless another policy is asked for: it would never give up."""
    chosen = {"retry": retry.never(), **options}
    async with Dialer(**chosen).supervise(target) as connections:
        async for sock in connections:
            return sock.dup()
    raise AssertionError("no connection")


WAYS: dict[str, Dial] = {
    way.__name__: way for way in (connect, open_connection, connect_many, blocking, supervise)
}

# The effects --------------------------------------------------------------------------------------


async def timeout(dial: Dial) -> None:
    """End the call when its time is up."""
    with pytest.raises(aioconnect.TimedOut) as raised:
        await dial(HOLE[0], timeout=0.2)
    assert raised.value.elapsed < 10


async def attempt_timeout(dial: Dial) -> None:
    """Go on to the next address when the time of the first is up."""
    with listen() as server:
        targets = [HOLE[0], server.getsockname()]
        started = asyncio.get_running_loop().time()
        (await dial(targets, attempt_timeout=0.2, happy_eyeballs_delay=None)).close()
        assert asyncio.get_running_loop().time() - started < 5


async def retry_(dial: Dial) -> None:
    """Make as many rounds as the policy says."""
    events: list[Event] = []
    with refusing() as nobody, pytest.raises(aioconnect.ConnectionRefused) as raised:
        await dial(nobody, retry=retry.attempts(3), on_event=events.append)
    assert raised.value.stopped == "attempts"
    assert sum(isinstance(event, AttemptStarted) for event in events) == 3


async def budget(dial: Dial) -> None:
    """Pay for a retry."""
    reserved: list[object] = []

    class Account(retry.Budget):
        def reserve(self, *arguments: Any) -> bool:
            reserved.append(arguments)
            return super().reserve(*arguments)

    with refusing() as nobody, suppress(ConnectError):
        await dial(nobody, retry=retry.attempts(2), budget=Account())
    assert reserved


async def breaker(dial: Dial) -> None:
    """Ask it before anything is dialled."""
    asked: list[object] = []

    class Guard(retry.Breaker):
        def admit(self, *arguments: Any) -> Any:
            asked.append(arguments)
            return super().admit(*arguments)

    with listen() as server:
        (await dial(server.getsockname(), breaker=Guard())).close()
    assert asked


async def resolver(dial: Dial) -> None:
    """Dial what it says that the name means."""
    with listen() as server:
        host, port = server.getsockname()
        names = StaticResolver({"db.test": host})
        with await dial(("db.test", port), resolver=names) as sock:
            assert sock.getpeername() == (host, port)


async def family(dial: Dial) -> None:
    """Find no address where the name has one of the other family only."""
    with listen() as server:
        host, port = server.getsockname()
        names = StaticResolver({"db.test": host})
        with pytest.raises(aioconnect.NameNotResolved):
            await dial(("db.test", port), resolver=names, family=V6)


async def type_(dial: Dial) -> None:
    """Make a socket of that type; streams refuse another."""
    with listen(("127.0.0.1", 0), type=socket.SOCK_DGRAM) as server:
        if dial is open_connection:
            with pytest.raises(ValueError, match="SOCK_STREAM"):
                await dial(server.getsockname(), type=socket.SOCK_DGRAM)
            return
        with await dial(server.getsockname(), type=socket.SOCK_DGRAM) as sock:
            assert sock.type == socket.SOCK_DGRAM


async def local_addr(dial: Dial) -> None:
    """Bind the socket to it."""
    with listen() as server, await dial(server.getsockname(), local_addr=("127.0.0.3", 0)) as sock:
        assert sock.getsockname()[0] == "127.0.0.3"


async def happy_eyeballs_delay(dial: Dial) -> None:
    """Dial the second address that much later."""
    with listen() as server:
        first, second = await starts(
            dial, [HOLE[0], server.getsockname()], happy_eyeballs_delay=0.4
        )
    assert second - first >= 0.4


async def max_concurrent(dial: Dial) -> None:
    """Leave the second address until the first was given up, whatever the delay."""
    with listen() as server:
        first, second = await starts(
            dial, [HOLE[0], server.getsockname()], max_concurrent=1, attempt_timeout=0.4
        )
    assert second - first >= 0.4


async def starts(dial: Dial, target: Any, **options: Any) -> tuple[float, float]:
    """Return the instants at which the first two attempts of one call began."""
    events: list[Event] = []
    (await dial(target, on_event=events.append, **options)).close()
    first, second, *_ = [event.at for event in events if isinstance(event, AttemptStarted)]
    return first, second


async def resolution_delay(dial: Dial) -> None:
    """Let IPv4 wait that long for IPv6."""

    class Slow:
        async def lookup(self, name: str, family: int, /) -> Answer:
            if family == V6:
                await asyncio.sleep(2)
            return Answer((server.getsockname()[0],))

    with listen() as server:
        loop = asyncio.get_running_loop()
        started = loop.time()
        target = ("db.test", server.getsockname()[1])
        (await dial(target, resolver=Slow(), resolution_delay=0.4)).close()
        assert loop.time() - started >= 0.4


async def interleave(dial: Dial) -> None:
    """Dial that many addresses of the first family first."""
    asked: list[int] = []

    def forbid(endpoint: aioconnect.Endpoint) -> None:
        asked.append(endpoint[0])
        raise PermissionError

    names = StaticResolver({"db.test": ["::1", "::2", "::3", "127.0.0.1", "127.0.0.2"]})
    with pytest.raises(aioconnect.AccessDenied):
        await dial(("db.test", 80), resolver=names, interleave=3, address_policy=forbid)
    if asked[0] == V6:  # RFC 6724 puts IPv4 first where the host has no IPv6
        assert asked[:5] == [V6, V6, V6, V4, V4]
    else:
        assert asked[:5] == [V4, V4, V6, V6, V6]


async def max_addresses(dial: Dial) -> None:
    """Leave out the rest of what the name has."""
    names = StaticResolver({"db.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]})
    events: list[Event] = []
    with refusing() as (_, port), pytest.raises(aioconnect.ConnectionRefused):
        await dial(("db.test", port), resolver=names, max_addresses=2, on_event=events.append)
    assert sum(isinstance(event, AttemptStarted) for event in events) == 2


async def socket_options(dial: Dial) -> None:
    """Set them on the socket."""
    keepalive = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with listen() as server, await dial(server.getsockname(), socket_options=[keepalive]) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def socket_factory(dial: Dial) -> None:
    """Let it make the socket."""
    made: list[tuple[Any, ...]] = []

    def make(endpoint: aioconnect.Endpoint) -> socket.socket:
        made.append(endpoint)
        return socket.socket(*endpoint[:3])

    with listen() as server:
        (await dial(server.getsockname(), socket_factory=make)).close()
        assert made[0][4] == server.getsockname()


async def address_policy(dial: Dial) -> None:
    """Let it forbid an address."""

    def forbid(endpoint: aioconnect.Endpoint) -> None:
        raise PermissionError

    with listen() as server, pytest.raises(aioconnect.AccessDenied):
        await dial(server.getsockname(), address_policy=forbid)


async def allowed_names(dial: Dial) -> None:
    """Let it forbid a name, which nobody is asked for then."""
    with listen() as server:
        port = server.getsockname()[1]
        with pytest.raises(aioconnect.PolicyDenied):
            await dial(("db.test", port), allowed_names=["*.example"])
        (await dial(("localhost", port), allowed_names=["localhost"])).close()


async def proxy(dial: Dial) -> None:
    """Ask it for the target, and not dial that."""
    with scripted(good("http")) as server:
        (await dial(("db.test", 80), proxy=server.url("http"))).close()
    assert server.asked == [("db.test", 80)]


async def handshake(dial: Dial) -> None:
    """Run it over the connection."""
    said: list[str] = []

    def speak(sock: socket.socket, endpoint: aioconnect.Endpoint) -> Generator[int, None, None]:
        said.append("hello")
        yield from send_all(sock, b"hello")

    with listen() as server:
        (await dial(server.getsockname(), handshake=speak)).close()
    assert said == ["hello"]


async def on_event(dial: Dial) -> None:
    """Call it with what happens."""
    events: list[Event] = []
    with listen() as server:
        (await dial(server.getsockname(), on_event=events.append)).close()
    assert [type(event).__name__ for event in events][:2] == ["AttemptStarted", "Connected"]


EFFECTS: dict[str, Callable[[Dial], Awaitable[None]]] = {
    effect.__name__.removesuffix("_"): effect
    for effect in (
        *(timeout, attempt_timeout, retry_, budget, breaker, resolver, family, type_, local_addr),
        *(happy_eyeballs_delay, resolution_delay, max_concurrent, interleave, max_addresses),
        *(socket_options, socket_factory, address_policy, allowed_names, proxy, handshake),
        on_event,
    )
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("option", [row.name for row in OPTIONS])
def test_an_option_has_an_effect(option: str, way: str) -> None:
    """One that is checked and kept and never used would pass every other test."""
    assert option in EFFECTS, f"write down an effect of the option {option}"
    asyncio.run(run(EFFECTS[option], WAYS[way]))


async def run(effect: Callable[[Dial], Awaitable[None]], dial: Dial) -> None:
    await effect(dial)


def test_no_effect_is_of_an_option_that_is_gone() -> None:
    """The table of the options and that of their effects have the same names."""
    assert set(EFFECTS) == {row.name for row in OPTIONS}
