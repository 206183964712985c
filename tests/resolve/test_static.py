"""Names from a mapping."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aioconnect import errors
from aioconnect.resolve import Answer, Cache, StaticResolver, threads

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


class Recorder:
    """A resolver that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def lookup(self, name: str, family: int, /) -> Answer:
        """Answer the same to all."""
        self.calls.append(("lookup", name, family))
        return Answer(("203.0.113.1",))

    def forget(self, name: str) -> None:
        """Note it."""
        self.calls.append(("forget", name))

    async def aclose(self) -> None:
        """Note it."""
        self.calls.append("aclose")


async def test_each_family_gets_its_addresses_in_their_order() -> None:
    """One name may have several, of both families."""
    resolver = StaticResolver({"db": ["10.0.0.2", "fe80::1%eth0", "10.0.0.1"], "one": "::1"})
    assert (await resolver.lookup("db", V4)).addresses == ("10.0.0.2", "10.0.0.1")
    assert (await resolver.lookup("DB.", V6)).addresses == ("fe80::1%eth0",)
    assert (await resolver.lookup("one", V6)).source == "static"


async def test_it_says_what_is_missing() -> None:
    """No such name, or no address of that family: two codes."""
    resolver = StaticResolver({"db": "10.0.0.1"})
    with pytest.raises(errors.NameNotResolved) as info:
        await resolver.lookup("web", V4)
    assert info.value.code == "host_not_found"
    with pytest.raises(socket.gaierror) as other:
        await resolver.lookup("db", V6)
    assert getattr(other.value, "code", "") == "no_data"
    assert "db" in str(other.value)


def test_what_it_has_is_at_hand() -> None:
    """A name in the mapping costs no turn of the loop."""
    resolver = StaticResolver({"db": "10.0.0.1"})
    answer = resolver.peek("Db", V4)
    assert answer is not None
    assert answer.addresses == ("10.0.0.1",)
    assert resolver.peek("db", V6) is None
    assert resolver.peek("web", V4) is None


async def test_other_names_go_to_the_fallback() -> None:
    """And what a call tells its resolver reaches the fallback too."""
    recorder = Recorder()
    resolver = StaticResolver({"db": "10.0.0.1"}, recorder)
    assert (await resolver.lookup("web", V4)).addresses == ("203.0.113.1",)
    assert resolver.peek("web", V4) is None
    resolver.forget("web")
    await resolver.aclose()
    assert recorder.calls == [("lookup", "web", V4), ("forget", "web"), "aclose"]
    with pytest.raises(errors.NameNotResolved):
        await resolver.lookup("db", V6)


async def test_the_fallbacks_cache_is_at_hand_too() -> None:
    """A resolver around a resolver passes the question on."""
    cache = Cache(Recorder())
    resolver = StaticResolver({}, cache)
    await resolver.lookup("web", V4)
    answer = resolver.peek("web", V4)
    assert answer is not None
    assert answer.source == "cache"


def test_it_answers_without_a_loop() -> None:
    """The blocking driver gets the same answers and the same errors, at once."""
    resolver = StaticResolver({"db": "10.0.0.1"})
    heard: list[Answer | BaseException] = []
    threads.submit(resolver, "db", V4, heard.append).cancel()
    threads.submit(resolver, "web", V4, heard.append)
    answer, error = heard
    assert isinstance(answer, Answer)
    assert isinstance(error, errors.NameNotResolved)


@pytest.mark.parametrize("text", ["db", "10.0.0", "10.0.0.1%eth0", "::g", "", "1.2.3.4\0"])
def test_an_address_that_is_none_is_refused_at_once(text: str) -> None:
    """A mistake in the mapping comes out where it is made."""
    with pytest.raises(ValueError, match="not a numeric address"):
        StaticResolver({"db": text})
