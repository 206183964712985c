"""No way around an address policy: each path to a connection, allowed and denied.

The servers listen and never accept, so what the kernel holds for them when a call is over is
every connection that was made, also those that were closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import aioconnect
import aioconnect.blocking
from aioconnect import AddressPolicy, Dialer
from aioconnect.resolve import Answer, Cache, StaticResolver

from .net import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Place:
    """Listeners of all kinds, with what they were connected to."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, tls: ssl.SSLContext) -> None:
        self.tls = tls
        self.ipv4 = stack.enter_context(listen())
        self.port: int = self.ipv4.getsockname()[1]
        self.ipv6 = stack.enter_context(listen(("::1", self.port)))
        self.path = str(folder / "server.sock")
        self.unix = stack.enter_context(listen(self.path))
        self.name = f"aioconnect-{folder.name}-{self.port}"
        self.abstract = stack.enter_context(listen("\0" + self.name))
        self.datagrams = stack.enter_context(listen(type=socket.SOCK_DGRAM))

    def accepted(self) -> int:
        """Return how many connections were made since the last time that somebody asked."""
        count = 0
        for server in (self.ipv4, self.ipv6, self.unix, self.abstract):
            server.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
                    count += 1
        return count


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def place(tmp_path: Path, authority: trustme.CA) -> Iterator[Place]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with contextlib.ExitStack() as stack:
        yield Place(stack, tmp_path, context)


class Plain:
    """A resolver of somebody else, which answers as it likes."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Give the next answer, the last one for ever."""
        text = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if (":" in text) is (family == socket.AF_INET6):
            return Answer((text,))
        raise socket.gaierror(socket.EAI_NONAME, "no such family")


NAMES = StaticResolver({"name.test": ["127.0.0.1", "::1"], "four.test": "127.0.0.1"})

Case = "Callable[[Place, dict[str, Any]], Awaitable[None]]"
CASES: dict[str, Any] = {}


def case(function: Any) -> Any:
    """Add a path, under the name of the function."""
    CASES[function.__name__] = function
    return function


async def dial(*target: Any, **options: Any) -> None:
    (await aioconnect.connect(*target, timeout=5, **options)).close()


@case
async def a_literal(place: Place, options: dict[str, Any]) -> None:
    await dial("127.0.0.1", place.port, **options)


@case
async def a_text(place: Place, options: dict[str, Any]) -> None:
    await dial(f"127.0.0.1:{place.port}", **options)


@case
async def ipv6(place: Place, options: dict[str, Any]) -> None:
    await dial(f"[::1]:{place.port}", **options)


@case
async def ipv4_in_ipv6(place: Place, options: dict[str, Any]) -> None:
    await dial("::ffff:7f00:1", place.port, **options)


@case
async def no_address(place: Place, options: dict[str, Any]) -> None:
    await dial("0.0.0.0", place.port, **options)


@case
async def no_address_in_ipv6(place: Place, options: dict[str, Any]) -> None:
    await dial("::", place.port, **options)


@case
async def a_tuple_of_four(place: Place, options: dict[str, Any]) -> None:
    await dial(("::1", place.port, 0, 0), **options)


@case
async def localhost(place: Place, options: dict[str, Any]) -> None:
    await dial("localhost", place.port, **options)


@case
async def below_localhost(place: Place, options: dict[str, Any]) -> None:
    await dial("a.LOCALHOST.", place.port, **options)


@case
async def a_name(place: Place, options: dict[str, Any]) -> None:
    await dial("name.test", place.port, resolver=NAMES, **options)


@case
async def a_name_of_one_family(place: Place, options: dict[str, Any]) -> None:
    await dial("name.test", place.port, resolver=NAMES, family=socket.AF_INET, **options)


@case
async def a_cached_name(place: Place, options: dict[str, Any]) -> None:
    cache = Cache(NAMES)
    (await aioconnect.connect("four.test", place.port, resolver=cache)).close()
    assert place.accepted()
    await dial("four.test", place.port, resolver=cache, **options)


@case
async def a_foreign_resolver(place: Place, options: dict[str, Any]) -> None:
    await dial("name.test", place.port, resolver=Plain("127.0.0.1"), **options)


@case
async def a_list(place: Place, options: dict[str, Any]) -> None:
    await dial([("127.0.0.1", place.port), ("::1", place.port), f"unix:{place.path}"], **options)


@case
async def a_list_one_after_the_other(place: Place, options: dict[str, Any]) -> None:
    targets = [("127.0.0.1", place.port), ("127.0.0.2", place.port)]
    await dial(targets, happy_eyeballs_delay=None, **options)


@case
async def a_unix_socket(place: Place, options: dict[str, Any]) -> None:
    await dial(f"unix:{place.path}", **options)


@case
async def an_abstract_unix_socket(place: Place, options: dict[str, Any]) -> None:
    await dial(f"unix:@{place.name}", **options)


@case
async def with_retries(place: Place, options: dict[str, Any]) -> None:
    await dial("127.0.0.1", place.port, retry=3, **options)


@case
async def with_a_factory(place: Place, options: dict[str, Any]) -> None:
    await dial(
        "127.0.0.1", place.port, socket_factory=lambda asked: socket.socket(*asked[:3]), **options
    )


