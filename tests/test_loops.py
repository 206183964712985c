"""A loop that dials through a dialer: what its clients, which know nothing of it, get."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
import uvloop

import aioconnect
from aioconnect import Dialer, events
from aioconnect.resolve import StaticResolver

from .support.servers import NAME, black_hole, listen, refusing

if TYPE_CHECKING:
    from collections.abc import Callable

BASES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.Loop,
}
WAYS = [f"{base} by {way}" for base in BASES for way in ("factory", "install")]


def run(way: str, main: Callable[[], Any], dialer: Any = None) -> Any:
    """Run a coroutine function on such a loop."""
    base, _, how = way.partition(" by ")
    if how == "factory":
        made = aioconnect.loop_factory(dialer, base=BASES[base])
        with asyncio.Runner(loop_factory=made) as runner:
            return runner.run(main())

    async def installed() -> Any:
        undo = aioconnect.install(dialer)
        try:
            return await main()
        finally:
            undo()

    with asyncio.Runner(loop_factory=BASES[base]) as runner:
        return runner.run(installed())


async def close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


# Through us -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_client_dials_through_the_dialer(way: str) -> None:
    """A dead first address costs no more than the delay of the race."""
    seen: list[events.Event] = []
    with black_hole("127.0.0.1") as hole, listen(("127.0.0.2", hole[1])) as server:
        names = StaticResolver({"db.test": ["127.0.0.1", "127.0.0.2"]})
        dialer = Dialer(resolver=names, on_event=seen.append)

        async def main() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            _, writer = await asyncio.open_connection("db.test", server.getsockname()[1])
            assert writer.get_extra_info("peername")[0] == "127.0.0.2"
            assert loop.time() - began < 5
            await close(writer)

        run(way, main, dialer)
    assert any(isinstance(event, events.Connected) for event in seen)


@pytest.mark.parametrize("way", WAYS)
def test_the_error_says_what_happened(way: str) -> None:
    """In the words that clients print, too."""
    with refusing() as nobody:

        async def main() -> None:
            with pytest.raises(ConnectionRefusedError) as raised:
                await asyncio.open_connection(*nobody)
            assert raised.value.strerror == f"refused by 127.0.0.1:{nobody[1]}"

        run(way, main)


@pytest.mark.parametrize("way", WAYS)
def test_tls_is_part_of_it(way: str) -> None:
    """The default name is the host."""
    authority = trustme.CA()
    server, client = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(),
    )
    authority.issue_cert("db.test").configure_cert(server)
    authority.configure_trust(client)
    dialer = Dialer(resolver=StaticResolver({"db.test": "127.0.0.1", "other.test": "127.0.0.1"}))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()

    async def main() -> None:
        served = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
        port = served.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("db.test", port, ssl=client)
        assert await reader.readline() == b"hello\n"
        await close(writer)
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("other.test", port, ssl=client)
        with pytest.raises(ValueError, match="server_hostname"):
            await asyncio.open_connection("db.test", port, ssl=client, server_hostname="")
        served.close()
        for _ in range(5):
            await asyncio.sleep(0)

    run(way, main, dialer)


@pytest.mark.parametrize("way", WAYS)
def test_a_policy_guards_clients_that_never_heard_of_it(way: str) -> None:
    """By each method; a server counts what it accepted."""
    dialer = Dialer(address_policy=aioconnect.AddressPolicy.public())
    with listen() as server, listen(("127.0.0.1", 0), type=socket.SOCK_DGRAM) as datagrams:
        address = server.getsockname()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            with pytest.raises(PermissionError):
                await asyncio.open_connection(*address)
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(PermissionError):
                    await loop.sock_connect(sock, address)
                with pytest.raises(PermissionError):
                    await loop.sock_connect(sock, ("localhost", address[1]))
            with pytest.raises(PermissionError):
                await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=datagrams.getsockname()
                )
            with pytest.raises(PermissionError):
                await asyncio.open_unix_connection(f"\0{NAME}")
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()
            sock = socket.create_connection(address)
            with pytest.raises(PermissionError):
                await asyncio.open_connection(sock=sock)
            assert sock.fileno() == -1

        run(way, main, dialer)


# The contract -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_what_a_client_may_ask_for_is_taken(way: str) -> None:
    """As the loop's own method takes it: names and services, bytes, None."""
    with listen() as server:
        _, port = server.getsockname()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for host, number, more in (
                ("127.0.0.1", str(port), {}),
                (b"127.0.0.1", port, {}),
                ("localhost", port, {"family": socket.AF_INET}),
                (None, port, {}),
                ("127.0.0.1", port, {"local_addr": ("localhost", 0)}),
                ("127.0.0.1", port, {"happy_eyeballs_delay": 0.1, "interleave": 1}),
                ("127.0.0.1", port, {"happy_eyeballs_delay": None, "interleave": None}),
                ("127.0.0.1", port, {"flags": socket.AI_ADDRCONFIG, "proto": socket.IPPROTO_TCP}),
                ("127.0.0.1", port, {"ssl": None, "server_hostname": None, "all_errors": False}),
            ):
                asked: Any = more
                transport, protocol = await loop.create_connection(
                    asyncio.Protocol, host, number, **asked
                )
                assert transport.get_protocol() is protocol
                transport.abort()
                await asyncio.sleep(0.01)

        run(way, main)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["", "a b", "[::1]", "127.1", "x" * 300])
