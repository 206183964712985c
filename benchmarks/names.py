"""Names: a name server on the loopback, and the contenders that keep answers or ask by themselves.

The worker's own /etc/resolv.conf leads every resolver of its process to that name server, libc's
and c-ares' alike. So this needs a mount namespace, and skips where there is none.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import network, places, servers
from .contenders import (
    ASYNCIO,
    Endpoint,
    Unsupported,
    aiohttp_connector,
    close,
    contender,
    once_per_sample,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOMAIN = "bench.test"


@contextlib.contextmanager
def _named(surroundings: places.Surroundings, endpoint: Endpoint) -> Iterator[places.Place]:
    """Serve both families, and answer every name with both."""
    directory = surroundings.directory
    network.replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\n", directory)
    # Where a host's names go to a resolver of its own first, they would not reach this one.
    network.replace_file("/etc/nsswitch.conf", "hosts: files dns\n", directory)
    v4, v6 = places.both_families()
    endpoint = replace(endpoint, port=v4.getsockname()[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        asked.bind(("127.0.0.1", 53))
        program = directory / "dns"
        command = [str(program)] if program.exists() else [sys.executable, "-m", __name__]
        name_server = servers.start(
            [*command, str(asked.fileno())],
            core=surroundings.core,
            descriptors=[asked.fileno()],
            language="C" if program.exists() else "Python",
        )
        try:
            with places.listening(surroundings, [v4, v6], endpoint) as place:

                def counts() -> tuple[int, float]:
                    served, cpu = place.counts() if place.counts else (0, 0.0)
                    return served, cpu + name_server.counts()[1]

                yield replace(place, counts=counts)
        finally:
            name_server.stop()


def one_name(
    surroundings: places.Surroundings,
) -> contextlib.AbstractContextManager[places.Place]:
    """Dial one name again and again."""
    return _named(surroundings, Endpoint(f"db.{DOMAIN}"))


def many_names(count: int) -> places.Making:
    """Dial `count` names, each once."""
    hosts = tuple(f"n{number}.{DOMAIN}" for number in range(count))
    return partial(_named, endpoint=Endpoint(hosts[0], hosts=hosts))


# Those that differ from what is shipped: with an answer kept, or asked for without libc.


def _our_connect(endpoint: Endpoint, make_resolver: Callable[[], Any]) -> Callable[[], Any]:
    import aioconnect

    if not endpoint.host.endswith(DOMAIN):
        raise Unsupported
    resolver = once_per_sample(make_resolver)
    return partial(aioconnect.connect, endpoint.host, endpoint.port, resolver=resolver)


def _cache() -> Any:
    from aioconnect.resolve import Cache, SystemResolver

    return Cache(SystemResolver())


def _aiodns() -> Any:
    from aioconnect.resolve import AiodnsResolver

    return AiodnsResolver()


@contender(
    "aioconnect.connect, Cache",
    on=ASYNCIO,
    gives="socket",
    needs="aioconnect",
    close=close,
    keeps_time=True,
)
def our_connect_with_cache(endpoint: Endpoint) -> Callable[[], Any]:
    """Keep answers of the system's resolver."""
    return _our_connect(endpoint, _cache)


@contender(
    "aioconnect.connect, AiodnsResolver",
    on=ASYNCIO,
    gives="socket",
    needs="aioconnect",
    close=close,
    keeps_time=True,
)
def our_connect_with_aiodns(endpoint: Endpoint) -> Callable[[], Any]:
    """Ask by c-ares, not by libc; c-ares keeps answers too."""
    return _our_connect(endpoint, _aiodns)


@contender(
    "aiohttp's connector, with its cache",
    on=ASYNCIO,
    gives="transport",
    needs="aiohttp",
    close=close,
    keeps_time=True,
)
def aiohttp_connector_with_cache(endpoint: Endpoint) -> Callable[[], Any]:
    """Keep answers for ten seconds, aiohttp's default."""
    if not endpoint.host.endswith(DOMAIN):
        raise Unsupported
    return aiohttp_connector(endpoint, use_dns_cache=True)


def _answer(question: bytes) -> bytes:
    """Do what dns.c does."""
    end = 12
    while question[end]:
        end += question[end] + 1
    end += 5
    kind = int.from_bytes(question[end - 4 : end - 2])
    found = {1: b"\x7f\0\0\1", 28: bytes(15) + b"\1"}.get(kind)
    head = question[:2] + b"\x85\x80\0\1" + (b"\0\1" if found else b"\0\0") + bytes(4)
    answer = head + question[12:end]
    if found:
        answer += b"\xc0\x0c" + kind.to_bytes(2) + b"\0\1\0\0\0<" + len(found).to_bytes(2) + found
    return answer


def _serve(descriptor: int) -> None:
    asked = socket.socket(fileno=descriptor)
    answered = 0
    while True:
        ready, _, _ = select.select([asked, sys.stdin], [], [])
        if asked in ready:
            question, client = asked.recvfrom(512)
            with contextlib.suppress(IndexError):
                asked.sendto(_answer(question), client)
            answered += 1
        if sys.stdin in ready:
            if not os.read(sys.stdin.fileno(), 1):
                return
            print(answered, servers.cpu_microseconds(), flush=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
