"""TLS as a stage of an attempt: the handshake is the loop's own, over the connected socket.

The loop makes the transport.  Until an attempt has won, its protocol is a :class:`Gate`, which
reads nothing; the winner's gate is replaced by the caller's protocol, so that one is made, and it
misses nothing of a server that speaks first.

A handshake that fails or is left is ended by a reset: a cancelled task would have uvloop go on
and complain, and a farewell of the peer is not waited for.

Source: the documentation of ``loop.create_connection``; RFC 8446.
"""

from __future__ import annotations

import asyncio
from inspect import CORO_CREATED, getcoroutinestate
from math import inf
from typing import TYPE_CHECKING, Any

from . import causes
from .errors import AttemptFailed
from .poller import of
from .stages import StageSpec
from .transports import end_connection, own_create_connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from .targets import Target

    ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

__all__ = ["Gate", "hand_over", "over_own_socket", "stage"]

NO_LIMIT = 1e6
"""Seconds for the loop's own limit of a handshake, which would else be 60: ours end it."""


class Gate(asyncio.Protocol):
    """The protocol of a connection that nobody has taken yet: it reads nothing.

    Attributes:
        transport: set when the handshake is done.
        protocol: the caller's, from when it was handed over.
    """

    transport: Any = None
    protocol: Any = None
    _lost: tuple[Exception | None] | None = None
    _shut = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and what the server says in it."""
        self.transport = transport
        if self._shut:
            self.transport.abort()
        else:
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on, or keep it for whoever takes the connection."""
        if self.protocol is None:
            self._lost = (exc,)
        else:
            self.protocol.connection_lost(exc)

    def shut(self) -> None:
        """Abort the connection, now or as soon as it is there."""
        self._shut = True
        if self.transport is not None:
            self.transport.abort()

    def open(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the connection to the caller's protocol."""
        self.protocol = protocol
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self._lost is None:
            self.transport.resume_reading()
        else:
            asyncio.get_running_loop().call_soon(protocol.connection_lost, *self._lost)


def stage(options: Mapping[str, Any]) -> StageSpec:
    """Return the stage for TLS.

    Args:
        options: ``ssl`` and what else ``loop.create_connection`` takes for it.
    """
    handshakes = _Handshakes(options)
    return StageSpec("tls", undo=_abort, run=handshakes.run, end=handshakes.end)


class _Handshakes:
    """The handshakes of one call.

    Args:
        options: as for :func:`stage`.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {"ssl_handshake_timeout": NO_LIMIT, **options}
        self._gates: dict[socket.socket, Gate] = {}

    async def run(self, sock: socket.socket, target: Target | None) -> Gate:
        """Make a transport over a socket, and do the handshake.

        Args:
            sock: connected; ``end`` must follow if this fails or is left.
            target: whose name is verified if ``server_hostname`` is not among the options.

        Returns:
            The gate, whose ``transport`` reads nothing yet.
        """
        options, gate = self._options, Gate()
        if "server_hostname" not in options:
            assert target is not None
            options = {**options, "server_hostname": _name_of(target)}
        self._gates[sock] = gate
        make = own_create_connection(asyncio.get_running_loop())
        await make(lambda: gate, sock=sock, **options)
        return gate

    def end(self, sock: socket.socket, task: asyncio.Task[Any]) -> None:
        """End a handshake: the peer hears of it at once, and all is closed within three turns.

        Args:
            sock: what it was given.
            task: of the handshake; what comes of it is dropped.
        """
        if getcoroutinestate(task.get_coro()) == CORO_CREATED:  # type: ignore[arg-type]
            task.cancel()
            sock.close()
            return
        gate = self._gates.get(sock)
        if gate is not None:
            gate.shut()
        if task.done():
            _drop(task)
        else:
            task.add_done_callback(_drop)
        end_connection(asyncio.get_running_loop(), sock, reset=True)


def _name_of(target: Target) -> str:
    """Return the name that the certificate of a target must have."""
    return target.host.partition("%")[0].rstrip(".")


def hand_over(gate: Gate, protocol_factory: Callable[[], ProtocolT]) -> tuple[Any, ProtocolT]:
    """Make the caller's protocol, and give it the connection; if it raises, that is aborted."""
    try:
        protocol = protocol_factory()
        gate.open(protocol)
    except BaseException:
        gate.transport.abort()
        raise
    return gate.transport, protocol


def _abort(gate: Gate) -> None:
    gate.transport.abort()


def _drop(task: asyncio.Task[Any]) -> None:
    """Retrieve what came of a handshake that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def over_own_socket(sock: socket.socket, options: Mapping[str, Any], timeout: float) -> Gate:
    """Do the handshake over a socket that the caller brings; it is closed if this fails.

    Args:
        sock: connected.
        options: as for :func:`stage`, with ``server_hostname``.
        timeout: seconds.

    Raises:
        ConnectError: the handshake failed.
    """
    loop = asyncio.get_running_loop()
    clock = of(loop).clock
    started = clock()
    handshakes = _Handshakes(options)
    task = loop.create_task(handshakes.run(sock, None), name="aioconnect: handshake")
    address: Any = None
    try:
        address = sock.getpeername()
        done, _ = await asyncio.wait((task,), timeout=None if timeout == inf else timeout)
        if done:
            return task.result()
        error = causes.timed_out(whole=True, stage="tls", address=address, family=sock.family)
    except OSError as exc:
        error = causes.from_exception(exc, stage="tls", address=address, family=sock.family)
    except BaseException:
        handshakes.end(sock, task)
        raise
    handshakes.end(sock, task)
    now = clock()
    error.elapsed = now - started
    failed = AttemptFailed(now, "sock", error, started, 1, 1)
    try:
        raise causes.combine([failed], target="sock", elapsed=now - started)
    finally:
        del error, failed  # locals that refer to it would close a cycle
