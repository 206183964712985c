"""Everything that connects: ours, the floor under us, and our peers.

A contender is a pair: `open` takes an `Endpoint` and returns what connects to it once, `close`
closes what that gave. `once` puts the two together, in the same way for all of them. Whatever a
program would do once, an `open` does before it returns: known addresses are turned into records,
a connector or a TLS context is made. What it would do for each connection is in what it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

Open = Callable[["Endpoint"], Callable[[], Any]]

# The delay that trio, anyio and aiohttp have built in, asked of those that want to be told.
HAPPY_EYEBALLS_DELAY = 0.25


class Unsupported(Exception):
    """This contender has no way to connect to that endpoint."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is dialled.

    `addresses` are the numeric addresses behind it, as (family, sockaddr), in the order in which
    they are tried; for a name that is to be looked up, there are none.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    addresses: tuple[tuple[int, Any], ...] = ()
    context: ssl.SSLContext | None = None
    timeout: float | None = None
    #: As many different names as there are connects in a sample, instead of the one.
    hosts: tuple[str, ...] = ()
    #: `host` is a name that the script answers itself, with `addresses`, at no cost.
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to connect, on one event loop."""

    name: str
    #: "asyncio", "uvloop" or "trio"; "none" for what blocks.
    loop: str
    #: What comes out: "socket", "transport", "streams" (and their kin in anyio and trio).
    gives: str
    open: Open
    close: Callable[[Any], Any]
    close_waits: bool = False
    #: The package, if any, that must be there besides the loop.
    needs: str = ""
    #: It goes on to the next address when one does not answer.
    races: bool = False
    #: It takes a `timeout`; the others are put into their loop's own.
    keeps_time: bool = False
    #: How it differs from the library's default while it is measured.
    setting: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    @property
    def key(self) -> str:
        """The name that is unique among all contenders."""
        return self.name if self.loop == "none" else f"{self.name} [{self.loop}]"

    @property
    def ours(self) -> bool:
        """Whether this is the library that is measured."""
        return self.needs == "aioconnect"

    @property
    def blocks(self) -> bool:
        """Whether it belongs to the floor: it holds its thread until it is connected."""
        return self.loop == "none"


CONTENDERS: list[Contender] = []

ASYNCIO = ("asyncio", "uvloop")


def contender(name: str, *, on: tuple[str, ...], **properties: Any) -> Callable[[Open], Open]:
    """Register an `open` under `name`, once for each loop that it runs on."""

    def register(opener: Open) -> Open:
        CONTENDERS.extend(Contender(name, loop, open=opener, **properties) for loop in on)
        return opener

    return register


def find(key: str) -> Contender:
    """Return the contender with that key."""
    for candidate in CONTENDERS:
        if candidate.key == key:
            return candidate
    raise KeyError(key)


def why_missing(candidate: Contender) -> str | None:
    """Return why a contender cannot run here, or None if it can."""
    for module in (candidate.loop, candidate.needs):
        if module not in ("", "none", "asyncio"):
            try:
                importlib.import_module(module)
            except ImportError:
                return f"{module} is not installed"
            except Exception as error:
                return f"{module} does not import: {type(error).__name__}"
    return None


def once(candidate: Contender, endpoint: Endpoint) -> Callable[[], Any]:
    """Return what connects to `endpoint` and closes, once: a function, or a coroutine function.

    There is one frame around each contender, the same for all: so a peer that takes no timeout
    pays for its loop's own, but for no frame that ours would not have.
    """
    connect, close_it = candidate.open(endpoint), candidate.close
    if candidate.blocks:

        def connect_and_close() -> None:
            close_it(connect())

        return connect_and_close

    if endpoint.timeout is None or candidate.keeps_time:
        if candidate.close_waits:

            async def connect_and_close_async() -> None:
                await close_it(await connect())

        else:

            async def connect_and_close_async() -> None:
                close_it(await connect())

        return connect_and_close_async

    deadline = _deadline(candidate, endpoint.timeout)
    if candidate.loop != "trio" and candidate.needs != "anyio":

        async def connect_within_and_close() -> None:
            async with deadline():
                connected = await connect()
            close_it(connected)

    else:

        async def connect_within_and_close() -> None:
            with deadline():
                connected = await connect()
            if candidate.close_waits:
                await close_it(connected)
            else:
                close_it(connected)

    return connect_within_and_close


def _deadline(candidate: Contender, timeout: float) -> Callable[[], Any]:
    """Return what a user of that library would put around a connect that may take `timeout`."""
    if candidate.needs == "anyio":
        import anyio

        return partial(anyio.fail_after, timeout)
    if candidate.loop == "trio":
        import trio

        return partial(trio.fail_after, timeout)
    return partial(asyncio.timeout, timeout)


def once_per_sample(make: Callable[[], Any]) -> Any:
    """Return what `make` makes, the same each time within one sample, and so within one loop."""
    if make not in _made:
        _made[make] = make()
    return _made[make]


def forget_sample() -> None:
    """Begin the next sample with nothing made."""
    _made.clear()


_made: dict[Any, Any] = {}


def close(connected: Any) -> None:
    """Close a socket, or what else has a `close`."""
    connected.close()


def _close_transport(connected: Any) -> None:
    transport = connected[0]
    # A TLS transport would first exchange its good-byes: what is measured is the handshake.
    if transport.get_extra_info("sslcontext") is None:
        transport.close()
    else:
        transport.abort()


def _close_streams(connected: Any) -> None:
    _close_transport((connected[1].transport,))


def _aclose(connected: Any) -> Awaitable[None]:
    result: Awaitable[None] = connected.aclose()
    return result


# The floor.


@contender("bare connect", on=("none",), gives="socket", close=close)
def bare_connect(endpoint: Endpoint) -> Callable[[], socket.socket]:
    """Call socket(), connect() and nothing else; with several addresses, one after the other."""
    if endpoint.context is not None:
        raise Unsupported

    def connect(family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock

    if len(endpoint.addresses) == 1:
        return partial(connect, *endpoint.addresses[0])

    def connect_first() -> socket.socket:
        addresses = endpoint.addresses or [
            (record[0], record[4])
            for record in socket.getaddrinfo(endpoint.host, endpoint.port, 0, socket.SOCK_STREAM)
        ]
        for family, address in addresses[:-1]:
            try:
                return connect(family, address)
            except OSError:
                pass
        return connect(*addresses[-1])

    return connect_first


@contender("socket.create_connection", on=("none",), gives="socket", close=close)
def blocking_create_connection(endpoint: Endpoint) -> Callable[[], socket.socket]:
    """Connect as a blocking program would, with a timeout."""
    _needs_host(endpoint, answered=False)
    address = (endpoint.host, endpoint.port)
    if endpoint.context is None:
        return partial(socket.create_connection, address, timeout=10)
    context = endpoint.context

    def connect() -> socket.socket:
        sock = socket.create_connection(address, timeout=10)
        return context.wrap_socket(sock, server_hostname=endpoint.host)

    return connect


# Ours.


def _our_options(endpoint: Endpoint) -> dict[str, Any]:
    return {} if endpoint.timeout is None else {"timeout": endpoint.timeout}


def _our_target(endpoint: Endpoint) -> tuple[Any, ...]:
    if endpoint.path:
        return (f"unix:{endpoint.path}",)
    if len(endpoint.addresses) > 1:
        return ([address[:2] for _, address in endpoint.addresses],)
    return (endpoint.host, endpoint.port)


def _no_second_look() -> contextlib.AbstractContextManager[Any]:
    return _attribute("aioconnect.attempt", "SECOND_LOOK", value=False)


@contextlib.contextmanager
def _attribute(module: str, name: str, *, value: Any) -> Iterator[None]:
    owner = importlib.import_module(module)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contender(
    "aioconnect.connect, no second look",
    on=ASYNCIO,
    gives="socket",
    needs="aioconnect",
    close=close,
    races=True,
    keeps_time=True,
    setting=_no_second_look,
)
@contender(
    "aioconnect.connect",
    on=ASYNCIO,
    gives="socket",
    needs="aioconnect",
    close=close,
    races=True,
    keeps_time=True,
)
def our_connect(endpoint: Endpoint) -> Callable[[], Any]:
    """Connect with the library's own defaults, which include a deadline of 30 s."""
    import aioconnect

    if endpoint.context is not None:
        raise Unsupported
    return partial(aioconnect.connect, *_our_target(endpoint), **_our_options(endpoint))


