"""The addresses of a target without a connection: with a loop and without, and by dialers."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import AddressPolicy, Dialer, blocking, events
from aioconnect.resolve import Answer, StaticResolver

from .support.account import no_warnings
from .support.loops import GRACE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

NAMES = StaticResolver({"db.test": ["10.0.0.2", "10.0.0.1"], "other.test": ["192.0.2.7"]})
STREAM, TCP = socket.SOCK_STREAM, socket.IPPROTO_TCP


async def asked(target: Any, port: Any = None, **options: Any) -> Any:
    """Ask the function of the loop."""
    return await aioconnect.resolve_addresses(target, port, **options)


async def asked_of_a_dialer(target: Any, port: Any = None, **options: Any) -> Any:
    """Ask a dialer."""
    return await Dialer(**options).resolve_addresses(target, port)


async def asked_without_a_loop(target: Any, port: Any = None, **options: Any) -> Any:
    """Ask the blocking twin, in a thread."""
    return await asyncio.to_thread(blocking.resolve_addresses, target, port, **options)


async def asked_of_a_blocking_dialer(target: Any, port: Any = None, **options: Any) -> Any:
    """Ask a dialer that needs no loop, in a thread."""
    dialer = blocking.Dialer(**options)
    return await asyncio.to_thread(dialer.resolve_addresses, target, port)


@pytest.fixture(
    params=[asked, asked_of_a_dialer, asked_without_a_loop, asked_of_a_blocking_dialer],
    ids=["function", "dialer", "blocking", "blocking dialer"],
)
def ask(request: pytest.FixtureRequest) -> Callable[..., Awaitable[Any]]:
    """Give each way to ask."""
    way: Callable[..., Awaitable[Any]] = request.param
    return way


async def test_they_are_what_getaddrinfo_gives(ask: Any) -> None:
    """As 5-tuples, in the order in which they are dialled."""
    assert await ask("db.test", 80, resolver=NAMES) == [
        (socket.AF_INET, STREAM, TCP, "", ("10.0.0.2", 80)),
        (socket.AF_INET, STREAM, TCP, "", ("10.0.0.1", 80)),
    ]


async def test_what_is_no_name_needs_no_look_up(ask: Any) -> None:
    """Addresses, paths, and this host."""
    assert await ask("127.0.0.1", 80) == [(socket.AF_INET, STREAM, TCP, "", ("127.0.0.1", 80))]
    assert await ask("unix:/run/app.sock") == [(socket.AF_UNIX, STREAM, 0, "", "/run/app.sock")]
    assert (socket.AF_INET, STREAM, TCP, "", ("127.0.0.1", 80)) in await ask("localhost", 80)


async def test_several_targets_follow_one_another_and_no_address_comes_twice(ask: Any) -> None:
    """In the order given."""
    found = await ask(["other.test:80", "10.0.0.1:80", "db.test:80"], resolver=NAMES)
    assert [each[4][0] for each in found] == ["192.0.2.7", "10.0.0.1", "10.0.0.2"]


async def test_the_type_of_the_socket_is_that_asked_for(ask: Any) -> None:
    """Datagrams, say."""
    ((_, kind, proto, _, _),) = await ask("other.test", 53, resolver=NAMES, type=socket.SOCK_DGRAM)
    assert (kind, proto) == (socket.SOCK_DGRAM, socket.IPPROTO_UDP)


async def test_the_number_of_addresses_is_bounded(ask: Any) -> None:
    """The best are kept."""
    (found,) = await ask("db.test", 80, resolver=NAMES, max_addresses=1)
    assert found[4] == ("10.0.0.2", 80)


async def test_an_address_policy_leaves_out_what_it_denies(ask: Any) -> None:
    """If it denies all, that is the error."""
    policy = AddressPolicy.only("10.0.0.1/32")
    (found,) = await ask("db.test", 80, resolver=NAMES, address_policy=policy)
    assert found[4] == ("10.0.0.1", 80)
    with pytest.raises(aioconnect.PolicyDenied, match=r"other\.test:80"):
        await ask("other.test", 80, resolver=NAMES, address_policy=policy)
    with pytest.raises(aioconnect.PolicyDenied):
        await ask("127.0.0.1", 80, address_policy=policy)


async def test_allowed_names_are_judged_before_anything_is_asked(ask: Any) -> None:
    """As by a connect."""
    seen: list[Any] = []
    with pytest.raises(aioconnect.PolicyDenied):
        await ask("db.test", 80, resolver=NAMES, allowed_names=["*.example"], on_event=seen.append)
    assert not any(isinstance(event, events.LookupStarted) for event in seen)


async def test_a_name_that_does_not_exist_is_an_error(ask: Any) -> None:
    """The built-in too, with its number."""
    with pytest.raises(socket.gaierror) as raised:
        await ask("missing.test", 80, resolver=NAMES)
    assert isinstance(raised.value, aioconnect.ConnectError)
    assert raised.value.errno == socket.EAI_NONAME
    assert raised.value.stage == "resolve"


class Slow:
    """Answers for IPv4; for IPv6 it never does."""

    def __init__(self, ipv4: Sequence[str]) -> None:
        self.ipv4 = tuple(ipv4)
        self.waiting = 0

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer for one family."""
        if family == socket.AF_INET and self.ipv4:
            return Answer(self.ipv4, source="slow", duration=0.0, family=family)
        self.waiting += 1
        try:
            await asyncio.sleep(600)
        finally:
            self.waiting -= 1
        raise AssertionError


