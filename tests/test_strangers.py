"""Targets that strangers name, and name servers of theirs: what they cannot make a call do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
from typing import TYPE_CHECKING, Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import AddressPolicy, Dialer
from aioconnect.resolve import AiodnsResolver, Answer, Cache

from .resolve.conftest import pycares_thread  # noqa: F401  # a fixture
from .resolve.dns import AAAA, A, Question, Send, Server, address, reply
from .support.needs import needs
from .support.servers import listen
from .support.sweep import WHOLE
from .test_targets import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUBLIC = AddressPolicy.only("127.1.0.0/16")
"""What stands here for the public internet: the rest of the loopback network is private."""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen on every address of this host, and accept only when somebody looks."""
    with listen(("0.0.0.0", 0)) as server:
        server.setblocking(False)
        yield server


def accepted(server: socket.socket) -> list[str]:
    """Return the addresses that connections were made to."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            connection, _ = server.accept()
            with connection:
                found.append(connection.getsockname()[0])
    return found


def answering(question: Question, *texts: str, ttl: int = 0) -> Iterator[Send]:
    """Answer with those addresses that are of the family asked for."""
    kind = AAAA if question.type == AAAA else A
    records = [
        b"\xc0\x0c" + address("", text, ttl)[1:]  # the name as a pointer to the question
        for text in texts
        if (":" in text) is (kind == AAAA)
    ]
    if not question.tcp and len(records) > 20:
        yield Send(reply(question, truncated=True))
    else:
        yield Send(reply(question, records))


# A name server of theirs --------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda names: names, Cache], ids=["asked", "cached"])
async def test_a_name_that_changes_after_it_was_judged(
    wrap: Callable[[Any], Any], listener: socket.socket
) -> None:
    """Rebinding: what was judged is what is dialled; the next answer is judged anew."""

    def rebind(question: Question) -> Iterator[Send]:
        return answering(question, "127.0.0.1" if question.times % 2 else "127.1.0.1")

    port = listener.getsockname()[1]
    connected = 0
    rules = []
    with Server(rebind) as server:
        names = AiodnsResolver([server.text])
        dialer = Dialer(resolver=wrap(names), address_policy=PUBLIC)
        for number in range(20):
            try:
                (await dialer.connect(f"n{number // 4}.rebind.test", port)).close()
                connected += 1
            except aioconnect.PolicyDenied as error:
                rules.append(error.rule)
        await names.aclose()
    assert connected >= 5
    assert rules == ["not named"] * (20 - connected)
    assert accepted(listener) == ["127.1.0.1"] * connected


async def test_one_private_address_among_ten_public_ones(listener: socket.socket) -> None:
    """It is denied wherever it stands; the others are dialled."""
    port = listener.getsockname()[1]
    for place in range(11):
        texts = [f"127.1.0.{number}" for number in range(1, 11)]
        texts.insert(place, "127.0.0.1")

        def mixed(question: Question, texts: Any = tuple(texts)) -> Iterator[Send]:
            return answering(question, *texts)

        with Server(mixed) as server:
            names = AiodnsResolver([server.text])
            dialer = Dialer(resolver=names, address_policy=PUBLIC)
            (await dialer.connect("mixed.test", port)).close()
            await names.aclose()
    made = accepted(listener)
    assert len(made) == 11
    assert "127.0.0.1" not in made


@pytest.mark.parametrize("retry", [None, 3])
async def test_a_name_with_6300_addresses(retry: int | None) -> None:
    """By TCP: few of them are dialled, in few steps; the loop has its turns."""

    def flood(question: Question) -> Iterator[Send]:
        many = [f"127.1.{number >> 8}.{number & 255}" for number in range(4000)]
        many += [f"fd00::{number:x}" for number in range(2300)]
        return answering(question, *many, ttl=300)

    asked: list[int] = []
    turns: list[int] = []
    over = False

    async def tick() -> None:
        while not over:
            before = len(asked)
            await asyncio.sleep(0)
            turns.append(len(asked) - before)

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        asked.append(endpoint[0])
        return endpoint[0] == socket.AF_INET  # and then nobody listens there

    ticking = asyncio.create_task(tick())
    with Server(flood) as server, listen() as taken:
        names = AiodnsResolver([server.text])
        port = taken.getsockname()[1]
        taken.close()
        with pytest.raises(aioconnect.ConnectError) as raised:
            await aioconnect.connect(
                "flood.test",
                port,
                resolver=names,
                address_policy=policy,
                retry=retry and aioconnect.retry.attempts(retry) & aioconnect.retry.constant(0.01),
                timeout=20,
            )
        await names.aclose()
    over = True
    await ticking
    rounds = retry or 1
    assert 16 <= len(asked) / rounds <= 32
    assert max(turns) <= 64
    assert len(raised.value.attempts) <= 64
    assert len(str(raised.value)) < 2000


@pytest.mark.parametrize("denied", [True, False], ids=["denied", "refused"])
async def test_a_list_of_thousands_leaves_the_loop_its_turns(denied: bool) -> None:
    """No more than 64 attempts that end at once in one turn of the loop."""
    asked = 0
    turns: list[int] = []
    over = False

    async def tick() -> None:
        while not over:
            before = asked
            await asyncio.sleep(0)
            turns.append(asked - before)

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        nonlocal asked
        asked += 1
        return not denied

    with listen() as taken:
        port = taken.getsockname()[1]
    targets: list[aioconnect.TargetLike] = [
        (f"127.1.{number >> 8}.{number & 255}", port) for number in range(2000)
    ]
    ticking = asyncio.create_task(tick())
    with pytest.raises(aioconnect.ConnectError) as raised:
        await aioconnect.connect(targets, address_policy=policy, timeout=20)
    over = True
    await ticking
    assert asked == raised.value.count == 2000
    assert max(turns) <= 64
    assert len(raised.value.attempts) == 64
    assert len(str(raised.value)) < 1000


async def test_a_plugged_in_resolver_with_addresses_that_are_none(listener: socket.socket) -> None:
    """No spelling gets past the policy, and libc is not asked on the loop."""
    spellings = [
        *("2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost", "", "<broadcast>", "a\0b"),
        *("127.0.0.1 ", "::ffff:127.1", "127.0.0.1%lo", "\uff11\uff12\uff17.0.0.1", "1" * 100_000),
    ]

    class Lying:
        """Answers with whatever it was told to."""

        def __init__(self, text: str) -> None:
            self.text = text

        async def lookup(self, name: str, family: int, /) -> Answer:
            """Answer."""
            return Answer((self.text,))

    asked: list[Any] = []

    def policy(endpoint: aioconnect.NamedEndpoint) -> bool:
        socket.inet_pton(endpoint[0], endpoint[4][0])
        asked.append(endpoint)
        return False

    for text in spellings:
        for check in (policy, AddressPolicy.public(), lambda endpoint: False):
            with pytest.raises(aioconnect.ConnectError) as raised:
                await aioconnect.connect(
                    "lying.test",
                    listener.getsockname()[1],
                    resolver=Lying(text),
                    address_policy=check,
                    timeout=5,
                )
            assert len(str(raised.value)) < 1000
    assert accepted(listener) == []
    assert asked == []


# Texts of theirs ----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_log_lines_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Also where somebody logs every event: names with thousands of addresses, long paths."""

    class Generous:
        """Answers with thousands of addresses."""

        async def lookup(self, name: str, family: int, /) -> Answer:
            """Answer."""
            six = family == socket.AF_INET6
            each = range(4000)
            return Answer(
                tuple(f"fd00::{n:x}" if six else f"10.0.{n >> 8}.{n & 255}" for n in each)
            )

    options: Any = {"resolver": Generous(), "address_policy": PUBLIC}
    with caplog.at_level("DEBUG", "aioconnect"):
        for text in ("n.test:80", f"{'x' * 63}.{'y' * 63}.test:80", f"unix:/{'p' * 1_000_000}"):
            with pytest.raises(aioconnect.PolicyDenied):
                await aioconnect.connect(text, **options)
        targets: list[aioconnect.TargetLike] = [
            f"{'z' * 60}{number}.test:80" for number in range(60)
        ]
        with pytest.raises(aioconnect.PolicyDenied):
            await aioconnect.connect(targets, **options)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) > 100
    assert max(map(len, lines)) < 3000


