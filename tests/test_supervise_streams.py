"""A supervisor of streams: it owns the writers; a handshake that fails is a failed dial."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer, events, retry

from .support.account import no_warnings
from .support.certificates import TLS
from .support.loops import GRACE
from .support.servers import black_hole, refusing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUICK = Dialer(retry=retry.constant(0.01))


@pytest.fixture(scope="module")
def tls() -> TLS:
    return TLS()


class Peer:
    """A server that keeps what it was sent, and how each connection ended."""

    def __init__(self) -> None:
        self.address: tuple[str, int] = ("", 0)
        self.ends: list[str] = []
        self.changed = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Greet, read to the end, and note which end it was."""
        writer.write(b"hello\n")
        try:
            await self.reading.wait()
            said = await reader.read()
            self.ends.append(f"end after {len(said)}")
        except ConnectionResetError:
            self.ends.append("reset")
        finally:
            writer.close()
            self.changed.set()

    async def ended(self, *ends: str) -> None:
        """Wait until the connections have ended so."""
        async with asyncio.timeout(20):
            while len(self.ends) < len(ends):
                self.changed.clear()
                await self.changed.wait()
        assert self.ends == list(ends)

    async def is_cut_off(self) -> None:
        """Read at last: the end comes before all that was written."""
        self.reading.set()
        await asyncio.wait_for(self.changed.wait(), 20)
        (end,) = self.ends
        assert end == "reset" or int(end.rpartition(" ")[2]) < MUCH