async def test_what_is_known_when_the_time_is_up_is_returned(ask: Any) -> None:
    """A time-out is the error only if nothing is."""
    resolver = Slow(["192.0.2.1"])
    (found,) = await ask("db.test", 80, resolver=resolver, timeout=0.1)
    assert found[4] == ("192.0.2.1", 80)
    with pytest.raises(aioconnect.TimedOut, match=r"db\.test:80"):
        await ask("db.test", 80, resolver=Slow([]), timeout=0.1)
    (found,) = await ask("db.test", 80, resolver=resolver, family=socket.AF_INET, timeout=None)
    assert found[4] == ("192.0.2.1", 80)


async def test_cancelled_it_leaves_no_look_up() -> None:
    """The cancellation comes out."""
    resolver = Slow([])
    with no_warnings():
        task = asyncio.create_task(aioconnect.resolve_addresses("db.test", 80, resolver=resolver))
        for _ in range(GRACE):
            await asyncio.sleep(0)
        assert resolver.waiting == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(GRACE):
            await asyncio.sleep(0)
        assert not resolver.waiting


@pytest.mark.parametrize("way", [asked_of_a_dialer, asked_of_a_blocking_dialer])
async def test_a_name_that_a_proxy_resolves_is_not_looked_up_here(way: Any) -> None:
    """It would tell the name server what the proxy was to keep from it."""
    with pytest.raises(ValueError, match=r"the proxy resolves db\.test"):
        await way("db.test", 80, resolver=NAMES, proxy="socks5h://127.0.0.1")
    found = await way("other.test", 80, resolver=NAMES, proxy="socks5://127.0.0.1")
    assert [each[4][0] for each in found] == ["192.0.2.7"]


@pytest.mark.parametrize(
    ("target", "port", "options", "error"),
    [
        ("a b", 80, {}, aioconnect.InvalidTarget),
        ("db.test", 0, {}, aioconnect.InvalidTarget),
        ("db.test", 80, {"timeout": "1"}, TypeError),
        ("127.0.0.1", 80, {"family": socket.AF_INET6}, ValueError),
        ("db.test", 80, {"colour": 1}, TypeError),
    ],
    ids=str,
)
async def test_bad_input_is_refused_before_any_look_up(
    ask: Any, target: Any, port: Any, options: dict[str, Any], error: type[Exception]
) -> None:
    """As by a connect."""
    with pytest.raises(error):
        await ask(target, port, resolver=Slow([]), **options)
