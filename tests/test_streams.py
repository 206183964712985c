"""``open_connection`` and ``create_connection``: asyncio's two, with our way of connecting.

What asyncio's own do with the same arguments is run beside ours where the promise is that a
program changes one import.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import inspect
import os
import socket
import ssl
import time
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import ConnectError, Dialer, events, typed
from aioconnect.resolve import StaticResolver

from .support.account import descriptors, no_warnings, without_collector
from .support.certificates import TLS
from .support.loops import GRACE
from .support.needs import needs
from .support.servers import NAME, black_hole, listen, peers, refusing
from .support.sockets import Making, slow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NAMES = StaticResolver({"name.test": "127.0.0.1", "wrong.test": "127.0.0.1"})


@pytest.fixture(scope="module")
def tls() -> TLS:
    return TLS()


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


@pytest.fixture(scope="module")
def others(
    tls: TLS, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[str, int]]]:
    """Give servers in another process."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    tls.certificate.private_key_and_cert_chain_pem.write_to_path(path)
    with peers(path) as addresses:
        yield addresses


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send everything back."""
    with contextlib.suppress(OSError):
        while data := await reader.read(100):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def serving(
    context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Any]:
    """Give the address of a server that echoes."""
    server = await asyncio.start_server(echo, host, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for _ in range(4):
            await asyncio.sleep(0)


async def talk(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Exchange a line over streams, and close them."""
    reader, writer = streams
    try:
        writer.write(b"a line\n")
        assert await reader.readline() == b"a line\n"
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()


class Recorder(asyncio.Protocol):
    """A protocol that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """Note it."""
        self.told.append(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.lost.set()


# Without TLS --------------------------------------------------------------------------------------


async def test_open_connection_gives_streams_that_work() -> None:
    """From the function, from a ``Dialer``, and to any target that ``connect`` takes."""
    dialer = Dialer(timeout=20, socket_factory=slow)
    async with serving() as (host, port):
        await talk(await aioconnect.open_connection(host, port))
        await talk(await dialer.open_connection(host, port))
        await talk(await aioconnect.open_connection(f"{host}:{port}"))
        await talk(await aioconnect.open_connection((host, port)))
        await talk(await dialer.open_connection([("::1", port), (host, port)]))
        await talk(await aioconnect.open_connection("name.test", port, resolver=NAMES))


async def test_create_connection_gives_a_transport_and_the_protocol_that_was_made() -> None:
    """The factory is called once, when there is a socket; the protocol knows its transport."""
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder())
        return made[-1]

    async with serving() as address:
        for create in (aioconnect.create_connection, Dialer().create_connection):
            transport, protocol = await create(factory, *address, socket_factory=slow)
            assert protocol is made.pop()
            assert not made
            assert protocol.told == [transport]
            assert transport.get_extra_info("peername") == address
            transport.close()
            await protocol.lost.wait()


async def test_a_Unix_socket_gives_streams_too() -> None:
    """There is no second function for it."""
    server = await asyncio.start_unix_server(echo, f"\0{NAME}")
    await talk(await aioconnect.open_connection(f"unix:@{NAME}"))
    server.close()
    await asyncio.sleep(0)


async def test_small_writes_are_not_held_back() -> None:
    """TCP_NODELAY is set on the socket, as asyncio sets it on sockets of its own."""
    async with serving() as address:
        for open_connection in (aioconnect.open_connection, asyncio.open_connection):
            _, writer = await open_connection(*address)
            sock = writer.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("exception", [ZeroDivisionError("a bug"), PermissionError(13, "no")])
async def test_a_protocol_factory_that_raises_closes_the_socket(
    others: dict[str, tuple[str, int]], tls: TLS, exception: Exception, secure: bool
) -> None:
    """What it raises comes out unchanged, also an ``OSError``: it says nothing of the peer."""

    def factory() -> asyncio.Protocol:
        raise exception

    made: list[socket.socket] = []

    def sockets(endpoint: Any) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    dialer = Dialer(socket_factory=sockets)
    call = dialer.create_connection(factory, *others["tls"], ssl=tls.client if secure else None)
    with pytest.raises(type(exception)) as raised:
        await call
    assert raised.value is exception
    for _ in range(GRACE if secure else 0):  # a transport has it
        await asyncio.sleep(0)
    assert [sock.fileno() for sock in made] == [-1]


async def test_a_failed_connect_is_the_error_of_connect() -> None:
    """With its attempts, and without a transport or a protocol."""

    def factory() -> asyncio.Protocol:
        raise AssertionError("there is no connection")

    with refusing() as address:
        for call in (
            aioconnect.open_connection(*address),
            aioconnect.create_connection(factory, *address),
            Dialer().open_connection(*address),
        ):
            with pytest.raises(aioconnect.ConnectionRefused) as raised:
                await call
            assert [attempt.address for attempt in raised.value.attempts] == [address]


# asyncio's keywords -------------------------------------------------------------------------------


async def test_every_keyword_of_asyncio_is_taken() -> None:
    """Whatever ``create_connection`` of this Python version takes by keyword, ours takes too."""
    theirs = set(inspect.signature(asyncio.BaseEventLoop.create_connection).parameters)
    theirs -= {"self", "protocol_factory", "host", "port"}
    ours = set(typed.ConnectionOptions.__annotations__)
    assert theirs <= ours, theirs - ours
    theirs = set(inspect.signature(asyncio.open_connection).parameters)
    theirs -= {"host", "port", "kwds"}
    assert theirs <= set(typed.StreamOptions.__annotations__), theirs


async def test_limit_bounds_what_the_reader_buffers() -> None:
    """A longer line than that is an error of the reader, as in asyncio."""
    async with serving() as address:
        for open_connection in (aioconnect.open_connection, asyncio.open_connection):
            reader, writer = await open_connection(*address, limit=10)
            writer.write(b"x" * 100 + b"\n")
            with pytest.raises(asyncio.LimitOverrunError):
                await reader.readuntil(b"\n")
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize("port", [80, "80", "http", "0080"])
async def test_a_port_is_a_number_or_digits_or_the_name_of_a_service(port: Any) -> None:
    """As asyncio takes them; no name of a service is looked up for ``connect``."""
    dialled: list[Any] = []

    def policy(endpoint: Any) -> None:
        dialled.append(endpoint[4])
        raise PermissionError("not really")

    with pytest.raises(PermissionError):
        await aioconnect.open_connection("127.0.0.1", port, address_policy=policy)
    assert dialled == [("127.0.0.1", 80)]


@pytest.mark.parametrize("port", ["", "8 0", "-1", "0", 0, 65536, "65616", "٨٠", "http\0", True])
async def test_what_is_no_port_is_refused_before_any_io(port: Any) -> None:
    """Nothing wraps around, and no digits but ASCII's are digits."""
    made: list[Any] = []
    with pytest.raises((ValueError, TypeError, socket.gaierror)):
        await aioconnect.open_connection("127.0.0.1", port, socket_factory=made.append)
    assert not made


