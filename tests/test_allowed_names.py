"""Which targets a list of names allows, before anything is looked up."""

from __future__ import annotations

import copy
import pickle
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer, PolicyDenied
from aioconnect.allowed_names import AllowedNames
from aioconnect.resolve import Answer
from aioconnect.targets import parse

from .support.account import descriptors
from .support.scripted import good, scripted
from .support.servers import listen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@pytest.fixture(autouse=True, scope="module")
def no_descriptor_is_left() -> Iterator[None]:
    """Compare the open descriptors once: a loop for resolvers in a thread ends when it is idle."""
    before = descriptors()
    yield
    deadline = time.monotonic() + 20
    while descriptors() != before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert descriptors() == before


WORDS = "not among the allowed names"

TABLE = [
    # pattern, target, allowed
    ("example.com", "example.com:80", True),
    ("example.com", "EXAMPLE.com.:80", True),
    ("Example.COM.", "example.com:443", True),
    ("example.com", "www.example.com:80", False),
    ("example.com", "example.com.evil.test:80", False),
    ("example.com", "xexample.com:80", False),
    ("*.example.com", "www.example.com:80", True),
    ("*.example.com", "a.b.c.EXAMPLE.COM.:80", True),
    ("*.EXAMPLE.com.", "www.example.com:80", True),
    ("*.example.com", "example.com:80", False),
    ("*.example.com", "xexample.com:80", False),
    ("*.example.com", "www.example.com.evil.test:80", False),
    ("*.example.com", "www.example.comx:80", False),
    ("*.example.com", "com:80", False),
    ("*.example.com", "www:80", False),
    ("*.com", "a.b.com:80", True),
    ("localhost", "localhost:80", True),
    ("*.localhost", "a.localhost:80", True),
    ("*.example.com", "localhost:80", False),
    ("b\u00fccher.example", "xn--bcher-kva.example:80", True),
    ("*.b\u00fccher.example", "www.B\u00dcCHER.example:80", True),
    ("xn--bcher-kva.example", "b\u00fccher.example:80", True),
    ("example.com", "ex\u0430mple.com:80", False),  # a Cyrillic letter
    ("*", "any.thing.test:80", True),
    ("*", "192.0.2.1:80", False),
    ("*", "[::1]:80", False),
    ("*", "unix:/run/x", False),
    ("*.example.com", "192.0.2.1:80", False),
    ("192.0.2.1", "192.0.2.1:80", True),
    ("192.0.2.1", "192.0.2.2:80", False),
    ("192.0.2.1", "[::ffff:192.0.2.1]:80", False),
    ("2001:DB8::0:1", "[2001:db8::1]:80", True),
    ("2001:db8::1", "[2001:db8::2]:80", False),
    ("fe80::1", "[fe80::1%eth0]:80", False),
    ("fe80::1%eth0", "[fe80::1%eth0]:80", True),
    ("fe80::1%eth0", "[fe80::1]:80", False),
    ("unix:/run/x", "unix:/run/x", True),
    ("unix:/run/x", "unix:/run/y", False),
    ("unix:@x", "unix:@x", True),
    ("unix:@x", "unix:x", False),
]


@pytest.mark.parametrize(("pattern", "target", "allowed"), TABLE)
def test_a_pattern_and_a_target(pattern: str, target: str, allowed: bool) -> None:
    """What is not named is denied; an address is no name."""
    refusal = AllowedNames([pattern]).refusal(parse(target))
    assert refusal == (None if allowed else WORDS)


@pytest.mark.parametrize(("pattern", "target", "allowed"), TABLE)
def test_one_pattern_of_many_is_enough(pattern: str, target: str, allowed: bool) -> None:
    """Whatever stands beside it."""
    names = AllowedNames(["a.test", pattern, "*.b.test", "192.0.2.77"])
    assert (names.refusal(parse(target)) is None) is allowed