@contender(
    "aioconnect.open_connection",
    on=ASYNCIO,
    gives="streams",
    needs="aioconnect",
    close=_close_streams,
    races=True,
    keeps_time=True,
)
def our_open_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Open a pair of streams."""
    import aioconnect

    options = _our_options(endpoint) | {"ssl": endpoint.context}
    return partial(aioconnect.open_connection, *_our_target(endpoint), **options)


@contender(
    "aioconnect.create_connection",
    on=ASYNCIO,
    gives="transport",
    needs="aioconnect",
    close=_close_transport,
    races=True,
    keeps_time=True,
)
def our_create_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Create a transport."""
    import aioconnect

    options = _our_options(endpoint) | {"ssl": endpoint.context}
    target = _our_target(endpoint)
    return partial(aioconnect.create_connection, asyncio.Protocol, *target, **options)


# The standard library, and uvloop in its place.


def _needs_host(endpoint: Endpoint, *, answered: bool = True) -> None:
    if not endpoint.host or (endpoint.answered and not answered):
        raise Unsupported


def _loop_of_python(endpoint: Endpoint) -> asyncio.AbstractEventLoop:
    """Return the running loop, if the names that the script answers can be told to it."""
    loop = asyncio.get_running_loop()
    if endpoint.answered and not isinstance(loop, asyncio.BaseEventLoop):
        raise Unsupported
    return loop