async def test_a_service_that_nobody_knows_is_an_error_of_names() -> None:
    """A ``gaierror`` with EAI_SERVICE, as from asyncio."""
    for open_connection in (aioconnect.open_connection, asyncio.open_connection):
        with pytest.raises(socket.gaierror) as raised:
            await open_connection("127.0.0.1", "no-such-service")
        assert raised.value.errno == socket.EAI_SERVICE


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("::1", marks=needs("ipv6"))])
async def test_no_host_is_the_loopback_of_either_family(host: str) -> None:
    """``host=None`` finds a server on 127.0.0.1 and on ::1."""
    async with serving(host=host) as (_, port):
        _, writer = await aioconnect.open_connection(None, port)
        assert writer.get_extra_info("peername")[0] == host
        writer.close()
        await writer.wait_closed()


async def test_family_and_local_addr_are_ours_and_asyncios_alike() -> None:
    """The socket is of that family, and bound there."""
    local = ("127.0.0.8", 0)
    async with serving() as (_, port):
        _, writer = await aioconnect.open_connection(
            "localhost", port, family=socket.AF_INET, local_addr=local, flags=0, proto=6
        )
        assert writer.get_extra_info("sockname")[0] == "127.0.0.8"
        writer.close()
        await writer.wait_closed()
    with pytest.raises(ValueError, match="AF_INET6"):
        await aioconnect.open_connection("127.0.0.1", 9, family=socket.AF_INET6)


