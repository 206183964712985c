"""An event loop that dials through a ``Dialer``: for clients that know nothing of this library.

The loop's own methods are replaced on one loop, by its public names: ``create_connection``,
``create_unix_connection``, ``create_datagram_endpoint``, ``getaddrinfo`` and ``sock_connect``.
Servers, subprocesses and everything else stay as they are.  A client that calls the loop (redis,
asyncpg, httpx, websockets and most others do) then has the race, the limits, the policy and the
errors of the dialer, unmodified; one that connects in C or in threads has not.

Source: the documentation of asyncio's event loop methods.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from . import engine, events, streams
from .dialer import Dialer
from .errors import ConnectError, InvalidTarget
from .log import emit
from .poller import of
from .resolve.base import lookup_name
from .resolve.known import at_hand
from .resolve.order import arranged
from .targets import parse_host
from .text import format_address
from .transports import OWN_METHOD, own_create_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeAlias

    from .targets import Endpoint

    Chosen: TypeAlias = "Dialer | Callable[[Any, Any], Dialer | None] | None"

__all__ = ["NoSuchHost", "install", "loop_factory"]

METHODS = (
    "create_connection",
    "create_unix_connection",
    "create_datagram_endpoint",
    "getaddrinfo",
    "sock_connect",
)
"""What is replaced on a loop."""

_INSTALLED = "_aioconnect_dialing"
_NOT_FOR_US = socket.AI_PASSIVE | socket.AI_NUMERICHOST
_DROPPED = socket.AI_ADDRCONFIG | socket.AI_CANONNAME


class NoSuchHost(InvalidTarget, socket.gaierror):
    """A host that cannot mean anything, where clients expect a ``gaierror``; EAI_NONAME."""


def loop_factory(
    dialer: Chosen = None,
    *,
    base: Callable[[], asyncio.AbstractEventLoop] = asyncio.SelectorEventLoop,
) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return a loop factory: ``asyncio.run(main(), loop_factory=aioconnect.loop_factory(dialer))``.

    On Python 3.11 it is ``asyncio.Runner(loop_factory=...)``.

    Args:
        dialer: who dials; None is one without options; or a function that is called with the host
            and the port, and returns one, or None for the loop's own way.
        base: makes the loop: ``asyncio.SelectorEventLoop``, ``uvloop.Loop``, or any other that has
            these methods.

    Returns:
        A function without arguments; the loop that it returns is the caller's.

    Raises:
        TypeError: ``dialer`` is none of these.
    """
    chosen = _checked(dialer)

    def factory() -> asyncio.AbstractEventLoop:
        loop = base()
        _Dialing(loop, chosen).install()
        return loop

    return factory


def install(dialer: Chosen = None) -> Callable[[], None]:
    """Let the running loop dial through a dialer.

    Args:
        dialer: as for :func:`loop_factory`.

    Returns:
        A function that undoes it.  Installs may be nested, and are undone last in, first out;
        otherwise it raises ``RuntimeError``.

    Raises:
        TypeError: ``dialer`` is none.
        RuntimeError: no loop is running.
    """
    dialing = _Dialing(asyncio.get_running_loop(), _checked(dialer))
    dialing.install()
    return dialing.undo


def _checked(dialer: Any) -> Callable[[Any, Any], Dialer | None]:
    if dialer is None or isinstance(dialer, Dialer):
        chosen = Dialer() if dialer is None else dialer
        return lambda host, port: chosen
    if not callable(dialer):
        raise TypeError(
            f"dialer={dialer!r}: a Dialer, a function from host and port to one, or None"
        )
    return cast("Callable[[Any, Any], Dialer | None]", dialer)


