"""``wait_until_ready`` with a check, and for several targets: on loops and without one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
from aioconnect import Dialer, blocking, readiness
from aioconnect.handshake import READ

from .support.account import no_warnings
from .support.certificates import TLS
from .support.loops import GRACE
from .support.servers import black_hole, listen, refusing

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

Serve = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


@pytest.fixture(scope="module")
def tls() -> TLS:
    return TLS()


@contextlib.asynccontextmanager
async def serving(serve: Any, context: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    """Give the address of a server."""
    serves: set[Any] = set()

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serves.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for _ in range(GRACE):
            await asyncio.sleep(0)
        if serves:
            _, pending = await asyncio.wait(serves, timeout=20)
            assert not pending
        for _ in range(GRACE):
            await asyncio.sleep(0)


async def stays(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing, until the client closes."""
    await reader.read()


async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speak first, in two pieces."""
    writer.write(b"SSH-2")
    await asyncio.sleep(0.01)
    writer.write(b".0-server\r\n")
    await reader.read()


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer PING, and HTTP by what is asked for."""
    line = await reader.readline()
    if line.startswith(b"PING"):
        writer.write(b"+PONG\r\n")
    elif line.startswith(b"GET "):
        host = await reader.readline()
        assert host == b"Host: 127.0.0.1\r\n"
        status = line.split()[1].strip(b"/") or b"200"
        writer.write(b"HTTP/1.1 " + status + b" Whatever\r\n\r\n")


async def wait(target: Any, **options: Any) -> float:
    """Wait with the function for loops."""
    return await aioconnect.wait_until_ready(target, **options)


async def wait_by_a_dialer(target: Any, **options: Any) -> float:
    """Wait with a dialer."""
    return await Dialer().wait_until_ready(target, **options)


async def wait_without_a_loop(target: Any, **options: Any) -> float:
    """Wait with the blocking twin, in a thread."""
    return await asyncio.to_thread(blocking.wait_until_ready, target, **options)


@pytest.fixture(
    params=[wait, wait_by_a_dialer, wait_without_a_loop], ids=["function", "dialer", "blocking"]
)
def ready(request: pytest.FixtureRequest) -> Callable[..., Awaitable[float]]:
    """Give each way to wait."""
    way: Callable[..., Awaitable[float]] = request.param
    return way


# Checks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "serve"),
    [
        (readiness.stays_open(0.05), stays),
        (readiness.stays_open(0.05), greets),
        (readiness.banner(b"SSH-"), greets),
        (readiness.banner(b"2.0-server"), greets),
        (readiness.sends(b"PING\r\n", b"+PONG"), answers),
        (readiness.http(), answers),
        (readiness.http("/204", 204), answers),
        (readiness.http("/503", 503), answers),
    ],
    ids=["open", "talks", "banner", "in two pieces", "ping", "http", "204", "503"],
)
async def test_a_server_that_says_what_it_should_is_ready(
    ready: Any, check: Any, serve: Any
) -> None:
    """At the first try."""
    async with serving(serve) as address:
        assert 0 <= await ready(address, check=check, timeout=20) < 10


WRONG = {
    "hangs up": (readiness.stays_open(5), None, "it accepted, and hung up"),
    "another banner": (readiness.banner(b"220"), greets, "it says 'SSH-2.0-server'"),
    "no answer": (readiness.sends(b"PONG\r\n", b"+PONG"), answers, "nothing, and closes"),
    "http error": (readiness.http("/503"), answers, "it answers 503"),
    "another status": (readiness.http("/200", 204), answers, "it answers 200"),
    "no http": (readiness.http(), greets, "it does not answer in HTTP, but 'SSH-2"),
    "no tls": (readiness.tls(server_hostname="name.test"), greets, "TLS"),
}


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and close."""


@pytest.mark.parametrize("wrong", WRONG)
async def test_one_that_does_not_is_waited_for(wrong: str) -> None:
    """It is asked again and again; the error says what it said."""
    check, serve, said = WRONG[wrong]
    async with serving(serve or hangs_up) as address:
        with pytest.raises(aioconnect.ConnectError) as raised:
            await aioconnect.wait_until_ready(address, check=check, timeout=2)
    assert raised.value.stage == "handshake"
    assert said in str(raised.value)
    assert raised.value.count >= 2


async def test_one_that_comes_to_its_senses_is_ready(ready: Any) -> None:
    """docker-proxy accepts for a container that does not listen yet, and hangs up."""
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            await reader.read()

    async with serving(serve) as address:
        await ready(address, check=readiness.stays_open(0.1), timeout=30)
    assert asked == 3


async def test_tls_by_memory_is_tls(tls: TLS, ready: Any) -> None:
    """The handshake alone, and each check over it; the name of the certificate is the target's."""
    checks = [
        readiness.tls(tls.client),
        readiness.http("/204", 204, ssl=tls.client),
        readiness.sends(b"PING\r\n", b"+PONG", ssl=tls.client),
        readiness.http(ssl=tls.client, server_hostname="127.0.0.1"),
    ]
    async with serving(answers, tls.server) as address:
        for check in checks:
            assert await ready(address, check=check, timeout=20) < 20
        with pytest.raises(aioconnect.CertificateError, match=r"other\.test"):
            await ready(address, check=readiness.tls(tls.client, "other.test"), timeout=20)


