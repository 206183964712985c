"""httpcore and httpcore2 dial through a dialer, by their public hook ``network_backend``.

Example::

    pool = httpcore.AsyncConnectionPool(network_backend=DialerBackend(dialer))

The streams are asyncio's; the errors are httpcore's own, with our words (its pool drops causes).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import streams
from ..wait import READ, ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ssl import SSLContext

    from httpcore import AsyncNetworkBackend, AsyncNetworkStream

    from ..dialer import Dialer
else:  # of either package: it asks for methods, not for a class
    AsyncNetworkBackend = AsyncNetworkStream = object

__all__ = ["DialerBackend"]


class DialerBackend(AsyncNetworkBackend):
    """A network backend for ``httpcore.AsyncConnectionPool`` and its kin.

    Args:
        dialer: what dials.  The client's time limit for a connect is the shorter of the two.
        package: the package whose pool it is given to: ``"httpcore"`` or ``"httpcore2"``.

    Raises:
        ImportError: the package is not installed.
    """

    def __init__(self, dialer: Dialer, *, package: str = "httpcore") -> None:
        self._dialer = dialer
        self._errors = import_module(package)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> DialerStream:
        """Connect to a host, as httpcore asks for it."""
        options: dict[str, Any] = {}
        if local_address is not None:
            options["local_addr"] = (local_address, 0)
        return await self._connect((host, port), timeout, socket_options, options)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> DialerStream:
        """Connect to a path, as httpcore asks for it."""
        return await self._connect(f"unix:{path}", timeout, socket_options, {})

    async def sleep(self, seconds: float) -> None:
        """Sleep, between retries of httpcore's own."""
        await asyncio.sleep(seconds)

    async def _connect(
        self, target: Any, timeout: float | None, socket_options: Any, options: dict[str, Any]
    ) -> DialerStream:
        errors = self._errors
        if timeout is not None and timeout < self._dialer.timeout:
            options["timeout"] = timeout
        if socket_options:
            options["socket_options"] = [*self._dialer.socket_options, *socket_options]
        host, port = target if isinstance(target, tuple) else (target, None)
        with _mapped({TimeoutError: errors.ConnectTimeout, OSError: errors.ConnectError}):
            ends = await streams.open_with(self._dialer, host, port, options)
        return DialerStream(*ends, errors)


class DialerStream(AsyncNetworkStream):
    """One connection, as httpcore uses it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, errors: Any
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._errors = errors

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there; empty at the end."""
        with _mapped({TimeoutError: self._errors.ReadTimeout, OSError: self._errors.ReadError}):
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        with _mapped({TimeoutError: self._errors.WriteTimeout, OSError: self._errors.WriteError}):
            async with asyncio.timeout(timeout):
                self._writer.write(buffer)
                await self._writer.drain()

    async def aclose(self) -> None:
        """Close; what the peer says of it is nobody's concern."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
        finally:
            self._writer.transport.abort()

    async def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> DialerStream:
        """Go on in TLS; a failed handshake closes the connection."""
        errors = self._errors
        try:
            with _mapped({TimeoutError: errors.ConnectTimeout, OSError: errors.ConnectError}):
                async with asyncio.timeout(timeout):
                    await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            self._writer.transport.abort()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks for."""
        transport = self._writer.transport
        if info == "is_readable":
            sock = transport.get_extra_info("socket")
            return transport.is_closing() or sock is None or ready(sock, READ)
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return transport.get_extra_info(names.get(info, info))


@contextmanager
def _mapped(classes: dict[type[Exception], Any]) -> Iterator[None]:
    """Raise the client's class for an error, with ours as its cause."""
    try:
        yield
    except Exception as exc:
        for kind, theirs in classes.items():
            if isinstance(exc, kind):
                raise theirs(str(exc)) from exc
        raise