async def test_a_race_has_asyncios_words() -> None:
    """``happy_eyeballs_delay`` and ``interleave``, also on uvloop, whose own has neither."""
    async with serving() as (_, port):
        call = aioconnect.open_connection(
            "localhost", port, happy_eyeballs_delay=0.25, interleave=1, all_errors=True
        )
        await talk(await call)
        await talk(await aioconnect.open_connection("localhost", port, interleave=None))


async def test_all_errors_gives_a_group_also_for_one() -> None:
    """The error is always a ``ConnectError``; with ``all_errors`` its cause is always a group."""
    with refusing() as address:
        with pytest.raises(ConnectionRefusedError) as raised:
            await aioconnect.open_connection(*address)
        assert raised.value.__cause__ is None
        with pytest.raises(ConnectionRefusedError) as raised:
            await aioconnect.open_connection(*address, all_errors=True)
        group = raised.value.__cause__
        assert isinstance(group, ExceptionGroup)
        assert [type(exc) for exc in group.exceptions] == [aioconnect.ConnectionRefused]
        with pytest.raises(ConnectionRefusedError) as raised:
            await aioconnect.open_connection([address, address])
        assert isinstance(raised.value.__cause__, ExceptionGroup)


async def test_a_socket_that_is_connected_already_is_taken_over() -> None:
    """``sock=`` replaces host and port; blocking or not."""
    async with serving() as address:
        sock = await aioconnect.connect(*address)
        await talk(await aioconnect.open_connection(sock=sock))
        assert sock.fileno() == -1
        blocking = socket.create_connection(address)
        await talk(await aioconnect.open_connection(sock=blocking))


async def test_what_cannot_be_meant_is_refused_before_any_io(tls: TLS) -> None:
    """As asyncio refuses it, and what asyncio has no word for as well."""
    made: list[Any] = []
    open_connection = Dialer(socket_factory=made.append).open_connection
    unix = "unix:@nobody"
    calls: list[tuple[type[Exception], dict[str, Any]]] = [
        (ValueError, {}),
        (ValueError, {"host": "127.0.0.1"}),
        (ValueError, {"host": "127.0.0.1", "port": 9, "server_hostname": "name.test"}),
        (ValueError, {"host": "127.0.0.1", "port": 9, "ssl_handshake_timeout": 1}),
        (ValueError, {"host": "127.0.0.1", "port": 9, "ssl_shutdown_timeout": 1}),
        (ValueError, {"host": unix, "ssl": tls.client}),
        (ValueError, {"host": unix, "port": 9}),
        (ValueError, {"host": "127.0.0.1", "port": 9, "type": socket.SOCK_DGRAM}),
        (ValueError, {"host": "127.0.0.1", "port": 9, "proto": socket.IPPROTO_UDP}),
        (ValueError, {"host": "127.1", "port": 9}),
        (TypeError, {"host": "127.0.0.1", "port": 9, "no_such_option": 1}),
        (TypeError, {"host": 127, "port": 9}),
        (TypeError, {"host": "127.0.0.1", "port": 9.0}),
    ]
    for kind, keywords in calls:
        with pytest.raises(kind):
            await open_connection(**keywords)
    limit: Any = {"limit": 10}  # of open_connection alone
    with pytest.raises(TypeError, match="limit"):
        await aioconnect.create_connection(Recorder, "127.0.0.1", 9, **limit)
    with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        for keywords in (
            {"sock": sock, "host": "127.0.0.1", "port": 9},
            {"sock": datagrams},
            {"sock": sock, "ssl": tls.client},
        ):
            with pytest.raises(ValueError, match=r"host and port|stream|server_hostname"):
                await open_connection(**keywords)
        assert sock.fileno() != -1  # it was not taken over
    assert not made


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_a_program_changes_one_import(tls: TLS, secure: bool) -> None:
    """The same arguments do the same here and there."""
    context = tls.client if secure else None
    named: dict[str, Any] = {"server_hostname": "name.test"} if secure else {}
    async with serving(tls.server if secure else None) as (host, port):
        calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((host, port), {"ssl": context}),
            ((host, str(port)), {"ssl": context}),
            (("localhost", port), {"ssl": context}),
            ((host, port), {"ssl": context, "limit": 1000, **named}),
            ((host, port), {"ssl": context, "family": socket.AF_INET, "local_addr": (host, 0)}),
            ((), {"host": host, "port": port, "ssl": context}),
        ]
        for args, keywords in calls:
            outcomes = []
            for open_connection in (asyncio.open_connection, aioconnect.open_connection):
                reader, writer = await open_connection(*args, **keywords)
                cipher = writer.get_extra_info("cipher")
                outcomes.append(
                    (
                        type(reader),
                        type(writer),
                        type(writer.transport),
                        writer.get_extra_info("peername"),
                        writer.get_extra_info("sockname")[0],
                        cipher and cipher[1],
                    )
                )
                await talk((reader, writer))
            assert outcomes[0] == outcomes[1], (args, keywords)