def test_a_host_that_means_nothing_is_a_gaierror(host: str, way: str) -> None:
    """``EAI_NONAME``, and an ``InvalidTarget``: never a fall-back to libc."""

    async def main() -> None:
        with pytest.raises(socket.gaierror) as raised:
            await asyncio.open_connection(host, 80)
        assert isinstance(raised.value, aioconnect.InvalidTarget)
        assert raised.value.errno == socket.EAI_NONAME
        assert raised.value.args[0] == socket.EAI_NONAME

    run(way, main)


@pytest.mark.parametrize("way", WAYS)
def test_no_port_is_an_OSError(way: str) -> None:
    """Nothing is dialled."""

    async def main() -> None:
        for port in (0, None):
            with pytest.raises(OSError, match="port 0"):
                await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ValueError, match="no sock"):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol)

    run(way, main)


@pytest.mark.parametrize("way", WAYS)
def test_all_errors_is_a_group(way: str) -> None:
    """Asyncio's contract, on every Python."""
    with refusing() as nobody:

        async def main() -> None:
            loop: Any = asyncio.get_running_loop()
            with pytest.raises(ExceptionGroup) as raised:
                await loop.create_connection(asyncio.Protocol, *nobody, all_errors=True)
            (error,) = raised.value.exceptions
            assert isinstance(error, ConnectionRefusedError)
            assert error.errno == errno.ECONNREFUSED

        run(way, main)


@pytest.mark.parametrize("way", WAYS)
def test_a_Unix_socket_and_a_socket_of_ones_own(way: str) -> None:
    """A path of either kind; a connected socket is taken as it is."""
    with listen(f"\0{NAME}") as server, listen() as tcp:

        async def main() -> None:
            _, writer = await asyncio.open_unix_connection(f"\0{NAME}")
            await close(writer)
            sock = socket.create_connection(tcp.getsockname())
            _, writer = await asyncio.open_connection(sock=sock)
            await close(writer)
            with socket.socket() as own:
                own.setblocking(False)
                await asyncio.get_running_loop().sock_connect(
                    own, ("localhost", tcp.getsockname()[1])
                )
                assert own.getpeername() == tcp.getsockname()

        run(way, main)
        server.accept()[0].close()


