"""A Unix socket whose backlog is full is neither connected nor connecting, and is waited for.

connect(2) answers EAGAIN, poll(2) then says "writable" and ``SO_ERROR`` says 0; who takes that for
the end of a pending connect has a socket without a peer, or a loop that burns a core.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

import aioconnect
from aioconnect import BacklogFull, ConnectError, ConnectionRefused, Help, PathNotFound

from .support.apis import APIS, Api
from .support.servers import full_backlog, listen, refusing
from .support.threads import later

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}


@pytest.fixture(params=APIS)
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Call the library on asyncio, on uvloop, and blocking."""
    with Api(request.param) as api:
        yield api


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give a path that is short enough for a socket."""
    return os.path.relpath(tmp_path / "s")


@contextmanager
def little_processor_time(share: float = 0.25, *, at_least: float) -> Iterator[None]:
    """Allow this share of the elapsed time, which must be ``at_least`` seconds, to this process."""
    wall, processor = time.monotonic(), time.process_time()
    yield
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    assert wall >= at_least
    assert processor < share * wall


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_backlog_ends_at_the_deadline_and_is_never_success(
    api: Api, path: str, kind: str
) -> None:
    """It is tried again and again, gently, as one attempt."""
    with full_backlog(path, type=KINDS[kind]), little_processor_time(at_least=0.6):
        error = api.fails(f"unix:{path}", timeout=0.6, type=KINDS[kind])
    assert type(error) is BacklogFull
    assert isinstance(error, BlockingIOError)
    assert (error.errno, error.code) == (errno.EAGAIN, "backlog_full")
    assert (error.stage, error.address, error.help) == ("connect", path, Help.SAME)
    assert error.elapsed >= 0.6
    assert error.count == 1
    (attempt,) = error.attempts
    assert attempt.tries >= 5
    assert attempt.ended - attempt.started >= 0.5
    assert "backlog full" in str(error)
    assert "accepting" in error.hint


def test_an_abstract_socket_has_a_backlog_too(api: Api) -> None:
    """The same for a socket without a path."""
    name = f"aioconnect backlog {os.getpid()}"
    with full_backlog(f"\0{name}"):
        error = api.fails(f"unix:@{name}", timeout=0.1)
    assert type(error) is BacklogFull


def test_a_callers_socket_waits_as_well(api: Api, path: str) -> None:
    """``sock_connect`` calls connect again on the same socket, where nothing had begun."""
    with full_backlog(path), socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        with little_processor_time(at_least=0.6), pytest.raises(BacklogFull) as caught:
            api.sock_connect(sock, path, timeout=0.6)
        assert caught.value.errno == errno.EAGAIN
        assert caught.value.elapsed >= 0.6
        with pytest.raises(OSError, match="not connected"):
            sock.getpeername()


def test_a_wait_on_a_socket_that_met_a_full_backlog_says_that_nothing_is_pending(
    api: Api, path: str
) -> None:
    """EAGAIN was not "in progress": nothing will ever come, and it is not success."""
    with full_backlog(path), socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        assert sock.connect_ex(path) == errno.EAGAIN
        with pytest.raises(ConnectError) as caught:
            api.connect_wait(sock, timeout=5)
    assert caught.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("kind", KINDS)
def test_it_connects_when_the_server_accepts(api: Api, path: str, kind: str) -> None:
    """One accepted connection makes room for one more."""
    with full_backlog(path, type=KINDS[kind]) as server:
        accepted: list[socket.socket] = []
        with (
            later(0.15, lambda: accepted.append(server.accept()[0])),
            api.connect(f"unix:{path}", timeout=10, type=KINDS[kind]) as sock,
        ):
            assert sock.getpeername() == path
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        for connection in accepted:
            connection.close()


def test_a_callers_socket_connects_when_the_server_accepts(api: Api, path: str) -> None:
    """And it is the caller's socket that is connected."""
    with full_backlog(path) as server, socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        accepted: list[socket.socket] = []
        with later(0.15, lambda: accepted.append(server.accept()[0])):
            api.sock_connect(sock, path, timeout=10)
        assert sock.getpeername() == path
        for connection in accepted:
            connection.close()