async def test_what_asyncio_refuses_is_refused_alike() -> None:
    """With an exception that the same ``except`` clause catches."""
    with refusing() as address, socket.socket() as sock:
        calls: list[tuple[type[Exception], tuple[Any, ...], dict[str, Any]]] = [
            (ConnectionRefusedError, address, {}),
            (ValueError, (), {}),
            (ValueError, address, {"sock": sock}),
            (ValueError, address, {"server_hostname": "name.test"}),
            (ValueError, address, {"ssl_handshake_timeout": 1.0}),
            (socket.gaierror, ("no-such-name.invalid", 9), {"family": socket.AF_INET}),
            (TypeError, address, {"no_such_option": 1}),
        ]
        for kind, args, keywords in calls:
            for open_connection in (asyncio.open_connection, aioconnect.open_connection):
                with pytest.raises(kind):
                    await open_connection(*args, **keywords)


# TLS ----------------------------------------------------------------------------------------------


async def test_TLS_verifies_the_name_that_was_dialled(tls: TLS) -> None:
    """By default the host; an address if that was dialled; another name if one is given."""
    async with serving(tls.server) as (host, port):
        for call in (
            aioconnect.open_connection("name.test", port, ssl=tls.client, resolver=NAMES),
            aioconnect.open_connection("name.test.", port, ssl=tls.client, resolver=NAMES),
            aioconnect.open_connection("localhost", port, ssl=tls.client),
            aioconnect.open_connection(host, port, ssl=tls.client),
            aioconnect.open_connection(f"{host}:{port}", ssl=tls.client),
            aioconnect.open_connection(
                "wrong.test", port, ssl=tls.client, server_hostname="name.test", resolver=NAMES
            ),
            aioconnect.open_connection(
                sock=socket.create_connection((host, port)),
                ssl=tls.client,
                server_hostname="name.test",
            ),
        ):
            await talk(await call)


async def test_TLS_of_several_targets_verifies_the_one_that_won(tls: TLS) -> None:
    """Each target has its own name."""
    with refusing() as nobody:
        async with serving(tls.server) as (_, port):
            targets = [("wrong.test", nobody[1]), ("name.test", port)]
            call = aioconnect.open_connection(targets, ssl=tls.client, resolver=NAMES)
            await talk(await call)
            targets = [("name.test", nobody[1]), ("wrong.test", port)]
            with pytest.raises(aioconnect.CertificateError):
                await aioconnect.open_connection(targets, ssl=tls.client, resolver=NAMES)


async def test_a_certificate_for_another_name_is_not_accepted(tls: TLS) -> None:
    """The error is an ``SSLCertVerificationError`` too, and says what was wrong; stage is tls."""
    async with serving(tls.server) as (_, port):
        with pytest.raises(ssl.SSLCertVerificationError) as raised:
            await aioconnect.open_connection("wrong.test", port, ssl=tls.client, resolver=NAMES)
    error: Any = raised.value
    assert isinstance(error, aioconnect.CertificateError)
    assert error.stage == "tls"
    assert error.verify_code != 0
    assert "wrong.test" in error.verify_message
    assert error.code == "tls_certificate"
    assert "wrong.test" in str(error)
    (attempt,) = error.attempts
    assert attempt.stage == "tls"
    assert attempt.address == ("127.0.0.1", port)
    assert attempt.started <= attempt.ended


async def test_ssl_true_is_the_default_context(tls: TLS) -> None:
    """Which trusts what the system trusts, and not our authority."""
    async with serving(tls.server) as address:
        with pytest.raises(aioconnect.CertificateError):
            await aioconnect.open_connection(*address, ssl=True)


