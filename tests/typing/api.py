# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""The public types, pinned: read by mypy and pyright, and never run.

Each wrong call carries a comment that both checkers honour, with what mypy must say about it; the
one that has nothing to say about the call any more reports the comment as unused.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeAlias, assert_type

import aioconnect
from aioconnect import (
    AddressPolicy,
    Answer,
    AttemptFailed,
    ConnectError,
    ConnectMany,
    ConnectResult,
    Dialer,
    Event,
    Help,
    NamedEndpoint,
    Options,
    PolicyDenied,
    Proxy,
    Supervisor,
    Verdict,
    blocking,
    connect,
    connect_many,
    connect_wait,
    create_connection,
    open_connection,
    retry,
    sock_connect,
    wait_until_ready,
)
from aioconnect.events import Connected, LookupSucceeded, Stage
from aioconnect.handshake import recv_exactly
from aioconnect.handshake.proxy_protocol import send_proxy_v2
from aioconnect.resolve import StaticResolver

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Coroutine, Generator, Iterator

    from aioconnect import ConnectOptions, Endpoint, Resolver, TargetLike
    from aioconnect.options import TargetOptions
    from aioconnect.typed import ConnectionOptions, StreamOptions

    Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """A protocol of somebody else."""


# connect ------------------------------------------------------------------------------------------


async def connect_gives_a_socket() -> None:
    """Take every form of a target."""
    assert_type(await connect("db.internal", 5432), socket.socket)
    assert_type(await connect("db.internal:5432"), socket.socket)
    assert_type(await connect("unix:/run/db.sock"), socket.socket)
    assert_type(await connect(("db.internal", 5432)), socket.socket)
    assert_type(await connect(("fe80::1", 5432, 0, 2)), socket.socket)
    assert_type(await connect(("fe80::1", 5432, 0, "eth0")), socket.socket)
    assert_type(await connect(["a:1", ("b", 2), "unix:/c"]), socket.socket)
    assert_type(await connect(["a", "b"], 5432), socket.socket)
    assert_type(await connect(target="a", port=1), socket.socket)
    several: list[TargetLike] = ["a:1", ("b", 2)]
    assert_type(await connect(several), socket.socket)
    with await connect("db.internal", 5432) as sock:
        assert_type(sock, socket.socket)


async def connect_refuses_other_targets() -> None:
    """Refuse what is no target."""
    await connect()  # type: ignore[call-arg]
    await connect(None, 1)  # type: ignore[arg-type]
    await connect(b"a:1")  # type: ignore[arg-type]
    await connect(5432)  # type: ignore[arg-type]
    await connect("a", "1")  # type: ignore[arg-type]
    await connect("a", 1.0)  # type: ignore[arg-type]
    await connect([1])  # type: ignore[list-item]


# The options --------------------------------------------------------------------------------------


def watch(event: Event) -> None:
    """Observe."""


def watch_and_return(event: Event) -> int:
    """Observe; what it returns is nobody's business."""
    return 0


def forbid(endpoint: Endpoint) -> None:
    """Be an address policy."""
    assert_type(endpoint[0], int)
    assert_type(endpoint[3], str)
    assert_type(endpoint[4], Any)


def judge(endpoint: NamedEndpoint) -> bool | Verdict:
    """Be a policy that says yes or no."""
    assert_type(endpoint.name, str | None)
    return endpoint[0] == socket.AF_INET and Verdict(False, "no")


async def asynchronously(endpoint: NamedEndpoint) -> bool:
    """Be none."""
    return True


def make(endpoint: Endpoint) -> socket.socket:
    """Be a socket factory."""
    return socket.socket(*endpoint[:3])


def decide(context: retry.Context) -> retry.Retry | retry.Stop:
    """Be a retry policy."""
    return retry.Stop("enough")