def test_many_wait_and_each_gets_its_turn(api: Api, path: str) -> None:
    """Ten dial a server that accepts slowly, and ten get through."""
    with full_backlog(path) as server:
        server.settimeout(10)
        accepted: list[socket.socket] = []

        def accept() -> None:
            while len(accepted) < 12:  # the ten, and those that filled the backlog
                accepted.append(server.accept()[0])
                time.sleep(0.01)

        with later(0.1, accept):
            results = api.together([((f"unix:{path}",), {"timeout": 10})] * 10)
            for sock in results:
                assert isinstance(sock, socket.socket), sock
                assert sock.getpeername() == path
                sock.close()
            with socket.socket(socket.AF_UNIX) as last:  # in case the backlog was shorter
                last.connect(path)
        for connection in accepted:
            connection.close()


def test_a_server_that_goes_away_meanwhile_is_refused(api: Api, path: str) -> None:
    """What comes after the full backlog is reported as what it is."""
    with full_backlog(path) as server, later(0.15, server.close):
        error = api.fails(f"unix:{path}", timeout=10)
    assert type(error) is ConnectionRefused
    assert error.attempts[0].tries > 1


def test_a_path_that_goes_away_meanwhile_is_not_found(api: Api, path: str) -> None:
    """The same when the file is removed."""
    with full_backlog(path), later(0.15, lambda: os.unlink(path)):
        error = api.fails(f"unix:{path}", timeout=10)
    assert type(error) is PathNotFound


def test_another_target_is_dialled_meanwhile(api: Api, path: str, tmp_path: Path) -> None:
    """A full backlog does not hold the race up."""
    other = os.path.relpath(tmp_path / "other")
    with (
        full_backlog(path),
        listen(other),
        api.connect([f"unix:{path}", f"unix:{other}"], timeout=10) as sock,
    ):
        assert sock.getpeername() == other


def test_the_limit_of_an_attempt_frees_its_place(api: Api, path: str) -> None:
    """With ``attempt_timeout`` it is given up before the deadline, for what it was."""
    with full_backlog(path), refusing() as refused:
        targets = [f"unix:{path}", refused]
        error = api.fails(targets, timeout=10, attempt_timeout=0.2, happy_eyeballs_delay=None)
    assert [attempt.errno for attempt in error.attempts] == [errno.EAGAIN, errno.ECONNREFUSED]
    assert type(error) is ConnectionRefused
    assert 0.2 <= error.elapsed < 5


def test_without_a_limit_it_waits(api: Api, path: str) -> None:
    """``timeout=None`` waits for as long as it takes."""
    with full_backlog(path) as server:
        accepted: list[socket.socket] = []
        with later(0.3, lambda: accepted.append(server.accept()[0])):
            api.connect(f"unix:{path}", timeout=None).close()
        for connection in accepted:
            connection.close()


async def test_cancelled_while_it_pauses_it_leaves_nothing(path: str) -> None:
    """Between two tries no socket is open, and cancellation comes out as cancellation."""
    with full_backlog(path), socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        for call in (
            aioconnect.connect(f"unix:{path}", timeout=10),
            aioconnect.sock_connect(sock, path, timeout=10),
        ):
            task = asyncio.create_task(call)
            await asyncio.sleep(0.1)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


def test_a_datagram_socket_has_no_backlog(api: Api, path: str) -> None:
    """It connects to a server whose queue is full, and it is ``send`` that would wait."""
    with (
        listen(path, type=socket.SOCK_DGRAM),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        filler.setblocking(False)
        filler.connect(path)
        with suppress(BlockingIOError):
            while True:
                filler.send(b"x")
        with api.connect(f"unix:{path}", timeout=10, type=socket.SOCK_DGRAM) as sock:
            assert sock.getpeername() == path
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.send(b"x")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.setblocking(False)
            api.sock_connect(own, path, timeout=10)
            assert own.getpeername() == path
