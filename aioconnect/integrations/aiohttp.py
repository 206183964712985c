"""aiohttp dials through a dialer: its names by a public hook, its connects by one method.

Example::

    connector = DialerConnector(dialer)
    session = aiohttp.ClientSession(connector=connector)

``DialerResolver`` alone gives aiohttp the dialer's resolver and its address policy, by the public
hook ``TCPConnector(resolver=...)``.  ``DialerConnector`` also dials, by overriding
``_wrap_create_connection``, which aiohttp-socks has done for years: there is no public hook for
it.  If that method goes, making the connector fails.
"""

from __future__ import annotations

import inspect
import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .. import streams
from ..errors import CertificateError, ConnectError, TLSError
from ..resolving import resolve_with

if TYPE_CHECKING:
    from ..dialer import Dialer

__all__ = ["DialerConnector", "DialerResolver"]

_HOOK = "_wrap_create_connection"


class DialerResolver(AbstractResolver):
    """The addresses that the dialer would dial: its resolver, its policy, its order.

    Args:
        dialer: whose options are used.
    """

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up, as aiohttp asks for it."""
        dialer = self._dialer.replace(family=int(family)) if family else self._dialer
        found = await resolve_with(dialer, host, port or 1)
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=family_found,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family_found, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Leave the resolver to whoever made it."""


class DialerConnector(aiohttp.TCPConnector):
    """A connector whose connections the dialer makes.

    Args:
        dialer: what dials.
        options: as for ``aiohttp.TCPConnector``.

    Raises:
        RuntimeError: this aiohttp has no method that can be overridden.
    """

    def __init__(self, dialer: Dialer, **options: Any) -> None:
        hook = getattr(aiohttp.TCPConnector, _HOOK, None)
        if hook is None or not {"addr_infos", "req", "timeout"} <= set(
            inspect.signature(hook).parameters
        ):
            raise RuntimeError(
                f"aiohttp {aiohttp.__version__} has no {_HOOK} as it is known here: "
                "use DialerResolver, or a loop of aioconnect.loop_factory"
            )
        super().__init__(resolver=_AsGiven(), **options)
        self._dialer = dialer

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: Any,
        req: Any,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,
    ) -> Any:
        """Dial the host of the request, which no resolver was asked for."""
        (protocol_factory,) = args
        keywords: dict[str, Any] = {}
        if timeout.sock_connect is not None and timeout.sock_connect < self._dialer.timeout:
            keywords["timeout"] = timeout.sock_connect
        if kwargs.get("ssl") is not None:
            keywords["ssl"] = kwargs["ssl"]
            if kwargs.get("server_hostname") is not None:
                keywords["server_hostname"] = kwargs["server_hostname"]
        try:
            return await streams.create_with(
                self._dialer, protocol_factory, req.url.raw_host, req.port, keywords
            )
        except CertificateError as exc:
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, exc) from exc
        except TLSError as exc:
            raise aiohttp.ClientConnectorSSLError(req.connection_key, exc) from exc
        except ConnectError as exc:
            if isinstance(exc, TimeoutError):
                raise aiohttp.ConnectionTimeoutError(str(exc)) from exc
            if isinstance(exc, socket.gaierror):
                raise aiohttp.ClientConnectorDNSError(req.connection_key, exc) from exc
            raise client_error(req.connection_key, exc) from exc


class _AsGiven(AbstractResolver):
    """Leaves every name to the dialer: its answer is not dialled."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="192.0.2.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass
