"""No way around an address policy: each path to a connection, allowed and denied.

The servers listen and never accept, so what the kernel holds for them when a call is over is
every connection that was made, also those that were closed at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import AddressPolicy, Dialer, Verdict
from aioconnect.resolve import Answer, Cache, StaticResolver

from .support.certificates import TLS
from .support.scripted import good, scripted
from .support.servers import listen
from .support.sweep import WHOLE, chance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Place:
    """Listeners of all kinds, with what they were connected to."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, tls: TLS) -> None:
        self.tls = tls
        self.stack = stack
        self.others = 0
        """Connections to servers that a path has started itself."""
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
        count, self.others = self.others, 0
        for server in (self.ipv4, self.ipv6, self.unix, self.abstract):
            server.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.accept()[0].close()
                    count += 1
        return count


@pytest.fixture(scope="module")
def tls() -> TLS:
    return TLS()


@pytest.fixture
def place(tmp_path: Path, tls: TLS) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        yield Place(stack, tmp_path, tls)


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
async def supervise_streams(place: Place, options: dict[str, Any]) -> None:
    dialer = Dialer(timeout=5, **options)
    async with dialer.supervise_streams("127.0.0.1", place.port) as connections:
        async for _ in connections:
            break


@case
async def a_wait_for_all(place: Place, options: dict[str, Any]) -> None:
    targets = [("127.0.0.1", place.port)] * 2
    await aioconnect.wait_until_ready(targets, all=True, timeout=5, **options)


@case
async def a_wait_with_a_check(place: Place, options: dict[str, Any]) -> None:
    check = aioconnect.readiness.stays_open(0.01)
    await Dialer(**options).wait_until_ready("127.0.0.1", place.port, timeout=5, check=check)


@case
async def addresses_for_another_client(place: Place, options: dict[str, Any]) -> None:
    dialer = Dialer(resolver=NAMES, **options)
    for family, kind, proto, _, address in await dialer.resolve_addresses("name.test", place.port):
        with socket.socket(family, kind, proto) as sock, contextlib.suppress(OSError):
            sock.connect(address)