@contender("loop.sock_connect", on=ASYNCIO, gives="socket", close=close)
def loop_sock_connect(endpoint: Endpoint) -> Callable[[], Any]:
    """Connect a socket of one's own; a name is looked up by the loop, its first address taken."""
    loop = asyncio.get_running_loop()
    if endpoint.context is not None or len(endpoint.addresses) > 1:
        raise Unsupported

    async def connect_to(family: int, address: Any) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return sock

    if endpoint.addresses:
        return partial(connect_to, *endpoint.addresses[0])

    async def connect_by_name() -> socket.socket:
        records = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        return await connect_to(records[0][0], records[0][4])

    return connect_by_name


@contender("loop.create_connection", on=ASYNCIO, gives="transport", close=_close_transport)
def loop_create_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Create a transport; several addresses are tried one after the other."""
    _needs_host(endpoint)
    loop = _loop_of_python(endpoint)
    return partial(
        loop.create_connection, asyncio.Protocol, endpoint.host, endpoint.port, ssl=endpoint.context
    )


@contender(
    "loop.create_connection, Happy Eyeballs",
    on=("asyncio",),  # uvloop has none
    gives="transport",
    close=_close_transport,
    races=True,
)
def loop_create_connection_racing(endpoint: Endpoint) -> Callable[[], Any]:
    """Create a transport; addresses are raced."""
    _needs_host(endpoint)
    return partial(
        asyncio.get_running_loop().create_connection,
        asyncio.Protocol,
        endpoint.host,
        endpoint.port,
        ssl=endpoint.context,
        happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
    )


@contender("asyncio.open_connection", on=ASYNCIO, gives="streams", close=_close_streams)
def asyncio_open_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Open a pair of streams; several addresses are tried one after the other."""
    _needs_host(endpoint)
    _loop_of_python(endpoint)
    return partial(asyncio.open_connection, endpoint.host, endpoint.port, ssl=endpoint.context)


