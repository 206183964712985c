"""``localhost`` needs no resolver (RFC 6761, section 6.3)."""

from __future__ import annotations

import socket

import pytest

from aioconnect.resolve.literal import localhost

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


@pytest.mark.parametrize(
    "name",
    ["localhost", "LocalHost", "localhost.", "a.localhost", "a.b.LOCALHOST", "foo.localhost."],
)
def test_localhost_and_all_below_it_is_loopback(name: str) -> None:
    """Case and a final dot do not matter."""
    for family, address in ((V4, "127.0.0.1"), (V6, "::1")):
        answer = localhost(name, family)
        assert answer is not None
        assert answer.addresses == (address,)
        assert answer.source == "literal"


@pytest.mark.parametrize(
    "name",
    ["", ".", "localhost.example", "mylocalhost", "localhost..", "localhos", "x.localhost.t", "t"],
)
def test_other_names_are_for_a_resolver(name: str) -> None:
    """A name that only looks like it is asked for."""
    assert localhost(name, V4) is None
    assert localhost(name, V6) is None


def test_a_family_that_has_no_loopback_is_for_a_resolver() -> None:
    """Only IPv4 and IPv6 are known here."""
    assert localhost("localhost", int(socket.AF_UNIX)) is None


def test_it_gives_the_same_object_each_time() -> None:
    """Nothing is built: this is on the path of every connect to localhost."""
    assert localhost("localhost", V4) is localhost("a.localhost", V4)
