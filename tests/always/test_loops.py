"""Loops of both kinds, in several threads, and in forked children."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from typing import Any

import pytest

import aioconnect
import aioconnect.blocking
from aioconnect import Dialer

from ..support import children
from ..support.account import descriptors
from ..support.loops import LOOPS
from ..support.servers import listen
from ..support.sockets import slow


class Unable(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as Windows' proactor cannot."""

    add_reader = asyncio.AbstractEventLoop.add_reader
    add_writer = asyncio.AbstractEventLoop.add_writer

    def _add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        """Let asyncio itself work."""
        return super()._add_reader(fd, callback, *args)


def test_a_loop_that_cannot_wait_for_sockets_is_refused_before_any_io() -> None:
    """The error names the loop and what would do."""
    made: list[Any] = []

    async def main(sock: socket.socket, address: Any) -> None:
        for call in (
            aioconnect.connect(*address, socket_factory=made.append),
            aioconnect.open_connection(*address, socket_factory=made.append),
            aioconnect.create_connection(asyncio.Protocol, *address, socket_factory=made.append),
            aioconnect.sock_connect(sock, address),
            aioconnect.connect_wait(sock),
        ):
            with pytest.raises(TypeError, match=r"Unable.*add_writer"):
                await call

    with listen() as server, socket.socket() as sock, asyncio.Runner(loop_factory=Unable) as run:
        sock.setblocking(False)
        run.run(main(sock, server.getsockname()))
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert not made


def test_a_dialer_is_shared_by_loops_in_several_threads(dead: tuple[str, int]) -> None:
    """Each loop has what is kept for it, whichever kind it is; it goes with the loop."""
    before = descriptors()
    failures: list[BaseException] = []

    async def main(address: Any) -> None:
        for _ in range(3):
            socks = await asyncio.gather(
                *[dialer.connect([dead, address]) for _ in range(10)],
                *[dialer.connect(address) for _ in range(10)],
            )
            for sock in socks:
                assert sock.getpeername() == address
                sock.close()

    def work(kind: str, address: Any) -> None:
        try:
            for _ in range(2):
                with asyncio.Runner(loop_factory=LOOPS[kind]) as runner:
                    runner.run(main(address))
        except BaseException as exc:
            failures.append(exc)

    dialer = Dialer(socket_factory=slow, happy_eyeballs_delay=0, timeout=20)
    with listen(backlog=1000) as server:
        address = server.getsockname()
        threads = [threading.Thread(target=work, args=(kind, address)) for kind in [*LOOPS] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures, failures
    assert descriptors() == before


_FORKING = """
import asyncio, os, socket, sys
import uvloop
import aioconnect
from aioconnect import poller
sys.path.insert(0, sys.argv[3])
from tests.support.sockets import slow

loop_factory = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}[sys.argv[1]]
address = ("127.0.0.1", int(sys.argv[2]))

async def dial():
    sock = await aioconnect.connect(*address, socket_factory=slow, timeout=20)
    peer = sock.getpeername()
    sock.close()
    assert peer == address

async def parent():
    await dial()
    loop = asyncio.get_running_loop()
    assert poller.of(loop)._watcher() is not None
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert poller.of(loop)._watcher() is None  # that one is the parent's
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                for _ in range(3):
                    runner.run(dial())
            code = 0
        finally:
            os._exit(code)
    await dial()
    while (status := os.waitpid(child, os.WNOHANG)) == (0, 0):
        await dial()
    await dial()
    assert status == (child, 0), status

with asyncio.Runner(loop_factory=loop_factory) as runner:
    runner.run(parent())
print("both")
"""


@pytest.mark.parametrize("kind", LOOPS)
def test_a_forked_child_makes_its_own_and_leaves_the_parents_alone(kind: str) -> None:
    """Both go on to connect, the child in a loop of its own while the parent's runs."""
    with listen(backlog=4096) as server:
        port = str(server.getsockname()[1])
        root = os.path.dirname(os.path.dirname(__file__))
        done = children.run(
            [sys.executable, "-c", _FORKING, kind, port, root],
            timeout=60,
        )
    assert done.stdout == "both\n", done.stderr
