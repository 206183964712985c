"""Hooks that are broken, and calls that several tests make."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from ..support.servers import NAME

if TYPE_CHECKING:
    from collections.abc import Callable


ADDRESSES = {"IPv4": ("127.0.0.1", 0), "IPv6": ("::1", 0), "Unix": f"\0{NAME}"}


def target_of(server: socket.socket) -> Any:
    """Return what is dialled to reach a server."""
    address = server.getsockname()
    return f"unix:@{address[1:].decode()}" if isinstance(address, bytes) else address


async def on_own_socket(function: Any, *args: Any, **options: Any) -> None:
    """Call a function on a fresh socket, and close that."""
    with socket.socket() as sock:
        sock.setblocking(False)
        await function(sock, *args, **options)


class Surprise(Exception):
    """What nobody expects."""


def raising(exception: BaseException) -> Callable[..., Any]:
    def hook(*args: Any) -> Any:
        raise exception

    return hook


class BrokenResolver:
    """A resolver with a bug."""

    def __init__(self, exception: Exception) -> None:
        self.exception = exception

    async def lookup(self, name: str, family: int) -> Any:
        """Fail."""
        raise self.exception
