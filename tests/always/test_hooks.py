"""What a caller's hooks raise, and what an error carries."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import ConnectError, Dialer, events
from aioconnect.resolve import Answer, StaticResolver

from ..support.limits import few_descriptors
from ..support.needs import needs
from ..support.servers import listen, refusing
from .hooks import BrokenResolver, Surprise, raising


@pytest.mark.parametrize(
    "option", ["socket_factory", "address_policy", "retry", "resolver", "peek", "protocol_factory"]
)
async def test_what_a_callers_hook_raises_comes_out_unchanged(
    dead: tuple[str, int], option: str
) -> None:
    """Any exception but an ``OSError`` is the very object that was raised; nothing is left."""
    surprise = Surprise(option)
    hook: Any = raising(surprise)
    broken: Any = BrokenResolver(surprise)
    if option == "peek":
        broken.peek = hook
    with refusing() as address, listen() as server:
        targets: Any = [dead, address]
        call: Any
        if option == "protocol_factory":
            call = aioconnect.create_connection(hook, *server.getsockname())
        elif option in ("resolver", "peek"):
            call = aioconnect.connect([dead, ("name.test", 9)], resolver=broken)
        elif option == "retry":
            call = aioconnect.connect(*address, retry=hook)
        else:
            call = aioconnect.connect(targets, **{option: hook})
        with pytest.raises(Surprise) as raised:
            await call
    assert raised.value is surprise


async def test_a_factory_that_returns_no_socket_is_misuse() -> None:
    """It is told so, with what it returned."""
    factory: Any = lambda endpoint: "no socket"  # noqa: E731
    with listen() as server, pytest.raises(TypeError, match="no socket"):
        await aioconnect.connect(*server.getsockname(), socket_factory=factory)


@pytest.mark.parametrize("option", ["socket_factory", "address_policy"])
async def test_an_OSError_of_a_hook_is_a_failed_attempt_and_the_race_goes_on(option: str) -> None:
    """It stands in the log with its stage and number; another address still wins."""
    seen: list[events.Event] = []

    def hook(endpoint: Any) -> Any:
        if endpoint[4] == address:
            raise OSError(errno.ENOPROTOOPT, "not this one")
        return socket.socket(*endpoint[:3]) if option == "socket_factory" else None

    with refusing() as address, listen() as server:
        options: Any = {option: hook, "on_event": seen.append}
        with await aioconnect.connect([address, server.getsockname()], **options) as sock:
            assert sock.getpeername() == server.getsockname()
    (failed,) = [event for event in seen if isinstance(event, events.AttemptFailed)]
    assert failed.stage == {"socket_factory": "socket", "address_policy": "policy"}[option]
    assert failed.errno == errno.ENOPROTOOPT
    assert failed.address == address


@needs("ipv6")
async def test_an_address_policy_sees_every_address_before_anything_is_opened() -> None:
    """Also what a resolver answered; what it forbids is a ``PermissionError``, and not dialled."""
    asked: list[Any] = []

    def policy(endpoint: Any) -> None:
        asked.append(endpoint)
        assert not made
        raise PermissionError("nothing is allowed")

    made: list[Any] = []
    names = StaticResolver({"name.test": ["::1", "127.0.0.1"]})
    dialer = Dialer(resolver=names, address_policy=policy, socket_factory=made.append)
    with pytest.raises(aioconnect.AccessDenied) as raised:
        await dialer.connect([("name.test", 9), "unix:/run/none", ("127.0.0.9", 9)])
    assert isinstance(raised.value, PermissionError)
    tcp, stream = socket.IPPROTO_TCP, socket.SOCK_STREAM
    assert asked == [
        (socket.AF_INET6, stream, tcp, "", ("::1", 9, 0, 0)),
        (socket.AF_INET, stream, tcp, "", ("127.0.0.1", 9)),
        (socket.AF_UNIX, stream, 0, "", "/run/none"),
        (socket.AF_INET, stream, tcp, "", ("127.0.0.9", 9)),
    ]
    assert [attempt.stage for attempt in raised.value.attempts] == ["policy"] * 4


async def test_an_error_carries_every_attempt_in_the_order_of_the_starts(
    dead: tuple[str, int],
) -> None:
    """Address, stage, number and both instants of each; the strongest cause is what is raised."""
    before = time.monotonic()
    with refusing() as address:
        targets = [dead, address, "unix:/nowhere/at/all"]
        with pytest.raises(ConnectionRefusedError) as raised:
            await aioconnect.connect(targets, timeout=0.5, happy_eyeballs_delay=0.05)
    error: Any = raised.value
    assert isinstance(error, ConnectError)
    assert [(a.address, a.stage, a.errno) for a in error.attempts] == [
        (dead, "connect", None),
        (address, "connect", errno.ECONNREFUSED),
        ("/nowhere/at/all", "connect", errno.ENOENT),
    ]
    assert error.count == 3
    starts = [attempt.started for attempt in error.attempts]
    assert starts == sorted(starts)
    assert before <= starts[0]
    assert starts[1] - starts[0] >= 0.05
    assert all(a.started <= a.ended <= time.monotonic() for a in error.attempts)
    assert error.attempts[0].ended - before >= 0.5


async def test_a_lack_of_descriptors_ends_the_race_and_passes() -> None:
    """No other address can help, so none is dialled; with descriptors the next call connects."""
    seen: list[events.Event] = []
    with listen() as server:
        address = server.getsockname()
        with few_descriptors(), pytest.raises(aioconnect.TooManyOpenFiles) as raised:
            await aioconnect.connect([address] * 3, on_event=seen.append)
        assert raised.value.errno == errno.EMFILE
        assert len([event for event in seen if isinstance(event, events.AttemptStarted)]) == 1
        (await aioconnect.connect(address)).close()


# What is odd about what a caller gives ------------------------------------------------------------


class Cancelled:
    """A resolver whose look-up ends as cancelled: somebody cancelled what it shares inside."""

    def __init__(self, families: Any) -> None:
        self.families = families

    async def lookup(self, name: str, family: int) -> Answer:
        """Look up one family."""
        await asyncio.sleep(0)
        if family in self.families:
            raise asyncio.CancelledError
        return Answer(("127.0.0.1",) if family == socket.AF_INET else ("::1",))


async def test_a_look_up_that_somebody_else_cancels_is_a_failed_one() -> None:
    """At once, with or without a time limit; the call was not cancelled, and does not end so."""
    both: Any = Cancelled((socket.AF_INET6, socket.AF_INET))
    for timeout in (None, 30):
        async with asyncio.timeout(20) as around:
            with pytest.raises(aioconnect.NameNotResolved) as raised:
                await aioconnect.connect("name.test", 9, resolver=both, timeout=timeout)
        assert not around.expired()
        assert raised.value.errno == socket.EAI_AGAIN
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_one_family_that_somebody_else_cancels_leaves_the_other() -> None:
    """Its addresses are dialled without a wait."""
    one: Any = Cancelled((socket.AF_INET6,))
    with listen() as server:
        port = server.getsockname()[1]
        options: Any = {"resolver": one, "resolution_delay": 30, "timeout": 20}
        (await aioconnect.connect("name.test", port, **options)).close()


class Unwilling(socket.socket):
    """A socket whose close fails, as on a file system that is full; it is closed all the same."""

    def close(self) -> None:
        """Close it, and fail."""
        super().close()
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("kind", ["asynchronous", "blocking"])
@pytest.mark.parametrize("how", ["refused", "lost", "late", "left"])
async def test_a_close_that_fails_loses_neither_the_winner_nor_another_address(
    dead: tuple[str, int], how: str, kind: str
) -> None:
    """Nor does its error come out."""

    def factory(endpoint: Any) -> socket.socket:
        bad = endpoint[4] != live
        return (Unwilling if bad else socket.socket)(*endpoint[:3])

    async def connect(*targets: Any, **options: Any) -> socket.socket:
        if kind == "blocking":
            return aioconnect.blocking.connect(list(targets), socket_factory=factory, **options)
        return await aioconnect.connect(list(targets), socket_factory=factory, **options)

    with refusing() as nobody, listen() as server:
        live = server.getsockname()
        if how == "refused":
            sock = await connect(nobody, nobody, live)
        elif how == "lost":
            sock = await connect(dead, dead, live, happy_eyeballs_delay=0)
        elif how == "late":
            sock = await connect(dead, live, attempt_timeout=0.02, happy_eyeballs_delay=None)
        else:
            with pytest.raises(aioconnect.DeadlineExceeded):
                await connect(dead, dead, happy_eyeballs_delay=0, timeout=0.05)
            return
        assert sock.getpeername() == live
        sock.close()


async def test_a_close_that_is_interrupted_leaves_the_others_closed(dead: tuple[str, int]) -> None:
    """What interrupted it comes out; nobody is left open but, at most, that one."""
    made: list[socket.socket] = []

    class Interrupted(socket.socket):
        def close(self) -> None:
            super().close()
            raise KeyboardInterrupt

    def factory(endpoint: Any) -> socket.socket:
        made.append((Interrupted if len(made) == 1 else socket.socket)(*endpoint[:3]))
        return made[-1]

    call = aioconnect.connect(
        [dead] * 4, happy_eyeballs_delay=0, timeout=0.1, socket_factory=factory
    )
    with pytest.raises(KeyboardInterrupt):
        await call
    assert [sock.fileno() for sock in made] == [-1] * 4
