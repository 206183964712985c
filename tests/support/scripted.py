"""Proxies that do as they are told: on loopback, each connection in a thread of its own."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BANNER = b"220 the server speaks first\r\n"
USER, PASSWORD = b"me", b"hunter2"


class Scripted:
    """A proxy: what it was asked for, and at what instants connections came."""

    def __init__(self, address: Any) -> None:
        self.address = address
        self.asked: list[tuple[str, int]] = []
        """Each host and port, in the order in which they were asked for."""
        self.accepted: list[float] = []
        self.open: set[socket.socket] = set()
        self.lock = threading.Lock()

    def url(self, scheme: str, *, credentials: bool = False) -> str:
        """Return its URL."""
        host, port = self.address[:2]
        user = "me:hunter2@" if credentials else ""
        return f"{scheme}://{user}{f'[{host}]' if ':' in host else host}:{port}"


Serve = "Callable[[Scripted, socket.socket], None]"


@contextmanager
def scripted(
    serve: Callable[[Scripted, socket.socket], None],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    full: float = 0.0,
) -> Iterator[Scripted]:
    """Run a proxy whose connections are served by ``serve``, and closed when it returns.

    For the first ``full`` seconds its backlog is full: Linux drops the SYNs, and the client sends
    the next one a second after the first.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    backlog = 0 if full else 128
    with (
        socket.create_server((host, port), family=family, backlog=backlog) as listener,
        contextlib.ExitStack() as fillers,
    ):
        proxy = Scripted(listener.getsockname())
        while full:
            filler = fillers.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            if not select.select([], [filler], [], 0.2)[1]:
                break
        threads: list[threading.Thread] = []

        def run(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                serve(proxy, connection)
            with proxy.lock:
                proxy.open.discard(connection)

        def accept() -> None:
            time.sleep(full)
            with contextlib.suppress(OSError):  # the listener was shut down
                while True:
                    connection, _ = listener.accept()
                    with proxy.lock:
                        proxy.accepted.append(time.monotonic())
                        proxy.open.add(connection)
                    thread = threading.Thread(target=run, args=(connection,))
                    threads.append(thread)
                    thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            with proxy.lock:
                for connection in proxy.open:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


# What they speak ------------------------------------------------------------------------------


def receive(sock: socket.socket, count: int) -> bytes:
    """Receive exactly so many bytes."""
    data = sock.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        raise ConnectionError("the client has closed")
    return data


def read_socks(proxy: Scripted, sock: socket.socket, *, locked: bool = False) -> tuple[str, int]:
    """Speak SOCKS 5 up to the request, and return what was asked for.

    Raises:
        ConnectionError: the client has no password, or closed.
    """
    _, count = receive(sock, 2)
    methods = receive(sock, count)
    if locked:
        if 2 not in methods:
            sock.sendall(b"\x05\xff")
            raise ConnectionError("no password")
        sock.sendall(b"\x05\x02")
        user = receive(sock, receive(sock, 2)[1])
        password = receive(sock, receive(sock, 1)[0])
        right = (user, password) == (USER, PASSWORD)
        sock.sendall(b"\x01\x00" if right else b"\x01\x01")
        if not right:
            raise ConnectionError("a wrong password")
    else:
        sock.sendall(b"\x05\x00")
    _, _, _, kind = receive(sock, 4)
    if kind == 3:
        host = receive(sock, receive(sock, 1)[0]).decode()
    elif kind == 1:
        host = socket.inet_ntop(socket.AF_INET, receive(sock, 4))
    else:
        host = socket.inet_ntop(socket.AF_INET6, receive(sock, 16))
    port = int.from_bytes(receive(sock, 2), "big")
    with proxy.lock:
        proxy.asked.append((host, port))
    return host, port


def read_http(proxy: Scripted, sock: socket.socket, *, locked: bool = False) -> tuple[str, int]:
    """Read a CONNECT, and return what was asked for."""
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += receive(sock, 1)
    method, authority, version = request.split(b"\r\n")[0].decode().split(" ")
    assert (method, version) == ("CONNECT", "HTTP/1.1")
    if locked:
        token = base64.b64encode(USER + b":" + PASSWORD)
        if b"\r\nProxy-Authorization: Basic " + token + b"\r\n" not in request:
            sock.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            raise ConnectionError("no password")
    host, _, port = authority.rpartition(":")
    with proxy.lock:
        proxy.asked.append((host.strip("[]"), int(port)))
    return host.strip("[]"), int(port)


READ: dict[str, Callable[..., tuple[str, int]]] = {
    "socks5h": read_socks,
    "socks5": read_socks,
    "http": read_http,
}


def answer_of(scheme: str, failure: str = "") -> bytes:
    """Return an answer: success, or ``"refused"``, ``"forbidden"``, ``"failed"``."""
    if scheme == "http":
        status = {
            "": "200 Connection established",
            "refused": "503 Service Unavailable",
            "forbidden": "403 Forbidden",
            "failed": "502 Bad Gateway",
        }[failure]
        return f"HTTP/1.1 {status}\r\nServer: scripted\r\n\r\n".encode()
    code = {"": 0, "refused": 5, "forbidden": 2, "failed": 1}[failure]
    return bytes((5, code, 0, 1)) + bytes(6)


def echo(sock: socket.socket) -> None:
    """Be the server behind the proxy."""
    while data := sock.recv(65536):
        sock.sendall(data)


def good(scheme: str, *, locked: bool = False) -> Callable[[Scripted, socket.socket], None]:
    """Make a proxy that is its own target: the banner comes with the answer, then it echoes."""

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        READ[scheme](proxy, sock, locked=locked)
        sock.sendall(answer_of(scheme) + BANNER)
        echo(sock)

    return serve


def failing(scheme: str, *failures: str) -> Callable[[Scripted, socket.socket], None]:
    """Make a proxy that answers so, one connection after the other; the last is for all others."""

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        READ[scheme](proxy, sock)
        number = min(len(proxy.asked), len(failures)) - 1
        failure = failures[number]
        sock.sendall(answer_of(scheme, failure) + (b"" if failure else BANNER))
        if not failure:
            echo(sock)

    return serve


def silent(proxy: Scripted, sock: socket.socket) -> None:
    """Take everything, and say nothing."""
    while sock.recv(65536):
        pass


def relaying(scheme: str, address: Any) -> Callable[[Scripted, socket.socket], None]:
    """Make a proxy that leads to ``address``, whatever it is asked for."""

    def serve(proxy: Scripted, sock: socket.socket) -> None:
        READ[scheme](proxy, sock)
        with socket.create_connection(address) as onward:
            sock.sendall(answer_of(scheme))
            ends = {sock: onward, onward: sock}
            while ends:
                for ready in select.select(list(ends), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    ends[ready].sendall(data)

    return serve