LABELS = st.lists(st.sampled_from(["a", "b", "A", "ab"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(LABELS, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4), LABELS)
def test_names_below_and_names_themselves(names: list[str], below: list[bool], name: str) -> None:
    """As the slow way has it."""
    patterns = [f"*.{each}" if flag else each for each, flag in zip(names, below, strict=False)]
    lower = name.lower()
    expected = any(
        lower.endswith(pattern[1:].lower()) if pattern[0] == "*" else lower == pattern.lower()
        for pattern in patterns
    )
    assert (AllowedNames(patterns).refusal(parse(name, 80)) is None) is expected


@pytest.mark.parametrize(
    ("patterns", "error", "words"),
    [
        ([], ValueError, "empty: that would allow nothing"),
        ([""], ValueError, "empty host"),
        (["*."], ValueError, "empty host"),
        (["a*.example.com"], ValueError, "not a host name"),
        (["*.*.example.com"], ValueError, "not a host name"),
        (["www.*.com"], ValueError, "not a host name"),
        (["**"], ValueError, "not a host name"),
        (["*.192.0.2.1"], ValueError, "nothing below it"),
        (["127.1"], ValueError, "four decimal numbers"),
        (["example.com:80"], ValueError, "has a port already"),
        (["http://example.com"], ValueError, "allowed_names"),
        (["a b"], ValueError, "control character or a space"),
        (["user@example.com"], ValueError, "user information"),
        (["unix:"], ValueError, "needs a path"),
        ("example.com", TypeError, "a list of patterns"),
        (b"example.com", TypeError, "a list of patterns"),
        (None, TypeError, "a list of patterns"),
        (5, TypeError, "a list of patterns"),
        ([b"example.com"], TypeError, "a pattern is a str"),
        ([None], TypeError, "a pattern is a str"),
    ],
)
def test_misuse_is_found_at_once(patterns: Any, error: type[Exception], words: str) -> None:
    """Before anything is dialled."""
    with pytest.raises(error, match=words):
        AllowedNames(patterns)


@pytest.mark.parametrize("patterns", [("a.test",), ("*.a.test", "192.0.2.1", "unix:/x"), ("*",)])
def test_it_is_a_value(patterns: Iterable[str]) -> None:
    """Dialers compare, hash and copy it."""
    names = AllowedNames(patterns)
    others = [
        AllowedNames(reversed([*patterns])),
        copy.deepcopy(names),
        pickle.loads(pickle.dumps(names)),
        eval(repr(names)),
    ]
    for other in others:
        assert other == names
        assert hash(other) == hash(names)
        assert other.refusal(parse("x.a.test:1")) == names.refusal(parse("x.a.test:1"))
    assert names != AllowedNames(["b.test"])
    with pytest.raises(AttributeError):
        names.patterns = ("*",)
    with pytest.raises(AttributeError):
        del names.patterns


def test_ten_thousand_names_take_no_longer_to_ask() -> None:
    """It looks up as many strings as the name has labels."""
    names = AllowedNames([f"*.host{number}.example" for number in range(10_000)])
    counted = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal counted
        counted += event == "c_call"

    sys.setprofile(count)
    try:
        assert names.refusal(parse("www.host9999.example", 80)) is None
    finally:
        sys.setprofile(None)
    assert counted < 50


# As an option -------------------------------------------------------------------------------------


class Names:
    """A resolver that knows every name, and by which names it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer with the loopback."""
        self.asked.append(name)
        if family == socket.AF_INET:
            return Answer(("127.0.0.1",))
        raise socket.gaierror(socket.EAI_NONAME, "IPv4 only")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """Listen, and accept only when somebody looks."""
    with listen() as listener:
        listener.setblocking(False)
        yield listener


def accepted(server: socket.socket) -> int:
    """Return how many connections were made."""
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


async def connect(host: str, port: int, options: Any) -> None:
    (await aioconnect.connect(host, port, **options)).close()


async def in_a_list(host: str, port: int, options: Any) -> None:
    (await aioconnect.connect([(host, port), (host, port)], **options)).close()


async def with_retries(host: str, port: int, options: Any) -> None:
    (await aioconnect.connect(host, port, retry=5, on_event=lambda event: None, **options)).close()


async def stream(host: str, port: int, options: Any) -> None:
    _, writer = await aioconnect.open_connection(host, port, **options)
    writer.close()
    await writer.wait_closed()


async def many(host: str, port: int, options: Any) -> None:
    async with aioconnect.connect_many([(host, port)], **options) as results:
        async for result in results:
            result.unwrap().close()


async def ready(host: str, port: int, options: Any) -> None:
    await aioconnect.wait_until_ready(host, port, timeout=5, **options)


async def supervised(host: str, port: int, options: Any) -> None:
    async with Dialer(**options).supervise(host, port) as connections:
        async for _ in connections:
            break


async def blocking(host: str, port: int, options: Any) -> None:
    aioconnect.blocking.connect(host, port, **options).close()


WAYS = [connect, in_a_list, with_retries, stream, many, ready, supervised, blocking]


@pytest.mark.parametrize("host", ["evil.test", "localhost", "127.0.0.1", "ok.test.evil.test"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_what_is_not_allowed_is_not_even_asked_for(
    way: Any, host: str, server: socket.socket
) -> None:
    """No name server hears of it, and nothing is dialled."""
    names = Names()
    options = {"resolver": names, "allowed_names": ["ok.test", "*.ok.test"]}
    with pytest.raises(PolicyDenied, match="not among the allowed names") as raised:
        await way(host, server.getsockname()[1], options)
    assert names.asked == []
    assert accepted(server) == 0
    assert raised.value.rule == WORDS
    assert raised.value.stage == "policy"
    assert raised.value.count == 0


@pytest.mark.parametrize("host", ["ok.test", "A.B.OK.test.", "127.0.0.1"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_what_is_allowed_is_dialled(way: Any, host: str, server: socket.socket) -> None:
    """By its name, or as the address that is named."""
    options = {"resolver": Names(), "allowed_names": ["ok.test", "*.ok.test", "127.0.0.1"]}
    await way(host, server.getsockname()[1], options)
    assert accepted(server) >= 1


async def test_of_a_list_those_that_are_allowed_are_dialled(server: socket.socket) -> None:
    """The others are failed attempts, which the error of all has."""
    names, port = Names(), server.getsockname()[1]
    targets = [("evil.test", port), ("ok.test", port), ("127.0.0.1", port)]
    options: Any = {"resolver": names, "allowed_names": ["ok.test"]}
    with await aioconnect.connect(targets, **options) as sock:
        assert sock.getpeername()[1] == port
    assert set(names.asked) == {"ok.test"}
    assert accepted(server) == 1
    with pytest.raises(PolicyDenied) as raised:
        await aioconnect.connect([targets[0], targets[2]], **options)
    assert [attempt.target for attempt in raised.value.attempts] == [
        f"evil.test:{port}",
        f"127.0.0.1:{port}",
    ]


async def test_a_breaker_and_events_see_a_denial(server: socket.socket) -> None:
    """It is told to who observes; no peer is blamed for it."""
    told: list[Any] = []
    breaker = aioconnect.retry.Breaker(failures=1)
    port = server.getsockname()[1]
    options: Any = {"resolver": Names(), "allowed_names": ["ok.test"], "breaker": breaker}
    for _ in range(3):
        with pytest.raises(PolicyDenied):
            await aioconnect.connect("evil.test", port, on_event=told.append, **options)
    assert [type(event).__name__ for event in told] == ["AttemptFailed", "GaveUp"] * 3


@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "http"])
async def test_behind_a_proxy_the_target_is_what_is_named(scheme: str) -> None:
    """The proxy's own name is the program's."""
    names = Names()
    with scripted(good(scheme)) as proxy:
        url = f"{scheme}://proxy.test:{proxy.address[1]}"
        options: Any = {"proxy": url, "resolver": names, "allowed_names": ["ok.test"]}
        with pytest.raises(PolicyDenied):
            await aioconnect.connect("evil.test", 5432, **options)
        assert (names.asked, proxy.accepted) == ([], [])
        (await aioconnect.connect("ok.test", 5432, **options)).close()
        assert len(proxy.accepted) == 1


async def test_a_socket_that_is_brought_has_no_name(server: socket.socket) -> None:
    """So it is none of those that are allowed."""
    sock = socket.create_connection(server.getsockname())
    with pytest.raises(PolicyDenied, match="no name"):
        await aioconnect.open_connection(sock=sock, allowed_names=["*"])
    assert sock.fileno() == -1


def test_options_hold_it_in_plain_form() -> None:
    """And take it from one another."""
    dialer = Dialer(allowed_names=["a.test"])
    assert dialer.allowed_names == AllowedNames(["a.test"])
    assert dialer.replace(timeout=5).allowed_names == dialer.allowed_names
    assert dialer.replace(allowed_names=None).allowed_names is None
    assert Dialer(allowed_names=dialer.allowed_names) == dialer
    assert hash(dialer) == hash(Dialer(allowed_names=("a.test",)))
