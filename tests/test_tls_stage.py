"""TLS belongs to the attempt: what goes wrong in a handshake is a failed attempt, and no more.

Each fault is that of one address; beside it stands another address with a healthy server, or the
same address is healthy at the next round.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme

import aioconnect
from aioconnect import Dialer, events, retry
from aioconnect.resolve import StaticResolver

from .support.account import no_warnings
from .support.loops import GRACE
from .support.servers import listen
from .support.sweep import sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Writer = asyncio.StreamWriter
    Serve = Callable[[asyncio.StreamReader, Writer], Any]

AUTHORITY = trustme.CA()
CLIENT = ssl.create_default_context()
AUTHORITY.configure_trust(CLIENT)

NAMES = StaticResolver({"good.test": "127.0.0.1", "bad.test": "127.0.0.1"})

QUICK = retry.attempts(4) & retry.constant(0.01)

STALL = 0.15
"""Seconds of an attempt that stalls."""


def context_for(*names: str) -> ssl.SSLContext:
    """Return a server's context, with a certificate for these names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


GOOD = context_for("good.test", "127.0.0.1")
WRONG = context_for("other.test")


# Servers ------------------------------------------------------------------------------------------


async def greet(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Speak first, then send everything back."""
    with contextlib.suppress(OSError):
        writer.write(b"220 ready\n")
        while data := await reader.read(100):
            writer.write(data)
    writer.close()


async def stall(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Take everything, and say nothing."""
    with contextlib.suppress(OSError):
        while await reader.read(1000):
            pass
    writer.close()


async def answer_in_http(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Speak another protocol."""
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: Writer) -> None:
    """End it without a word."""
    await reader.read(1)
    writer.close()


async def reset(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Reset it in the handshake."""
    await reader.read(1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def drip(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Begin a record, and send a byte of it now and then."""
    with contextlib.suppress(OSError):
        writer.write(b"\x16\x03\x03\x40\x00")
        while not writer.is_closing():
            writer.write(b"\0")
            await writer.drain()
            await asyncio.sleep(0.01)


FAULTS: dict[str, tuple[Any, ssl.SSLContext | None, type[Exception], str]] = {
    "stalls": (stall, None, TimeoutError, "timed_out"),
    "drips": (drip, None, TimeoutError, "timed_out"),
    "speaks HTTP": (answer_in_http, None, aioconnect.TLSError, "tls_handshake"),
    "hangs up": (hang_up, None, aioconnect.ConnectError, ""),
    "resets": (reset, None, ConnectionResetError, "connection_reset"),
    "has a certificate for another name": (
        greet,
        WRONG,
        aioconnect.CertificateError,
        "tls_certificate",
    ),
}
"""What goes wrong: the server, its context, the class of the error, its code."""


@asynccontextmanager
async def serving(
    serve: Serve, context: ssl.SSLContext | None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Any]:
    """Give the address of a server; what it still does at the end is ended."""
    writers: list[Writer] = []

    async def client(reader: asyncio.StreamReader, writer: Writer) -> None:
        writers.append(writer)
        await serve(reader, writer)

    server = await asyncio.start_server(client, host, port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for _ in range(GRACE):
            await asyncio.sleep(0)


async def first_words(target: Any, **options: Any) -> bytes:
    """Connect, read what the server says first, and close."""
    chosen: dict[str, Any] = {"ssl": CLIENT, "timeout": 20, **options}
    reader, writer = await aioconnect.open_connection(target, **chosen)
    try:
        return await reader.readline()
    finally:
        writer.transport.abort()
        for _ in range(GRACE):
            await asyncio.sleep(0)


# Each fault ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
async def test_another_address_is_dialled_instead(fault: str) -> None:
    """At once, or when the time of the attempt is up; its server's first words arrive."""
    serve, context, _, _ = FAULTS[fault]
    seen: list[events.Event] = []
    with no_warnings():
        async with serving(serve, context) as bad, serving(greet, GOOD) as good:
            said = await first_words(
                [bad, good], attempt_timeout=STALL, happy_eyeballs_delay=None, on_event=seen.append
            )
    assert said == b"220 ready\n"
    (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert failed.stage == "tls"
    (connected,) = [event for event in seen if isinstance(event, events.Connected)]
    assert list(connected.stages) == ["connect", "tls"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_alone_it_is_the_error_of_the_call(fault: str) -> None:
    """With the stage, and what was said."""
    serve, context, kind, code = FAULTS[fault]
    async with serving(serve, context) as bad:
        with pytest.raises(kind) as raised:
            await first_words(bad, attempt_timeout=STALL)
    error = raised.value
    assert isinstance(error, aioconnect.ConnectError)
    assert error.stage == "tls"
    assert not code or error.code == code
    if code == "timed_out":
        assert "does it speak TLS on that port?" in str(error)
        assert error.errno is None


@pytest.mark.parametrize("fault", ["stalls", "drips", "hangs up", "resets"])
async def test_the_policy_counts_the_round(fault: str) -> None:
    """Once the server behaves, the next round connects."""
    serve, _, _, _ = FAULTS[fault]
    seen: list[events.Event] = []
    async with contextlib.AsyncExitStack() as stack:
        bad = await stack.enter_async_context(serving(serve, None))
        first = asyncio.Event()

        def watch(event: events.Event) -> None:
            seen.append(event)
            if isinstance(event, events.RetryScheduled):
                first.set()

        task = asyncio.create_task(
            first_words(bad, attempt_timeout=STALL, retry=QUICK, on_event=watch)
        )
        await first.wait()
        await stack.aclose()
        async with serving(greet, GOOD, *bad):
            assert await task == b"220 ready\n"
    assert any(isinstance(event, events.RetryScheduled) for event in seen)


async def test_a_certificate_that_nobody_has_right_is_not_tried_again() -> None:
    """At any of its addresses: nothing but a change by a person helps."""
    seen: list[events.Event] = []
    async with serving(greet, WRONG) as one, serving(greet, WRONG) as two:
        with pytest.raises(aioconnect.CertificateError) as raised:
            await first_words([one, two], retry=QUICK, on_event=seen.append)
    assert len(raised.value.attempts) == 2
    assert not [event for event in seen if isinstance(event, events.RetryScheduled)]


@pytest.mark.sweep
@pytest.mark.parametrize("after", sample(range(1, 700, 5), 4))
async def test_a_reset_after_any_byte_is_a_failed_attempt(after: int) -> None:
    """Of what the server sends in its handshake."""
    loop = asyncio.get_running_loop()

    async def relay(reader: asyncio.StreamReader, writer: Writer) -> None:
        there, back = await asyncio.open_connection(*good)
        passed = 0
        forth = loop.create_task(pump(reader, back))
        while passed < after and (data := await there.read(min(after - passed, 512))):
            passed += len(data)
            writer.write(data)
        back.transport.abort()
        forth.cancel()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async with serving(greet, GOOD) as good, serving(relay, None) as bad:
        with no_warnings():
            said = await first_words(
                [bad, good],
                happy_eyeballs_delay=None,
                attempt_timeout=5,
                server_hostname="good.test",
            )
    assert said == b"220 ready\n"


async def pump(reader: asyncio.StreamReader, writer: Writer) -> None:
    """Pass everything on."""
    with contextlib.suppress(OSError):
        while data := await reader.read(1000):
            writer.write(data)


# The winner ---------------------------------------------------------------------------------------


async def test_each_target_is_verified_by_its_own_name() -> None:
    """Whoever of them wins."""
    async with serving(greet, WRONG) as bad, serving(greet, GOOD) as good:
        targets = [("bad.test", bad[1]), ("good.test", good[1])]
        assert await first_words(targets, resolver=NAMES) == b"220 ready\n"
        targets = [("good.test", bad[1]), ("bad.test", good[1])]
        with pytest.raises(aioconnect.CertificateError):
            await first_words(targets, resolver=NAMES)


async def test_one_protocol_is_made_for_the_winner() -> None:
    """After its handshake; no other one sees a connection."""
    made: list[asyncio.Protocol] = []

    class Recorder(asyncio.Protocol):
        def __init__(self) -> None:
            made.append(self)
            self.told: list[str] = []
            self.said = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.told.append("made")

        def data_received(self, data: bytes) -> None:
            self.told.append("data")
            self.said.set_result(data)

        def connection_lost(self, exc: Exception | None) -> None:
            self.told.append("lost")

    async with serving(stall, None) as bad, serving(greet, GOOD) as good:
        dialer = Dialer(happy_eyeballs_delay=0.01)
        transport, protocol = await dialer.create_connection(Recorder, [bad, good], ssl=CLIENT)
        assert made == [protocol]
        assert transport.get_protocol() is protocol
        assert await asyncio.wait_for(protocol.said, 20) == b"220 ready\n"
        transport.abort()
        for _ in range(GRACE):
            await asyncio.sleep(0)
    assert protocol.told == ["made", "data", "lost"]


async def test_a_protocol_that_takes_buffers_has_them_filled() -> None:
    """``BufferedProtocol``, which the gate before it is not."""

    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(100)
            self.said = asyncio.get_running_loop().create_future()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            if not self.said.done():
                self.said.set_result(bytes(self.buffer[:nbytes]))

    async with serving(greet, GOOD) as good:
        transport, protocol = await aioconnect.create_connection(Buffered, *good, ssl=CLIENT)
        assert await asyncio.wait_for(protocol.said, 20) == b"220 ready\n"
        transport.abort()
        for _ in range(GRACE):
            await asyncio.sleep(0)


async def test_a_server_that_hangs_up_after_the_handshake_is_heard_by_the_protocol() -> None:
    """Also if that came before it was there."""

    async def farewell(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"421 go away\n")
        writer.close()

    async with serving(farewell, GOOD) as good:
        reader, writer = await aioconnect.open_connection(*good, ssl=CLIENT)
        assert await asyncio.wait_for(reader.read(), 20) == b"421 go away\n"
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_healthy_server_sees_one_handshake() -> None:
    """Half a race's delay away it would see two, if the delay did not begin anew."""
    delay, seen = 0.1, []

    async def slow(reader: asyncio.StreamReader, writer: Writer) -> None:
        seen.append(writer)
        there, back = await asyncio.open_connection(*good)
        await asyncio.gather(late(reader, back), late(there, writer))

    async def late(reader: asyncio.StreamReader, writer: Writer) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(10_000):
                await asyncio.sleep(delay)
                writer.write(data)
        writer.close()

    async with serving(greet, GOOD) as good, serving(slow, None) as far:
        said = await first_words([far, far], server_hostname="good.test")
    assert said == b"220 ready\n"
    assert len(seen) == 1


# The end of a handshake ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cancelled", "out of time"])
async def test_a_handshake_that_is_left_is_gone_at_once(way: str) -> None:
    """In three turns, without a word to the loop; the peer has a reset, also if it floods."""
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    made: list[socket.socket] = []

    def factory(endpoint: aioconnect.Endpoint) -> socket.socket:
        made.append(socket.socket(*endpoint[:3]))
        return made[-1]

    with listen() as server, no_warnings():
        call = aioconnect.open_connection(
            *server.getsockname(),
            ssl=CLIENT,
            socket_factory=factory,
            timeout=0.1 if way == "out of time" else 20,
        )
        task = asyncio.create_task(call)
        server.setblocking(False)
        peer, _ = await loop.sock_accept(server)
        await loop.sock_recv(peer, 1)
        flood = loop.create_task(sending(peer))
        await asyncio.sleep(0.02)
        if way == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await task
        for _ in range(3):
            await asyncio.sleep(0)
        assert [sock.fileno() for sock in made] == [-1]
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flood, 20)
        peer.close()
    assert complaints == []


async def sending(peer: socket.socket) -> None:
    """Begin a record, and send of it for as long as it is taken."""
    await asyncio.get_running_loop().sock_sendall(peer, b"\x16\x03\x03\x40\x00")
    while True:
        await asyncio.get_running_loop().sock_sendall(peer, bytes(20))
        await asyncio.sleep(0.001)


async def test_without_a_time_limit_the_loop_sets_none() -> None:
    """Nor does ``ssl_handshake_timeout`` need to be given."""
    async with serving(stall, None) as bad:
        call = aioconnect.open_connection(*bad, ssl=CLIENT, timeout=None)
        with pytest.raises(asyncio.TimeoutError) as raised:
            async with asyncio.timeout(0.2):
                await call
    assert not isinstance(raised.value, aioconnect.ConnectError)
