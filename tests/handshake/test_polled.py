"""Handshakes over TCP in poll(2): a peer in a thread of its own, time, resets."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from aioconnect.handshake import http, socks5
from aioconnect.proxy import Proxy

from ..support.handshaking import poll_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOCKS = Proxy("socks5h://me:hunter2@proxy.test:1080")
HTTP = Proxy("http://me:hunter2@proxy.test:3128")
SOCKS_ANSWER = b"\x05\x02\x01\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"
HTTP_ANSWER = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nVia: x\r\n\r\n"
BANNER = b"220 ready\r\n"

KINDS = pytest.mark.parametrize(
    ("tunnel", "proxy", "answer"),
    [(socks5.tunnel, SOCKS, SOCKS_ANSWER), (http.tunnel, HTTP, HTTP_ANSWER)],
    ids=["socks5", "http"],
)


@contextmanager
def connected_to(serve: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """Give a connected, non-blocking TCP socket whose peer is served by a thread."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()

        def run() -> None:
            with theirs:
                serve(theirs)

        thread = threading.Thread(target=run)
        with ours:
            ours.setblocking(False)
            thread.start()
            try:
                yield ours
            finally:
                ours.close()
                thread.join()


@KINDS
def test_an_answer_that_drips_wakes_once_for_each_byte(
    tunnel: Callable[..., object], proxy: Proxy, answer: bytes
) -> None:
    """The CPU is left alone between them, and what the server says first is still there."""
    gap = 0.01

    def serve(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in answer:
            time.sleep(gap)
            sock.send(bytes((byte,)))
        sock.send(BANNER)
        while sock.recv(4096):
            pass

    with connected_to(serve) as ours:
        used, started = time.thread_time(), time.monotonic()
        resumed = poll_through(tunnel(ours, proxy, "db.test", 80), ours)
        used, took = time.thread_time() - used, time.monotonic() - started
        assert resumed <= len(answer) + 2
        assert used < took / 2
        ours.setblocking(True)
        assert ours.recv(100) == BANNER
        ours.shutdown(socket.SHUT_WR)


@KINDS
def test_a_reset_after_any_byte_is_a_failed_handshake(
    tunnel: Callable[..., object], proxy: Proxy, answer: bytes
) -> None:
    """A reset comes out as the kernel says it, never as a tunnel."""
    for sent in range(len(answer)):

        def serve(sock: socket.socket, sent: int = sent) -> None:
            sock.recv(1)
            sock.send(answer[:sent])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        with connected_to(serve) as ours, pytest.raises((ConnectionError, BrokenPipeError)):
            poll_through(tunnel(ours, proxy, "db.test", 80), ours)


@KINDS
def test_a_proxy_that_says_nothing_is_waited_for_in_one_poll(
    tunnel: Callable[..., object], proxy: Proxy, answer: bytes
) -> None:
    """The handshake has no clock: who drives it ends it."""
    done = threading.Event()
    with connected_to(lambda sock: done.wait(10) and None) as ours:
        steps = tunnel(ours, proxy, "db.test", 80)
        with pytest.raises(TimeoutError):
            poll_through(steps, ours, timeout=0.05)
        done.set()
        assert ours.fileno() >= 0
