"""The places that scenarios dial: addresses, with their servers behind them.

Each place is a context manager: its servers run, in processes of their own, until it is left.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from . import network, servers
from .contenders import Endpoint

Counts = Callable[[], tuple[int, float]]
Making = Callable[["Surroundings"], contextlib.AbstractContextManager["Place"]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a worker gives to a place."""

    core: int | None
    #: Compiled programs, the certificate, the Unix socket.
    directory: Path


@dataclass(frozen=True, slots=True)
class Place:
    """What a scenario dials, while its servers run."""

    endpoint: Endpoint
    #: Served so far and seconds of CPU of the server; None where there is no server.
    counts: Counts | None = None
    #: What the server is written in.
    language: str = ""


@contextlib.contextmanager
def listening(
    surroundings: Surroundings, listeners: list[socket.socket], endpoint: Endpoint
) -> Iterator[Place]:
    """Run the accept loop over `listeners`, which it closes at the end."""
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(contextlib.closing(listener))
        server = stack.enter_context(
            servers.accept_loop(listeners, core=surroundings.core, programs=surroundings.directory)
        )
        yield Place(endpoint, server.counts, server.language)


def _tcp(family: int, host: str) -> Making:
    def place(surroundings: Surroundings) -> contextlib.AbstractContextManager[Place]:
        listener = servers.listen(family, (host, 0))
        address = listener.getsockname()
        endpoint = Endpoint(host=host, port=address[1], addresses=((family, address),))
        return listening(surroundings, [listener], endpoint)

    return place


tcp_v4 = _tcp(socket.AF_INET, "127.0.0.1")
tcp_v6 = _tcp(socket.AF_INET6, "::1")


def unix(surroundings: Surroundings) -> contextlib.AbstractContextManager[Place]:
    """Listen on a Unix socket."""
    path = str(surroundings.directory / "socket")
    Path(path).unlink(missing_ok=True)
    listener = servers.listen(socket.AF_UNIX, path)
    endpoint = Endpoint(path=path, addresses=((socket.AF_UNIX, path),))
    return listening(surroundings, [listener], endpoint)


def both_families() -> tuple[socket.socket, socket.socket]:
    """Return listeners on one port of 127.0.0.1 and ::1."""
    for _ in range(100):
        v4 = servers.listen(socket.AF_INET, ("127.0.0.1", 0))
        try:
            return v4, servers.listen(socket.AF_INET6, ("::1", v4.getsockname()[1]))
        except OSError:  # somebody has that port on the other family
            v4.close()
    raise OSError("no port is free on both families")


def localhost(surroundings: Surroundings) -> contextlib.AbstractContextManager[Place]:
    """Listen on one port of both families."""
    v4, v6 = both_families()
    endpoint = Endpoint(host="localhost", port=v4.getsockname()[1])
    return listening(surroundings, [v4, v6], endpoint)


@contextlib.contextmanager
def refused(surroundings: Surroundings) -> Iterator[Place]:
    """Hold a port that refuses: bound and not listening, so nobody else can get it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        address = holder.getsockname()
        yield Place(Endpoint(*address, addresses=((socket.AF_INET, address),)))


@contextlib.contextmanager
def first_refused(surroundings: Surroundings) -> Iterator[Place]:
    """Make a dual-stack name of which only the IPv4 side has a server."""
    v4, v6 = both_families()
    v6.close()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as holder:
        port = v4.getsockname()[1]
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("::1", port))
        addresses = (
            (socket.AF_INET6, ("::1", port, 0, 0)),
            (socket.AF_INET, ("127.0.0.1", port)),
        )
        endpoint = Endpoint("two.test", port, addresses=addresses, answered=True)
        with listening(surroundings, [v4], endpoint) as place:
            yield place


@contextlib.contextmanager
def first_dead(surroundings: Surroundings) -> Iterator[Place]:
    """Make a dual-stack name whose IPv6 side leads into a black hole."""
    with network.black_hole(), tcp_v4(surroundings) as place:
        port = place.endpoint.port
        dead = (socket.AF_INET6, (network.BLACK_HOLE_V6, port, 0, 0))
        addresses = (dead, *place.endpoint.addresses)
        endpoint = Endpoint("two.test", port, addresses=addresses, answered=True)
        yield replace(place, endpoint=endpoint)


def black_hole(timeout: float) -> Making:
    """Make an address that does not answer; who dials it gives up after `timeout` seconds."""

    @contextlib.contextmanager
    def place(surroundings: Surroundings) -> Iterator[Place]:
        address = (network.BLACK_HOLE_V4, 9)
        with network.black_hole():
            yield Place(Endpoint(*address, addresses=((socket.AF_INET, address),), timeout=timeout))

    return place


def behind(round_trip: float) -> Making:
    """Listen behind a round trip of so many seconds."""

    @contextlib.contextmanager
    def place(surroundings: Surroundings) -> Iterator[Place]:
        with network.far_side(
            round_trip, core=surroundings.core, programs=surroundings.directory
        ) as (port, far):
            address = (network.FAR, port)
            endpoint = Endpoint(*address, addresses=((socket.AF_INET, address),))
            yield Place(endpoint, far.counts, far.language)

    return place


@contextlib.contextmanager
def tls(surroundings: Surroundings) -> Iterator[Place]:
    """Listen for TLS on 127.0.0.1."""
    certificate = surroundings.directory / "localhost.pem"
    context = ssl.create_default_context(cafile=str(certificate))
    listener = servers.listen(socket.AF_INET, ("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with listener, servers.tls_server(listener, certificate, core=surroundings.core) as server:
        addresses = ((socket.AF_INET, ("127.0.0.1", port)),)
        endpoint = Endpoint("127.0.0.1", port, addresses=addresses, context=context)
        yield Place(endpoint, server.counts, server.language)


def no_ipv6() -> str | None:
    """Return why the loopback's IPv6 address is of no use, or None."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return "needs IPv6 on the loopback"
    return None


def no_certificate() -> str | None:
    """Return why there will be no certificate, or None."""
    return None if shutil.which("openssl") else "needs openssl for a certificate"
