"""Names: asked for once, for both families, and not a moment longer than needed."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, Dialer
from aioconnect.resolve import Answer, StaticResolver

from ..support.servers import listen, refusing
from .hooks import BrokenResolver, Surprise

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


async def test_a_name_is_dialled_at_the_addresses_that_the_resolver_answers() -> None:
    """Both families are asked for, and the one that listens wins."""
    names = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
    with listen() as server:
        port = server.getsockname()[1]
        with await aioconnect.connect("name.test", port, resolver=names) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_only_the_family_that_is_wanted_is_looked_up(family: int) -> None:
    """With ``family`` nobody is asked for addresses that would not be dialled."""
    asked: list[int] = []

    class Counting:
        async def lookup(self, name: str, family: int) -> Any:
            """Know nothing."""
            asked.append(family)
            raise socket.gaierror(socket.EAI_NONAME, "no such name")

    resolver: Any = Counting()
    with pytest.raises(socket.gaierror) as raised:
        await aioconnect.connect("name.test", 9, resolver=resolver, family=family)
    assert asked == [family]
    assert isinstance(raised.value, aioconnect.NameNotResolved)
    assert raised.value.errno == socket.EAI_NONAME


async def test_both_families_are_asked_for_at_the_same_time() -> None:
    """Neither look-up waits for the other."""
    asked: list[int] = []
    both = asyncio.Event()

    class Meeting:
        async def lookup(self, name: str, family: int) -> Any:
            """Wait for the other family's question."""
            from aioconnect.resolve import Answer

            asked.append(family)
            if len(asked) == 2:
                both.set()
            await both.wait()
            return Answer(("::1",) if family == socket.AF_INET6 else ("127.0.0.1",))

    resolver: Any = Meeting()
    with listen() as server:
        port = server.getsockname()[1]
        (await aioconnect.connect("name.test", port, resolver=resolver, timeout=20)).close()
    assert asked == [socket.AF_INET6, socket.AF_INET]


async def test_look_ups_end_with_the_call_unless_the_resolver_keeps_answers() -> None:
    """What nobody needs any more is cancelled; what a cache wants has another second."""
    ended: asyncio.Queue[str] = asyncio.Queue()

    class Slowly:
        async def lookup(self, name: str, family: int) -> Any:
            """Answer IPv4 at once, IPv6 late."""
            from aioconnect.resolve import Answer

            if family == socket.AF_INET:
                return Answer(("127.0.0.1",))
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                ended.put_nowait("cancelled")
                raise
            ended.put_nowait("kept")
            return Answer(("::1",))

    class Keeping(Slowly):
        def forget(self, name: str) -> None:
            """Forget a name."""

    with listen() as server:
        port = server.getsockname()[1]
        for kind, end in ((Slowly, "cancelled"), (Keeping, "kept")):
            resolver: Any = kind()
            dialer = Dialer(resolver=resolver, resolution_delay=0)
            (await dialer.connect("name.test", port)).close()
            assert await asyncio.wait_for(ended.get(), 20) == end


async def test_a_failed_name_is_forgotten_by_who_keeps_it() -> None:
    """Every address of it failed: what is known of it may be old."""
    forgotten: list[str] = []
    names: Any = StaticResolver({"name.test": "127.0.0.1"})

    class Keeping:
        lookup = names.lookup

        def forget(self, name: str) -> None:
            """Forget a name."""
            forgotten.append(name)

    resolver: Any = Keeping()
    with refusing() as address, pytest.raises(ConnectionRefusedError):
        await aioconnect.connect("name.test", address[1], resolver=resolver)
    assert forgotten == ["name.test"]


async def test_localhost_needs_no_resolver() -> None:
    """RFC 6761, section 6.3."""
    broken: Any = BrokenResolver(Surprise("asked"))
    with listen() as server:
        port = server.getsockname()[1]
        with await aioconnect.connect("localhost", port, resolver=broken) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


async def test_each_attempt_says_of_which_target_it_was() -> None:
    """Also when all targets are addresses, which begin without a race."""
    with refusing() as one, refusing() as other:
        targets = [one, other]
        with pytest.raises(ConnectError) as caught:
            await aioconnect.connect(targets)
    assert [attempt.target for attempt in caught.value.attempts] == [
        f"{host}:{port}" for host, port in targets
    ]
    assert [attempt.address for attempt in caught.value.attempts] == targets


async def test_a_family_that_was_not_answered_is_no_failure_of_a_name_that_was() -> None:
    """A name is one thing: what is known of it was dialled, and that is what failed."""

    class Half:
        async def lookup(self, name: str, family: int, /) -> Answer:
            if family == socket.AF_INET6:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return Answer((host,))

    with refusing() as (host, port), pytest.raises(ConnectionRefusedError) as caught:
        await aioconnect.connect("half.test", port, resolver=Half())
    error = caught.value
    assert isinstance(error, ConnectError)
    assert [attempt.stage for attempt in error.attempts] == ["connect"]


@pytest.mark.parametrize(
    ("most", "sixes", "fours", "dialled"),
    [
        (1, 3, 3, (1, 0)),
        (2, 3, 3, (1, 1)),
        (3, 0, 5, (0, 3)),
        (5, 9, 9, (3, 2)),
        (5, 1, 9, (1, 4)),
        (32, 40, 40, (24, 8)),
        (100, 60, 3, (60, 3)),
    ],
)
@pytest.mark.parametrize("apart", [False, True], ids=["both at once", "one after the other"])
async def test_no_more_addresses_of_a_name_are_dialled_than_max_addresses(
    most: int, sixes: int, fours: int, dialled: tuple[int, int], apart: bool
) -> None:
    """With a share for the family that comes second, also if its answer comes later."""
    ranked = {  # as libc would have sorted them
        V6: Answer(tuple(f"fd00::{n:x}" for n in range(1, sixes + 1)), places=(*range(sixes),)),
        V4: Answer(
            tuple(f"127.1.0.{n}" for n in range(1, fours + 1)),
            places=(*range(sixes, sixes + fours),),
        ),
    }

    class Names:
        async def lookup(self, name: str, family: int) -> Answer:
            if apart and family == V4:
                await asyncio.sleep(0.01)
            return ranked[family]

    asked: list[int] = []

    def deny(endpoint: aioconnect.NamedEndpoint) -> bool:
        asked.append(endpoint[0])
        return False

    with pytest.raises(aioconnect.PolicyDenied):
        await aioconnect.connect(
            "db.test", 80, resolver=Names(), address_policy=deny, max_addresses=most
        )
    assert (asked.count(V6), asked.count(V4)) == dialled