async def test_the_limit_of_an_attempt_holds_for_the_check() -> None:
    """A server that accepts and says nothing is no ready one, and is asked again."""
    async with serving(stays) as address:
        with pytest.raises(aioconnect.TimedOut) as raised:
            await aioconnect.wait_until_ready(
                address, check=readiness.banner(b"220"), timeout=0.6, attempt_timeout=0.1
            )
        assert raised.value.count >= 2


async def test_a_handshake_may_wait_for_a_time(ready: Any) -> None:
    """``(READ, seconds)`` goes on when that is over, or earlier if something comes."""
    seen: list[str] = []

    def patient(sock: Any, endpoint: Any) -> Any:
        yield READ, 0.05
        try:
            seen.append(sock.recv(10).decode())
        except BlockingIOError:
            seen.append("nothing")

    async with serving(stays) as address:
        assert await ready(address, check=patient, timeout=20) >= 0.04
    async with serving(greets) as address:
        await ready(address, check=patient, timeout=20)
    assert seen == ["nothing", "SSH-2"]


async def test_a_check_that_is_no_check_is_refused(ready: Any) -> None:
    """Before anything is dialled."""
    with refusing() as nobody, pytest.raises(TypeError, match="check"):
        await ready(nobody, check="http")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: readiness.stays_open(0), ValueError),
        (lambda: readiness.stays_open(float("nan")), ValueError),
        (lambda: readiness.stays_open("1"), TypeError),  # type: ignore[arg-type]
        (lambda: readiness.http("health"), ValueError),
        (lambda: readiness.http("/a b"), ValueError),
        (lambda: readiness.http("/a\r\nHost: x"), ValueError),
        (lambda: readiness.http("/", 99), ValueError),
        (lambda: readiness.banner(b""), ValueError),
        (lambda: readiness.banner("SSH-"), TypeError),  # type: ignore[arg-type]
        (lambda: readiness.sends("PING", b"+PONG"), TypeError),  # type: ignore[arg-type]
    ],
    ids=[*"abcdefghij"],
)
def test_a_check_that_cannot_be_meant_is_not_made(
    make: Callable[[], object], error: type[Exception]
) -> None:
    """When it is made, not when it runs."""
    with pytest.raises(error):
        make()


# Several targets ----------------------------------------------------------------------------------


async def test_all_waits_for_each_target(ready: Any) -> None:
    """The seconds are those of the last; any of them is enough otherwise."""
    with listen() as server, refusing() as nobody:
        targets = [server.getsockname(), nobody]
        assert await ready(targets, timeout=20) < 20
        assert await ready(targets[:1], all=True, timeout=20) < 20
        with pytest.raises(ConnectionRefusedError) as raised:
            await ready(targets, all=True, timeout=0.5)
        assert raised.value.attempts[0].address == nobody


async def test_a_wait_for_all_that_is_cancelled_leaves_nothing() -> None:
    """No dial goes on."""
    with listen() as server, black_hole() as hole, no_warnings():
        targets = [server.getsockname(), hole, hole]
        waiting = asyncio.ensure_future(aioconnect.wait_until_ready(targets, all=True))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}