@pytest.mark.parametrize("way", WAYS)
def test_names_are_the_resolvers(way: str) -> None:
    """``getaddrinfo`` asks it for names, and libc for the rest."""
    dialer = Dialer(resolver=StaticResolver({"db.test": ["127.0.0.9", "::9"]}))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("db.test", 80, type=socket.SOCK_STREAM)
        assert {info[4][:2] for info in found} == {("127.0.0.9", 80), ("::9", 80)}
        found = await loop.getaddrinfo("db.test", "80", family=socket.AF_INET)
        assert [(info[1], info[4]) for info in found] == [
            (socket.SOCK_STREAM, ("127.0.0.9", 80)),
            (socket.SOCK_DGRAM, ("127.0.0.9", 80)),
        ]
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("other.test", 80)
        assert await loop.getaddrinfo("127.0.0.1", 80, flags=socket.AI_NUMERICHOST)
        assert await loop.getaddrinfo(None, 80, flags=socket.AI_PASSIVE)

    run(way, main, dialer)


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_of_ones_own_has_its_events(way: str) -> None:
    """aiohttp, say, dials by ``sock_connect``: connected, refused, cancelled, denied."""
    seen: list[Any] = []

    def denies(endpoint: Any) -> Any:
        return None if endpoint[4][0] == "127.0.0.1" else "no"

    dialer = Dialer(on_event=seen.append, address_policy=denies)

    async def dial(address: Any) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, address)

    async def main() -> None:
        with listen() as server, refusing() as nobody, black_hole() as hole:
            await dial(server.getsockname())
            with pytest.raises(ConnectionRefusedError):
                await dial(nobody)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(dial(hole), 0.1)
            with pytest.raises(PermissionError):
                await dial(("127.0.0.2", 9))
            assert [
                event.address for event in seen if isinstance(event, events.AttemptStarted)
            ] == [
                *(server.getsockname(), nobody, hole),
                ("127.0.0.2", 9),
            ]

    run(way, main, dialer)
    ended = [event for event in seen if not isinstance(event, events.AttemptStarted)]
    assert [type(event).__name__ for event in ended] == [
        *("Connected", "AttemptFailed", "GaveUp", "AttemptCancelled", "AttemptFailed", "GaveUp")
    ]
    connected, refused, _, _, denied, _ = ended
    assert connected.local[0] == "127.0.0.1"
    assert list(connected.stages) == ["connect"]
    assert refused.error.code == "connection_refused"
    assert isinstance(denied.error, aioconnect.PolicyDenied)
    assert (refused.number, refused.round) == (1, 1)


@pytest.mark.parametrize("way", WAYS)
def test_a_function_may_leave_hosts_to_the_loop(way: str) -> None:
    """None is the loop's own way."""
    seen: list[events.Event] = []
    ours = Dialer(on_event=seen.append)

    def choose(host: Any, port: Any) -> Dialer | None:
        return ours if host == "127.0.0.2" else None

    with listen() as one, listen(("127.0.0.2", 0)) as two:

        async def main() -> None:
            for server in (one, two):
                _, writer = await asyncio.open_connection(*server.getsockname())
                await close(writer)

        run(way, main, choose)
    assert [type(event).__name__ for event in seen] == ["AttemptStarted", "Connected"]


# Undone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BASES)
def test_installs_are_undone_last_in_first_out(base: str) -> None:
    """Each once; then the loop is as it was."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        own = loop.create_connection
        first = aioconnect.install(Dialer())
        second = aioconnect.install()
        with pytest.raises(RuntimeError, match="last in, first out"):
            first()
        second()
        with pytest.raises(RuntimeError):
            second()
        first()
        assert loop.create_connection == own

    with asyncio.Runner(loop_factory=BASES[base]) as runner:
        runner.run(main())


def test_what_is_no_dialer_is_refused() -> None:
    """Before there is a loop."""
    wrong: Any = "dialer"
    with pytest.raises(TypeError, match="a Dialer"):
        aioconnect.loop_factory(wrong)