async def test_a_server_that_speaks_no_TLS_is_a_TLS_error(
    others: dict[str, tuple[str, int]], tls: TLS
) -> None:
    """An ``ssl.SSLError`` with stage tls, whose number is not taken for an errno."""
    with pytest.raises(ssl.SSLError) as raised:
        await aioconnect.open_connection(*others["plain"], ssl=tls.client)
    error: Any = raised.value
    assert isinstance(error, aioconnect.TLSError)
    assert not isinstance(error, PermissionError)
    assert error.stage == "tls"
    assert error.code == "tls_handshake"


class Listener(asyncio.Protocol):
    """A protocol that notes what it is told, in the order of the telling."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.data = b""
        self.ended = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        """Note it."""
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        """Note it."""
        self.told.append("data")
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.told.append("lost")
        self.ended.set()


class Buffered(Listener, asyncio.BufferedProtocol):
    """The same with a buffer of its own."""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Give the buffer."""
        self.buffer = bytearray(100)
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Note it."""
        self.data_received(bytes(self.buffer[:nbytes]))


@pytest.mark.parametrize("kind", [Listener, Buffered])
async def test_a_server_that_speaks_first_is_heard(tls: TLS, kind: type[Listener]) -> None:
    """What comes with the last message of the handshake is not lost, and comes in its order."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls.server)
    address = server.sockets[0].getsockname()
    for _ in range(10):
        _, protocol = await aioconnect.create_connection(kind, *address, ssl=tls.client)
        await asyncio.wait_for(protocol.ended.wait(), 20)
        assert protocol.data == b"220 ready\r\n"
        assert protocol.told[0] == "made"
        assert protocol.told[-1] == "lost"
        assert protocol.told.count("made") == 1
        reader, writer = await aioconnect.open_connection(*address, ssl=tls.client)
        assert await asyncio.wait_for(reader.read(), 20) == b"220 ready\r\n"
        writer.close()
    server.close()
    for _ in range(GRACE):
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", [".name.test", "x" * 300])
async def test_a_server_name_that_cannot_be_leaves_nothing(
    others: dict[str, tuple[str, int]], tls: TLS, name: str
) -> None:
    """Whatever the ``ssl`` module says of it, at whatever time."""
    making = Making()
    dialer = Dialer(socket_factory=making, timeout=20)
    with without_collector(), no_warnings():
        await warmed_up(others["plain"])
        before = descriptors()
        with pytest.raises((ValueError, ConnectError)):
            await dialer.open_connection(*others["tls"], ssl=tls.client, server_hostname=name)
        for _ in range(GRACE):
            await asyncio.sleep(0)
        making.forget()
        assert descriptors() == before


async def test_an_error_of_TLS_is_freed_when_it_is_dropped(
    others: dict[str, tuple[str, int]], tls: TLS
) -> None:
    """No frame of its traceback refers to it; the collector is not needed."""
    with without_collector():
        for context in (tls.client, ssl.create_default_context()):
            try:
                await aioconnect.open_connection(*others["plain"], ssl=context)
            except ConnectError as exc:
                error = weakref.ref(exc)
            assert error() is None


async def test_a_server_that_stalls_costs_no_more_than_the_time_limit(tls: TLS) -> None:
    """``timeout`` covers the handshake; the socket is closed within three turns of the loop."""
    with listen() as server, without_collector(), no_warnings():
        address = server.getsockname()
        await warmed_up(address)
        before = descriptors()
        for timeout in (0.0, 0.0513, 0.1):
            started = time.monotonic()
            with pytest.raises(aioconnect.DeadlineExceeded) as raised:
                await aioconnect.open_connection(*address, ssl=tls.client, timeout=timeout)
            assert timeout <= time.monotonic() - started < timeout + 2
            assert raised.value.stage == "tls"
            assert raised.value.errno is None
            for _ in range(GRACE):
                await asyncio.sleep(0)
            assert descriptors() == before


async def warmed_up(address: tuple[str, int]) -> None:
    """Let the loop make what it makes for its first transport."""
    transport, _ = await aioconnect.create_connection(asyncio.Protocol, *address)
    transport.abort()
    for _ in range(GRACE):
        await asyncio.sleep(0)


async def test_ssl_handshake_timeout_ends_a_handshake_too(tls: TLS) -> None:
    """It is asyncio's own limit, of the handshake alone."""
    with listen() as server:
        address = server.getsockname()
        started = time.monotonic()
        call = aioconnect.open_connection(*address, ssl=tls.client, ssl_handshake_timeout=0.05)
        with pytest.raises(ConnectError) as raised:
            await call
        assert 0.04 <= time.monotonic() - started < 5
        assert raised.value.stage == "tls"


