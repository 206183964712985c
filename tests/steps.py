"""Event loops that are driven step by step, and the account of what a call has left behind.

A *step* is one iteration of the loop.  Between two steps no code of the loop runs, so everything
that can happen to a call from outside (here: that it is cancelled) can happen at any of them, and
nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import uvloop

from aioconnect import poller

from .conftest import descriptors
from .support.children import started

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

NAME = f"aioconnect-{os.getpid()}"
"""For abstract Unix sockets, which all processes of a host share."""

GRACE = 3
"""Turns of the loop in which a closing transport and a cancelled look-up must be gone."""


# Loops --------------------------------------------------------------------------------------------


class _Recording:
    """A loop that counts what happens on it, and keeps the timers that it was asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scheduled = 0
        self.timers: list[tuple[asyncio.TimerHandle, list[bool]]] = []

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        self.scheduled += 1
        return super().call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self._record(super().call_later, delay, callback, args, context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self._record(super().call_at, when, callback, args, context)

    def _record(self, method: Any, when: float, callback: Any, args: Any, context: Any) -> Any:
        fired: list[bool] = []

        def fire(*args: Any) -> None:
            fired.append(True)
            callback(*args)

        self.scheduled += 1
        handle = method(when, fire, *args, context=context)
        self.timers.append((handle, fired))
        return handle


class _Asyncio(_Recording, asyncio.SelectorEventLoop):
    """asyncio's loop."""

    def _process_events(self, event_list: Any) -> None:
        self.scheduled += len(event_list)
        super()._process_events(event_list)


class _Uvloop(_Recording, uvloop.Loop):
    """uvloop's loop."""


KINDS = ("asyncio", "uvloop", *(("eager",) if sys.version_info >= (3, 12) else ()))
"""asyncio, uvloop, and asyncio whose tasks begin to run when they are made."""


class Steps:
    """An event loop that goes when it is told to."""

    def __init__(self, kind: str) -> None:
        self.loop: Any = _Uvloop() if kind == "uvloop" else _Asyncio()
        if kind == "eager":
            self.loop.set_task_factory(asyncio.eager_task_factory)
        self.complaints: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.loop.close()

    def step(self) -> bool:
        """Run one iteration of the loop; tell whether anything happened in it."""
        before = self.loop.scheduled
        self.loop.stop()  # before it runs: it ends after one iteration
        self.loop.run_forever()
        return bool(self.loop.scheduled != before)

    def start(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
        """Make a task, from inside the loop (an eager one runs at once)."""
        made: list[asyncio.Task[Any]] = []
        self.loop.call_soon(lambda: made.append(self.loop.create_task(call())))
        self.step()
        return made[0]

    def advance(self, task: asyncio.Task[Any], most: int) -> int:
        """Run steps until the task is done, at most ``most``; return how many were run.

        An iteration in which nothing happens is not counted: the call waits for the world
        outside, which is given time.
        """
        done = 0
        limit = time.monotonic() + 20
        while done < most and not task.done():
            if self.step():
                done += 1
            else:
                assert time.monotonic() < limit, "the call hangs"
                time.sleep(0.0003)
        return done

    def run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Run a call to its end."""
        task = self.start(call)
        self.advance(task, sys.maxsize)
        return task.result()

    def settle(self, turns: int) -> None:
        """Run some more iterations."""
        for _ in range(turns):
            self.step()

    def account(self) -> Account:
        """Take stock of everything that a call could leave behind."""
        pending = [(h, fired) for h, fired in self.loop.timers if not fired and not h.cancelled()]
        self.loop.timers[:] = pending
        left = {handle for handle, _ in pending}
        left.update(h for h in getattr(self.loop, "_scheduled", ()) if not h.cancelled())
        watcher = poller.of(self.loop)
        left.discard(watcher._timer)  # fires once for nothing, and is gone
        return Account(
            frozenset(descriptors().items()),
            frozenset(polled()),
            frozenset(asyncio.all_tasks(self.loop)),
            frozenset(left),
            frozenset(tie for _, tie, inbox in watcher._heap if inbox is not None),
        )


class Account(NamedTuple):
    """What a process and its loop hold at an instant."""

    descriptors: frozenset[tuple[int, tuple[int, int]]]
    """With device and inode: a number that was closed and given out again is seen."""
    polled: frozenset[tuple[int, str]]
    """What every epoll of this process watches, from the kernel."""
    tasks: frozenset[asyncio.Task[Any]]
    timers: frozenset[asyncio.TimerHandle]
    instants: frozenset[int]
    """What the poller of the loop is to wake somebody at."""

    def difference(self, before: Account) -> dict[str, Any]:
        """Name what is more, or less, than before."""
        found = {}
        for name, now, then in zip(self._fields, self, before, strict=True):
            if now - then:
                found[f"{name} left"] = sorted(map(repr, now - then))
            if then - now:
                found[f"{name} lost"] = sorted(map(repr, then - now))
        return found


def polled() -> Iterator[tuple[int, str]]:
    """List what each epoll of this process watches: its descriptor, and a line of proc(5)."""
    for name in os.listdir("/proc/self/fd") if sys.platform == "linux" else ():
        with suppress(OSError):  # the descriptor of the listing itself
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[eventpoll]":
                with open(f"/proc/self/fdinfo/{name}") as lines:
                    for line in lines:
                        if line.startswith("tfd:"):
                            yield int(name), line.strip()


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector off, so that it hides nothing.

    Not frozen here: ``gc.unfreeze`` would undo what conftest.py did for the whole session.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@contextmanager
def no_warnings() -> Iterator[None]:
    """Fail if anything warns, also from a finaliser."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    assert not caught, [str(warning.message) for warning in caught]


# Sockets, servers ---------------------------------------------------------------------------------


class Slow(socket.socket):
    """A socket whose connect is under way, as it is to a host that is not this one.

    On loopback the handshake is over when ``connect`` returns; this one does not tell.
    """

    def connect_ex(self, address: Any) -> int:
        """Connect, and say EINPROGRESS."""
        number = super().connect_ex(address)
        return errno.EINPROGRESS if number in (0, errno.EISCONN) else number


def slow(endpoint: Any) -> Slow:
    """Make sockets that connect, but not at once: a ``socket_factory``."""
    return Slow(*endpoint[:3])


class Making:
    """A ``socket_factory`` that knows what it has made."""

    def __init__(self) -> None:
        self.made: list[socket.socket] = []

    def __call__(self, endpoint: Any) -> socket.socket:
        """Make a socket."""
        self.made.append(socket.socket(*endpoint[:3]))
        return self.made[-1]

    def forget(self) -> None:
        """Let go of the sockets; each must have been closed, and know it.

        One that does not would close its number once more when it is collected, and that may be
        somebody else's by then.
        """
        made, self.made = self.made, []
        assert [sock.fileno() for sock in made] == [-1] * len(made)


def drain(*servers: socket.socket) -> None:
    """Close what the kernel accepted for these listeners."""
    for server in servers:
        server.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()


_PEERS = """
import asyncio, json, socket, ssl, struct, sys

async def serve(certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.num_tickets = 0  # nothing comes after the handshake but what was asked for

    async def echo(reader, writer):
        try:
            while data := await reader.read(1000):
                writer.write(data)
        except OSError:
            pass
        writer.close()

    async def plain(reader, writer):
        await reader.read(1000)  # or the close would be a reset
        writer.write(b"HTTP/1.0 400 Bad Request\\r\\n\\r\\n")
        writer.close()

    async def reset(reader, writer):
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    servers = {
        "tls": await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context),
        "plain": await asyncio.start_server(plain, "127.0.0.1", 0),
        "reset": await asyncio.start_server(reset, "127.0.0.1", 0),
    }
    print(json.dumps({n: s.sockets[0].getsockname() for n, s in servers.items()}), flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(serve(sys.argv[1]))
"""


@contextmanager
def peers(certificate: Path) -> Iterator[dict[str, tuple[str, int]]]:
    """Run TLS servers in another process, whose descriptors are not ours.

    Gives the addresses of one that echoes (``tls``, with the key and the certificate chain of a
    PEM file), one that speaks no TLS (``plain``), and one that resets when it has heard anything
    (``reset``).
    """
    with started(
        [sys.executable, "-c", _PEERS, str(certificate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield {n: tuple(a) for n, a in json.loads(process.stdout.readline()).items()}
        finally:
            process.stdin.close()