class Names:
    """A resolver of somebody else, which inherits nothing."""

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Look up."""
        return Answer(("10.0.0.1",))


async def every_option_has_its_type(budget: retry.Budget, breaker: retry.Breaker) -> None:
    """All of them in one call, and each with its other forms."""
    resolver: Resolver = Names()
    sock = await connect(
        "db.internal",
        5432,
        timeout=5,
        attempt_timeout=1.5,
        retry=retry.DEFAULT,
        budget=budget,
        breaker=breaker,
        resolver=resolver,
        family=socket.AF_INET6,
        type=socket.SOCK_STREAM,
        local_addr=("::1", 0),
        happy_eyeballs_delay=0.25,
        resolution_delay=0.05,
        max_concurrent=6,
        interleave=1,
        max_addresses=32,
        socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)],
        socket_factory=make,
        address_policy=forbid,
        allowed_names=["*.example.com", "localhost"],
        proxy="socks5h://proxy.internal:1080",
        handshake=send_proxy_v2(("192.0.2.1", 1), ("192.0.2.2", 2)),
        on_event=watch,
    )
    assert_type(sock, socket.socket)
    await connect("a", 1, timeout=None, attempt_timeout=None, happy_eyeballs_delay=None)
    await connect("a", 1, retry=None, budget=None, breaker=None, resolver=None, local_addr=None)
    await connect("a", 1, socket_options=None, socket_factory=None, address_policy=None)
    await connect("a", 1, proxy=None, handshake=None, on_event=None)
    await connect("a", 1, proxy=Proxy("socks5://proxy.internal", username="me", password="x"))
    await connect("a", 1, handshake=wait_for_banner)
    await connect("a", 1, on_event=watch_and_return)
    await connect("a", 1, retry=True)
    await connect("a", 1, retry=3)
    await connect("a", 1, retry=decide)
    await connect("a", 1, retry=retry.attempts(3) & retry.exponential(0.1) | retry.forever())
    await connect("a", 1, resolver=Names(), family=0)
    await connect("a", 1, local_addr="/run/client.sock")
    await connect("a", 1, local_addr=[("127.0.0.1", 0), ("::1", 0), "/run/client.sock"])
    await connect("a", 1, socket_options=((1, 2, 3), (1, 2, b"lo\0")))
    await connect("a", 1, socket_factory=lambda endpoint: socket.socket(endpoint[0]))
    await connect("a", 1, on_event=print)


def wait_for_banner(sock: socket.socket, endpoint: Endpoint) -> Generator[int, None, None]:
    """Be a handshake."""
    assert_type((yield from recv_exactly(sock, 3)), bytes)


async def wrong_options_are_errors() -> None:
    """Refuse a misspelt name, and a value of another type, one by one."""
    await connect("a", 1, time_out=5)  # type: ignore[call-arg]
    await connect("a", 1, timeout="5")  # type: ignore[arg-type]
    await connect("a", 1, attempt_timeout="5")  # type: ignore[arg-type]
    await connect("a", 1, retry="3")  # type: ignore[arg-type]
    await connect("a", 1, budget=10)  # type: ignore[arg-type]
    await connect("a", 1, breaker=10)  # type: ignore[arg-type]
    await connect("a", 1, resolver=print)  # type: ignore[arg-type]
    await connect("a", 1, family="inet")  # type: ignore[arg-type]
    await connect("a", 1, type=None)  # type: ignore[arg-type]
    await connect("a", 1, local_addr=5)  # type: ignore[arg-type]
    await connect("a", 1, happy_eyeballs_delay="0")  # type: ignore[arg-type]
    await connect("a", 1, resolution_delay=None)  # type: ignore[arg-type]
    await connect("a", 1, max_concurrent=1.5)  # type: ignore[arg-type]
    await connect("a", 1, interleave=None)  # type: ignore[arg-type]
    await connect("a", 1, socket_options=[(1, 2)])  # type: ignore[list-item]
    await connect("a", 1, socket_factory=socket.socket)  # type: ignore[arg-type]
    await connect("a", 1, address_policy=5)  # type: ignore[arg-type]
    await connect("a", 1, address_policy=asynchronously)  # type: ignore[arg-type]
    await connect("a", 1, allowed_names=5)  # type: ignore[arg-type]
    await connect("a", 1, allowed_names=[b"a"])  # type: ignore[list-item]
    await connect("a", 1, proxy=("proxy", 1080))  # type: ignore[arg-type]
    await connect("a", 1, handshake=watch)  # type: ignore[arg-type]
    await connect("a", 1, on_event=5)  # type: ignore[arg-type]


def address_policies_are_typed() -> None:
    """Make one in each way, and ask it."""
    networks = [ip_network("10.0.0.0/8"), "2001:db8::/32", ip_address("::1"), "unix:/run/*"]
    policy = AddressPolicy.public(
        nat64=["64:ff9b:1::/96"], allow=networks, deny=networks, ports={80}, datagram=True
    )
    assert_type(policy, AddressPolicy)
    assert_type(AddressPolicy.only(*networks, ports=range(1, 1024)), AddressPolicy)
    assert_type(policy.check("::1", 80, type=socket.SOCK_DGRAM), Verdict)
    assert_type(policy.check("unix:@a").rule, str)
    Dialer(address_policy=policy)
    Dialer(address_policy=judge)
    Dialer(address_policy=lambda endpoint: "not today")
    assert_type(PolicyDenied("made").rule, str)
    AddressPolicy.public([])  # type: ignore[call-arg]
    AddressPolicy.only(5)  # type: ignore[arg-type]
    AddressPolicy.public(ports=["80"])  # type: ignore[list-item]


async def options_may_be_passed_on(options: ConnectOptions, other: TargetOptions) -> None:
    """Give the keywords of a function that wraps one of ours the same type."""
    assert_type(await connect("a", 1, **options), socket.socket)
    assert_type(await connect("a", 1, timeout=5, **other), socket.socket)
    assert_type(Dialer(**options), Dialer)
    assert_type(blocking.connect("a", 1, **options), socket.socket)
    chosen: ConnectOptions = {"timeout": 5, "family": socket.AF_INET}
    await open_connection("a", 1, **chosen)
    wrong: ConnectOptions = {"time_out": 5}  # type: ignore[typeddict-unknown-key]
    await connect("a", 1, **wrong)


async def every_function_takes_every_option(
    options: ConnectOptions, others: TargetOptions, tls: ConnectionOptions, streams: StreamOptions
) -> None:
    """None of them lacks one, and each says of what type it is."""
    assert_type(await open_connection("a", 1, **streams), Streams)
    assert_type(await Dialer().open_connection("a", 1, **streams), Streams)
    assert_type(await create_connection(Echo, "a", 1, **tls), tuple[asyncio.Transport, Echo])
    assert_type(await Dialer().create_connection(Echo, **tls), tuple[asyncio.Transport, Echo])
    assert_type(connect_many(["a:1"], **others), ConnectMany)
    assert_type(await wait_until_ready("a", 1, **others), float)
    assert_type(Dialer().replace(**options), Dialer)
    await open_connection("a", 1, timeout="5")  # type: ignore[arg-type]
    await Dialer().open_connection("a", 1, timeout="5")  # type: ignore[arg-type]
    await create_connection(Echo, "a", 1, timeout="5")  # type: ignore[arg-type]
    await Dialer().create_connection(Echo, "a", 1, timeout="5")  # type: ignore[arg-type]
    connect_many(["a:1"], interleave="1")  # type: ignore[arg-type]
    connect_many(["a:1"], max_addresses=1.5)  # type: ignore[arg-type]
    await wait_until_ready("a", 1, interleave="1")  # type: ignore[arg-type]
    blocking.connect("a", 1, timeout="5")  # type: ignore[arg-type]
    Dialer(timeout="5")  # type: ignore[arg-type]
    await Dialer().open_connection("a", 1, time_out=5)  # type: ignore[call-arg]
    await Dialer().create_connection(Echo, "a", 1, time_out=5)  # type: ignore[call-arg]
    await create_connection(Echo, "a", 1, time_out=5)  # type: ignore[call-arg]
    await open_connection("a", 1, time_out=5)  # type: ignore[call-arg]


async def keywords_of_asyncio_have_their_types(context: ssl.SSLContext) -> None:
    """Beside ours, and of no other type."""
    await open_connection("a", 1, ssl=context, server_hostname="a", ssl_handshake_timeout=5)
    await open_connection("a", 1, ssl=True, ssl_shutdown_timeout=5, proto=0, flags=0)
    await open_connection("a", 1, ssl=None, all_errors=True, limit=1024, sock=None)
    await open_connection("a", 1, ssl=1.5)  # type: ignore[arg-type]
    await open_connection("a", 1, server_hostname=1)  # type: ignore[arg-type]
    await open_connection("a", 1, ssl_handshake_timeout="5")  # type: ignore[arg-type]
    await open_connection("a", 1, ssl_shutdown_timeout="5")  # type: ignore[arg-type]
    await open_connection("a", 1, sock=1)  # type: ignore[arg-type]
    await open_connection("a", 1, proto="tcp")  # type: ignore[arg-type]
    await open_connection("a", 1, flags=None)  # type: ignore[arg-type]
    await open_connection("a", 1, all_errors=None)  # type: ignore[arg-type]
    await open_connection("a", 1, limit=None)  # type: ignore[arg-type]


def everything_can_be_reached_from_the_package() -> None:
    """Also what loads on first use, and nothing that does not exist."""
    assert_type(aioconnect.resolve.StaticResolver({}), StaticResolver)
    assert_type(aioconnect.retry.attempts(3), retry.Policy)
    assert_type(aioconnect.many.ConnectResult, type[ConnectResult])
    assert_type(aioconnect.supervise.Supervisor, type[Supervisor])
    assert_type(aioconnect.events.Event, type[Event])
    assert_type(aioconnect.options.Options(), Options)
    _ = aioconnect.conect  # type: ignore[attr-defined]
    _ = aioconnect.options.Optoins  # type: ignore[attr-defined]


# Dialer -------------------------------------------------------------------------------------------


class Database(Dialer):
    """A dialer of somebody else."""

    def name(self) -> str:
        """Name it."""
        return "db.internal"


async def a_dialer_has_the_same_methods() -> None:
    """With its own options inside."""
    dialer = Dialer(timeout=5, retry=3, local_addr=("127.0.0.1", 0), on_event=watch)
    assert_type(await dialer.connect("a", 1), socket.socket)
    assert_type(await dialer.connect(["a:1", ("b", 2)]), socket.socket)
    assert_type(
        await dialer.open_connection("a", 1), tuple[asyncio.StreamReader, asyncio.StreamWriter]
    )
    assert_type(
        await dialer.create_connection(asyncio.Protocol, "a", 1),
        tuple[asyncio.Transport, asyncio.Protocol],
    )
    assert_type(dialer.supervise("a", 1, healthy_after=5), Supervisor)
    Dialer(time_out=5)  # type: ignore[call-arg]
    await dialer.connect("a", 1, timeout=5)  # type: ignore[call-arg]


def a_dialer_shows_its_options(dialer: Dialer, options: Options) -> None:
    """In their plain form."""
    assert_type(dialer.timeout, float)
    assert_type(dialer.attempt_timeout, float | None)
    assert_type(dialer.retry, retry.Policy | None)
    assert_type(dialer.budget, retry.Budget | None)
    assert_type(dialer.breaker, retry.Breaker | None)
    assert_type(dialer.family, int)
    assert_type(dialer.type, int)
    assert_type(dialer.local_addr, tuple[tuple[int, Any], ...] | None)
    assert_type(dialer.happy_eyeballs_delay, float | None)
    assert_type(dialer.resolution_delay, float)
    assert_type(dialer.max_concurrent, int)
    assert_type(dialer.interleave, int)
    assert_type(dialer.max_addresses, int)
    assert_type(dialer.socket_options, tuple[tuple[int, int, int | bytes], ...])
    as_options: Options = dialer
    assert_type(as_options == options, bool)
    assert_type(hash(dialer), int)


def replace_keeps_the_class(dialer: Dialer, database: Database) -> None:
    """Stay a subclass."""
    assert_type(dialer.replace(timeout=1), Dialer)
    assert_type(database.replace(timeout=1), Database)
    assert_type(database.replace(timeout=None, retry=True).name(), str)
    dialer.replace(time_out=1)  # type: ignore[call-arg]
    dialer.replace(timeout="1")  # type: ignore[arg-type]


# asyncio's two ------------------------------------------------------------------------------------


async def streams_are_asyncios(context: ssl.SSLContext, sock: socket.socket) -> None:
    """With asyncio's keywords beside ours."""
    reader, writer = await open_connection("a", 443, ssl=context, server_hostname="a", timeout=5)
    assert_type(reader, asyncio.StreamReader)
    assert_type(writer, asyncio.StreamWriter)
    await open_connection("a", "443", ssl=True, limit=1024)
    await open_connection(None, 80)
    await open_connection("a:80")
    await open_connection(["a:80", "b:80"], retry=2)
    await open_connection(sock=sock)
    await open_connection(host="a", port=80, happy_eyeballs_delay=None, all_errors=True)
    await open_connection("a", 80, limit="1")  # type: ignore[arg-type]
    await open_connection("a", 80.0)  # type: ignore[arg-type]
    await open_connection("a", 80, tls=True)  # type: ignore[call-arg]


