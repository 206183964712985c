"""The demo's servers: good and bad ones, on the loopback interface, without any privilege.

Each is a context manager; when it is left, nothing of it is.  The kernel answers for all of them:
a connection is made when it stands in the queue of a listening socket, whether or not anybody
accepts it.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "accepting",
    "accepting_on_path",
    "dead_and_alive",
    "refusing",
    "refusing_at_first",
    "silent",
]

LOOPBACK = "127.0.0.1"
_SILENCE = 0.2
"""Seconds without an answer after which a queue counts as full; the loopback takes none."""
_LONGEST_QUEUE = 1024


@contextmanager
def accepting() -> Generator[int]:
    """Give the port of a healthy server."""
    with _bound() as server:
        server.listen()
        yield _port(server)


@contextmanager
def refusing() -> Generator[int]:
    """Give a port that refuses: it is taken, so that nobody else can listen on it meanwhile."""
    with _bound() as server:
        yield _port(server)


@contextmanager
def refusing_at_first(seconds: float) -> Generator[int]:
    """Give the port of a server that starts to listen ``seconds`` from now, in a running loop."""
    with _bound() as server:
        start = asyncio.get_running_loop().call_later(seconds, server.listen)
        try:
            yield _port(server)
        finally:
            start.cancel()


@contextmanager
def silent() -> Generator[int]:
    """Give a port that never answers."""
    with _bound() as server, _made_silent(server):
        yield _port(server)


@contextmanager
def accepting_on_path() -> Generator[str]:
    """Give the path of a healthy server on a Unix socket."""
    with (
        tempfile.TemporaryDirectory(prefix="aioconnect-", dir=_short_directory()) as directory,
        socket.socket(socket.AF_UNIX) as server,
    ):
        path = str(Path(directory, "demo.sock"))
        server.bind(path)
        server.listen()
        yield path


@contextmanager
def dead_and_alive() -> Generator[tuple[str, str, int]]:
    """Give a silent address, a healthy one, and the port of both.

    The silent one is ``::1``, or 127.0.0.2 on a host without IPv6.

    Raises:
        OSError: this host has neither.
    """
    dead = "::1" if _has_ipv6() else "127.0.0.2"
    with ExitStack() as stack:
        for _ in range(20):  # until a port is free on both
            first = stack.enter_context(_bound(dead))
            try:
                second = stack.enter_context(_bound(LOOPBACK, _port(first)))
            except OSError:
                first.close()
                continue
            second.listen()
            stack.enter_context(_made_silent(first))
            yield dead, LOOPBACK, _port(second)
            return
        raise OSError(f"no port is free on both {dead} and {LOOPBACK}")


def _bound(host: str = LOOPBACK, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _short_directory() -> str | None:
    """Name a directory for a socket's path (at most 103 bytes on the BSDs); None is TMPDIR."""
    return "/tmp" if len(os.fsencode(tempfile.gettempdir())) > 70 else None  # noqa: S108


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def _has_ipv6() -> bool:
    try:
        _bound("::1").close()
    except OSError:
        return False
    return True


@contextmanager
def _made_silent(server: socket.socket) -> Generator[None]:
    """Fill the server's queue: SYNs to a full one are dropped, on Linux as on the BSDs."""
    server.listen(0)
    with ExitStack() as fillers:
        for _ in range(_LONGEST_QUEUE):
            filler = fillers.enter_context(socket.socket(server.family))
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
            if not select.select([], [filler], [], _SILENCE)[1]:
                break
        else:
            raise OSError("this system's queue of connections cannot be filled")
        yield