@contender(
    "asyncio.open_connection, Happy Eyeballs",
    on=("asyncio",),
    gives="streams",
    close=_close_streams,
    races=True,
)
def asyncio_open_connection_racing(endpoint: Endpoint) -> Callable[[], Any]:
    """Open a pair of streams; addresses are raced."""
    _needs_host(endpoint)
    return partial(
        asyncio.open_connection,
        endpoint.host,
        endpoint.port,
        ssl=endpoint.context,
        happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY,
    )


@contender("loop.create_unix_connection", on=ASYNCIO, gives="transport", close=_close_transport)
def loop_create_unix_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Create a transport over a Unix socket."""
    _needs_path(endpoint)
    loop = asyncio.get_running_loop()
    return partial(loop.create_unix_connection, asyncio.Protocol, endpoint.path)


@contender("asyncio.open_unix_connection", on=ASYNCIO, gives="streams", close=_close_streams)
def asyncio_open_unix_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Open a pair of streams over a Unix socket."""
    _needs_path(endpoint)
    return partial(asyncio.open_unix_connection, endpoint.path)


def _needs_path(endpoint: Endpoint) -> None:
    if not endpoint.path:
        raise Unsupported


# The others.


@contender(
    "aiohappyeyeballs",
    on=ASYNCIO,
    gives="socket",
    needs="aiohappyeyeballs",
    close=close,
    races=True,
)
def aiohappyeyeballs_start_connection(endpoint: Endpoint) -> Callable[[], Any]:
    """Race known addresses; a name is looked up by the loop."""
    import aiohappyeyeballs

    if endpoint.path or endpoint.context is not None:
        raise Unsupported
    start = aiohappyeyeballs.start_connection
    if endpoint.addresses:
        records = [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
            for family, address in endpoint.addresses
        ]
        delay = HAPPY_EYEBALLS_DELAY if len(records) > 1 else None
        return partial(start, records, happy_eyeballs_delay=delay)
    loop = asyncio.get_running_loop()

    async def connect_by_name() -> socket.socket:
        found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        return await start(found, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY)

    return connect_by_name


@contender(
    "anyio.connect_tcp",
    on=("asyncio", "uvloop", "trio"),
    gives="streams",
    needs="anyio",
    close=_aclose,
    close_waits=True,
    races=True,
)
def anyio_connect_tcp(endpoint: Endpoint) -> Callable[[], Any]:
    """Open anyio's byte stream."""
    import anyio

    _needs_host(endpoint)
    if endpoint.context is None:
        return partial(anyio.connect_tcp, endpoint.host, endpoint.port)
    return partial(
        anyio.connect_tcp,
        endpoint.host,
        endpoint.port,
        ssl_context=endpoint.context,
        tls_standard_compatible=False,
    )


@contender(
    "anyio.connect_unix",
    on=("asyncio", "uvloop", "trio"),
    gives="streams",
    needs="anyio",
    close=_aclose,
    close_waits=True,
)
def anyio_connect_unix(endpoint: Endpoint) -> Callable[[], Any]:
    """Open anyio's byte stream over a Unix socket."""
    import anyio

    _needs_path(endpoint)
    return partial(anyio.connect_unix, endpoint.path)


def _close_trio_stream(connected: Any) -> None:
    # Not aclose(): that is one more turn of trio's scheduler, and says good-bye over TLS.
    getattr(connected, "transport_stream", connected).socket.close()


@contender(
    "trio.open_tcp_stream",
    on=("trio",),
    gives="streams",
    needs="trio",
    close=_close_trio_stream,
    races=True,
)
def trio_open_tcp_stream(endpoint: Endpoint) -> Callable[[], Any]:
    """Open trio's stream."""
    import trio

    _needs_host(endpoint)
    if endpoint.context is None:
        return partial(trio.open_tcp_stream, endpoint.host, endpoint.port)

    async def connect() -> Any:
        stream = await trio.open_ssl_over_tcp_stream(
            endpoint.host, endpoint.port, ssl_context=endpoint.context
        )
        await stream.do_handshake()
        return stream

    return connect