async def a_transport_comes_with_the_protocol_that_was_made(sock: socket.socket) -> None:
    """Keep the protocol's own type."""
    transport, protocol = await create_connection(Echo, "a", 80, timeout=5)
    assert_type(transport, asyncio.Transport)
    assert_type(protocol, Echo)
    assert_type(
        await create_connection(lambda: Echo(), sock=sock, ssl_handshake_timeout=5),
        tuple[asyncio.Transport, Echo],
    )
    assert_type(
        await create_connection(Echo, "a", 80, proto=0, flags=0, ssl_shutdown_timeout=1.0),
        tuple[asyncio.Transport, Echo],
    )
    await create_connection(Echo(), "a", 80)  # type: ignore[arg-type]
    await create_connection(Echo, "a", 80, limit=1)  # type: ignore[call-arg]


# One's own socket ---------------------------------------------------------------------------------


async def ones_own_socket(sock: socket.socket) -> None:
    """Nothing is returned; the socket stays the caller's."""
    waiting: Coroutine[Any, Any, None] = connect_wait(sock)
    connecting: Coroutine[Any, Any, None] = sock_connect(sock, ("::1", 80, 0, 0), timeout=5)
    await asyncio.gather(waiting, connecting)
    await connect_wait(sock, timeout=None)
    await sock_connect(sock, b"\0abstract", timeout=None)
    await connect_wait(sock, 5)  # type: ignore[call-arg]
    await connect_wait("sock")  # type: ignore[arg-type]
    await sock_connect(sock)  # type: ignore[call-arg]