MUCH = 20_000_000
"""Bytes: more than the kernel's buffers take."""


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Give a peer that serves."""
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=context)
    peer.address = server.sockets[0].getsockname()
    try:
        yield peer
    finally:
        server.close()
        for _ in range(GRACE):
            await asyncio.sleep(0)


async def test_asking_for_the_next_aborts_the_last() -> None:
    """Nothing is awaited for it, and what was not sent is not."""
    async with serving() as peer:
        async with QUICK.supervise_streams(*peer.address, wake_interval=0) as connections:
            writers = []
            async for reader, writer in connections:
                assert await reader.readline() == b"hello\n"
                assert all(each.transport.is_closing() for each in writers)
                writers.append(writer)
                connections.healthy()
                if len(writers) == 3:
                    break
            assert not writers[-1].transport.is_closing()
        await peer.ended(*["end after 0"] * 3)


async def test_leaving_the_block_closes_the_last_in_order() -> None:
    """What was written is sent before the end."""
    async with serving() as peer:
        async with QUICK.supervise_streams(*peer.address) as connections:
            _, writer = await anext(connections)
            writer.write(b"good bye" * 10_000)
        assert writer.transport.is_closing()
        with pytest.raises(StopAsyncIteration):
            await anext(connections)
        await peer.ended("end after 80000")


async def test_a_peer_that_does_not_read_holds_the_block_up_for_close_timeout() -> None:
    """Then the connection is aborted."""
    async with serving() as peer:
        peer.reading.clear()
        before = asyncio.get_running_loop().time()
        async with QUICK.supervise_streams(*peer.address, close_timeout=0.1) as connections:
            _, writer = await anext(connections)
            writer.write(bytes(MUCH))
        assert 0.09 <= asyncio.get_running_loop().time() - before < 10
        await peer.is_cut_off()


@pytest.mark.parametrize("kind", [RuntimeError, asyncio.CancelledError])
async def test_an_exception_aborts_the_last(kind: type[BaseException]) -> None:
    """At once: nobody waits for a peer that does not read."""
    async with serving() as peer:
        peer.reading.clear()

        async def program() -> None:
            async with QUICK.supervise_streams(*peer.address, close_timeout=600) as connections:
                _, writer = await anext(connections)
                writer.write(bytes(MUCH))
                raise kind

        with pytest.raises(kind):
            await program()
        await peer.is_cut_off()


async def test_a_wait_for_the_close_that_is_cancelled_aborts() -> None:
    """The cancellation comes out."""
    async with serving() as peer:
        peer.reading.clear()

        async def program() -> None:
            async with QUICK.supervise_streams(*peer.address, close_timeout=600) as connections:
                _, writer = await anext(connections)
                writer.write(bytes(MUCH))

        task = asyncio.create_task(program())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await peer.is_cut_off()


async def test_a_handshake_that_fails_is_a_failed_dial(tls: TLS) -> None:
    """It asks the policy, and a server that speaks TLS at last is found."""
    seen: list[str] = []
    dialer = QUICK.replace(on_event=lambda event: seen.append(type(event).__name__))
    hangs_up = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hangs_up
        if hangs_up:
            hangs_up = False
        else:
            await writer.start_tls(tls.server)
            writer.write(b"hello\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        async with dialer.supervise_streams(*address, ssl=tls.client) as connections:
            reader, _ = await asyncio.wait_for(anext(connections), 20)
            assert await reader.readline() == b"hello\n"
        for _ in range(GRACE):
            await asyncio.sleep(0)
    assert seen.count("HandshakeFailed") == seen.count("RetryScheduled") == 1


async def test_a_wrong_certificate_ends_it_before_the_first_success(tls: TLS) -> None:
    """As ``first`` says; with ``wait`` the policy is asked."""
    asked = 0

    def policy(ctx: retry.Context) -> retry.Retry | retry.Stop:
        nonlocal asked
        asked += 1
        return retry.Retry(0.01) if asked < 3 else retry.Stop("enough")

    context = ssl.create_default_context()
    async with serving(tls.server) as peer:
        for first, stopped in ("fail", "permanent"), ("wait", "enough"):
            dialer = Dialer(retry=policy)
            streams = dialer.supervise_streams(*peer.address, ssl=context, first=first)  # type: ignore[arg-type]
            async with streams as connections:
                with pytest.raises(aioconnect.CertificateError) as raised:
                    await anext(connections)
            assert raised.value.stopped == stopped
    assert asked == 3


async def test_leaving_the_block_ends_a_dial_in_another_task(tls: TLS) -> None:
    """In the connect, in the handshake, and in a pause: at once, with nothing left."""

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()

    stalled = await asyncio.start_server(stall, "127.0.0.1", 0)
    with black_hole() as hole, refusing() as nobody, no_warnings():
        for address in hole, stalled.sockets[0].getsockname(), nobody:
            dialer = Dialer(retry=retry.constant(60))
            async with dialer.supervise_streams(*address, ssl=tls.client) as connections:
                asking = asyncio.ensure_future(anext(connections))
                await asyncio.sleep(0.05)
                assert not asking.done()
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(asking, 5)
    stalled.close()
    for _ in range(GRACE):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"ssl": 1}, TypeError),
        ({"server_hostname": "db.test"}, ValueError),
        ({"limit": 0}, ValueError),
        ({"close_timeout": float("nan")}, ValueError),
        ({"healthy_after": -1}, ValueError),
        ({"first": "never"}, ValueError),
        ({"port": "no such service"}, aioconnect.InvalidTarget),
        ({"type": 2}, TypeError),
    ],
    ids=str,
)
def test_misuse_is_found_before_anything_is_dialled(
    wrong: dict[str, Any], error: type[Exception]
) -> None:
    """And outside a loop."""
    port = wrong.pop("port", 443)
    with pytest.raises(error):
        Dialer().supervise_streams("127.0.0.1", port, **wrong)


async def test_it_tells_the_observer_what_sockets_tell() -> None:
    """A lost connection is announced, an end of a dial is not."""
    seen: list[Any] = []
    async with serving() as peer:
        dialer = QUICK.replace(on_event=seen.append)
        async with dialer.supervise_streams(*peer.address) as connections:
            for _ in range(2):
                await anext(connections)
        await peer.ended("end after 0", "end after 0")
    kinds = [type(event) for event in seen]
    assert kinds == [
        events.AttemptStarted,
        events.Connected,
        events.RetryScheduled,
        events.AttemptStarted,
        events.Connected,
    ]