@case
async def observed(place: Place, options: dict[str, Any]) -> None:
    await dial("127.0.0.1", place.port, on_event=lambda event: None, **options)


@case
async def bound(place: Place, options: dict[str, Any]) -> None:
    await dial("127.0.0.1", place.port, local_addr=("127.0.0.9", 0), **options)


@case
async def a_dialer(place: Place, options: dict[str, Any]) -> None:
    dialer = Dialer(timeout=9, **options).replace(timeout=5)
    (await dialer.connect("127.0.0.1", place.port)).close()


@case
async def open_connection(place: Place, options: dict[str, Any]) -> None:
    _, writer = await aioconnect.open_connection("127.0.0.1", place.port, **options)
    writer.close()
    await writer.wait_closed()


@case
async def no_host(place: Place, options: dict[str, Any]) -> None:
    _, writer = await aioconnect.open_connection(None, place.port, **options)
    writer.close()
    await writer.wait_closed()


@case
async def create_connection(place: Place, options: dict[str, Any]) -> None:
    transport, _ = await aioconnect.create_connection(
        asyncio.Protocol, "localhost", place.port, **options
    )
    transport.close()
    await asyncio.sleep(0)


async def many(targets: Any, **options: Any) -> None:
    """Dial them all, and raise the first error."""
    failed = []
    async with aioconnect.connect_many(targets, timeout=5, **options) as results:
        async for result in results:
            if result.error is None:
                assert result.socket is not None
                result.socket.close()
            else:
                failed.append(result.error)
    if failed:
        assert all(isinstance(error, aioconnect.AccessDenied) for error in failed), failed
        raise failed[0]


@case
async def many_addresses(place: Place, options: dict[str, Any]) -> None:
    await many([("127.0.0.1", place.port)] * 3, **options)


@case
async def many_texts(place: Place, options: dict[str, Any]) -> None:
    await many([f"127.0.0.1:{place.port}", f"[::1]:{place.port}", f"unix:{place.path}"], **options)


@case
async def many_names(place: Place, options: dict[str, Any]) -> None:
    await many([("name.test", place.port), ("four.test", place.port)], resolver=NAMES, **options)


@case
async def many_in_order(place: Place, options: dict[str, Any]) -> None:
    await many([("127.0.0.1", place.port)] * 3, ordered=True, limit=2, **options)


@case
async def many_per_host(place: Place, options: dict[str, Any]) -> None:
    await many([("127.0.0.1", place.port)] * 3, per_host=1, rate=1000, **options)


@case
async def many_from_an_asynchronous_source(place: Place, options: dict[str, Any]) -> None:
    async def source() -> Any:
        for _ in range(3):
            yield "127.0.0.1", place.port

    await many(source(), **options)


@case
async def many_with_retries(place: Place, options: dict[str, Any]) -> None:
    await many([("localhost", place.port)] * 2, retry=3, **options)


@case
async def wait_until_ready(place: Place, options: dict[str, Any]) -> None:
    await aioconnect.wait_until_ready("127.0.0.1", place.port, timeout=5, **options)


@case
async def supervise(place: Place, options: dict[str, Any]) -> None:
    async with Dialer(timeout=5, **options).supervise("127.0.0.1", place.port) as connections:
        async for _ in connections:
            break


@case
async def blocking(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.connect("127.0.0.1", place.port, timeout=5, **options).close()


@case
async def a_name_blocking(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.connect("name.test", place.port, resolver=NAMES, **options).close()


DENY: dict[str, Any] = {
    "the public internet alone": AddressPolicy.public(),
    "another port": AddressPolicy.only("127.0.0.0/8", "::/127", ports=[9]),
    "a refusal that is raised": None,
}


def raising(endpoint: object) -> None:
    """Refuse."""
    raise PermissionError("not for you")


DENY["a refusal that is raised"] = raising
ALLOW: dict[str, Callable[[Place], Any]] = {
    "what it dials": lambda place: AddressPolicy.only(
        *("127.0.0.0/8", "::1", "::", "0.0.0.0", f"unix:{place.path}", f"unix:@{place.name}"),
        ports=[place.port],
    ),
    "nothing said": lambda place: lambda endpoint: None,
    "yes": lambda place: lambda endpoint: True,
}


@pytest.mark.parametrize("policy", DENY.values(), ids=DENY)
@pytest.mark.parametrize("path", CASES.values(), ids=CASES)
async def test_what_is_denied_is_never_dialled(path: Any, policy: Any, place: Place) -> None:
    """The error says so, at once; no server has seen anything."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(aioconnect.AccessDenied) as raised:
        await path(place, {"address_policy": policy})
    assert place.accepted() == 0
    assert loop.time() - began < 4
    assert raised.value.stage == "policy"
    assert {attempt.stage for attempt in raised.value.attempts} <= {"policy"}


@pytest.mark.parametrize("policy", ALLOW.values(), ids=ALLOW)
@pytest.mark.parametrize("path", CASES.values(), ids=CASES)
async def test_what_is_allowed_is_dialled(path: Any, policy: Any, place: Place) -> None:
    """The same paths, with a policy that lets them pass."""
    await path(place, {"address_policy": policy(place)})
    assert place.accepted() >= 1