def without_a_loop(sock: socket.socket) -> None:
    """Do the same three, blocking."""
    assert_type(blocking.connect("a", 1, timeout=5, retry=True), socket.socket)
    assert_type(aioconnect.blocking.connect(["a:1", "b:2"]), socket.socket)
    blocking.connect_wait(sock, timeout=5)
    blocking.sock_connect(sock, "/run/db.sock", timeout=None)
    blocking.connect("a", "1")  # type: ignore[arg-type]
    blocking.connect("a", 1, time_out=5)  # type: ignore[call-arg]


# Many, ready, supervised --------------------------------------------------------------------------


async def many_at_once(targets: list[TargetLike], more: AsyncIterator[TargetLike]) -> None:
    """Results as they come, each with its socket or its error."""
    assert_type(connect_many(targets), ConnectMany)
    async with connect_many(targets, limit=100, target_timeout=5, retry=2) as results:
        async for result in results:
            assert_type(result, ConnectResult)
            assert_type(result.socket, socket.socket | None)
            assert_type(result.error, ConnectError | None)
            assert_type(result.unwrap(), socket.socket)
            if result.error is None:
                result.unwrap().close()
            else:
                assert_type(result.error.code, str)
            assert_type(result.index, int)
            assert_type(result.elapsed, float)
    connect_many(more, rate=50, ordered=True, family=socket.AF_INET)
    connect_many(targets, time_out=5)  # type: ignore[call-arg]


