"""What is known of a name without asking anybody."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from aioconnect import errors
from aioconnect.resolve import Cache, StaticResolver, SystemResolver
from aioconnect.resolve.at_hand import NO_ADDRESSES, at_hand
from aioconnect.resolve.base import absent

from .test_cache import Clock, Upstream, addresses, clock, failure
from .test_threads import V4, V6

__all__ = ["clock"]


def test_localhost_comes_before_any_resolver() -> None:
    """Whatever the mapping says of it."""
    resolver = StaticResolver({"localhost": "192.0.2.1"})
    answer = at_hand(resolver, "localhost", V4)
    assert answer is not None
    assert answer.addresses == ("127.0.0.1",)


@pytest.mark.parametrize("around", [lambda resolver: resolver, Cache])
def test_a_mapping_says_what_it_has_and_what_it_lacks(around: Any) -> None:
    """Of its names everything is known; of others nothing."""
    resolver = around(StaticResolver({"db": "10.0.0.1"}))
    answer = at_hand(resolver, "db", V4)
    assert answer is not None
    assert answer.addresses == ("10.0.0.1",)
    assert at_hand(resolver, "db", V6) is NO_ADDRESSES
    assert at_hand(resolver, "web", V4) is None


def test_what_the_fallback_lacks_is_lacking() -> None:
    """A mapping around a mapping."""
    resolver = StaticResolver({"db": "10.0.0.1"}, StaticResolver({"web": "::1"}))
    assert at_hand(resolver, "web", V4) is NO_ADDRESSES
    assert at_hand(resolver, "db", V6) is NO_ADDRESSES


async def test_a_cache_knows_of_absence_while_that_is_kept(clock: Clock) -> None:
    """Not before it was said, not after its time, and not of what it has."""
    upstream = Upstream()
    kept = Cache(upstream, negative_ttl=3)
    assert at_hand(kept, "a.test", V4) is None
    upstream.error = failure(socket.EAI_NONAME)
    with pytest.raises(errors.NameNotResolved):
        await kept.lookup("a.test", V4)
    assert at_hand(kept, "A.test", V4) is NO_ADDRESSES
    assert at_hand(kept, "a.test", V6) is None
    clock.now += 3
    assert at_hand(kept, "a.test", V4) is None
    upstream.error = None
    await addresses(kept)
    assert not absent(kept, "a.test", V4)


def test_a_resolver_that_keeps_nothing_has_nothing_at_hand() -> None:
    """The system's is always asked."""
    assert at_hand(SystemResolver(), "a.test", V4) is None
