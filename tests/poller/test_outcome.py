"""What a readiness means: ``wait.outcome``, by itself."""

from __future__ import annotations

import contextlib
import errno
import socket

from aioconnect import wait

from ..support.servers import listen, refusing


def test_a_wake_up_without_a_cause_is_no_outcome(pending: socket.socket) -> None:
    """SO_ERROR is 0 and there is no peer, but nothing is ready: the connect is still under way."""
    assert pending.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    for _ in range(3):
        assert wait.outcome(pending) == wait.SPURIOUS
        assert wait.pending(pending) == wait.SPURIOUS


def test_a_peer_is_an_outcome() -> None:
    """With SO_ERROR 0 and a peer the socket is connected, also when its buffers are full."""
    with listen() as server, socket.socket() as sock:
        sock.connect(server.getsockname())
        assert wait.outcome(sock) == 0
        assert wait.pending(sock) == 0
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(65536))
        assert not wait.ready(sock)
        assert wait.pending(sock) == 0


def test_a_socket_on_which_nothing_is_pending_is_ready_for_ever() -> None:
    """That is told from a spurious wake-up: ENOTCONN, and nobody waits on it."""
    with socket.socket() as sock:
        assert wait.ready(sock)
        assert wait.outcome(sock) == errno.ENOTCONN
        assert wait.pending(sock) == errno.ENOTCONN


def test_a_listening_socket_would_never_become_writable() -> None:
    """It is told that nothing is pending too."""
    with listen() as server:
        assert not wait.ready(server)
        assert wait.pending(server) == errno.ENOTCONN


def test_a_closed_socket_is_a_bad_descriptor() -> None:
    """Not a ``ValueError`` of poll(2)'s wrapper."""
    sock = socket.socket()
    sock.close()
    assert wait.outcome(sock) == errno.EBADF
    assert wait.pending(sock) == errno.EBADF


def test_an_error_is_read_once() -> None:
    """SO_ERROR is cleared by reading it: the second time nothing is pending."""
    with refusing() as address, socket.socket() as sock:
        sock.setblocking(False)
        number = sock.connect_ex(address)
        if number == errno.EINPROGRESS:
            assert wait.outcome(sock) == errno.ECONNREFUSED
        else:
            assert number == errno.ECONNREFUSED
        assert wait.outcome(sock) == errno.ENOTCONN