async def until_ready() -> None:
    """Return the seconds that it took."""
    assert_type(await wait_until_ready("a", 1), float)
    assert_type(await wait_until_ready("a:1", timeout=None, attempt_timeout=1), float)
    await wait_until_ready("a", 1, time_out=5)  # type: ignore[call-arg]


async def connection_after_connection(dialer: Dialer) -> None:
    """Sockets, one after the other."""
    async with dialer.supervise("a", 1) as connections:
        async for sock in connections:
            assert_type(sock, socket.socket)
            connections.healthy()
            connections.wake()


# Errors and events --------------------------------------------------------------------------------


def errors_are_built_ins_too(error: ConnectError) -> Iterator[OSError]:
    """Show what a program reads of them."""
    yield error
    assert_type(error.code, str)
    assert_type(error.errno, int | None)
    assert_type(error.target, str)
    assert_type(error.family, int)
    assert_type(error.stage, Stage)
    assert_type(error.help, Help)
    assert_type(error.hint, str)
    assert_type(error.attempts, tuple[AttemptFailed, ...])
    assert_type(error.count, int)
    assert_type(error.elapsed, float)
    assert_type(error.stopped, str | None)
    assert_type(error.retry_after, float | None)
    refused: ConnectionRefusedError = aioconnect.ConnectionRefused()
    timed_out: TimeoutError = aioconnect.AttemptTimedOut()
    whole: aioconnect.TimedOut = aioconnect.DeadlineExceeded()
    name: socket.gaierror = aioconnect.NameNotResolved()
    handshake: ssl.SSLError = aioconnect.TLSError()
    unverified: ssl.SSLCertVerificationError = aioconnect.CertificateError()
    yield from (refused, timed_out, whole, name, handshake, unverified)


def events_tell_what_happened(event: Event) -> None:
    """Each kind has its facts."""
    assert_type(event.at, float)
    assert_type(event.target, str)
    if isinstance(event, AttemptFailed):
        assert_type(event.number, int)
        assert_type(event.round, int)
        assert_type(event.stage, Stage)
        assert_type(event.error, ConnectError)
        assert_type(event.started, float)
        assert_type(event.ended, float)
        assert_type(event.tries, int)
        assert_type(event.errno, int | None)
    elif isinstance(event, LookupSucceeded):
        assert_type(event.addresses, tuple[str, ...])
        assert_type(event.duration, float)
    elif isinstance(event, Connected):
        assert_type(event.elapsed, float)
        assert_type(event.family, int)