@case
async def a_blocking_dialer(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.Dialer(**options).connect("127.0.0.1", place.port).close()


@case
async def a_blocking_wait(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.wait_until_ready("127.0.0.1", place.port, timeout=5, **options)


@case
async def blocking(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.connect("127.0.0.1", place.port, timeout=5, **options).close()


@case
async def a_name_blocking(place: Place, options: dict[str, Any]) -> None:
    aioconnect.blocking.connect("name.test", place.port, resolver=NAMES, **options).close()


@case
async def over_tls(place: Place, options: dict[str, Any]) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place.others += 1
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0, ssl=place.tls.server)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await aioconnect.open_connection(
            "127.0.0.1", port, ssl=place.tls.client, **options
        )
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@case
async def a_socket_that_is_brought(place: Place, options: dict[str, Any]) -> None:
    sock = socket.create_connection(("127.0.0.1", place.port))
    assert place.accepted() == 1
    try:
        _, writer = await aioconnect.open_connection(sock=sock, **options)
    except aioconnect.ConnectError:
        assert sock.fileno() == -1
        raise
    place.others += 1
    writer.close()
    await writer.wait_closed()


@case
async def a_socket_of_the_callers(place: Place, options: dict[str, Any]) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await aioconnect.sock_connect(sock, ("127.0.0.1", place.port), **options)


@case
async def a_unix_socket_of_the_callers(place: Place, options: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        await aioconnect.sock_connect(sock, "\0" + place.name, **options)


@case
async def a_socket_of_the_callers_blocking(place: Place, options: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET6) as sock:
        aioconnect.blocking.sock_connect(sock, ("::1", place.port, 0, 0), **options)


@case
async def datagrams(place: Place, options: dict[str, Any]) -> None:
    address = place.datagrams.getsockname()
    await dial(*address, type=socket.SOCK_DGRAM, **options)
    place.others += 1


async def through(place: Place, scheme: str, target: str, options: dict[str, Any]) -> None:
    """Dial through a proxy, and count what it accepts."""
    with scripted(good(scheme)) as proxy:
        url = proxy.url(scheme)
        try:
            await dial(target, place.port, proxy=url, resolver=NAMES, **options)
        finally:
            place.others += len(proxy.accepted)


@case
async def through_socks5(place: Place, options: dict[str, Any]) -> None:
    await through(place, "socks5", "four.test", options)


@case
async def through_socks5_to_an_address(place: Place, options: dict[str, Any]) -> None:
    await through(place, "socks5", "127.0.0.1", options)


@case
async def through_socks5h(place: Place, options: dict[str, Any]) -> None:
    await through(place, "socks5h", "any.test", {"allowed_names": ["*.test"], **options})


@case
async def through_http(place: Place, options: dict[str, Any]) -> None:
    await through(place, "http", "any.test", {"allowed_names": ["any.test"], **options})


# With a policy ------------------------------------------------------------------------------------


def raising(endpoint: object) -> None:
    """Refuse."""
    raise PermissionError("not for you")


DENY: dict[str, Any] = {
    "the public internet alone": AddressPolicy.public(datagram=True),
    "another port": AddressPolicy.only("127.0.0.0/8", "::/127", ports=[9], datagram=True),
    "a refusal that is raised": raising,
    "no": lambda endpoint: False,
    "words": lambda endpoint: "not for you",
    "a verdict": lambda endpoint: Verdict(False, "not for you"),
    "neither yes nor no": lambda endpoint: endpoint,
}
ALLOW: dict[str, Callable[[Place], Any]] = {
    "what it dials": lambda place: AddressPolicy.only(
        *("127.0.0.0/8", "::1", "::", "0.0.0.0", f"unix:{place.path}", f"unix:@{place.name}"),
        datagram=True,
    ),
    "nothing said": lambda place: lambda endpoint: None,
    "yes": lambda place: lambda endpoint: True,
    "a verdict": lambda place: lambda endpoint: Verdict(True, "since it is you"),
}


def with_each_path(policies: dict[str, Any]) -> Any:
    """Return each path with each policy in a sweep; else each path with one of them."""
    rows = [
        pytest.param(path, policies[policy], id=f"{name}-{policy}")
        for name, path in CASES.items()
        for policy in (policies if WHOLE else [chance(f"policy of {name}").choice([*policies])])
    ]
    return pytest.mark.parametrize(("path", "policy"), rows)


@pytest.mark.sweep
@with_each_path(DENY)
async def test_what_is_denied_is_never_dialled(path: Any, policy: Any, place: Place) -> None:
    """The error says so, at once; no server has seen anything."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(aioconnect.PolicyDenied) as raised:
        await path(place, {"address_policy": policy})
    assert place.accepted() == 0
    assert loop.time() - began < 4
    error = raised.value
    assert error.stage == "policy"
    assert error.rule
    assert error.rule in str(error)
    assert {attempt.stage for attempt in error.attempts} <= {"policy"}


@pytest.mark.sweep
@with_each_path(ALLOW)
async def test_what_is_allowed_is_dialled(path: Any, policy: Any, place: Place) -> None:
    """The same paths, with a policy that lets them pass."""
    await path(place, {"address_policy": policy(place)})
    assert place.accepted() >= 1


# What a policy is asked ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "address", "name"),
    [
        (("name.test", 9), {("127.0.0.1", 9), ("::1", 9, 0, 0)}, "name.test"),
        (("NAME.test.", 9), {("127.0.0.1", 9), ("::1", 9, 0, 0)}, "NAME.test."),
        (("localhost", 9), {("127.0.0.1", 9), ("::1", 9, 0, 0)}, "localhost"),
        (("127.0.0.1", 9), {("127.0.0.1", 9)}, None),
        (("0:0::0:1", 9), {("::1", 9, 0, 0)}, None),
        (("::ffff:7f00:1", 9), {("::ffff:127.0.0.1", 9, 0, 0)}, None),
        (("::1%lo", 9), {("::1", 9, 0, socket.if_nametoindex("lo"))}, None),
        (("unix:/nowhere",), {"/nowhere"}, None),
        (("unix:@nobody",), {"\0nobody"}, None),
    ],
)
async def test_a_policy_is_asked_one_thing(target: Any, address: Any, name: str | None) -> None:
    """The endpoint: its address numeric and in one spelling, with the name that was asked for."""
    asked: list[aioconnect.NamedEndpoint] = []

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        asked.append(endpoint)
        return False

    with pytest.raises(aioconnect.PolicyDenied):
        await aioconnect.connect(*target, resolver=NAMES, address_policy=policy)
    assert {endpoint[4] for endpoint in asked} == address
    assert {endpoint.name for endpoint in asked} == {name}
    assert {len(endpoint) for endpoint in asked} == {5}


async def test_a_policy_is_asked_about_each_address_of_each_target() -> None:
    """Each with the name that is its own."""
    asked = []

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        asked.append((endpoint.name, endpoint[4][0]))
        return False

    targets = [("name.test", 9), ("127.0.0.7", 9), ("four.test", 9)]
    with pytest.raises(aioconnect.PolicyDenied) as raised:
        await aioconnect.connect(targets, resolver=NAMES, address_policy=policy)
    assert len(asked) == 4
    assert set(asked) == {
        ("name.test", "::1"),
        ("name.test", "127.0.0.1"),
        (None, "127.0.0.7"),
        ("four.test", "127.0.0.1"),
    }
    assert raised.value.count == 4


async def test_behind_a_proxy_it_is_asked_about_both_each_with_its_name() -> None:
    """With ``socks5://``, whose proxy is told an address."""
    asked = []

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        asked.append((endpoint.name, *endpoint[4][:2]))
        return endpoint[4][1] == 5432

    names = StaticResolver({"proxy.test": "127.0.0.5", "four.test": "127.0.0.1"})
    with pytest.raises(aioconnect.PolicyDenied):
        await aioconnect.connect(
            "four.test", 5432, proxy="socks5://proxy.test:9", resolver=names, address_policy=policy
        )
    assert asked == [("four.test", "127.0.0.1", 5432), ("proxy.test", "127.0.0.5", 9)]


@pytest.mark.parametrize("options", [{}, {"retry": 5}, {"retry": aioconnect.retry.forever()}])
async def test_what_is_denied_is_not_tried_again(options: Any) -> None:
    """No policy for retries makes it right."""
    asked = []

    def policy(endpoint: object) -> str:
        asked.append(endpoint)
        return "never"

    with pytest.raises(aioconnect.PolicyDenied) as raised:
        await aioconnect.connect("127.0.0.1", 9, address_policy=policy, **options)
    assert len(asked) == 1
    assert raised.value.rule == "never"


async def test_one_address_that_is_denied_costs_no_other(place: Place) -> None:
    """A name with one private address among public ones connects to a public one."""
    names = StaticResolver({"mixed.test": ["127.0.0.3", "127.0.0.2", "127.0.0.1"]})
    policy = AddressPolicy.only("127.0.0.1")
    failed: list[aioconnect.AttemptFailed] = []

    def watch(event: aioconnect.Event) -> None:
        if isinstance(event, aioconnect.AttemptFailed):
            failed.append(event)

    with await aioconnect.connect(
        "mixed.test", place.port, resolver=names, address_policy=policy, on_event=watch
    ) as sock:
        assert sock.getpeername() == ("127.0.0.1", place.port)
    assert place.accepted() == 1
    assert [(event.address[0], event.stage) for event in failed] == [
        ("127.0.0.3", "policy"),
        ("127.0.0.2", "policy"),
    ]


async def test_a_policy_that_is_broken_is_not_a_no_but_an_error() -> None:
    """What it raises comes out, and nothing is dialled."""

    def policy(endpoint: object) -> bool:
        raise KeyError("tenant")

    with pytest.raises(KeyError, match="tenant"):
        await aioconnect.connect("127.0.0.1", 9, address_policy=policy)


async def test_an_answer_that_would_have_to_be_awaited_denies() -> None:
    """A function that returns a coroutine is no asynchronous function, and is not found earlier."""

    async def later() -> bool:
        return True

    with pytest.raises(aioconnect.PolicyDenied, match="answered coroutine"):
        await aioconnect.connect("127.0.0.1", 9, address_policy=lambda endpoint: later())  # type: ignore[arg-type, return-value]


async def test_a_socket_without_a_peer_is_not_judged_but_refused() -> None:
    """There is nothing to judge it by."""
    sock = socket.socket()
    with pytest.raises(aioconnect.ConnectError) as raised:
        await aioconnect.open_connection(sock=sock, address_policy=lambda endpoint: True)
    assert raised.value.errno == errno.ENOTCONN
    assert sock.fileno() == -1


async def test_the_callers_socket_stays_open_when_its_address_is_denied() -> None:
    """It is the caller's; nothing has begun on it."""
    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(aioconnect.PolicyDenied, match=r"127\.0\.0\.0/8 \(loopback\)"):
            await aioconnect.sock_connect(
                sock, ("127.0.0.1", 9), address_policy=AddressPolicy.public()
            )
        assert sock.fileno() != -1
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()


@pytest.mark.parametrize("function", [aioconnect.sock_connect, aioconnect.blocking.sock_connect])
async def test_an_asynchronous_policy_is_misuse_there_too(function: Any) -> None:
    """Before anything is dialled."""

    async def policy(endpoint: object) -> bool:
        return True

    with socket.socket() as sock:
        sock.setblocking(False)
        with pytest.raises(TypeError, match="async"):
            await function(sock, ("127.0.0.1", 9), address_policy=policy)


# Proxies that look names up -----------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["socks5h", "http"])
async def test_a_policy_and_a_proxy_that_looks_names_up_need_names(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given, or found in the environment: the policy would see no address of the target."""
    url = f"{scheme}://127.0.0.1:9"
    with pytest.raises(ValueError, match="allowed_names"):
        Dialer(proxy=url, address_policy=raising)
    with pytest.raises(ValueError, match="allowed_names"):
        Dialer(address_policy=raising).replace(proxy=url)
    monkeypatch.setenv("ALL_PROXY", url)
    monkeypatch.setenv("NO_PROXY", "direct.test")
    dialer = Dialer(proxy="env", address_policy=raising, resolver=NAMES)
    with pytest.raises(ValueError, match="allowed_names"):
        await dialer.connect("four.test", 80)
    with pytest.raises(aioconnect.NameNotResolved):
        await dialer.connect("direct.test", 80)
    with pytest.raises(aioconnect.PolicyDenied):
        await dialer.replace(allowed_names=["four.test"]).connect("four.test", 80)


async def test_socks5_needs_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its proxy is told an address, and that is judged here."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    for proxy in ("socks5://127.0.0.1:9", "env"):
        with pytest.raises(aioconnect.PolicyDenied):
            await aioconnect.connect(
                "four.test", 80, proxy=proxy, resolver=NAMES, address_policy=raising
            )