async def test_a_reset_in_the_handshake_is_an_error_of_TLS(
    others: dict[str, tuple[str, int]], tls: TLS
) -> None:
    """It is a ``ConnectError`` at stage tls, and nothing is left."""
    with without_collector(), no_warnings():
        await warmed_up(others["plain"])
        before = descriptors()
        with pytest.raises(ConnectError) as raised:
            await aioconnect.open_connection(*others["reset"], ssl=tls.client)
        assert raised.value.stage == "tls"
        assert isinstance(raised.value, ConnectionResetError | ssl.SSLError)
        for _ in range(GRACE):
            await asyncio.sleep(0)
        assert descriptors() == before


async def test_a_reset_before_the_handshake_is_an_error_of_TLS_too(tls: TLS) -> None:
    """Between the connect and the handshake the peer may be gone, and its name with it."""

    def reset(event: events.Event) -> None:
        if isinstance(event, events.HandshakeStarted):
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()

    with listen() as server:
        address = server.getsockname()
        with pytest.raises(ConnectError) as raised:
            await aioconnect.open_connection(*address, ssl=tls.client, on_event=reset)
        assert isinstance(raised.value, ConnectionResetError)
        assert raised.value.stage == "tls"
        assert raised.value.attempts[0].address == address


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["reset before", "reset", "plain", "not trusted", "stalled"])
async def test_a_handshake_that_fails_closes_no_descriptor_twice(
    others: dict[str, tuple[str, int]], tls: TLS, trouble: str
) -> None:
    """Each socket knows that it is closed: its number may be somebody else's by now."""
    making = Making()

    def reset(event: events.Event) -> None:
        if isinstance(event, events.HandshakeStarted) and trouble == "reset before":
            peer, _ = server.accept()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()

    context = ssl.create_default_context() if trouble == "not trusted" else tls.client
    with listen() as server:
        address = {
            "reset": others["reset"],
            "plain": others["plain"],
            "not trusted": others["tls"],
        }.get(trouble, server.getsockname())
        dialer = Dialer(socket_factory=making, on_event=reset, timeout=0.2)
        with pytest.raises(ConnectError) as raised:
            await dialer.open_connection(*address, ssl=context)
        assert raised.value.stage == "tls"
        for _ in range(GRACE):
            await asyncio.sleep(0)
        numbers = [os.open(os.devnull, os.O_RDONLY) for _ in range(10)]  # given out again
        try:
            making.forget()
            gc.collect()
            for number in numbers:
                os.fstat(number)
        finally:
            for number in numbers:
                with contextlib.suppress(OSError):
                    os.close(number)


async def test_a_socket_without_a_peer_is_no_socket_for_TLS(tls: TLS) -> None:
    """``sock=`` that is not connected is told so, as a ``ConnectError``."""
    sock = socket.socket()
    with pytest.raises(ConnectError) as raised:
        await aioconnect.open_connection(sock=sock, ssl=tls.client, server_hostname="name.test")
    assert raised.value.errno == errno.ENOTCONN
    assert sock.fileno() == -1


@pytest.mark.slow
async def test_names_attempts_and_the_handshake_share_one_time_limit(
    tls: TLS, dead: tuple[str, int]
) -> None:
    """The handshake has what the dead address before it has left."""
    seen: list[events.Event] = []
    with listen() as server:
        targets = [dead, server.getsockname()]
        dialer = Dialer(
            timeout=1.3,
            attempt_timeout=1.2,
            happy_eyeballs_delay=None,
            on_event=seen.append,
        )
        started = time.monotonic()
        with pytest.raises(aioconnect.DeadlineExceeded) as raised:
            await dialer.open_connection(targets, ssl=tls.client, server_hostname="name.test")
        assert 1.3 <= time.monotonic() - started < 2.4
    first, second = raised.value.attempts
    assert (first.stage, second.stage) == ("connect", "tls")
    (began,) = [event for event in seen if type(event) is events.HandshakeStarted]
    assert began.stage == "tls"
    assert began.at - first.started >= 1.2
    assert raised.value.elapsed >= 1.3
