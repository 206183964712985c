"""Targets behind a proxy: what is dialled, what is looked up, what it is called."""

from __future__ import annotations

import socket
from typing import Any

from aioconnect.proxy import Proxy
from aioconnect.targets import Endpoint, endpoint, parse
from aioconnect.via import Tunnelled, Via

V4, V6, TCP = int(socket.AF_INET), int(socket.AF_INET6), int(socket.SOCK_STREAM)


def address(host: str, port: int) -> Endpoint:
    if ":" in host:
        return endpoint(V6, TCP, (host, port, 0, 0))
    return endpoint(V4, TCP, (host, port))


def through(url: str, host: str = "db.test") -> Via:
    return Via(parse(host, 5432), Proxy(url))


def asked(endpoints: Any) -> list[tuple[Any, str, int, Any]]:
    """Say for each endpoint what is dialled, what is asked for, and whose address is known."""
    return [
        (each[4][0], each.host, each.port, each.destination and each.destination[4][0])
        for each in endpoints
    ]


def test_it_is_the_target_for_everything_but_the_dial() -> None:
    """TLS verifies its name; a person reads both."""
    via = through("socks5h://me:hunter2@proxy.test:1080")
    assert (via.host, via.port, via.name) == ("db.test", 5432, "db.test")
    assert via.text == "db.test:5432 through proxy.test:1080"
    assert via.dialled.text == "proxy.test:1080"
    assert "hunter2" not in repr(via)


def test_what_is_looked_up() -> None:
    """The proxy's name, and the target's only where the proxy does not resolve it."""
    for url, host, names in (
        ("socks5h://192.0.2.9", "db.test", []),
        ("socks5h://proxy.test", "db.test", ["proxy.test"]),
        ("http://proxy.test:1", "192.0.2.1", ["proxy.test"]),
        ("socks5://192.0.2.9", "db.test", ["db.test"]),
        ("socks5://proxy.test", "db.test", ["proxy.test", "db.test"]),
        ("socks5://proxy.test", "192.0.2.1", ["proxy.test"]),
        ("socks5://192.0.2.9", "192.0.2.1", []),
    ):
        via = through(url, host)
        assert [name.host for name in via.names] == names
        assert via.needs_lookup == bool(names)


def test_what_needs_no_look_up_has_one_endpoint() -> None:
    """With socks5 the target's address is known here, to be judged; else it is the proxy's."""
    assert asked(through("socks5h://192.0.2.9").endpoints(TCP)) == [
        ("192.0.2.9", "db.test", 5432, None)
    ]
    assert asked(through("http://192.0.2.9:80", "::1").endpoints(TCP)) == [
        ("192.0.2.9", "::1", 5432, None)
    ]
    assert asked(through("socks5://192.0.2.9", "::1").endpoints(TCP)) == [
        ("192.0.2.9", "::1", 5432, "::1")
    ]


def test_each_address_of_the_target_goes_through_each_of_the_proxy() -> None:
    """The target's first address through all of the proxy's, before the second."""
    proxies = [address("192.0.2.8", 1080), address("192.0.2.9", 1080)]
    targets = [address("2001:db8::1", 5432), address("192.0.2.1", 5432)]
    assert asked(through("socks5://proxy.test").join([proxies, targets], TCP)) == [
        ("192.0.2.8", "2001:db8::1", 5432, "2001:db8::1"),
        ("192.0.2.9", "2001:db8::1", 5432, "2001:db8::1"),
        ("192.0.2.8", "192.0.2.1", 5432, "192.0.2.1"),
        ("192.0.2.9", "192.0.2.1", 5432, "192.0.2.1"),
    ]
    assert asked(through("socks5://192.0.2.9").join([targets], TCP)) == [
        ("192.0.2.9", "2001:db8::1", 5432, "2001:db8::1"),
        ("192.0.2.9", "192.0.2.1", 5432, "192.0.2.1"),
    ]
    assert asked(through("socks5h://proxy.test").join([proxies], TCP)) == [
        ("192.0.2.8", "db.test", 5432, None),
        ("192.0.2.9", "db.test", 5432, None),
    ]
    assert through("socks5://proxy.test").join([proxies, []], TCP) == []


def test_an_endpoint_is_the_proxys_and_differs_by_its_destination() -> None:
    """The race dials each once."""
    proxy, one, other = Proxy("socks5://p"), address("192.0.2.1", 1), address("192.0.2.2", 1)
    dialled = address("192.0.2.9", 1080)
    first = Tunnelled(dialled, proxy, "192.0.2.1", 1, one)
    assert first == dialled
    assert first == Tunnelled(dialled, proxy, "192.0.2.1", 1, one)
    assert first != Tunnelled(dialled, proxy, "192.0.2.2", 1, other)
    assert len({first, Tunnelled(dialled, proxy, "192.0.2.2", 1, other), dialled}) == 2