@contender(
    "trio.open_unix_socket", on=("trio",), gives="streams", needs="trio", close=_close_trio_stream
)
def trio_open_unix_socket(endpoint: Endpoint) -> Callable[[], Any]:
    """Open trio's stream over a Unix socket."""
    import trio

    _needs_path(endpoint)
    return partial(trio.open_unix_socket, endpoint.path)


@contender("trio.socket", on=("trio",), gives="socket", needs="trio", close=close)
def trio_socket(endpoint: Endpoint) -> Callable[[], Any]:
    """Connect trio's wrapped socket to one known address."""
    import trio

    if endpoint.context is not None or len(endpoint.addresses) != 1:
        raise Unsupported
    family, address = endpoint.addresses[0]

    async def connect() -> Any:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock

    return connect


@contender(
    "aiohttp's connector",
    on=ASYNCIO,
    gives="transport",
    needs="aiohttp",
    close=close,
    races=True,
    keeps_time=True,
)
def aiohttp_connector(endpoint: Endpoint, *, use_dns_cache: bool = False) -> Callable[[], Any]:
    """Take a new connection from a connector that keeps none; no request is sent on it.

    A scenario by name is about looking the name up, for each connection: not from a cache.
    """
    import aiohttp
    import yarl
    from aiohttp.client_reqrep import ClientRequest

    if endpoint.path:
        connector = once_per_sample(partial(_aiohttp_unix_connector, endpoint.path))
        url = yarl.URL("http://localhost/")
    else:
        _needs_host(endpoint)
        make = _AIOHTTP_CONNECTORS[use_dns_cache, endpoint.answered]
        connector = once_per_sample(make)
        scheme = "http" if endpoint.context is None else "https"
        url = yarl.URL.build(scheme=scheme, host=endpoint.host, port=endpoint.port)
    loop = asyncio.get_running_loop()
    request = ClientRequest("GET", url, loop=loop, ssl=endpoint.context or True)
    # Its own default for one attempt, 30 s, where the scenario has no other.
    timeout = aiohttp.ClientTimeout(sock_connect=endpoint.timeout or 30)
    return partial(connector.connect, request, [], timeout)


def _aiohttp_unix_connector(path: str) -> Any:
    import aiohttp

    return aiohttp.UnixConnector(path, limit=0, force_close=True)


def _aiohttp_tcp_connector(*, use_dns_cache: bool, answered: bool) -> Any:
    import aiohttp

    return aiohttp.TCPConnector(
        use_dns_cache=use_dns_cache,
        # Its own default, except where the script answers through the loop.
        resolver=aiohttp.ThreadedResolver() if answered else None,
        limit=0,
        force_close=True,
    )


_AIOHTTP_CONNECTORS = {
    (cached, answered): partial(_aiohttp_tcp_connector, use_dns_cache=cached, answered=answered)
    for cached in (False, True)
    for answered in (False, True)
}


@contender(
    "httpcore's back end",
    on=("asyncio", "uvloop", "trio"),
    gives="streams",
    needs="httpcore",
    close=_aclose,
    close_waits=True,
    races=True,
    keeps_time=True,
)
def httpcore_back_end(endpoint: Endpoint) -> Callable[[], Any]:
    """Open the stream that httpcore, and so httpx, would speak HTTP on."""
    import httpcore

    # What httpx gives it when its caller gives nothing.
    timeout = 5.0 if endpoint.timeout is None else endpoint.timeout
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        back_end: Any = httpcore.TrioBackend()
    else:
        back_end = httpcore.AnyIOBackend()
    if endpoint.path:
        return partial(back_end.connect_unix_socket, endpoint.path, timeout=timeout)
    _needs_host(endpoint)
    connect = partial(back_end.connect_tcp, endpoint.host, endpoint.port, timeout=timeout)
    context = endpoint.context
    if context is None:
        return connect

    async def connect_tls() -> Any:
        stream = await connect()
        return await stream.start_tls(context, server_hostname=endpoint.host, timeout=timeout)

    return connect_tls
