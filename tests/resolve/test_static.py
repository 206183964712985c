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
    answers = resolver.peek_name("Db", (V6, V4))
    assert answers is not None
    assert [answer.addresses for answer in answers] == [(), ("10.0.0.1",)]
    assert resolver.peek_name("db", (V6,)) is None
    assert resolver.peek_name("web", (V4,)) is None


async def test_other_names_go_to_the_fallback() -> None:
    """And what a call tells its resolver reaches the fallback too."""
    recorder = Recorder()
    resolver = StaticResolver({"db": "10.0.0.1"}, recorder)
    assert (await resolver.lookup("web", V4)).addresses == ("203.0.113.1",)
    assert resolver.peek_name("web", (V4,)) is None
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
    answers = resolver.peek_name("web", (V4,))
    assert answers is not None
    assert answers[0].source == "cache"


def test_it_answers_without_a_loop() -> None:
    """The blocking driver gets the same answers and the same errors, at once."""
    resolver = StaticResolver({"db": "10.0.0.1"})
    heard: list[Answer | BaseException | None] = []
    threads.submit_name(resolver, "db", (V4,), heard.append).cancel()
    threads.submit_name(resolver, "web", (V4,), heard.append)
    answer, end, error = heard
    assert isinstance(answer, Answer)
    assert end is None
    assert isinstance(error, errors.NameNotResolved)


async def test_a_name_is_answered_whole() -> None:
    """Also that a family has none; the fallback is not asked for it."""
    recorder = Recorder()
    resolver = StaticResolver({"db": "10.0.0.1"}, recorder)
    found = [(a.family, a.addresses) async for a in resolver.lookup_name("db", (V6, V4))]
    assert found == [(V6, ()), (V4, ("10.0.0.1",))]
    assert not recorder.calls


@pytest.mark.parametrize("written", ["m\u00fcller.test", "xn--mller-kva.test", "M\u00dcLLER.test."])
async def test_an_internationalised_name_may_be_written_in_any_way(written: str) -> None:
    """What reaches a resolver is ASCII: both are compared in that form."""
    resolver = StaticResolver({written: "10.0.0.1"})
    assert (await resolver.lookup("xn--mller-kva.test", V4)).addresses == ("10.0.0.1",)


def test_a_name_that_cannot_be_one_is_refused_at_once() -> None:
    """It would never be found."""
    with pytest.raises(ValueError, match="not a valid internationalised name"):
        StaticResolver({"\u0301a.test": "10.0.0.1"})


def test_an_address_has_one_spelling() -> None:
    """What a policy judges is what is dialled."""
    answers = StaticResolver({"db": "2001:DB8::0001"}).peek_name("db", (V6,))
    assert answers is not None
    assert answers[0].addresses == ("2001:db8::1",)


@pytest.mark.parametrize(
    "text",
    ["db", "10.0.0", "10.0.0.1%eth0", "::g", "", "1.2.3.4\0", "fe80::1%", "fe80::1%99999999999"],
)
def test_an_address_that_is_none_is_refused_at_once(text: str) -> None:
    """A mistake in the mapping comes out where it is made."""
    with pytest.raises(ValueError, match="not a numeric address"):
        StaticResolver({"db": text})