class Asked:
    """A resolver that is never to be asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Keep the name."""
        self.names.append(name)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")


async def everywhere(text: str, options: Any) -> Iterator[BaseException]:
    """Dial a text in each way, and return what was raised."""
    raised: list[BaseException] = []
    for call in (
        lambda: aioconnect.connect(text, **options),
        lambda: aioconnect.connect(text, 80, **options),
        lambda: aioconnect.connect([text], **options),
        lambda: aioconnect.open_connection(text, 80, **options),
        lambda: aioconnect.wait_until_ready(text, 80, **options),
        lambda: asyncio.to_thread(aioconnect.blocking.connect, text, 80, **options),
    ):
        try:
            await call()
        except (ValueError, OSError) as exc:
            raised.append(exc)
    async with aioconnect.connect_many([text, (text, 80)], **options) as results:
        async for result in results:
            assert result.error is not None
            assert len(repr(result)) < 1500
            raised.append(result.error)
    return iter(raised)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_text_is_refused_everywhere(text: str) -> None:
    """In the same class, in few printable words, and nobody is asked for it."""
    names = Asked()
    raised = [*await everywhere(text, {"resolver": names, "address_policy": PUBLIC})]
    assert len(raised) == 8
    for error in raised:
        assert isinstance(error, aioconnect.InvalidTarget)
        assert len(str(error)) < 1000
        assert str(error).isascii()
        assert str(error).isprintable()
    assert names.names == []


def resident() -> float:
    """Return the megabytes that this process has in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 1e6


@pytest.mark.slow
@pytest.mark.sweep
@pytest.mark.timeout(900)
@needs("/proc/self/statm")
def test_ten_thousand_hostile_names_leave_nothing_in_memory() -> None:
    """Each with addresses of its own, each denied; what is cached is bounded, and small.

    A sample has fewer: one name that is kept whole has 30 KB.
    """
    assert asyncio.run(megabytes_left(10_000 if WHOLE else 3000)) < 6


async def megabytes_left(count: int) -> float:
    """Dial hostile names, and return what they leave after the first 2000."""

    class Generous:
        """Knows every name, by forty addresses of each family that no other name has."""

        def __init__(self) -> None:
            self.number = 0

        async def lookup(self, name: str, family: int, /) -> Answer:
            """Answer."""
            self.number += 1
            if family == socket.AF_INET6:
                return Answer(tuple(f"fd00:{self.number:x}::{each:x}" for each in range(40)))
            high, low = divmod(self.number & 0xFFFF, 256)
            return Answer(tuple(f"10.{high}.{low}.{each}" for each in range(40)))

    names = Generous()
    policy = AddressPolicy.public(deny=["198.51.100.0/24"])
    dialer = Dialer(resolver=names, address_policy=policy, timeout=10)
    before = 0.0
    for number in range(count):
        if number == 2000:
            gc.collect()
            before = resident()
        name = f"n{number}.{'x' * 60}.test" if number % 2 else f"unix:/{number}{'x' * 500}"
        with pytest.raises(aioconnect.ConnectError):
            await dialer.connect(name if number % 2 == 0 else f"{name}:80")
    gc.collect()
    return resident() - before
