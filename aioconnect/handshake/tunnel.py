"""The tunnel of an attempt that goes through a proxy: which protocol speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..via import Tunnelled

if TYPE_CHECKING:
    from collections.abc import Generator
    from socket import socket

    from ..targets import Endpoint

__all__ = ["tunnel"]


def tunnel(sock: socket, endpoint: Endpoint) -> Generator[int, None, None]:
    """Have the proxy that ``sock`` is connected to make the tunnel that the endpoint is for.

    An endpoint that is not behind a proxy needs none.
    """
    if isinstance(endpoint, Tunnelled):
        from . import http, socks5  # want of a descriptor to load them with fails the attempt

        speak = http.tunnel if endpoint.proxy.scheme == "http" else socks5.tunnel
        yield from speak(sock, endpoint.proxy, endpoint.host, endpoint.port)