class _Dialing:
    """The methods of one loop that dial.

    Args:
        loop: whose.
        choose: called with host and port; returns the dialer, or None for the loop's own way.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, choose: Callable[[Any, Any], Dialer | None]
    ) -> None:
        self._loop: Any = loop
        self._choose = choose
        self._own: Any = {}
        self._before: dict[str, Any] = {}

    def install(self) -> None:
        """Put them on the loop."""
        loop = self._loop
        self._own = {name: getattr(loop, name) for name in METHODS}
        self._before = {name: vars(loop).get(name) for name in (*METHODS, _INSTALLED, OWN_METHOD)}
        if self._before[OWN_METHOD] is None:
            setattr(loop, OWN_METHOD, self._own["create_connection"])
        for name in METHODS:
            setattr(loop, name, getattr(self, name))
        setattr(loop, _INSTALLED, self)

    def undo(self) -> None:
        """Put back what was there.

        Raises:
            RuntimeError: another install came later, and was not undone; or this one was.
        """
        if getattr(self._loop, _INSTALLED, None) is not self:
            raise RuntimeError("installs are undone last in, first out, and once")
        for name, value in self._before.items():
            if value is None:
                vars(self._loop).pop(name, None)
            else:
                setattr(self._loop, name, value)

    # The methods ---------------------------------------------------------------------------------

    async def create_connection(
        self,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        sock: socket.socket | None = None,
        all_errors: bool = False,
        local_addr: Any = None,
        **keywords: Any,
    ) -> Any:
        """Dial as ``loop.create_connection``, by the dialer."""
        if sock is not None:
            address = _peer_of(sock)
            dialer = self._choose(*address)
            if dialer is not None and host is None and port is None:
                streams.judge_peer(sock, dialer)
            return await own_create_connection(self._loop)(
                protocol_factory, host, port, sock=sock, local_addr=local_addr, **keywords
            )
        dialer = self._choose(host, port)
        if dialer is None:
            if all_errors:
                keywords["all_errors"] = True
            return await self._own["create_connection"](
                protocol_factory, host, port, local_addr=local_addr, **keywords
            )
        if host is None and port is None:
            raise ValueError("host and port was not specified and no sock specified")
        options = {name: value for name, value in keywords.items() if value is not None}
        if isinstance(options.get("flags"), int):
            options["flags"] &= ~_DROPPED
        if local_addr is not None:
            options["local_addr"] = await self._local(local_addr, options.get("family", 0))
        try:
            return await dialer.create_connection(
                protocol_factory, _text(host), _port(port), **options
            )
        except InvalidTarget as exc:
            raise _no_such_host(exc) from None
        except ConnectError as exc:
            if not all_errors:
                raise
            raise ExceptionGroup(
                "create_connection failed", [attempt.error for attempt in exc.attempts] or [exc]
            ) from None

    async def create_unix_connection(
        self,
        protocol_factory: Any,
        path: Any = None,
        *,
        sock: socket.socket | None = None,
        **keywords: Any,
    ) -> Any:
        """Dial as ``loop.create_unix_connection``, by the dialer."""
        dialer = None if path is None else self._choose(path, None)
        if sock is not None or dialer is None or path is None:
            return await self._own["create_unix_connection"](
                protocol_factory, path, sock=sock, **keywords
            )
        options = {name: value for name, value in keywords.items() if value is not None}
        text = os.fsdecode(path)
        text = f"@{text[1:]}" if text.startswith("\0") else f"./{text}" if text[:1] == "@" else text
        return await dialer.create_connection(protocol_factory, f"unix:{text}", **options)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Any,
        local_addr: Any = None,
        remote_addr: Any = None,
        **keywords: Any,
    ) -> Any:
        """Resolve and judge the address of connected datagrams; the rest is the loop's own."""
        numeric = isinstance(remote_addr, tuple) and len(remote_addr) == 2
        dialer = self._choose(*remote_addr) if numeric else None
        if dialer is not None and (dialer.resolver or dialer.address_policy) is not None:
            remote_addr = await self._judged(dialer, remote_addr, keywords)
        return await self._own["create_datagram_endpoint"](
            protocol_factory, local_addr=local_addr, remote_addr=remote_addr, **keywords
        )

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Sequence[Any]:
        """Ask the dialer's resolver, if it has one of its own and the host is a name."""
        dialer = self._choose(host, port)
        wanted = None
        if dialer is not None and dialer.resolver is not None and not flags & _NOT_FOR_US:
            wanted = _name_and_port(host, port)
        if wanted is None or dialer is None:
            return cast(
                "Sequence[Any]",
                await self._own["getaddrinfo"](
                    host, port, family=family, type=type, proto=proto, flags=flags
                ),
            )
        resolver = dialer.resolver
        assert resolver is not None
        families = (family,) if family else (int(socket.AF_INET6), int(socket.AF_INET))
        kinds = (type,) if type else (int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM))
        name, number = wanted
        answers = at_hand(resolver, name, families)
        if answers is None:
            answers = tuple([each async for each in lookup_name(resolver, name, families)])
        found = [arranged(answers, number, kind, dialer.max_addresses) for kind in kinds]
        return [each for endpoints in zip(*found, strict=True) for each in endpoints]

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect the client's own socket, within ``attempt_timeout`` and by the policy."""
        host, port = address[:2] if isinstance(address, tuple) else (address, None)
        dialer = self._choose(host, port)
        if dialer is None:
            await self._own["sock_connect"](sock, address)
            return
        if isinstance(address, tuple) and not _is_numeric(host):
            infos = await self._loop.getaddrinfo(
                host, port, family=sock.family, type=sock.type, proto=sock.proto
            )
            address = infos[0][4]
        policy: Any = dialer.address_policy
        with _observed(dialer.on_event, of(self._loop).clock, sock, address):
            await engine.sock_connect(
                sock, address, timeout=dialer.attempt_timeout, address_policy=policy
            )

    # What they need ------------------------------------------------------------------------------

    async def _local(self, local_addr: Any, family: int) -> Any:
        """Return the local address as numbers, one for each family: asyncio takes names."""
        host, port = local_addr[:2]
        if host is None or _is_numeric(host):
            return local_addr if host is not None else (("0.0.0.0", port), ("::", port))  # noqa: S104
        infos = await self._own["getaddrinfo"](
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        chosen: dict[int, Any] = {}
        for info in infos:
            chosen.setdefault(info[0], info[4])
        return list(chosen.values())

    async def _judged(self, dialer: Dialer, address: Any, keywords: Any) -> Any:
        """Return the first address of a host that the policy allows."""
        infos: Sequence[Endpoint] = await self._loop.getaddrinfo(
            *address,
            family=keywords.get("family", 0),
            type=socket.SOCK_DGRAM,
            proto=keywords.get("proto", 0),
            flags=keywords.get("flags", 0),
        )
        policy, name, error = dialer.address_policy, str(address[0]), None
        for info in infos:
            error = None if policy is None else dialer.denial(policy, info, name)
            if error is None:
                return info[4][:2]
        assert error is not None
        raise error


@contextmanager
def _observed(
    hook: Callable[[events.Event], object] | None,
    clock: Callable[[], float],
    sock: socket.socket,
    address: Any,
) -> Iterator[None]:
    """Tell an observer of a connect on the client's own socket: a call of one attempt."""
    began, text = clock(), format_address(address)
    facts = text, 1, 1, address, int(sock.family)
    emit(hook, events.AttemptStarted(began, *facts))
    try:
        yield
    except ConnectError as exc:
        now = clock()
        failed = text, exc, began, 1, 1, address, int(sock.family), exc.stage, 1
        emit(hook, events.AttemptFailed(now, *failed))
        emit(hook, events.GaveUp(now, text, "attempts", exc))
        raise
    except BaseException:
        emit(hook, events.AttemptCancelled(clock(), *facts))
        raise
    now = clock()
    spent = now - began
    local = sock.getsockname()
    stages: dict[Any, float] = {"connect": spent}
    emit(hook, events.Connected(now, *facts, local=local, elapsed=spent, stages=stages))


def _text(host: Any) -> Any:
    return host.decode("ascii") if isinstance(host, bytes | bytearray) else host


def _port(port: Any) -> Any:
    """Return a port as streams take it; None is 0, with which nothing can be dialled."""
    return 0 if port is None else _text(port)


def _name_and_port(host: Any, port: Any) -> tuple[str, int] | None:
    """Return what a resolver can be asked for; None if the host is no name, or the port a word."""
    text = _text(host)
    if not isinstance(text, str) or not text:
        return None
    try:
        number = int(port or 0)
        target = parse_host(text, number or 1)
    except ValueError:
        return None
    return (target.host, number) if target.needs_lookup else None


def _is_numeric(host: Any) -> bool:
    text = _text(host)
    if not isinstance(text, str):
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text.partition("%")[0])
        except (OSError, ValueError):
            continue
        return True
    return False


def _peer_of(sock: socket.socket) -> tuple[Any, Any]:
    try:
        peer = sock.getpeername()
    except OSError:
        return None, None
    return peer[:2] if isinstance(peer, tuple) else (peer, None)


def _no_such_host(error: InvalidTarget) -> NoSuchHost:
    """Return the error of a host or port that means nothing, as clients expect it."""
    again = NoSuchHost(socket.EAI_NONAME, str(error))
    again.__dict__ = {**error.__dict__}
    again.args = (socket.EAI_NONAME, str(error))
    return again
